//! The backend for the wide vectors of x86-64: 256 bits with AVX2 and FMA, 512 bits with AVX-512.
//!
//! ```text
//! Kernel -> Kernel -> Plan -> machine instructions -> registers -> bytes -> the memory of a Cranelift module
//!           schedule  plan    nest, select, …         regalloc2    encode
//! ```
//! Cranelift's x64 backend has vectors of 128 bits at most; what it does for `clif` is done here for wider ones. It
//! still owns the memory of the code.
//!
//! | file | what it decides |
//! |---|---|
//! | `plan` | lanes of a round, constants in registers |
//! | `schedule` | the order of a long program |
//! | `nest` | the loops over rows and elements |
//! | `select` | one round of the lane program |
//! | `sources`, `pool` | the lanes of values, and where operands come from: registers, constants, memory |
//! | `stagger` | a round of vectors at different places of the program |
//! | `ahead` | what is asked for before its use |
//! | `memory`, `integer`, `fma`, `divide`, `newton`, `masks`, `convert`, `call`, `composed` | the primitives that are more than one instruction |
//! | `fold` | states of reductions, in registers |
//! | `stages`, `together` | one code for several kernels over the same rows |
//! | `columns` | one code for several kernels over the same columns |
//! | `pairs`, `mach` | the instructions, and the function that the register allocator sees |
//! | `encode` | bytes, the frame, the convention of calls |
//!
//! Invariants:
//! - lanes that are not there are neither read nor written, and nothing that traps is done to what stands for them;
//! - everything that a round reads, or of a staggered round a pair of vectors, is read before it writes;
//! - the code is the same for every size.

#![allow(unsafe_code)]

mod ahead;
mod call;
mod calls;
mod columns;
mod composed;
mod convert;
mod divide;
mod encode;
mod fma;
mod fold;
mod integer;
mod mach;
mod masks;
mod memory;
mod nest;
mod newton;
mod pairs;
mod plan;
mod pool;
mod schedule;
mod select;
mod sources;
mod stages;
mod stagger;
mod together;

use crate::code::CodeError;
use crate::kernel::Kernel;
use crate::launch::Streams;
use crate::math::composed::expand;
use crate::reduce::Join;
use crate::target::{Target, Tuning};
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, ModuleError, default_libcall_names};
use regalloc2::{Algorithm, Ctx, RegallocOptions};
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Mutex;

use stages::Loops;
pub(crate) use stages::{Stage, Work};

/// What becomes of the values that a kernel stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode<'a> {
    /// They are stored.
    Plain,
    /// They are stored, by code that is made in 0.1 to 0.5 of the time and takes about twice as long to run.
    Draft,
    /// They are stored around the caches: rows of all outputs begin at the same lane of a vector, and who runs the code sees
    /// to the fence. Inputs come from memory in so many streams.
    Around(Streams),
    /// They are stored. Of contiguous inputs that come from memory, as told, the next row is asked for.
    Ahead(&'a [bool]),
    /// They are combined, along each block of so many elements of each row, by one of `joins` for each store; the code stores
    /// the states of an output one behind the other.
    Fold {
        joins: &'a [Join],
        block: usize,
        /// Of inputs that come from memory.
        far: Option<Streams>,
    },
}

/// Bytes that a draft may spill: its allocator never uses a place twice.
const DRAFT_SPILLS: usize = 32 << 10;

/// The longest lane program, in vector operations of a round, that is worth the allocator's time.
const MAX_INSTRUCTIONS: usize = 20_000;

/// Machine code of a kernel. Its memory is freed when this is dropped.
pub(crate) struct Compiled {
    entry: unsafe extern "sysv64" fn(*const u64),
    start: usize,
    size: usize,
    offset: usize,
    /// Owns the memory of the code. Locked only to be dropped.
    module: Mutex<Option<JITModule>>,
}

thread_local! {
    /// Tables of the register allocator, kept from one kernel to the next.
    static CONTEXT: RefCell<Ctx> = RefCell::new(Ctx::default());
}

/// Why this backend makes no code for a target; `None` if it does.
pub(crate) fn why_not(target: &Target) -> Option<String> {
    if target.isa().is_none() {
        return Some("there is no machine code for the target".to_owned());
    }
    let wide = ["avx2", "fma", "f16c", "bmi2"];
    let missing: Vec<_> = wide.into_iter().filter(|f| !target.has(f)).collect();
    (!missing.is_empty()).then(|| format!("target {} has no {}", target.name(), missing.join(", ")))
}

impl Compiled {
    /// Compiles a kernel that has been verified.
    pub(crate) fn new(kernel: &Kernel, target: &Target, mode: Mode<'_>) -> Result<Compiled, CodeError> {
        if let Some(why) = why_not(target) {
            return Err(CodeError::Compiler(why));
        }
        let isa = target.isa().ok_or(CodeError::NoCompiler { target: target.name() })?;
        let evex = target.vector_bits() == 512 && !crosses_lines(kernel, target.tuning(), mode);
        let code = assemble(kernel, evex, target.tuning(), mode);
        Compiled::of(isa, &code.map_err(CodeError::Compiler)?)
    }

    /// Compiles stages of kernels that have been verified. The words of a slab are those of each stage's operands, one stage
    /// after another; of one that reduces with its states, one for each output, behind them. `columns`: what is reduced are the
    /// columns of the slab's rows ([`columns`]). `draft`: as by [`Mode::Draft`].
    pub(crate) fn stages(
        stages: &[Stage<'_>],
        target: &Target,
        columns: bool,
        draft: bool,
    ) -> Result<Compiled, CodeError> {
        if let Some(why) = why_not(target) {
            return Err(CodeError::Compiler(why));
        }
        let isa = target.isa().ok_or(CodeError::NoCompiler { target: target.name() })?;
        let evex = target.vector_bits() == 512;
        let make = |loops| stages::assemble(stages, evex, target.tuning(), loops);
        let code = match (columns, draft) {
            (true, _) => columns::assemble(stages, evex, target.tuning(), draft),
            (false, true) => make(Loops::Draft),
            // What is too much for all steps in one loop may be done one after another.
            (false, false) => make(Loops::Together).or_else(|_| make(Loops::Apart)),
        };
        Compiled::of(isa, &code.map_err(CodeError::Compiler)?)
    }

    /// Compiles a kernel that has been verified for a few rows at a time, in which these operands are the same: a few columns after
    /// others. An error if it wins nothing by it.
    pub(crate) fn held(kernel: &Kernel, fixed: &[bool], target: &Target) -> Result<Compiled, CodeError> {
        if !columns::multiplies_by_held(kernel, fixed, target) {
            return Err(CodeError::Compiler("no division by what is the same in each row".to_owned()));
        }
        let (work, ring) = (Work::Map, ([].as_slice(), 1));
        let stage = Stage { kernel, work, ring, fixed, behind: 0, short: false, ahead: false, around: false };
        Compiled::stages(&[stage], target, true, false)
    }

    fn of(isa: &OwnedTargetIsa, code: &encode::Encoded) -> Result<Compiled, CodeError> {
        let mut module = JITModule::new(JITBuilder::with_isa(isa.clone(), default_libcall_names()));
        match define(&mut module, isa, &code.bytes) {
            Ok(start) => {
                let entry = start as usize + code.entry;
                // SAFETY: the code was just encoded for this signature, and stays until `drop`.
                let entry = unsafe { std::mem::transmute::<usize, unsafe extern "sysv64" fn(*const u64)>(entry) };
                let (start, size) = (start as usize, code.bytes.len());
                Ok(Compiled { entry, start, size, offset: code.entry, module: Mutex::new(Some(module)) })
            }
            Err(error) => {
                // SAFETY: nothing of the module has been called or will be.
                unsafe { module.free_memory() };
                Err(CodeError::Compiler(error.to_string()))
            }
        }
    }

    /// Runs the code on the words of a slab.
    ///
    /// # Safety
    /// As for [`Code::run`](crate::Code::run).
    pub(crate) unsafe fn run(&self, words: &[u64]) {
        // SAFETY: by the contract of this function; the code reads no more words than there are operands, and states, for.
        unsafe { (self.entry)(words.as_ptr()) };
    }

    /// The machine code, with the constants that stand before it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` and `size` are those of the code that `module` owns, which is readable and does not change.
        unsafe { std::slice::from_raw_parts(self.start as *const u8, self.size) }
    }

    /// Where in the bytes the code begins.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        let module = self.module.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(module) = module.take() {
            // SAFETY: running borrows `self`, so no call is under way, and none can come after.
            unsafe { module.free_memory() };
        }
    }
}

/// Whether code reads the same memory at so many places, and does so little with it, that vectors of 256 bits are the faster:
/// of 512 bits, those of most places begin in one line and end in the next, of 256 only every other one. Not so on
/// Intel's CPUs.
fn crosses_lines(kernel: &Kernel, tuning: Tuning, mode: Mode<'_>) -> bool {
    tuning != Tuning::Intel && mode == Mode::Around(Streams::Stencil) && plan::is_short(kernel, 64)
}

/// Whether all that a short program does is as fast with vectors of 256 bits, for as many lanes.
pub(crate) fn is_narrow(kernel: &Kernel) -> bool {
    use crate::kernel::Prim::{Const, FAbs, FAdd, FMax, FMin, FMul, FNeg, FSub, Fma, Load};
    use crate::kernel::{Class, Inst, Operand};
    use lazuli_graph::DType;
    let plain = |i: &Inst| matches!(i.prim, Const | Load | FAdd | FSub | FMul | FNeg | FAbs | FMin | FMax | Fma);
    let floats = |o: &Operand| matches!(o.dtype, DType::F64 | DType::F32) && o.class != Class::Strided;
    kernel.insts.iter().all(plain) && kernel.operands.iter().all(floats) && plan::is_short(kernel, 64)
}

/// Makes the bytes of a kernel, for vectors of 512 bits or of 256.
fn assemble(kernel: &Kernel, evex: bool, tuning: Tuning, mode: Mode<'_>) -> Result<encode::Encoded, String> {
    let (width, registers) = if evex { (64, 32) } else { (32, 16) };
    let divider = tuning.divider(evex);
    let kernel = &*if evex { Cow::Borrowed(kernel) } else { expand(kernel) };
    let kernel = &*match mode {
        Mode::Plain | Mode::Around(_) | Mode::Ahead(_) => plan::ordered(kernel, width, registers, divider),
        Mode::Draft | Mode::Fold { .. } => Cow::Borrowed(kernel),
    };
    let (plan, taken) = match mode {
        Mode::Plain | Mode::Around(_) | Mode::Ahead(_) => {
            let mut plan = plan::Plan::new(kernel, width, registers, divider);
            plan.stagger(kernel, width, registers);
            match mode {
                Mode::Around(streams) => plan.ask(kernel, width, streams, false, tuning),
                Mode::Ahead(rows) => plan.asks = ahead::Asks::NextRow(rows.into()),
                Mode::Plain | Mode::Draft | Mode::Fold { .. } => {}
            }
            (plan, 0)
        }
        Mode::Draft => (plan::Plan::draft(kernel, width, registers, divider), 0),
        Mode::Fold { joins, far, .. } => {
            let taken = joins.len() * fold::accumulators(width);
            let mut plan = plan::Plan::fold(kernel, width, registers.saturating_sub(taken), divider)?;
            if let Some(streams) = far {
                plan.ask(kernel, width, streams, false, tuning);
            }
            (plan, taken)
        }
    };
    let mut selector = select::Selector::new(kernel, &plan, evex, mode);
    match mode {
        Mode::Plain | Mode::Draft | Mode::Around(_) | Mode::Ahead(_) => nest::build(&mut selector),
        Mode::Fold { block, .. } if block == 0 || block % plan.rounds.lanes != 0 => {
            return Err(format!("blocks of {block} elements are no rounds of {}", plan.rounds.lanes));
        }
        Mode::Fold { block, .. } => nest::build_fold(&mut selector, block),
    }
    finish(selector, evex, taken, mode == Mode::Draft)
}

/// Gives registers to what was selected, and makes bytes of it; the last `taken` vector registers are taken.
fn finish(selector: select::Selector<'_>, evex: bool, taken: usize, draft: bool) -> Result<encode::Encoded, String> {
    let select::Selector { body, pool, tail_table, .. } = selector;
    if body.insts.len() > MAX_INSTRUCTIONS {
        return Err(format!("{} instructions are more than registers are allocated for", body.insts.len()));
    }
    CONTEXT.with_borrow_mut(|context| {
        let algorithm = if draft { Algorithm::Fastalloc } else { Algorithm::Ion };
        let options = RegallocOptions { validate_ssa: cfg!(debug_assertions), verbose_log: false, algorithm };
        let output = regalloc2::run_with_ctx(&body, &encode::environment(evex, taken), &options, context)
            .map_err(|e| format!("register allocation: {e:?}"))?;
        if draft && output.num_spillslots * 8 > DRAFT_SPILLS {
            return Err(format!("a draft spills more than {DRAFT_SPILLS} bytes"));
        }
        encode::encode(&body, output, &pool.bytes, tail_table)
    })
}

/// The code of a kernel for vectors of 512 bits, whatever this CPU has: its instructions, none of them invalid.
#[cfg(test)]
pub(crate) fn encode_512(kernel: &Kernel, mode: Mode<'_>) -> Result<Vec<iced_x86::Instruction>, String> {
    instructions(kernel, true, Tuning::Other, mode)?;
    instructions(kernel, true, Tuning::Zen4, mode)?;
    instructions(kernel, true, Tuning::Intel, mode)
}

/// The instructions of a kernel's code, none of them invalid.
#[cfg(test)]
fn instructions(
    kernel: &Kernel,
    evex: bool,
    tuning: Tuning,
    mode: Mode<'_>,
) -> Result<Vec<iced_x86::Instruction>, String> {
    let code = assemble(kernel, evex, tuning, mode)?;
    let mut decoder = iced_x86::Decoder::with_ip(64, &code.bytes[code.entry..], code.entry as u64, 0);
    let instructions: Vec<_> = decoder.iter().collect();
    match instructions.iter().find(|i| i.is_invalid()) {
        Some(bad) => Err(format!("invalid instruction at {:#x}", bad.ip())),
        None => Ok(instructions),
    }
}

/// The instructions of the main loop, without jumps, and by how many elements it goes on: by most of all loops.
#[cfg(test)]
fn main_loop(code: &[iced_x86::Instruction]) -> (&[iced_x86::Instruction], u64) {
    use iced_x86::{Code, Instruction, OpKind, Register};
    let goes_on = |i: &Instruction| i.code() == Code::Add_rm64_imm32 && i.op0_register() == Register::RAX;
    let ends = code.iter().enumerate().filter(|(_, i)| goes_on(i));
    let (end, step) = ends.map(|(at, i)| (at, i.immediate(1))).max_by_key(|l| l.1).unwrap();
    let jump = |i: &Instruction| i.op0_kind() == OpKind::NearBranch64;
    let begin = code[..end].iter().rposition(jump).unwrap() + 1;
    (&code[begin..end], step)
}

/// Puts the bytes into the module, as a function.
fn define(module: &mut JITModule, isa: &OwnedTargetIsa, bytes: &[u8]) -> Result<*const u8, Box<ModuleError>> {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(types::I64));
    let kernel = module.declare_function("kernel", Linkage::Export, &signature)?;
    module.define_function_bytes(kernel, 64, bytes, &[])?;
    module.finalize_definitions()?;
    Ok(module.get_finalized_function(kernel))
}
