//! Outputs that appear whole or not at all.
//!
//! A file is written beside its target under a temporary name, and takes the target's name when it is complete. Several
//! outputs are all written before the first one appears.

use crate::file::{FormatError, Problem};
use crate::npz::Compression;
use crate::tensor::Tensor;
use crate::{npy, npz, png};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Files that are written but not yet in their place. Dropped without [`Staged::commit`], nothing has happened.
///
/// ```
/// use lazuli_runtime::{Tensor, output::Staged};
/// let dir = tempfile::tempdir()?;
/// let (a, b) = (dir.path().join("a.npy"), dir.path().join("b.png"));
/// let picture = Tensor::from_vec(&[2, 2], vec![0u8, 80, 160, 255])?;
/// let mut staged = Staged::new();
/// staged.npy(&a, &picture)?;
/// staged.png(&b, &picture)?;
/// assert!(!a.exists());
/// staged.commit()?;
/// assert!(a.exists() && b.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Staged {
    files: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    temp: NamedTempFile,
    /// Where the file goes; symbolic links are followed.
    target: PathBuf,
    /// The target is a device or a pipe, which is written to and not replaced.
    special: bool,
    /// The name the caller gave.
    path: PathBuf,
}

impl Staged {
    /// No files yet.
    pub fn new() -> Staged {
        Staged::default()
    }

    /// How many files wait.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file waits.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes a `.npy` file.
    ///
    /// # Errors
    /// As [`npy::write`].
    pub fn npy(&mut self, path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), FormatError> {
        self.stage(path.as_ref(), |out| npy::write_to(out, tensor).map_err(|p| (None, p)))
    }

    /// Writes an `.npz` file.
    ///
    /// # Errors
    /// As [`npz::write`].
    pub fn npz(
        &mut self,
        path: impl AsRef<Path>,
        arrays: &[(impl AsRef<str>, Tensor)],
        compression: Compression,
    ) -> Result<(), FormatError> {
        self.stage(path.as_ref(), |out| npz::write_to(out, arrays, compression))
    }

    /// Writes a `.png` file.
    ///
    /// # Errors
    /// As [`png::write`].
    pub fn png(&mut self, path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), FormatError> {
        self.stage(path.as_ref(), |out| png::write_to(out, tensor).map_err(|p| (None, p)))
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn bytes(&mut self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FormatError> {
        self.stage(path.as_ref(), |out| out.write_all(bytes).map_err(|e| (None, Problem::Io(e))))
    }

    fn stage(
        &mut self,
        path: &Path,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), (Option<String>, Problem)>,
    ) -> Result<(), FormatError> {
        let io = |e: io::Error| Problem::Io(e).at(path);
        let (target, special) = resolve(path).map_err(io)?;
        if !special && self.files.iter().any(|f| f.target == target) {
            let twice = io::Error::new(io::ErrorKind::AlreadyExists, "two outputs have this name");
            return Err(io(twice));
        }
        let mut temp = temporary(&target, special).map_err(io)?;
        let mut out = BufWriter::with_capacity(1 << 16, temp.as_file_mut());
        write(&mut out).map_err(|(entry, p)| FormatError { entry, ..p.at(path) })?;
        // Errors that a drop would swallow.
        out.into_inner().map_err(|e| io(e.into_error()))?.flush().map_err(io)?;
        self.files.push(Pending { temp, target, special, path: path.to_owned() });
        Ok(())
    }

    /// Puts all files in their places.
    ///
    /// Each appears at once and whole. What can fail in writing has not, for it is done; should the system refuse to
    /// rename a file all the same, those before it are in place and it and those after it are not.
    ///
    /// # Errors
    /// A file that cannot take its name.
    pub fn commit(mut self) -> Result<(), FormatError> {
        // Devices first: they are the ones that can still be full.
        for file in self.files.iter_mut().filter(|f| f.special) {
            pour(file).map_err(|e| Problem::Io(e).at(&file.path))?;
        }
        for file in self.files.into_iter().filter(|f| !f.special) {
            file.temp.persist(&file.target).map_err(|e| Problem::Io(e.error).at(&file.path))?;
        }
        Ok(())
    }
}

/// Where a file of this name goes, and whether that is a device or a pipe.
fn resolve(path: &Path) -> io::Result<(PathBuf, bool)> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(meta) if meta.is_file() => {
            if meta.permissions().readonly() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok((fs::canonicalize(path)?, false))
        }
        Ok(_) => Ok((path.to_owned(), true)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            // So that two names of one file are seen to be the same.
            Ok((fs::canonicalize(directory(path))?.join(name), false))
        }
        Err(e) => Err(e),
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside the target, with the permissions that the target has or a new file would get.
fn temporary(target: &Path, special: bool) -> io::Result<NamedTempFile> {
    if special {
        return NamedTempFile::new();
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lazuli-").suffix(".part");
    #[cfg(unix)]
    let permissions = {
        use std::os::unix::fs::PermissionsExt;
        // The process's mask is applied to these.
        fs::metadata(target).map_or_else(|_| fs::Permissions::from_mode(0o666), |m| m.permissions())
    };
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.tempfile_in(directory(target))
}

/// Copies a finished file into a device or a pipe.
fn pour(file: &mut Pending) -> io::Result<()> {
    let mut out = File::options().write(true).open(&file.target)?;
    let from = file.temp.as_file_mut();
    from.rewind()?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        match from.read(&mut chunk)? {
            0 => return out.flush(),
            n => out.write_all(&chunk[..n])?,
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
