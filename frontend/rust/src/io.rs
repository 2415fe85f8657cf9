//! Files: `.npy` and `.npz` in and out, `.png` out.
//!
//! Files are mapped to memory where their layout permits, so opening a large one costs nothing. Outputs appear whole
//! or not at all.

use crate::{Array, Result, Tensor};
use lazuli_runtime::output::Staged;
use std::path::Path;

/// An opened `.npz` archive.
///
/// ```
/// let dem = lazuli::io::npz(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data/jacksboro_dem.npz"))?;
/// assert_eq!(dem.array("elevation")?.shape()?.to_vec(), [344, 403]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[derive(Debug)]
pub struct Npz(lazuli_runtime::npz::Npz);

/// Opens a `.npz` archive, stored or deflated.
///
/// # Errors
/// No such file, or not such an archive.
///
/// ```
/// assert!(lazuli::io::npz("no such file.npz").is_err());
/// ```
pub fn npz(path: impl AsRef<Path>) -> Result<Npz> {
    Ok(Npz(lazuli_runtime::npz::open(path)?))
}

impl Npz {
    /// The names of its arrays.
    ///
    /// ```
    /// let dem = lazuli::io::npz(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data/jacksboro_dem.npz"))?;
    /// assert!(dem.names().contains(&"elevation"));
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn names(&self) -> Vec<&str> {
        self.0.names()
    }

    /// One of its arrays.
    ///
    /// # Errors
    /// No such entry, or an entry that is no array of a dtype there is.
    ///
    /// ```
    /// let dem = lazuli::io::npz(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data/jacksboro_dem.npz"))?;
    /// assert!(dem.array("depth").is_err());
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn array(&self, name: &str) -> Result<Array> {
        Ok(Array::from(self.0.read(name)?))
    }
}

/// Opens a `.npy` file.
///
/// # Errors
/// No such file, or not an array of a dtype there is.
///
/// ```
/// use lazuli::prelude::*;
/// let path = std::env::temp_dir().join("lazuli-doc-npy.npy");
/// lazuli::io::save(&path, &Array::from([1.0, 2.0]).compute()?)?;
/// assert_eq!(lazuli::io::npy(&path)?.to_vec::<f64>()?, [1.0, 2.0]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), lazuli::Error>(())
/// ```
#[track_caller]
pub fn npy(path: impl AsRef<Path>) -> Result<Array> {
    Ok(Array::from(lazuli_runtime::npy::read(path)?))
}

/// Writes a tensor: as `.npy`, or as `.png` where the path ends so (2-d: grey, scaled unless `uint8` or `bool`; a last
/// axis of 3 or 4: RGB or RGBA).
///
/// # Errors
/// A path that cannot be written; a tensor that is no picture.
///
/// ```
/// use lazuli::prelude::*;
/// let path = std::env::temp_dir().join("lazuli-doc-save.png");
/// lazuli::io::save(&path, &Array::eye(8, f64).compute()?)?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), lazuli::Error>(())
/// ```
pub fn save(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let mut staged = Staged::new();
    if path.as_ref().extension().is_some_and(|e| e == "png") {
        staged.png(path, tensor)?;
    } else {
        staged.npy(path, tensor)?;
    }
    Ok(staged.commit()?)
}

/// Writes named tensors as a `.npz` archive.
///
/// # Errors
/// A path that cannot be written.
///
/// ```
/// use lazuli::prelude::*;
/// let path = std::env::temp_dir().join("lazuli-doc-save.npz");
/// lazuli::io::save_npz(&path, &[("x", Array::arange(3).compute()?)])?;
/// assert_eq!(lazuli::io::npz(&path)?.array("x")?.to_vec::<i64>()?, [0, 1, 2]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), lazuli::Error>(())
/// ```
pub fn save_npz(path: impl AsRef<Path>, arrays: &[(&str, Tensor)]) -> Result<()> {
    Ok(lazuli_runtime::npz::write(path, arrays)?)
}
