//! Expressions: what user calls build, one immutable node a call.
//!
//! Invariants of every node:
//! - dtype and shape are final; promotion, broadcasting and casts are nodes of their own, so operands of a
//!   [`Op::Map`] have its shape and the dtype it computes in, but for constants: those stand as they were given, and
//!   what captures the expression casts and stretches them ([`Expr::operand_dtype`]). A literal costs no more nodes;
//! - a node is either pending, with its operands, or done, with its value and without operands; a constant stays a
//!   constant;
//! - literals are equal if their values are, whichever nodes they are: threads keep some of them;
//! - dropping a chain of nodes of any depth takes constant stack.

use crate::error::{Error, ErrorKind, OperandNote};
use crate::ops::{MapOp, ReduceOp, Rule, ScanOp};
use crate::shape::Axes;
use crate::{DType, Kind, Op, Scalar, Shape, ShapeError, View, Weak};
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::borrow::Cow;
use std::panic::Location;

mod node;

use node::DATA;
pub(crate) use node::here;
pub use node::{Expr, Operand, Operands, Value, built_at};

impl Expr {
    /// The dtype that operand `i` of `operands` has in an [`Op::Map`] of `op`: that of the operands that are no
    /// constants.
    pub(crate) fn operand_dtype(op: MapOp, operands: &[&Expr], i: usize) -> DType {
        let select = op.row().rule == Rule::Select;
        if select && i == 0 {
            return DType::Bool;
        }
        let choices = &operands[usize::from(select)..];
        let strong = choices.iter().find(|e| !e.is_constant());
        strong.unwrap_or(&operands[i]).dtype()
    }

    fn note(&self) -> OperandNote {
        OperandNote {
            shape: self.shape().clone(),
            dtype: self.dtype(),
            op: if *self.op() == DATA { "data" } else { self.op().name() },
            at: self.location(),
        }
    }

    /// An error of `op` about `operands`, at the caller's place.
    #[track_caller]
    pub fn error(kind: impl Into<ErrorKind>, op: &'static str, operands: &[&Expr]) -> Error {
        Expr::error_at(kind, op, operands, here())
    }

    /// The same from within a closure, which does not know who called the function around it.
    pub(crate) fn error_at(
        kind: impl Into<ErrorKind>,
        op: &'static str,
        operands: &[&Expr],
        at: &'static Location<'static>,
    ) -> Error {
        Error::new(kind, op, at).with_operands(operands.iter().map(|e| e.note()))
    }

    /// Converts to `dtype`; the node itself if it has that dtype already.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Expr {
        if self.dtype() == dtype && self.weak().is_none() {
            return self.clone();
        }
        if let Op::Const(value) = self.op() {
            return Expr::full(value.cast(dtype), self.shape().clone());
        }
        Expr::node(Op::Cast, dtype, self.shape().clone(), [self], here())
    }

    /// A view of the node.
    ///
    /// # Errors
    /// A view that reads outside the node.
    #[track_caller]
    pub fn view(&self, view: View) -> Result<Expr, Error> {
        if !view.check(self.shape()) {
            return Err(Expr::error(
                ErrorKind::Argument(format!("view {view} reads outside {}", self.shape())),
                "view",
                &[self],
            ));
        }
        if view.is_identity(self.shape()) {
            return Ok(self.clone());
        }
        if let Op::Const(value) = self.op() {
            return Ok(Expr::full(*value, view.shape().clone()));
        }
        let shape = view.shape().clone();
        Ok(Expr::node(Op::View(Box::new(view)), self.dtype(), shape, [self], here()))
    }

    /// The node stretched to `shape`.
    ///
    /// # Errors
    /// A shape it does not broadcast to.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &Shape) -> Result<Expr, Error> {
        if shape == self.shape() {
            return Ok(self.clone());
        }
        let at = here();
        let view = View::broadcast(self.shape(), shape).map_err(|e| Expr::error_at(e, "broadcast_to", &[self], at))?;
        self.view(view)
    }

    /// The elements in C order in another shape.
    ///
    /// # Errors
    /// A shape with another number of elements.
    #[track_caller]
    pub fn reshape(&self, shape: Shape) -> Result<Expr, Error> {
        if shape.elements() != self.shape().elements() {
            let to = shape.iter().map(|&n| n as i64).collect();
            let kind = ShapeError::Reshape { from: self.shape().clone(), to };
            return Err(Expr::error(kind, "reshape", &[self]));
        }
        if shape == *self.shape() {
            return Ok(self.clone());
        }
        match self.op() {
            Op::Const(value) => Ok(Expr::full(*value, shape)),
            Op::Iota => Ok(Expr::iota(shape)),
            _ => Ok(Expr::node(Op::Reshape, self.dtype(), shape, [self], here())),
        }
    }

    /// An elementwise operation: promotes, casts and broadcasts the operands, then applies `op`.
    ///
    /// # Errors
    /// Shapes that do not broadcast, a dtype `op` has no meaning for, an integer literal out of range, and a wrong
    /// number of operands.
    #[track_caller]
    pub fn map<E: Borrow<Expr>>(op: MapOp, operands: &[E]) -> Result<Expr, Error> {
        match operands {
            [a] => Expr::map_of(op, [a.borrow()]),
            [a, b] => Expr::map_of(op, [a.borrow(), b.borrow()]),
            [a, b, c] => Expr::map_of(op, [a.borrow(), b.borrow(), c.borrow()]),
            _ => Err(Expr::wrong_count(op, &operands.iter().map(E::borrow).collect::<Vec<_>>())),
        }
    }

    /// [`Expr::map`] of operands that may become the new node's: an intermediate result that nobody else needs is moved,
    /// not shared.
    ///
    /// # Errors
    /// As [`Expr::map`].
    #[track_caller]
    pub fn map_of<E: Operand, const N: usize>(op: MapOp, operands: [E; N]) -> Result<Expr, Error> {
        match Expr::mapped(op, &operands.each_ref().map(Operand::look))? {
            Mapped::Node { result, weak, shape, at } => {
                Ok(Expr::weak_node(Op::Map(op), result, weak, shape, operands, at))
            }
            Mapped::Made(made) => Ok(made),
        }
    }

    /// The error of operands that are too few or too many.
    #[track_caller]
    fn wrong_count(op: MapOp, operands: &[&Expr]) -> Error {
        let row = op.row();
        let text = format!("{} takes {} operands, got {}", row.name, row.arity, operands.len());
        Expr::error(ErrorKind::Argument(text), row.name, operands)
    }

    /// What an operation makes of its operands.
    #[track_caller]
    #[inline(always)]
    fn mapped(op: MapOp, operands: &[&Expr]) -> Result<Mapped, Error> {
        let (row, at) = (op.row(), here());
        let fail = |kind: ErrorKind| Expr::error_at(kind, row.name, operands, at);
        if operands.len() != row.arity as usize {
            return Err(Expr::wrong_count(op, operands));
        }
        let choices = if row.rule == Rule::Select { &operands[1..] } else { operands };
        if let Some(e) = Expr::compare_mixed_signs(op, operands)? {
            return Ok(Mapped::Made(e));
        }
        let mut promoted = Expr::promote(choices);
        if row.rule == Rule::Float && operands.iter().all(|e| e.weak().is_none() && !e.dtype().is_float()) {
            // As NumPy looks for a loop: each integer is widened by itself, so int8 and uint8 meet in float16.
            let widened = operands.iter().filter_map(|e| Some(row.rule.apply(e.dtype())?.0));
            promoted = widened.reduce(DType::promote).unwrap_or(promoted);
        }
        // Literals and arrays of one shape are the rule.
        let mut shape = Cow::Borrowed(operands[0].shape());
        for e in operands[1..].iter().filter(|e| e.shape().rank() > 0) {
            if shape.rank() == 0 {
                shape = Cow::Borrowed(e.shape());
            } else if *shape != *e.shape() {
                shape = Cow::Owned(shape.broadcast(e.shape()).map_err(|e| fail(e.into()))?);
            }
        }
        let comparison = row.rule == Rule::Compare;
        for e in choices {
            if let (Op::Const(value), Some(Weak::Int)) = (e.op(), e.weak())
                && promoted.is_integer()
                && !fits(*value, promoted)
            {
                if !comparison {
                    return Err(fail(ErrorKind::Literal { value: value.to_string(), dtype: promoted }));
                }
                // A literal beyond the dtype compares by value: in 64 bits that is exact.
                promoted = if promoted == DType::U64 {
                    promoted.promote(DType::I64)
                } else {
                    DType::I64.promote(value.dtype())
                };
            }
        }
        let Some((compute, result)) = row.rule.apply(promoted) else {
            return Err(fail(ErrorKind::DType { op: row.name, dtype: promoted }));
        };
        // Where all are constants, nothing else says what they are cast to.
        let cast_constants = choices.iter().all(|e| e.is_constant());
        let condition = |i: usize| row.rule == Rule::Select && i == 0;
        let operand_dtype = |i: usize| if condition(i) { DType::Bool } else { compute };
        let as_it_is = |(i, e): (usize, &&Expr)| {
            if e.is_constant() {
                condition(i) || !cast_constants
            } else {
                e.dtype() == operand_dtype(i) && e.weak().is_none() && *e.shape() == *shape
            }
        };
        let weak = operands.iter().all(|e| e.weak().is_some()).then(|| match result.kind() {
            Kind::Bool => Weak::Bool,
            Kind::Float => Weak::Float,
            _ => Weak::Int,
        });
        if operands.iter().enumerate().all(as_it_is) {
            return Ok(Mapped::Node { result, weak, shape: shape.into_owned(), at });
        }
        // Casts and views of them are made at the caller's place, as a closure's would not be.
        let mut fit: SmallVec<[Expr; 3]> = SmallVec::new();
        for (i, &e) in operands.iter().enumerate() {
            fit.push(if as_it_is((i, &e)) { e.clone() } else { e.cast(operand_dtype(i)).broadcast_to(&shape)? });
        }
        let (op, shape, mut fit) = (Op::Map(op), Shape::clone(&shape), fit.into_iter());
        let mut next = || fit.next().expect("as many as the arity says");
        Ok(Mapped::Made(match operands.len() {
            1 => Expr::weak_node(op, result, weak, shape, [next()], at),
            2 => Expr::weak_node(op, result, weak, shape, [next(), next()], at),
            _ => Expr::weak_node(op, result, weak, shape, [next(), next(), next()], at),
        }))
    }

    /// The dtype that operands meet in: arrays promote among themselves, then literals give way.
    pub fn promote(operands: &[&Expr]) -> DType {
        let strong = operands.iter().filter(|e| e.weak().is_none()).map(|e| e.dtype()).reduce(DType::promote);
        match strong {
            Some(d) => operands.iter().filter_map(|e| e.weak()).fold(d, DType::promote_weak),
            None => operands.iter().map(|e| e.dtype()).reduce(DType::promote).unwrap_or(DType::F64),
        }
    }

    /// `int` against `uint64` would meet in `float64` and lose digits; NumPy compares the values, and so do we.
    #[track_caller]
    fn compare_mixed_signs(op: MapOp, operands: &[&Expr]) -> Result<Option<Expr>, Error> {
        let &[a, b] = operands else { return Ok(None) };
        let strong_signed = |e: &Expr| e.dtype().kind() == Kind::Signed && e.weak().is_none();
        let (signed, negative, other) = match op.row().rule {
            Rule::Compare if strong_signed(a) && b.dtype() == DType::U64 => (a, [-1, 0], b),
            Rule::Compare if strong_signed(b) && a.dtype() == DType::U64 => (b, [0, -1], a),
            _ => return Ok(None),
        };
        let unsigned = signed.cast(DType::U64);
        let other = other.cast(DType::U64);
        let sides = if std::ptr::eq(signed, a) { [unsigned, other] } else { [other, unsigned] };
        let number = |x: i64| Scalar::from_i64(DType::I64, x);
        let literals =
            [Expr::full(number(negative[0]), Shape::scalar()), Expr::full(number(negative[1]), Shape::scalar())];
        let below = Expr::map(MapOp::Less, &[signed.clone(), Expr::literal(number(0))])?;
        let when_below = Expr::map(op, &literals)?;
        let when_not = Expr::map(op, &sides)?;
        Expr::map(MapOp::Where, &[below, when_below, when_not]).map(Some)
    }

    /// A reduction along `axes`, which are dropped.
    ///
    /// # Errors
    /// `min`, `max`, `argmin`, `argmax` of no elements.
    #[track_caller]
    pub fn reduce(&self, op: ReduceOp, axes: Axes) -> Result<Expr, Error> {
        let empty = axes.iter().any(|i| i < self.shape().rank() && self.shape()[i] == 0);
        let shape = self.shape().without(axes);
        if op.row().needs_element && empty && shape.elements() > 0 {
            return Err(Expr::error(ErrorKind::EmptyReduction(op.name()), op.name(), &[self]));
        }
        let operand = self.cast(op.operand_dtype(self.dtype()));
        let dtype = op.result_dtype(operand.dtype());
        Ok(Expr::node(Op::Reduce(op, axes), dtype, shape, [operand], here()))
    }

    /// A scan along `axis`.
    ///
    /// # Errors
    /// An axis outside the array.
    #[track_caller]
    pub fn scan(&self, op: ScanOp, axis: i64) -> Result<Expr, Error> {
        let at = here();
        let axis = self.shape().axis(axis).map_err(|e| Expr::error_at(e, op.name(), &[self], at))?;
        let operand = self.cast(op.operand_dtype(self.dtype()));
        let (dtype, shape) = (operand.dtype(), operand.shape().clone());
        Ok(Expr::node(Op::Scan(op, axis as u8), dtype, shape, [operand], here()))
    }

    /// The product of two stacks of matrices; leading axes broadcast.
    ///
    /// # Errors
    /// Fewer than two axes, inner extents that differ, leading axes that do not broadcast.
    #[track_caller]
    pub fn matmul(&self, other: &Expr) -> Result<Expr, Error> {
        let (a, b, at) = (self.shape(), other.shape(), here());
        let bad = || Expr::error_at(ErrorKind::Matmul(a.clone(), b.clone()), "matmul", &[self, other], at);
        if a.rank() < 2 || b.rank() < 2 || a[a.rank() - 1] != b[b.rank() - 2] {
            return Err(bad());
        }
        let (ab, am) = a.split_at(a.rank() - 2);
        let (bb, bm) = b.split_at(b.rank() - 2);
        let shape = |e: &[usize]| Shape::new(e).map_err(|e| Expr::error_at(e, "matmul", &[self, other], at));
        let batch = shape(ab)?.broadcast(&shape(bb)?).map_err(|e| Expr::error_at(e, "matmul", &[self, other], at))?;
        let dtype = Expr::promote(&[self, other]);
        let full = |m: &[usize]| shape(&[&batch, m].concat());
        let left = self.cast(dtype).broadcast_to(&full(am)?)?;
        let right = other.cast(dtype).broadcast_to(&full(bm)?)?;
        let out = full(&[am[0], bm[1]])?;
        Ok(Expr::node(Op::Matmul, dtype, out, [left, right], here()))
    }
}

/// What an elementwise operation makes.
enum Mapped {
    /// A node of the operands as they are.
    Node { result: DType, weak: Option<Weak>, shape: Shape, at: &'static Location<'static> },
    /// Something else.
    Made(Expr),
}

/// Whether an integer scalar is in the range of an integer dtype.
fn fits(value: Scalar, dtype: DType) -> bool {
    let wide = |s: Scalar| if s.dtype().kind() == Kind::Signed { s.as_i64() as i128 } else { s.bits() as i128 };
    wide(value) == wide(value.cast(dtype))
}

impl std::fmt::Debug for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{}", self.note().op, self.dtype().short(), self.shape())
    }
}
