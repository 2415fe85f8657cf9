//! Views against a model that lists positions one by one.
// The helpers are tests as well.
#![allow(clippy::unwrap_used)]

use lazuli_graph::{Axes, AxisMap, Index, IndexError, Shape, ShapeError, View};
use proptest::prelude::*;

fn shape(extents: &[usize]) -> Shape {
    Shape::new(extents).expect("tests use valid shapes")
}

/// Every index of `shape` in C order.
fn indices(shape: &Shape) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &n| {
        all.iter().flat_map(|head| (0..n).map(move |i| [head.as_slice(), &[i]].concat())).collect()
    })
}

/// The positions in a C-contiguous source that a view reads, in C order of the view, by its definition.
fn positions(view: &View, source: &Shape) -> Vec<i64> {
    let strides = source.contiguous_strides();
    let of = |index: &Vec<usize>| {
        let axis = |a: &AxisMap| a.start + a.dim.map_or(0, |d| a.step * index[d as usize] as i64);
        view.axes().iter().zip(&strides).map(|(a, &s)| axis(a) * s as i64).sum()
    };
    indices(view.shape()).iter().map(of).collect()
}

/// The same by the view's offset and strides.
fn strided(view: &View, source: &Shape) -> Vec<i64> {
    let (offset, strides) = view.strides(&source.contiguous_strides());
    let of = |index: &Vec<usize>| {
        offset as i64 + index.iter().zip(&strides).map(|(&i, &s)| i as i64 * s as i64).sum::<i64>()
    };
    indices(view.shape()).iter().map(of).collect()
}

/// What Python's `list(range(n))[start:stop:step]` holds, walked step by step.
fn slice(n: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<i64> {
    let from_end = |x: i64| if x < 0 { x as i128 + n as i128 } else { x as i128 };
    let mut taken = Vec::new();
    if step > 0 {
        let mut i = start.map_or(0, from_end).max(0);
        while i < stop.map_or(n as i128, from_end).min(n as i128) {
            taken.push(i as i64);
            i += step as i128;
        }
    } else {
        let mut i = start.map_or(n as i128 - 1, from_end).min(n as i128 - 1);
        while i > stop.map_or(-1, from_end).max(-1) {
            taken.push(i as i64);
            i += step as i128;
        }
    }
    taken
}

/// The shape and positions of `source[entries]`, by the model; `None` where an integer is out of range.
fn model(source: &Shape, entries: &[Index]) -> Option<(Vec<usize>, Vec<i64>)> {
    let used = entries.iter().filter(|e| matches!(e, Index::At(_) | Index::Slice { .. })).count();
    let mut entries = entries.to_vec();
    if !entries.contains(&Index::Ellipsis) {
        entries.push(Index::Ellipsis);
    }
    let whole = vec![Index::FULL; source.rank() - used];
    let entries: Vec<Index> =
        entries.into_iter().flat_map(|e| if e == Index::Ellipsis { whole.clone() } else { vec![e] }).collect();
    let strides = source.contiguous_strides();
    let (mut extents, mut all, mut axis) = (Vec::new(), vec![0i64], 0);
    for entry in entries {
        let (n, stride) = (source.get(axis).map_or(0, |&n| n as i64), strides.get(axis).map_or(0, |&s| s as i64));
        let taken = match entry {
            Index::NewAxis => {
                extents.push(1);
                continue;
            }
            Index::At(i) => vec![if i < 0 { i.checked_add(n)? } else { i }],
            Index::Slice { start, stop, step } => {
                let taken = slice(n, start, stop, step);
                extents.push(taken.len());
                taken
            }
            Index::Ellipsis => unreachable!("replaced above"),
        };
        if matches!(entry, Index::At(_)) && !(0..n).contains(&taken[0]) {
            return None;
        }
        all = all.iter().flat_map(|head| taken.iter().map(move |i| head + i * stride)).collect();
        axis += 1;
    }
    Some((extents, all))
}

fn bound() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 8 => (-7i64..8).prop_map(Some), 1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Some)]
}

fn step() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(1i64), 8 => prop_oneof![-4i64..0, 1i64..5], 1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)]]
}

fn entry() -> impl Strategy<Value = Index> {
    prop_oneof![
        2 => (-4i64..4).prop_map(Index::At),
        6 => (bound(), bound(), step()).prop_map(|(start, stop, step)| Index::Slice { start, stop, step }),
        1 => Just(Index::NewAxis),
    ]
}

/// Index entries for an array of `rank` axes, perhaps with an ellipsis.
fn entries(rank: usize) -> impl Strategy<Value = Vec<Index>> {
    (prop::collection::vec(entry(), 0..rank + 3), any::<bool>(), any::<prop::sample::Index>()).prop_map(
        move |(mut entries, ellipsis, at)| {
            let mut left = rank;
            entries.retain(|e| {
                *e == Index::NewAxis || {
                    let fits = left > 0;
                    left = left.saturating_sub(1);
                    fits
                }
            });
            if ellipsis {
                entries.insert(at.index(entries.len() + 1), Index::Ellipsis);
            }
            entries
        },
    )
}

fn source() -> impl Strategy<Value = Shape> {
    prop::collection::vec(0usize..6, 0..4).prop_map(|extents| shape(&extents))
}

fn indexed() -> impl Strategy<Value = (Shape, Vec<Index>)> {
    source().prop_flat_map(|s| (Just(s.clone()), entries(s.rank())))
}

/// A source, and for each axis of the result of `expand_dims` whether it is new.
fn expanded() -> impl Strategy<Value = (Shape, Vec<bool>)> {
    (source(), 0usize..4).prop_flat_map(|(source, new)| {
        let marks = [vec![false; source.rank()], vec![true; new]].concat();
        (Just(source), Just(marks).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn indexing_follows_python((source, entries) in indexed()) {
        match (View::index(&source, &entries), model(&source, &entries)) {
            (Ok(view), Some((extents, expected))) => {
                prop_assert!(view.check(&source), "{view}");
                prop_assert_eq!(&**view.shape(), extents.as_slice());
                prop_assert_eq!(&positions(&view, &source), &expected);
                if !expected.is_empty() {
                    prop_assert_eq!(strided(&view, &source), expected);
                }
            }
            (Err(IndexError::OutOfRange { .. }), None) => {}
            (view, expected) => prop_assert!(false, "{view:?} for {expected:?}"),
        }
    }

    #[test]
    fn views_compose((source, first) in indexed(), extra in prop::collection::vec(entry(), 6), flip in any::<bool>()) {
        let Ok(inner) = View::index(&source, &first) else { return Ok(()) };
        let outer = if flip {
            let order: Vec<usize> = (0..inner.shape().rank()).rev().collect();
            View::transpose(inner.shape(), &order)
        } else {
            let mut left = inner.shape().rank();
            let extra: Vec<Index> = extra.into_iter().filter(|e| *e == Index::NewAxis || { left = left.wrapping_sub(1); left < 32 }).collect();
            match View::index(inner.shape(), &extra) {
                Ok(outer) => outer,
                Err(_) => return Ok(()),
            }
        };
        let both = inner.then(&outer);
        prop_assert!(both.check(&source), "{both}");
        prop_assert_eq!(both.shape(), outer.shape());
        let through = positions(&inner, &source);
        let expected: Vec<i64> = positions(&outer, inner.shape()).iter().map(|&i| through[i as usize]).collect();
        prop_assert_eq!(positions(&both, &source), expected);
    }

    #[test]
    fn identity_composes_to_nothing((source, entries) in indexed()) {
        let Ok(view) = View::index(&source, &entries) else { return Ok(()) };
        prop_assert_eq!(View::identity(&source).then(&view), view.clone());
        prop_assert_eq!(view.then(&View::identity(view.shape())), view.clone());
        let identity: Vec<i64> = (0..source.elements() as i64).collect();
        let same = view.shape() == &source && positions(&view, &source) == identity;
        if source.elements() > 0 {
            prop_assert_eq!(view.is_identity(&source), same, "{}", view);
        }
    }

    #[test]
    fn broadcasts_repeat(source in source(), more in prop::collection::vec(0usize..4, 0..3)) {
        let to: Vec<usize> = more.iter().copied().chain(source.iter().map(|&n| if n == 1 { 3 } else { n })).collect();
        let to = shape(&to);
        let view = View::broadcast(&source, &to).unwrap();
        prop_assert!(view.check(&source));
        let strides = source.contiguous_strides();
        let expected: Vec<i64> = indices(&to).iter().map(|index| {
            let tail = &index[index.len() - source.rank()..];
            tail.iter().zip(source.iter()).zip(&strides).map(|((&i, &n), &s)| if n == 1 { 0 } else { i as i64 * s as i64 }).sum()
        }).collect();
        prop_assert_eq!(positions(&view, &source), expected);
    }

    #[test]
    fn flipping_twice_is_nothing(source in source(), bits in 0u32..8) {
        let axes: Axes = (0..source.rank()).filter(|i| bits >> i & 1 == 1).collect();
        let flip = View::flip(&source, axes);
        prop_assert!(flip.check(&source));
        if source.elements() > 0 {
            prop_assert!(flip.then(&flip).is_identity(&source));
        }
        let mut expected = positions(&View::identity(&source), &source);
        if axes == Axes::all(source.rank()) {
            expected.reverse();
            prop_assert_eq!(positions(&flip, &source), expected);
        }
    }

    #[test]
    fn new_axes_go_away_again((source, new) in expanded()) {
        let at: Axes = new.iter().enumerate().filter(|(_, new)| **new).map(|(i, _)| i).collect();
        let expanded = View::expand_dims(&source, at).unwrap();
        prop_assert!(at.iter().all(|i| expanded.shape()[i] == 1));
        prop_assert_eq!(positions(&expanded, &source), positions(&View::identity(&source), &source));
        let squeezed = View::squeeze(expanded.shape(), at);
        prop_assert!(expanded.then(&squeezed).is_identity(&source));
    }
}

#[test]
fn faults_of_indexing() {
    let s = shape(&[3, 4]);
    let at = Index::At;
    assert_eq!(View::index(&s, &[at(0), at(0), at(0)]), Err(IndexError::TooMany { given: 3, rank: 2 }));
    assert_eq!(View::index(&s, &[at(0), at(4)]), Err(IndexError::OutOfRange { index: 4, axis: 1, extent: 4 }));
    assert_eq!(View::index(&s, &[at(-4)]), Err(IndexError::OutOfRange { index: -4, axis: 0, extent: 3 }));
    assert_eq!(
        View::index(&s, &[Index::Ellipsis, at(i64::MIN)]),
        Err(IndexError::OutOfRange { index: i64::MIN, axis: 1, extent: 4 })
    );
    assert_eq!(View::index(&s, &[Index::Ellipsis, Index::Ellipsis]), Err(IndexError::TwoEllipses));
    assert_eq!(View::index(&s, &[Index::Slice { start: None, stop: None, step: 0 }]), Err(IndexError::ZeroStep));
    let many = [Index::NewAxis; 31];
    assert_eq!(View::index(&s, &many), Err(IndexError::Shape(ShapeError::Rank(33))));
    assert_eq!(View::broadcast(&s, &shape(&[4, 3])), Err(ShapeError::BroadcastTo(shape(&[3, 4]), shape(&[4, 3]))));
    assert!(View::expand_dims(&shape(&[1; 32]), Axes::all(1)).is_err());
}

#[test]
fn empty_views_of_empty_axes() {
    let s = shape(&[0]);
    let view = View::index(&s, &[Index::Slice { start: Some(5), stop: Some(9), step: 2 }]).unwrap();
    assert!(view.check(&s));
    assert_eq!(view.strides(&[1]), (0, [0].into_iter().collect()));
    assert!(View::flip(&s, Axes::all(1)).check(&s));
}

#[test]
fn views_outside_their_source_are_noticed() {
    let s = shape(&[4]);
    let view = |extent: usize, start: i64, step: i64| {
        View::from_parts(shape(&[extent]), &[AxisMap { dim: Some(0), start, step }])
    };
    assert!(view(4, 0, 1).check(&s) && view(4, 3, -1).check(&s) && view(2, 1, 2).check(&s) && view(4, 2, 0).check(&s));
    assert!(
        !view(5, 0, 1).check(&s) && !view(4, 2, -1).check(&s) && !view(1, 4, 0).check(&s) && !view(1, -1, 1).check(&s)
    );
    assert!(!view(3, 1, i64::MAX).check(&s) && !view(3, 1, i64::MIN).check(&s));
    assert!(view(0, 99, 7).check(&s), "no element is read");
    assert!(!View::from_parts(shape(&[4]), &[AxisMap::follow(1)]).check(&s), "no such axis");
    assert!(!View::from_parts(shape(&[4]), &[AxisMap::follow(0), AxisMap::at(0)]).check(&s), "two axes of one");
}

#[test]
fn steps_that_are_never_taken_do_not_overflow() {
    let s = shape(&[4]);
    let far = AxisMap { dim: Some(0), start: 3, step: i64::MAX };
    let one = View::from_parts(shape(&[1]), &[far]);
    assert!(one.check(&s));
    let both = one.then(&View::from_parts(shape(&[1]), &[AxisMap { dim: Some(0), start: 0, step: i64::MIN }]));
    assert!(both.check(&s));
    assert_eq!(both.strides(&[8]).0, 24);
    let empty = View::from_parts(shape(&[0]), &[far]).then(&View::from_parts(shape(&[0]), &[far]));
    assert!(empty.check(&s));
}

#[test]
fn views_print() {
    let s = shape(&[3, 4, 5]);
    let view =
        View::index(&s, &[Index::At(-1), Index::NewAxis, Index::Slice { start: None, stop: None, step: -2 }]).unwrap();
    assert_eq!(view.to_string(), "[2, d1*-2+3, d2] -> [1, 2, 5]");
}
