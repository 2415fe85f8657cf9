//! Bytes with an owner.
#![allow(unsafe_code)]

use crate::element::Element;
use crate::error::AllocError;
use crate::{dispatch, pool};
use lazuli_graph::DType;
use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// Reference-counted bytes: a pooled block, a `Vec`, a mapped file, or memory that something else owns.
///
/// A clone shares the bytes. The address never changes, and the bytes are always initialised.
///
/// Who writes through [`Buffer::as_mut_ptr`] must have the bytes to himself: either the buffer
/// [is unique](Buffer::is_unique) and [writable](Buffer::is_writable), or all holders have agreed who writes where.
///
/// ```
/// use lazuli_runtime::Buffer;
/// let buffer = Buffer::alloc(1000)?;
/// assert_eq!(buffer.len(), 1000);
/// assert_eq!(buffer.as_ptr() as usize % 64, 0);
/// let other = buffer.clone();
/// assert!(!buffer.is_unique());
/// # drop(other);
/// # Ok::<(), lazuli_runtime::AllocError>(())
/// ```
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

struct Inner {
    ptr: NonNull<u8>,
    len: usize,
    owner: Owner,
}

// SAFETY: the bytes have no thread they belong to; every owner is `Send + Sync`; writing is the callers' agreement.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

enum Owner {
    Pool(#[allow(dead_code)] Pooled),
    Vec(RawVec),
    #[cfg(not(miri))]
    Map(#[allow(dead_code)] memmap2::Mmap),
    Foreign(#[allow(dead_code)] Box<dyn Any + Send + Sync>),
}

/// A block that goes back to the pool when dropped.
struct Pooled(Option<pool::Block>);

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(block) = self.0.take() {
            pool::give(block);
        }
    }
}

/// A `Vec` of the type of `dtype`, taken apart.
struct RawVec {
    ptr: NonNull<u8>,
    len: usize,
    capacity: usize,
    dtype: DType,
}

impl RawVec {
    fn new<T: Element>(v: Vec<T>) -> RawVec {
        let mut v = ManuallyDrop::new(v);
        RawVec {
            ptr: NonNull::new(v.as_mut_ptr().cast()).expect("the pointer of a Vec is never null"),
            len: v.len(),
            capacity: v.capacity(),
            dtype: T::DTYPE,
        }
    }

    /// # Safety
    /// `T::DTYPE` is `self.dtype`, and `self` is not used or dropped after.
    unsafe fn rebuild<T: Element>(&self) -> Vec<T> {
        // SAFETY: these are the parts of a `Vec<T>`, and by contract they are used once.
        unsafe { Vec::from_raw_parts(self.ptr.as_ptr().cast::<T>(), self.len, self.capacity) }
    }
}

impl Drop for RawVec {
    fn drop(&mut self) {
        // SAFETY: the type is that of `dtype`, and this is the end of `self`.
        dispatch!(self.dtype, T => drop(unsafe { self.rebuild::<T>() }));
    }
}

impl Buffer {
    /// `bytes` bytes from the [pool], aligned to 64 bytes. They are initialised, but with what is not specified.
    ///
    /// # Errors
    /// No memory.
    pub fn alloc(bytes: usize) -> Result<Buffer, AllocError> {
        let block = pool::take(bytes)?;
        Ok(Buffer(Arc::new(Inner { ptr: block.ptr(), len: bytes, owner: Owner::Pool(Pooled(Some(block))) })))
    }

    /// `bytes` zero bytes from the [pool], aligned to 64 bytes.
    ///
    /// # Errors
    /// No memory.
    pub fn zeroed(bytes: usize) -> Result<Buffer, AllocError> {
        let block = pool::take(bytes)?;
        if !block.is_zeroed() {
            // SAFETY: the block has at least `bytes` bytes, and nobody else has it.
            unsafe { block.ptr().as_ptr().write_bytes(0, bytes) }
        }
        Ok(Buffer(Arc::new(Inner { ptr: block.ptr(), len: bytes, owner: Owner::Pool(Pooled(Some(block))) })))
    }

    /// `bytes` bytes from the [pool], which `fill` writes.
    ///
    /// # Errors
    /// No memory; what `fill` returns.
    pub fn build<E: From<AllocError>>(
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Buffer, E> {
        let buffer = Buffer::alloc(bytes)?;
        // SAFETY: the buffer is new, so it is ours alone; it has this length and its bytes are initialised.
        fill(unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr(), bytes) })?;
        Ok(buffer)
    }

    /// The memory of a `Vec`, which is not copied.
    pub fn from_vec<T: Element>(v: Vec<T>) -> Buffer {
        let raw = RawVec::new(v);
        Buffer(Arc::new(Inner { ptr: raw.ptr, len: raw.len * raw.dtype.size(), owner: Owner::Vec(raw) }))
    }

    /// Memory that `owner` keeps alive. It is never written to.
    ///
    /// # Safety
    /// As long as `owner` lives, `ptr` must be valid for reads of `len` initialised bytes that nobody changes. Moving
    /// `owner` must not move the bytes.
    pub unsafe fn from_owner(owner: impl Any + Send + Sync, ptr: *const u8, len: usize) -> Buffer {
        let ptr = NonNull::new(ptr.cast_mut()).unwrap_or(NonNull::dangling());
        Buffer(Arc::new(Inner { ptr, len, owner: Owner::Foreign(Box::new(owner)) }))
    }

    /// The bytes of a file, mapped to memory: they are read when they are first looked at.
    ///
    /// # Errors
    /// The system refuses the mapping.
    ///
    /// # Safety
    /// As long as the buffer or a clone of it lives, nobody may change or shorten the file. (To replace it by another
    /// of the same name is no change.)
    pub unsafe fn map_file(file: &std::fs::File) -> std::io::Result<Buffer> {
        // Nothing can be mapped of an empty file.
        if file.metadata()?.len() == 0 {
            return Ok(Buffer::from_vec(Vec::<u8>::new()));
        }
        Buffer::map(file)
    }

    /// Miri knows no mapping: the file is read.
    #[cfg(miri)]
    fn map(mut file: &std::fs::File) -> std::io::Result<Buffer> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes)?;
        Buffer::build(bytes.len(), |b| {
            b.copy_from_slice(&bytes);
            Ok(())
        })
        .map_err(|_: AllocError| std::io::ErrorKind::OutOfMemory.into())
    }

    #[cfg(not(miri))]
    fn map(file: &std::fs::File) -> std::io::Result<Buffer> {
        // SAFETY: the caller of `map_file`, who is the only one here, answers for the file.
        let map = unsafe { memmap2::Mmap::map(file)? };
        let ptr = NonNull::new(map.as_ptr().cast_mut()).expect("a mapping never lies at address zero");
        Ok(Buffer(Arc::new(Inner { ptr, len: map.len(), owner: Owner::Map(map) })))
    }

    /// The address of the first byte. Not null, also when there are no bytes.
    pub fn as_ptr(&self) -> *const u8 {
        self.0.ptr.as_ptr()
    }

    /// The address of the first byte, to write to. Writing is for who has the bytes to himself: see [`Buffer`].
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.0.ptr.as_ptr()
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Whether this is the only handle on the bytes. What other handles did before they were dropped has happened.
    pub fn is_unique(&self) -> bool {
        let unique = Arc::strong_count(&self.0) == 1;
        // Pairs with the release of each dropped handle: the count is read without order.
        fence(Ordering::Acquire);
        unique
    }

    /// Whether the bytes are ours to write: pooled ones and a `Vec`'s are, those of files and of others are not.
    pub fn is_writable(&self) -> bool {
        matches!(self.0.owner, Owner::Pool(_) | Owner::Vec(_))
    }

    /// Whether the bytes are a mapped file's.
    pub fn is_mapped(&self) -> bool {
        #[cfg(not(miri))]
        return matches!(self.0.owner, Owner::Map(_));
        #[cfg(miri)]
        false
    }

    /// Whether two buffers are handles on the same bytes.
    pub fn same(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The `Vec<T>` this buffer was made of, where it was and this is the only handle; otherwise the buffer again.
    pub(crate) fn into_vec<T: Element>(self) -> Result<Vec<T>, Buffer> {
        if !matches!(&self.0.owner, Owner::Vec(raw) if raw.dtype == T::DTYPE) {
            return Err(self);
        }
        let inner = Arc::try_unwrap(self.0).map_err(Buffer)?;
        let Owner::Vec(raw) = inner.owner else { unreachable!("the owner was a Vec") };
        let raw = ManuallyDrop::new(raw);
        // SAFETY: the dtype was compared above, and `raw` is never dropped.
        Ok(unsafe { raw.rebuild::<T>() })
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = match self.0.owner {
            Owner::Pool(_) => "pool",
            Owner::Vec(_) => "vec",
            #[cfg(not(miri))]
            Owner::Map(_) => "file",
            Owner::Foreign(_) => "foreign",
        };
        write!(f, "Buffer({} bytes of {owner} at {:p})", self.len(), self.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bf16, f16};

    #[test]
    fn vec_comes_back_whole() {
        fn check<T: Element>(v: Vec<T>) {
            let (address, capacity, copy) = (v.as_ptr(), v.capacity(), v.clone());
            let buffer = Buffer::from_vec(v);
            assert!(buffer.is_writable() && buffer.is_unique());
            assert_eq!(buffer.len(), size_of_val(copy.as_slice()));
            let back = buffer.into_vec::<T>().unwrap();
            assert_eq!((back.as_ptr(), back.capacity()), (address, capacity));
            assert_eq!(back, copy);
        }
        check(vec![1.5f64, 2.5]);
        check(vec![true, false, true]);
        check(Vec::<f16>::with_capacity(7));
        check(vec![bf16::ONE; 3]);
        check(vec![1u8; 5]);
    }

    #[test]
    fn vec_stays_where_it_is_shared_or_of_another_type() {
        let buffer = Buffer::from_vec(vec![1i32, 2]);
        let other = buffer.clone();
        let buffer = buffer.into_vec::<i32>().unwrap_err();
        drop(other);
        let buffer = buffer.into_vec::<u32>().unwrap_err();
        assert_eq!(buffer.into_vec::<i32>().unwrap(), [1, 2]);
        assert!(Buffer::alloc(8).unwrap().into_vec::<i64>().is_err());
    }

    #[test]
    fn owner_lives_as_long_as_the_last_handle() {
        let owner: Arc<[u8]> = Arc::from([1u8, 2, 3].as_slice());
        let watch = owner.clone();
        // SAFETY: the owner holds these three bytes, in place, and nobody writes them.
        let buffer = unsafe { Buffer::from_owner(owner.clone(), owner.as_ptr(), 3) };
        drop(owner);
        let other = buffer.clone();
        drop(buffer);
        assert_eq!(Arc::strong_count(&watch), 2);
        assert!(!other.is_writable());
        drop(other);
        assert_eq!(Arc::strong_count(&watch), 1);
    }

    #[test]
    fn zeroed_is_zero_after_reuse() {
        for bytes in [0, 1, 100, 200_000] {
            let buffer = Buffer::alloc(bytes).unwrap();
            // SAFETY: the buffer is unique and of this length.
            unsafe { buffer.as_mut_ptr().write_bytes(0xff, bytes) };
            drop(buffer);
            let buffer = Buffer::zeroed(bytes).unwrap();
            // SAFETY: as above.
            let slice = unsafe { std::slice::from_raw_parts(buffer.as_ptr(), bytes) };
            assert!(slice.iter().all(|&b| b == 0));
        }
    }

    #[test]
    fn buffers_cross_threads() {
        let buffer = Buffer::from_vec(vec![7u64; 100]);
        let other = buffer.clone();
        std::thread::spawn(move || drop(other)).join().unwrap();
        assert!(buffer.is_unique());
        let pooled = Buffer::alloc(500).unwrap();
        std::thread::spawn(move || drop(pooled)).join().unwrap();
    }

    #[cfg(not(miri))]
    #[test]
    fn file_is_mapped_and_not_writable() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"lapis lazuli").unwrap();
        // SAFETY: nobody else knows of the temporary file.
        let buffer = unsafe { Buffer::map_file(&file) }.unwrap();
        // SAFETY: the buffer has `len` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr(), buffer.len()) };
        assert_eq!(bytes, b"lapis lazuli");
        assert!(buffer.is_mapped() && !buffer.is_writable());
    }
}
