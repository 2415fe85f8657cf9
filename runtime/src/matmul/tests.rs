use super::*;
use lazuli_graph::{Axes, DType, Index, Scalar, View};
use proptest::prelude::*;

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).unwrap()
}

/// A tensor of small values, in every dtype exact also when summed.
fn values(dtype: DType, extents: &[usize], seed: usize) -> Tensor {
    let n = shape(extents).elements();
    crate::dispatch!(dtype, T => {
        let value = |i: usize| {
            let x = ((i * 7 + seed * 13) % 11) as i64 - if matches!(dtype.kind(), lazuli_graph::Kind::Unsigned) { 0 } else { 5 };
            <T as crate::Element>::from_scalar(Scalar::from_i64(dtype, if dtype == DType::Bool { (x == 2) as i64 } else { x }))
        };
        Tensor::from_vec(extents, (0..n).map(value).collect()).unwrap()
    })
}

/// The definition, element by element.
fn naive(a: &Tensor, b: &Tensor) -> Vec<Scalar> {
    let rank = a.rank();
    let (m, n, k) = (a.shape()[rank - 2], b.shape()[rank - 1], a.shape()[rank - 1]);
    let stacks: usize = a.shape()[..rank - 2].iter().product();
    let mut out = Vec::new();
    for s in 0..stacks {
        let mut lead = vec![0; rank - 2];
        let mut left = s;
        for axis in (0..rank - 2).rev() {
            lead[axis] = left % a.shape()[axis];
            left /= a.shape()[axis];
        }
        let at = |t: &Tensor, i: usize, j: usize| t.get(&[lead.as_slice(), &[i, j]].concat()).unwrap();
        for i in 0..m {
            for j in 0..n {
                let terms = (0..k).map(|p| (at(a, i, p), at(b, p, j)));
                out.push(match a.dtype() {
                    DType::Bool => {
                        let any = terms.fold(false, |any, (x, y)| any | (x.as_bool() & y.as_bool()));
                        Scalar::from_i64(DType::Bool, any as i64)
                    }
                    d if d.is_float() => Scalar::from_f64(d, terms.map(|(x, y)| x.as_f64() * y.as_f64()).sum()),
                    d => {
                        let sum = terms.fold(0i64, |s, (x, y)| s.wrapping_add(x.as_i64().wrapping_mul(y.as_i64())));
                        Scalar::from_i64(d, sum)
                    }
                });
            }
        }
    }
    out
}

#[test]
fn every_dtype() {
    for dtype in DType::ALL {
        for (m, n, k) in [(1, 1, 1), (3, 4, 5), (17, 9, 33), (1, 20, 7), (20, 1, 7), (4, 4, 0), (0, 3, 2), (65, 70, 3)]
        {
            let (a, b) = (values(dtype, &[m, k], 1), values(dtype, &[k, n], 2));
            let c = matmul(&a, &b, 2).unwrap();
            assert_eq!(c.shape()[..], [m, n]);
            let want = naive(&a, &b);
            assert!(c.iter_scalars().map(|x| x.as_f64()).eq(want.iter().map(|x| x.as_f64())), "{dtype} {m} {n} {k}");
        }
    }
}

#[test]
fn integers_wrap() {
    let a = Tensor::from_vec(&[1, 2], vec![i8::MAX, i8::MAX]).unwrap();
    let b = Tensor::from_vec(&[2, 1], vec![2i8, 1]).unwrap();
    assert_eq!(matmul(&a, &b, 1).unwrap().to_vec::<i8>().unwrap(), [125]);
    let a = Tensor::from_vec(&[1, 1], vec![i64::MIN]).unwrap();
    let b = Tensor::from_vec(&[1, 1], vec![-1i64]).unwrap();
    assert_eq!(matmul(&a, &b, 1).unwrap().to_vec::<i64>().unwrap(), [i64::MIN]);
}

#[test]
fn not_a_number_spreads() {
    let a = Tensor::from_vec(&[2, 2], vec![0.0, f64::NAN, 0.0, f64::INFINITY]).unwrap();
    let b = Tensor::from_vec(&[2, 1], vec![1.0, 0.0]).unwrap();
    assert!(matmul(&a, &b, 1).unwrap().iter_scalars().all(|x| x.as_f64().is_nan()));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let t = |dtype, extents: &[usize]| values(dtype, extents, 0);
    let f = DType::F64;
    assert!(matches!(matmul(&t(f, &[2, 2]), &t(DType::F32, &[2, 2]), 1), Err(MatmulError::DType(..))));
    for (a, b) in
        [(&[2, 3][..], &[2, 3][..]), (&[3], &[3]), (&[2, 3], &[1, 3, 2]), (&[2, 2, 3], &[3, 3, 2]), (&[], &[])]
    {
        assert!(matches!(matmul(&t(f, a), &t(f, b), 1), Err(MatmulError::Shapes(..))), "{a:?} {b:?}");
    }
    let long = Tensor::scalar(Scalar::one(f));
    let column = long.view(&View::broadcast(long.shape(), &shape(&[1 << 40, 1])).unwrap()).unwrap();
    let row = long.view(&View::broadcast(long.shape(), &shape(&[1, 1 << 40])).unwrap()).unwrap();
    assert!(matches!(matmul(&column, &row, 1), Err(MatmulError::Shape(_))));
}

/// Pseudo-random values whose sums round, so that another order would show.
fn rough(extents: &[usize], seed: u64) -> Tensor {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / f64::from(u32::MAX) - 0.25
    };
    Tensor::from_vec(extents, (0..shape(extents).elements()).map(next).collect()).unwrap()
}

#[test]
fn bits_do_not_depend_on_the_threads() {
    for (m, n, k) in [(150, 130, 1100), (1, 400, 3000), (400, 1, 3000), (33, 500, 257), (700, 40, 90)] {
        let (a, b) = (rough(&[2, m, k], 1), rough(&[2, k, n], 2));
        let one = matmul(&a, &b, 1).unwrap();
        for threads in [2, 3, 5, 16] {
            let c = matmul(&a, &b, threads).unwrap();
            assert_eq!(c.first_difference(&one), None, "{m} {n} {k}, {threads} threads");
            // Alone, a matrix is shared out otherwise than in a stack.
            let first = |t: &Tensor| t.view(&View::index(t.shape(), &[Index::At(0)]).unwrap()).unwrap();
            assert!(matmul(&first(&a), &first(&b), threads).unwrap().bits_eq(&first(&one)));
        }
        let sum = |i: usize, j: usize| -> f64 {
            (0..k).map(|p| a.get(&[1, i, p]).unwrap().as_f64() * b.get(&[1, p, j]).unwrap().as_f64()).sum()
        };
        let got = one.get(&[1, m - 1, n / 2]).unwrap().as_f64();
        let want = sum(m - 1, n / 2);
        assert!((got - want).abs() <= 1e-12 * k as f64, "{got} {want}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_strides(
        dtype in prop::sample::select(&[DType::F32, DType::F64, DType::I32, DType::U8, DType::Bool, DType::F16][..]),
        (m, n, k) in (1usize..40, 1usize..40, 0usize..40),
        stack in 1usize..3,
        [swap_a, swap_b, wide_a, wide_b] in any::<[bool; 4]>(),
        [flip_a, flip_b] in any::<[u32; 2]>(),
        [step_a, step_b] in [1i64..3, 1..3],
        threads in 1usize..4,
    ) {
        let make = |rows: usize, cols: usize, swap: bool, flip: u32, step: i64, wide: bool, seed| {
            let (r, c) = (rows * step as usize, cols * step as usize);
            let extents = match (wide, swap) {
                (false, false) => vec![stack, r, c],
                (false, true) => vec![stack, c, r],
                (true, false) => vec![1, r, c],
                (true, true) => vec![1, c, r],
            };
            let mut t = values(dtype, &extents, seed);
            if swap {
                t = t.view(&View::transpose(t.shape(), &[0, 2, 1])).unwrap();
            }
            let every = Index::Slice { start: None, stop: None, step };
            t = t.view(&View::index(t.shape(), &[Index::FULL, every, every]).unwrap()).unwrap();
            let axes: Axes = (0..3).filter(|i| flip >> i & 1 == 1).collect();
            t = t.view(&View::flip(t.shape(), axes)).unwrap();
            let to = shape(&[stack, rows, cols]);
            t.view(&View::broadcast(t.shape(), &to).unwrap()).unwrap()
        };
        let a = make(m, k, swap_a, flip_a, step_a, wide_a, 1);
        let b = make(k, n, swap_b, flip_b, step_b, wide_b, 2);
        let c = matmul(&a, &b, threads).unwrap();
        prop_assert_eq!(&c.shape()[..], &[stack, m, n][..]);
        let want: Vec<f64> = naive(&a, &b).iter().map(|x| x.as_f64()).collect();
        let got: Vec<f64> = c.iter_scalars().map(|x| x.as_f64()).collect();
        prop_assert_eq!(got, want);
    }
}
