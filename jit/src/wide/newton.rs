//! Divisions and roots by Newton's iteration, where the divider sets the pace.
//!
//! On Intel's CPUs a division of 512 bits takes the divider for 10 (`float32`) or 16 cycles and a root for 12 or 24, in which two
//! other units do two operations a cycle. Where they have less to do than the divider, some divisions are theirs: so many that
//! both end together ([`super::plan::Plan::newton`]). The results are the correctly rounded ones of the divider.
//!
//! A quotient:
//! ```text
//! h = about 1/y, to 14 bits       h += (1 - y h) h, twice, for float64 three times     q = x h, after the first
//! q += (x - y q) h, each but the last time that h gets better; and at the end
//! ```
//! The last `h` is `1/y` correctly rounded, but for a `y` whose significand is all ones (Markstein 1990). The last but one `q` is
//! within half a unit in the last place and very little of `x/y`, so `x - y q` is exact, and what is added is so near to what is missing
//! that the sum is rounded as `x/y` is: quotients are never nearer to halfway between two numbers than 2^-53/m of a unit, where `m` is
//! the significand of `y`, and the error is less than `m` 2^-55. The one `y` that is left takes the divider.
//!
//! A root:
//! ```text
//! h = about 1/sqrt(x) / 2, to 14 bits; g = 2 x h
//! r = 1/2 - g h, g += g r, h += h r, once, for float64 twice; g += (x - g^2) h, twice
//! ```
//! What is added last is in error by less than 2^-52 of a unit. Of `float64`, roots nearer to halfway than that are those of a few
//! numbers, which are solutions of `n^2 = 2^k x + r` for small `r`: a test has them all, and for `float32` one has all numbers.
//!
//! All of this is so where nothing over- or underflows on the way. What is out of range is found by comparisons, and its
//! vector takes the divider, out of line. Zeros, which may be many, are left out of the steps that would lose their sign, or have a
//! zero for the beginning of the reciprocal.

use super::divide::power_of_two;
use super::fma::FMA;
use super::mach::{Enc, Kind, MASK, Masking, VEC};
use super::pairs::*;
use super::plan::{Plan, vectors};
use super::select::Selector;
use super::sources::{Lanes, Src, sign};
use crate::kernel::{Inst, Kernel, Prim, Ty};
use regalloc2::{Operand, VReg};

/// Comparisons that are true for NaN.
const NOT_GE: u8 = 0x19;
const NOT_LE: u8 = 0x16;
/// Of integers without a sign.
const GREATER: u8 = 6;

/// The smaller and the greater magnitude of two.
const SMALLER: u8 = 0b1010;
const GREATER_OF: u8 = 0b1011;

/// Magnitudes of both parts of a quotient, as powers of two: `float64` and `float32`.
const PARTS: [i32; 2] = [500, 60];

/// The least numbers of which a root is taken so.
const LEAST: [i32; 2] = [-900, -70];

/// What a division or a root takes: of the divider, and of two units that do the same instead; in half cycles.
fn half_cycles(inst: &Inst) -> (usize, usize) {
    match (inst.prim, inst.ty == Ty::F64) {
        (Prim::FDiv, true) => (32, 22),
        (Prim::FDiv, false) => (20, 20),
        (_, true) => (48, 19),
        (_, false) => (24, 16),
    }
}

/// Instructions for one type.
struct Of {
    double: bool,
    size: u8,
    /// `a b + c` and `c - a b`.
    add: [Pair; 3],
    sub: [Pair; 3],
}

impl Of {
    fn new(double: bool) -> Of {
        let [add, sub] = [0, 1].map(|negated| FMA[negated][0][usize::from(double)]);
        Of { double, size: if double { 8 } else { 4 }, add, sub }
    }

    fn by(&self, double: Pair, single: Pair) -> Pair {
        if self.double { double } else { single }
    }

    fn constant(&self, bits: u64) -> Src {
        Src::Const { bits, size: self.size }
    }

    fn power(&self, exponent: i32) -> Src {
        self.constant(power_of_two(self.double, exponent))
    }

    /// The first for `float64`, the second for `float32`.
    fn limit(&self, limits: [i32; 2]) -> i32 {
        limits[usize::from(!self.double)]
    }
}

impl Plan {
    /// How many sixteenths of the divisions and roots take other units than the divider, so that both end together.
    pub(super) fn for_newton(&self, kernel: &Kernel, lanes: usize, width: usize, divides_slowly: bool) -> usize {
        // Half cycles of the divider; and of the two units for what stands instead, and for all else.
        let (mut divider, mut instead, mut rest) = (0, 0, 0);
        for (v, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| divides_slowly && self.moves(*v)) {
            match inst.prim {
                Prim::Load => {}
                Prim::FDiv | Prim::FSqrt if !self.multiplies(inst) => {
                    let vectors = vectors(self.size[v], lanes, width);
                    let (by_divider, by_others) = half_cycles(inst);
                    divider += by_divider * vectors;
                    instead += by_others * vectors;
                }
                _ => rest += self.cost(kernel, v, lanes, width),
            }
        }
        // Another thread of the same core takes turns of those units, and seldom of the divider.
        let more = usize::saturating_sub(divider, rest * 3 / 2);
        if more == 0 { 0 } else { (16 * more + (divider + instead) / 2) / (divider + instead) }
    }
}

impl Selector<'_> {
    /// Quotients.
    pub(super) fn divide_floats(&mut self, double: bool, [x, y]: [&Lanes; 2]) -> Lanes {
        let of = Of::new(double);
        let divider = of.by(DIVPD, DIVPS);
        self.map(of.size, [x, y], |s, [x, y]| {
            if s.spares_divider(of.size) {
                s.quotient_by_newton(&of, x, y)
            } else {
                s.op(divider, of.size, &[x, y], None)
            }
        })
    }

    /// Square roots.
    pub(super) fn root(&mut self, double: bool, x: &Lanes) -> Lanes {
        let of = Of::new(double);
        let divider = of.by(SQRTPD, SQRTPS);
        self.map(of.size, [x], |s, [x]| {
            if s.spares_divider(of.size) { s.root_by_newton(&of, x) } else { s.op(divider, of.size, &[x], None) }
        })
    }

    /// Whether the next vector of lanes of `size` bytes is not the divider's. Lanes that are not there may hold anything.
    fn spares_divider(&mut self, size: u8) -> bool {
        if self.tail || self.uniform || usize::from(size) * self.lanes < self.width {
            return false;
        }
        let before = |n: usize| (n * self.plan.newton + 8) / 16;
        let spares = before(self.divided + 1) > before(self.divided);
        self.divided += 1;
        spares
    }

    fn quotient_by_newton(&mut self, of: &Of, x: Src, y: Src) -> VReg {
        let (x_reg, y_reg) = (self.reg(x), self.reg(y));
        let (x, y) = (Src::Reg(x_reg), Src::Reg(y_reg));
        let largest = of.limit(PARTS);
        // A divisor whose significand is all ones goes as if it were 0.
        let significand = of.constant((1 << if of.double { 52 } else { 23 }) - 1);
        let others = Src::Reg(self.op(of.by(ANDNPD, ANDNPS), of.size, &[y, significand], None));
        let test = of.by(TESTMQ, TESTMD);
        let not_ones = self.op_into(test, of.size, &[others, others], None, MASK);
        let magnitude = self.reg(of.constant(sign(of.size) - 1));
        let test = Enc::new(test.evex).masked(Masking::Merge);
        let not_zero = self.push(test, MASK, &[x_reg, magnitude, not_ones]);
        let begun = self.op(of.by(RCP14PD, RCP14PS), of.size, &[y], None);
        let better = |s: &mut Self, h: VReg| {
            let h = Src::Reg(h);
            let rest = s.fma_vector(of.sub, of.size, [y, h, of.power(0)], [false; 3]);
            s.fma_vector(of.add, of.size, [Src::Reg(rest), h, h], [true, false, false])
        };
        let nearer = |s: &mut Self, q: VReg, h: VReg| {
            let rest = s.fma_vector(of.sub, of.size, [y, Src::Reg(q), x], [false; 3]);
            let add = Enc::new(of.add[2].evex).tied().masked(Masking::Merge);
            s.push(add, VEC, &[q, rest, h, not_zero])
        };
        let h = better(self, begun);
        let q = self.op(of.by(MULPD, MULPS), of.size, &[x, Src::Reg(h)], None);
        let mut h = better(self, h);
        let q = nearer(self, q, h);
        if of.double {
            h = better(self, h);
        }
        let q = nearer(self, q, h);
        let range = of.by(RANGEPD, RANGEPS);
        let greater = Enc::new(range.evex).masked(Masking::Zero).imm(GREATER_OF);
        let greater = self.push(greater, VEC, &[x_reg, y_reg, not_ones]);
        // Of a zero and a divisor, it is the divisor that must be in range.
        let smaller = Enc::new(range.evex).tied().masked(Masking::Merge).imm(SMALLER);
        let smaller = self.push(smaller, VEC, &[greater, x_reg, y_reg, not_zero]);
        let compare = of.by(CMPPD, CMPPS);
        let far = self.op_into(compare, of.size, &[Src::Reg(greater), of.power(largest)], Some(NOT_LE), MASK);
        let near = self.op_into(compare, of.size, &[Src::Reg(smaller), of.power(-largest)], Some(NOT_GE), MASK);
        self.unless(false, of, q, [x_reg, y_reg], [far, near])
    }

    fn root_by_newton(&mut self, of: &Of, x: Src) -> VReg {
        let x_reg = self.reg(x);
        let (x, half) = (Src::Reg(x_reg), of.power(-1));
        let multiply = of.by(MULPD, MULPS);
        let not_zero = self.op_into(of.by(TESTMQ, TESTMD), of.size, &[x, x], None, MASK);
        let begin = Enc::new(of.by(RSQRT14PD, RSQRT14PS).evex).masked(Masking::Zero);
        let begun = Src::Reg(self.push(begin, VEC, &[x_reg, not_zero]));
        let mut g = Src::Reg(self.op(multiply, of.size, &[x, begun], None));
        let mut h = Src::Reg(self.op(multiply, of.size, &[begun, half], None));
        for _ in 0..if of.double { 2 } else { 1 } {
            let rest = Src::Reg(self.fma_vector(of.sub, of.size, [g, h, half], [false; 3]));
            let [new_g, new_h] =
                [g, h].map(|v| Src::Reg(self.fma_vector(of.add, of.size, [v, rest, v], [true, false, true])));
            (g, h) = (new_g, new_h);
        }
        for _ in 0..2 {
            let rest = Src::Reg(self.fma_vector(of.sub, of.size, [g, g, x], [false; 3]));
            g = Src::Reg(self.fma_vector(of.add, of.size, [rest, h, g], [true, false, true]));
        }
        let g = self.reg(g);
        // As integers: negative numbers and NaN are greater than all others.
        let [least, infinity] = [power_of_two(of.double, of.limit(LEAST)), infinity(of.double)];
        let from = self.op(of.by(PSUBQ, PSUBD), of.size, &[x, of.constant(least)], None);
        let most = self.reg(of.constant(infinity - 1 - least));
        let compare = Enc::new(of.by(PCMPUQ, PCMPUD).evex).masked(Masking::Merge).imm(GREATER);
        let far = self.push(compare, MASK, &[from, most, not_zero]);
        self.unless(true, of, g, [x_reg, x_reg], [far, far])
    }

    /// `result`, or what the divider makes of `args` if one of two masks has a lane.
    fn unless(&mut self, root: bool, of: &Of, result: VReg, args: [VReg; 2], masks: [VReg; 2]) -> VReg {
        let all = self.body.vreg(VEC);
        let [x, y, a, b] = [args[0], args[1], masks[0], masks[1]].map(Operand::reg_use_at_end);
        let operands = [Operand::reg_reuse_def(all, 1), Operand::reg_use(result), x, y, a, b];
        self.body.push(Kind::DivideIf { root, size: of.size }, &operands);
        all
    }
}

/// The bits of infinity.
fn infinity(double: bool) -> u64 {
    if double { f64::INFINITY.to_bits() } else { f32::INFINITY.to_bits().into() }
}

#[cfg(test)]
mod tests {
    use crate::kernel::{Class, Role};
    use crate::launch::{Accessed, Home, Layout, Memory};
    use crate::{Backend, Builder, Code, Target};
    use bytemuck::{Pod, cast_slice, cast_slice_mut};
    use lazuli_graph::DType;
    use smallvec::smallvec;
    use std::fmt::LowerExp;

    /// A small generator of numbers.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state ^ *state >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd)
    }

    /// `x / y`, or the root of `x`, on this machine as if its CPU divided slowly, if it has vectors of 512 bits.
    fn code(dtype: DType, root: bool) -> Option<Code> {
        let target = Some(Target::detect().clone().dividing_slowly(true)).filter(Target::divides_slowly)?;
        let mut b = Builder::new();
        let inputs = if root { 1 } else { 2 };
        let operands: Vec<_> = (0..inputs).map(|_| b.operand(Role::Input, dtype, Class::Contiguous)).collect();
        let values: Vec<_> = operands.into_iter().map(|k| b.load(k)).collect();
        let z = if root { b.fsqrt(values[0]) } else { b.fdiv(values[0], values[1]) };
        let out = b.operand(Role::Output, dtype, Class::Contiguous);
        b.store(out, z);
        let code = Code::compile(&b.finish(), Backend::Wide, &target).unwrap();
        let asm = code.asm().unwrap();
        assert!(asm.contains(if root { "vrsqrt14" } else { "vrcp14" }), "{asm}");
        Some(code)
    }

    /// Holds the results for the elements of `args` against what is expected. Each vector of them is there as often as a round
    /// has vectors, of which each may be computed in another way.
    fn check<T: Pod + PartialOrd + LowerExp>(code: &Code, args: &[&[T]], one: T, expected: impl Fn(usize) -> T) {
        const TIMES: usize = 4;
        let (size, lanes) = (size_of::<T>() as isize, 64 / size_of::<T>());
        let spread = |v: &[T]| -> Vec<T> {
            let mut v = v.to_vec();
            v.resize(v.len().next_multiple_of(lanes), one);
            v.chunks(lanes).flat_map(|vector| vector.repeat(TIMES)).collect()
        };
        let spread: Vec<Vec<T>> = args.iter().map(|v| spread(v)).collect();
        let n = spread[0].len();
        let access = || Accessed { home: Home::Memory, offset: 0, strides: smallvec![size] };
        let layout = Layout::new(&code.kernel().operands, &[n], (0..=args.len()).map(|_| access())).unwrap();
        let mut z = vec![T::zeroed(); n];
        let mut memory: Vec<Memory<'_>> = spread.iter().map(|v| Memory::Read(cast_slice(v), 0)).collect();
        memory.push(Memory::Write(cast_slice_mut(&mut z)));
        layout.bind(code, memory).unwrap().run();
        let nan = |v: T| v.partial_cmp(&v).is_none();
        for i in 0..args[0].len() {
            let expected = expected(i);
            for time in 0..TIMES {
                let got = z[(i / lanes * TIMES + time) * lanes + i % lanes];
                let same = bytemuck::bytes_of(&got) == bytemuck::bytes_of(&expected);
                let (x, y) = (args[0][i], args[args.len() - 1][i]);
                assert!(same || nan(got) && nan(expected), "of {x:e}, {y:e} it is {expected:e}, got {got:e}");
            }
        }
    }

    fn check_quotients(x: &[f64], y: &[f64]) {
        let (Some(double), Some(single)) = (code(DType::F64, false), code(DType::F32, false)) else { return };
        check(&double, &[x, y], 1.0, |i| x[i] / y[i]);
        let [x, y] = [x, y].map(|v| v.iter().map(|&v| v as f32).collect::<Vec<f32>>());
        check(&single, &[&x, &y], 1.0, |i| x[i] / y[i]);
    }

    /// Zeros, infinities, NaN, subnormal numbers, and the limits of what is in range; with both signs.
    fn special() -> Vec<f64> {
        let powers =
            [500, -500, 499, 501, -501, -900, -901, 60, -60, 61, -61, 70, -70, -71, 127, -126, -127, -149, 1023];
        let mut all: Vec<f64> = powers.iter().map(|&e| 2f64.powi(e)).collect();
        let near: Vec<f64> =
            all.iter().flat_map(|v| [v.next_up(), v.next_down(), v * (1.0 + 2f64.powi(-23))]).collect();
        all.extend(near);
        all.extend([
            0.0,
            f64::INFINITY,
            f64::NAN,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            1e-310,
            1.0,
            3.0,
            2f64.next_down(),
        ]);
        all.extend([f32::MAX, f32::MIN_POSITIVE, 1e-45, 2f32.next_down()].map(f64::from));
        let negative: Vec<f64> = all.iter().map(|v| -v).collect();
        all.extend(negative);
        all
    }

    #[test]
    fn special_quotients() {
        let special = special();
        let pairs: Vec<(f64, f64)> = special.iter().flat_map(|&x| special.iter().map(move |&y| (x, y))).collect();
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        check_quotients(&x, &y);
        // One after another: what is special about one must not decide for its neighbours.
        for (&x, &y) in x.iter().zip(&y).step_by(97) {
            let mut v = [[1.5; 16], [3.0; 16]];
            (v[0][3], v[1][3]) = (x, y);
            check_quotients(&v[0], &v[1]);
        }
    }

    #[test]
    fn random_quotients() {
        let mut state = 5;
        let mut numbers = |mask: u64, or: u64| -> Vec<f64> {
            (0..40_000).map(|_| f64::from_bits(next(&mut state) & mask | or)).collect()
        };
        let (x, y) = (numbers(u64::MAX, 0), numbers(u64::MAX, 0));
        check_quotients(&x, &y);
        // Between one and two, and magnitudes that float32 has, too.
        for (mask, or) in [(u64::MAX >> 12, 1023 << 52), (u64::MAX >> 7 | 1 << 63, 1008 << 52)] {
            let (x, y) = (numbers(mask, or), numbers(mask, or));
            check_quotients(&x, &y);
        }
    }

    /// The numbers `x` of so many bits for which `x / y` lies nearest to halfway between two of them, on both sides: `y` is odd,
    /// and `m` an odd number of one bit more with `m y = x 2^(bits + 1) + s`.
    fn halfway(y: u64, bits: u32, count: i64) -> impl Iterator<Item = u64> {
        // Newton's iteration doubles the digits of the inverse modulo a power of two.
        let inverse = (0..6).fold(y, |i, _| i.wrapping_mul(2u64.wrapping_sub(y.wrapping_mul(i))));
        (0..count).flat_map(|k| [2 * k + 1, -2 * k - 1]).filter_map(move |s| {
            let m = inverse.wrapping_mul(s as u64) & ((1 << (bits + 1)) - 1);
            let x = (i128::from(m) * i128::from(y) - i128::from(s)) >> (bits + 1);
            (m >= 1 << bits).then_some(x as u64)
        })
    }

    #[test]
    fn quotients_near_halfway() {
        let mut state = 2;
        for bits in [53, 24] {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for n in 0..3000 {
                // Also the significands near all ones, of which the reciprocal is the hardest.
                let top = (1 << bits) - 1 - 2 * n;
                let random = next(&mut state) >> (64 - bits + 1) | 1 << (bits - 1) | 1;
                for (d, count) in [(top, if n == 0 { 400 } else { 4 }), (random, 6)] {
                    for found in halfway(d, bits, count) {
                        x.push(found as f64);
                        y.push(d as f64);
                    }
                }
            }
            check_quotients(&x, &y);
        }
    }

    #[test]
    fn special_roots() {
        let (Some(double), Some(single)) = (code(DType::F64, true), code(DType::F32, true)) else { return };
        let mut state = 7;
        let mut x = special();
        x.extend((0..40_000).map(|_| f64::from_bits(next(&mut state))));
        x.extend((0..40_000).map(|_| f64::from_bits(next(&mut state) >> 12 | 1023 << 52)));
        check(&double, &[&x], 1.0, |i| x[i].sqrt());
        let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        check(&single, &[&x], 1.0, |i| x[i].sqrt());
    }

    /// All `float64` of which the root is within 2^-45 of a unit in the last place from halfway between two numbers.
    #[test]
    fn roots_near_halfway() {
        let Some(code) = code(DType::F64, true) else { return };
        let mut x = Vec::new();
        for (bits, r) in [54, 55].into_iter().flat_map(|bits| (-500..500).map(move |k| (bits, 8 * k + 1i64))) {
            // n^2 = r modulo 2^bits: a root of each r that is 1 modulo 8, bit by bit, and the three others.
            let off = |n: u64| n.wrapping_mul(n).wrapping_sub(r as u64);
            let root = (3..bits).fold(1u64, |n, bit| if off(n) >> bit & 1 == 1 { n + (1 << (bit - 1)) } else { n });
            assert_eq!(off(root) % (1 << bits), 0);
            for n in [root, root.wrapping_neg()].into_iter().flat_map(|n| [n, n.wrapping_add(1 << (bits - 1))]) {
                // n is of 54 bits and odd: n / 2 is halfway. It is the root of the number below but for r.
                let n = n % (1 << bits);
                if (1 << 53..1 << 54).contains(&n) {
                    let number = (i128::from(n) * i128::from(n) - i128::from(r)) >> bits;
                    x.push(number as f64 * if bits == 54 { 1.0 } else { 2.0 });
                }
            }
        }
        assert!(x.len() > 2000);
        check(&code, &[&x], 1.0, |i| x[i].sqrt());
    }

    /// Every significand of `float32`, with an even exponent and an odd one.
    #[test]
    fn every_root() {
        let Some(code) = code(DType::F32, true) else { return };
        for part in 0..16 {
            let x: Vec<f32> = (0..1 << 20).map(|m| f32::from_bits((part << 20 | m) + (127 << 23))).collect();
            check(&code, &[&x], 1.0, |i| x[i].sqrt());
        }
    }
}
