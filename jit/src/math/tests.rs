use super::accuracy::{FUNCTIONS, Function, Random, steps64};
use crate::{Backend, Code, Precision, Slab, Target, Ty};
use std::collections::HashMap;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

/// The functions named in `LAZULI_MATH_ONLY`, else all.
fn chosen() -> impl Iterator<Item = &'static Function> {
    let only = std::env::var("LAZULI_MATH_ONLY").ok();
    FUNCTIONS.iter().filter(move |f| only.as_ref().is_none_or(|o| o.split(',').any(|n| n == f.name)))
}

const PRECISIONS: [Precision; 2] = [Precision::Standard, Precision::Fast];

/// Results are the correctly rounded ones or their neighbours; in `Fast` a few steps away.
#[test]
fn sampled_f64() {
    let mut bad = Vec::new();
    for (f, precision) in chosen().flat_map(|f| PRECISIONS.map(|p| (f, p))) {
        let (xs, ys) = f.sample(60_000, 1);
        let m = f.measure64(precision, &xs, &ys);
        println!("{:9} f64 {precision:8} {:3} instructions, {m:?}", f.name, f.cost(Ty::F64, precision));
        // The correctly rounded result is half a unit off at most.
        if m.worst > (f.bound(Ty::F64, precision) + 0.5).floor() {
            bad.push((f.name, precision, m));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// Results are off by no more than the published bounds.
#[test]
fn sampled_f32() {
    let mut bad = Vec::new();
    for (f, precision) in chosen().flat_map(|f| PRECISIONS.map(|p| (f, p))) {
        let (xs, ys) = f.sample(60_000, 2);
        let narrow = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let (mut xs, mut ys) = (narrow(&xs), narrow(&ys));
        xs.extend((7..=u32::MAX).step_by(30011).map(f32::from_bits));
        if f.arity() == 2 {
            let mut random = Random::new(5);
            ys.resize_with(xs.len(), || f32::from_bits(random.bits() as u32));
        }
        let m = f.measure32(precision, &xs, &ys);
        println!("{:9} f32 {precision:8} {:3} instructions, {m:?}", f.name, f.cost(Ty::F32, precision));
        if m.worst > f.bound(Ty::F32, precision) {
            bad.push((f.name, precision, m));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// Next to multiples of pi/2, where what is left of the argument is small, and at the far ends of the reduced range.
/// -39086.125 and 2.35904312 were once off by 2.8 and 1.05 units.
#[test]
fn trigonometry_at_its_worst_places() {
    let mut xs = vec![-39086.125, 2.359_043_1, 0.785_331_7];
    let mut random = Random::new(11);
    for _ in 0..200_000 {
        let nearest = ((random.unit() * 83_000.0).floor() * std::f64::consts::FRAC_PI_2) as f32;
        xs.extend([nearest.next_down(), nearest, nearest.next_up()]);
    }
    for name in ["sin", "cos", "tan"] {
        let f = Function::named(name).unwrap();
        for precision in PRECISIONS {
            let m = f.measure32(precision, &xs, &xs);
            assert!(m.worst <= f.bound(Ty::F32, precision), "{name} {precision}: {m:?}");
        }
    }
}

/// What users make of the functions does no worse than their errors add up to, and overflows nowhere.
#[test]
fn compositions() {
    let [exp, log1p, tanh] = ["exp", "log1p", "tanh"].map(|n| Function::named(n).unwrap());
    let [sigmoid, sum] = ["sigmoid", "logaddexp"].map(|n| Function::named(n).unwrap());
    let xs: Vec<f64> = (-8000..=8000).map(|i| i as f64 * 0.0937).collect();
    let minus: Vec<f64> = xs.iter().map(|x| -x).collect();
    let standard = Precision::Standard;
    for (x, e) in xs.iter().zip(exp.eval64(standard, &minus, &[])) {
        let (got, right) = (1.0 / (1.0 + e), sigmoid.right64(*x, 0.0));
        // Where exp overflows, the quotient is zero and not a subnormal number.
        assert!(steps64(got, right) <= 2 || e == INF && got == 0.0 && right < f64::MIN_POSITIVE, "{x}: {got:e}");
        let (got, right) = (x * got, x * right);
        assert!(steps64(got, right) <= 3 || e == INF && got == 0.0, "{x}: {got:e}");
    }
    let exps = exp.eval64(standard, &xs, &[]);
    for ((x, e), got) in xs.iter().zip(&exps).zip(log1p.eval64(standard, &exps, &[])) {
        assert!(steps64(got, sum.right64(0.0, *x)) <= 1 || *e == INF && got == INF, "{x}: {got:e}");
    }
    let halves: Vec<f64> = xs.iter().map(|x| 0.5 * x).collect();
    for (x, got) in xs.iter().zip(tanh.eval64(standard, &halves, &[])) {
        assert!((0.5 + 0.5 * got - sigmoid.right64(*x, 0.0)).abs() <= 2f64.powi(-52), "{x}: {got:e}");
    }
    let short: Vec<f32> = minus.iter().map(|&x| x as f32).collect();
    for (x, e) in short.iter().zip(exp.eval32(standard, &short, &[])) {
        let (got, right) = ((1.0 / (1.0 + e)) as f64, sigmoid.right64(-x as f64, 0.0));
        assert!(
            (got - right).abs() <= right * 2.5 * f32::EPSILON as f64 || right < 4.0 / f32::MAX as f64,
            "{x}: {got:e}"
        );
    }
}

/// NumPy's own accuracy sets: the folder `numpy/_core/tests/data` of its wheel, in `LAZULI_NUMPY_DATA`.
#[test]
#[ignore = "needs the folder of NumPy's data"]
fn numpy_validation_sets() {
    let folder = std::path::PathBuf::from(std::env::var_os("LAZULI_NUMPY_DATA").unwrap());
    let bits = |w: &str| u64::from_str_radix(w.trim_start_matches("0x"), 16).unwrap();
    for f in FUNCTIONS.iter().filter(|f| f.arity() == 1) {
        if matches!(f.name, "sigmoid" | "erf" | "erfc") {
            continue; // not of NumPy
        }
        let name = f.name.strip_prefix('a').map_or(f.name.to_owned(), |rest| format!("arc{rest}"));
        let text = std::fs::read_to_string(folder.join(format!("umath-validation-set-{name}.csv"))).unwrap();
        let mut rows = 0;
        for line in text.lines().filter(|l| l.starts_with("np.")) {
            let cells: Vec<&str> = line.split(',').collect();
            let (x, expected) = (bits(cells[1]), bits(cells[2]));
            if cells[0] == "np.float32" {
                let (x, expected) = (f32::from_bits(x as u32), f32::from_bits(expected as u32));
                let got = f.eval32(Precision::Standard, &[x], &[])[0];
                let steps = (got.to_bits() as i64 - expected.to_bits() as i64).abs();
                assert!(
                    steps <= 1 || got.is_nan() && expected.is_nan(),
                    "{}({x:e}) = {got:e}, not {expected:e}",
                    f.name
                );
            } else {
                let (x, expected) = (f64::from_bits(x), f64::from_bits(expected));
                let got = f.eval64(Precision::Standard, &[x], &[])[0];
                assert!(steps64(got, expected) <= 1, "{}({x:e}) = {got:e}, not {expected:e}", f.name);
            }
            rows += 1;
        }
        println!("{:8} {rows} rows", f.name);
        assert!(rows > 0, "{}", f.name);
    }
}

/// The hardest arguments that samples of millions have found, in fractions of a unit (`ulp.py` made the file).
#[test]
fn reference_f64() {
    type Row = (f64, f64, f64, f64);
    let mut rows: HashMap<&str, Vec<Row>> = HashMap::new();
    for line in include_str!("reference.txt").lines() {
        let (name, numbers) = line.split_once(' ').unwrap();
        let n: Vec<f64> = numbers.split(' ').map(|w| f64::from_bits(u64::from_str_radix(w, 16).unwrap())).collect();
        rows.entry(name).or_default().push((n[0], n[1], n[2], n[3]));
    }
    // The sum of logaddexp may cancel.
    for f in FUNCTIONS.iter().filter(|f| f.name != "logaddexp") {
        let Some(rows) = rows.get(f.name) else { panic!("no rows of {}", f.name) };
        assert!(rows.len() >= 70, "{}", f.name);
        let xs: Vec<f64> = rows.iter().map(|r| r.0).collect();
        let ys: Vec<f64> = rows.iter().map(|r| r.1).collect();
        for (got, (x, y, nearest, lacks)) in f.eval64(Precision::Standard, &xs, &ys).into_iter().zip(rows) {
            // The unit is that of the exact result, which may be the next lower one where the nearest is a power of two.
            let exponent = ((nearest.abs().to_bits() >> 52) as i32).max(1) - 1023 - 52;
            let below = nearest.abs().to_bits() << 12 == 0 && lacks.is_sign_negative() == (*nearest > 0.0);
            let unit =
                2f64.powi((exponent - below as i32).max(-1022)) * 2f64.powi((exponent - below as i32 + 1022).min(0));
            let error = ((got - nearest) / unit - lacks).abs();
            assert!(
                error <= f.bound(Ty::F64, Precision::Standard),
                "{}({x:e}, {y:e}) = {got:e}, off by {error}",
                f.name
            );
        }
    }
}

/// All backends and targets give the interpreter's bits.
#[test]
fn backends_agree() {
    for (f, precision) in chosen().flat_map(|f| PRECISIONS.map(|p| (f, p))) {
        let (xs, ys) = f.sample(2_000, 6);
        let (xs, ys) = (&xs[..xs.len().min(12_001)], &ys[..ys.len().min(12_001)]);
        let expected = f.eval64(precision, xs, ys);
        agree(f, Ty::F64, precision, (xs, ys, &expected), |a, b| {
            a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
        });
        let [xs, ys] = [xs, ys].map(|v| v.iter().map(|&x| x as f32).collect::<Vec<f32>>());
        let expected = f.eval32(precision, &xs, &ys);
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        agree(f, Ty::F32, precision, (&xs, &ys, &expected), same);
    }
}

/// Fails where machine code gives something else than is expected.
#[allow(unsafe_code)]
fn agree<T: bytemuck::Pod + std::fmt::LowerExp>(
    f: &Function,
    ty: Ty,
    precision: Precision,
    (xs, ys, expected): (&[T], &[T], &[T]),
    same: impl Fn(T, T) -> bool,
) {
    let kernel = f.kernel(ty, precision);
    let targets = Target::available().into_iter().filter(|i| i.supported()).map(|i| Target::by_name(i.name).unwrap());
    for target in targets.filter(Target::compiles) {
        for backend in Backend::ALL.into_iter().filter(|b| *b != Backend::Interp && b.why_not(&target).is_none()) {
            let code = Code::compile(&kernel, backend, &target).unwrap();
            let mut out = vec![T::zeroed(); xs.len()];
            let size = size_of::<T>() as isize;
            let mut slab = Slab::new(f.arity() + 1);
            slab.set_extents(xs.len(), 1);
            slab.set_operand(0, xs.as_ptr().expose_provenance() as u64, size, 0);
            if f.arity() == 2 {
                slab.set_operand(1, ys.as_ptr().expose_provenance() as u64, size, 0);
            }
            slab.set_operand(f.arity(), out.as_mut_ptr().expose_provenance() as u64, size, 0);
            // SAFETY: all operands are arrays of as many elements of the kernel's type, and `out` is none of the others.
            unsafe { code.run(&slab) };
            for (i, (&a, &b)) in expected.iter().zip(&out).enumerate() {
                let (x, y) = (xs[i], ys.get(i).copied().unwrap_or(T::zeroed()));
                let who = format!("{} {ty:?} {precision}, {backend} for {}", f.name, target.name());
                assert!(same(a, b), "{who}: ({x:e}, {y:e}) gives {b:e}, not {a:e}");
            }
        }
    }
}

fn value(name: &str, x: f64, y: f64) -> [f64; 2] {
    let f = Function::named(name).unwrap();
    [f.eval64(Precision::Standard, &[x], &[y])[0], f.eval32(Precision::Standard, &[x as f32], &[y as f32])[0] as f64]
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Where C99 (annex F) says exactly what the result is, in both types.
#[test]
fn special_values_of_one() {
    let cases: &[(&str, &[(f64, f64)])] = &[
        ("exp", &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0)]),
        ("exp2", &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (5.0, 32.0), (-100.0, 7.888609052210118e-31)]),
        ("expm1", &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0)]),
        ("log", &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN), (INF, INF), (-INF, NAN)]),
        ("log2", &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (8.0, 3.0), (0.125, -3.0), (-1.0, NAN), (INF, INF)]),
        ("log10", &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (1e5, 5.0), (-1.0, NAN), (INF, INF)]),
        ("log1p", &[(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-2.0, NAN), (INF, INF), (-INF, NAN)]),
        ("sin", &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)]),
        ("cos", &[(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN)]),
        ("tan", &[(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)]),
        ("asin", &[(0.0, 0.0), (-0.0, -0.0), (1.5, NAN), (INF, NAN), (-INF, NAN)]),
        ("acos", &[(1.0, 0.0), (1.5, NAN), (-1.5, NAN), (INF, NAN)]),
        ("atan", &[(0.0, 0.0), (-0.0, -0.0)]),
        ("sinh", &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF)]),
        ("cosh", &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, INF)]),
        ("tanh", &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (50.0, 1.0)]),
        ("asinh", &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF)]),
        ("acosh", &[(1.0, 0.0), (0.5, NAN), (-3.0, NAN), (INF, INF), (-INF, NAN)]),
        ("atanh", &[(0.0, 0.0), (-0.0, -0.0), (1.0, INF), (-1.0, -INF), (1.5, NAN), (-INF, NAN)]),
        ("sigmoid", &[(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (-1e9, 0.0), (60.0, 1.0)]),
        ("erf", &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (7.0, 1.0)]),
        ("erfc", &[(0.0, 1.0), (-0.0, 1.0), (INF, 0.0), (-INF, 2.0), (-7.0, 2.0), (30.0, 0.0)]),
        ("cbrt", &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (27.0, 3.0), (-8.0, -2.0), (1.0, 1.0)]),
    ];
    for (name, rows) in cases {
        for &(x, expected) in *rows {
            for got in value(name, x, 0.0) {
                assert!(same(got, expected), "{name}({x:?}) = {got:?}, not {expected:?}");
            }
        }
        assert!(value(name, NAN, 0.0).iter().all(|v| v.is_nan()), "{name}(NaN)");
    }
    // multiples of pi, rounded to the type
    let cases = [("asin", 1.0, FRAC_PI_2), ("acos", -1.0, PI), ("acos", 0.0, FRAC_PI_2), ("atan", INF, FRAC_PI_2)];
    for (name, x, expected) in cases {
        assert_eq!(value(name, x, 0.0), [expected, expected as f32 as f64], "{name}({x})");
    }
}

/// Powers of two and ten have exact logarithms, and exact powers.
#[test]
fn exact_powers() {
    let [log2, log10, exp2] = ["log2", "log10", "exp2"].map(|n| Function::named(n).unwrap());
    let exponents: Vec<f64> = (-1074..1024).map(f64::from).collect();
    let powers: Vec<f64> =
        (0..exponents.len() as u64).map(|i| f64::from_bits(if i < 52 { 1 << i } else { (i - 51) << 52 })).collect();
    assert_eq!(log2.eval64(Precision::Standard, &powers, &[]), exponents);
    assert_eq!(exp2.eval64(Precision::Standard, &exponents, &[]), powers);
    let tens: Vec<f64> = (0..=22).map(|i| 10f64.powi(i)).collect();
    assert_eq!(log10.eval64(Precision::Standard, &tens, &[]), (0..=22).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn special_values_of_pow() {
    let cases = [
        // odd integers keep the sign of zero and infinity
        (0.0, -3.0, INF),
        (-0.0, -3.0, -INF),
        (-0.0, -2.0, INF),
        (-0.0, -2.5, INF),
        (-0.0, -INF, INF),
        (0.0, 3.0, 0.0),
        (-0.0, 3.0, -0.0),
        (-0.0, 2.0, 0.0),
        (-0.0, 0.5, 0.0),
        (-0.0, INF, 0.0),
        (-INF, -3.0, -0.0),
        (-INF, -2.0, 0.0),
        (-INF, 3.0, -INF),
        (-INF, 2.5, INF),
        (INF, -0.5, 0.0),
        (INF, 0.5, INF),
        // 1, whatever the other is
        (1.0, NAN, 1.0),
        (1.0, INF, 1.0),
        (NAN, 0.0, 1.0),
        (INF, -0.0, 1.0),
        (0.0, 0.0, 1.0),
        (-1.0, INF, 1.0),
        (-1.0, -INF, 1.0),
        // infinite exponents
        (0.5, INF, 0.0),
        (0.5, -INF, INF),
        (2.0, INF, INF),
        (-2.0, -INF, 0.0),
        // not real
        (-2.0, 0.5, NAN),
        (-2.0, NAN, NAN),
        (NAN, 2.0, NAN),
        // signs and exact results
        (-2.0, 3.0, -8.0),
        (-2.0, 4.0, 16.0),
        (3.0, 1.0, 3.0),
        (5.0, 3.0, 125.0),
        (2.0, -2.0, 0.25),
        (4.0, 0.5, 2.0),
        (10.0, 2.0, 100.0),
    ];
    let pow = Function::named("pow").unwrap();
    for (x, y, expected) in cases {
        for got in value("pow", x, y) {
            assert!(same(got, expected), "pow({x:?}, {y:?}) = {got:?}, not {expected:?}");
        }
        let double = pow.eval64(Precision::Fast, &[x], &[y])[0];
        let single = f64::from(pow.eval32(Precision::Fast, &[x as f32], &[y as f32])[0]);
        for (got, least) in [(double, f64::EPSILON), (single, f64::from(f32::EPSILON))] {
            let near = (got - expected).abs() <= 4.0 * least * expected.abs();
            assert!(same(got, expected) || near && expected != 0.0, "pow({x:?}, {y:?}) = {got:?} in fast");
        }
    }
    // The first power is the number itself.
    let (xs, _) = FUNCTIONS[0].sample(10_000, 8);
    let got = Function::named("pow").unwrap().eval64(Precision::Standard, &xs, &vec![1.0; xs.len()]);
    assert!(xs.iter().zip(&got).all(|(&x, &z)| same(x, z)));
}

#[test]
fn special_values_of_logaddexp() {
    for (x, y, expected) in [
        (INF, INF, INF),
        (INF, -INF, INF),
        (-INF, INF, INF),
        (-INF, -INF, -INF),
        (-INF, 3.0, 3.0),
        (3.0, -INF, 3.0),
        (1e9, -1e9, 1e9),
        (NAN, 1.0, NAN),
        (-INF, NAN, NAN),
        (NAN, INF, NAN),
    ] {
        for got in value("logaddexp", x, y) {
            assert!(same(got, expected), "logaddexp({x:?}, {y:?}) = {got:?}, not {expected:?}");
        }
    }
    let got = value("logaddexp", 0.0, 0.0);
    assert_eq!(got, [std::f64::consts::LN_2, std::f32::consts::LN_2 as f64]);
    // Far apart, the smaller one still counts where the larger one is zero.
    let right = Function::named("exp").unwrap().right64(-80.0, 0.0);
    assert!(steps64(value("logaddexp", 0.0, -80.0)[0], right) <= 1);
}

#[test]
fn special_values_of_hypot_and_atan2() {
    for (x, y, expected) in [
        (INF, NAN, INF),
        (NAN, -INF, INF),
        (NAN, 1.0, NAN),
        (1.0, NAN, NAN),
        (0.0, -0.0, 0.0),
        (-3.0, 4.0, 5.0),
        (0.0, -7.0, 7.0),
    ] {
        for got in value("hypot", x, y) {
            assert!(same(got, expected), "hypot({x:?}, {y:?}) = {got:?}, not {expected:?}");
        }
    }
    let max = f64::MAX;
    assert_eq!(value("hypot", max, max)[0], INF);
    assert_eq!(value("hypot", 3.0 * 5e-324, 4.0 * 5e-324)[0], 5.0 * 5e-324);
    assert_eq!(value("hypot", max / 2.0, 1.0)[0], max / 2.0);
    for (y, x, expected) in [
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, -0.0),
        (0.0, -0.0, PI),
        (-0.0, -0.0, -PI),
        (0.0, 5.0, 0.0),
        (-0.0, -5.0, -PI),
        (2.0, 0.0, FRAC_PI_2),
        (-2.0, -0.0, -FRAC_PI_2),
        (2.0, INF, 0.0),
        (-2.0, INF, -0.0),
        (2.0, -INF, PI),
        (INF, 2.0, FRAC_PI_2),
        (-INF, -2.0, -FRAC_PI_2),
        (INF, INF, FRAC_PI_4),
        (-INF, -INF, -3.0 * FRAC_PI_4),
        (NAN, 1.0, NAN),
        (1.0, NAN, NAN),
        (NAN, INF, NAN),
    ] {
        let got = value("atan2", y, x);
        assert!(same(got[0], expected), "atan2({y:?}, {x:?}) = {:?}, not {expected:?}", got[0]);
        assert!(same(got[1], expected as f32 as f64), "atan2({y:?}, {x:?}) = {:?} in f32", got[1]);
    }
}

/// Writes arguments and results of `F64` for `ulp.py`, which measures fractions of a unit: into the folder in
/// `LAZULI_MATH_DUMP`, a file of rows `x, y, f(x, y)` for each function.
#[test]
#[ignore = "writes files for ulp.py"]
fn dump() {
    let Ok(folder) = std::env::var("LAZULI_MATH_DUMP") else { return };
    for f in chosen() {
        let (xs, ys) = f.sample(2_000_000, 4);
        let zs = f.eval64(Precision::Standard, &xs, &ys);
        let mut bytes: Vec<u8> = Vec::new();
        for (i, z) in zs.into_iter().enumerate() {
            for v in [xs[i], ys.get(i).copied().unwrap_or(0.0), z] {
                bytes.extend(v.to_le_bytes());
            }
        }
        std::fs::write(format!("{folder}/{}.f64", f.name), bytes).unwrap();
    }
}
