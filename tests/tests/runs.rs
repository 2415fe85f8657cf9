//! What running a plan must not depend on: threads, earlier calls, the memory that arguments are in.

use lazuli::compute_all_with;
use lazuli::prelude::*;

/// Numbers of mixed magnitude and sign, so that another order of summation shows.
fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 % 1009) as f64 - 500.0) * 1.1f64.powi((i % 60) as i32)).collect()
}

#[test]
fn bits_do_not_depend_on_threads() {
    let n = 300 * 1001;
    let x = Array::from(Tensor::from_vec(&[300, 7, 143], numbers(n)).unwrap());
    let flat = Array::from(numbers(n));
    let all = |x: &Array, flat: &Array| -> Vec<Array> {
        let y = x * 1.5 - x.square();
        let mut arrays = vec![
            y.clone(),
            flat.sum(All),
            (flat * flat).sum(All),
            flat.astype(f32).sum(All),
            flat.argmax(All),
            flat.min(All),
            flat.cumsum(0),
        ];
        // Long enough for several threads, and short enough to be cut evenly; of whole tiles and others.
        arrays.extend([40_000, 65_536, 99_999, 200_001].map(|n| flat.slice(s![..n]).sum(All)));
        // Work for several threads in fewer tiles than there are threads; states in registers, and of what is stored.
        for n in [3000, 6100, 8192, 10_000] {
            arrays.push((flat.slice(s![..n]) * 1e-3).exp().sum(All));
            let deep = (flat.slice(s![..n]).sin() * 0.1).tan().tanh().sin().cos();
            arrays.extend([deep.sum(All), (&deep * 2).sum(All), deep.max(All)]);
        }
        for axes in [&[0i64][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]] {
            arrays.extend([x.sum(axes), y.sum(axes), x.max(axes), x.argmin(axes), y.t().sum(axes)]);
        }
        arrays
    };
    let ways = [BackendChoice::Auto, BackendChoice::Interp].map(|backend| (backend, Precision::Standard));
    for (backend, precision) in ways.into_iter().chain([(BackendChoice::Auto, Precision::Precise)]) {
        let run = |threads: usize| {
            let config = Config::default().threads(threads).backend(backend).precision(precision);
            compute_all_with(&all(&Array::from(x.compute().unwrap()), &flat), &config).unwrap()
        };
        let one = run(1);
        for threads in [2, 5] {
            for (i, (a, b)) in one.iter().zip(&run(threads)).enumerate() {
                let same = a.iter_scalars().zip(b.iter_scalars()).all(|(a, b)| a.bits() == b.bits());
                assert!(same, "array {i} on {threads} threads, {precision:?}");
            }
        }
    }
}

#[test]
fn repeated_calls_are_checked_anew() {
    let f = Function::new(|[x, y]: [Array; 2]| x - y);
    let call = |x: &Tensor, y: &Tensor| f.call([x, y]).unwrap().to_vec::<f64>().unwrap();
    let base = Tensor::from_vec(&[3, 4], numbers(12)).unwrap();
    let row = Tensor::from_vec(&[4], numbers(4)).unwrap();
    let v = numbers(12);
    let plain: Vec<f64> = (0..12).map(|i| v[i] - v[i % 4]).collect();
    for _ in 0..3 {
        assert_eq!(call(&base, &row), plain);
    }
    // The same shape with other strides, another offset, in a buffer of another size.
    let turned = Array::from(&Tensor::from_vec(&[4, 3], numbers(12)).unwrap()).t().compute().unwrap();
    let part = Array::from(Tensor::from_vec(&[5, 4], numbers(20)).unwrap());
    let part = part.slice(s![2.., ..]).compute().unwrap();
    for _ in 0..3 {
        let expected: Vec<f64> = (0..12).map(|i| v[i % 4 * 3 + i / 4] - v[i % 4]).collect();
        assert_eq!(call(&turned, &row), expected);
        let w = numbers(20);
        let expected: Vec<f64> = (0..12).map(|i| w[8 + i] - v[i % 4]).collect();
        assert_eq!(call(&part, &row), expected);
        assert_eq!(call(&base, &row), plain);
    }
}

#[test]
fn more_signatures_than_a_function_keeps() {
    let f = Function::new(|[x]: [Array; 1]| x * 2.0 + 1.0);
    for round in 0..3 {
        for n in 1..60 {
            let x = Tensor::from_vec(&[n], vec![round as f64; n]).unwrap();
            assert_eq!(f.call([&x]).unwrap().to_vec::<f64>().unwrap(), vec![2.0 * round as f64 + 1.0; n]);
        }
    }
}

/// What no reader of results could see: which code runs.
#[test]
fn kernels_reduce_and_large_outputs_go_around_the_caches() {
    let explain = |a: Array| a.explain_at(lazuli::Level::Asm).unwrap().to_string();
    let x = Array::arange(100_000).astype(f64) * 0.5;
    let table = Array::arange(100_000).reshape([1000, 100]).astype(f64);
    let (row, column, both) = (x.sum(All), (&table * 2.0).sum(Axis(0)), (&table * 2.0).sum(&[0i64, 1][..]));
    let wide = lazuli::Backend::Wide.why_not(lazuli::Target::detect()).is_none();
    for sum in [row, column, both] {
        assert_eq!(explain(sum).contains("with the reduction"), wide);
    }
    // More columns to reduce than one loop has, and a state that is a pair.
    let cube = Array::arange(120).reshape([2, 3, 20]).astype(f64);
    for other in [(&cube * cube.flip(Axis(2))).sum(&[0i64, 2][..]), x.argmax(All)] {
        assert!(!explain(other).contains("with the reduction"));
    }
    // Nothing is computed here; no cache holds a tebibyte.
    let large = Array::arange(1 << 37).astype(f64) * 0.5;
    assert!(explain(large.clone()).contains("written around it"));
    let n = lazuli_runtime::cpu::last_cache() / 4 + 1;
    let read = Array::from(Tensor::from_vec(&[n], vec![0.0f32; n]).unwrap());
    assert!(explain(read.sum(All)).contains("asks for them ahead"));
    assert!(!explain(large.sum(All)).contains("ahead") && !explain(x.clone()).contains("ahead"));
    assert!(!explain(large.sum(All)).contains("written around it") && !explain(x).contains("written around it"));
}

/// Who watches a run is told often, on one thread too, and can stop it each time.
#[test]
fn watched_runs_come_back_often() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    let n = 6 << 20;
    let x = Array::from(Tensor::from_vec(&[n], vec![1.0f32; n]).unwrap());
    for threads in [1, 2] {
        let columns = |x: &Array| {
            let x = x.reshape([12, -1]);
            &x - x.mean(Axis(0))
        };
        for build in [|x: &Array| x * 2.0 + 1.0, |x: &Array| (x * x).sum(All), columns] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let log = told.clone();
            let config = Config::default().threads(threads).on_progress(move |f| log.lock().unwrap().push(f));
            build(&x).compute_with(&config).unwrap();
            let mut told = told.lock().unwrap().clone();
            // Two threads may tell in another order than they have counted.
            told.sort_by(f64::total_cmp);
            assert!(told.len() >= 4 && told.iter().all(|f| *f <= 1.0), "{threads} threads: {told:?}");
            let largest = told.iter().fold((0.0, 0.0f64), |(last, most), f| (*f, most.max(f - last))).1;
            assert!(largest < 0.3, "{threads} threads: {told:?}");

            // The first report stops it: no more than what threads have begun is done.
            let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let (set, count) = (stop.clone(), seen.clone());
            let config = Config::default().threads(threads).cancel_token(stop).on_progress(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                set.store(true, Ordering::Relaxed);
            });
            let outcome = build(&x).compute_with(&config);
            assert!(matches!(outcome, Err(lazuli::Error::Cancelled)), "{outcome:?}");
            assert!(seen.load(Ordering::Relaxed) <= threads);
        }
    }
    // Of nothing there is nothing to tell.
    for watched in
        [Array::from(Vec::<f64>::new()) * 2.0, Array::full([0], 1.0), Array::from(Vec::<f64>::new()).sum(All)]
    {
        watched.compute_with(&Config::default().on_progress(|_| ())).unwrap();
    }
}
