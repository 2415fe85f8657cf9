//! Lazy n-dimensional arrays with NumPy semantics, fused and compiled to vector code.
