//! Common subexpressions: nodes that do the same to the same operands become one.
//!
//! Nodes are visited operands first, so equal operands already are the same node and no node is compared deeper than
//! its operands. The first in [`Graph::order`] stays, and with it its place in the user's source.

use super::Context;
use crate::Op;
use crate::graph::{Graph, NodeId};
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};

pub(super) const DOC: &str = "Computes once what is written down more than once.";

pub(super) fn run(graph: &mut Graph, context: &mut Context<'_>) {
    // By hash, then compared: keys need not be stored beside the nodes.
    let mut seen: FxHashMap<u64, SmallVec<[NodeId; 1]>> = FxHashMap::default();
    for id in graph.order() {
        let operands = ordered(graph, id);
        let node = graph.node(id);
        let mut hasher = FxHasher::default();
        (&node.op, node.dtype, &node.shape, &operands).hash(&mut hasher);
        let same = seen.entry(hasher.finish()).or_default();
        let found = same.iter().copied().find(|&other| {
            let n = graph.node(other);
            n.op == node.op && n.dtype == node.dtype && n.shape == node.shape && ordered(graph, other) == operands
        });
        match found {
            Some(first) => context.replace(graph, id, first, || "the same operation on the same operands".into()),
            None => same.push(id),
        }
    }
}

/// The operands, in one order for both orders that mean the same.
fn ordered(graph: &Graph, id: NodeId) -> SmallVec<[NodeId; 3]> {
    let mut operands = graph.operands(id);
    if let (Op::Map(op), [a, ..]) = (&graph.node(id).op, operands.as_slice())
        && op.commutes(graph.node(*a).dtype)
    {
        operands.sort_unstable();
    }
    operands
}
