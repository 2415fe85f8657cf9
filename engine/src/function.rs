//! Functions: an expression over parameters, planned once for each signature and called many times.

use crate::compute::{captured, count, layout, tensor};
use crate::config::Config;
use crate::error::Result;
use crate::exec::Results;
use crate::plan::{InputLayout, Plan};
use lazuli_graph::Expr;
use lazuli_runtime::Tensor;
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// How many signatures are kept for good, and found without a lock.
const FIRST: usize = 8;
/// The most further signatures that a function keeps plans for.
const FURTHER: usize = 16;

type Body = dyn Fn(&[Expr]) -> Result<Vec<Expr>> + Send + Sync;

/// A compiled function: `body` is called with parameters once for each new signature (dtypes, shapes and strides of
/// the arguments); kernels are shared by all shapes.
pub struct Function {
    arity: usize,
    body: Box<Body>,
    first: [OnceLock<Arc<Trace>>; FIRST],
    further: RwLock<Vec<Arc<Trace>>>,
}

struct Trace {
    signature: Vec<InputLayout>,
    config: Identity,
    plan: Plan,
    /// Arrays that the body used besides its parameters.
    captured: Vec<Tensor>,
}

/// What of a configuration a plan depends on.
type Identity = (lazuli_jit::Precision, u32, &'static lazuli_jit::Target);

fn identity(config: &Config) -> Identity {
    (config.precision, config.disabled.bits(), config.target)
}

impl Trace {
    /// Whether it is the trace for these arguments.
    fn suits<T: Borrow<Tensor>>(&self, args: &[T], config: &Config) -> bool {
        let (precision, disabled, target) = self.config;
        precision == config.precision
            && disabled == config.disabled.bits()
            && (std::ptr::eq(target, config.target) || target.name() == config.target.name())
            && self.signature.iter().zip(args).all(|(s, a)| {
                let a = a.borrow();
                // Element by element: the few there are are compared before a call of `memcmp` has begun.
                s.dtype == a.dtype() && s.shape.iter().eq(a.shape().iter()) && s.strides.iter().eq(a.strides())
            })
    }

    fn run<T: Borrow<Tensor>>(&self, args: &[T], config: &Config) -> Result<Results> {
        let mut all: SmallVec<[&Tensor; 8]> = SmallVec::new();
        args.iter().for_each(|a| all.push(a.borrow()));
        self.captured.iter().for_each(|a| all.push(a));
        let mut results = Results::new();
        self.plan.run(&all, config, &mut results)?;
        Ok(results)
    }
}

impl Function {
    /// A function of `arity` arguments.
    pub fn new(arity: usize, body: impl Fn(&[Expr]) -> Result<Vec<Expr>> + Send + Sync + 'static) -> Function {
        Function { arity, body: Box::new(body), first: Default::default(), further: RwLock::default() }
    }

    /// The number of arguments.
    pub fn arity(&self) -> usize {
        self.arity
    }

    /// Calls the function.
    ///
    /// # Errors
    /// A wrong number of arguments, an error of the body for these dtypes and shapes, and those of running.
    pub fn call<T: Borrow<Tensor>>(&self, args: &[T], config: &Config) -> Result<Results> {
        count(self.arity, args.len())?;
        // Filled from the front, one after another.
        for trace in self.first.iter().map_while(OnceLock::get) {
            if trace.suits(args, config) {
                return trace.run(args, config);
            }
        }
        self.further(args, config)?.run(args, config)
    }

    /// A trace that is not among the first, or is made.
    #[cold]
    fn further<T: Borrow<Tensor>>(&self, args: &[T], config: &Config) -> Result<Arc<Trace>> {
        let known = self.further.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(trace) = known.iter().find(|t| t.suits(args, config)) {
            return Ok(trace.clone());
        }
        drop(known);
        let trace = Arc::new(self.trace(args, config)?);
        if self.first.iter().any(|place| place.set(trace.clone()).is_ok()) {
            return Ok(trace);
        }
        let mut traces = self.further.write().unwrap_or_else(PoisonError::into_inner);
        if traces.len() >= FURTHER {
            traces.remove(0);
        }
        traces.push(trace.clone());
        Ok(trace)
    }

    fn trace<T: Borrow<Tensor>>(&self, args: &[T], config: &Config) -> Result<Trace> {
        let signature: Vec<InputLayout> = args.iter().map(|a| layout(a.borrow())).collect();
        let parameters: Vec<Expr> =
            signature.iter().enumerate().map(|(i, l)| Expr::parameter(i as u32, l.dtype, l.shape.clone())).collect();
        let roots = (self.body)(&parameters)?;
        let capture = captured(&roots, &parameters)?;
        let captured: Vec<Tensor> = capture.leaves().iter().map(|v| tensor(v).clone()).collect();
        let mut layouts = signature.clone();
        layouts.extend(captured.iter().map(layout));
        let plan = Plan::new(capture.graph(), &layouts, config, false)?;
        Ok(Trace { signature, config: identity(config), plan, captured })
    }
}
