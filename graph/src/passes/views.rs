//! Views: composes them, turns reshapes into views where strides can say it, and moves the other reshapes to leaves.
//!
//! Kernels fuse through views, which are only another way to address the operand, but a reshape in the middle of an
//! expression cuts it in two. On a leaf it costs nothing if the leaf is contiguous.

use super::{Context, add_like};
use crate::graph::{Graph, Node, NodeId};
use crate::view::{AxisMap, View};
use crate::{Op, Shape};
use smallvec::{SmallVec, smallvec};

pub(super) const DOC: &str = "Composes views, makes views of reshapes, and moves other reshapes up to the leaves.";

pub(super) fn run(graph: &mut Graph, context: &mut Context<'_>) {
    for id in graph.order() {
        match &graph.node(id).op {
            Op::View(view) => {
                let view = view.clone();
                compose(graph, context, id, &view);
            }
            Op::Reshape => reshape(graph, context, id),
            _ => {}
        }
    }
    push(graph, context);
}

/// One spelling for each view: along an axis of extent 1, source axes are read at one position.
fn normal(view: &View) -> View {
    let shape = view.shape();
    let normal = |a: &AxisMap| match a.dim {
        Some(dim) if shape[dim as usize] == 1 => AxisMap::at(a.start),
        _ => *a,
    };
    let axes: SmallVec<[AxisMap; 4]> = view.axes().iter().map(normal).collect();
    View::from_parts(shape.clone(), &axes)
}

/// A view of a view becomes one view of the inner one's source. Other users of the inner one lose nothing: views cost
/// nothing.
fn compose(graph: &mut Graph, context: &mut Context<'_>, id: NodeId, view: &View) {
    let mut source = graph.operands(id)[0];
    let mut composed = normal(view);
    let mut why = "one spelling";
    if let Op::View(inner) = &graph.node(source).op {
        composed = normal(&inner.then(view));
        source = graph.operands(source)[0];
        why = "view of view";
    }
    let new = if composed.is_identity(&graph.node(source).shape) {
        source
    } else if why == "one spelling" && composed == *view {
        return;
    } else {
        add_like(graph, id, Op::View(Box::new(composed)), &[source])
    };
    context.replace(graph, id, new, || why.to_owned());
}

fn reshape(graph: &mut Graph, context: &mut Context<'_>, id: NodeId) {
    let source = graph.operands(id)[0];
    let shape = graph.node(id).shape.clone();
    let found = reshaped(graph, source, &shape).or_else(|| {
        // The source has the same elements in the same order.
        let Op::View(view) = &graph.node(source).op else { return None };
        let inner = graph.operands(source)[0];
        let same = unit_axes(&graph.node(inner).shape, view.shape())? == normal(view);
        same.then(|| (add_like(graph, id, Op::Reshape, &[inner]), "the view only has axes of extent 1 more or less"))
    });
    let Some((new, why)) = found else { return };
    context.replace(graph, id, new, || why.to_owned());
}

/// `source` in C order in another shape without a node that reshapes, where that is possible.
fn reshaped(graph: &mut Graph, source: NodeId, shape: &Shape) -> Option<(NodeId, &'static str)> {
    let node = graph.node(source);
    if node.shape == *shape {
        return Some((source, "it has that shape"));
    }
    let Node { op, dtype, at, .. } = node.clone();
    match op {
        Op::Const(_) => Some((graph.add(op, dtype, shape.clone(), &[], at), "a constant has every shape")),
        Op::Iota => Some((graph.add(op, dtype, shape.clone(), &[], at), "positions count in C order in every shape")),
        // All elements are one element.
        Op::View(view) if splat(&view) => {
            let view = View::from_parts(shape.clone(), view.axes());
            let operands = graph.operands(source);
            Some((graph.add(Op::View(view.into()), dtype, shape.clone(), &operands, at), "every element is the same"))
        }
        _ => {
            let view = unit_axes(&graph.node(source).shape, shape)?;
            let new = graph.add(Op::View(view.into()), dtype, shape.clone(), &[source], at);
            Some((new, "only axes of extent 1 come or go"))
        }
    }
}

/// Whether every element of the view is the same element of its source.
fn splat(view: &View) -> bool {
    view.axes().iter().all(|a| a.dim.is_none())
}

/// The view that reshapes `from` to `to`, if they differ in nothing but axes of extent 1.
fn unit_axes(from: &Shape, to: &Shape) -> Option<View> {
    let wide =
        |s: &Shape| s.iter().enumerate().filter(|&(_, &n)| n != 1).map(|(i, _)| i).collect::<SmallVec<[usize; 4]>>();
    let (a, b) = (wide(from), wide(to));
    if a.len() != b.len() || a.iter().zip(&b).any(|(&i, &j)| from[i] != to[j]) {
        return None;
    }
    let mut axes: SmallVec<[AxisMap; 4]> = smallvec![AxisMap::at(0); from.rank()];
    for (&i, &j) in a.iter().zip(&b) {
        axes[i] = AxisMap::follow(j);
    }
    Some(View::from_parts(to.clone(), &axes))
}

/// Moves reshapes up through elementwise chains, if all leaves of a chain can be reshaped at no cost and nothing else
/// uses what is in between.
///
/// Users are visited first, so that one walk takes a reshape through a chain and through the reshapes in it, and every
/// node is rebuilt at most once.
fn push(graph: &mut Graph, context: &mut Context<'_>) {
    let order = graph.order();
    let uses = graph.uses();
    // Whether a reshape can take the node's place and reach nothing but leaves.
    let mut free = vec![false; graph.bound()];
    for &id in &order {
        let operands = graph.operands(id);
        let all = operands.iter().all(|o| free[o.index()]);
        free[id.index()] = match &graph.node(id).op {
            Op::Input(_) | Op::Const(_) | Op::Iota => true,
            Op::View(view) => splat(view) && operands.iter().all(|&o| graph.operands(o).is_empty()),
            Op::Map(_) | Op::Cast => all && uses[id.index()] == 1,
            // Of a leaf, it is no work that a second user would repeat.
            Op::Reshape => all && (uses[id.index()] == 1 || graph.operands(operands[0]).is_empty()),
            Op::Reduce(..) | Op::Scan(..) | Op::Matmul => false,
        };
    }
    let mut moved = vec![false; graph.bound()];
    for &id in order.iter().rev() {
        if moved[id.index()] || graph.node(id).op != Op::Reshape {
            continue;
        }
        let source = graph.operands(id)[0];
        if free[source.index()] && matches!(graph.node(source).op, Op::Map(_) | Op::Cast) {
            let shape = graph.node(id).shape.clone();
            let new = rebuild(graph, source, &shape, &mut moved);
            context.replace(graph, id, new, || "the reshape moves to the leaves".to_owned());
        }
    }
}

/// The tree under `root` again, in another shape; `moved` marks the nodes that it replaces.
fn rebuild(graph: &mut Graph, root: NodeId, shape: &Shape, moved: &mut [bool]) -> NodeId {
    let mut stack = vec![(root, false)];
    let mut built: Vec<NodeId> = Vec::new();
    while let Some((id, finished)) = stack.pop() {
        let Node { op, dtype, at, .. } = graph.node(id).clone();
        let operands = graph.operands(id);
        match op {
            Op::Map(_) | Op::Cast if finished => {
                let operands = built.split_off(built.len() - operands.len());
                built.push(graph.add(op, dtype, shape.clone(), &operands, at));
            }
            Op::Map(_) | Op::Cast => {
                moved[id.index()] = true;
                stack.push((id, true));
                // Last in, first out: the first operand is built first.
                stack.extend(operands.iter().rev().map(|&o| (o, false)));
            }
            Op::Reshape => {
                moved[id.index()] = true;
                stack.push((operands[0], false));
            }
            Op::Input(_) | Op::Const(_) | Op::Iota | Op::View(_) | Op::Reduce(..) | Op::Scan(..) | Op::Matmul => {
                let leaf = match reshaped(graph, id, shape) {
                    Some((leaf, _)) => leaf,
                    None => graph.add(Op::Reshape, dtype, shape.clone(), &[id], at),
                };
                built.push(leaf);
            }
        }
    }
    built.pop().expect("the root was built last")
}
