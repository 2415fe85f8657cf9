//! Moving rows between the arrays of a call and the registers. All of the interpreter's access to foreign memory is
//! here.
#![allow(unsafe_code)]

use bytemuck::Pod;

/// One operand of a call: address (or first value) and byte strides along a row and from row to row.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Access {
    pub(super) base: u64,
    pub(super) s0: isize,
    pub(super) s1: isize,
}

impl Access {
    /// Address (or value) of element `i` of row `j`.
    pub(super) fn at(&self, i: usize, j: usize) -> u64 {
        let offset = (i as isize).wrapping_mul(self.s0).wrapping_add((j as isize).wrapping_mul(self.s1));
        self.base.wrapping_add(offset as u64)
    }
}

/// A rectangle of elements: `rows` rows of `cols`, the first at `at`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub(super) at: u64,
    pub(super) s0: isize,
    pub(super) s1: isize,
    pub(super) cols: usize,
    pub(super) rows: usize,
}

impl Rect {
    /// The same elements as one row, if they are evenly spaced.
    fn flat(self) -> Rect {
        let even = self.rows == 1 || self.s1 == self.s0.wrapping_mul(self.cols as isize);
        if even { Rect { cols: self.cols * self.rows, rows: 1, ..self } } else { self }
    }

    /// Copies the rectangle into `dst`, row after row.
    ///
    /// # Safety
    /// Each element is readable memory of `size_of::<T>()` bytes; `dst` does not overlap it.
    pub(super) unsafe fn load<T: Pod>(self, dst: &mut [T]) {
        let r = self.flat();
        let dst = &mut dst[..r.cols * r.rows];
        let first = std::ptr::with_exposed_provenance::<u8>(r.at as usize);
        let size = size_of::<T>();
        for (j, dst) in dst.chunks_exact_mut(r.cols).enumerate() {
            let row = first.wrapping_offset((j as isize).wrapping_mul(r.s1));
            if r.s0 == size as isize {
                if r.cols >= 16 {
                    // SAFETY: the elements lie side by side and are readable, `dst` has as many; bytes need no
                    // alignment.
                    unsafe { std::ptr::copy_nonoverlapping(row, dst.as_mut_ptr().cast::<u8>(), r.cols * size) };
                } else {
                    for (i, d) in dst.iter_mut().enumerate() {
                        // SAFETY: an element of the rectangle, read without need of alignment; any bits are a `T`.
                        *d = unsafe { row.wrapping_add(i * size).cast::<T>().read_unaligned() };
                    }
                }
            } else if r.s0 == 0 {
                // SAFETY: as above; one element serves the row.
                dst.fill(unsafe { row.cast::<T>().read_unaligned() });
            } else {
                for (i, d) in dst.iter_mut().enumerate() {
                    // SAFETY: as above.
                    *d = unsafe { row.wrapping_offset(i as isize * r.s0).cast::<T>().read_unaligned() };
                }
            }
        }
    }

    /// Copies `src` into the rectangle, row after row; a `src` of one element goes everywhere.
    ///
    /// # Safety
    /// Each element is writable memory of `size_of::<T>()` bytes; `src` does not overlap it.
    pub(super) unsafe fn store<T: Pod>(self, src: &[T]) {
        let r = self.flat();
        let first = std::ptr::with_exposed_provenance_mut::<u8>(r.at as usize);
        let size = size_of::<T>();
        let uniform = src.len() == 1;
        for j in 0..r.rows {
            let row = first.wrapping_offset((j as isize).wrapping_mul(r.s1));
            if uniform {
                for i in 0..r.cols {
                    // SAFETY: an element of the rectangle, written without need of alignment.
                    unsafe { row.wrapping_offset(i as isize * r.s0).cast::<T>().write_unaligned(src[0]) };
                }
                continue;
            }
            let src = &src[j * r.cols..(j + 1) * r.cols];
            if r.s0 == size as isize && r.cols >= 16 {
                // SAFETY: the elements lie side by side and are writable, `src` has as many; bytes need no alignment.
                unsafe { std::ptr::copy_nonoverlapping(src.as_ptr().cast::<u8>(), row, r.cols * size) };
            } else {
                for (i, s) in src.iter().enumerate() {
                    // SAFETY: as above.
                    unsafe { row.wrapping_offset(i as isize * r.s0).cast::<T>().write_unaligned(*s) };
                }
            }
        }
    }

    /// Fills `dst` with the values of an index operand over the rectangle.
    pub(super) fn index(self, dst: &mut [u64]) {
        let r = self.flat();
        for (j, dst) in dst[..r.cols * r.rows].chunks_exact_mut(r.cols).enumerate() {
            let first = r.at.wrapping_add((j as u64).wrapping_mul(r.s1 as u64));
            for (i, d) in dst.iter_mut().enumerate() {
                *d = first.wrapping_add((i as u64).wrapping_mul(r.s0 as u64));
            }
        }
    }
}
