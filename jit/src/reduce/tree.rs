//! The tree that the states of blocks are combined in.

use smallvec::SmallVec;

/// The states of blocks, combined as a binary counter is raised: neighbours of equal size as soon as both are there. Of
/// `n` blocks, the left subtree has as many as the greatest power of two below `n`.
///
/// Pushing the folded state of a power of two of blocks where as many could begin a subtree, and of what is left at the
/// end, gives the same tree.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// One state for each set bit of `count`, and room for the others: bit `i` has bytes `i * size ..`.
    words: SmallVec<[u64; 12]>,
    count: u64,
}

impl Tree {
    /// A tree without blocks.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Room for states of type `S` at every level that `more` blocks can reach, and the number of blocks so far.
    pub(super) fn levels<S: bytemuck::Pod>(&mut self, more: u64) -> (&mut [S], &mut u64) {
        self.reserve(more, size_of::<S>());
        (bytemuck::cast_slice_mut(&mut self.words), &mut self.count)
    }

    fn reserve(&mut self, more: u64, size: usize) {
        let levels = (u64::BITS - (self.count + more).leading_zeros()) as usize;
        // Whole states of up to 16 bytes, however many words that is.
        let words = (levels * size).div_ceil(16) * 2;
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Adds the state of `1 << height` blocks; of as many, or of a multiple, there are states so far.
    pub(super) fn push(&mut self, height: u32, size: usize, state: &mut [u8], combine: impl Fn(&mut [u8], &[u8])) {
        debug_assert!(self.count.trailing_zeros() >= height, "a subtree begins elsewhere");
        self.reserve(1 << height, size);
        let level = ((self.count >> height).trailing_ones() + height) as usize;
        let levels: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        for left in levels[height as usize * size..level * size].chunks_exact_mut(size) {
            combine(left, state);
            state.copy_from_slice(left);
        }
        levels[level * size..(level + 1) * size].copy_from_slice(state);
        self.count += 1 << height;
    }

    /// Combines what there is from the right; `state` stays as it is if that is nothing.
    pub(super) fn fold(&mut self, size: usize, state: &mut [u8], combine: impl Fn(&mut [u8], &[u8])) {
        let levels: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words);
        let mut bits = std::mem::take(&mut self.count);
        let mut first = true;
        while bits != 0 {
            let level = bits.trailing_zeros() as usize;
            let left = &mut levels[level * size..(level + 1) * size];
            if !std::mem::take(&mut first) {
                combine(left, state);
            }
            state.copy_from_slice(left);
            bits &= bits - 1;
        }
    }
}
