//! Steps that share rows, short reductions, packed operands and long scans: the bits are those of one unfused step
//! after another, on any number of threads, interpreted or compiled.

// A test that cannot go on fails.
#![allow(clippy::unwrap_used)]

use lazuli::prelude::*;
use lazuli_engine::plan::{Plan, Step};
use lazuli_engine::{Explanation, Level, Over, RowRun, data, explain};
use lazuli_graph::passes::PassSet;
use lazuli_graph::{Scalar, UNROLL};
use lazuli_jit::Backend;

/// Values with all signs, some special ones if the dtype has them.
fn input(dtype: DType, shape: &[usize], special: bool) -> Array {
    let n: usize = shape.iter().product();
    let values: Vec<Scalar> = (0..n)
        .map(|i| {
            let x = ((i * 7919 + 13) % 10007) as f64 / 1000.0 - 5.0;
            let x = match i % 97 {
                5 if special => f64::NAN,
                11 if special => f64::INFINITY,
                17 if special => -0.0,
                _ => x,
            };
            Scalar::from_f64(dtype, if dtype.is_float() { x } else { x * 20.0 }).cast(dtype)
        })
        .collect();
    Array::from_expr(data(lazuli_tests::oracle::tensor(dtype, shape, &values).unwrap()))
}

type Make<'a> = &'a dyn Fn() -> Vec<Array>;

fn results(make: Make<'_>, config: &Config) -> Vec<Tensor> {
    lazuli::compute_all_with(&make(), config).unwrap()
}

fn explained(make: Make<'_>, config: &Config) -> Explanation {
    let roots: Vec<_> = make().iter().map(|a| a.expr().unwrap().clone()).collect();
    explain(&roots, config, Level::Graph).unwrap()
}

fn runs(plan: &Plan) -> Vec<&RowRun> {
    plan.steps.iter().filter_map(|s| if let Step::Rows(r) = s { Some(r) } else { None }).collect()
}

/// Compares every way to compute with the interpreter without passes or fusion.
fn same(name: &str, make: Make<'_>) {
    for precision in [Precision::Standard, Precision::Precise] {
        let plain = Config::default().precision(precision).threads(1);
        let expected = results(make, &plain.clone().backend(BackendChoice::Interp).disable(PassSet::ALL));
        let rows: PassSet = "rows".parse().unwrap();
        for (way, config) in [
            ("interp", plain.clone().backend(BackendChoice::Interp)),
            ("clif", plain.clone().backend(BackendChoice::Clif)),
            ("untiled", plain.clone().disable(rows)),
            ("three threads", plain.clone().threads(3)),
            ("wide", plain.clone().backend(BackendChoice::Wide).threads(2)),
        ] {
            if way == "wide" && Backend::Wide.why_not(config.target).is_some() {
                continue;
            }
            for (i, (a, b)) in expected.iter().zip(&results(make, &config)).enumerate() {
                assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()), "{name}, {way}, output {i}");
                if let Some((at, x, y)) = a.first_difference(b) {
                    panic!("{name}, {precision}, {way}: output {i}, element {at}: {x:?} against {y:?}");
                }
            }
        }
    }
}

fn softmax(x: &Array) -> Array {
    let e = (x - x.max(Axis(1).keepdims())).exp();
    &e / e.sum(Axis(1).keepdims())
}

fn layernorm(x: &Array) -> Array {
    let d = x - x.mean(Axis(1).keepdims());
    let v = (&d * &d).mean(Axis(1).keepdims());
    d / (v + 1e-5).sqrt()
}

#[test]
fn rows_go_through_all_steps() {
    // Rows of less than a block, of some blocks, and of more than a tile; one row, and more than a chunk has.
    for (r, c) in [(1, 1), (3, 1), (1, 50), (700, 7), (513, 100), (37, 1000), (5, 2049), (9, 5000)] {
        for dtype in [DType::F64, DType::F32, DType::F16] {
            for special in [false, true] {
                let name = format!("{dtype}[{r}, {c}]");
                same(&format!("softmax {name}"), &|| vec![softmax(&input(dtype, &[r, c], special))]);
                same(&format!("layernorm {name}"), &|| vec![layernorm(&input(dtype, &[r, c], special))]);
            }
        }
    }
}

/// Each row is divided by one row: once that has been asked for often enough, a few columns of some rows after others.
#[test]
fn rows_are_divided_by_a_row() {
    for (r, c) in [(200, 100), (2000, 9), (60, 300), (5, 4000)] {
        for dtype in [DType::F64, DType::F32] {
            let name = format!("{dtype}[{r}, {c}]");
            let (x, m, s) = (input(dtype, &[r, c], true), input(dtype, &[c], false), input(dtype, &[c], true));
            let make = || vec![(&x - &m) / &s, &x / &s];
            let often = Config::default().backend(BackendChoice::Auto).threads(1);
            (0..60).for_each(|_| drop(results(&make, &often)));
            same(&name, &make);
        }
    }
}

/// Neighbours in rows and columns, some with vectors that lie across lines.
#[test]
fn neighbours_are_added() {
    for (r, c) in [(3, 5), (40, 41), (31, 70), (5, 700)] {
        for dtype in [DType::F64, DType::F32, DType::I32] {
            let name = format!("{dtype}[{r}, {c}]");
            let x = input(dtype, &[r, c], true);
            let across = || x.slice(s![.., 2..]) - x.slice(s![.., 1..-1]) + x.slice(s![.., ..-2]);
            let around = || {
                let beside = x.slice(s![1..-1, ..-2]) + x.slice(s![1..-1, 2..]);
                beside + x.slice(s![..-2, 1..-1]) + x.slice(s![2.., 1..-1]) - x.slice(s![1..-1, 1..-1])
            };
            same(&name, &|| vec![across(), around()]);
        }
    }
}

#[test]
fn a_row_may_be_used_before_and_after_a_function_of_it() {
    for (r, c) in [(1, 50), (70, 7), (130, 100), (37, 1000), (5, 2049)] {
        for dtype in [DType::F64, DType::F32] {
            let name = format!("{dtype}[{r}, {c}]");
            let x = input(dtype, &[r, c], false);
            let (sum, most) = (x.sum(Axis(1).keepdims()), x.max(Axis(1).keepdims()));
            same(&format!("product {name}"), &|| vec![&sum * &x * &x]);
            same(&format!("share {name}"), &|| vec![(&most - &x) / &x]);
            // Short and in its own order; long, and in another.
            same(&format!("exponential {name}"), &|| vec![(&x - &most).exp() * &x]);
            same(&format!("sines {name}"), &|| vec![((&x - &most).sin() + (&x / &sum).cos() * &x).tanh() * &x]);
        }
    }
}

#[test]
fn rows_are_one_code_where_that_can_be() {
    if Backend::Wide.why_not(Config::default().target).is_some() {
        return;
    }
    let told = |make: Make<'_>, backend| {
        let roots: Vec<_> = make().iter().map(|a| a.expr().unwrap().clone()).collect();
        explain(&roots, &Config::default().backend(backend), Level::Asm).unwrap().to_string()
    };
    let one = "compiled as one code, all rows of a part at once, each step about a row behind";
    for dtype in [DType::F64, DType::F32] {
        let make = || vec![softmax(&input(dtype, &[70, 30], false)), layernorm(&input(dtype, &[90, 40], false))];
        assert_eq!(told(&make, BackendChoice::Wide).matches(one).count(), 2);
        assert!(!told(&make, BackendChoice::Clif).contains(one));
    }
    // Sums of these have states of another size.
    let halves = || {
        let x = input(DType::F16, &[90, 40], false);
        vec![&x - x.sum(Axis(1).keepdims())]
    };
    assert_eq!(runs(explained(&halves, &Config::default()).plan()).len(), 1);
    assert!(!told(&halves, BackendChoice::Wide).contains(one));
}

#[test]
fn rows_that_threads_share() {
    let make =
        || vec![softmax(&input(DType::F64, &[3000, 300], false)), layernorm(&input(DType::F32, &[900, 1100], false))];
    same("threads", &make);
    // Two independent runs, each one step.
    assert_eq!(runs(explained(&make, &Config::default()).plan()).len(), 2);
}

#[test]
fn intermediate_results_may_leave() {
    let make = || {
        let x = input(DType::F64, &[200, 150], false);
        let m = x.max(Axis(1).keepdims());
        let e = (&x - &m).exp();
        let s = e.sum(Axis(1).keepdims());
        vec![&e / &s, m, e.clone(), e.sum(Axis(0)), s.sum(All), x.argmax(Axis(1))]
    };
    same("leaving", &make);
    // Results of an element a row after those of rows of elements.
    let make = || {
        let x = input(DType::F32, &[90, 111], false);
        let m = x.max(Axis(1).keepdims());
        let e = (&x - &m).exp();
        let s = e.sum(Axis(1).keepdims());
        vec![&e / &s, &m + s.log(), s.sqrt() * 2]
    };
    same("both", &make);
}

#[test]
fn every_reduction_joins() {
    for dtype in [DType::F64, DType::I32, DType::U8, DType::Bool, DType::BF16] {
        let make = || {
            let x = input(dtype, &[60, 700], false);
            let over = || Axis(1).keepdims();
            let (low, high) = (x.min(over()), x.max(over()));
            let (first, last) = (x.argmin(over()), x.argmax(over()));
            let y = where_(x.equal(&high), 3, where_(x.equal(&low), first, last));
            vec![y.sum(Axis(1)), (&y * y.prod(over())).any(Axis(1)), y.all(Axis(1))]
        };
        same(&format!("{dtype}"), &make);
    }
}

#[test]
fn strided_inputs_and_batches() {
    let make = || {
        let x = input(DType::F64, &[40, 6, 130], false);
        let slices = x.slice(s![.., 1..-1, ..;2]);
        let e = (&slices - slices.max(Axis(2).keepdims())).exp();
        let t = input(DType::F64, &[300, 50], false).t();
        vec![&e / e.sum(Axis(2).keepdims()), softmax(&t), softmax(&t.flip(Axis(1)))]
    };
    same("strided", &make);
}

#[test]
fn temporaries_have_no_memory() {
    let make = || vec![softmax(&input(DType::F64, &[1000, 100], false))];
    let explanation = explained(&make, &Config::default());
    let tiled = explanation.plan();
    let result = 1000 * 100 * 8;
    assert_eq!(tiled.peak, result);
    assert_eq!(tiled.moved, 2 * result, "the input once, the output once");
    let [run] = runs(tiled)[..] else { panic!("one step for a softmax") };
    assert_eq!((run.steps.len(), run.temporaries.len(), run.rows), (4, 3, 1000));
    let untiled = explained(&make, &Config::default().disable("rows".parse().unwrap()));
    let untiled = untiled.plan();
    assert!(untiled.peak > tiled.peak && untiled.moved > 2 * tiled.moved);

    // A row that no cache holds stays in steps of its own, and explain says so.
    let wide = || vec![softmax(&input(DType::F64, &[2, 1 << 20], false))];
    let explanation = explained(&wide, &Config::default());
    assert!(runs(explanation.plan()).is_empty() && explanation.plan().rejected.len() == 1);
    assert!(explanation.to_string().contains("not row by row"));
}

/// Mean and deviation along an axis, and what is left.
fn standardized(x: &Array, axis: i64) -> Array {
    let d = x - x.mean(Axis(axis).keepdims());
    let v = (&d * &d).mean(Axis(axis).keepdims());
    d / v.sqrt()
}

/// Shares of exponentials along an axis.
fn shares(x: &Array, axis: i64) -> Array {
    let e = (x - x.max(Axis(axis).keepdims())).exp();
    &e / e.sum(Axis(axis).keepdims())
}

/// Columns of a block at most, which are one code; of more, which are not; few and many, in one matrix and in several.
#[test]
fn columns_go_through_all_steps() {
    for (k, r, c) in
        [(1, 9, 100), (1, 64, 33), (3, 20, 7), (5, 17, 130), (70, 12, 20), (1, 65, 50), (2, 13, 512), (1, 10, 9000)]
    {
        for dtype in [DType::F64, DType::F32, DType::F16] {
            for special in [false, true] {
                let x = || input(dtype, &[k, r, c], special);
                let name = format!("{dtype}[{k}, {r}, {c}]");
                same(&format!("standardized {name}"), &|| vec![standardized(&x(), 1)]);
                same(&format!("shares {name}"), &|| vec![shares(&x(), 1)]);
            }
        }
    }
    for dtype in [DType::I32, DType::I64, DType::U8, DType::Bool, DType::F16, DType::F32] {
        let x = || input(dtype, &[2, 18, 70], false);
        let over = || Axis(1).keepdims();
        let (low, high) = (x().min(over()), x().max(over()));
        let all = || {
            let y = where_(x().equal(&high), 3, where_(x().equal(&low), x().argmin(over()), 1));
            vec![y.sum(Axis(1)), (&y * y.prod(over())).any(Axis(1)), low.clone(), (x() * 1 - &low) / (&high * 1 - &low)]
        };
        same(&format!("all of {dtype}"), &all);
        let make: [Make<'_>; 4] = [
            &|| vec![x().not_equal(x().max(over()))],
            &|| vec![x() + x().sum(over())],
            &|| vec![x() * (x() * 3).prod(over())],
            // Elements of one width among those of another.
            &|| vec![shares(&x().astype(f32), 1), shares(&x().astype(f64), 1)],
        ];
        for (i, make) in make.into_iter().enumerate() {
            same(&format!("{i} of {dtype}"), make);
            let columns = |r: &&RowRun| matches!(r.over, Over::Columns(_));
            let found = runs(explained(make, &Config::default()).plan()).into_iter().filter(columns).count();
            // Where lanes hold states of elements.
            let wide = Backend::Wide.why_not(Config::default().target).is_none();
            let holds = i == 3
                || matches!(dtype, DType::I32 | DType::I64 | DType::F32)
                || ((i == 1 || i == 2) && dtype.size() == 1);
            assert!(!wide || (found > 0) == holds, "{i} of {dtype}: {found}");
        }
    }
    // Other layouts; a number for each row; results that others read, before and after.
    let make = || {
        let x = input(DType::F64, &[24, 6, 130], false);
        let slices = x.slice(s![.., 1..-1, ..;2]);
        let rows = input(DType::F64, &[20, 1], false);
        let y = input(DType::F64, &[20, 300], false);
        let m = (&y * &rows).max(Axis(0));
        let e = (&y * &rows - &m).exp();
        let sum = e.sum(Axis(0));
        let mean = e.mean(Axis(1));
        vec![standardized(&slices, 0), shares(&x.flip(Axis(0)), 0), shares(&y.t(), 1), &e / &sum, e, m, sum, mean]
    };
    same("layouts", &make);
}

#[test]
fn columns_are_one_code_where_that_can_be() {
    let explain_at = |x: Array, backend, level| {
        let root = standardized(&x, -2).expr().unwrap().clone();
        explain(&[root], &Config::default().backend(backend), level).unwrap()
    };
    let graph = |shape: &[usize]| explain_at(input(DType::F64, shape, false), BackendChoice::Auto, Level::Graph);
    let explanation = graph(&[4, 20, 100]);
    let plan = explanation.plan();
    let [run] = runs(plan)[..] else { panic!("one step: {explanation}") };
    assert_eq!(run.over, Over::Columns([4, 20, 100]));
    assert!(plan.steps.len() == 1 && plan.lone.is_some() && run.temporaries.len() == 4, "{explanation}");
    // Memory is that of the steps one by one: the mean and the deviation live when the result is made.
    let (result, row) = (4 * 20 * 100 * 8, 4 * 100 * 8);
    assert_eq!((plan.peak, plan.moved), (result + 2 * row, 2 * result));
    let apart = standardized(&input(DType::F64, &[4, 20, 100], false), -2);
    let apart =
        explain(&[apart.expr().unwrap().clone()], &Config::default().disable("rows".parse().unwrap()), Level::Graph);
    assert_eq!(apart.unwrap().plan().peak, plan.peak);
    assert!(explanation.to_string().contains("steps over 100 columns of 4 by 20 rows"));
    // One code has all that it writes beside what it reads, though that dies there.
    let product = || {
        let [a, b] = [[60, 3], [3, 1000]].map(|shape| input(DType::F64, &shape, false));
        let x = a.matmul(&b);
        let d = &x - x.mean(Axis(0));
        let v = (&d * &d).mean(Axis(0));
        vec![d.clone(), d / v.sqrt()]
    };
    same("product", &product);
    let explanation = explained(&product, &Config::default());
    let columns = runs(explanation.plan()).into_iter().any(|r| matches!(r.over, Over::Columns(_)));
    assert!(columns && explanation.plan().peak >= 3 * 60_000 * 8, "{explanation}");
    // More rows than a block; rows that share a few sets of the cache; columns that do not lie side by side.
    let over = |explanation: &Explanation| runs(explanation.plan()).iter().map(|r| r.over).collect::<Vec<_>>();
    for shape in [[1, 65, 100], [1, 20, 512], [1, 20, 1]] {
        assert!(!over(&graph(&shape)).iter().any(|o| matches!(o, Over::Columns(_))));
    }
    let x = input(DType::F64, &[100, 20], false).t();
    let explanation = explain_at(x, BackendChoice::Auto, Level::Graph);
    assert!(!over(&explanation).iter().any(|o| matches!(o, Over::Columns(_))));
    if Backend::Wide.why_not(Config::default().target).is_some() {
        return;
    }
    let one = "compiled as one code, a few columns at a time";
    for dtype in [DType::F64, DType::F32] {
        let told = |backend| explain_at(input(dtype, &[10, 100], false), backend, Level::Asm).to_string();
        assert!(told(BackendChoice::Wide).contains(one) && !told(BackendChoice::Clif).contains(one));
    }
}

/// A chunk is worth its calls, leaves work for every core, and fits half of the second-level cache.
#[test]
fn chunks_of_rows_have_a_good_size() {
    const CALLS: usize = 64 << 10;
    let (half, cores) = (lazuli_runtime::cpu::caches().l2 / 2, lazuli_runtime::cpu::cores());
    for columns in [20, 100, 1000, 5000] {
        // The input, the exponentials and the result, the maximum and the sum.
        let row = (3 * columns + 2) * 8;
        for rows in [2, 50, 1000, 20_000, 100_000].into_iter().filter(|r| r * columns <= 2_000_000) {
            let make = || vec![softmax(&input(DType::F64, &[rows, columns], false))];
            let explanation = explained(&make, &Config::default());
            let [run] = runs(explanation.plan())[..] else { panic!("one step for a softmax [{rows}, {columns}]") };
            let name = format!("{} of {rows} rows of {row} bytes", run.chunk);
            assert!((1..=rows.min(4096)).contains(&run.chunk), "{name}");
            assert!(run.chunk == 1 || run.chunk * row <= half, "{name}: not in the cache");
            // Smaller is better shared by the cores, but not below what calls are worth.
            let shared = rows.div_ceil(4 * cores);
            assert!(run.chunk <= shared.max(CALLS / row).max(1), "{name}: not for every core");
            let full = (run.chunk + 1) * row > half || run.chunk == rows || run.chunk == 4096;
            assert!(run.chunk >= shared || full, "{name}: too small");
            assert!((run.chunk + 1) * row > CALLS || run.chunk == rows || full, "{name}: not worth the calls");
        }
    }
    // Little in all is one chunk; then as many for every core; then what the cache holds.
    let chunk = |rows, columns| {
        let explanation = explained(&|| vec![softmax(&input(DType::F64, &[rows, columns], false))], &Config::default());
        runs(explanation.plan())[0].chunk
    };
    assert_eq!(chunk(50, 20), 50);
    assert_eq!(chunk(64 * cores, 1000), 16.min(half / 24016));
    assert_eq!(chunk(100_000, 20), (100_000usize.div_ceil(4 * cores)).min(half / 496).min(4096));
}

/// One thread folds several rows of several blocks at once; blocks of different counts, and rows that do not fill a
/// batch.
#[test]
fn rows_of_several_blocks_in_registers() {
    for dtype in [DType::F64, DType::F32, DType::I32, DType::BF16] {
        for (rows, columns) in [(37, 1100), (2, 4097), (70, 2000), (301, 1025), (5, 20_000)] {
            let make = || {
                let x = input(dtype, &[rows, columns], false);
                vec![x.sum(Axis(1)), (&x * &x).sum(Axis(1)), (&x + &x).max(Axis(1))]
            };
            same(&format!("{dtype}[{rows}, {columns}]"), &make);
        }
    }
}

#[test]
fn short_reductions_are_elementwise() {
    for k in 1..=UNROLL + 1 {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16, DType::I8, DType::U64, DType::Bool] {
            for special in [false, true] {
                let name = format!("{dtype} over {k}");
                let make = || {
                    let x = input(dtype, &[50, k], special);
                    let y = input(dtype, &[k, 50], special);
                    let z = input(dtype, &[2, k, 3], special);
                    let all = |x: &Array, axis: i64| {
                        let sq = x * x;
                        [
                            x.sum(Axis(axis)),
                            sq.sum(Axis(axis)),
                            sq.prod(Axis(axis)),
                            (x + x).min(Axis(axis)),
                            (x + x).max(Axis(axis)),
                            sq.any(Axis(axis)),
                            sq.all(Axis(axis)),
                        ]
                    };
                    let mut out: Vec<Array> = all(&x, 1).into();
                    out.extend(all(&y, 0));
                    out.extend(all(&z, 1));
                    out.push((&z * &z).sum(Axes([0, 2])));
                    out.push((&z * &z).sum(All));
                    out
                };
                same(&name, &make);
            }
        }
    }
}

#[test]
fn distances_of_pairs() {
    for k in [1, 2, 3, 8, 16, 17, 40] {
        for dtype in [DType::F64, DType::F32] {
            let make = || {
                let (a, b) = (input(dtype, &[70, k], false), input(dtype, &[90, k], false));
                let d = a.expand_dims(1) - b.expand_dims(0);
                vec![(&d * &d).sum(Axis(-1)).sqrt()]
            };
            same(&format!("{dtype} {k}"), &make);
            if (2..=UNROLL).contains(&k) {
                let explanation = explained(&make, &Config::default());
                let plan = explanation.plan();
                // A copy of each column of one operand, and one kernel for everything else.
                assert_eq!(plan.steps.len(), k + 1, "{k}");
                assert!(plan.peak <= (70 * 90 + 90 * k as u64) * dtype.size() as u64, "{}", plan.peak);
            }
        }
    }
}

/// Columns of what is larger than the cache are copied at once.
#[test]
fn distances_to_many_points() {
    let many = lazuli_runtime::cpu::caches().l2 / 64 + 5;
    let make = || {
        let (a, b) = (input(DType::F64, &[9, 3], false), input(DType::F64, &[many, 3], false));
        let d = a.expand_dims(1) - b.expand_dims(0);
        vec![(&d * &d).sum(Axis(-1)).sqrt()]
    };
    same("many points", &make);
    assert_eq!(explained(&make, &Config::default()).plan().steps.len(), 2);
}

#[test]
fn transposed_inputs() {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::I8] {
        for [rows, columns] in [[64, 512], [65, 513], [63, 600], [130, 511], [200, 1024], [512, 1025]] {
            let make = || {
                let (x, y) = (input(dtype, &[rows, columns], true), input(dtype, &[columns, rows], true));
                vec![&x + y.t(), x - y.flip(Axis(0)).t()]
            };
            same(&format!("{dtype} {rows} {columns}"), &make);
        }
        let shape = [3, 70, 520];
        let make = || {
            let x = input(dtype, &shape, true);
            // The axis along the lines is the first, or the second.
            let (y, z) = (input(dtype, &[520, 70, 3], true), input(dtype, &[520, 3, 70], true));
            vec![&x + y.transpose([2, 1, 0]), &x + z.transpose([1, 2, 0]), x.transpose([2, 0, 1]) * z]
        };
        same(&format!("{dtype} three axes"), &make);
    }
    for (rows, tiled) in [(70, true), (40, false)] {
        let make = || {
            let (x, y) = (input(DType::F64, &[rows, 3, 4096], true), input(DType::F64, &[4096, 3, rows], true));
            vec![x + y.transpose([2, 1, 0])]
        };
        let text = explained(&make, &Config::default()).to_string();
        assert_eq!(text.contains("in tiles of 64 rows and"), tiled, "{text}");
    }
}

#[test]
fn long_scans() {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::I64] {
        for shape in [vec![1_000_003], vec![2, 400_001], vec![5000, 130], vec![3, 2000, 60]] {
            let make = || {
                let x = input(dtype, &shape, false);
                (0..shape.len() as i64).flat_map(|axis| [x.cumsum(axis), x.cumprod(axis)]).collect()
            };
            let expected = results(&make, &Config::default().threads(1).backend(BackendChoice::Interp));
            for config in [Config::default().threads(2), Config::default().threads(5), Config::default().threads(1)] {
                for (a, b) in expected.iter().zip(&results(&make, &config)) {
                    assert_eq!(a.first_difference(b), None, "{dtype} {shape:?}");
                }
            }
        }
    }
}

#[test]
fn statistics_share_a_pass() {
    let make = || {
        let x = input(DType::F64, &[500, 40], false);
        vec![x.mean(All), x.std(All), x.min(All), x.max(All)]
    };
    same("statistics", &make);
    // One pass for mean, minimum and maximum, one for the squares of what is left, and what follows from them.
    let explanation = explained(&make, &Config::default());
    let reductions = explanation
        .plan()
        .steps
        .iter()
        .flat_map(|s| if let Step::Rows(r) = s { r.steps.iter().collect() } else { vec![s] })
        .filter(|s| matches!(s, Step::Reduce { .. }))
        .count();
    assert_eq!(reductions, 2);
}

/// What is constant is stored beside what takes rounds of three or of six vectors, in whichever size, and also where both are
/// written around the caches.
#[test]
fn constants_beside_polynomials() {
    for (name, n) in [("in the caches", 10_007), ("beyond them", lazuli_runtime::cpu::last_cache() / 8 + 11)] {
        let x = input(DType::F64, &[n], false);
        let make = || {
            let horner = |degree: usize| (2..degree).fold(&x * 0.5 + 1.0, |sum, i| sum * &x + 1.0 / i as f64);
            let constants = [Array::full([n], true), Array::full([n], 1.5f32), Array::full([n], 7i16)];
            constants.into_iter().chain([horner(8), horner(30)]).collect::<Vec<_>>()
        };
        let expected = results(&make, &Config::default().backend(BackendChoice::Interp));
        for (i, (a, b)) in expected.iter().zip(&results(&make, &Config::default())).enumerate() {
            assert!(a.first_difference(b).is_none(), "{name}, output {i}");
        }
        for (i, root) in [3, 4].into_iter().enumerate() {
            let alone = || make()[root..=root].iter().chain(&make()[..3]).cloned().collect::<Vec<_>>();
            for (j, (a, b)) in
                expected[root..=root].iter().chain(&expected[..3]).zip(&results(&alone, &Config::default())).enumerate()
            {
                assert!(a.first_difference(b).is_none(), "{name}, polynomial {i}, output {j}");
            }
        }
    }
}
