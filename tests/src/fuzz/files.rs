//! The readers of `.npy` and `.npz` files.

use super::Target;
use lazuli_runtime::{FormatError, Tensor, npy, npz};
use std::cell::Cell;
use std::path::Path;

pub(super) const NPY: Target = Target { name: "read_npy", run: read_npy, seeds: npy_seeds, words: WORDS };
pub(super) const NPZ: Target = Target { name: "read_npz", run: read_npz, seeds: npz_seeds, words: WORDS };

const WORDS: &[&str] = &[
    "\u{1}NUMPY",
    "'descr'",
    "'fortran_order'",
    "'shape'",
    "'<f8'",
    "'>i2'",
    "'|O'",
    "'|b1'",
    "True",
    "False",
    "(",
    ")",
    "{",
    "}",
    ":",
    ",",
    "(1,)",
    "(3, 4)",
    "(99999999999999999999,)",
    "(9223372036854775807, 2)",
    "PK\u{1}\u{2}",
    "PK\u{3}\u{4}",
    "a.npy",
    "\n",
];

/// Gives the bytes as a file to `f`.
fn with_file(bytes: &[u8], f: impl FnOnce(&Path)) {
    // A new file each time: to cut and rewrite one makes some file systems wait for the disk.
    thread_local! {
        static DIR: tempfile::TempDir = tempfile::tempdir().expect("fuzzing needs a folder for its files");
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let path = DIR.with(|dir| dir.path().join(COUNT.replace(COUNT.get() + 1).to_string()));
    std::fs::write(&path, bytes).expect("fuzzing needs a folder for its files");
    f(&path);
    std::fs::remove_file(&path).expect("the file was just written");
}

/// What is read is as large as its shape says, within what the file can hold; an error prints.
fn look(read: Result<Tensor, FormatError>, bytes: usize) {
    match read {
        Ok(tensor) => {
            assert_eq!(tensor.nbytes(), tensor.elements() * tensor.dtype().size());
            // Deflate's best is a factor of about a thousand.
            assert!(tensor.nbytes() <= bytes * 1100 + 4096, "{} bytes out of {bytes}", tensor.nbytes());
            assert_eq!(tensor.iter_scalars().count(), tensor.elements());
        }
        Err(e) => drop(e.to_string()),
    }
}

fn read_npy(data: &[u8]) {
    with_file(data, |path| look(npy::read(path), data.len()));
}

fn read_npz(data: &[u8]) {
    with_file(data, |path| match npz::open(path) {
        Ok(archive) => archive.names().iter().for_each(|name| look(archive.read(name), data.len())),
        Err(e) => drop(e.to_string()),
    });
}

fn tensors() -> Vec<Tensor> {
    let tensors = [
        Tensor::from_vec(&[3, 4], (0..12).map(f64::from).collect()),
        Tensor::from_vec(&[], vec![7i16]),
        Tensor::from_vec(&[0, 2], Vec::<f32>::new()),
        Tensor::from_vec(&[100], vec![true; 100]),
    ];
    tensors.into_iter().map(|t| t.expect("as many elements as the shape says")).collect()
}

fn npy_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut keep = |path: &Path| seeds.push(std::fs::read(path).expect("the file was just written"));
    for tensor in tensors() {
        with_file(b"", |path| {
            npy::write(path, &tensor).expect("a small array can be written");
            keep(path);
        });
    }
    // Written by hand: version 1 in Fortran order and the other byte order, and version 2.
    for (version, text) in [
        (1u8, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }"),
        (2, "{'shape':(6,),'fortran_order':False,'descr':'<u2'}"),
    ] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        let length = text.len() as u32 + 1;
        bytes.extend(&length.to_le_bytes()[..if version == 1 { 2 } else { 4 }]);
        bytes.extend(text.as_bytes());
        bytes.push(b'\n');
        bytes.extend(0u8..12);
        seeds.push(bytes);
    }
    seeds
}

fn npz_seeds() -> Vec<Vec<u8>> {
    let arrays: Vec<(String, Tensor)> = tensors().into_iter().enumerate().map(|(i, t)| (format!("a{i}"), t)).collect();
    let mut seeds = Vec::new();
    with_file(b"", |path| {
        npz::write(path, &arrays).expect("small arrays can be written");
        seeds.push(std::fs::read(path).expect("the file was just written"));
        npz::write_compressed(path, &arrays[..2]).expect("small arrays can be written");
        seeds.push(std::fs::read(path).expect("the file was just written"));
    });
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_valid() {
        for seed in npy_seeds() {
            with_file(&seed, |path| drop(npy::read(path).unwrap_or_else(|e| panic!("{e}"))));
        }
        for seed in npz_seeds() {
            with_file(&seed, |path| {
                let archive = npz::open(path).unwrap_or_else(|e| panic!("{e}"));
                archive.names().iter().for_each(|name| drop(archive.read(name).unwrap_or_else(|e| panic!("{e}"))));
            });
        }
    }
}
