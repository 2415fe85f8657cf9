//! From expressions to tensors: capture, look the plan up, run it.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::exec::Results;
use crate::plan::{InputLayout, Plan};
use lazuli_graph::{Capture, Expr, Leaves, Pattern, Value};
use lazuli_jit::Precision;
use lazuli_runtime::Tensor;
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;
use std::hash::Hasher;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The most plans that are kept, and the most nodes of all that they were made of.
const CAPACITY: usize = 1024;
const CAPACITY_NODES: usize = 1 << 17;
/// The most plans under one key.
const ALIKE: usize = 4;

/// Where to look for a plan: fingerprint, and what of the configuration a plan depends on. What is found there is a
/// plan for the expressions only if its pattern says so.
type Key = (u64, u32, &'static str);

/// A plan, and what it was made for.
struct Cached {
    pattern: Pattern,
    layouts: Vec<InputLayout>,
    plan: Plan,
}

#[derive(Default)]
struct Plans {
    map: FxHashMap<Key, SmallVec<[Arc<Cached>; 1]>>,
    plans: usize,
    nodes: usize,
}

static PLANS: LazyLock<Mutex<Plans>> = LazyLock::new(Mutex::default);

/// Computes expressions in one plan; each keeps its value and lets go of its operands.
///
/// # Errors
/// The memory limit, exhausted memory, cancellation.
///
/// ```
/// use lazuli_engine::{Config, compute, data};
/// use lazuli_graph::{Expr, MapOp};
/// use lazuli_runtime::Tensor;
/// let x = data(Tensor::from_vec(&[3], vec![1.0, 4.0, 9.0])?);
/// let y = Expr::map(MapOp::Sqrt, &[x])?;
/// let t = compute(&[y], &Config::default())?.remove(0);
/// assert_eq!(t.as_slice::<f64>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compute(roots: &[Expr], config: &Config) -> Result<Vec<Tensor>> {
    // What has been computed has no depth; then its value is looked at.
    if roots.iter().all(|root| root.depth() == 0)
        && let Some(done) = roots.iter().map(computed).collect()
    {
        return Ok(done);
    }
    let mut leaves = Leaves::default();
    let cached = find(roots, config, &mut leaves)?;
    let mut inputs = SmallVec::<[&Tensor; 8]>::new();
    leaves.iter().for_each(|value| inputs.push(tensor(value)));
    let mut results = Results::new();
    cached.plan.run(&inputs, config, &mut results)?;
    for (root, result) in roots.iter().zip(&results) {
        root.complete(Arc::new(result.clone()));
    }
    Ok(results.into_vec())
}

/// The value of an expression that has been computed.
pub fn computed(expr: &Expr) -> Option<Tensor> {
    expr.value().map(|v| tensor(&v).clone())
}

/// Captures expressions over a function's own parameters.
pub(crate) fn captured(roots: &[Expr], parameters: &[Expr]) -> Result<Capture> {
    let capture = Capture::new(roots, parameters);
    match capture.stray_parameter() {
        None => Ok(capture),
        Some(_) => Err(Error::Call(
            "a parameter of a function has no value while the function is traced\n  help: compute what depends on it \
             outside the function, from the results of a call"
                .to_owned(),
        )),
    }
}

/// A leaf that holds `tensor`.
#[track_caller]
pub fn data(tensor: Tensor) -> Expr {
    let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
    Expr::data(Arc::new(tensor), dtype, shape)
}

/// The value of a computed node.
pub(crate) fn tensor(value: &Value) -> &Tensor {
    value.downcast_ref::<Tensor>().expect("every value of a node was put there by the engine")
}

/// How `tensor` lies in memory.
pub(crate) fn layout(tensor: &Tensor) -> InputLayout {
    InputLayout {
        dtype: tensor.dtype(),
        shape: tensor.shape().clone(),
        strides: SmallVec::from_slice(tensor.strides()),
    }
}

/// The cached plan for expressions, or a new one; the values of their leaves become `leaves`.
fn find(roots: &[Expr], config: &Config, leaves: &mut Leaves) -> Result<Arc<Cached>> {
    let mut hasher = FxHasher::default();
    roots.iter().for_each(|r| hasher.write_u64(r.fingerprint()));
    let precision = match config.precision {
        Precision::Precise => 0,
        Precision::Standard => 1,
        Precision::Fast => 2,
    };
    let key = (hasher.finish(), config.disabled.bits() << 2 | precision, config.target.name());
    let plans = || PLANS.lock().unwrap_or_else(PoisonError::into_inner);
    let candidate = |n: usize| plans().map.get(&key)?.get(n).cloned();
    for cached in (0..ALIKE).map_while(candidate) {
        // Element by element: the few there are are compared before a call of `memcmp` has begun.
        if cached.pattern.matches(roots, leaves)
            && cached.layouts.iter().zip(leaves.iter()).all(|(l, v)| l.strides.iter().eq(tensor(v).strides()))
        {
            return Ok(cached);
        }
    }
    let capture = captured(roots, &[])?;
    let layouts: Vec<InputLayout> = capture.leaves().iter().map(|v| layout(tensor(v))).collect();
    let plan = Plan::new(capture.graph(), &layouts, config, false)?;
    *leaves = capture.leaves().iter().cloned().collect();
    let cached = Arc::new(Cached { pattern: capture.pattern(), layouts, plan });
    let mut plans = plans();
    if plans.plans >= CAPACITY || plans.nodes + cached.pattern.len() > CAPACITY_NODES {
        *plans = Plans::default();
    }
    let plans = &mut *plans;
    let alike = plans.map.entry(key).or_default();
    if alike.len() == ALIKE {
        let old = alike.remove(0);
        plans.plans -= 1;
        plans.nodes -= old.pattern.len();
    }
    alike.push(cached.clone());
    plans.plans += 1;
    plans.nodes += cached.pattern.len();
    Ok(cached)
}

/// Forgets every cached plan and kernel.
pub fn clear_caches() {
    *PLANS.lock().unwrap_or_else(PoisonError::into_inner) = Plans::default();
    crate::kernels::clear();
}

/// Plans expressions without running them, with everything explain shows.
///
/// # Errors
/// Internal errors only.
pub fn plan(roots: &[Expr], config: &Config) -> Result<(lazuli_graph::Graph, Plan)> {
    let capture = captured(roots, &[])?;
    let layouts: Vec<InputLayout> = capture.leaves().iter().map(|v| layout(tensor(v))).collect();
    let graph = capture.graph();
    let plan = Plan::new(graph.clone(), &layouts, config, true)?;
    Ok((graph, plan))
}

/// Checks that a function's arguments are of the number it takes.
pub(crate) fn count(expected: usize, given: usize) -> Result<()> {
    if expected != given {
        return Err(Error::Call(format!("the function takes {expected} arguments, got {given}")));
    }
    Ok(())
}
