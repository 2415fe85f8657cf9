use super::*;
use lazuli_graph::MAX_RANK;
#[cfg(not(miri))]
use lazuli_graph::View;

/// A file of version 1.0 with this dictionary.
fn file(dict: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = header::MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((dict.len() as u16).to_le_bytes());
    bytes.extend(dict.bytes());
    bytes.extend(data);
    bytes
}

fn parse(bytes: &[u8]) -> Result<Tensor, Problem> {
    let buffer = Buffer::from_vec(bytes.to_vec());
    from_buffer(&buffer, 0, buffer.len(), false)
}

fn dict(descr: &str, order: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
}

#[test]
fn headers_of_every_version() {
    let text = dict("'<i2'", "False", "(2,)") + "      \n";
    let data = [1, 0, 2, 0];
    for major in [2u8, 3] {
        let mut bytes = header::MAGIC.to_vec();
        bytes.extend([major, 0]);
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.bytes());
        bytes.extend(data);
        assert_eq!(parse(&bytes).unwrap().to_vec::<i16>().unwrap(), [1, 2]);
    }
    assert_eq!(parse(&file(&text, &data)).unwrap().to_vec::<i16>().unwrap(), [1, 2]);
    let mut bytes = file(&text, &data);
    bytes[6] = 4;
    assert!(matches!(parse(&bytes), Err(Problem::Version(4, 0))));
    bytes[6..8].copy_from_slice(&[1, 1]);
    assert!(matches!(parse(&bytes), Err(Problem::Version(1, 1))));
}

#[test]
fn headers_as_others_write_them() {
    for text in [
        r#"{"descr":"<i2","fortran_order":False,"shape":(2,)}"#,
        "{'shape': (2L,), 'fortran_order': False, 'descr': '<i2'}\n",
        "{ 'shape' : ( 2 , ) , 'descr' : 'i2' , 'fortran_order' : True , }  ",
        "{'descr': '=i2', 'fortran_order': False, 'shape': (1, 2)}",
    ] {
        assert_eq!(parse(&file(text, &[1, 0, 2, 0])).unwrap().to_vec::<i16>().unwrap(), [1, 2], "{text}");
    }
}

#[test]
fn byte_orders_and_layouts() {
    let big = parse(&file(&dict("'>i4'", "False", "(2,)"), &[0, 0, 0, 7, 255, 255, 255, 254])).unwrap();
    assert_eq!(big.to_vec::<i32>().unwrap(), [7, -2]);
    let fortran = parse(&file(&dict("'|u1'", "True", "(2, 3)"), &[1, 4, 2, 5, 3, 6])).unwrap();
    assert_eq!(fortran.strides(), [1, 2]);
    assert_eq!(fortran.to_vec::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
    let bools = parse(&file(&dict("'|b1'", "False", "(3,)"), &[0, 1, 200])).unwrap();
    assert_eq!(bools.to_vec::<bool>().unwrap(), [false, true, true]);
    let none = parse(&file(&dict("'<f8'", "True", "(3, 0)"), &[])).unwrap();
    assert_eq!(none.to_vec::<f64>().unwrap(), []);
    let one = parse(&file(&dict("'<f2'", "False", "()"), &[0, 0x3c])).unwrap();
    assert_eq!((one.rank(), one.item().unwrap().as_f64()), (0, 1.0));
}

#[test]
fn malformed_headers_are_errors() {
    let deep = format!("({})", "1, ".repeat(MAX_RANK + 1));
    for (text, want) in [
        ("", "'{' is missing"),
        ("[]", "'{' is missing"),
        ("{}", "the key 'descr' is missing"),
        ("{'descr': '<f8', 'shape': ()}", "the key 'fortran_order' is missing"),
        ("{'descr': '<f8', 'fortran_order': False}", "the key 'shape' is missing"),
        ("{'descr': '<f8', 'descr': '<f8'}", "there before"),
        ("{'a': 1}", "a key other than"),
        ("{'descr': '<f8' 'shape': ()}", "',' or '}' is missing"),
        ("{'descr' '<f8'}", "':' is missing"),
        ("{'descr': '<f8", "a string has no end"),
        ("{'descr': '\\x3cf8'}", "an escape"),
        ("{'descr': 3}", "a string is missing"),
        ("{'descr': '<f8', ", "a string is missing"),
        (&dict("'<f8'", "0", "()"), "'True' or 'False'"),
        (&dict("'<f8'", "False", "3"), "'(' is missing"),
        (&dict("'<f8'", "False", "(3)"), "not a tuple"),
        (&dict("'<f8'", "False", "(3 4)"), "',' or ')' is missing"),
        (&dict("'<f8'", "False", "(-3,)"), "an extent is missing"),
        (&dict("'<f8'", "False", "(3,,)"), "an extent is missing"),
        (&dict("'<f8'", "False", "(3"), "an extent is missing"),
        (&dict("'<f8'", "False", "(99999999999999999999,)"), "an extent is too large"),
        (&dict("'<f8'", "False", &deep), "more axes"),
        (&(dict("'<f8'", "False", "()") + "x"), "something follows"),
    ] {
        let message = parse(&file(text, &[0; 64])).unwrap_err().to_string();
        assert!(message.starts_with("malformed .npy header") && message.contains(want), "{text}: {message}");
    }
}

#[test]
fn dtypes_that_are_not_read_are_named() {
    for (descr, want) in [
        ("'|O'", "'|O' cannot be read: arrays of Python objects"),
        ("'<c16'", "'<c16' cannot be read: complex"),
        ("'<U5'", "strings"),
        ("'|S3'", "strings"),
        ("'<M8[ns]'", "dates"),
        ("'|V2'", "raw bytes"),
        ("'<f16'", "floats of 2, 4 and 8"),
        ("'<i3'", "integers of 1, 2, 4 and 8"),
        ("'<z9'", "not known"),
        ("'<'", "not known"),
        ("'|i4'", "byte order is not given"),
        (
            "[('x', '<f4'), ('y', '<f4')]",
            "[(\\'x\\', \\'<f4\\'), (\\'y\\', \\'<f4\\')]' cannot be read: arrays of records",
        ),
    ] {
        let e = parse(&file(&dict(descr, "False", "(1,)"), &[0; 64])).unwrap_err();
        assert!(matches!(e, Problem::Descr { .. }));
        assert!(e.to_string().contains(want), "{descr}: {e}");
    }
}

#[test]
fn claims_beyond_the_file_are_errors() {
    for shape in ["(9,)", "(1152921504606846975,)", "(2, 2, 2, 2)"] {
        let e = parse(&file(&dict("'<f8'", "False", shape), &[0; 64])).unwrap_err();
        assert!(matches!(e, Problem::Truncated { .. }), "{shape}: {e}");
    }
    for shape in ["(1152921504606846976,)", "(4294967296, 4294967296)", "(0, 4294967296, 4294967296)"] {
        let e = parse(&file(&dict("'<f8'", "False", shape), &[0; 64])).unwrap_err();
        assert!(matches!(e, Problem::Shape(_)), "{shape}: {e}");
    }
    let whole = file(&dict("'<f8'", "False", "(2,)"), &[0; 16]);
    for len in 0..whole.len() {
        let e = parse(&whole[..len]).unwrap_err();
        assert!(matches!(e, Problem::Magic(_) | Problem::Header(_) | Problem::Truncated { .. }), "{len}: {e}");
    }
    let mut long = header::MAGIC.to_vec();
    long.extend([2, 0, 255, 255, 255, 255]);
    assert!(matches!(parse(&long), Err(Problem::Header(_))));
}

#[cfg(not(miri))]
#[test]
fn files_are_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    for dtype in DType::ALL.into_iter().filter(|&d| d != DType::BF16) {
        for extents in [&[][..], &[0], &[5], &[2, 3]] {
            let n: usize = extents.iter().product();
            let t = crate::dispatch!(dtype, T => {
                let one = <T as crate::Element>::from_scalar(lazuli_graph::Scalar::one(dtype));
                Tensor::from_vec(extents, vec![one; n]).unwrap()
            });
            write(&path, &t).unwrap();
            assert!(read(&path).unwrap().bits_eq(&t), "{dtype} {extents:?}");
        }
    }
    let t = Tensor::from_vec(&[2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap();
    let t = t.view(&View::transpose(t.shape(), &[1, 0])).unwrap();
    write(&path, &t).unwrap();
    assert!(read(&path).unwrap().bits_eq(&t));
    assert!(std::fs::read(&path).unwrap().len().is_multiple_of(8));
}

#[cfg(not(miri))]
#[test]
fn bfloat16_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let e = write(&path, &Tensor::scalar(lazuli_graph::Scalar::one(DType::BF16))).unwrap_err();
    assert_eq!(e.to_string(), format!("{}: .npy has no bfloat16: convert it with astype(float32)", path.display()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(not(miri))]
#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing.npy");
    let message = read(&path).unwrap_err().to_string();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
    assert!(read(dir.path()).is_err(), "a directory");
}

#[cfg(not(miri))]
#[test]
fn large_files_are_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let t = Tensor::from_vec(&[100, 1000], (0..100_000).map(f64::from).collect()).unwrap();
    write(&path, &t).unwrap();
    let mapped = read(&path).unwrap();
    assert!(mapped.buffer().is_mapped() && !mapped.buffer().is_writable());
    // A file that is replaced leaves the mapping as it was.
    write(&path, &Tensor::from_vec(&[1], vec![0u8]).unwrap()).unwrap();
    assert!(mapped.bits_eq(&t));
    // The other byte order, and elements at odd addresses, take a copy.
    let mut bytes = file(&dict("'>f8'", "False", "(10000,)"), &[0; 80_000]);
    std::fs::write(&path, &bytes).unwrap();
    assert!(!read(&path).unwrap().buffer().is_mapped());
    let mut text = dict("'<f8'", "False", "(10000,)");
    while (text.len() + header::PREFIX_V1).is_multiple_of(8) {
        text.push(' ');
    }
    bytes = file(&text, &[0; 80_000]);
    std::fs::write(&path, &bytes).unwrap();
    assert!(!read(&path).unwrap().buffer().is_mapped());
}
