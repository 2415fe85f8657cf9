//! Primitives that are composed of others elsewhere, and for which AVX-512 has instructions.

use super::mach::MASK;
use super::pairs::*;
use super::select::Selector;
use super::sources::Lanes;
use crate::kernel::{Inst, Prim, Ty};
use std::f64::consts::FRAC_1_SQRT_2;

/// Of `vgetmant`: between 1 and 2, and NaN of negative numbers.
const FROM_ONE_TO_TWO: u8 = 0b1100;
/// Of a comparison: greater or equal.
const AT_LEAST: u8 = 0x1d;

impl Selector<'_> {
    /// With 512 bits only.
    pub(super) fn composed(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let (size, double) = (inst.ty.size() as u8, inst.ty == Ty::F64);
        match inst.prim {
            Prim::FRaise => {
                let one = self.number(double, 1.0);
                let sum = self.commute(if double { ADDPD } else { ADDPS }, size, &args[0], &one);
                self.map_op(if double { SCALEFPD } else { SCALEFPS }, size, [&sum, &args[1]], None)
            }
            Prim::FSignificand => self.significand(inst.ty, &args[0]),
            _ => {
                // What is from the root of 2 on has been halved. NaN stays.
                let of_same = |other: &Inst| other.prim == Prim::FSignificand && other.args[0] == inst.args[0];
                let before = self.kernel.insts.iter().take_while(|other| *other != inst);
                let made = before.into_iter().position(of_same).and_then(|v| self.made(v));
                let m = made.unwrap_or_else(|| self.significand(inst.ty, &args[0]));
                let exponent = if double { GETEXPPD } else { GETEXPPS };
                let [whole, over] = [&args[0], &m].map(|x| self.map_op(exponent, size, [x], None));
                self.map_op(if double { SUBPD } else { SUBPS }, size, [&whole, &over], None)
            }
        }
    }

    fn significand(&mut self, ty: Ty, x: &Lanes) -> Lanes {
        let (size, double) = (ty.size() as u8, ty == Ty::F64);
        let m = self.map_op(if double { GETMANTPD } else { GETMANTPS }, size, [x], Some(FROM_ONE_TO_TWO));
        let root =
            self.number(double, if double { 2.0 * FRAC_1_SQRT_2 } else { f64::from(2.0 * FRAC_1_SQRT_2 as f32) });
        let compare = if double { CMPPD } else { CMPPS };
        let above = self.map(size, [&m, &root], |s, args| s.op_into(compare, size, &args, Some(AT_LEAST), MASK));
        let half = self.number(double, 0.5);
        let halved = self.commute(if double { MULPD } else { MULPS }, size, &m, &half);
        self.select(ty, &[above, halved, m])
    }

    fn number(&self, double: bool, x: f64) -> Lanes {
        if double { self.splat(8, x.to_bits()) } else { self.splat(4, (x as f32).to_bits().into()) }
    }
}
