//! Affine views: slices, indices, new axes, transposes, flips and broadcasts in one form.

use crate::shape::{Shape, ShapeError};
use smallvec::SmallVec;
use std::fmt;

/// Where one axis of the source is read: at `start + step * i`, with `i` the view's index along `dim`.
/// Without a `dim` it is always read at `start`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AxisMap {
    /// The axis of the view that drives this axis of the source.
    pub dim: Option<u8>,
    /// The position at index zero.
    pub start: i64,
    /// The distance between neighbours.
    pub step: i64,
}

impl AxisMap {
    /// The source axis follows `dim` element by element.
    pub const fn follow(dim: usize) -> AxisMap {
        AxisMap { dim: Some(dim as u8), start: 0, step: 1 }
    }

    /// The source axis is read at one position.
    pub const fn at(start: i64) -> AxisMap {
        AxisMap { dim: None, start, step: 0 }
    }
}

/// An affine view: the shape it has, and for each axis of its source where that axis is read.
///
/// View axes that no source axis follows are broadcast. Views compose ([`View::then`]) and become strides
/// ([`View::strides`]) without ever moving an element.
///
/// ```
/// use lazuli_graph::{Shape, View};
/// let source = Shape::new(&[2, 3])?;
/// let t = View::transpose(&source, &[1, 0]);
/// assert_eq!(t.shape().to_string(), "[3, 2]");
/// assert_eq!(t.then(&View::transpose(t.shape(), &[1, 0])), View::identity(&source));
/// # Ok::<(), lazuli_graph::ShapeError>(())
/// ```
#[derive(PartialEq, Eq, Hash)]
pub struct View {
    shape: Shape,
    axes: SmallVec<[AxisMap; 4]>,
}

impl Clone for View {
    #[inline]
    fn clone(&self) -> View {
        // A copy of memory, as for shapes.
        View { shape: self.shape.clone(), axes: SmallVec::from_slice(&self.axes) }
    }
}

/// One entry of an index expression, such as each part of `a[1:-1, None, 0, ...]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Index {
    /// An integer: the axis is dropped. Negative counts from the end.
    At(i64),
    /// `start:stop:step`, Python's meaning; bounds clamp, negative ones count from the end.
    Slice {
        /// First position; the near end when absent.
        start: Option<i64>,
        /// Position to stop before; the far end when absent.
        stop: Option<i64>,
        /// Distance between positions; not zero.
        step: i64,
    },
    /// `None`: a new axis of extent 1.
    NewAxis,
    /// `...`: as many whole axes as are left over.
    Ellipsis,
}

impl Index {
    /// `:`, the whole axis.
    pub const FULL: Index = Index::Slice { start: None, stop: None, step: 1 };
}

/// Why an index expression does not fit an array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// An integer outside the axis.
    #[error("index {index} is out of range for axis {axis} of extent {extent}")]
    OutOfRange {
        /// What was asked for.
        index: i64,
        /// The axis of the source.
        axis: usize,
        /// Its extent.
        extent: usize,
    },
    /// More entries than axes.
    #[error("{given} indices for an array of {rank} axes")]
    TooMany {
        /// How many entries use up an axis.
        given: usize,
        /// How many axes there are.
        rank: usize,
    },
    /// `...` twice.
    #[error("an index may hold '...' only once")]
    TwoEllipses,
    /// A step of zero.
    #[error("a slice's step cannot be zero")]
    ZeroStep,
    /// The result is no shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl View {
    /// The view that is its source.
    pub fn identity(source: &Shape) -> View {
        View { shape: source.clone(), axes: (0..source.rank()).map(AxisMap::follow).collect() }
    }

    /// A view from its parts.
    ///
    /// The caller answers for it that every position lies inside the source ([`View::check`] tells).
    pub fn from_parts(shape: Shape, axes: &[AxisMap]) -> View {
        View { shape, axes: SmallVec::from_slice(axes) }
    }

    /// The source's axes in another order. `order` must be a permutation of the axes.
    pub fn transpose(source: &Shape, order: &[usize]) -> View {
        let mut axes = SmallVec::from_elem(AxisMap::at(0), source.rank());
        let mut extents = SmallVec::<[usize; 4]>::new();
        for (dim, &axis) in order.iter().enumerate() {
            axes[axis] = AxisMap::follow(dim);
            extents.push(source[axis]);
        }
        View { shape: Shape::new(&extents).expect("a permutation of a valid shape is valid"), axes }
    }

    /// The source stretched to `to`.
    ///
    /// # Errors
    /// A source that does not broadcast to `to`.
    pub fn broadcast(source: &Shape, to: &Shape) -> Result<View, ShapeError> {
        if !source.broadcasts_to(to) {
            return Err(ShapeError::BroadcastTo(source.clone(), to.clone()));
        }
        let offset = to.rank() - source.rank();
        let axes = source
            .iter()
            .enumerate()
            .map(|(i, &n)| if n == to[offset + i] { AxisMap::follow(offset + i) } else { AxisMap::at(0) })
            .collect();
        Ok(View { shape: to.clone(), axes })
    }

    /// The source with axes of extent 1 put in, so that they stand at `at` (a set of positions in the result).
    ///
    /// # Errors
    /// Too many axes.
    pub fn expand_dims(source: &Shape, at: crate::Axes) -> Result<View, ShapeError> {
        let rank = source.rank() + at.len();
        let mut extents = SmallVec::<[usize; 4]>::new();
        let mut axes = SmallVec::new();
        for dim in 0..rank {
            if at.contains(dim) {
                extents.push(1);
            } else {
                extents.push(source[axes.len()]);
                axes.push(AxisMap::follow(dim));
            }
        }
        Ok(View { shape: Shape::new(&extents)?, axes })
    }

    /// The source without the axes `gone`, each of which must have extent 1.
    pub fn squeeze(source: &Shape, gone: crate::Axes) -> View {
        let mut dim = 0;
        let axes = (0..source.rank())
            .map(|i| {
                if gone.contains(i) {
                    AxisMap::at(0)
                } else {
                    dim += 1;
                    AxisMap::follow(dim - 1)
                }
            })
            .collect();
        View { shape: source.without(gone), axes }
    }

    /// The source with the axes `flipped` read backwards.
    pub fn flip(source: &Shape, flipped: crate::Axes) -> View {
        let mut view = View::identity(source);
        for i in flipped.iter().filter(|&i| i < source.rank()) {
            view.axes[i] = AxisMap { dim: Some(i as u8), start: source[i].max(1) as i64 - 1, step: -1 };
        }
        view
    }

    /// `source[indices]`.
    ///
    /// # Errors
    /// Positions outside the source, too many indices, a step of zero, two ellipses.
    pub fn index(source: &Shape, indices: &[Index]) -> Result<View, IndexError> {
        let used = indices.iter().filter(|i| matches!(i, Index::At(_) | Index::Slice { .. })).count();
        let ellipses = indices.iter().filter(|i| matches!(i, Index::Ellipsis)).count();
        if ellipses > 1 {
            return Err(IndexError::TwoEllipses);
        }
        if used > source.rank() {
            return Err(IndexError::TooMany { given: used, rank: source.rank() });
        }
        let mut rest = source.rank() - used;
        let mut extents = SmallVec::<[usize; 4]>::new();
        let mut axes = SmallVec::<[AxisMap; 4]>::new();
        for index in indices.iter().chain((ellipses == 0).then_some(&Index::Ellipsis)) {
            let axis = axes.len();
            match *index {
                Index::NewAxis => extents.push(1),
                Index::Ellipsis => {
                    for _ in 0..std::mem::take(&mut rest) {
                        axes.push(AxisMap::follow(extents.len()));
                        extents.push(source[axes.len() - 1]);
                    }
                }
                Index::At(index) => {
                    let n = source[axis] as i64;
                    let at = if index < 0 { index.saturating_add(n) } else { index };
                    if !(0..n).contains(&at) {
                        return Err(IndexError::OutOfRange { index, axis, extent: source[axis] });
                    }
                    axes.push(AxisMap::at(at));
                }
                Index::Slice { start, stop, step } => {
                    let (start, len) = slice(source[axis] as i64, start, stop, step)?;
                    // A step that is never taken could be too large to multiply with.
                    let step = if len > 1 { step } else { 1 };
                    axes.push(AxisMap { dim: Some(extents.len() as u8), start, step });
                    extents.push(len);
                }
            }
        }
        Ok(View { shape: Shape::new(&extents)?, axes })
    }

    /// The view's shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// For each axis of the source, where it is read.
    pub fn axes(&self) -> &[AxisMap] {
        &self.axes
    }

    /// Whether the view of a source of shape `source` is that source.
    pub fn is_identity(&self, source: &Shape) -> bool {
        self.shape == *source
            && self.axes.iter().enumerate().all(|(i, a)| *a == AxisMap::follow(i) || (source[i] == 1 && a.start == 0))
    }

    /// The view that `next`, a view of this view, has of this view's source.
    #[must_use]
    pub fn then(&self, next: &View) -> View {
        let axes = self
            .axes
            .iter()
            .map(|outer| match outer.dim {
                None => *outer,
                Some(dim) => {
                    let inner = next.axes[dim as usize];
                    AxisMap {
                        dim: inner.dim,
                        // Wraps only where no element is, or where the step is never taken.
                        start: outer.start.wrapping_add(outer.step.wrapping_mul(inner.start)),
                        step: outer.step.wrapping_mul(inner.step),
                    }
                }
            })
            .collect();
        View { shape: next.shape.clone(), axes }
    }

    /// Offset and strides of the view, in the unit of `source`, the strides of its source.
    pub fn strides(&self, source: &[isize]) -> (isize, SmallVec<[isize; 4]>) {
        let mut offset = 0isize;
        let mut strides = SmallVec::from_elem(0isize, self.shape.rank());
        if self.shape.elements() == 0 {
            return (0, strides);
        }
        for (a, &s) in self.axes.iter().zip(source) {
            offset += a.start as isize * s;
            if let Some(dim) = a.dim {
                // Wraps only along an axis of extent 1, where the step is never taken.
                let stride = &mut strides[dim as usize];
                *stride = stride.wrapping_add((a.step as isize).wrapping_mul(s));
            }
        }
        (offset, strides)
    }

    /// Whether every position lies inside a source of shape `source`.
    pub fn check(&self, source: &Shape) -> bool {
        self.axes.len() == source.rank()
            && self.axes.iter().all(|a| a.dim.is_none_or(|d| (d as usize) < self.shape.rank()))
            && (self.shape.elements() == 0
                || self.axes.iter().zip(source.iter()).all(|(a, &n)| {
                    let last = a.dim.map_or(0, |d| self.shape[d as usize] as i64 - 1);
                    let range = 0..n as i64;
                    range.contains(&a.start)
                        && last
                            .checked_mul(a.step)
                            .and_then(|x| x.checked_add(a.start))
                            .is_some_and(|x| range.contains(&x))
                }))
    }
}

/// Start and length of `start:stop:step` over an axis of extent `n`: Python's `slice.indices`.
fn slice(n: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> Result<(i64, usize), IndexError> {
    if step == 0 {
        return Err(IndexError::ZeroStep);
    }
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let bound = |x: i64| (if x < 0 { x.saturating_add(n) } else { x }).clamp(low, high);
    let start = start.map_or(if step > 0 { low } else { high }, bound);
    let stop = stop.map_or(if step > 0 { high } else { low }, bound);
    let span = if step > 0 { stop - start } else { start - stop };
    let len = if span <= 0 { 0 } else { (span as u64 - 1) / step.unsigned_abs() + 1 };
    Ok((if len == 0 { 0 } else { start }, len as usize))
}

/// `[d1, d0*2+1, 5] -> [3, 4]`: the positions read in the source, then the view's shape.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, a) in self.axes.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            match a.dim {
                None => write!(f, "{}", a.start)?,
                Some(d) => {
                    write!(f, "d{d}")?;
                    if a.step != 1 {
                        write!(f, "*{}", a.step)?;
                    }
                    if a.start != 0 {
                        write!(f, "{:+}", a.start)?;
                    }
                }
            }
        }
        write!(f, "] -> {}", self.shape)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<i64> for Index {
    fn from(at: i64) -> Index {
        Index::At(at)
    }
}

impl From<std::ops::Range<i64>> for Index {
    fn from(r: std::ops::Range<i64>) -> Index {
        Index::Slice { start: Some(r.start), stop: Some(r.end), step: 1 }
    }
}

impl From<std::ops::RangeFrom<i64>> for Index {
    fn from(r: std::ops::RangeFrom<i64>) -> Index {
        Index::Slice { start: Some(r.start), stop: None, step: 1 }
    }
}

impl From<std::ops::RangeTo<i64>> for Index {
    fn from(r: std::ops::RangeTo<i64>) -> Index {
        Index::Slice { start: None, stop: Some(r.end), step: 1 }
    }
}

impl From<std::ops::RangeFull> for Index {
    fn from(_: std::ops::RangeFull) -> Index {
        Index::FULL
    }
}

impl Index {
    /// The same slice with another step; an integer, a new axis and an ellipsis stay as they are.
    ///
    /// ```
    /// use lazuli_graph::Index;
    /// assert_eq!(Index::from(..).by(-1), Index::Slice { start: None, stop: None, step: -1 });
    /// ```
    #[must_use]
    pub fn by(self, step: i64) -> Index {
        match self {
            Index::Slice { start, stop, .. } => Index::Slice { start, stop, step },
            Index::At(_) | Index::NewAxis | Index::Ellipsis => self,
        }
    }
}
