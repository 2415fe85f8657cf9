//! Correctly rounded sums of floats: a fixed-point number wide enough for every sum, rounded once at the end.
//!
//! The unit is 2^-1074, the least `f64`; every float is a whole number of them. The number is kept in digits of 32 bits,
//! each in an `i64`, least first, so that many elements can be added before carries must run. Layout of a state, in
//! words of 8 bytes:
//!
//! | words | what |
//! |---|---|
//! | 0 … 67 | digits; after [`carry`], all but the last in `0 .. 2^32`, the last with the sign |
//! | 68 | additions since the last carry |
//! | 69 | flags: which special values came up |

use super::Reducer;
use crate::half;
use bytemuck::Pod;
use lazuli_graph::DType;
use std::marker::PhantomData;

/// 2098 bits for one `f64`, and 2^63 of them.
const DIGITS: usize = 68;
const PENDING: usize = DIGITS;
const FLAGS: usize = DIGITS + 1;
type State = [i64; DIGITS + 2];

/// So many additions of digits below 2^32 cannot overflow an `i64`.
const MOST_PENDING: i64 = 1 << 30;

const NAN: i64 = 1;
const POSITIVE_INFINITY: i64 = 2;
const NEGATIVE_INFINITY: i64 = 4;

fn add(s: &mut State, x: f64) {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as usize;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0x7ff {
        s[FLAGS] |= match (fraction != 0, x > 0.0) {
            (true, _) => NAN,
            (false, true) => POSITIVE_INFINITY,
            (false, false) => NEGATIVE_INFINITY,
        };
        return;
    }
    // x is `significand` times 2^`place` units.
    let (significand, place) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
    let wide = (significand as u128) << (place % 32);
    let sign = 1 - 2 * (bits >> 63) as i64;
    let digit = place / 32;
    s[digit] += sign * (wide as u32 as i64);
    s[digit + 1] += sign * ((wide >> 32) as u32 as i64);
    s[digit + 2] += sign * ((wide >> 64) as u32 as i64);
    s[PENDING] += 1;
    if s[PENDING] == MOST_PENDING {
        carry(s);
    }
}

fn carry(s: &mut State) {
    for i in 0..DIGITS - 1 {
        s[i + 1] += s[i] >> 32;
        s[i] &= 0xffff_ffff;
    }
    s[PENDING] = 0;
}

fn join(a: &mut State, b: &State) {
    // Pending additions add up, and each state has at most half of what an `i64` holds.
    for i in 0..=PENDING {
        a[i] += b[i];
    }
    a[FLAGS] |= b[FLAGS];
    carry(a);
}

/// The sum, rounded to nearest even, or to odd if it is to be rounded again to fewer bits.
fn round(state: &State, odd: bool) -> f64 {
    let flags = state[FLAGS];
    if flags & NAN != 0 || flags & POSITIVE_INFINITY != 0 && flags & NEGATIVE_INFINITY != 0 {
        return f64::NAN;
    } else if flags & POSITIVE_INFINITY != 0 {
        return f64::INFINITY;
    } else if flags & NEGATIVE_INFINITY != 0 {
        return f64::NEG_INFINITY;
    }
    let mut s = *state;
    carry(&mut s);
    let negative = s[DIGITS - 1] < 0;
    if negative {
        s[..DIGITS].iter_mut().for_each(|d| *d = -*d);
        carry(&mut s);
    }
    let Some(top) = s[..DIGITS].iter().rposition(|&d| d != 0) else {
        return 0.0;
    };
    // The first set bit, and the last that a significand of 53 bits keeps.
    let first = 32 * top + s[top].ilog2() as usize;
    let last = first.saturating_sub(52);
    let (digit, shift) = (last / 32, last % 32);
    let at = |i: usize| if i < DIGITS { s[i] as u128 } else { 0 };
    let kept = ((at(digit) | at(digit + 1) << 32 | at(digit + 2) << 64) >> shift) as u64;
    // A number below 2^53 units is its own bit pattern; above, each place shifted away raises the exponent by one, and
    // the leading bit of the significand does so once more.
    if last >= 2046 {
        return if negative { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let mut bits = ((last as u64) << 52) + kept;
    if last > 0 {
        let half = s[(last - 1) / 32] >> ((last - 1) % 32) & 1 == 1;
        let below =
            s[(last - 1) / 32] & ((1 << ((last - 1) % 32)) - 1) != 0 || s[..(last - 1) / 32].iter().any(|&d| d != 0);
        if odd {
            bits |= (half || below) as u64;
        } else if half && (below || bits & 1 == 1) {
            // A carry runs into the exponent, and from the greatest number into infinity, as it should.
            bits += 1;
        }
    }
    f64::from_bits(bits | (negative as u64) << 63)
}

/// A float in memory.
trait Float: Sync + 'static {
    type Bits: Pod;
    fn widen(bits: Self::Bits) -> f64;
    fn sum(state: &State, empty: bool) -> Self::Bits;
}

struct F16;
struct Bf16;

macro_rules! floats {
    ($($name:ty, $bits:ty, $odd:literal: |$x:ident| $widen:expr, |$y:ident| $narrow:expr;)*) => {$(
        impl Float for $name {
            type Bits = $bits;
            fn widen($x: $bits) -> f64 {
                $widen
            }
            fn sum(state: &State, empty: bool) -> $bits {
                let $y = if empty { 0.0 } else { round(state, $odd) };
                $narrow
            }
        }
    )*};
}

floats! {
    f64, f64, false: |x| x, |y| y;
    f32, f32, true: |x| x as f64, |y| y as f32;
    F16, u16, true: |x| half::f16_to_f32(x) as f64, |y| half::f64_to_f16(y);
    Bf16, u16, true: |x| half::bf16_to_f32(x) as f64, |y| half::f64_to_bf16(y);
}

pub(super) fn reducer(dtype: DType) -> &'static dyn Reducer {
    match dtype {
        DType::F16 => &Exact::<F16>(PhantomData),
        DType::BF16 => &Exact::<Bf16>(PhantomData),
        DType::F32 => &Exact::<f32>(PhantomData),
        _ => &Exact::<f64>(PhantomData),
    }
}

struct Exact<F>(PhantomData<F>);

fn states(bytes: &[u8]) -> &[State] {
    bytemuck::cast_slice::<u8, i64>(bytes).as_chunks().0
}

fn states_mut(bytes: &mut [u8]) -> &mut [State] {
    bytemuck::cast_slice_mut::<u8, i64>(bytes).as_chunks_mut().0
}

impl<F: Float> Reducer for Exact<F> {
    fn block(&self) -> usize {
        // The order does not matter; a state is large, so let it take many elements.
        4096
    }

    fn state_size(&self) -> usize {
        size_of::<State>()
    }

    fn identity(&self, states: &mut [u8]) {
        states.fill(0);
    }

    fn inner_rows(&self, data: &[u8], _: usize, k: usize, _: u64, states: &mut [u8]) {
        let rows = bytemuck::cast_slice::<u8, F::Bits>(data).chunks_exact(k);
        for (s, row) in states_mut(states).iter_mut().zip(rows) {
            *s = [0; DIGITS + 2];
            row.iter().for_each(|&x| add(s, F::widen(x)));
            carry(s);
        }
    }

    fn outer(&self, data: &[u8], rows: usize, pitch: usize, width: usize, _: u64, states: &mut [u8]) {
        let data = bytemuck::cast_slice::<u8, F::Bits>(data);
        for row in (0..rows).map(|r| &data[r * pitch..][..width]) {
            for (s, &x) in states_mut(states).iter_mut().zip(row) {
                add(s, F::widen(x));
            }
        }
    }

    fn combine(&self, left: &mut [u8], right: &[u8]) {
        let right = self::states(right);
        for (a, b) in states_mut(left).iter_mut().zip(right) {
            join(a, b);
        }
    }

    fn finish(&self, states: &[u8], empty: bool, out: &mut [u8]) {
        let states = self::states(states);
        for (o, s) in bytemuck::cast_slice_mut::<u8, F::Bits>(out).iter_mut().zip(states) {
            *o = F::sum(s, empty);
        }
    }
}
