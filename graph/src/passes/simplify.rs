//! Rewrites of single nodes, by what they do and what their operands are.
//!
//! Every rule holds for all operands, with NaN, infinities, signed zeros and subnormals; where that is not plain, a
//! comment says why. Rules only remove nodes or put cheaper ones in their place, so applying them until none fits
//! comes to an end.

use super::{Context, add_like, constant, is_normal};
use crate::graph::{Graph, NodeId};
use crate::{DType, Kind, MapOp, Op, ReduceOp, Scalar};
use smallvec::{SmallVec, smallvec};

pub(super) const DOC: &str = "Removes operations that do nothing, and picks the cheaper of two that are equal.";

pub(super) fn run(graph: &mut Graph, context: &mut Context<'_>) {
    for id in graph.order() {
        let mut id = id;
        while let Some((why, rewrite)) = rule(graph, context, id) {
            match rewrite {
                Rewrite::Use(node) => {
                    context.replace(graph, id, node, || why.to_owned());
                    break;
                }
                Rewrite::New(op, operands) => {
                    let node = add_like(graph, id, op, &operands);
                    context.replace(graph, id, node, || why.to_owned());
                    id = node;
                }
            }
        }
    }
}

/// What to put in place of a node.
enum Rewrite {
    /// A node that is there.
    Use(NodeId),
    /// A new node of the same dtype and shape.
    New(Op, SmallVec<[NodeId; 3]>),
}
use Rewrite::{New, Use};

/// A rewrite and why it is right.
type Rule = Option<(&'static str, Rewrite)>;

fn rule(graph: &mut Graph, context: &Context<'_>, id: NodeId) -> Rule {
    let node = graph.node(id);
    let operands = graph.operands(id);
    if node.shape.elements() == 0 && !matches!(node.op, Op::Input(_) | Op::Const(_)) {
        return Some(("it has no elements", New(Op::Const(Scalar::zero(node.dtype)), smallvec![])));
    }
    match (&node.op, operands.as_slice()) {
        (Op::Map(op), _) => {
            let op = *op;
            properties(graph, op, &operands).or_else(|| map(graph, context, op, &operands))
        }
        (Op::Cast, &[x]) => cast(graph, x, node.dtype),
        (Op::View(view), &[x]) => {
            view.is_identity(&graph.node(x).shape).then_some(("the view is all of its source", Use(x)))
        }
        (Op::Reshape, &[x]) => {
            let source = graph.node(x);
            if source.shape == node.shape {
                return Some(("it has that shape", Use(x)));
            }
            matches!(source.op, Op::Reshape).then(|| ("reshape of reshape", New(Op::Reshape, graph.operands(x))))
        }
        (Op::Reduce(op, axes), &[x]) if axes.is_empty() => {
            let same = match op {
                // The sum of the one number -0.0 is 0.0, as NumPy's.
                ReduceOp::Sum => !node.dtype.is_float(),
                ReduceOp::Prod | ReduceOp::Min | ReduceOp::Max | ReduceOp::Any | ReduceOp::All => true,
                ReduceOp::Argmin | ReduceOp::Argmax => false,
            };
            same.then_some(("there are no axes to reduce", Use(x)))
        }
        _ => None,
    }
}

/// What follows from an op's row of the table.
fn properties(graph: &Graph, op: MapOp, operands: &[NodeId]) -> Rule {
    let props = op.row().props;
    match *operands {
        [x] if graph.node(x).op == Op::Map(op) => {
            if props.involution {
                return Some(("f(f(x)) = x", Use(graph.operands(x)[0])));
            }
            props.idempotent.then_some(("f(f(x)) = f(x)", Use(x)))
        }
        [x, y] if x == y && props.idempotent => Some(("f(x, x) = x", Use(x))),
        _ => None,
    }
}

/// Rules of single ops. There is no wildcard arm, so that a new op comes by here.
fn map(graph: &mut Graph, context: &Context<'_>, op: MapOp, operands: &[NodeId]) -> Rule {
    let a = operands[0];
    let b = operands.get(1).copied().unwrap_or(a);
    // The dtype the op computes in.
    let dtype = graph.node(*operands.last()?).dtype;
    match op {
        MapOp::Add => {
            // Not 0.0: -0.0 + 0.0 is 0.0.
            let zero = if dtype.is_float() { Scalar::from_f64(dtype, -0.0) } else { Scalar::zero(dtype) };
            neutral(graph, a, b, zero, "x + 0 = x")
                .or_else(|| Some(("x + -y = x - y", New(Op::Map(MapOp::Subtract), smallvec![a, negated(graph, b)?]))))
                .or_else(|| Some(("-x + y = y - x", New(Op::Map(MapOp::Subtract), smallvec![b, negated(graph, a)?]))))
        }
        MapOp::Subtract => right_neutral(graph, a, b, Scalar::zero(dtype), "x - 0 = x")
            .or_else(|| Some(("x - -y = x + y", New(Op::Map(MapOp::Add), smallvec![a, negated(graph, b)?])))),
        MapOp::Multiply => {
            if a == b && dtype != DType::Bool {
                return Some(("x * x = square(x)", New(Op::Map(MapOp::Square), smallvec![a])));
            }
            if a == b {
                return Some(("x and x = x", Use(a)));
            }
            neutral(graph, a, b, Scalar::one(dtype), "x * 1 = x")
                .or_else(|| both_negated(graph, op, a, b))
                .or_else(|| one_negated(graph, context, op, a, b))
        }
        MapOp::Divide => right_neutral(graph, a, b, Scalar::one(dtype), "x / 1 = x")
            .or_else(|| both_negated(graph, op, a, b))
            .or_else(|| one_negated(graph, context, op, a, b))
            .or_else(|| {
                let inverse = exact_inverse(constant(graph, b)?)?;
                let inverse = constant_like(graph, b, inverse);
                Some((
                    "division by a power of two is multiplication",
                    New(Op::Map(MapOp::Multiply), smallvec![a, inverse]),
                ))
            }),
        MapOp::FloorDivide if dtype.is_integer() => right_neutral(graph, a, b, Scalar::one(dtype), "x // 1 = x"),
        MapOp::Square => {
            let magnitude = operand_of(graph, a, MapOp::Negative).or_else(|| operand_of(graph, a, MapOp::Abs))?;
            Some(("the sign does not matter", New(Op::Map(MapOp::Square), smallvec![magnitude])))
        }
        MapOp::Abs => match dtype.kind() {
            Kind::Bool | Kind::Unsigned => Some(("it has no sign", Use(a))),
            Kind::Signed | Kind::Float => Some(("abs(-x) = abs(x)", New(Op::Map(op), smallvec![negated(graph, a)?]))),
        },
        MapOp::Round | MapOp::Floor | MapOp::Ceil | MapOp::Trunc => {
            if !dtype.is_float() {
                return Some(("integers are whole", Use(a)));
            }
            let whole = [MapOp::Round, MapOp::Floor, MapOp::Ceil, MapOp::Trunc];
            whole.iter().any(|&w| graph.node(a).op == Op::Map(w)).then_some(("it is whole already", Use(a)))
        }
        MapOp::Isnan | MapOp::Isinf if !dtype.is_float() => {
            Some(("integers are finite", New(truth(false), smallvec![])))
        }
        MapOp::Isfinite if !dtype.is_float() => Some(("integers are finite", New(truth(true), smallvec![]))),
        MapOp::Signbit if matches!(dtype.kind(), Kind::Bool | Kind::Unsigned) => {
            Some(("it has no sign", New(truth(false), smallvec![])))
        }
        MapOp::LogicalAnd => neutral(graph, a, b, truth_value(true), "x and true = x"),
        MapOp::LogicalOr => neutral(graph, a, b, truth_value(false), "x or false = x"),
        MapOp::LogicalXor => neutral(graph, a, b, truth_value(false), "x xor false = x"),
        MapOp::LogicalNot => inverse_comparison(graph, a),
        MapOp::Invert if dtype == DType::Bool => inverse_comparison(graph, a),
        MapOp::BitwiseAnd => {
            let ones = if dtype == DType::Bool { truth_value(true) } else { Scalar::from_i64(dtype, -1) };
            neutral(graph, a, b, ones, "x & ~0 = x")
        }
        MapOp::BitwiseOr => neutral(graph, a, b, Scalar::zero(dtype), "x | 0 = x"),
        MapOp::BitwiseXor => neutral(graph, a, b, Scalar::zero(dtype), "x ^ 0 = x"),
        MapOp::LeftShift => right_neutral(graph, a, b, Scalar::zero(dtype), "x << 0 = x"),
        MapOp::RightShift => right_neutral(graph, a, b, Scalar::zero(dtype), "x >> 0 = x"),
        MapOp::Where => {
            let c = *operands.last()?;
            if b == c {
                return Some(("both choices are the same", Use(b)));
            }
            match constant(graph, a) {
                Some(condition) if condition.as_bool() => return Some(("the condition is true", Use(b))),
                Some(_) => return Some(("the condition is false", Use(c))),
                None => {}
            }
            let not = operand_of(graph, a, MapOp::LogicalNot).or_else(|| operand_of(graph, a, MapOp::Invert))?;
            Some(("where(not c, x, y) = where(c, y, x)", New(Op::Map(op), smallvec![not, c, b])))
        }
        MapOp::Negative
        | MapOp::Sign
        | MapOp::FloorDivide
        | MapOp::Remainder
        | MapOp::Pow
        | MapOp::Reciprocal
        | MapOp::Minimum
        | MapOp::Maximum
        | MapOp::Fmin
        | MapOp::Fmax
        | MapOp::Copysign
        | MapOp::Sqrt
        | MapOp::Hypot
        | MapOp::Exp
        | MapOp::Exp2
        | MapOp::Expm1
        | MapOp::Log
        | MapOp::Log2
        | MapOp::Log10
        | MapOp::Log1p
        | MapOp::Sin
        | MapOp::Cos
        | MapOp::Tan
        | MapOp::Asin
        | MapOp::Acos
        | MapOp::Atan
        | MapOp::Atan2
        | MapOp::Sinh
        | MapOp::Cosh
        | MapOp::Tanh
        | MapOp::Cbrt
        | MapOp::Logaddexp
        | MapOp::Asinh
        | MapOp::Acosh
        | MapOp::Atanh
        | MapOp::Sigmoid
        | MapOp::Erf
        | MapOp::Erfc
        | MapOp::Equal
        | MapOp::NotEqual
        | MapOp::Less
        | MapOp::LessEqual
        | MapOp::Greater
        | MapOp::GreaterEqual
        | MapOp::Isnan
        | MapOp::Isinf
        | MapOp::Isfinite
        | MapOp::Signbit
        | MapOp::Invert => None,
    }
}

fn truth_value(value: bool) -> Scalar {
    Scalar::from_bits(DType::Bool, value as u64)
}

fn truth(value: bool) -> Op {
    Op::Const(truth_value(value))
}

/// The operand of `id`, if `id` is the unary `op`.
fn operand_of(graph: &Graph, id: NodeId, op: MapOp) -> Option<NodeId> {
    (graph.node(id).op == Op::Map(op)).then(|| graph.operands(id)[0])
}

fn negated(graph: &Graph, id: NodeId) -> Option<NodeId> {
    operand_of(graph, id, MapOp::Negative)
}

/// The other operand, if one is the constant `value`.
fn neutral(graph: &Graph, a: NodeId, b: NodeId, value: Scalar, why: &'static str) -> Rule {
    right_neutral(graph, a, b, value, why).or_else(|| right_neutral(graph, b, a, value, why))
}

/// `a`, if `b` is the constant `value`.
fn right_neutral(graph: &Graph, a: NodeId, b: NodeId, value: Scalar, why: &'static str) -> Rule {
    (constant(graph, b) == Some(value)).then_some((why, Use(a)))
}

/// `op(-x, -y) = op(x, y)`.
fn both_negated(graph: &Graph, op: MapOp, a: NodeId, b: NodeId) -> Rule {
    Some(("the signs cancel", New(Op::Map(op), smallvec![negated(graph, a)?, negated(graph, b)?])))
}

/// `op(-x, c) = op(x, -c)` of a product or a quotient, and the other way round. (A product that is negated is left alone: others
/// may need it as it is.)
fn one_negated(graph: &mut Graph, context: &Context<'_>, op: MapOp, a: NodeId, b: NodeId) -> Rule {
    let mut operands: SmallVec<[NodeId; 3]> = smallvec![a, b];
    let (at, x) = (0..2).find_map(|at| Some((at, negated(graph, operands[at])?)))?;
    let c = constant(graph, operands[1 - at])?;
    let minus_c = (context.evaluate)(&Op::Map(MapOp::Negative), c.dtype(), c.dtype(), &[c]);
    operands[at] = x;
    operands[1 - at] = constant_like(graph, operands[1 - at], minus_c);
    Some(("the constant takes the sign", New(Op::Map(op), operands)))
}

/// A constant in place of another.
fn constant_like(graph: &mut Graph, c: NodeId, value: Scalar) -> NodeId {
    let (shape, at) = (graph.node(c).shape.clone(), graph.node(c).at);
    graph.add(Op::Const(value), value.dtype(), shape, &[], at)
}

/// `1 / x`, if `x` is a power of two and both are normal numbers: then dividing by the one and multiplying with the
/// other round the same real number.
fn exact_inverse(x: Scalar) -> Option<Scalar> {
    if !x.dtype().is_float() {
        return None;
    }
    let inverse = Scalar::from_f64(x.dtype(), 1.0 / x.as_f64());
    let power_of_two = x.as_f64().to_bits() << 12 == 0;
    (power_of_two && is_normal(x) && is_normal(inverse)).then_some(inverse)
}

/// `not (x < y) = x >= y`, and so on.
fn inverse_comparison(graph: &Graph, id: NodeId) -> Rule {
    let Op::Map(op) = graph.node(id).op else { return None };
    let operands = graph.operands(id);
    // Every ordered comparison with NaN is false, its inverse too.
    let ordered = operands.first().is_some_and(|&x| !graph.node(x).dtype.is_float());
    let inverse = match op {
        MapOp::Equal => MapOp::NotEqual,
        MapOp::NotEqual => MapOp::Equal,
        MapOp::Less if ordered => MapOp::GreaterEqual,
        MapOp::LessEqual if ordered => MapOp::Greater,
        MapOp::Greater if ordered => MapOp::LessEqual,
        MapOp::GreaterEqual if ordered => MapOp::Less,
        _ => return None,
    };
    Some(("the inverse comparison", New(Op::Map(inverse), operands)))
}

fn cast(graph: &Graph, x: NodeId, to: DType) -> Rule {
    let middle = graph.node(x).dtype;
    if middle == to {
        return Some(("it has that dtype", Use(x)));
    }
    if graph.node(x).op != Op::Cast {
        return None;
    }
    let source = graph.operands(x);
    let from = graph.node(source[0]).dtype;
    // Widened without loss, then converted without loss or asked whether it is zero.
    let widened = lossless(from, middle) && (lossless(from, to) || to == DType::Bool);
    // The low bits of the low bits.
    let wrapped = [from, middle, to].iter().all(|d| d.is_integer()) && middle.size() >= to.size();
    match widened || wrapped {
        true if from == to => Some(("there and back", Use(source[0]))),
        true => Some(("the step between loses nothing", New(Op::Cast, source))),
        false => None,
    }
}

/// Whether every value of `from` has an equal value in `to`, so that casting there and back changes nothing (up to
/// the sign and payload of NaN).
fn lossless(from: DType, to: DType) -> bool {
    // The digits an integer has, and a float keeps.
    let digits = |d: DType| match d {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        DType::F64 => 53,
        d if d.kind() == Kind::Signed => 8 * d.size() - 1,
        d => 8 * d.size(),
    };
    from == to
        || match (from.kind(), to.kind()) {
            (Kind::Bool, _) => true,
            (_, Kind::Bool) | (Kind::Float, Kind::Signed | Kind::Unsigned) | (Kind::Signed, Kind::Unsigned) => false,
            (Kind::Float, Kind::Float) => to == DType::F64 || (to == DType::F32 && from.size() == 2),
            // A float's exponent reaches far enough: 2^8 < 65504 for the one-byte integers that fit float16's digits.
            (Kind::Signed | Kind::Unsigned, _) => digits(from) <= digits(to),
        }
}
