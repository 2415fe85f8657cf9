//! `.npy` files: one array each, as `numpy.save` writes them.
//!
//! The reader is our own rather than the crate `npyz`: it has to tell where the data lies, so that the file can be mapped;
//! it has to reject whatever it does not understand with the name of the dtype, and bound what a header may claim before
//! any memory is taken. What remains beside that is a dictionary of three keys.

mod header;

use crate::buffer::Buffer;
use crate::file::{Bytes, FormatError, Problem, load};
use crate::output::Staged;
use crate::tensor::{Strides, Tensor};
use header::Header;
use lazuli_graph::{DType, Shape};
use std::io::{self, Read, Write};
use std::path::Path;

/// Reads an array.
///
/// Versions 1 to 3 of the format, C and Fortran order (as strides), either byte order. Large files in the machine's byte
/// order are mapped, not read: they must not be changed or cut while the tensor is in use (to replace them by others of
/// the same name is fine).
///
/// ```
/// use lazuli_runtime::{Tensor, npy};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a.npy");
/// npy::write(&path, &Tensor::from_vec(&[2], vec![1.5f32, 2.5])?)?;
/// assert_eq!(npy::read(&path)?.as_slice::<f32>()?, [1.5, 2.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A file that cannot be read, is malformed, has fewer bytes than its header says, or holds what there is no dtype for:
/// objects, strings, dates, complex numbers, records.
pub fn read(path: impl AsRef<Path>) -> Result<Tensor, FormatError> {
    let path = path.as_ref();
    load(path).and_then(|buffer| from_buffer(&buffer, 0, buffer.len(), false)).map_err(|p| p.at(path))
}

/// The array in `len` bytes of a buffer that [`load`] made. `exact` where nothing may follow it.
pub(crate) fn from_buffer(buffer: &Buffer, start: usize, len: usize, exact: bool) -> Result<Tensor, Problem> {
    let bytes = Bytes(buffer.clone());
    let bytes = &bytes.as_ref()[start..start + len];
    let mut rest = bytes;
    let header = Header::read(&mut rest)?;
    header.check_len(bytes.len() as u64, exact)?;
    let at = bytes.len() - rest.len();
    let data = &rest[..header.data_bytes()];
    let size = header.dtype.size();
    let aligned = (data.as_ptr() as usize).is_multiple_of(size);
    let as_they_are = !header.swap && (header.dtype != DType::Bool || data.iter().all(|&b| b <= 1));
    let (buffer, offset) = if aligned && as_they_are {
        (buffer.clone(), start + at)
    } else {
        let copy = Buffer::build(data.len(), |to| {
            to.copy_from_slice(data);
            header.settle(to);
            Ok::<_, Problem>(())
        })?;
        (copy, 0)
    };
    header.tensor(buffer, offset)
}

/// The array in a stream of `len` bytes, as its archive says. Takes no more memory than the header and `most`, the
/// bytes that the stream can have at most, allow.
pub(crate) fn from_stream(stream: &mut impl Read, len: u64, most: u64) -> Result<Tensor, Problem> {
    let header = Header::read(stream)?;
    header.check_len(len, true)?;
    if header.total() > most {
        return Err(Problem::Truncated { need: header.total(), have: most });
    }
    let buffer = Buffer::build(header.data_bytes(), |to| {
        let have = fill(stream, to)?;
        if have < to.len() {
            let before = header.total() - to.len() as u64;
            return Err(Problem::Truncated { need: header.total(), have: before + have as u64 });
        }
        // Archives check their sums at the very end.
        if fill(stream, &mut [0])? > 0 {
            return Err(Problem::Trailing(1));
        }
        header.settle(to);
        Ok(())
    })?;
    header.tensor(buffer, 0)
}

/// Reads until `to` is full or the stream ends; how many bytes there were.
fn fill(stream: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < to.len() {
        match stream.read(&mut to[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}

impl Header {
    /// Makes the bytes of a file the elements they stand for: in the machine's order, bools 0 or 1.
    fn settle(&self, data: &mut [u8]) {
        if self.swap {
            data.chunks_exact_mut(self.dtype.size()).for_each(<[u8]>::reverse);
        }
        if self.dtype == DType::Bool {
            data.iter_mut().for_each(|b| *b = (*b != 0) as u8);
        }
    }

    fn tensor(self, buffer: Buffer, offset: usize) -> Result<Tensor, Problem> {
        let size = self.dtype.size() as isize;
        let strides: Strides = if self.fortran {
            let mut step = size;
            self.shape
                .iter()
                .map(|&n| {
                    let stride = step;
                    step *= n.max(1) as isize;
                    stride
                })
                .collect()
        } else {
            self.shape.contiguous_strides().into_iter().map(|s| s * size).collect()
        };
        Ok(Tensor::from_parts(buffer, self.dtype, self.shape, &strides, offset)?)
    }
}

/// Writes an array, in C order and the machine's byte order. The file appears whole or not at all.
///
/// # Errors
/// A file that cannot be written; `bfloat16`, which `.npy` has no name for.
pub fn write(path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), FormatError> {
    let mut staged = Staged::new();
    staged.npy(path, tensor)?;
    staged.commit()
}

/// Writes header and elements.
pub(crate) fn write_to(out: &mut (impl Write + ?Sized), tensor: &Tensor) -> Result<(), Problem> {
    out.write_all(&header_bytes(tensor.dtype(), tensor.shape())?)?;
    let whole = tensor.to_contiguous()?;
    out.write_all(whole.as_bytes()?)?;
    Ok(())
}

/// The header of version 1.0, filled up to a multiple of 64 bytes.
fn header_bytes(dtype: DType, shape: &Shape) -> Result<Vec<u8>, Problem> {
    let kind = match dtype {
        DType::Bool => "b",
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => "i",
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => "u",
        DType::F16 | DType::F32 | DType::F64 => "f",
        DType::BF16 => {
            return Err(Problem::DType { format: ".npy", dtype, hint: "convert it with astype(float32)" });
        }
    };
    let order = match (dtype.size(), cfg!(target_endian = "little")) {
        (1, _) => '|',
        (_, true) => '<',
        (_, false) => '>',
    };
    let extents: String = shape.iter().map(|n| format!("{n}, ")).collect();
    // A tuple of one has its comma, others have none at the end.
    let extents = if shape.rank() == 1 { extents.trim_end() } else { extents.trim_end_matches(", ") };
    // NumPy leaves room for the first extent to grow, so that a file can be appended to in place.
    let room = shape.first().map_or(0, |n| 21usize.saturating_sub(n.to_string().len()));
    let dict = format!(
        "{{'descr': '{order}{kind}{}', 'fortran_order': False, 'shape': ({extents}), }}{:room$}",
        dtype.size(),
        ""
    );
    let total = (header::PREFIX_V1 + dict.len() + 1).next_multiple_of(64);
    let mut bytes = header::MAGIC.to_vec();
    bytes.extend([1, 0]);
    // At most 32 extents of at most 20 digits.
    bytes.extend(((total - header::PREFIX_V1) as u16).to_le_bytes());
    bytes.extend(dict.bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests;
