//! The shaders on a real adapter: accuracy of the elementary functions, and Philox.
//!
//! `WGRAD_ADAPTER` chooses an adapter by a part of its name.

mod accuracy;
mod adapter;
mod philox;
