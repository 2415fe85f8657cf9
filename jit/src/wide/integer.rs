//! Integers: arithmetic, shifts, division.

use super::mach::Kind;
use super::pairs::*;
use super::select::Selector;
use super::sources::{Lanes, Src, ones, sign};
use crate::kernel::{Inst, Prim, Ty};
use smallvec::SmallVec;

/// The instructions for lanes of 1, 2, 4 and 8 bytes.
type Sizes = [Pair; 4];

const ADD: Sizes = [PADDB, PADDW, PADDD, PADDQ];
const SUB: Sizes = [PSUBB, PSUBW, PSUBD, PSUBQ];
const ABS: Sizes = [PABSB, PABSW, PABSD, PABSQ];
const SMIN: Sizes = [PMINSB, PMINSW, PMINSD, PMINSQ];
const SMAX: Sizes = [PMAXSB, PMAXSW, PMAXSD, PMAXSQ];
const UMIN: Sizes = [PMINUB, PMINUW, PMINUD, PMINUQ];
const UMAX: Sizes = [PMAXUB, PMAXUW, PMAXUD, PMAXUQ];

pub(super) fn of(sizes: Sizes, size: u8) -> Pair {
    sizes[size.trailing_zeros() as usize]
}

impl Selector<'_> {
    /// An operation on integers.
    pub(super) fn integer(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let size = inst.ty.size() as u8;
        let simple = |s: &mut Self, sizes: Sizes| s.commute(of(sizes, size), size, &args[0], &args[1]);
        match inst.prim {
            Prim::IAdd => simple(self, ADD),
            Prim::ISub => self.isub(size, &args[0], &args[1]),
            Prim::IMul => self.imul(size, &args[0], &args[1]),
            Prim::INeg => {
                let zero = self.splat(size, 0);
                self.isub(size, &zero, &args[0])
            }
            Prim::IAbs if size < 8 || self.evex => self.map_op(of(ABS, size), size, [&args[0]], None),
            Prim::IAbs => {
                let negative = self.negative(&args[0]);
                let flipped = self.commute(PXOR, size, &negative, &args[0]);
                self.isub(size, &flipped, &negative)
            }
            Prim::SMin if size < 8 || self.evex => simple(self, SMIN),
            Prim::SMax if size < 8 || self.evex => simple(self, SMAX),
            Prim::UMin if size < 8 || self.evex => simple(self, UMIN),
            Prim::UMax if size < 8 || self.evex => simple(self, UMAX),
            Prim::SMin | Prim::SMax | Prim::UMin | Prim::UMax => self.choose_64(inst.prim, &args[0], &args[1]),
            Prim::SDiv | Prim::UDiv | Prim::SRem | Prim::URem => self.divide(inst, &args[0], &args[1]),
            Prim::And => self.bits(PAND, PANDD, size, args),
            Prim::Or => self.bits(POR, PORD, size, args),
            Prim::Xor => self.bits(PXOR, PXORD, size, args),
            Prim::Not => {
                let all = self.splat(size, ones(size));
                self.bits(PXOR, PXORD, size, &[args[0].clone(), all])
            }
            // The others are shifts.
            _ => self.shift(inst, &args[0], &args[1]),
        }
    }

    /// A bit operation, in the form whose constants fit the lanes.
    fn bits(&mut self, wide: Pair, narrow: Pair, size: u8, args: &[Lanes]) -> Lanes {
        let pair = if size == 8 { wide } else { narrow };
        self.commute(pair, size, &args[0], &args[1])
    }

    pub(super) fn iadd(&mut self, size: u8, a: &Lanes, b: &Lanes) -> Lanes {
        self.commute(of(ADD, size), size, a, b)
    }

    pub(super) fn isub(&mut self, size: u8, a: &Lanes, b: &Lanes) -> Lanes {
        self.map_op(of(SUB, size), size, [a, b], None)
    }

    fn imul(&mut self, size: u8, a: &Lanes, b: &Lanes) -> Lanes {
        match size {
            2 => self.commute(PMULLW, size, a, b),
            4 => self.commute(PMULLD, size, a, b),
            8 if self.evex => self.commute(PMULLQ, size, a, b),
            8 => {
                // The low halves, and the low parts of both products across, shifted up.
                let low = self.map_op(PMULUDQ, 8, [a, b], None);
                let (ah, bh) = (self.shift_by(PSRLQ_I, 8, a, 32), self.shift_by(PSRLQ_I, 8, b, 32));
                let x = self.map_op(PMULUDQ, 8, [&ah, b], None);
                let y = self.map_op(PMULUDQ, 8, [&bh, a], None);
                let cross = self.iadd(8, &x, &y);
                let cross = self.shift_by(PSLLQ_I, 8, &cross, 32);
                self.iadd(8, &low, &cross)
            }
            _ => {
                // Bytes multiply as the low and as the high bytes of 16-bit lanes.
                let low = self.map_op(PMULLW, 1, [a, b], None);
                let mask = self.splat(2, 0xff);
                let low = self.commute(PAND, 1, &low, &mask);
                let (a, b) = (self.shift_by(PSRLW_I, 1, a, 8), self.shift_by(PSRLW_I, 1, b, 8));
                let high = self.map_op(PMULLW, 1, [&a, &b], None);
                let high = self.shift_by(PSLLW_I, 1, &high, 8);
                self.commute(POR, 1, &low, &high)
            }
        }
    }

    /// Every lane shifted by the same number of bits, by an instruction for that.
    pub(super) fn shift_by(&mut self, pair: Pair, size: u8, a: &Lanes, amount: u8) -> Lanes {
        self.map(size, [a], |s, [a]| {
            let a = s.reg(a);
            s.op(pair, size, &[Src::Reg(a)], Some(amount))
        })
    }

    /// All ones in the 64-bit lanes that are negative.
    fn negative(&mut self, a: &Lanes) -> Lanes {
        let zero = self.splat(8, 0);
        self.map_op(PCMPGTQ, 8, [&zero, a], None)
    }

    /// The smaller or larger of 64-bit lanes, where there is no instruction for it.
    fn choose_64(&mut self, prim: Prim, a: &Lanes, b: &Lanes) -> Lanes {
        let (mut x, mut y) = (a.clone(), b.clone());
        if matches!(prim, Prim::UMin | Prim::UMax) {
            let flip = self.splat(8, sign(8));
            (x, y) = (self.commute(PXOR, 8, a, &flip), self.commute(PXOR, 8, b, &flip));
        }
        let greater = self.map_op(PCMPGTQ, 8, [&x, &y], None);
        let (yes, no) = if matches!(prim, Prim::SMin | Prim::UMin) { (b, a) } else { (a, b) };
        self.blend(8, &greater, yes, no)
    }

    /// `m ? a : b` with a vector as mask.
    fn blend(&mut self, size: u8, m: &Lanes, a: &Lanes, b: &Lanes) -> Lanes {
        self.map(size, [m, a, b], |s, [m, a, b]| {
            let (m, a, b) = (s.reg(m), s.reg(a), s.reg(b));
            s.push(super::mach::Enc::new(BLENDVB.vex), super::mach::VEC, &[b, a, m])
        })
    }

    fn shift(&mut self, inst: &Inst, a: &Lanes, b: &Lanes) -> Lanes {
        let size = inst.ty.size() as u8;
        let bits = 8 * u64::from(size);
        if let (true, Src::Const { bits: amount, .. }) = (b.same, b.at(0)) {
            let amount = if inst.prim == Prim::ShrS { amount.min(bits - 1) } else { amount };
            if amount == 0 {
                return a.clone();
            }
            if amount >= bits {
                return self.splat(size, 0);
            }
            let by = amount as u8;
            let pair = match (inst.prim, size) {
                (Prim::Shl, 2) => PSLLW_I,
                (Prim::Shl, 4) => PSLLD_I,
                (Prim::Shl, 8) => PSLLQ_I,
                (Prim::ShrU, 2) => PSRLW_I,
                (Prim::ShrU, 4) => PSRLD_I,
                (Prim::ShrU, 8) => PSRLQ_I,
                (Prim::ShrS, 2) => PSRAW_I,
                (Prim::ShrS, 4) => PSRAD_I,
                (Prim::ShrS, 8) if self.evex => PSRAQ_I,
                (Prim::Shl, _) => {
                    let kept = self.splat(1, 0xff << by & 0xff);
                    let shifted = self.shift_by(PSLLW_I, 1, a, by);
                    return self.commute(PAND, 1, &shifted, &kept);
                }
                (Prim::ShrU, _) => {
                    let kept = self.splat(1, 0xff >> by);
                    let shifted = self.shift_by(PSRLW_I, 1, a, by);
                    return self.commute(PAND, 1, &shifted, &kept);
                }
                _ => return self.shift_lanes(inst.prim, size, a, b),
            };
            return self.shift_by(pair, size, a, by);
        }
        self.shift_lanes(inst.prim, size, a, b)
    }

    /// Each lane by an amount of its own. Amounts of the width and more do what the primitives say.
    fn shift_lanes(&mut self, prim: Prim, size: u8, a: &Lanes, b: &Lanes) -> Lanes {
        let pairs = match prim {
            Prim::Shl => [PSLLVW, PSLLVD, PSLLVQ],
            Prim::ShrU => [PSRLVW, PSRLVD, PSRLVQ],
            _ => [PSRAVW, PSRAVD, PSRAVQ],
        };
        match size {
            8 if prim == Prim::ShrS && !self.evex => {
                // What is negative is shifted inverted.
                let negative = self.negative(a);
                let a = self.commute(PXOR, 8, &negative, a);
                let shifted = self.map_op(PSRLVQ, 8, [&a, b], None);
                self.commute(PXOR, 8, &negative, &shifted)
            }
            8 => self.map_op(pairs[2], 8, [a, b], None),
            4 => self.map_op(pairs[1], 4, [a, b], None),
            2 if self.evex => self.map_op(pairs[0], 2, [a, b], None),
            _ => {
                let signed = prim == Prim::ShrS;
                let a = self.extend(a, 4, signed);
                let b = self.extend(b, 4, false);
                let shifted = self.map_op(pairs[1], 4, [&a, &b], None);
                self.truncate(shifted, size)
            }
        }
    }

    /// Divides 8- and 16-bit integers as `F32`, 32-bit ones as `F64`, 64-bit ones one by one.
    ///
    /// Floats are exact after truncation: a quotient `q = a / b` that is not an integer is at least `1 / b` away from
    /// one, and rounding moves it by less than `q / 2^24` (`q / 2^53`), which is no more since `a` is below 2^24 (2^53).
    fn divide(&mut self, inst: &Inst, a: &Lanes, b: &Lanes) -> Lanes {
        let size = inst.ty.size() as u8;
        let signed = matches!(inst.prim, Prim::SDiv | Prim::SRem);
        if inst.ty == Ty::I64 {
            return self.divide_64(inst, a, b);
        }
        let quotient = if inst.ty == Ty::I32 {
            let (x, y) = (self.int_to_double(signed, a), self.int_to_double(signed, b));
            let quotient = self.map_op(DIVPD, 8, [&x, &y], None);
            self.double_to_int(signed, &quotient)
        } else {
            let (x, y) = (self.extend(a, 4, signed), self.extend(b, 4, signed));
            let (x, y) = (self.map_op(CVTDQ2PS, 4, [&x], None), self.map_op(CVTDQ2PS, 4, [&y], None));
            let quotient = self.map_op(DIVPS, 4, [&x, &y], None);
            let quotient = self.map_op(CVTTPS2DQ, 4, [&quotient], None);
            self.truncate(quotient, size)
        };
        let mut result = quotient;
        if matches!(inst.prim, Prim::SRem | Prim::URem) {
            let product = self.imul(size, &result, b);
            result = self.isub(size, a, &product);
        }
        let zero = self.splat(size, 0);
        let by_zero = self.compare(size, b, &zero, super::masks::Relation::Equal, false);
        self.clear(size, &by_zero, &result)
    }

    fn divide_64(&mut self, inst: &Inst, a: &Lanes, b: &Lanes) -> Lanes {
        let function = super::calls::divide(inst.prim);
        let call = super::mach::Call { function, routine: 0, lanes: (self.width / 8) as u8, mask_size: 0 };
        self.map(8, [a, b], |s, args| {
            let args: SmallVec<[_; 2]> = args.iter().map(|&x| s.reg(x)).collect();
            s.push_call(Kind::Call(call), &args)
        })
    }
}
