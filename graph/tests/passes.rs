//! The passes change no bit: random graphs, computed element by element before and after.
// The helpers are tests as well.
#![allow(clippy::unwrap_used)]

use lazuli_graph::passes::{Options, PASSES, PassSet, optimize};
use lazuli_graph::{Axes, Capture, DType, Expr, Graph, Index, MapOp, Node, Op, ReduceOp, Scalar, Shape, View};
use proptest::prelude::*;
use std::collections::HashMap;

/// `op` on scalars that have the dtype it computes in.
fn map(op: MapOp, result: DType, x: &[Scalar]) -> Scalar {
    let dtype = x[x.len() - 1].dtype();
    let bits = |b: bool| Scalar::from_bits(DType::Bool, b as u64);
    let (a, b) = (x[0], x[x.len().min(2) - 1]);
    if op == MapOp::Where {
        return if a.as_bool() { x[1] } else { x[2] };
    }
    if dtype.is_float() {
        let (p, q) = (a.as_f64(), b.as_f64());
        // One operation in f64, rounded to f32, is that operation in f32.
        let float = |x: f64| Scalar::from_f64(result, x);
        return match op {
            MapOp::Add => float(p + q),
            MapOp::Subtract => float(p - q),
            MapOp::Multiply => float(p * q),
            MapOp::Divide => float(p / q),
            MapOp::Square => float(p * p),
            MapOp::Negative => float(-p),
            MapOp::Abs => float(p.abs()),
            MapOp::Sign => float(if p == 0.0 || p.is_nan() { p } else { p.signum() }),
            MapOp::Floor => float(p.floor()),
            MapOp::Ceil => float(p.ceil()),
            MapOp::Trunc => float(p.trunc()),
            MapOp::Round => float(p.round_ties_even()),
            // Of equal numbers the second, as the order must matter here.
            MapOp::Minimum => float(if p.is_nan() || p < q { p } else { q }),
            MapOp::Maximum => float(if p.is_nan() || p > q { p } else { q }),
            MapOp::Equal => bits(p == q),
            MapOp::NotEqual => bits(p != q),
            MapOp::Less => bits(p < q),
            MapOp::GreaterEqual => bits(p >= q),
            MapOp::Isnan => bits(p.is_nan()),
            // The sign of NaN does not count; arithmetic is free to choose it.
            MapOp::Signbit => bits(p.is_sign_negative() && !p.is_nan()),
            _ => panic!("{op} of {dtype}"),
        };
    }
    let (p, q) = (a.as_i64(), b.as_i64());
    let int = |x: i64| Scalar::from_bits(result, x as u64);
    let truth = dtype == DType::Bool;
    match op {
        MapOp::Add if truth => bits(a.as_bool() || b.as_bool()),
        MapOp::Multiply if truth => bits(a.as_bool() && b.as_bool()),
        MapOp::Add => int(p.wrapping_add(q)),
        MapOp::Subtract => int(p.wrapping_sub(q)),
        MapOp::Multiply => int(p.wrapping_mul(q)),
        MapOp::Square => int(p.wrapping_mul(p)),
        MapOp::Negative => int(p.wrapping_neg()),
        MapOp::Abs if dtype == DType::U8 => a,
        MapOp::Abs => int(p.wrapping_abs()),
        MapOp::Sign => int((p > 0) as i64 - (p < 0 && dtype != DType::U8) as i64),
        MapOp::Floor | MapOp::Ceil | MapOp::Trunc | MapOp::Round => a,
        MapOp::Minimum => int(p.min(q)),
        MapOp::Maximum => int(p.max(q)),
        MapOp::Equal => bits(p == q),
        MapOp::NotEqual => bits(p != q),
        MapOp::Less => bits(p < q),
        MapOp::GreaterEqual => bits(p >= q),
        MapOp::Isnan => bits(false),
        MapOp::Signbit => bits(p < 0),
        MapOp::LogicalAnd => bits(a.as_bool() && b.as_bool()),
        MapOp::LogicalOr => bits(a.as_bool() || b.as_bool()),
        MapOp::LogicalXor => bits(a.as_bool() != b.as_bool()),
        MapOp::LogicalNot => bits(!a.as_bool()),
        MapOp::Invert if truth => bits(!a.as_bool()),
        MapOp::Invert => int(!p),
        MapOp::BitwiseAnd => int(p & q),
        MapOp::BitwiseOr => int(p | q),
        MapOp::BitwiseXor => int(p ^ q),
        _ => panic!("{op} of {dtype}"),
    }
}

const MAPS: &[MapOp] = &[
    MapOp::Add,
    MapOp::Subtract,
    MapOp::Multiply,
    MapOp::Divide,
    MapOp::Square,
    MapOp::Negative,
    MapOp::Abs,
    MapOp::Sign,
    MapOp::Floor,
    MapOp::Ceil,
    MapOp::Trunc,
    MapOp::Round,
    MapOp::Minimum,
    MapOp::Maximum,
    MapOp::Equal,
    MapOp::NotEqual,
    MapOp::Less,
    MapOp::GreaterEqual,
    MapOp::Isnan,
    MapOp::Signbit,
    MapOp::LogicalAnd,
    MapOp::LogicalOr,
    MapOp::LogicalXor,
    MapOp::LogicalNot,
    MapOp::Invert,
    MapOp::BitwiseAnd,
    MapOp::BitwiseOr,
    MapOp::BitwiseXor,
    MapOp::Where,
];

fn evaluate(op: &Op, _: DType, result: DType, x: &[Scalar]) -> Scalar {
    match op {
        Op::Map(op) => map(*op, result, x),
        Op::Cast => x[0].cast(result),
        _ => panic!("{op:?} is not elementwise"),
    }
}

/// Every index of `shape` in C order.
fn indices(shape: &Shape) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &n| {
        all.iter().flat_map(|head| (0..n).map(move |i| [head.as_slice(), &[i]].concat())).collect()
    })
}

fn flat(shape: &Shape, index: &[usize]) -> usize {
    index.iter().zip(shape.iter()).fold(0, |at, (&i, &n)| at * n + i)
}

/// Element `i` of input `n`.
fn input(n: u32, i: usize, dtype: DType) -> Scalar {
    const FLOATS: [f64; 9] = [0.0, -0.0, 1.5, -2.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e-45];
    const INTS: [i64; 6] = [0, 1, -1, 7, i64::MIN, i64::MAX];
    let i = i + 4 * n as usize;
    match dtype.is_float() {
        true => Scalar::from_f64(dtype, FLOATS[i % FLOATS.len()]),
        // Not from_i64: of the extremes, the low bits of every dtype are of interest.
        false if dtype == DType::Bool => Scalar::from_bits(dtype, i.is_multiple_of(3) as u64),
        false if i % 6 == 5 => Scalar::from_bits(dtype, 1 << (8 * dtype.size() - 1)),
        false => Scalar::from_bits(dtype, INTS[i % INTS.len()] as u64),
    }
}

/// The elements of every output, in C order.
fn run(graph: &Graph) -> Vec<Vec<Scalar>> {
    let mut values: HashMap<_, (Shape, Vec<Scalar>)> = HashMap::new();
    for id in graph.order() {
        let Node { op, dtype, shape, .. } = graph.node(id).clone();
        let operands = graph.operands(id);
        let operand = |i: usize| &values[&operands[i]];
        let n = shape.elements();
        let out: Vec<Scalar> = match &op {
            Op::Input(k) => (0..n).map(|i| input(*k, i, dtype)).collect(),
            Op::Const(value) => vec![*value; n],
            Op::Iota => (0..n).map(|i| Scalar::from_i64(dtype, i as i64)).collect(),
            Op::Map(_) | Op::Cast => {
                let compute = operand(operands.len() - 1).1.first().map_or(dtype, |x| x.dtype());
                let args = |i: usize| (0..operands.len()).map(|k| operand(k).1[i]).collect::<Vec<_>>();
                (0..n).map(|i| evaluate(&op, compute, dtype, &args(i))).collect()
            }
            Op::View(view) => {
                let (source, elements) = operand(0);
                let read = |index: Vec<usize>| {
                    let axis =
                        |a: &lazuli_graph::AxisMap| a.start + a.dim.map_or(0, |d| a.step * index[d as usize] as i64);
                    let at: Vec<usize> = view.axes().iter().map(|a| axis(a) as usize).collect();
                    elements[flat(source, &at)]
                };
                indices(&shape).into_iter().map(read).collect()
            }
            Op::Reshape => operand(0).1.clone(),
            Op::Reduce(op, axes) => {
                let (source, elements) = operand(0);
                let mut out = vec![None; n];
                for (index, &x) in indices(source).iter().zip(elements) {
                    let kept: Vec<usize> = (0..index.len()).filter(|&i| !axes.contains(i)).map(|i| index[i]).collect();
                    let slot = &mut out[flat(&shape, &kept)];
                    let combine = match op {
                        ReduceOp::Sum => MapOp::Add,
                        ReduceOp::Max => MapOp::Maximum,
                        _ => panic!("{op}"),
                    };
                    *slot = Some(slot.map_or(x, |acc| map(combine, dtype, &[acc, x])));
                }
                let zero = Scalar::zero(dtype);
                // As NumPy's, the sum starts with 0.0.
                let start = |x: Option<Scalar>| match op {
                    ReduceOp::Sum => map(MapOp::Add, dtype, &[zero, x.unwrap_or(zero)]),
                    _ => x.expect("only sums are of no elements"),
                };
                out.into_iter().map(start).collect()
            }
            Op::Scan(..) | Op::Matmul => panic!("{op:?}"),
        };
        values.insert(id, (shape, out));
    }
    graph.outputs().iter().map(|o| values[o].1.clone()).collect()
}

/// NaNs are all the same.
fn canonical(outputs: Vec<Vec<Scalar>>) -> Vec<Vec<String>> {
    let one = |x: Scalar| if x.as_f64().is_nan() { format!("{} nan", x.dtype()) } else { format!("{x:?}") };
    outputs.into_iter().map(|out| out.into_iter().map(one).collect()).collect()
}

/// Expressions built step by step; what is not defined is left out.
fn build(steps: &[(u8, u8, u8, u8)]) -> Vec<Expr> {
    const DTYPES: [DType; 7] = [DType::F64, DType::I64, DType::F32, DType::Bool, DType::U8, DType::I8, DType::F64];
    const SHAPES: [&[usize]; 8] = [&[6], &[2, 3], &[3, 2], &[1, 6], &[6, 1], &[], &[2, 1, 3], &[0, 2]];
    const VALUES: [f64; 10] = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, -4.0, f64::NAN, f64::INFINITY, 3.0];
    let mut nodes = vec![Expr::parameter(0, DType::F64, Shape::new(&[6]).unwrap())];
    for &(what, a, b, c) in steps {
        let node = |i: u8| nodes[nodes.len() - 1 - i as usize % nodes.len().min(6)].clone();
        let (x, dtype) = (node(a), DTYPES[b as usize % DTYPES.len()]);
        let shape = Shape::new(SHAPES[c as usize % SHAPES.len()]).unwrap();
        let made = match what % 16 {
            0 => {
                // One input has one dtype and shape: its number tells them.
                let n = 1 + (b as usize % DTYPES.len() * SHAPES.len() + c as usize % SHAPES.len()) as u32;
                Ok(Expr::parameter(n, dtype, shape))
            }
            1 => Expr::map(
                MAPS[b as usize % 6],
                &[x, Expr::literal(Scalar::from_f64(DType::F64, VALUES[c as usize % 10]))],
            ),
            2 => Ok(Expr::iota(shape)),
            3 => Ok(x.cast(dtype)),
            4 => x.reshape(shape),
            5 => x.broadcast_to(&shape),
            6 => x.view(View::flip(x.shape(), Axes::all(x.shape().rank().min(1)))),
            7 => {
                let order: Vec<usize> = (0..x.shape().rank()).rev().collect();
                x.view(View::transpose(x.shape(), &order))
            }
            8 => x.index(&[Index::Slice { start: Some(b as i64 % 4), stop: None, step: 1 + c as i64 % 2 }]),
            9 => x.index(&[Index::NewAxis]),
            10 if b.is_multiple_of(2) => x.reduce(ReduceOp::Sum, Axes::all(c as usize % 3).min(x.shape().rank())),
            10 => x.reduce(ReduceOp::Max, Axes::all(c as usize % 3).min(x.shape().rank())),
            11 => Expr::map(MapOp::Where, &[x, node(b), node(c)]),
            _ => {
                let op = MAPS[b as usize % MAPS.len()];
                let operands: Vec<Expr> = [x, node(c), node(b)].into_iter().take(op.row().arity as usize).collect();
                Expr::map(op, &operands)
            }
        };
        nodes.extend(made.ok().filter(|e| e.shape().elements() < 100));
    }
    let last = nodes.len().saturating_sub(2);
    nodes.split_off(last)
}

trait Min {
    /// The axes below `rank`.
    fn min(self, rank: usize) -> Axes;
}

impl Min for Axes {
    fn min(self, rank: usize) -> Axes {
        self.iter().filter(|&i| i < rank).collect()
    }
}

fn check(graph: &Graph, disabled: PassSet) -> Result<(), TestCaseError> {
    let mut optimized = graph.clone();
    let options = Options { disabled, verify: true, ..Options::default() };
    optimize(&mut optimized, &options, &evaluate).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let (before, after) = (canonical(run(graph)), canonical(run(&optimized)));
    prop_assert_eq!(before, after, "{}\nbecame\n{}", graph, optimized.compact());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn passes_change_no_bit(steps in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..24)) {
        let graph = Capture::new(&build(&steps), &parameters(64)).graph();
        check(&graph, PassSet::NONE)?;
        // Each alone, so that none hides behind another.
        for pass in PASSES.iter().filter(|pass| !pass.loose) {
            let only: PassSet = pass.name.parse().expect("it is a pass's name");
            check(&graph, only.complement())?;
        }
        let text = graph.to_string();
        let read = Graph::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(read.to_string(), text);
        prop_assert_eq!(canonical(run(&read)), canonical(run(&graph)));
    }
}

/// As many parameters as there may be among the inputs: what counts is that leaves are numbered after them.
fn parameters(n: u32) -> Vec<Expr> {
    (0..n).map(|i| Expr::parameter(i, DType::F64, Shape::scalar())).collect()
}
