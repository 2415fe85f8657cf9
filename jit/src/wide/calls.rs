//! Functions that the code calls for what no vector instruction does: 64-bit division, and conversions between 64-bit
//! integers and floats. All have the shape that [`crate::clif`] gives them: the arguments lie in a frame, a vector each,
//! and the results go to where the first argument was.

use crate::kernel::{Prim, Ty};

/// Bytes of the widest vector.
const WIDEST: usize = 64;

type Function = unsafe extern "C" fn(routine: u64, lanes: usize, frame: *mut u8);

/// Applies `f` to `lanes` lanes of `A`, giving as many of `B`.
///
/// # Safety
/// `frame` holds a vector of `lanes` lanes of `A` which may be written over by as many of `B`, no larger than
/// [`WIDEST`], and is aligned for both.
unsafe fn apply<A: Copy + Default, B: Copy>(lanes: usize, frame: *mut u8, f: impl Fn(A) -> B) {
    let mut arguments = [A::default(); WIDEST / 4];
    let lanes = lanes.min(arguments.len());
    for (k, a) in arguments.iter_mut().take(lanes).enumerate() {
        // SAFETY: lane `k` of the vector, by the contract.
        *a = unsafe { frame.cast::<A>().add(k).read() };
    }
    for (k, a) in arguments.iter().take(lanes).enumerate() {
        // SAFETY: all arguments have been read; the frame has room for the results.
        unsafe { frame.cast::<B>().add(k).write(f(*a)) };
    }
}

macro_rules! functions {
    (divide { $($div:ident $t:ty: |$a:ident, $b:ident| $quotient:expr;)* }
     convert { $($name:ident $from:ty, $to:ty;)* }) => {
        $(
            unsafe extern "C" fn $div(_: u64, lanes: usize, frame: *mut u8) {
                let first = frame.cast::<$t>();
                for k in 0..lanes {
                    // SAFETY: the code passes two vectors of `lanes` lanes, one after the other.
                    unsafe {
                        let ($a, $b) = (first.add(k).read(), first.add(lanes + k).read());
                        first.add(k).write($quotient);
                    }
                }
            }
        )*
        $(
            unsafe extern "C" fn $name(_: u64, lanes: usize, frame: *mut u8) {
                // SAFETY: the code passes a vector of lanes of this type, in a frame of whole vectors.
                unsafe { apply::<$from, $to>(lanes, frame, |x| x as $to) };
            }
        )*
    };
}

functions! {
    divide {
        sdiv i64: |a, b| if b == 0 { 0 } else { a.wrapping_div(b) };
        udiv u64: |a, b| a.checked_div(b).unwrap_or(0);
        srem i64: |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) };
        urem u64: |a, b| a.checked_rem(b).unwrap_or(0);
    }
    convert {
        i64_to_f32 i64, f32;
        u64_to_f32 u64, f32;
        f32_to_i64 f32, i64;
        f32_to_u64 f32, u64;
        f64_to_i64 f64, i64;
        f64_to_u64 f64, u64;
    }
}

/// The address of a division of 64-bit lanes.
pub(super) fn divide(prim: Prim) -> usize {
    let function: Function = match prim {
        Prim::SDiv => sdiv,
        Prim::UDiv => udiv,
        Prim::SRem => srem,
        // The others are no divisions.
        _ => urem,
    };
    function as usize
}

/// The address of a conversion between 64-bit integers and floats.
pub(super) fn convert(prim: Prim, from: Ty, to: Ty) -> usize {
    let function: Function = match (prim, from, to) {
        (Prim::SToF, _, _) => i64_to_f32,
        (Prim::UToF, _, _) => u64_to_f32,
        (Prim::FToS, Ty::F32, _) => f32_to_i64,
        (Prim::FToU, Ty::F32, _) => f32_to_u64,
        (Prim::FToS, _, _) => f64_to_i64,
        _ => f64_to_u64,
    };
    function as usize
}
