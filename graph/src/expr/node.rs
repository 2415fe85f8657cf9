//! Nodes: what an expression holds, who sees it, and how it goes.

use crate::{DType, Kind, Op, Scalar, Shape, Weak};
use rustc_hash::{FxBuildHasher, FxHasher};
use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{self, Mutex, MutexGuard, PoisonError};
use triomphe::{Arc, UniqueArc};

/// The value of a computed node. The graph only carries it; the engine knows what it is.
pub type Value = sync::Arc<dyn Any + Send + Sync>;

/// A handle to a node; clones are the same node.
#[derive(Clone)]
pub struct Expr(Arc<Node>);

/// Operands of a node. Dereferences to `[Expr]`.
#[derive(Clone, Default)]
pub struct Operands(Few);

/// Operands are held in place if there are no more than operations have.
#[derive(Clone, Default)]
enum Few {
    #[default]
    None,
    One([Expr; 1]),
    Two([Expr; 2]),
    Three([Expr; 3]),
    Many(Box<[Expr]>),
}

/// What an operation is given as an operand: an expression that nobody else needs, which becomes the node's, or a reference
/// to one.
pub trait Operand {
    /// The expression.
    fn look(&self) -> &Expr;
    /// A handle on it.
    fn give(self) -> Expr;
}

impl Operand for Expr {
    #[inline(always)]
    fn look(&self) -> &Expr {
        self
    }

    #[inline(always)]
    fn give(self) -> Expr {
        self
    }
}

impl Operand for &Expr {
    #[inline(always)]
    fn look(&self) -> &Expr {
        self
    }

    #[inline(always)]
    fn give(self) -> Expr {
        self.clone()
    }
}

impl Operand for Cow<'_, Expr> {
    #[inline(always)]
    fn look(&self) -> &Expr {
        self
    }

    #[inline(always)]
    fn give(self) -> Expr {
        self.into_owned()
    }
}

impl Operands {
    /// Operands that are given.
    #[inline(always)]
    fn of<E: Operand, const N: usize>(operands: [E; N]) -> Operands {
        let mut given = operands.into_iter().map(E::give);
        let mut next = || given.next().expect("as many as N says");
        Operands(match N {
            0 => Few::None,
            1 => Few::One([next()]),
            2 => Few::Two([next(), next()]),
            3 => Few::Three([next(), next(), next()]),
            _ => Few::Many(given.collect()),
        })
    }

    /// The operands, by their handles.
    #[inline]
    pub(crate) fn handles(&mut self) -> &mut [Expr] {
        match &mut self.0 {
            Few::None => &mut [],
            Few::One(all) => all,
            Few::Two(all) => all,
            Few::Three(all) => all,
            Few::Many(all) => all,
        }
    }

    /// Moves them to the end of a list.
    fn move_to(self, list: &mut Vec<Expr>) {
        match self.0 {
            Few::None => (),
            Few::One(all) => list.extend(all),
            Few::Two(all) => list.extend(all),
            Few::Three(all) => list.extend(all),
            Few::Many(all) => list.extend(all),
        }
    }
}

impl Deref for Operands {
    type Target = [Expr];

    #[inline]
    fn deref(&self) -> &[Expr] {
        match &self.0 {
            Few::None => &[],
            Few::One(all) => all,
            Few::Two(all) => all,
            Few::Three(all) => all,
            Few::Many(all) => all,
        }
    }
}

impl fmt::Debug for Operands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
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

impl State {
    #[inline]
    fn look<R>(&mut self, f: impl FnOnce(Result<&mut Operands, &Value>) -> R) -> R {
        match self {
            State::Done(value) => f(Err(value)),
            State::Pending(operands) => f(Ok(operands)),
        }
    }
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

impl Node {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state half changed: it is replaced in one move.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if *self.depth.get_mut() <= Expr::SHALLOW {
            return;
        }
        let take = |node: &mut Node| match node.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            State::Pending(operands) => std::mem::take(operands),
            State::Done(_) => Operands::default(),
        };
        let mut stack = Vec::new();
        take(self).move_to(&mut stack);
        while let Some(expr) = stack.pop() {
            // Of threads that let go of a node at the same time, one gets it here: none drops it from within.
            if let Some(node) = Arc::into_unique(expr.0) {
                take(&mut UniqueArc::into_inner(node)).move_to(&mut stack);
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

/// In how many places a thread keeps literals, and how many in each, so that a line that is run again makes no node for
/// those in it.
const PLACES: usize = 32;
const EACH: usize = 4;

thread_local! {
    static KEPT: RefCell<[[Option<Expr>; EACH]; PLACES]> =
        const { RefCell::new([const { [const { None }; EACH] }; PLACES]) };
}

impl Expr {
    /// Chains up to this depth are dropped, and recognised, node by node from within; deeper ones would take the stack.
    pub(crate) const SHALLOW: u32 = 100;

    /// No operands.
    const NONE: [Expr; 0] = [];

    #[inline]
    pub(super) fn node<const N: usize>(
        op: Op,
        dtype: DType,
        shape: Shape,
        operands: [impl Operand; N],
        at: &'static Location<'static>,
    ) -> Expr {
        Expr::weak_node(op, dtype, None, shape, operands, at)
    }

    #[inline]
    pub(super) fn weak_node<const N: usize>(
        op: Op,
        dtype: DType,
        weak: Option<Weak>,
        shape: Shape,
        operands: [impl Operand; N],
        at: &'static Location<'static>,
    ) -> Expr {
        let mut hasher = hasher(dtype, &shape);
        op.hash(&mut hasher);
        let mut depth = 0;
        for operand in operands.each_ref().map(Operand::look) {
            depth = depth.max(operand.depth() + 1);
            hasher.write_u64(operand.fingerprint());
        }
        let mut node = UniqueArc::new(Node {
            op,
            dtype,
            weak,
            depth: AtomicU32::new(depth),
            fingerprint: AtomicU64::new(hasher.finish()),
            shape,
            at,
            state: Mutex::new(State::Pending(Operands::default())),
        });
        // Written where they stay: what is moved as soon as it is written is waited for.
        if let State::Pending(pending) = node.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            *pending = Operands::of(operands);
        }
        Expr(node.shareable())
    }

    /// A leaf that already has its value.
    #[track_caller]
    pub fn data(value: Value, dtype: DType, shape: Shape) -> Expr {
        Expr(Arc::new(Node {
            op: DATA,
            dtype,
            weak: None,
            depth: AtomicU32::new(0),
            fingerprint: AtomicU64::new(hasher(dtype, &shape).finish()),
            shape,
            at: here(),
            state: Mutex::new(State::Done(value)),
        }))
    }

    /// Parameter `index` of a function.
    #[track_caller]
    pub fn parameter(index: u32, dtype: DType, shape: Shape) -> Expr {
        Expr::node(Op::Input(index), dtype, shape, Expr::NONE, here())
    }

    /// `value` at every position of `shape`.
    #[track_caller]
    pub fn full(value: Scalar, shape: Shape) -> Expr {
        Expr::node(Op::Const(value), value.dtype(), shape, Expr::NONE, here())
    }

    /// A literal of the host language: 0-d, and its dtype gives way to that of the arrays it meets.
    #[track_caller]
    pub fn literal(value: Scalar) -> Expr {
        let (op, at) = (Op::Const(value), here());
        let make =
            || Expr::weak_node(op.clone(), value.dtype(), Some(weak(value.dtype())), Shape::SCALAR, Expr::NONE, at);
        let kept = KEPT.try_with(|kept| {
            let hash = FxBuildHasher.hash_one((value.bits(), std::ptr::from_ref(at)));
            let place = &mut kept.borrow_mut()[hash as usize % PLACES];
            let known = place.iter().flatten().find(|known| known.0.op == op && std::ptr::eq(known.0.at, at));
            known.cloned().unwrap_or_else(|| {
                place.rotate_right(1);
                place[0].insert(make()).clone()
            })
        });
        // A thread that is ending keeps nothing any more.
        kept.unwrap_or_else(|_| make())
    }

    /// The `int64` positions in C order of an array of `shape`.
    #[track_caller]
    pub fn iota(shape: Shape) -> Expr {
        Expr::node(Op::Iota, DType::I64, shape, Expr::NONE, here())
    }

    /// The dtype.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The kind of literal this is, if it is one or made of literals alone.
    pub fn weak(&self) -> Option<Weak> {
        self.0.weak
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The operation.
    pub fn op(&self) -> &Op {
        &self.0.op
    }

    /// Whether this is one value at every position, and was made as that.
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self.0.op, Op::Const(_))
    }

    /// Whether this is a literal.
    fn is_literal(&self) -> bool {
        self.0.weak.is_some() && self.is_constant()
    }

    /// Where in the caller's source the node was made.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// The longest way down to a leaf, as it was when the node was made; 0 once it has been computed.
    pub fn depth(&self) -> u32 {
        self.0.depth.load(Ordering::Relaxed)
    }

    /// A hash of the whole structure below: ops, dtypes, shapes, values of constants. Made with the node; that of a
    /// computed node is that of any leaf of its dtype and shape. Equal structures have the same fingerprint, and
    /// different ones as good as never; see [`crate::Pattern`].
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint.load(Ordering::Relaxed)
    }

    /// Whether both are the same node; of literals, whether they are equal.
    pub fn same(&self, other: &Expr) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.is_literal() && other.is_literal() && self.0.op == other.0.op)
    }

    /// An address that is the node's own as long as the node lives; none of a literal, which is equal to others.
    pub(crate) fn address(&self) -> Option<usize> {
        (!self.is_literal()).then(|| self.0.heap_ptr().addr())
    }

    /// The value, if the node has been computed.
    pub fn value(&self) -> Option<Value> {
        match &*self.0.state() {
            State::Done(value) => Some(value.clone()),
            State::Pending(_) => None,
        }
    }

    /// Calls `f` with the operands or the value. It must not look into this node again.
    pub(crate) fn look_into<R>(&self, f: impl FnOnce(Result<&mut Operands, &Value>) -> R) -> R {
        if self.is_constant() {
            // Computed or not: there is nothing to be gained from its value.
            return f(Ok(&mut Operands::default()));
        }
        self.0.state().look(f)
    }

    /// The same; where this is the only handle, nobody has to be kept out meanwhile.
    #[inline]
    pub(crate) fn look_into_own<R>(&mut self, f: impl FnOnce(Result<&mut Operands, &Value>) -> R) -> R {
        if self.is_constant() {
            return f(Ok(&mut Operands::default()));
        }
        match Arc::get_mut(&mut self.0) {
            Some(node) => node.state.get_mut().unwrap_or_else(PoisonError::into_inner).look(f),
            None => self.look_into(f),
        }
    }

    /// The operands (none once the node has been computed, and those of a constant) or the value, which a constant
    /// does not show here.
    pub fn operands_or_value(&self) -> Result<Operands, Value> {
        self.look_into(|state| state.map(|operands| operands.clone()).map_err(Value::clone))
    }

    /// Keeps the computed value and lets go of the operands. A value that is already there stays; a literal keeps none.
    pub fn complete(&self, value: Value) {
        let node = &self.0;
        if self.is_literal() {
            return;
        }
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
