//! The precision `Fast`: what it may change of quotients, and what it may not.

use lazuli::prelude::*;
use lazuli_engine::Target;

/// Dividends and divisors of all kinds. Subnormal divisors are not among them: `Fast` may take those as zeros.
const VALUES: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -3.0,
    7.0,
    0.1,
    -1e-30,
    1e30,
    1.2e-38,
    3e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    1.7e308,
    -2.3e-308,
    1.5,
];

/// Whether a quotient is what `Fast` may make of another: near it, or both are smaller than numbers that may be taken as zero;
/// with its sign.
fn near(fast: f64, quotient: f64, epsilon: f64, small: f64) -> bool {
    if quotient.is_nan() || fast.is_nan() {
        return quotient.is_nan() && fast.is_nan();
    }
    let close = fast == quotient || (fast - quotient).abs() <= 4.5 * epsilon * quotient.abs();
    let little = fast.abs() < small && quotient.abs() < small;
    fast.is_sign_negative() == quotient.is_sign_negative() && (close || little)
}

/// Calls a function in both precisions on every target, and compares all results.
fn compare<const N: usize>(function: &Function<1>, x: &Tensor) -> lazuli::Result<()> {
    let (epsilon, small) = match x.dtype() {
        DType::F32 => (f32::EPSILON.into(), 2.0 * f64::from(f32::MIN_POSITIVE)),
        _ => (f64::EPSILON, 2.0 * f64::MIN_POSITIVE),
    };
    let standard = function.call_with([x], &Config::default())?;
    assert_eq!(standard.len(), N);
    for info in Target::available().into_iter().filter(|t| t.supported()) {
        let config = Config::default().precision(Precision::Fast).target_named(info.name);
        let config = config.map_err(|e| lazuli_engine::Error::Call(e.to_string()))?;
        // What is run often is compiled.
        for call in 0..4 {
            let fast = function.call_with([x], &config)?;
            for (fast, standard) in fast.iter().zip(&standard) {
                let pairs = fast.iter_scalars().zip(standard.iter_scalars());
                for (at, (f, s)) in pairs.map(|(f, s)| (f.as_f64(), s.as_f64())).enumerate() {
                    assert!(near(f, s, epsilon, small), "{} {call}: {at}: {f:e}, not {s:e}", info.name);
                }
            }
        }
    }
    Ok(())
}

/// Each by each, along rows and along columns, many times over; each by a constant.
fn quotients<T: lazuli::Element>(values: Vec<T>) -> lazuli::Result<()> {
    let (n, dtype) = (values.len(), T::DTYPE);
    let x = Array::from(values).compute()?;
    let all = Function::new(move |[x]: [Array; 1]| {
        let i = n as i64;
        let down = x.reshape([i, 1, 1]);
        // Along rows and along columns, repeated often enough.
        let rows = &down * Array::ones([1, 1, 40], dtype);
        let columns = (&down * Array::ones([1, 8, n], dtype)).reshape([8 * i, i]);
        [rows / x.reshape([1, i, 1]), columns / &x, &x / 3.0, &x / -1e-30, &x / f64::INFINITY, &x / 0.0]
    });
    compare::<6>(&all, &x)
}

#[test]
fn quotients_keep_what_fast_promises() -> lazuli::Result<()> {
    quotients(VALUES.to_vec())?;
    let single = VALUES.into_iter().map(|x| x as f32).filter(|x| !x.is_subnormal());
    quotients(single.collect::<Vec<f32>>())
}

/// The reciprocal is computed once, and there is no division left in what all elements go through.
#[test]
fn what_is_stretched_is_divided_once() -> lazuli::Result<()> {
    let explained = |precision: Precision| -> lazuli::Result<String> {
        let x = Array::from(vec![1.5f64; 60]).reshape([2, 30]);
        let y = &x / x.sum(Axis(1).keepdims());
        let config = Config::default().precision(precision);
        lazuli_engine::config::scoped(config, || y.explain().map(|e| e.to_string()))
    };
    let (standard, fast) = (explained(Precision::Standard)?, explained(Precision::Fast)?);
    assert!(standard.contains("= divide") && !standard.contains("= reciprocal"), "{standard}");
    assert!(fast.contains("= reciprocal") && fast.contains("reciprocal: "), "{fast}");
    let after = fast.split("graph after the passes").nth(1).unwrap_or_default();
    assert!(after.contains("= multiply") && !after.contains("= divide"), "{fast}");
    Ok(())
}
