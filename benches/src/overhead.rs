//! What an expression costs beside its arithmetic: building, planning, compiling, looking up, calling.

use crate::{cold, stats, timing};
use lazuli_engine::{Config, Function, clear_caches, compute, data};
use lazuli_graph::{Expr, MapOp};
use lazuli_runtime::Tensor;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// One figure.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) struct Overhead {
    pub(crate) what: String,
    pub(crate) microseconds: f64,
}

const ELEMENTS: usize = 1000;

/// Applies operations of two operands, each to the result before and `y`.
fn chain(x: &Expr, y: &Expr, ops: &[MapOp]) -> Result<Expr, lazuli_graph::Error> {
    ops.iter().try_fold(x.clone(), |a, &op| {
        if op.row().arity == 1 { Expr::map(op, &[a]) } else { Expr::map(op, &[a, y.clone()]) }
    })
}

/// Ten operations of arithmetic: what is measured is not the arithmetic.
const ARITHMETIC: [MapOp; 10] = [
    MapOp::Multiply,
    MapOp::Add,
    MapOp::Square,
    MapOp::Subtract,
    MapOp::Negative,
    MapOp::Add,
    MapOp::Multiply,
    MapOp::Abs,
    MapOp::Subtract,
    MapOp::Maximum,
];

/// Ten operations with functions among them.
const FUNCTIONS: [MapOp; 10] = [
    MapOp::Multiply,
    MapOp::Add,
    MapOp::Negative,
    MapOp::Exp,
    MapOp::Subtract,
    MapOp::Square,
    MapOp::Sqrt,
    MapOp::Add,
    MapOp::Divide,
    MapOp::Maximum,
];

/// Measures on arrays of 1000 elements.
pub(crate) fn measure(config: &Config, quick: bool) -> Result<Vec<Overhead>, String> {
    let text = |e: lazuli_engine::Error| e.to_string();
    let values = |scale: f64| (1..=ELEMENTS).map(|i| i as f64 * scale).collect::<Vec<f64>>();
    let tensor = |scale| Tensor::from_vec(&[ELEMENTS], values(scale)).map_err(|e| e.to_string());
    let (x, y) = (tensor(1e-3)?, tensor(2e-3)?);
    let seconds = if quick { 0.01 } else { 0.3 };
    let mut overheads = Vec::new();
    let mut add = |what: &str, kind: &str, microseconds: f64| {
        overheads.push(Overhead { what: format!("{what}, {kind}"), microseconds });
    };
    for (kind, ops) in [("arithmetic", ARITHMETIC), ("with exp, sqrt, divide", FUNCTIONS)] {
        let leaves = (data(x.clone()), data(y.clone()));
        let once = |config: &Config| -> Result<(), String> {
            let result = chain(&leaves.0, &leaves.1, &ops).map_err(|e| e.to_string())?;
            compute(&[result], config).map(drop).map_err(text)
        };
        for (name, choice) in cold::backends() {
            let config = config.clone().backend(choice);
            let mut times = Vec::new();
            for _ in 0..if quick { 3 } else { 101 } {
                clear_caches();
                let start = Instant::now();
                once(&config)?;
                times.push(start.elapsed().as_secs_f64() * 1e6);
            }
            add(&format!("cold compute, {name} (median)"), kind, stats::median(&times));
        }
        let best = |f: &dyn Fn() -> Result<(), String>| -> Result<f64, String> {
            Ok(stats::min(&timing::alone(seconds, f)?) / 1e3)
        };
        add("compute of the same expression again", kind, best(&|| once(config))?);
        let function = Function::new(2, move |args| Ok(vec![chain(&args[0], &args[1], &ops)?]));
        let args = [x.clone(), y.clone()];
        add("call of a `Function`", kind, best(&|| function.call(&args, config).map(drop).map_err(text))?);
        let build = || chain(&leaves.0, &leaves.1, &ops).map(drop).map_err(|e| e.to_string());
        add("building the expression alone", kind, best(&build)?);
    }
    Ok(overheads)
}
