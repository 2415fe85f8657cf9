//! Worker threads for loops of a few microseconds.
//!
//! A loop is run by the caller's thread, and by as many workers as come in time. Invariants:
//! - each worker has one word, its [`Desk`]: idle, asleep, running, or the address of a [`Job`] that it is offered;
//! - only the caller of a job makes the word its address, and takes it back when its own part is done, if the worker has
//!   not started by then: nobody ever waits for a thread to wake up;
//! - a job lives until every worker that started it has counted itself out.
//!
//! What a job works with lies right behind it: a worker finds it without reading where it is, which matters where each line
//! of memory comes from another core.
//!
//! A worker that has run out of work looks for more for [`SPIN`], and then sleeps: a thread that the system has to wake
//! starts after a time in which many a loop is done.
#![allow(unsafe_code)]

use crate::seat::Seat;
use smallvec::SmallVec;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a worker that has just worked looks for more before it sleeps, and a caller for workers to end.
const SPIN: Duration = Duration::from_micros(50);

/// What the word of a [`Desk`] may be beside the address of a job: jobs are aligned.
const IDLE: *mut Job = null_mut();
const ASLEEP: *mut Job = without_provenance_mut(1);
const RUNNING: *mut Job = without_provenance_mut(2);

/// Where a worker is given work.
struct Desk {
    word: AtomicPtr<Job>,
    thread: Thread,
    seat: Seat,
}

/// Of [`Job::ended`]: the caller sleeps, or is about to, and has to be woken.
const WAITS: usize = 1 << (usize::BITS - 1);

/// What threads do together, and what they need for it: a closure, or a type whose values come back with what they found.
///
/// ```
/// use lazuli_runtime::threads::{Share, Work};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// struct Squares {
///     next: AtomicU64,
///     sum: AtomicU64,
/// }
/// impl Work for Squares {
///     fn work(&self) {
///         loop {
///             match self.next.fetch_add(1, Ordering::Relaxed) {
///                 n @ ..10 => self.sum.fetch_add(n * n, Ordering::Relaxed),
///                 _ => return,
///             };
///         }
///     }
/// }
/// let squares = Squares { next: AtomicU64::new(0), sum: AtomicU64::new(0) };
/// assert_eq!(Share::new().together(2, squares).sum.into_inner(), 285);
/// ```
pub trait Work: Sync {
    /// What each of them does. It shares out the work itself, and comes back when all of it is taken.
    fn work(&self);
}

impl<F: Fn() + Sync> Work for F {
    fn work(&self) {
        self();
    }
}

/// A loop that runs: one cache line, which goes to a worker's core and back.
#[repr(C, align(64))]
struct Job {
    /// Does the work of a job at an address.
    run: unsafe fn(*const Job),
    caller: Thread,
    /// Workers that started and ended, and [`WAITS`].
    ended: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const _: () = assert!(size_of::<Job>() == 64, "a loop is one cache line");

/// A loop, and the work that it does.
#[repr(C)]
struct Whole<W> {
    job: Job,
    work: W,
}

impl<W: Work> Whole<W> {
    /// Does the work.
    ///
    /// # Safety
    /// It is the address of the `job` of such a whole, which lives until this comes back.
    unsafe fn run(job: *const Job) {
        // SAFETY: the caller's promise; the job is the first field.
        unsafe { (*job.cast::<Whole<W>>()).work.work() };
    }
}

/// Worker threads, made as they are asked for and kept.
pub(crate) struct Team {
    desks: RwLock<Vec<&'static Desk>>,
}

impl Team {
    pub(crate) const fn new() -> Team {
        Team { desks: RwLock::new(Vec::new()) }
    }

    /// Has `work` done on the caller's thread and on up to `others` workers at the same time, and gives it back when all have
    /// come back. A worker that has not started when the caller comes back does not start any more.
    ///
    /// A panic is passed on when all have come back.
    pub(crate) fn run<W: Work>(&self, others: usize, work: W) -> W {
        let panic = Mutex::new(None);
        let job = Job { run: Whole::<W>::run, caller: thread::current(), ended: AtomicUsize::new(0), panic };
        let whole = Whole { job, work };
        let address = (&raw const whole).cast::<Job>().cast_mut();
        let offered = self.offer(address, others);
        let mine = catch_unwind(AssertUnwindSafe(|| whole.work.work()));
        // Nothing from here to the end of the wait may panic: the job must outlive the workers that have started.
        let back = |desk: &&&Desk| desk.take(address, IDLE);
        let started = offered.len() - offered.iter().filter(back).count();
        whole.job.wait(started);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if let Some(panic) = whole.job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
        whole.work
    }

    /// Offers a job to up to `others` workers: those that look for one, then those that sleep, then new ones.
    fn offer(&self, job: *mut Job, others: usize) -> SmallVec<[&'static Desk; 8]> {
        let mut offered = SmallVec::new();
        let desks = self.desks.read().unwrap_or_else(PoisonError::into_inner);
        for from in [IDLE, ASLEEP] {
            for &desk in desks.iter() {
                if offered.len() == others {
                    return offered;
                }
                if desk.take(from, job) {
                    offered.push(desk);
                    if from == ASLEEP {
                        desk.seat.avoid_caller();
                        desk.thread.unpark();
                    }
                }
            }
        }
        let missing = desks.len() < others;
        drop(desks);
        if missing {
            let mut desks = self.desks.write().unwrap_or_else(PoisonError::into_inner);
            while desks.len() < others && offered.len() < others {
                // Where the system gives no more threads, those there are do the work.
                let Some(desk) = Desk::hire(desks.len(), job) else { break };
                desks.push(desk);
                offered.push(desk);
            }
        }
        offered
    }
}

impl Job {
    /// Waits until as many workers have ended as started. What they wrote is then there for the caller to read.
    fn wait(&self, started: usize) {
        let all = || self.ended.load(Ordering::Acquire) & !WAITS == started;
        if all() {
            return;
        }
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..32 {
                if all() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        // Who ends from here on sees it, and who ended before has been counted.
        self.ended.fetch_or(WAITS, Ordering::Relaxed);
        while !all() {
            thread::park();
        }
    }

    /// Counts a worker out. That is its last touch of the job.
    fn end(&self) {
        let mut ended = 0;
        while ended & WAITS == 0 {
            match self.ended.compare_exchange(ended, ended + 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => ended = now,
            }
        }
        // The caller may wake by itself, and be gone, as soon as the worker is counted.
        let caller = self.caller.clone();
        self.ended.fetch_add(1, Ordering::Release);
        caller.unpark();
    }

    /// Runs the job at an address, on the worker at `desk`.
    ///
    /// # Safety
    /// It is the address of the `job` of a whole, which lives until this has raised its `ended`.
    unsafe fn join(job: *mut Job, desk: &Desk) {
        // SAFETY: the caller's promise. A whole is only shared, never borrowed exclusively, while workers have it.
        let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { ((*job).run)(job) }));
        // SAFETY: as above.
        let job = unsafe { &*job };
        if let Err(panic) = outcome {
            *job.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
        // Free before it has counted itself out: a caller that has come back finds the workers of its last loop for its next.
        desk.word.store(IDLE, Ordering::Release);
        job.end();
    }
}

impl Desk {
    /// Starts worker `number`, with a first offer.
    fn hire(number: usize, job: *mut Job) -> Option<&'static Desk> {
        let (send, receive) = std::sync::mpsc::channel::<&'static Desk>();
        let worker = move || {
            if let Ok(desk) = receive.recv() {
                desk.seat.take();
                desk.work();
            }
        };
        let handle = thread::Builder::new().name(format!("lazuli-{number}")).spawn(worker).ok()?;
        let desk: &'static Desk = Box::leak(Box::new(Desk {
            word: AtomicPtr::new(job),
            thread: handle.thread().clone(),
            seat: Seat::default(),
        }));
        send.send(desk).ok()?;
        Some(desk)
    }

    /// Replaces one word by another.
    fn take(&self, from: *mut Job, to: *mut Job) -> bool {
        self.word.load(Ordering::Relaxed) == from
            && self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// What a worker does.
    fn work(&self) -> ! {
        loop {
            let job = self.next();
            // SAFETY: the word was the address of a job whose caller, as he cannot take it back, waits until `ended`
            // counts this worker too.
            unsafe { Job::join(job, self) };
        }
    }

    /// Waits for an offer, and takes it.
    fn next(&self) -> *mut Job {
        loop {
            let start = Instant::now();
            while start.elapsed() < SPIN {
                for _ in 0..32 {
                    let word = self.word.load(Ordering::Relaxed);
                    if word != IDLE && self.take(word, RUNNING) {
                        return word;
                    }
                    std::hint::spin_loop();
                }
            }
            // An offer that comes before makes the exchange fail; one that comes after wakes the thread.
            if self.take(IDLE, ASLEEP) {
                while self.word.load(Ordering::Acquire) == ASLEEP {
                    thread::park();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;

    #[test]
    fn as_many_threads_as_asked_for() {
        static TEAM: Team = Team::new();
        for threads in [1, 3, 2, 4] {
            // They wait for each other, so each must have come.
            let barrier = Barrier::new(threads);
            let ids = Mutex::new(HashSet::new());
            TEAM.run(threads - 1, &|| {
                barrier.wait();
                ids.lock().unwrap().insert(thread::current().id());
            });
            let ids = ids.into_inner().unwrap();
            assert_eq!(ids.len(), threads);
            assert!(ids.contains(&thread::current().id()));
        }
        assert_eq!(TEAM.desks.read().unwrap().len(), 3);
    }

    #[test]
    fn a_worker_that_is_back_is_free() {
        static TEAM: Team = Team::new();
        for _ in 0..if cfg!(miri) { 50 } else { 5000 } {
            // The worker of the round before is there at once: without it the barrier would never open.
            let barrier = Barrier::new(2);
            TEAM.run(1, &|| {
                barrier.wait();
            });
        }
        assert_eq!(TEAM.desks.read().unwrap().len(), 1);
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        static TEAM: Team = Team::new();
        for _ in 0..3 {
            let barrier = Barrier::new(2);
            TEAM.run(1, &|| {
                barrier.wait();
            });
            let desk = TEAM.desks.read().unwrap()[0];
            while desk.word.load(Ordering::Relaxed) != ASLEEP {
                thread::yield_now();
            }
        }
    }

    /// A worker that is woken may run anywhere but where its caller was.
    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn workers_wake_beside_their_caller() {
        use rustix::thread::sched_getaffinity;
        static TEAM: Team = Team::new();
        let main = thread::current().id();
        let all = sched_getaffinity(None).unwrap();
        for woken in [false, true, true] {
            let barrier = Barrier::new(2);
            let found = Mutex::new(None);
            TEAM.run(1, &|| {
                if thread::current().id() != main {
                    *found.lock().unwrap() = Some(sched_getaffinity(None).unwrap());
                }
                barrier.wait();
            });
            let missing = u32::from(woken && all.count() > 1);
            assert_eq!(found.into_inner().unwrap().unwrap().count(), all.count() - missing);
            let desk = TEAM.desks.read().unwrap()[0];
            while desk.word.load(Ordering::Relaxed) != ASLEEP {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn callers_sleep_until_their_workers_end() {
        static TEAM: Team = Team::new();
        let main = thread::current().id();
        for others in [1, 3] {
            // Some end while the caller looks for them, some while he sleeps.
            for millis in [0, 1, 0, 2] {
                let (barrier, ended) = (Barrier::new(others + 1), AtomicUsize::new(0));
                TEAM.run(others, &|| {
                    let number = if barrier.wait().is_leader() { 0 } else { millis };
                    if thread::current().id() != main {
                        thread::sleep(Duration::from_millis(number));
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert_eq!(ended.into_inner(), others);
            }
        }
    }

    #[test]
    fn nobody_waits_for_a_busy_worker() {
        static TEAM: Team = Team::new();
        let (started, end) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|s| {
            s.spawn(|| {
                let main = thread::current().id();
                TEAM.run(1, &|| {
                    if thread::current().id() == main {
                        started.wait();
                    } else {
                        started.wait();
                        end.wait();
                    }
                });
            });
            // The one worker is busy once the other loop has started; this loop runs without.
            while TEAM.desks.read().unwrap().first().is_none_or(|d| d.word.load(Ordering::Relaxed) != RUNNING) {
                thread::yield_now();
            }
            let count = AtomicUsize::new(0);
            TEAM.run(1, &|| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 1);
            end.wait();
        });
    }

    #[test]
    fn panics_of_either_side_are_passed_on_when_all_are_back() {
        static TEAM: Team = Team::new();
        let main = thread::current().id();
        for on_caller in [true, false] {
            let barrier = Barrier::new(2);
            let back = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                TEAM.run(1, &|| {
                    barrier.wait();
                    assert!((thread::current().id() == main) != on_caller, "one of the two");
                    back.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(result.is_err());
            assert_eq!(back.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn loops_of_many_callers() {
        static TEAM: Team = Team::new();
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for round in 0..if cfg!(miri) { 5 } else { 500 } {
                        let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
                        TEAM.run(2, &|| {
                            loop {
                                let i = next.fetch_add(1, Ordering::Relaxed);
                                if i >= 10 {
                                    break;
                                }
                                sum.fetch_add(i + round, Ordering::Relaxed);
                            }
                        });
                        assert_eq!(sum.into_inner(), 45 + 10 * round);
                    }
                });
            }
        });
    }

    /// What is worked with lies behind the job, however it is aligned, and comes back.
    #[test]
    fn work_is_given_back() {
        #[repr(align(256))]
        struct Count(AtomicUsize, Barrier);
        impl Work for Count {
            fn work(&self) {
                self.1.wait();
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        static TEAM: Team = Team::new();
        for _ in 0..20 {
            let Count(count, _) = TEAM.run(1, Count(AtomicUsize::new(5), Barrier::new(2)));
            assert_eq!(count.into_inner(), 7);
        }
    }
}
