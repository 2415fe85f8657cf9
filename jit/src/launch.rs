//! A kernel bound to memory: the one place where addresses are made.
//!
//! Binding goes in two steps, so that a repeated call pays only for what changes:
//!
//! | step | looks at | checks |
//! |---|---|---|
//! | [`Layout::new`], once a plan | loops, offsets, strides, roles | strides suit the kernel; no two elements of an output coincide; how far accesses reach |
//! | [`Layout::bind`], each call | the kernel's operands, the memory | the kernel is of the same operands; every reach lies inside the memory that is given |
//!
//! After that, running it is safe. Work is cut either into [`Part`]s, which write disjoint pieces of the outputs, or
//! into rectangles that are filled into scratch memory ([`Launch::fill`]), which is how reductions and scans read.

#![allow(unsafe_code)]

mod layout;
mod reduce;

use crate::code::{Code, fence};
use crate::kernel::{Class, Role, Slab};
use crate::target::Tuning;
use layout::TILE_ROWS;
pub use layout::{Accessed, Home, LINE, LaunchError, Layout, Strides};
pub(crate) use layout::{Bound, Streams, fits, injective, reach, suits};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of an operand for one call.
#[derive(Debug)]
pub enum Memory<'m> {
    /// An input: the bytes, and where in them offsets count from.
    Read(&'m [u8], usize),
    /// An output; offsets count from its beginning.
    Write(&'m mut [u8]),
    /// An input that is the memory of the output operand with this number, at the same offset and strides:
    /// the kernel works in place.
    InPlace(u32),
    /// None: scratch, or an index.
    Nothing,
}

impl Layout {
    /// Binds memory, one for each operand, and code of a kernel with these operands.
    ///
    /// # Errors
    /// Code of a kernel with other operands, memory that does not suit an operand's role, an access outside the memory.
    #[inline]
    pub fn bind<'m>(
        &'m self,
        code: &'m Code,
        memory: impl IntoIterator<Item = Memory<'m>>,
    ) -> Result<Launch<'m>, LaunchError> {
        let given = &code.kernel().operands;
        if given.len() != self.operands.len() {
            return Err(LaunchError::Count { expected: given.len(), given: self.operands.len() });
        }
        let mut bases: SmallVec<[u64; 8]> = SmallVec::new();
        let mut in_place: SmallVec<[(usize, u32); 2]> = SmallVec::new();
        for (i, ((o, kind), memory)) in self.operands.iter().zip(given).zip(memory).enumerate() {
            let fail = |what| LaunchError::Operand { operand: i, what };
            if *kind != o.operand {
                return Err(fail("is another one in the kernel"));
            }
            bases.push(match (memory, o.home, kind.role) {
                (Memory::Read(bytes, start), Home::Memory, Role::Input) => {
                    o.inside(bytes.len(), start).ok_or(fail("read outside its memory"))?;
                    (bytes.as_ptr() as u64).wrapping_add(start as u64).wrapping_add(o.offset as u64)
                }
                (Memory::Write(bytes), Home::Memory, Role::Output) => {
                    o.inside(bytes.len(), 0).ok_or(fail("write outside its memory"))?;
                    (bytes.as_mut_ptr() as u64).wrapping_add(o.offset as u64)
                }
                (Memory::InPlace(output), Home::Memory, Role::Input) => {
                    in_place.push((i, output));
                    0
                }
                (Memory::Nothing, Home::Scratch, _) => 0,
                (Memory::Nothing, Home::Index, _) => o.offset as u64,
                _ => return Err(fail("memory does not suit the operand's role")),
            });
        }
        if bases.len() != given.len() {
            return Err(LaunchError::Count { expected: given.len(), given: bases.len() });
        }
        for (i, output) in in_place {
            let fail = |what| LaunchError::Operand { operand: i, what };
            let input = &self.operands[i];
            let target = self.operands.get(output as usize).ok_or(fail("works in place of no operand"))?;
            if target.operand.role != Role::Output
                || target.home != Home::Memory
                || (target.offset, &target.strides) != (input.offset, &input.strides)
            {
                return Err(fail("works in place of another layout"));
            }
            if target.operand.dtype.size() != input.operand.dtype.size() {
                return Err(fail("works in place of another element size"));
            }
            bases[i] = bases[output as usize];
        }
        Ok(Launch { code, layout: self, bases, far: None, memory: PhantomData })
    }
}

/// Rows of a part, or so many times a line's worth of short ones, from which on it has whole rows: one more or less is then
/// little.
const ROWS_OF_A_PART: usize = 8;

/// Bytes of an input that is the same for each row, from which on it matters to the first-level cache what is asked for behind it.
const LONG_INPUT: isize = 2048;

/// Inputs that read the same memory from which on they are a stencil.
const CROSSING: usize = 4;

/// A kernel bound to memory, over an iteration space; see the module's documentation.
pub struct Launch<'m> {
    pub(crate) code: &'m Code,
    pub(crate) layout: &'m Layout,
    /// Address or first value of the element at index zero; for scratch, unused.
    pub(crate) bases: SmallVec<[u64; 8]>,
    /// Of what the caches do not hold, whose outputs are written around them or whose rows are reduced: its inputs.
    pub(crate) far: Option<Streams>,
    pub(crate) memory: PhantomData<&'m mut [u8]>,
}

// SAFETY: a launch only holds addresses of memory borrowed for 'm, inputs shared and outputs exclusively; `&self`
// methods write nothing but the scratch memory they are given.
unsafe impl Send for Launch<'_> {}
// SAFETY: as above.
unsafe impl Sync for Launch<'_> {}

impl<'m> Launch<'m> {
    /// The number of elements of the iteration space.
    pub fn elements(&self) -> usize {
        self.layout.elements
    }

    /// Has outputs written around the caches, where the backend can and their rows begin at the same lane of a vector: of
    /// outputs that do not fit the last cache, hardly a line is read before it is written. What works in place is in the cache and stays there.
    pub fn around_caches(&mut self) {
        let operands = || self.layout.operands.iter().zip(&self.bases);
        let mut outputs = operands().filter(|(o, _)| o.operand.role == Role::Output);
        let read = |base: u64| operands().any(|(o, b)| o.operand.role == Role::Input && *b == base);
        let own = outputs.all(|(o, b)| o.home == Home::Memory && o.operand.class == Class::Contiguous && !read(*b));
        self.far = own.then(|| self.streams());
    }

    /// In how many streams contiguous inputs come from memory: one whose rows are all the same does not, nor what is in
    /// scratch memory.
    fn streams(&self) -> Streams {
        let all = || self.layout.operands.iter().zip(&self.bases);
        let comes = |(o, _): &(&Bound, &u64)| {
            let dense = (o.operand.role, o.operand.class) == (Role::Input, Class::Contiguous);
            dense && o.low < o.high && self.layout.moves(o)
        };
        // How many read what each does, itself included.
        let shared = |(o, base): (&Bound, &u64)| {
            let same = |(other, at): &(&Bound, &u64)| self.layout.share(o, other, at.wrapping_sub(*base) as i64);
            all().filter(comes).filter(same).count()
        };
        // What is asked for by its address alone would be what lies between.
        let gaps = || self.layout.tile.is_some() || !all().filter(comes).all(|(o, _)| self.layout.goes_on(o));
        if self.code.tuning() == Tuning::Intel && gaps() {
            return Streams::None;
        }
        match all().filter(comes).map(shared).max().unwrap_or_default() {
            CROSSING.. => Streams::Stencil,
            2.. => Streams::Same,
            _ => match all().filter(comes).count() {
                0 => Streams::None,
                1 if self.code.tuning() == Tuning::Zen4 => match self.stays() {
                    0 => Streams::One,
                    LONG_INPUT.. => Streams::Rows,
                    _ => Streams::Beside,
                },
                1 => Streams::One,
                _ => Streams::Several,
            },
        }
    }

    /// Bytes of the longest contiguous input that is the same for each row.
    fn stays(&self) -> isize {
        let dense = |o: &&Bound| (o.operand.role, o.operand.class) == (Role::Input, Class::Contiguous);
        let staying = self.layout.operands.iter().filter(dense).filter(|o| !self.layout.moves(o));
        staying.map(|o| o.high - o.low).max().unwrap_or_default()
    }

    /// Has inputs asked for ahead of their use, where rows are reduced and the backend can: for inputs that do not fit the
    /// last cache.
    pub fn ahead(&mut self) {
        // Rows that are added ask for themselves, in however many streams.
        self.far = match (self.code.folds(), self.code.accumulates()) {
            (true, _) => Some(self.streams()),
            (false, true) => Some(Streams::Rows),
            (false, false) => None,
        };
    }

    /// Cuts the work into at most `count` parts with disjoint outputs; `grain` is the least number of elements worth
    /// a part. Parts may run in any order, on any thread.
    ///
    /// # Panics
    /// If an output is scratch.
    pub fn parts(self, count: usize, grain: usize) -> Parts<'m> {
        self.assert_memory();
        let total = self.elements();
        let count = count.min(total / grain.max(1)).max(1);
        // Whole rows or tiles, or whole vectors and cache lines of the narrowest type; but for the last part.
        let row = self.layout.row().max(1);
        // What begins or ends within a row takes calls of its own; of short rows, so many are whole lines.
        let rows = if row < LINE { LINE * row } else { row };
        let unit = match self.layout.tile {
            Some(_) => TILE_ROWS * row,
            None if self.layout.extents.len() > 1 && total / rows >= count * ROWS_OF_A_PART => rows,
            None => LINE,
        };
        let step = total.div_ceil(count).next_multiple_of(unit);
        Parts { launch: self, step, next: AtomicUsize::new(0) }
    }

    /// Runs everything on the caller's thread.
    ///
    /// # Panics
    /// If an output is scratch.
    #[inline]
    pub fn run(&mut self) {
        if self.elements() == 0 {
            return;
        }
        match &self.layout.whole {
            Some(whole) => {
                let mut slab = whole.clone();
                self.bases.iter().enumerate().for_each(|(i, &base)| slab.set_base(i, base));
                // SAFETY: the bounds that `new` and `bind` checked for the whole space; outputs are borrowed exclusively.
                unsafe { self.slab(&slab) };
            }
            None => {
                self.assert_memory();
                // SAFETY: as above.
                unsafe { self.flat(0..self.elements(), &[]) };
            }
        }
        self.written();
    }

    /// Has what was written around the caches seen by whoever is told after this.
    pub(crate) fn written(&self) {
        if self.far.is_some() {
            fence();
        }
    }

    /// # Safety
    /// As for [`Code::run`].
    #[inline]
    unsafe fn slab(&self, slab: &Slab) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.far {
                Some(streams) => self.code.run_around(slab, streams),
                None => match &self.layout.held {
                    Some((fixed, rows)) => self.code.run_held(slab, fixed, *rows),
                    None => self.code.run(slab),
                },
            }
        }
    }

    fn assert_memory(&self) {
        let mut operands = self.layout.operands.iter();
        assert!(operands.all(|o| o.home != Home::Scratch), "a launch into scratch is filled, not cut");
    }

    /// Computes a rectangle of the iteration space into scratch memory, row after row.
    ///
    /// The dimensions before `split`, taken together in C order, number the rows; those from `split` on the columns.
    /// `scratch` holds one buffer for each scratch output, in operand order.
    ///
    /// # Panics
    /// If an output is not scratch, the rectangle lies outside the iteration space, or a scratch buffer is too small.
    pub fn fill(&self, split: usize, rows: Range<usize>, columns: Range<usize>, scratch: &mut [&mut [u8]]) {
        let (outer, inner) = self.layout.extents.split_at(split);
        let width: usize = inner.iter().product();
        let height: usize = outer.iter().product();
        assert!(rows.end <= height && columns.end <= width, "rectangle outside the iteration space");
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let count = rows.len() * columns.len();
        let mut bases: SmallVec<[(usize, u64, isize); 4]> = SmallVec::new();
        let mut buffers = scratch.iter_mut();
        for (i, o) in self.layout.operands.iter().enumerate().filter(|(_, o)| o.operand.role == Role::Output) {
            assert!(o.home == Home::Scratch, "a launch that writes memory is cut into parts, not filled");
            let buffer = buffers.next().expect("a buffer for each scratch output");
            let size = o.operand.dtype.size();
            assert!(buffer.len() >= count * size, "scratch buffer too small");
            bases.push((i, buffer.as_mut_ptr() as u64, size as isize));
        }
        if columns.len() == width {
            // SAFETY: checked above: the range lies inside the space, and the scratch buffers hold its results.
            unsafe { self.flat(rows.start * width..rows.end * width, &bases) };
            return;
        }
        if inner.len() == 1 {
            // Consecutive rows along the last outer dimension are one slab.
            let run = outer.last().copied().unwrap_or(1);
            let mut row = rows.start;
            while row < rows.end {
                let n1 = (run - row % run).min(rows.end - row);
                let done = (row - rows.start) * columns.len();
                // SAFETY: rows `row .. row + n1` and the columns lie inside the space; scratch holds their results.
                unsafe { self.piece(row * width + columns.start, columns.len(), n1, &bases, done) };
                row += n1;
            }
            return;
        }
        for (r, row) in rows.enumerate() {
            let shifted: SmallVec<[(usize, u64, isize); 4]> = bases
                .iter()
                .map(|&(i, base, size)| (i, base + (r * columns.len()) as u64 * size as u64, size))
                .collect();
            // SAFETY: as above, one row at a time.
            unsafe { self.flat(row * width + columns.start..row * width + columns.end, &shifted) };
        }
    }

    /// The memory of input `operand` under a rectangle of the iteration space (see [`Launch::fill`]), from its first
    /// element to its last, and how far apart its rows begin, in bytes; `None` if a row does not lie densely, or the rows
    /// not evenly. A launch that writes memory has none.
    pub fn rectangle(
        &self,
        operand: usize,
        split: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Option<(&'m [u8], usize)> {
        let layout = self.layout;
        let o = layout.operands.get(operand)?;
        let (outer, inner) = layout.extents.split_at_checked(split)?;
        let (height, width): (usize, usize) = (outer.iter().product(), inner.iter().product());
        let size = o.operand.dtype.size();
        let reads = (o.operand.role, o.home) == (Role::Input, Home::Memory);
        let writes = layout.operands.iter().any(|o| o.operand.role == Role::Output && o.home != Home::Scratch);
        if !reads || writes || rows.end > height || columns.end > width {
            return None;
        }
        if rows.is_empty() || columns.is_empty() {
            return Some((&[], 0));
        }
        let mut step = size as isize;
        for (&n, &s) in inner.iter().zip(&o.strides[split..]).rev() {
            if n > 1 && s != step {
                return None;
            }
            step *= n as isize;
        }
        let mut pitch = 0;
        if rows.len() > 1 {
            let run = outer.last().copied().unwrap_or(1);
            pitch = usize::try_from(o.strides[split - 1]).ok().filter(|p| p.is_multiple_of(size))?;
            if rows.start % run + rows.len() > run {
                return None;
            }
        }
        let length = (rows.len() - 1) * pitch + columns.len() * size;
        let base = self.address(operand, rows.start * width + columns.start);
        // SAFETY: the first and the last byte belong to elements of the iteration space, so `bind` has checked that they,
        // and what lies between, are inside memory that is borrowed for 'm. That memory is borrowed shared: only an input
        // that works in place is not, and there is no output in memory whose place it could have.
        Some((unsafe { std::slice::from_raw_parts(base as *const u8, length) }, pitch))
    }

    /// The address of the element of an operand at flat position `at`.
    pub(crate) fn address(&self, operand: usize, at: usize) -> u64 {
        let layout = self.layout;
        self.bases[operand].wrapping_add(layout.position(at).offset(&layout.operands[operand]) as u64)
    }

    /// Runs `rows` rows of `columns` elements from flat position `at` on; `scratch` outputs go on after `done` elements.
    ///
    /// # Safety
    /// As [`Launch::flat`]; the rows lie along the last but one dimension.
    #[inline]
    unsafe fn piece(&self, at: usize, columns: usize, rows: usize, scratch: &[(usize, u64, isize)], done: usize) {
        let layout = self.layout;
        let mut slab = layout.slab(columns, rows);
        let position = layout.position(at);
        for (i, o) in layout.operands.iter().enumerate() {
            slab.set_base(i, self.bases[i].wrapping_add(position.offset(o) as u64));
        }
        for &(i, base, size) in scratch {
            slab.set_base(i, base + done as u64 * size as u64);
        }
        // SAFETY: the caller's promise, and the bounds that `new` and `bind` checked for the whole space.
        unsafe { self.slab(&slab) };
    }

    /// Runs the flat range `range` of the iteration space: a piece of a row, whole rows, a piece of a row.
    ///
    /// # Safety
    /// The range lies inside the space; no other call writes the same outputs at the same time; `scratch` gives the
    /// address for each scratch output with room for the range.
    pub(crate) unsafe fn flat(&self, range: Range<usize>, scratch: &[(usize, u64, isize)]) {
        let extents = &self.layout.extents;
        let n0 = self.layout.row();
        if range.end <= n0 {
            // SAFETY: the caller's promise; the range is a piece of the first row.
            unsafe { self.piece(range.start, range.len(), 1, scratch, 0) };
            return;
        }
        let run = if extents.len() >= 2 { extents[extents.len() - 2] } else { 1 };
        let mut at = range.start;
        while at < range.end {
            let (row, column) = (at / n0, at % n0);
            let left = range.end - at;
            let (columns, rows) = if column != 0 || left < n0 {
                (left.min(n0 - column), 1)
            } else {
                (n0, (left / n0).min(run - row % run))
            };
            // SAFETY: the caller's promise; the piece lies inside the range.
            unsafe {
                match self.layout.tile {
                    Some(width) if columns == n0 => self.tiles(at, rows, width),
                    _ => self.piece(at, columns, rows, scratch, at - range.start),
                }
            };
            at += columns * rows;
        }
    }

    /// Runs `rows` whole rows from flat position `at` on, in tiles of `width` columns; outputs are in memory.
    ///
    /// # Safety
    /// As [`Launch::piece`].
    unsafe fn tiles(&self, at: usize, rows: usize, width: usize) {
        let n0 = self.layout.row();
        for row in (0..rows).step_by(TILE_ROWS) {
            for column in (0..n0).step_by(width) {
                let at = at + row * n0 + column;
                // SAFETY: the caller's promise: the tile lies inside these rows.
                unsafe { self.piece(at, width.min(n0 - column), TILE_ROWS.min(rows - row), &[], 0) };
            }
        }
    }
}

/// The pieces of a launch, to be handed out one after another; see [`Launch::parts`].
pub struct Parts<'m> {
    launch: Launch<'m>,
    step: usize,
    next: AtomicUsize,
}

impl Parts<'_> {
    /// The next `n` pieces that nobody has had, as one, or what is left of them. Any number of threads may ask.
    pub fn take(&self, n: usize) -> Option<Part<'_>> {
        let total = self.launch.elements();
        // Only the pieces are shared out here: who joins the threads orders what they read and write. The count never wraps
        // around, so no piece is handed out twice.
        let took = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |k| Some(k.saturating_add(n)));
        let start = took.unwrap_or_else(|k| k).checked_mul(self.step).filter(|&s| s < total)?;
        let end = self.step.saturating_mul(n).saturating_add(start).min(total);
        Some(Part { launch: &self.launch, range: start..end })
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.launch.elements().div_ceil(self.step)
    }
}

/// A piece of a launch; see [`Launch::parts`].
pub struct Part<'l> {
    launch: &'l Launch<'l>,
    range: Range<usize>,
}

impl Part<'_> {
    /// Computes the piece.
    pub fn run(self) {
        // SAFETY: the parts that one `Parts` hands out cover disjoint ranges of an injective output layout, each runs
        // once, and nobody else has the launch.
        unsafe { self.launch.flat(self.range, &[]) };
        self.launch.written();
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no pieces behind it.
    pub fn is_last(&self) -> bool {
        self.range.end == self.launch.elements()
    }
}

#[cfg(test)]
mod tests;
