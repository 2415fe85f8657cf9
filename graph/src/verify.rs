//! The verifier: derives dtype and shape of every node again, from its op and operands.
//!
//! It collects every violation rather than stop at the first, and prints them inside the graph's text, below the
//! nodes they are about, as comments: what it prints still parses.

use crate::graph::{Graph, Node, NodeId};
use crate::ops::Rule;
use crate::{DType, MapOp, Op, Shape};
use rustc_hash::FxHashMap;
use std::fmt;

/// One violation of the graph's invariants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The node at fault; of a fault of the graph as a whole, none.
    pub node: Option<NodeId>,
    /// The name of its op, or `graph`.
    pub op: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(id) => write!(f, "{id} {}: {}", self.op, self.message),
            None => write!(f, "{}: {}", self.op, self.message),
        }
    }
}

/// Everything that is wrong with a graph. Always a bug of whoever made it, never of the user.
#[derive(Clone, Debug)]
pub struct VerifyErrors(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    pass: Option<&'static str>,
    errors: Vec<VerifyError>,
    graph: Graph,
}

impl VerifyErrors {
    pub(crate) fn new(graph: &Graph, errors: Vec<VerifyError>) -> VerifyErrors {
        VerifyErrors(Box::new(Inner { pass: None, errors, graph: graph.clone() }))
    }

    /// The same errors, blamed on a pass.
    #[must_use]
    pub(crate) fn after(mut self, pass: &'static str) -> VerifyErrors {
        self.0.pass = Some(pass);
        self
    }

    /// The pass after which the graph was wrong; none if it came wrong.
    pub fn pass(&self) -> Option<&'static str> {
        self.0.pass
    }

    /// The violations, in the order of the nodes.
    pub fn errors(&self) -> &[VerifyError] {
        &self.0.errors
    }
}

/// A headline, then the graph's text with each error below its node.
impl fmt::Display for VerifyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { pass, errors, graph } = &*self.0;
        let (n, s) = (errors.len(), if errors.len() == 1 { "" } else { "s" });
        match pass {
            Some(pass) => writeln!(f, "; {n} error{s} in the graph after pass {pass}")?,
            None => writeln!(f, "; {n} error{s} in the graph")?,
        }
        for e in errors.iter().filter(|e| e.node.is_none()) {
            writeln!(f, "; error: {}", e.message)?;
        }
        let mut of_node: FxHashMap<NodeId, Vec<&VerifyError>> = FxHashMap::default();
        for e in errors {
            if let Some(id) = e.node {
                of_node.entry(id).or_default().push(e);
            }
        }
        graph.print(f, |f, id| {
            for e in of_node.get(&id).into_iter().flatten() {
                writeln!(f, "  ; ^ error: {}", e.message)?;
            }
            Ok(())
        })
    }
}

impl std::error::Error for VerifyErrors {}

/// Checks every invariant of the graph; see the [module](self).
///
/// # Errors
/// All violations, each with its node.
///
/// ```
/// use lazuli_graph::{DType, Graph, Op, MapOp, Shape, verify};
/// let mut graph = Graph::new();
/// let x = graph.add(Op::Input(0), DType::F64, Shape::new(&[3])?, &[], None);
/// let y = graph.add(Op::Map(MapOp::Sqrt), DType::F64, Shape::new(&[4])?, &[x], None);
/// graph.set_outputs(vec![y]);
/// let errors = verify(&graph).unwrap_err();
/// assert_eq!(errors.errors()[0].to_string(), "%1 sqrt: operand 0 has shape [3], the node has [4]");
/// # Ok::<(), lazuli_graph::ShapeError>(())
/// ```
pub fn verify(graph: &Graph) -> Result<(), VerifyErrors> {
    let mut errors = Vec::new();
    let mut fault = |message: String| errors.push(VerifyError { node: None, op: "graph", message });
    if graph.is_cyclic() {
        fault("has a cycle".into());
    }
    for (i, o) in graph.outputs().iter().enumerate() {
        if !graph.contains(*o) {
            fault(format!("output {i} is {o}, which does not exist"));
        }
    }
    let mut inputs: FxHashMap<u32, NodeId> = FxHashMap::default();
    for id in graph.order_all() {
        let node = graph.node(id);
        let mut checker = Checker { graph, node, operands: graph.operands(id).to_vec(), faults: Vec::new() };
        checker.node(id);
        if let Op::Input(n) = node.op {
            let first = graph.node(*inputs.entry(n).or_insert(id));
            if (first.dtype, &first.shape) != (node.dtype, &node.shape) {
                let (dtype, shape) = (first.dtype.short(), &first.shape);
                checker.fault(format!("input {n} is {dtype}{shape} elsewhere"));
            }
        }
        let op = node.op.name();
        errors.extend(checker.faults.into_iter().map(|message| VerifyError { node: Some(id), op, message }));
    }
    if errors.is_empty() { Ok(()) } else { Err(VerifyErrors::new(graph, errors)) }
}

/// Collects what is wrong with one node.
struct Checker<'a> {
    graph: &'a Graph,
    node: &'a Node,
    operands: Vec<NodeId>,
    faults: Vec<String>,
}

impl Checker<'_> {
    fn fault(&mut self, message: String) {
        self.faults.push(message);
    }

    fn operand(&self, i: usize) -> (DType, Shape) {
        let node = self.graph.node(self.operands[i]);
        (node.dtype, node.shape.clone())
    }

    /// The node's dtype must be `dtype`.
    fn dtype(&mut self, dtype: DType) {
        if self.node.dtype != dtype {
            self.fault(format!("the result is {}, the node has {}", dtype.short(), self.node.dtype.short()));
        }
    }

    /// The node's shape must be `shape`.
    fn shape(&mut self, shape: &Shape) {
        if self.node.shape != *shape {
            self.fault(format!("the result has shape {shape}, the node has {}", self.node.shape));
        }
    }

    /// Operand `i` must have `dtype`.
    fn operand_dtype(&mut self, i: usize, dtype: DType) {
        let found = self.operand(i).0;
        if found != dtype {
            self.fault(format!("operand {i} is {}, should be {}", found.short(), dtype.short()));
        }
    }

    /// Operand `i` must have the node's shape.
    fn operand_shape(&mut self, i: usize) {
        let shape = self.operand(i).1;
        if shape != self.node.shape {
            self.fault(format!("operand {i} has shape {shape}, the node has {}", self.node.shape));
        }
    }

    fn node(&mut self, id: NodeId) {
        let node = self.node;
        let positions = self.graph.positions(id);
        if !positions.iter().enumerate().all(|(i, &p)| p as usize == i) {
            return self.fault(format!("operands stand at positions {positions:?}"));
        }
        if self.operands.len() != node.op.arity() {
            let (name, arity) = (node.op.name(), node.op.arity());
            let s = if arity == 1 { "" } else { "s" };
            return self.fault(format!("{name} takes {arity} operand{s}, got {}", self.operands.len()));
        }
        match &node.op {
            Op::Input(_) => {}
            Op::Const(value) => self.dtype(value.dtype()),
            Op::Iota => self.dtype(DType::I64),
            Op::Map(op) => self.map(*op),
            Op::Cast => self.operand_shape(0),
            Op::View(view) => {
                let (dtype, shape) = self.operand(0);
                self.dtype(dtype);
                self.shape(view.shape());
                if !view.check(&shape) {
                    self.fault(format!("the view {view} reads outside {shape}"));
                }
            }
            Op::Reshape => {
                let (dtype, shape) = self.operand(0);
                self.dtype(dtype);
                let (from, to) = (shape.elements(), node.shape.elements());
                if from != to {
                    self.fault(format!("the operand has {from} elements, the node {to}"));
                }
            }
            Op::Reduce(op, axes) => {
                let (dtype, shape) = self.operand(0);
                if axes.iter().any(|i| i >= shape.rank()) {
                    return self.fault(format!("axes {axes:?} of an operand of shape {shape}"));
                }
                self.operand_dtype(0, op.operand_dtype(dtype));
                self.dtype(op.result_dtype(dtype));
                self.shape(&shape.without(*axes));
                if op.row().needs_element && axes.iter().any(|i| shape[i] == 0) && node.shape.elements() > 0 {
                    self.fault(format!("{op} of no elements has no value"));
                }
            }
            Op::Scan(op, axis) => {
                let (dtype, shape) = self.operand(0);
                if *axis as usize >= shape.rank() {
                    return self.fault(format!("axis {axis} of an operand of shape {shape}"));
                }
                self.operand_dtype(0, op.operand_dtype(dtype));
                self.dtype(op.operand_dtype(dtype));
                self.operand_shape(0);
            }
            Op::Matmul => self.matmul(),
        }
    }

    fn map(&mut self, op: MapOp) {
        for i in 0..self.operands.len() {
            self.operand_shape(i);
        }
        let rule = op.row().rule;
        let first = if rule == Rule::Select { 1 } else { 0 };
        if rule == Rule::Select {
            self.operand_dtype(0, DType::Bool);
        }
        // The operands have been promoted and cast: the rule must leave the dtype they have alone.
        let dtype = self.operand(first).0;
        match rule.apply(dtype) {
            None => self.fault(format!("{op} is not defined for {}", dtype.short())),
            Some((compute, result)) => {
                for i in first..self.operands.len() {
                    self.operand_dtype(i, compute);
                }
                self.dtype(result);
            }
        }
    }

    fn matmul(&mut self) {
        let ((left, a), (_, b)) = (self.operand(0), self.operand(1));
        self.operand_dtype(1, left);
        self.dtype(left);
        let rank = a.rank();
        let fits = rank >= 2
            && b.rank() == rank
            && a[..rank - 2] == b[..rank - 2]
            && a[rank - 1] == b[rank - 2]
            && self.node.shape.rank() == rank
            && self.node.shape[..rank - 1] == a[..rank - 1]
            && self.node.shape[rank - 1] == b[rank - 1];
        if !fits {
            self.fault(format!("matrices of shapes {a} and {b} do not give {}", self.node.shape));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(graph: &Graph) -> Vec<String> {
        let errors = verify(graph).unwrap_err();
        assert!(errors.errors().iter().all(|e| errors.to_string().contains(&e.message)), "{errors}");
        errors.errors().iter().map(VerifyError::to_string).collect()
    }

    #[test]
    fn finds_cycles() {
        let mut graph =
            Graph::parse("%0 = input 0 : f64[2]\n%1 = exp %0 : f64[2]\n%2 = sin %1 : f64[2]\nreturn %2").unwrap();
        let ids: Vec<NodeId> = graph.ids().collect();
        let cosine = graph.add(Op::Map(MapOp::Cos), DType::F64, graph.node(ids[0]).shape.clone(), &[ids[2]], None);
        assert!(verify(&graph).is_ok());
        graph.replace(ids[0], cosine);
        assert_eq!(messages(&graph), ["graph: has a cycle"]);
    }

    #[test]
    fn finds_missing_outputs_and_operands() {
        let mut graph = Graph::parse("%0 = input 0 : f64[2]\n%1 = exp %0 : f64[2]\nreturn %1, %0").unwrap();
        let ids: Vec<NodeId> = graph.ids().collect();
        graph.remove(ids[0]);
        assert_eq!(
            messages(&graph),
            ["graph: output 1 is %0, which does not exist", "%1 exp: exp takes 1 operand, got 0"]
        );
        graph.remove(ids[1]);
        assert_eq!(messages(&graph).len(), 2);
    }

    #[test]
    fn finds_parts_of_ops_that_the_text_form_cannot_get_wrong() {
        let shape = Shape::new(&[4]).unwrap();
        let mut graph = Graph::new();
        let x = graph.add(Op::Input(0), DType::F64, shape.clone(), &[], None);
        let view = crate::View::identity(&Shape::new(&[3]).unwrap());
        graph.add(Op::View(view.into()), DType::F64, shape.clone(), &[x], None);
        graph.add(Op::Const(crate::Scalar::one(DType::I32)), DType::F64, shape.clone(), &[], None);
        let many: Vec<NodeId> = [x].repeat(257);
        graph.add(Op::Map(MapOp::Exp), DType::F64, shape, &many, None);
        let messages = messages(&graph);
        assert_eq!(messages[0], "%1 view: the result has shape [3], the node has [4]");
        assert_eq!(messages[1], "%2 const: the result is i32, the node has f64");
        assert!(messages[2].starts_with("%3 exp: operands stand at positions [0, 0, 1, 2,"), "{}", messages[2]);
        assert_eq!(messages.len(), 3);
    }
}
