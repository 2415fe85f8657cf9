//! Argmin and argmax: the state is `[key, position]`.
//!
//! A key is an integer that is the greater the better; NaN has the greatest, both zeros the same. The greatest key
//! wins, of equal ones the least position, so the order of combination does not matter.

use super::Reducer;
use crate::half;
use bytemuck::Pod;
use lazuli_graph::{DType, ReduceOp};
use pulp::{Arch, Simd, WithSimd};
use std::marker::PhantomData;

type State = [i64; 2];

/// Loses against every element, as no position is that great.
const IDENTITY: State = [i64::MIN, i64::MAX];

/// Lanes of a block's first pass.
const LANES: usize = 16;

trait Element: Pod + Sync {
    /// Grows with the number: the key of argmax.
    fn key(self) -> i64;
    /// Whether this is NaN.
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }
}

macro_rules! elements {
    ($($t:ty: |$x:ident| $key:expr;)*) => {$(
        impl Element for $t {
            #[inline(always)]
            fn key(self) -> i64 {
                let $x = self;
                $key
            }
        }
    )*};
}

elements! {
    i8: |x| x as i64;
    i16: |x| x as i64;
    i32: |x| x as i64;
    i64: |x| x;
    u8: |x| x as i64;
    u16: |x| x as i64;
    u32: |x| x as i64;
    u64: |x| (x ^ 1 << 63) as i64;
}

impl Element for f64 {
    #[inline(always)]
    fn key(self) -> i64 {
        // Adding zero takes the sign from zero; the bits of negative numbers then run the wrong way.
        let bits = (self + 0.0).to_bits() as i64;
        bits ^ ((bits >> 63) as u64 >> 1) as i64
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl Element for f32 {
    #[inline(always)]
    fn key(self) -> i64 {
        let bits = (self + 0.0).to_bits() as i32;
        (bits ^ ((bits >> 31) as u32 >> 1) as i32) as i64
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

macro_rules! halves {
    ($($name:ident $widen:path;)*) => {$(
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        struct $name(u16);

        // SAFETY: the bits of a `u16`, nothing else.
        #[allow(unsafe_code)]
        unsafe impl bytemuck::Zeroable for $name {}
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe impl Pod for $name {}

        impl Element for $name {
            #[inline(always)]
            fn key(self) -> i64 {
                $widen(self.0).key()
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $widen(self.0).is_nan()
            }
        }
    )*};
}

halves! {
    Half half::f16_to_f32;
    Brain half::bf16_to_f32;
}

/// The key under which the best element has the greatest.
#[inline(always)]
fn key<E: Element, const MIN: bool>(x: E) -> i64 {
    let key = if MIN { !x.key() } else { x.key() };
    if x.is_nan() { i64::MAX } else { key }
}

#[inline(always)]
fn join(a: State, b: State) -> State {
    if b[0] > a[0] || (b[0] == a[0] && b[1] < a[1]) { b } else { a }
}

pub(super) fn reducer(op: ReduceOp, dtype: DType) -> &'static dyn Reducer {
    fn of<E: Element>(op: ReduceOp) -> &'static dyn Reducer {
        if op == ReduceOp::Argmin { &Arg::<E, true>(PhantomData) } else { &Arg::<E, false>(PhantomData) }
    }
    match dtype {
        DType::Bool | DType::U8 => of::<u8>(op),
        DType::I8 => of::<i8>(op),
        DType::I16 => of::<i16>(op),
        DType::I32 => of::<i32>(op),
        DType::I64 => of::<i64>(op),
        DType::U16 => of::<u16>(op),
        DType::U32 => of::<u32>(op),
        DType::U64 => of::<u64>(op),
        DType::F16 => of::<Half>(op),
        DType::BF16 => of::<Brain>(op),
        DType::F32 => of::<f32>(op),
        DType::F64 => of::<f64>(op),
    }
}

struct Arg<E, const MIN: bool>(PhantomData<E>);

impl<E: Element, const MIN: bool> Reducer for Arg<E, MIN> {
    fn block(&self) -> usize {
        16 * LANES
    }

    fn state_size(&self) -> usize {
        size_of::<State>()
    }

    fn identity(&self, states: &mut [u8]) {
        bytemuck::cast_slice_mut(states).fill(IDENTITY);
    }

    fn inner_rows(&self, data: &[u8], _: usize, k: usize, first: u64, states: &mut [u8]) {
        let (data, states) = (bytemuck::cast_slice(data), bytemuck::cast_slice_mut(states));
        Arch::new().dispatch(Rows::<E, MIN> { data, k, first, states });
    }

    fn outer(&self, data: &[u8], rows: usize, pitch: usize, width: usize, first: u64, states: &mut [u8]) {
        let states = bytemuck::cast_slice_mut::<u8, State>(states);
        let data = bytemuck::cast_slice::<u8, E>(data);
        for (r, row) in (0..rows).map(|r| &data[r * pitch..][..width]).enumerate() {
            let at = first.wrapping_add(r as u64) as i64;
            for (s, &x) in states.iter_mut().zip(row) {
                *s = join(*s, [key::<E, MIN>(x), at]);
            }
        }
    }

    fn combine(&self, left: &mut [u8], right: &[u8]) {
        let right = bytemuck::cast_slice::<u8, State>(right);
        for (a, b) in bytemuck::cast_slice_mut::<u8, State>(left).iter_mut().zip(right) {
            *a = join(*a, *b);
        }
    }

    fn finish(&self, states: &[u8], _: bool, out: &mut [u8]) {
        let states = bytemuck::cast_slice::<u8, State>(states);
        for (o, s) in bytemuck::cast_slice_mut::<u8, i64>(out).iter_mut().zip(states) {
            *o = s[1];
        }
    }
}

struct Rows<'a, E, const MIN: bool> {
    data: &'a [E],
    k: usize,
    first: u64,
    states: &'a mut [State],
}

impl<E: Element, const MIN: bool> WithSimd for Rows<'_, E, MIN> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (s, row) in self.states.iter_mut().zip(self.data.chunks_exact(self.k)) {
            if row.len() < 2 * LANES {
                let mut best = [key::<E, MIN>(row[0]), 0];
                for (i, &x) in row.iter().enumerate().skip(1) {
                    let key = key::<E, MIN>(x);
                    best = if key > best[0] { [key, i as i64] } else { best };
                }
                *s = [best[0], self.first.wrapping_add(best[1] as u64) as i64];
                continue;
            }
            // The greatest key, in lanes, then where it first stands: cheaper than carrying positions along.
            let mut lanes = [i64::MIN; LANES];
            let (full, rest) = row.as_chunks::<LANES>();
            for x in full {
                for l in 0..LANES {
                    lanes[l] = lanes[l].max(key::<E, MIN>(x[l]));
                }
            }
            for (lane, x) in lanes.iter_mut().zip(rest) {
                *lane = (*lane).max(key::<E, MIN>(*x));
            }
            let best = lanes.into_iter().fold(i64::MIN, i64::max);
            let at = row.iter().position(|&x| key::<E, MIN>(x) == best).unwrap_or(0);
            *s = [best, self.first.wrapping_add(at as u64) as i64];
        }
    }
}
