//! Making a plan: memory and a step for each group of the fusion.

use super::{Access, InputLayout, Launchable, Place, Sink, Slot, SlotInfo, Source, Step};
use crate::config::Config;
use crate::cost;
use crate::error::{Error, Result};
use crate::kernels::{self, Folds};
use crate::lower::{self, Loops, Lowering};
use crate::rows::touched_by;
use lazuli_graph::{DType, Fusion, Graph, Group, GroupKind, Home, NodeId, Op, Shape};
use lazuli_jit::{Accessed, Operand, Precision, Reduction, Role, Scan, Strides};
use smallvec::SmallVec;

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

/// What a plan is made of, as it grows.
pub(super) struct Planner<'a> {
    pub(super) graph: &'a Graph,
    pub(super) fusion: &'a Fusion,
    pub(super) places: Vec<Option<Place>>,
    pub(super) slots: Vec<SlotInfo>,
    pub(super) steps: Vec<Step>,
    pub(super) config: &'a Config,
}

impl Planner<'_> {
    /// Gives the inputs their places.
    pub(super) fn inputs(&mut self, inputs: &[InputLayout]) -> Result<()> {
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
        if self.config.precision == Precision::Fast && self.config.target.fuses() {
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
        // What is streamed: a map's outputs, or what is only read, to be reduced.
        let streamed = if reduced.is_some() { Role::Input } else { Role::Output };
        let (folds, suits) = reduced.map_or_else(Default::default, |r| r.folds(&accesses, &loops));
        let memory = |a: &Access| if let Source::Slot(slot) = a.source { Some(slot) } else { None };
        let memories: SmallVec<[Option<Slot>; 8]> = accesses.iter().map(memory).collect();
        let target = match streamed {
            Role::Output => layout.target(&kernel, &memories, self.config.target),
            Role::Input | Role::Index => self.config.target,
        };
        let kernel = kernels::lookup(kernel, folds, target, weight);
        let counts = |(a, o): (&Access, &Operand)| o.role == streamed && matches!(a.source, Source::Slot(_));
        let operands = accesses.iter().zip(&kernel.kernel().operands).filter(|&both| counts(both));
        let extents = loops.extents;
        let bytes = operands.map(|(a, _)| touched_by(&extents, a)).fold(0, usize::saturating_add);
        let far = bytes >= cost::far();
        Ok((Launchable { kernel, extents, accesses, layout, copied, far, folds: suits, nodes }, loops.ends))
    }

    /// Plans a group.
    pub(super) fn group(&mut self, group: &Group) -> Result<()> {
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
fn reshape(from: &Shape, strides: &[isize], to: &Shape) -> Option<Strides> {
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
