//! The loops. Formulas are those of `benches/workloads/`; the harness compares each result with NumPy's.

use ndarray::parallel::prelude::*;
use ndarray::{
    Array1, Array2, ArrayD, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Ix1, Ix2, IxDyn, Zip, s,
};
use rayon::prelude::ParallelSlice;
use std::rc::Rc;

/// From this many elements on, loops are parallel: below, waking the threads costs more than the loop.
const PARALLEL: usize = 32_768;

/// 1/(2 pi).
const DENSITY: f64 = 0.159_154_943_091_895_35;

/// Fills an array.
type Fill<T> = Box<dyn FnMut(&mut ArrayD<T>)>;

/// One workload with its inputs.
pub(crate) struct Task<T> {
    /// Gives a new array.
    pub(crate) fresh: Box<dyn FnMut() -> ArrayD<T>>,
    /// Fills the array; none where the result is a number.
    pub(crate) reused: Option<Fill<T>>,
}

/// The dtypes that have loops.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// How far from NumPy's a result may be, relative to one plus its magnitude.
    const TOLERANCE: f64;
    /// The value.
    fn to_f64(self) -> f64;
    /// The loops of a workload.
    fn task(workload: &str, inputs: &[ArrayD<Self>]) -> Option<Task<Self>>;
    /// The relative distance.
    fn distance(self, other: Self) -> f64 {
        (self.to_f64() - other.to_f64()).abs() / (1.0 + other.to_f64().abs())
    }
}

/// The inputs of a workload in the order in which the loops take them.
pub(crate) fn inputs(workload: &str) -> Option<&'static [&'static str]> {
    Some(match workload {
        "axpy" | "i32mix" => &["a", "b"],
        "poly" | "logis" => &["x"],
        "gauss" | "trig" | "hyp" | "where" | "power" | "sumsq" => &["x", "y"],
        "haversine" => &["a", "b", "c", "d"],
        "bs" => &["S", "K", "T"],
        "softmax" | "layernorm" | "colstd" => &["X"],
        "pair" => &["A", "B"],
        "stencil" => &["A"],
        _ => return None,
    })
}

/// A fused loop over arrays of one axis.
macro_rules! elementwise {
    ($inputs:expr, $t:ty, |$($x:ident),+| $body:expr) => {{
        let mut arrays = $inputs.iter().map(|a| a.clone().into_dimensionality::<Ix1>().ok());
        $(let $x = arrays.next()??;)+
        let serial = $inputs[0].len() < PARALLEL;
        let f = |$($x: $t),+| -> $t { $body };
        let kept = ($($x.clone(),)+);
        let fresh = move || {
            let ($($x,)+) = &kept;
            let all = elementwise!(@zip $($x),+);
            let array: Array1<$t> = match serial {
                true => all.map_collect(|$(&$x),+| f($($x),+)),
                false => all.par_map_collect(|$(&$x),+| f($($x),+)),
            };
            array.into_dyn()
        };
        let reused = move |out: &mut ArrayD<$t>| {
            let Ok(out) = out.view_mut().into_dimensionality::<Ix1>() else { return };
            let all = Zip::from(out)$(.and(&$x))+;
            match serial {
                true => all.for_each(|out, $(&$x),+| *out = f($($x),+)),
                false => all.par_for_each(|out, $(&$x),+| *out = f($($x),+)),
            }
        };
        Task { fresh: Box::new(fresh), reused: Some(Box::new(reused)) }
    }};
    (@zip $first:ident $(, $x:ident)*) => { Zip::from($first)$(.and($x))* };
}

/// Loops that fill an array of two axes.
fn filling<T: Element>(shape: (usize, usize), fill: impl Fn(ArrayViewMut2<T>) + 'static) -> Task<T> {
    let fill = Rc::new(fill);
    let kept = fill.clone();
    let fresh = move || {
        let mut out = Array2::from_elem(shape, T::default());
        kept(out.view_mut());
        out.into_dyn()
    };
    let reused = move |out: &mut ArrayD<T>| {
        if let Ok(out) = out.view_mut().into_dimensionality::<Ix2>() {
            fill(out);
        }
    };
    Task { fresh: Box::new(fresh), reused: Some(Box::new(reused)) }
}

/// Loops over the rows of an array, each of which gives a row of the result.
fn by_rows<T: Element>(x: Array2<T>, row: impl Fn(ArrayView1<T>, ArrayViewMut1<T>) + Sync + 'static) -> Task<T> {
    let serial = x.len() < PARALLEL;
    filling(x.dim(), move |mut out| {
        let rows = Zip::from(out.rows_mut()).and(x.rows());
        match serial {
            true => rows.for_each(|out, x| row(x, out)),
            false => rows.par_for_each(|out, x| row(x, out)),
        }
    })
}

/// Rows for each task of a loop over blocks of rows.
fn block(rows: usize) -> usize {
    rows.div_ceil(4 * rayon::current_num_threads()).max(1)
}

macro_rules! floats {
    ($t:ident, $tolerance:literal) => {
        impl Element for $t {
            const TOLERANCE: f64 = $tolerance;
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn task(workload: &str, inputs: &[ArrayD<$t>]) -> Option<Task<$t>> {
                let two = |i: usize| inputs.get(i)?.clone().into_dimensionality::<Ix2>().ok();
                Some(match workload {
                    "axpy" => elementwise!(inputs, $t, |a, b| 2.0 * a + b),
                    "poly" => elementwise!(inputs, $t, |x| ((((((0.1 * x + 0.2) * x + 0.3) * x + 0.4) * x + 0.5) * x
                        + 0.6)
                        * x
                        + 0.7)
                        * x
                        + 0.8),
                    "gauss" => {
                        elementwise!(inputs, $t, |x, y| (-(x * x + y * y) * 0.5).exp() * DENSITY as $t)
                    }
                    "trig" => elementwise!(inputs, $t, |x, y| x.sin() * y.cos() + (x * y).tanh()),
                    "hyp" => elementwise!(inputs, $t, |x, y| (x * x + y * y).sqrt()),
                    "logis" => elementwise!(inputs, $t, |x| 1.0 / (1.0 + (-x).exp())),
                    "haversine" => elementwise!(inputs, $t, |a, b, c, d| {
                        let (u, v) = (((c - a) * 0.5).sin(), ((d - b) * 0.5).sin());
                        2.0 * 6371.0 * (u * u + a.cos() * c.cos() * v * v).sqrt().asin()
                    }),
                    "bs" => elementwise!(inputs, $t, |spot, strike, years| {
                        let root = 0.2 * years.sqrt();
                        let d1 = ((spot / strike).ln() + 0.05 * years) / root;
                        let d2 = d1 - root;
                        let cdf = |z: $t| 1.0 / (1.0 + (-1.5976 * z - 0.07056 * z * z * z).exp());
                        spot * cdf(d1) - strike * (-0.03 * years).exp() * cdf(d2)
                    }),
                    "where" => elementwise!(inputs, $t, |x, y| if x > y { x * x - y } else { y * y + x }),
                    "power" => elementwise!(inputs, $t, |x, y| x.powf(y)),
                    "sumsq" => $t::sumsq(inputs)?,
                    "softmax" => by_rows(two(0)?, |x, mut out| {
                        let most = x.fold($t::NEG_INFINITY, |m, &x| if x > m { x } else { m });
                        let mut sum = 0.0;
                        Zip::from(&mut out).and(x).for_each(|out, &x| {
                            *out = (x - most).exp();
                            sum += *out;
                        });
                        out /= sum;
                    }),
                    "layernorm" => by_rows(two(0)?, |x, mut out| {
                        let n = x.len() as $t;
                        let mean = x.sum() / n;
                        Zip::from(&mut out).and(x).for_each(|out, &x| *out = (x - mean) * (x - mean));
                        let scale = 1.0 / (out.sum() / n + 1e-5).sqrt();
                        Zip::from(&mut out).and(x).for_each(|out, &x| *out = (x - mean) * scale);
                    }),
                    "colstd" => {
                        let x = two(0)?;
                        filling(x.dim(), move |mut out| {
                            let n = x.nrows() as $t;
                            // The sum over rows of what each gives, blocks of rows at a time.
                            let columns = |f: &(dyn Fn(&mut Array1<$t>, ArrayView1<$t>) + Sync)| -> Array1<$t> {
                                let zero = || Array1::zeros(x.ncols());
                                let sum = |rows: ArrayView2<$t>| {
                                    let mut sums = zero();
                                    rows.rows().into_iter().for_each(|row| f(&mut sums, row));
                                    sums
                                };
                                match x.len() < PARALLEL {
                                    true => sum(x.view()),
                                    false => {
                                        let blocks = x.axis_chunks_iter(Axis(0), block(x.nrows()));
                                        blocks.into_par_iter().map(sum).reduce(zero, |a, b| a + b)
                                    }
                                }
                            };
                            let mean = columns(&|sums, row| *sums += &row) / n;
                            let variance = columns(&|sums, row| {
                                Zip::from(sums).and(row).and(&mean).for_each(|s, &x, &m| *s += (x - m) * (x - m));
                            }) / n;
                            let scale = variance.mapv(|v| 1.0 / v.sqrt());
                            let row = |out: ArrayViewMut1<$t>, x: ArrayView1<$t>| {
                                Zip::from(out).and(x).and(&mean).and(&scale).for_each(|o, &x, &m, &s| *o = (x - m) * s);
                            };
                            let rows = Zip::from(out.rows_mut()).and(x.rows());
                            match x.len() < PARALLEL {
                                true => rows.for_each(row),
                                false => rows.par_for_each(row),
                            }
                        })
                    }
                    "pair" => {
                        let (a, b) = (two(0)?, two(1)?);
                        filling((a.nrows(), b.nrows()), move |mut out| {
                            let row = |mut out: ArrayViewMut1<$t>, p: ArrayView1<$t>| {
                                Zip::from(&mut out).and(b.rows()).for_each(|out, q| {
                                    let square = |(x, y): (&$t, &$t)| (x - y) * (x - y);
                                    *out = p.iter().zip(q).map(square).sum::<$t>().sqrt();
                                });
                            };
                            let rows = Zip::from(out.rows_mut()).and(a.rows());
                            match a.nrows() * b.len() < PARALLEL {
                                true => rows.for_each(row),
                                false => rows.par_for_each(row),
                            }
                        })
                    }
                    "stencil" => {
                        let a = two(0)?;
                        let (rows, columns) = a.dim();
                        filling((rows - 2, columns - 2), move |out| {
                            let all = Zip::from(out)
                                .and(a.slice(s![1..rows - 1, 1..columns - 1]))
                                .and(a.slice(s![1..rows - 1, ..columns - 2]))
                                .and(a.slice(s![1..rows - 1, 2..]))
                                .and(a.slice(s![..rows - 2, 1..columns - 1]))
                                .and(a.slice(s![2.., 1..columns - 1]));
                            match a.len() < PARALLEL {
                                true => all.for_each(|o, &c, &w, &e, &n, &s| *o = 0.2 * (c + w + e + n + s)),
                                false => all.par_for_each(|o, &c, &w, &e, &n, &s| *o = 0.2 * (c + w + e + n + s)),
                            }
                        })
                    }
                    _ => return None,
                })
            }
        }

        impl SumOfSquares for $t {
            fn sumsq(inputs: &[ArrayD<$t>]) -> Option<Task<$t>> {
                let one = |i: usize| inputs.get(i)?.clone().into_dimensionality::<Ix1>().ok();
                let (x, y) = (one(0)?, one(1)?);
                // One sum would wait for itself at each element.
                let sum = |x: &[$t], y: &[$t]| -> $t {
                    let mut lanes = [0.0; 16];
                    let (xs, ys) = (x.chunks_exact(16), y.chunks_exact(16));
                    let rest: $t = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
                    for (x, y) in xs.zip(ys) {
                        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
                            *lane += (x - y) * (x - y);
                        }
                    }
                    rest + lanes.iter().sum::<$t>()
                };
                let fresh = move || {
                    let (Some(x), Some(y)) = (x.as_slice(), y.as_slice()) else { return ArrayD::default(IxDyn(&[])) };
                    let total = match x.len() < PARALLEL {
                        true => sum(x, y),
                        false => x.par_chunks(8192).zip(y.par_chunks(8192)).map(|(x, y)| sum(x, y)).sum(),
                    };
                    ArrayD::from_elem(IxDyn(&[]), total)
                };
                Some(Task { fresh: Box::new(fresh), reused: None })
            }
        }
    };
}

/// The reduction to a number.
trait SumOfSquares: Sized {
    fn sumsq(inputs: &[ArrayD<Self>]) -> Option<Task<Self>>;
}

floats!(f64, 1e-9);
floats!(f32, 1e-3);

impl Element for i32 {
    const TOLERANCE: f64 = 0.0;
    fn to_f64(self) -> f64 {
        self.into()
    }
    fn task(workload: &str, inputs: &[ArrayD<i32>]) -> Option<Task<i32>> {
        Some(match workload {
            "i32mix" => elementwise!(inputs, i32, |a, b| a.wrapping_mul(3).wrapping_add(b) ^ (a >> 2)),
            _ => return None,
        })
    }
}
