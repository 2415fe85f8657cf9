//! Nodes: what an expression holds, who sees it, and how it goes.

use crate::shape::SCALAR;
use crate::{DType, Kind, Op, Scalar, Shape, Weak};
use rustc_hash::FxHasher;
use smallvec::SmallVec;
use std::any::Any;
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
pub(super) const DATA: Op = Op::Input(u32::MAX);

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
    pub(super) fn node(op: Op, dtype: DType, shape: Shape, operands: Operands, at: &'static Location<'static>) -> Expr {
        Expr::weak_node(op, dtype, None, shape, operands, at)
    }

    pub(super) fn weak_node(
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
}

/// The value of a literal's op.
fn literal(op: &Op) -> Scalar {
    match op {
        Op::Const(value) => *value,
        _ => unreachable!("literals are constants"),
    }
}
