//! A kernel bound to memory: the one place where addresses are made.
//!
//! [`Launch::new`] checks that every access of the whole iteration space lies inside the memory it is given; after
//! that, running it is safe. Work is cut either into [`Part`]s, which write disjoint pieces of the outputs, or into
//! rectangles that are filled into scratch memory ([`Launch::fill`]), which is how reductions and scans read.

#![allow(unsafe_code)]

use crate::code::Code;
use crate::kernel::{Class, Operand, Role, Slab};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Strides or indices, one a dimension of the iteration space.
pub type Strides = SmallVec<[isize; 4]>;

/// What an operand of a launch reads or writes.
#[derive(Debug)]
pub enum Memory<'m> {
    /// An input.
    Read(&'m [u8]),
    /// An output.
    Write(&'m mut [u8]),
    /// An input that is the memory of the output operand with this number, at the same offset and strides:
    /// the kernel works in place.
    InPlace(u32),
    /// An output into the scratch memory given to [`Launch::fill`].
    Scratch,
    /// No memory: an index operand; offset and strides of the binding count, not bytes.
    Index,
}

/// An operand of a launch: memory, the byte offset of the first element, and byte strides along each dimension.
#[derive(Debug)]
pub struct Binding<'m> {
    /// What is accessed.
    pub memory: Memory<'m>,
    /// Where the element at index zero lies (of an index operand: its first value).
    pub offset: isize,
    /// The distance between neighbours along each dimension.
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

#[derive(Clone)]
pub(crate) struct Bound {
    /// Address or first value of the element at index zero; for scratch, unused.
    pub(crate) base: u64,
    pub(crate) strides: Strides,
    pub(crate) scratch: bool,
}

/// A kernel bound to memory, over an iteration space; see the module's documentation.
pub struct Launch<'m> {
    pub(crate) code: &'m Code,
    pub(crate) extents: SmallVec<[usize; 4]>,
    pub(crate) operands: SmallVec<[Bound; 8]>,
    pub(crate) memory: PhantomData<&'m mut [u8]>,
}

// SAFETY: a launch only holds addresses of memory borrowed for 'm, inputs shared and outputs exclusively; `&self`
// methods write nothing but the scratch memory they are given.
unsafe impl Send for Launch<'_> {}
// SAFETY: as above.
unsafe impl Sync for Launch<'_> {}

impl<'m> Launch<'m> {
    /// Binds `code` over an iteration space of `extents` (outermost first; no dimension means one element).
    ///
    /// # Errors
    /// Operands that do not fit the kernel: count, role, stride class, an access outside the memory, or an output
    /// whose elements coincide.
    pub fn new(
        code: &'m Code,
        extents: &[usize],
        bindings: impl IntoIterator<Item = Binding<'m>>,
    ) -> Result<Self, LaunchError> {
        let kernel = code.kernel();
        let empty = extents.contains(&0);
        fits(extents)?;
        let mut operands: SmallVec<[Bound; 8]> = SmallVec::new();
        let mut in_place: SmallVec<[(usize, u32); 2]> = SmallVec::new();
        for (i, binding) in bindings.into_iter().enumerate() {
            let fail = |what| LaunchError::Operand { operand: i, what };
            let Some(operand) = kernel.operands.get(i) else {
                return Err(LaunchError::Count { expected: kernel.operands.len(), given: i + 1 });
            };
            let size = operand.dtype.size();
            let scratch = matches!(binding.memory, Memory::Scratch);
            suits(operand, extents, &binding.strides, scratch).map_err(fail)?;
            let base = match (binding.memory, operand.role) {
                (Memory::Read(bytes), Role::Input) => {
                    check(bytes.len(), size, extents, binding.offset, &binding.strides)
                        .ok_or(fail("read outside its memory"))?;
                    (bytes.as_ptr() as u64).wrapping_add(binding.offset as u64)
                }
                (Memory::Write(bytes), Role::Output) => {
                    check(bytes.len(), size, extents, binding.offset, &binding.strides)
                        .ok_or(fail("write outside its memory"))?;
                    if !empty && !injective(size, extents, &binding.strides) {
                        return Err(fail("elements of an output coincide"));
                    }
                    (bytes.as_mut_ptr() as u64).wrapping_add(binding.offset as u64)
                }
                (Memory::InPlace(output), Role::Input) => {
                    in_place.push((i, output));
                    binding.offset as u64
                }
                (Memory::Scratch, Role::Output) => {
                    if operand.class != Class::Contiguous {
                        return Err(fail("scratch is contiguous"));
                    }
                    0
                }
                (Memory::Index, Role::Index) => binding.offset as u64,
                _ => return Err(fail("memory does not suit the operand's role")),
            };
            operands.push(Bound { base, strides: binding.strides, scratch });
        }
        if operands.len() != kernel.operands.len() {
            return Err(LaunchError::Count { expected: kernel.operands.len(), given: operands.len() });
        }
        for (i, output) in in_place {
            let fail = |what| LaunchError::Operand { operand: i, what };
            let target = operands.get(output as usize).ok_or(fail("works in place of no operand"))?.clone();
            let role = kernel.operands[output as usize].role;
            let size = kernel.operands[output as usize].dtype.size();
            if role != Role::Output || target.scratch || target.strides != operands[i].strides {
                return Err(fail("works in place of another layout"));
            }
            if size != kernel.operands[i].dtype.size() {
                return Err(fail("works in place of another element size"));
            }
            operands[i].base = target.base;
        }
        Ok(Launch { code, extents: SmallVec::from_slice(extents), operands, memory: PhantomData })
    }

    /// The number of elements of the iteration space.
    pub fn elements(&self) -> usize {
        self.extents.iter().product()
    }

    /// Cuts the work into at most `count` parts with disjoint outputs; `grain` is the least number of elements worth
    /// a part. Parts may run in any order, on any thread.
    ///
    /// # Panics
    /// If an output is scratch.
    pub fn parts(&mut self, count: usize, grain: usize) -> Vec<Part<'_>> {
        assert!(self.operands.iter().all(|o| !o.scratch), "a launch into scratch is filled, not cut");
        let total = self.elements();
        let count = count.min(total / grain.max(1)).max(1);
        // Whole vectors, and whole cache lines of the narrowest type, but for the last part.
        let step = total.div_ceil(count).next_multiple_of(64);
        (0..count)
            .map(|i| (i * step).min(total)..((i + 1) * step).min(total))
            .filter(|r| !r.is_empty())
            .map(|range| Part { launch: self, range })
            .collect()
    }

    /// Runs everything on the caller's thread.
    pub fn run(&mut self) {
        for part in self.parts(1, 1) {
            part.run();
        }
    }

    /// Computes a rectangle of the iteration space into scratch memory, row after row.
    ///
    /// The dimensions before `split`, taken together in C order, number the rows; those from `split` on the columns.
    /// `scratch` holds one buffer for each scratch output, in operand order.
    ///
    /// # Panics
    /// If an output is not scratch, the rectangle lies outside the iteration space, or a scratch buffer is too small.
    pub fn fill(&self, split: usize, rows: Range<usize>, columns: Range<usize>, scratch: &mut [&mut [u8]]) {
        let (outer, inner) = self.extents.split_at(split);
        let width: usize = inner.iter().product();
        let height: usize = outer.iter().product();
        assert!(rows.end <= height && columns.end <= width, "rectangle outside the iteration space");
        let mut outputs = self.operands.iter().zip(&self.code.kernel().operands);
        assert!(
            outputs.all(|(o, operand)| o.scratch || operand.role != Role::Output),
            "a launch that writes memory is cut into parts, not filled"
        );
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let count = rows.len() * columns.len();
        let mut bases: SmallVec<[(usize, u64, isize); 4]> = SmallVec::new();
        let mut buffers = scratch.iter_mut();
        for (i, _) in self.operands.iter().enumerate().filter(|(_, o)| o.scratch) {
            let buffer = buffers.next().expect("a buffer for each scratch output");
            let size = self.code.kernel().operands[i].dtype.size();
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
                let mut slab = self.slab(row * width + columns.start);
                slab.set_extents(columns.len(), n1);
                self.set_strides(&mut slab, columns.len(), &bases, (row - rows.start) * columns.len());
                // SAFETY: rows `row .. row + n1` and the columns lie inside the space; scratch holds their results.
                unsafe { self.code.run(&slab) };
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

    /// A slab whose operands stand at flat position `at`.
    pub(crate) fn slab(&self, at: usize) -> Slab {
        let mut slab = Slab::new(self.operands.len());
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.extents.len());
        let mut rest = at;
        for (x, &n) in index.iter_mut().zip(&self.extents).rev() {
            *x = rest % n.max(1);
            rest /= n.max(1);
        }
        for (i, o) in self.operands.iter().enumerate() {
            let offset: isize = o.strides.iter().zip(&index).map(|(&s, &x)| s * x as isize).sum();
            slab.set_operand(i, o.base.wrapping_add(offset as u64), 0, 0);
        }
        slab
    }

    /// Sets the two innermost strides of every operand, and the addresses of scratch outputs, `done` elements on.
    pub(crate) fn set_strides(&self, slab: &mut Slab, row: usize, scratch: &[(usize, u64, isize)], done: usize) {
        let rank = self.extents.len();
        for (i, o) in self.operands.iter().enumerate() {
            let size = self.code.kernel().operands[i].dtype.size() as isize;
            let s0 = if rank >= 1 { o.strides[rank - 1] } else { size };
            let s1 = if rank >= 2 { o.strides[rank - 2] } else { 0 };
            slab.set_operand(i, slab.operand(i).0, s0, s1);
        }
        for &(i, base, size) in scratch {
            slab.set_operand(i, base + done as u64 * size as u64, size, row as isize * size);
        }
    }

    /// Runs the flat range `range` of the iteration space: a piece of a row, whole rows, a piece of a row.
    ///
    /// # Safety
    /// The range lies inside the space; no other call writes the same outputs at the same time; `scratch` gives the
    /// address for each scratch output with room for the range.
    pub(crate) unsafe fn flat(&self, range: Range<usize>, scratch: &[(usize, u64, isize)]) {
        let n0 = self.extents.last().copied().unwrap_or(1);
        let run = if self.extents.len() >= 2 { self.extents[self.extents.len() - 2] } else { 1 };
        let mut at = range.start;
        while at < range.end {
            let (row, column) = (at / n0, at % n0);
            let left = range.end - at;
            let (columns, rows) = if column != 0 || left < n0 {
                (left.min(n0 - column), 1)
            } else {
                (n0, (left / n0).min(run - row % run))
            };
            let mut slab = self.slab(at);
            slab.set_extents(columns, rows);
            self.set_strides(&mut slab, columns, scratch, at - range.start);
            // SAFETY: the caller's promise, and the bounds that `new` checked for the whole space.
            unsafe { self.code.run(&slab) };
            at += columns * rows;
        }
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
        // SAFETY: parts of one `parts` call cover disjoint ranges of an injective output layout, each runs once, and
        // the launch is borrowed exclusively while they live.
        unsafe { self.launch.flat(self.range, &[]) };
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.range.len()
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

/// The bytes from `low` to `high` that accesses from `offset` on touch.
pub(crate) fn reach(size: usize, extents: &[usize], offset: isize, strides: &[isize]) -> Option<(isize, isize)> {
    let (mut low, mut high) = (offset, offset.checked_add(size as isize)?);
    for (&n, &s) in extents.iter().zip(strides) {
        let span = s.checked_mul(isize::try_from(n.max(1) - 1).ok()?)?;
        if span < 0 { low = low.checked_add(span)? } else { high = high.checked_add(span)? }
    }
    Some((low, high))
}

/// Whether every access lies in `0..len`.
pub(crate) fn check(len: usize, size: usize, extents: &[usize], offset: isize, strides: &[isize]) -> Option<()> {
    if extents.contains(&0) {
        return Some(());
    }
    let (low, high) = reach(size, extents, offset, strides)?;
    (low >= 0 && high as usize <= len).then_some(())
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
