//! What an expression costs beside its arithmetic: building, planning, compiling, looking up, calling.

use crate::time;
use lazuli_engine::{BackendChoice, Config, Function, clear_caches, compute, data};
use lazuli_graph::{Expr, MapOp, Scalar};
use lazuli_runtime::Tensor;
use std::time::Instant;

/// One figure.
pub(crate) struct Overhead {
    pub(crate) what: &'static str,
    pub(crate) microseconds: f64,
}

const ELEMENTS: usize = 1000;

/// Ten elementwise operations on two arrays.
fn ten(x: &Expr, y: &Expr) -> Result<Expr, lazuli_graph::Error> {
    let half = Expr::literal(Scalar::from_f64(lazuli_graph::DType::F64, 0.5));
    let a = Expr::map(MapOp::Multiply, &[x.clone(), x.clone()])?;
    let b = Expr::map(MapOp::Multiply, &[y.clone(), y.clone()])?;
    let c = Expr::map(MapOp::Add, &[a, b])?;
    let d = Expr::map(MapOp::Negative, &[c])?;
    let e = Expr::map(MapOp::Multiply, &[d, half])?;
    let f = Expr::map(MapOp::Exp, &[e])?;
    let g = Expr::map(MapOp::Sqrt, &[f])?;
    let h = Expr::map(MapOp::Add, &[g, x.clone()])?;
    let i = Expr::map(MapOp::Divide, &[h, y.clone()])?;
    Expr::map(MapOp::Maximum, &[i, x.clone()])
}

/// Measures on arrays of 1000 elements.
pub(crate) fn measure(config: &Config, quick: bool) -> Result<Vec<Overhead>, String> {
    let text = |e: lazuli_engine::Error| e.to_string();
    let values = |scale: f64| (1..=ELEMENTS).map(|i| i as f64 * scale).collect::<Vec<f64>>();
    let tensor = |scale| Tensor::from_vec(&[ELEMENTS], values(scale)).map_err(|e| e.to_string());
    let (x, y) = (tensor(1e-3)?, tensor(2e-3)?);
    let once = |config: &Config| -> Result<(), String> {
        let result = ten(&data(x.clone()), &data(y.clone())).map_err(|e| e.to_string())?;
        compute(&[result], config).map(drop).map_err(text)
    };
    let cold = |config: &Config| -> Result<f64, String> {
        let mut times = Vec::new();
        for _ in 0..if quick { 3 } else { 101 } {
            clear_caches();
            let start = Instant::now();
            once(config)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    };
    let seconds = if quick { 0.01 } else { 0.5 };
    let function = Function::new(2, |args| Ok(vec![ten(&args[0], &args[1])?]));
    let args = [x.clone(), y.clone()];
    let leaves = (data(x.clone()), data(y.clone()));
    Ok(vec![
        Overhead { what: "cold compute, default backend (median)", microseconds: cold(config)? },
        Overhead {
            what: "cold compute, compiled (median)",
            microseconds: cold(&config.clone().backend(BackendChoice::Clif))?,
        },
        Overhead {
            what: "compute of the same expression again",
            microseconds: time::best(seconds, || once(config))? * 1e3,
        },
        Overhead {
            what: "call of a `Function`",
            microseconds: time::best(seconds, || function.call(&args, config).map(drop).map_err(text))? * 1e3,
        },
        Overhead {
            what: "building the expression alone",
            microseconds: time::best(seconds, || ten(&leaves.0, &leaves.1).map(drop).map_err(|e| e.to_string()))? * 1e3,
        },
    ])
}

/// The figures as lines.
pub(crate) fn text(overheads: &[Overhead]) -> String {
    let lines = overheads.iter().map(|o| format!("{:40} {:10.2} us", o.what, o.microseconds));
    lines.collect::<Vec<_>>().join("\n")
}
