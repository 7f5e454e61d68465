//! Layers: what has parameters, buffers or a constructor with choices.

mod attention;
mod convolution;
mod norm;
mod pool;
mod recurrent;
mod simple;

use crate::case::Case;
use crate::suite::check;

fn all() -> Vec<Case> {
    [
        simple::cases(),
        convolution::cases(),
        norm::cases(),
        pool::cases(),
        recurrent::cases(),
        attention::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn simple_layers_agree() {
    check("layers", "simple layers", simple::cases());
}

#[test]
fn convolutions_agree() {
    check("layers", "convolutions", convolution::cases());
}

#[test]
fn norms_agree() {
    check("layers", "norms", norm::cases());
}

#[test]
fn pools_agree() {
    check("layers", "pools", pool::cases());
}

#[test]
fn recurrent_layers_agree() {
    check("layers", "recurrent layers", recurrent::cases());
}

#[test]
fn attention_agrees() {
    check("layers", "attention", attention::cases());
}

#[test]
fn every_layer_is_here() {
    crate::golden::same_cases("layers", all().iter().map(|case| case.name));
}
