//! The comparison with NumPy, on every backend. Without `LAZULI_ORACLE` there is nothing to compare with:
//! `cargo xtask test` sets it.

// A test that cannot go on fails.
#![allow(clippy::unwrap_used)]

use lazuli_cli::lang::{self, Env, Value};
use lazuli_engine::{BackendChoice, Config, Target, compute, data};
use lazuli_graph::{DType, Expr, Index, MapOp, Scalar, Shape, View};
use lazuli_jit::Backend;
use lazuli_runtime::Tensor;
use lazuli_tests::oracle::{Case, Kind, Near, Oracle, Tolerance, compare, tensor};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Every way to run a kernel on this machine: the interpreter first, then the compiler for each target.
static WAYS: LazyLock<Vec<(String, Config)>> = LazyLock::new(|| {
    let mut ways = vec![("interp".to_owned(), Config::default().backend(BackendChoice::Interp))];
    for info in Target::available() {
        // The target `interp` would be the first way once more.
        if let Ok(config) = Config::default().target_named(info.name)
            && info.name != "interp"
        {
            ways.push((format!("clif {}", info.name), config.clone().backend(BackendChoice::Clif)));
            if Backend::Wide.why_not(config.target).is_none() {
                ways.push((format!("wide {}", info.name), config.backend(BackendChoice::Wide)));
            }
        }
    }
    println!("compared: {}", ways.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "));
    ways
});

/// Runs `check` on the cases of a kind, in parallel, and fails with the first differences of each subject.
fn check_all(kind: Kind, check: impl Fn(&Oracle, &Case) -> Result<(), String> + Sync) {
    let Some(oracle) = Oracle::open().unwrap() else {
        println!("skipped: LAZULI_ORACLE is not set; cargo xtask test sets it");
        return;
    };
    let cases: Vec<&Case> = oracle.cases.iter().filter(|c| c.kind == kind).collect();
    assert!(cases.len() > 1000, "only {} cases of kind {kind:?}", cases.len());
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let faults = std::thread::scope(|scope| {
        let work = || {
            let mut faults = Vec::new();
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(case) = cases.get(i) else { return faults };
                if let Err(text) = check(&oracle, case) {
                    faults.push((i, text));
                }
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    let mut subjects: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (i, text) in &faults {
        let subject = cases[*i].what.split(['(', '[']).next().unwrap_or_default();
        subjects.entry(subject).or_default().push(format!("{}: {text}", described(&oracle, cases[*i])));
    }
    let mut report = String::new();
    for (subject, mut texts) in subjects {
        texts.sort();
        report += &format!(
            "{subject}: {} of {} cases\n",
            texts.len(),
            cases.iter().filter(|c| c.what.starts_with(subject)).count()
        );
        texts.iter().take(6).for_each(|t| report += &format!("    {t}\n"));
    }
    assert!(faults.is_empty(), "{} of {} cases differ from NumPy\n{report}", faults.len(), cases.len());
    println!("{} cases agree with NumPy", cases.len());
}

fn described(oracle: &Oracle, case: &Case) -> String {
    let input = |(name, entry): &(String, String)| match oracle.array(entry) {
        Ok(t) => format!("{name}{}{}{}", if name.is_empty() { "" } else { "=" }, t.dtype().short(), t.shape()),
        Err(_) => entry.clone(),
    };
    format!("{} of {}", case.what, case.inputs.iter().map(input).collect::<Vec<_>>().join(", "))
}

fn scalars(tensor: &Tensor) -> Vec<Scalar> {
    tensor.iter_scalars().collect()
}

/// The result of an expression in every way, whose bits must agree; each time from new nodes.
fn on_every_backend(build: &dyn Fn() -> Result<Expr, String>) -> Result<Tensor, String> {
    let mut first: Option<Tensor> = None;
    for (name, config) in WAYS.iter() {
        let mut results = compute(&[build()?], config).map_err(|e| format!("{name}: {e}"))?;
        let result = results.remove(0);
        match &first {
            Some(first) => {
                compare(&result, first, Near::Steps(0), false)
                    .map_err(|e| format!("{name} differs from interp: {e}"))?;
            }
            None => first = Some(result),
        }
    }
    first.ok_or_else(|| "there is no way to run it".to_owned())
}

fn check(oracle: &Oracle, case: &Case, got: Result<Tensor, String>) -> Result<(), String> {
    match (&case.expected, got) {
        (None, Err(text)) if text.contains("internal error") => Err(text),
        (None, Err(_)) => Ok(()),
        (None, Ok(got)) => Err(format!("{}{}, but NumPy has no result", got.dtype(), got.shape())),
        (Some(_), Err(e)) => Err(e),
        (Some(entry), Ok(got)) => {
            let expected = oracle.array(entry)?;
            match &case.tolerance {
                Tolerance::Steps(n) => compare(&got, &expected, Near::Steps(*n), case.any_zero),
                Tolerance::Entry(entry) => {
                    let bounds = oracle.array(entry)?.to_vec::<f64>().map_err(|e| e.to_string())?;
                    compare(&got, &expected, Near::Bounds(&bounds), case.any_zero)
                }
            }
        }
    }
}

fn map(op: MapOp, operands: &[Tensor]) -> Result<Tensor, String> {
    on_every_backend(&|| {
        let operands: Vec<Expr> = operands.iter().cloned().map(data).collect();
        Expr::map(op, &operands).map_err(|e| e.to_string())
    })
}

#[test]
fn elementwise_ops_compute_what_numpy_computes() {
    check_all(Kind::Map, |oracle, case| {
        let op = MapOp::from_name(&case.what).ok_or("no such op")?;
        let operands = case.inputs.iter().map(|(_, e)| oracle.array(e)).collect::<Result<Vec<_>, _>>()?;
        check(oracle, case, map(op, &operands))
    });
}

/// Every layout must give what the contiguous one gives, which the test above compares with NumPy.
#[test]
fn elementwise_ops_mean_the_same_in_every_layout() {
    let Some(oracle) = Oracle::open().unwrap() else { return };
    let mut checked = 0;
    for case in oracle.cases.iter().filter(|c| c.kind == Kind::Map && c.expected.is_some()) {
        let operands: Vec<Tensor> = case.inputs.iter().map(|(_, e)| oracle.array(e).unwrap()).collect();
        let n = operands[0].elements();
        // The cases with operands of one shape; those that broadcast are compared as they are.
        if operands.iter().any(|t| t.rank() != 1 || t.elements() != n) || n > 1000 {
            continue;
        }
        let op = MapOp::from_name(&case.what).unwrap();
        let expected = map(op, &operands).unwrap();
        for (name, operands, expected) in layouts(&operands, &expected) {
            let got = map(op, &operands).unwrap_or_else(|e| panic!("{} {name}: {e}", described(&oracle, case)));
            if let Err(e) = compare(&got, &expected, Near::Steps(0), false) {
                panic!("{}, {name}: {e}", described(&oracle, case));
            }
            checked += 1;
        }
    }
    assert!(checked > 1000, "only {checked} layouts");
}

/// Operands and result in other layouts and lengths.
fn layouts(operands: &[Tensor], expected: &Tensor) -> Vec<(String, Vec<Tensor>, Tensor)> {
    let n = expected.elements();
    let slice = |start, stop, step| Index::Slice { start, stop, step };
    let viewed = |t: &Tensor, index: &[Index]| t.view(&View::index(t.shape(), index).unwrap()).unwrap();
    let all = |name: &str, f: &dyn Fn(&Tensor) -> Tensor, expected: Tensor| {
        (name.to_owned(), operands.iter().map(f).collect::<Vec<_>>(), expected)
    };
    let strided = |t: &Tensor| {
        let doubled: Vec<Scalar> = scalars(t).into_iter().flat_map(|x| [x, Scalar::zero(t.dtype())]).collect();
        viewed(&tensor(t.dtype(), &[2 * n], &doubled).unwrap(), &[slice(None, None, 2)])
    };
    let backward = |t: &Tensor| {
        let reversed: Vec<Scalar> = scalars(t).into_iter().rev().collect();
        viewed(&tensor(t.dtype(), &[n], &reversed).unwrap(), &[slice(None, None, -1)])
    };
    let repeated = |t: &Tensor| {
        let to = Shape::new(&[3, n]).unwrap();
        t.view(&View::broadcast(t.shape(), &to).unwrap()).unwrap()
    };
    // Rows of 8, and the same transposed, so that the inner stride is not one.
    let rows = n / 8;
    let columns = |t: &Tensor| {
        let block = viewed(t, &[slice(None, Some(8 * rows as i64), 1)]);
        let block = block.reshape(Shape::new(&[rows, 8]).unwrap()).unwrap();
        block.view(&View::transpose(block.shape(), &[1, 0])).unwrap()
    };
    let mut out = vec![
        all("strided", &strided, expected.clone()),
        all("negative stride", &backward, expected.clone()),
        all("broadcast", &repeated, repeated(expected)),
        all("transposed", &columns, columns(expected)),
    ];
    for len in [0, 1, 2, 3, 7, 8, 15, 17, 31, 33] {
        // From the second on: not aligned to more than an element.
        let part = |t: &Tensor| viewed(t, &[slice(Some(1), Some(1 + len), 1)]);
        out.push(all(&format!("length {len}"), &part, part(expected)));
    }
    for at in [0, n / 2, n - 1] {
        let one = |t: &Tensor| viewed(t, &[Index::At(at as i64)]);
        out.push(all("0-d", &one, one(expected)));
    }
    out
}

#[test]
fn results_have_numpys_dtypes() {
    check_all(Kind::Type, |_, case| {
        let op = MapOp::from_name(&case.what).ok_or("no such op")?;
        let parameter = |(i, (_, name)): (usize, &(String, String))| {
            let dtype: DType = name.parse().map_err(|e| format!("{e}"))?;
            Ok(Expr::parameter(i as u32, dtype, Shape::new(&[2]).map_err(|e| e.to_string())?))
        };
        let operands = case.inputs.iter().enumerate().map(parameter).collect::<Result<Vec<_>, String>>()?;
        match (Expr::map(op, &operands), &case.expected) {
            (Ok(e), Some(expected)) if e.dtype().name() == expected => Ok(()),
            (Err(_), None) => Ok(()),
            (Ok(e), expected) => Err(format!(
                "{:?} give {}, expected {}",
                case.inputs,
                e.dtype(),
                expected.as_deref().unwrap_or("an error")
            )),
            (Err(e), _) => Err(format!("{:?}: {e}", case.inputs)),
        }
    });
}

#[test]
fn expressions_compute_what_numpy_computes() {
    check_all(Kind::Expr, |oracle, case| {
        let inputs = case.inputs.iter().map(|(name, e)| Ok((name.clone(), oracle.array(e)?)));
        let inputs = inputs.collect::<Result<Vec<_>, String>>()?;
        let build = || {
            let names = inputs.iter().map(|(name, t)| (name.clone(), Value::Array(data(t.clone())))).collect();
            let env = Env { names, new_array: &|values, dtype, shape| data(tensor(dtype, &shape, values).unwrap()) };
            let program = lang::parse("case", &case.what).map_err(|e| e.to_string())?;
            let mut outcome = lang::eval(&program, &env).map_err(|e| e.to_string())?;
            outcome.results.pop().map(|(_, e)| e).ok_or_else(|| "no result".to_owned())
        };
        check(oracle, case, on_every_backend(&build))
    });
}
