//! Reductions whose state is a single number: sum, prod, min, max, any, all.
//!
//! The loops run over fixed arrays of lanes and are compiled for several feature sets, so that they vectorize.

use super::{Reducer, Tree};
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

/// An integer that orders floats: `-0.0` below `0.0`, and NaN, of either sign, at the end given. Minimum and maximum of
/// such keys commute and associate to the bit, and vectorize as those of integers do.
macro_rules! key {
    ($bits:expr, $int:ty, $infinity:expr, $nan:expr) => {{
        let bits = $bits as $int;
        let magnitude = bits & <$int>::MAX;
        let ordered = bits ^ (bits >> (<$int>::BITS - 1)) & <$int>::MAX;
        if magnitude > $infinity { $nan } else { ordered }
    }};
}

/// The bits of the float with this key.
macro_rules! unkey {
    ($key:expr, $int:ty) => {{
        let key: $int = $key;
        key ^ (key >> (<$int>::BITS - 1)) & <$int>::MAX
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
    ($elem:ty => $state:ident, $lanes:literal, |$x:ident| $widen:expr, |$s:ident| $narrow:expr; $sum:ident $prod:ident) => {
        folds! {
            // -0.0 changes no number it is added to; adding 0.0 at the end gives a sum of zeros, as of nothing, the sign
            // that NumPy gives it.
            $sum<$lanes> $elem => $state => $elem, -0.0;
                widen |$x| $widen;
                join |a, b| a + b;
                result |s, empty| { let $s = s + 0.0; $narrow };
            $prod<$lanes> $elem => $state => $elem, 1.0;
                widen |$x| $widen;
                join |a, b| a * b;
                result |$s, empty| $narrow;
        }
    };
}

/// The bits of infinity and the integer of the float's size tell one format from another.
macro_rules! key_folds {
    ($($bits:ident, $key:ident, $lanes:literal, $infinity:literal: $min:ident $max:ident;)*) => {$(
        folds! {
            $min<$lanes> $bits => $key => $bits, $infinity;
                widen |x| key!(x, $key, $infinity, $key::MIN);
                join |a, b| a.min(b);
                result |s, empty| unkey!(s, $key) as $bits;
            $max<$lanes> $bits => $key => $bits, !$infinity;
                widen |x| key!(x, $key, $infinity, $key::MAX);
                join |a, b| a.max(b);
                result |s, empty| unkey!(s, $key) as $bits;
        }
    )*};
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

float_folds! { f64 => f64, 16, |x| x, |s| s; SumF64 ProdF64 }
float_folds! { f32 => f32, 32, |x| x, |s| s; SumF32 ProdF32 }
float_folds! { u16 => f32, 32, |x| half::f16_to_f32(x), |s| half::f32_to_f16(s); SumF16 ProdF16 }
float_folds! { u16 => f32, 32, |x| half::bf16_to_f32(x), |s| half::f32_to_bf16(s); SumBf16 ProdBf16 }

key_folds! {
    u64, i64, 16, 0x7ff0_0000_0000_0000: MinF64 MaxF64;
    u32, i32, 32, 0x7f80_0000: MinF32 MaxF32;
    u16, i16, 64, 0x7c00: MinF16 MaxF16;
    u16, i16, 64, 0x7f80: MinBf16 MaxBf16;
}

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

    fn blocks(&self, data: &[u8], _: usize, _: u64, tree: &mut Tree) {
        let data = bytemuck::cast_slice::<u8, F::Elem>(data);
        let (levels, count) = tree.levels::<F::State>(data.len().div_ceil(self.block()) as u64);
        Arch::new().dispatch(Blocks::<F, L> { data, levels, count });
    }

    fn total(&self, states: &mut [u8]) {
        let states = bytemuck::cast_slice_mut::<u8, F::State>(states);
        let mut count = states.len();
        // Neighbours first: none of them waits for another. What is left over goes up alone.
        while count > 1 {
            for pair in 0..count / 2 {
                states[pair] = F::join(states[2 * pair], states[2 * pair + 1]);
            }
            if count % 2 == 1 {
                states[count / 2] = states[count - 1];
            }
            count = count.div_ceil(2);
        }
    }

    fn outer(&self, data: &[u8], rows: usize, pitch: usize, _: usize, _: u64, states: &mut [u8]) {
        let (data, states) = (bytemuck::cast_slice(data), bytemuck::cast_slice_mut(states));
        Arch::new().dispatch(Outer::<F, L> { data, rows, pitch, states });
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

/// Adds rows that begin `pitch` elements apart to states, one after another. No trip count is constant, so that the loop
/// vectorizer takes the inner loops; four rows at once save loads and stores of states.
#[inline(always)]
fn add_rows<F: Fold<L>, const L: usize>(states: &mut [F::State], data: &[F::Elem], rows: usize, pitch: usize) {
    let width = states.len();
    let row = |r: usize| &data[r * pitch..][..width];
    let mut r = 0;
    while r + 4 <= rows {
        let (a, b, c, d) = (row(r), row(r + 1), row(r + 2), row(r + 3));
        for ((((s, a), b), c), d) in states.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let ab = F::join(F::join(*s, F::widen(*a)), F::widen(*b));
            *s = F::join(F::join(ab, F::widen(*c)), F::widen(*d));
        }
        r += 4;
    }
    for r in r..rows {
        for (s, x) in states.iter_mut().zip(row(r)) {
            *s = F::join(*s, F::widen(*x));
        }
    }
}

/// One inner block. `lanes` is `L`, in a way that the compiler only knows not to be more.
#[inline(always)]
fn block<F: Fold<L>, const L: usize>(data: &[F::Elem], lanes: usize) -> F::State {
    let mut states = [F::IDENTITY; L];
    if let Ok(rows) = <&[[F::Elem; L]; 16]>::try_from(data.as_chunks::<L>().0) {
        // Lane by lane, each of which stays in a register for all its elements.
        for (j, state) in states[..lanes].iter_mut().enumerate() {
            *state = F::widen(rows[0][j]);
            for row in &rows[1..] {
                *state = F::join(*state, F::widen(row[j]));
            }
        }
        return halve::<F, L, L>(states);
    }
    let (full, rest) = data.split_at(data.len() / L * L);
    add_rows::<F, L>(&mut states[..lanes], full, full.len() / L, lanes);
    for (s, x) in states.iter_mut().zip(rest) {
        *s = F::join(*s, F::widen(*x));
    }
    halve::<F, L, L>(states)
}

/// `L`, in a way that the compiler only knows not to be more: the loop vectorizer takes loops of a trip count it does not
/// know.
#[inline(always)]
fn lanes<const L: usize>() -> usize {
    std::hint::black_box(L).min(L)
}

/// Adds the state of a block to the levels of a tree.
#[inline(always)]
fn push<F: Fold<L>, const L: usize>(mut state: F::State, levels: &mut [F::State], count: &mut u64) {
    let level = count.trailing_ones() as usize;
    for left in &levels[..level] {
        state = F::join(*left, state);
    }
    levels[level] = state;
    *count += 1;
}

struct Blocks<'a, F: Fold<L>, const L: usize> {
    data: &'a [F::Elem],
    levels: &'a mut [F::State],
    count: &'a mut u64,
}

impl<F: Fold<L>, const L: usize> WithSimd for Blocks<'_, F, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let lanes = lanes::<L>();
        for data in self.data.chunks(16 * L) {
            push::<F, L>(block::<F, L>(data, lanes), self.levels, self.count);
        }
    }
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
                let lanes = lanes::<L>();
                for (s, row) in self.states.iter_mut().zip(self.data.chunks_exact(k)) {
                    *s = block::<F, L>(row, lanes);
                }
            }
        }
    }
}

struct Outer<'a, F: Fold<L>, const L: usize> {
    data: &'a [F::Elem],
    rows: usize,
    pitch: usize,
    states: &'a mut [F::State],
}

impl<F: Fold<L>, const L: usize> WithSimd for Outer<'_, F, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if !self.states.is_empty() {
            add_rows::<F, L>(self.states, self.data, self.rows, self.pitch);
        }
    }
}
