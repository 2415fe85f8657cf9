//! Integer operations that are not one vector instruction everywhere.

use super::emit::{Emitter, Lanes, integers, vector_of};
use crate::kernel::{Inst, Prim, Ty, ValueId};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32X4, I8X16, I16, I16X8, I32, I32X4, I64};
use cranelift_codegen::ir::{InstBuilder, Type, Value};

impl Emitter<'_> {
    pub(super) fn imul(&mut self, a: Value, b: Value) -> Value {
        if self.pos.func.dfg.value_type(a) != I8X16 {
            return self.pos.ins().imul(a, b);
        }
        // Bytes multiply as the low and as the high bytes of 16-bit lanes.
        let (a, b) = (self.cast(a, I16X8), self.cast(b, I16X8));
        let low = self.pos.ins().imul(a, b);
        let low_mask = self.splat_bits(I16X8, 0xff);
        let low = self.pos.ins().band(low, low_mask);
        let (a, b) = (self.pos.ins().ushr_imm_u(a, 8), self.pos.ins().ushr_imm_u(b, 8));
        let high = self.pos.ins().imul(a, b);
        let high = self.pos.ins().ishl_imm_u(high, 8);
        let product = self.pos.ins().bor(low, high);
        self.cast(product, I8X16)
    }

    pub(super) fn divide(&mut self, inst: &Inst) -> Lanes {
        let (a, b) = (self.get(inst.args[0]), self.get(inst.args[1]));
        let signed = matches!(inst.prim, Prim::SDiv | Prim::SRem);
        let by_floats = match inst.ty {
            Ty::I64 => false,
            Ty::I32 => self.caps.truncate && (signed || self.caps.round),
            _ => self.caps.truncate,
        };
        if by_floats {
            return self.divide_as_floats(inst, &a, &b, signed);
        }
        let ty = vector_of(inst.ty).lane_type();
        // Narrow integers divide as 32-bit ones.
        let wide = if inst.ty == Ty::I64 { I64 } else { I32 };
        self.lanewise(inst.ty, |e, i| {
            let (a, b) = (e.extract(&a, i), e.extract(&b, i));
            let (a, b) = (e.extend(a, wide, signed), e.extend(b, wide, signed));
            let result = e.divide_scalar(inst.prim, a, b);
            if ty == wide { result } else { e.pos.ins().ireduce(ty, result) }
        })
    }

    /// Divides 8- and 16-bit integers as `F32`, 32-bit ones as `F64`.
    ///
    /// That is exact after truncation: a quotient `q = a / b` that is not an integer is at least `1 / b` away from one,
    /// and rounding moves it by less than `q / 2^24` (`q / 2^53`), which is no more since `a` is below 2^24 (2^53).
    fn divide_as_floats(&mut self, inst: &Inst, a: &Lanes, b: &Lanes, signed: bool) -> Lanes {
        let size = inst.ty.size() as u8;
        let mut quotient = if inst.ty == Ty::I32 {
            let (a, b) = [a, b].map(|v| self.int_to_float(signed, Ty::I32, Ty::F64, v.clone())).into();
            let quotient = self.zip(&a, &b, |e, a, b| e.pos.ins().fdiv(a, b));
            // The least by -1 is out of range, and truncates to the least, as it should.
            self.truncate_to_i32(signed, &quotient)
        } else {
            let (a, b) = [a, b].map(|v| self.extend_to(v.clone(), 4, signed)).into();
            let quotient = self.zip(&a, &b, |e, a, b| {
                let (a, b) = (e.pos.ins().fcvt_from_sint(F32X4, a), e.pos.ins().fcvt_from_sint(F32X4, b));
                let quotient = e.pos.ins().fdiv(a, b);
                e.pos.ins().x86_cvtt2dq(I32X4, quotient)
            });
            self.truncate_to(quotient, size)
        };
        if matches!(inst.prim, Prim::SRem | Prim::URem) {
            let product = self.zip(&quotient, b, Self::imul);
            quotient = self.zip(a, &product, |e, a, b| e.pos.ins().isub(a, b));
        }
        self.zip(&quotient, b, |e, q, b| {
            let zero = e.splat_bits(integers(size), 0);
            let by_zero = e.pos.ins().icmp(IntCC::Equal, b, zero);
            e.pos.ins().band_not(q, by_zero)
        })
    }

    fn extend(&mut self, a: Value, to: Type, signed: bool) -> Value {
        if self.pos.func.dfg.value_type(a) == to {
            a
        } else if signed {
            self.pos.ins().sextend(to, a)
        } else {
            self.pos.ins().uextend(to, a)
        }
    }

    /// Divisors that would trap are replaced by 1, and the results by what the primitive says.
    fn divide_scalar(&mut self, prim: Prim, a: Value, b: Value) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        let (zero, one) = (self.pos.ins().iconst(ty, 0), self.pos.ins().iconst(ty, 1));
        let by_zero = self.pos.ins().icmp_imm_s(IntCC::Equal, b, 0);
        match prim {
            Prim::UDiv => {
                let safe = self.pos.ins().select(by_zero, one, b);
                let quotient = self.pos.ins().udiv(a, safe);
                self.pos.ins().select(by_zero, zero, quotient)
            }
            Prim::URem => {
                let safe = self.pos.ins().select(by_zero, one, b);
                self.pos.ins().urem(a, safe)
            }
            _ => {
                let by_minus_one = self.pos.ins().icmp_imm_s(IntCC::Equal, b, -1);
                let trouble = self.pos.ins().bor(by_zero, by_minus_one);
                let safe = self.pos.ins().select(trouble, one, b);
                if prim == Prim::SRem {
                    return self.pos.ins().srem(a, safe);
                }
                let quotient = self.pos.ins().sdiv(a, safe);
                let negated = self.pos.ins().ineg(a);
                let quotient = self.pos.ins().select(by_minus_one, negated, quotient);
                self.pos.ins().select(by_zero, zero, quotient)
            }
        }
    }

    /// Takes the amount of shifts that is the same for the row out of its vector.
    pub(super) fn hoist_amount(&mut self, v: ValueId) {
        if self.constant_bits(v).is_some() || self.amounts.contains_key(&v) {
            return;
        }
        let lanes = self.get(v);
        let amount = self.extract(&lanes, 0);
        let amount = self.extend(amount, I64, false);
        self.amounts.insert(v, amount);
    }

    pub(super) fn shift(&mut self, inst: &Inst) -> Lanes {
        let (prim, by) = (inst.prim, inst.args[1]);
        let bits = 8 * inst.ty.size() as u64;
        if let Some(amount) = self.constant_bits(by) {
            return self.shift_by_constant(inst, amount);
        }
        let a = self.get(inst.args[0]);
        if !self.uniform
            && let Some(&amount) = self.amounts.get(&by)
        {
            return self.shift_by_scalar(prim, &a, amount, bits);
        }
        let b = self.get(by);
        if self.lanes == 1 || inst.ty == Ty::I64 {
            return self.lanewise(inst.ty, |e, i| {
                let (a, b) = (e.extract(&a, i), e.extract(&b, i));
                e.shift_scalar(prim, a, b, bits)
            });
        }
        self.zip(&a, &b, |e, a, b| e.shift_by_lanes(prim, a, b, bits))
    }

    fn shift_by_constant(&mut self, inst: &Inst, amount: u64) -> Lanes {
        let a = self.get(inst.args[0]);
        let bits = 8 * inst.ty.size() as u64;
        let prim = inst.prim;
        let amount = match prim {
            Prim::ShrS => amount.min(bits - 1),
            _ if amount >= bits => return self.map(&a, |e, _| e.splat_bits(vector_of(inst.ty), 0)),
            _ => amount,
        };
        if amount == 0 {
            return a;
        }
        let amount = self.pos.ins().iconst(I32, amount as i64);
        self.map(&a, |e, a| e.shift_vector(prim, a, amount))
    }

    /// Every lane by the same amount, which Cranelift takes modulo the width.
    fn shift_vector(&mut self, prim: Prim, a: Value, amount: Value) -> Value {
        match prim {
            Prim::Shl => self.pos.ins().ishl(a, amount),
            Prim::ShrU => self.pos.ins().ushr(a, amount),
            _ => self.pos.ins().sshr(a, amount),
        }
    }

    fn shift_by_scalar(&mut self, prim: Prim, a: &Lanes, amount: Value, bits: u64) -> Lanes {
        let ty = self.pos.func.dfg.value_type(a.vectors[0]);
        if prim == Prim::ShrS {
            let most = self.pos.ins().iconst(I64, bits as i64 - 1);
            let amount = self.pos.ins().umin(amount, most);
            return self.map(a, |e, a| e.shift_vector(prim, a, amount));
        }
        let inside = self.pos.ins().icmp_imm_s(IntCC::UnsignedLessThan, amount, bits as i64);
        let inside = self.pos.ins().bmask(ty.lane_type(), inside);
        let inside = self.pos.ins().splat(ty, inside);
        self.map(a, |e, a| {
            let shifted = e.shift_vector(prim, a, amount);
            e.pos.ins().band(shifted, inside)
        })
    }

    fn shift_scalar(&mut self, prim: Prim, a: Value, b: Value, bits: u64) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        if prim == Prim::ShrS {
            let most = self.pos.ins().iconst(ty, bits as i64 - 1);
            let amount = self.pos.ins().umin(b, most);
            return self.pos.ins().sshr(a, amount);
        }
        let shifted = self.shift_vector(prim, a, b);
        let zero = self.pos.ins().iconst(ty, 0);
        let limit = self.pos.ins().iconst(ty, bits as i64);
        let inside = self.pos.ins().icmp(IntCC::UnsignedLessThan, b, limit);
        self.pos.ins().select(inside, shifted, zero)
    }

    /// Each lane by an amount of its own: one shift by a power of two for each bit of the amount.
    fn shift_by_lanes(&mut self, prim: Prim, a: Value, b: Value, bits: u64) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        let most = self.splat_bits(ty, bits - 1);
        let (amount, mut shifted) = match prim {
            Prim::ShrS => (self.pos.ins().umin(b, most), a),
            _ => (b, a),
        };
        for step in 0..bits.trailing_zeros() {
            let bit = self.splat_bits(ty, 1 << step);
            let set = self.pos.ins().band(amount, bit);
            let set = self.pos.ins().icmp(IntCC::Equal, set, bit);
            let by = self.pos.ins().iconst(I16, 1 << step);
            let moved = self.shift_vector(prim, shifted, by);
            shifted = self.choose(set, moved, shifted);
        }
        if prim == Prim::ShrS {
            return shifted;
        }
        let inside = self.pos.ins().icmp(IntCC::UnsignedLessThanOrEqual, b, most);
        self.pos.ins().band(shifted, inside)
    }
}
