//! Every operation on the device against the f64 reference: forward and backward, fused and unfused, with
//! the kernel shapes of software adapters and of GPUs, in a workspace filled with NaN before each run.

mod cases;
mod compare;
mod large;
mod mixed;
mod random;
mod shaders;
mod table;
mod training;
mod workgroup;
