use super::*;
use crate::{bf16, f16};
use lazuli_graph::{Axes, AxisMap, Index};
use proptest::prelude::*;

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).unwrap()
}

fn iota(extents: &[usize]) -> Tensor {
    Tensor::from_vec(extents, (0..shape(extents).elements() as i32).collect()).unwrap()
}

#[test]
fn a_tensor_is_small() {
    assert!(size_of::<Tensor>() <= 128, "{}", size_of::<Tensor>());
}

#[test]
fn vec_goes_in_and_out_without_a_copy() {
    let v = vec![1.0f32, 2.0, 3.0, 4.0];
    let address = v.as_ptr();
    let t = Tensor::from_vec(&[2, 2], v).unwrap();
    assert_eq!(t.as_slice::<f32>().unwrap().as_ptr(), address);
    let shared = t.clone();
    let copy = shared.into_vec::<f32>().unwrap();
    assert_ne!(copy.as_ptr(), address, "another holds it");
    let back = t.into_vec::<f32>().unwrap();
    assert_eq!(back.as_ptr(), address);
    assert_eq!(copy, back);
}

#[test]
fn into_vec_copies_parts() {
    let t = iota(&[4]);
    let part =
        t.view(&View::index(t.shape(), &[Index::Slice { start: Some(1), stop: None, step: 1 }]).unwrap()).unwrap();
    drop(t);
    assert!(part.buffer().is_unique());
    assert_eq!(part.into_vec::<i32>().unwrap(), [1, 2, 3]);
}

#[test]
fn wrong_reads_are_errors() {
    let t = iota(&[2, 3]);
    assert_eq!(t.as_slice::<u32>().unwrap_err(), TensorError::DType { has: DType::I32, asked: DType::U32 });
    assert!(matches!(t.to_vec::<f32>(), Err(TensorError::DType { .. })));
    let tr = t.view(&View::transpose(t.shape(), &[1, 0])).unwrap();
    let message = tr.as_slice::<i32>().unwrap_err().to_string();
    assert!(message.contains("to_contiguous()"), "{message}");
    assert_eq!(tr.to_vec::<i32>().unwrap(), [0, 3, 1, 4, 2, 5]);
    assert!(matches!(t.item(), Err(TensorError::NotScalar(_))));
    assert!(matches!(t.get(&[2, 0]), Err(TensorError::Index { .. })));
    assert!(matches!(t.get(&[0]), Err(TensorError::Index { .. })));
    assert!(matches!(Tensor::from_vec(&[2, 2], vec![1u8; 3]), Err(TensorError::Length { given: 3, .. })));
    assert!(matches!(Tensor::from_slice(&[usize::MAX, 2], &[1u8]), Err(TensorError::Shape(_))));
}

#[test]
fn parts_are_checked() {
    let b = Buffer::zeroed(32).unwrap();
    let part = |dtype, extents: &[usize], strides: &[isize], offset| {
        Tensor::from_parts(b.clone(), dtype, shape(extents), strides, offset)
    };
    assert!(part(DType::F64, &[4], &[8], 0).is_ok());
    assert!(part(DType::F64, &[4], &[-8], 24).is_ok());
    assert!(part(DType::F64, &[1 << 40], &[0], 24).is_ok());
    assert!(part(DType::F64, &[0, 9], &[8, 8], 32).is_ok());
    assert!(part(DType::F64, &[1], &[isize::MAX], 0).unwrap().iter_scalars().count() == 1);
    for (extents, strides, offset) in [
        (&[5][..], &[8][..], 0),
        (&[4], &[8], 8),
        (&[4], &[-8], 16),
        (&[2], &[isize::MAX], 0),
        (&[2], &[isize::MIN], 0),
        (&[3, 3], &[isize::MAX, isize::MIN], 0),
        (&[0], &[8], 33),
        (&[1], &[8], usize::MAX),
    ] {
        assert!(matches!(part(DType::F64, extents, strides, offset), Err(TensorError::Bounds { .. })), "{strides:?}");
    }
    assert_eq!(part(DType::F64, &[2], &[8], 4).unwrap_err(), TensorError::Misaligned { dtype: DType::F64 });
    assert_eq!(part(DType::I16, &[2], &[3], 0).unwrap_err(), TensorError::Misaligned { dtype: DType::I16 });
    assert_eq!(part(DType::I16, &[2], &[], 0).unwrap_err(), TensorError::Rank { strides: 0, rank: 1 });
}

#[test]
fn bytes_that_are_no_bools_are_found() {
    let b = Buffer::from_vec(vec![0u8, 1, 2, 1]);
    let t = Tensor::from_parts(b, DType::Bool, shape(&[4]), &[1], 0).unwrap();
    assert_eq!(t.as_slice::<bool>().unwrap_err(), TensorError::NotBool(2));
    assert_eq!(t.to_vec::<bool>().unwrap_err(), TensorError::NotBool(2));
    assert_eq!(t.get(&[2]).unwrap(), Scalar::one(DType::Bool));
    assert_eq!(t.clone().into_vec::<bool>().unwrap_err(), TensorError::NotBool(2));
    assert_eq!(Tensor::from_vec(&[2], vec![true, false]).unwrap().as_slice::<bool>().unwrap(), [true, false]);
}

#[test]
fn scalars_of_every_dtype() {
    for dtype in DType::ALL {
        let value = Scalar::one(dtype);
        let t = Tensor::scalar(value);
        assert_eq!((t.dtype(), t.rank(), t.elements()), (dtype, 0, 1));
        assert_eq!(t.item().unwrap(), value);
        assert!(t.is_contiguous());
        assert!(Tensor::zeros(dtype, &shape(&[3])).unwrap().iter_scalars().all(|s| s == Scalar::zero(dtype)));
    }
    assert_eq!(Tensor::scalar(Scalar::from_f64(DType::F16, 1.5)).to_vec::<f16>().unwrap(), [f16::from_f32(1.5)]);
    assert_eq!(Tensor::scalar(Scalar::from_f64(DType::BF16, -2.0)).to_vec::<bf16>().unwrap(), [bf16::from_f32(-2.0)]);
}

#[test]
fn nan_is_nan_but_zero_has_a_sign() {
    let t = |v: Vec<f64>| Tensor::from_vec(&[v.len()], v).unwrap();
    let other_nan = f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 3);
    assert!(t(vec![1.0, f64::NAN]).bits_eq(&t(vec![1.0, other_nan])));
    assert!(!t(vec![0.0]).bits_eq(&t(vec![-0.0])));
    assert!(!t(vec![0.0]).bits_eq(&t(vec![0.0, 0.0])));
    let (at, a, b) = t(vec![1.0, 2.0]).first_difference(&t(vec![1.0, 3.0])).unwrap();
    assert_eq!((at, a.as_f64(), b.as_f64()), (1, 2.0, 3.0));
}

#[test]
fn contiguity() {
    let t = iota(&[2, 3, 4]);
    assert!(t.is_contiguous());
    let every_other = [Index::FULL, Index::FULL, Index::Slice { start: None, stop: None, step: 2 }];
    let strided = t.view(&View::index(t.shape(), &every_other).unwrap()).unwrap();
    assert!(!strided.is_contiguous());
    assert!(strided.to_contiguous().unwrap().bits_eq(&strided));
    assert!(t.to_contiguous().unwrap().buffer().same(t.buffer()));
    // Axes of one element have any stride; no elements lie in any order.
    let one =
        t.view(&View::index(t.shape(), &[Index::Slice { start: None, stop: Some(1), step: 1 }]).unwrap()).unwrap();
    assert!(one.is_contiguous());
    let none = [Index::FULL, Index::Slice { start: Some(3), stop: None, step: 1 }, Index::FULL];
    assert!(t.view(&View::index(t.shape(), &none).unwrap()).unwrap().is_contiguous());
}

#[test]
fn reshape_where_strides_can() {
    let t = iota(&[2, 3, 4]);
    for to in [&[24][..], &[6, 4], &[2, 12], &[4, 3, 2], &[1, 2, 1, 3, 4, 1], &[3, 8]] {
        let r = t.reshape(shape(to)).unwrap();
        assert!(r.is_contiguous() && r.buffer().same(t.buffer()));
        assert_eq!(r.to_vec::<i32>().unwrap(), t.to_vec::<i32>().unwrap());
    }
    assert!(t.reshape(shape(&[5])).is_none());
    let tr = t.view(&View::transpose(t.shape(), &[2, 0, 1])).unwrap();
    assert!(tr.reshape(shape(&[24])).is_none());
    assert!(tr.reshape(shape(&[8, 3])).is_none());
    let merged = tr.reshape(shape(&[2, 2, 6])).unwrap();
    assert_eq!(merged.to_vec::<i32>().unwrap(), tr.to_vec::<i32>().unwrap());
    let flat = t.view(&View::flip(t.shape(), Axes::all(3))).unwrap().reshape(shape(&[24])).unwrap();
    assert_eq!(flat.to_vec::<i32>().unwrap(), (0..24).rev().collect::<Vec<_>>());
    let none = iota(&[2, 0]).reshape(shape(&[0, 7])).unwrap();
    assert_eq!(none.to_vec::<i32>().unwrap(), []);
    assert_eq!(iota(&[1]).reshape(Shape::scalar()).unwrap().item().unwrap().as_i64(), 0);
    assert_eq!(Tensor::scalar(Scalar::one(DType::U8)).reshape(shape(&[1, 1])).unwrap().to_vec::<u8>().unwrap(), [1]);
}

#[test]
fn views_outside_are_errors() {
    let t = iota(&[3]);
    let view = View::from_parts(shape(&[3]), &[AxisMap { dim: Some(0), start: 1, step: 1 }]);
    assert!(matches!(t.view(&view), Err(TensorError::View { .. })));
    assert!(t.view(&View::identity(&shape(&[3, 1]))).is_err(), "another rank");
}

/// One step of a chain of views, made to fit whatever shape it meets.
#[derive(Clone, Debug)]
enum Step {
    Transpose(usize),
    Flip(u32),
    Slice(usize, i64, i64, i64),
    At(usize, i64),
    Expand(usize),
    Broadcast(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let step = prop_oneof![Just(-3i64), Just(-2), Just(-1), Just(1), Just(2), Just(3)];
    prop_oneof![
        (0usize..24).prop_map(Step::Transpose),
        any::<u32>().prop_map(Step::Flip),
        (0usize..4, -6i64..6, -6i64..6, step).prop_map(|(a, b, c, d)| Step::Slice(a, b, c, d)),
        (0usize..4, 0i64..5).prop_map(|(a, i)| Step::At(a, i)),
        (0usize..4).prop_map(Step::Expand),
        (1usize..4).prop_map(Step::Broadcast),
    ]
}

/// The naive model: a shape, and for each of its elements in C order the position in the source.
type Model = (Vec<usize>, Vec<i32>);

/// Every index of a shape in C order.
fn indices(extents: &[usize]) -> Vec<Vec<usize>> {
    extents.iter().fold(vec![vec![]], |all, &n| {
        all.iter().flat_map(|i| (0..n).map(move |k| [i.as_slice(), &[k]].concat())).collect()
    })
}

/// The model of a view whose element at an index is the old one at `f(index)`.
fn gather(old: &Model, extents: Vec<usize>, f: impl Fn(&[usize]) -> Vec<usize>) -> Model {
    let at = |index: Vec<usize>| index.iter().zip(&old.0).fold(0, |p, (&i, &n)| p * n + i);
    let values = indices(&extents).iter().map(|i| old.1[at(f(i))]).collect();
    (extents, values)
}

fn apply(step: &Step, t: &Tensor, model: &Model) -> Option<(View, Model)> {
    let (source, rank) = (t.shape(), t.rank());
    let old = &model.0;
    Some(match *step {
        Step::Transpose(code) => {
            let mut left: Vec<usize> = (0..rank).collect();
            let mut code = code;
            let order: Vec<usize> = (0..rank)
                .map(|_| {
                    let pick = code % left.len();
                    code /= left.len();
                    left.remove(pick)
                })
                .collect();
            let extents = order.iter().map(|&a| old[a]).collect();
            let model = gather(model, extents, |i| {
                let mut at = vec![0; rank];
                order.iter().zip(i).for_each(|(&a, &i)| at[a] = i);
                at
            });
            (View::transpose(source, &order), model)
        }
        Step::Flip(mask) => {
            let axes: Axes = (0..rank).filter(|&a| mask >> a & 1 == 1).collect();
            let model = gather(model, old.clone(), |i| {
                (0..rank).map(|a| if axes.contains(a) { old[a] - 1 - i[a] } else { i[a] }).collect()
            });
            (View::flip(source, axes), model)
        }
        Step::Slice(axis, start, stop, step) => {
            let axis = axis % rank.max(1);
            let n = *old.get(axis)? as i64;
            let mut entries = vec![Index::FULL; axis];
            entries.push(Index::Slice { start: Some(start), stop: Some(stop), step });
            let from = |x: i64| if x < 0 { x + n } else { x };
            // Walk as Python's range does over clamped bounds.
            let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
            let (mut x, stop) = (from(start).clamp(low, high), from(stop).clamp(low, high));
            let mut picked = vec![];
            while (step > 0 && x < stop) || (step < 0 && x > stop) {
                picked.push(x as usize);
                x += step;
            }
            let mut extents = old.clone();
            extents[axis] = picked.len();
            let model = gather(model, extents, |i| {
                let mut at = i.to_vec();
                at[axis] = picked[i[axis]];
                at
            });
            (View::index(source, &entries).unwrap(), model)
        }
        Step::At(axis, index) => {
            let axis = axis % rank.max(1);
            let n = *old.get(axis)? as i64;
            if n == 0 {
                return None;
            }
            let index = index % n;
            let mut entries = vec![Index::FULL; axis];
            entries.push(Index::At(index));
            let mut extents = old.clone();
            extents.remove(axis);
            let model = gather(model, extents, |i| [&i[..axis], &[index as usize], &i[axis..]].concat());
            (View::index(source, &entries).unwrap(), model)
        }
        Step::Expand(at) => {
            let at = at % (rank + 1);
            let mut extents = old.clone();
            extents.insert(at, 1);
            let model = gather(model, extents, |i| [&i[..at], &i[at + 1..]].concat());
            (View::expand_dims(source, [at].into_iter().collect()).unwrap(), model)
        }
        Step::Broadcast(n) => {
            if rank > 4 {
                return None;
            }
            let mut extents: Vec<usize> = old.iter().map(|&e| if e == 1 { n } else { e }).collect();
            extents.insert(0, n);
            let to = shape(&extents);
            let model =
                gather(model, extents, |i| i[1..].iter().zip(old).map(|(&i, &e)| if e == 1 { 0 } else { i }).collect());
            (View::broadcast(source, &to).unwrap(), model)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 10 } else { 500 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_agree_with_the_naive_model(
        extents in proptest::collection::vec(0usize..5, 0..4),
        steps in proptest::collection::vec(step(), 0..5),
        shift in any::<bool>(),
    ) {
        let mut t = iota(&extents);
        if shift {
            // The same values, further into a buffer.
            let mut v = vec![-1; 3];
            v.extend(t.to_vec::<i32>().unwrap());
            let strides = t.strides().to_vec();
            t = Tensor::from_parts(Buffer::from_vec(v), DType::I32, t.shape().clone(), &strides, 12).unwrap();
        }
        let mut model: Model = (extents.clone(), (0..t.elements() as i32).collect());
        for step in &steps {
            let Some((view, next)) = apply(step, &t, &model) else { continue };
            t = t.view(&view).unwrap();
            model = next;
        }
        prop_assert_eq!(&t.shape()[..], &model.0[..]);
        prop_assert_eq!(&t.to_vec::<i32>().unwrap(), &model.1);
        let one_by_one: Vec<i32> = t.iter_scalars().map(|s| s.as_i64() as i32).collect();
        prop_assert_eq!(&one_by_one, &model.1);
        prop_assert_eq!(t.iter_scalars().len(), model.1.len());
        for (index, value) in indices(&model.0).iter().zip(&model.1) {
            prop_assert_eq!(t.get(index).unwrap().as_i64(), *value as i64);
        }
        let whole = t.to_contiguous().unwrap();
        prop_assert_eq!(whole.as_slice::<i32>().unwrap(), &model.1[..]);
        if t.is_contiguous() {
            prop_assert!(whole.buffer().same(t.buffer()));
        }
        // What from_parts checks, a view keeps.
        prop_assert!(Tensor::from_parts(t.buffer().clone(), t.dtype(), t.shape().clone(), t.strides(), t.offset()).is_ok());
    }

    #[test]
    fn reshapes_keep_the_elements(
        factors in proptest::collection::vec(1usize..4, 1..5),
        order in 0usize..24,
        flips in any::<u32>(),
        cuts in any::<u32>(),
    ) {
        let t = iota(&factors);
        let model = (factors.clone(), (0..t.elements() as i32).collect());
        let (view, model) = apply(&Step::Transpose(order), &t, &model).unwrap();
        let t = t.view(&view).unwrap();
        let (view, model) = apply(&Step::Flip(flips), &t, &model).unwrap();
        let t = t.view(&view).unwrap();
        // Merge neighbouring axes where a cut bit is not set.
        let mut to = vec![1];
        for (i, &n) in model.0.iter().enumerate() {
            if cuts >> i & 1 == 1 { to.push(n) } else { *to.last_mut().unwrap() *= n }
        }
        if let Some(r) = t.reshape(shape(&to)) {
            prop_assert_eq!(r.to_vec::<i32>().unwrap(), model.1);
        } else {
            prop_assert!(!t.is_contiguous());
        }
        // To its own shape, and with an axis put in, always works.
        let own = [&model.0[..], &[1]].concat();
        prop_assert!(t.reshape(shape(&own)).is_some());
    }
}
