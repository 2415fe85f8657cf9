//! The graph: a petgraph DAG of typed nodes, captured from expressions, rewritten by passes.
//!
//! Invariants (checked by [`crate::verify`]):
//! - acyclic; every node has exactly as many operands as its op takes, in positions 0, 1, …;
//! - operands of a [`Op::Map`] have the node's shape and the dtype its rule computes in;
//! - dtype and shape of every node follow from its op and operands.

use crate::expr::{Expr, Operands, Value};
use crate::pattern::{Pattern, PatternNode};
use crate::{DType, Op, Shape};
use petgraph::Direction;
use petgraph::stable_graph::{EdgeIndex, NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::panic::Location;

/// The name of a node in one graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(NodeIndex);

impl NodeId {
    /// The number of the node; dense at capture, with gaps after passes.
    pub fn index(self) -> usize {
        self.0.index()
    }
}

/// `%7`, as in the text form.
impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}", self.index())
    }
}

/// A node: what it does and what comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// The dtype of the result.
    pub dtype: DType,
    /// The shape of the result.
    pub shape: Shape,
    /// Where in the user's source it was built, if it was.
    pub at: Option<&'static Location<'static>>,
}

/// A computation: nodes, their operands as edges, and the nodes whose values are wanted.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// An edge runs from operand to user and carries the operand's position.
    dag: StableDiGraph<Node, u8>,
    outputs: Vec<NodeId>,
    /// For each output, where among the outputs it stands: replacing a node must not search them all.
    places: FxHashMap<NodeId, SmallVec<[u32; 1]>>,
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Adds a node. The caller answers for dtype and shape; the verifier checks them.
    pub fn add(
        &mut self,
        op: Op,
        dtype: DType,
        shape: Shape,
        operands: &[NodeId],
        at: Option<&'static Location<'static>>,
    ) -> NodeId {
        let id = self.dag.add_node(Node { op, dtype, shape, at });
        for (position, operand) in operands.iter().enumerate() {
            self.dag.add_edge(operand.0, id, position as u8);
        }
        NodeId(id)
    }

    /// The node `id`.
    ///
    /// # Panics
    /// If the node was removed; ids come from this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id.0]
    }

    /// Whether `id` still names a node.
    pub fn contains(&self, id: NodeId) -> bool {
        self.dag.contains_node(id.0)
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// Whether the graph has no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the largest [`NodeId::index`]: the size of a side table.
    pub fn bound(&self) -> usize {
        use petgraph::visit::NodeIndexable;
        self.dag.node_bound()
    }

    /// Every node, by number.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        self.dag.node_indices().map(NodeId)
    }

    /// The operands of `id`, by position.
    pub fn operands(&self, id: NodeId) -> SmallVec<[NodeId; 3]> {
        let mut edges: SmallVec<[(u8, NodeId); 3]> =
            self.dag.edges_directed(id.0, Direction::Incoming).map(|e| (*e.weight(), NodeId(e.source()))).collect();
        edges.sort_unstable_by_key(|e| e.0);
        edges.into_iter().map(|e| e.1).collect()
    }

    /// The positions at which `id` has operands, ascending.
    pub(crate) fn positions(&self, id: NodeId) -> SmallVec<[u8; 3]> {
        let mut positions: SmallVec<[u8; 3]> =
            self.dag.edges_directed(id.0, Direction::Incoming).map(|e| *e.weight()).collect();
        positions.sort_unstable();
        positions
    }

    /// The users of `id`, one entry for each operand position that reads it.
    pub fn users(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.edges_directed(id.0, Direction::Outgoing).map(|e| NodeId(e.target()))
    }

    /// The nodes whose values are wanted, in order.
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// Sets the nodes whose values are wanted.
    pub fn set_outputs(&mut self, outputs: Vec<NodeId>) {
        self.places.clear();
        for (place, &o) in outputs.iter().enumerate() {
            self.places.entry(o).or_default().push(place as u32);
        }
        self.outputs = outputs;
    }

    /// Lets every user of `old`, and the outputs, use `new`.
    pub fn replace(&mut self, old: NodeId, new: NodeId) {
        if old == new {
            return;
        }
        let edges: SmallVec<[(EdgeIndex, NodeIndex, u8); 4]> = self
            .dag
            .edges_directed(old.0, Direction::Outgoing)
            .filter(|e| e.target() != new.0)
            .map(|e| (e.id(), e.target(), *e.weight()))
            .collect();
        for (edge, user, position) in edges {
            self.dag.remove_edge(edge);
            self.dag.add_edge(new.0, user, position);
        }
        if let Some(places) = self.places.remove(&old) {
            places.iter().for_each(|&place| self.outputs[place as usize] = new);
            self.places.entry(new).or_default().extend(places);
        }
    }

    /// Removes a node and its edges. The caller makes sure that nothing uses it.
    pub fn remove(&mut self, id: NodeId) {
        self.dag.remove_node(id.0);
    }

    /// Removes every node for whose [`NodeId::index`] `keep` is false, in time linear in the size of the graph.
    ///
    /// The others keep their ids. The caller makes sure that no node that stays uses one that goes.
    pub fn retain(&mut self, keep: &[bool]) {
        // Removing node by node would walk the list of users of a shared operand again and again.
        let dag = std::mem::take(&mut self.dag);
        self.dag = dag.filter_map_owned(
            |id, node| keep.get(id.index()).copied().unwrap_or(false).then_some(node),
            |_, e| Some(e),
        );
    }

    /// For each [`NodeId::index`], how often the node is read: operand positions, and places among the outputs.
    pub fn uses(&self) -> Vec<u32> {
        let mut uses = vec![0; self.bound()];
        let read = self.dag.edge_indices().filter_map(|e| self.dag.edge_endpoints(e)).map(|(from, _)| NodeId(from));
        for id in read.chain(self.outputs.iter().copied().filter(|&o| self.contains(o))) {
            uses[id.index()] += 1;
        }
        uses
    }

    /// The same computation with the nodes the outputs need, numbered densely in [`Graph::order`].
    ///
    /// The graph must be valid ([`crate::verify`]).
    #[must_use]
    pub fn compact(&self) -> Graph {
        let mut graph = Graph::new();
        let mut ids = vec![NodeId(NodeIndex::end()); self.bound()];
        for id in self.order() {
            let Node { op, dtype, shape, at } = self.node(id).clone();
            let operands: SmallVec<[NodeId; 3]> = self.operands(id).iter().map(|o| ids[o.index()]).collect();
            ids[id.index()] = graph.add(op, dtype, shape, &operands, at);
        }
        graph.set_outputs(self.outputs.iter().map(|o| ids[o.index()]).collect());
        graph
    }

    /// The nodes the outputs need, operands before users; depth first from the first output.
    pub fn order(&self) -> Vec<NodeId> {
        self.order_from(self.outputs.iter().copied())
    }

    /// Every node, operands before users: by number where the numbers are in such an order, else the nodes the
    /// outputs need first. In a graph with cycles, every node once.
    pub fn order_all(&self) -> Vec<NodeId> {
        if self.dag.edge_indices().filter_map(|e| self.dag.edge_endpoints(e)).all(|(from, to)| from < to) {
            return self.ids().collect();
        }
        self.order_from(self.outputs.iter().copied().chain(self.ids()))
    }

    fn order_from(&self, roots: impl DoubleEndedIterator<Item = NodeId>) -> Vec<NodeId> {
        let mut seen = vec![false; self.bound()];
        let mut order = Vec::with_capacity(self.len());
        let mut stack: Vec<(NodeId, bool)> =
            roots.rev().filter(|&root| self.contains(root)).map(|root| (root, false)).collect();
        while let Some((id, finished)) = stack.pop() {
            if finished {
                order.push(id);
            } else if !std::mem::replace(&mut seen[id.index()], true) {
                stack.push((id, true));
                stack.extend(self.operands(id).into_iter().rev().filter(|o| !seen[o.index()]).map(|o| (o, false)));
            }
        }
        order
    }

    /// Whether there is a cycle (there never is, if no pass has a bug).
    pub fn is_cyclic(&self) -> bool {
        petgraph::algo::toposort(&self.dag, None).is_err()
    }
}

/// The expressions reachable from some roots, numbered: what a graph is made from, and a pattern to recognise it by.
///
/// Parameters keep their numbers; the leaves with data are numbered from `parameters` on.
pub struct Capture {
    nodes: Vec<(Expr, SmallVec<[u32; 3]>)>,
    roots: Vec<u32>,
    leaves: Vec<Value>,
    stray: Option<&'static Location<'static>>,
}

impl Capture {
    /// Walks everything reachable from `roots` once, in time linear in its size and with constant stack.
    ///
    /// A parameter ([`Expr::parameter`]) that is not among `own`, in the place its number says, has no value here: see
    /// [`Capture::stray_parameter`].
    pub fn new(roots: &[Expr], own: &[Expr]) -> Capture {
        let mut seen: FxHashMap<usize, u32> = FxHashMap::default();
        let parameters = own.len() as u32;
        let mut capture = Capture { nodes: Vec::new(), roots: Vec::new(), leaves: Vec::new(), stray: None };
        let mut stack: Vec<(Expr, Option<Operands>)> = Vec::new();
        for root in roots {
            stack.push((root.clone(), None));
            while let Some((expr, operands)) = stack.pop() {
                let Some(address) = expr.address().filter(|a| !seen.contains_key(a)) else { continue };
                match operands {
                    Some(operands) => {
                        let operands = operands.iter().map(|o| capture.number(o, &seen)).collect();
                        seen.insert(address, capture.nodes.len() as u32);
                        capture.nodes.push((expr, operands));
                    }
                    None => match expr.operands_or_value() {
                        Err(value) => {
                            let leaf = parameters + capture.leaves.len() as u32;
                            capture.leaves.push(value);
                            seen.insert(address, capture.nodes.len() as u32);
                            capture.nodes.push((expr, SmallVec::from_slice(&[u32::MAX - leaf])));
                        }
                        Ok(operands) => {
                            if let Op::Input(n) = expr.op()
                                && !own.get(*n as usize).is_some_and(|p| p.same(&expr))
                            {
                                capture.stray = Some(expr.location());
                            }
                            let is_new = |o: &&Expr| o.address().is_some_and(|a| !seen.contains_key(&a));
                            let pending = operands.iter().rev().filter(is_new);
                            let pending: SmallVec<[Expr; 3]> = pending.cloned().collect();
                            stack.push((expr, Some(operands)));
                            stack.extend(pending.into_iter().map(|o| (o, None)));
                        }
                    },
                }
            }
            let root = capture.number(root, &seen);
            capture.roots.push(root);
        }
        capture
    }

    /// The number of an expression that has been walked, or of a literal, which gets one wherever it stands.
    fn number(&mut self, expr: &Expr, seen: &FxHashMap<usize, u32>) -> u32 {
        if let Some(address) = expr.address() {
            return seen[&address];
        }
        self.nodes.push((expr.clone(), SmallVec::new()));
        self.nodes.len() as u32 - 1
    }

    /// Where a parameter was made that was reached though it is not one of this capture's: it has no value, and neither
    /// pattern nor graph mean anything.
    pub fn stray_parameter(&self) -> Option<&'static Location<'static>> {
        self.stray
    }

    /// The values of the leaves, in order of their numbers.
    pub fn leaves(&self) -> &[Value] {
        &self.leaves
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing was captured.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn leaf(&self, operands: &[u32]) -> Option<u32> {
        match operands {
            [x] if *x as usize >= self.nodes.len() => Some(u32::MAX - x),
            _ => None,
        }
    }

    /// The structure, to recognise expressions by. Leaves count from 0: there must be no parameters.
    pub fn pattern(&self) -> Pattern {
        let node = |(expr, operands): &(Expr, SmallVec<[u32; 3]>)| {
            let (op, operands) = match self.leaf(operands) {
                Some(leaf) => (Op::Input(leaf), SmallVec::new()),
                None => (expr.op().clone(), operands.clone()),
            };
            PatternNode { op, dtype: expr.dtype(), shape: expr.shape().clone(), operands }
        };
        Pattern { nodes: self.nodes.iter().map(node).collect(), roots: self.roots.clone(), leaves: self.leaves.len() }
    }

    /// The graph. Each use of a constant has a node of its own, cast and stretched to what the user computes in.
    pub fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        let mut ids: Vec<Option<NodeId>> = Vec::with_capacity(self.nodes.len());
        let expr = |i: u32| &self.nodes[i as usize].0;
        let find = |graph: &mut Graph, ids: &[Option<NodeId>], i: u32, dtype: DType, shape: &Shape| match expr(i).op() {
            Op::Const(value) => {
                graph.add(Op::Const(value.cast(dtype)), dtype, shape.clone(), &[], Some(expr(i).location()))
            }
            _ => ids[i as usize].expect("operands are captured before their users"),
        };
        for (user, operands) in &self.nodes {
            if user.is_constant() {
                ids.push(None);
                continue;
            }
            let mut found: SmallVec<[NodeId; 3]> = SmallVec::new();
            let op = if let Some(leaf) = self.leaf(operands) {
                Op::Input(leaf)
            } else {
                let exprs: SmallVec<[&Expr; 3]> = operands.iter().map(|&o| expr(o)).collect();
                for (i, &o) in operands.iter().enumerate() {
                    let (dtype, shape) = match user.op() {
                        Op::Map(op) => (Expr::operand_dtype(*op, &exprs, i), user.shape()),
                        _ => (exprs[i].dtype(), exprs[i].shape()),
                    };
                    found.push(find(&mut graph, &ids, o, dtype, shape));
                }
                user.op().clone()
            };
            ids.push(Some(graph.add(op, user.dtype(), user.shape().clone(), &found, Some(user.location()))));
        }
        let outputs = self.roots.iter().map(|&r| find(&mut graph, &ids, r, expr(r).dtype(), expr(r).shape())).collect();
        graph.set_outputs(outputs);
        graph
    }
}
