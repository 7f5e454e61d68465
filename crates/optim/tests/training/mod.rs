//! Drives recorded training steps with the reference interpreter.

pub(crate) mod by_hand;

use wgrad_core::interpret::{self, Environment};
use wgrad_core::vars::InitContext;
use wgrad_core::{Array, F32, Graph, Init, Mode, Tensor, U32, Var, Vars};
use wgrad_optim::Optimizer;

/// The state right after initialization, at step 0.
pub(crate) fn initial(vars: &Vars) -> Environment {
    let mut state = Environment::new();
    for var in vars.all() {
        let graph = Graph::new(Mode::Eval);
        let (shape, name) = (var.shape(), var.name());
        let cx = InitContext { graph: &graph, shape, dtype: var.spec().dtype, name, seed: 1 };
        let value = var.init().record(&cx);
        graph.recording().check().expect("the initializer records without mistakes");
        let values = interpret::evaluate(&graph.recording(), &Environment::new());
        state.insert(name.into(), values[value.id().index()].clone());
    }
    state.insert(Var::step().name().into(), Array::new(U32, [], vec![0.0]));
    state
}

/// One training step, after which the state has seen one more.
pub(crate) fn advance(graph: &Graph, state: &mut Environment) {
    let recording = graph.recording();
    recording.check().expect("the step records without mistakes");
    interpret::step(&recording, state, &[]);
    state.get_mut(Var::step().name()).expect("the step number is part of the state").data[0] += 1.0;
}

/// Two parameters, x scalar and y of two elements, under a loss that is not quadratic:
/// (1 − x)² + ½·‖y − (x², x)‖² + y₀²·y₁/4.
pub(crate) fn problem(graph: &Graph, vars: &Vars) -> Tensor {
    let declare = |name: &str, shape: &[usize], value| {
        vars.get(name).unwrap_or_else(|| vars.var(name, shape, Init::constant(value)))
    };
    let x = graph.var(&declare("x", &[], START[0]));
    let y = graph.var(&declare("y", &[2], START[1]));
    let (y0, y1) = (y.select_index(0, 0), y.select_index(0, 1));
    (1.0 - &x).square()
        + (&y0 - x.square()).square() * 0.5
        + (&y1 - &x).square() * 0.5
        + y0.square() * y1 * 0.25
}

/// Where (x, y₀, y₁) start.
pub(crate) const START: [f64; 3] = [-0.75, 1.5, 1.5];

/// The problem's gradient, derived by hand.
pub(crate) fn gradient([x, y0, y1]: [f64; 3]) -> [f64; 3] {
    let (r, s) = (y0 - x * x, y1 - x);
    [-2.0 * (1.0 - x) - 2.0 * x * r - s, r + y0 * y1 / 2.0, s + y0 * y0 / 4.0]
}

/// The parameters after each of some steps on the problem.
pub(crate) fn trajectory(optimizer: &dyn Optimizer, steps: usize) -> Vec<[f64; 3]> {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    optimizer.minimize(&problem(&graph, &vars), &vars);
    let mut state = initial(&vars);
    let mut point = || {
        advance(&graph, &mut state);
        [state["x"].item(), state["y"].data[0], state["y"].data[1]]
    };
    (0..steps).map(|_| point()).collect()
}

/// The values of a recorded f32 scalar at the given steps.
pub(crate) fn over_steps(steps: &[u32], record: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let graph = Graph::new(Mode::Train);
    let value = record(&graph.var(&Var::step()));
    let recording = graph.recording();
    recording.check().expect("the schedule records without mistakes");
    assert_eq!(value.spec(), wgrad_core::TensorSpec::new(F32, []));
    let at = |&step: &u32| {
        let step = Array::new(U32, [], vec![step.into()]);
        let state = Environment::from([(Var::step().name().to_string(), step)]);
        interpret::evaluate(&recording, &state)[value.id().index()].item()
    };
    steps.iter().map(at).collect()
}
