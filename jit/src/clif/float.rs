//! Floating point that is not one vector instruction everywhere.

use super::emit::{Emitter, Lanes};
use crate::kernel::{Inst, Prim};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::F64X2;
use cranelift_codegen::ir::{InstBuilder, Type, Value};

impl Emitter<'_> {
    pub(super) fn fma(&mut self, inst: &Inst) -> Lanes {
        let [a, b, c] = inst.args.map(|v| self.get(v));
        if !self.caps.fma {
            return self.call(inst, &[&a, &b, &c]);
        }
        let vectors = (0..a.vectors.len()).map(|k| self.pos.ins().fma(a.vectors[k], b.vectors[k], c.vectors[k]));
        Lanes { size: a.size, vectors: vectors.collect() }
    }

    /// The value with its sign bit cleared.
    pub(super) fn fabs(&mut self, a: Value) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        let mask = self.splat_bits(ty, !sign_bit(ty));
        self.pos.ins().band(a, mask)
    }

    /// The sign bit alone.
    fn sign(&mut self, a: Value) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        let mask = self.splat_bits(ty, sign_bit(ty));
        self.pos.ins().band(a, mask)
    }

    pub(super) fn copysign(&mut self, a: Value, b: Value) -> Value {
        let (magnitude, sign) = (self.fabs(a), self.sign(b));
        self.pos.ins().bor(magnitude, sign)
    }

    /// Rounds to an integer.
    pub(super) fn round_float(&mut self, prim: Prim, a: Value) -> Value {
        if !self.caps.round {
            return self.round_by_addition(prim, a);
        }
        match prim {
            Prim::FFloor => self.pos.ins().floor(a),
            Prim::FCeil => self.pos.ins().ceil(a),
            Prim::FTrunc => self.pos.ins().trunc(a),
            _ => self.pos.ins().nearest(a),
        }
    }

    /// Rounds where no instruction does. Adding 2^52 (2^23 for `f32`) to the magnitude leaves no bits for a fraction,
    /// so the sum is rounded to an integer, halves to even, and taking it away again is exact. The other modes correct
    /// that by one where it went the wrong way. Larger magnitudes are integers already; NaN fails the comparison with
    /// them and stays.
    fn round_by_addition(&mut self, prim: Prim, a: Value) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        let (integers, one) = match ty {
            F64X2 => ((2f64.powi(52)).to_bits(), 1f64.to_bits()),
            _ => (u64::from((2f32.powi(23)).to_bits()), u64::from(1f32.to_bits())),
        };
        let magnitude = self.fabs(a);
        let sign = self.sign(a);
        let shift = self.splat_bits(ty, integers);
        let small = self.compare_floats(FloatCC::LessThan, magnitude, shift);
        let sum = self.pos.ins().fadd(magnitude, shift);
        let nearest = self.pos.ins().fsub(sum, shift);
        let signed = self.pos.ins().bor(nearest, sign);
        let rounded = match prim {
            Prim::FFloor | Prim::FCeil | Prim::FTrunc => {
                let wrong = match prim {
                    Prim::FFloor => self.compare_floats(FloatCC::LessThan, a, signed),
                    Prim::FCeil => self.compare_floats(FloatCC::LessThan, signed, a),
                    _ => self.compare_floats(FloatCC::LessThan, magnitude, nearest),
                };
                let wrong = self.cast(wrong, ty);
                let one = self.splat_bits(ty, one);
                let step = self.pos.ins().band(wrong, one);
                let corrected = match prim {
                    Prim::FFloor => self.pos.ins().fsub(signed, step),
                    Prim::FCeil => self.pos.ins().fadd(signed, step),
                    _ => self.pos.ins().fsub(nearest, step),
                };
                // A zero keeps the sign of what was rounded to it.
                self.pos.ins().bor(corrected, sign)
            }
            _ => signed,
        };
        self.choose(small, rounded, a)
    }
}

/// The sign bit of a lane.
fn sign_bit(ty: Type) -> u64 {
    1 << (ty.lane_bits() - 1)
}
