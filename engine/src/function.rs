//! Functions: an expression over parameters, planned once for each signature and called many times.

use crate::compute::{captured, count, layout, tensor};
use crate::config::Config;
use crate::error::Result;
use crate::plan::{InputLayout, Plan};
use lazuli_graph::Expr;
use lazuli_runtime::Tensor;
use smallvec::SmallVec;
use std::sync::{Arc, PoisonError, RwLock};

/// The most signatures a function keeps plans for.
const SIGNATURES: usize = 16;

type Body = dyn Fn(&[Expr]) -> Result<Vec<Expr>> + Send + Sync;

/// A compiled function: `body` is called with parameters once for each new signature (dtypes, shapes and strides of
/// the arguments); kernels are shared by all shapes.
pub struct Function {
    arity: usize,
    body: Box<Body>,
    traces: RwLock<Vec<Arc<Trace>>>,
}

struct Trace {
    signature: Vec<InputLayout>,
    config: Identity,
    plan: Plan,
    /// Arrays that the body used besides its parameters.
    captured: Vec<Tensor>,
}

/// What of a configuration a plan depends on.
type Identity = (lazuli_jit::Precision, u32, &'static str);

fn identity(config: &Config) -> Identity {
    (config.precision, config.disabled.bits(), config.target.name())
}

impl Function {
    /// A function of `arity` arguments.
    pub fn new(arity: usize, body: impl Fn(&[Expr]) -> Result<Vec<Expr>> + Send + Sync + 'static) -> Function {
        Function { arity, body: Box::new(body), traces: RwLock::default() }
    }

    /// The number of arguments.
    pub fn arity(&self) -> usize {
        self.arity
    }

    /// Calls the function.
    ///
    /// # Errors
    /// A wrong number of arguments, an error of the body for these dtypes and shapes, and those of running.
    pub fn call(&self, args: &[Tensor], config: &Config) -> Result<SmallVec<[Tensor; 2]>> {
        count(self.arity, args.len())?;
        let trace = self.trace(args, config)?;
        if trace.captured.is_empty() {
            return trace.plan.run(args, config);
        }
        let all: SmallVec<[Tensor; 4]> = args.iter().chain(&trace.captured).cloned().collect();
        trace.plan.run(&all, config)
    }

    fn trace(&self, args: &[Tensor], config: &Config) -> Result<Arc<Trace>> {
        let matches = |t: &&Arc<Trace>| {
            t.config == identity(config)
                && t.signature
                    .iter()
                    .zip(args)
                    .all(|(s, a)| s.dtype == a.dtype() && s.shape == *a.shape() && s.strides.as_slice() == a.strides())
        };
        if let Some(trace) = self.traces.read().unwrap_or_else(PoisonError::into_inner).iter().find(matches) {
            return Ok(trace.clone());
        }
        let signature: Vec<InputLayout> = args.iter().map(layout).collect();
        let parameters: Vec<Expr> =
            signature.iter().enumerate().map(|(i, l)| Expr::parameter(i as u32, l.dtype, l.shape.clone())).collect();
        let roots = (self.body)(&parameters)?;
        let capture = captured(&roots, &parameters)?;
        let captured: Vec<Tensor> = capture.leaves().iter().map(tensor).collect();
        let mut layouts = signature.clone();
        layouts.extend(captured.iter().map(layout));
        let plan = Plan::new(capture.graph(), &layouts, config, false)?;
        let trace = Arc::new(Trace { signature, config: identity(config), plan, captured });
        let mut traces = self.traces.write().unwrap_or_else(PoisonError::into_inner);
        if traces.len() >= SIGNATURES {
            traces.remove(0);
        }
        traces.push(trace.clone());
        Ok(trace)
    }
}
