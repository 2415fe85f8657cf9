//! What using Lazuli looks like, in one program: the samples of the guide's first pages, checked.

use lazuli::prelude::*;

#[test]
fn tour() -> lazuli::Result<()> {
    // Build: nothing runs.
    let x = Array::linspace(0.0, 1.0, 1_000_000);
    let y = (&x * 2.0 + 1.0).sin().exp();
    assert!(y.explain()?.to_string().contains("fusion: 1 kernels"));

    // Compute: one fused kernel, all cores.
    let t = y.compute()?;
    let v: &[f64] = t.as_slice()?;
    assert!((v[0] - 1f64.sin().exp()).abs() < 1e-14);
    assert!(t.as_slice::<f32>().is_err());

    // Real data; views are free.
    let dem = lazuli::io::npz(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data/jacksboro_dem.npz"))?;
    let z = dem.array("elevation")?.astype(f32);
    let gx = (z.slice(s![1..-1, 2..]) - z.slice(s![1..-1, ..-2])) / 180.0;
    assert_eq!(gx.compute()?.shape().to_vec(), [342, 401]);

    // Several results.
    let [mean, std] = compute_all([x.mean(All), x.std(All)])?;
    assert!((mean.item()?.as_f64() - 0.5).abs() < 1e-12 && (std.item()?.as_f64() - 12f64.sqrt().recip()).abs() < 1e-5);
    assert_eq!(z.mean(Axis(1)).shape()?.to_vec(), [344]);
    assert_eq!(z.mean(Axes([0, 1]).keepdims()).shape()?.to_vec(), [1, 1]);

    // Compile once, call with any shape.
    let dist = Function::new(|[a, b]: [Array; 2]| (a - b).square().sum(Axis(-1)).sqrt());
    let (p, q) = (Array::from([[3.0, 4.0], [6.0, 8.0]]), Array::from([0.0, 0.0]));
    assert_eq!(dist.call([&p, &q])?.as_slice::<f64>()?, [5.0, 10.0]);
    let wide = Array::ones([3, 100], f64);
    assert_eq!(dist.call([&wide, &Array::zeros([100], f64)])?.as_slice::<f64>()?, [10.0; 3]);

    // Precision is a choice: per call, per scope.
    let fast = Config::default().precision(Precision::Fast).threads(4);
    let near = (&x * 2.0 + 1.0).sin().compute_with(&fast)?;
    let exact =
        lazuli::config::scoped(Config::default().precision(Precision::Precise), || (&x * 2.0 + 1.0).sin().compute())?;
    let pairs = near.as_slice::<f64>()?.iter().zip(exact.as_slice::<f64>()?);
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 4.0 * f64::EPSILON));
    Ok(())
}

#[test]
fn errors_say_what_and_where() {
    let x = Array::linspace(0.0, 1.0, 1_000_000);
    let wrong = &x + Array::zeros([3], f64);
    let text = (wrong * 2.0).compute().unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "cannot broadcast [1000000] with [3]");
    assert!(lines[1].starts_with("  in: add, built at ") && lines[1].contains("tour.rs:50:17"), "{text}");
    assert!(lines[2].contains("left") && lines[2].contains("[1000000] f64"), "{text}");
    assert!(lines[3].contains("right") && lines[3].contains("[3]"), "{text}");
    assert_eq!(lines[4], "  help: dimensions must be equal or 1, aligned from the right");
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_shares_memory() -> lazuli::Result<()> {
    let nd = ndarray::ArrayD::from_shape_vec(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let address = nd.as_ptr();
    let a = Array::from(nd);
    let t = a.compute()?;
    assert_eq!(t.as_slice::<f64>()?.as_ptr(), address);
    let back = (a * 2.0).compute()?.into_ndarray::<f64>()?;
    assert_eq!(back[[1, 0]], 6.0);
    Ok(())
}
