//! Constant folding: what only depends on constants is computed now.
//!
//! Constants are one value at every position, so an elementwise operation on constants is one too, and any view or
//! reshape of a constant is that constant in another shape. Values are computed by the evaluator that the engine
//! gives, which is the interpreter: folding cannot change a bit.

use super::{Context, constant};
use crate::graph::{Graph, Node};
use crate::{Op, Scalar};
use smallvec::SmallVec;

pub(super) const DOC: &str = "Computes elementwise operations, casts, views and reshapes of constants.";

pub(super) fn run(graph: &mut Graph, context: &mut Context<'_>) {
    for id in graph.order() {
        let node = graph.node(id);
        if !matches!(node.op, Op::Map(_) | Op::Cast | Op::View(_) | Op::Reshape) {
            continue;
        }
        let operands = graph.operands(id);
        let values: Option<SmallVec<[Scalar; 3]>> = operands.iter().map(|&o| constant(graph, o)).collect();
        let Some(values) = values else { continue };
        // Of `where`, the last operand is a choice and not the condition.
        let Some(last) = values.last() else { continue };
        let value = match node.op {
            Op::Map(_) | Op::Cast => (context.evaluate)(&node.op, last.dtype(), node.dtype, &values),
            _ => *last,
        };
        let Node { op, dtype, shape, at } = node.clone();
        let new = graph.add(Op::Const(value), dtype, shape, &[], at);
        context.replace(graph, id, new, || format!("{} of constants is {value}", op.name()));
    }
}
