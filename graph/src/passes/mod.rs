//! The passes: rewrites of the graph that leave every bit of every output as it is, but for those that are for the
//! precision `Fast` alone ([`Pass::loose`]).
//!
//! - A pass is one file, one name and one off switch ([`Options::disabled`]).
//! - A rewrite only ever goes one way, never adds work, and never changes a bit of a result unless it is loose; of NaN, sign
//!   and payload do not count. What would change bits for some operand, such as `x + 0.0` (which makes `0.0` of `-0.0`), `x * 0`
//!   or `x - x` (which make NaN of infinity), stays.
//! - Every pass takes time linear in the size of the graph and constant stack.
//! - A pass may leave nodes that nothing uses; `dce` removes them.

mod cse;
mod dce;
mod fold;
mod reciprocal;
mod simplify;
mod views;

use crate::graph::{Graph, NodeId};
use crate::verify::{VerifyError, VerifyErrors, verify};
use crate::{DType, Op, Scalar, Shape};
use std::fmt;

/// One pass.
pub struct Pass {
    /// Its name: in the off switch, filetests and `explain`.
    pub name: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// Whether it may change bits: it then runs only where [`Options::loose`] allows that.
    pub loose: bool,
    run: fn(&mut Graph, &mut Context<'_>),
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The passes, in the order they run in. [`optimize`] goes round until nothing changes, at most [`ROUNDS`] times.
pub const PASSES: &[Pass] = &[
    // Must run before simplify, which looks for constants among the operands.
    Pass { name: "fold", doc: fold::DOC, loose: false, run: fold::run },
    // Must run before views, which finds fewer obstacles without identities, and before cse, which wants normal forms.
    Pass { name: "simplify", doc: simplify::DOC, loose: false, run: simplify::run },
    // Must run before cse: chains of views that differ may compose to the same view.
    Pass { name: "views", doc: views::DOC, loose: false, run: views::run },
    // Must run after views, which leave one view between what is stretched and its user, and before cse: the reciprocals of
    // one divisor are one.
    Pass { name: "reciprocal", doc: reciprocal::DOC, loose: true, run: reciprocal::run },
    // Must run before dce: it lets the duplicates go unused.
    Pass { name: "cse", doc: cse::DOC, loose: false, run: cse::run },
    // Must run last: it removes what the others left, and what planning must not see.
    Pass { name: "dce", doc: dce::DOC, loose: false, run: dce::run },
];

/// The name of the off switch of fusion, which is decided after the passes ([`crate::fuse`]).
pub const FUSE: &str = "fuse";

/// The name of the off switch of running a few rows at a time through several kernels, which the plan decides.
pub const ROWS: &str = "rows";

/// What can be switched off, in the order of the bits of a [`PassSet`].
fn switches() -> impl Iterator<Item = (usize, &'static str)> {
    PASSES.iter().map(|p| p.name).chain([FUSE, ROWS]).enumerate()
}

/// The most rounds: what one pass lays open, an earlier one may use in the next round. Bounded, so that the time stays
/// linear in the size of the graph.
pub const ROUNDS: usize = 3;

/// A set of passes, and of fusion.
///
/// ```
/// use lazuli_graph::passes::PassSet;
/// let set: PassSet = "cse, views".parse()?;
/// assert!(set.contains("cse") && !set.contains("dce"));
/// assert!("inline".parse::<PassSet>().is_err());
/// # Ok::<(), lazuli_graph::passes::UnknownPass>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PassSet(u32);

/// A name that is not a pass's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown pass '{name}'; known are {}", PassSet::ALL)]
pub struct UnknownPass {
    /// The name.
    pub name: String,
}

impl PassSet {
    /// No pass.
    pub const NONE: PassSet = PassSet(0);
    /// Every pass.
    pub const ALL: PassSet = PassSet((1 << (PASSES.len() + 2)) - 1);

    /// Puts the pass `name` into the set.
    ///
    /// # Errors
    /// A name that is not a pass's.
    pub fn insert(&mut self, name: &str) -> Result<(), UnknownPass> {
        match switches().find(|(_, n)| *n == name) {
            Some((i, _)) => self.0 |= 1 << i,
            None => return Err(UnknownPass { name: name.to_owned() }),
        }
        Ok(())
    }

    /// Whether the pass `name` is in the set.
    pub fn contains(self, name: &str) -> bool {
        switches().any(|(i, n)| n == name && self.0 >> i & 1 == 1)
    }

    /// The passes that are not in the set.
    #[must_use]
    pub fn complement(self) -> PassSet {
        PassSet(!self.0 & PassSet::ALL.0)
    }

    /// The set as a bit mask, for keys.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Names, separated by commas; nothing for the empty set.
impl std::str::FromStr for PassSet {
    type Err = UnknownPass;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut set = PassSet::NONE;
        s.split(',').map(str::trim).filter(|name| !name.is_empty()).try_for_each(|name| set.insert(name))?;
        Ok(set)
    }
}

impl fmt::Display for PassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, name) in switches().filter(|(i, _)| self.0 >> i & 1 == 1) {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for PassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// How to optimize.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The passes that are switched off.
    pub disabled: PassSet,
    /// Whether bits may change, as the precision `Fast` allows.
    pub loose: bool,
    /// Whether to verify the graph before the first pass and after each; by default, in debug builds.
    pub verify: bool,
    /// Whether the reports tell each change and hold the graph after the pass.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { disabled: PassSet::NONE, loose: false, verify: cfg!(debug_assertions), explain: false }
    }
}

/// What one run of one pass did.
#[derive(Clone, Debug)]
pub struct Report {
    /// The pass.
    pub pass: &'static str,
    /// The number of nodes before.
    pub before: usize,
    /// The number of nodes after.
    pub after: usize,
    /// How many rewrites it did.
    pub rewrites: usize,
    /// Each rewrite, such as `%4 is %2: x * 1`; only if [`Options::explain`].
    pub changes: Vec<String>,
    /// The text form after the pass; only if [`Options::explain`].
    pub graph: Option<String>,
}

/// Computes one elementwise operation or cast on scalars: the op, the dtype it computes in (of a cast, the operand's;
/// of `where`, that of the choices), the dtype of the result, the operands.
pub type Evaluate<'a> = dyn Fn(&Op, DType, DType, &[Scalar]) -> Scalar + 'a;

/// What a pass is given besides the graph.
pub(crate) struct Context<'a> {
    evaluate: &'a Evaluate<'a>,
    explain: bool,
    rewrites: usize,
    changes: Vec<String>,
}

impl Context<'_> {
    /// Lets the users of `old` use `new`, for the reason `why`.
    fn replace(&mut self, graph: &mut Graph, old: NodeId, new: NodeId, why: impl FnOnce() -> String) {
        self.rewrites += 1;
        if self.explain {
            self.changes.push(format!("{old} is {new}: {}", why()));
        }
        graph.replace(old, new);
    }
}

/// Runs the passes over a graph.
///
/// `evaluate` gives the constants their values; it must compute exactly what the kernels would. Reports come in the
/// order in which the passes ran; of rounds after the first, only passes that changed something report.
///
/// # Errors
/// With [`Options::verify`]: a graph that came wrong, or a pass that made it wrong or changed the dtype or shape of an
/// output; [`VerifyErrors::pass`] names it.
///
/// ```
/// use lazuli_graph::passes::{Options, optimize};
/// use lazuli_graph::Graph;
/// let mut graph = Graph::parse(
///     "%0 = input 0 : f64[3]\n%1 = const 1.0 : f64[3]\n%2 = multiply %0, %1 : f64[3]\n%3 = exp %2 : f64[3]\nreturn %3",
/// )?;
/// optimize(&mut graph, &Options::default(), &|_, _, _, _| unreachable!("there is nothing to fold"))?;
/// assert_eq!(graph.compact().to_string(), "%0 = input 0 : f64[3]\n%1 = exp %0 : f64[3]\nreturn %1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn optimize(graph: &mut Graph, options: &Options, evaluate: &Evaluate<'_>) -> Result<Vec<Report>, VerifyErrors> {
    let mut reports = Vec::new();
    if options.verify {
        verify(graph)?;
    }
    let results = if options.verify { outputs(graph) } else { Vec::new() };
    for round in 0..ROUNDS {
        let mut changed = false;
        for pass in PASSES.iter().filter(|p| !options.disabled.contains(p.name) && (options.loose || !p.loose)) {
            let before = graph.len();
            let mut context = Context { evaluate, explain: options.explain, rewrites: 0, changes: Vec::new() };
            (pass.run)(graph, &mut context);
            if options.verify {
                verify(graph).map_err(|e| e.after(pass.name))?;
                same_outputs(graph, &results).map_err(|e| e.after(pass.name))?;
            }
            let Context { rewrites, changes, .. } = context;
            // Removing dead nodes gives no other pass anything to do.
            changed |= rewrites > 0 && pass.name != "dce";
            if round == 0 || rewrites > 0 {
                let graph_after = options.explain.then(|| graph.to_string());
                reports.push(Report {
                    pass: pass.name,
                    before,
                    after: graph.len(),
                    rewrites,
                    changes,
                    graph: graph_after,
                });
            }
        }
        if !changed {
            break;
        }
    }
    Ok(reports)
}

fn outputs(graph: &Graph) -> Vec<(DType, Shape)> {
    graph.outputs().iter().map(|&o| (graph.node(o).dtype, graph.node(o).shape.clone())).collect()
}

/// Checks that the outputs still have the dtypes and shapes they had at first.
fn same_outputs(graph: &Graph, results: &[(DType, Shape)]) -> Result<(), VerifyErrors> {
    let now = outputs(graph);
    let text = |all: &[(DType, Shape)]| {
        let all: Vec<String> = all.iter().map(|(d, s)| format!("{}{s}", d.short())).collect();
        all.join(", ")
    };
    if now == results {
        return Ok(());
    }
    let message = format!("the outputs were {}, now they are {}", text(results), text(&now));
    Err(VerifyErrors::new(graph, vec![VerifyError { node: None, op: "graph", message }]))
}

/// The value of a constant node.
fn constant(graph: &Graph, id: NodeId) -> Option<Scalar> {
    match graph.node(id).op {
        Op::Const(value) => Some(value),
        _ => None,
    }
}

/// Whether a float is a normal number of its type.
fn is_normal(x: Scalar) -> bool {
    let smallest = match x.dtype() {
        DType::F16 => -14,
        DType::BF16 | DType::F32 => -126,
        _ => -1022,
    };
    x.as_f64().is_finite() && x.as_f64().abs() >= 2f64.powi(smallest)
}

/// A new node with the dtype, shape and origin of `like`.
fn add_like(graph: &mut Graph, like: NodeId, op: Op, operands: &[NodeId]) -> NodeId {
    let node = graph.node(like);
    let (dtype, shape, at) = (node.dtype, node.shape.clone(), node.at);
    graph.add(op, dtype, shape, operands, at)
}

#[cfg(test)]
mod tests;
