//! The shaders on a real adapter: accuracy of the elementary functions, Philox and the matrix product.
//!
//! `WGRAD_ADAPTER` chooses an adapter by a part of its name.

mod accuracy;
mod adapter;
mod matmul;
mod philox;
