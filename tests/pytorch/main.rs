//! wgrad against PyTorch: values, gradients, trajectories, schedules and loss curves.
//!
//! `make_goldens.py` ran PyTorch once, in f64, and left `goldens/`. Here the same cases are recorded, and both the
//! f64 interpreter and the GPU must come to those values. A case is `Class/variant`, named like PyTorch's class;
//! both sides must have the same ones.

mod case;
mod compare;
mod curves;
mod functions;
mod gains;
mod golden;
mod layers;
mod losses;
mod models;
mod optimizers;
mod published;
mod schedules;
mod suite;
