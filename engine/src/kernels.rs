//! The cache of kernels: each is compiled at most once a target, whatever the sizes.

use crate::config::{BackendChoice, Config};
use crate::cost;
use crate::error::Result;
use lazuli_graph::ReduceOp;
use lazuli_jit::{Backend, Code, Kernel, Reduction, Target};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// The most kernels that are kept.
const CAPACITY: usize = 512;
/// How much work (elements times cost units) the interpreter does before a kernel is compiled: a few scalars never
/// are, and nobody waits for the interpreter.
const COMPILE_AT: u64 = 50_000;

/// A kernel and its code, made when it is first needed.
pub struct CachedKernel {
    kernel: Kernel,
    target: &'static Target,
    weight: u32,
    cost: u64,
    folds: Folds,
    fold: OnceLock<Option<Code>>,
    interp: OnceLock<Code>,
    clif: OnceLock<Result<Code>>,
    /// The code with the widest vectors, or why there is none.
    wide: OnceLock<std::result::Result<Code, String>>,
    /// Work the interpreter has done.
    work: AtomicU64,
    used: AtomicU64,
}

/// What becomes of the outputs of a kernel that is reduced, if one kernel may do both.
#[derive(Clone, Default)]
pub struct Folds {
    /// A reduction for each output; none if they are stored.
    pub reductions: SmallVec<[Reduction; 2]>,
    /// `None`: each row is reduced to a state. Else rows are added to a row of states, and these operands are the same
    /// for all of them.
    pub fixed: Option<SmallVec<[bool; 8]>>,
}

type Key = (Kernel, SmallVec<[ReduceOp; 2]>, Option<SmallVec<[bool; 8]>>, &'static str);
static KERNELS: LazyLock<Mutex<FxHashMap<Key, Arc<CachedKernel>>>> = LazyLock::new(Mutex::default);
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// The cached kernel that equals `kernel`; `weight` is the cost of an element, in the op table's units. `folds` says
/// what becomes of its outputs.
pub fn lookup(kernel: Kernel, folds: Folds, target: &'static Target, weight: u32) -> Arc<CachedKernel> {
    let mut kernels = KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
    let now = CLOCK.fetch_add(1, Ordering::Relaxed);
    if kernels.len() >= CAPACITY {
        // The older half goes; plans that still use a kernel keep it alive.
        let mut times: Vec<u64> = kernels.values().map(|k| k.used.load(Ordering::Relaxed)).collect();
        let middle = times.len() / 2;
        let median = *times.select_nth_unstable(middle).1;
        kernels.retain(|_, k| k.used.load(Ordering::Relaxed) > median);
    }
    let ops = folds.reductions.iter().map(Reduction::op).collect();
    let key = (kernel, ops, folds.fixed.clone(), target.name());
    let cached = kernels.entry(key).or_insert_with_key(|(kernel, ..)| {
        Arc::new(CachedKernel {
            kernel: kernel.clone(),
            target,
            weight: weight.max(1),
            cost: cost::element(kernel, weight),
            folds,
            fold: OnceLock::new(),
            interp: OnceLock::new(),
            clif: OnceLock::new(),
            wide: OnceLock::new(),
            work: AtomicU64::new(0),
            used: AtomicU64::new(now),
        })
    });
    cached.used.store(now, Ordering::Relaxed);
    cached.clone()
}

/// How many kernels are cached.
pub fn cached() -> usize {
    KERNELS.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// Forgets every kernel.
pub fn clear() {
    KERNELS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl CachedKernel {
    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The cost of one element, in the op table's units.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The cost of one element, in picoseconds.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The code to run over `elements` elements.
    ///
    /// # Errors
    /// Compilation failed where compiled code was asked for. Where the choice is free, the interpreter steps in.
    pub fn code(&self, config: &Config, elements: usize) -> Result<&Code> {
        match config.backend {
            BackendChoice::Interp => Ok(self.interp()),
            BackendChoice::Clif => self.clif().as_ref().map_err(Clone::clone),
            BackendChoice::Wide => self.native(),
            BackendChoice::Auto => {
                if let Some(code) = self.compiled() {
                    return Ok(code);
                }
                let work = (elements as u64).saturating_mul(self.weight as u64);
                if self.work.fetch_add(work, Ordering::Relaxed).saturating_add(work) < COMPILE_AT {
                    return Ok(self.interp());
                }
                Ok(self.native().unwrap_or_else(|_| self.interp()))
            }
        }
    }

    /// The code that reduces what the kernel computes as well, if there is such code and it is worth compiling for
    /// `elements` elements.
    pub fn folding(&self, config: &Config, elements: usize) -> Option<&Code> {
        if self.folds.reductions.is_empty() {
            return None;
        }
        let worth = || {
            let work = (elements as u64).saturating_mul(self.weight as u64);
            self.work.load(Ordering::Relaxed).saturating_add(work) >= COMPILE_AT
        };
        match config.backend {
            BackendChoice::Interp | BackendChoice::Clif => None,
            BackendChoice::Auto if self.fold.get().is_none() && !worth() => None,
            BackendChoice::Auto | BackendChoice::Wide => self.folded(),
        }
    }

    /// The code that reduces what the kernel computes as well, if there is such code.
    pub fn folded(&self) -> Option<&Code> {
        let Folds { reductions, fixed } = &self.folds;
        let compile = || {
            if reductions.is_empty() || Backend::Wide.why_not(self.target).is_some() {
                return None;
            }
            match fixed {
                None => Code::folding(&self.kernel, reductions, self.target),
                Some(fixed) => Code::accumulating(&self.kernel, reductions, fixed, Backend::Wide, self.target),
            }
            .ok()
        };
        self.fold.get_or_init(compile).as_ref()
    }

    /// The compiled code: with the widest vectors, or where that cannot be with Cranelift alone.
    ///
    /// # Errors
    /// Neither can compile it.
    pub fn native(&self) -> Result<&Code> {
        match self.wide() {
            Ok(code) => Ok(code),
            Err(_) => self.clif().as_ref().map_err(Clone::clone),
        }
    }

    /// The code with the widest vectors, or why there is none.
    pub fn wide(&self) -> std::result::Result<&Code, &str> {
        let compile = || match Backend::Wide.why_not(self.target) {
            Some(why) => Err(why),
            None => Code::compile(&self.kernel, Backend::Wide, self.target).map_err(|e| e.to_string()),
        };
        self.wide.get_or_init(compile).as_ref().map_err(String::as_str)
    }

    /// The code that Cranelift makes.
    pub fn clif(&self) -> &Result<Code> {
        self.clif.get_or_init(|| Code::compile(&self.kernel, Backend::Clif, self.target).map_err(Into::into))
    }

    /// The compiled code that [`CachedKernel::native`] gives, if it has been compiled.
    pub fn compiled(&self) -> Option<&Code> {
        match self.wide.get()? {
            Ok(code) => Some(code),
            Err(_) => self.clif.get().and_then(|c| c.as_ref().ok()),
        }
    }

    fn interp(&self) -> &Code {
        self.interp.get_or_init(|| {
            Code::compile(&self.kernel, Backend::Interp, self.target)
                .expect("the interpreter takes every well-formed kernel, and this one was verified when it was planned")
        })
    }
}
