//! Divisions by what is the same for a row, without the divider.
//!
//! Where a division of 512 bits blocks the divider for 10 to 16 cycles, as on Intel's CPUs and, of `float64`, on Zen 4,
//! `x / y` for a `y` that stays is made of its reciprocal, in two parts, and corrected:
//!
//! ```text
//! row:      h = 1 / y              l = fma(-y, h, 1) * h          h + l is 1/y to twice the digits but one
//! element:  q = fma(x, h, x * l)   r = fma(-y, q, x)              q is x/y or its neighbour, and r is exact
//!           fma(r, h, q)
//! ```
//! The result is the quotient, correctly rounded: `h` is the rounded reciprocal and `q` is faithful (Markstein 1990; the
//! two parts are those of Brisebarre, Muller and Raina 2004). That holds where nothing over- or underflows on the way. `y`
//! is looked at once a row, or for all rows of a group of columns: outside of the range below, `h` is NaN. What is then NaN,
//! as are quotients of and to infinity, and quotients of small numbers are divided after all, out of line. Zeros, which may
//! be many, are multiplied by `h`: their sign would be lost.
//!
//! On Zen 4, where a division is not as slow, every second vector of `float64` is multiplied, and the divider does the others
//! meanwhile. There the exponents of up to four vectors of quotients are looked at together: with `2^61` added to their bits,
//! those from 2^-511 to below 2^513 have the next higher bit set, and no others, NaN included; their dividends are far from what
//! is lost. A bit that is missing leads out of line, where zeros are seen to, too.

use super::mach::{Enc, Kind, MASK, Masking, VEC};
use super::newton::{Format, GREATER};
use super::pairs::*;
use super::select::Selector;
use super::sources::{Lanes, Src, sign};
use crate::kernel::{Inst, Prim, Ty, ValueId};
use crate::target::Divider;
use iced_x86::Code;
use regalloc2::{Operand, VReg};
use smallvec::{SmallVec, smallvec};

/// Magnitudes of divisors, as powers of two: of 8 bytes, and of 4.
const LARGEST: [i32; 2] = [60, 20];

/// Quotients, or roots, that are looked at together.
const TOGETHER: usize = 4;

/// Of a comparison: one of both is NaN.
pub(super) const UNORDERED: u8 = 3;

/// The bits of an exponent of which one is set in every number from 2^-511 (or 2^-63) on.
fn not_small(size: u8) -> u64 {
    3 << (8 * size - 3)
}

/// The bits of a power of two.
pub(super) fn power_of_two(double: bool, exponent: i32) -> u64 {
    if double { 2f64.powi(exponent).to_bits() } else { 2f32.powi(exponent).to_bits().into() }
}

/// Whether divisions by it go without the divider, if it is the same for a row: of a constant, whether it is in range.
pub(super) fn has_reciprocal(divisor: &Inst) -> bool {
    divisor.prim != Prim::Const || reciprocal(divisor.ty == Ty::F64, divisor.imm).is_some()
}

/// The reciprocal of a constant in two parts, if it is in range.
fn reciprocal(double: bool, bits: u64) -> Option<[u64; 2]> {
    let largest = 2f64.powi(LARGEST[usize::from(!double)]);
    let y = if double { f64::from_bits(bits) } else { f32::from_bits(bits as u32).into() };
    if !(1.0 / largest..=largest).contains(&y.abs()) {
        return None;
    }
    Some(if double {
        let h = 1.0 / y;
        [h, (-y).mul_add(h, 1.0) * h].map(f64::to_bits)
    } else {
        let y = y as f32;
        let h = 1.0 / y;
        [h, (-y).mul_add(h, 1.0) * h].map(|part| part.to_bits().into())
    })
}

impl Selector<'_> {
    /// A division or a root of values that are the same for a row: of one lane, for that is quicker.
    pub(super) fn divide_once(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        use Code::*;
        let codes = match (inst.prim, inst.ty == Ty::F64) {
            (Prim::FDiv, true) => [VEX_Vdivsd_xmm_xmm_xmmm64, EVEX_Vdivsd_xmm_k1z_xmm_xmmm64_er],
            (Prim::FDiv, false) => [VEX_Vdivss_xmm_xmm_xmmm32, EVEX_Vdivss_xmm_k1z_xmm_xmmm32_er],
            (_, true) => [VEX_Vsqrtsd_xmm_xmm_xmmm64, EVEX_Vsqrtsd_xmm_k1z_xmm_xmmm64_er],
            (_, false) => [VEX_Vsqrtss_xmm_xmm_xmmm32, EVEX_Vsqrtss_xmm_k1z_xmm_xmmm32_er],
        };
        let a = self.reg(args[0].at(0));
        let b = if inst.prim == Prim::FDiv { self.reg(args[1].at(0)) } else { a };
        let one = self.push(Enc::new(codes[usize::from(self.evex)]), VEC, &[a, b]);
        let all = self.all_lanes(one, inst.ty.size());
        Lanes { size: inst.ty.size() as u8, same: true, vectors: smallvec![Src::Reg(all)] }
    }

    /// The first lane in all.
    pub(super) fn all_lanes(&mut self, one: VReg, size: usize) -> VReg {
        let pair = if size == 8 { BROADCASTQ_X } else { BROADCASTD_X };
        self.push(Enc::new(self.code(pair)), VEC, &[one])
    }

    /// Prepares the main loop of a row for divisions by each of the plan's divisors. Elsewhere the divider is used: the lanes
    /// that a tail does not have are zeros, and a row may have no more than the tail.
    pub(super) fn reciprocals(&mut self) {
        for &divisor in &self.plan.reciprocals {
            let ty = self.kernel.ty(divisor);
            let (size, double) = (ty.size() as u8, ty == Ty::F64);
            let inst = self.kernel.insts[divisor.0 as usize];
            let parts = if inst.prim == Prim::Const {
                let Some(parts) = reciprocal(double, inst.imm) else { continue };
                smallvec![parts.map(|bits| Src::Const { bits, size })]
            } else {
                let y = self.get(divisor);
                let one = self.splat(size, power_of_two(double, 0));
                let division = Inst { prim: Prim::FDiv, ty, args: [ValueId(0); 3], imm: 0 };
                let h = if y.same {
                    self.divide_once(&division, &[one, y.clone()])
                } else {
                    self.divide_floats(double, [&one, &y])
                };
                let both = h.vectors.iter().zip(&y.vectors);
                both.map(|(&h, &y)| self.reciprocal_of(double, y, h)).collect()
            };
            self.forget_loaded();
            self.parts.insert(divisor, parts);
        }
    }

    /// The two parts of the reciprocal of `y`, of which `h` is the quotient of one by it.
    fn reciprocal_of(&mut self, double: bool, y: Src, h: Src) -> [Src; 2] {
        let of = Format::new(double);
        let size = of.size;
        let one = of.power(0);
        let y = Src::Reg(self.reg(y));
        let rest = self.fma_vector(of.sub, size, [h, y, one], [false; 3]);
        let l = self.op(of.by(MULPD, MULPS), size, &[Src::Reg(rest), h], None);
        // Without the sign, and from the least magnitude on, as integers.
        let largest = of.limit(LARGEST);
        let [low, high] = [-largest, largest].map(|e| power_of_two(double, e) << 1);
        let twice = self.op(of.by(PADDQ, PADDD), size, &[y, y], None);
        let from = self.op(of.by(PSUBQ, PSUBD), size, &[Src::Reg(twice), of.constant(low)], None);
        let span = of.constant(high - low);
        let far = self.op_into(of.by(PCMPUQ, PCMPUD), size, &[Src::Reg(from), span], Some(GREATER), MASK);
        let nan = self.reg(of.constant(if double { f64::NAN.to_bits() } else { f32::NAN.to_bits().into() }));
        let h = self.reg(h);
        let blend = Enc::new(of.by(BLENDVPD, BLENDVPS).evex).masked(Masking::Merge);
        let h = self.push(blend, VEC, &[h, nan, far]);
        [h, l].map(Src::Reg)
    }

    /// `x / y`, if the row has been prepared for it.
    pub(super) fn quotient(&mut self, inst: &Inst, args: &[Lanes]) -> Option<Lanes> {
        let parts = self.parts.get(&inst.args[1])?.clone();
        let of = Format::new(inst.ty == Ty::F64);
        if self.plan.divider == Divider::Slowest {
            let mut parts = parts.into_iter().cycle();
            return Some(self.map(of.size, [&args[0], &args[1]], |s, args| {
                let parts = parts.next().expect("a divisor has parts");
                let args = args.map(|src| s.reg(src));
                let quotient = s.product(&of, args, parts);
                s.looked_at(&of, quotient, args, parts[0])
            }));
        }
        if !self.fills_vectors(of.size) {
            return None;
        }
        let kind = |count| Kind::Quotients { count };
        Some(self.beside_divider(DIVPD, 1 << 61, kind, [&args[0], &args[1]], |s, k, [x, y]| {
            let [h, l] = parts[k % parts.len()];
            let [x, y, h] = [x, y, h].map(|src| s.reg(src));
            (s.product(&of, [x, y], [Src::Reg(h), l]), smallvec![x, y, h])
        }))
    }

    /// Whether lanes of `size` bytes are all there: others may hold anything, and would be looked at.
    pub(super) fn fills_vectors(&self, size: u8) -> bool {
        !self.tail && usize::from(size) * self.lanes >= self.width
    }

    /// Results of `float64`, of which `divider` makes every second vector; what `make` makes of the others, with what it is made of, is
    /// looked at together: `bias` is added to the exponents, and sets the highest bit of those that are right.
    pub(super) fn beside_divider<const N: usize>(
        &mut self,
        divider: Pair,
        bias: u64,
        kind: fn(u8) -> Kind,
        args: [&Lanes; N],
        mut make: impl FnMut(&mut Self, usize, [Src; N]) -> (VReg, SmallVec<[VReg; 3]>),
    ) -> Lanes {
        let of = Format::new(true);
        let [bias, top] = [bias, 1 << 62].map(|bits| of.constant(bits));
        let (mut vectors, mut others) = (SmallVec::<[Src; 4]>::new(), SmallVec::<[usize; 8]>::new());
        for k in 0..self.count(of.size) {
            let args = args.map(|lanes| lanes.at(k));
            self.divided += 1;
            vectors.push(if self.divided.is_multiple_of(2) {
                others.push(k);
                args[0]
            } else {
                Src::Reg(self.op(divider, of.size, &args, None))
            });
        }
        for some in others.chunks(TOGETHER) {
            let (mut made, mut of_args) = (SmallVec::<[VReg; TOGETHER]>::new(), SmallVec::<[VReg; 12]>::new());
            let mut near = None;
            for &k in some {
                let (result, from) = make(self, k, args.map(|lanes| lanes.at(k)));
                let exponent = self.op(PADDQ, of.size, &[Src::Reg(result), bias], None);
                near = Some(match near {
                    None => exponent,
                    Some(before) => self.op(ANDPD, of.size, &[Src::Reg(before), Src::Reg(exponent)], None),
                });
                made.push(result);
                of_args.extend(from);
            }
            let near = Src::Reg(near.expect("there is a vector"));
            let far = self.op_into(TESTNMQ, of.size, &[near, top], None, MASK);
            let results = self.unless_near(kind(made.len() as u8), &made, &of_args, far);
            some.iter().zip(results).for_each(|(&k, result)| vectors[k] = Src::Reg(result));
        }
        Lanes { size: of.size, same: false, vectors }
    }

    /// `x / y` by the two parts of the reciprocal, if nothing over- or underflows on the way.
    fn product(&mut self, of: &Format, args: [VReg; 2], [h, l]: [Src; 2]) -> VReg {
        let [x, y] = args.map(Src::Reg);
        let low = self.op(of.by(MULPD, MULPS), of.size, &[x, l], None);
        let q = self.fma_vector(of.add, of.size, [x, h, Src::Reg(low)], [false, false, true]);
        let rest = self.fma_vector(of.sub, of.size, [Src::Reg(q), y, x], [false; 3]);
        self.fma_vector(of.add, of.size, [Src::Reg(rest), h, Src::Reg(q)], [true, false, true])
    }

    /// A quotient, looked at by itself: zeros have a sign, and what is small, infinite or NaN takes the divider.
    fn looked_at(&mut self, of: &Format, quotient: VReg, [x, y]: [VReg; 2], h: Src) -> VReg {
        let not_small = of.constant(not_small(of.size));
        let little = self.op_into(of.by(TESTNMQ, TESTNMD), of.size, &[Src::Reg(x), not_small], None, MASK);
        let h = self.reg(h);
        let product = Enc::new(of.by(MULPD, MULPS).evex).tied().masked(Masking::Merge);
        let quotient = self.push(product, VEC, &[quotient, x, h, little]);
        let magnitude = self.reg(of.constant(sign(of.size) - 1));
        let test = Enc::new(of.by(TESTMQ, TESTMD).evex).masked(Masking::Merge);
        let small = self.push(test, MASK, &[x, magnitude, little]);
        let both = [Src::Reg(quotient), Src::Reg(quotient)];
        let nan = self.op_into(of.by(CMPPD, CMPPS), of.size, &both, Some(UNORDERED), MASK);
        self.unless(false, of, quotient, [x, y], [small, nan])
    }

    /// The results of some vectors, which are looked at again, out of line, if `far` has a lane; `args` are what each is made of.
    pub(super) fn unless_near(
        &mut self,
        kind: Kind,
        quotients: &[VReg],
        args: &[VReg],
        far: VReg,
    ) -> SmallVec<[VReg; TOGETHER]> {
        let n = quotients.len();
        let results: SmallVec<[VReg; TOGETHER]> = quotients.iter().map(|_| self.body.vreg(VEC)).collect();
        let mut operands: SmallVec<[Operand; 24]> =
            results.iter().enumerate().map(|(k, &r)| Operand::reg_reuse_def(r, n + k)).collect();
        operands.extend(quotients.iter().map(|&q| Operand::reg_use(q)));
        operands.extend(args.iter().map(|&a| Operand::reg_use_at_end(a)));
        operands.push(Operand::reg_use(far));
        if matches!(kind, Kind::Quotients { .. }) {
            operands.extend([VEC, MASK, MASK].map(|class| Operand::reg_temp(self.body.vreg(class))));
        }
        self.body.push(kind, &operands);
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Class, Role};
    use crate::launch::{Accessed, Home, Layout, Memory};
    use crate::target::Tuning::{self, Intel, Other, Zen4};
    use crate::testing::{halfway, next, slow_divider, slow_dividers};
    use crate::{Backend, Builder, Code, Target};
    use bytemuck::{Pod, cast_slice, cast_slice_mut};
    use lazuli_graph::DType;
    use std::ops::Div;

    /// The code that divides each row by what is the same for it, in each vector without the divider.
    fn divider(dtype: DType) -> Option<Code> {
        Some(divider_of(dtype, &slow_divider()?))
    }

    fn divider_of(dtype: DType, target: &Target) -> Code {
        let mut b = Builder::new();
        let (x, y) =
            (b.operand(Role::Input, dtype, Class::Contiguous), b.operand(Role::Input, dtype, Class::Broadcast));
        let (x, y) = (b.load(x), b.load(y));
        let z = b.fdiv(x, y);
        let out = b.operand(Role::Output, dtype, Class::Contiguous);
        b.store(out, z);
        let code = Code::compile(&b.finish(), Backend::Wide, target).unwrap();
        let multiplies = target.tuning() == Tuning::Intel || dtype == DType::F64;
        assert_eq!(code.asm().unwrap().contains("vptestnm"), multiplies);
        code
    }

    /// Divides `xs` by each of `ys`, and compares with the CPU's divisions.
    fn check<T>(code: &Code, xs: &[T], ys: &[T])
    where
        T: Pod + Div<Output = T> + PartialOrd + std::fmt::LowerExp,
    {
        let size = size_of::<T>() as isize;
        let (n, rows) = (xs.len(), ys.len());
        let access =
            |row: isize, step: isize| Accessed { home: Home::Memory, offset: 0, strides: smallvec![row, step] };
        let accesses = [access(0, size), access(size, 0), access(n as isize * size, size)];
        let layout = Layout::new(&code.kernel().operands, &[rows, n], accesses).unwrap();
        let mut z = vec![T::zeroed(); rows * n];
        let memory =
            [Memory::Read(cast_slice(xs), 0), Memory::Read(cast_slice(ys), 0), Memory::Write(cast_slice_mut(&mut z))];
        layout.bind(code, memory).unwrap().run();
        for (&y, row) in ys.iter().zip(z.chunks(n)) {
            for (&x, &got) in xs.iter().zip(row) {
                let expected = x / y;
                let nan = |v: T| v.partial_cmp(&v).is_none();
                let same = bytemuck::bytes_of(&got) == bytemuck::bytes_of(&expected);
                assert!(same || nan(got) && nan(expected), "{x:e} / {y:e} is {expected:e}, got {got:e}");
            }
        }
    }

    /// Divisors at the ends of the range, special ones, and random ones in it.
    fn divisors64(state: &mut u64) -> Vec<f64> {
        let limits = [60, 61, -60, -61, 0, 1].map(|e| 2f64.powi(e));
        let odd = limits.iter().flat_map(|y| [y.next_up(), y.next_down(), -y]);
        let special = [0.0, -0.0, f64::INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324, 3.0, -7.0, 100.0];
        let random = (0..60).map(|i| f64::from_bits(next(state) >> 12 | (1023 + i % 13 - 6) << 52));
        limits.into_iter().chain(odd).chain(special).chain(random).collect()
    }

    #[test]
    fn special_values_and_limits() {
        for target in slow_dividers() {
            let [double, single] = [DType::F64, DType::F32].map(|dtype| divider_of(dtype, &target));
            special(&double, &single);
        }
    }

    fn special(double: &Code, single: &Code) {
        let mut state = 1;
        let ys = divisors64(&mut state);
        let mut xs = vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN, 5e-324, 1e-308];
        xs.extend([-511, -512, -510, -571, -572, -969, 511, 512, 572, 900, 963, 964, 1023].map(|e| 2f64.powi(e)));
        let near: Vec<f64> = xs.iter().flat_map(|x| [x.next_up(), x.next_down()]).collect();
        xs.extend(near);
        xs.extend((0..3000).map(|_| f64::from_bits(next(&mut state))));
        check(double, &xs, &ys);
        // Vectors of the same: zeros alone, and all that is divided after all.
        for x in [0.0, -0.0, f64::INFINITY, f64::NAN, 1e-300, 3.0] {
            check(double, &[x; 100], &ys);
            check(single, &[x as f32; 100], &ys.iter().map(|y| *y as f32).collect::<Vec<_>>());
        }
        let narrow = |v: &[f64]| -> Vec<f32> { v.iter().map(|x| *x as f32).collect() };
        let mut ys = narrow(&ys);
        ys.extend([20, 21, -20, -21].map(|e| 2f32.powi(e)).into_iter().flat_map(|y| [y, y.next_up(), y.next_down()]));
        ys.extend([f32::MAX, f32::MIN_POSITIVE, 1e-45, 1.1e38, 1.7e38, 1e-37]);
        let mut xs = narrow(&xs);
        xs.extend([-63, -62, -64, -83, -84, -126, 65, 66, 85, 106, 107, 108, 127].map(|e| 2f32.powi(e)));
        xs.extend((0..3000).map(|_| f32::from_bits(next(&mut state) as u32)));
        check(single, &xs, &ys);
    }

    /// Quotients that lie nearer to halfway between two numbers than any others, on both sides.
    #[test]
    fn quotients_near_halfway() {
        let Some(code) = divider(DType::F64) else { return };
        let mut state = 2;
        for n in 0..3000 {
            // y is an odd number of 53 bits.
            let y = if n == 0 { (1 << 53) - 1 } else { next(&mut state) >> 12 | 1 << 52 | 1 };
            let xs: Vec<f64> = halfway(y, 53, 20).map(|x| x as f64).collect();
            check(&code, &xs, &[y as f64]);
        }
    }

    /// How many vectors of a round go without the divider: none, every second, or all.
    #[test]
    fn vectors_that_go_without_the_divider() {
        use crate::reduce::{Reduction, states};
        use crate::wide::{Mode, instructions};
        use crate::{Kernel, Precision, math};
        use lazuli_graph::ReduceOp;
        let kernel = |ty: Ty, deep: bool, stays: bool| {
            let mut b = Builder::new();
            let dtype = if ty == Ty::F64 { DType::F64 } else { DType::F32 };
            let class = if stays { Class::Broadcast } else { Class::Contiguous };
            let (x, y) = (b.operand(Role::Input, dtype, Class::Contiguous), b.operand(Role::Input, dtype, class));
            let (x, y) = (b.load(x), b.load(y));
            let x = if deep { math::exp(&mut b, x, Precision::Standard) } else { x };
            let z = b.fdiv(x, y);
            let out = b.operand(Role::Output, dtype, Class::Contiguous);
            b.store(out, z);
            b.finish()
        };
        // Each has one such instruction, as has what prepares a row.
        let count = |kernel: &Kernel, tuning: Tuning, mode: Mode| {
            let code = instructions(kernel, true, tuning, mode).unwrap();
            let named = |i: &&iced_x86::Instruction| format!("{:?}", i.mnemonic()).starts_with("Vfnmadd");
            code.iter().filter(named).count()
        };
        for ty in [Ty::F64, Ty::F32] {
            let of = |deep: bool, tuning| count(&kernel(ty, deep, true), tuning, Mode::Plain);
            let every_second = |vectors: usize| if ty == Ty::F64 { 1 + vectors / 2 } else { 0 };
            assert_eq!([Other, Zen4, Intel].map(|tuning| of(false, tuning)), [0, every_second(4), 1 + 4], "{ty}");
            let more = |tuning| of(true, tuning) - of(true, Other);
            assert_eq!(more(Zen4), 0, "{ty}");
            assert!(more(Intel) > 1, "{ty}");
            assert_eq!(count(&kernel(ty, false, false), Zen4, Mode::Plain), 0, "{ty}");
            let dtype = if ty == Ty::F64 { DType::F64 } else { DType::F32 };
            let (folded, joins) =
                states(&kernel(ty, false, true), &[Reduction::new(ReduceOp::Sum, dtype, false)]).unwrap();
            let fold = |tuning| count(&folded, tuning, Mode::Fold { joins: &joins, block: 256, far: None });
            assert_eq!([Other, Zen4, Intel].map(fold), [0, every_second(2), 1 + 2], "{ty}");
        }
    }

    /// Divisors that stand in the program.
    #[test]
    fn constants() {
        let mut state = 4;
        let in_range = [3.0, -7.0, 100.0, 2f64.next_down(), 1e-3, 2f64.powi(20)];
        let others = [0.0, -0.0, f64::INFINITY, f64::NAN, 5e-324, 1e300, -1e-300, 1e25];
        let Some(target) = slow_divider() else { return };
        for y in in_range.into_iter().chain(others) {
            let mut b = Builder::new();
            let (x, x32) = (b.operand(Role::Input, DType::F64, Class::Contiguous), 1);
            assert_eq!(b.operand(Role::Input, DType::F32, Class::Contiguous), x32);
            let (v, w) = (b.load(x), b.load(x32));
            let (c, d) = (b.float(Ty::F64, y), b.float(Ty::F32, y));
            let (v, w) = (b.fdiv(v, c), b.fdiv(w, d));
            let outs = [DType::F64, DType::F32].map(|dtype| b.operand(Role::Output, dtype, Class::Contiguous));
            b.store(outs[0], v);
            b.store(outs[1], w);
            let code = Code::compile(&b.finish(), Backend::Wide, &target).unwrap();
            let multiplies = code.asm().unwrap().contains("vptestnm");
            assert!(multiplies || !in_range.contains(&y), "{y:e}");
            let mut xs: Vec<f64> = (0..5000).map(|_| f64::from_bits(next(&mut state))).collect();
            xs.extend([0.0, -0.0, f64::INFINITY, f64::NAN, y, 3.0 * y, 5e-324, f64::MAX, 1.0, 1.0]);
            let singles: Vec<f32> = xs.iter().map(|x| *x as f32).collect();
            let (mut z, mut z32) = (vec![0.0f64; xs.len()], vec![0.0f32; xs.len()]);
            let access = |step| Accessed { home: Home::Memory, offset: 0, strides: smallvec![step] };
            let layout = Layout::new(&code.kernel().operands, &[xs.len()], [8, 4, 8, 4].map(access)).unwrap();
            let memory = [
                Memory::Read(cast_slice(&xs), 0),
                Memory::Read(cast_slice(&singles), 0),
                Memory::Write(cast_slice_mut(&mut z)),
                Memory::Write(cast_slice_mut(&mut z32)),
            ];
            layout.bind(&code, memory).unwrap().run();
            for (i, &x) in xs.iter().enumerate() {
                let (e, f) = (x / y, singles[i] / y as f32);
                assert!(z[i].to_bits() == e.to_bits() || z[i].is_nan() && e.is_nan(), "{x:e} / {y:e}");
                assert!(z32[i].to_bits() == f.to_bits() || z32[i].is_nan() && f.is_nan(), "{x:e} / {y:e} (single)");
            }
        }
    }

    /// Quotients that are no normal numbers, and lie halfway between two: where the divisor is out of range.
    #[test]
    fn halfway_between_small_numbers() {
        let (Some(double), Some(single)) = (divider(DType::F64), divider(DType::F32)) else { return };
        let odd = || (1..3000).map(|k| f64::from(2 * k + 1));
        for factor in [3.0, 5.0, 11.0, -25.0] {
            let xs: Vec<f64> = odd().map(|k| factor * k * 2f64.powi(600 - 1075)).collect();
            check(&double, &xs, &[factor * 2f64.powi(600)]);
            let xs: Vec<f32> = odd().map(|k| (factor * k * 2f64.powi(100 - 150)) as f32).collect();
            check(&single, &xs, &[factor as f32 * 2f32.powi(100)]);
        }
    }

    /// Every significand of `float32` by divisors of all kinds.
    #[test]
    fn every_significand() {
        let Some(code) = divider(DType::F32) else { return };
        let mut state = 3;
        let xs: Vec<f32> = (0..1u32 << 23).map(|m| f32::from_bits(m | 127 << 23)).collect();
        let ys = [3.0, 2f32.next_down(), 1f32.next_up(), 1.5, std::f32::consts::SQRT_2, 10.0, -7.0];
        let random = (0..8).map(|_| f32::from_bits((next(&mut state) >> 41) as u32 | 127 << 23));
        for y in ys.into_iter().chain(random) {
            check(&code, &xs, &[y]);
        }
    }
}
