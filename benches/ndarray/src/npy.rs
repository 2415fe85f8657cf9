//! Reads the arrays that the harness's exchange folder holds: C order, little endian, version 1 of the format.

use ndarray::{ArrayD, IxDyn};
use std::path::Path;

/// A dtype of such a file.
pub(crate) trait Stored: Copy {
    /// How the file's header names it.
    const DESCR: &'static str;
    /// The values.
    fn decode(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! stored {
    ($t:ty, $descr:literal) => {
        impl Stored for $t {
            const DESCR: &'static str = $descr;
            fn decode(bytes: &[u8]) -> Vec<$t> {
                bytes.as_chunks().0.iter().map(|b| <$t>::from_le_bytes(*b)).collect()
            }
        }
    };
}

stored!(f64, "<f8");
stored!(f32, "<f4");
stored!(i32, "<i4");

/// Reads a file.
pub(crate) fn read<T: Stored>(path: &Path) -> Result<ArrayD<T>, String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let bytes = std::fs::read(path).map_err(|e| fail(&e))?;
    decode(&bytes).map_err(|e| fail(&e))
}

fn decode<T: Stored>(bytes: &[u8]) -> Result<ArrayD<T>, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00").ok_or("not an array of version 1")?;
    let (length, rest) = rest.split_first_chunk().ok_or("cut short")?;
    let (header, data) = rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or("cut short")?;
    let header = std::str::from_utf8(header).map_err(|e| e.to_string())?;
    if !header.contains(&format!("'descr': '{}'", T::DESCR)) || !header.contains("'fortran_order': False") {
        return Err(format!("unexpected header {header}"));
    }
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).ok_or("no shape")?.0;
    let extents = shape.split(',').map(str::trim).filter(|word| !word.is_empty());
    let shape: Vec<usize> =
        extents.map(|word| word.parse().map_err(|e| format!("{word}: {e}"))).collect::<Result<_, _>>()?;
    ArrayD::from_shape_vec(IxDyn(&shape), T::decode(data)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn arrays_of_any_rank() {
        let data: Vec<u8> = [1i32, 2, 3, 4].iter().flat_map(|x| x.to_le_bytes()).collect();
        let header = |shape: &str| format!("{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let array = decode::<i32>(&file(&header("(2, 2)"), &data)).unwrap();
        assert_eq!((array.shape(), array[[1, 0]]), (&[2, 2][..], 3));
        assert_eq!(decode::<i32>(&file(&header("(4,)"), &data)).unwrap().shape(), [4]);
        assert_eq!(decode::<i32>(&file(&header("()"), &data[..4])).unwrap().shape(), [0usize; 0]);
    }

    #[test]
    fn other_files_are_errors() {
        let good = file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n", &[0; 8]);
        assert!(decode::<f64>(&good).is_ok());
        assert!(decode::<f32>(&good).unwrap_err().contains("unexpected header"));
        for n in 0..good.len() {
            assert!(decode::<f64>(&good[..n]).is_err(), "{n} bytes");
        }
    }
}
