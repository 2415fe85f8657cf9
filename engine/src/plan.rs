//! Plans: what a graph becomes for one set of input layouts.
//!
//! A plan is made once for a graph and looked up from then on. Making it runs the passes, fuses, lowers each group to
//! a kernel, and assigns memory: every stored node gets a slot, every slot is freed after its last reader, and a kernel
//! works in place where an operand of the same layout dies in it. The peak is known before anything runs.

use crate::config::Config;
use crate::cost;
use crate::error::{Error, Result};
use crate::kernels::{self, CachedKernel, Folds};
use crate::lower::{self, Loops, Lowering};
use crate::rows::{self, Rejected, RowRun};
use lazuli_graph::passes::{self, Options, Report};
use lazuli_graph::{DType, FuseOptions, Fusion, Graph, Group, GroupKind, Home, NodeId, Op, Shape, fuse};
use lazuli_jit::{Accessed, Code, Operand, Precision, Reduction, Role, Scan, Strides};
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
    /// Whether its outputs are too large for the caches, and written around them.
    pub around: bool,
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
    /// If the plan is one map from inputs to results, each in memory of its own: the results in the order of the map's
    /// outputs.
    pub lone: Option<SmallVec<[u32; 2]>>,
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
        let options = Options { disabled: config.disabled, verify: cfg!(debug_assertions), explain };
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
            rows::form(steps, &slots, inputs.len(), &needed)
        };
        for step in &mut steps {
            if let Step::Rows(rows) = step {
                rows.look_at()?;
            }
        }
        let mut plan = Plan {
            steps,
            frees: Vec::new(),
            slots,
            inputs: inputs.len(),
            outputs,
            lone: None,
            peak: 0,
            moved: 0,
            graph,
            fusion,
            reports,
            rejected,
        };
        plan.assign_memory();
        plan.lone = plan.lone_map();
        Ok(plan)
    }

    /// See [`Plan::lone`].
    fn lone_map(&self) -> Option<SmallVec<[u32; 2]>> {
        let [step @ Step::Map { .. }] = self.steps.as_slice() else { return None };
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

    /// Finds the last reader of each slot, the in-place candidates and the peak.
    fn assign_memory(&mut self) {
        let mut last = vec![usize::MAX; self.slots.len()];
        for (i, step) in self.steps.iter().enumerate() {
            step.reads(&mut |slot| last[slot as usize] = i);
            step.writes(&mut |slot| last[slot as usize] = i);
        }
        for output in &self.outputs {
            last[output.place.slot as usize] = usize::MAX;
        }
        let inputs = self.inputs;
        self.frees = vec![SmallVec::new(); self.steps.len()];
        for (slot, &l) in last.iter().enumerate().skip(inputs).filter(|(_, l)| **l != usize::MAX) {
            self.frees[l].push(slot as Slot);
        }
        let slots = &self.slots;
        let (mut live, mut peak, mut moved) = (0u64, 0u64, 0u64);
        for (i, step) in self.steps.iter_mut().enumerate() {
            let mut taken = SmallVec::<[Slot; 2]>::new();
            if let Step::Map { run, in_place } = step {
                let dies = |slot: Slot| slot as usize >= inputs && last[slot as usize] == i;
                find_in_place(run, in_place, slots, dies, &mut taken);
            }
            let mut allocated = 0u64;
            step.writes(&mut |slot| allocated = allocated.saturating_add(self.slots[slot as usize].bytes as u64));
            // Working memory of the step itself, beside tiles of a fixed size.
            peak = peak.max(live.saturating_add(allocated).saturating_add(step.working_memory()));
            let reused: u64 = taken.iter().map(|&s| self.slots[s as usize].bytes as u64).sum();
            live = live.saturating_add(allocated - reused.min(allocated));
            peak = peak.max(live);
            moved = moved.saturating_add(step.moved(&self.slots));
            for slot in self.frees[i].iter().filter(|s| !taken.contains(s)) {
                live = live.saturating_sub(self.slots[*slot as usize].bytes as u64);
            }
        }
        (self.peak, self.moved) = (peak, moved);
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
            // That of runs of rows is a share of the cache.
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

/// A kernel into scratch, the ends of its loop segments, and what becomes of the scratch.
type Sinks<T> = (Launchable, SmallVec<[usize; 3]>, Vec<Sink<T>>);

/// The reductions of a kernel's outputs, one for each.
#[derive(Clone, Copy)]
struct Reduced<'a> {
    by: &'a [Reduction],
    /// Whether the last axis is reduced.
    inner: bool,
}

impl Reduced<'_> {
    /// What a kernel of these accesses may do as well, and whether the loops are those that it then has.
    fn folds(self, accesses: &[Access], loops: &Loops) -> (Folds, bool) {
        let (kept, outer, all) = match *loops.ends {
            [kept, outer, all] => (kept, outer, all),
            _ => return Default::default(),
        };
        // Rows of one loop, each for a result of its own; or one loop of rows and one of columns.
        let suits = all == outer + 1 && outer == kept + usize::from(!self.inner);
        let fixed = |a: &Access| !suits || a.strides[kept] == 0;
        let fixed = (!self.inner).then(|| accesses.iter().map(fixed).collect());
        (Folds { reductions: SmallVec::from_slice(self.by), fixed }, suits)
    }
}

struct Planner<'a> {
    graph: &'a Graph,
    fusion: &'a Fusion,
    places: Vec<Option<Place>>,
    slots: Vec<SlotInfo>,
    steps: Vec<Step>,
    config: &'a Config,
}

impl Planner<'_> {
    fn inputs(&mut self, inputs: &[InputLayout]) -> Result<()> {
        for id in self.graph.ids() {
            if let Op::Input(n) = self.graph.node(id).op {
                let strides = inputs[n as usize].strides.clone();
                self.place(id, Place { slot: n, offset: 0, strides })?;
            }
        }
        Ok(())
    }

    /// Gives memory to `shape` in C order.
    fn allocate(&mut self, dtype: DType, shape: &Shape) -> Place {
        self.slots.push(SlotInfo { bytes: shape.elements() * dtype.size() });
        Place { slot: self.slots.len() as Slot - 1, offset: 0, strides: contiguous(dtype, shape) }
    }

    /// Gives `id` its place, and the views and reshapes of it theirs.
    fn place(&mut self, id: NodeId, place: Place) -> Result<()> {
        let mut work = vec![(id, place)];
        while let Some((id, place)) = work.pop() {
            self.places[id.index()] = Some(place.clone());
            let users: SmallVec<[NodeId; 4]> =
                self.graph.users(id).filter(|u| self.fusion.home(*u) == Home::Alias).collect();
            for user in users {
                let (from, to) = (self.graph.node(id).shape.clone(), self.graph.node(user));
                let seen = match &to.op {
                    Op::View(view) => {
                        let (offset, strides) = view.strides(&place.strides);
                        Place { offset: place.offset + offset, strides, slot: place.slot }
                    }
                    _ => match reshape(&from, &place.strides, &to.shape) {
                        Some(strides) => Place { strides, ..place },
                        None => {
                            let copy = self.copy(id, &from)?;
                            let strides = reshape(&from, &copy.strides, &to.shape)
                                .expect("a C-contiguous array can take any shape");
                            Place { strides, ..copy }
                        }
                    },
                };
                work.push((user, seen));
            }
        }
        Ok(())
    }

    fn lowering<'b>(&'b self, shape: &'b Shape) -> Lowering<'b> {
        Lowering::new(self.graph, self.fusion, &self.places, shape, self.config.precision)
    }

    /// A C-contiguous copy of a placed node.
    fn copy(&mut self, id: NodeId, shape: &Shape) -> Result<Place> {
        let dtype = self.graph.node(id).dtype;
        let place = self.allocate(dtype, shape);
        let mut lowering = self.lowering(shape);
        let value = lowering.operand(id);
        lowering.store(
            value,
            Access { source: Source::Slot(place.slot), offset: 0, strides: place.strides.clone(), dtype },
        );
        let axes: Vec<usize> = (0..shape.rank()).collect();
        let lowered = lowering.finish(&[&axes]);
        let (run, _) = self.launchable(lowered, 1, vec![id], None)?;
        self.steps.push(Step::Map { run, in_place: SmallVec::new() });
        Ok(place)
    }

    fn launchable(
        &self,
        (mut kernel, accesses, loops): (lazuli_jit::Kernel, Vec<Access>, Loops),
        weight: u32,
        nodes: Vec<NodeId>,
        reduced: Option<Reduced<'_>>,
    ) -> Result<(Launchable, SmallVec<[usize; 3]>)> {
        if self.config.precision == Precision::Fast {
            lazuli_jit::lower::contract(&mut kernel);
        }
        if cfg!(debug_assertions) {
            kernel.verify().map_err(|errors| {
                let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Error::Internal(format!("{}\n{kernel}", all.join("\n")))
            })?;
        }
        let accessed = accesses.iter().map(|a| {
            let home = match a.source {
                Source::Slot(_) => lazuli_jit::Home::Memory,
                Source::Scratch => lazuli_jit::Home::Scratch,
                Source::Index => lazuli_jit::Home::Index,
            };
            Accessed { home, offset: a.offset, strides: a.strides.clone() }
        });
        let layout = lazuli_jit::Layout::new(&kernel.operands, &loops.extents, accessed)?;
        let outputs = kernel.operands.iter().enumerate().filter(|(_, o)| o.role == Role::Output);
        let copied = outputs.map(|(i, _)| kernel.copied(i)).collect();
        let (folds, suits) = reduced.map_or_else(Default::default, |r| r.folds(&accesses, &loops));
        let kernel = kernels::lookup(kernel, folds, self.config.target, weight);
        let written = |(a, o): (&Access, &Operand)| o.role == Role::Output && matches!(a.source, Source::Slot(_));
        let operands = accesses.iter().zip(&kernel.kernel().operands);
        let element: usize = operands.filter(|&both| written(both)).map(|(a, _)| a.dtype.size()).sum();
        let around = layout.elements().saturating_mul(element) >= cost::around();
        let extents = loops.extents;
        Ok((Launchable { kernel, extents, accesses, layout, copied, around, folds: suits, nodes }, loops.ends))
    }

    fn group(&mut self, group: &Group) -> Result<()> {
        match group.kind {
            GroupKind::Map => self.map(group),
            GroupKind::Reduce(axes) => {
                let (kept, reduced): (Vec<usize>, Vec<usize>) =
                    (0..group.shape.rank()).partition(|&i| !axes.contains(i));
                let rank = group.shape.rank();
                // The run of trailing axes that are all reduced, or all kept.
                let inner = rank > 0 && axes.contains(rank - 1);
                let tail = (0..rank).rev().take_while(|&i| axes.contains(i) == inner).count();
                let trailing: Vec<usize> = (rank - tail..rank).collect();
                let rest = |v: &[usize]| v.iter().copied().filter(|&i| i < rank - tail).collect::<Vec<_>>();
                let segments = [rest(&kept), rest(&reduced), trailing];
                let exact = self.config.precision == Precision::Precise;
                let make = |op: &Op, dtype| match op {
                    Op::Reduce(op, _) => Reduction::new(*op, dtype, exact),
                    _ => unreachable!("a group of reductions holds reductions"),
                };
                let (run, ends, sinks) =
                    self.sinks(group, &segments, make, |all| (!exact).then_some(Reduced { by: all, inner }))?;
                let slots: Vec<Slot> = sinks.iter().map(|s| s.slot).collect();
                self.steps.push(Step::Reduce { run, kept: ends[0], outer: ends[1], inner, sinks });
                self.place_results(group, &slots)
            }
            GroupKind::Scan(axis) => {
                let axis = axis as usize;
                let segments = [(0..axis).collect(), vec![axis], (axis + 1..group.shape.rank()).collect()];
                let make = |op: &Op, dtype| match op {
                    Op::Scan(op, _) => Scan::new(*op, dtype),
                    _ => unreachable!("a group of scans holds scans"),
                };
                let (run, ends, sinks) = self.sinks(group, &segments, make, |_| None)?;
                let slots: Vec<Slot> = sinks.iter().map(|s| s.slot).collect();
                self.steps.push(Step::Scan { run, kept: ends[0], outer: ends[1], sinks });
                self.place_results(group, &slots)
            }
            GroupKind::Matmul => {
                let id = group.roots[0];
                let operands = self.graph.operands(id);
                let side = |o: NodeId| {
                    let place = self.places[o.index()].clone().expect("operands of a product have memory");
                    (place, self.graph.node(o).shape.clone())
                };
                let (left, right) = (side(operands[0]), side(operands[1]));
                let dtype = self.graph.node(id).dtype;
                let place = self.allocate(dtype, &group.shape);
                self.steps.push(Step::Matmul { left, right, dtype, slot: place.slot, node: id });
                self.place(id, place)
            }
        }
    }

    fn map(&mut self, group: &Group) -> Result<()> {
        let shape = &group.shape;
        let mut lowering = self.lowering(shape);
        let values: Vec<_> = group.roots.iter().map(|&id| lowering.root(id)).collect();
        // Results lie as the inputs do, if those agree, and as C otherwise.
        let order = lower::input_order(shape, lowering.accesses());
        let order = order.unwrap_or_else(|| (0..shape.rank()).collect());
        let first = self.slots.len() as Slot;
        let packed = lowering.pack(&order, first);
        let mut places = Vec::new();
        let copies: usize = packed.iter().map(|p| p.copies.len()).sum();
        let slots = first + copies as Slot..;
        for ((&id, value), slot) in group.roots.iter().zip(values).zip(slots) {
            let dtype = self.graph.node(id).dtype;
            let mut strides: Strides = SmallVec::from_elem(0, shape.rank());
            let mut step = dtype.size() as isize;
            for &axis in order.iter().rev() {
                strides[axis] = step;
                step *= shape[axis].max(1) as isize;
            }
            let place = Place { slot, offset: 0, strides };
            lowering.store(
                value,
                Access { source: Source::Slot(place.slot), offset: 0, strides: place.strides.clone(), dtype },
            );
            places.push((id, place, shape.elements() * dtype.size()));
        }
        let loops = lower::loop_order(shape, &order, lowering.accesses());
        let lowered = lowering.finish(&[&loops]);
        let (run, _) = self.launchable(lowered, group.weight, group.roots.clone(), None)?;
        self.slots.resize(self.slots.len() + copies, SlotInfo::default());
        for pack in packed {
            for copies in pack.copies.chunks(pack.at_once()) {
                let mut lowering = self.lowering(shape);
                copies.iter().for_each(|(from, to)| lowering.copy(from.clone(), to.clone()));
                let lowered = lowering.finish(&[&pack.axes]);
                for (_, to) in copies {
                    if let Source::Slot(slot) = to.source {
                        self.slots[slot as usize].bytes = pack.bytes;
                    }
                }
                let (run, _) = self.launchable(lowered, copies.len() as u32, group.roots.clone(), None)?;
                self.steps.push(Step::Map { run, in_place: SmallVec::new() });
            }
        }
        self.steps.push(Step::Map { run, in_place: SmallVec::new() });
        self.slots.extend(places.iter().map(|(_, _, bytes)| SlotInfo { bytes: *bytes }));
        for (id, place, _) in places {
            self.place(id, place)?;
        }
        Ok(())
    }

    /// Lowers the operands of reductions or scans into scratch outputs, equal operands into one. `reduced` tells
    /// what the kernel may do as well.
    fn sinks<T>(
        &mut self,
        group: &Group,
        segments: &[Vec<usize>; 3],
        make: impl Fn(&Op, DType) -> T,
        reduced: impl Fn(&[T]) -> Option<Reduced<'_>>,
    ) -> Result<Sinks<T>> {
        let mut lowering = self.lowering(&group.shape);
        let mut scratch = Vec::new();
        let mut made = Vec::new();
        for &id in &group.roots {
            let operand = self.graph.operands(id)[0];
            let dtype = self.graph.node(operand).dtype;
            let value = lowering.operand(operand);
            let index = scratch.iter().position(|&s| s == (value, dtype)).unwrap_or_else(|| {
                scratch.push((value, dtype));
                scratch.len() - 1
            });
            made.push((id, index, dtype));
        }
        for &(value, dtype) in &scratch {
            // Scratch is filled row after row, densely; only its innermost stride matters here.
            let mut strides: Strides = SmallVec::from_elem(0, group.shape.rank());
            let mut step = dtype.size() as isize;
            for &axis in segments.iter().flatten().rev() {
                strides[axis] = step;
                step *= group.shape[axis].max(1) as isize;
            }
            lowering.store(value, Access { source: Source::Scratch, offset: 0, strides, dtype });
        }
        let lowered = lowering.finish(&[&segments[0], &segments[1], &segments[2]]);
        let ops: Vec<T> = made.iter().map(|&(id, _, dtype)| make(&self.graph.node(id).op, dtype)).collect();
        // In the order of the outputs, if each has one.
        let reduced = if scratch.len() == ops.len() { reduced(&ops) } else { None };
        let (run, ends) = self.launchable(lowered, group.weight, group.roots.clone(), reduced)?;
        let mut sinks = Vec::new();
        for ((id, scratch, dtype), op) in made.into_iter().zip(ops) {
            let node = self.graph.node(id);
            let slot = self.allocate(node.dtype, &node.shape.clone()).slot;
            let result_size = node.dtype.size();
            sinks.push(Sink { op, scratch, slot, dtype, result_size });
        }
        Ok((run, ends, sinks))
    }

    /// Places the C-contiguous results of a group's roots.
    fn place_results(&mut self, group: &Group, slots: &[Slot]) -> Result<()> {
        for (&id, &slot) in group.roots.iter().zip(slots) {
            let node = self.graph.node(id);
            self.place(id, Place { slot, offset: 0, strides: contiguous(node.dtype, &node.shape) })?;
        }
        Ok(())
    }
}

/// Byte strides of a C-contiguous array.
pub fn contiguous(dtype: DType, shape: &Shape) -> Strides {
    shape.contiguous_strides().iter().map(|s| s * dtype.size() as isize).collect()
}

/// The strides of a reshaped array, if strides can say it: each run of new axes must cover a run of old ones that
/// lie evenly.
pub fn reshape(from: &Shape, strides: &[isize], to: &Shape) -> Option<Strides> {
    let mut out: Strides = SmallVec::from_elem(0, to.rank());
    if from.elements() == 0 {
        return Some(out);
    }
    let old: SmallVec<[(usize, isize); 4]> =
        from.iter().zip(strides).filter(|(n, _)| **n != 1).map(|(&n, &s)| (n, s)).collect();
    let (mut i, mut axis) = (0, 0);
    while i < old.len() {
        let start = axis;
        let (mut have, mut want) = (old[i].0, 1);
        let first = i;
        while axis < to.rank() && want < have {
            want *= to[axis];
            axis += 1;
        }
        while want != have {
            if want > have {
                i += 1;
                have *= old.get(i)?.0;
            } else {
                want *= *to.get(axis)?;
                axis += 1;
            }
        }
        // Old axes first ..= i must lie evenly to be taken as one.
        if (first..i).any(|k| old[k].1 != old[k + 1].1 * old[k + 1].0 as isize) {
            return None;
        }
        let mut step = old[i].1;
        for a in (start..axis).rev() {
            out[a] = step;
            step *= to[a] as isize;
        }
        i += 1;
    }
    Some(out)
}
