//! What was captured once, to recognise it again without capturing.
//!
//! Expressions carry a [fingerprint](Expr::fingerprint), made with the node from its op, dtype, shape and the
//! fingerprints of its operands. It only says where to look: that expressions are what a [`Pattern`] was made of is
//! established node by node, so that no collision can mistake one computation for another.

use crate::expr::{Expr, Value};
use crate::{DType, Op, Shape};
use smallvec::SmallVec;
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
    /// The values of the leaves, in order, if `roots` are what the pattern was made of: the same nodes, the same of them
    /// computed, each operand where it was. They may share nodes that were apart then, but not the other way round,
    /// and no leaves if there are few.
    pub fn leaves(&self, roots: &[Expr]) -> Option<SmallVec<[Value; 8]>> {
        if roots.len() != self.roots.len() {
            return None;
        }
        let mut found: SmallVec<[Option<Expr>; 16]> = self.nodes.iter().map(|_| None).collect();
        let mut leaves: SmallVec<[Option<Value>; 8]> = (0..self.leaves).map(|_| None).collect();
        for (root, &i) in roots.iter().zip(&self.roots) {
            meet(&mut found[i as usize], root)?;
        }
        // Users come after their operands: when a node's turn comes, all that use it have been seen.
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let expr = found[i].take()?;
            if expr.dtype() != node.dtype || expr.shape() != &node.shape {
                return None;
            }
            expr.with_operands_or_value(|state| match (state, &node.op) {
                (Err(value), Op::Input(n)) => {
                    leaves[*n as usize] = Some(value.clone());
                    Some(())
                }
                (Ok(operands), op) if expr.op() == op && operands.len() == node.operands.len() => {
                    operands.iter().zip(&node.operands).try_for_each(|(o, &j)| meet(&mut found[j as usize], o))
                }
                _ => None,
            })?;
        }
        let leaves: SmallVec<[Value; 8]> = leaves.into_iter().collect::<Option<_>>()?;
        let twice = |(i, value): (usize, &Value)| leaves[..i].iter().any(|other| Arc::ptr_eq(other, value));
        (leaves.len() > TOLD_APART || !leaves.iter().enumerate().any(twice)).then_some(leaves)
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
