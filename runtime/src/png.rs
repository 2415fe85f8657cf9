//! Pictures of tensors, as `.png` files of 8 bits a channel.
//!
//! | shape | picture |
//! |---|---|
//! | `[height, width]` | grey |
//! | `[height, width, 3]` | red, green, blue |
//! | `[height, width, 4]` | red, green, blue, opacity |
//!
//! | dtype | grey | colour |
//! |---|---|---|
//! | `uint8` | as it is | as it is |
//! | `bool` | 0 and 255 | 0 and 255 |
//! | floats | the least finite value is 0, the greatest 255, NaN 0 | 0 to 1 is 0 to 255, clamped, NaN 0 |
//! | other integers | the least is 0, the greatest 255 | an error |

use crate::file::{FormatError, Problem};
use crate::output::Staged;
use crate::tensor::Tensor;
use lazuli_graph::{DType, Kind, Scalar};
use png::{BitDepth, ColorType, Encoder, EncodingError};
use std::io::Write;
use std::path::Path;

/// Writes a picture; see the [module](self) for what becomes of the values. The file appears whole or not at all.
///
/// # Errors
/// A file that cannot be written; a shape that is no picture; colours in integers other than `uint8`.
pub fn write(path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), FormatError> {
    let mut staged = Staged::new();
    staged.png(path, tensor)?;
    staged.commit()
}

/// Writes a picture to a stream.
pub(crate) fn write_to(out: &mut (impl Write + ?Sized), tensor: &Tensor) -> Result<(), Problem> {
    let (height, width, color) = match **tensor.shape() {
        [h, w] => (h, w, ColorType::Grayscale),
        [h, w, 3] => (h, w, ColorType::Rgb),
        [h, w, 4] => (h, w, ColorType::Rgba),
        _ => {
            let text = format!(
                "shape {} is no picture; it takes [height, width], or a third axis of 3 (RGB) or 4 (RGBA)",
                tensor.shape()
            );
            return Err(Problem::Picture(text));
        }
    };
    // The format's own limit is the signed 32-bit range.
    let side = |n: usize| u32::try_from(n).ok().filter(|&n| n > 0 && n <= i32::MAX as u32);
    let (Some(width), Some(height)) = (side(width), side(height)) else {
        return Err(Problem::Picture(format!("a picture cannot be {width} wide and {height} high")));
    };
    let pixels = bytes(tensor, color != ColorType::Grayscale)?;
    let mut encoder = Encoder::new(out, width, height);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(problem)?;
    writer.write_image_data(&pixels).map_err(problem)?;
    writer.finish().map_err(problem)
}

fn problem(e: EncodingError) -> Problem {
    match e {
        EncodingError::IoError(e) => Problem::Io(e),
        e => Problem::Picture(e.to_string()),
    }
}

/// The bytes of all pixels, row by row.
fn bytes(tensor: &Tensor, colored: bool) -> Result<Vec<u8>, Problem> {
    let dtype = tensor.dtype();
    let values = || tensor.iter_scalars().map(Scalar::as_f64);
    Ok(match (dtype.kind(), colored) {
        _ if dtype == DType::U8 => tensor.to_vec()?,
        (Kind::Bool, _) => tensor.iter_scalars().map(|x| if x.as_bool() { 255 } else { 0 }).collect(),
        // The conversion clamps, and takes NaN as zero.
        (Kind::Float, true) => values().map(|x| (x * 255.0).round() as u8).collect(),
        (Kind::Signed | Kind::Unsigned, true) => {
            let hint = "colours are uint8, or floats from 0 to 1";
            return Err(Problem::DType { format: "a picture", dtype, hint });
        }
        (_, false) => {
            let finite = || values().filter(|x| x.is_finite());
            let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
            // Halves, so that the span of the largest numbers is still one.
            let span = high / 2.0 - low / 2.0;
            let scaled = |x: f64| {
                if x.is_infinite() {
                    return if x > 0.0 { 255 } else { 0 };
                }
                if span > 0.0 { ((x / 2.0 - low / 2.0) / span * 255.0).round() as u8 } else { 0 }
            };
            values().map(scaled).collect()
        }
    })
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
