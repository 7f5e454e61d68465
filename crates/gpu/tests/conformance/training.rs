//! Variables: several steps on the device leave the same state as in the reference.

use std::collections::HashMap;

use wgrad_core::batch::Batch;
use wgrad_core::case::{Fill, Operand, fill};
use wgrad_core::interpret::{Environment, step};
use wgrad_core::{Array, DType, F32, Graph, Init, Mode, Tensor, TensorSpec, Var, Vars};
use wgrad_gpu::Gpu;
use wgrad_gpu::plan::Archetype;

use crate::compare::DEVICES;

/// A small network with an update like Adam's for parameters of several sizes.
fn record(g: &Graph, vars: &Vars, parameters: &[Var]) -> Tensor {
    let x = g.input("x", [40, 5], F32);
    let p: Vec<Tensor> = parameters.iter().map(|var| g.var(var)).collect();
    let h = (x.matmul(&p[0]) + &p[1]).tanh();
    let y = (h.matmul(&p[2]) + &p[3]).tanh();
    let loss = (y.matmul(&p[4]) - 0.5).square().mean(..);
    let t = g.var(&Var::step()).cast(F32) + 1.0;
    let correction = (1.0 - (t * 0.9f64.ln()).exp()).sqrt();
    for (var, gradient) in loss.backward(vars) {
        let m = vars.slot("m", &var, Init::constant(0.0));
        let moment = g.var(&m) * 0.9 + &gradient * 0.1;
        let value = g.var(&var) - &moment / (&correction + 0.1) * 0.05;
        g.assign(&m, &moment);
        g.assign(&var, &value);
    }
    loss
}

fn run(gpu: &Gpu, name: &str) {
    let vars = Vars::new();
    let shapes: [&[usize]; 5] = [&[5, 37], &[37], &[37, 41], &[41], &[41, 3]];
    let parameters: Vec<Var> =
        shapes.iter().enumerate().map(|(i, s)| vars.var(&format!("p{i}"), *s, Init::constant(0.0))).collect();
    let program = gpu.compile(Mode::Train, |g| [record(g, &vars, &parameters)]).expect("compiles");
    let mut state = gpu.init(&vars, 3).expect("a state");

    let graph = Graph::new(Mode::Train);
    let loss = record(&graph, &vars, &parameters);
    graph.assign(&Var::step(), &(graph.var(&Var::step()) + graph.scalar(1.0, DType::U32)));
    let recording = graph.recording();
    let mut reference = Environment::new();
    for (number, var) in parameters.iter().enumerate() {
        let operand = Operand { spec: var.spec().clone(), fill: Fill::Uniform(-0.5, 0.5) };
        let value = fill(&operand, number as u64);
        state.write(var.name(), &value).expect("a variable");
        reference.insert(var.name().into(), value);
    }
    for round in 0..5 {
        let operand = Operand { spec: TensorSpec::new(F32, [40, 5]), fill: Fill::Uniform(-1.0, 1.0) };
        let x = fill(&operand, 100 + round);
        let outputs = program.run(&mut state, Batch::of_arrays([("x", &x)])).expect("runs");
        reference.insert("x".into(), x);
        let expected = step(&recording, &mut reference, &[loss.id()])[0].item();
        let found = outputs.scalar(0).expect("a loss");
        assert!((found - expected).abs() < 1e-5, "{name}, step {round}: loss {found}, expected {expected}");
    }
    assert_eq!(state.step().expect("a step"), 5);
    let mut worst: HashMap<String, f64> = HashMap::new();
    for var in vars.all() {
        let (found, expected): (Array, &Array) =
            (state.read(var.name()).expect("a value"), &reference[var.name()]);
        let error = found.data.iter().zip(&expected.data).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        worst.insert(var.name().into(), error);
    }
    assert!(worst.values().all(|&error| error < 2e-6), "{name}: {worst:?}\n{}", program.explain());
}

#[test]
fn steps_change_the_state_as_the_reference_says() {
    DEVICES.iter().for_each(|(name, gpu)| run(gpu, name));
}

#[test]
fn updates_of_all_parameters_share_a_dispatch() {
    let vars = Vars::new();
    let parameters: Vec<Var> =
        (0..9).map(|i| vars.var(&format!("p{i}"), [10 + i, 3], Init::constant(1.0))).collect();
    let gpu = &DEVICES[0].1;
    let program = gpu
        .compile(Mode::Train, |g| {
            for var in &parameters {
                let p = g.var(var);
                g.assign(var, &(&p - p.square().exp() * 0.25));
            }
            []
        })
        .expect("compiles");
    // The updates are equal maps over different tensors; the step counter is another map.
    assert_eq!(program.stats().dispatches, 2, "{}", program.explain());
    let mut state = gpu.init(&vars, 0).expect("a state");
    program.run(&mut state, Batch::new()).expect("runs");
    for var in &parameters {
        let expected = 1.0 - 0.25 * 1f64.exp();
        let value = state.read(var.name()).expect("a value");
        assert!(value.data.iter().all(|v| (v - expected).abs() < 1e-6), "{}: {value:?}", var.name());
    }
}

/// Four equal layers, each with a row of its own that is summed.
fn record_alike(g: &Graph, vars: &Vars, parameters: &[Var]) -> Tensor {
    let mut x = g.input("x", [40, 37], F32);
    for pair in parameters.chunks(2) {
        x = (x.matmul(&g.var(&pair[0])) + g.var(&pair[1])).tanh();
    }
    let loss = (x - 0.5).square().mean(..);
    for (var, gradient) in loss.backward(vars) {
        g.assign(&var, &(g.var(&var) - gradient * 0.1));
    }
    loss
}

#[test]
fn gradients_and_updates_of_layers_built_alike_share_dispatches() {
    for (name, gpu) in DEVICES.iter() {
        let vars = Vars::new();
        let shape = |i: usize| if i.is_multiple_of(2) { vec![37, 37] } else { vec![37] };
        let parameters: Vec<Var> =
            (0..8).map(|i| vars.var(&format!("p{i}"), shape(i), Init::constant(0.0))).collect();
        let program = gpu.compile(Mode::Eval, |g| [record_alike(g, &vars, &parameters)]).expect("compiles");
        let mut state = gpu.init(&vars, 3).expect("a state");
        let graph = Graph::new(Mode::Eval);
        let loss = record_alike(&graph, &vars, &parameters);
        let mut reference = Environment::new();
        let value = |spec: &TensorSpec, seed| {
            fill(&Operand { spec: spec.clone(), fill: Fill::Uniform(-0.3, 0.3) }, seed)
        };
        for (number, var) in parameters.iter().enumerate() {
            let value = value(var.spec(), number as u64);
            state.write(var.name(), &value).expect("a variable");
            reference.insert(var.name().into(), value);
        }
        for round in 0..3 {
            let x = value(&TensorSpec::new(F32, [40, 37]), 100 + round);
            program.run(&mut state, Batch::of_arrays([("x", &x)])).expect("runs");
            reference.insert("x".into(), x);
            step(&graph.recording(), &mut reference, &[loss.id()]);
        }
        for var in &parameters {
            let (found, expected) = (state.read(var.name()).expect("a value"), &reference[var.name()]);
            let error = found.data.iter().zip(&expected.data).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
            assert!(error < 1e-6, "{name}, {}: {error:e}\n{}", var.name(), program.explain());
        }
        let plan = program.plan();
        let packed = |wanted: fn(&Archetype) -> bool| {
            let kernels = plan.steps.iter().map(|step| &plan.kernels[step.clone()]);
            kernels.filter(|step| wanted(&step[0].archetype)).map(<[_]>::len).max().unwrap_or(0)
        };
        if gpu.options().fuse {
            let contractions = packed(|archetype| matches!(archetype, Archetype::Contract { .. }));
            let rows = packed(|archetype| matches!(archetype, Archetype::Row { .. }));
            // The first layer's gradients read the input, and lie elsewhere for all others.
            assert!(rows >= 3 || contractions >= 3, "{name}: {rows} rows, {contractions} contractions");
        }
    }
}

#[test]
fn variables_can_swap_their_values() {
    for (name, gpu) in DEVICES.iter() {
        let vars = Vars::new();
        let (a, b) = (vars.var("a", [4], Init::constant(1.0)), vars.var("b", [4], Init::constant(2.0)));
        let program = gpu.compile(Mode::Eval, |g| {
            let (old_a, old_b) = (g.var(&a), g.var(&b));
            g.assign(&a, &old_b);
            g.assign(&b, &old_a);
            []
        });
        let program = program.expect("compiles");
        let mut state = gpu.init(&vars, 0).expect("a state");
        program.run(&mut state, Batch::new()).expect("runs");
        assert_eq!(state.read("a").expect("a").data, [2.0; 4], "{name}");
        assert_eq!(state.read("b").expect("b").data, [1.0; 4], "{name}");
    }
}
