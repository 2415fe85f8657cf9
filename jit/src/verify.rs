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
