//! The calls that build an expression, so that what is timed is building it and not reading a formula.

use lazuli_graph::{DType, Expr, MapOp, Op, Scalar, Shape};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Calls in order.
pub(crate) struct Recipe {
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
    Input(usize),
    /// The result of a call.
    Made(usize),
    /// The result of a call that nothing else needs, where Rust's operators and functions take it by value.
    Last(usize),
    /// A literal of an elementwise operation, as a program has it in its text.
    Literal(Scalar),
}

impl Operand {
    /// The input or result that it is, as others see it.
    fn of<'m>(self, inputs: &'m [Expr], made: &'m [Option<Expr>]) -> &'m Expr {
        match self {
            Operand::Input(i) => &inputs[i],
            Operand::Made(i) | Operand::Last(i) => made[i].as_ref().expect("nobody needs what was given away"),
            Operand::Literal(_) => unreachable!("literals are given"),
        }
    }

    /// What is given by value.
    #[inline(always)]
    fn given(self, made: &mut [Option<Expr>]) -> Option<Expr> {
        match self {
            Operand::Last(i) => made[i].take(),
            Operand::Literal(value) => Some(Expr::literal(value)),
            Operand::Input(_) | Operand::Made(_) => None,
        }
    }

    /// What was given, or else a reference.
    #[inline(always)]
    fn or<'m>(self, given: Option<Expr>, inputs: &'m [Expr], made: &'m [Option<Expr>]) -> Cow<'m, Expr> {
        match given {
            Some(expr) => Cow::Owned(expr),
            None => Cow::Borrowed(self.of(inputs, made)),
        }
    }

    /// Whether it is result `i`.
    fn is(self, i: usize) -> bool {
        matches!(self, Operand::Made(n) | Operand::Last(n) if n == i)
    }
}

/// The first operand of an operation that Rust takes by value: operators and `where_` take all, methods those after `self`.
fn by_value(op: MapOp) -> usize {
    use MapOp::*;
    match op {
        Add | Subtract | Multiply | Divide | Remainder | BitwiseAnd | BitwiseOr | BitwiseXor | LeftShift
        | RightShift | Negative | Invert | Where => 0,
        _ => 1,
    }
}

impl Recipe {
    /// How `result` was built of `inputs`.
    pub(crate) fn of(result: &Expr, inputs: &[Expr]) -> Result<Recipe, String> {
        let mut recipe = Recipe { calls: Vec::new() };
        recipe.add(result, inputs, &mut Vec::new())?;
        recipe.give();
        let again = recipe.build(inputs)?;
        if again.fingerprint() != result.fingerprint() {
            return Err("the calls of a formula build something else".to_owned());
        }
        Ok(recipe)
    }

    /// Adds the calls that make `expr`, operands first; formulas are not deep.
    fn add(&mut self, expr: &Expr, inputs: &[Expr], made: &mut Vec<Expr>) -> Result<Operand, String> {
        if let Some(known) = inputs.iter().position(|input| input.same(expr)) {
            return Ok(Operand::Input(known));
        }
        if let Some(known) = made.iter().position(|m| m.same(expr)) {
            return Ok(Operand::Made(known));
        }
        let operands = expr.operands_or_value().map_err(|_| "a formula has values beside its inputs".to_owned())?;
        let operands = operands.iter().map(|operand| match operand.op() {
            Op::Const(value) if operand.weak().is_some() => Ok(Operand::Literal(*value)),
            _ => self.add(operand, inputs, made),
        });
        let operands = operands.collect::<Result<_, String>>()?;
        let (made_by, shape) = (expr.op().clone(), expr.shape().clone());
        self.calls.push(Call { made: made_by, dtype: expr.dtype(), shape, operands });
        made.push(expr.clone());
        Ok(Operand::Made(made.len() - 1))
    }

    /// Has results given away where Rust takes by value what nothing else needs.
    fn give(&mut self) {
        for n in 0..self.calls.len() {
            let Op::Map(op) = self.calls[n].made else { continue };
            for k in by_value(op)..self.calls[n].operands.len() {
                let Operand::Made(i) = self.calls[n].operands[k] else { continue };
                let mut after =
                    self.calls[n].operands[k + 1..].iter().chain(self.calls[n + 1..].iter().flat_map(|c| &c.operands));
                let before = self.calls[n].operands[..k].iter().any(|o| o.is(i));
                if !before && !after.any(|o| o.is(i)) {
                    self.calls[n].operands[k] = Operand::Last(i);
                }
            }
        }
    }

    /// The expression, built anew of these inputs.
    pub(crate) fn build(&self, inputs: &[Expr]) -> Result<Expr, String> {
        let mut made: Vec<Option<Expr>> = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let result = match (&call.made, call.operands.as_slice()) {
                (Op::Map(op), operands) => match *operands {
                    [a] => {
                        let x = a.given(&mut made);
                        Expr::map_of(*op, [a.or(x, inputs, &made)])
                    }
                    [a, b] => {
                        let (x, y) = (a.given(&mut made), b.given(&mut made));
                        Expr::map_of(*op, [a.or(x, inputs, &made), b.or(y, inputs, &made)])
                    }
                    [a, b, c] => {
                        let (x, y, z) = (a.given(&mut made), b.given(&mut made), c.given(&mut made));
                        Expr::map_of(*op, [a.or(x, inputs, &made), b.or(y, inputs, &made), c.or(z, inputs, &made)])
                    }
                    _ => return Err(format!("{op} has more operands than any")),
                },
                (Op::Const(value), _) => Ok(Expr::full(*value, call.shape.clone())),
                (Op::Iota, _) => Ok(Expr::iota(call.shape.clone())),
                (Op::Cast, [x]) => Ok(x.of(inputs, &made).cast(call.dtype)),
                (Op::View(view), [x]) => x.of(inputs, &made).view(view.as_ref().clone()),
                (Op::Reshape, [x]) => x.of(inputs, &made).reshape(call.shape.clone()),
                (Op::Reduce(op, axes), [x]) => x.of(inputs, &made).reduce(*op, *axes),
                (Op::Scan(op, axis), [x]) => x.of(inputs, &made).scan(*op, i64::from(*axis)),
                (Op::Matmul, [x, y]) => x.of(inputs, &made).matmul(y.of(inputs, &made)),
                (op, _) => return Err(format!("{} is no call", op.name())),
            };
            made.push(Some(result.map_err(|e| e.to_string())?));
        }
        made.pop().flatten().ok_or_else(|| "an empty recipe".to_owned())
    }
}
