//! Runnable kernels: what a backend makes of a [`Kernel`].

use crate::asm;
use crate::clif;
use crate::interp::Interp;
use crate::kernel::{Class, Kernel, KernelError, Slab};
use crate::launch::Streams;
use crate::reduce::{self, Columns, Join, Reduction};
use crate::target::{Target, Tuning};
#[cfg(target_arch = "x86_64")]
use crate::wide::Mode;
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

mod held;

pub(crate) use held::HELD_ROWS;
use held::HeldCode;

/// A way to run kernels. All give the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Backend {
    /// Executes the lane program as it stands: the definition of meaning.
    Interp,
    /// Machine code made with Cranelift, with vectors of 128 bits.
    Clif,
    /// Machine code for x86-64 with vectors of 256 or 512 bits.
    Wide,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Backend; 3] = [Backend::Interp, Backend::Clif, Backend::Wide];

    /// The name: `interp`, `clif` or `wide`.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Interp => "interp",
            Backend::Clif => "clif",
            Backend::Wide => "wide",
        }
    }

    /// Why this backend makes no code for a target; `None` if it does.
    pub fn why_not(self, target: &Target) -> Option<String> {
        match self {
            Backend::Interp => None,
            Backend::Clif => (!target.compiles()).then(|| format!("there is no machine code for {}", target.name())),
            #[cfg(target_arch = "x86_64")]
            Backend::Wide => crate::wide::why_not(target),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Wide => Some("it is for x86-64".to_owned()),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is not a backend's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown backend '{0}'; known are interp, clif, wide")]
pub struct UnknownBackend(pub String);

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Backend::ALL.into_iter().find(|b| b.name() == s).ok_or_else(|| UnknownBackend(s.to_owned()))
    }
}

/// Why a kernel could not be made runnable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CodeError {
    /// The kernel breaks an invariant: a bug of ours.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Malformed(Vec<KernelError>),
    /// There is no machine code for the target.
    #[error("no machine code can be made for target '{target}'; use the backend interp")]
    NoCompiler {
        /// The target's name.
        target: &'static str,
    },
    /// The compiler failed: out of memory for code, or a bug of ours or its.
    #[error("cannot compile kernel: {0}")]
    Compiler(String),
}

/// A kernel that can be run, any number of times and from any number of threads.
///
/// ```
/// use lazuli_graph::DType;
/// use lazuli_jit::{Backend, Builder, Class, Code, Role, Slab, Target};
/// // y = x + x
/// let mut b = Builder::new();
/// let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
/// let y = b.operand(Role::Output, DType::F64, Class::Contiguous);
/// let v = b.load(x);
/// let w = b.fadd(v, v);
/// b.store(y, w);
/// let code = Code::compile(&b.finish(), Backend::Clif, Target::detect()).unwrap();
///
/// let input = [1.0f64, 2.0, 3.0];
/// let mut output = [0.0f64; 3];
/// let mut slab = Slab::new(2);
/// slab.set_extents(3, 1);
/// slab.set_operand(0, input.as_ptr() as u64, 8, 0);
/// slab.set_operand(1, output.as_mut_ptr() as u64, 8, 0);
/// // SAFETY: both arrays have three elements, and do not overlap.
/// unsafe { code.run(&slab) };
/// assert_eq!(output, [2.0, 4.0, 6.0]);
/// ```
pub struct Code {
    kernel: Kernel,
    target: Target,
    form: Form,
    /// The same for memory that the caches do not hold, by [`Streams`]: it writes around them, and asks for inputs ahead of their
    /// use where that pays. Made when it is first asked for.
    far: [OnceLock<Option<Form>>; Streams::COUNT],
    /// The same for a few rows at a time, column by column, that are divided by inputs whose rows are all the same: one for each
    /// choice of these, as they come.
    held: HeldCode,
    /// It reduces rows to states.
    fold: Option<Box<Fold>>,
    /// It adds rows to states in memory.
    columns: Option<Box<ColumnCode>>,
}

/// What code stores that reduces rows.
struct Fold {
    /// The kernel of states.
    kernel: Kernel,
    joins: Vec<Join>,
    /// Bytes of the states that it leaves of each output.
    states: SmallVec<[u8; 2]>,
    /// Elements of a row from one of these states to the next.
    block: usize,
}

/// Code of a kernel that [`reduce::columns`] made.
struct ColumnCode {
    columns: Columns,
    code: Code,
    /// What makes the code of single rows, for those that are left over; made when there are some.
    single: (Kernel, Columns),
    rest: OnceLock<Code>,
    /// The same as `code` for inputs that come from memory: on Zen 4, it asks for the rows that are added next. Made when it is
    /// first asked for.
    far: OnceLock<Option<Form>>,
}

impl ColumnCode {
    /// `None` where it cannot be made: the code that there is does the same.
    #[cfg(target_arch = "x86_64")]
    fn compile_far(&self, target: &Target) -> Option<Form> {
        let operands = self.columns.operands.iter().zip(&self.code.kernel.operands);
        let moves: SmallVec<[bool; 8]> =
            operands.map(|((_, row), o)| row.is_some() && o.class == Class::Contiguous).collect();
        if self.code.backend() != Backend::Wide || target.tuning() != Tuning::Zen4 {
            return None;
        }
        crate::wide::Compiled::new(&self.code.kernel, target, Mode::Ahead(&moves)).ok().map(|c| Form::Wide(Box::new(c)))
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn compile_far(&self, _: &Target) -> Option<Form> {
        None
    }
}

enum Form {
    Interp(Box<Interp>),
    Clif(Box<clif::Compiled>),
    #[cfg(target_arch = "x86_64")]
    Wide(Box<crate::wide::Compiled>),
}

impl Form {
    /// # Safety
    /// As for [`Code::run`].
    #[allow(unsafe_code)]
    unsafe fn run(&self, slab: &Slab) {
        match self {
            // SAFETY: the caller's promise.
            Form::Interp(interp) => unsafe { interp.run(slab) },
            // SAFETY: as above.
            Form::Clif(compiled) => unsafe { compiled.run(slab.words()) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Form::Wide(compiled) => unsafe { compiled.run(slab.words()) },
        }
    }
}

/// Whether row by row all outputs, of which there are the size of an element, the address and the distance of rows, begin
/// at the same lane of a vector of so many bytes.
#[cfg(target_arch = "x86_64")]
pub(crate) fn begin_alike(vector: u64, outputs: impl Iterator<Item = (usize, u64, u64)>) -> bool {
    let mut begins = outputs.map(|(size, base, step)| (size as u64, base % vector, step % vector));
    let Some(first) = begins.next() else { return false };
    let (size, base, step) = first;
    let aligned = |(_, base, step): (u64, u64, u64)| base == 0 && step == 0;
    base.is_multiple_of(size)
        && step.is_multiple_of(size)
        && if aligned(first) { begins.all(aligned) } else { begins.all(|other| other == first) }
}

/// Instructions of a kernel that is worth making twice: of less, most of the time goes where a draft saves nothing.
const DRAFTED: usize = 20;

/// The elements of a block, which is the same for all these reductions.
#[cfg(target_arch = "x86_64")]
pub(crate) fn one_block(reductions: &[Reduction]) -> Result<usize, CodeError> {
    let block = reductions.first().map_or(0, Reduction::block);
    let same = reductions.iter().all(|r| r.block() == block);
    same.then_some(block).ok_or_else(|| CodeError::Compiler("reductions have blocks of several lengths".to_owned()))
}

/// Orders what was written around the caches before what this thread writes next.
#[allow(unsafe_code)]
pub(crate) fn fence() {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

// Threads share code: this must hold, and breaks here if it stops to.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Code>();
};

impl Code {
    /// Makes a kernel runnable by `backend`. The interpreter looks at the target only for its own speed.
    ///
    /// # Errors
    /// [`CodeError::Malformed`] if the kernel breaks its invariants, [`CodeError::NoCompiler`] if there is no machine
    /// code for the target, [`CodeError::Compiler`] if the compiler fails.
    pub fn compile(kernel: &Kernel, backend: Backend, target: &Target) -> Result<Code, CodeError> {
        kernel.verify().map_err(CodeError::Malformed)?;
        let form = match backend {
            Backend::Interp => Form::Interp(Box::new(Interp::new(kernel))),
            Backend::Clif => Form::Clif(Box::new(clif::Compiled::new(kernel, target)?)),
            #[cfg(target_arch = "x86_64")]
            Backend::Wide => Form::Wide(Box::new(crate::wide::Compiled::new(kernel, target, Mode::Plain)?)),
            #[cfg(not(target_arch = "x86_64"))]
            Backend::Wide => return Err(CodeError::NoCompiler { target: target.name() }),
        };
        Ok(Code::with(kernel, target, form))
    }

    /// Code of the backend [`Backend::Wide`] for the first calls of a kernel: it is made in 0.1 to 0.5 of the time that
    /// [`Code::compile`] takes, and takes about twice as long to run. `None` of kernels that are short, and where there is no
    /// such backend.
    pub fn draft(kernel: &Kernel, target: &Target) -> Option<Code> {
        (kernel.insts.len() >= DRAFTED).then(|| Code::drafted(kernel, target))?
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn drafted(kernel: &Kernel, target: &Target) -> Option<Code> {
        kernel.verify().ok()?;
        let form = crate::wide::Compiled::new(kernel, target, Mode::Draft).ok()?;
        // One form: what a second would gain is not worth the time.
        Some(Code {
            far: std::array::from_fn(|_| OnceLock::from(None)),
            held: HeldCode::never(),
            ..Code::with(kernel, target, Form::Wide(Box::new(form)))
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn drafted(_: &Kernel, _: &Target) -> Option<Code> {
        None
    }

    fn with(kernel: &Kernel, target: &Target, form: Form) -> Code {
        let (kernel, target) = (kernel.clone(), target.clone());
        Code { kernel, target, form, far: Default::default(), held: HeldCode::default(), fold: None, columns: None }
    }

    /// Code of the backend [`Backend::Wide`] that stores no elements, but reduces each block of each row to a state, which
    /// never leaves the registers before: for [`Launch::fold`](crate::Launch::fold). There is a reduction for each output, in
    /// the order of the operands.
    ///
    /// # Errors
    /// [`CodeError::Malformed`] as for [`Code::compile`]; [`CodeError::Compiler`] where the reductions have states that
    /// do not fit the registers, or blocks of several lengths, or there is no such backend: [`Reduction`] has to reduce what a kernel stores.
    pub fn folding(kernel: &Kernel, reductions: &[Reduction], target: &Target) -> Result<Code, CodeError> {
        kernel.verify().map_err(CodeError::Malformed)?;
        let fail = |text: &str| CodeError::Compiler(text.to_owned());
        let (folded, joins) = reduce::states(kernel, reductions).ok_or(fail("states are no numbers of the lanes"))?;
        folded.verify().map_err(CodeError::Malformed)?;
        #[cfg(target_arch = "x86_64")]
        {
            let block = one_block(reductions)?;
            let form = crate::wide::Compiled::new(&folded, target, Mode::Fold { joins: &joins, block, far: None })?;
            let states = reductions.iter().map(|r| r.state_size() as u8).collect();
            let fold = Some(Box::new(Fold { kernel: folded, joins, states, block }));
            Ok(Code { fold, ..Code::with(kernel, target, Form::Wide(Box::new(form))) })
        }
        #[cfg(not(target_arch = "x86_64"))]
        Err(fail(&format!("{} has no registers for {} states", target.name(), joins.len())))
    }

    /// Code that adds rows of elements to rows of states, which are in memory: for
    /// [`Launch::accumulate`](crate::Launch::accumulate). There is a reduction for each output, in the order of the
    /// operands; operands that are `fixed` are the same for each row.
    ///
    /// # Errors
    /// As for [`Code::folding`], and those of the compiler.
    pub fn accumulating(
        kernel: &Kernel,
        reductions: &[Reduction],
        fixed: &[bool],
        backend: Backend,
        target: &Target,
    ) -> Result<Code, CodeError> {
        /// Rows at a time: so many fewer reads and writes of states.
        const ROWS: usize = 4;
        kernel.verify().map_err(CodeError::Malformed)?;
        let make = |rows| {
            let made = reduce::columns(kernel, reductions, fixed, rows);
            made.ok_or_else(|| CodeError::Compiler("states are no numbers of the lanes".to_owned()))
        };
        let (main, columns) = make(ROWS)?;
        let code = Code::compile(&main, backend, target)?;
        let single = make(1)?;
        let columns = ColumnCode { columns, code, single, rest: OnceLock::new(), far: OnceLock::new() };
        let form = Form::Interp(Box::new(Interp::new(kernel)));
        Ok(Code { columns: Some(Box::new(columns)), ..Code::with(kernel, target, form) })
    }

    /// Whether it adds rows to states, as [`Code::accumulating`] says.
    pub fn accumulates(&self) -> bool {
        self.columns.is_some()
    }

    /// The code that adds several rows to states, and its operands.
    pub(crate) fn columns(&self) -> Option<(&Columns, &Code)> {
        self.columns.as_deref().map(|c| (&c.columns, &c.code))
    }

    /// Runs the code that adds several rows to states, whose inputs come from memory.
    ///
    /// # Safety
    /// As for [`Code::run`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn run_columns_ahead(&self, slab: &Slab) {
        let Some(columns) = self.columns.as_deref() else { panic!("the code adds no rows to states") };
        let form = columns.far.get_or_init(|| columns.compile_far(&self.target)).as_ref();
        // SAFETY: what the caller promises is what the backend asks for.
        unsafe { form.unwrap_or(&columns.code.form).run(slab) }
    }

    /// The code that adds one row to states, and its operands.
    pub(crate) fn single_columns(&self) -> Option<(&Columns, &Code)> {
        let c = self.columns.as_deref()?;
        let rest = c.rest.get_or_init(|| {
            let (kernel, target) = (&c.single.0, &self.target);
            Code::compile(kernel, c.code.backend(), target).unwrap_or_else(|_| {
                let form = Form::Interp(Box::new(Interp::new(kernel)));
                Code::with(kernel, target, form)
            })
        });
        Some((&c.single.1, rest))
    }

    /// Whether it reduces rows, as [`Code::folding`] says.
    pub fn folds(&self) -> bool {
        self.fold.is_some()
    }

    /// The elements of a row from one state to the next, of code that [`Code::folding`] made.
    pub(crate) fn block(&self) -> usize {
        self.fold.as_ref().map_or(0, |f| f.block)
    }

    /// Bytes of the states that it leaves, for each output.
    pub(crate) fn states(&self) -> &[u8] {
        self.fold.as_ref().map_or(&[], |f| &f.states)
    }

    /// Runs the kernel over a slab.
    ///
    /// # Safety
    /// `slab` was made for as many operands as the kernel has. Over its extents and strides, every element of an input
    /// is readable and every element of an output is writable, and nothing else writes them during the call. Strides
    /// fit the class of their operand. An output overlaps an input only if both have the same address, strides and
    /// element size, and overlaps no other output.
    #[allow(unsafe_code)]
    pub unsafe fn run(&self, slab: &Slab) {
        debug_assert_eq!(slab.words().len(), 2 + 3 * self.kernel.operands.len(), "slab of another kernel");
        assert!(!self.folds(), "code that reduces rows stores no elements");
        // SAFETY: what the caller promises is what the backend asks for.
        unsafe { self.form.run(slab) }
    }

    /// Reduces each row of a slab whose outputs are states: one for each block of a row, row after row. `far` is of inputs
    /// that come from memory.
    ///
    /// # Safety
    /// As for [`Code::run`], with states of [`Code::states`] in place of the elements of outputs.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn run_folding(&self, slab: &Slab, far: Option<Streams>) {
        assert!(self.folds(), "code that stores elements reduces no rows");
        let form = far.and_then(|streams| self.far(streams));
        // SAFETY: what the caller promises is what the backend asks for.
        unsafe { form.unwrap_or(&self.form).run(slab) }
    }

    /// As [`Code::run`], but outputs are written around the caches if the backend has such stores and the rows of all
    /// outputs begin at the same lane of a vector. [`fence`] has to follow before other threads are told.
    ///
    /// # Safety
    /// As for [`Code::run`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn run_around(&self, slab: &Slab, streams: Streams) {
        assert!(!self.folds(), "code that reduces rows stores no elements");
        let form = if self.suits_around(slab) { self.far(streams) } else { None };
        // SAFETY: what the caller promises is what the backend asks for; alignment has just been looked at.
        unsafe { form.unwrap_or(&self.form).run(slab) }
    }

    /// Whether row by row all outputs begin at the same lane of a vector.
    #[cfg(target_arch = "x86_64")]
    fn suits_around(&self, slab: &Slab) -> bool {
        use crate::kernel::Role;
        let vector = u64::from(self.target.vector_bits()) / 8;
        let outputs = self.kernel.operands.iter().enumerate().filter(|(_, o)| o.role == Role::Output);
        let begins = outputs.map(|(i, o)| {
            let (base, _, s1) = slab.operand(i);
            (o.dtype.size(), base, if slab.n1() == 1 { 0 } else { s1 as u64 })
        });
        self.backend() == Backend::Wide && begin_alike(vector, begins)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn suits_around(&self, _: &Slab) -> bool {
        false
    }

    /// The code for memory that the caches do not hold; `None` where it cannot be made: the code that there is does the same.
    #[inline]
    fn far(&self, streams: Streams) -> Option<&Form> {
        self.far[streams as usize].get_or_init(|| self.compile_far(streams)).as_ref()
    }

    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    fn compile_far(&self, streams: Streams) -> Option<Form> {
        #[cfg(target_arch = "x86_64")]
        {
            let (kernel, mode) = match self.fold.as_deref() {
                None => (&self.kernel, Mode::Around(streams)),
                Some(Fold { kernel, joins, block, .. }) => {
                    (kernel, Mode::Fold { joins, block: *block, far: Some(streams) })
                }
            };
            crate::wide::Compiled::new(kernel, &self.target, mode).ok().map(|c| Form::Wide(Box::new(c)))
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Whose CPUs it is tuned to.
    pub(crate) fn tuning(&self) -> Tuning {
        self.target.tuning()
    }

    /// The backend that runs it.
    pub fn backend(&self) -> Backend {
        if let Some((_, code)) = self.columns() {
            return code.backend();
        }
        match self.form {
            Form::Interp(_) => Backend::Interp,
            Form::Clif(_) => Backend::Clif,
            #[cfg(target_arch = "x86_64")]
            Form::Wide(_) => Backend::Wide,
        }
    }

    /// The kernel it runs.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The kernel in Cranelift's IR; `None` if other code runs. Made anew by each call.
    pub fn clif(&self) -> Option<String> {
        match self.form {
            Form::Interp(_) => None,
            #[cfg(target_arch = "x86_64")]
            Form::Wide(_) => None,
            Form::Clif(_) => clif::text(&self.kernel, &self.target).ok(),
        }
    }

    /// The machine code in assembly, disassembled from the bytes that run; `None` if the kernel is interpreted.
    pub fn asm(&self) -> Option<String> {
        if let Some((_, code)) = self.columns() {
            return code.asm();
        }
        match &self.form {
            Form::Interp(_) => None,
            Form::Clif(compiled) => Some(asm::disassemble(compiled.bytes(), 0)),
            #[cfg(target_arch = "x86_64")]
            Form::Wide(compiled) => Some(asm::disassemble(compiled.bytes(), compiled.offset())),
        }
    }

    /// The machine code for memory that the caches do not hold, if it has run.
    #[cfg(test)]
    pub(crate) fn asm_far(&self, streams: Streams) -> Option<String> {
        match self.far[streams as usize].get()?.as_ref()? {
            #[cfg(target_arch = "x86_64")]
            Form::Wide(compiled) => Some(asm::disassemble(compiled.bytes(), compiled.offset())),
            _ => None,
        }
    }

    /// The machine code that adds rows which come from memory, if it has run.
    #[cfg(test)]
    pub(crate) fn columns_far(&self) -> Option<String> {
        match self.columns.as_deref()?.far.get()?.as_ref()? {
            #[cfg(target_arch = "x86_64")]
            Form::Wide(compiled) => Some(asm::disassemble(compiled.bytes(), compiled.offset())),
            _ => None,
        }
    }

    /// Bytes of machine code; 0 if the kernel is interpreted.
    pub fn code_size(&self) -> usize {
        if let Some((_, code)) = self.columns() {
            return code.code_size();
        }
        match &self.form {
            Form::Interp(_) => 0,
            Form::Clif(compiled) => compiled.bytes().len(),
            #[cfg(target_arch = "x86_64")]
            Form::Wide(compiled) => compiled.bytes().len(),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}, {} bytes)", self.backend(), self.code_size())
    }
}
