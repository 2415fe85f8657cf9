//! Random expressions, driven by the op table: every way to compute them gives the same bits.
//!
//! | compared | blames |
//! |---|---|
//! | interpreter without passes or fusion, against interpreter with both | a pass, fusion, planning |
//! | interpreter against compiled code, for each target | an emitter |
//! | one thread against three, many small parts | the scheduler |
//! | a function of parameters against the expression | tracing |
//!
//! A failure prints the graph in its text form.

// A test that cannot go on fails.
#![allow(clippy::unwrap_used)]

use lazuli_engine::{BackendChoice, Config, Function, compute, data};
use lazuli_graph::ops::{MAP_OPS, MapOp, REDUCE_OPS, SCAN_OPS};
use lazuli_graph::passes::PassSet;
use lazuli_graph::{Axes, Capture, DType, Expr, Index, Scalar, Shape, View};
use lazuli_runtime::Tensor;
use proptest::prelude::*;

/// A stream of choices: what a random expression is read from, so that a failure shrinks to a simple one.
struct Choices<'a> {
    words: &'a [u32],
    at: usize,
}

impl Choices<'_> {
    fn next(&mut self, below: usize) -> usize {
        let word = self.words.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        word as usize % below.max(1)
    }
}

const EXTENTS: [usize; 8] = [3, 1, 5, 17, 0, 2, 64, 33];

/// A value of `dtype`, often a special one.
fn value(c: &mut Choices<'_>, dtype: DType) -> Scalar {
    let special = [0.0, -0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e-40, 1e300, 255.0];
    match c.next(4) {
        0 => Scalar::from_f64(dtype, special[c.next(special.len())]),
        1 => Scalar::from_bits(dtype, (c.next(1 << 30) as u64) << 34 | c.next(1 << 30) as u64),
        _ => Scalar::from_f64(dtype, (c.next(4001) as f64 - 2000.0) / 97.0),
    }
}

/// Bits that a `bool` may have.
fn clean(value: Scalar) -> Scalar {
    if value.dtype() == DType::Bool { Scalar::from_i64(DType::Bool, value.as_bool() as i64) } else { value }
}

fn leaf(c: &mut Choices<'_>) -> Expr {
    let dtype = DType::ALL[c.next(DType::ALL.len())];
    let extents: Vec<usize> = (0..c.next(4)).map(|_| EXTENTS[c.next(EXTENTS.len())]).collect();
    let shape = Shape::new(&extents).unwrap();
    match c.next(6) {
        0 => Expr::iota(shape).cast(dtype),
        1 => Expr::full(clean(value(c, dtype)), shape),
        _ => {
            let values: Vec<Scalar> = (0..shape.elements()).map(|_| clean(value(c, dtype))).collect();
            data(lazuli_tests::oracle::tensor(dtype, &extents, &values).unwrap())
        }
    }
}

/// `x`, and zero where it is NaN.
fn without_nan(x: &Expr) -> Result<Expr, lazuli_graph::Error> {
    if !x.dtype().is_float() {
        return Ok(x.clone());
    }
    let nan = Expr::map(MapOp::Isnan, std::slice::from_ref(x))?;
    Expr::map(MapOp::Where, &[nan, Expr::literal(Scalar::from_f64(DType::F64, 0.0)), x.clone()])
}

/// One more node over some of `nodes`, or nothing where the choice has no meaning.
fn grow(c: &mut Choices<'_>, nodes: &[Expr]) -> Option<Expr> {
    let pick = |c: &mut Choices<'_>| nodes[nodes.len() - 1 - c.next(nodes.len().min(6))].clone();
    let x = pick(c);
    let rank = x.shape().rank();
    match c.next(12) {
        0 => Some(x.cast(DType::ALL[c.next(DType::ALL.len())])),
        1 => {
            let axes: Axes = (0..rank).filter(|_| c.next(2) == 0).collect();
            x.reduce(REDUCE_OPS[c.next(REDUCE_OPS.len())].op, axes).ok()
        }
        2 if rank > 0 => x.scan(SCAN_OPS[c.next(SCAN_OPS.len())].op, c.next(rank) as i64).ok(),
        3 => {
            let slice = |c: &mut Choices<'_>| {
                let bound = |c: &mut Choices<'_>| (c.next(3) > 0).then(|| c.next(9) as i64 - 4);
                let step = [1, 1, 2, -1, -2][c.next(5)];
                Index::Slice { start: bound(c), stop: bound(c), step }
            };
            let indices: Vec<Index> = (0..rank).map(|_| slice(c)).collect();
            x.view(View::index(x.shape(), &indices).ok()?).ok()
        }
        4 if rank > 1 => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.rotate_left(c.next(rank));
            x.view(View::transpose(x.shape(), &order)).ok()
        }
        5 => {
            let n = x.shape().elements();
            let shapes = [vec![n], vec![n, 1], vec![1, n], vec![n / 3, 3], vec![2, n / 2]];
            let to = &shapes[c.next(shapes.len())];
            if to.iter().product::<usize>() != n {
                return None;
            }
            x.reshape(Shape::new(to).ok()?).ok()
        }
        6 if rank < 3 => {
            let mut extents = vec![EXTENTS[c.next(4)]];
            extents.extend(x.shape().iter());
            x.broadcast_to(&Shape::new(&extents).ok()?).ok()
        }
        7 if rank > 0 => x.flip([c.next(rank)].into_iter().collect()).ok(),
        _ => {
            let row = &MAP_OPS[c.next(MAP_OPS.len())];
            let mut operands: Vec<Expr> = (0..row.arity).map(|i| if i == 0 { x.clone() } else { pick(c) }).collect();
            if matches!(row.op, MapOp::Signbit | MapOp::Copysign) {
                // Which sign a NaN has is not specified.
                operands = operands.iter().map(|x| without_nan(x).unwrap()).collect();
            }
            Expr::map(row.op, &operands).ok()
        }
    }
}

/// The outputs of a random expression; building it twice from the same words makes two equal ones.
fn build(words: &[u32]) -> Vec<Expr> {
    let mut c = Choices { words, at: 0 };
    let mut nodes: Vec<Expr> = (0..1 + c.next(3)).map(|_| leaf(&mut c)).collect();
    let (mut grown, steps) = (0, 1 + c.next(14));
    while grown < steps {
        grown += 1;
        if let Some(node) = grow(&mut c, &nodes)
            && node.shape().elements() <= 20_000
        {
            nodes.push(node);
        }
    }
    let mut outputs = vec![nodes[nodes.len() - 1].clone()];
    if c.next(2) == 0 {
        outputs.push(nodes[c.next(nodes.len())].clone());
    }
    outputs
}

fn run(words: &[u32], config: &Config) -> Result<Vec<Tensor>, String> {
    compute(&build(words), config).map_err(|e| e.to_string())
}

/// The first difference of two results, in words.
fn difference(a: &[Tensor], b: &[Tensor]) -> Option<String> {
    a.iter().zip(b).enumerate().find_map(|(i, (a, b))| {
        if a.dtype() != b.dtype() || a.shape() != b.shape() {
            return Some(format!("output {i}: {}{} against {}{}", a.dtype(), a.shape(), b.dtype(), b.shape()));
        }
        a.first_difference(b).map(|(at, x, y)| format!("output {i}, element {at}: {x:?} against {y:?}"))
    })
}

fn check(words: &[u32]) -> Result<(), TestCaseError> {
    let text = || Capture::new(&build(words), &[]).graph().to_string();
    let plain = Config::default().threads(1).backend(BackendChoice::Interp);
    let expected = run(words, &plain.clone().disable(PassSet::ALL)).map_err(TestCaseError::fail)?;
    let same = |name: &str, config: &Config| -> Result<(), TestCaseError> {
        let got = run(words, config).map_err(|e| TestCaseError::fail(format!("{name}: {e}\n{}", text())))?;
        match difference(&expected, &got) {
            Some(d) => Err(TestCaseError::fail(format!("{name} differs: {d}\n{}", text()))),
            None => Ok(()),
        }
    };
    same("optimized", &plain)?;
    let compiled = plain.clone().backend(BackendChoice::Clif);
    same("compiled", &compiled)?;
    same("compiled, three threads", &compiled.clone().threads(3))?;
    let wide = plain.clone().backend(BackendChoice::Wide);
    same("wide", &wide)?;
    same("wide, three threads", &wide.threads(3))?;
    for target in ["x86-64", "x86-64-v2"] {
        if let Ok(config) = compiled.clone().target_named(target) {
            same(target, &config)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_way_gives_the_same_bits(words in proptest::collection::vec(any::<u32>(), 10..400)) {
        check(&words)?;
    }

    #[test]
    fn functions_trace_what_expressions_are(words in proptest::collection::vec(any::<u32>(), 40..200)) {
        // The same choices over a parameter and over data.
        let input = Tensor::from_vec(&[7, 3], (0..21).map(|i| i as f64 * 0.37 - 2.0).collect::<Vec<_>>()).unwrap();
        let over = |x: &Expr, words: &[u32]| {
            let mut c = Choices { words, at: 0 };
            let mut nodes = vec![x.clone()];
            for _ in 0..6 {
                if let Some(node) = grow(&mut c, &nodes) {
                    nodes.push(node);
                }
            }
            nodes[nodes.len() - 1].clone()
        };
        let config = Config::default();
        let expected = compute(&[over(&data(input.clone()), &words)], &config).unwrap();
        let traced = words.clone();
        let function = Function::new(1, move |p| Ok(vec![over(&p[0], &traced)]));
        for _ in 0..2 {
            let got = function.call(std::slice::from_ref(&input), &config).unwrap();
            prop_assert_eq!(difference(&expected, &got), None);
        }
    }
}

/// Large arrays reach the parallel paths, where parts, subtrees and stripes are many.
#[test]
fn threads_do_not_show() {
    let n = 1_200_007;
    let values: Vec<f64> = (0..n).map(|i| ((i * 7919) % 10007) as f64 / 3.0 - 1500.0).collect();
    let x = Tensor::from_vec(&[n], values).unwrap();
    let wide = x.view(&View::index(x.shape(), &[Index::from(0..1_200_000)]).unwrap()).unwrap();
    let axes = |i: &[usize]| i.iter().copied().collect::<Axes>();
    for op in REDUCE_OPS.iter().map(|r| r.op) {
        for (shape, along) in [
            (vec![1_200_000], axes(&[0])),
            (vec![1000, 1200], axes(&[0])),
            (vec![1000, 1200], axes(&[1])),
            (vec![400_000, 3], axes(&[1])),
            (vec![400_000, 3], axes(&[0])),
            (vec![3, 400, 1000], axes(&[0, 2])),
            (vec![3, 400, 1000], axes(&[1])),
            (vec![4000, 100, 3], axes(&[0, 2])),
            (vec![4, 100_000, 3], axes(&[0, 2])),
            (vec![200_000, 2, 3], axes(&[1])),
        ] {
            let results = [1, 2, 5].map(|threads| {
                let tensor = wide.reshape(Shape::new(&shape).unwrap()).unwrap();
                let e = Expr::map(MapOp::Square, &[data(tensor)]).unwrap().reduce(op, along).unwrap();
                compute(&[e], &Config::default().threads(threads)).unwrap()
            });
            for other in &results[1..] {
                assert_eq!(difference(&results[0], other), None, "{op} of {shape:?} along {along:?}");
            }
        }
    }
}

/// An output that is a view of a view of an input, with no pass to compose them.
#[test]
fn views_of_views_are_outputs() {
    let x = data(Tensor::from_vec(&[6], vec![0, 1, 2, 3, 4, 5]).unwrap());
    let every = |e: &Expr, step| {
        let index = Index::Slice { start: None, stop: None, step };
        e.view(View::index(e.shape(), &[index]).unwrap()).unwrap()
    };
    let y = every(&every(&x, 2), -1);
    let config = Config::default().disable(PassSet::ALL);
    assert_eq!(compute(&[y], &config).unwrap()[0].to_vec::<i32>().unwrap(), [4, 2, 0]);
}

/// Every bit of an unsigned exponent counts.
#[test]
fn constant_exponents_of_64_bits() {
    let x = data(Tensor::from_vec(&[3], vec![1u64, 3, u64::MAX]).unwrap());
    for exponent in [0, 1, 5, 1 << 63, u64::MAX] {
        let constant = Expr::full(Scalar::from_bits(DType::U64, exponent), x.shape().clone());
        let y = Expr::map(MapOp::Pow, &[x.clone(), constant]).unwrap();
        let power = |x: u64| {
            (0..64).rev().fold(1u64, |p, bit| {
                let square = p.wrapping_mul(p);
                if exponent >> bit & 1 == 1 { square.wrapping_mul(x) } else { square }
            })
        };
        for backend in [BackendChoice::Interp, BackendChoice::Auto] {
            let config = Config::default().backend(backend);
            let found = compute(std::slice::from_ref(&y), &config).unwrap()[0].to_vec::<u64>().unwrap();
            assert_eq!(found, [1, power(3), power(u64::MAX)], "{exponent}");
        }
    }
}

/// The same of scans: few long ones, many short ones, along inner and outer axes.
#[test]
fn threads_do_not_show_in_scans() {
    let values: Vec<f64> = (0..1_200_000i64).map(|i| ((i * 7919) % 10007) as f64 / 3.0 - 1500.0).collect();
    let x = Tensor::from_vec(&[1_200_000], values).unwrap();
    for (shape, axis) in [(vec![3, 400_000], 1), (vec![400_000, 3], 1), (vec![400_000, 3], 0), (vec![200, 60, 100], 1)]
    {
        let tensor = x.reshape(Shape::new(&shape).unwrap()).unwrap();
        let results = [1, 2, 5].map(|threads| {
            let e = data(tensor.clone()).scan(SCAN_OPS[0].op, axis).unwrap();
            compute(&[e], &Config::default().threads(threads)).unwrap()
        });
        for other in &results[1..] {
            assert_eq!(difference(&results[0], other), None, "cumsum of {shape:?} along {axis}");
        }
    }
}
