//! Training as a whole: it learns, the short way does what the explicit way does, and layers know training
//! from evaluation.

use std::sync::LazyLock;

use wgrad::prelude::*;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

struct Cnn {
    conv: Conv2d,
    norm: BatchNorm2d,
    drop: Dropout,
    fc: Linear,
}

impl Cnn {
    fn new(vars: &Vars) -> Self {
        Self {
            conv: Conv2d::new(vars.sub("conv"), 1, 12, 3),
            norm: BatchNorm2d::new(vars.sub("norm"), 12),
            drop: Dropout::new(0.25),
            fc: Linear::new(vars.sub("fc"), 12 * 3 * 3, 10),
        }
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.norm.forward(&self.conv.forward(x)).relu().max_pool2d(2).flatten(1);
        self.fc.forward(&self.drop.forward(&x))
    }
}

#[test]
fn three_epochs_on_the_digits() {
    let (train, test) = digits().split(0.8, 1);
    let vars = Vars::new();
    let model = Cnn::new(&vars);
    let report = Trainer::new(&GPU, &vars, Adam::new(5e-3))
        .epochs(3)
        .batch_size(32)
        .seed(1)
        .progress(false)
        .fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))
        .unwrap();
    println!("{report}");
    let accuracy = report.test().get("accuracy").unwrap();
    assert!(accuracy > 0.85, "{accuracy}");
    let losses: Vec<f64> = report.history.epochs().iter().map(|epoch| epoch.train.loss).collect();
    assert!(losses[2] < losses[1] && losses[1] < losses[0], "{losses:?}");
    let steps = 3 * train.len().div_ceil(32) as u32;
    assert_eq!(report.state.step().unwrap(), steps, "evaluation takes no steps");
    assert_eq!(report.state.read("norm.num_batches_tracked").unwrap().item(), f64::from(steps));
}

/// Evaluation in between, loader threads and late readback change nothing.
#[test]
fn the_short_way_does_what_the_explicit_way_does() {
    const BATCH: usize = 48;
    let (train, test) = digits().take(500).split(0.8, 1);
    let vars = Vars::new();
    let model = Cnn::new(&vars);
    let report = Trainer::new(&GPU, &vars, Adam::new(Cosine::new(1e-2, 18)))
        .epochs(2)
        .batch_size(BATCH)
        .seed(5)
        .progress(false)
        .fit(&train, &test, |x, y| model.forward(x).cross_entropy(y))
        .unwrap();

    let vars = Vars::new();
    let model = Cnn::new(&vars);
    let step = GPU.compile(Mode::Train, |g| {
        let (x, y) = (g.input("image", [BATCH, 1, 8, 8], F32), g.input("label", [BATCH], U32));
        let loss = model.forward(&x).cross_entropy(&y);
        Adam::new(Cosine::new(1e-2, 18)).minimize(&loss, &vars);
        [loss]
    });
    let step = step.unwrap();
    let mut state = GPU.init(&vars, 5).unwrap();
    let loader = Loader::new(train.clone(), BATCH).shuffle(5);
    for (epoch, reported) in report.history.epochs().iter().enumerate() {
        let mut sum = 0.0;
        for (index, batch) in loader.epoch(epoch as u64).enumerate() {
            let loss = step.run(&mut state, batch.unwrap()).unwrap().scalar(0).unwrap();
            sum += loss * loader.records(index) as f64;
        }
        assert_eq!(reported.train.loss, sum / train.len() as f64);
    }
    assert_eq!(report.state.names(), state.names());
    for name in state.names() {
        assert_eq!(report.state.read(&name).unwrap(), state.read(&name).unwrap(), "{name}");
    }
}

/// Means and variances of three features over four records, by hand.
const ROWS: [[f32; 3]; 4] = [[1.0, -2.0, 0.5], [3.0, 0.0, 0.5], [5.0, 2.0, 0.5], [7.0, 0.0, 2.5]];
const MEANS: [f64; 3] = [4.0, 0.0, 1.0];
const VARIANCES: [f64; 3] = [5.0, 2.0, 0.75];

#[test]
fn batch_norm_in_training_and_in_evaluation() {
    let vars = Vars::new();
    let norm = BatchNorm1d::new(vars.sub("norm"), 3);
    let record = |g: &Graph| [norm.forward(&g.input("x", [4, 3], F32))];
    let programs = [Mode::Train, Mode::Eval].map(|mode| GPU.compile(mode, record).unwrap());
    let mut state = GPU.init(&vars, 0).unwrap();
    let batch = || Batch::new().with("x", [4, 3], ROWS.as_flattened());
    let close = |name: &str, found: &[f64], expected: &dyn Fn(usize) -> f64| {
        for (i, &found) in found.iter().enumerate() {
            let expected = expected(i);
            let allowed = 1e-6 * expected.abs().max(1.0);
            assert!((found - expected).abs() < allowed, "{name} {i}: {found}, not {expected}");
        }
    };
    let x = |i: usize| f64::from(ROWS[i / 3][i % 3]);
    let (mut mean, mut variance) = ([0.0; 3], [1.0; 3]);
    for step in 1..=3 {
        let trained = programs[0].run(&mut state, batch()).unwrap().get(0).unwrap();
        close("training", &trained.data, &|i| (x(i) - MEANS[i % 3]) / (VARIANCES[i % 3] + 1e-5).sqrt());
        for i in 0..3 {
            mean[i] = 0.9 * mean[i] + 0.1 * MEANS[i];
            variance[i] = 0.9 * variance[i] + 0.1 * VARIANCES[i] * 4.0 / 3.0;
        }
        for _ in 0..2 {
            let evaluated = programs[1].run(&mut state, batch()).unwrap().get(0).unwrap();
            close("evaluation", &evaluated.data, &|i| (x(i) - mean[i % 3]) / (variance[i % 3] + 1e-5).sqrt());
        }
        close("running_mean", &state.read("norm.running_mean").unwrap().data, &|i| mean[i]);
        close("running_var", &state.read("norm.running_var").unwrap().data, &|i| variance[i]);
        assert_eq!(state.read("norm.num_batches_tracked").unwrap().item(), f64::from(step));
    }
}

#[test]
fn dropout_in_training_and_in_evaluation() {
    const N: usize = 10_000;
    let record = |g: &Graph| [Dropout::new(0.3).forward(&g.input("x", [N], F32))];
    let programs = [Mode::Train, Mode::Eval].map(|mode| GPU.compile(mode, record).unwrap());
    let run = |program: &Program, state: &mut State| {
        let batch = Batch::new().with("x", [N], &[0.7f32; N]);
        program.run(state, batch).unwrap().get(0).unwrap().data
    };
    let mut state = GPU.init(&Vars::new(), 3).unwrap();
    let first = run(&programs[0], &mut state);
    let second = run(&programs[0], &mut state);
    assert_ne!(first, second, "every step has a mask of its own");
    let mut again = GPU.init(&Vars::new(), 3).unwrap();
    assert_eq!(run(&programs[0], &mut again), first, "the mask depends on seed and step");
    assert!(first.iter().all(|&x| x == 0.0 || (x - 1.0).abs() < 1e-6));
    // Binomial: five standard deviations are 230.
    let kept = first.iter().filter(|&&x| x != 0.0).count();
    println!("{kept} of {N} kept");
    assert!(kept.abs_diff(7_000) < 230, "{kept} of {N} kept");
    for _ in 0..2 {
        assert!(run(&programs[1], &mut state).iter().all(|&x| x == f64::from(0.7f32)));
    }
}

/// The mask that the gradient sees is the one that the value saw.
#[test]
fn dropout_drops_the_same_in_the_backward_pass() {
    let program = GPU.compile(Mode::Train, |g| {
        let x = g.input("x", [1000], F32);
        let y = Dropout::new(0.5).forward(&x);
        let gradient = y.sum(..).gradients(&[&x]).remove(0);
        [y, gradient]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    for _ in 0..3 {
        let outputs = program.run(&mut state, Batch::new().with("x", [1000], &[1f32; 1000])).unwrap();
        assert_eq!(outputs.get(0).unwrap().data, outputs.get(1).unwrap().data);
    }
}

/// Plain gradient descent on Σw: each step subtracts its learning rate.
fn rates(
    rate: impl Into<Rate>,
    vars: &Vars,
    steps: usize,
    mut between: impl FnMut(usize, &mut State),
) -> Vec<f64> {
    let w = vars.var("w", [2], Init::constant(0.0));
    let program = GPU.compile(Mode::Train, |g| {
        Sgd::new(rate).minimize(&g.var(&w).sum(..), vars);
        []
    });
    let program = program.unwrap();
    let mut state = GPU.init(vars, 0).unwrap();
    let mut taken = vec![];
    for step in 0..steps {
        between(step, &mut state);
        let before = state.read("w").unwrap().data;
        program.run(&mut state, Batch::new()).unwrap();
        let after = state.read("w").unwrap().data;
        assert_eq!(before[0] - after[0], before[1] - after[1]);
        taken.push(before[0] - after[0]);
        state.write("w", &Array::from_slice([2], &[0f32; 2])).unwrap();
    }
    taken
}

#[test]
fn the_learning_rate_changes_without_compiling() {
    let taken = rates(StepLr::new(0.5, 3, 0.5), &Vars::new(), 7, |_, _| ());
    let expected = [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125];
    assert!(taken.iter().zip(expected).all(|(a, b): (&f64, f64)| (a - b).abs() < 1e-7), "{taken:?}");

    let vars = Vars::new();
    let manual = Manual::new(&vars, 0.5);
    let taken = rates(manual, &vars, 4, |step, state| {
        if step == 2 {
            state.write("optim.lr", &Array::new(F32, [], vec![0.125])).unwrap();
        }
    });
    assert_eq!(taken, [0.5, 0.5, 0.125, 0.125]);
}

#[test]
fn frozen_parameters_stay() {
    let vars = Vars::new();
    let model = Cnn::new(&vars);
    assert_eq!(vars.freeze("conv.*"), 2);
    let (train, test) = digits().take(200).split(0.8, 1);
    let trainer = Trainer::new(&GPU, &vars, Adam::new(1e-2)).epochs(1).seed(4).progress(false);
    let report = trainer.fit(&train, &test, |x, y| model.forward(x).cross_entropy(y)).unwrap();
    let born = GPU.init(&vars, 4).unwrap();
    for name in ["conv.weight", "conv.bias"] {
        assert_eq!(report.state.read(name).unwrap(), born.read(name).unwrap(), "{name}");
    }
    assert_ne!(report.state.read("fc.weight").unwrap(), born.read("fc.weight").unwrap());
    assert!(!report.state.names().iter().any(|name| name.starts_with("conv.") && name.contains("adam")));
}
