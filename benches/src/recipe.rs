//! The calls that build an expression, so that what is timed is building it and not reading a formula.

use lazuli_graph::{DType, Expr, Op, Scalar, Shape};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Calls in order; operands are numbers of inputs, then of earlier calls.
pub(crate) struct Recipe {
    inputs: usize,
    calls: Vec<Call>,
}

struct Call {
    made: Op,
    dtype: DType,
    shape: Shape,
    operands: SmallVec<[Operand; 3]>,
}

#[derive(Clone, Copy)]
enum Operand {
    /// An input or the result of a call.
    Made(usize),
    /// A literal of an elementwise operation, as a program has it in its text.
    Literal(Scalar),
}

impl Operand {
    fn of(self, made: &[Expr]) -> Cow<'_, Expr> {
        match self {
            Operand::Made(i) => Cow::Borrowed(&made[i]),
            Operand::Literal(value) => Cow::Owned(Expr::literal(value)),
        }
    }
}

impl Recipe {
    /// How `result` was built of `inputs`.
    pub(crate) fn of(result: &Expr, inputs: &[Expr]) -> Result<Recipe, String> {
        let mut recipe = Recipe { inputs: inputs.len(), calls: Vec::new() };
        let mut made: Vec<Expr> = inputs.to_vec();
        recipe.add(result, &mut made)?;
        let again = recipe.build(inputs.iter().cloned())?;
        if again.fingerprint() != result.fingerprint() {
            return Err("the calls of a formula build something else".to_owned());
        }
        Ok(recipe)
    }

    /// Adds the calls that make `expr`, operands first; formulas are not deep.
    fn add(&mut self, expr: &Expr, made: &mut Vec<Expr>) -> Result<usize, String> {
        if let Some(known) = made.iter().position(|m| m.same(expr)) {
            return Ok(known);
        }
        let operands = expr.operands_or_value().map_err(|_| "a formula has values beside its inputs".to_owned())?;
        let operands = operands.iter().map(|operand| match operand.op() {
            Op::Const(value) if operand.weak().is_some() => Ok(Operand::Literal(*value)),
            _ => self.add(operand, made).map(Operand::Made),
        });
        let operands = operands.collect::<Result<_, String>>()?;
        let (made_by, shape) = (expr.op().clone(), expr.shape().clone());
        self.calls.push(Call { made: made_by, dtype: expr.dtype(), shape, operands });
        made.push(expr.clone());
        Ok(made.len() - 1)
    }

    /// The expression, built anew.
    pub(crate) fn build(&self, inputs: impl Iterator<Item = Expr>) -> Result<Expr, String> {
        let mut made: Vec<Expr> = Vec::with_capacity(self.inputs + self.calls.len());
        made.extend(inputs);
        assert_eq!(made.len(), self.inputs, "inputs of another recipe");
        for call in &self.calls {
            let result = match (&call.made, call.operands.as_slice()) {
                (Op::Map(op), operands) => match *operands {
                    [a] => Expr::map(*op, &[&*a.of(&made)]),
                    [a, b] => Expr::map(*op, &[&*a.of(&made), &*b.of(&made)]),
                    [a, b, c] => Expr::map(*op, &[&*a.of(&made), &*b.of(&made), &*c.of(&made)]),
                    _ => return Err(format!("{op} has more operands than any")),
                },
                (Op::Const(value), _) => Ok(Expr::full(*value, call.shape.clone())),
                (Op::Iota, _) => Ok(Expr::iota(call.shape.clone())),
                (Op::Cast, [x]) => Ok(x.of(&made).cast(call.dtype)),
                (Op::View(view), [x]) => x.of(&made).view(view.as_ref().clone()),
                (Op::Reshape, [x]) => x.of(&made).reshape(call.shape.clone()),
                (Op::Reduce(op, axes), [x]) => x.of(&made).reduce(*op, *axes),
                (Op::Scan(op, axis), [x]) => x.of(&made).scan(*op, i64::from(*axis)),
                (Op::Matmul, [x, y]) => x.of(&made).matmul(&y.of(&made)),
                (op, _) => return Err(format!("{} is no call", op.name())),
            };
            made.push(result.map_err(|e| e.to_string())?);
        }
        made.pop().ok_or_else(|| "an empty recipe".to_owned())
    }
}
