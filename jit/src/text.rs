//! The text form of kernels, both ways.
//!
//! ```text
//! in0: f64 contiguous        ; operands, in the order of the call; numbered by role
//! idx0: i64
//! out0: f64 strided
//! v0 = load.f64 in0          ; the suffix is the type of the result
//! v1 = index.i64 idx0
//! v2 = s_to_f.f64 v1
//! v3 = const.f64 0.5         ; a number, true or false, or the bits in hexadecimal
//! v4 = fma.f64 v0, v3, v2
//! v5 = call1.f64 exp, v4     ; a routine is named before the arguments
//! store out0, v5
//! ```
//! Printing a well-formed kernel and parsing it gives an equal one. Parsing does not verify.

use crate::kernel::{Class, Inst, Kernel, Operand, Prim, Role, Store, Ty, ValueId};
use crate::routine::Routine;
use lazuli_graph::DType;
use std::fmt;
use std::str::FromStr;

impl Ty {
    /// Every lane type.
    pub const ALL: [Ty; 7] = [Ty::M, Ty::I8, Ty::I16, Ty::I32, Ty::I64, Ty::F32, Ty::F64];

    /// The name in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Ty::M => "m",
            Ty::I8 => "i8",
            Ty::I16 => "i16",
            Ty::I32 => "i32",
            Ty::I64 => "i64",
            Ty::F32 => "f32",
            Ty::F64 => "f64",
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

const CLASSES: [(Class, &str); 3] =
    [(Class::Contiguous, "contiguous"), (Class::Broadcast, "broadcast"), (Class::Strided, "strided")];

const ROLES: [(Role, &str); 3] = [(Role::Input, "in"), (Role::Output, "out"), (Role::Index, "idx")];

/// The name of operand `n`: its role, and its number among those of that role.
struct OperandName<'a>(&'a [Operand], u64);

impl fmt::Display for OperandName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OperandName(operands, n) = *self;
        let Some(o) = usize::try_from(n).ok().and_then(|n| operands.get(n)) else {
            return write!(f, "?{n}");
        };
        let role = ROLES[o.role as usize].1;
        let number = operands[..n as usize].iter().filter(|p| p.role == o.role).count();
        write!(f, "{role}{number}")
    }
}

/// The bits of a constant as a number that reads back to them.
struct Literal(Ty, u64);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Literal(ty, bits) = *self;
        let float = |x: f64, shortest: String| if x.is_nan() { format!("{bits:#x}") } else { shortest };
        let text = match ty {
            Ty::M if bits < 2 => (bits == 1).to_string(),
            Ty::F32 if bits <= u32::MAX as u64 => {
                let x = f32::from_bits(bits as u32);
                float(x as f64, format!("{x:?}"))
            }
            Ty::F64 => float(f64::from_bits(bits), format!("{:?}", f64::from_bits(bits))),
            Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 if bits <= mask(ty) => signed(ty, bits).to_string(),
            _ => format!("{bits:#x}"),
        };
        f.write_str(&text)
    }
}

/// The bits an integer type has.
fn mask(ty: Ty) -> u64 {
    u64::MAX >> (64 - 8 * ty.size())
}

fn signed(ty: Ty, bits: u64) -> i64 {
    let unused = 64 - 8 * ty.size();
    (bits << unused) as i64 >> unused
}

impl Kernel {
    /// The text of one instruction, without the result's name, such as `fadd.f64 v1, v2`.
    pub fn inst_text(&self, inst: &Inst) -> String {
        use fmt::Write;
        let mut text = format!("{}.{}", inst.prim.row().name, inst.ty);
        let mut separator = " ";
        // Writing to a string cannot fail.
        let _ = match inst.prim {
            Prim::Const => write!(text, " {}", Literal(inst.ty, inst.imm)),
            Prim::Load | Prim::Index => write!(text, " {}", OperandName(&self.operands, inst.imm)),
            Prim::Call1 | Prim::Call2 | Prim::CallIf => {
                separator = ", ";
                match Routine::from_imm(inst.imm) {
                    Some(r) => write!(text, " {}", r.name()),
                    None => write!(text, " ?{}", inst.imm),
                }
            }
            _ => Ok(()),
        };
        for a in inst.args() {
            let _ = write!(text, "{separator}{a}");
            separator = ", ";
        }
        text
    }
}

/// The text form, which parses back.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, o) in self.operands.iter().enumerate() {
            write!(f, "{}: {}", OperandName(&self.operands, i as u64), o.dtype.short())?;
            if (o.role, o.class) != (Role::Index, Class::Strided) {
                write!(f, " {}", CLASSES[o.class as usize].1)?;
            }
            writeln!(f)?;
        }
        for (i, inst) in self.insts.iter().enumerate() {
            writeln!(f, "v{i} = {}", self.inst_text(inst))?;
        }
        for s in &self.stores {
            writeln!(f, "store {}, {}", OperandName(&self.operands, s.operand as u64), s.value)?;
        }
        Ok(())
    }
}

/// Why a text is no kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Parses the text form. The kernel is not verified.
///
/// ```
/// use lazuli_jit::Kernel;
/// let text = "in0: f32 contiguous\nout0: f32 strided\nv0 = load.f32 in0\nv1 = fneg.f32 v0\nstore out0, v1\n";
/// let kernel: Kernel = text.parse().unwrap();
/// assert_eq!(kernel.to_string(), text);
/// assert_eq!("v0 = fnag.f32".parse::<Kernel>().unwrap_err().to_string(), "line 1: there is no primitive 'fnag'");
/// ```
impl FromStr for Kernel {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Kernel, TextError> {
        let mut kernel = Kernel::default();
        for (i, line) in text.lines().enumerate() {
            let line = line.split_once(';').map_or(line, |(code, _)| code).trim();
            if !line.is_empty() {
                statement(&mut kernel, line).map_err(|what| TextError { line: i + 1, what })?;
            }
        }
        Ok(kernel)
    }
}

fn statement(kernel: &mut Kernel, line: &str) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("store ") {
        let (operand, v) = rest.split_once(',').ok_or("expected 'store OUTPUT, VALUE'")?;
        kernel.stores.push(Store { operand: operand_number(kernel, operand.trim())?, value: value(v.trim())? });
    } else if let Some((name, rest)) = line.split_once('=') {
        let (name, next) = (name.trim(), format!("v{}", kernel.insts.len()));
        if name != next {
            return Err(format!("expected '{next}', found '{name}'"));
        }
        let inst = inst(kernel, rest.trim())?;
        kernel.insts.push(inst);
    } else if let Some((name, rest)) = line.split_once(':') {
        operand(kernel, name.trim(), rest.trim())?;
    } else {
        return Err("expected an operand, an instruction or a store".into());
    }
    Ok(())
}

fn operand(kernel: &mut Kernel, name: &str, rest: &str) -> Result<(), String> {
    let role = ROLES.iter().find(|(_, prefix)| name.strip_prefix(prefix).is_some_and(|n| n.parse::<u32>().is_ok()));
    let role = role.ok_or_else(|| format!("'{name}' is no operand; they are in0, out0, idx0, …"))?.0;
    let mut words = rest.split_whitespace();
    let dtype: DType = words.next().unwrap_or_default().parse().map_err(|e| format!("{e}"))?;
    let class = match words.next() {
        None if role == Role::Index => Class::Strided,
        None => return Err("expected contiguous, broadcast or strided".into()),
        Some(word) => {
            let class = CLASSES.iter().find(|(_, n)| *n == word);
            class.ok_or_else(|| format!("'{word}' is not contiguous, broadcast or strided"))?.0
        }
    };
    if let Some(word) = words.next() {
        return Err(format!("unexpected '{word}'"));
    }
    kernel.operands.push(Operand { role, dtype, class });
    let expected = OperandName(&kernel.operands, kernel.operands.len() as u64 - 1).to_string();
    if expected == name { Ok(()) } else { Err(format!("expected '{expected}', found '{name}'")) }
}

fn inst(kernel: &Kernel, text: &str) -> Result<Inst, String> {
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (name, ty) = head.split_once('.').ok_or_else(|| format!("expected PRIMITIVE.TYPE, found '{head}'"))?;
    let prim = Prim::from_name(name).ok_or_else(|| format!("there is no primitive '{name}'"))?;
    let ty = Ty::ALL.into_iter().find(|t| t.name() == ty).ok_or_else(|| format!("there is no lane type '{ty}'"))?;
    let mut words = rest.split(',').map(str::trim).filter(|w| !w.is_empty());
    let mut word = |what: &str| words.next().ok_or_else(|| format!("'{name}' wants {what}"));
    let imm = match prim {
        Prim::Const => literal(ty, word("a constant")?)?,
        Prim::Load | Prim::Index => operand_number(kernel, word("an operand")?)? as u64,
        Prim::Call1 | Prim::Call2 | Prim::CallIf => {
            let name = word("a routine")?;
            Routine::from_name(name).ok_or_else(|| format!("there is no routine '{name}'"))?.imm()
        }
        _ => 0,
    };
    let mut args = [ValueId(0); 3];
    for a in &mut args[..prim.row().arity as usize] {
        *a = value(word("more arguments")?)?;
    }
    match words.next() {
        None => Ok(Inst { prim, ty, args, imm }),
        Some(word) => Err(format!("'{name}' does not want '{word}'")),
    }
}

fn value(text: &str) -> Result<ValueId, String> {
    let number = text.strip_prefix('v').and_then(|n| n.parse().ok());
    number.map(ValueId).ok_or_else(|| format!("expected a value such as v0, found '{text}'"))
}

fn operand_number(kernel: &Kernel, name: &str) -> Result<u32, String> {
    let known = |n: &u32| OperandName(&kernel.operands, *n as u64).to_string() == name;
    (0..kernel.operands.len() as u32).find(known).ok_or_else(|| format!("there is no operand '{name}'"))
}

fn literal(ty: Ty, text: &str) -> Result<u64, String> {
    let bad = || format!("'{text}' is no constant of type {ty}");
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_err(|_| bad());
    }
    match ty {
        Ty::M => text.parse::<bool>().map(u64::from).map_err(|_| bad()),
        Ty::F32 => text.parse::<f32>().map(|x| x.to_bits() as u64).map_err(|_| bad()),
        Ty::F64 => text.parse::<f64>().map(f64::to_bits).map_err(|_| bad()),
        Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 => {
            let x: i128 = text.parse().map_err(|_| bad())?;
            let least = -(1i128 << (8 * ty.size() - 1));
            if x < least || x > mask(ty) as i128 { Err(bad()) } else { Ok(x as u64 & mask(ty)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::kernels;
    use proptest::prelude::*;

    #[test]
    fn example() {
        let text = "in0: f64 contiguous\nidx0: i64\nout0: f64 strided\nin1: bool broadcast\n\
                    v0 = load.f64 in0\nv1 = index.i64 idx0\nv2 = s_to_f.f64 v1\nv3 = const.f64 0.5\n\
                    v4 = fma.f64 v0, v3, v2\nv5 = call1.f64 exp, v4\nv6 = const.m true\nv7 = load.i8 in1\n\
                    v8 = const.i8 -1\nv9 = ieq.m v7, v8\nv10 = mand.m v6, v9\nv11 = const.f64 0x7ff8000000000001\n\
                    v12 = select.f64 v10, v5, v11\nstore out0, v12\n";
        let kernel: Kernel = text.parse().unwrap();
        kernel.verify().unwrap();
        assert_eq!(kernel.to_string(), text);
        let loose = text.replace(", ", " ,  ").replace('\n', "  ; note\n\n");
        assert_eq!(loose.parse(), Ok(kernel));
    }

    #[test]
    fn errors_name_the_line() {
        for (text, message) in [
            ("in0: f64 contiguous\nin2: f64 strided", "line 2: expected 'in1', found 'in2'"),
            ("in0: f65 contiguous", "line 1: unknown dtype 'f65'"),
            ("in0: f64", "line 1: expected contiguous, broadcast or strided"),
            ("in0: f64 dense", "line 1: 'dense' is not contiguous"),
            ("in0: f64 strided x", "line 1: unexpected 'x'"),
            ("x0: f64 strided", "line 1: 'x0' is no operand"),
            ("; note\n\nv1 = const.f64 1.0", "line 3: expected 'v0', found 'v1'"),
            ("v0 = const.f64 one", "line 1: 'one' is no constant of type f64"),
            ("v0 = const.i8 256", "line 1: '256' is no constant of type i8"),
            ("v0 = const.i8 -129", "line 1: '-129' is no constant of type i8"),
            ("v0 = const.m 1", "line 1: '1' is no constant of type m"),
            ("v0 = const.f16 1.0", "line 1: there is no lane type 'f16'"),
            ("v0 = const 1.0", "line 1: expected PRIMITIVE.TYPE, found 'const'"),
            ("v0 = load.f64 in0", "line 1: there is no operand 'in0'"),
            ("v0 = fadd.f64 v0", "line 1: 'fadd' wants more arguments"),
            ("v0 = fneg.f64 v0, v1", "line 1: 'fneg' does not want 'v1'"),
            ("v0 = fneg.f64 x", "line 1: expected a value such as v0, found 'x'"),
            ("v0 = call1.f64 gamma, v1", "line 1: there is no routine 'gamma'"),
            ("store out0 v1", "line 1: expected 'store OUTPUT, VALUE'"),
            ("store out0, v1", "line 1: there is no operand 'out0'"),
            ("nonsense", "line 1: expected an operand, an instruction or a store"),
        ] {
            let error = text.parse::<Kernel>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn malformed_kernels_print() {
        let inst = |prim, imm| Inst { prim, ty: Ty::F32, args: [ValueId(9); 3], imm };
        let kernel = Kernel {
            operands: vec![],
            insts: vec![inst(Prim::Load, 7), inst(Prim::Const, u64::MAX), inst(Prim::Call1, 99)],
            stores: vec![Store { operand: 3, value: ValueId(8) }],
        };
        assert_eq!(
            kernel.to_string(),
            "v0 = load.f32 ?7\nv1 = const.f32 0xffffffffffffffff\nv2 = call1.f32 ?99, v9\nstore ?3, v8\n"
        );
    }

    proptest! {
        #[test]
        fn round_trip(kernel in kernels(40)) {
            prop_assert_eq!(kernel.verify(), Ok(()));
            let text = kernel.to_string();
            prop_assert_eq!(text.parse(), Ok(kernel), "{}", text);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "((in|out|idx|v|store)[0-9 ,.:=a-z\n-]{0,12}){0,8}") {
            let _ = text.parse::<Kernel>().map(|k| (k.verify(), k.to_string()));
        }
    }
}
