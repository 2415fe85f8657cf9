//! Loops over several threads, and thread pools for libraries that want rayon's.

use crate::cpu;
use crate::team::Team;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// The system gives no more threads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot start {threads} threads: {reason}")]
pub struct ThreadsError {
    /// How many were asked for.
    pub threads: usize,
    /// What the system said.
    pub reason: String,
}

/// Rayon's pools, one for each number of threads, made when first asked for and kept.
#[derive(Debug)]
pub struct Threads;

static POOLS: Mutex<Option<HashMap<usize, Arc<ThreadPool>>>> = Mutex::new(None);

/// The most threads of a pool.
pub const MAX_THREADS: usize = 4096;

impl Threads {
    /// How many threads a setting means: 0 is one for each core.
    ///
    /// ```
    /// use lazuli_runtime::threads::Threads;
    /// assert_eq!(Threads::count(3), 3);
    /// assert!(Threads::count(0) >= 1);
    /// ```
    pub fn count(setting: usize) -> usize {
        if setting == 0 { cpu::cores() } else { setting.min(MAX_THREADS) }
    }

    /// The pool of `n` threads; `n = 0` is one for each core.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn get(n: usize) -> Result<Arc<ThreadPool>, ThreadsError> {
        let n = Threads::count(n);
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = pools.get_or_insert_default();
        if let Some(pool) = pools.get(&n) {
            return Ok(pool.clone());
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(n)
            .thread_name(|i| format!("lazuli-{i}"))
            .build()
            .map_err(|e| ThreadsError { threads: n, reason: e.to_string() })?;
        let pool = Arc::new(pool);
        pools.insert(n, pool.clone());
        Ok(pool)
    }
}

/// The workers of all loops.
static TEAM: Team = Team::new();

/// How many loops over several threads run at this moment.
static LOOPS: AtomicUsize = AtomicUsize::new(0);

/// Whose loop was the last to begin or to end, and when: a [`Mark`]. It is not kept as long as there is only one caller.
static LAST: AtomicU64 = AtomicU64::new(0);

/// How many threads have called loops, modulo 2^16.
static CALLERS: AtomicU16 = AtomicU16::new(0);

thread_local! {
    /// Which of them this is.
    static CALLER: u16 = CALLERS.fetch_add(1, Ordering::Relaxed);
}

/// How long a caller whose loop has ended is taken to be about to start the next: longer than what lies between the loops
/// of a call, or between one call and the next in a row of calls.
const PAUSE: u64 = 10;

/// A caller, and microseconds since the process began to count.
#[derive(Clone, Copy)]
struct Mark {
    caller: u16,
    time: u64,
}

impl Mark {
    /// None if nobody else has ever called.
    fn now() -> Option<Mark> {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        let caller = CALLER.with(|c| *c);
        if CALLERS.load(Ordering::Relaxed) == 1 {
            return None;
        }
        // The time comes after a PAUSE, so that at the beginning of time nobody seems to have called just now.
        Some(Mark { caller, time: BEGAN.elapsed().as_micros() as u64 + 2 * PAUSE })
    }

    fn word(self) -> u64 {
        self.time << 16 | u64::from(self.caller)
    }

    /// Whether a loop of `last` means that someone else calls at this time.
    fn beside(self, last: u64) -> bool {
        last as u16 != self.caller && self.time.saturating_sub(last >> 16) <= PAUSE
    }
}

/// A loop that is counted in [`LOOPS`] as long as this lives.
struct Counted {
    /// How many there are, this one included, and that of a caller who is between two.
    loops: usize,
}

impl Counted {
    fn new() -> Counted {
        let others = Mark::now().is_some_and(|mark| mark.beside(LAST.swap(mark.word(), Ordering::Relaxed)));
        let loops = LOOPS.fetch_add(1, Ordering::Relaxed) + 1;
        Counted { loops: loops.max(1 + usize::from(others)) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(mark) = Mark::now() {
            LAST.store(mark.word(), Ordering::Relaxed);
        }
        LOOPS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `f` on the caller's thread and on up to `threads - 1` others (0: one thread for each core) at the same time,
/// and returns when all have come back.
///
/// `f` shares out the work itself, and comes back when all of it is taken. Others come if they are free and in time: a
/// thread that has not started when the caller's is done never does, so a loop that is short, on a machine that is
/// busy, takes no longer than on one thread. Loops of several callers at a time divide the cores among them, a caller
/// between two loops included: one that had more threads than its share would wait for those that the system has put aside. A panic in `f` is passed on when
/// all have come back.
///
/// ```
/// use lazuli_runtime::threads::together;
/// use std::sync::Mutex;
/// let work = Mutex::new(0..100);
/// let done = Mutex::new(Vec::new());
/// together(2, || {
///     while let Some(i) = { let mut work = work.lock().unwrap(); work.next() } {
///         done.lock().unwrap().push(i);
///     }
/// });
/// assert_eq!(done.into_inner().unwrap().len(), 100);
/// ```
pub fn together(threads: usize, f: impl Fn() + Sync) {
    let threads = Threads::count(threads);
    if threads <= 1 {
        return f();
    }
    let counted = Counted::new();
    match if counted.loops > 1 { threads.min(cpu::cores() / counted.loops) } else { threads } {
        0 | 1 => f(),
        share => TEAM.run(share - 1, &f),
    }
}

/// Calls `f(0)` … `f(n_tasks - 1)`, on up to `threads` threads (0: one for each core), and returns when all are done.
///
/// The caller's thread is one of them, and the only one where `threads` or `n_tasks` is 1 or the system gives no more.
/// Each thread takes the next task when it has finished one: `f` must not depend on who runs it or in which order.
/// A panic in `f` is passed on when the threads have stopped.
///
/// ```
/// use lazuli_runtime::threads::parallel_for;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let sum = AtomicUsize::new(0);
/// parallel_for(100, 2, |i| { sum.fetch_add(i, Ordering::Relaxed); });
/// assert_eq!(sum.into_inner(), 4950);
/// ```
pub fn parallel_for(n_tasks: usize, threads: usize, f: impl Fn(usize) + Sync) {
    let threads = if n_tasks <= 1 { 1 } else { Threads::count(threads).min(n_tasks) };
    if threads <= 1 {
        return (0..n_tasks).for_each(f);
    }
    let next = AtomicUsize::new(0);
    together(threads, || {
        loop {
            // Only the tasks are shared out here; `together` orders what they read and write.
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n_tasks {
                break;
            }
            f(i);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread::{self, ThreadId};

    #[test]
    fn every_task_runs_once() {
        for threads in [0, 1, 2, 5] {
            for n in [0, 1, 2, 3, 50] {
                let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                parallel_for(n, threads, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{n} tasks, {threads} threads");
            }
        }
    }

    fn who(n: usize, threads: usize) -> HashSet<ThreadId> {
        let ids = Mutex::new(HashSet::new());
        parallel_for(n, threads, |_| {
            ids.lock().unwrap().insert(thread::current().id());
        });
        ids.into_inner().unwrap()
    }

    #[test]
    fn one_thread_is_the_callers() {
        let me = HashSet::from([thread::current().id()]);
        assert_eq!(who(100, 1), me);
        assert_eq!(who(1, 8), me);
    }

    #[test]
    fn loops_nest() {
        let sum = AtomicUsize::new(0);
        parallel_for(4, 2, |_| {
            parallel_for(4, 2, |j| {
                sum.fetch_add(j, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 4 * 6);
    }

    #[test]
    fn loops_at_a_time_divide_the_cores() {
        together(2, || {
            let calls = AtomicUsize::new(0);
            together(0, || {
                calls.fetch_add(1, Ordering::Relaxed);
                // Long enough for others to come, if they were asked.
                thread::sleep(std::time::Duration::from_millis(20));
            });
            assert!(calls.into_inner() <= (cpu::cores() / 2).max(1));
        });
    }

    #[test]
    fn a_caller_between_two_loops_counts_for_a_moment() {
        let mark = |caller, time| Mark { caller, time };
        let me = mark(7, 1000);
        assert!(me.beside(mark(8, 1000 - PAUSE).word()) && me.beside(mark(8, 1001).word()));
        assert!(!me.beside(mark(8, 999 - PAUSE).word()), "long ago");
        assert!(!me.beside(mark(7, 1000).word()), "that was me");
        thread::spawn(|| together(2, || ())).join().unwrap();
        together(2, || ());
        assert!(!Mark::now().unwrap().beside(0), "nobody");
    }

    #[test]
    fn panics_are_passed_on() {
        let result = std::panic::catch_unwind(|| parallel_for(10, 2, |i| assert_ne!(i, 7, "seven")));
        assert!(result.is_err());
        parallel_for(10, 2, |_| ());
    }

    #[test]
    fn pools_are_kept() {
        let a = Threads::get(2).unwrap();
        assert!(Arc::ptr_eq(&a, &Threads::get(2).unwrap()));
        assert_eq!(a.current_num_threads(), 2);
    }
}
