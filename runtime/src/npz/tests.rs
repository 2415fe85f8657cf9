use super::*;
use lazuli_graph::{DType, Scalar};
use std::fs;

fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn npy(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    npy::write_to(&mut bytes, tensor).unwrap();
    bytes
}

fn ramp(n: usize) -> Tensor {
    Tensor::from_vec(&[n], (0..n as i64).collect()).unwrap()
}

/// Writes bytes to a file and opens it.
fn with<R>(bytes: &[u8], f: impl FnOnce(Result<Npz, FormatError>) -> R) -> R {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    fs::write(&path, bytes).unwrap();
    f(open(&path))
}

#[test]
fn archives_are_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    let arrays = [("x", ramp(10)), ("empty", ramp(0)), ("größe", Tensor::scalar(Scalar::one(DType::F16)))];
    for compressed in [false, true] {
        if compressed {
            write_compressed(&path, &arrays).unwrap()
        } else {
            write(&path, &arrays).unwrap()
        }
        let npz = open(&path).unwrap();
        assert_eq!(npz.names(), ["x", "empty", "größe"]);
        for (name, t) in &arrays {
            assert!(npz.read(name).unwrap().bits_eq(t), "{name}");
        }
    }
}

#[test]
fn stored_arrays_are_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npz");
    write(&path, &[("a", ramp(20_000)), ("b", ramp(3))]).unwrap();
    let npz = open(&path).unwrap();
    for (name, n) in [("a", 20_000), ("b", 3)] {
        let t = npz.read(name).unwrap();
        assert!(t.buffer().is_mapped(), "{name}");
        assert_eq!(t.as_ptr() as usize % 64, 0);
        assert!(t.bits_eq(&ramp(n)));
    }
    // Threads share an open archive.
    std::thread::scope(|s| {
        s.spawn(|| assert!(npz.read("a").unwrap().bits_eq(&ramp(20_000))));
        assert!(npz.read("b").unwrap().bits_eq(&ramp(3)));
    });
}

#[test]
fn damage_is_found_by_the_checksum() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let mut bytes = archive(&[("a.npy", &npy(&ramp(100)))], method);
        let at = 30 + "a.npy".len() + if method == CompressionMethod::Stored { 500 } else { 120 };
        bytes[at] ^= 0x10;
        with(&bytes, |npz| {
            let e = npz.unwrap().read("a").unwrap_err();
            assert!(e.to_string().contains("entry 'a'"), "{e}");
            assert!(matches!(e.problem, Problem::Io(_)), "{e:?}");
        });
    }
}

#[test]
fn claims_beyond_the_entry_are_errors() {
    let whole = npy(&ramp(100));
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let long = [whole.as_slice(), &[0; 5]].concat();
        let bytes = archive(
            &[("short.npy", &whole[..whole.len() - 1]), ("long.npy", &long), ("head.npy", &whole[..9])],
            method,
        );
        with(&bytes, |npz| {
            let npz = npz.unwrap();
            assert!(matches!(npz.read("short").unwrap_err().problem, Problem::Truncated { .. }));
            assert!(matches!(npz.read("long").unwrap_err().problem, Problem::Trailing(5)));
            assert!(matches!(npz.read("head").unwrap_err().problem, Problem::Header(_)));
        });
    }
}

/// An archive of nothing but a header for so many `i64`, whose lists say that there are `size` bytes.
fn bomb(elements: u64, size: u32) -> Vec<u8> {
    let header = npy(&ramp(100))[..128].to_vec();
    let text = String::from_utf8_lossy(&header[10..]).replace("(100,)", &format!("({elements},)"));
    let header = [&header[..10], &text.as_bytes()[..118]].concat();
    let mut bytes = archive(&[("a.npy", &header)], CompressionMethod::Deflated);
    // The size stands in the entry's header and in the directory's.
    let is = 128u32.to_le_bytes();
    let spots: Vec<usize> = (0..bytes.len() - 4).filter(|&i| bytes[i..i + 4] == is).collect();
    assert_eq!(spots.len(), 2);
    for at in spots {
        bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
    }
    bytes
}

#[test]
fn bombs_do_not_go_off() {
    // More than the lists say; as much, but more than can be deflated to these few bytes; as much, and few enough that
    // only reading shows that they are not there.
    for (elements, size) in [(1 << 37, u32::MAX - 1), (500_000_000, 4_000_000_128), (1000, 8128)] {
        with(&bomb(elements, size), |npz| {
            let e = npz.unwrap().read("a").unwrap_err();
            assert!(matches!(e.problem, Problem::Truncated { .. } | Problem::Io(_)), "{elements}: {e}");
        });
    }
}

#[test]
fn what_is_no_archive_is_an_error() {
    with(b"", |npz| assert!(matches!(npz.unwrap_err().problem, Problem::Magic(_))));
    with(&npy(&ramp(3)), |npz| assert!(matches!(npz.unwrap_err().problem, Problem::Magic(_))));
    let whole = archive(&[("a.npy", &npy(&ramp(3)))], CompressionMethod::Stored);
    for len in [2, 30, 100, whole.len() - 1] {
        with(&whole[..len], |npz| assert!(npz.is_err(), "{len}"));
    }
    let text = archive(&[("notes.txt", b"not an array")], CompressionMethod::Stored);
    with(&text, |npz| {
        let npz = npz.unwrap();
        assert_eq!(npz.names(), ["notes.txt"]);
        assert!(matches!(npz.read("notes.txt").unwrap_err().problem, Problem::Magic(_)));
    });
}

#[test]
fn names_are_there_once() {
    let twice = archive(&[("a.npy", b""), ("a", b"")], CompressionMethod::Stored);
    with(&twice, |npz| assert!(matches!(npz.unwrap_err().problem, Problem::Duplicate)));
    let dir = tempfile::tempdir().unwrap();
    let e = write(dir.path().join("a.npz"), &[("a", ramp(1)), ("a", ramp(2))]).unwrap_err();
    assert!(e.to_string().ends_with("a.npz, entry 'a': two arrays have this name"), "{e}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    with(&archive(&[("a.npy", b"")], CompressionMethod::Stored), |npz| {
        assert!(npz.unwrap().read("b").unwrap_err().to_string().ends_with("no such array; there are: a"));
    });
}
