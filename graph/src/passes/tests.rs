//! What all passes must do; what each does stands in `tests/filetests`.

use super::*;
use crate::MapOp;

/// Enough arithmetic to fold with: addition and multiplication of `f64` and `i64`, and casts.
fn evaluate(op: &Op, compute: DType, result: DType, x: &[Scalar]) -> Scalar {
    match (op, compute) {
        (Op::Map(MapOp::Add), DType::F64) => Scalar::from_f64(result, x[0].as_f64() + x[1].as_f64()),
        (Op::Map(MapOp::Multiply), DType::F64) => Scalar::from_f64(result, x[0].as_f64() * x[1].as_f64()),
        (Op::Map(MapOp::Add), DType::I64) => Scalar::from_i64(result, x[0].as_i64().wrapping_add(x[1].as_i64())),
        (Op::Map(MapOp::Multiply), DType::I64) => Scalar::from_i64(result, x[0].as_i64().wrapping_mul(x[1].as_i64())),
        (Op::Map(MapOp::Reciprocal), DType::F64) => Scalar::from_f64(result, 1.0 / x[0].as_f64()),
        (Op::Map(MapOp::Where), _) => x[if x[0].as_bool() { 1 } else { 2 }],
        (Op::Cast, _) => x[0].cast(result),
        _ => panic!("{op:?} of {compute}"),
    }
}

fn run(text: &str, options: &Options) -> (Graph, Vec<Report>) {
    let mut graph = Graph::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let reports =
        optimize(&mut graph, &Options { verify: true, ..*options }, &evaluate).unwrap_or_else(|e| panic!("{e}"));
    (graph.compact(), reports)
}

fn only(passes: &str) -> Options {
    Options { disabled: passes.parse::<PassSet>().unwrap().complement(), ..Options::default() }
}

#[test]
fn fold_computes_constants() {
    let (graph, _) = run(
        "%0 = const 2 : i64[3]
         %1 = const 3 : i64[3]
         %2 = multiply %0, %1 : i64[3]
         %3 = cast %2 : f64[3]
         %4 = view %3 [d0*-1+2] : f64[3]
         %5 = reshape %4 : f64[3, 1]
         %6 = const 0.5 : f64[3, 1]
         %7 = add %5, %6 : f64[3, 1]
         return %7",
        &only("fold,dce"),
    );
    assert_eq!(graph.to_string(), "%0 = const 6.5 : f64[3, 1]\nreturn %0\n");
}

#[test]
fn fold_tells_the_dtype_of_the_choices() {
    let text = "%0 = const true : bool[2]\n%1 = const 1.5 : f16[2]\n%2 = const 2.5 : f16[2]
        %3 = where %0, %1, %2 : f16[2]\nreturn %3";
    let mut graph = Graph::parse(text).unwrap();
    let evaluate = |op: &Op, compute: DType, result: DType, x: &[Scalar]| {
        assert_eq!((compute, result), (DType::F16, DType::F16));
        evaluate(op, compute, result, x)
    };
    optimize(&mut graph, &only("fold,dce"), &evaluate).unwrap();
    assert_eq!(graph.compact().to_string(), "%0 = const 1.5 : f16[2]\nreturn %0\n");
}

#[test]
fn later_rounds_use_what_earlier_ones_laid_open() {
    // `where` is only decided by simplify, after fold has run.
    let text = "%0 = const true : bool[2]\n%1 = input 0 : f64[2]\n%2 = const 2.0 : f64[2]
        %3 = where %0, %2, %1 : f64[2]\n%4 = add %3, %2 : f64[2]\nreturn %4";
    let (graph, reports) = run(text, &Options::default());
    assert_eq!(graph.to_string(), "%0 = const 4.0 : f64[2]\nreturn %0\n");
    assert_eq!(reports.iter().filter(|r| r.pass == "fold").count(), 2);
}

#[test]
fn every_pass_can_be_switched_off() {
    let text = "%0 = const 1.0 : f64[2]\n%1 = add %0, %0 : f64[2]\n%2 = input 0 : f64[2]\n%3 = multiply %2, %0 : f64[2]
        %4 = view %3 [d0*-1+1] : f64[2]\n%5 = view %4 [d0*-1+1] : f64[2]\n%6 = exp %5 : f64[2]\n%7 = exp %5 : f64[2]
        %8 = add %6, %7 : f64[2]\n%9 = multiply %8, %1 : f64[2]\n%10 = const 3.0 : f64[2]\n%11 = divide %9, %10 : f64[2]\nreturn %11";
    let all = Options { loose: true, ..Options::default() };
    let whole = run(text, &all).0.to_string();
    for pass in PASSES {
        let mut disabled = PassSet::NONE;
        disabled.insert(pass.name).unwrap();
        let mut graph = Graph::parse(text).unwrap();
        let reports = optimize(&mut graph, &Options { disabled, ..all }, &evaluate).unwrap();
        assert!(reports.iter().all(|r| r.pass != pass.name));
        assert_ne!(graph.to_string(), whole, "{} did nothing", pass.name);
    }
    let none = Options { disabled: PassSet::ALL, ..Options::default() };
    assert_eq!(run(text, &none).0.to_string(), Graph::parse(text).unwrap().compact().to_string());
}

#[test]
fn explain_tells_each_change() {
    let text = "%0 = input 0 : f64[2]\n%1 = const 1.0 : f64[2]\n%2 = multiply %0, %1 : f64[2]\nreturn %2";
    let (_, reports) = run(text, &Options { explain: true, ..Options::default() });
    let simplify = reports.iter().find(|r| r.pass == "simplify").unwrap();
    assert_eq!(simplify.changes, ["%2 is %0: x * 1 = x"]);
    assert!(simplify.graph.as_ref().unwrap().ends_with("return %0\n"));
    let dce = reports.iter().find(|r| r.pass == "dce").unwrap();
    assert_eq!((dce.before, dce.after, dce.rewrites), (3, 1, 2));
    assert_eq!(dce.changes, ["%1 is gone: no output needs it", "%2 is gone: no output needs it"]);
    assert!(run(text, &Options::default()).1.iter().all(|r| r.changes.is_empty() && r.graph.is_none()));
}

#[test]
fn outputs_must_keep_dtype_and_shape() {
    let graph = Graph::parse("%0 = input 0 : f64[2]\nreturn %0").unwrap();
    let mut results = outputs(&graph);
    assert!(same_outputs(&graph, &results).is_ok());
    results[0].0 = DType::F32;
    let e = same_outputs(&graph, &results).unwrap_err().after("views");
    assert_eq!(e.pass(), Some("views"));
    assert!(e.to_string().contains("after pass views"), "{e}");
    assert!(e.to_string().contains("the outputs were f32[2], now they are f64[2]"), "{e}");
}

#[test]
fn a_graph_that_comes_wrong_is_nobodys_fault() {
    let mut graph = Graph::parse("%0 = input 0 : f64[2]\n%1 = sqrt %0 : f64[3]\nreturn %1").unwrap();
    let e = optimize(&mut graph, &Options { verify: true, ..Options::default() }, &evaluate).unwrap_err();
    assert_eq!((e.pass(), e.errors().len()), (None, 1));
}

#[test]
fn sets_of_passes_print_and_parse() {
    assert_eq!(PassSet::ALL.to_string(), "fold, simplify, views, reciprocal, cse, dce, fuse, rows");
    assert_eq!(PassSet::ALL.to_string().parse(), Ok(PassSet::ALL));
    assert_eq!("".parse(), Ok(PassSet::NONE));
    assert_eq!(
        "cse,inline".parse::<PassSet>().unwrap_err().to_string(),
        "unknown pass 'inline'; known are fold, simplify, views, reciprocal, cse, dce, fuse, rows"
    );
}

/// The size of the graphs below; large enough that recursion would overflow and a quadratic pass would not end.
const LARGE: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

/// Builds `LARGE` steps on one input, each by `step` from the input, the last node and the number of the step.
fn large(mut step: impl FnMut(&mut Graph, NodeId, NodeId, usize) -> NodeId) -> Graph {
    let mut graph = Graph::new();
    let input = graph.add(Op::Input(0), DType::F64, Shape::new(&[6]).unwrap(), &[], None);
    let mut last = input;
    for i in 0..LARGE {
        last = step(&mut graph, input, last, i);
    }
    graph.set_outputs(vec![last]);
    graph
}

fn map(graph: &mut Graph, op: MapOp, operands: &[NodeId]) -> NodeId {
    add_like(graph, operands[0], Op::Map(op), operands)
}

fn optimized(mut graph: Graph) -> Graph {
    let options = Options { verify: true, ..Options::default() };
    optimize(&mut graph, &options, &evaluate).unwrap_or_else(|e| panic!("{:?}", e.errors()));
    graph.compact()
}

#[test]
fn large_chain_without_rewrites() {
    let graph = large(|g, _, last, _| map(g, MapOp::Exp, &[last]));
    assert_eq!(optimized(graph).len(), LARGE + 1);
}

#[test]
fn large_chain_of_rewrites() {
    let graph = large(|g, _, last, i| {
        let one = add_like(g, last, Op::Const(Scalar::from_f64(DType::F64, if i % 2 == 0 { 1.0 } else { 0.0 })), &[]);
        map(g, if i % 2 == 0 { MapOp::Multiply } else { MapOp::Subtract }, &[last, one])
    });
    assert_eq!(optimized(graph).to_string(), "%0 = input 0 : f64[6]\nreturn %0\n");
}

#[test]
fn large_chain_of_views() {
    let graph = large(|g, _, last, _| {
        let shape = g.node(last).shape.clone();
        add_like(g, last, Op::View(crate::View::flip(&shape, crate::Axes::all(1)).into()), &[last])
    });
    assert_eq!(optimized(graph).len(), 1);
}

#[test]
fn large_chain_of_reshapes() {
    let graph = large(|g, _, last, i| {
        let node = g.node(last);
        let shape = Shape::new(if i % 2 == 0 { &[2, 3] } else { &[3, 2] }).unwrap();
        let reshaped = g.add(Op::Reshape, node.dtype, shape, &[last], None);
        map(g, MapOp::Exp, &[reshaped])
    });
    let graph = optimized(graph);
    assert_eq!(graph.len(), LARGE + 2);
    assert!(graph.to_string().starts_with("%0 = input 0 : f64[6]\n%1 = reshape %0 : f64[3, 2]\n%2 = exp %1"));
}

#[test]
fn large_fan_of_one_input() {
    // Every node uses the input, and all of them are replaced.
    let graph = large(|g, input, last, _| {
        let square = map(g, MapOp::Multiply, &[input, input]);
        map(g, MapOp::Add, &[last, square])
    });
    // The input, its square, the additions.
    assert_eq!(optimized(graph).len(), LARGE + 2);
}

#[test]
fn large_number_of_outputs() {
    let mut graph = large(|g, input, _, _| map(g, MapOp::Exp, &[input]));
    graph.set_outputs(graph.ids().collect());
    let graph = optimized(graph);
    assert_eq!((graph.len(), graph.outputs().len()), (2, LARGE + 1));
}
