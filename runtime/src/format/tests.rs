use crate::{Buffer, Tensor};
use lazuli_graph::{DType, Scalar, Shape, View};

/// What NumPy 2.4 prints, one array a line: `dtype|extents|elements|text`. Elements are their bits in hexadecimal, or
/// `iota a b` for `0, 1, 2 … * a / b`; `~` stands for a line break.
const NUMPY: &str = include_str!("numpy.txt");

fn tensor(dtype: DType, extents: &[usize], values: Vec<Scalar>) -> Tensor {
    let size = dtype.size();
    let bytes: Vec<u64> = if size == 8 {
        values.iter().map(|v| v.bits()).collect()
    } else {
        // Little-endian words of `8 / size` elements.
        values
            .chunks(8 / size)
            .map(|c| c.iter().enumerate().fold(0, |word, (i, v)| word | v.bits() << (8 * size * i)))
            .map(u64::to_le)
            .collect()
    };
    let shape = Shape::new(extents).unwrap();
    let strides: Vec<isize> = shape.contiguous_strides().iter().map(|s| s * size as isize).collect();
    Tensor::from_parts(Buffer::from_vec(bytes), dtype, shape, &strides, 0).unwrap()
}

fn list(text: &str) -> Vec<usize> {
    text.split(',').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect()
}

#[cfg(target_endian = "little")]
#[test]
#[cfg_attr(miri, ignore = "slow, and of safe code")]
fn prints_as_numpy_does() {
    let mut wrong = vec![];
    for line in NUMPY.lines() {
        let [dtype, extents, elements, text] = line.splitn(4, '|').collect::<Vec<_>>().try_into().unwrap();
        let dtype: DType = dtype.to_lowercase().parse().unwrap();
        let extents = list(extents);
        let n: usize = extents.iter().product();
        let values = if let Some(steps) = elements.strip_prefix("iota ") {
            let (a, b) = steps.split_once(' ').unwrap();
            let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
            (0..n).map(|i| Scalar::from_f64(dtype, i as f64 * a / b)).collect()
        } else {
            elements
                .split_whitespace()
                .map(|h| Scalar::from_bits(dtype, u64::from_str_radix(h, 16).unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(values.len(), n, "{line}");
        let ours = tensor(dtype, &extents, values).to_string();
        let theirs = text.replace('~', "\n");
        if ours != theirs {
            wrong.push(format!("{dtype} {extents:?} {elements}\nNumPy:\n{theirs}\nours:\n{ours}"));
        }
    }
    assert!(wrong.is_empty(), "{} arrays print otherwise:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n\n"));
}

#[test]
fn prints_views_in_their_order() {
    let t = Tensor::from_vec(&[2, 3], vec![1u8, 2, 3, 4, 5, 60]).unwrap();
    let t = t.view(&View::transpose(t.shape(), &[1, 0])).unwrap();
    assert_eq!(t.to_string(), "[[ 1  4]\n [ 2  5]\n [ 3 60]]");
    assert_eq!(format!("{t:?}"), "tensor([[ 1  4]\n [ 2  5]\n [ 3 60]], dtype=uint8)");
}

#[test]
fn prints_a_broadcast_larger_than_memory() {
    let one = Tensor::scalar(Scalar::from_f64(DType::BF16, 0.1));
    let to = Shape::new(&[1 << 40]).unwrap();
    let t = one.view(&View::broadcast(one.shape(), &to).unwrap()).unwrap();
    assert_eq!(t.to_string(), "[0.1 0.1 0.1 ... 0.1 0.1 0.1]");
}
