//! Arithmetic of integers: it wraps, and division by zero gives zero.
//!
//! Division floors, as Python's and NumPy's does: the remainder has the sign of the divisor.

use super::Lower;
use crate::build::Builder;
use crate::kernel::{Prim, ValueId};
use lazuli_graph::Kind;

impl Lower<'_> {
    /// A quotient and its remainder after rounding toward zero, and where flooring makes them one less and one divisor
    /// more.
    fn signed_division(&mut self, x: ValueId, y: ValueId) -> (ValueId, ValueId, ValueId) {
        let zero = self.b.int(self.ty(), 0);
        let quotient = self.b.sdiv(x, y);
        // One multiplication rather than a second division. Where `y` is 0 this is `x`, and the caller's to mask.
        let product = self.b.imul(quotient, y);
        let rest = self.b.isub(x, product);
        let inexact = self.b.ine(rest, zero);
        let signs = self.b.xor(rest, y);
        let differ = self.b.slt(signs, zero);
        let adjust = self.b.mand(inexact, differ);
        (quotient, rest, adjust)
    }

    pub(super) fn int_floor_divide(&mut self, x: ValueId, y: ValueId) -> ValueId {
        if self.dtype.kind() != Kind::Signed {
            return self.b.udiv(x, y);
        }
        let (quotient, _, adjust) = self.signed_division(x, y);
        let (one, zero) = (self.b.int(self.ty(), 1), self.b.int(self.ty(), 0));
        let floored = self.b.isub(quotient, one);
        let floored = self.b.select(adjust, floored, quotient);
        let by_zero = self.b.ieq(y, zero);
        self.b.select(by_zero, zero, floored)
    }

    pub(super) fn int_remainder(&mut self, x: ValueId, y: ValueId) -> ValueId {
        if self.dtype.kind() != Kind::Signed {
            return self.b.urem(x, y);
        }
        let (_, rest, adjust) = self.signed_division(x, y);
        let zero = self.b.int(self.ty(), 0);
        let floored = self.b.iadd(rest, y);
        let floored = self.b.select(adjust, floored, rest);
        let by_zero = self.b.ieq(y, zero);
        self.b.select(by_zero, zero, floored)
    }

    /// `1 / x` toward zero: only 1 and -1 have an inverse that is not 0; 0 gives 0.
    pub(super) fn int_reciprocal(&mut self, x: ValueId) -> ValueId {
        let ty = self.ty();
        let (one, zero) = (self.b.int(ty, 1), self.b.int(ty, 0));
        let is_one = self.b.ieq(x, one);
        let unit = match self.dtype.kind() {
            Kind::Signed => {
                let minus_one = self.b.int(ty, -1);
                let is_minus_one = self.b.ieq(x, minus_one);
                self.b.mor(is_one, is_minus_one)
            }
            Kind::Unsigned | Kind::Bool | Kind::Float => is_one,
        };
        self.b.select(unit, x, zero)
    }

    /// `x` to the power `y` by squaring, over every bit that the exponent may have; over the bits it does have where it
    /// is a constant. A negative exponent gives the inverse truncated: ±1 for ±1, 0 for all else.
    pub(super) fn int_pow(&mut self, x: ValueId, y: ValueId) -> ValueId {
        let ty = self.ty();
        let signed = self.dtype.kind() == Kind::Signed;
        let bits = 8 * ty.size() as u32 - signed as u32;
        let exponent = self.b.def(y);
        if exponent.prim == Prim::Const && exponent.imm.checked_shr(bits).unwrap_or(0) == 0 {
            let exponent = exponent.imm;
            return constant_pow(self.b, x, exponent);
        }
        let (one, zero) = (self.b.int(ty, 1), self.b.int(ty, 0));
        let (mut power, mut base) = (one, x);
        for bit in 0..bits {
            if bit > 0 {
                base = self.b.imul(base, base);
            }
            let weight = self.b.bits(ty, 1 << bit);
            let digit = self.b.and(y, weight);
            let set = self.b.ine(digit, zero);
            let more = if bit == 0 { base } else { self.b.imul(power, base) };
            power = self.b.select(set, more, power);
        }
        if !signed {
            return power;
        }
        let minus_one = self.b.int(ty, -1);
        let inverse = self.int_reciprocal(x);
        let parity = self.b.and(y, one);
        let even = self.b.ieq(parity, zero);
        let is_minus_one = self.b.ieq(x, minus_one);
        let to_one = self.b.mand(even, is_minus_one);
        let inverse = self.b.select(to_one, one, inverse);
        let negative = self.b.slt(y, zero);
        self.b.select(negative, inverse, power)
    }
}

fn constant_pow(b: &mut Builder, x: ValueId, exponent: u64) -> ValueId {
    let (mut power, mut base) = (None, x);
    for bit in 0..u64::BITS - exponent.leading_zeros() {
        if bit > 0 {
            base = b.imul(base, base);
        }
        if exponent >> bit & 1 == 1 {
            power = Some(power.map_or(base, |p| b.imul(p, base)));
        }
    }
    power.unwrap_or_else(|| b.int(b.ty(x), 1))
}
