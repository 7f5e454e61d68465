//! The WGSL kernels of wgrad.
