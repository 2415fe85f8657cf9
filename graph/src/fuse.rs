//! Fusion: which nodes get memory, and which nodes share a kernel.
//!
//! A node is *stored* (it has memory), an *alias* (a view or reshape of something stored) or *inline* (computed where
//! it is used, inside the kernels of its owners). Inputs, reductions, scans and matrix products are stored by nature;
//! so is what leaves the graph, and what a library call or a reshape reads. For every other node the cost rule
//! decides.
//!
//! **Cost rule.** With `c` the cost of computing one element (the op table's units, of the node and all that is inline
//! below it) and `r` the bytes read for it (neither where a view repeats a few elements often: those are stored, and in the
//! cache), a node of `E` elements of `w` bytes whose `k` owners iterate over `E1 … Ek` elements is inline if
//!
//! ```text
//! (E1 + … + Ek) * (c + r)  <=  E * (c + r + w) + (E1 + … + Ek) * w + KERNEL
//! ```
//!
//! that is, if computing it once an owner costs no more than computing it once, writing it, reading it back for each
//! owner, and starting one kernel more. One byte moved is taken to cost as much as one addition. A node with one owner
//! that does not repeat its elements is always inline.
//!
//! **Short reductions.** A reduction of at most [`UNROLL`] elements to each result, whose order of combination is written
//! down, is treated as elementwise where there are results enough to fill vectors: its kernel reads all elements of a
//! result and combines them in the lanes. So it can be inline, fuses with what reads it, and needs no loop over an inner
//! axis of three elements.
//!
//! Kernels are bounded: a node under which more than [`MAX_WEIGHT`] would be inline is stored. Stored nodes of the
//! same level, iteration shape and kind share a kernel. Everything here is linear in the size of the graph.

use crate::shape::Axes;
use crate::view::AxisMap;
use crate::{Graph, NodeId, Op, ReduceOp, Shape, View};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

/// The most cost units that one kernel computes for an element; also bounds compile time and recursion.
pub const MAX_WEIGHT: u32 = 1000;
/// The most stored nodes that share a kernel.
const MAX_ROOTS: usize = 8;
/// The most places a node is computed again in.
const MAX_OWNERS: usize = 8;
/// How often something stored is read again, at least, and its most bytes, so that it is in the cache when it is.
pub(crate) const REPEATED: usize = 16;
const CACHED: usize = 1 << 20;
/// What starting one more kernel costs, in units.
const KERNEL: u64 = 4000;

/// The most elements that a kernel reduces to a result in its lanes.
pub const UNROLL: usize = 16;
/// The same where the elements are only read from memory: a kernel that reads with strides must save something.
const UNROLL_LOADS: usize = 8;
/// The least results: fewer fill no vector, and gain nothing for a kernel that knows an extent.
const UNROLL_RESULTS: usize = 16;
/// The most operands that an unrolled reduction may give a kernel.
const UNROLL_OPERANDS: u32 = 32;

/// Where the value of a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// In no memory; computed inside its users' kernels.
    Inline,
    /// In memory of its own.
    Stored,
    /// In the memory of its operand.
    Alias,
}

/// What a kernel does over its iteration space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GroupKind {
    /// Computes elements and stores them.
    Map,
    /// Computes elements and reduces them along axes.
    Reduce(Axes),
    /// Computes elements and scans them along an axis.
    Scan(u8),
    /// A library call.
    Matmul,
}

/// Stored nodes computed together.
#[derive(Clone, Debug)]
pub struct Group {
    /// What the kernel does.
    pub kind: GroupKind,
    /// The shape it iterates over.
    pub shape: Shape,
    /// The stored nodes.
    pub roots: Vec<NodeId>,
    /// Cost of one element, in the op table's units.
    pub weight: u32,
}

/// The result: a home for every node, and the kernels in an order that respects their dependencies.
#[derive(Clone, Debug)]
pub struct Fusion {
    homes: Vec<Home>,
    unrolled: Vec<bool>,
    /// The groups, in order of execution.
    pub groups: Vec<Group>,
    /// Why nodes that could have been inline are stored.
    pub notes: Vec<(NodeId, String)>,
}

impl Fusion {
    /// Where the value of `id` is.
    pub fn home(&self, id: NodeId) -> Home {
        self.homes[id.index()]
    }

    /// Whether `id` is a reduction that is computed as an elementwise operation of its elements.
    pub fn is_unrolled(&self, id: NodeId) -> bool {
        self.unrolled[id.index()]
    }
}

/// How `fuse` decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuseOptions {
    /// Off: every elementwise node is stored, in a kernel of its own.
    pub enabled: bool,
    /// Whether sums of floats are exact, and so no chain of additions.
    pub exact_sums: bool,
}

impl Default for FuseOptions {
    fn default() -> FuseOptions {
        FuseOptions { enabled: true, exact_sums: false }
    }
}

/// The views of an operand of shape `shape`, one for each element that goes into a result of a reduction along `axes`,
/// in C order.
pub fn terms(shape: &Shape, axes: Axes) -> impl Iterator<Item = View> {
    let (shape, result) = (shape.clone(), shape.without(axes));
    let count: usize = axes.iter().filter(|&i| i < shape.rank()).map(|i| shape[i]).product();
    (0..count).map(move |n| {
        let mut at = n;
        let mut dim = result.rank();
        let mut maps: SmallVec<[AxisMap; 4]> = SmallVec::from_elem(AxisMap::at(0), shape.rank());
        for axis in (0..shape.rank()).rev() {
            maps[axis] = if axes.contains(axis) {
                let start = at % shape[axis];
                at /= shape[axis];
                AxisMap::at(start as i64)
            } else {
                dim -= 1;
                AxisMap::follow(dim)
            };
        }
        View::from_parts(result.clone(), &maps)
    })
}

/// Elements that go into each result of a reduction.
fn reduced(shape: &Shape, axes: Axes) -> usize {
    axes.iter().filter(|&i| i < shape.rank()).map(|i| shape[i]).fold(1, usize::saturating_mul)
}

/// A place a node is computed in: a kernel (by the key its group will have), and how the node is read there;
/// `None` is the identity.
#[derive(Clone, PartialEq)]
struct Owner {
    key: u32,
    elements: u64,
    view: Option<View>,
}

type Owners = SmallVec<[Owner; 1]>;

/// Whether the op has memory by its nature (of a reshape: its operand's).
fn natural(op: &Op) -> bool {
    matches!(op, Op::Input(_) | Op::Reduce(..) | Op::Scan(..) | Op::Matmul | Op::Reshape)
}

/// What computing one element of a node costs by itself.
fn own_cost(op: &Op) -> u32 {
    match op {
        Op::Map(op) => op.row().cost as u32,
        Op::Cast => 1,
        _ => 0,
    }
}

fn kind(graph: &Graph, id: NodeId, unrolled: &[bool]) -> (GroupKind, Shape) {
    let node = graph.node(id);
    if unrolled[id.index()] {
        return (GroupKind::Map, node.shape.clone());
    }
    let operand = |i: usize| graph.node(graph.operands(id)[i]).shape.clone();
    match &node.op {
        Op::Reduce(_, axes) => (GroupKind::Reduce(*axes), operand(0)),
        Op::Scan(_, axis) => (GroupKind::Scan(*axis), operand(0)),
        Op::Matmul => (GroupKind::Matmul, node.shape.clone()),
        _ => (GroupKind::Map, node.shape.clone()),
    }
}

/// Decides homes and groups.
pub fn fuse(graph: &Graph, options: FuseOptions) -> Fusion {
    let enabled = options.enabled;
    let order = graph.order();
    let mut homes = vec![Home::Inline; graph.bound()];
    let mut notes = Vec::new();

    // What must have memory whatever it costs.
    let mut required = vec![false; graph.bound()];
    for &id in graph.outputs() {
        required[id.index()] = true;
    }
    for &id in &order {
        if matches!(graph.node(id).op, Op::Matmul | Op::Reshape) {
            graph.operands(id).iter().for_each(|o| required[o.index()] = true);
        }
        if !enabled && matches!(graph.node(id).op, Op::Map(_) | Op::Cast) {
            required[id.index()] = true;
        }
    }

    let mut unrolled = vec![false; graph.bound()];
    // Upwards: cost of what would be inline below each node, and the boundaries that no choice can remove.
    let mut weight = vec![0u32; graph.bound()];
    let mut reads = vec![0u32; graph.bound()];
    let mut loads = vec![0u32; graph.bound()];
    let mut boundary = vec![0u32; graph.bound()];
    for &id in &order {
        let (i, node) = (id.index(), graph.node(id));
        let operands = graph.operands(id);
        let natural = |o: NodeId| natural(&graph.node(o).op) && !unrolled[o.index()];
        boundary[i] = operands
            .iter()
            .map(|o| {
                let own = natural(*o) && !matches!(graph.node(*o).op, Op::Input(_));
                boundary[o.index()] + own as u32
            })
            .max()
            .unwrap_or(0);
        let mut w = own_cost(&node.op);
        let mut r = 0u32;
        let mut n = 0u32;
        for o in &operands {
            let from = graph.node(*o);
            let elements = from.shape.elements();
            let repeated = elements.saturating_mul(REPEATED) <= node.shape.elements()
                && elements.saturating_mul(from.dtype.size()) <= CACHED;
            if repeated && matches!(node.op, Op::View(_)) && !matches!(from.op, Op::Const(_) | Op::Iota) {
                // In the cache, and stored if it is worth anything: see below.
                n = n.saturating_add(1);
            } else if natural(*o) || required[o.index()] {
                r = r.saturating_add(from.dtype.size() as u32);
                n = n.saturating_add(1);
            } else {
                w = w.saturating_add(weight[o.index()]);
                r = r.saturating_add(reads[o.index()]);
                n = n.saturating_add(loads[o.index()]);
            }
        }
        if let Op::Reduce(op, axes) = node.op {
            let operand = graph.node(operands[0]);
            let k = reduced(&operand.shape, axes);
            let ordered = match op {
                ReduceOp::Argmin | ReduceOp::Argmax => false,
                ReduceOp::Sum => !(options.exact_sums && operand.dtype.is_float()),
                ReduceOp::Prod | ReduceOp::Min | ReduceOp::Max | ReduceOp::Any | ReduceOp::All => true,
            };
            let most = if w == 0 { UNROLL_LOADS } else { UNROLL };
            let times = k as u32;
            if enabled
                && ordered
                && (1..=most).contains(&k)
                && node.shape.elements() >= UNROLL_RESULTS
                && n * times <= UNROLL_OPERANDS
                && (w + 1) * times <= MAX_WEIGHT / 2
            {
                unrolled[i] = true;
                (w, r, n) = ((w + 1) * times, r * times, n * times);
            }
        }
        loads[i] = n;
        let natural = |o: NodeId| self::natural(&graph.node(o).op) && !unrolled[o.index()];
        // The sum counts shared nodes more than once: count exactly before storing something for its size.
        if w > MAX_WEIGHT && !natural(id) {
            w = exact_weight(graph, id, &required, &unrolled);
            if w > MAX_WEIGHT {
                if !required[i] {
                    notes.push((id, format!("stored: more than {MAX_WEIGHT} cost units would share a kernel")));
                }
                required[i] = true;
            }
        }
        (weight[i], reads[i]) = (w.min(MAX_WEIGHT), r);
    }

    // Downwards: who computes each node.
    let mut keys: FxHashMap<(u32, GroupKind, Shape), u32> = FxHashMap::default();
    let mut owners: Vec<Owners> = vec![Owners::new(); graph.bound()];
    let natural = |o: NodeId| natural(&graph.node(o).op) && !unrolled[o.index()];
    for &id in order.iter().rev() {
        let (i, node) = (id.index(), graph.node(id));
        if natural(id) {
            homes[i] = if node.op == Op::Reshape { Home::Alias } else { Home::Stored };
        } else if required[i] {
            homes[i] = Home::Stored;
        } else {
            let found = std::mem::take(&mut owners[i]);
            let total = found.iter().fold(0u64, |sum, o| sum.saturating_add(o.elements));
            let elements = node.shape.elements() as u64;
            let (w, size) = (weight[i] as u64 + reads[i] as u64, node.dtype.size() as u64);
            let again = total.saturating_mul(w);
            let once =
                elements.saturating_mul(w + size).saturating_add(total.saturating_mul(size)).saturating_add(KERNEL);
            let free = matches!(node.op, Op::Const(_) | Op::Iota | Op::View(_));
            let inline = free || found.len() <= 1 && total <= elements || found.len() <= MAX_OWNERS && again <= once;
            if !inline {
                homes[i] = Home::Stored;
                notes.push((
                    id,
                    format!("stored: {} owners would compute it again, at cost {again} against {once}", found.len()),
                ));
            }
            owners[i] = found;
        }
        // What this node tells its operands.
        let mine: Owners = if homes[i] == Home::Inline {
            std::mem::take(&mut owners[i])
        } else {
            let (kind, shape) = kind(graph, id, &unrolled);
            let elements = shape.elements() as u64;
            let next = keys.len() as u32;
            let key = *keys.entry((boundary[i], kind, shape)).or_insert(next);
            smallvec![Owner { key, elements, view: None }]
        };
        for operand in graph.operands(id) {
            let list = &mut owners[operand.index()];
            // An unrolled reduction reads several views of its operand; the first stands for all.
            let (first, times) = match &node.op {
                Op::View(v) => (Some((**v).clone()), 1),
                Op::Reduce(_, axes) if unrolled[i] => {
                    let shape = &graph.node(operand).shape;
                    (terms(shape, *axes).next(), reduced(shape, *axes) as u64)
                }
                _ => (None, 1),
            };
            for owner in &mine {
                let view = match &first {
                    Some(v) => Some(owner.view.as_ref().map_or_else(|| v.clone(), |w| v.then(w))),
                    None => owner.view.clone(),
                };
                let owner = Owner { view, elements: owner.elements.saturating_mul(times), ..*owner };
                if list.len() <= MAX_OWNERS && !list.contains(&owner) {
                    list.push(owner);
                }
            }
        }
    }

    // A stored view of something that has memory anyway is an alias.
    for &id in &order {
        if homes[id.index()] == Home::Stored
            && matches!(graph.node(id).op, Op::View(_))
            && homes[base(graph, id).index()] != Home::Inline
        {
            homes[id.index()] = Home::Alias;
            // And so are the views it looks through.
            let mut below = graph.operands(id)[0];
            while homes[below.index()] == Home::Inline {
                homes[below.index()] = Home::Alias;
                below = graph.operands(below)[0];
            }
        }
    }

    let groups = group(graph, &order, &homes, &unrolled, enabled);
    Fusion { homes, unrolled, groups, notes }
}

/// What a chain of views looks at.
fn base(graph: &Graph, mut id: NodeId) -> NodeId {
    while matches!(graph.node(id).op, Op::View(_)) {
        id = graph.operands(id)[0];
    }
    id
}

/// The cost of the distinct nodes inline below `id`, counted up to a little above [`MAX_WEIGHT`].
fn exact_weight(graph: &Graph, id: NodeId, stored: &[bool], unrolled: &[bool]) -> u32 {
    let mut seen = rustc_hash::FxHashSet::default();
    let mut stack = vec![id];
    let mut sum = 0u32;
    while let Some(id) = stack.pop() {
        if !seen.insert(id) || sum > MAX_WEIGHT {
            continue;
        }
        sum += own_cost(&graph.node(id).op);
        let natural = |o: &NodeId| natural(&graph.node(*o).op) && !unrolled[o.index()];
        stack.extend(graph.operands(id).into_iter().filter(|o| !natural(o) && !stored[o.index()]));
    }
    sum
}

/// Puts stored nodes of one level, kind and shape together.
fn group(graph: &Graph, order: &[NodeId], homes: &[Home], unrolled: &[bool], enabled: bool) -> Vec<Group> {
    // The level of a node: how many kernels must have run before it can be computed.
    let mut level = vec![0u32; graph.bound()];
    let mut cost = vec![0u32; graph.bound()];
    let mut groups: Vec<(u32, Group)> = Vec::new();
    let mut open: FxHashMap<(u32, GroupKind, Shape), usize> = FxHashMap::default();
    for &id in order {
        let node = graph.node(id);
        let operands = graph.operands(id);
        let below = operands.iter().map(|o| {
            let stored = homes[o.index()] == Home::Stored && !matches!(graph.node(*o).op, Op::Input(_));
            level[o.index()] + stored as u32
        });
        let mine = below.max().unwrap_or(0);
        let input = matches!(node.op, Op::Input(_));
        let inline = operands.iter().filter(|o| homes[o.index()] == Home::Inline).map(|o| cost[o.index()]);
        let mut mine_cost = inline.fold(own_cost(&node.op), u32::saturating_add);
        if let (Op::Reduce(_, axes), true) = (&node.op, unrolled[id.index()]) {
            let times = reduced(&graph.node(operands[0]).shape, *axes) as u32;
            mine_cost = mine_cost.saturating_add(1).saturating_mul(times);
        }
        cost[id.index()] = mine_cost.min(MAX_WEIGHT);
        // An alias stands where its memory stands: what reads it waits for the kernel that writes it.
        level[id.index()] = mine;
        if homes[id.index()] != Home::Stored || input {
            continue;
        }
        let (kind, shape) = kind(graph, id, unrolled);
        let own = cost[id.index()].max(1);
        let entry = open.entry((mine, kind, shape.clone())).or_insert(usize::MAX);
        match groups.get_mut(*entry) {
            Some((_, g))
                if enabled
                    && kind != GroupKind::Matmul
                    && g.roots.len() < MAX_ROOTS
                    && g.weight + own <= MAX_WEIGHT =>
            {
                g.roots.push(id);
                g.weight += own;
            }
            _ => {
                *entry = groups.len();
                groups.push((mine, Group { kind, shape, roots: vec![id], weight: own }));
            }
        }
    }
    groups.sort_by_key(|(level, _)| *level);
    groups.into_iter().map(|(_, g)| g).collect()
}
