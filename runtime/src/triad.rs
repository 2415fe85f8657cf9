//! The triad of the benchmark STREAM (McCalpin 1995), `a = b + s*c`: what the machine's memory can do, to which loops
//! that memory bounds are compared.
#![allow(unsafe_code)]

/// How results go to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stores {
    /// Through the caches: each line is read before it is written.
    Plain,
    /// Around the caches, where the instruction set has such stores; else as [`Stores::Plain`].
    NonTemporal,
}

/// `a = b + scale * c`, on the calling thread, as far as the shortest of the three goes.
///
/// ```
/// use lazuli_runtime::triad::{Stores, triad};
/// let mut a = [0.0; 3];
/// triad(Stores::NonTemporal, &mut a, &[1.0, 2.0, 3.0], 0.5, &[2.0, 4.0, 6.0]);
/// assert_eq!(a, [2.0, 4.0, 6.0]);
/// ```
pub fn triad(stores: Stores, a: &mut [f64], b: &[f64], scale: f64, c: &[f64]) {
    match stores {
        Stores::Plain => plain(a, b, scale, c),
        Stores::NonTemporal => around(a, b, scale, c),
    }
}

fn plain(a: &mut [f64], b: &[f64], scale: f64, c: &[f64]) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = b + scale * c;
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn around(a: &mut [f64], b: &[f64], scale: f64, c: &[f64]) {
    use std::arch::x86_64::{_mm_set_pd, _mm_sfence, _mm_stream_pd};
    let n = a.len().min(b.len()).min(c.len());
    // Up to the first pair that is aligned.
    let start = (a.as_ptr() as usize % 16 / size_of::<f64>()).min(n);
    plain(&mut a[..start], b, scale, c);
    let rest = start..n;
    let (a, b, c) = (&mut a[rest.clone()], &b[rest.clone()], &c[rest]);
    let (a, tail) = a.as_chunks_mut::<2>();
    let ((b, b_tail), (c, c_tail)) = (b.as_chunks::<2>(), c.as_chunks::<2>());
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        // SAFETY: SSE2 is part of x86-64; `a` is two floats long, and was aligned to them above.
        unsafe { _mm_stream_pd(a.as_mut_ptr(), _mm_set_pd(b[1] + scale * c[1], b[0] + scale * c[0])) }
    }
    // Without it, what others read may be older than what they are told.
    // SAFETY: SSE is part of x86-64.
    unsafe { _mm_sfence() }
    plain(tail, b_tail, scale, c_tail);
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn around(a: &mut [f64], b: &[f64], scale: f64, c: &[f64]) {
    plain(a, b, scale, c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_stores_give_the_same_at_every_alignment() {
        let (b, c): (Vec<f64>, Vec<f64>) = (0..40).map(|i| (i as f64, i as f64 / 3.0)).unzip();
        for start in 0..4 {
            for n in 0..20 {
                let (mut one, mut two) = ([-1.0; 40], [-1.0; 40]);
                triad(Stores::Plain, &mut one[start..start + n], &b, 0.1, &c);
                triad(Stores::NonTemporal, &mut two[start..start + n], &b, 0.1, &c);
                assert_eq!(one, two);
                assert!((0..n).all(|i| one[start + i] == b[i] + 0.1 * c[i]) && one[start + n] == -1.0);
            }
        }
        let mut short = [-1.0; 8];
        triad(Stores::NonTemporal, &mut short, &b[..5], 0.1, &c);
        assert_eq!(short[5..], [-1.0; 3]);
    }
}
