//! NumPy's results, and the comparison with them.
//!
//! `tests/oracle/generate.py` writes the cases and says what their fields mean; `cargo xtask test` has it run and names
//! the folder in the variable `LAZULI_ORACLE`.

use lazuli_graph::{DType, Scalar};
use lazuli_runtime::{Buffer, Tensor, npz};
use std::path::PathBuf;

/// The cases, and the file with their arrays.
#[derive(Debug)]
pub struct Oracle {
    /// The cases, in the file's order.
    pub cases: Vec<Case>,
    arrays: npz::Npz,
}

/// What a case is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An elementwise op on arrays.
    Map,
    /// An expression of the language.
    Expr,
    /// The dtype of an elementwise op's result.
    Type,
}

/// One case.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// What it is about.
    pub kind: Kind,
    /// The op's name, or the expression.
    pub what: String,
    /// Entries, with the names that an expression gives them; of a [`Kind::Type`], dtypes.
    pub inputs: Vec<(String, String)>,
    /// The entry of the result, or its dtype; none where the case must be an error.
    pub expected: Option<String>,
    /// How far the result may be away.
    pub tolerance: Tolerance,
    /// Whether `0.0` and `-0.0` count as equal.
    pub any_zero: bool,
}

/// How far a result may be away from the expected one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tolerance {
    /// So many steps between neighbouring floats; 0 is the same bits, any NaN for NaN.
    Steps(u64),
    /// As far as the elements of this entry say.
    Entry(String),
}

impl Oracle {
    /// Opens what `LAZULI_ORACLE` names; nothing where it is not set.
    ///
    /// # Errors
    /// Files that cannot be read, or are not as the generator writes them.
    pub fn open() -> Result<Option<Oracle>, String> {
        let Some(folder) = std::env::var_os("LAZULI_ORACLE").map(PathBuf::from) else { return Ok(None) };
        let path = folder.join("cases.tsv");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let case = |(i, line): (usize, &str)| case(line).ok_or_else(|| format!("{}:{}: {line}", path.display(), i + 1));
        let cases = text.lines().enumerate().skip(1).map(case).collect::<Result<_, _>>()?;
        let arrays = npz::open(folder.join("cases.npz")).map_err(|e| e.to_string())?;
        Ok(Some(Oracle { cases, arrays }))
    }

    /// The array of an entry.
    ///
    /// # Errors
    /// No such entry, or one that cannot be read.
    pub fn array(&self, entry: &str) -> Result<Tensor, String> {
        let tensor = self.arrays.read(entry).map_err(|e| e.to_string())?;
        match entry.ends_with("_bf16") {
            true => as_bf16(&tensor),
            false => Ok(tensor),
        }
    }
}

/// The bits of a `uint16` tensor as `bfloat16`.
fn as_bf16(bits: &Tensor) -> Result<Tensor, String> {
    let values: Vec<_> = bits.iter_scalars().map(|x| Scalar::from_bits(DType::BF16, x.bits())).collect();
    tensor(DType::BF16, bits.shape(), &values)
}

/// A contiguous tensor of scalars.
///
/// # Errors
/// A shape with another number of elements.
pub fn tensor(dtype: DType, shape: &[usize], values: &[Scalar]) -> Result<Tensor, String> {
    let bits = || values.iter().map(|x| x.bits());
    let buffer = match dtype.size() {
        1 => Buffer::from_vec(bits().map(|x| x as u8).collect()),
        2 => Buffer::from_vec(bits().map(|x| x as u16).collect()),
        4 => Buffer::from_vec(bits().map(|x| x as u32).collect()),
        _ => Buffer::from_vec(bits().collect::<Vec<u64>>()),
    };
    let shape = lazuli_graph::Shape::new(shape).map_err(|e| e.to_string())?;
    let mut strides = vec![dtype.size() as isize; shape.rank()];
    for i in (0..shape.rank().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1] as isize;
    }
    Tensor::from_parts(buffer, dtype, shape, &strides, 0).map_err(|e| e.to_string())
}

fn case(line: &str) -> Option<Case> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [kind, what, inputs, expected, tolerance, flags] = fields[..] else { return None };
    let kind = match kind {
        "map" => Kind::Map,
        "expr" => Kind::Expr,
        "type" => Kind::Type,
        _ => return None,
    };
    let input = |text: &str| match text.split_once('=') {
        Some((name, entry)) => (name.to_owned(), entry.to_owned()),
        None => (String::new(), text.to_owned()),
    };
    Some(Case {
        kind,
        what: what.to_owned(),
        inputs: inputs.split(',').filter(|s| *s != "-").map(input).collect(),
        expected: (expected != "!").then(|| expected.to_owned()),
        tolerance: match tolerance.strip_prefix('@') {
            Some(entry) => Tolerance::Entry(entry.to_owned()),
            None => Tolerance::Steps(tolerance.parse().ok()?),
        },
        any_zero: flags == "zeros",
    })
}

/// How an element may differ.
#[derive(Clone, Copy, Debug)]
pub enum Near<'a> {
    /// So many steps.
    Steps(u64),
    /// The distance at each position.
    Bounds(&'a [f64]),
}

/// Compares a result with the expected one: dtype, shape, and each element.
///
/// # Errors
/// The first difference, in words.
pub fn compare(got: &Tensor, expected: &Tensor, near: Near<'_>, any_zero: bool) -> Result<(), String> {
    if got.dtype() != expected.dtype() {
        return Err(format!("dtype {}, expected {}", got.dtype(), expected.dtype()));
    }
    if got.shape() != expected.shape() {
        return Err(format!("shape {}, expected {}", got.shape(), expected.shape()));
    }
    for (i, (g, e)) in got.iter_scalars().zip(expected.iter_scalars()).enumerate() {
        if !same(g, e, near, any_zero, i) {
            return Err(format!(
                "element {i}: {g} ({:#x}), expected {e} ({:#x}); {} steps away, allowed {}",
                g.bits(),
                e.bits(),
                steps(g, e),
                match near {
                    Near::Steps(n) => format!("{n} steps"),
                    Near::Bounds(b) => format!("{:e}", b[i]),
                }
            ));
        }
    }
    Ok(())
}

fn same(g: Scalar, e: Scalar, near: Near<'_>, any_zero: bool, i: usize) -> bool {
    if g == e {
        return true;
    }
    if !g.dtype().is_float() {
        return false;
    }
    let (x, y) = (g.as_f64(), e.as_f64());
    if x.is_nan() || y.is_nan() {
        return x.is_nan() && y.is_nan();
    }
    match near {
        // A wrong sign of zero is not near.
        Near::Steps(_) if x == 0.0 && y == 0.0 => any_zero,
        Near::Steps(n) => steps(g, e) <= n,
        Near::Bounds(bounds) => (x - y).abs() <= bounds[i],
    }
}

/// How many floats of their dtype lie from one to the other; of integers, 0 or 1.
fn steps(a: Scalar, b: Scalar) -> u64 {
    if !a.dtype().is_float() {
        return (a != b) as u64;
    }
    // Sign and magnitude as one line of integers.
    let sign = 1u64 << (8 * a.dtype().size() - 1);
    let line = |x: Scalar| match x.bits() & sign {
        0 => x.bits() as i128,
        _ => -((x.bits() & !sign) as i128),
    };
    (line(a) - line(b)).unsigned_abs() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::from_vec(&[values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn differences_are_found() {
        let next = f32::from_bits(1.0f32.to_bits() + 1);
        let near = Near::Steps(0);
        assert!(compare(&f32s(&[1.0, f32::NAN]), &f32s(&[1.0, -f32::NAN]), near, false).is_ok());
        assert!(compare(&f32s(&[1.0]), &f32s(&[next]), near, false).is_err());
        assert!(compare(&f32s(&[1.0]), &f32s(&[next]), Near::Steps(1), false).is_ok());
        assert!(compare(&f32s(&[0.0]), &f32s(&[-0.0]), Near::Steps(1), false).is_err());
        assert!(compare(&f32s(&[0.0]), &f32s(&[-0.0]), near, true).is_ok());
        assert!(compare(&f32s(&[f32::NAN]), &f32s(&[1.0]), Near::Steps(u64::MAX), false).is_err());
        assert!(compare(&f32s(&[1.0]), &f32s(&[1.5]), Near::Bounds(&[0.5]), false).is_ok());
        assert!(compare(&f32s(&[1.0]), &f32s(&[1.5]), Near::Bounds(&[0.4]), false).is_err());
        assert!(compare(&f32s(&[1.0]), &f32s(&[1.0, 1.0]), near, false).is_err());
        assert!(compare(&f32s(&[1.0]), &Tensor::from_vec(&[1], vec![1.0f64]).unwrap(), near, false).is_err());
    }

    #[test]
    fn steps_cross_zero() {
        let x = |v: f64| Scalar::from_f64(DType::F16, v);
        assert_eq!(steps(x(2f64.powi(-24)), x(-(2f64.powi(-24)))), 2);
        assert_eq!(steps(x(65504.0), x(f64::INFINITY)), 1);
    }
}
