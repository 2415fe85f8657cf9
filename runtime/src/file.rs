//! What reading and writing of files share: their errors, and how bytes come in.
#![allow(unsafe_code)]

use crate::buffer::Buffer;
use crate::error::{AllocError, TensorError};
use lazuli_graph::{DType, ShapeError};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file that cannot be read or written, with its name, and that of the entry where it is an archive.
#[derive(Debug)]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// The entry of an archive.
    pub entry: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(entry) = &self.entry {
            write!(f, ", entry '{entry}'")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The system does not read or write it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The first bytes are not those of the format.
    #[error("not {0}: the first bytes are not those of that format")]
    Magic(&'static str),
    /// A version of the `.npy` format that is not known.
    #[error(".npy version {0}.{1} is not known; 1.0, 2.0 and 3.0 are")]
    Version(u8, u8),
    /// The header is not what the format asks for.
    #[error("malformed .npy header: {0}")]
    Header(String),
    /// Elements of a type there is no dtype for.
    #[error("dtype {descr} cannot be read: {why}")]
    Descr {
        /// The dtype as the file has it.
        descr: String,
        /// What it is.
        why: &'static str,
    },
    /// A dtype the format has no name for.
    #[error("{format} has no {dtype}: {hint}")]
    DType {
        /// The format.
        format: &'static str,
        /// The dtype.
        dtype: DType,
        /// What to do.
        hint: &'static str,
    },
    /// Fewer bytes than the header says.
    #[error("truncated: the header says {need} bytes, there are {have}")]
    Truncated {
        /// Bytes that the header asks for, itself included.
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// More bytes in an entry than the header says.
    #[error("{0} bytes follow the array")]
    Trailing(u64),
    /// The archive is damaged, or of a kind that is not read.
    #[error("{0}")]
    Archive(String),
    /// An entry that is not there.
    #[error("no such array; there are: {}", list(.0))]
    NoEntry(Vec<String>),
    /// Two arrays of one name.
    #[error("two arrays have this name")]
    Duplicate,
    /// A shape that is no picture.
    #[error("{0}")]
    Picture(String),
    /// Extents that are no shape.
    #[error(transparent)]
    Shape(Box<ShapeError>),
    /// No memory.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// The tensor cannot be read.
    #[error(transparent)]
    Tensor(Box<TensorError>),
}

impl From<ShapeError> for Problem {
    fn from(e: ShapeError) -> Problem {
        Problem::Shape(Box::new(e))
    }
}

impl From<TensorError> for Problem {
    fn from(e: TensorError) -> Problem {
        Problem::Tensor(Box::new(e))
    }
}

/// A list for a message: not longer than a reader's patience.
fn list(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut text = names.iter().take(MOST).map(|n| n.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(&format!(", … ({} in all)", names.len()));
    }
    if names.is_empty() { "none".to_owned() } else { text }
}

impl Problem {
    /// The error of the file at `path`.
    pub(crate) fn at(self, path: &Path) -> FormatError {
        FormatError { path: path.to_owned(), entry: None, problem: self }
    }
}

/// Files below this are read rather than mapped: a mapping costs more than the copy.
const MAP_FROM: u64 = 64 << 10;

/// The bytes of a file: mapped where that pays and can be done, otherwise read.
///
/// What is mapped must not change while it is used. That nobody can promise of a file, and every program that maps its
/// inputs trusts that nobody writes them in place; the readers of this crate say so. Outputs of this crate replace files
/// and never write into them.
pub(crate) fn load(path: &Path) -> Result<Buffer, Problem> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.len() >= MAP_FROM {
        // SAFETY: see above.
        if let Ok(buffer) = unsafe { Buffer::map_file(&file) } {
            return Ok(buffer);
        }
    }
    let mut bytes = Vec::new();
    if meta.is_file() {
        let len = usize::try_from(meta.len()).map_err(|_| AllocError { bytes: usize::MAX })?;
        bytes.try_reserve_exact(len).map_err(|_| AllocError { bytes: len })?;
    }
    file.read_to_end(&mut bytes)?;
    // To a pooled buffer, so that elements are aligned.
    Buffer::build(bytes.len(), |b| {
        b.copy_from_slice(&bytes);
        Ok(())
    })
}

/// The bytes of a buffer that [`load`] made.
#[derive(Clone)]
pub(crate) struct Bytes(pub(crate) Buffer);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the buffer has this length, its bytes are initialised, and those of `load` are only read.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}
