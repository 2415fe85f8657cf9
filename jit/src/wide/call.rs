//! Calls out of the code, a vector at a time.

use super::mach::{Call, Kind, VEC};
use super::select::Selector;
use super::sources::{Lanes, Src};
use crate::clif::Import;
use crate::kernel::{Inst, Ty};
use regalloc2::{Operand, VReg};
use smallvec::{SmallVec, smallvec};

impl Selector<'_> {
    /// Appends a call for all lanes of registers.
    pub(super) fn push_call(&mut self, kind: Kind, args: &[VReg]) -> VReg {
        let result = self.body.vreg(VEC);
        let mut operands: SmallVec<[Operand; 4]> = smallvec![Operand::reg_def(result)];
        operands.extend(args.iter().map(|&a| Operand::reg_use(a)));
        self.body.push(kind, &operands);
        result
    }

    fn callee(&self, inst: &Inst) -> Call {
        let function = Import { prim: inst.prim, ty: inst.ty }.address() as usize;
        let lanes = (self.width / inst.ty.size()) as u8;
        Call { function, routine: inst.imm, lanes, mask_size: 0 }
    }

    /// A correctly rounded function of one or two arguments.
    pub(super) fn call(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let size = inst.ty.size() as u8;
        let kind = Kind::Call(self.callee(inst));
        match args {
            [a] => self.map(size, [a], |s, [a]| {
                let a = s.reg(a);
                s.push_call(kind, &[a])
            }),
            // The others have two.
            _ => self.map(size, [&args[0], &args[1]], |s, [a, b]| {
                let (a, b) = (s.reg(a), s.reg(b));
                s.push_call(kind, &[a, b])
            }),
        }
    }

    /// `m ? f(a) : b`: a test, and the call where some lane needs it.
    pub(super) fn call_if(&mut self, inst: &Inst, args: &[Lanes]) -> Lanes {
        let size = inst.ty.size() as u8;
        let mask = self.resize_mask(args[0].clone(), size);
        if let (true, Src::Const { bits: 0, .. }) = (mask.same, mask.at(0)) {
            return args[2].clone();
        }
        let mut call = self.callee(inst);
        if self.evex {
            call.mask_size = if inst.ty == Ty::F64 { 8 } else { 4 };
        }
        self.map(size, [&mask, &args[1], &args[2]], |s, [m, a, b]| {
            let m = if s.evex { s.mask_reg(m) } else { s.reg(m) };
            let (a, b) = (s.reg(a), s.reg(b));
            let result = s.body.vreg(VEC);
            let operands = [
                Operand::reg_reuse_def(result, 1),
                Operand::reg_use(b),
                Operand::reg_use_at_end(m),
                Operand::reg_use_at_end(a),
            ];
            s.body.push(Kind::CallIf(call), &operands);
            result
        })
    }
}
