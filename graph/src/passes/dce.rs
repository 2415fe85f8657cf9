//! Dead code: removes the nodes that no output needs.

use super::Context;
use crate::graph::Graph;

pub(super) const DOC: &str = "Removes the nodes that no output needs.";

pub(super) fn run(graph: &mut Graph, context: &mut Context<'_>) {
    let mut keep = vec![false; graph.bound()];
    let order = graph.order();
    for id in &order {
        keep[id.index()] = true;
    }
    let dead = graph.len() - order.len();
    if dead == 0 {
        return;
    }
    context.rewrites += dead;
    if context.explain {
        let gone = graph.ids().filter(|id| !keep[id.index()]);
        context.changes.extend(gone.map(|id| format!("{id} is gone: no output needs it")));
    }
    graph.retain(&keep);
}
