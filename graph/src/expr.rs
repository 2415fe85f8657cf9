//! Expressions: what user calls build, one immutable node a call.
//!
//! Invariants of every node:
//! - dtype and shape are final; promotion, broadcasting and casts are nodes of their own, so operands of a
//!   [`Op::Map`] have its shape and the dtype it computes in, but for constants: those stand as they were given, and
//!   what captures the expression casts and stretches them ([`Expr::operand_dtype`]). A literal costs no more nodes;
//! - a node is either pending, with its operands, or done, with its value and without operands; a constant stays a
//!   constant;
//! - a literal is a node that is its handle: none is allocated, and none is counted;
//! - dropping a chain of nodes of any depth takes constant stack.

use crate::error::{Error, ErrorKind, OperandNote};
use crate::ops::{MapOp, ReduceOp, Rule, ScanOp};
use crate::shape::{Axes, SCALAR};
use crate::{DType, Kind, Op, Scalar, Shape, ShapeError, View, Weak};
use rustc_hash::FxHasher;
use smallvec::{SmallVec, smallvec};
use std::any::Any;
use std::borrow::Borrow;
use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{self, Mutex, MutexGuard, PoisonError};
use triomphe::{Arc, UniqueArc};

/// The value of a computed node. The graph only carries it; the engine knows what it is.
pub type Value = sync::Arc<dyn Any + Send + Sync>;

/// Operands of a node.
pub type Operands = SmallVec<[Expr; 3]>;

/// A handle to a node; clones are the same node.
#[derive(Clone)]
pub struct Expr(Repr);

enum Repr {
    Node(Arc<Node>),
    /// A literal of the host language, and where it stands.
    Literal(Op, &'static Location<'static>),
}

impl Clone for Repr {
    #[inline]
    fn clone(&self) -> Repr {
        match self {
            Repr::Node(node) => Repr::Node(node.clone()),
            // The derived clone would ask which of all ops it is.
            Repr::Literal(op, at) => Repr::Literal(Op::Const(literal(op)), at),
        }
    }
}

struct Node {
    op: Op,
    dtype: DType,
    weak: Option<Weak>,
    /// The longest way down to a leaf; 0 once the node has been computed.
    depth: AtomicU32,
    /// See [`Expr::fingerprint`].
    fingerprint: AtomicU64,
    shape: Shape,
    at: &'static Location<'static>,
    state: Mutex<State>,
}

enum State {
    Pending(Operands),
    Done(Value),
}

thread_local! {
    static AT: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Runs `f`, in which every node is built, and every error raised, at `at`: for layers above, whose own lines are not
/// the user's. The outermost call decides.
pub fn built_at<R>(at: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<&'static Location<'static>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            AT.set(self.0);
        }
    }
    let outer = AT.get();
    let _restore = Restore(outer);
    AT.set(Some(outer.unwrap_or(at)));
    f()
}

/// The place that a node is built at: that of [`built_at`], or the caller's.
#[track_caller]
pub(crate) fn here() -> &'static Location<'static> {
    AT.get().unwrap_or(Location::caller())
}

/// The marker of a data leaf's op, which has no number before it is captured.
const DATA: Op = Op::Input(u32::MAX);

/// A hasher that has been given a node's dtype and shape: all there is to know of a leaf.
fn hasher(dtype: DType, shape: &Shape) -> FxHasher {
    let mut hasher = FxHasher::default();
    hasher.write_u64((dtype as u64) << 8 | shape.rank() as u64);
    shape.iter().for_each(|&n| hasher.write_usize(n));
    hasher
}

/// Chains up to this depth are dropped node by node from within; deeper ones would take the stack.
const SHALLOW: u32 = 100;

impl Node {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state half changed: it is replaced in one move.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if *self.depth.get_mut() <= SHALLOW {
            return;
        }
        let take = |node: &mut Node| match node.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            State::Pending(operands) => std::mem::take(operands),
            State::Done(_) => Operands::new(),
        };
        let mut stack = take(self);
        while let Some(expr) = stack.pop() {
            // Of threads that let go of a node at the same time, one gets it here: none drops it from within.
            if let Repr::Node(node) = expr.0
                && let Some(node) = Arc::into_unique(node)
            {
                stack.append(&mut take(&mut UniqueArc::into_inner(node)));
            }
        }
    }
}

/// The kind of a literal of this dtype.
fn weak(dtype: DType) -> Weak {
    match dtype.kind() {
        Kind::Bool => Weak::Bool,
        Kind::Signed | Kind::Unsigned => Weak::Int,
        Kind::Float => Weak::Float,
    }
}

impl Expr {
    #[inline]
    fn node(op: Op, dtype: DType, shape: Shape, operands: Operands, at: &'static Location<'static>) -> Expr {
        Expr::weak_node(op, dtype, None, shape, operands, at)
    }

    fn weak_node(
        op: Op,
        dtype: DType,
        weak: Option<Weak>,
        shape: Shape,
        operands: Operands,
        at: &'static Location<'static>,
    ) -> Expr {
        let mut hasher = hasher(dtype, &shape);
        op.hash(&mut hasher);
        let mut depth = 0;
        for operand in &operands {
            depth = depth.max(operand.depth() + 1);
            hasher.write_u64(operand.fingerprint());
        }
        Expr(Repr::Node(Arc::new(Node {
            op,
            dtype,
            weak,
            depth: AtomicU32::new(depth),
            fingerprint: AtomicU64::new(hasher.finish()),
            shape,
            at,
            state: Mutex::new(State::Pending(operands)),
        })))
    }

    /// A leaf that already has its value.
    #[track_caller]
    pub fn data(value: Value, dtype: DType, shape: Shape) -> Expr {
        Expr(Repr::Node(Arc::new(Node {
            op: DATA,
            dtype,
            weak: None,
            depth: AtomicU32::new(0),
            fingerprint: AtomicU64::new(hasher(dtype, &shape).finish()),
            shape,
            at: here(),
            state: Mutex::new(State::Done(value)),
        })))
    }

    /// Parameter `index` of a function.
    #[track_caller]
    pub fn parameter(index: u32, dtype: DType, shape: Shape) -> Expr {
        Expr::node(Op::Input(index), dtype, shape, Operands::new(), here())
    }

    /// `value` at every position of `shape`.
    #[track_caller]
    pub fn full(value: Scalar, shape: Shape) -> Expr {
        Expr::node(Op::Const(value), value.dtype(), shape, Operands::new(), here())
    }

    /// A literal of the host language: 0-d, and its dtype gives way to that of the arrays it meets.
    #[track_caller]
    pub fn literal(value: Scalar) -> Expr {
        Expr(Repr::Literal(Op::Const(value), here()))
    }

    /// The `int64` positions in C order of an array of `shape`.
    #[track_caller]
    pub fn iota(shape: Shape) -> Expr {
        Expr::node(Op::Iota, DType::I64, shape, Operands::new(), here())
    }

    /// The dtype.
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Repr::Node(node) => node.dtype,
            Repr::Literal(op, _) => literal(op).dtype(),
        }
    }

    /// The kind of literal this is, if it is one or made of literals alone.
    pub fn weak(&self) -> Option<Weak> {
        match &self.0 {
            Repr::Node(node) => node.weak,
            Repr::Literal(op, _) => Some(weak(literal(op).dtype())),
        }
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        match &self.0 {
            Repr::Node(node) => &node.shape,
            Repr::Literal(..) => &SCALAR,
        }
    }

    /// The operation.
    pub fn op(&self) -> &Op {
        match &self.0 {
            Repr::Node(node) => &node.op,
            Repr::Literal(op, _) => op,
        }
    }

    /// Whether this is one value at every position, and was made as that.
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self.op(), Op::Const(_))
    }

    /// Where in the caller's source the node was made.
    pub fn location(&self) -> &'static Location<'static> {
        match &self.0 {
            Repr::Node(node) => node.at,
            Repr::Literal(_, at) => at,
        }
    }

    /// The longest way down to a leaf, as it was when the node was made; 0 once it has been computed.
    pub fn depth(&self) -> u32 {
        match &self.0 {
            Repr::Node(node) => node.depth.load(Ordering::Relaxed),
            Repr::Literal(..) => 0,
        }
    }

    /// A hash of the whole structure below: ops, dtypes, shapes, values of constants. Made with the node; that of a
    /// computed node is that of any leaf of its dtype and shape. Equal structures have the same fingerprint, and
    /// different ones as good as never; see [`crate::Pattern`].
    pub fn fingerprint(&self) -> u64 {
        match &self.0 {
            Repr::Node(node) => node.fingerprint.load(Ordering::Relaxed),
            Repr::Literal(op, _) => {
                let mut hasher = hasher(literal(op).dtype(), &SCALAR);
                op.hash(&mut hasher);
                hasher.finish()
            }
        }
    }

    /// Whether both are the same node; of literals, whether they are equal.
    pub fn same(&self, other: &Expr) -> bool {
        match (&self.0, &other.0) {
            (Repr::Node(a), Repr::Node(b)) => Arc::ptr_eq(a, b),
            (Repr::Literal(a, _), Repr::Literal(b, _)) => a == b,
            _ => false,
        }
    }

    /// An address that is the node's own as long as the node lives; none of a literal, which has no node.
    pub(crate) fn address(&self) -> Option<usize> {
        match &self.0 {
            Repr::Node(node) => Some(node.heap_ptr().addr()),
            Repr::Literal(..) => None,
        }
    }

    /// The value, if the node has been computed.
    pub fn value(&self) -> Option<Value> {
        match &self.0 {
            Repr::Node(node) => match &*node.state() {
                State::Done(value) => Some(value.clone()),
                State::Pending(_) => None,
            },
            Repr::Literal(..) => None,
        }
    }

    /// Calls `f` with the operands or the value. It must not look into this node again.
    pub(crate) fn with_operands_or_value<R>(&self, f: impl FnOnce(Result<&[Expr], &Value>) -> R) -> R {
        match &self.0 {
            Repr::Node(node) if !self.is_constant() => match &*node.state() {
                State::Done(value) => f(Err(value)),
                State::Pending(operands) => f(Ok(operands)),
            },
            // Computed or not: there is nothing to be gained from its value.
            _ => f(Ok(&[])),
        }
    }

    /// The operands (none once the node has been computed, and those of a constant) or the value, which a constant
    /// does not show here.
    pub fn operands_or_value(&self) -> Result<Operands, Value> {
        self.with_operands_or_value(|state| state.map(Operands::from).map_err(Value::clone))
    }

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

    /// Keeps the computed value and lets go of the operands. A value that is already there stays; a literal keeps none.
    pub fn complete(&self, value: Value) {
        let Repr::Node(node) = &self.0 else { return };
        let operands = {
            let mut state = node.state();
            match &mut *state {
                State::Done(_) => return,
                State::Pending(operands) => {
                    let operands = std::mem::take(operands);
                    *state = State::Done(value);
                    if !self.is_constant() {
                        node.depth.store(0, Ordering::Relaxed);
                        node.fingerprint.store(hasher(node.dtype, &node.shape).finish(), Ordering::Relaxed);
                    }
                    operands
                }
            }
        };
        // Outside the lock: this may drop a whole graph.
        drop(operands);
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
        Expr::node(Op::Cast, dtype, self.shape().clone(), smallvec![self.clone()], here())
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
        Ok(Expr::node(Op::View(Box::new(view)), self.dtype(), shape, smallvec![self.clone()], here()))
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
            _ => Ok(Expr::node(Op::Reshape, self.dtype(), shape, smallvec![self.clone()], here())),
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
            [a] => Expr::map_of(op, &[a.borrow()]),
            [a, b] => Expr::map_of(op, &[a.borrow(), b.borrow()]),
            [a, b, c] => Expr::map_of(op, &[a.borrow(), b.borrow(), c.borrow()]),
            _ => Expr::map_of(op, &operands.iter().map(E::borrow).collect::<Vec<_>>()),
        }
    }

    #[track_caller]
    fn map_of(op: MapOp, operands: &[&Expr]) -> Result<Expr, Error> {
        let (row, at) = (op.row(), here());
        let fail = |kind: ErrorKind| Expr::error_at(kind, row.name, operands, at);
        if operands.len() != row.arity as usize {
            let text = format!("{} takes {} operands, got {}", row.name, row.arity, operands.len());
            return Err(fail(ErrorKind::Argument(text)));
        }
        let choices = if row.rule == Rule::Select { &operands[1..] } else { operands };
        if let Some(e) = Expr::compare_mixed_signs(op, operands)? {
            return Ok(e);
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
        let mut nodes = Operands::new();
        for (i, &e) in operands.iter().enumerate() {
            let condition = row.rule == Rule::Select && i == 0;
            let dtype = if condition { DType::Bool } else { compute };
            let as_it_is = if e.is_constant() {
                condition || !cast_constants
            } else {
                e.dtype() == dtype && e.weak().is_none() && *e.shape() == *shape
            };
            nodes.push(if as_it_is { e.clone() } else { e.cast(dtype).broadcast_to(&shape)? });
        }
        let weak = operands.iter().all(|e| e.weak().is_some()).then(|| match result.kind() {
            Kind::Bool => Weak::Bool,
            Kind::Float => Weak::Float,
            _ => Weak::Int,
        });
        Ok(Expr::weak_node(Op::Map(op), result, weak, shape.into_owned(), nodes, at))
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
        Ok(Expr::node(Op::Reduce(op, axes), dtype, shape, smallvec![operand], here()))
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
        Ok(Expr::node(Op::Scan(op, axis as u8), dtype, shape, smallvec![operand], here()))
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
        Ok(Expr::node(Op::Matmul, dtype, out, smallvec![left, right], here()))
    }
}

/// The value of a literal's op.
fn literal(op: &Op) -> Scalar {
    match op {
        Op::Const(value) => *value,
        _ => unreachable!("literals are constants"),
    }
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
