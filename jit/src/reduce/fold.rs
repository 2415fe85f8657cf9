//! Reductions whose state is a single number: sum, prod, min, max, any, all.
//!
//! The loops run over fixed arrays of lanes and are compiled for several feature sets, so that they vectorize.

use super::Reducer;
use crate::half;
use bytemuck::Pod;
use lazuli_graph::{DType, ReduceOp};
use pulp::{Arch, Simd, WithSimd};
use std::marker::PhantomData;

/// A binary operation with its identity, and what its state is. `L` is the number of lanes: 128 bytes of states.
trait Fold<const L: usize>: Sync + 'static {
    type Elem: Pod;
    type State: Pod;
    type Out: Pod;
    const IDENTITY: Self::State;
    fn widen(x: Self::Elem) -> Self::State;
    fn join(a: Self::State, b: Self::State) -> Self::State;
    fn result(s: Self::State, empty: bool) -> Self::Out;
}

/// The bits of a binary16.
#[derive(Clone, Copy)]
struct Half;
/// The bits of a bfloat16.
#[derive(Clone, Copy)]
struct Brain;

impl Half {
    #[inline(always)]
    fn widen(x: u16) -> f32 {
        half::f16_to_f32(x)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        half::f32_to_f16(x)
    }
}

impl Brain {
    #[inline(always)]
    fn widen(x: u16) -> f32 {
        half::bf16_to_f32(x)
    }
    #[inline(always)]
    fn narrow(x: f32) -> u16 {
        half::f32_to_bf16(x)
    }
}

/// The smaller; NaN if either is, `-0.0` of the two zeros. So it commutes and associates, to the bit.
macro_rules! float_min {
    ($a:expr, $b:expr, $f:ident) => {{
        let (a, b) = ($a, $b);
        // What is left after the comparisons is equal, opposite zeros, or NaN: the bits of either do for all three.
        let rest = $f::from_bits(a.to_bits() | b.to_bits());
        if a < b {
            a
        } else if b < a {
            b
        } else {
            rest
        }
    }};
}

macro_rules! folds {
    ($($name:ident<$lanes:literal> $elem:ty => $state:ident => $out:ty, $identity:expr;
       widen |$x:ident| $widen:expr; join |$a:ident, $b:ident| $join:expr; result |$s:ident, $empty:ident| $result:expr;)*) => {$(
        struct $name;

        impl Fold<$lanes> for $name {
            type Elem = $elem;
            type State = $state;
            type Out = $out;
            const IDENTITY: $state = $identity;
            #[inline(always)]
            fn widen($x: $elem) -> $state {
                $widen
            }
            #[inline(always)]
            fn join($a: $state, $b: $state) -> $state {
                $join
            }
            #[inline(always)]
            fn result($s: $state, $empty: bool) -> $out {
                let _ = $empty;
                $result
            }
        }
    )*};
}

macro_rules! float_folds {
    ($f:ident, $lanes:literal: $sum:ident $prod:ident $min:ident $max:ident) => {
        float_folds! { @ $f => $f, $lanes, |x| x, |s| s; $sum $prod $min $max }
    };
    ($half:ident: $sum:ident $prod:ident $min:ident $max:ident) => {
        float_folds! { @ u16 => f32, 32, |x| $half::widen(x), |s| $half::narrow(s); $sum $prod $min $max }
    };
    (@ $elem:ty => $f:ident, $lanes:literal, |$x:ident| $widen:expr, |$s:ident| $narrow:expr; $sum:ident $prod:ident $min:ident $max:ident) => {
        folds! {
            // -0.0 and not 0.0, which would turn a sum of nothing but -0.0 into 0.0.
            $sum<$lanes> $elem => $f => $elem, -0.0;
                widen |$x| $widen;
                join |a, b| a + b;
                result |s, empty| { let $s = if empty { 0.0 } else { s }; $narrow };
            $prod<$lanes> $elem => $f => $elem, 1.0;
                widen |$x| $widen;
                join |a, b| a * b;
                result |$s, empty| $narrow;
            $min<$lanes> $elem => $f => $elem, $f::INFINITY;
                widen |$x| $widen;
                join |a, b| float_min!(a, b, $f);
                result |$s, empty| $narrow;
            $max<$lanes> $elem => $f => $elem, $f::NEG_INFINITY;
                widen |$x| $widen;
                join |a, b| -float_min!(-a, -b, $f);
                result |$s, empty| $narrow;
        }
    };
}

macro_rules! int_folds {
    ($($t:ident, $lanes:literal: $min:ident $max:ident;)*) => {$(
        folds! {
            $min<$lanes> $t => $t => $t, $t::MAX;
                widen |x| x; join |a, b| a.min(b); result |s, empty| s;
            $max<$lanes> $t => $t => $t, $t::MIN;
                widen |x| x; join |a, b| a.max(b); result |s, empty| s;
        }
    )*};
}

float_folds! { f64, 16: SumF64 ProdF64 MinF64 MaxF64 }
float_folds! { f32, 32: SumF32 ProdF32 MinF32 MaxF32 }
float_folds! { Half: SumF16 ProdF16 MinF16 MaxF16 }
float_folds! { Brain: SumBf16 ProdBf16 MinBf16 MaxBf16 }

int_folds! {
    i8, 128: MinI8 MaxI8;
    i16, 64: MinI16 MaxI16;
    i32, 32: MinI32 MaxI32;
    i64, 16: MinI64 MaxI64;
    u8, 128: MinU8 MaxU8;
    u16, 64: MinU16 MaxU16;
    u32, 32: MinU32 MaxU32;
    u64, 16: MinU64 MaxU64;
}

folds! {
    // Signed or not, the wrapped bits are the same.
    SumI64<16> u64 => u64 => u64, 0;
        widen |x| x; join |a, b| a.wrapping_add(b); result |s, empty| s;
    ProdI64<16> u64 => u64 => u64, 1;
        widen |x| x; join |a, b| a.wrapping_mul(b); result |s, empty| s;
    // A bool is a byte; any that is not 0 counts as true.
    Any<128> u8 => u8 => u8, 0;
        widen |x| (x != 0) as u8; join |a, b| a | b; result |s, empty| s;
    All<128> u8 => u8 => u8, 1;
        widen |x| (x != 0) as u8; join |a, b| a & b; result |s, empty| s;
}

/// The reducer of any op but argmin and argmax.
pub(super) fn reducer(op: ReduceOp, dtype: DType) -> &'static dyn Reducer {
    use DType as D;
    fn of<F: Fold<L>, const L: usize>(_: F) -> &'static dyn Reducer {
        &Simple::<F, L>(PhantomData)
    }
    match op {
        ReduceOp::Sum => match dtype {
            D::F64 => of(SumF64),
            D::F32 => of(SumF32),
            D::F16 => of(SumF16),
            D::BF16 => of(SumBf16),
            // The others are cast to these two.
            D::I64 | D::U64 | D::Bool | D::I8 | D::I16 | D::I32 | D::U8 | D::U16 | D::U32 => of(SumI64),
        },
        ReduceOp::Prod => match dtype {
            D::F64 => of(ProdF64),
            D::F32 => of(ProdF32),
            D::F16 => of(ProdF16),
            D::BF16 => of(ProdBf16),
            D::I64 | D::U64 | D::Bool | D::I8 | D::I16 | D::I32 | D::U8 | D::U16 | D::U32 => of(ProdI64),
        },
        ReduceOp::Min => match dtype {
            D::Bool => of(All),
            D::I8 => of(MinI8),
            D::I16 => of(MinI16),
            D::I32 => of(MinI32),
            D::I64 => of(MinI64),
            D::U8 => of(MinU8),
            D::U16 => of(MinU16),
            D::U32 => of(MinU32),
            D::U64 => of(MinU64),
            D::F16 => of(MinF16),
            D::BF16 => of(MinBf16),
            D::F32 => of(MinF32),
            D::F64 => of(MinF64),
        },
        ReduceOp::Max => match dtype {
            D::Bool => of(Any),
            D::I8 => of(MaxI8),
            D::I16 => of(MaxI16),
            D::I32 => of(MaxI32),
            D::I64 => of(MaxI64),
            D::U8 => of(MaxU8),
            D::U16 => of(MaxU16),
            D::U32 => of(MaxU32),
            D::U64 => of(MaxU64),
            D::F16 => of(MaxF16),
            D::BF16 => of(MaxBf16),
            D::F32 => of(MaxF32),
            D::F64 => of(MaxF64),
        },
        ReduceOp::Any => of(Any),
        ReduceOp::All => of(All),
        ReduceOp::Argmin | ReduceOp::Argmax => unreachable!("they have positions"),
    }
}

struct Simple<F, const L: usize>(PhantomData<F>);

impl<F: Fold<L>, const L: usize> Reducer for Simple<F, L> {
    fn block(&self) -> usize {
        16 * L
    }

    fn state_size(&self) -> usize {
        size_of::<F::State>()
    }

    fn identity(&self, states: &mut [u8]) {
        bytemuck::cast_slice_mut::<u8, F::State>(states).fill(F::IDENTITY);
    }

    fn inner_rows(&self, data: &[u8], _: usize, k: usize, _: u64, states: &mut [u8]) {
        let (data, states) = (bytemuck::cast_slice(data), bytemuck::cast_slice_mut(states));
        Arch::new().dispatch(Rows::<F, L> { data, k, states });
    }

    fn outer(&self, data: &[u8], _: usize, width: usize, _: u64, states: &mut [u8]) {
        let (data, states) = (bytemuck::cast_slice(data), bytemuck::cast_slice_mut(states));
        Arch::new().dispatch(Outer::<F, L> { data, width, states });
    }

    fn combine(&self, left: &mut [u8], right: &[u8]) {
        let right = bytemuck::cast_slice::<u8, F::State>(right);
        for (a, b) in bytemuck::cast_slice_mut::<u8, F::State>(left).iter_mut().zip(right) {
            *a = F::join(*a, *b);
        }
    }

    fn finish(&self, states: &[u8], empty: bool, out: &mut [u8]) {
        let states = bytemuck::cast_slice::<u8, F::State>(states);
        for (o, s) in bytemuck::cast_slice_mut::<u8, F::Out>(out).iter_mut().zip(states) {
            *o = F::result(*s, empty);
        }
    }
}

/// Combines lanes by halving. Lanes from `n` on are the identity and left out, which changes no bit.
#[inline(always)]
fn halve<F: Fold<L>, const L: usize, const N: usize>(mut lanes: [F::State; N]) -> F::State {
    let mut half = N / 2;
    while half > 0 {
        for j in 0..half {
            lanes[j] = F::join(lanes[j], lanes[j + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn block<F: Fold<L>, const L: usize>(data: &[F::Elem]) -> F::State {
    let mut lanes = [F::IDENTITY; L];
    let (full, rest) = data.as_chunks::<L>();
    for x in full {
        for l in 0..L {
            lanes[l] = F::join(lanes[l], F::widen(x[l]));
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = F::join(*lane, F::widen(*x));
    }
    halve::<F, L, L>(lanes)
}

struct Rows<'a, F: Fold<L>, const L: usize> {
    data: &'a [F::Elem],
    k: usize,
    states: &'a mut [F::State],
}

impl<F: Fold<L>, const L: usize> Rows<'_, F, L> {
    /// Rows of `K` elements, which `N` lanes hold: `N` is the power of two from `K` on.
    #[inline(always)]
    fn short<const K: usize, const N: usize>(self) {
        for (s, row) in self.states.iter_mut().zip(self.data.as_chunks::<K>().0) {
            let mut lanes = [F::IDENTITY; N];
            for i in 0..K {
                lanes[i] = F::widen(row[i]);
            }
            *s = halve::<F, L, N>(lanes);
        }
    }
}

impl<F: Fold<L>, const L: usize> WithSimd for Rows<'_, F, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.k {
            1 => self.short::<1, 1>(),
            2 => self.short::<2, 2>(),
            3 => self.short::<3, 4>(),
            4 => self.short::<4, 4>(),
            5 => self.short::<5, 8>(),
            6 => self.short::<6, 8>(),
            7 => self.short::<7, 8>(),
            8 => self.short::<8, 8>(),
            k => {
                for (s, row) in self.states.iter_mut().zip(self.data.chunks_exact(k)) {
                    *s = block::<F, L>(row);
                }
            }
        }
    }
}

struct Outer<'a, F: Fold<L>, const L: usize> {
    data: &'a [F::Elem],
    width: usize,
    states: &'a mut [F::State],
}

impl<F: Fold<L>, const L: usize> WithSimd for Outer<'_, F, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Some columns at a time, so that their states stay in registers from row to row.
        let (full, rest) = self.states.as_chunks_mut::<L>();
        let tail = full.len() * L;
        for (c, states) in full.iter_mut().enumerate() {
            let mut lanes = *states;
            for row in self.data.chunks_exact(self.width) {
                if let Some(x) = row[c * L..].first_chunk::<L>() {
                    for l in 0..L {
                        lanes[l] = F::join(lanes[l], F::widen(x[l]));
                    }
                }
            }
            *states = lanes;
        }
        if !rest.is_empty() {
            for row in self.data.chunks_exact(self.width) {
                for (s, x) in rest.iter_mut().zip(&row[tail..]) {
                    *s = F::join(*s, F::widen(*x));
                }
            }
        }
    }
}
