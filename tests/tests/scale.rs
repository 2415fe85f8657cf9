//! Graphs of ten thousand nodes, deep and wide: they are built, computed and dropped in linear time, with no overflow
//! of the stack and kernels of bounded size. And functions of any shape.

use lazuli::prelude::*;
use lazuli_graph::{Expr, MapOp};

const NODES: usize = 10_000;

#[test]
fn deep_chain() {
    let x = Array::from(vec![1.0f64; 1000]);
    let mut y = &x * 1.0;
    for i in 0..NODES {
        y = if i % 2 == 0 { y + 1.0 } else { y - 0.5 };
    }
    let t = y.compute().unwrap();
    assert!(t.as_slice::<f64>().unwrap().iter().all(|&v| v == 1.0 + 0.5 * (NODES / 2) as f64));
}

#[test]
fn deep_chain_of_shared_operands() {
    // Every node is used twice: a tree of it would have 2^10000 leaves.
    let mut y = Array::from(vec![1.0f64, 2.0, 3.0]);
    for _ in 0..NODES {
        y = (&y + &y) * 0.5;
    }
    assert_eq!(y.to_vec::<f64>().unwrap(), [1.0, 2.0, 3.0]);
}

#[test]
fn wide_sum() {
    // Ten thousand leaves, added in pairs.
    let mut layer: Vec<Array> = (0..NODES).map(|i| Array::from([i as f64, 1.0])).collect();
    while layer.len() > 1 {
        layer = layer.chunks(2).map(|pair| if let [a, b] = pair { a + b } else { pair[0].clone() }).collect();
    }
    let total = (NODES * (NODES - 1) / 2) as f64;
    assert_eq!(layer[0].to_vec::<f64>().unwrap(), [total, NODES as f64]);
}

#[test]
fn many_outputs() {
    let x = Array::from(vec![0.5f64; 100]);
    let outputs: Vec<Array> = (0..1000).map(|i| &x * i as f64 + 1.0).collect();
    let tensors = lazuli::compute_all_with(&outputs, &Config::default()).unwrap();
    assert!(tensors.iter().enumerate().all(|(i, t)| t.as_slice::<f64>().unwrap()[7] == 0.5 * i as f64 + 1.0));
}

#[test]
fn dropping_a_million_nodes_takes_constant_stack() {
    let mut e = Expr::iota(Shape::new(&[4]).unwrap());
    for _ in 0..1_000_000 {
        e = Expr::map(MapOp::Negative, &[e]).unwrap();
    }
    std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(e)).unwrap().join().unwrap();
}

#[test]
fn a_loop_without_end_is_computed_as_it_goes() {
    let mut y = Array::from([0i64]);
    for _ in 0..120_000 {
        y = y + 1;
    }
    assert!(y.expr().unwrap().depth() < 60_000);
    assert_eq!(y.to_vec::<i64>().unwrap(), [120_000]);
}

#[test]
fn functions_agree_with_expressions_on_every_shape() {
    let f = Function::new(|[x, w]: [Array; 2]| (x * &w).sum(Axis(-1)) + w.mean(All));
    for (rows, columns) in [(1, 1), (3, 5), (0, 4), (64, 1000)] {
        let x = Array::iota([rows, columns]).astype(f64).compute().unwrap();
        let w = Array::linspace(0.0, 1.0, columns).compute().unwrap();
        let expected =
            ((Array::from(&x) * Array::from(&w)).sum(Axis(-1)) + Array::from(&w).mean(All)).compute().unwrap();
        assert!(f.call([&x, &w]).unwrap().bits_eq(&expected), "{rows} by {columns}");
    }
    let error = f.call([&Array::zeros([2, 3], f64).compute().unwrap(), &Array::zeros([2], f64).compute().unwrap()]);
    assert!(error.unwrap_err().to_string().contains("cannot broadcast"));
}

#[test]
fn parameters_have_no_value_of_their_own() {
    let x = Array::from([1.0, 2.0]).compute().unwrap();
    let w = Array::from([10.0, 20.0]);
    // Computed while it is traced: an error, not the value of something else.
    let captured = w.clone();
    let f = Function::new(move |[x]: [Array; 1]| {
        let total = (&x + &captured).sum(All);
        match total.item() {
            Ok(value) => &x * value.as_f64(),
            Err(e) => {
                assert!(e.to_string().contains("no value"), "{e}");
                x + &captured
            }
        }
    });
    assert_eq!(f.call([&x]).unwrap().to_vec::<f64>().unwrap(), [11.0, 22.0]);

    // A parameter of an outer function inside an inner one.
    let outer = Function::new(|[x]: [Array; 1]| {
        let y = x.clone();
        let inner = Function::new(move |[z]: [Array; 1]| z + &y);
        assert!(inner.call([&Array::from([1.0, 1.0])]).is_err());
        x * 2
    });
    assert_eq!(outer.call([&x]).unwrap().to_vec::<f64>().unwrap(), [2.0, 4.0]);

    // Eager mode traces functions too.
    let config = Config::default().eager(true);
    let doubled = lazuli::config::scoped(config, || f.call([&w]).unwrap());
    assert_eq!(doubled.to_vec::<f64>().unwrap(), [20.0, 40.0]);
}
