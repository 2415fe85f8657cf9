//! Loops and accesses that suit a kernel, whatever its memory.

use crate::code::HELD_ROWS;
use crate::kernel::{Class, Kernel, Operand, Role, Slab};
use crate::target::Target;
use smallvec::SmallVec;
use std::sync::LazyLock;

/// The bytes of a cache line.
pub const LINE: usize = 64;
/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 64;
/// Columns of a tile.
pub(super) const TILE_COLUMNS: usize = 128;
/// Columns of a tile if neighbours in a row are so many bytes apart that their lines share a few sets of the caches.
pub(super) const TILE_CONFLICTS: usize = 32;
/// Bytes of rows that are computed a few columns after others, and of all rows where that pays: of few it does not, nor from memory.
const HELD_BYTES: usize = 16 << 10;
const HELD_ALL: std::ops::Range<usize> = 128 << 10..4 << 20;
/// Bytes of a row, of which what is asked for behind its end is little.
const LONG_ROW: isize = 256 << 10;
/// Inputs that read the same memory from which on many vectors begin in one line and end in the next, and bytes of a row, of which
/// those of its end are then few.
const NEIGHBOURS: usize = 3;
const WHOLE_LINES: usize = 256;
/// Columns from which on rows are long: their lines do not fit the first cache.
const LONG: usize = 512;

/// Strides or indices, one a dimension of the iteration space.
pub type Strides = SmallVec<[isize; 4]>;

/// Where the elements of an operand are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// In memory that each call gives.
    Memory,
    /// In the scratch memory given to [`Launch::fill`]: outputs only.
    Scratch,
    /// Nowhere: an index operand, whose offset and strides count, not bytes.
    Index,
}

/// In how many streams inputs come from memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Streams {
    /// None: no contiguous input has rows that differ, and on Intel's CPUs, that follow one another.
    None,
    /// One.
    One,
    /// One, beside inputs of which all rows are the same and short; on Zen 4.
    Beside,
    /// The same, where they are long.
    Rows,
    /// Several inputs read the same memory: most of it is in the caches, and the CPU is late to see what is not.
    Same,
    /// So many do that most of their vectors of 512 bits begin in one line and end in the next.
    Stencil,
    /// More: but on Zen 4, the CPU then has enough to fetch by itself.
    Several,
}

impl Streams {
    /// How many of these there are.
    pub(crate) const COUNT: usize = Streams::Several as usize + 1;
}

/// How an operand is accessed, whatever its memory.
#[derive(Clone, Debug)]
pub struct Accessed {
    /// Where its elements are.
    pub home: Home,
    /// The bytes from where its memory starts ([`Memory`]) to the element at index zero (of an index operand: its
    /// first value).
    pub offset: isize,
    /// The distance between neighbours along each dimension, in bytes.
    pub strides: Strides,
}

/// Why a kernel cannot be bound: always a bug of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// Counts that differ.
    #[error("kernel has {expected} operands, {given} were bound")]
    Count {
        /// Of the kernel.
        expected: usize,
        /// Bound.
        given: usize,
    },
    /// An iteration space with more elements than memory could hold.
    #[error("the iteration space is too large")]
    Extents,
    /// An operand that does not suit its memory.
    #[error("operand {operand}: {what}")]
    Operand {
        /// Its number.
        operand: usize,
        /// What is wrong.
        what: &'static str,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) operand: Operand,
    pub(crate) home: Home,
    pub(crate) offset: isize,
    pub(crate) strides: Strides,
    /// The bytes that all accesses together reach, from where the memory's offsets count: `low..high`.
    pub(crate) low: isize,
    pub(crate) high: isize,
}

/// Loops and accesses that suit a kernel, checked once for any number of calls; see the module's documentation.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(crate) extents: SmallVec<[usize; 4]>,
    pub(super) elements: usize,
    pub(crate) operands: SmallVec<[Bound; 4]>,
    /// A slab without extents and addresses.
    strides: Slab,
    /// The slab of the whole iteration space but for the addresses, where one slab is enough.
    pub(super) whole: Option<Slab>,
    /// The columns of a tile, if the two innermost loops are run in tiles.
    pub(super) tile: Option<usize>,
    /// Which inputs are the same in each row, and how many rows are to be computed a few columns after others, if that may pay.
    pub(super) held: Option<(SmallVec<[bool; 8]>, usize)>,
}

impl Layout {
    /// A layout for kernels of these operands, over an iteration space of `extents` (outermost first; no dimension means
    /// one element).
    ///
    /// # Errors
    /// Accesses that do not fit the operands: count, role, stride class, or an output whose elements coincide.
    pub fn new(
        operands: &[Operand],
        extents: &[usize],
        accesses: impl IntoIterator<Item = Accessed>,
    ) -> Result<Layout, LaunchError> {
        let empty = extents.contains(&0);
        fits(extents)?;
        let mut bound: SmallVec<[Bound; 4]> = SmallVec::new();
        for (i, Accessed { home, offset, strides }) in accesses.into_iter().enumerate() {
            let fail = |what| LaunchError::Operand { operand: i, what };
            let Some(&operand) = operands.get(i) else {
                return Err(LaunchError::Count { expected: operands.len(), given: i + 1 });
            };
            let size = operand.dtype.size();
            suits(&operand, extents, &strides, home == Home::Scratch).map_err(fail)?;
            let (mut low, mut high) = (0, 0);
            match (home, operand.role) {
                (Home::Memory, Role::Input | Role::Output) => {
                    (low, high) =
                        reach(size, extents, offset, &strides).ok_or(fail("reaches further than addresses do"))?;
                    if operand.role == Role::Output && !empty && !injective(size, extents, &strides) {
                        return Err(fail("elements of an output coincide"));
                    }
                }
                (Home::Scratch, Role::Output) if operand.class != Class::Contiguous => {
                    return Err(fail("scratch is contiguous"));
                }
                (Home::Scratch, Role::Output) | (Home::Index, Role::Index) => {}
                _ => return Err(fail("memory does not suit the operand's role")),
            }
            bound.push(Bound { operand, home, offset, strides, low, high });
        }
        if bound.len() != operands.len() {
            return Err(LaunchError::Count { expected: operands.len(), given: bound.len() });
        }
        let mut layout = Layout::of(extents, bound);
        layout.tile = layout.tile_columns();
        layout.held = layout.held_inputs();
        if layout.extents.len() <= 2 && layout.tile.is_none() && layout.operands.iter().all(|o| o.home != Home::Scratch)
        {
            layout.whole = Some(layout.slab(layout.row(), layout.extents.iter().rev().nth(1).copied().unwrap_or(1)));
        }
        Ok(layout)
    }

    /// A layout of operands that have been checked.
    pub(crate) fn of(extents: &[usize], operands: SmallVec<[Bound; 4]>) -> Layout {
        let mut strides = Slab::new(operands.len());
        for (i, o) in operands.iter().enumerate() {
            let size = o.operand.dtype.size() as isize;
            let (s0, s1) = match *o.strides.as_slice() {
                _ if o.home == Home::Scratch => (size, 0),
                [] => (size, 0),
                [s0] => (s0, 0),
                [.., s1, s0] => (s0, s1),
            };
            strides.set_operand(i, 0, s0, s1);
        }
        Layout {
            extents: SmallVec::from_slice(extents),
            elements: extents.iter().product(),
            operands,
            strides,
            whole: None,
            tile: None,
            held: None,
        }
    }

    /// Whether two loops of so many rows and columns are long enough to be run in tiles.
    pub fn tiles_pay(rows: usize, columns: usize) -> bool {
        rows >= TILE_ROWS && columns >= LONG
    }

    /// Whether steps of `along` bytes along a row and `across` from row to row touch a line for each element, of which the
    /// next rows want what lies beside it.
    pub fn crosses(along: isize, across: isize) -> bool {
        along.unsigned_abs() >= LINE && (1..LINE).contains(&across.unsigned_abs())
    }

    /// Rows and columns of the tiles that the two innermost loops are run in, if they are: where an input is transposed, and
    /// the lines that a row touches would be gone before the next row wants them.
    pub fn tile(&self) -> Option<[usize; 2]> {
        Some([TILE_ROWS, self.tile?])
    }

    fn tile_columns(&self) -> Option<usize> {
        let [.., rows, columns] = *self.extents.as_slice() else { return None };
        if !Layout::tiles_pay(rows, columns) || self.operands.iter().any(|o| o.home == Home::Scratch) {
            return None;
        }
        let crossing = self.operands.iter().filter_map(|o| match *o.strides.as_slice() {
            [.., s1, s0] if o.operand.role == Role::Input && Layout::crosses(s0, s1) => Some(s0),
            _ => None,
        });
        crossing.map(|s0| if s0 % 4096 == 0 { TILE_CONFLICTS } else { TILE_COLUMNS }).min()
    }

    fn held_inputs(&self) -> Option<(SmallVec<[bool; 8]>, usize)> {
        let [.., rows, columns] = *self.extents.as_slice() else { return None };
        let memory = |o: &Bound| o.home == Home::Memory && o.operand.class == Class::Contiguous;
        let stays = |o: &Bound| o.operand.role == Role::Input && o.strides[self.extents.len() - 2] == 0;
        let size = self.operands.iter().map(|o| o.operand.dtype.size()).max()?;
        if !HELD_ALL.contains(&(self.elements * size)) || !self.operands.iter().all(memory) {
            return None;
        }
        let held = (HELD_BYTES / (columns * size)).min(rows);
        let fixed: SmallVec<[bool; 8]> = self.operands.iter().map(stays).collect();
        // Others lie one behind the other: far apart, they would drive each other out of the cache.
        let close = self.operands.iter().all(|o| stays(o) || self.goes_on(o));
        (held >= HELD_ROWS && close && fixed.contains(&true)).then_some((fixed, held))
    }

    /// The number of elements of the iteration space.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// Whether two operands, the second of which begins `apart` bytes behind the first, read the same elements.
    pub(super) fn share(&self, o: &Bound, other: &Bound, apart: i64) -> bool {
        let row = (self.row() * o.operand.dtype.size()) as i64;
        let reach = (o.high - o.low) as i64;
        if o.strides != other.strides || apart.abs() >= reach {
            return false;
        }
        // From the nearest row of the other.
        let pitch = o.strides.iter().rev().nth(1).map_or(0, |s| s.unsigned_abs() as i64);
        let within = if pitch == 0 { apart.abs() } else { apart.rem_euclid(pitch) };
        within < row || pitch - within < row && pitch > 0
    }

    /// The target of the code that is the fastest for a kernel in this layout, of which `memories` number what operands are in. On
    /// Zen 4 it is one with vectors of 256 bits where a short program reads the same memory at several places: of 512 bits, most
    /// begin in one line and end in the next.
    pub fn target(&self, kernel: &Kernel, memories: &[Option<u32>], target: &'static Target) -> &'static Target {
        let narrow = || {
            let row = self.row() * kernel.operands.iter().map(|o| o.dtype.size()).max().unwrap_or(0);
            row >= WHOLE_LINES && self.neighbours(memories) >= NEIGHBOURS && target.is_narrower_faster(kernel)
        };
        static NARROW: LazyLock<Option<Target>> = LazyLock::new(|| Target::by_name("x86-64-v3").ok());
        if narrow() { NARROW.as_ref().unwrap_or(target) } else { target }
    }

    /// The most contiguous inputs that read the same memory.
    fn neighbours(&self, memories: &[Option<u32>]) -> usize {
        let dense = |(o, m): &(&Bound, &Option<u32>)| {
            (o.operand.role, o.operand.class) == (Role::Input, Class::Contiguous) && m.is_some() && self.moves(o)
        };
        let all = || self.operands.iter().zip(memories).filter(dense);
        let shared = |(o, m)| all().filter(|(p, n)| m == *n && self.share(o, p, (p.low - o.low) as i64)).count();
        all().map(shared).max().unwrap_or_default()
    }

    /// Whether rows of an operand are not all the same.
    pub(super) fn moves(&self, o: &Bound) -> bool {
        let mut outer = o.strides.iter().zip(&self.extents).rev().skip(1).filter(|(_, n)| **n > 1).peekable();
        outer.peek().is_none() || outer.any(|(stride, _)| *stride != 0)
    }

    /// Whether an operand's rows follow one another in memory, with little between them, or are long.
    pub(super) fn goes_on(&self, o: &Bound) -> bool {
        let mut row = o.operand.dtype.size() as isize;
        self.extents.iter().zip(&o.strides).rev().filter(|(n, _)| **n > 1).all(|(&n, &stride)| {
            let follows = row >= LONG_ROW || (row..=row + row / 8).contains(&stride);
            row = stride.saturating_mul(n as isize);
            follows
        })
    }

    /// Elements of a row of the innermost loop.
    pub(super) fn row(&self) -> usize {
        self.extents.last().copied().unwrap_or(1)
    }

    /// A slab of `rows` rows of `columns` elements along the two innermost loops, without addresses.
    #[inline]
    pub(super) fn slab(&self, columns: usize, rows: usize) -> Slab {
        let mut slab = self.strides.clone();
        slab.set_extents(columns, rows);
        for (i, o) in self.operands.iter().enumerate().filter(|(_, o)| o.home == Home::Scratch) {
            let size = o.operand.dtype.size();
            slab.set_operand(i, 0, size as isize, (columns * size) as isize);
        }
        slab
    }
}

impl Bound {
    /// Whether every access lies in the `len` bytes of a memory whose offsets count from `start`.
    #[inline]
    pub(crate) fn inside(&self, len: usize, start: usize) -> Option<()> {
        let start = isize::try_from(start).ok()?;
        let (low, high) = (start.checked_add(self.low)?, start.checked_add(self.high)?);
        (low >= 0 && high as usize <= len).then_some(())
    }
}

/// An index of the iteration space.
pub(super) struct Position(SmallVec<[usize; 4]>);

impl Position {
    /// How far the element of an operand lies from that at index zero.
    #[inline]
    pub(super) fn offset(&self, o: &Bound) -> isize {
        o.strides.iter().zip(&self.0).map(|(&s, &x)| s * x as isize).sum()
    }
}

impl Layout {
    /// The index of flat position `at`.
    #[inline]
    pub(super) fn position(&self, at: usize) -> Position {
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.extents.len());
        let mut rest = at;
        for (x, &n) in index.iter_mut().zip(&self.extents).rev() {
            // Most positions lie in the first row: no division then.
            if rest < n {
                *x = rest;
                break;
            }
            *x = rest % n.max(1);
            rest /= n.max(1);
        }
        Position(index)
    }
}

/// So that counts of elements, and of bytes of scratch, never overflow.
pub(crate) fn fits(extents: &[usize]) -> Result<(), LaunchError> {
    let bytes = extents.iter().try_fold(8usize, |n, &e| n.checked_mul(e.max(1)));
    if bytes.is_none_or(|n| n > isize::MAX as usize) { Err(LaunchError::Extents) } else { Ok(()) }
}

/// What is wrong with these strides for the operand, if anything.
pub(crate) fn suits(
    operand: &Operand,
    extents: &[usize],
    strides: &[isize],
    scratch: bool,
) -> Result<(), &'static str> {
    if strides.len() != extents.len() {
        return Err("wrong number of strides");
    }
    let size = operand.dtype.size() as isize;
    let inner = strides.last().copied().unwrap_or(size);
    let unit = extents.last().is_none_or(|&n| n <= 1);
    let suits = match operand.class {
        Class::Contiguous => inner == size || unit,
        Class::Broadcast => inner == 0 || unit,
        Class::Strided => true,
    };
    if suits || scratch { Ok(()) } else { Err("stride does not suit the kernel's class") }
}

/// The bytes that all accesses together reach: from the first of the lowest element to the end of the highest; none if
/// there are no elements.
pub(crate) fn reach(size: usize, extents: &[usize], offset: isize, strides: &[isize]) -> Option<(isize, isize)> {
    if extents.contains(&0) {
        return Some((0, 0));
    }
    let (mut low, mut high) = (offset, offset.checked_add(size as isize)?);
    for (&n, &s) in extents.iter().zip(strides) {
        let span = s.checked_mul(isize::try_from(n - 1).ok()?)?;
        if span < 0 { low = low.checked_add(span)? } else { high = high.checked_add(span)? }
    }
    Some((low, high))
}

/// Whether different indices give disjoint elements: each stride spans everything the smaller ones reach.
pub(crate) fn injective(size: usize, extents: &[usize], strides: &[isize]) -> bool {
    let mut dims: SmallVec<[(usize, usize); 4]> =
        extents.iter().zip(strides).filter(|(n, _)| **n > 1).map(|(&n, s)| (s.unsigned_abs(), n)).collect();
    dims.sort_unstable();
    let mut reach = size;
    for (stride, n) in dims {
        if stride < reach {
            return false;
        }
        reach += stride * (n - 1);
    }
    true
}
