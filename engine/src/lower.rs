//! From a fused group to a kernel and the accesses it is bound with.

use crate::plan::{Access, Place, Slot, Source};
use lazuli_graph::{Fusion, Graph, Home, NodeId, Op, Scalar, Shape, View, terms};
use lazuli_jit::{Builder, Class, Kernel, Precision, Role, Strides, Tiling, ValueId, lower};
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
    /// The size of each copy.
    pub bytes: usize,
    /// The axes of the loops that the copies have.
    pub axes: Vec<usize>,
    /// What is copied where to, each to memory of its own.
    pub copies: Vec<(Access, Access)>,
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
                    view = Some(view.map_or_else(|| v.clone(), |w| v.then(&w)));
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
    /// lie side by side. `order` lists the axes of the loops; the memory of copies is numbered from `next` on, in order.
    pub fn pack(&mut self, order: &[usize], next: Slot) -> Vec<Packed> {
        let axes: Vec<usize> = order.iter().copied().filter(|&i| self.shape[i] > 1).collect();
        let Some(&inner) = axes.last() else { return Vec::new() };
        let product = |axes: &[usize]| axes.iter().fold(1usize, |n, &i| n.saturating_mul(self.shape[i]));
        let mut packed: Vec<Packed> = Vec::new();
        let mut found: Vec<SmallVec<[usize; 8]>> = Vec::new();
        for (i, access) in self.accesses.iter().enumerate() {
            let size = access.dtype.size();
            let Source::Slot(slot) = access.source else { continue };
            let (moving, fixed): (Vec<usize>, Vec<usize>) = axes.iter().partition(|&&a| access.strides[a] != 0);
            let step = access.strides[inner];
            if slot >= next || step == 0 || step == size as isize || product(&fixed) < PACK_REUSE {
                continue;
            }
            // What is read from one array in one way, but from other positions, is copied by one kernel.
            let same = |p: &Packed| {
                let (from, _) = &p.copies[0];
                (from.source, &from.strides, from.dtype) == (access.source, &access.strides, access.dtype)
            };
            let known = packed.iter().position(same).unwrap_or_else(|| {
                packed.push(Packed { bytes: product(&moving) * size, axes: moving, copies: Vec::new() });
                found.push(SmallVec::new());
                packed.len() - 1
            });
            packed[known].copies.push((access.clone(), access.clone()));
            found[known].push(i);
        }
        let mut slots = next..;
        for (pack, found) in packed.iter_mut().zip(found) {
            for (((from, to), i), slot) in pack.copies.iter_mut().zip(found).zip(&mut slots) {
                let mut strides = Strides::from_elem(0, self.shape.rank());
                let mut step = from.dtype.size() as isize;
                for &axis in pack.axes.iter().rev() {
                    strides[axis] = step;
                    step *= self.shape[axis] as isize;
                }
                *to = Access { source: Source::Slot(slot), offset: 0, strides, dtype: from.dtype };
                self.accesses[i] = to.clone();
            }
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

/// A map whose last loop has fewer elements is run over several of its rows at once, if operands can be copied for it.
const NARROW: usize = 32;
/// Elements of a tile of such rows.
const TILE: usize = 2048;
/// The tile in which transposed operands are turned: some cache lines of either side.
const TURN: (usize, usize) = (32, 64);

/// How a map should be tiled, if tiling gains: see [`Tiling`]. Operands to be staged become contiguous.
pub(crate) fn tiling(kernel: &mut Kernel, accesses: &[Access], loops: &Loops) -> Option<Tiling> {
    let &[.., height, width] = loops.extents.as_slice() else { return None };
    let operands = || {
        accesses.iter().zip(&kernel.operands).map(|(a, o)| {
            let &[.., s1, s0] = a.strides.as_slice() else { return (o.role, 0, 0, 1) };
            (o.role, s1, s0, o.dtype.size() as isize)
        })
    };
    let flat = |(role, s1, s0, size): (Role, isize, isize, isize)| {
        s1 == s0 * width as isize && (role == Role::Index || s0 == size)
    };
    let turned = |(role, s1, s0, size): (Role, isize, isize, isize)| {
        let (near, far) = (s1.unsigned_abs(), s0.unsigned_abs());
        role == Role::Input && s1 != 0 && near < far && near <= 4 * size as usize && far * width > 4096
    };
    let (rows, columns, staged): (usize, usize, SmallVec<[bool; 8]>) = if width < NARROW {
        if height < 2 * NARROW || operands().any(|o| o.0 != Role::Input && !flat(o)) {
            return None;
        }
        (TILE / width, width, operands().map(|o| !flat(o)).collect())
    } else {
        if height < TURN.0 / 2 || operands().any(|(role, _, s0, size)| role == Role::Output && s0 != size) {
            return None;
        }
        (TURN.0, TURN.1, operands().map(turned).collect())
    };
    if !staged.contains(&true) {
        return None;
    }
    for (operand, _) in kernel.operands.iter_mut().zip(&staged).filter(|(_, staged)| **staged) {
        operand.class = Class::Contiguous;
    }
    Some(Tiling { rows, columns, staged })
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
