//! What a node of the graph does.

use crate::ops::{MapOp, ReduceOp, ScanOp};
use crate::shape::Axes;
use crate::{Scalar, View};

/// The operation of a node. Dtype and shape of the result stand beside it in the node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// An array given from outside: leaf `n` of the computation.
    Input(u32),
    /// One value at every position.
    Const(Scalar),
    /// The `int64` position of each element in C order.
    Iota,
    /// An elementwise operation; operands have the result's shape, and the dtype that its row's rule computes in.
    Map(MapOp),
    /// Conversion to the node's dtype, as `astype`.
    Cast,
    /// An affine view of the operand.
    /// Boxed, for it is large and every node has room for its op.
    View(Box<View>),
    /// The operand's elements in C order, in the node's shape.
    Reshape,
    /// A reduction of the operand, already in [`ReduceOp::operand_dtype`]; the axes are dropped.
    Reduce(ReduceOp, Axes),
    /// A scan of the operand along one axis.
    Scan(ScanOp, u8),
    /// The product of two stacks of matrices with equal leading axes: `[..., m, k]` by `[..., k, n]`.
    Matmul,
}

impl Op {
    /// The op's name, as in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Const(_) => "const",
            Op::Iota => "iota",
            Op::Map(op) => op.name(),
            Op::Cast => "cast",
            Op::View(_) => "view",
            Op::Reshape => "reshape",
            Op::Reduce(op, _) => op.name(),
            Op::Scan(op, _) => op.name(),
            Op::Matmul => "matmul",
        }
    }

    /// The number of operands.
    pub fn arity(&self) -> usize {
        match self {
            Op::Input(_) | Op::Const(_) | Op::Iota => 0,
            Op::Map(op) => op.row().arity as usize,
            Op::Cast | Op::View(_) | Op::Reshape | Op::Reduce(..) | Op::Scan(..) => 1,
            Op::Matmul => 2,
        }
    }
}
