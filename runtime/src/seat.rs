//! Where a worker sleeps, so that it wakes beside its caller and not behind him.
//!
//! Linux may place a thread that is woken on the core of the one who wakes it, though another is free: always where
//! that other is a virtual one that its host has put aside, as it does with a core that has been idle for some
//! milliseconds. The two then share one core until the system balances its queues, which was seen to take 3 to 10 ms:
//! dozens of short loops. So a sleeping worker is kept off the core that wakes it.

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// One worker's.
    #[derive(Default)]
    pub(crate) struct Seat {
        worker: OnceLock<Pid>,
        /// One more than the core that the worker is kept off; 0 is none.
        off: AtomicUsize,
        cores: Mutex<Option<Cores>>,
    }

    /// Where a worker may run.
    struct Cores {
        /// By what it was given.
        all: CpuSet,
        /// By what was set here.
        now: CpuSet,
    }

    impl Seat {
        /// Remembers the calling thread.
        pub(crate) fn take(&self) {
            // Nobody else sets it.
            let _ = self.worker.set(gettid());
        }

        /// Keeps the worker, which sleeps, off the calling thread's core, and off no other.
        pub(crate) fn avoid_caller(&self) {
            let here = sched_getcpu();
            let Some(&worker) = self.worker.get() else { return };
            if here < CpuSet::MAX_CPU && self.off.swap(here + 1, Ordering::Relaxed) != here + 1 {
                // Where the system refuses, the worker comes when it comes.
                let _ = self.keep_off(worker, here);
            }
        }

        fn keep_off(&self, worker: Pid, core: usize) -> rustix::io::Result<()> {
            let mut cores = self.cores.lock().unwrap_or_else(PoisonError::into_inner);
            let found = sched_getaffinity(Some(worker))?;
            // What somebody else has set since is what it is given.
            let all = cores.as_ref().filter(|c| c.now == found).map_or(found, |c| c.all);
            let mut now = all;
            now.unset(core);
            if now.count() == 0 {
                // A caller that may run nowhere else shares its core.
                now = all;
            }
            *cores = Some(Cores { all, now });
            sched_setaffinity(Some(worker), &now)
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::sync::mpsc::channel;

        #[test]
        fn the_core_of_the_caller_is_avoided() {
            let seat = Seat::default();
            let all = sched_getaffinity(None).unwrap();
            std::thread::scope(|scope| {
                let (taken, was_taken) = channel();
                // The end of the closure, whatever it is, ends the thread.
                let (_end, ended) = channel::<()>();
                let seat = &seat;
                scope.spawn(move || {
                    seat.take();
                    taken.send(()).unwrap();
                    let _ = ended.recv();
                });
                was_taken.recv().unwrap();
                let worker = *seat.worker.get().unwrap();
                let kept_off = |from: &CpuSet| {
                    let mut expected = *from;
                    expected.unset(seat.off.load(Ordering::Relaxed) - 1);
                    let expected = if expected.count() > 0 { expected } else { *from };
                    assert!(sched_getaffinity(Some(worker)).unwrap() == expected);
                };
                for _ in 0..2 {
                    seat.avoid_caller();
                    kept_off(&all);
                }
                // Another core, as if this thread had moved.
                for core in [1, 0] {
                    seat.off.store(core + 1, Ordering::Relaxed);
                    seat.keep_off(worker, core).unwrap();
                    kept_off(&all);
                }
                // What others set counts from then on.
                let mut one = CpuSet::new();
                one.set((0..CpuSet::MAX_CPU).find(|&core| all.is_set(core)).unwrap());
                sched_setaffinity(Some(worker), &one).unwrap();
                for core in 0..2 {
                    seat.off.store(core + 1, Ordering::Relaxed);
                    seat.keep_off(worker, core).unwrap();
                    kept_off(&one);
                }
            });
        }
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod system {
    /// One worker's, where the system is trusted to place threads.
    #[derive(Default)]
    pub(crate) struct Seat;

    impl Seat {
        pub(crate) fn take(&self) {}
        pub(crate) fn avoid_caller(&self) {}
    }
}

pub(crate) use system::Seat;
