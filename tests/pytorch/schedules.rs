//! Learning-rate schedules: the rate of each of 100 steps.

use wgrad::core::interpret::Environment;
use wgrad::prelude::*;

use crate::compare::{Expected, Verdict, device_tolerances, interpret};
use crate::golden::{Goldens, same_cases};
use crate::suite::GPU;

const RATE: f64 = 0.1;
const STEPS: usize = 100;

type Named = (&'static str, Box<dyn Schedule>);

fn schedules() -> Vec<Named> {
    [decays(), cycles(), sequences()].into_iter().flatten().collect()
}

fn decays() -> Vec<Named> {
    vec![
        ("LambdaLR", Box::new(InverseSqrt::new(RATE, 16))),
        ("ConstantLR", Box::new(ConstantLr::new(RATE, 30).factor(0.25))),
        ("LinearLR", Box::new(LinearLr::new(RATE, 40))),
        ("LinearLR/down", Box::new(LinearLr::new(RATE, 70).start(1.0).end(0.125))),
        ("PolynomialLR", Box::new(PolynomialLr::new(RATE, 80, 1.0))),
        ("PolynomialLR/power", Box::new(PolynomialLr::new(RATE, 80, 2.5))),
        ("ExponentialLR", Box::new(ExponentialLr::new(RATE, 0.95))),
        ("StepLR", Box::new(StepLr::new(RATE, 30, 0.3))),
        ("MultiStepLR", Box::new(MultiStepLr::new(RATE, [20, 45, 46], 0.3))),
    ]
}

fn cycles() -> Vec<Named> {
    let three = OneCycleLr::new(RATE, 100).three_phases().div_factor(10.0).final_div_factor(100.0);
    let longer = CosineRestarts::new(RATE, 7).multiply(2).minimum(0.01);
    vec![
        ("CosineAnnealingLR", Box::new(Cosine::new(RATE, 99))),
        ("CosineAnnealingLR/minimum", Box::new(Cosine::new(RATE, 40).minimum(0.01))),
        ("CosineAnnealingWarmRestarts", Box::new(CosineRestarts::new(RATE, 30))),
        ("CosineAnnealingWarmRestarts/longer", Box::new(longer)),
        ("OneCycleLR", Box::new(OneCycleLr::new(RATE, 100))),
        ("OneCycleLR/linear", Box::new(OneCycleLr::new(RATE, 100).rise(0.4).linear())),
        ("OneCycleLR/three-phase", Box::new(three)),
        ("CyclicLR", Box::new(CyclicLr::new(0.01, RATE, 15).down(10))),
        ("CyclicLR/triangular2", Box::new(CyclicLr::new(0.01, RATE, 12).halving())),
        ("CyclicLR/exponential", Box::new(CyclicLr::new(0.01, RATE, 12).exponential(0.98))),
    ]
}

fn sequences() -> Vec<Named> {
    let three = SequentialLr::new(ConstantLr::new(RATE, 15).factor(0.5))
        .then(20, ExponentialLr::new(RATE, 0.95))
        .then(60, StepLr::new(RATE, 10, 0.1));
    let chained = ChainedLr::new(LinearLr::new(RATE, 20).start(0.25)).and(ExponentialLr::new(1.0, 0.98));
    vec![
        ("SequentialLR", Box::new(Warmup::new(10, Cosine::new(RATE, 90)).start(0.1))),
        ("SequentialLR/three", Box::new(three)),
        ("ChainedScheduler", Box::new(chained)),
    ]
}

/// Every schedule's rate at the state's step.
fn record(graph: &Graph) -> Vec<Tensor> {
    let step = graph.var(&Var::step());
    schedules().iter().map(|(_, schedule)| schedule.rate(&step)).collect()
}

#[test]
fn schedules_agree() {
    let goldens = Goldens::read("schedules");
    let rates: Vec<Array> = schedules().iter().map(|(name, _)| goldens.array(name)).collect();
    let graph = Graph::new(Mode::Train);
    let recorded = record(&graph);
    let recording = graph.recording();
    recording.check().unwrap_or_else(|error| panic!("{error}"));
    let program = GPU.compile(Mode::Train, record).unwrap_or_else(|error| panic!("{error}"));
    let mut state = GPU.init(&Vars::new(), 0).unwrap_or_else(|error| panic!("{error}"));
    let mut verdict = Verdict::new();
    for step in 0..STEPS {
        let expected: Vec<Expected> = (schedules().iter().zip(&recorded).zip(&rates))
            .map(|(((name, _), tensor), rates)| Expected {
                name: format!("{name}, step {step}"),
                node: tensor.id(),
                value: Array::new(F32, [], vec![rates.data[step]]),
            })
            .collect();
        let at = Array::new(U32, [], vec![step as f64]);
        let environment = Environment::from([(Var::step().name().to_string(), at)]);
        let allowed = interpret(&recording, &environment, &expected, &mut verdict);
        let device = device_tolerances(&recording, &environment, &expected);
        let outputs = program.run(&mut state, Batch::new()).unwrap_or_else(|error| panic!("{error}"));
        for (i, expected) in expected.iter().enumerate() {
            let found = outputs.get(i).unwrap_or_else(|error| panic!("{error}"));
            verdict.compare("GPU", &expected.name, &found, &expected.value, &[allowed[i][0] + device[i][0]]);
        }
    }
    verdict.finish("schedules");
}

/// A schedule that reads a metric, and the rates of the steps before each observation, on the device.
fn plateau(name: &str, choose: impl Fn(ReduceOnPlateau) -> ReduceOnPlateau) {
    let goldens = Goldens::read("schedules");
    let (metric, expected) = (goldens.array("given.metric"), goldens.array(name));
    let vars = Vars::new();
    let schedule = choose(ReduceOnPlateau::new(&vars, RATE));
    let program = GPU.compile(Mode::Eval, |graph| {
        let rate = schedule.rate(&graph.var(&Var::step()));
        schedule.observe(&graph.input("metric", [], F32));
        [rate]
    });
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    let mut state = GPU.init(&vars, 0).unwrap_or_else(|error| panic!("{error}"));
    let mut verdict = Verdict::new();
    for (step, (metric, expected)) in metric.data.iter().zip(&expected.data).enumerate() {
        let batch = Batch::new().with("metric", [], &[*metric as f32]);
        let outputs = program.run(&mut state, batch).unwrap_or_else(|error| panic!("{error}"));
        let found = outputs.get(0).unwrap_or_else(|error| panic!("{error}"));
        let expected = Array::new(F32, [], vec![*expected]);
        // The initial rate is rounded, and so is each of up to seven products.
        let allowed = 8.0 * f64::from(f32::EPSILON) * expected.item();
        verdict.compare("GPU", &format!("{name}, step {step}"), &found, &expected, &[allowed]);
    }
    verdict.finish(name);
}

#[test]
fn plateaus_agree() {
    plateau("ReduceLROnPlateau", |schedule| schedule.factor(0.5).patience(4));
    plateau("ReduceLROnPlateau/cooldown", |schedule| {
        schedule.factor(0.25).patience(3).threshold(0.05).cooldown(5).minimum(0.002)
    });
}

#[test]
fn every_schedule_is_here() {
    let plateaus = ["ReduceLROnPlateau", "ReduceLROnPlateau/cooldown"];
    same_cases("schedules", schedules().iter().map(|(name, _)| *name).chain(plateaus));
}
