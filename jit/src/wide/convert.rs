//! Conversions: widths of lanes, between floats, between integers and floats.

use super::calls;
use super::mach::{Call, Enc, Index, Kind, Mem, VEC};
use super::memory::newer;
use super::pairs::*;
use super::select::Selector;
use super::sources::{Lanes, Src};
use crate::kernel::{Inst, Prim, Ty};
use iced_x86::Code;
use regalloc2::VReg;

impl Selector<'_> {
    pub(super) fn convert(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let a = &args[0];
        let from = self.kernel.ty(inst.args[0]);
        let to = inst.ty;
        let size = to.size() as u8;
        match inst.prim {
            Prim::MaskToInt => self.mask_to_int(to, a.clone()),
            Prim::Bitcast => a.clone(),
            Prim::SExt => self.extend(a, size, true),
            Prim::ZExt => self.extend(a, size, false),
            Prim::Trunc => self.truncate(a.clone(), size),
            Prim::F32To64 => self.promote(a),
            Prim::F64To32 => self.demote(a),
            Prim::F16To32 => self.widen(CVTPH2PS, a, 4),
            Prim::F32To16 => self.narrow(CVTPS2PH, a, Some(0)),
            Prim::F64To16 => {
                let odd = self.demote_to_odd(a);
                self.narrow(CVTPS2PH, &odd, Some(0))
            }
            Prim::Bf16To32 => {
                let wide = self.extend(a, 4, false);
                self.shift_by(PSLLD_I, 4, &wide, 16)
            }
            Prim::F32ToBf16 => self.round_to_brain(a),
            Prim::F64ToBf16 => {
                let odd = self.demote_to_odd(a);
                self.round_to_brain(&odd)
            }
            Prim::SToF => self.int_to_float(true, from, to, a),
            Prim::UToF => self.int_to_float(false, from, to, a),
            Prim::FToS => self.float_to_signed(from, to, a),
            // The others are not conversions.
            _ => self.float_to_unsigned(from, to, a),
        }
    }

    // Widths of lanes.

    /// Wider integers.
    pub(super) fn extend(&mut self, a: &Lanes, size: u8, signed: bool) -> Lanes {
        let pair = match (a.size, size, signed) {
            (1, 2, true) => MOVSXBW,
            (1, 4, true) => MOVSXBD,
            (1, 8, true) => MOVSXBQ,
            (2, 4, true) => MOVSXWD,
            (2, 8, true) => MOVSXWQ,
            (4, 8, true) => MOVSXDQ,
            (1, 2, false) => MOVZXBW,
            (1, 4, false) => MOVZXBD,
            (1, 8, false) => MOVZXBQ,
            (2, 4, false) => MOVZXWD,
            (2, 8, false) => MOVZXWQ,
            (4, 8, false) => MOVZXDQ,
            _ => return a.clone(),
        };
        self.widen(pair, a, size)
    }

    /// Lanes of `size` bytes by an instruction that takes the lower part of a vector.
    fn widen(&mut self, pair: Pair, a: &Lanes, size: u8) -> Lanes {
        let count = if a.same { 1 } else { self.count(size) };
        let ratio = usize::from(size / a.size);
        let length = self.width / ratio;
        let vectors = (0..count).map(|k| {
            let (src, p) = (a.at(k / ratio), k % ratio);
            if let Src::Mem { operand, disp, bytes } = src
                && (p + 1) * length <= usize::from(bytes)
            {
                let scale = self.kernel.operands[operand as usize].dtype.size() as u8;
                let mem = Mem::At { index: Index::Counter, scale, disp: disp + (p * length) as i32 };
                let base = self.bases[operand as usize];
                let enc = Enc::new(self.code(pair)).mem(1, mem);
                return Src::Reg(self.push(enc, VEC, &[base]));
            }
            let part = self.part_of(src, p, length);
            Src::Reg(self.push(Enc::new(self.code(pair)), VEC, &[part]))
        });
        let vectors = vectors.collect();
        Lanes { size, same: a.same, vectors }
    }

    /// Part `p` of `length` bytes of a vector, in the lower part of one.
    fn part_of(&mut self, src: Src, p: usize, length: usize) -> VReg {
        let a = self.reg(src);
        if length == 32 && p == 1 {
            return self.push(Enc::new(HIGH.evex).imm(1), VEC, &[a]);
        }
        let at = p * length;
        let part = self.part(a, (at / 16) as u8);
        if at.is_multiple_of(16) {
            return part;
        }
        let code = Code::VEX_Vpsrldq_xmm_xmm_imm8;
        let code = if self.evex { newer(code) } else { code };
        self.push(Enc::new(code).imm((at % 16) as u8), VEC, &[part])
    }

    /// Lanes of half the size; `f` packs two vectors into one. Where there is one only it is packed with itself.
    pub(super) fn halve(&mut self, a: &Lanes, mut f: impl FnMut(&mut Self, VReg, VReg) -> VReg) -> Lanes {
        let vectors = a.vectors.chunks(2).map(|pair| {
            let (low, high) = (self.reg(pair[0]), self.reg(pair[pair.len() - 1]));
            Src::Reg(f(self, low, high))
        });
        let vectors = vectors.collect();
        Lanes { size: a.size / 2, same: a.same, vectors }
    }

    /// Lanes of half the size, by an instruction that gives the lower half of a vector.
    fn narrow(&mut self, pair: Pair, a: &Lanes, imm: Option<u8>) -> Lanes {
        let mut enc = Enc::new(self.code(pair));
        enc.imm = imm;
        self.narrow_with(a, |s, x| s.push(enc, VEC, &[x]))
    }

    /// [`Self::narrow`] with `f` for the instruction.
    fn narrow_with(&mut self, a: &Lanes, mut f: impl FnMut(&mut Self, VReg) -> VReg) -> Lanes {
        let same = a.same;
        let vectors = a.vectors.chunks(2).map(|pair| {
            let low = self.reg(pair[0]);
            let low = f(self, low);
            let high = match pair {
                [_, high] => {
                    let high = self.reg(*high);
                    f(self, high)
                }
                _ if same => low,
                _ => return Src::Reg(low),
            };
            Src::Reg(self.push(Enc::new(self.code(JOIN)).imm(1), VEC, &[low, high]))
        });
        let vectors = vectors.collect();
        Lanes { size: a.size / 2, same, vectors }
    }

    /// The lower halves of 64-bit lanes, with 256 bits.
    pub(super) fn even_words(&mut self, a: VReg, b: VReg) -> VReg {
        let mixed = self.push(Enc::new(SHUFPS.vex).imm(0x88), VEC, &[a, b]);
        self.push(Enc::new(PERMQ.vex).imm(0xd8), VEC, &[mixed])
    }

    /// Packs two vectors, with 256 bits, by an instruction that does so for each half.
    pub(super) fn pack(&mut self, pair: Pair, a: VReg, b: VReg) -> VReg {
        let mixed = self.push(Enc::new(pair.vex), VEC, &[a, b]);
        self.push(Enc::new(PERMQ.vex).imm(0xd8), VEC, &[mixed])
    }

    /// The low bits of integers.
    pub(super) fn truncate(&mut self, mut a: Lanes, size: u8) -> Lanes {
        while a.size > size {
            if self.evex {
                let pair = [PMOVWB, PMOVDW, PMOVQD][a.size.trailing_zeros() as usize - 1];
                a = self.narrow(pair, &a, None);
                continue;
            }
            a = match a.size {
                8 => self.halve(&a, Self::even_words),
                // Packing saturates: only the low bits must be there.
                4 => {
                    let low = self.splat(4, 0xffff);
                    let a = self.commute(PAND, 4, &a, &low);
                    self.halve(&a, |s, a, b| s.pack(PACKUSDW, a, b))
                }
                _ => {
                    let low = self.splat(2, 0xff);
                    let a = self.commute(PAND, 2, &a, &low);
                    self.halve(&a, |s, a, b| s.pack(PACKUSWB, a, b))
                }
            };
        }
        a
    }

    // Between floats.

    fn promote(&mut self, a: &Lanes) -> Lanes {
        self.widen(CVTPS2PD, a, 8)
    }

    fn demote(&mut self, a: &Lanes) -> Lanes {
        self.narrow(CVTPD2PS, a, None)
    }

    /// `F64` to `F32` rounded to odd: what is inexact goes to the neighbour whose last bit is one. Rounding that once
    /// more, to a format with two bits less at least, gives what rounding the `F64` itself would.
    fn demote_to_odd(&mut self, x: &Lanes) -> Lanes {
        let x = self.in_registers(x.clone());
        let y = self.demote(&x);
        let back = self.promote(&y);
        let rest = self.splat(8, u64::MAX >> 1);
        let (x, back) = (self.commute(ANDPD, 8, &x, &rest), self.commute(ANDPD, 8, &back, &rest));
        // NaN is neither below nor above, and stays as it is.
        let below = self.compare_pd(0x11, &back, &x);
        let above = self.compare_pd(0x11, &x, &back);
        let (below, above) = (self.mask_to_int(Ty::I32, below), self.mask_to_int(Ty::I32, above));
        let one = self.splat(4, 1);
        let odd = self.commute(PANDD, 4, &y, &one);
        let even = self.isub(4, &odd, &one);
        let up = self.commute(PANDD, 4, &below, &even);
        let down = self.commute(PANDD, 4, &above, &even);
        let y = self.iadd(4, &y, &up);
        self.isub(4, &y, &down)
    }

    fn compare_pd(&mut self, relation: u8, a: &Lanes, b: &Lanes) -> Lanes {
        let class = if self.evex { super::mach::MASK } else { VEC };
        self.map(8, [a, b], |s, args| s.op_into(CMPPD, 8, &args, Some(relation), class))
    }

    fn compare_ps(&mut self, relation: u8, a: &Lanes, b: &Lanes) -> Lanes {
        let class = if self.evex { super::mach::MASK } else { VEC };
        self.map(4, [a, b], |s, args| s.op_into(CMPPS, 4, &args, Some(relation), class))
    }

    /// `F32` to the bfloat16 in 16-bit lanes: the upper half, rounded; NaN is made quiet instead, or rounding could
    /// carry it away.
    fn round_to_brain(&mut self, x: &Lanes) -> Lanes {
        let x = self.in_registers(x.clone());
        let high = self.shift_by(PSRLD_I, 4, &x, 16);
        let one = self.splat(4, 1);
        let odd = self.commute(PANDD, 4, &high, &one);
        let bias = self.splat(4, 0x7fff);
        let rounded = self.iadd(4, &x, &bias);
        let rounded = self.iadd(4, &rounded, &odd);
        let quiet = self.splat(4, 0x40_0000);
        let quiet = self.commute(PORD, 4, &x, &quiet);
        let nan = self.compare_ps(UNORDERED, &x, &x);
        let value = self.pick(4, &nan, &quiet, &rounded);
        let value = self.shift_by(PSRLD_I, 4, &value, 16);
        self.truncate(value, 2)
    }

    /// `m ? a : b` in lanes of the mask's own size.
    fn pick(&mut self, size: u8, m: &Lanes, a: &Lanes, b: &Lanes) -> Lanes {
        let pair = [BLENDVB, BLENDMW, BLENDMD, BLENDMQ][size.trailing_zeros() as usize];
        self.map(size, [m, a, b], |s, [m, a, b]| {
            if s.evex {
                let (m, a, b) = (s.mask_reg(m), s.reg(a), s.reg(b));
                return s.push(Enc::new(pair.evex).masked(super::mach::Masking::Merge), VEC, &[b, a, m]);
            }
            let (m, a, b) = (s.reg(m), s.reg(a), s.reg(b));
            s.push(Enc::new(BLENDVB.vex), VEC, &[b, a, m])
        })
    }

    // Between integers and floats.

    fn int_to_float(&mut self, signed: bool, from: Ty, to: Ty, a: &Lanes) -> Lanes {
        match (from, to, signed) {
            (Ty::I32, Ty::F32, true) => self.map_op(CVTDQ2PS, 4, [a], None),
            (Ty::I32, Ty::F32, false) if self.evex => self.map_op(CVTUDQ2PS, 4, [a], None),
            (Ty::I32, Ty::F32, false) => {
                // The upper half times 2^16 is exact; adding the lower rounds once.
                let a = self.in_registers(a.clone());
                let mask = self.splat(4, 0xffff);
                let low = self.commute(PANDD, 4, &a, &mask);
                let high = self.shift_by(PSRLD_I, 4, &a, 16);
                let (low, high) = (self.map_op(CVTDQ2PS, 4, [&low], None), self.map_op(CVTDQ2PS, 4, [&high], None));
                let scale = self.splat(4, 65536f32.to_bits().into());
                let high = self.commute(MULPS, 4, &high, &scale);
                self.commute(ADDPS, 4, &high, &low)
            }
            (Ty::I32, _, _) => self.int_to_double(signed, a),
            (_, Ty::F64, true) if self.evex => self.map_op(CVTQQ2PD, 8, [a], None),
            (_, Ty::F64, false) if self.evex => self.map_op(CVTUQQ2PD, 8, [a], None),
            (_, Ty::F64, _) => self.long_to_double(signed, a),
            _ if self.evex => self.narrow(if signed { CVTQQ2PS } else { CVTUQQ2PS }, a, None),
            _ => {
                let prim = if signed { Prim::SToF } else { Prim::UToF };
                let kind = self.conversion(prim, from, to, 8);
                self.narrow_with(a, |s, x| s.push_call(kind, &[x]))
            }
        }
    }

    /// 32-bit integers to `F64`.
    pub(super) fn int_to_double(&mut self, signed: bool, a: &Lanes) -> Lanes {
        if signed {
            return self.widen(CVTDQ2PD, a, 8);
        }
        if self.evex {
            return self.widen(CVTUDQ2PD, a, 8);
        }
        // As the fraction of a number with exponent 52.
        let wide = self.extend(a, 8, false);
        let exponent = self.splat(8, 2f64.powi(52).to_bits());
        let wide = self.commute(POR, 8, &wide, &exponent);
        self.map_op(SUBPD, 8, [&wide, &exponent], None)
    }

    /// 64-bit integers to `F64`, in two halves that become fractions of numbers with exponents 84 and 52. What is too
    /// much is taken from the first, exactly; adding the second rounds once.
    fn long_to_double(&mut self, signed: bool, a: &Lanes) -> Lanes {
        let a = self.in_registers(a.clone());
        let (flipped, bias) = if signed {
            let flip = self.splat(8, 1 << 63);
            (self.commute(PXOR, 8, &a, &flip), 2f64.powi(63))
        } else {
            (a.clone(), 0.0)
        };
        let high = self.shift_by(PSRLQ_I, 8, &flipped, 32);
        let exponent = self.splat(8, 2f64.powi(84).to_bits());
        let high = self.commute(POR, 8, &high, &exponent);
        let excess = self.splat(8, (2f64.powi(84) + bias + 2f64.powi(52)).to_bits());
        let high = self.map_op(SUBPD, 8, [&high, &excess], None);
        let half = self.splat(8, 0xffff_ffff);
        let low = self.commute(PAND, 8, &a, &half);
        let exponent = self.splat(8, 2f64.powi(52).to_bits());
        let low = self.commute(POR, 8, &low, &exponent);
        self.commute(ADDPD, 8, &high, &low)
    }

    fn float_to_signed(&mut self, from: Ty, to: Ty, x: &Lanes) -> Lanes {
        let x = &self.in_registers(x.clone());
        match (from, to) {
            (Ty::F64, Ty::I32) => {
                // Above the range there is a limit; below, the instruction gives the least, as it should.
                let nan = self.compare_pd(UNORDERED, x, x);
                let x = self.clear(8, &nan, x);
                let most = self.splat(8, f64::from(i32::MAX).to_bits());
                let x = self.map_op(MINPD, 8, [&x, &most], None);
                self.double_to_int(true, &x)
            }
            (Ty::F32, Ty::I32) => {
                let limit = self.splat(4, 2f32.powi(31).to_bits().into());
                let nan = self.compare_ps(UNORDERED, x, x);
                let high = self.compare_ps(0x12, &limit, x);
                let result = self.map_op(CVTTPS2DQ, 4, [x], None);
                let most = self.splat(4, i32::MAX as u64);
                let result = self.pick(4, &high, &most, &result);
                self.clear(4, &nan, &result)
            }
            _ if self.evex => {
                let (x, result) = self.with_double(from, x, CVTTPD2QQ, CVTTPS2QQ);
                let limit = self.splat(8, 2f64.powi(63).to_bits());
                let nan = self.compare_pd(UNORDERED, &x, &x);
                let high = self.compare_pd(0x12, &limit, &x);
                let most = self.splat(8, i64::MAX as u64);
                let result = self.pick(8, &high, &most, &result);
                self.clear(8, &nan, &result)
            }
            _ => self.convert_by_call(Prim::FToS, from, to, x),
        }
    }

    fn float_to_unsigned(&mut self, from: Ty, to: Ty, x: &Lanes) -> Lanes {
        let x = &self.in_registers(x.clone());
        match (from, to) {
            // The maximum of NaN and zero is zero. Above the range, 512-bit instructions give all ones, as they should.
            (Ty::F32, Ty::I32) if self.evex => {
                let zero = self.splat(4, 0);
                let x = self.map_op(MAXPS, 4, [x, &zero], None);
                self.map_op(CVTTPS2UDQ, 4, [&x], None)
            }
            (_, Ty::I32) => {
                let wide = if from == Ty::F32 { self.promote(x) } else { x.clone() };
                let zero = self.splat(8, 0);
                let x = self.map_op(MAXPD, 8, [&wide, &zero], None);
                let most = self.splat(8, f64::from(u32::MAX).to_bits());
                let x = self.map_op(MINPD, 8, [&x, &most], None);
                self.double_to_int(false, &x)
            }
            _ if self.evex => {
                let (zero, pair) = if from == Ty::F64 { (self.splat(8, 0), MAXPD) } else { (self.splat(4, 0), MAXPS) };
                let x = self.map_op(pair, x.size, [x, &zero], None);
                self.with_double(from, &x, CVTTPD2UQQ, CVTTPS2UQQ).1
            }
            _ => self.convert_by_call(Prim::FToU, from, to, x),
        }
    }

    /// `x` as `F64` and what an instruction for its type makes of it.
    fn with_double(&mut self, from: Ty, x: &Lanes, double: Pair, single: Pair) -> (Lanes, Lanes) {
        if from == Ty::F64 {
            return (x.clone(), self.map_op(double, 8, [x], None));
        }
        (self.promote(x), self.widen(single, x, 8))
    }

    /// `F64` to 32-bit integers, where all are in range.
    pub(super) fn double_to_int(&mut self, signed: bool, x: &Lanes) -> Lanes {
        if signed {
            return self.narrow(CVTTPD2DQ, x, None);
        }
        if self.evex {
            return self.narrow(CVTTPD2UDQ, x, None);
        }
        let whole = self.map_op(ROUNDPD, 8, [x], Some(11));
        let exponent = self.splat(8, 2f64.powi(52).to_bits());
        let bits = self.commute(ADDPD, 8, &whole, &exponent);
        self.truncate(bits, 4)
    }

    fn conversion(&self, prim: Prim, from: Ty, to: Ty, size: usize) -> Kind {
        let function = calls::convert(prim, from, to);
        Kind::Call(Call { function, routine: 0, lanes: (self.width / size) as u8, mask_size: 0 })
    }

    /// To 64-bit integers, by calls.
    fn convert_by_call(&mut self, prim: Prim, from: Ty, to: Ty, x: &Lanes) -> Lanes {
        let kind = self.conversion(prim, from, to, 8);
        if from == Ty::F64 {
            return self.map(8, [x], |s, [x]| {
                let x = s.reg(x);
                s.push_call(kind, &[x])
            });
        }
        let count = if x.same { 1 } else { self.count(8) };
        let length = self.width / 2;
        let vectors = (0..count).map(|k| {
            let part = self.part_of(x.at(k / 2), k % 2, length);
            Src::Reg(self.push_call(kind, &[part]))
        });
        let vectors = vectors.collect();
        Lanes { size: 8, same: x.same, vectors }
    }
}

/// The comparison that asks whether one of two is NaN.
const UNORDERED: u8 = 3;
