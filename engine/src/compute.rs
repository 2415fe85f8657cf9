//! From expressions to tensors: capture, look the plan up, run it.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::plan::{InputLayout, Plan};
use lazuli_graph::{Capture, Expr};
use lazuli_jit::Precision;
use lazuli_runtime::Tensor;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The most plans that are kept, and the most words of their keys.
const CAPACITY: usize = 1024;
const CAPACITY_WORDS: usize = 1 << 20;

#[derive(Default)]
struct Plans {
    map: FxHashMap<Box<[u64]>, Arc<Plan>>,
    words: usize,
}

static PLANS: LazyLock<Mutex<Plans>> = LazyLock::new(Mutex::default);

thread_local! {
    static KEY: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

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
    let done: Option<Vec<Tensor>> = roots.iter().map(|r| r.value().map(|v| tensor(&v))).collect::<Option<_>>();
    if let Some(done) = done {
        return Ok(done);
    }
    let capture = captured(roots, &[])?;
    let inputs: SmallVec<[Tensor; 4]> = capture.leaves().iter().map(tensor).collect();
    let plan = find_plan(&capture, &inputs, config)?;
    let results = plan.run(&inputs, config)?;
    for (root, result) in roots.iter().zip(&results) {
        root.complete(Arc::new(result.clone()));
    }
    Ok(results.into_vec())
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
pub(crate) fn tensor(value: &lazuli_graph::Value) -> Tensor {
    value.downcast_ref::<Tensor>().expect("every value of a node was put there by the engine").clone()
}

/// How `tensor` lies in memory.
pub(crate) fn layout(tensor: &Tensor) -> InputLayout {
    InputLayout {
        dtype: tensor.dtype(),
        shape: tensor.shape().clone(),
        strides: SmallVec::from_slice(tensor.strides()),
    }
}

/// The cached plan of a captured graph, or a new one.
fn find_plan(capture: &Capture, inputs: &[Tensor], config: &Config) -> Result<Arc<Plan>> {
    KEY.with_borrow_mut(|key| {
        key.clear();
        capture.key(key);
        key.extend(inputs.iter().flat_map(|t| t.strides().iter().map(|&s| s as u64)));
        let precision = match config.precision {
            Precision::Precise => 0,
            Precision::Standard => 1,
            Precision::Fast => 2,
        };
        key.extend([(config.disabled.bits() as u64) << 2 | precision, config.target as *const _ as u64]);
        if let Some(plan) = PLANS.lock().unwrap_or_else(PoisonError::into_inner).map.get(key.as_slice()) {
            return Ok(plan.clone());
        }
        let layouts: Vec<InputLayout> = inputs.iter().map(layout).collect();
        let plan = Arc::new(Plan::new(capture.graph(), &layouts, config, false)?);
        let mut plans = PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.map.len() >= CAPACITY || plans.words + key.len() > CAPACITY_WORDS {
            *plans = Plans::default();
        }
        plans.words += key.len();
        plans.map.insert(key.as_slice().into(), plan.clone());
        Ok(plan)
    })
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
    let layouts: Vec<InputLayout> = capture.leaves().iter().map(|v| layout(&tensor(v))).collect();
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
