//! The runtime of Lazuli: buffers, strided tensors, threads, library kernels, file formats.
