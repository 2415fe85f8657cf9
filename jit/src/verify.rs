//! The verifier of kernels: every invariant that `kernel.rs` states, all violations collected.

use crate::kernel::{Class, Inst, Kernel, KernelError, Prim, Role, Sig, Ty, ValueId};
use crate::routine::Routine;
use lazuli_graph::DType;

impl Kernel {
    /// Checks the invariants of the kernel.
    ///
    /// # Errors
    /// Every violation found, in the order operands, instructions, stores. A kernel that passes is safe to hand to any
    /// backend.
    ///
    /// ```
    /// use lazuli_graph::DType;
    /// use lazuli_jit::{Builder, Class, Role};
    /// let mut b = Builder::new();
    /// let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
    /// let y = b.operand(Role::Output, DType::F64, Class::Contiguous);
    /// let v = b.load(x);
    /// let w = b.fadd(v, v);
    /// b.store(y, w);
    /// let mut kernel = b.finish();
    /// assert!(kernel.verify().is_ok());
    /// kernel.stores.clear();
    /// assert_eq!(kernel.verify().unwrap_err()[0].to_string(), "malformed kernel at operand 1: output is never stored");
    /// ```
    pub fn verify(&self) -> Result<(), Vec<KernelError>> {
        let mut v = Verifier { kernel: self, errors: Vec::new(), read: vec![false; self.operands.len()] };
        for (i, inst) in self.insts.iter().enumerate() {
            v.inst(i, inst);
        }
        v.operands();
        v.stores();
        if v.errors.is_empty() { Ok(()) } else { Err(v.errors) }
    }
}

struct Verifier<'a> {
    kernel: &'a Kernel,
    errors: Vec<KernelError>,
    /// Whether a load or index names the operand.
    read: Vec<bool>,
}

impl Verifier<'_> {
    fn error(&mut self, at: String, what: impl Into<String>) {
        self.errors.push(KernelError { at, what: what.into() });
    }

    fn operands(&mut self) {
        for (i, o) in self.kernel.operands.iter().enumerate() {
            let at = || format!("operand {i}");
            match o.role {
                Role::Input if !self.read[i] => self.error(at(), "input is never loaded"),
                Role::Input => {}
                Role::Output => {
                    if o.class == Class::Broadcast {
                        self.error(at(), "output has class broadcast");
                    }
                    match self.kernel.stores.iter().filter(|s| s.operand as usize == i).count() {
                        1 => {}
                        0 => self.error(at(), "output is never stored"),
                        n => self.error(at(), format!("output is stored {n} times")),
                    }
                }
                Role::Index => {
                    if !self.read[i] {
                        self.error(at(), "index is never used");
                    }
                    if o.class != Class::Strided {
                        self.error(at(), "index is not strided");
                    }
                    if o.dtype != DType::I64 {
                        self.error(at(), format!("index has dtype {}, not int64", o.dtype));
                    }
                }
            }
        }
    }

    fn stores(&mut self) {
        for (i, s) in self.kernel.stores.iter().enumerate() {
            let at = || format!("store {i}");
            let operand = self.kernel.operands.get(s.operand as usize).copied();
            let value = self.kernel.insts.get(s.value.0 as usize).map(|inst| inst.ty);
            match operand {
                None => self.error(at(), format!("there is no operand {}", s.operand)),
                Some(o) if o.role != Role::Output => self.error(at(), format!("operand {} is no output", s.operand)),
                Some(o) => {
                    if let Some(ty) = value
                        && ty != Ty::of(o.dtype)
                    {
                        self.error(at(), format!("{} is {ty:?}, output {} holds {}", s.value, s.operand, o.dtype));
                    }
                }
            }
            if value.is_none() {
                self.error(at(), format!("{} is not defined", s.value));
            }
        }
    }

    fn inst(&mut self, i: usize, inst: &Inst) {
        let at = || format!("v{i} ({})", inst.prim.row().name);
        let mut args = [Ty::M; 3];
        for (k, &a) in inst.args().iter().enumerate() {
            if a.0 as usize >= i {
                return self.error(at(), format!("argument {a} is not defined before its use"));
            }
            args[k] = self.kernel.ty(a);
        }
        if inst.args[inst.args().len()..].iter().any(|&a| a != ValueId(0)) {
            self.error(at(), "an unused argument is not v0");
        }
        let args = &args[..inst.args().len()];
        if let Some(what) = type_error(inst.prim, inst.ty, args) {
            self.error(at(), what);
        }
        self.immediate(i, inst);
    }

    fn immediate(&mut self, i: usize, inst: &Inst) {
        let at = || format!("v{i} ({})", inst.prim.row().name);
        match inst.prim {
            Prim::Const => {
                let bits = if inst.ty == Ty::M { 1 } else { 8 * inst.ty.size() };
                if bits < 64 && inst.imm >> bits != 0 {
                    self.error(at(), format!("constant {:#x} does not fit {:?}", inst.imm, inst.ty));
                }
            }
            Prim::Load | Prim::Index => {
                let index = usize::try_from(inst.imm).ok();
                let Some((n, o)) = index.and_then(|n| Some((n, *self.kernel.operands.get(n)?))) else {
                    return self.error(at(), format!("there is no operand {}", inst.imm));
                };
                let (role, ty) = match inst.prim {
                    Prim::Load => (Role::Input, Ty::of(o.dtype)),
                    _ => (Role::Index, Ty::I64),
                };
                if o.role != role {
                    return self.error(at(), format!("operand {n} is {:?}, not {role:?}", o.role));
                }
                if inst.ty != ty {
                    self.error(at(), format!("operand {n} gives {ty:?}, not {:?}", inst.ty));
                }
                self.read[n] = true;
            }
            Prim::Call1 | Prim::Call2 => match Routine::from_imm(inst.imm) {
                None => self.error(at(), format!("there is no routine {}", inst.imm)),
                Some(r) if r.arity() != inst.prim.row().arity => {
                    self.error(at(), format!("{} takes {} arguments", r.name(), r.arity()));
                }
                Some(_) => {}
            },
            Prim::CallIf => match Routine::from_imm(inst.imm) {
                None => self.error(at(), format!("there is no routine {}", inst.imm)),
                Some(r) if r.arity() != 1 => {
                    self.error(at(), format!("{} takes {} arguments", r.name(), r.arity()));
                }
                Some(_) => {}
            },
            _ if inst.imm != 0 => self.error(at(), "the immediate is not used and not 0"),
            _ => {}
        }
    }
}

/// What is wrong with a primitive that gives `ty` from `args` (as many as its arity), if anything.
fn type_error(prim: Prim, ty: Ty, args: &[Ty]) -> Option<String> {
    let all = |t: Ty| args.iter().all(|&a| a == t);
    let ok = match prim.row().sig {
        Sig::Source => true,
        Sig::Float => ty.is_float() && all(ty),
        Sig::Int => ty.is_int() && all(ty),
        Sig::FloatCompare => ty == Ty::M && args[0].is_float() && all(args[0]),
        Sig::IntCompare => ty == Ty::M && args[0].is_int() && all(args[0]),
        Sig::Mask => ty == Ty::M && all(Ty::M),
        Sig::Select if prim == Prim::CallIf && !ty.is_float() => false,
        Sig::Select => ty != Ty::M && args == [Ty::M, ty, ty],
        Sig::Convert => converts(prim, args[0], ty),
    };
    (!ok).then(|| format!("takes {args:?} to {ty:?}"))
}

/// Whether the conversion `prim` goes from `from` to `to`.
pub(crate) fn converts(prim: Prim, from: Ty, to: Ty) -> bool {
    let word = |t: Ty| matches!(t, Ty::I32 | Ty::I64);
    match prim {
        Prim::MaskToInt => from == Ty::M && to.is_int(),
        Prim::Bitcast => from.is_float() != to.is_float() && from != Ty::M && to != Ty::M && from.bits() == to.bits(),
        Prim::SExt | Prim::ZExt => from.is_int() && to.is_int() && from.size() < to.size(),
        Prim::Trunc => from.is_int() && to.is_int() && from.size() > to.size(),
        Prim::SToF | Prim::UToF => word(from) && to.is_float(),
        Prim::FToS | Prim::FToU => from.is_float() && word(to),
        Prim::F32To64 => (from, to) == (Ty::F32, Ty::F64),
        Prim::F64To32 => (from, to) == (Ty::F64, Ty::F32),
        Prim::F16To32 | Prim::Bf16To32 => (from, to) == (Ty::I16, Ty::F32),
        Prim::F32To16 | Prim::F32ToBf16 => (from, to) == (Ty::F32, Ty::I16),
        Prim::F64To16 | Prim::F64ToBf16 => (from, to) == (Ty::F64, Ty::I16),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kernel;
    use crate::kernel::Operand;

    const HEAD: &str = "in0: f64 contiguous\nout0: f64 contiguous\n";

    fn errors(text: &str) -> Vec<String> {
        let kernel: Kernel = text.parse().unwrap();
        kernel.verify().err().unwrap_or_default().iter().map(KernelError::to_string).collect()
    }

    #[track_caller]
    fn one_error(text: &str, expected: &str) {
        assert_eq!(errors(text), [format!("malformed kernel at {expected}")], "\n{text}");
    }

    #[test]
    fn operands() {
        let rest = "v0 = load.f64 in0\nstore out0, v0\n";
        assert!(errors(&format!("{HEAD}{rest}")).is_empty());
        one_error(&format!("{HEAD}in1: i8 strided\n{rest}"), "operand 2: input is never loaded");
        one_error(&format!("{HEAD}idx0: i64\n{rest}"), "operand 2: index is never used");
        one_error(&format!("{HEAD}out1: i8 strided\n{rest}"), "operand 2: output is never stored");
        one_error(&format!("{HEAD}{rest}store out0, v0"), "operand 1: output is stored 2 times");
        one_error(&format!("in0: f64 strided\nout0: f64 broadcast\n{rest}"), "operand 1: output has class broadcast");
        let index = format!("{HEAD}{rest}v1 = index.i64 idx0\n");
        let index = |line: &str| index.replace("v0 = ", &format!("{line}\nv0 = "));
        one_error(&index("idx0: i64 contiguous"), "operand 2: index is not strided");
        one_error(&index("idx0: i32"), "operand 2: index has dtype int32, not int64");
    }

    #[test]
    fn loads_and_stores() {
        let bad = |kernel: &str, expected: &str| one_error(&format!("{HEAD}v0 = load.f64 in0\n{kernel}"), expected);
        bad("v1 = load.f64 out0\nstore out0, v0", "v1 (load): operand 1 is Output, not Input");
        bad("v1 = index.i64 in0\nstore out0, v0", "v1 (index): operand 0 is Input, not Index");
        bad("v1 = load.i64 in0\nstore out0, v0", "v1 (load): operand 0 gives F64, not I64");
        bad("store out0, v0\nstore in0, v0", "store 1: operand 0 is no output");
        bad("store out0, v9", "store 0: v9 is not defined");
        bad("v1 = f64_to_f32.f32 v0\nstore out0, v1", "store 0: v1 is F32, output 1 holds float64");
    }

    #[test]
    fn order_and_types() {
        let bad = |line: &str, expected: &str| {
            let text = format!(
                "{HEAD}v0 = load.f64 in0\nv1 = const.m true\nv2 = const.i32 5\nv3 = const.i64 6\nv4 = const.i16 7\n\
                 v5 = const.f32 1.0\nv6 = {line}\nstore out0, v0"
            );
            one_error(&text, &format!("v6 {expected}"));
        };
        bad("fadd.f64 v0, v6", "(fadd): argument v6 is not defined before its use");
        bad("fadd.f64 v99, v0", "(fadd): argument v99 is not defined before its use");
        bad("fadd.f64 v0, v5", "(fadd): takes [F64, F32] to F64");
        bad("fadd.f32 v0, v0", "(fadd): takes [F64, F64] to F32");
        bad("fadd.i32 v2, v2", "(fadd): takes [I32, I32] to I32");
        bad("iadd.f64 v0, v0", "(iadd): takes [F64, F64] to F64");
        bad("iadd.m v1, v1", "(iadd): takes [M, M] to M");
        bad("iadd.i64 v2, v3", "(iadd): takes [I32, I64] to I64");
        bad("flt.m v2, v2", "(flt): takes [I32, I32] to M");
        bad("flt.f64 v0, v0", "(flt): takes [F64, F64] to F64");
        bad("slt.m v0, v0", "(slt): takes [F64, F64] to M");
        bad("mand.m v1, v2", "(mand): takes [M, I32] to M");
        bad("select.f64 v2, v0, v0", "(select): takes [I32, F64, F64] to F64");
        bad("select.m v1, v1, v1", "(select): takes [M, M, M] to M");
        bad("mask_to_int.f64 v1", "(mask_to_int): takes [M] to F64");
        bad("bitcast.f64 v2", "(bitcast): takes [I32] to F64");
        bad("bitcast.i32 v2", "(bitcast): takes [I32] to I32");
        bad("sext.i32 v3", "(sext): takes [I64] to I32");
        bad("trunc.i64 v2", "(trunc): takes [I32] to I64");
        bad("s_to_f.f64 v4", "(s_to_f): takes [I16] to F64");
        bad("f_to_u.i16 v0", "(f_to_u): takes [F64] to I16");
        bad("f16_to_f32.f64 v4", "(f16_to_f32): takes [I16] to F64");
        bad("f64_to_f16.i16 v5", "(f64_to_f16): takes [F32] to I16");
        bad("const.i8 0x100", "(const): constant 0x100 does not fit I8");
        bad("const.m 0x2", "(const): constant 0x2 does not fit M");
        bad("const.f32 0x100000000", "(const): constant 0x100000000 does not fit F32");
        bad("call2.f64 exp, v0, v0", "(call2): exp takes 1 arguments");
    }

    #[test]
    fn what_text_cannot_say() {
        let kernel: Kernel = format!("{HEAD}v0 = load.f64 in0\nv1 = fneg.f64 v0\nstore out0, v1").parse().unwrap();
        let with = |change: fn(&mut Kernel)| {
            let mut kernel = kernel.clone();
            change(&mut kernel);
            kernel.verify().unwrap_err().iter().map(KernelError::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            with(|k| k.insts[1].imm = 3),
            ["malformed kernel at v1 (fneg): the immediate is not used and not 0"]
        );
        assert_eq!(
            with(|k| k.insts[1].args[2] = ValueId(1)),
            ["malformed kernel at v1 (fneg): an unused argument is not v0"]
        );
        assert_eq!(
            with(|k| (k.insts[1].prim, k.insts[1].imm) = (Prim::Call1, 255)),
            ["malformed kernel at v1 (call1): there is no routine 255"]
        );
        assert_eq!(with(|k| k.stores[0].operand = 7).len(), 2, "an output without a store, a store without an output");
        assert_eq!(with(|k| k.insts[0].imm = u64::MAX).len(), 2, "no such operand, and the input is unused");
        let all = with(|k| {
            k.operands.push(Operand { role: Role::Input, dtype: DType::I8, class: Class::Strided });
            k.insts[1].ty = Ty::I8;
            k.stores[0].value = ValueId(9);
        });
        assert_eq!(all.len(), 3, "all are collected: {all:?}");
    }
}
