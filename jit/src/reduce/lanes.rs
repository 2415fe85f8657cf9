//! Reductions as primitives of a lane program: what [`super::fold`] does to elements, for backends that keep states in
//! registers.

use super::Reduction;
use crate::build::Builder;
use crate::kernel::{Class, Kernel, Prim, Role, Ty, ValueId};
use crate::lower;
use lazuli_graph::{DType, ReduceOp};
use smallvec::SmallVec;

/// How two states are combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Join {
    /// `FAdd`, `FMul`, `IAdd`, `IMul` or a minimum or maximum of integers.
    pub(crate) prim: Prim,
    /// The bits of the state that changes no other.
    pub(crate) identity: u64,
    /// The state is the key of a float, by which floats are ordered.
    pub(crate) key: bool,
}

/// The kernel whose outputs are the states of single elements, with how they are combined, one for each store.
/// `reductions` has one for each output, in the order of the operands. `None` if a state is no number of 4 or 8 bytes.
pub(crate) fn states(kernel: &Kernel, reductions: &[Reduction]) -> Option<(Kernel, Vec<Join>)> {
    let outputs = kernel.operands.iter().enumerate().filter(|(_, o)| o.role == Role::Output);
    let outputs: Vec<usize> = outputs.map(|(i, _)| i).collect();
    if outputs.len() != reductions.len() {
        return None;
    }
    let mut b = Builder::of(kernel);
    let (mut made, mut joins) = (Vec::new(), Vec::new());
    for store in &kernel.stores {
        let reduction = &reductions[outputs.iter().position(|&o| o == store.operand as usize)?];
        let (value, dtype, join) = state(&mut b, reduction, store.value)?;
        made.push((value, dtype));
        joins.push(join);
    }
    let mut kernel = b.finish();
    for (store, (value, dtype)) in kernel.stores.iter_mut().zip(made) {
        kernel.operands[store.operand as usize].dtype = dtype;
        store.value = value;
    }
    Some((kernel, joins))
}

/// What a kernel made by [`columns`] reads and writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Columns {
    /// Rows that are added at a time.
    pub(crate) rows: usize,
    /// Of each operand, which one of the original it is; `Some` row of an input that moves from row to row.
    pub(crate) operands: Vec<(usize, Option<usize>)>,
    /// Bytes of the states of each original output.
    pub(crate) states: SmallVec<[u8; 2]>,
}

/// The kernel that adds `rows` rows of elements to a row of states, one after another. Of each original output it reads
/// the states, which lie side by side, and writes them in the same place. Inputs that are `fixed` are the same for every
/// row. `None` as for [`states`].
pub(crate) fn columns(
    kernel: &Kernel,
    reductions: &[Reduction],
    fixed: &[bool],
    rows: usize,
) -> Option<(Kernel, Columns)> {
    let (single, joins) = states(kernel, reductions)?;
    let mut b = Builder::new();
    let mut made = Columns { rows, operands: Vec::new(), states: SmallVec::new() };
    // The operand that stands for each of the original, in each row.
    let mut places = vec![vec![0; single.operands.len()]; rows];
    for (k, o) in single.operands.iter().enumerate().filter(|(_, o)| o.role != Role::Output) {
        for row in 0..if fixed[k] { 1 } else { rows } {
            let operand = b.operand(o.role, o.dtype, o.class);
            made.operands.push((k, (!fixed[k]).then_some(row)));
            places.iter_mut().skip(row).for_each(|p| p[k] = operand);
        }
    }
    let outputs = single.operands.iter().enumerate().filter(|(_, o)| o.role == Role::Output);
    let outputs: Vec<(usize, DType)> = outputs.map(|(k, o)| (k, o.dtype)).collect();
    let mut sums = vec![ValueId(0); single.operands.len()];
    for &(k, dtype) in &outputs {
        let operand = b.operand(Role::Input, dtype, Class::Contiguous);
        made.operands.push((k, None));
        sums[k] = b.load(operand);
        made.states.push(dtype.size() as u8);
    }
    for places in &places {
        let mut values: Vec<ValueId> = Vec::with_capacity(single.insts.len());
        for inst in &single.insts {
            let mut args = inst.args;
            let arity = inst.args().len();
            args[..arity].iter_mut().for_each(|a| *a = values[a.0 as usize]);
            let reads = matches!(inst.prim, Prim::Load | Prim::Index);
            let imm = if reads { u64::from(places[inst.imm as usize]) } else { inst.imm };
            values.push(b.inst(inst.prim, inst.ty, args, imm));
        }
        for (store, join) in single.stores.iter().zip(&joins) {
            let (k, value) = (store.operand as usize, values[store.value.0 as usize]);
            sums[k] = b.inst(join.prim, b.ty(value), [sums[k], value, ValueId(0)], 0);
        }
    }
    for &(k, dtype) in &outputs {
        let operand = b.operand(Role::Output, dtype, Class::Contiguous);
        made.operands.push((k, None));
        b.store(operand, sums[k]);
    }
    Some((b.finish(), made))
}

/// The state of an element, its dtype, and how states are combined.
fn state(b: &mut Builder, reduction: &Reduction, x: ValueId) -> Option<(ValueId, DType, Join)> {
    use ReduceOp as R;
    let (op, dtype) = (reduction.op(), reduction.dtype());
    if reduction.exact || (dtype.size() < 4 && !dtype.is_float()) {
        return None;
    }
    let join = |prim, identity| Join { prim, identity, key: false };
    Some(match op {
        R::Sum | R::Prod if dtype.is_float() => {
            let state = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let prim = if op == R::Sum { Prim::FAdd } else { Prim::FMul };
            let identity = if op == R::Sum { -0.0f64 } else { 1.0 };
            let bits = if state == DType::F64 { identity.to_bits() } else { (identity as f32).to_bits().into() };
            (lower::widen(b, dtype, x), state, join(prim, bits))
        }
        R::Sum => (x, dtype, join(Prim::IAdd, 0)),
        R::Prod => (x, dtype, join(Prim::IMul, 1)),
        R::Min | R::Max if dtype.is_float() => {
            // The same keys as in `fold`.
            let (ty, state, infinity) = match dtype {
                DType::F64 => (Ty::I64, DType::I64, 0x7ff0_0000_0000_0000),
                DType::F32 => (Ty::I32, DType::I32, 0x7f80_0000),
                _ => return None,
            };
            let size = 8 * ty.size() as i64;
            let least = i64::MIN >> (64 - size);
            let bits = b.bitcast(ty, x);
            let (rest, shift) = (b.int(ty, !least), b.int(ty, size - 1));
            let sign = b.shr_s(bits, shift);
            let flips = b.and(sign, rest);
            let ordered = b.xor(bits, flips);
            let nan = b.fne(x, x);
            // NaN wins, infinity of the other end is beaten by all.
            let (end, prim) = if op == R::Min { (least, Prim::SMin) } else { (!least, Prim::SMax) };
            let end = b.int(ty, end);
            let ones = u64::MAX >> (64 - size);
            let identity = if op == R::Min { infinity } else { !infinity & ones };
            (b.select(nan, end, ordered), state, Join { key: true, ..join(prim, identity) })
        }
        R::Min | R::Max => {
            let signed = matches!(dtype, DType::I32 | DType::I64);
            let ones = u64::MAX >> (64 - 8 * dtype.size());
            let (low, high) = if signed { (ones / 2 + 1, ones / 2) } else { (0, ones) };
            let (prim, identity) = match (op, signed) {
                (R::Min, true) => (Prim::SMin, high),
                (R::Min, false) => (Prim::UMin, high),
                (_, true) => (Prim::SMax, low),
                (_, false) => (Prim::UMax, low),
            };
            (x, dtype, join(prim, identity))
        }
        R::Any | R::All | R::Argmin | R::Argmax => return None,
    })
}
