//! Index expressions.

/// An index expression: `s![1..-1, ..;2, NewAxis]`, for [`Array::slice`](crate::Array::slice).
///
/// | entry | Python | meaning |
/// |---|---|---|
/// | `3`, `-1` | `3`, `-1` | one position; the axis is dropped |
/// | `1..-1`, `2..`, `..-2`, `..` | `1:-1`, `2:`, `:-2`, `:` | a slice |
/// | `..;2`, `5..1;-1` | `::2`, `5:1:-1` | a slice with a step |
/// | `Index::NewAxis` | `None` | a new axis of extent 1 |
/// | `Index::Ellipsis` | `...` | all axes left over |
///
/// ```
/// use lazuli::prelude::*;
/// let x = Array::arange(10);
/// assert_eq!(x.slice(s![1..-1;3]).to_vec::<i64>()?, [1, 4, 7]);
/// assert_eq!(x.slice(s![..;-4]).to_vec::<i64>()?, [9, 5, 1]);
/// assert_eq!(x.slice(s![Index::NewAxis, ..]).shape()?.to_vec(), [1, 10]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[macro_export]
macro_rules! s {
    (@[$($done:tt)*] $e:expr; $step:expr, $($rest:tt)+) => { $crate::s!(@[$($done)* $crate::s!(@@ $e).by($step),] $($rest)+) };
    (@[$($done:tt)*] $e:expr, $($rest:tt)+) => { $crate::s!(@[$($done)* $crate::s!(@@ $e),] $($rest)+) };
    (@[$($done:tt)*] $e:expr; $step:expr $(,)?) => { [$($done)* $crate::s!(@@ $e).by($step)] };
    (@[$($done:tt)*] $e:expr $(,)?) => { [$($done)* $crate::s!(@@ $e)] };
    // Clippy takes 1..-1 for an empty range.
    (@@ $e:expr) => {{
        #[allow(clippy::reversed_empty_ranges)]
        let index = $crate::Index::from($e);
        index
    }};
    ($($entries:tt)+) => { $crate::s!(@[] $($entries)+) };
}
