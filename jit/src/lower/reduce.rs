//! Short reductions in the lanes: the elements of a result combined one by one, in the order of
//! [`Reduction`](crate::Reduction).

use super::{map, narrow, widen};
use crate::build::Builder;
use crate::kernel::ValueId;
use crate::precision::Precision;
use lazuli_graph::{DType, MapOp, ReduceOp};

/// Lowers the reduction `op` of `terms`, loaded lanes of `dtype` in C order of the axes reduced; the result is of
/// [`ReduceOp::result_dtype`].
///
/// `row` is how many of the terms lie along the trailing axes that are reduced: rows of that many are combined by
/// halving, as the lanes of a block are, and then one after another. It is 1 where the last axis is kept. The terms of
/// a row are at most the lanes of a block: 16.
///
/// There is at least one term, and `op` is no `argmin` or `argmax`, which have no such order.
///
/// ```
/// use lazuli_graph::{DType, ReduceOp};
/// use lazuli_jit::{Builder, Class, Role, Ty, lower};
/// let mut b = Builder::new();
/// let terms = [(); 3].map(|()| {
///     let operand = b.operand(Role::Input, DType::F64, Class::Strided);
///     b.load(operand)
/// });
/// let sum = lower::reduce(&mut b, ReduceOp::Sum, DType::F64, &terms, 3);
/// assert_eq!(b.ty(sum), Ty::F64);
/// ```
pub fn reduce(b: &mut Builder, op: ReduceOp, dtype: DType, terms: &[ValueId], row: usize) -> ValueId {
    debug_assert!(!terms.is_empty() && (1..=16).contains(&row) && terms.len().is_multiple_of(row), "{op}");
    let mut total = None;
    for terms in terms.chunks(row.max(1)) {
        let mut lanes: Vec<ValueId> = terms.iter().map(|&t| state(b, op, dtype, t)).collect();
        let mut half = lanes.len().next_power_of_two() / 2;
        while half > 0 {
            // Lanes that no element went to hold the identity, which changes nothing.
            for j in half..lanes.len() {
                lanes[j - half] = join(b, op, dtype, lanes[j - half], lanes[j]);
            }
            lanes.truncate(half);
            half /= 2;
        }
        total = Some(match total {
            None => lanes[0],
            Some(total) => join(b, op, dtype, total, lanes[0]),
        });
    }
    let total = total.unwrap_or(ValueId(0));
    match op {
        ReduceOp::Sum if dtype.is_float() => {
            // A sum of negative zeros is zero, as of nothing.
            let zero = b.float(b.ty(total), 0.0);
            let sum = b.fadd(total, zero);
            narrow(b, dtype, sum)
        }
        ReduceOp::Prod if dtype.is_float() => narrow(b, dtype, total),
        ReduceOp::Sum
        | ReduceOp::Prod
        | ReduceOp::Min
        | ReduceOp::Max
        | ReduceOp::Any
        | ReduceOp::All
        | ReduceOp::Argmin
        | ReduceOp::Argmax => total,
    }
}

/// What an element counts as: sums and products of 16-bit floats are accumulated in `F32`.
fn state(b: &mut Builder, op: ReduceOp, dtype: DType, x: ValueId) -> ValueId {
    match op {
        ReduceOp::Sum | ReduceOp::Prod => widen(b, dtype, x),
        // Any byte that is not zero is true.
        ReduceOp::Any | ReduceOp::All => map(b, MapOp::LogicalOr, dtype, &[x, x], Precision::Standard),
        ReduceOp::Min | ReduceOp::Max | ReduceOp::Argmin | ReduceOp::Argmax => x,
    }
}

fn join(b: &mut Builder, op: ReduceOp, dtype: DType, x: ValueId, y: ValueId) -> ValueId {
    let op = match op {
        ReduceOp::Sum if dtype.is_float() => return b.fadd(x, y),
        ReduceOp::Prod if dtype.is_float() => return b.fmul(x, y),
        ReduceOp::Sum => return b.iadd(x, y),
        ReduceOp::Prod => return b.imul(x, y),
        ReduceOp::Min | ReduceOp::Argmin => MapOp::Minimum,
        ReduceOp::Max | ReduceOp::Argmax => MapOp::Maximum,
        ReduceOp::Any => MapOp::LogicalOr,
        ReduceOp::All => MapOp::LogicalAnd,
    };
    map(b, op, dtype, &[x, y], Precision::Standard)
}
