//! Masks: comparisons, what is done with them, their sizes.

use super::mach::{Enc, MASK, Masking, VEC};
use super::pairs::*;
use super::select::Selector;
use super::sources::{Lanes, Src, ones, sign};
use crate::kernel::{Inst, Prim, Ty};
use iced_x86::Code;
use regalloc2::VReg;
use smallvec::SmallVec;

/// How two integers compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    Equal,
    Less,
    LessEqual,
    NotEqual,
}

const EQUAL: [Pair; 4] = [PCMPEQB, PCMPEQW, PCMPEQD, PCMPEQQ];
const GREATER: [Pair; 4] = [PCMPGTB, PCMPGTW, PCMPGTD, PCMPGTQ];
const SIGNED: [Pair; 4] = [PCMPB, PCMPW, PCMPD, PCMPQ];
const UNSIGNED: [Pair; 4] = [PCMPUB, PCMPUW, PCMPUD, PCMPUQ];

impl Selector<'_> {
    pub(super) fn compare_floats(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let size = args[0].size;
        let relation = match inst.prim {
            Prim::FEq => 0,
            Prim::FNe => 4,
            Prim::FLt => 0x11,
            _ => 0x12,
        };
        let pair = if size == 8 { CMPPD } else { CMPPS };
        let class = if self.evex { MASK } else { VEC };
        self.map(size, [&args[0], &args[1]], |s, args| s.op_into(pair, size, &args, Some(relation), class))
    }

    pub(super) fn compare_ints(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let (relation, signed) = match inst.prim {
            Prim::IEq => (Relation::Equal, true),
            Prim::INe => (Relation::NotEqual, true),
            Prim::SLt => (Relation::Less, true),
            Prim::SLe => (Relation::LessEqual, true),
            Prim::ULt => (Relation::Less, false),
            _ => (Relation::LessEqual, false),
        };
        self.compare(args[0].size, &args[0], &args[1], relation, signed)
    }

    /// `a` compared with `b`.
    pub(super) fn compare(&mut self, size: u8, a: &Lanes, b: &Lanes, relation: Relation, signed: bool) -> Lanes {
        let n = size.trailing_zeros() as usize;
        if self.evex {
            let pair = if signed { SIGNED[n] } else { UNSIGNED[n] };
            let imm = match relation {
                Relation::Equal => 0,
                Relation::Less => 1,
                Relation::LessEqual => 2,
                Relation::NotEqual => 4,
            };
            return self.map(size, [a, b], |s, args| s.op_into(pair, size, &args, Some(imm), MASK));
        }
        let flip = |s: &mut Self, x: &Lanes| {
            let sign = s.splat(size, sign(size));
            s.commute(PXOR, size, x, &sign)
        };
        let (a, b) = match relation {
            Relation::Less | Relation::LessEqual if !signed => (flip(self, a), flip(self, b)),
            _ => (a.clone(), b.clone()),
        };
        match relation {
            Relation::Equal => self.commute(EQUAL[n], size, &a, &b),
            Relation::NotEqual => {
                let equal = self.commute(EQUAL[n], size, &a, &b);
                self.mask_not(&equal)
            }
            Relation::Less => self.map_op(GREATER[n], size, [&b, &a], None),
            Relation::LessEqual => {
                let greater = self.map_op(GREATER[n], size, [&a, &b], None);
                self.mask_not(&greater)
            }
        }
    }

    fn mask_not(&mut self, m: &Lanes) -> Lanes {
        let all = self.splat(m.size, ones(m.size));
        self.commute(PXOR, m.size, m, &all)
    }

    pub(super) fn masks(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let size = args.iter().map(|a| a.size).max().unwrap_or(1);
        let args: SmallVec<[Lanes; 2]> = args.iter().map(|a| self.resize_mask(a.clone(), size)).collect();
        if self.evex {
            let code = match inst.prim {
                Prim::MAnd => Code::VEX_Kandq_kr_kr_kr,
                Prim::MOr => Code::VEX_Korq_kr_kr_kr,
                Prim::MXor => Code::VEX_Kxorq_kr_kr_kr,
                _ => {
                    // Bits beyond the lanes stay zero.
                    let all = self.lane_bits(size);
                    return self.map(size, [&args[0]], |s, [a]| {
                        let a = s.mask_reg(a);
                        let all = s.mask_constant(all);
                        s.push(Enc::new(Code::VEX_Kandnq_kr_kr_kr), MASK, &[a, all])
                    });
                }
            };
            return self.map(size, [&args[0], &args[1]], |s, [a, b]| {
                let (a, b) = (s.mask_reg(a), s.mask_reg(b));
                s.push(Enc::new(code), MASK, &[a, b])
            });
        }
        match inst.prim {
            Prim::MAnd => self.commute(PAND, size, &args[0], &args[1]),
            Prim::MOr => self.commute(POR, size, &args[0], &args[1]),
            Prim::MXor => self.commute(PXOR, size, &args[0], &args[1]),
            _ => self.mask_not(&args[0]),
        }
    }

    /// A bit for each lane of `size` bytes that a vector has.
    fn lane_bits(&self, size: u8) -> u64 {
        u64::MAX >> (64 - self.width / usize::from(size))
    }

    /// A mask as a mask register.
    pub(super) fn mask_reg(&mut self, src: Src) -> VReg {
        match src {
            Src::Const { bits: 0, .. } => self.mask_constant(0),
            Src::Const { size, .. } => self.mask_constant(self.lane_bits(size)),
            src => self.reg(src),
        }
    }

    fn mask_constant(&mut self, bits: u64) -> VReg {
        let code = Code::Mov_r64_rm64;
        let place = self.pool_word(bits);
        let word = self.push(Enc::new(code).mem(1, place), super::mach::GPR, &[]);
        self.push(Enc::new(Code::VEX_Kmovq_kr_r64), MASK, &[word])
    }

    /// `value` where the mask is false, else zero.
    pub(super) fn clear(&mut self, size: u8, mask: &Lanes, value: &Lanes) -> Lanes {
        if !self.evex {
            return self.map_op(PANDN, size, [mask, value], None);
        }
        let pair = [BLENDVB, BLENDMW, BLENDMD, BLENDMQ][size.trailing_zeros() as usize];
        let zero = self.splat(size, 0);
        self.map(size, [mask, value, &zero], |s, [m, a, z]| {
            let (m, a, z) = (s.mask_reg(m), s.reg(a), s.reg(z));
            s.push(Enc::new(pair.evex).masked(Masking::Merge), VEC, &[a, z, m])
        })
    }

    /// The mask in lanes of `size` bytes.
    pub(super) fn resize_mask(&mut self, mask: Lanes, size: u8) -> Lanes {
        if mask.size == size {
            return mask;
        }
        if let (true, Src::Const { bits, .. }) = (mask.same, mask.at(0)) {
            return self.splat(size, bits & ones(size));
        }
        if self.evex {
            return self.resize_mask_bits(mask, size);
        }
        if mask.same {
            return Lanes { size, ..mask };
        }
        let mut mask = mask;
        while mask.size > size {
            mask = match mask.size {
                8 => self.halve(&mask, Self::even_words),
                4 => self.halve(&mask, |s, a, b| s.pack(PACKSSDW, a, b)),
                _ => self.halve(&mask, |s, a, b| s.pack(PACKSSWB, a, b)),
            };
        }
        self.extend(&mask, size, true)
    }

    /// [`Self::resize_mask`] of bits.
    fn resize_mask_bits(&mut self, mask: Lanes, size: u8) -> Lanes {
        let (from, to) = (self.width / usize::from(mask.size), self.width / usize::from(size));
        let shift = |s: &mut Self, code: Code, a: VReg, by: usize| {
            if by == 0 { a } else { s.push(Enc::new(code).imm(by as u8), MASK, &[a]) }
        };
        let (left, right) = (Code::VEX_Kshiftlq_kr_kr_imm8, Code::VEX_Kshiftrq_kr_kr_imm8);
        if mask.same {
            // All bits are alike: as many as there may be.
            let mut a = self.mask_reg(mask.at(0));
            let mut bits = from;
            while bits < to {
                let up = shift(self, left, a, bits);
                a = self.push(Enc::new(Code::VEX_Korq_kr_kr_kr), MASK, &[a, up]);
                bits *= 2;
            }
            if bits > to {
                let up = shift(self, left, a, 64 - to);
                a = shift(self, right, up, 64 - to);
            }
            return Lanes { size, same: true, vectors: [Src::Reg(a)].into_iter().collect() };
        }
        let count = self.count(size);
        let vectors = (0..count).map(|k| {
            if to < from {
                let ratio = from / to;
                let a = self.mask_reg(mask.vectors[k / ratio]);
                let up = shift(self, left, a, 64 - (k % ratio + 1) * to);
                return Src::Reg(shift(self, right, up, 64 - to));
            }
            let ratio = to / from;
            let mut sum = None;
            for (p, &part) in mask.vectors.iter().skip(k * ratio).take(ratio).enumerate() {
                let part = self.mask_reg(part);
                let up = shift(self, left, part, p * from);
                sum = Some(match sum {
                    None => up,
                    Some(sum) => self.push(Enc::new(Code::VEX_Korq_kr_kr_kr), MASK, &[sum, up]),
                });
            }
            Src::Reg(sum.expect("a mask has a vector"))
        });
        let vectors = vectors.collect();
        Lanes { size, same: false, vectors }
    }

    /// A mask as integers 1 and 0.
    pub(super) fn mask_to_int(&mut self, ty: Ty, mask: Lanes) -> Lanes {
        let size = ty.size() as u8;
        let mask = self.resize_mask(mask, size);
        let one = self.splat(size, 1);
        if !self.evex {
            return self.commute(PAND, size, &mask, &one);
        }
        let pair = [BLENDVB, BLENDMW, BLENDMD, BLENDMQ][size.trailing_zeros() as usize];
        let zero = self.splat(size, 0);
        self.map(size, [&mask, &one, &zero], |s, [m, a, z]| {
            let (m, a, z) = (s.mask_reg(m), s.reg(a), s.reg(z));
            s.push(Enc::new(pair.evex).masked(Masking::Merge), VEC, &[z, a, m])
        })
    }

    /// One of two values for each lane.
    pub(super) fn select(&mut self, ty: Ty, args: &[Lanes]) -> Lanes {
        let size = ty.size() as u8;
        let mask = self.resize_mask(args[0].clone(), size);
        if self.evex {
            let pair = match ty {
                Ty::F64 => BLENDVPD,
                Ty::F32 => BLENDVPS,
                Ty::I64 => BLENDMQ,
                Ty::I32 => BLENDMD,
                Ty::I16 => BLENDMW,
                _ => BLENDVB,
            };
            return self.map(size, [&mask, &args[1], &args[2]], |s, [m, a, b]| {
                let (m, b) = (s.mask_reg(m), s.reg(b));
                let mut enc = Enc::new(pair.evex).masked(Masking::Merge);
                match s.memory(a, size, pair) {
                    Some((mem, base, broadcast)) => {
                        enc = enc.mem(2, mem);
                        enc.broadcast = broadcast;
                        let args: SmallVec<[VReg; 4]> = [b, m].into_iter().chain(base).collect();
                        s.push(enc, VEC, &args)
                    }
                    None => {
                        let a = s.reg(a);
                        s.push(enc, VEC, &[b, a, m])
                    }
                }
            });
        }
        let (pair, and, and_not) = match ty {
            Ty::F64 => (BLENDVPD, ANDPD, ANDNPD),
            Ty::F32 => (BLENDVPS, ANDPS, ANDNPS),
            _ => (BLENDVB, PAND, PANDN),
        };
        let zero = |l: &Lanes| matches!(l.at(0), Src::Const { bits: 0, .. });
        if zero(&args[2]) {
            return self.commute(and, size, &mask, &args[1]);
        }
        if zero(&args[1]) {
            return self.map_op(and_not, size, [&mask, &args[2]], None);
        }
        self.map(size, [&mask, &args[1], &args[2]], |s, [m, a, b]| {
            let (m, b) = (s.reg(m), s.reg(b));
            let enc = Enc::new(pair.vex);
            match s.memory(a, size, pair) {
                Some((mem, base, _)) => {
                    let args: SmallVec<[VReg; 4]> = [b, m].into_iter().chain(base).collect();
                    s.push(enc.mem(2, mem), VEC, &args)
                }
                None => {
                    let a = s.reg(a);
                    s.push(enc, VEC, &[b, a, m])
                }
            }
        })
    }
}
