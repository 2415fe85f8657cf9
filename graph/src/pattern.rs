//! What was captured once, to recognise it again without capturing.
//!
//! Expressions carry a [fingerprint](Expr::fingerprint), made with the node from its op, dtype, shape and the
//! fingerprints of its operands. It only says where to look: that expressions are what a [`Pattern`] was made of is
//! established node by node, so that no collision can mistake one computation for another.

use crate::expr::{Expr, Operands, Value};
use crate::{DType, Op, Shape};
use smallvec::SmallVec;
use std::ops::Deref;
use std::sync::Arc;

/// Up to so many leaves are told apart from one another: all pairs are compared.
const TOLD_APART: usize = 8;

/// The structure of captured expressions: ops, dtypes, shapes, edges, leaves, roots. Made by
/// [`Capture::pattern`](crate::Capture::pattern).
pub struct Pattern {
    /// Operands before users.
    pub(crate) nodes: Vec<PatternNode>,
    pub(crate) roots: Vec<u32>,
    pub(crate) leaves: usize,
}

pub(crate) struct PatternNode {
    /// [`Op::Input`] of a leaf that has its value.
    pub op: Op,
    pub dtype: DType,
    pub shape: Shape,
    pub operands: SmallVec<[u32; 3]>,
}

impl Pattern {
    /// Whether `roots` are what the pattern was made of: the same nodes, the same of them computed, each operand where it was.
    /// They may share nodes that were apart then, but not the other way round, and no leaves if there are few. If so,
    /// `leaves` are those of `roots`, and else none.
    pub fn matches(&self, roots: &[Expr], leaves: &mut Leaves) -> bool {
        let Leaves(leaves) = leaves;
        leaves.clear();
        if roots.len() != self.roots.len() {
            return false;
        }
        leaves.resize(self.leaves, None);
        let shallow = roots.iter().all(|root| root.depth() <= Expr::SHALLOW);
        let met = if shallow {
            let mut met = SmallVec::<[usize; 32]>::new();
            met.resize(self.nodes.len(), 0);
            let mut walk = Walk { pattern: self, met: &mut met, leaves };
            roots.iter().zip(&self.roots).try_for_each(|(root, &i)| walk.meet(Handle::Shared(root), i))
        } else {
            self.meet_deep(roots, leaves)
        };
        let same =
            |a: &Option<Value>, b: &Option<Value>| a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        let twice = |(i, value): (usize, &Option<Value>)| leaves[..i].iter().any(|other| same(other, value));
        let all = met.is_some()
            && leaves.iter().all(Option::is_some)
            && (leaves.len() > TOLD_APART || !leaves.iter().enumerate().any(twice));
        if !all {
            leaves.clear();
        }
        all
    }

    /// [`Walk::meet`] without recursion, at the price of a handle on each node.
    fn meet_deep(&self, roots: &[Expr], leaves: &mut [Option<Value>]) -> Option<()> {
        let mut found: Vec<Option<Expr>> = vec![None; self.nodes.len()];
        for (root, &i) in roots.iter().zip(&self.roots) {
            meet(&mut found[i as usize], root)?;
        }
        // Users come after their operands: when a node's turn comes, all that use it have been seen.
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let expr = found[i].take()?;
            node.hold_against(Handle::Shared(&expr), |below| match below {
                Below::Leaf(n, value) => {
                    leaves[n as usize] = Some(value.clone());
                    Some(())
                }
                Below::Operand(j, operand) => meet(&mut found[j as usize], operand),
            })?;
        }
        Some(())
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// The values of leaves, in order.
#[derive(Clone, Default)]
pub struct Leaves(SmallVec<[Option<Value>; 8]>);

impl Leaves {
    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter_map(Option::as_ref)
    }
}

impl FromIterator<Value> for Leaves {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Leaves {
        Leaves(values.into_iter().map(Some).collect())
    }
}

/// What is found below a node, and its number.
enum Below<'e> {
    Leaf(u32, &'e Value),
    Operand(u32, &'e mut Expr),
}

impl PatternNode {
    /// Whether this is what `expr` is, and `below` has nothing against what is below it.
    #[inline]
    fn hold_against(&self, expr: Handle<'_>, mut below: impl FnMut(Below<'_>) -> Option<()>) -> Option<()> {
        if expr.dtype() != self.dtype || expr.shape() != &self.shape {
            return None;
        }
        let same = *expr.op() == self.op;
        expr.look_into(|state| match (state, &self.op) {
            (Err(value), &Op::Input(n)) => below(Below::Leaf(n, value)),
            (Ok(operands), _) if same && operands.len() == self.operands.len() => {
                operands.handles().iter_mut().zip(&self.operands).try_for_each(|(o, &j)| below(Below::Operand(j, o)))
            }
            _ => None,
        })
    }
}

/// An expression that others may hold, or an operand of one that is looked into, of which that may be the only handle.
enum Handle<'e> {
    Shared(&'e Expr),
    Operand(&'e mut Expr),
}

impl Handle<'_> {
    /// [`Expr::look_into`], without a lock where nobody has to be kept out.
    #[inline]
    fn look_into<R>(self, f: impl FnOnce(Result<&mut Operands, &Value>) -> R) -> R {
        match self {
            Handle::Shared(expr) => expr.look_into(f),
            Handle::Operand(expr) => expr.look_into_own(f),
        }
    }
}

impl Deref for Handle<'_> {
    type Target = Expr;

    #[inline]
    fn deref(&self) -> &Expr {
        match self {
            Handle::Shared(expr) => expr,
            Handle::Operand(expr) => expr,
        }
    }
}

/// A walk through expressions along a pattern. Nodes are looked into from within their users, which hold them meanwhile.
/// Afterwards another thread may compute a user, and so let go of a node whose address is known here; but all that is still to
/// be met was there when the walk began, so nothing of it has that address.
struct Walk<'w> {
    pattern: &'w Pattern,
    /// Where in memory each node of the pattern has been met; 0 if not yet.
    met: &'w mut [usize],
    leaves: &'w mut [Option<Value>],
}

impl Walk<'_> {
    /// Whether `expr`, with all below it, is node `i` of the pattern: where that has been met, the same must be met again.
    fn meet(&mut self, expr: Handle<'_>, i: u32) -> Option<()> {
        // A literal is equal to another if its op is.
        if let Some(address) = expr.address() {
            let met = &mut self.met[i as usize];
            if *met != 0 {
                return (*met == address).then_some(());
            }
            *met = address;
        }
        self.pattern.nodes[i as usize].hold_against(expr, |below| match below {
            Below::Leaf(n, value) => {
                self.leaves[n as usize] = Some(value.clone());
                Some(())
            }
            Below::Operand(j, operand) => self.meet(Handle::Operand(operand), j),
        })
    }
}

/// Where one node has been met, the same must be met again.
fn meet(place: &mut Option<Expr>, expr: &Expr) -> Option<()> {
    match place {
        Some(other) => other.same(expr).then_some(()),
        None => {
            *place = Some(expr.clone());
            Some(())
        }
    }
}
