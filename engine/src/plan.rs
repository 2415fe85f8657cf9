//! Plans: what a graph becomes for one set of input layouts.
//!
//! A plan is made once for a graph and looked up from then on. Making it runs the passes, fuses, lowers each group to
//! a kernel, and assigns memory: every stored node gets a slot, every slot is freed after its last reader, and a kernel
//! works in place where an operand of the same layout dies in it. The peak is known before anything runs.

mod planner;

use crate::config::Config;
use crate::cost;
use crate::error::Result;
use crate::kernels::CachedKernel;
use crate::lower;
use crate::rows::{self, Over, Rejected, RowRun};
use lazuli_graph::passes::{self, Options, Report};
use lazuli_graph::{DType, FuseOptions, Fusion, Graph, NodeId, Shape, fuse};
use lazuli_jit::{Backend, Code, Precision, Reduction, Role, Scan, Strides};
use planner::Planner;
pub use planner::contiguous;
use smallvec::SmallVec;
use std::sync::Arc;

/// The number of a piece of memory in a plan; inputs come first.
pub type Slot = u32;

/// How an input lies in memory; part of what a plan is looked up by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InputLayout {
    /// The dtype.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
    /// Byte strides.
    pub strides: Strides,
}

/// Where a stored or aliased node lies: slot, byte offset (of an input: from its first element), byte strides.
#[derive(Clone, PartialEq, Debug)]
pub struct Place {
    /// The memory.
    pub slot: Slot,
    /// The first element.
    pub offset: isize,
    /// The strides along the node's axes.
    pub strides: Strides,
}

/// What an operand of a kernel reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Memory of the plan.
    Slot(Slot),
    /// Scratch memory of the executor.
    Scratch,
    /// An index operand.
    Index,
}

/// An operand of a kernel: source, offset and strides along the loops.
#[derive(Clone, PartialEq, Debug)]
pub struct Access {
    /// What is accessed.
    pub source: Source,
    /// The first element, in bytes (of an index: its first value).
    pub offset: isize,
    /// The strides along the loops, in bytes (of an index: what it grows by).
    pub strides: Strides,
    /// The dtype.
    pub dtype: DType,
}

/// One kernel with its loops and operands.
pub struct Launchable {
    /// The kernel.
    pub kernel: Arc<CachedKernel>,
    /// Loop extents, outermost first.
    pub extents: SmallVec<[usize; 4]>,
    /// Operands, in the kernel's order.
    pub accesses: Vec<Access>,
    /// The loops and operands, checked.
    pub layout: lazuli_jit::Layout,
    /// For each output, the input that it is a mere copy of, if all are.
    pub copied: Option<SmallVec<[usize; 2]>>,
    /// Whether its memory is too large for the caches: outputs are written around them, or, of a reduction, inputs asked for
    /// ahead of their use.
    pub far: bool,
    /// Whether its loops are those of code that reduces what it computes, if there is such code.
    pub folds: bool,
    /// What the user built that runs here.
    pub nodes: Vec<NodeId>,
}

impl Launchable {
    /// What it costs to run, in picoseconds.
    pub fn work(&self) -> u64 {
        (self.layout.elements() as u64).saturating_mul(self.kernel.cost())
    }

    /// The code to run: that which reduces what the kernel computes as well, if there is such code and it pays.
    ///
    /// # Errors
    /// As for [`CachedKernel::code`].
    pub(crate) fn code(&self, config: &Config) -> Result<&Code> {
        let elements = self.layout.elements();
        match if self.folds { self.kernel.folding(config, elements) } else { None } {
            Some(code) => Ok(code),
            None => self.kernel.code(config, elements),
        }
    }
}

/// What a reduction or scan leaves.
pub struct Sink<T> {
    /// The operation.
    pub op: T,
    /// Which scratch output of the kernel it reads.
    pub scratch: usize,
    /// Where the result goes, C-contiguous.
    pub slot: Slot,
    /// The dtype of what is read.
    pub dtype: DType,
    /// The size of a result element.
    pub result_size: usize,
}

/// One step of a plan.
pub enum Step {
    /// Computes elements and stores them.
    Map {
        /// The kernel.
        run: Launchable,
        /// For each output, in operand order: the dying input operand whose memory it may take.
        in_place: SmallVec<[Option<u32>; 2]>,
    },
    /// Computes elements and reduces them.
    Reduce {
        /// The kernel; its outputs are scratch.
        run: Launchable,
        /// Loops before this are kept (of `inner`), or kept and outermost.
        kept: usize,
        /// Loops from `kept` to this are reduced, row by row.
        outer: usize,
        /// Whether the loops from `outer` on are reduced too (the last axis is reduced), or kept.
        inner: bool,
        /// Results.
        sinks: Vec<Sink<Reduction>>,
    },
    /// Computes elements and scans them.
    Scan {
        /// The kernel; its outputs are scratch.
        run: Launchable,
        /// Loops before this are independent.
        kept: usize,
        /// The loop that is scanned, if its extent is not 1, ends here; those after it are independent.
        outer: usize,
        /// Results.
        sinks: Vec<Sink<Scan>>,
    },
    /// Maps and reductions over the same rows, a few rows at a time.
    Rows(RowRun),
    /// A matrix product.
    Matmul {
        /// The left operand and its shape.
        left: (Place, Shape),
        /// The right operand and its shape.
        right: (Place, Shape),
        /// The dtype of all three.
        dtype: DType,
        /// The result, C-contiguous.
        slot: Slot,
        /// The node.
        node: NodeId,
    },
}

/// A piece of memory that the plan allocates.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotInfo {
    /// Its size.
    pub bytes: usize,
}

/// A result: where it lies, its dtype and shape.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where.
    pub place: Place,
    /// The dtype.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
    /// Dtype, shape and strides, checked.
    pub layout: lazuli_runtime::Layout,
}

/// A plan; see the module's documentation.
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Slots freed after each step.
    pub frees: Vec<SmallVec<[Slot; 2]>>,
    /// The memory, inputs first.
    pub slots: Vec<SlotInfo>,
    /// How many slots are inputs.
    pub inputs: usize,
    /// Results.
    pub outputs: Vec<Output>,
    /// If the plan is one step from inputs to results, each in memory of its own: the results in the order of the step's
    /// outputs.
    pub lone: Option<SmallVec<[u32; 2]>>,
    /// The most that a step costs to run, in picoseconds.
    pub work: u64,
    /// Most bytes allocated at one time, for results and temporaries.
    pub peak: u64,
    /// Bytes read from and written to memory.
    pub moved: u64,
    /// The optimized graph and what became of its nodes; kept for explain.
    pub graph: Graph,
    /// Homes and groups.
    pub fusion: Fusion,
    /// What each pass did.
    pub reports: Vec<Report>,
    /// Steps that share rows, and do not run row by row.
    pub rejected: Vec<Rejected>,
}

impl Plan {
    /// Plans `graph` for inputs of these layouts.
    ///
    /// # Errors
    /// Internal errors only: a pass or kernel that the verifier refuses.
    pub fn new(mut graph: Graph, inputs: &[InputLayout], config: &Config, explain: bool) -> Result<Plan> {
        let precision = config.precision;
        let options = Options {
            disabled: config.disabled,
            loose: precision == Precision::Fast,
            verify: cfg!(debug_assertions),
            explain,
        };
        let reports = passes::optimize(&mut graph, &options, &|op, operand, result, args| {
            lower::evaluate(op, operand, result, args, precision)
        })?;
        let fuse_options = FuseOptions {
            enabled: !config.disabled.contains(passes::FUSE),
            exact_sums: precision == Precision::Precise,
        };
        let fusion = fuse(&graph, fuse_options);
        let mut planner = Planner {
            places: vec![None; graph.bound()],
            slots: vec![SlotInfo::default(); inputs.len()],
            steps: Vec::new(),
            graph: &graph,
            fusion: &fusion,
            config,
        };
        planner.inputs(inputs)?;
        for group in &fusion.groups {
            planner.group(group)?;
        }
        let outputs: Vec<Output> = graph
            .outputs()
            .iter()
            .map(|&o| {
                let node = graph.node(o);
                let place = planner.places[o.index()].clone().expect("every output was computed");
                let layout = lazuli_runtime::Layout::new(node.dtype, node.shape.clone(), &place.strides)?;
                Ok(Output { place, dtype: node.dtype, shape: node.shape.clone(), layout })
            })
            .collect::<Result<_>>()?;
        let Planner { steps, slots, .. } = planner;
        let (mut steps, rejected) = if config.disabled.contains(passes::ROWS) {
            (steps, Vec::new())
        } else {
            let needed: Vec<Slot> = outputs.iter().map(|o| o.place.slot).collect();
            rows::form(steps, &slots, inputs.len(), &needed, Backend::Wide.why_not(config.target).is_none())
        };
        for step in &mut steps {
            if let Step::Rows(rows) = step {
                rows.look_at(config.target)?;
            }
        }
        let mut plan = Plan {
            steps,
            frees: Vec::new(),
            slots,
            inputs: inputs.len(),
            outputs,
            lone: None,
            work: 0,
            peak: 0,
            moved: 0,
            graph,
            fusion,
            reports,
            rejected,
        };
        plan.assign_memory();
        plan.lone = plan.lone_step();
        plan.work = plan.steps.iter().map(Step::work).max().unwrap_or(0);
        Ok(plan)
    }

    /// See [`Plan::lone`].
    fn lone_step(&self) -> Option<SmallVec<[u32; 2]>> {
        let [step @ (Step::Map { .. } | Step::Reduce { .. } | Step::Rows(_))] = self.steps.as_slice() else {
            return None;
        };
        let mut written: SmallVec<[Slot; 2]> = SmallVec::new();
        step.writes(&mut |slot| written.push(slot));
        let one = |slot: &Slot| {
            let mut results = self.outputs.iter().enumerate().filter(|(_, o)| o.place.slot == *slot);
            match (results.next(), results.next()) {
                (Some((i, o)), None) if o.place.offset == 0 => Some(i as u32),
                _ => None,
            }
        };
        if written.len() != self.outputs.len() { None } else { written.iter().map(one).collect() }
    }

    /// Finds the last reader of each slot, the in-place candidates and the peak: such that steps over the same columns may run
    /// one by one.
    fn assign_memory(&mut self) {
        self.moved = self.steps.iter().map(|step| step.moved(&self.slots)).fold(0, u64::saturating_add);
        let mut steps: Vec<&mut Step> = Vec::new();
        let mut counts: Vec<Option<usize>> = Vec::new();
        // By the first of the steps of a run: what code for all of them writes at once.
        let mut together: Vec<(usize, u64)> = Vec::new();
        let bytes = |step: &Step| {
            let mut bytes = 0u64;
            step.writes(&mut |slot| bytes = bytes.saturating_add(self.slots[slot as usize].bytes as u64));
            bytes
        };
        let written: Vec<u64> = self.steps.iter().map(bytes).collect();
        for (step, written) in self.steps.iter_mut().zip(written) {
            match step {
                Step::Rows(RowRun { over: Over::Columns(_), steps: inner, .. }) => {
                    together.push((steps.len(), written));
                    counts.push(Some(inner.len()));
                    steps.extend(inner);
                }
                step => {
                    counts.push(None);
                    steps.push(step);
                }
            }
        }
        let mut last = vec![usize::MAX; self.slots.len()];
        for (i, step) in steps.iter().enumerate() {
            step.reads(&mut |slot| last[slot as usize] = i);
            step.writes(&mut |slot| last[slot as usize] = i);
        }
        for output in &self.outputs {
            last[output.place.slot as usize] = usize::MAX;
        }
        let (inputs, slots) = (self.inputs, &self.slots);
        let mut frees: Vec<SmallVec<[Slot; 2]>> = vec![SmallVec::new(); steps.len()];
        for (slot, &l) in last.iter().enumerate().skip(inputs).filter(|(_, l)| **l != usize::MAX) {
            frees[l].push(slot as Slot);
        }
        let (mut live, mut peak) = (0u64, 0u64);
        let mut together = together.into_iter().peekable();
        for (i, step) in steps.into_iter().enumerate() {
            if let Some((_, written)) = together.next_if(|t| t.0 == i) {
                peak = peak.max(live.saturating_add(written));
            }
            let mut taken = SmallVec::<[Slot; 2]>::new();
            if let Step::Map { run, in_place } = step {
                let dies = |slot: Slot| slot as usize >= inputs && last[slot as usize] == i;
                find_in_place(run, in_place, slots, dies, &mut taken);
            }
            let mut allocated = 0u64;
            step.writes(&mut |slot| allocated = allocated.saturating_add(slots[slot as usize].bytes as u64));
            // Working memory of the step itself, beside tiles of a fixed size.
            peak = peak.max(live.saturating_add(allocated).saturating_add(step.working_memory()));
            let reused: u64 = taken.iter().map(|&s| slots[s as usize].bytes as u64).sum();
            live = live.saturating_add(allocated - reused.min(allocated));
            peak = peak.max(live);
            for slot in frees[i].iter().filter(|s| !taken.contains(s)) {
                live = live.saturating_sub(slots[*slot as usize].bytes as u64);
            }
        }
        self.peak = peak;
        let mut frees = frees.into_iter();
        for (step, count) in self.steps.iter_mut().zip(counts) {
            let own: Vec<_> = frees.by_ref().take(count.unwrap_or(1)).collect();
            self.frees.push(own.concat().into());
            if let (Step::Rows(rows), Some(_)) = (step, count) {
                rows.frees = own;
            }
        }
    }
}

/// For each output of a map, an input operand that dies here and lies exactly as the output will.
fn find_in_place(
    run: &Launchable,
    in_place: &mut SmallVec<[Option<u32>; 2]>,
    slots: &[SlotInfo],
    dies: impl Fn(Slot) -> bool,
    taken: &mut SmallVec<[Slot; 2]>,
) {
    let kernel = run.kernel.kernel();
    for (o, output) in run.accesses.iter().enumerate().filter(|(i, _)| kernel.operands[*i].role == Role::Output) {
        let candidate = run.accesses.iter().enumerate().find(|(i, a)| {
            let Source::Slot(slot) = a.source else { return false };
            // Memory of another size would be kept, or missing, for as long as the output lives.
            let Source::Slot(target) = output.source else { return false };
            kernel.operands[*i].role == Role::Input
                && dies(slot)
                && slots[slot as usize].bytes == slots[target as usize].bytes
                && !taken.contains(&slot)
                && a.dtype.size() == kernel.operands[o].dtype.size()
                && a.offset == output.offset
                && a.strides == output.strides
                && run.accesses.iter().filter(|b| b.source == a.source).count() == 1
        });
        if let Some((_, Access { source: Source::Slot(slot), .. })) = candidate {
            taken.push(*slot);
        }
        in_place.push(candidate.map(|(i, _)| i as u32));
    }
}

impl Step {
    /// The kernel, if the step has one of its own.
    pub fn run(&self) -> Option<&Launchable> {
        match self {
            Step::Map { run, .. } | Step::Reduce { run, .. } | Step::Scan { run, .. } => Some(run),
            Step::Rows(_) | Step::Matmul { .. } => None,
        }
    }

    /// The kernels of the step, in order.
    pub fn runs(&self) -> SmallVec<[&Launchable; 1]> {
        match self {
            Step::Rows(rows) => rows.steps.iter().filter_map(Step::run).collect(),
            _ => self.run().into_iter().collect(),
        }
    }

    /// What it costs to run, in picoseconds.
    pub fn work(&self) -> u64 {
        match self {
            Step::Map { run, .. } | Step::Reduce { run, .. } | Step::Scan { run, .. } => run.work(),
            Step::Rows(rows) => rows.work(),
            Step::Matmul { left, right, .. } => {
                let columns = right.1.last().copied().unwrap_or(1) as u64;
                (left.1.elements() as u64).saturating_mul(columns).saturating_mul(cost::PRODUCT)
            }
        }
    }

    /// Calls `f` with each slot that is read.
    pub fn reads(&self, f: &mut dyn FnMut(Slot)) {
        match self {
            Step::Map { run, .. } | Step::Reduce { run, .. } | Step::Scan { run, .. } => {
                for (a, o) in run.accesses.iter().zip(&run.kernel.kernel().operands) {
                    if let (Source::Slot(slot), Role::Input) = (a.source, o.role) {
                        f(slot);
                    }
                }
            }
            Step::Rows(rows) => rows.reads(f),
            Step::Matmul { left, right, .. } => {
                f(left.0.slot);
                f(right.0.slot);
            }
        }
    }

    /// Calls `f` with each slot that is written.
    pub fn writes(&self, f: &mut dyn FnMut(Slot)) {
        match self {
            Step::Map { run, .. } => {
                for (a, o) in run.accesses.iter().zip(&run.kernel.kernel().operands) {
                    if let (Source::Slot(slot), Role::Output) = (a.source, o.role) {
                        f(slot);
                    }
                }
            }
            Step::Reduce { sinks, .. } => sinks.iter().for_each(|s| f(s.slot)),
            Step::Scan { sinks, .. } => sinks.iter().for_each(|s| f(s.slot)),
            Step::Rows(rows) => rows.writes(f),
            Step::Matmul { slot, .. } => f(*slot),
        }
    }

    /// Bytes that the step takes for itself, where that grows with the data.
    fn working_memory(&self) -> u64 {
        match self {
            // That of runs of rows is a share of the cache, or of 128 columns.
            Step::Map { .. } | Step::Reduce { .. } | Step::Rows(_) => 0,
            Step::Scan { run, outer, sinks, .. } => {
                let row = run.extents[*outer..].iter().product::<usize>() as u64;
                let element: usize = sinks.iter().map(|s| s.dtype.size() + s.op.state_size()).sum();
                if row <= 1 << 16 { 0 } else { row.saturating_mul(element as u64) }
            }
            // Half floats are multiplied in single precision.
            Step::Matmul { left, right, dtype: DType::F16 | DType::BF16, .. } => {
                let rows = left.1.elements() as u64;
                let columns = right.1.elements() as u64;
                let result = rows / left.1.last().copied().unwrap_or(1).max(1) as u64
                    * right.1.last().copied().unwrap_or(1) as u64;
                rows.saturating_add(columns).saturating_add(result).saturating_mul(4)
            }
            Step::Matmul { .. } => 0,
        }
    }

    /// Bytes that the step reads from and writes to memory.
    fn moved(&self, slots: &[SlotInfo]) -> u64 {
        if let Step::Rows(rows) = self {
            return rows.moved(slots);
        }
        let mut bytes = 0u64;
        self.writes(&mut |slot| bytes = bytes.saturating_add(slots[slot as usize].bytes as u64));
        if let Some(run) = self.run() {
            for (a, o) in run.accesses.iter().zip(&run.kernel.kernel().operands) {
                if o.role == Role::Input {
                    let touched = run.extents.iter().zip(&a.strides).filter(|(_, s)| **s != 0).map(|(n, _)| *n as u64);
                    bytes = bytes.saturating_add(touched.fold(o.dtype.size() as u64, u64::saturating_mul));
                }
            }
        }
        bytes
    }
}
