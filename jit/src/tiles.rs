//! Maps over tiles of two dimensions, whose badly placed operands are first copied side by side.
//!
//! A kernel reads an operand that lies across its loops (a transposed array, a row of three elements that is repeated,
//! a column that is) one element at a time, and for a transposed array from another cache line each time. [`Tiles`]
//! cuts the two innermost dimensions into tiles that fit the first-level cache, *stages* such operands, that is, copies
//! what the tile needs of them into dense scratch memory, and runs the kernel over contiguous memory.

#![allow(unsafe_code)]

use crate::launch::Launch;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What scratch memory is aligned to, and each piece of it.
const ALIGN: usize = 64;
/// A transposed operand is copied in squares: so many cache lines are in use at a time.
const SQUARE: usize = 8;

/// The shape of tiles, and which operands are staged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tiling {
    /// Extent of a tile along the last dimension but one.
    pub rows: usize,
    /// Extent of a tile along the last dimension.
    pub columns: usize,
    /// For each operand, whether it is staged; its class is then contiguous, whatever its strides.
    pub staged: SmallVec<[bool; 8]>,
}

/// A launch over tiles; see the module's documentation.
pub struct Tiles<'m> {
    launch: Launch<'m>,
    rows: usize,
    columns: usize,
    /// Staged operands and their places in scratch memory.
    staged: SmallVec<[(usize, usize); 4]>,
    /// Whether tiles are as wide as the space, and all other operands go on from row to row: then a tile is one row.
    flat: bool,
    scratch: usize,
    next: AtomicUsize,
}

impl<'m> Launch<'m> {
    /// Cuts the launch into tiles, if it has to run in such.
    ///
    /// # Errors
    /// The launch itself, if it need not.
    pub fn tiles(self) -> Result<Tiles<'m>, Launch<'m>> {
        let (Some(tiling), &[.., height, width]) = (&self.layout.tiling, self.layout.extents.as_slice()) else {
            return Err(self);
        };
        let (rows, columns) = (tiling.rows.clamp(1, height.max(1)), tiling.columns.clamp(1, width.max(1)));
        let (mut staged, mut scratch) = (SmallVec::new(), 0usize);
        let mut flat = columns == width;
        for (i, o) in self.layout.operands.iter().enumerate() {
            if tiling.staged.get(i) == Some(&true) {
                staged.push((i, scratch));
                scratch += (rows * columns * o.operand.dtype.size()).next_multiple_of(ALIGN);
            } else if let &[.., s1, s0] = o.strides.as_slice() {
                flat &= s1 == s0 * width as isize;
            }
        }
        Ok(Tiles { launch: self, rows, columns, staged, flat, scratch, next: AtomicUsize::new(0) })
    }
}

impl Tiles<'_> {
    /// Bytes of scratch memory that a part needs.
    pub fn scratch(&self) -> usize {
        self.scratch
    }

    /// How many tiles there are.
    pub fn count(&self) -> usize {
        let extents = &self.launch.layout.extents;
        let (outer, inner) = extents.split_at(extents.len() - 2);
        outer.iter().product::<usize>() * inner[0].div_ceil(self.rows) * inner[1].div_ceil(self.columns)
    }

    /// The next `count` tiles that nobody has had, if there are any. Any number of threads may ask.
    pub fn next(&self, count: usize) -> Option<TilePart<'_>> {
        let total = self.count();
        // Only the tiles are shared out here: who joins the threads orders what they read and write.
        let start = self.next.fetch_add(count.max(1), Ordering::Relaxed);
        (start < total).then(|| TilePart { tiles: self, range: start..(start + count.max(1)).min(total) })
    }
}

/// Tiles that one thread computes; see [`Tiles::next`].
pub struct TilePart<'l> {
    tiles: &'l Tiles<'l>,
    range: Range<usize>,
}

impl TilePart<'_> {
    /// Computes the tiles; `done` is told the elements of each, and stops the run by an error.
    ///
    /// # Errors
    /// What `done` returns.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`Tiles::scratch`] says, or not aligned to 64 bytes.
    pub fn run<E>(self, scratch: &mut [u8], mut done: impl FnMut(usize) -> Result<(), E>) -> Result<(), E> {
        let all = self.tiles;
        let aligned = (scratch.as_ptr() as usize).is_multiple_of(ALIGN);
        assert!(scratch.len() >= all.scratch && (all.scratch == 0 || aligned), "scratch memory does not fit");
        let scratch = scratch.as_mut_ptr() as u64;
        let launch = &all.launch;
        let extents = &launch.layout.extents;
        let (height, width) = (extents[extents.len() - 2], extents[extents.len() - 1]);
        let (down, across) = (height.div_ceil(all.rows), width.div_ceil(all.columns));
        // What is in the scratch of each staged operand: the same source need not be copied again.
        let mut held: SmallVec<[(u64, usize, usize); 4]> = SmallVec::from_elem((0, 0, 0), all.staged.len());
        for tile in self.range {
            let (row, column) = (tile / across % down * all.rows, tile % across * all.columns);
            let (rows, columns) = (all.rows.min(height - row), all.columns.min(width - column));
            let at = (tile / across / down * height + row) * width + column;
            // A tile that goes on from row to row is one row.
            let mut slab = launch.layout.slab(columns, rows);
            if all.flat {
                slab.set_extents(rows * columns, 1);
            }
            (0..launch.bases.len()).for_each(|i| slab.set_base(i, launch.address(i, at)));
            for (&(i, place), held) in all.staged.iter().zip(&mut held) {
                let (base, s0, s1) = slab.operand(i);
                let size = launch.layout.operands[i].operand.dtype.size();
                let to = scratch + place as u64;
                let source = (base, rows, columns);
                // Where rows are all the same, a smaller tile is the beginning of a larger one.
                let again = held.0 == base && held.2 == columns && (held.1 == rows || s1 == 0 && held.1 >= rows);
                if !again {
                    // SAFETY: `Layout::bind` checked that the operand's elements lie in memory that is readable; the
                    // scratch has room for a tile, and is this part's alone.
                    unsafe { stage(size, base, (s1, s0), (rows, columns), to) };
                    *held = source;
                }
                slab.set_operand(i, to, size as isize, (columns * size) as isize);
            }
            // SAFETY: the layout and `bind` checked all accesses of the space, of which the tile is a part; parts have
            // disjoint tiles, whose outputs differ, and each runs once.
            unsafe { launch.code.run(&slab) };
            done(rows * columns)?;
        }
        Ok(())
    }
}

/// Copies a tile of elements of `size` bytes: row stride and column stride, rows and columns.
///
/// # Safety
/// All elements are readable, and `to` has room for them.
unsafe fn stage(size: usize, from: u64, strides: (isize, isize), extents: (usize, usize), to: u64) {
    // SAFETY: the caller's promise; nothing is asked of alignment.
    unsafe {
        match size {
            1 => copy::<u8>(from, strides, extents, to),
            2 => copy::<u16>(from, strides, extents, to),
            4 => copy::<u32>(from, strides, extents, to),
            _ => copy::<u64>(from, strides, extents, to),
        }
    }
}

/// # Safety
/// As for [`stage`].
unsafe fn copy<T: Copy>(from: u64, (s1, s0): (isize, isize), (rows, columns): (usize, usize), to: u64) {
    let to = to as *mut T;
    // SAFETY: the caller's promise; `r` and `c` stay below the extents.
    let read = |r: usize, c: usize| unsafe {
        let at = from.wrapping_add((s1 * r as isize + s0 * c as isize) as u64);
        (at as *const T).read_unaligned()
    };
    // SAFETY: as above.
    let write = |r: usize, c: usize, x: T| unsafe { to.add(r * columns + c).write_unaligned(x) };
    if s0 == 0 {
        for r in 0..rows {
            let x = read(r, 0);
            (0..columns).for_each(|c| write(r, c, x));
        }
    } else if s1.unsigned_abs() < s0.unsigned_abs() && s1 != 0 {
        for left in (0..columns).step_by(SQUARE) {
            for top in (0..rows).step_by(SQUARE) {
                for c in left..(left + SQUARE).min(columns) {
                    for r in top..(top + SQUARE).min(rows) {
                        write(r, c, read(r, c));
                    }
                }
            }
        }
    } else {
        for r in 0..rows {
            (0..columns).for_each(|c| write(r, c, read(r, c)));
        }
    }
}
