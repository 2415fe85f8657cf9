//! Loops over several threads, and thread pools for libraries that want rayon's.

use crate::cpu;
use crate::team::Team;
pub use crate::team::Work;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

/// How many [`Share`]s there are.
static SHARES: AtomicUsize = AtomicUsize::new(0);

/// The cores that belong to one of several that compute at the same time: they divide them. One that had more threads
/// than its share would wait for those that the system has put aside, and would have cut its work into pieces for nothing.
///
/// ```
/// use lazuli_runtime::threads::Share;
/// let share = Share::new();
/// // As many as are asked for, if nobody else computes.
/// assert!((1..=3).contains(&share.threads(3)));
/// ```
#[derive(Debug)]
pub struct Share(());

impl Share {
    /// For a computation that lasts as long as this lives.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Share {
        SHARES.fetch_add(1, Ordering::Relaxed);
        Share(())
    }

    /// How many threads it has at this moment, if it would have so many (0: one for each core).
    pub fn threads(&self, threads: usize) -> usize {
        let threads = Threads::count(threads);
        match SHARES.load(Ordering::Relaxed) {
            0 | 1 => threads,
            shares => threads.min(cpu::cores() / shares).max(1),
        }
    }

    /// Has `work` done on the caller's thread and on up to `threads - 1` others (0: one thread for each core) at the same time,
    /// as far as the share goes, and gives it back when all have come back.
    ///
    /// It shares itself out, and comes back when all of it is taken. Others come if they are free and in time: a
    /// thread that has not started when the caller's is done never does, so a loop that is short, on a machine that is
    /// busy, takes no longer than on one thread. A panic is passed on when all have come back.
    ///
    /// ```
    /// use lazuli_runtime::threads::Share;
    /// use std::sync::Mutex;
    /// let work = Mutex::new(0..100);
    /// let done = Mutex::new(Vec::new());
    /// Share::new().together(2, &|| {
    ///     while let Some(i) = { let mut work = work.lock().unwrap(); work.next() } {
    ///         done.lock().unwrap().push(i);
    ///     }
    /// });
    /// assert_eq!(done.into_inner().unwrap().len(), 100);
    /// ```
    pub fn together<W: Work>(&self, threads: usize, work: W) -> W {
        match self.threads(threads) {
            1 => {
                work.work();
                work
            }
            threads => TEAM.run(threads - 1, work),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        SHARES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Calls `f(0)` … `f(n_tasks - 1)`, on up to `threads` threads (0: one for each core), whoever else computes, and returns
/// when all are done.
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
    let threads = Threads::count(threads).min(n_tasks);
    if threads <= 1 {
        return (0..n_tasks).for_each(f);
    }
    let next = AtomicUsize::new(0);
    TEAM.run(threads - 1, &|| {
        loop {
            // Only the tasks are shared out here; the team orders what they read and write.
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
        Share::new().together(2, &|| {
            let calls = AtomicUsize::new(0);
            Share::new().together(0, &|| {
                calls.fetch_add(1, Ordering::Relaxed);
                // Long enough for others to come, if they were asked.
                thread::sleep(std::time::Duration::from_millis(20));
            });
            assert!(calls.into_inner() <= (cpu::cores() / 2).max(1));
        });
    }

    #[test]
    fn shares_divide_the_cores() {
        let (a, b) = (Share::new(), Share::new());
        for share in [&a, &b] {
            assert!(share.threads(0) <= (cpu::cores() / 2).max(1));
            assert_eq!(share.threads(1), 1);
        }
        let calls = AtomicUsize::new(0);
        a.together(cpu::cores(), &|| {
            calls.fetch_add(1, Ordering::Relaxed);
            thread::sleep(std::time::Duration::from_millis(5));
        });
        assert!((1..=(cpu::cores() / 2).max(1)).contains(&calls.into_inner()));
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
