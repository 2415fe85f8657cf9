//! Freed blocks of memory, kept for the next buffer of their size.
//!
//! Invariants:
//! - a block has the size of its class, and is aligned to [`ALIGN`]; its memory is initialised, its contents are not
//!   specified;
//! - blocks of up to [`SMALL`] bytes are cached by the thread that frees them, a bounded amount each; larger ones, and
//!   what threads have no room for, are kept here for all threads, at most [`Stats::limit`] bytes;
//! - where the limit is exceeded, the blocks freed longest ago go back to the system.
//!
//! | size | classes | memory from |
//! |---|---|---|
//! | up to 512 | multiples of 64 | the allocator |
//! | up to [`MAPPED`] | 8 for each doubling (at most 12.5 % unused) | the allocator |
//! | larger | the same; what is unused is never touched | the system's pages, on Linux huge ones |
#![allow(unsafe_code)]

use crate::error::AllocError;
use std::alloc::Layout;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// Alignment of every block, in bytes: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// The largest block, in bytes, that threads cache for themselves.
pub const SMALL: usize = 64 << 10;

/// The smallest block, in bytes, that is mapped from the system rather than taken from the allocator.
pub const MAPPED: usize = 1 << 20;

/// Size of a huge page, and the smallest block that is placed on one.
const HUGE: usize = 2 << 20;

/// What one thread caches at most: bytes in all, and blocks of one class.
const THREAD_BYTES: usize = 1 << 20;
const THREAD_BLOCKS: usize = 16;

/// The default limit where a quarter of the machine's memory is not less.
const DEFAULT_LIMIT: usize = 1 << 30;

const CLASSES: usize = 8 + (usize::BITS as usize - 9) * 8;
const SMALL_CLASSES: usize = class_of(SMALL) + 1;

/// The class of a block for `bytes` bytes.
const fn class_of(bytes: usize) -> usize {
    let last = if bytes == 0 { 0 } else { bytes - 1 };
    if last < 512 {
        last / 64
    } else {
        let e = last.ilog2() as usize;
        8 + (e - 9) * 8 + (last >> (e - 3)) - 8
    }
}

/// Bytes of a block of a class; the inverse of [`class_of`].
const fn size_of_class(class: usize) -> usize {
    if class < 8 { (class + 1) * 64 } else { ((class - 8) % 8 + 9) << ((class - 8) / 8 + 6) }
}

/// Where a block's memory comes from.
enum Source {
    Heap,
    #[cfg(not(miri))]
    Map(#[allow(dead_code)] memmap2::MmapMut),
}

/// Memory of the size of its class, returned to the system when dropped.
pub(crate) struct Block {
    ptr: NonNull<u8>,
    class: u16,
    /// Fresh from the system, hence all zero.
    zeroed: bool,
    source: Source,
}

// SAFETY: a block is the only owner of its memory, which no thread is tied to.
unsafe impl Send for Block {}
// SAFETY: a shared block only gives its address.
unsafe impl Sync for Block {}

impl Block {
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    pub(crate) fn is_zeroed(&self) -> bool {
        self.zeroed
    }

    fn size(&self) -> usize {
        size_of_class(self.class as usize)
    }

    fn layout(size: usize) -> Option<Layout> {
        Layout::from_size_align(size, ALIGN).ok()
    }

    /// A block from the system.
    fn new(class: usize) -> Option<Block> {
        let size = size_of_class(class);
        #[cfg(not(miri))]
        if size >= MAPPED {
            return Block::map(class, size);
        }
        let layout = Block::layout(size)?;
        // SAFETY: the size of a class is never zero.
        let ptr = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        Some(Block { ptr, class: class as u16, zeroed: true, source: Source::Heap })
    }

    /// Pages of the system. A block of at least a huge page starts on one; the address space spent on that costs no
    /// memory. Where the system has no huge pages to give, small ones do.
    #[cfg(not(miri))]
    fn map(class: usize, size: usize) -> Option<Block> {
        let slack = if size >= HUGE { HUGE } else { 0 };
        let total = size.checked_add(slack).filter(|&n| n <= isize::MAX as usize)?;
        let mut map = memmap2::MmapMut::map_anon(total).ok()?;
        #[cfg(target_os = "linux")]
        if slack > 0 {
            // Advice may be refused; then the pages stay small.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let start = map.as_mut_ptr();
        let skip = if slack > 0 { start.align_offset(HUGE).min(slack) } else { 0 };
        // SAFETY: `skip` is at most `slack`, and the mapping is `slack` bytes longer than the block.
        let ptr = NonNull::new(unsafe { start.add(skip) })?;
        Some(Block { ptr, class: class as u16, zeroed: true, source: Source::Map(map) })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Source::Heap = self.source
            && let Some(layout) = Block::layout(self.size())
        {
            // SAFETY: `new` took the memory from the allocator with this very layout, and nobody else frees it.
            unsafe { std::alloc::dealloc(self.ptr.as_ptr(), layout) }
        }
    }
}

/// What the pool holds, as [`stats`] reports it. Blocks that threads cache for themselves are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in freed blocks kept for reuse.
    pub cached_bytes: usize,
    /// Freed blocks kept for reuse.
    pub cached_blocks: usize,
    /// The most bytes that are kept.
    pub limit: usize,
    /// Bytes in use in blocks larger than [`SMALL`].
    pub live_bytes: usize,
    /// The most [`Stats::live_bytes`] has been since the start or [`reset_peak`].
    pub peak_live_bytes: usize,
    /// Larger blocks that were served again.
    pub reused: u64,
    /// Larger blocks that came from the system.
    pub fresh: u64,
}

struct Shelf {
    /// Freed blocks by class, each with the time it was freed, oldest first.
    blocks: Vec<VecDeque<(u64, Block)>>,
    clock: u64,
    stats: Stats,
}

static SHELF: LazyLock<Mutex<Shelf>> = LazyLock::new(|| {
    let limit = crate::cpu::total_memory().map_or(DEFAULT_LIMIT, |m| (m / 4).min(DEFAULT_LIMIT));
    let blocks = std::iter::repeat_with(VecDeque::new).take(CLASSES).collect();
    Mutex::new(Shelf { blocks, clock: 0, stats: Stats { limit, ..Stats::default() } })
});

fn shelf() -> MutexGuard<'static, Shelf> {
    // Nothing that holds the lock can panic half-way through a change.
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    fn pop(&mut self, class: usize) -> Option<Block> {
        let (_, block) = self.blocks[class].pop_back()?;
        self.stats.cached_blocks -= 1;
        self.stats.cached_bytes -= block.size();
        Some(block)
    }

    fn push(&mut self, block: Block) {
        self.clock += 1;
        self.stats.cached_blocks += 1;
        self.stats.cached_bytes += block.size();
        self.blocks[block.class as usize].push_back((self.clock, block));
    }

    /// Takes out what was freed longest ago until `room` more bytes fit the limit.
    fn make_room(&mut self, room: usize) -> Vec<Block> {
        let mut gone = Vec::new();
        while self.stats.cached_blocks > 0 && self.stats.cached_bytes.saturating_add(room) > self.stats.limit {
            let oldest = self.blocks.iter_mut().filter(|q| !q.is_empty()).min_by_key(|q| q.front().map(|b| b.0));
            let Some((_, block)) = oldest.and_then(VecDeque::pop_front) else { break };
            self.stats.cached_blocks -= 1;
            self.stats.cached_bytes -= block.size();
            gone.push(block);
        }
        gone
    }
}

/// The blocks one thread keeps for itself.
struct Cache {
    blocks: [Vec<Block>; SMALL_CLASSES],
    bytes: usize,
}

impl Drop for Cache {
    fn drop(&mut self) {
        for block in self.blocks.iter_mut().flat_map(std::mem::take) {
            keep(block);
        }
    }
}

thread_local! {
    static CACHE: RefCell<Cache> = const { RefCell::new(Cache { blocks: [const { Vec::new() }; SMALL_CLASSES], bytes: 0 }) };
}

/// A block for `bytes` bytes.
pub(crate) fn take(bytes: usize) -> Result<Block, AllocError> {
    let failed = AllocError { bytes };
    if bytes > isize::MAX as usize / 2 {
        return Err(failed);
    }
    let class = class_of(bytes);
    if class < SMALL_CLASSES {
        let cached = CACHE.try_with(|c| {
            let mut cache = c.borrow_mut();
            let block = cache.blocks[class].pop()?;
            cache.bytes -= block.size();
            Some(block)
        });
        if let Ok(Some(block)) = cached {
            return Ok(block);
        }
        if let Some(block) = shelf().pop(class) {
            return Ok(block);
        }
    } else {
        let size = size_of_class(class);
        let mut shelf = shelf();
        let found = shelf.pop(class);
        shelf.stats.live_bytes += size;
        shelf.stats.peak_live_bytes = shelf.stats.peak_live_bytes.max(shelf.stats.live_bytes);
        if let Some(block) = found {
            shelf.stats.reused += 1;
            return Ok(block);
        }
        shelf.stats.fresh += 1;
    }
    // What the pool keeps must not be the reason that there is none left.
    Block::new(class)
        .or_else(|| {
            trim();
            Block::new(class)
        })
        .ok_or_else(|| {
            if class >= SMALL_CLASSES {
                shelf().stats.live_bytes -= size_of_class(class);
            }
            failed
        })
}

/// Takes a block back.
pub(crate) fn give(mut block: Block) {
    block.zeroed = false;
    let class = block.class as usize;
    if class < SMALL_CLASSES {
        let mut left = Some(block);
        // A thread that is ending has no cache any more.
        let _ = CACHE.try_with(|c| {
            let mut cache = c.borrow_mut();
            let size = size_of_class(class);
            if cache.blocks[class].len() < THREAD_BLOCKS && cache.bytes + size <= THREAD_BYTES {
                cache.bytes += size;
                cache.blocks[class].extend(left.take());
            }
        });
        match left {
            Some(b) => block = b,
            None => return,
        }
    } else {
        shelf().stats.live_bytes -= block.size();
    }
    keep(block);
}

/// Puts a block on the shelf, if the limit allows.
fn keep(block: Block) {
    let mut shelf = shelf();
    if block.size() <= shelf.stats.limit {
        let gone = shelf.make_room(block.size());
        shelf.push(block);
        // The system takes its time; others need not wait for it.
        drop(shelf);
        drop(gone);
    }
}

/// What the pool holds now.
///
/// ```
/// let stats = lazuli_runtime::pool::stats();
/// assert!(stats.cached_bytes <= stats.limit);
/// ```
pub fn stats() -> Stats {
    shelf().stats
}

/// Starts [`Stats::peak_live_bytes`] anew from what is in use now.
pub fn reset_peak() {
    let mut shelf = shelf();
    shelf.stats.peak_live_bytes = shelf.stats.live_bytes;
}

/// Sets how many bytes of freed blocks are kept at most; the default is a quarter of the machine's memory, at most
/// 1 GiB. What exceeds it goes back to the system at once.
pub fn set_limit(bytes: usize) {
    let mut shelf = shelf();
    shelf.stats.limit = bytes;
    let gone = shelf.make_room(0);
    drop(shelf);
    drop(gone);
}

/// Gives every freed block back to the system, except those that other threads cache for themselves.
pub fn trim() {
    let _ = CACHE.try_with(|c| {
        let mut cache = c.borrow_mut();
        cache.bytes = 0;
        cache.blocks.iter_mut().for_each(|b| *b = Vec::new());
    });
    let mut shelf = shelf();
    let gone: Vec<_> = shelf.blocks.iter_mut().map(std::mem::take).collect();
    shelf.stats.cached_bytes = 0;
    shelf.stats.cached_blocks = 0;
    drop(shelf);
    drop(gone);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_tight_and_in_order() {
        for class in 0..8 * 20 {
            let size = size_of_class(class);
            assert_eq!(class_of(size), class, "a class's own size");
            assert_eq!(class_of(size + 1), class + 1, "one byte more");
            assert_eq!(size % ALIGN, 0);
        }
        for bytes in (1..100_000).step_by(7) {
            let size = size_of_class(class_of(bytes));
            assert!(size >= bytes);
            assert!(size <= 512 || (size - bytes) * 8 <= size, "{bytes} in {size}");
        }
        assert!(class_of(isize::MAX as usize / 2) < CLASSES);
        assert_eq!(class_of(0), 0);
    }

    #[test]
    fn small_blocks_come_back_to_the_thread_that_freed_them() {
        let block = take(100).unwrap();
        let address = block.ptr().as_ptr();
        give(block);
        let again = take(128).unwrap();
        assert_eq!(again.ptr().as_ptr(), address);
        assert!(!again.is_zeroed());
        give(again);
    }

    #[test]
    fn blocks_are_aligned_and_fresh_ones_zero() {
        for bytes in [0, 1, 63, 64, 65, 4096, 70_000, 1 << 20, (3 << 20) + 1] {
            let block = take(bytes).unwrap();
            assert_eq!(block.ptr().as_ptr() as usize % ALIGN, 0);
            // SAFETY: the block has at least `bytes` initialised bytes, and nobody else has it.
            let slice = unsafe { std::slice::from_raw_parts_mut(block.ptr().as_ptr(), bytes) };
            if block.is_zeroed() {
                assert!(slice.iter().all(|&b| b == 0));
            }
            slice.fill(0xa5);
            give(block);
        }
    }

    #[test]
    fn too_much_is_an_error() {
        for bytes in [usize::MAX, isize::MAX as usize, 1 << 61] {
            assert_eq!(take(bytes).err(), Some(AllocError { bytes }));
        }
        #[cfg(all(not(miri), target_pointer_width = "64"))]
        assert!(take(1 << 56).is_err(), "more than any address space");
    }
}
