//! The backend that compiles kernels with Cranelift, for every instruction set that Cranelift has.
//!
//! Vectors have 128 bits whatever the target: extensions decide how operations are encoded, not how wide they are.
//!
//! | file | what it decides |
//! |---|---|
//! | `plan` | what is dead, what is constant along a row, lanes a round, registers for constants |
//! | `nest` | the loops over rows and elements |
//! | `emit` | the lanes of values, constants, one round of the lane program |
//! | `memory`, `integer`, `float`, `convert` | the primitives that are not one instruction |
//! | `call`, `imports` | calls out of generated code, and the functions they go to |
//!
//! Invariants:
//! - a vector that is partly filled has anything in its other lanes, and nothing that traps is ever done to them;
//! - values that are the same for a row fill all lanes of one vector;
//! - masks are all ones or all zeros in each lane.

#![allow(unsafe_code)]

mod call;
mod convert;
mod emit;
mod float;
mod imports;
mod integer;
mod memory;
mod nest;
mod plan;
#[cfg(test)]
mod tests;

use crate::code::CodeError;
use crate::kernel::Kernel;
use crate::math::composed::expand;
use crate::target::Target;
use cranelift_codegen::ir::{AbiParam, Function, Signature, UserFuncName, types};
use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::{CodegenError, Context};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{DataDescription, Linkage, Module, ModuleError, default_libcall_names};
use emit::{Caps, Emitter};
pub(crate) use imports::Import;
use plan::{Plan, VECTOR};
use std::cell::RefCell;
use std::sync::Mutex;

/// Machine code of a kernel. Its memory is freed when this is dropped.
pub(crate) struct Compiled {
    entry: unsafe extern "C" fn(*const u64),
    start: usize,
    size: usize,
    /// Owns the memory of the code. Locked only to be dropped.
    module: Mutex<Option<JITModule>>,
}

thread_local! {
    /// Tables of the compiler, kept from one kernel to the next.
    static CONTEXT: RefCell<Context> = RefCell::new(Context::new());
}

/// A kernel as Cranelift's IR, with what it refers to.
struct Lowered {
    function: Function,
    pool: Vec<u128>,
    imports: Vec<Import>,
}

impl Compiled {
    /// Compiles a kernel that has been verified.
    pub(crate) fn new(kernel: &Kernel, target: &Target) -> Result<Compiled, CodeError> {
        let isa = isa_of(target)?;
        let Lowered { function, pool, imports } = lower(kernel, target, isa);
        let mut builder = JITBuilder::with_isa(isa.clone(), default_libcall_names());
        for import in &imports {
            builder.symbol(import.name(), import.address());
        }
        let mut module = JITModule::new(builder);
        match define(&mut module, function, &pool, &imports) {
            Ok((entry, size)) => {
                // SAFETY: the function at `entry` was just compiled with this signature, and stays until `drop`.
                let entry_fn = unsafe { std::mem::transmute::<*const u8, unsafe extern "C" fn(*const u64)>(entry) };
                Ok(Compiled { entry: entry_fn, start: entry as usize, size, module: Mutex::new(Some(module)) })
            }
            Err(error) => {
                // SAFETY: nothing of the module has been called or will be.
                unsafe { module.free_memory() };
                Err(CodeError::Compiler(describe(*error)))
            }
        }
    }

    /// Runs the code on the words of a slab.
    ///
    /// # Safety
    /// As for [`Code::run`](crate::Code::run).
    pub(crate) unsafe fn run(&self, words: &[u64]) {
        // SAFETY: by the contract of this function; the code reads no more words than the kernel has operands for.
        unsafe { (self.entry)(words.as_ptr()) };
    }

    /// The machine code, constants that stand behind it included.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` and `size` are those of the code that `module` owns, which is readable and does not change.
        unsafe { std::slice::from_raw_parts(self.start as *const u8, self.size) }
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

/// The text of a kernel in Cranelift's IR.
pub(crate) fn text(kernel: &Kernel, target: &Target) -> Result<String, CodeError> {
    let isa = isa_of(target)?;
    let Lowered { function, pool, imports } = lower(kernel, target, isa);
    let mut text = function.display().to_string();
    for (number, import) in imports.iter().enumerate() {
        text += &format!("; u0:{} is {}\n", number + 1, import.name());
    }
    for (number, bits) in pool.iter().enumerate() {
        text += &format!("; u1:0+{} is 0x{bits:032x}\n", number * VECTOR);
    }
    Ok(text)
}

fn isa_of(target: &Target) -> Result<&OwnedTargetIsa, CodeError> {
    target.isa().ok_or(CodeError::NoCompiler { target: target.name() })
}

fn lower(kernel: &Kernel, target: &Target, isa: &OwnedTargetIsa) -> Lowered {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(types::I64));
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let kernel = &*expand(kernel);
    let caps = caps(target, isa.as_ref());
    let plan = Plan::new(kernel, caps.registers, caps.fma);
    let emitter = nest::build(&mut function, kernel, |pos| Emitter::new(pos, kernel, &plan, caps));
    let (pool, imports) = emitter.finish();
    Lowered { function, pool, imports }
}

fn caps(target: &Target, isa: &dyn TargetIsa) -> Caps {
    let x86 = isa.name() == "x64";
    Caps {
        registers: if x86 { 16 } else { 32 },
        fma: target.fuses(),
        round: !x86 || target.has("sse4.1"),
        narrow: !x86 || target.has("sse4.1"),
        compare_memory: !x86 || target.has("avx"),
        truncate: x86,
        blend: x86 && target.has("sse4.1"),
        i64_to_f64: !x86,
    }
}

/// Puts the function, its constants and its imports into the module; the address and the size of the code.
fn define(
    module: &mut JITModule,
    function: Function,
    pool: &[u128],
    imports: &[Import],
) -> Result<(*const u8, usize), Box<ModuleError>> {
    // The order of declarations is the numbering that the emitter assumed.
    let kernel = module.declare_function("kernel", Linkage::Export, &function.signature)?;
    for import in imports {
        module.declare_function(&import.name(), Linkage::Import, &import.signature(&function.signature))?;
    }
    if !pool.is_empty() {
        let id = module.declare_data("pool", Linkage::Local, false, false)?;
        let mut data = DataDescription::new();
        let bytes: Vec<u8> = pool.iter().flat_map(|c| c.to_le_bytes()).collect();
        data.define(bytes.into_boxed_slice());
        data.set_align(VECTOR as u64);
        module.define_data(id, &data)?;
    }
    let size = CONTEXT.with_borrow_mut(|context| {
        context.clear();
        context.func = function;
        module.define_function(kernel, context)?;
        Ok::<_, Box<ModuleError>>(context.compiled_code().map_or(0, |code| code.code_buffer().len()))
    })?;
    module.finalize_definitions()?;
    Ok((module.get_finalized_function(kernel), size))
}

fn describe(error: ModuleError) -> String {
    match error {
        ModuleError::Compilation(CodegenError::Verifier(errors)) => format!("invalid IR: {errors}"),
        error => error.to_string(),
    }
}
