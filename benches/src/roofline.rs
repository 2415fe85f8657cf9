//! What this machine can do at most: the bandwidth of memory, and multiplications with addition.
//!
//! Both are measured in the run whose figures they are compared with: clocks and neighbours change. Memory's bandwidth, which
//! may double and halve within minutes on a virtual machine, is measured by turns with what is compared with it.

use crate::stats;
use bytemuck::cast_slice_mut;
use lazuli_graph::{DType, Shape};
use lazuli_runtime::peak::{self, CHAINS};
use lazuli_runtime::threads::Threads;
use lazuli_runtime::triad::{Stores, triad};
use lazuli_runtime::{AllocError, Buffer, Tensor, cpu};
use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The roof: with one thread, and with all.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Roof {
    /// Bytes in a second of STREAM's triad, the better of plain and non-temporal stores.
    pub(crate) triad_1: f64,
    pub(crate) triad_all: f64,
    /// Operations in a second, of which a multiplication with addition is two.
    pub(crate) fma_f64_1: f64,
    pub(crate) fma_f64_all: f64,
    pub(crate) fma_f32_1: f64,
    pub(crate) fma_f32_all: f64,
}

impl Roof {
    /// The better of both.
    pub(crate) fn best(self, other: Roof) -> Roof {
        Roof {
            triad_1: self.triad_1.max(other.triad_1),
            triad_all: self.triad_all.max(other.triad_all),
            fma_f64_1: self.fma_f64_1.max(other.fma_f64_1),
            fma_f64_all: self.fma_f64_all.max(other.fma_f64_all),
            fma_f32_1: self.fma_f32_1.max(other.fma_f32_1),
            fma_f32_all: self.fma_f32_all.max(other.fma_f32_all),
        }
    }

    /// The peak for a dtype with all threads; none for integers, of which no operation is counted.
    pub(crate) fn fma_all(&self, dtype: &str) -> Option<f64> {
        match dtype {
            "float64" => Some(self.fma_f64_all),
            "float32" => Some(self.fma_f32_all),
            _ => None,
        }
    }

    /// The peak for a dtype with one thread, measured now.
    pub(crate) fn peak_1(dtype: &str, seconds: f64) -> Result<f64, String> {
        match dtype {
            "float64" => fma_peak::<f64>(1, seconds),
            "float32" => fma_peak::<f32>(1, seconds),
            _ => Err(format!("no peak of {dtype} is measured")),
        }
    }

    /// The least seconds that moving and computing takes with all threads, where both overlap and memory has this bandwidth.
    pub(crate) fn seconds(&self, dtype: &str, bytes: f64, flops: f64, triad: f64) -> f64 {
        (bytes / triad).max(self.fma_all(dtype).map_or(0.0, |peak| flops / peak))
    }
}

/// Measures, each for about this many seconds.
pub(crate) fn measure(triad: &mut Triad, threads: usize, seconds: f64) -> Result<Roof, String> {
    let (triad_1, triad_all) = (triad.best(1, seconds)?, triad.best(threads, seconds)?);
    let both = |threads| Ok::<_, String>((fma_peak::<f64>(threads, seconds)?, fma_peak::<f32>(threads, seconds)?));
    let ((fma_f64_1, fma_f32_1), (fma_f64_all, fma_f32_all)) = (both(1)?, both(threads)?);
    Ok(Roof { triad_1, triad_all, fma_f64_1, fma_f64_all, fma_f32_1, fma_f32_all })
}

/// Runs `f` on each thread of the pool with its number.
fn on_all(threads: usize, f: impl Fn(usize) + Sync) -> Result<(), String> {
    let pool = Threads::get(threads).map_err(|e| e.to_string())?;
    pool.broadcast(|context| f(context.index()));
    Ok(())
}

/// The triad, and its arrays.
pub(crate) struct Triad {
    a: Buffer,
    b: Tensor,
    c: Tensor,
}

impl Triad {
    /// Whether so many bytes are moved from and to memory: those of two caches.
    pub(crate) fn compares(bytes: f64) -> bool {
        bytes > 2.0 * cpu::last_cache() as f64
    }

    /// Elements that no cache holds: STREAM asks for four times the last one, which three such arrays have.
    pub(crate) fn elements() -> usize {
        let last = cpu::caches().l3.max(cpu::caches().l2);
        (2 * last / size_of::<f64>()).max(4_000_000)
    }

    /// Makes arrays of `n` elements.
    pub(crate) fn new(n: usize) -> Result<Triad, String> {
        Ok(Triad { a: zeros(n)?, b: filled(n, 1.0)?, c: filled(n, 2.0)? })
    }

    /// The best bandwidth over both kinds of stores, in about so many seconds.
    pub(crate) fn best(&mut self, threads: usize, seconds: f64) -> Result<f64, String> {
        let a = self.a.bytes_mut().ok_or("the triad's result is shared")?;
        let (b, c) = (self.b.as_slice(), self.c.as_slice());
        triads(threads, seconds, cast_slice_mut(a), b.map_err(|e| e.to_string())?, c.map_err(|e| e.to_string())?)
    }
}

/// Memory that has been touched, of so many floats.
fn zeros(n: usize) -> Result<Buffer, String> {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(0);
        Ok::<(), AllocError>(())
    };
    Buffer::build(n * size_of::<f64>(), fill).map_err(|e| e.to_string())
}

/// An array of one value in huge pages, where there are such.
fn filled(n: usize, value: f64) -> Result<Tensor, String> {
    let fill = |bytes: &mut [u8]| {
        cast_slice_mut(bytes).fill(value);
        Ok::<(), AllocError>(())
    };
    let buffer = Buffer::build(n * size_of::<f64>(), fill).map_err(|e| e.to_string())?;
    let shape = Shape::new(&[n]).map_err(|e| e.to_string())?;
    Tensor::from_parts(buffer, DType::F64, shape, &[8], 0).map_err(|e| e.to_string())
}

/// The best bandwidth over both kinds of stores.
fn triads(threads: usize, seconds: f64, a: &mut [f64], b: &[f64], c: &[f64]) -> Result<f64, String> {
    let part = a.len().div_ceil(threads);
    let bytes = (3 * size_of_val(a)) as f64;
    let mut best: f64 = 0.0;
    for stores in [Stores::Plain, Stores::NonTemporal] {
        let parts: Vec<_> = a.chunks_mut(part).map(std::sync::Mutex::new).collect();
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < 3 || start.elapsed().as_secs_f64() < seconds / 2.0 {
            let one = Instant::now();
            on_all(threads, |i| {
                let Some(Ok(mut a)) = parts.get(i).map(|part| part.lock()) else { return };
                triad(stores, &mut a, &b[i * part..], 0.5, &c[i * part..]);
            })?;
            times.push(one.elapsed().as_secs_f64());
        }
        best = best.max(bytes / stats::min(&times));
    }
    Ok(best)
}

/// A float that there are vectors of.
trait Lane: Copy + Send + Sync {
    /// The same as [`Lane::chains`] on 512 bits, which `pulp` is not built for.
    const WIDE: fn(usize) -> Option<(f64, f64)>;
    /// Multiplies and adds in independent chains; gives the operations done, and a value that depends on all.
    fn chains<S: Simd>(simd: S, times: usize) -> (f64, f64);
}

macro_rules! lane {
    ($t:ty, $vector:ident, $splat:ident, $fma:ident, $sum:ident, $wide:ident) => {
        impl Lane for $t {
            const WIDE: fn(usize) -> Option<(f64, f64)> = peak::$wide;

            #[inline(always)]
            fn chains<S: Simd>(simd: S, times: usize) -> (f64, f64) {
                let mut chains: [S::$vector; CHAINS] = std::array::from_fn(|i| simd.$splat(i as $t));
                let (scale, step) = (simd.$splat(0.999), simd.$splat(0.001));
                for _ in 0..times {
                    for chain in &mut chains {
                        *chain = simd.$fma(*chain, scale, step);
                    }
                }
                let lanes = size_of::<S::$vector>() / size_of::<$t>();
                let total: $t = chains.iter().map(|&c| simd.$sum(c)).sum();
                ((2 * lanes * CHAINS * times) as f64, total.into())
            }
        }
    };
}

lane!(f64, f64s, splat_f64s, mul_add_f64s, reduce_sum_f64s, chains_f64);
lane!(f32, f32s, splat_f32s, mul_add_f32s, reduce_sum_f32s, chains_f32);

struct Chains<T>(usize, std::marker::PhantomData<T>);

impl<T: Lane> WithSimd for Chains<T> {
    type Output = (f64, f64);
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        T::chains(simd, self.0)
    }
}

/// Operations in a second with the widest vectors.
fn fma_peak<T: Lane>(threads: usize, seconds: f64) -> Result<f64, String> {
    const TIMES: usize = 100_000;
    let arch = Arch::new();
    let start = Instant::now();
    let mut best: f64 = 0.0;
    while best == 0.0 || start.elapsed().as_secs_f64() < seconds {
        let one = Instant::now();
        let done = std::sync::Mutex::new(0.0);
        on_all(threads, |_| {
            let narrow = || arch.dispatch(Chains::<T>(TIMES, std::marker::PhantomData));
            let (operations, value) = T::WIDE(TIMES).unwrap_or_else(narrow);
            std::hint::black_box(value);
            if let Ok(mut done) = done.lock() {
                *done += operations;
            }
        })?;
        let done = done.into_inner().map_err(|e| e.to_string())?;
        best = best.max(done / one.elapsed().as_secs_f64());
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_count_what_they_do() {
        let (operations, value) = f64::chains(pulp::Scalar::new(), 10);
        assert_eq!(operations, (2 * CHAINS * 10) as f64);
        // Each chain goes from i toward 1.
        let expected: f64 = (0..CHAINS).map(|i| 1.0 + (i as f64 - 1.0) * 0.999f64.powi(10)).sum();
        assert!((value - expected).abs() < 1e-9, "{value} {expected}");
    }

    #[test]
    fn the_roof_is_the_slower_of_moving_and_computing() {
        let roof = Roof { fma_f64_all: 100.0, ..Roof::default() };
        assert_eq!(roof.seconds("float64", 10.0, 10.0, 10.0), 1.0);
        assert_eq!(roof.seconds("float64", 10.0, 300.0, 10.0), 3.0);
        assert_eq!(roof.seconds("int32", 10.0, 300.0, 10.0), 1.0);
    }

    #[test]
    fn the_triad_moves_more_than_the_caches_hold() {
        assert!(Triad::compares(24.0 * Triad::elements() as f64) && !Triad::compares(1000.0));
        let mut triad = Triad::new(1001).unwrap();
        assert!(triad.best(2, 0.0).unwrap() > 0.0);
        let a: &[f64] = bytemuck::cast_slice(triad.a.bytes());
        assert!(a[..1001].iter().all(|&a| a == 2.0));
    }
}
