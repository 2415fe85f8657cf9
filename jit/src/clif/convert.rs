//! Conversions. A value of `N` lanes fills a different number of vectors on either side; lanes keep their order.

use super::emit::{Emitter, Lanes, integers, vector_of};
use crate::kernel::{Inst, Prim, Ty};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, Value};

/// The bytes of the even 32-bit lanes of two vectors.
const EVEN: [u8; 16] = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27];

impl Emitter<'_> {
    pub(super) fn convert(&mut self, inst: &Inst) -> Lanes {
        let (from, to) = (self.ty(inst.args[0]), inst.ty);
        let size = to.size() as u8;
        match inst.prim {
            Prim::MaskToInt => {
                let mask = self.mask(inst.args[0], size);
                self.map(&mask, |e, m| e.pos.ins().ineg(m))
            }
            Prim::Bitcast => {
                let a = self.get(inst.args[0]);
                self.map(&a, |e, a| e.cast(a, vector_of(to)))
            }
            Prim::SExt | Prim::ZExt => {
                let a = self.get(inst.args[0]);
                self.extend_to(a, size, inst.prim == Prim::SExt)
            }
            Prim::Trunc => {
                let a = self.get(inst.args[0]);
                self.truncate_to(a, size)
            }
            Prim::SToF | Prim::UToF => {
                let a = self.get(inst.args[0]);
                self.int_to_float(inst.prim == Prim::SToF, from, to, a)
            }
            Prim::FToS | Prim::FToU => {
                let a = self.get(inst.args[0]);
                self.float_to_int(inst.prim == Prim::FToS, from, to, a)
            }
            Prim::F32To64 => {
                let a = self.get(inst.args[0]);
                self.promote(&a)
            }
            Prim::F64To32 => {
                let a = self.get(inst.args[0]);
                self.demote(&a)
            }
            Prim::F16To32 => {
                let a = self.get(inst.args[0]);
                let a = self.extend_to(a, 4, false);
                self.map(&a, Self::half_to_f32)
            }
            Prim::Bf16To32 => {
                let a = self.get(inst.args[0]);
                let a = self.extend_to(a, 4, false);
                self.map(&a, |e, a| {
                    let bits = e.pos.ins().ishl_imm_u(a, 16);
                    e.cast(bits, F32X4)
                })
            }
            Prim::F32To16 | Prim::F64To16 => {
                let a = self.get(inst.args[0]);
                let a = if from == Ty::F64 { self.demote_to_odd(&a) } else { a };
                let a = self.map(&a, Self::f32_to_half);
                self.truncate_to(a, 2)
            }
            // The others are not conversions.
            _ => {
                let a = self.get(inst.args[0]);
                let a = if from == Ty::F64 { self.demote_to_odd(&a) } else { a };
                let a = self.map(&a, Self::f32_to_bf16);
                self.truncate_to(a, 2)
            }
        }
    }

    // Widths of integers and masks.

    /// The mask in lanes of `size` bytes.
    pub(super) fn resize_mask(&mut self, mut mask: Lanes, size: u8) -> Lanes {
        while mask.size > size {
            mask = match mask.size {
                8 => self.halve(&mask, |e, a, b| {
                    let even = e.shuffle(a, b, EVEN);
                    e.cast(even, I32X4)
                }),
                _ => self.halve(&mask, |e, a, b| e.pos.ins().snarrow(a, b)),
            };
        }
        self.extend_to(mask, size, true)
    }

    /// Wider integers.
    pub(super) fn extend_to(&mut self, mut a: Lanes, size: u8, signed: bool) -> Lanes {
        while a.size < size {
            a = self.double(&a, |e, a, high| match (signed, high) {
                (true, false) => e.pos.ins().swiden_low(a),
                (true, true) => e.pos.ins().swiden_high(a),
                (false, false) => e.pos.ins().uwiden_low(a),
                (false, true) => e.pos.ins().uwiden_high(a),
            });
        }
        a
    }

    /// The low bits of integers.
    pub(super) fn truncate_to(&mut self, mut a: Lanes, size: u8) -> Lanes {
        while a.size > size {
            a = match a.size {
                8 => self.halve(&a, |e, a, b| {
                    let even = e.shuffle(a, b, EVEN);
                    e.cast(even, I32X4)
                }),
                4 if !self.caps.narrow => {
                    // Narrowing saturates: the low halves as signed numbers pass it unchanged.
                    let a = self.map(&a, |e, a| {
                        let up = e.pos.ins().ishl_imm_u(a, 16);
                        e.pos.ins().sshr_imm_u(up, 16)
                    });
                    self.halve(&a, |e, a, b| e.pos.ins().snarrow(a, b))
                }
                wide => {
                    let a = self.map(&a, |e, a| {
                        let low = e.splat_bits(integers(wide), (1 << (4 * wide)) - 1);
                        e.pos.ins().band(a, low)
                    });
                    self.halve(&a, |e, a, b| e.pos.ins().unarrow(a, b))
                }
            };
        }
        a
    }

    /// Lanes of twice the size; `f` converts the lower or the upper half of a vector.
    fn double(&mut self, a: &Lanes, mut f: impl FnMut(&mut Self, Value, bool) -> Value) -> Lanes {
        let size = 2 * a.size;
        let vectors = (0..self.count(size)).map(|k| f(self, a.vectors[k / 2], k % 2 == 1)).collect();
        Lanes { size, vectors }
    }

    /// Lanes of half the size; `f` packs two vectors into one. Where there is one vector only it is packed with itself.
    fn halve(&mut self, a: &Lanes, mut f: impl FnMut(&mut Self, Value, Value) -> Value) -> Lanes {
        let pairs = a.vectors.chunks(2);
        Lanes { size: a.size / 2, vectors: pairs.map(|p| f(self, p[0], p[p.len() - 1])).collect() }
    }

    // Between floats.

    fn promote(&mut self, a: &Lanes) -> Lanes {
        self.double(a, |e, a, high| {
            let a = if high { e.high(a) } else { a };
            e.pos.ins().fvpromote_low(a)
        })
    }

    fn demote(&mut self, a: &Lanes) -> Lanes {
        self.halve(a, |e, a, b| {
            let low = e.pos.ins().fvdemote(a);
            e.join_halves(a, b, low, |e, b| e.pos.ins().fvdemote(b))
        })
    }

    /// Joins `low`, made from `a`, with what `f` makes of `b`: unless that is the same, and not needed.
    fn join_halves(&mut self, a: Value, b: Value, low: Value, f: impl FnOnce(&mut Self, Value) -> Value) -> Value {
        if a != b {
            let high = f(self, b);
            self.join(low, high)
        } else if self.uniform {
            self.join(low, low)
        } else {
            low
        }
    }

    /// `F64` to `F32` rounded to odd: what is inexact goes to the neighbour whose last bit is one. Rounding that once
    /// more, to a format with two bits less at least, gives what rounding the `F64` itself would.
    fn demote_to_odd(&mut self, x: &Lanes) -> Lanes {
        let y = self.demote(x);
        let back = self.promote(&y);
        let (x, back) = (self.map(x, Self::fabs), self.map(&back, Self::fabs));
        let below = self.zip(&back, &x, |e, a, b| e.compare_floats(FloatCC::LessThan, a, b));
        let above = self.zip(&x, &back, |e, a, b| e.compare_floats(FloatCC::LessThan, a, b));
        // NaN is neither below nor above, and stays as it is.
        let (below, above) = (self.resize_mask(below, 4), self.resize_mask(above, 4));
        let vectors = (0..y.vectors.len()).map(|k| {
            let bits = self.cast(y.vectors[k], I32X4);
            let one = self.splat_bits(I32X4, 1);
            let odd = self.pos.ins().band(bits, one);
            let even = self.pos.ins().isub(odd, one);
            let up = self.pos.ins().band(below.vectors[k], even);
            let down = self.pos.ins().band(above.vectors[k], even);
            // The masks count as -1.
            let bits = self.pos.ins().isub(bits, up);
            let bits = self.pos.ins().iadd(bits, down);
            self.cast(bits, F32X4)
        });
        Lanes { size: 4, vectors: vectors.collect() }
    }

    /// The binary16 in each 32-bit lane to `F32`.
    ///
    /// Shifted into the place of exponent and fraction it is a `F32` that is too small by 2^112, subnormal ones
    /// included. Infinity and NaN get the largest exponent.
    fn half_to_f32(&mut self, h: Value) -> Value {
        let mask = self.splat_bits(I32X4, 0x7fff);
        let magnitude = self.pos.ins().band(h, mask);
        let sign = self.pos.ins().bxor(h, magnitude);
        let sign = self.pos.ins().ishl_imm_u(sign, 16);
        let small = self.pos.ins().ishl_imm_u(magnitude, 13);
        let small = self.cast(small, F32X4);
        let scale = self.splat_bits(F32X4, (127 + 112) << 23);
        let value = self.pos.ins().fmul(small, scale);
        let value = self.cast(value, I32X4);
        let finite = self.splat_bits(I32X4, 0x7bff);
        let special = self.pos.ins().icmp(IntCC::SignedGreaterThan, magnitude, finite);
        let exponent = self.splat_bits(I32X4, 0x7f80_0000);
        let special = self.pos.ins().band(special, exponent);
        let value = self.pos.ins().bor(value, special);
        let value = self.pos.ins().bor(value, sign);
        self.cast(value, F32X4)
    }

    /// `F32` to the binary16 in each 32-bit lane.
    ///
    /// Normal results: the exponent is rebiased and the fraction rounded by adding just less than half of the last
    /// place, and one more where that place is odd; carries run into the exponent as they should. Subnormal results:
    /// adding 0.5 leaves 2^-24 as the last place. From 65536 on it is infinity.
    fn f32_to_half(&mut self, x: Value) -> Value {
        let x = self.cast(x, I32X4);
        let mask = self.splat_bits(I32X4, 0x7fff_ffff);
        let magnitude = self.pos.ins().band(x, mask);
        let sign = self.pos.ins().bxor(x, magnitude);
        let sign = self.pos.ins().ushr_imm_u(sign, 16);

        let rebias = self.splat_bits(I32X4, u64::from((112u32 << 23).wrapping_neg() + 0xfff));
        let normal = self.pos.ins().iadd(magnitude, rebias);
        let odd = self.last_bit(magnitude, 13);
        let normal = self.pos.ins().iadd(normal, odd);
        let normal = self.pos.ins().ushr_imm_u(normal, 13);

        let half = self.splat_bits(F32X4, u64::from(0.5f32.to_bits()));
        let float = self.cast(magnitude, F32X4);
        let sum = self.pos.ins().fadd(float, half);
        let sum = self.cast(sum, I32X4);
        let half = self.splat_bits(I32X4, u64::from(0.5f32.to_bits()));
        let subnormal = self.pos.ins().isub(sum, half);

        let infinite = self.splat_bits(I32X4, 0x7f80_0000);
        let nan = self.pos.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinite);
        let quiet = self.splat_bits(I32X4, 0x200);
        let nan = self.pos.ins().band(nan, quiet);
        let infinity = self.splat_bits(I32X4, 0x7c00);
        let special = self.pos.ins().bor(nan, infinity);

        let least_normal = self.splat_bits(I32X4, 113 << 23);
        let is_small = self.pos.ins().icmp(IntCC::SignedLessThan, magnitude, least_normal);
        let most = self.splat_bits(I32X4, u64::from(65536f32.to_bits() - 1));
        let is_special = self.pos.ins().icmp(IntCC::SignedGreaterThan, magnitude, most);
        let value = self.choose(is_small, subnormal, normal);
        let value = self.choose(is_special, special, value);
        self.pos.ins().bor(value, sign)
    }

    /// `F32` to the bfloat16 in each 32-bit lane: the upper half, rounded; NaN is made quiet instead, or rounding could
    /// carry it away.
    fn f32_to_bf16(&mut self, x: Value) -> Value {
        let x = self.cast(x, I32X4);
        let odd = self.last_bit(x, 16);
        let bias = self.splat_bits(I32X4, 0x7fff);
        let rounded = self.pos.ins().iadd(x, bias);
        let rounded = self.pos.ins().iadd(rounded, odd);
        let quiet = self.splat_bits(I32X4, 0x40_0000);
        let quiet = self.pos.ins().bor(x, quiet);
        let float = self.cast(x, F32X4);
        let nan = self.compare_floats(FloatCC::Unordered, float, float);
        let value = self.choose(nan, quiet, rounded);
        self.pos.ins().ushr_imm_u(value, 16)
    }

    /// Bit `place` of each 32-bit lane.
    fn last_bit(&mut self, x: Value, place: i64) -> Value {
        let shifted = self.pos.ins().ushr_imm_u(x, place);
        let one = self.splat_bits(I32X4, 1);
        self.pos.ins().band(shifted, one)
    }

    // Between integers and floats.

    pub(super) fn int_to_float(&mut self, signed: bool, from: Ty, to: Ty, a: Lanes) -> Lanes {
        match (from, to) {
            (Ty::I32, Ty::F32) if signed => self.map(&a, |e, a| e.pos.ins().fcvt_from_sint(F32X4, a)),
            (Ty::I32, Ty::F32) => self.map(&a, |e, a| e.pos.ins().fcvt_from_uint(F32X4, a)),
            (Ty::I32, _) => self.double(&a, |e, a, high| {
                // Widening the lower half right before is what Cranelift has an instruction for.
                let a = if high { e.high(a) } else { a };
                if signed {
                    let wide = e.pos.ins().swiden_low(a);
                    e.pos.ins().fcvt_from_sint(F64X2, wide)
                } else {
                    let wide = e.pos.ins().uwiden_low(a);
                    e.pos.ins().fcvt_from_uint(F64X2, wide)
                }
            }),
            (_, Ty::F64) if !signed => self.map(&a, |e, a| e.pos.ins().fcvt_from_uint(F64X2, a)),
            (_, Ty::F64) if self.caps.i64_to_f64 => self.map(&a, |e, a| e.pos.ins().fcvt_from_sint(F64X2, a)),
            (_, Ty::F64) => self.map(&a, Self::i64_to_f64),
            _ => {
                let scalar = vector_of(to).lane_type();
                self.lanewise(to, |e, i| {
                    let a = e.extract(&a, i);
                    if signed { e.pos.ins().fcvt_from_sint(scalar, a) } else { e.pos.ins().fcvt_from_uint(scalar, a) }
                })
            }
        }
    }

    /// Signed 64-bit integers to `F64`, in two halves that become fractions.
    ///
    /// With the top bit flipped, the upper half `h` is `a / 2^32 + 2^31` rounded down. As the fraction of a number with
    /// exponent 84 it stands for `2^84 + h * 2^32`, the lower half with exponent 52 for `2^52 + l`. What is too much is
    /// taken from the first, exactly; adding the second rounds once.
    fn i64_to_f64(&mut self, a: Value) -> Value {
        let flip = self.splat_bits(I64X2, 1 << 63);
        let flipped = self.pos.ins().bxor(a, flip);
        let high = self.pos.ins().ushr_imm_u(flipped, 32);
        let exponent = self.splat_bits(I64X2, (2f64.powi(84)).to_bits());
        let high = self.pos.ins().bor(high, exponent);
        let high = self.cast(high, F64X2);
        let excess = 2f64.powi(84) + 2f64.powi(63) + 2f64.powi(52);
        let excess = self.splat_bits(F64X2, excess.to_bits());
        let high = self.pos.ins().fsub(high, excess);
        let low_half = self.splat_bits(I64X2, 0xffff_ffff);
        let low = self.pos.ins().band(a, low_half);
        let exponent = self.splat_bits(I64X2, (2f64.powi(52)).to_bits());
        let low = self.pos.ins().bor(low, exponent);
        let low = self.cast(low, F64X2);
        self.pos.ins().fadd(high, low)
    }

    fn float_to_int(&mut self, signed: bool, from: Ty, to: Ty, a: Lanes) -> Lanes {
        match (from, to) {
            (Ty::F32, Ty::I32) if signed => self.map(&a, |e, a| e.pos.ins().fcvt_to_sint_sat(I32X4, a)),
            (Ty::F32, Ty::I32) => self.map(&a, |e, a| e.pos.ins().fcvt_to_uint_sat(I32X4, a)),
            (Ty::F64, Ty::I32) if signed || self.caps.round => self.halve(&a, |e, a, b| {
                let low = e.f64_to_i32(signed, a);
                e.join_halves(a, b, low, |e, b| e.f64_to_i32(signed, b))
            }),
            _ => {
                let scalar = if to == Ty::I64 { I64 } else { I32 };
                self.lanewise(to, |e, i| {
                    let a = e.extract(&a, i);
                    if signed {
                        e.pos.ins().fcvt_to_sint_sat(scalar, a)
                    } else {
                        e.pos.ins().fcvt_to_uint_sat(scalar, a)
                    }
                })
            }
        }
    }

    /// `F64` to 32-bit integers where all are in range: signed ones out of it give the least.
    pub(super) fn truncate_to_i32(&mut self, signed: bool, a: &Lanes) -> Lanes {
        let convert = |e: &mut Self, a: Value| {
            if !signed {
                return e.f64_to_i32(false, a);
            }
            let zero = e.splat_bits(I64X2, 0);
            let wide = e.pos.ins().x86_cvtt2dq(I64X2, a);
            e.pos.ins().snarrow(wide, zero)
        };
        self.halve(a, |e, a, b| {
            let low = convert(e, a);
            e.join_halves(a, b, low, convert)
        })
    }

    /// Two `F64` to the 32-bit integers in the lower lanes: in the one form that Cranelift has for it, a conversion
    /// narrowed together with zero.
    fn f64_to_i32(&mut self, signed: bool, a: Value) -> Value {
        let zero = self.splat_bits(I64X2, 0);
        if signed {
            let wide = self.pos.ins().fcvt_to_sint_sat(I64X2, a);
            self.pos.ins().snarrow(wide, zero)
        } else {
            let wide = self.pos.ins().fcvt_to_uint_sat(I64X2, a);
            self.pos.ins().uunarrow(wide, zero)
        }
    }
}
