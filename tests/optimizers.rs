//! Every optimizer on the device does what the reference says; accumulation, loss scaling and averages work
//! where infinities are real.

use std::sync::LazyLock;

use wgrad::core::interpret::{self, Environment};
use wgrad::prelude::*;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

const BATCH: usize = 128;
const SHAPES: [(&str, &[usize]); 5] = [
    ("fc1.weight", &[17, 9]),
    ("fc1.bias", &[17]),
    ("mix", &[2, 3, 17]),
    ("fc2.weight", &[6, 2]),
    ("fc2.bias", &[2]),
];

/// Values without a pattern in [−½, ½].
fn noise(seed: usize, shape: &[usize]) -> Array {
    let value = |i: usize| ((i * 7 + seed * 13 + 1) as f64 * 0.618_034).fract() - 0.5;
    let data = (0..shape.iter().product()).map(|i| f64::from(value(i) as f32)).collect();
    Array::new(F32, shape, data)
}

fn parameters() -> Vars {
    let vars = Vars::new();
    for (name, shape) in SHAPES {
        vars.var(name, shape, Init::constant(0.0));
    }
    vars
}

/// The loss of a small network on a batch of some records.
fn loss(g: &Graph, vars: &Vars, records: usize) -> Tensor {
    let p = SHAPES.map(|(name, _)| g.var(&vars.get(name).expect("declared")));
    let x = g.input("x", [records, 9], F32);
    let hidden = (x.matmul(&p[0].t()) + &p[1]).tanh();
    let mixed = hidden.matmul(&p[2].reshape([6, 17]).t()).tanh();
    (mixed.matmul(&p[3]) + &p[4] - g.input("y", [records, 2], F32)).square().mean(..)
}

/// Records `from..to` of the batch of a step, as the program's inputs.
fn batch(step: usize, from: usize, to: usize) -> [(&'static str, Array); 2] {
    [("x", 9), ("y", 2)].map(|(name, width)| {
        let all = noise(100 + 2 * step + width, &[BATCH, width]);
        let data = all.data[from * width..to * width].iter().map(|v| v * 2.0).collect();
        (name, Array::new(F32, [to - from, width], data))
    })
}

fn run(program: &Program, state: &mut State, batch: &[(&'static str, Array)]) -> f64 {
    let arrays = batch.iter().map(|(name, array)| (*name, array));
    program.run(state, Batch::of_arrays(arrays)).unwrap().scalar(0).unwrap()
}

/// A state whose parameters have the noise as their values.
fn begin(vars: &Vars) -> State {
    let mut state = GPU.init(vars, 0).unwrap();
    for (seed, (name, shape)) in SHAPES.into_iter().enumerate() {
        state.write(name, &noise(seed, shape)).unwrap();
    }
    state
}

fn optimizers() -> Vec<Box<dyn Optimizer>> {
    let adam = || AdamW::new(0.02).no_decay("*bias");
    vec![
        Box::new(Sgd::new(0.05).momentum(0.9).dampening(0.1).weight_decay(0.1)),
        Box::new(RmsProp::new(0.02).momentum(0.5).centered()),
        Box::new(Adagrad::new(0.05).rate_decay(0.1)),
        Box::new(Adadelta::new(1.0)),
        Box::new(Adam::new(0.02).amsgrad().clip_grad_norm(0.1)),
        Box::new(adam().averaging(Averaging::swa().every(2)).loss_scale(LossScale::dynamic().growth(2.0, 3))),
        Box::new(Adamax::new(OneCycleLr::new(0.05, 5)).clip_grad_value(0.01)),
        Box::new(NAdam::new(0.02)),
        Box::new(RAdam::new(0.02).betas(0.9, 0.9)),
        Box::new(Lion::new(CosineRestarts::new(0.01, 2).multiply(2)).weight_decay(0.5)),
        Box::new(Lamb::new(0.02).weight_decay(0.1)),
        Box::new(Adafactor::new(0.05).rates_by_depth(0.5, &["fc1.*", "fc2.*"])),
        Box::new(Muon::new(0.02).vectors(|g| g.optimizer(adam()))),
    ]
}

#[test]
fn every_optimizer_does_what_the_reference_says() {
    for optimizer in optimizers() {
        let name = optimizer.name();
        let vars = parameters();
        let record = |g: &Graph| {
            let loss = loss(g, &vars, BATCH);
            optimizer.minimize(&loss, &vars);
            [loss]
        };
        let program = GPU.compile(Mode::Train, record).unwrap();
        let mut state = begin(&vars);
        let graph = Graph::new(Mode::Train);
        let [output] = record(&graph);
        let recording = graph.recording();
        let read = |var: &Var| (var.name().to_string(), state.read(var.name()).unwrap());
        let mut reference: Environment = vars.all().iter().map(read).collect();
        for step in 0..5 {
            let batch = batch(step, 0, BATCH);
            let found = run(&program, &mut state, &batch);
            reference.extend(batch.map(|(name, array)| (name.to_string(), array)));
            let expected = interpret::step(&recording, &mut reference, &[output.id()])[0].item();
            assert!((found - expected).abs() < 2e-6, "{name}, step {step}: loss {found}, not {expected}");
        }
        for var in vars.all() {
            let (found, expected) = (state.read(var.name()).unwrap(), &reference[var.name()]);
            let size = expected.data.iter().fold(1.0, |size: f64, v| size.max(v.abs()));
            let error = found.data.iter().zip(&expected.data).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
            assert!(error < 2e-6 * size, "{name}: {} is off by {error}\n{}", var.name(), program.explain());
        }
        println!("{name}: {} dispatches", program.stats().dispatches);
    }
}

#[test]
fn four_batches_of_32_are_one_of_128() {
    let sgd = Sgd::new(Warmup::new(5, 0.05)).momentum(0.9).weight_decay(1e-3).clip_grad_norm(1.0);
    let large = {
        let vars = parameters();
        let program = GPU.compile(Mode::Train, |g| {
            let loss = loss(g, &vars, BATCH);
            sgd.minimize(&loss, &vars);
            [loss]
        });
        let (program, mut state) = (program.unwrap(), begin(&vars));
        for step in 0..20 {
            run(&program, &mut state, &batch(step, 0, BATCH));
        }
        state
    };
    let vars = parameters();
    let add = GPU.compile(Mode::Train, |g| {
        let loss = loss(g, &vars, 32);
        sgd.accumulate(&loss, &vars);
        [loss]
    });
    let apply = GPU.compile(Mode::Eval, |g| {
        sgd.apply(g, &vars);
        []
    });
    let (add, apply, mut state) = (add.unwrap(), apply.unwrap(), begin(&vars));
    for step in 0..20 {
        for from in [0, 32, 64, 96] {
            run(&add, &mut state, &batch(step, from, from + 32));
        }
        apply.run(&mut state, Batch::new()).unwrap();
    }
    assert_eq!((state.step().unwrap(), large.step().unwrap()), (80, 20));
    for (name, _) in SHAPES {
        let (parts, whole) = (state.read(name).unwrap(), large.read(name).unwrap());
        let norm = whole.data.iter().map(|v| v * v).sum::<f64>().sqrt();
        let off = parts.data.iter().zip(&whole.data).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        println!("{name}: {:e} relative", off / norm);
        assert!(off <= 1e-6 * norm, "{name}: {off} of {norm}");
    }
}

/// A division by zero in the gradient is skipped and counted, and the state is what it would be without.
#[test]
fn an_overflow_is_skipped_counted_and_recovered_from() {
    let vars = Vars::new();
    let w = vars.var("w", [300], Init::constant(1.0));
    let adam = Adam::new(0.1).averaging(Averaging::ema(0.9));
    let scale = LossScale::dynamic().initial(1024.0).growth(2.0, 2);
    let program = GPU.compile(Mode::Train, |g| {
        let loss = (g.var(&w).square() * g.input("x", [300], F32)).sum(..);
        adam.loss_scale(scale).minimize(&loss, &vars);
        [loss]
    });
    let (program, mut state) = (program.unwrap(), GPU.init(&vars, 0).unwrap());
    let step = |x: f32, state: &mut State| {
        let mut values = [0.5f32; 300];
        values[297] = x;
        program.run(state, Batch::new().with("x", [300], &values)).unwrap().get(0).unwrap();
        ["w", "w.adam.exp_avg_sq", "w.average", "optim.step"].map(|name| state.read(name).unwrap())
    };
    let mut before = step(0.5, &mut state);
    // The last one overflows by the scale alone.
    for (bad, count) in [(f32::INFINITY, 1.0), (f32::NAN, 2.0), (f32::NEG_INFINITY, 3.0), (3e38, 4.0)] {
        let after = step(bad, &mut state);
        assert_eq!(after, before, "{bad}");
        assert_eq!(state.read("optim.skipped").unwrap().item(), count);
        assert_eq!(state.read("optim.loss_scale").unwrap().item(), 1024.0 * 0.5f64.powf(count));
        before = after;
    }
    step(0.5, &mut state);
    let [.., steps] = step(0.5, &mut state);
    assert_eq!(steps.item(), 3.0);
    assert_eq!(state.read("optim.loss_scale").unwrap().item(), 128.0);
    assert!(state.read("w").unwrap().data.iter().all(|w| w.is_finite() && *w < 1.0));
}

#[test]
fn evaluation_reads_the_averages() {
    let vars = parameters();
    let sgd = Sgd::new(0.2).averaging(Averaging::ema(0.5));
    let train = GPU.compile(Mode::Train, |g| {
        let loss = loss(g, &vars, BATCH);
        sgd.minimize(&loss, &vars);
        [loss]
    });
    let plain = GPU.compile(Mode::Eval, |g| [loss(g, &vars, BATCH)]).unwrap();
    let averaged = GPU.compile(Mode::Eval, |g| {
        Averaging::read(g, &vars);
        [loss(g, &vars, BATCH)]
    });
    let take = GPU.compile(Mode::Eval, |g| {
        Averaging::write(g, &vars);
        []
    });
    let (train, averaged, take) = (train.unwrap(), averaged.unwrap(), take.unwrap());
    let mut state = begin(&vars);
    let test = batch(50, 0, BATCH);
    let untrained = run(&averaged, &mut state, &test);
    assert_eq!(untrained, run(&plain, &mut state, &test), "nothing is averaged yet");
    for step in 0..5 {
        run(&train, &mut state, &batch(step, 0, BATCH));
    }
    let (now, average) = (run(&plain, &mut state, &test), run(&averaged, &mut state, &test));
    assert!((now - average).abs() > 1e-4, "{now} and {average}");
    take.run(&mut state, Batch::new()).unwrap();
    assert_eq!(run(&plain, &mut state, &test), average);
}

#[test]
fn a_plateau_is_noticed_on_the_device() {
    let vars = Vars::new();
    let plateau = ReduceOnPlateau::new(&vars, 1.0).factor(0.5).patience(1);
    let observe = GPU.compile(Mode::Eval, |g| {
        plateau.observe(&g.input("metric", [], F32));
        []
    });
    let (observe, mut state) = (observe.unwrap(), GPU.init(&vars, 0).unwrap());
    let mut rates = vec![];
    for metric in [3.0f32, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0] {
        observe.run(&mut state, Batch::new().with("metric", [], &[metric])).unwrap();
        rates.push(state.read("optim.lr").unwrap().item());
    }
    assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
}
