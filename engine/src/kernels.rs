//! The cache of kernels: each is compiled at most once a target, whatever the sizes.

use crate::config::{BackendChoice, Config};
use crate::cost;
use crate::error::Result;
use lazuli_graph::ReduceOp;
use lazuli_jit::{Backend, Code, Kernel, Reduction, RowCode, RowProgram, Target};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// The most kernels that are kept.
const CAPACITY: usize = 512;
/// How much work (elements times cost units) the interpreter does before a kernel is compiled: a few scalars never
/// are, and nobody waits for the interpreter.
const COMPILE_AT: u64 = 50_000;
/// What a kernel's draft costs to run, in picoseconds for each instruction, until it is compiled for good: what is lost by then
/// is about what that takes, of a draft that takes twice as long; of rows it takes 1.2 to 1.5 times as long.
const FINISH_AT: u64 = 6_000_000;

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
    /// Code for the first calls.
    draft: OnceLock<Option<Code>>,
    /// Work done before the kernel was compiled for good.
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
    make_room(&mut kernels, |k| &k.used);
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
            draft: OnceLock::new(),
            work: AtomicU64::new(0),
            used: AtomicU64::new(now),
        })
    });
    cached.used.store(now, Ordering::Relaxed);
    cached.clone()
}

/// Code of all steps of a run of rows, made when it is first needed.
pub struct CachedRows {
    program: RowProgram,
    target: &'static Target,
    code: OnceLock<std::result::Result<RowCode, String>>,
    /// Code for the first runs.
    draft: OnceLock<Option<RowCode>>,
    /// Work done before it was compiled for good.
    work: AtomicU64,
    used: AtomicU64,
}

/// Programs, each for a target.
type Programs = FxHashMap<(RowProgram, &'static str), Arc<CachedRows>>;
static ROWS: LazyLock<Mutex<Programs>> = LazyLock::new(Mutex::default);

/// The cached code of `program`.
pub fn lookup_rows(program: &RowProgram, target: &'static Target) -> Arc<CachedRows> {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    make_room(&mut rows, |r| &r.used);
    let cached = rows.entry((program.clone(), target.name())).or_insert_with(|| {
        let program = program.clone();
        let (code, draft, work, used) = (OnceLock::new(), OnceLock::new(), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(CachedRows { program, target, code, draft, work, used })
    });
    cached.used.store(CLOCK.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    cached.clone()
}

impl CachedRows {
    /// What the code does.
    pub fn program(&self) -> &RowProgram {
        &self.program
    }

    /// The code, or why there is none.
    pub fn code(&self) -> std::result::Result<&RowCode, &str> {
        let compile = || match Backend::Wide.why_not(self.target) {
            Some(why) => Err(why),
            None => RowCode::compile(&self.program, self.target).map_err(|e| e.to_string()),
        };
        self.code.get_or_init(compile).as_ref().map_err(String::as_str)
    }

    /// The code to run, which is made if steps of so much work (elements times cost units, and picoseconds), and of what was done
    /// before, are worth it.
    pub fn worth(&self, config: &Config, work: u64, picoseconds: u64) -> Option<&RowCode> {
        let auto = match config.backend {
            BackendChoice::Interp | BackendChoice::Clif => return None,
            BackendChoice::Auto => true,
            BackendChoice::Wide => false,
        };
        if let Some(code) = self.code.get() {
            return code.as_ref().ok();
        }
        let done = self.work.fetch_add(work, Ordering::Relaxed).saturating_add(work);
        if auto && done < COMPILE_AT {
            return None;
        }
        if is_drafted(done, work, picoseconds, self.program.instructions())
            && let Some(code) = self.draft.get_or_init(|| RowCode::draft(&self.program, self.target)).as_ref()
        {
            return Some(code);
        }
        self.code().ok()
    }
}

/// Whether code of so many instructions, whose runs so far did work of `done` units, is not yet worth compiling for good: `units` of
/// them take so many picoseconds.
fn is_drafted(done: u64, units: u64, picoseconds: u64, instructions: usize) -> bool {
    u128::from(done) * u128::from(picoseconds) / u128::from(units.max(1)) < u128::from(FINISH_AT) * instructions as u128
}

/// Drops the older half of a cache that is full; plans that still use an entry keep it alive.
fn make_room<K: std::hash::Hash + Eq, V>(cache: &mut FxHashMap<K, Arc<V>>, used: impl Fn(&V) -> &AtomicU64) {
    if cache.len() >= CAPACITY {
        let mut times: Vec<u64> = cache.values().map(|v| used(v).load(Ordering::Relaxed)).collect();
        let middle = times.len() / 2;
        let median = *times.select_nth_unstable(middle).1;
        cache.retain(|_, v| used(v).load(Ordering::Relaxed) > median);
    }
}

/// How many kernels are cached.
pub fn cached() -> usize {
    KERNELS.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// Forgets every kernel.
pub fn clear() {
    KERNELS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl CachedKernel {
    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// What it is compiled for.
    pub fn target(&self) -> &'static Target {
        self.target
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
            BackendChoice::Wide | BackendChoice::Auto => {
                if let Some(code) = self.compiled() {
                    return Ok(code);
                }
                let auto = config.backend == BackendChoice::Auto;
                let work = (elements as u64).saturating_mul(self.weight as u64);
                let done = self.work.fetch_add(work, Ordering::Relaxed).saturating_add(work);
                if auto && done < COMPILE_AT {
                    return Ok(self.interp());
                }
                if is_drafted(done, self.weight.into(), self.cost, self.kernel.insts.len())
                    && let Some(code) = self.draft()
                {
                    return Ok(code);
                }
                let code = self.native();
                if auto { Ok(code.unwrap_or_else(|_| self.interp())) } else { code }
            }
        }
    }

    /// Code that is made quickly, of a kernel that is not short.
    fn draft(&self) -> Option<&Code> {
        self.draft.get_or_init(|| Code::draft(&self.kernel, self.target)).as_ref()
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

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_graph::DType;
    use lazuli_jit::{Builder, Class, Role, RowBinding, RowLayout, RowPlace, RowSink, RowSource, RowStage};
    use smallvec::smallvec;

    /// `x` multiplied by itself so many times.
    fn power(n: usize) -> Kernel {
        let mut b = Builder::new();
        let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
        let x = b.load(x);
        let product = (0..n).fold(x, |product, _| b.fmul(product, x));
        let out = b.operand(Role::Output, DType::F64, Class::Contiguous);
        b.store(out, product);
        b.finish()
    }

    #[test]
    fn kernels_are_drafted_and_then_compiled() {
        let target = Target::detect();
        if Backend::Wide.why_not(target).is_some() {
            return;
        }
        let cached = |n: usize| lookup(power(n), Folds::default(), target, 2 * n as u32);
        let auto = Config::default().backend(BackendChoice::Auto);
        let wide = auto.clone().backend(BackendChoice::Wide);
        for n in [30, 300] {
            let long = cached(n);
            assert_eq!(long.code(&auto, 1).unwrap().backend(), Backend::Interp);
            let draft = long.code(&auto, 10_000).unwrap();
            assert!(draft.backend() == Backend::Wide && std::ptr::eq(draft, long.code(&wide, 1).unwrap()));
            assert!(long.compiled().is_none());
            let last = long.code(&auto, 10_000_000).unwrap();
            assert!(!std::ptr::eq(last, draft) && std::ptr::eq(last, long.native().unwrap()));
            for config in [&auto, &wide] {
                assert!(std::ptr::eq(last, long.code(config, 1).unwrap()));
            }
        }
        // A draft would save nothing.
        let short = cached(3);
        assert!(std::ptr::eq(short.code(&wide, 1).unwrap(), short.native().unwrap()));
    }

    /// The largest element of each row, and the power of all.
    fn rows(n: usize) -> RowProgram {
        let (copy, power) = (power(1), power(n));
        let along = |source| RowBinding { source, offset: 0, strides: smallvec![80, 8] };
        let (x, tile, out) = (RowSource::Memory(0), RowSource::Tile, RowSource::Memory(2));
        let largest = RowSink { reduction: Reduction::new(ReduceOp::Max, DType::F64, false), tile: 0, memory: 1 };
        let stage = |kernel, to, sinks| RowStage {
            kernel,
            extents: smallvec![5, 10],
            bindings: smallvec![along(x), along(to)],
            sinks,
        };
        let stages = [stage(&copy, tile, smallvec![largest]), stage(&power, out, smallvec![])];
        let places = [RowPlace::Read, RowPlace::Write { row: 8 }, RowPlace::Write { row: 80 }];
        RowLayout::new(5, 2, places, stages).unwrap().program().unwrap().clone()
    }

    #[test]
    fn rows_are_drafted_and_then_compiled() {
        let target = Target::detect();
        if Backend::Wide.why_not(target).is_some() {
            return;
        }
        let auto = Config::default().backend(BackendChoice::Auto);
        let wide = auto.clone().backend(BackendChoice::Wide);
        let interp = auto.clone().backend(BackendChoice::Interp);
        let long = lookup_rows(&rows(40), target);
        let worth = |config, work, picoseconds| long.worth(config, work, picoseconds).map(std::ptr::from_ref);
        assert_eq!(worth(&auto, 1, 100), None);
        assert_eq!(worth(&interp, u64::MAX, u64::MAX), None);
        let draft = worth(&wide, 1, 100).unwrap();
        assert!(worth(&auto, COMPILE_AT, 100) == Some(draft) && long.code.get().is_none());
        // A run that takes long is not the draft's.
        let last = worth(&auto, COMPILE_AT, 1_000_000_000).unwrap();
        assert!(last != draft && std::ptr::eq(last, long.code().unwrap()));
        assert!([&auto, &wide].iter().all(|config| worth(config, 1, 100) == Some(last)));
    }
}
