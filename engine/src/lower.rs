//! From a fused group to a kernel and the accesses it is bound with.

use crate::plan::{Access, Place, Slot, Source};
use lazuli_graph::{DType, Fusion, Graph, Home, NodeId, Op, Scalar, Shape, View, terms};
use lazuli_jit::{Builder, Class, Kernel, LINE, Layout, Precision, Role, Strides, ValueId, lower};
use lazuli_runtime::cpu;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Builds the lane program of one group.
pub(crate) struct Lowering<'a> {
    graph: &'a Graph,
    fusion: &'a Fusion,
    places: &'a [Option<Place>],
    shape: &'a Shape,
    precision: Precision,
    builder: Builder,
    accesses: Vec<Access>,
    memo: FxHashMap<(NodeId, Option<View>), ValueId>,
}

/// Dimensions in loop order, with the strides of every access along them.
pub(crate) struct Loops {
    /// Outermost first.
    pub extents: SmallVec<[usize; 4]>,
    /// Ends of the segments of dimensions that must not be merged with one another.
    pub ends: SmallVec<[usize; 3]>,
}

/// How often a strided operand must be read for a contiguous copy to pay.
const PACK_REUSE: usize = 8;

/// Strided operands that are copied before a kernel reads them: see [`Lowering::pack`].
pub(crate) struct Packed {
    /// The axes of the loops that the copy has.
    pub axes: Vec<usize>,
    /// What is copied where to: each to memory of its own, numbered in the order of the operands.
    pub copies: Vec<(Access, Access)>,
    /// Bytes of each copy's memory.
    pub bytes: usize,
    from: Source,
    strides: Strides,
    dtype: DType,
}

impl Packed {
    /// How many copies a kernel makes. Together they read each cache line once; where the lines stay in the cache, a kernel
    /// of one copy, which runs for each, is compiled in a part of the time.
    pub fn at_once(&self) -> usize {
        let lines = self.bytes / self.dtype.size() * LINE;
        if lines <= cpu::caches().l2 / 2 { 1 } else { self.copies.len() }
    }
}

impl<'a> Lowering<'a> {
    /// A lowering that iterates over `shape`.
    pub fn new(
        graph: &'a Graph,
        fusion: &'a Fusion,
        places: &'a [Option<Place>],
        shape: &'a Shape,
        precision: Precision,
    ) -> Lowering<'a> {
        let (builder, accesses, memo) = (Builder::new(), Vec::new(), FxHashMap::default());
        Lowering { graph, fusion, places, shape, precision, builder, accesses, memo }
    }

    /// The lane of a node that is computed here, though it has memory.
    pub fn root(&mut self, id: NodeId) -> ValueId {
        self.value(id, None, true)
    }

    /// The lane of a node at the current position, seen through `view` (`None`: the identity).
    pub fn operand(&mut self, id: NodeId) -> ValueId {
        self.value(id, None, false)
    }

    fn value(&mut self, mut id: NodeId, mut view: Option<View>, mut root: bool) -> ValueId {
        loop {
            if self.fusion.home(id) != Home::Inline && !root {
                return self.load(id, view.as_ref());
            }
            match &self.graph.node(id).op {
                Op::View(v) => {
                    view = Some(view.map_or_else(|| (**v).clone(), |w| v.then(&w)));
                    id = self.graph.operands(id)[0];
                    root = false;
                }
                _ => break,
            }
        }
        let graph = self.graph;
        let node = graph.node(id);
        if let Some(v) = &view
            && v.is_identity(&node.shape)
        {
            view = None;
        }
        let key = (id, view);
        if let Some(&value) = self.memo.get(&key) {
            return value;
        }
        let view = key.1.clone();
        let operands = graph.operands(id);
        let value = match &node.op {
            Op::Const(value) => self.builder.scalar(*value),
            Op::Iota => {
                let (offset, strides) = seen_through(0, &node.shape.contiguous_strides(), view.as_ref());
                let operand = self.access(Access { source: Source::Index, offset, strides, dtype: node.dtype });
                self.builder.index(operand)
            }
            Op::Map(op) => {
                let args: SmallVec<[ValueId; 3]> =
                    operands.iter().map(|&o| self.value(o, view.clone(), false)).collect();
                let dtype = operands.last().map_or(node.dtype, |&o| graph.node(o).dtype);
                lower::map(&mut self.builder, *op, dtype, &args, self.precision)
            }
            Op::Cast => {
                let x = self.value(operands[0], view.clone(), false);
                lower::cast(&mut self.builder, graph.node(operands[0]).dtype, node.dtype, x)
            }
            Op::Reduce(op, axes) if self.fusion.is_unrolled(id) => {
                let from = graph.node(operands[0]);
                let terms: SmallVec<[ValueId; 16]> = terms(&from.shape, *axes)
                    .map(|term| {
                        let seen = match &view {
                            Some(view) => term.then(view),
                            None => term,
                        };
                        self.value(operands[0], Some(seen), false)
                    })
                    .collect();
                // The trailing axes that are reduced: the rows of the reduction's order.
                let row =
                    (0..from.shape.rank()).rev().take_while(|&i| axes.contains(i)).map(|i| from.shape[i]).product();
                lower::reduce(&mut self.builder, *op, from.dtype, &terms, row)
            }
            Op::View(_) | Op::Input(_) | Op::Reshape | Op::Reduce(..) | Op::Scan(..) | Op::Matmul => {
                unreachable!("{} has memory, or was looked through", node.op.name())
            }
        };
        self.memo.insert(key, value);
        value
    }

    fn load(&mut self, id: NodeId, view: Option<&View>) -> ValueId {
        let place = self.places[id.index()].as_ref().expect("groups run after those they read from");
        let (offset, strides) = seen_through(place.offset, &place.strides, view);
        let dtype = self.graph.node(id).dtype;
        let operand = self.access(Access { source: Source::Slot(place.slot), offset, strides, dtype });
        self.builder.load(operand)
    }

    /// The number of the operand with this access.
    fn access(&mut self, access: Access) -> u32 {
        if let Some(i) = self.accesses.iter().position(|a| *a == access) {
            return i as u32;
        }
        let role = if access.source == Source::Index { Role::Index } else { Role::Input };
        // The class is known only when the loops are chosen: see `finish`.
        let operand = self.builder.operand(role, access.dtype, Class::Strided);
        self.accesses.push(access);
        operand
    }

    /// Adds an output that `value` is stored to.
    pub fn store(&mut self, value: ValueId, access: Access) {
        let operand = self.builder.operand(Role::Output, access.dtype, Class::Strided);
        self.accesses.push(access);
        self.builder.store(operand, value);
    }

    /// Adds an output that is a copy of what `from` reads.
    pub fn copy(&mut self, from: Access, to: Access) {
        let operand = self.access(from);
        let value = self.builder.load(operand);
        self.store(value, to);
    }

    /// Lets operands that the innermost loop reads with a stride, and outer loops read again, read copies instead that
    /// lie side by side. `order` lists the axes of the loops; the memory of copies is numbered from `next`.
    pub fn pack(&mut self, order: &[usize], next: Slot) -> Vec<Packed> {
        let axes: Vec<usize> = order.iter().copied().filter(|&i| self.shape[i] > 1).collect();
        let Some(&inner) = axes.last() else { return Vec::new() };
        let product = |axes: &[usize]| axes.iter().fold(1usize, |n, &i| n.saturating_mul(self.shape[i]));
        let mut packed: Vec<Packed> = Vec::new();
        let mut slots = next..;
        for i in 0..self.accesses.len() {
            let access = &self.accesses[i];
            let size = access.dtype.size();
            let Source::Slot(slot) = access.source else { continue };
            let (moving, fixed): (Vec<usize>, Vec<usize>) = axes.iter().partition(|&&a| access.strides[a] != 0);
            let step = access.strides[inner];
            if slot >= next || step == 0 || step == size as isize || product(&fixed) < PACK_REUSE {
                continue;
            }
            let (from, bytes) = (access.clone(), product(&moving) * size);
            let same = |p: &Packed| p.from == from.source && p.strides == from.strides && p.dtype == from.dtype;
            let known = packed.iter().position(same).unwrap_or_else(|| {
                packed.push(Packed {
                    from: from.source,
                    strides: from.strides.clone(),
                    dtype: from.dtype,
                    bytes,
                    axes: moving.clone(),
                    copies: Vec::new(),
                });
                packed.len() - 1
            });
            let pack = &mut packed[known];
            let mut strides = Strides::from_elem(0, self.shape.rank());
            let mut step = size as isize;
            for &axis in moving.iter().rev() {
                strides[axis] = step;
                step *= self.shape[axis] as isize;
            }
            let Some(slot) = slots.next() else { break };
            let to = Access { source: Source::Slot(slot), offset: 0, strides, dtype: from.dtype };
            self.accesses[i] = to.clone();
            pack.copies.push((from, to));
        }
        packed
    }

    /// The accesses made so far.
    pub fn accesses(&self) -> &[Access] {
        &self.accesses
    }

    /// Orders and merges the dimensions, and fixes the stride classes.
    ///
    /// `segments` lists the axes of the iteration shape in loop order, in runs that must stay apart.
    pub fn finish(self, segments: &[&[usize]]) -> (Kernel, Vec<Access>, Loops) {
        let mut kernel = self.builder.finish();
        let mut accesses = self.accesses;
        let mut loops = Loops { extents: SmallVec::new(), ends: SmallVec::new() };
        let mut merged: Vec<Strides> = vec![Strides::new(); accesses.len()];
        for segment in segments {
            let start = loops.extents.len();
            for &axis in *segment {
                let extent = self.shape[axis];
                if extent == 1 {
                    continue;
                }
                let last = loops.extents.len();
                let joins = last > start
                    && accesses.iter().zip(&merged).all(|(a, m)| m[last - 1] == a.strides[axis] * extent as isize);
                if joins {
                    loops.extents[last - 1] *= extent;
                    merged.iter_mut().zip(&accesses).for_each(|(m, a)| m[last - 1] = a.strides[axis]);
                } else {
                    loops.extents.push(extent);
                    merged.iter_mut().zip(&accesses).for_each(|(m, a)| m.push(a.strides[axis]));
                }
            }
            loops.ends.push(loops.extents.len());
        }
        for ((a, m), operand) in accesses.iter_mut().zip(merged).zip(&mut kernel.operands) {
            a.strides = m;
            let inner = a.strides.last().copied();
            operand.class = match (operand.role, inner) {
                (Role::Index, _) => Class::Strided,
                (_, None) => Class::Contiguous,
                (Role::Input, Some(0)) => Class::Broadcast,
                (_, Some(s)) if s == operand.dtype.size() as isize => Class::Contiguous,
                _ => Class::Strided,
            };
        }
        (kernel, accesses, loops)
    }
}

/// Offset and strides of a view of something with `offset` and `strides`.
fn seen_through(offset: isize, strides: &[isize], view: Option<&View>) -> (isize, Strides) {
    match view {
        None => (offset, SmallVec::from_slice(strides)),
        Some(view) => {
            let (more, strides) = view.strides(strides);
            (offset + more, strides)
        }
    }
}

/// The order of loops for elements that lie in `order`: where the innermost loop crosses the lines of an input, the axis
/// along them comes next to it, so that both can be run in tiles.
pub(crate) fn loop_order(shape: &Shape, order: &[usize], accesses: &[Access]) -> Vec<usize> {
    let mut loops = order.to_vec();
    let Some(inner) = order.iter().copied().rfind(|&i| shape[i] != 1) else { return loops };
    let inputs = accesses.iter().filter(|a| matches!(a.source, Source::Slot(_)));
    let crossed = |a: &Access| {
        let crosses = |&&i: &&usize| Layout::crosses(a.strides[inner], a.strides[i]);
        order.iter().filter(crosses).min_by_key(|&&i| a.strides[i].unsigned_abs()).copied()
    };
    let along = inputs.filter_map(crossed).find(|&i| Layout::tiles_pay(shape[i], shape[inner]));
    if let Some(along) = along {
        loops.retain(|&i| i != along && i != inner);
        loops.extend([along, inner]);
    }
    loops
}

/// The order of axes, outermost first, that the inputs agree to lie in, if it is not the C order.
pub(crate) fn input_order(shape: &Shape, accesses: &[Access]) -> Option<Vec<usize>> {
    let axes: Vec<usize> = (0..shape.rank()).filter(|&i| shape[i] > 1).collect();
    let inputs = || accesses.iter().filter(|a| matches!(a.source, Source::Slot(_)));
    let first = inputs().find(|a| axes.iter().all(|&i| a.strides[i] != 0))?;
    let mut order = axes.clone();
    order.sort_by_key(|&i| std::cmp::Reverse(first.strides[i].unsigned_abs()));
    if order == axes {
        return None;
    }
    let agrees = |a: &Access| {
        let moving: Vec<usize> = order.iter().map(|&i| a.strides[i].unsigned_abs()).filter(|&s| s != 0).collect();
        moving.is_sorted_by(|x, y| x >= y)
    };
    if !inputs().all(agrees) {
        return None;
    }
    let units = (0..shape.rank()).filter(|&i| shape[i] <= 1);
    Some(units.chain(order).collect())
}

/// Evaluates one operation on constants, with the bits the kernels would give.
pub fn evaluate(
    op: &Op,
    operand: lazuli_graph::DType,
    result: lazuli_graph::DType,
    args: &[Scalar],
    precision: Precision,
) -> Scalar {
    let mut b = Builder::new();
    let values: SmallVec<[ValueId; 3]> = args.iter().map(|&a| b.scalar(a)).collect();
    let value = match op {
        Op::Map(op) => lower::map(&mut b, *op, operand, &values, precision),
        Op::Cast => lower::cast(&mut b, operand, result, values[0]),
        _ => return args[0],
    };
    let output = b.operand(Role::Output, result, Class::Contiguous);
    b.store(output, value);
    lazuli_jit::eval_scalar(&b.finish(), &[])[0]
}
