//! The bytes of a buffer as slices.
#![allow(unsafe_code)]

use crate::buffer::Buffer;

impl Buffer {
    /// The bytes.
    ///
    /// ```
    /// let buffer = lazuli_runtime::Buffer::from_vec(vec![1u8, 2]);
    /// assert_eq!(buffer.bytes(), [1, 2]);
    /// ```
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are initialised and live as long as `self`; whoever writes has them to himself.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// The bytes, to write to: if they are ours to write, and this is the only handle on them.
    ///
    /// ```
    /// let mut buffer = lazuli_runtime::Buffer::alloc(8)?;
    /// assert!(buffer.bytes_mut().is_some());
    /// let other = buffer.clone();
    /// assert!(buffer.bytes_mut().is_none());
    /// # drop(other);
    /// # Ok::<(), lazuli_runtime::AllocError>(())
    /// ```
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_writable() || !self.is_unique() {
            return None;
        }
        // SAFETY: the bytes are initialised, and this handle, borrowed exclusively, is the only one.
        Some(unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len()) })
    }
}
