//! Lazuli on a workload whose inputs are loaded.

use crate::recipe::Recipe;
use lazuli_cli::lang::{self, Env, Value};
use lazuli_engine::{Config, Function, compute, data};
use lazuli_graph::{DType, Expr};
use lazuli_runtime::{Tensor, npy};
use std::path::Path;

/// A formula over inputs.
pub(crate) struct Subject {
    recipe: Recipe,
    inputs: Vec<Tensor>,
    /// The same, as a program has them: made once, like the peers'.
    arrays: Vec<Expr>,
    function: Function,
}

/// Evaluates a parsed formula on arrays.
fn evaluate(program: &lang::ast::Program, names: &[String], arrays: &[Expr]) -> Result<Expr, String> {
    let names = names.iter().cloned().zip(arrays.iter().cloned().map(Value::Array)).collect();
    let env = Env { names, new_array: &|_, _, _| unreachable!("formulas hold no lists") };
    let outcome = lang::eval(program, &env).map_err(|e| e.to_string())?;
    outcome.results.into_iter().next_back().map(|(_, e)| e).ok_or_else(|| "an empty formula".to_owned())
}

impl Subject {
    /// The formula over these inputs.
    pub(crate) fn new(formula: &str, names: Vec<String>, inputs: Vec<Tensor>) -> Result<Subject, String> {
        let program = lang::parse("formula", formula).map_err(|e| e.to_string())?;
        let arrays: Vec<Expr> = inputs.iter().cloned().map(data).collect();
        let recipe = Recipe::of(&evaluate(&program, &names, &arrays)?, &arrays)?;
        let function = Function::new(inputs.len(), move |arrays| {
            let result = evaluate(&program, &names, arrays).map_err(lazuli_engine::Error::Call)?;
            Ok(vec![result])
        });
        Ok(Subject { recipe, inputs, arrays, function })
    }

    /// The formula over the inputs in a folder, `NAME.npy`.
    pub(crate) fn read(formula: &str, names: Vec<String>, folder: &Path) -> Result<Subject, String> {
        let inputs = names.iter().map(|name| read(folder, name)).collect::<Result<Vec<Tensor>, _>>()?;
        Subject::new(formula, names, inputs)
    }

    /// The expression, built anew by the calls that a program makes.
    pub(crate) fn build(&self) -> Result<Expr, String> {
        self.recipe.build(&self.arrays)
    }

    /// The expression, built and computed anew.
    pub(crate) fn compute(&self, config: &Config) -> Result<Tensor, String> {
        compute(&[self.build()?], config).map(|mut all| all.remove(0)).map_err(|e| e.to_string())
    }

    /// A call of the function.
    pub(crate) fn call(&self, config: &Config) -> Result<Tensor, String> {
        self.function.call(&self.inputs, config).map(|mut all| all.remove(0)).map_err(|e| e.to_string())
    }

    /// The bytes of all inputs.
    pub(crate) fn input_bytes(&self) -> usize {
        self.inputs.iter().map(Tensor::nbytes).sum()
    }
}

/// An array in a folder, in memory of its own, as the peers have it: a file that is mapped has small pages.
pub(crate) fn read(folder: &Path, name: &str) -> Result<Tensor, String> {
    let path = folder.join(format!("{name}.npy"));
    let mapped = npy::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    mapped.to_owned_copy().map_err(|e| e.to_string())
}

/// Whether a result is the expected one, up to what another order of summation and another last bit of functions make
/// of it.
pub(crate) fn close(got: &Tensor, expected: &Tensor) -> Result<(), String> {
    if got.dtype() != expected.dtype() || got.shape() != expected.shape() {
        let (g, e) = ((got.dtype(), got.shape()), (expected.dtype(), expected.shape()));
        return Err(format!("the result is {}{}, expected is {}{}", g.0, g.1, e.0, e.1));
    }
    let far = match got.dtype() {
        DType::F32 => {
            let pairs = slices::<f32>(got, expected)?;
            first_far(pairs.0.iter().map(|&x| x.into()), pairs.1.iter().map(|&x| x.into()), 1e-3)
        }
        DType::F64 => {
            let pairs = slices::<f64>(got, expected)?;
            first_far(pairs.0.iter().copied(), pairs.1.iter().copied(), 1e-9)
        }
        _ => got.first_difference(expected).map(|(i, ..)| i),
    };
    match far {
        None => Ok(()),
        Some(i) => {
            let nth = |t: &Tensor| t.iter_scalars().nth(i).map_or(String::new(), |s| s.to_string());
            Err(format!("element {i} is {}, expected is {}", nth(got), nth(expected)))
        }
    }
}

fn slices<'a, T: lazuli_runtime::Element>(a: &'a Tensor, b: &'a Tensor) -> Result<(&'a [T], &'a [T]), String> {
    let slice = |t: &'a Tensor| t.as_slice::<T>().map_err(|e| e.to_string());
    Ok((slice(a)?, slice(b)?))
}

fn first_far(got: impl Iterator<Item = f64>, expected: impl Iterator<Item = f64>, tolerance: f64) -> Option<usize> {
    let near =
        |(x, y): (f64, f64)| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * (1.0 + y.abs());
    got.zip(expected).position(|pair| !near(pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_compared_by_value_shape_and_dtype() {
        let t = |v: Vec<f64>| Tensor::from_vec(&[v.len()], v).unwrap();
        assert!(close(&t(vec![1.0, f64::NAN]), &t(vec![1.0 + 1e-12, f64::NAN])).is_ok());
        assert!(close(&t(vec![1.0, 2.0]), &t(vec![1.0, 2.1])).unwrap_err().starts_with("element 1 is 2"));
        assert!(close(&t(vec![1.0]), &t(vec![f64::NAN])).is_err());
        assert!(close(&t(vec![1.0]), &t(vec![1.0, 1.0])).is_err());
        assert!(close(&t(vec![1.0]), &Tensor::from_vec(&[1], vec![1.0f32]).unwrap()).is_err());
        let i = |v: i32| Tensor::from_vec(&[1], vec![v]).unwrap();
        assert!(close(&i(3), &i(3)).is_ok() && close(&i(3), &i(4)).is_err());
    }
}
