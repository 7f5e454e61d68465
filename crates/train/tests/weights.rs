//! Weights from files on a device: as initial values, and onto a state that runs.

#[path = "net/mod.rs"]
mod net;

use wgrad_core::batch::Batch;
use wgrad_core::{Array, Bool, F32, I32, Init, Mode, TensorSpec, U32, Vars};
use wgrad_weights::Weights;

/// A parameter, a small tree of its own, and a buffer of every other kind of element.
fn model() -> Vars {
    let vars = Vars::new();
    vars.var("weight", [3, 2], Init::constant(0.5));
    vars.sub("head").var("bias", [], Init::constant(0.5));
    for (name, dtype) in [("count", U32), ("signed", I32), ("mask", Bool)] {
        vars.buffer(name, TensorSpec::new(dtype, [2]), Init::constant(1.0));
    }
    vars
}

fn file() -> Weights {
    let mut weights = Weights::new();
    let odd = [f32::MIN, -0.0, f32::INFINITY, 1e-40, 0.1, 7.0];
    weights.insert("weight", &Array::from_slice([3, 2], &odd));
    weights.insert("head.bias", &Array::from_slice([], &[-2.5f32]));
    weights.insert("count", &Array::from_slice([2], &[0u32, u32::MAX]));
    weights.insert("signed", &Array::from_slice([2], &[i32::MIN, -1]));
    weights.insert("mask", &Array::new(Bool, [2], vec![0.0, 1.0]));
    weights
}

#[test]
fn a_state_begins_with_the_weights() {
    let vars = model();
    file().apply(&vars).unwrap();
    let state = net::GPU.init(&vars, 3).unwrap();
    for (name, entry) in file().iter() {
        let (expected, found) = (entry.array().unwrap(), state.read(name).unwrap());
        let bits = |array: &Array| array.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((&found.spec, bits(&found)), (&expected.spec, bits(&expected)), "{name}");
    }
}

#[test]
fn a_running_state_takes_weights_between_two_steps() {
    let vars = model();
    let program = net::GPU.compile(Mode::Eval, |graph| {
        let weight = graph.var(&vars.get("weight").unwrap());
        [graph.var(&vars.get("head.bias").unwrap()) + weight.square().sum(..)]
    });
    let (program, mut state) = (program.unwrap(), net::GPU.init(&vars, 3).unwrap());
    let before = program.run(&mut state, Batch::new()).unwrap();
    let mut head = Weights::new();
    head.insert("bias", &Array::new(F32, [], vec![10.0]));
    let matching = head.matching(&vars.sub("head")).strict().unwrap();
    matching.write(|name, value| state.write(name, value)).unwrap();
    let after = program.run(&mut state, Batch::new()).unwrap();
    assert_eq!((before.scalar(0).unwrap(), after.scalar(0).unwrap()), (2.0, 11.5));
}

/// Saved from one state and applied to another model: the same values, in PyTorch's types.
#[test]
fn a_saved_model_is_loaded_again() {
    let vars = model();
    file().apply(&vars).unwrap();
    let state = net::GPU.init(&vars, 3).unwrap();
    let saved = Weights::of_model(&vars, |name| state.read(name)).unwrap();
    let other = model();
    let report = Weights::from_bytes(saved.to_bytes().unwrap()).unwrap().apply(&other).unwrap();
    assert_eq!(report.loaded.len(), 5);
    assert_eq!(net::bits(&net::GPU.init(&other, 3).unwrap()), net::bits(&state));
}
