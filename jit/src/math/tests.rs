use super::accuracy::{FUNCTIONS, Function};
use crate::Ty;

/// Results are the correctly rounded ones or their neighbours.
#[test]
fn sampled_f64() {
    let mut bad = Vec::new();
    for f in chosen() {
        let (xs, ys) = f.sample(60_000, 1);
        let m = f.measure64(&xs, &ys);
        println!("{:8} f64 {:3} instructions, {m:?}", f.name, f.cost(Ty::F64));
        if m.worst > 1.0 {
            bad.push((f.name, m));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn sampled_f32() {
    let mut bad = Vec::new();
    for f in chosen() {
        let (xs, ys) = f.sample(60_000, 2);
        let narrow = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let (mut xs, mut ys) = (narrow(&xs), narrow(&ys));
        let bits = |stride: usize, first: u32| (first..=u32::MAX).step_by(stride).map(f32::from_bits);
        if f.arity() == 1 {
            xs.extend(bits(30011, 7));
        } else {
            xs.extend(bits(30011, 7));
            let second: Vec<f32> = bits(30011, 7).collect();
            ys.extend(second.iter().rev());
        }
        let m = f.measure32(&xs, &ys);
        println!("{:8} f32 {:3} instructions, {m:?}", f.name, f.cost(Ty::F32));
        if m.worst >= 0.6 {
            bad.push((f.name, m));
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

/// The functions named in `LAZULI_MATH_ONLY`, else all.
fn chosen() -> impl Iterator<Item = &'static Function> {
    let only = std::env::var("LAZULI_MATH_ONLY").ok();
    FUNCTIONS.iter().filter(move |f| only.as_ref().is_none_or(|o| o.split(',').any(|n| n == f.name)))
}

/// Writes arguments and results of `F64` for `ulp.py`, which measures fractions of a unit: into the folder in
/// `LAZULI_MATH_DUMP`, a file of rows `x, y, f(x, y)` for each function.
#[test]
#[ignore = "writes files for ulp.py"]
fn dump() {
    let Ok(folder) = std::env::var("LAZULI_MATH_DUMP") else { return };
    for f in chosen() {
        let (xs, ys) = f.sample(2_000_000, 4);
        let zs = f.eval64(&xs, &ys);
        let mut bytes: Vec<u8> = Vec::new();
        for (i, z) in zs.into_iter().enumerate() {
            for v in [xs[i], ys.get(i).copied().unwrap_or(0.0), z] {
                bytes.extend(v.to_le_bytes());
            }
        }
        std::fs::write(format!("{folder}/{}.f64", f.name), bytes).unwrap();
    }
}
