use super::*;
use crate::f16;
use lazuli_graph::View;
use png::Decoder;
use std::io::Cursor;

/// Writes a picture and reads it back: size, colours, bytes.
fn round_trip(t: &Tensor) -> (u32, u32, ColorType, Vec<u8>) {
    let mut file = Vec::new();
    write_to(&mut file, t).unwrap();
    let mut reader = Decoder::new(Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, info.color_type, pixels)
}

fn grey<T: crate::Element>(v: Vec<T>) -> Vec<u8> {
    round_trip(&Tensor::from_vec(&[1, v.len()], v).unwrap()).3
}

#[test]
fn bytes_stay_and_others_are_scaled() {
    assert_eq!(grey(vec![3u8, 7, 250]), [3, 7, 250]);
    assert_eq!(grey(vec![true, false]), [255, 0]);
    assert_eq!(grey(vec![-100i16, 0, 100]), [0, 128, 255]);
    assert_eq!(grey(vec![1.0f32, 1.5, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]), [0, 128, 255, 0, 255, 0]);
    assert_eq!(grey(vec![f64::MIN, 0.0, f64::MAX]), [0, 128, 255]);
    assert_eq!(grey(vec![f16::from_f32(5.0); 2]), [0, 0]);
    assert_eq!(grey(vec![f64::NAN; 2]), [0, 0]);
    assert_eq!(grey(vec![u64::MAX, 0]), [255, 0]);
}

#[test]
fn rows_run_down() {
    let t = Tensor::from_vec(&[2, 3], vec![1u8, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!(round_trip(&t), (3, 2, ColorType::Grayscale, vec![1, 2, 3, 4, 5, 6]));
    let t = t.view(&View::transpose(t.shape(), &[1, 0])).unwrap();
    assert_eq!(round_trip(&t), (2, 3, ColorType::Grayscale, vec![1, 4, 2, 5, 3, 6]));
}

#[test]
fn colours() {
    let rgb = Tensor::from_vec(&[1, 2, 3], vec![0.0, 0.5, 1.0, -1.0, f64::NAN, 2.0]).unwrap();
    assert_eq!(round_trip(&rgb), (2, 1, ColorType::Rgb, vec![0, 128, 255, 0, 0, 255]));
    let rgba = Tensor::from_vec(&[1, 1, 4], vec![1u8, 2, 3, 4]).unwrap();
    assert_eq!(round_trip(&rgba), (1, 1, ColorType::Rgba, vec![1, 2, 3, 4]));
}

#[test]
fn what_is_no_picture_is_an_error() {
    for extents in [&[][..], &[3], &[2, 2, 2], &[2, 2, 5], &[1, 2, 2, 3], &[0, 3], &[3, 0, 4]] {
        let t = Tensor::zeros(DType::U8, &lazuli_graph::Shape::new(extents).unwrap()).unwrap();
        assert!(matches!(write_to(&mut Vec::new(), &t), Err(Problem::Picture(_))), "{extents:?}");
    }
    let ints = Tensor::from_vec(&[1, 1, 3], vec![1i32, 2, 3]).unwrap();
    assert!(matches!(write_to(&mut Vec::new(), &ints), Err(Problem::DType { .. })));
}
