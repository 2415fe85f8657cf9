//! Expressions: literals, promotion and broadcasting as nodes, errors, capture.
// The helpers are tests as well.
#![allow(clippy::unwrap_used)]

use lazuli_graph::{
    Axes, Capture, DType, Error, ErrorKind, Expr, Graph, Index, Leaves, MapOp, Op, ReduceOp, Scalar, ScanOp, Shape,
    View, verify,
};
use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).expect("tests use valid shapes")
}

#[track_caller]
fn array(n: u32, dtype: DType, extents: &[usize]) -> Expr {
    Expr::parameter(n, dtype, shape(extents))
}

fn int(x: i64) -> Expr {
    Expr::literal(Scalar::from_i64(DType::I64, x))
}

fn float(x: f64) -> Expr {
    Expr::literal(Scalar::from_f64(DType::F64, x))
}

/// The graph of `roots`, which must be valid.
fn graph(roots: &[Expr]) -> Graph {
    let graph = Capture::new(roots, &parameters(8)).graph();
    verify(&graph).unwrap_or_else(|e| panic!("{e}"));
    graph
}

fn text(root: &Expr) -> String {
    graph(std::slice::from_ref(root)).to_string()
}

#[test]
fn operands_are_cast_and_broadcast() {
    let sum = Expr::map(MapOp::Add, &[array(0, DType::I32, &[3]), array(1, DType::F32, &[2, 1])]).unwrap();
    assert_eq!(
        text(&sum),
        "%0 = input 0 : i32[3]\n%1 = cast %0 : f64[3]\n%2 = view %1 [d1] : f64[2, 3]\n%3 = input 1 : f32[2, 1]\n\
         %4 = cast %3 : f64[2, 1]\n%5 = view %4 [d0, 0] : f64[2, 3]\n%6 = add %2, %5 : f64[2, 3]\nreturn %6\n"
    );
}

#[test]
fn literals_become_constants_of_the_result() {
    let x = array(0, DType::F32, &[3]);
    let y = Expr::map(MapOp::Multiply, &[float(0.1), x]).unwrap();
    assert_eq!(text(&y), "%0 = input 0 : f32[3]\n%1 = const 0.1 : f32[3]\n%2 = multiply %1, %0 : f32[3]\nreturn %2\n");
}

#[test]
fn a_constant_with_a_value_stays_a_constant() {
    let full = || Expr::full(Scalar::from_f64(DType::F32, 0.1), shape(&[3]));
    let [plain, known] = [full(), full()];
    known.complete(Arc::new(0.1f64));
    assert!(known.value().is_some());
    let add = |c: &Expr| Expr::map(MapOp::Add, &[array(0, DType::F32, &[3]), c.clone()]).unwrap();
    let (a, b) = (add(&plain), add(&known));
    assert_eq!((a.fingerprint(), text(&a)), (b.fingerprint(), text(&b)));
    let capture = Capture::new(std::slice::from_ref(&b), &parameters(8));
    assert!(capture.leaves().is_empty());
}

#[test]
fn literals_are_equal_by_value_and_keep_none() {
    let [a, b, c] = [float(0.1), float(0.1), float(0.2)];
    a.complete(Arc::new(0.1f64));
    assert!(a.value().is_none() && a.same(&a.clone()) && a.same(&b) && !a.same(&c) && !a.same(&a.cast(DType::F64)));
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_ne!(a.fingerprint(), c.fingerprint());
    assert_eq!((a.depth(), a.shape().rank(), a.location().line()), (0, 0, b.location().line()));
    // One literal twice is two constants, each where it stands, as two literals are.
    let x = array(0, DType::F64, &[3]);
    let twice = |a: &Expr, b: &Expr| Expr::map(MapOp::Where, &[x.cast(DType::Bool), a.clone(), b.clone()]).unwrap();
    assert_eq!(text(&twice(&a, &a)), text(&twice(&a, &b)));
    assert_eq!(text(&a), "%0 = const 0.1 : f64[]\nreturn %0\n");
}

#[test]
fn one_constant_in_many_dtypes_and_shapes() {
    let c = float(0.5);
    let x = Expr::map(MapOp::Multiply, &[array(0, DType::F32, &[3]), c.clone()]).unwrap();
    let y = Expr::map(MapOp::Multiply, &[array(1, DType::F64, &[2, 1]), c.clone()]).unwrap();
    let z = Expr::map(MapOp::Where, &[array(2, DType::Bool, &[3]), c.clone(), c.cast(DType::F32)]).unwrap();
    let graph = graph(&[x, y, z, c]);
    let constants = graph.ids().filter(|&id| matches!(graph.node(id).op, Op::Const(_)));
    let seen: Vec<String> = constants.map(|id| format!("{}{}", graph.node(id).dtype, graph.node(id).shape)).collect();
    assert_eq!(seen, ["float32[3]", "float64[2, 1]", "float32[3]", "float32[3]", "float64[]"]);
}

#[test]
fn literals_among_themselves_stay_weak() {
    let two = Expr::map(MapOp::Add, &[int(1), int(1)]).unwrap();
    assert_eq!((two.dtype(), two.weak()), (DType::I64, Some(lazuli_graph::Weak::Int)));
    let half = Expr::map(MapOp::Divide, &[int(1), two.clone()]).unwrap();
    assert_eq!((half.dtype(), half.weak()), (DType::F64, Some(lazuli_graph::Weak::Float)));
    let x = array(0, DType::F16, &[3]);
    assert_eq!(Expr::map(MapOp::Multiply, &[x, half]).unwrap().dtype(), DType::F16);
    let x = array(0, DType::U8, &[3]);
    assert_eq!(Expr::map(MapOp::Multiply, &[x, two]).unwrap().dtype(), DType::U8);
}

#[test]
fn where_promotes_its_choices_alone() {
    let c = array(0, DType::F64, &[3]);
    let y = Expr::map(MapOp::Where, &[c, array(1, DType::I8, &[]), int(0)]).unwrap();
    assert_eq!(y.dtype(), DType::I8);
    assert!(text(&y).contains("%1 = cast %0 : bool[3]"));
}

#[test]
fn comparisons_take_literals_by_value() {
    // 300 and -1 are no uint8, but NumPy compares with them all the same.
    for (x, compute) in [(300, DType::I64), (-1, DType::I64), (200, DType::U8)] {
        let y = Expr::map(MapOp::Less, &[array(0, DType::U8, &[3]), int(x)]).unwrap();
        assert_eq!(y.dtype(), DType::Bool);
        let graph = graph(&[y]);
        let operand = graph.operands(graph.outputs()[0])[0];
        assert_eq!(graph.node(operand).dtype, compute, "{x}");
    }
}

#[test]
fn signed_and_unsigned_compare_without_floats() {
    let a = array(0, DType::I64, &[3]);
    let b = array(1, DType::U64, &[3]);
    for op in [MapOp::Less, MapOp::Equal, MapOp::GreaterEqual] {
        for (operands, below) in [([&a, &b], [-1, 0]), ([&b, &a], [0, -1])] {
            let y = Expr::map(op, &operands.map(Clone::clone)).unwrap();
            assert_eq!(y.dtype(), DType::Bool);
            let text = text(&y);
            assert!(!text.contains("f64"), "{text}");
            assert!(text.contains(" = less "), "{text}");
            // Where the signed one is negative, the answer is that of any negative against any other number.
            let constants: Vec<String> = below.iter().map(|x| format!("const {x} : i64")).collect();
            assert!(constants.iter().all(|c| text.contains(c)), "{text}");
        }
    }
    // Arithmetic still meets in float64.
    assert_eq!(Expr::map(MapOp::Add, &[a, b]).unwrap().dtype(), DType::F64);
}

#[test]
fn casts_and_views_that_do_nothing_are_no_nodes() {
    let x = array(0, DType::F64, &[2, 3]);
    assert!(x.cast(DType::F64).same(&x));
    assert!(x.reshape(shape(&[2, 3])).unwrap().same(&x));
    assert!(x.view(View::identity(x.shape())).unwrap().same(&x));
    assert!(x.broadcast_to(&shape(&[2, 3])).unwrap().same(&x));
    assert!(!x.cast(DType::F32).same(&x));
}

#[test]
fn reductions_and_scans_widen_small_integers() {
    let x = array(0, DType::I8, &[2, 3]);
    let sum = x.reduce(ReduceOp::Sum, Axes::all(2)).unwrap();
    assert_eq!(
        text(&sum),
        "%0 = input 0 : i8[2, 3]\n%1 = cast %0 : i64[2, 3]\n%2 = sum %1 axes=[0, 1] : i64[]\nreturn %2\n"
    );
    assert_eq!(x.reduce(ReduceOp::Max, Axes::all(1)).unwrap().dtype(), DType::I8);
    assert_eq!(x.reduce(ReduceOp::Argmax, Axes::all(1)).unwrap().dtype(), DType::I64);
    assert_eq!(x.scan(ScanOp::Cumsum, -1).unwrap().dtype(), DType::I64);
    let u = array(0, DType::U16, &[2]);
    assert_eq!(u.reduce(ReduceOp::Prod, Axes::all(1)).unwrap().dtype(), DType::U64);
}

#[test]
fn matrices_broadcast_their_stacks() {
    let (a, b) = (array(0, DType::F32, &[5, 1, 2, 3]), array(1, DType::I16, &[7, 3, 4]));
    let product = a.matmul(&b).unwrap();
    assert_eq!((product.dtype(), product.shape().to_string().as_str()), (DType::F32, "[5, 7, 2, 4]"));
    graph(&[product]);
}

/// The error, which must have been made on the line of `at` and speak of `op`.
#[track_caller]
fn fault<T>(result: Result<T, Error>, op: &str, kind: &str) -> Error {
    let e = result.err().expect("there is an error");
    assert_eq!(e.kind().to_string(), kind);
    assert_eq!(e.op(), op);
    let here = Location::caller();
    assert_eq!((e.location().file(), e.location().line()), (here.file(), here.line()), "{e}");
    e
}

#[test]
fn errors_name_the_callers_line() {
    let x = array(0, DType::F64, &[4]);
    let y = array(1, DType::F64, &[3]);
    let m = array(2, DType::F64, &[2, 3]);
    let b = array(3, DType::Bool, &[3]);
    let u = array(4, DType::U8, &[3]);
    let none = array(5, DType::F64, &[0]);
    fault(Expr::map(MapOp::Add, &[x.clone(), y.clone()]), "add", "cannot broadcast [4] with [3]");
    fault(Expr::map(MapOp::Less, &[x.clone(), y.clone()]), "less", "cannot broadcast [4] with [3]");
    fault(Expr::map(MapOp::Negative, std::slice::from_ref(&b)), "negative", "negative is not defined for bool");
    fault(Expr::map(MapOp::Add, &[u.clone(), int(300)]), "add", "the integer 300 does not fit uint8");
    fault(Expr::map(MapOp::Add, std::slice::from_ref(&x)), "add", "add takes 2 operands, got 1");
    fault(x.broadcast_to(&shape(&[2])), "broadcast_to", "cannot broadcast [4] to [2]");
    fault(x.reshape(shape(&[2])), "reshape", "cannot reshape [4] (4 elements) to [2]");
    fault(x.view(View::identity(&shape(&[5]))), "view", "view [d0] -> [5] reads outside [4]");
    fault(none.reduce(ReduceOp::Max, Axes::all(1)), "max", "max of no elements has no value");
    fault(x.scan(ScanOp::Cumsum, 1), "cumsum", "axis 1 is out of range for an array of 1 axes");
    fault(m.matmul(&m), "matmul", "cannot multiply matrices of shapes [2, 3] and [2, 3]");
    fault(x.matmul(&m), "matmul", "cannot multiply matrices of shapes [4] and [2, 3]");
    let stack = array(6, DType::F64, &[5, 3, 2]);
    let other = array(7, DType::F64, &[4, 2, 3]);
    fault(stack.matmul(&other), "matmul", "cannot broadcast [5] with [4]");
    fault(x.round_to(400), "round", "cannot round to 400 decimals");
    fault(x.diff(1, 1), "diff", "axis 1 is out of range for an array of 1 axes");
    fault(x.index(&[Index::At(4)]), "index", "index 4 is out of range for axis 0 of extent 4");
    fault(m.transpose(&[0, 0]), "transpose", "axis 0 is named twice");
    fault(m.transpose(&[0]), "transpose", "transpose needs each of 2 axes, got 1");
    fault(m.swapaxes(0, 2), "swapaxes", "axis 2 is out of range for an array of 2 axes");
    fault(m.moveaxis(2, 0), "moveaxis", "axis 2 is out of range for an array of 2 axes");
    fault(m.expand_dims([3].into_iter().collect()), "expand_dims", "axis 3 is out of range for an array of 3 axes");
    fault(m.squeeze(Some(Axes::all(1))), "squeeze", "cannot squeeze axis 0 of [2, 3]: its extent is not 1");
    fault(m.reshape_to(&[-1, 4]), "reshape", "cannot reshape [2, 3] (6 elements) to [-1, 4]");
    fault(m.matmul_numpy(&m), "matmul", "cannot multiply matrices of shapes [2, 3] and [2, 3]");
    fault(m.dot(&other), "dot", "cannot multiply matrices of shapes [2, 3] and [4, 2, 3]");
    fault(x.power(&float(0.5)).and_then(|x| x.power(&y)), "pow", "cannot broadcast [4] with [3]");
    fault(b.ptp(Axes::all(1), false), "subtract", "subtract is not defined for bool");
    fault(u.clip(Some(&int(300)), None), "maximum", "the integer 300 does not fit uint8");
    let refused = "integers to a negative integer power are not integers; convert the base to a float first";
    fault(u.power(&int(-1)), "pow", refused);
}

#[test]
fn errors_print_as_documented() {
    let left = array(0, DType::F64, &[1_000_000]);
    let (right, at) = (array(1, DType::F64, &[3]), line!());
    let e = Expr::map(MapOp::Add, &[left, right]).unwrap_err();
    let file = file!();
    let expected = format!(
        "cannot broadcast [1000000] with [3]
  in: add, built at {file}:{}:13
  left  [1000000] f64   built at {file}:{}:16 (input)
  right [3] f64         built at {file}:{at}:24 (input)
  help: dimensions must be equal or 1, aligned from the right",
        at + 1,
        at - 1,
    );
    assert_eq!(e.to_string(), expected);
}

#[test]
fn every_node_knows_where_it_was_built() {
    let a = array(0, DType::I64, &[3]);
    let b = array(1, DType::U64, &[2, 1]);
    let (y, at) = (Expr::map(MapOp::Less, &[a, b]).unwrap(), line!());
    let graph = graph(&[y]);
    for id in graph.ids().filter(|&id| !matches!(graph.node(id).op, Op::Input(_))) {
        let origin = graph.node(id).at.unwrap();
        assert_eq!((origin.file(), origin.line()), (file!(), at), "{id}: {}", graph.node(id).op.name());
    }
}

#[test]
fn a_value_takes_the_place_of_operands() {
    let x = array(0, DType::F64, &[3]);
    let y = Expr::map(MapOp::Exp, &[x]).unwrap();
    let z = Expr::map(MapOp::Sin, std::slice::from_ref(&y)).unwrap();
    assert_eq!(text(&z), "%0 = input 0 : f64[3]\n%1 = exp %0 : f64[3]\n%2 = sin %1 : f64[3]\nreturn %2\n");
    y.complete(Arc::new(1u8));
    y.complete(Arc::new(2u8));
    assert_eq!(y.value().unwrap().downcast_ref::<u8>(), Some(&1));
    let capture = Capture::new(&[z], &parameters(3));
    // Leaves with data are numbered after the parameters.
    assert_eq!(capture.graph().to_string(), "%0 = input 3 : f64[3]\n%1 = sin %0 : f64[3]\nreturn %1\n");
    assert_eq!(capture.leaves()[0].downcast_ref::<u8>(), Some(&1));
}

const DEEP: usize = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };

fn chain(length: usize) -> Expr {
    let mut x = array(0, DType::F64, &[3]);
    for _ in 0..length {
        x = Expr::map(MapOp::Exp, &[x]).unwrap();
    }
    x
}

/// Runs `f` on a thread whose stack is too small for anything that recurses over a long chain.
fn with_small_stack(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(128 << 10).spawn(f).unwrap().join().unwrap();
}

#[test]
fn dropping_a_million_nodes_takes_constant_stack() {
    with_small_stack(|| {
        let x = chain(1_000_000);
        assert_eq!(x.depth(), 1_000_000);
        drop(x);
        let y = chain(1_000_000);
        // A value lets go of the operands.
        y.complete(Arc::new(()));
    });
}

/// Deep chains are dropped one node after another, shallow ones from within; either way in little stack.
#[test]
fn dropping_takes_little_stack_at_any_depth() {
    with_small_stack(|| [1, 99, 100, 101, 102, 1000].into_iter().for_each(|depth| drop(chain(depth))));
}

#[test]
fn dropping_a_ladder_takes_constant_stack() {
    with_small_stack(|| {
        let mut x = array(0, DType::F64, &[3]);
        for _ in 0..DEEP {
            x = Expr::map(MapOp::Add, &[x.clone(), x]).unwrap();
        }
        let kept = x.clone();
        drop(x);
        drop(kept);
    });
}

#[test]
fn capture_is_linear_and_takes_constant_stack() {
    with_small_stack(|| {
        // As a tree, the ladder would have 2^DEEP nodes.
        let mut x = array(0, DType::F64, &[3]);
        for _ in 0..DEEP {
            x = Expr::map(MapOp::Add, &[x.clone(), x]).unwrap();
        }
        let capture = Capture::new(&[x], &parameters(1));
        assert_eq!(capture.len(), DEEP + 1);
        assert_eq!(capture.graph().len(), DEEP + 1);
    });
}

/// A leaf with a value.
fn leaf(n: u8, dtype: DType, extents: &[usize]) -> Expr {
    Expr::data(Arc::new(n), dtype, shape(extents))
}

/// The values of the leaves of `roots`, if they are recognised by the pattern of `original`.
fn recognised(original: &[Expr], roots: &[Expr]) -> Option<Vec<u8>> {
    let mut leaves = Leaves::default();
    let matches = Capture::new(original, &[]).pattern().matches(roots, &mut leaves);
    assert!(matches || leaves.iter().next().is_none());
    matches.then(|| leaves.iter().map(|v| *v.downcast_ref::<u8>().expect("leaves of these tests hold bytes")).collect())
}

fn fingerprints(roots: &[Expr]) -> Vec<u64> {
    roots.iter().map(Expr::fingerprint).collect()
}

#[test]
fn equal_graphs_are_recognised() {
    let build = |n: u8| {
        let (x, z) = (leaf(n, DType::F64, &[3, 4]), leaf(n + 1, DType::F64, &[4]));
        let y = Expr::map(MapOp::Multiply, &[x.clone(), float(2.0)]).unwrap();
        let y = Expr::map(MapOp::Subtract, &[z, y]).unwrap();
        let row = y.view(View::index(y.shape(), &[Index::At(1)]).unwrap()).unwrap();
        vec![y.reduce(ReduceOp::Sum, Axes::all(1)).unwrap(), row.scan(ScanOp::Cumsum, 0).unwrap()]
    };
    assert_eq!(fingerprints(&build(1)), fingerprints(&build(5)));
    // Leaves come in the order of the first capture, whatever their values.
    assert_eq!(recognised(&build(1), &build(5)), Some(vec![6, 5]));
}

#[test]
fn what_has_been_computed_is_a_leaf() {
    let y = |n| Expr::map(MapOp::Exp, &[leaf(n, DType::F64, &[3])]).unwrap();
    let z = |y: &Expr| Expr::map(MapOp::Sin, std::slice::from_ref(y)).unwrap();
    let (before, after) = (y(1), y(2));
    let early = z(&after);
    after.complete(Arc::new(7u8));
    assert_eq!(recognised(&[z(&before)], std::slice::from_ref(&early)), None);
    assert_eq!(recognised(&[early], &[z(&before)]), None);
    let plain = z(&leaf(3, DType::F64, &[3]));
    assert_eq!(z(&after).fingerprint(), plain.fingerprint());
    assert_eq!(recognised(&[plain], &[z(&after)]), Some(vec![7]));
}

#[test]
fn different_graphs_are_told_apart() {
    let x = leaf(0, DType::F64, &[3, 3]);
    let map = |op, operands: &[&Expr]| Expr::map(op, &operands.iter().map(|&e| e.clone()).collect::<Vec<_>>()).unwrap();
    let flip = |axis: usize| x.view(View::flip(x.shape(), [axis].into_iter().collect())).unwrap();
    let other = leaf(1, DType::F64, &[3, 3]);
    let roots: Vec<Vec<Expr>> = vec![
        vec![x.clone()],
        vec![leaf(0, DType::F32, &[3, 3])],
        vec![leaf(0, DType::F64, &[3])],
        vec![leaf(0, DType::F64, &[9])],
        vec![x.clone(), x.clone()],
        vec![map(MapOp::Exp, &[&x])],
        vec![map(MapOp::Sin, &[&x])],
        vec![map(MapOp::Sin, &[&x]), x.clone()],
        vec![x.clone(), map(MapOp::Sin, &[&x])],
        vec![map(MapOp::Subtract, &[&x, &x])],
        vec![map(MapOp::Subtract, &[&x, &other])],
        vec![map(MapOp::Subtract, &[&x, &other]), x.clone()],
        vec![map(MapOp::Subtract, &[&x, &other]), other.clone()],
        vec![map(MapOp::Multiply, &[&x, &float(0.0)])],
        vec![map(MapOp::Multiply, &[&x, &float(-0.0)])],
        vec![map(MapOp::Multiply, &[&x, &float(2.0)])],
        vec![x.cast(DType::F32)],
        vec![x.cast(DType::F16)],
        vec![flip(0)],
        vec![flip(1)],
        vec![x.reshape(shape(&[9])).unwrap()],
        vec![x.reshape(shape(&[9, 1])).unwrap()],
        vec![Expr::iota(shape(&[3, 3]))],
        vec![Expr::full(Scalar::one(DType::I64), shape(&[3, 3]))],
        vec![x.reduce(ReduceOp::Sum, Axes::all(1)).unwrap()],
        vec![x.reduce(ReduceOp::Sum, Axes::all(2)).unwrap()],
        vec![x.reduce(ReduceOp::Prod, Axes::all(1)).unwrap()],
        vec![x.scan(ScanOp::Cumsum, 0).unwrap()],
        vec![x.scan(ScanOp::Cumsum, 1).unwrap()],
        vec![x.scan(ScanOp::Cumprod, 1).unwrap()],
        vec![x.matmul(&x).unwrap()],
    ];
    // The same at the end of long chains, which are not looked through by recursion.
    let deepened = |root: &Expr| (0..150).fold(root.clone(), |e, _| map(MapOp::Abs, &[&e]));
    let deep: Vec<Vec<Expr>> = roots.iter().map(|r| r.iter().map(deepened).collect()).collect();
    for (i, a) in deep.iter().enumerate() {
        for (j, b) in deep.iter().enumerate() {
            assert_eq!(recognised(a, b).is_some(), i == j, "{i} and {j}, deep");
        }
    }
    for (i, a) in roots.iter().enumerate() {
        for (j, b) in roots.iter().enumerate() {
            assert_eq!(recognised(a, b).is_some(), i == j, "{i} and {j}");
            // Fingerprints do not see which leaf is which.
            let subtractions = |r: &[Expr]| r.iter().any(|e| *e.op() == Op::Map(MapOp::Subtract));
            if !(subtractions(a) && subtractions(b)) {
                assert_eq!(fingerprints(a) == fingerprints(b), i == j, "{i} and {j}");
            }
        }
    }
}

#[test]
fn shared_nodes_stay_shared() {
    let x = leaf(0, DType::F64, &[3]);
    let y = Expr::map(MapOp::Exp, std::slice::from_ref(&x)).unwrap();
    let twice = Expr::map(MapOp::Add, &[y.clone(), y.clone()]).unwrap();
    let apart = Expr::map(MapOp::Add, &[y, Expr::map(MapOp::Exp, &[x]).unwrap()]).unwrap();
    let size = |root: &Expr| Capture::new(std::slice::from_ref(root), &[]).graph().len();
    assert_eq!((size(&twice), size(&apart)), (3, 4));
    // What is shared may be taken for two that are equal, but two are not taken for one.
    let (twice, apart) = ([twice], [apart]);
    assert_eq!(recognised(&apart, &twice), Some(vec![0]));
    assert_eq!(recognised(&twice, &apart), None);
}

#[test]
fn a_ladder_is_recognised_in_linear_time() {
    let double = |e: Expr| Expr::map(MapOp::Add, &[e.clone(), e]).unwrap();
    let ladder = |n: u8| [(0..90).fold(leaf(n, DType::F64, &[3]), |e, _| double(e))];
    assert_eq!(recognised(&ladder(1), &ladder(2)), Some(vec![2]));
}

#[test]
fn what_is_recognised_may_be_computed_meanwhile() {
    let map = |op, e: &Expr| Expr::map(op, std::slice::from_ref(e)).unwrap();
    let pattern = {
        let root = map(MapOp::Sin, &map(MapOp::Exp, &leaf(0, DType::F64, &[3])));
        Capture::new(&[root], &[]).pattern()
    };
    for round in 0..if cfg!(miri) { 5 } else { 300 } {
        let below = map(MapOp::Exp, &leaf(round as u8, DType::F64, &[3]));
        let roots = [map(MapOp::Sin, &below)];
        let mut leaves = Leaves::default();
        let matches = std::thread::scope(|s| {
            s.spawn(|| below.complete(Arc::new(255u8)));
            pattern.matches(&roots, &mut leaves)
        });
        // Before or after, but nothing between.
        let found: Vec<u8> = leaves.iter().map(|v| *v.downcast_ref::<u8>().unwrap()).collect();
        assert_eq!(found, if matches { vec![round as u8] } else { vec![] });
        assert!(!pattern.matches(&roots, &mut leaves));
        // What is below a root that is computed meanwhile is held by the root alone.
        let roots = [map(MapOp::Sin, &map(MapOp::Exp, &leaf(round as u8, DType::F64, &[3])))];
        let matches = std::thread::scope(|s| {
            s.spawn(|| roots[0].complete(Arc::new(255u8)));
            pattern.matches(&roots, &mut leaves)
        });
        let found: Vec<u8> = leaves.iter().map(|v| *v.downcast_ref::<u8>().unwrap()).collect();
        assert_eq!(found, if matches { vec![round as u8] } else { vec![] });
    }
}

#[test]
fn equal_literals_are_one_wherever_they_are_made() {
    let x = leaf(0, DType::F64, &[3]);
    let sum = |terms: &[Expr]| {
        let scaled = |t: &Expr| Expr::map(MapOp::Multiply, &[x.clone(), t.clone()]).unwrap();
        terms.iter().map(scaled).reduce(|a, b| Expr::map(MapOp::Add, &[a, b]).unwrap()).unwrap()
    };
    let half = float(0.5);
    assert!(half.same(&float(0.5)) && !half.same(&float(0.25)) && !float(1.0).same(&int(1)));
    let shared = [sum(&[half.clone(), half.clone()])];
    // More of them than a thread keeps, and those of another thread.
    (0..10_000).for_each(|i| drop(float(i as f64)));
    let other = std::thread::spawn(|| float(0.5)).join().unwrap();
    let apart = [sum(&[other, float(0.5)])];
    assert_eq!(recognised(&shared, &apart), Some(vec![0]));
    assert_eq!(recognised(&apart, &shared), Some(vec![0]));
    // A literal keeps no value, though others might have its node.
    half.complete(Arc::new(1u8));
    assert!(half.value().is_none() && float(0.5).value().is_none());
}

#[test]
fn literals_know_where_they_stand() {
    let places: Vec<_> =
        (0..2).map(|_| [Expr::literal(Scalar::one(DType::F64)), Expr::literal(Scalar::one(DType::F64))]).collect();
    for [a, b] in &places {
        assert!(a.location().column() < b.location().column() && a.location().file().ends_with("expr.rs"));
    }
    assert_eq!(places[0][0].location(), places[1][0].location());
}

#[test]
fn error_kinds_can_be_matched() {
    let e = Expr::map(MapOp::Invert, &[array(0, DType::F64, &[3])]).unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::DType { op: "invert", dtype: DType::F64 }));
    assert_eq!(e.help(), Some("convert the operands first, with astype"));
    assert_eq!((e.operands().len(), e.operands()[0].op), (1, Op::Input(0).name()));
}

/// As many parameters as there may be among the inputs: what counts is that leaves are numbered after them.
fn parameters(n: u32) -> Vec<Expr> {
    (0..n).map(|i| Expr::parameter(i, DType::F64, Shape::scalar())).collect()
}

#[test]
fn operands_are_given_or_shared() {
    let (x, y) = (leaf(0, DType::F64, &[3]), leaf(1, DType::F32, &[2, 1]));
    // As they are, and cast and stretched.
    for other in [leaf(2, DType::F64, &[3]), y] {
        let shared = Expr::map(MapOp::Add, &[&x, &other]).unwrap();
        let given = Expr::map_of(MapOp::Add, [x.clone(), other.clone()]).unwrap();
        let mixed = Expr::map_of(MapOp::Add, [Cow::Borrowed(&x), Cow::Owned(other.clone())]).unwrap();
        for e in [given, mixed] {
            assert_eq!((e.fingerprint(), e.dtype(), e.shape()), (shared.fingerprint(), shared.dtype(), shared.shape()));
        }
    }
    let sum = Expr::map_of(MapOp::Add, [x.clone(), x.clone()]).unwrap();
    assert!(sum.operands_or_value().unwrap().iter().all(|e| e.same(&x)));
    let error = Expr::map_of(MapOp::Add, [x]).unwrap_err();
    assert!(error.to_string().contains("add takes 2 operands, got 1"), "{error}");
}
