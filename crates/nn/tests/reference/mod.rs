//! Runs modules in the reference interpreter.

use wgrad_core::interpret::{self, Environment};
use wgrad_core::ops::philox;
use wgrad_core::vars::InitContext;
use wgrad_core::{Array, DType, F32, Graph, Init, Mode, Shape, U32, Var, VarKind, Vars};
use wgrad_nn::Module;

/// Numbers in [−1, 1) that differ with the stream.
pub(crate) fn noise(shape: impl Into<Shape>, stream: u32) -> Array {
    let shape = shape.into();
    let number = |i| f64::from(philox([i as u32, 0, stream, 7], [1, 2])[0]) / 2f64.powi(31) - 1.0;
    let data = (0..shape.numel()).map(number).collect();
    Array::new(F32, shape, data)
}

/// The values an initializer gives a variable.
pub(crate) fn born(init: &Init, name: &str, dtype: DType, shape: &Shape, seed: u64) -> Array {
    let graph = Graph::new(Mode::Eval);
    let value = init.record(&InitContext { graph: &graph, shape, dtype, name, seed });
    graph.recording().check().expect("the initializer records without mistakes");
    interpret::evaluate(&graph.recording(), &Environment::new()).swap_remove(value.id().index())
}

/// The state right after initialization, at step 0.
pub(crate) fn initial(vars: &Vars) -> Environment {
    vars.check().expect("the variables are declared without mistakes");
    let value = |var: &Var| born(&var.init(), var.name(), var.spec().dtype, var.shape(), 1);
    let mut state: Environment = vars.all().iter().map(|var| (var.name().to_string(), value(var))).collect();
    state.insert(Var::step().name().into(), Array::new(U32, [], vec![0.0]));
    state.insert(Var::seed().name().into(), Array::new(U32, [2], vec![1.0, 0.0]));
    state
}

/// The initial state with random parameters, so that no weight is 1 and no bias 0.
pub(crate) fn scrambled(vars: &Vars) -> Environment {
    let mut state = initial(vars);
    for (stream, var) in vars.all().iter().enumerate() {
        if *var.kind() == VarKind::Parameter {
            state.insert(var.name().into(), noise(var.shape(), 100 + stream as u32));
        }
    }
    state
}

/// One step: the module's output, after which its buffers have their new values.
pub(crate) fn run(mode: Mode, module: &dyn Module, x: &Array, state: &mut Environment) -> Array {
    let graph = Graph::new(mode);
    let y = module.forward(&graph.input("x", x.shape(), x.spec.dtype));
    let recording = graph.recording();
    recording.check().expect("the module records without mistakes");
    state.insert("x".into(), x.clone());
    let output = interpret::step(&recording, state, &[y.id()]).remove(0);
    if mode == Mode::Train {
        state.get_mut(Var::step().name()).expect("the step number is part of the state").data[0] += 1.0;
    }
    output
}

/// The output in evaluation, which changes nothing.
pub(crate) fn eval(module: &dyn Module, x: &Array, state: &Environment) -> Array {
    run(Mode::Eval, module, x, &mut state.clone())
}

/// An array from a formula over multi-indices.
pub(crate) fn array(shape: impl Into<Shape>, formula: impl FnMut(&[usize]) -> f64) -> Array {
    Array::from_fn(&wgrad_core::TensorSpec::new(F32, shape), formula)
}

/// Equal spec, and values equal up to f64 rounding and to layers' constants being rounded to f32.
pub(crate) fn assert_close(actual: &Array, expected: &Array, tolerance: f64) {
    assert_eq!(actual.spec, expected.spec);
    for (i, (a, b)) in actual.data.iter().zip(&expected.data).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "element {i}: {a} is not {b}");
    }
}
