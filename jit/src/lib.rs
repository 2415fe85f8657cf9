//! The kernels of Lazuli: kernel IR, vector math, and the backends that run it.
