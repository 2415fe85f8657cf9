//! Where a worker sleeps, so that it wakes beside its caller and not behind him.
//!
//! Linux may place a thread that is woken on the core of the one who wakes it, though another is free: always where
//! that other is a virtual one that its host has put aside, as it does with a core that has been idle for some
//! milliseconds. The two then share one core until the system balances its queues, which was seen to take 3 to 10 ms:
//! dozens of short loops. So a sleeping worker is kept off the core that wakes it.

#[cfg(all(target_os = "linux", not(miri)))]
mod system {
    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// One worker's.
    #[derive(Default)]
    pub(crate) struct Seat {
        own: OnceLock<(Pid, CpuSet)>,
        /// One more than the core that the worker is kept off; 0 is none.
        off: AtomicUsize,
    }

    impl Seat {
        /// Remembers the calling thread, and where it may run.
        pub(crate) fn take(&self) {
            if let Ok(cores) = sched_getaffinity(None) {
                // Nobody else sets it.
                let _ = self.own.set((gettid(), cores));
            }
        }

        /// Keeps the worker, which sleeps, off the calling thread's core, and off no other.
        pub(crate) fn avoid_caller(&self) {
            let here = sched_getcpu();
            let Some((worker, cores)) = self.own.get() else { return };
            if self.off.swap(here + 1, Ordering::Relaxed) == here + 1 {
                return;
            }
            let mut others = *cores;
            if here < CpuSet::MAX_CPU {
                others.unset(here);
            }
            // A caller that may run nowhere else shares his core.
            let wanted = if others.count() > 0 { &others } else { cores };
            // Where the system refuses, the worker comes when it comes.
            let _ = sched_setaffinity(Some(*worker), wanted);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::sync::Barrier;

        #[test]
        fn the_core_of_the_caller_is_avoided() {
            let seat = Seat::default();
            let all = sched_getaffinity(None).unwrap();
            let (taken, end) = (Barrier::new(2), Barrier::new(2));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    seat.take();
                    taken.wait();
                    end.wait();
                });
                taken.wait();
                let worker = seat.own.get().unwrap().0;
                for _ in 0..2 {
                    seat.avoid_caller();
                    let off = seat.off.load(Ordering::Relaxed) - 1;
                    let mut expected = all;
                    expected.unset(off);
                    let expected = if expected.count() > 0 { expected } else { all };
                    assert!(sched_getaffinity(Some(worker)).unwrap() == expected);
                }
                end.wait();
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
