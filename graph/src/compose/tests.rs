//! Shapes, dtypes and choices of composed operations.

use super::*;

fn array(dtype: DType, extents: &[usize]) -> Expr {
    Expr::parameter(0, dtype, Shape::new(extents).unwrap())
}

fn axes(list: &[usize]) -> Axes {
    list.iter().copied().collect()
}

#[track_caller]
fn is(e: &Expr, dtype: DType, extents: &[usize]) {
    assert_eq!((e.dtype(), &**e.shape()), (dtype, extents), "{e:?}");
}

#[test]
fn means_have_numpys_dtypes_and_shapes() {
    for (from, to) in [
        (DType::Bool, DType::F64),
        (DType::I8, DType::F64),
        (DType::U64, DType::F64),
        (DType::F16, DType::F16),
        (DType::BF16, DType::BF16),
        (DType::F32, DType::F32),
        (DType::F64, DType::F64),
    ] {
        let x = array(from, &[2, 3, 4]);
        is(&x.mean(axes(&[0, 2]), false).unwrap(), to, &[3]);
        is(&x.mean(axes(&[1]), true).unwrap(), to, &[2, 1, 4]);
        is(&x.var(Axes::all(3), 1, false).unwrap(), to, &[]);
        is(&x.std(axes(&[0]), 0, true).unwrap(), to, &[1, 3, 4]);
        is(&x.count_nonzero(axes(&[2]), false).unwrap(), DType::I64, &[2, 3]);
    }
}

#[test]
fn power_takes_the_short_way_for_literals() {
    let x = array(DType::F32, &[3]);
    let op = |e: &Expr| e.op().clone();
    assert_eq!(op(&x.power(&int(2)).unwrap()), Op::Map(MapOp::Square));
    assert_eq!(op(&x.power(&float(0.5)).unwrap()), Op::Map(MapOp::Sqrt));
    assert_eq!(op(&x.power(&int(-1)).unwrap()), Op::Map(MapOp::Reciprocal));
    assert!(x.power(&float(1.0)).unwrap().same(&x));
    assert_eq!(op(&x.power(&int(3)).unwrap()), Op::Map(MapOp::Pow));
    // A 0-d array is no literal.
    let two = Expr::full(Scalar::from_f64(DType::F32, 2.0), Shape::scalar());
    assert_eq!(op(&x.power(&two).unwrap()), Op::Map(MapOp::Pow));
    // Integers: NumPy's dtypes, and no negative powers.
    is(&array(DType::Bool, &[2]).power(&int(2)).unwrap(), DType::I8, &[2]);
    is(&array(DType::Bool, &[2]).power(&int(1)).unwrap(), DType::I64, &[2]);
    is(&array(DType::I8, &[2]).power(&float(2.0)).unwrap(), DType::F64, &[2]);
    is(&array(DType::I8, &[2]).power(&float(-1.0)).unwrap(), DType::F64, &[2]);
    assert!(array(DType::I32, &[2]).power(&int(-1)).is_err());
}

#[test]
fn clip_bounds_and_promotes() {
    let x = array(DType::U8, &[3]);
    assert!(x.clip(Some(&int(-1)), Some(&int(300))).unwrap().same(&x));
    assert!(x.clip(Some(&int(300)), None).is_err());
    is(&x.clip(Some(&float(0.5)), None).unwrap(), DType::F64, &[3]);
    is(&x.clip(Some(&int(2)), Some(&array(DType::I16, &[2, 1]))).unwrap(), DType::I16, &[2, 3]);
    assert!(x.clip(None, None).unwrap().same(&x));
}

#[test]
fn ranges_have_numpys_lengths() {
    let i = |x| Scalar::from_i64(DType::I64, x);
    let f = |x| Scalar::from_f64(DType::F64, x);
    let len = |a, b, c| Expr::arange(a, b, c, None).map(|e| (e.dtype(), e.shape()[0])).ok();
    assert_eq!(len(i(0), i(10), i(3)), Some((DType::I64, 4)));
    assert_eq!(len(i(10), i(0), i(-3)), Some((DType::I64, 4)));
    assert_eq!(len(i(0), i(-1), i(1)), Some((DType::I64, 0)));
    assert_eq!(len(f(0.0), f(1.0), f(0.1)), Some((DType::F64, 10)));
    assert_eq!(len(i(0), f(1.3), i(1)), Some((DType::F64, 2)));
    assert_eq!(len(i(0), i(1), i(0)), None);
    assert_eq!(len(f(0.0), f(f64::INFINITY), f(1.0)), None);
    assert_eq!(len(f(0.0), f(f64::NAN), f(1.0)), None);
    assert_eq!(len(i(i64::MIN), i(i64::MAX), i(1)), None);
    let e = Expr::arange(f(0.0), f(5.5), f(0.5), Some(DType::I32)).unwrap();
    is(&e, DType::I32, &[11]);
    is(&Expr::linspace(0.0, 1.0, 5, true).unwrap(), DType::F64, &[5]);
    is(&Expr::linspace(0.0, 1.0, 0, true).unwrap(), DType::F64, &[0]);
    assert!(Expr::linspace(0.0, 1.0, usize::MAX, true).is_err());
}

#[test]
fn products_of_any_rank() {
    let m = |a: &[usize], b: &[usize]| {
        array(DType::F32, a).matmul_numpy(&array(DType::F64, b)).map(|e| e.shape().to_vec()).ok()
    };
    assert_eq!(m(&[3], &[3]), Some(vec![]));
    assert_eq!(m(&[3], &[3, 4]), Some(vec![4]));
    assert_eq!(m(&[2, 3], &[3]), Some(vec![2]));
    assert_eq!(m(&[5, 1, 2, 3], &[4, 3, 6]), Some(vec![5, 4, 2, 6]));
    assert_eq!(m(&[3], &[5, 3, 4]), Some(vec![5, 4]));
    assert_eq!(m(&[5, 2, 3], &[3]), Some(vec![5, 2]));
    assert_eq!(m(&[3], &[4]), None);
    assert_eq!(m(&[], &[3]), None);
    let d = |a: &[usize], b: &[usize]| array(DType::F32, a).dot(&array(DType::F32, b)).map(|e| e.shape().to_vec()).ok();
    assert_eq!(d(&[2, 3], &[4, 3, 5]), Some(vec![2, 4, 5]));
    assert_eq!(d(&[3], &[4, 3, 5]), Some(vec![4, 5]));
    assert_eq!(d(&[], &[4]), Some(vec![4]));
    assert_eq!(d(&[2, 3], &[4, 5, 3]), None);
}

#[test]
fn views_check_their_axes() {
    let x = array(DType::F64, &[2, 1, 3]);
    is(&x.t(), DType::F64, &[3, 1, 2]);
    is(&x.transpose(&[-1, 0, 1]).unwrap(), DType::F64, &[3, 2, 1]);
    assert!(x.transpose(&[0, 1]).is_err() && x.transpose(&[0, 0, 1]).is_err() && x.transpose(&[0, 1, 3]).is_err());
    is(&x.moveaxis(0, -1).unwrap(), DType::F64, &[1, 3, 2]);
    is(&x.swapaxes(0, -1).unwrap(), DType::F64, &[3, 1, 2]);
    is(&x.squeeze(None).unwrap(), DType::F64, &[2, 3]);
    assert!(x.squeeze(Some(axes(&[0]))).is_err());
    is(&x.expand_dims(axes(&[0, 4])).unwrap(), DType::F64, &[1, 2, 1, 3, 1]);
    assert!(x.expand_dims(axes(&[5])).is_err());
    is(&x.reshape_to(&[-1, 2]).unwrap(), DType::F64, &[3, 2]);
    assert!(x.reshape_to(&[-1, -1]).is_err() && x.reshape_to(&[4, -1]).is_err() && x.reshape_to(&[-2, -3]).is_err());
    assert!(x.reshape_to(&[i64::MAX, i64::MAX, 4]).is_err());
    is(&x.diff(2, -1).unwrap(), DType::F64, &[2, 1, 1]);
    is(&x.diff(9, 0).unwrap(), DType::F64, &[0, 1, 3]);
    assert!(x.diff(1, 3).is_err());
    is(&Expr::eye(3, 4, -1, DType::I8).unwrap(), DType::I8, &[3, 4]);
}

#[test]
fn errors_name_the_callers_line() {
    let error = array(DType::F64, &[2]).squeeze(Some(axes(&[0]))).unwrap_err();
    assert_eq!((error.location().file(), error.location().line()), (file!(), line!() - 1));
}
