//! Optimizers: 100 steps of each on one small problem that is neither quadratic nor convex.

use wgrad::core::case::sensitivity;
use wgrad::core::interpret::{Environment, evaluate, evaluate_with};
use wgrad::core::vars::InitContext;
use wgrad::core::{NodeId, Recording};
use wgrad::optim::RateAdjustment;
use wgrad::prelude::*;

use crate::compare::{RUNS, Verdict, disturb_constants, interpreter_tolerance, sign, spread};
use crate::golden::{Goldens, same_cases};
use crate::suite::GPU;

const STEPS: usize = 100;
/// The steps after which PyTorch's parameters are stored.
const KEPT: [usize; 8] = [1, 2, 3, 5, 10, 20, 50, 100];
/// Parameters move by about 1. Where rounding errors could grow beyond this, settings would have to be tamer.
const MEANINGFUL: f64 = 1e-3;

/// Optimizers with PyTorch's settings in the file.
type Named = (&'static str, Box<dyn Optimizer>);

fn optimizers() -> Vec<Named> {
    [descent(), adams(), scaled(), others(), around()].into_iter().flatten().collect()
}

fn descent() -> Vec<Named> {
    let dampened = Sgd::new(1.0 / 256.0).momentum(0.875).dampening(0.25).weight_decay(0.125);
    let nesterov = Sgd::new(1.0 / 128.0).momentum(0.75).nesterov().weight_decay(1.0 / 16.0);
    vec![
        ("SGD", Box::new(Sgd::new(0.02))),
        ("SGD/momentum", Box::new(Sgd::new(0.01).momentum(0.9))),
        ("SGD/dampening", Box::new(dampened)),
        ("SGD/nesterov", Box::new(nesterov)),
        ("SGD/maximize", Box::new(Sgd::new(1e-4).momentum(0.5).maximize())),
        ("Lion", Box::new(Lion::new(0.01))),
        ("Lion/all", Box::new(Lion::new(1.0 / 256.0).betas(0.875, 0.9375).weight_decay(0.125))),
    ]
}

fn adams() -> Vec<Named> {
    const RATE: f64 = 1.0 / 16.0;
    const EPS: f64 = 1.0 / 1024.0;
    let (b1, b2, decay) = (0.875, 0.9375, 0.125);
    let adam = Adam::new(RATE).betas(b1, b2).eps(EPS).weight_decay(decay).amsgrad();
    let adamw = AdamW::new(RATE).betas(b1, b2).eps(EPS).weight_decay(0.25).amsgrad();
    let nadam = NAdam::new(1.0 / 64.0).betas(b1, b2).eps(EPS).weight_decay(decay).momentum_decay(1.0 / 128.0);
    vec![
        ("Adam", Box::new(Adam::new(0.05))),
        ("Adam/all", Box::new(adam)),
        ("AdamW", Box::new(AdamW::new(0.05))),
        ("AdamW/all", Box::new(adamw)),
        ("Adamax", Box::new(Adamax::new(0.05))),
        ("Adamax/all", Box::new(Adamax::new(1.0 / 32.0).betas(b1, b2).eps(EPS).weight_decay(decay))),
        ("NAdam", Box::new(NAdam::new(0.05))),
        ("NAdam/all", Box::new(nadam)),
        ("NAdam/decoupled", Box::new(NAdam::new(RATE).weight_decay(decay).decoupled())),
        ("RAdam", Box::new(RAdam::new(0.05))),
        ("RAdam/all", Box::new(RAdam::new(RATE).betas(b1, b2).eps(EPS).weight_decay(decay))),
        ("RAdam/decoupled", Box::new(RAdam::new(RATE).weight_decay(decay).decoupled())),
        ("Lamb", Box::new(Lamb::new(0.05))),
        ("Lamb/all", Box::new(Lamb::new(1.0 / 64.0).betas(b1, b2).eps(1.0 / 64.0).weight_decay(decay))),
    ]
}

fn scaled() -> Vec<Named> {
    const EPS: f64 = 1.0 / 1024.0;
    let centered = RmsProp::new(1.0 / 256.0).alpha(0.875).eps(1.0 / 64.0).weight_decay(0.125).centered();
    let adagrad = Adagrad::new(0.25).rate_decay(0.125).initial_accumulator(0.5).eps(EPS).weight_decay(0.125);
    vec![
        ("RMSprop", Box::new(RmsProp::new(0.02))),
        ("RMSprop/centered", Box::new(centered)),
        ("RMSprop/momentum", Box::new(RmsProp::new(1.0 / 256.0).alpha(0.875).momentum(0.5))),
        ("Adagrad", Box::new(Adagrad::new(0.2))),
        ("Adagrad/all", Box::new(adagrad)),
        ("Adadelta", Box::new(Adadelta::new(1.0))),
        ("Adadelta/all", Box::new(Adadelta::new(1.0 / 16.0).rho(0.75).eps(EPS).weight_decay(0.125))),
    ]
}

fn others() -> Vec<Named> {
    let adafactor = Adafactor::new(1.0 / 64.0).decay(-0.5).threshold(1.5).eps(2f64.powi(-20), 1.0 / 64.0);
    let muon = Muon::new(1.0 / 64.0).weight_decay(0.25).momentum(0.75).without_nesterov();
    vec![
        ("Adafactor", Box::new(Adafactor::new(0.05))),
        ("Adafactor/all", Box::new(adafactor.weight_decay(0.125))),
        ("Muon", Box::new(Muon::new(0.02))),
        ("Muon/all", Box::new(muon.adjust_rate(RateAdjustment::MatchAdamW))),
    ]
}

/// What stands around any optimizer's rule.
fn around() -> Vec<Named> {
    let sgd = || Sgd::new(0.01).momentum(0.9);
    let groups = AdamW::new(0.05).weight_decay(0.1).group("b", |group| group.rate(0.005).weight_decay(0.0));
    vec![
        ("groups", Box::new(groups)),
        ("clip_grad_norm", Box::new(sgd().clip_grad_norm(1.0))),
        ("clip_grad_value", Box::new(sgd().clip_grad_value(0.5))),
        ("exponential_average", Box::new(sgd().averaging(Averaging::ema(0.9)))),
        ("stochastic_average", Box::new(sgd().averaging(Averaging::swa()))),
    ]
}

/// The sum of (tanh(x·w) + b − t)² with w [4, 3] and b [3], once for each optimizer, and its updates.
fn record(graph: &Graph, vars: &Vars, goldens: &Goldens) {
    let (x, t) = (graph.input("x", [6, 4], F32), graph.input("t", [6, 3], F32));
    for (name, optimizer) in optimizers() {
        let vars = vars.sub(name);
        let start = |name: &str| {
            let value = goldens.array(&format!("given.{name}"));
            let shape = value.shape().clone();
            graph.var(&vars.var(name, shape, Init::new(move |cx| cx.graph.constant_array(value.clone()))))
        };
        let loss = (x.matmul(&start("w")).tanh() + start("b") - &t).square().sum(..);
        if name.starts_with("Muon") {
            vars.freeze("b"); // it takes matrices alone
        }
        optimizer.minimize(&loss, &vars);
    }
}

/// What PyTorch stored, by the names of variables here.
fn stored(goldens: &Goldens) -> Vec<(String, Array)> {
    let of = |name: &str| {
        let variable = |key: &str| match name {
            "exponential_average" | "stochastic_average" => format!("{name}.{key}.average"),
            _ => format!("{name}.{key}"),
        };
        ["w", "b"].map(|key| (variable(key), goldens.array(&format!("{name}.{key}"))))
    };
    optimizers().iter().flat_map(|(name, _)| of(name)).collect()
}

/// The state after each of the kept steps.
type Course = Vec<Environment>;

/// A recorded step and the state it starts from.
struct Training {
    recording: Recording,
    start: Environment,
}

impl Training {
    fn new(goldens: &Goldens) -> Self {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        record(&graph, &vars, goldens);
        let recording = graph.recording();
        recording.check().unwrap_or_else(|error| panic!("{error}"));
        let mut start = inputs(goldens);
        for var in vars.all() {
            let graph = Graph::new(Mode::Eval);
            let (shape, dtype, name) = (var.shape(), var.spec().dtype, var.name());
            let value = var.init().record(&InitContext { graph: &graph, shape, dtype, name, seed: 0 });
            let value = evaluate(&graph.recording(), &Environment::new()).swap_remove(value.id().index());
            start.insert(name.into(), value);
        }
        Self { recording, start }
    }

    /// Runs the interpreter. `observe` changes values within a step, `change` the new values of variables.
    fn course(
        &self,
        observe: impl Fn(NodeId, &mut Array),
        mut change: impl FnMut(usize, &Environment, Vec<Array>) -> Vec<Array>,
    ) -> Course {
        let (mut state, mut kept) = (self.start.clone(), vec![]);
        for step in 1..=STEPS {
            let values = evaluate_with(&self.recording, &state, &observe);
            let assigns = &self.recording.assigns;
            let new = assigns.iter().map(|(_, id)| values[id.index()].clone()).collect();
            let new = change(step, &state, new);
            state.extend(assigns.iter().map(|(var, _)| var.name().to_string()).zip(new));
            if KEPT.contains(&step) {
                kept.push(state.clone());
            }
        }
        kept
    }

    fn exact(&self) -> Course {
        self.course(|_, _| (), |_, _, new| new)
    }

    /// With constants moved within their rounding.
    fn with_other_constants(&self, run: u64) -> Course {
        self.course(disturb_constants(&self.recording, run), |_, _, new| new)
    }

    /// With the errors in every step that a GPU may make: they move the state, and the steps that follow carry
    /// them on.
    fn with_device_errors(&self, errors: &[Vec<Array>], run: u64) -> Course {
        let change = |step: usize, _: &Environment, mut new: Vec<Array>| {
            let pairs = new.iter_mut().zip(&errors[step - 1]).enumerate();
            for (variable, (value, errors)) in pairs {
                for (element, (value, error)) in value.data.iter_mut().zip(&errors.data).enumerate() {
                    let place = (step << 20 | variable << 10 | element) as u64;
                    *value += error * sign(run, place);
                }
            }
            new
        };
        self.course(|_, _| (), change)
    }

    /// What a GPU may do to each variable in each step.
    fn device_errors(&self) -> Vec<Vec<Array>> {
        let nodes: Vec<NodeId> = self.recording.assigns.iter().map(|(_, id)| *id).collect();
        let mut errors = vec![];
        self.course(
            |_, _| (),
            |step, state, new| {
                errors.push(sensitivity(&self.recording, state, &nodes, step as u64));
                new
            },
        );
        errors
    }
}

fn inputs(goldens: &Goldens) -> Environment {
    ["x", "t"].map(|name| (name.to_string(), goldens.array(&format!("given.{name}")))).into()
}

/// What PyTorch stored of a variable after a kept step.
fn at(stored: &Array, kept: usize) -> Array {
    let shape = Shape::from(&stored.shape()[1..]);
    let size = shape.numel();
    Array::new(F32, shape, stored.data[kept * size..(kept + 1) * size].to_vec())
}

#[test]
fn optimizers_agree() {
    let goldens = Goldens::read("optimizers");
    let training = Training::new(&goldens);
    let exact = training.exact();
    let others: Vec<Course> = (0..RUNS).map(|run| training.with_other_constants(run)).collect();
    let errors = training.device_errors();
    let devices: Vec<Course> = (0..RUNS).map(|run| training.with_device_errors(&errors, run)).collect();
    let device = on_the_gpu(&goldens);

    let mut verdict = Verdict::new();
    for (variable, stored) in stored(&goldens) {
        for (kept, step) in KEPT.iter().enumerate() {
            let (name, expected) = (format!("{variable}, step {step}"), at(&stored, kept));
            let found = &exact[kept][&variable];
            let other = others.iter().map(|course| &course[kept][&variable]);
            let mut allowed = interpreter_tolerance(&expected, found, other);
            verdict.compare("interpreter", &name, found, &expected, &allowed);
            let moved = spread(found, devices.iter().map(|course| &course[kept][&variable]));
            allowed.iter_mut().zip(moved).for_each(|(allowed, moved)| *allowed += moved);
            let most = allowed.iter().copied().fold(0.0, f64::max);
            assert!(most < MEANINGFUL, "{name}: an error of {most:.1e} would pass");
            verdict.compare("GPU", &name, &device[kept][&variable], &expected, &allowed);
        }
    }
    verdict.finish("optimizers");
}

/// The parameters on the device after the kept steps.
fn on_the_gpu(goldens: &Goldens) -> Course {
    let vars = Vars::new();
    let program = GPU.compile(Mode::Train, |graph| {
        record(graph, &vars, goldens);
        []
    });
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    let mut state = GPU.init(&vars, 0).unwrap_or_else(|error| panic!("{error}"));
    let (inputs, mut kept) = (inputs(goldens), vec![]);
    for step in 1..=STEPS {
        let batch = Batch::of_arrays(inputs.iter().map(|(name, array)| (name.as_str(), array)));
        program.run(&mut state, batch).unwrap_or_else(|error| panic!("{error}"));
        if KEPT.contains(&step) {
            let read = |name: String| {
                let value = state.read(&name).unwrap_or_else(|error| panic!("{error}"));
                (name, value)
            };
            kept.push(stored(goldens).into_iter().map(|(name, _)| read(name)).collect());
        }
    }
    kept
}

#[test]
fn every_optimizer_is_here() {
    same_cases("optimizers", optimizers().iter().map(|(name, _)| *name));
}
