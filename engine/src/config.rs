//! Configuration: what the user chooses, and the one place where the environment is read.
//!
//! | variable | meaning |
//! |---|---|
//! | `LAZULI_PRECISION` | `precise`, `standard` or `fast` |
//! | `LAZULI_THREADS` | number of threads; 0 is one for each core |
//! | `LAZULI_BACKEND` | `auto`, `interp` or `clif` |
//! | `LAZULI_TARGET` | a target's name, as `lazuli info` lists them |
//! | `LAZULI_MEMORY_LIMIT` | most bytes a computation may allocate |
//! | `LAZULI_DISABLE` | passes to leave out, separated by commas |
//! | `LAZULI_EAGER` | `1` computes every operation at once |

use lazuli_graph::passes::PassSet;
use lazuli_jit::{Precision, Target};
use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

/// Which backend runs kernels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum BackendChoice {
    /// The interpreter for small one-off work, compiled code for the rest. The bits are the same.
    #[default]
    Auto,
    /// Always the interpreter.
    Interp,
    /// Always code compiled with Cranelift, with vectors of 128 bits.
    Clif,
    /// Always code with the widest vectors, where the target has them; else as `Clif`.
    Wide,
}

impl BackendChoice {
    /// Every choice.
    pub const ALL: [BackendChoice; 4] =
        [BackendChoice::Auto, BackendChoice::Interp, BackendChoice::Clif, BackendChoice::Wide];

    /// The name: `auto`, `interp`, `clif` or `wide`.
    pub const fn name(self) -> &'static str {
        match self {
            BackendChoice::Auto => "auto",
            BackendChoice::Interp => "interp",
            BackendChoice::Clif => "clif",
            BackendChoice::Wide => "wide",
        }
    }
}

impl std::str::FromStr for BackendChoice {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let known = || BackendChoice::ALL.map(BackendChoice::name).join(", ");
        let named = BackendChoice::ALL.into_iter().find(|b| b.name() == s);
        named.ok_or_else(|| format!("unknown backend '{s}'; known are {}", known()))
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A callback that is told the fraction done, from 0 to 1, now and then, from any thread.
pub type Progress = Arc<dyn Fn(f64) + Send + Sync>;

/// How expressions are computed. Set globally ([`set_global`]), for a scope ([`scoped`]), or for one call.
///
/// ```
/// use lazuli_engine::{Config, Precision};
/// let config = Config::default().precision(Precision::Fast).threads(4);
/// assert_eq!(config.threads, 4);
/// ```
#[derive(Clone)]
pub struct Config {
    /// The arithmetic's contract.
    pub precision: Precision,
    /// Threads; 0 is one for each core.
    pub threads: usize,
    /// The backend.
    pub backend: BackendChoice,
    /// The instruction set that code is compiled for.
    pub target: &'static Target,
    /// Most bytes that a computation may allocate for results and temporaries.
    pub memory_limit: Option<u64>,
    /// Compute each operation as it is built.
    pub eager: bool,
    /// Passes of the optimizer that are left out.
    pub disabled: PassSet,
    /// Is told of progress in long runs.
    pub progress: Option<Progress>,
    /// Stops the run, between tiles, once it is true.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl Default for Config {
    /// The built-in choices, changed by the environment where it says something valid.
    fn default() -> Config {
        static DEFAULT: LazyLock<Config> = LazyLock::new(|| Config::from_env().unwrap_or_else(|_| Config::builtin()));
        DEFAULT.clone()
    }
}

impl Config {
    fn builtin() -> Config {
        Config {
            precision: Precision::Standard,
            threads: 0,
            backend: BackendChoice::Auto,
            target: Target::detect(),
            memory_limit: None,
            eager: false,
            disabled: PassSet::default(),
            progress: None,
            cancel: None,
        }
    }

    /// The built-in choices changed by the environment's variables (see the module).
    ///
    /// # Errors
    /// A variable whose value is not understood, named with what is.
    pub fn from_env() -> Result<Config, String> {
        let mut config = Config::builtin();
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let named = |name: &str, e: &dyn fmt::Display| format!("{name}: {e}");
        if let Some(v) = var("LAZULI_PRECISION") {
            config.precision = v.parse().map_err(|e| named("LAZULI_PRECISION", &e))?;
        }
        if let Some(v) = var("LAZULI_THREADS") {
            config.threads = v.parse().map_err(|e| named("LAZULI_THREADS", &e))?;
        }
        if let Some(v) = var("LAZULI_BACKEND") {
            config.backend = v.parse().map_err(|e| named("LAZULI_BACKEND", &e))?;
        }
        if let Some(v) = var("LAZULI_TARGET") {
            config = config.target_named(&v).map_err(|e| named("LAZULI_TARGET", &e))?;
        }
        if let Some(v) = var("LAZULI_MEMORY_LIMIT") {
            config.memory_limit = Some(v.parse().map_err(|e| named("LAZULI_MEMORY_LIMIT", &e))?);
        }
        if let Some(v) = var("LAZULI_DISABLE") {
            config.disabled = v.parse().map_err(|e| named("LAZULI_DISABLE", &e))?;
        }
        config.eager = var("LAZULI_EAGER").is_some_and(|v| v == "1");
        EAGER.fetch_or(config.eager, Ordering::Relaxed);
        Ok(config)
    }

    /// With another precision.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Config {
        self.precision = precision;
        self
    }

    /// With another number of threads; 0 is one for each core.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Config {
        self.threads = threads;
        self
    }

    /// With another backend.
    #[must_use]
    pub fn backend(mut self, backend: BackendChoice) -> Config {
        self.backend = backend;
        self
    }

    /// With another target. The target `interp` chooses the interpreter.
    #[must_use]
    pub fn target(mut self, target: &'static Target) -> Config {
        self.target = target;
        self
    }

    /// With the target of this name; `interp` chooses the interpreter.
    ///
    /// # Errors
    /// An unknown name, or a target this CPU lacks.
    pub fn target_named(mut self, name: &str) -> Result<Config, lazuli_jit::TargetError> {
        if name == "interp" {
            self.backend = BackendChoice::Interp;
        } else {
            self.target = interned(name)?;
        }
        Ok(self)
    }

    /// With a limit on the bytes allocated.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Config {
        self.memory_limit = Some(bytes);
        self
    }

    /// With eager mode on or off.
    #[must_use]
    pub fn eager(mut self, eager: bool) -> Config {
        self.eager = eager;
        self
    }

    /// Without these passes.
    #[must_use]
    pub fn disable(mut self, passes: PassSet) -> Config {
        self.disabled = passes;
        self
    }

    /// With a callback for progress.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(f64) + Send + Sync + 'static) -> Config {
        self.progress = Some(Arc::new(progress));
        self
    }

    /// With a token that stops the run once it is true.
    #[must_use]
    pub fn cancel_token(mut self, token: Arc<AtomicBool>) -> Config {
        self.cancel = Some(token);
        self
    }
}

/// The target of a name, made once.
fn interned(name: &str) -> Result<&'static Target, lazuli_jit::TargetError> {
    static TARGETS: Mutex<Vec<&'static Target>> = Mutex::new(Vec::new());
    let target = Target::by_name(name)?;
    let mut targets = TARGETS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = targets.iter().find(|t| t.name() == target.name()) {
        return Ok(known);
    }
    let target: &'static Target = Box::leak(Box::new(target));
    targets.push(target);
    Ok(target)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("precision", &self.precision)
            .field("threads", &self.threads)
            .field("backend", &self.backend)
            .field("target", &self.target.name())
            .field("memory_limit", &self.memory_limit)
            .field("eager", &self.eager)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// Whether any configuration has ever asked for eager mode: building a node must not cost more for those that don't.
static EAGER: AtomicBool = AtomicBool::new(false);

/// Whether the configuration in force asks for eager mode.
pub fn is_eager() -> bool {
    // The environment may ask for it before anything has read the configuration.
    static DEFAULT: LazyLock<bool> = LazyLock::new(|| Config::default().eager);
    (EAGER.load(Ordering::Relaxed) || *DEFAULT) && current().eager
}

static GLOBAL: LazyLock<RwLock<Arc<Config>>> = LazyLock::new(|| RwLock::new(Arc::new(Config::default())));

/// How often the global configuration has been set, and one.
static VERSION: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static SCOPES: RefCell<Vec<Arc<Config>>> = const { RefCell::new(Vec::new()) };
    /// The global configuration as this thread last saw it: a call need not lock what is hardly ever set.
    static SEEN: RefCell<(u64, Option<Arc<Config>>)> = const { RefCell::new((0, None)) };
}

/// Sets the configuration of every thread that is in no scope.
///
/// ```
/// use lazuli_engine::{Config, config};
/// config::set_global(Config::default().threads(1));
/// assert_eq!(config::current().threads, 1);
/// ```
pub fn set_global(config: Config) {
    EAGER.fetch_or(config.eager, Ordering::Relaxed);
    let mut global = GLOBAL.write().unwrap_or_else(PoisonError::into_inner);
    *global = Arc::new(config);
    VERSION.fetch_add(1, Ordering::Release);
}

/// The configuration in force here: the innermost scope's, or the global one.
pub fn current() -> Arc<Config> {
    if let Some(scope) = SCOPES.with_borrow(|s| s.last().cloned()) {
        return scope;
    }
    SEEN.with_borrow_mut(|(version, seen)| match seen {
        Some(config) if *version == VERSION.load(Ordering::Acquire) => config.clone(),
        _ => {
            let global = GLOBAL.read().unwrap_or_else(PoisonError::into_inner);
            // Versions are raised under the lock.
            *version = VERSION.load(Ordering::Relaxed);
            seen.insert(global.clone()).clone()
        }
    })
}

/// Runs `f` in no scope. A thread that waits for a pool may be lent to other tasks, which must not find the scope of
/// the one that waits.
pub(crate) fn suspended<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(Vec<Arc<Config>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPES.with_borrow_mut(|s| *s = std::mem::take(&mut self.0));
        }
    }
    let _restore = Restore(SCOPES.take());
    f()
}

/// Runs `f` with `config` in force on this thread.
///
/// ```
/// use lazuli_engine::{Config, Precision, config};
/// let fast = Config::default().precision(Precision::Fast);
/// config::scoped(fast, || assert_eq!(config::current().precision, Precision::Fast));
/// ```
pub fn scoped<R>(config: Config, f: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            SCOPES.with_borrow_mut(|s| s.pop());
        }
    }
    EAGER.fetch_or(config.eager, Ordering::Relaxed);
    SCOPES.with_borrow_mut(|s| s.push(Arc::new(config)));
    let _leave = Leave;
    f()
}
