//! Reciprocals: divides what is stretched once, and multiplies with the result. For the precision `Fast` alone.
//!
//! A product with a rounded reciprocal is within 1.5 units in the last place of the quotient, or 4.5 if the reciprocal is
//! subnormal. Infinities, zeros and NaN give what division gives; divisors so small that their reciprocal overflows are
//! subnormal, and count as zeros, which `Fast` allows.

use super::{Context, add_like, constant, is_normal};
use crate::fuse::REPEATED;
use crate::graph::{Graph, NodeId};
use crate::{DType, MapOp, Op};

pub(super) const DOC: &str = "Divides what is stretched once, and multiplies with the result (in `fast`).";

/// The elements from which on what is repeated is computed before, by a kernel of its own ([`crate::fuse`]), and not again for
/// each element.
const STORED: usize = 1024;

pub(super) fn run(graph: &mut Graph, context: &mut Context<'_>) {
    for id in graph.order() {
        let node = graph.node(id);
        if node.op != Op::Map(MapOp::Divide) || !matches!(node.dtype, DType::F32 | DType::F64) {
            continue;
        }
        let (dividend, divisor) = (graph.operands(id)[0], graph.operands(id)[1]);
        if let Some(reciprocal) = inverse(graph, context, divisor) {
            let product = add_like(graph, id, Op::Map(MapOp::Multiply), &[dividend, reciprocal]);
            context.replace(graph, id, product, || "the reciprocal of what is stretched".to_owned());
        }
    }
}

/// The reciprocal of a constant, or of what is stretched.
fn inverse(graph: &mut Graph, context: &Context<'_>, divisor: NodeId) -> Option<NodeId> {
    if let Some(value) = constant(graph, divisor) {
        let inverse = (context.evaluate)(&Op::Map(MapOp::Reciprocal), value.dtype(), value.dtype(), &[value]);
        let normal = is_normal(value) && is_normal(inverse);
        return normal.then(|| add_like(graph, divisor, Op::Const(inverse), &[]));
    }
    let Op::View(view) = &graph.node(divisor).op else { return None };
    let view = view.clone();
    let source = graph.operands(divisor)[0];
    let shape = view.shape();
    // What is the same along the last axis is computed once a row, wherever that happens.
    let of_rows = view.axes().iter().all(|axis| axis.dim.is_none_or(|dim| usize::from(dim) + 1 != shape.rank()));
    let often = graph.node(source).shape.elements().saturating_mul(REPEATED) <= shape.elements();
    if !often || !(of_rows || shape.elements() >= STORED) {
        return None;
    }
    let once = add_like(graph, source, Op::Map(MapOp::Reciprocal), &[source]);
    Some(add_like(graph, divisor, Op::View(view), &[once]))
}
