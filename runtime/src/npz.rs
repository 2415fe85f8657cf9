//! `.npz` files: zip archives of `.npy` files, as `numpy.savez` and `numpy.savez_compressed` write them.

use crate::buffer::Buffer;
use crate::file::{Bytes, FormatError, Problem, load};
use crate::npy;
use crate::output::Staged;
use crate::tensor::Tensor;
use std::fmt;
use std::io::{self, Cursor, Seek, Write};
use std::path::{Path, PathBuf};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Deflated data cannot grow more than this when it is inflated: a block of 258 bytes takes at least two bits.
const MOST_INFLATED: u64 = 1032;

/// An open archive.
///
/// ```
/// use lazuli_runtime::{Tensor, npz};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("both.npz");
/// npz::write(&path, &[("a", Tensor::from_vec(&[2], vec![1, 2])?), ("b", Tensor::from_vec(&[1], vec![0.5])?)])?;
/// let npz = npz::open(&path)?;
/// assert_eq!(npz.names(), ["a", "b"]);
/// assert_eq!(npz.read("a")?.as_slice::<i32>()?, [1, 2]);
/// let error = npz.read("c").unwrap_err().to_string();
/// assert!(error.ends_with("entry 'c': no such array; there are: a, b"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Npz {
    path: PathBuf,
    buffer: Buffer,
    archive: ZipArchive<Cursor<Bytes>>,
    names: Vec<String>,
}

impl fmt::Debug for Npz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Npz").field("path", &self.path).field("names", &self.names).finish_non_exhaustive()
    }
}

/// Opens an archive and reads its list of entries.
///
/// Large archives are mapped: they must not be changed or cut while the archive or a tensor of it is in use (to replace
/// them by others of the same name is fine).
///
/// # Errors
/// A file that cannot be read or is no zip archive; two arrays of one name.
pub fn open(path: impl AsRef<Path>) -> Result<Npz, FormatError> {
    let path = path.as_ref();
    let buffer = load(path).map_err(|p| p.at(path))?;
    if !Bytes(buffer.clone()).as_ref().starts_with(b"PK") {
        return Err(Problem::Magic("an .npz file (a zip archive)").at(path));
    }
    let archive = ZipArchive::new(Cursor::new(Bytes(buffer.clone()))).map_err(|e| problem(e).at(path))?;
    let mut names = Vec::with_capacity(archive.len());
    for name in archive.file_names() {
        let name = name.map_err(|e| problem(e).at(path))?;
        names.push(name.strip_suffix(".npy").unwrap_or(&name).to_owned());
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
        return Err(FormatError { entry: Some(twice[0].clone()), ..Problem::Duplicate.at(path) });
    }
    Ok(Npz { path: path.to_owned(), buffer, archive, names })
}

fn problem(e: ZipError) -> Problem {
    match e {
        ZipError::Io(e) => Problem::Io(e),
        e => Problem::Archive(e.to_string()),
    }
}

impl Npz {
    /// The names of the arrays, in the file's order, without `.npy`.
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// Reads an array. Its checksum is always verified. The elements of a stored (not deflated) one in a mapped archive
    /// stay where they are, if they are aligned and in the machine's byte order.
    ///
    /// # Errors
    /// No array of this name; a damaged archive; whatever [`npy::read`] finds; data that follows the array. Of deflated
    /// data, no more is inflated than the array's header says.
    pub fn read(&self, name: &str) -> Result<Tensor, FormatError> {
        self.entry(name).map_err(|p| FormatError { entry: Some(name.to_owned()), ..p.at(&self.path) })
    }

    fn entry(&self, name: &str) -> Result<Tensor, Problem> {
        // A clone shares the list of entries, and has its own position.
        let mut archive = self.archive.clone();
        let index = archive
            .index_for_name(&format!("{name}.npy"))
            .or_else(|| archive.index_for_name(name))
            .ok_or_else(|| Problem::NoEntry(self.names.clone()))?;
        let mut entry = archive.by_index(index).map_err(problem)?;
        let (len, packed) = (entry.size(), entry.compressed_size());
        match entry.compression() {
            CompressionMethod::Stored => {
                let start = entry.data_start().and_then(|s| usize::try_from(s).ok());
                // Reading to the end verifies the checksum.
                let have = io::copy(&mut entry, &mut io::sink())?;
                let bounds = start.zip(usize::try_from(have).ok());
                match bounds.filter(|(s, n)| s.checked_add(*n).is_some_and(|end| end <= self.buffer.len())) {
                    Some((start, n)) if have == len => npy::from_buffer(&self.buffer, start, n, true),
                    _ => Err(Problem::Truncated { need: len, have }),
                }
            }
            _ => {
                let most = packed.saturating_mul(MOST_INFLATED).saturating_add(MOST_INFLATED);
                npy::from_stream(&mut entry, len, most)
            }
        }
    }
}

/// How the arrays of an archive are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are, each at a multiple of 64 bytes, so that they can be mapped.
    #[default]
    Stored,
    /// Deflated.
    Deflated,
}

/// Writes arrays with their names, stored. The file appears whole or not at all.
///
/// # Errors
/// A file that cannot be written; two arrays of one name; `bfloat16`, which `.npy` has no name for.
pub fn write(path: impl AsRef<Path>, arrays: &[(impl AsRef<str>, Tensor)]) -> Result<(), FormatError> {
    let mut staged = Staged::new();
    staged.npz(path, arrays, Compression::Stored)?;
    staged.commit()
}

/// As [`write()`], deflated.
///
/// # Errors
/// As [`write()`].
pub fn write_compressed(path: impl AsRef<Path>, arrays: &[(impl AsRef<str>, Tensor)]) -> Result<(), FormatError> {
    let mut staged = Staged::new();
    staged.npz(path, arrays, Compression::Deflated)?;
    staged.commit()
}

/// Writes an archive. The error has the entry it is about.
pub(crate) fn write_to<S: AsRef<str>>(
    out: impl Write + Seek,
    arrays: &[(S, Tensor)],
    compression: Compression,
) -> Result<(), (Option<String>, Problem)> {
    let mut zip = ZipWriter::new(out);
    for (i, (name, tensor)) in arrays.iter().enumerate() {
        let name = name.as_ref();
        let fail = |p: Problem| (Some(name.to_owned()), p);
        if arrays[..i].iter().any(|(n, _)| n.as_ref() == name) {
            return Err(fail(Problem::Duplicate));
        }
        // Sizes from 4 GiB on need the long form, which must be known before the data is.
        let large = tensor.nbytes() as u64 + (1 << 20) > u64::from(u32::MAX);
        let options = SimpleFileOptions::default().large_file(large);
        let options = match compression {
            Compression::Stored => options.compression_method(CompressionMethod::Stored).with_alignment(64),
            Compression::Deflated => options.compression_method(CompressionMethod::Deflated),
        };
        zip.start_file(format!("{name}.npy"), options).map_err(|e| fail(problem(e)))?;
        npy::write_to(&mut zip, tensor).map_err(fail)?;
    }
    let mut out = zip.finish().map_err(|e| (None, problem(e)))?;
    out.flush().map_err(|e| (None, Problem::Io(e)))
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
