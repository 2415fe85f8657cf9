//! Divisions and roots by Newton's iteration, where the divider sets the pace.
//!
//! On Intel's CPUs a division of 512 bits takes the divider for 10 (`float32`) or 16 cycles and a root for 12 or 24, in which two
//! other units do two operations a cycle. Where they have less to do than the divider, some divisions are theirs: so many that
//! both end together ([`super::plan::Plan::newton`]). The results are the correctly rounded ones of the divider.
//!
//! A quotient:
//! ```text
//! h = about 1/y, to 14 bits; h += (1 - y h) h; q = x h
//! h += (1 - y h) h; q += (x - y q) h; for float64 h += (1 - y h) h; q += (x - y q) h
//! ```
//! The last `h` is `1/y` correctly rounded, but for a `y` whose significand is all ones (Markstein 1990). The last but one `q` is
//! within half a unit in the last place and very little of `x/y`, so `x - y q` is exact, and what is added is so near to what is missing
//! that the sum is rounded as `x/y` is: if that is `d` of a unit away from halfway between two numbers, what is missing is at most
//! `1/2 + d`, and the error `m` 2^-54 times that, where `m` is the significand of `y`, from 1 to 2. That is less than `d`, for `d` is never
//! less than 2^-53/m. The one `y` that is left takes the divider.
//!
//! A root:
//! ```text
//! h = about 1/sqrt(x) / 2, to 14 bits; g = 2 x h
//! r = 1/2 - g h, g += g r, h += h r, once, for float64 twice; g += (x - g^2) h, twice
//! ```
//! What is added last is in error by less than 2^-52 of a unit. Of `float64`, roots nearer to halfway than that are those of a few
//! numbers, which are solutions of `n^2 = 2^k x + r` for small `r`: a test has them all, and for `float32` one has all numbers.
//!
//! On Zen 4, where a root of `float64` takes 16 cycles, every second vector of roots is made so in programs that are not deep, and
//! the exponents of up to four vectors of roots are looked at together, as [`super::divide`] does of quotients: what is out of
//! range, zeros included, gives NaN or a root that is too small.
//!
//! All of this is so where nothing over- or underflows on the way. What is out of range is found by comparisons, and its
//! vector takes the divider, out of line. NaN beside a number goes through all steps and stays NaN. Zeros, which may be many, are
//! left out of the steps that would lose their sign, or have a zero for the beginning of the reciprocal; the root of `-0` is the
//! divider's.

use super::divide::power_of_two;
use super::fma::FMA;
use super::mach::{Enc, Kind, MASK, Masking, VEC};
use super::pairs::*;
use super::plan::Plan;
use super::select::Selector;
use super::sources::{Lanes, Src, sign};
use crate::kernel::{Inst, Kernel, Prim, Ty};
use crate::target::Divider;
use regalloc2::{Operand, VReg};
use smallvec::smallvec;

/// Comparisons that are true for NaN, which is what the magnitudes of two of them give.
const NOT_GE: u8 = 0x19;
const NOT_LE: u8 = 0x16;
/// Of integers without a sign.
pub(super) const GREATER: u8 = 6;

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
pub(super) struct Format {
    pub(super) double: bool,
    pub(super) size: u8,
    /// `a b + c` and `c - a b`.
    pub(super) add: [Pair; 3],
    pub(super) sub: [Pair; 3],
}

impl Format {
    pub(super) fn new(double: bool) -> Format {
        let [add, sub] = [0, 1].map(|negated| FMA[negated][0][usize::from(double)]);
        Format { double, size: if double { 8 } else { 4 }, add, sub }
    }

    pub(super) fn by(&self, double: Pair, single: Pair) -> Pair {
        if self.double { double } else { single }
    }

    pub(super) fn constant(&self, bits: u64) -> Src {
        Src::Const { bits, size: self.size }
    }

    pub(super) fn power(&self, exponent: i32) -> Src {
        self.constant(power_of_two(self.double, exponent))
    }

    /// The first for `float64`, the second for `float32`.
    pub(super) fn limit(&self, limits: [i32; 2]) -> i32 {
        limits[usize::from(!self.double)]
    }
}

impl Plan {
    /// How many sixteenths of the divisions and roots of a program take other units than the divider, so that both end together.
    /// Its rounds have vectors of so many lanes.
    pub(super) fn for_newton(&self, kernel: &Kernel, lanes: usize, width: usize, divider: Divider) -> usize {
        if divider != Divider::Slowest {
            return 0;
        }
        // Half cycles of the divider; and of the two units for what stands instead, and for all else.
        let (mut divider, mut instead, mut rest) = (0, 0, 0);
        for (v, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| self.moves(*v)) {
            match inst.prim {
                Prim::Load if !self.strided(kernel, inst) => {}
                Prim::FDiv | Prim::FSqrt if !self.multiplies(inst) => {
                    // What fills no vector is the divider's.
                    if usize::from(self.size[v]) * lanes >= width {
                        let (by_divider, by_others) = half_cycles(inst);
                        divider += by_divider;
                        instead += by_others;
                    }
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
        let of = Format::new(double);
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
        let of = Format::new(double);
        let divider = of.by(SQRTPD, SQRTPS);
        if self.plan.halves_roots && double && !x.same && self.fills_vectors(of.size) {
            // From 2^-450 on.
            let kind = |count| Kind::Roots { count };
            return self.beside_divider(divider, 451 << 52, kind, [x], |s, _, [x]| {
                let x = s.reg(x);
                let begun = Src::Reg(s.op(RSQRT14PD, of.size, &[Src::Reg(x)], None));
                (s.root_from(&of, Src::Reg(x), begun), smallvec![x])
            });
        }
        self.map(of.size, [x], |s, [x]| {
            if s.spares_divider(of.size) { s.root_by_newton(&of, x) } else { s.op(divider, of.size, &[x], None) }
        })
    }

    /// Whether the next vector of lanes of `size` bytes is not the divider's. Lanes that are not there may hold anything.
    fn spares_divider(&mut self, size: u8) -> bool {
        if !self.fills_vectors(size) {
            return false;
        }
        let before = |n: usize| (n * self.plan.newton + 8) / 16;
        let spares = before(self.divided + 1) > before(self.divided);
        self.divided += 1;
        spares
    }

    fn quotient_by_newton(&mut self, of: &Format, x: Src, y: Src) -> VReg {
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

    fn root_by_newton(&mut self, of: &Format, x: Src) -> VReg {
        let x_reg = self.reg(x);
        let x = Src::Reg(x_reg);
        let not_zero = self.op_into(of.by(TESTMQ, TESTMD), of.size, &[x, x], None, MASK);
        let begin = Enc::new(of.by(RSQRT14PD, RSQRT14PS).evex).masked(Masking::Zero);
        let begun = Src::Reg(self.push(begin, VEC, &[x_reg, not_zero]));
        let g = self.root_from(of, x, begun);
        // As integers: negative numbers and NaN are greater than all others.
        let [least, infinity] = [power_of_two(of.double, of.limit(LEAST)), infinity(of.double)];
        let from = self.op(of.by(PSUBQ, PSUBD), of.size, &[x, of.constant(least)], None);
        let most = self.reg(of.constant(infinity - 1 - least));
        let compare = Enc::new(of.by(PCMPUQ, PCMPUD).evex).masked(Masking::Merge).imm(GREATER);
        let far = self.push(compare, MASK, &[from, most, not_zero]);
        self.unless(true, of, g, [x_reg, x_reg], [far, far])
    }

    /// The root of `x` from about its reciprocal.
    fn root_from(&mut self, of: &Format, x: Src, begun: Src) -> VReg {
        let (half, multiply) = (of.power(-1), of.by(MULPD, MULPS));
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
        self.reg(g)
    }

    /// `result`, or what the divider makes of `args` if one of two masks has a lane.
    pub(super) fn unless(&mut self, root: bool, of: &Format, result: VReg, args: [VReg; 2], masks: [VReg; 2]) -> VReg {
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
mod tests;
