//! Shapes, broadcasting and axes.

use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// The most axes an array may have.
pub const MAX_RANK: usize = 32;

/// The extents of an array, outermost first. Dereferences to `[usize]`.
///
/// A `Shape` is always valid: at most [`MAX_RANK`] axes, and an element count and byte size (at 8 bytes an element)
/// that fit `isize`, also when axes of extent zero are taken as one.
///
/// ```
/// use lazuli_graph::Shape;
/// let s = Shape::new(&[2, 3])?;
/// assert_eq!(s.elements(), 6);
/// assert_eq!(s.broadcast(&Shape::new(&[4, 1, 3])?)?.to_string(), "[4, 2, 3]");
/// # Ok::<(), lazuli_graph::ShapeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Shape(Extents);

/// Few extents are a value without a tail to follow: shapes are copied and compared with every operation.
#[derive(Clone, PartialEq, Eq)]
enum Extents {
    /// How many, and these; the rest is zero.
    Few(Rank, [usize; FEW]),
    Many(Box<[usize]>),
}

/// The number of few extents, in as many bytes as an extent has: what is copied soon after it was written is read in
/// pieces of that size.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Rank {
    Zero,
    One,
    Two,
    Three,
    Four,
}

/// The most extents that are held in place.
const FEW: usize = 4;

impl Default for Shape {
    fn default() -> Shape {
        Shape::SCALAR
    }
}

impl Extents {
    #[inline]
    fn new(extents: &[usize]) -> Extents {
        match *extents {
            [] => Shape::SCALAR.0,
            [a] => Extents::Few(Rank::One, [a, 0, 0, 0]),
            [a, b] => Extents::Few(Rank::Two, [a, b, 0, 0]),
            [a, b, c] => Extents::Few(Rank::Three, [a, b, c, 0]),
            [a, b, c, d] => Extents::Few(Rank::Four, [a, b, c, d]),
            _ => Extents::Many(extents.into()),
        }
    }
}

impl Deref for Extents {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        match self {
            Extents::Few(rank, few) => &few[..*rank as usize],
            Extents::Many(many) => many,
        }
    }
}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.deref().hash(state);
    }
}

/// Why extents are no shape, or two shapes do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// More than [`MAX_RANK`] axes.
    #[error("{0} axes; an array has at most {MAX_RANK}")]
    Rank(usize),
    /// The number of bytes does not fit an address.
    #[error("shape {0:?} is too large: its size in bytes overflows")]
    Overflow(Vec<usize>),
    /// Extents that are neither equal nor 1.
    #[error("cannot broadcast {0} with {1}")]
    Broadcast(Shape, Shape),
    /// A shape that cannot be stretched to another.
    #[error("cannot broadcast {0} to {1}")]
    BroadcastTo(Shape, Shape),
    /// An axis outside the array.
    #[error("axis {axis} is out of range for an array of {rank} axes")]
    Axis {
        /// What was asked for.
        axis: i64,
        /// The number of axes.
        rank: usize,
    },
    /// The same axis twice.
    #[error("axis {0} is named twice")]
    RepeatedAxis(i64),
    /// A shape with another number of elements.
    #[error("cannot reshape {from} ({} elements) to {to:?}", from.elements())]
    Reshape {
        /// The present shape.
        from: Shape,
        /// What was asked for; -1 stands for "the rest".
        to: Vec<i64>,
    },
}

impl Shape {
    /// The shape of a 0-d array.
    pub(crate) const SCALAR: Shape = Shape(Extents::Few(Rank::Zero, [0; FEW]));

    /// Checks `extents` and makes a shape of them.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] axes, or more bytes than an address can count.
    pub fn new(extents: &[usize]) -> Result<Shape, ShapeError> {
        if extents.len() > MAX_RANK {
            return Err(ShapeError::Rank(extents.len()));
        }
        let mut bytes = 8usize;
        for &n in extents {
            bytes = bytes
                .checked_mul(n.max(1))
                .filter(|&b| b <= isize::MAX as usize)
                .ok_or_else(|| ShapeError::Overflow(extents.to_vec()))?;
        }
        Ok(Shape(Extents::new(extents)))
    }

    /// The shape of a 0-d array.
    pub fn scalar() -> Shape {
        Shape::SCALAR
    }

    /// The number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// Strides in elements of a C-contiguous array of this shape.
    pub fn contiguous_strides(&self) -> SmallVec<[isize; 4]> {
        let mut strides = SmallVec::from_elem(0, self.rank());
        let mut step = 1isize;
        for (s, &n) in strides.iter_mut().zip(self.iter()).rev() {
            *s = step;
            step *= n.max(1) as isize;
        }
        strides
    }

    /// The shape both broadcast to: extents equal or 1, aligned from the right.
    ///
    /// # Errors
    /// Extents that differ and are not 1; a result that is too large.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, ShapeError> {
        if self == other || other.rank() == 0 {
            return Ok(self.clone());
        }
        if self.rank() == 0 {
            return Ok(other.clone());
        }
        let rank = self.rank().max(other.rank());
        let at = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |j| s.0[j]);
        let mut out = SmallVec::<[usize; 4]>::with_capacity(rank);
        for i in 0..rank {
            match (at(self, i), at(other, i)) {
                (a, b) if a == b => out.push(a),
                (1, b) => out.push(b),
                (a, 1) => out.push(a),
                _ => return Err(ShapeError::Broadcast(self.clone(), other.clone())),
            }
        }
        Shape::new(&out)
    }

    /// Whether an array of this shape can be stretched to `to`.
    pub fn broadcasts_to(&self, to: &Shape) -> bool {
        self.rank() <= to.rank() && self.0.iter().rev().zip(to.0.iter().rev()).all(|(&a, &b)| a == b || a == 1)
    }

    /// The axis `axis`, negative ones counted from the end.
    ///
    /// # Errors
    /// An axis outside the array.
    pub fn axis(&self, axis: i64) -> Result<usize, ShapeError> {
        let rank = self.rank();
        let i = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(i).ok().filter(|&i| i < rank).ok_or(ShapeError::Axis { axis, rank })
    }

    /// A set of axes, negative ones counted from the end.
    ///
    /// # Errors
    /// An axis outside the array, or named twice.
    pub fn axes(&self, axes: &[i64]) -> Result<Axes, ShapeError> {
        let mut set = Axes::NONE;
        for &a in axes {
            let i = self.axis(a)?;
            if set.contains(i) {
                return Err(ShapeError::RepeatedAxis(a));
            }
            set.insert(i);
        }
        Ok(set)
    }

    /// The shape left when `axes` are reduced away.
    pub fn without(&self, axes: Axes) -> Shape {
        let left = self.iter().enumerate().filter(|(i, _)| !axes.contains(*i)).map(|(_, &n)| n);
        Shape(Extents::new(&left.collect::<SmallVec<[usize; FEW]>>()))
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of axes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Axes(u32);

impl Axes {
    /// No axis.
    pub const NONE: Axes = Axes(0);

    /// Every axis of an array with `rank` axes.
    pub const fn all(rank: usize) -> Axes {
        Axes(if rank >= 32 { u32::MAX } else { (1 << rank) - 1 })
    }

    /// Whether `axis` is in the set.
    pub const fn contains(self, axis: usize) -> bool {
        axis < 32 && self.0 >> axis & 1 == 1
    }

    /// Puts `axis` into the set.
    pub fn insert(&mut self, axis: usize) {
        debug_assert!(axis < MAX_RANK);
        self.0 |= 1 << axis;
    }

    /// How many axes there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The axes, ascending.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..MAX_RANK).filter(move |&i| self.contains(i))
    }

    /// The set as a bit mask, axis 0 lowest.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromIterator<usize> for Axes {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        let mut set = Axes::NONE;
        iter.into_iter().for_each(|i| set.insert(i));
        set
    }
}

impl fmt::Debug for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
