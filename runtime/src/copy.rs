//! Copies strided elements, without looking at what they are.
#![allow(unsafe_code)]

use smallvec::SmallVec;

/// One dimension of a copy: how many steps, and how far each goes in the source and the destination, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Dim {
    extent: usize,
    src: isize,
    dst: isize,
}

/// Rows and columns of a tile of a transposing copy: the cache lines of one tile fit the first level.
const TILE: usize = 32;

/// Copies `shape` elements of `size` bytes (1, 2, 4 or 8) from `src` to `dst`; strides are in bytes.
///
/// # Safety
/// Every element must lie in memory valid for reads at `src` and for writes at `dst`, and be aligned to `size` at
/// both; what is written must not overlap what is read, and each element of `dst` must have a place of its own.
pub(crate) unsafe fn strided(
    size: usize,
    shape: &[usize],
    src: *const u8,
    src_strides: &[isize],
    dst: *mut u8,
    dst_strides: &[isize],
) {
    if shape.contains(&0) {
        return;
    }
    let dims = collapse(shape, src_strides, dst_strides);
    // SAFETY: the contract is handed on; collapsing changes the walk, not the set of elements.
    unsafe {
        match size {
            1 => walk::<u8>(&dims, src, dst),
            2 => walk::<u16>(&dims, src, dst),
            4 => walk::<u32>(&dims, src, dst),
            8 => walk::<u64>(&dims, src, dst),
            _ => unreachable!("elements have 1, 2, 4 or 8 bytes"),
        }
    }
}

/// The same walk with as few dimensions as it takes; extents of 1 go, neighbours that continue each other merge.
fn collapse(shape: &[usize], src: &[isize], dst: &[isize]) -> SmallVec<[Dim; 4]> {
    let mut dims: SmallVec<[Dim; 4]> = SmallVec::new();
    for ((&extent, &src), &dst) in shape.iter().zip(src).zip(dst) {
        if extent == 1 {
            continue;
        }
        match dims.last_mut() {
            Some(outer) if outer.src == src * extent as isize && outer.dst == dst * extent as isize => {
                *outer = Dim { extent: outer.extent * extent, src, dst };
            }
            _ => dims.push(Dim { extent, src, dst }),
        }
    }
    dims
}

/// # Safety
/// As [`strided`]; `T` has the size of the elements.
unsafe fn walk<T: Copy>(dims: &[Dim], src: *const u8, dst: *mut u8) {
    let size = size_of::<T>() as isize;
    // SAFETY: all addresses are those of elements, which the contract of `strided` covers.
    unsafe {
        match *dims {
            [] => *dst.cast::<T>() = *src.cast::<T>(),
            [Dim { extent, src: s, dst: d }] => {
                if s == size && d == size {
                    std::ptr::copy_nonoverlapping(src.cast::<T>(), dst.cast::<T>(), extent);
                } else {
                    for i in 0..extent as isize {
                        *dst.offset(i * d).cast::<T>() = *src.offset(i * s).cast::<T>();
                    }
                }
            }
            [rows, cols] if rows.src.abs() < cols.src.abs() => {
                // A transpose: walking by rows would touch a cache line of the source for each element.
                for i0 in (0..rows.extent).step_by(TILE) {
                    for j0 in (0..cols.extent).step_by(TILE) {
                        for i in i0..rows.extent.min(i0 + TILE) {
                            for j in j0..cols.extent.min(j0 + TILE) {
                                let (i, j) = (i as isize, j as isize);
                                *dst.offset(i * rows.dst + j * cols.dst).cast::<T>() =
                                    *src.offset(i * rows.src + j * cols.src).cast::<T>();
                            }
                        }
                    }
                }
            }
            [outer, ref inner @ ..] => {
                for i in 0..outer.extent as isize {
                    walk::<T>(inner, src.offset(i * outer.src), dst.offset(i * outer.dst));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_collapse() {
        assert!(collapse(&[1, 1], &[8, 8], &[8, 8]).is_empty());
        let whole = collapse(&[2, 3, 4], &[96, 32, 8], &[96, 32, 8]);
        assert_eq!(&whole[..], [Dim { extent: 24, src: 8, dst: 8 }]);
        let slice = collapse(&[2, 3, 4], &[192, 32, 8], &[96, 32, 8]);
        assert_eq!(&slice[..], [Dim { extent: 2, src: 192, dst: 96 }, Dim { extent: 12, src: 8, dst: 8 }]);
    }

    #[test]
    fn transposes_in_tiles() {
        let (rows, cols) = (TILE + 3, 2 * TILE + 1);
        let src: Vec<u16> = (0..(rows * cols) as u16).collect();
        let mut dst = vec![0u16; rows * cols];
        // SAFETY: both vectors have rows * cols elements, walked row by row and column by column.
        unsafe {
            strided(
                2,
                &[cols, rows],
                src.as_ptr().cast(),
                &[2, 2 * cols as isize],
                dst.as_mut_ptr().cast(),
                &[2 * rows as isize, 2],
            );
        }
        for i in 0..rows {
            for j in 0..cols {
                assert_eq!(dst[j * rows + i], src[i * cols + j]);
            }
        }
    }
}
