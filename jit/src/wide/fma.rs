//! `fma`, which has a form for each way that its operands lie.

use super::mach::{Enc, VEC};
use super::pairs::*;
use super::select::Selector;
use super::sources::{Lanes, Src};
use crate::kernel::{Inst, Ty, ValueId};
use regalloc2::VReg;
use smallvec::SmallVec;

impl Selector<'_> {
    /// `a * b + c`, in the form that reads memory where that is and writes over what is no longer needed.
    pub(super) fn fma(&mut self, inst: &Inst) -> Lanes {
        let size = inst.ty.size() as u8;
        let (mut values, mut negated) = ([ValueId(0); 3], [false; 3]);
        for (k, &arg) in inst.args().iter().enumerate() {
            let folded = self.plan.folded[arg.0 as usize];
            values[k] = if folded { self.kernel.insts[arg.0 as usize].args[0] } else { arg };
            negated[k] = folded;
        }
        let [a, b, c] = values.map(|v| self.get(v));
        for v in values {
            self.left[v.0 as usize] = self.left[v.0 as usize].saturating_sub(1);
        }
        let dies = values.map(|v| self.dies(v));
        let forms = FMA[usize::from(negated[0] != negated[1])][usize::from(negated[2])];
        let forms = forms[usize::from(inst.ty == Ty::F64)];
        self.map(size, [&a, &b, &c], |s, args| s.fma_vector(forms, size, args, dies))
    }

    /// `a * b + c` in one of these forms, where the operands that die may be written over.
    pub(super) fn fma_vector(
        &mut self,
        forms: [Pair; 3],
        size: u8,
        [mut a, mut b, c]: [Src; 3],
        mut dies: [bool; 3],
    ) -> VReg {
        let [f132, f213, f231] = forms;
        let c = match c {
            Src::Const { bits, size } => self.hoisted.get(&(bits, size)).map_or(c, |&v| Src::Reg(v)),
            _ => c,
        };
        let loose = |src: Src| !matches!(src, Src::Reg(_));
        // A factor that may be in memory comes second.
        if loose(a) && !loose(b) {
            (a, b) = (b, a);
            dies.swap(0, 1);
        }
        let new = |pair: Pair, s: &Self| Enc::new(s.code(pair)).tied();
        let addend = if loose(c) { self.memory(c, size, f213) } else { None };
        if let Some((mem, base, broadcast)) = addend {
            let (a, b) = (self.reg(a), self.reg(b));
            let (a, b) = if dies[1] && !dies[0] { (b, a) } else { (a, b) };
            let mut enc = new(f213, self).mem(2, mem);
            enc.broadcast = broadcast;
            let args: SmallVec<[VReg; 4]> = [a, b].into_iter().chain(base).collect();
            return self.push(enc, VEC, &args);
        }
        if loose(b)
            && let Some((mem, base, broadcast)) = self.memory(b, size, f231)
        {
            let (a, c) = (self.reg(a), self.reg(c));
            let (pair, first, second) = if dies[0] && !dies[2] { (f132, a, c) } else { (f231, c, a) };
            let mut enc = new(pair, self).mem(2, mem);
            enc.broadcast = broadcast;
            let args: SmallVec<[VReg; 4]> = [first, second].into_iter().chain(base).collect();
            return self.push(enc, VEC, &args);
        }
        let (a, b, c) = (self.reg(a), self.reg(b), self.reg(c));
        let (pair, args) = match dies {
            [_, _, true] => (f231, [c, a, b]),
            [true, ..] => (f213, [a, b, c]),
            [_, true, _] => (f213, [b, a, c]),
            _ => (f231, [c, a, b]),
        };
        self.push(new(pair, self), VEC, &args)
    }
}

/// By whether the product is negated, whether the addend is, and the type: the forms 132, 213 and 231.
pub(super) const FMA: [[[[Pair; 3]; 2]; 2]; 2] = [
    [
        [[FMADD132PS, FMADD213PS, FMADD231PS], [FMADD132PD, FMADD213PD, FMADD231PD]],
        [[FMSUB132PS, FMSUB213PS, FMSUB231PS], [FMSUB132PD, FMSUB213PD, FMSUB231PD]],
    ],
    [
        [[FNMADD132PS, FNMADD213PS, FNMADD231PS], [FNMADD132PD, FNMADD213PD, FNMADD231PD]],
        [[FNMSUB132PS, FNMSUB213PS, FNMSUB231PS], [FNMSUB132PD, FNMSUB213PD, FNMSUB231PD]],
    ],
];
