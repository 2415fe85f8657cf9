//! Files that NumPy wrote, and files that nobody should have.
#![allow(unsafe_code, clippy::unwrap_used)]
#![cfg(not(miri))]

use lazuli_graph::{DType, Scalar};
use lazuli_runtime::{Tensor, npy, npz, pool};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// The system's allocator, which notes the largest block that each thread has asked for.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(layout: Layout) {
    let _ = LARGEST.try_with(|l| l.set(l.get().max(layout.size())));
}

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// What `make.py` put into the array of this name.
fn expected(name: &str) -> Tensor {
    let (dtype, rest) = name.split_once('-').unwrap();
    let extents: Vec<usize> =
        rest.split_once('-').unwrap().1.split('x').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
    let dtype: DType = dtype.parse().unwrap();
    let n: usize = extents.iter().product();
    let value = |i: usize| if dtype == DType::Bool { i % 2 } else { i } as i64;
    lazuli_runtime::dispatch!(dtype, T => {
        let v = (0..n).map(|i| lazuli_runtime::Element::from_scalar(Scalar::from_i64(dtype, value(i))));
        Tensor::from_vec::<T>(&extents, v.collect()).unwrap()
    })
}

#[test]
fn archives_of_numpy() {
    for file in ["numpy_stored.npz", "numpy_deflated.npz"] {
        let npz = npz::open(data(file)).unwrap();
        let names = npz.names();
        // Seven shapes in C order and three in Fortran's; for all dtypes, and again those of several bytes.
        assert_eq!(names.len(), (12 + 9) * (7 + 3));
        for name in names {
            let t = npz.read(name).unwrap();
            assert!(t.bits_eq(&expected(name)), "{file} {name}: {t:?}");
            let fortran = name.contains("<F") || name.contains(">F");
            if fortran && t.elements() > 1 {
                assert!(!t.is_contiguous(), "{name} needs no copy");
            }
        }
    }
}

#[test]
fn the_same_bytes_as_numpy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let mut zip = zip::ZipArchive::new(fs::File::open(data("numpy_stored.npz")).unwrap()).unwrap();
    let mut compared = 0;
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let name = entry.name().unwrap().into_owned();
        let stem = name.strip_suffix(".npy").unwrap();
        if !stem.contains("-<C-") || cfg!(target_endian = "big") {
            continue;
        }
        let mut theirs = Vec::new();
        std::io::copy(&mut entry, &mut theirs).unwrap();
        npy::write(&path, &expected(stem)).unwrap();
        assert_eq!(String::from_utf8_lossy(&fs::read(&path).unwrap()), String::from_utf8_lossy(&theirs), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 12 * 7);
}

#[test]
fn terrain() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/data/jacksboro_dem.npz");
    let npz = npz::open(path).unwrap();
    assert!(npz.names().contains(&"elevation"), "{:?}", npz.names());
    let t = npz.read("elevation").unwrap();
    assert_eq!((t.dtype(), t.rank()), (DType::I16, 2));
    let (low, high) = t.iter_scalars().map(Scalar::as_i64).fold((i64::MAX, i64::MIN), |(l, h), x| (l.min(x), h.max(x)));
    assert!(low >= -500 && high <= 9000 && high - low > 10, "metres, {low} to {high}");
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }

    /// Changes, cuts, repeats or inserts bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.roll(6) {
            let n = bytes.len();
            if n == 0 {
                return;
            }
            // Most of what matters stands at the two ends.
            let at = match self.roll(4) {
                0 => self.roll(n),
                1 => n - 1 - self.roll(n.min(120)),
                _ => self.roll(n.min(160)),
            };
            match self.roll(8) {
                0 => bytes[at] ^= 1 << self.roll(8),
                1 => bytes[at] = [0, 0xff, 0x7f, 0x80, b'9', b'(', b',', b'\''][self.roll(8)],
                2 => bytes.truncate(at),
                3 => {
                    let end = n.min(at + 1 + self.roll(8));
                    bytes.drain(at..end);
                }
                4 => {
                    let end = n.min(at + 1 + self.roll(16));
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                5 => bytes[at..n.min(at + 4)].fill(0xff),
                6 => bytes[at] = bytes[at].wrapping_add(1),
                _ => {
                    let digits = b"99999999999999999999";
                    bytes.splice(at..at, digits[..1 + self.roll(20)].iter().copied());
                }
            }
        }
    }
}

/// How much a file of this size may make the readers ask for at once: what deflated data could hold at most, and the
/// buffers of a decompressor.
fn allowed(size: usize) -> usize {
    size * 1100 + (1 << 20)
}

#[test]
fn readers_survive_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let mut seeds = Vec::new();
    for name in ["int32-<C-2x3", "float64->F-2x3x4", "bool-<C-5", "float16-<C-"] {
        npy::write(&path, &expected(name)).unwrap();
        seeds.push((false, fs::read(&path).unwrap()));
    }
    let arrays = [("a", expected("int32-<C-2x3")), ("b", expected("float64-<C-2x3x4"))];
    npz::write(&path, &arrays).unwrap();
    seeds.push((true, fs::read(&path).unwrap()));
    npz::write_compressed(&path, &arrays).unwrap();
    seeds.push((true, fs::read(&path).unwrap()));

    let (mut good, mut bad) = (0, 0);
    for round in 0..2400 {
        let mut dice = Dice(round as u64 + 1);
        let (archive, seed) = &seeds[round % seeds.len()];
        let mut bytes = seed.clone();
        dice.mutate(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        LARGEST.set(0);
        pool::reset_peak();
        let result = catch_unwind(|| {
            if *archive {
                let npz = npz::open(&path)?;
                npz.names().into_iter().map(|n| npz.read(n)).collect::<Result<Vec<_>, _>>()
            } else {
                npy::read(&path).map(|t| vec![t])
            }
        });
        // What the pool maps does not come from the allocator.
        let largest = LARGEST.get().max(pool::stats().peak_live_bytes);
        let Ok(result) = result else { panic!("round {round} panics on {:?}", bytes.escape_ascii().to_string()) };
        assert!(largest <= allowed(bytes.len()), "round {round}: {largest} bytes for a file of {}", bytes.len());
        match result {
            Ok(tensors) => {
                good += 1;
                // What was read is there.
                tensors.iter().for_each(|t| assert_eq!(t.iter_scalars().count(), t.elements()));
            }
            Err(e) => {
                bad += 1;
                assert!(e.to_string().len() < 2000);
            }
        }
    }
    assert!(good > 60 && bad > 600, "{good} read, {bad} refused: the mutations are too tame or too wild");
}
