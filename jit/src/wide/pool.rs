//! Constants in memory, before the code that reads them.

use rustc_hash::FxHashMap;

/// The constants of a function.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) bytes: Vec<u8>,
    places: FxHashMap<(u64, u8, bool), u32>,
}

impl Pool {
    /// Where `bits` stand, once or as often as a vector holds them.
    pub(super) fn place(&mut self, bits: u64, size: u8, whole: Option<usize>) -> u32 {
        let bytes = &mut self.bytes;
        *self.places.entry((bits, size, whole.is_some())).or_insert_with(|| {
            let length = whole.unwrap_or(size.into());
            bytes.resize(bytes.len().next_multiple_of(length), 0);
            let at = bytes.len() as u32;
            for _ in 0..length / usize::from(size) {
                bytes.extend_from_slice(&bits.to_le_bytes()[..size.into()]);
            }
            at
        })
    }

    /// A vector of ones and one of zeros.
    pub(super) fn tail_table(&mut self, width: usize) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(width), 0);
        let at = self.bytes.len() as u32;
        self.bytes.extend(std::iter::repeat_n(0xff, width));
        self.bytes.extend(std::iter::repeat_n(0, width));
        at
    }
}
