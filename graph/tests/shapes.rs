//! Shapes: limits, broadcasting, axes.
// The helpers are tests as well.
#![allow(clippy::unwrap_used)]

use lazuli_graph::{Axes, MAX_RANK, Shape, ShapeError};
use proptest::prelude::*;

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).expect("tests use valid shapes")
}

#[test]
fn rank_is_limited() {
    assert_eq!(shape(&[1; MAX_RANK]).elements(), 1);
    assert_eq!(Shape::new(&[1; MAX_RANK + 1]), Err(ShapeError::Rank(MAX_RANK + 1)));
    let long = [1; 200];
    assert_eq!(Shape::new(&long), Err(ShapeError::Rank(200)));
}

#[test]
fn size_is_limited_at_eight_bytes_an_element() {
    let most = isize::MAX as usize / 8;
    assert_eq!(shape(&[most]).elements(), most);
    assert_eq!(Shape::new(&[most + 1]), Err(ShapeError::Overflow(vec![most + 1])));
    assert_eq!(Shape::new(&[usize::MAX, usize::MAX]), Err(ShapeError::Overflow(vec![usize::MAX, usize::MAX])));
    assert!(Shape::new(&[1 << 30, 1 << 30]).is_err());
    assert!(Shape::new(&[1 << 30, 1 << 29]).is_ok());
    // An extent of zero does not excuse the others: its axis may be dropped.
    assert!(Shape::new(&[0, most, 2]).is_err());
    assert!(Shape::new(&[most, 2, 0]).is_err());
    assert_eq!(shape(&[0, most]).elements(), 0);
}

#[test]
fn scalars_have_one_element() {
    assert_eq!((Shape::scalar().rank(), Shape::scalar().elements()), (0, 1));
    assert_eq!(Shape::scalar(), shape(&[]));
    assert_eq!(Shape::scalar().to_string(), "[]");
}

#[test]
fn strides_are_c_order() {
    assert_eq!(shape(&[2, 3, 4]).contiguous_strides().as_slice(), [12, 4, 1]);
    assert_eq!(shape(&[2, 0, 4]).contiguous_strides().as_slice(), [4, 4, 1]);
    assert!(Shape::scalar().contiguous_strides().is_empty());
}

#[test]
fn broadcasting_aligns_from_the_right() {
    let both = |a: &[usize], b: &[usize]| shape(a).broadcast(&shape(b)).map(|s| s.to_vec());
    assert_eq!(both(&[], &[]), Ok(vec![]));
    assert_eq!(both(&[5], &[]), Ok(vec![5]));
    assert_eq!(both(&[4, 1], &[3]), Ok(vec![4, 3]));
    assert_eq!(both(&[1, 3], &[4, 1]), Ok(vec![4, 3]));
    assert_eq!(both(&[2, 1, 3], &[5, 1]), Ok(vec![2, 5, 3]));
    assert_eq!(both(&[1], &[0]), Ok(vec![0]));
    assert_eq!(both(&[0], &[0]), Ok(vec![0]));
    assert_eq!(both(&[2], &[0]), Err(ShapeError::Broadcast(shape(&[2]), shape(&[0]))));
    assert_eq!(both(&[4, 2], &[3, 2]), Err(ShapeError::Broadcast(shape(&[4, 2]), shape(&[3, 2]))));
    let e = both(&[1_000_000], &[3]).unwrap_err();
    assert_eq!(e.to_string(), "cannot broadcast [1000000] with [3]");
    // Each fits, what they meet in does not.
    assert!(matches!(both(&[1 << 40, 1], &[1 << 40]), Err(ShapeError::Overflow(_))));
}

#[test]
fn stretching_goes_one_way() {
    assert!(shape(&[3]).broadcasts_to(&shape(&[2, 3])));
    assert!(shape(&[1, 3]).broadcasts_to(&shape(&[0, 3])));
    assert!(!shape(&[2, 3]).broadcasts_to(&shape(&[3])));
    assert!(!shape(&[1, 3]).broadcasts_to(&shape(&[3])));
    assert!(!shape(&[3]).broadcasts_to(&shape(&[1])));
    assert!(Shape::scalar().broadcasts_to(&shape(&[4])));
}

#[test]
fn axes_count_from_both_ends() {
    let s = shape(&[2, 3, 4]);
    assert_eq!((s.axis(0), s.axis(2), s.axis(-1), s.axis(-3)), (Ok(0), Ok(2), Ok(2), Ok(0)));
    for axis in [3, -4, i64::MAX, i64::MIN] {
        assert_eq!(s.axis(axis), Err(ShapeError::Axis { axis, rank: 3 }));
    }
    assert_eq!(s.axes(&[-1, 0]).map(|a| a.iter().collect::<Vec<_>>()), Ok(vec![0, 2]));
    assert_eq!(s.axes(&[1, -2]), Err(ShapeError::RepeatedAxis(-2)));
    assert_eq!(s.without(s.axes(&[0, 2]).unwrap()), shape(&[3]));
    assert_eq!(s.without(Axes::all(3)), Shape::scalar());
    assert_eq!(s.without(Axes::NONE), s);
    assert_eq!(Axes::all(MAX_RANK).len(), MAX_RANK);
}

fn extents() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..4, 0..5)
}

proptest! {
    #[test]
    fn broadcasting_has_no_order(a in extents(), b in extents(), c in extents()) {
        let (a, b, c) = (shape(&a), shape(&b), shape(&c));
        let ab = a.broadcast(&b).ok();
        prop_assert_eq!(&ab, &b.broadcast(&a).ok());
        prop_assert_eq!(a.broadcast(&a).ok(), Some(a.clone()));
        let left = ab.clone().and_then(|ab| ab.broadcast(&c).ok());
        let right = b.broadcast(&c).ok().and_then(|bc| a.broadcast(&bc).ok());
        prop_assert_eq!(left, right);
        if let Some(ab) = ab {
            prop_assert!(a.broadcasts_to(&ab) && b.broadcasts_to(&ab));
        }
    }

    #[test]
    fn stretching_is_broadcasting_that_changes_nothing(a in extents(), b in extents()) {
        let (a, b) = (shape(&a), shape(&b));
        prop_assert_eq!(a.broadcasts_to(&b), a.broadcast(&b).is_ok_and(|s| s == b));
    }
}
