//! The training loop: it learns, measures exactly, stops when told, and says what is wrong.

use tempfile::TempDir;
use wgrad_core::{Init, Tensor, Var, Vars};
use wgrad_data::{DataError, Dataset, Labelled, TensorDataset, breast_cancer};
use wgrad_gpu::Gpu;
use wgrad_optim::{Adam, Optimizer, Sgd};
use wgrad_train::{Objective, Patience, Report, TrainError, Trainer};

/// Softmax regression on 30 features, from small weights that differ.
struct Regression {
    weight: Var,
    bias: Var,
}

impl Regression {
    fn new(vars: &Vars) -> Self {
        let init = Init::new(|cx| cx.random_bits(0).bits_to_uniform() - 0.5);
        Self { weight: vars.var("weight", [30, 2], init), bias: vars.var("bias", [2], Init::constant(0.0)) }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.matmul(&x.graph().var(&self.weight)) + x.graph().var(&self.bias)
    }
}

fn tumours() -> (Labelled, Labelled) {
    let (train, test) = breast_cancer().split(0.8, 1);
    (train.standardized_by(&train).unwrap(), test.standardized_by(&train).unwrap())
}

fn trainer(vars: &Vars, rate: f64) -> Trainer {
    Trainer::new(&Gpu::new().unwrap(), vars, Sgd::new(rate)).seed(3).progress(false)
}

fn fit(trainer: impl Fn(Trainer) -> Trainer, rate: f64) -> Report {
    let vars = Vars::new();
    let model = Regression::new(&vars);
    let (train, test) = tumours();
    let trainer = trainer(self::trainer(&vars, rate));
    trainer.fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y)).unwrap()
}

/// Loss and accuracy over a dataset, from the trained parameters, by hand.
fn by_hand(report: &Report, data: &Labelled) -> (f64, f64) {
    let weight = report.state.read("weight").unwrap();
    let bias = report.state.read("bias").unwrap();
    let (mut loss, mut right) = (0.0, 0);
    for record in 0..data.len() {
        let (x, label) = (data.input(record).unwrap(), data.label(record).unwrap() as usize);
        let logit = |class: usize| -> f64 {
            let terms = x.iter().enumerate().map(|(i, &v)| f64::from(v) * weight.at(&[i, class]));
            terms.sum::<f64>() + bias.data[class]
        };
        let margin = logit(label) - logit(1 - label);
        loss += (-margin).exp().ln_1p();
        right += usize::from(margin > 0.0);
    }
    (loss / data.len() as f64, right as f64 / data.len() as f64)
}

#[test]
fn learns_and_measures_exactly() {
    let dir = TempDir::new().unwrap();
    let chart = dir.path().join("curves.svg");
    let report = fit(|trainer| trainer.epochs(8).batch_size(32).chart(&chart).summary(true), 0.1);
    assert_eq!(report.history.names(), ["loss", "accuracy"]);
    assert_eq!(report.history.epochs().len(), 8);
    assert!(!report.stopped_early);
    let (loss, accuracy) = by_hand(&report, &tumours().1);
    let test = report.test();
    assert!((test.loss - loss).abs() < 1e-5 * loss.max(1.0), "{} {loss}", test.loss);
    assert!((test.get("accuracy").unwrap() - accuracy).abs() < 1e-6, "{test} {accuracy}");
    assert!(accuracy > 0.93, "{accuracy}");
    assert!(chart.exists());
    let summary = report.to_string();
    assert!(summary.contains("8 epochs") && summary.contains("accuracy 0.9"), "{summary}");
}

/// With a learning rate of zero the model stays as it was born: whatever the batch size, the 114 test
/// records give the same scores.
#[test]
fn evaluation_does_not_depend_on_the_batch_size() {
    let reports = [1, 7, 57, 64, 114, 500].map(|n| fit(|trainer| trainer.epochs(1).batch_size(n), 0.0));
    let (loss, accuracy) = by_hand(&reports[0], &tumours().1);
    for report in &reports {
        let test = report.test();
        assert!((test.loss - loss).abs() < 1e-5, "{} {loss}", test.loss);
        assert!((test.get("accuracy").unwrap() - accuracy).abs() < 1e-6, "{test} {accuracy}");
    }
}

#[test]
fn stops_when_patience_is_at_an_end() {
    let report = fit(|trainer| trainer.epochs(9).early_stopping(Patience(1)), 0.0);
    assert_eq!(report.history.epochs().len(), 3);
    assert!(report.stopped_early);
    assert_eq!(report.history.best().unwrap().epoch, 1);
}

#[test]
fn same_seed_same_history() {
    let losses = |seed| {
        let report = fit(|trainer| trainer.epochs(2).seed(seed), 0.05);
        report.history.epochs().iter().map(|epoch| (epoch.train.loss, epoch.test.loss)).collect::<Vec<_>>()
    };
    assert_eq!(losses(1), losses(1));
    assert_ne!(losses(1), losses(2));
}

/// Four batches of 32 between two updates are one batch of 128: after twenty updates the parameters agree to
/// a millionth of the largest.
#[test]
fn accumulated_batches_are_one_large_batch() {
    let train = |batch_size: usize, accumulate: usize| {
        let vars = Vars::new();
        let model = Regression::new(&vars);
        let (train, test) = tumours();
        let adam = Adam::new(1e-2).weight_decay(0.01);
        let trainer = Trainer::new(&Gpu::new().unwrap(), &vars, adam).seed(3).progress(false);
        let trainer = trainer.batch_size(batch_size).accumulate(accumulate).steps(20);
        let report = trainer.fit(&train.take(384), &test, |x, y| model.forward(x).cross_entropy(y)).unwrap();
        assert_eq!(report.state.read("optim.step").unwrap().item(), 20.0);
        report.state.read("weight").unwrap()
    };
    let (large, small) = (train(128, 1), train(32, 4));
    let largest = large.data.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    let difference = large.data.iter().zip(&small.data).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("largest parameter {largest}, largest difference {difference:e}");
    assert!(difference <= 1e-6 * largest, "{difference} of {largest}");
}

/// What `fit` says to a setting that cannot work.
fn refused(setting: impl Fn(Trainer) -> Trainer, train: &Labelled, test: &Labelled) -> TrainError {
    let vars = Vars::new();
    let model = Regression::new(&vars);
    let result = setting(trainer(&vars, 0.1)).fit(train, test, |x, y| model.forward(x).cross_entropy(y));
    result.err().unwrap()
}

#[test]
fn mistakes_are_told_before_training() {
    let (train, test) = tumours();
    assert!(matches!(refused(|trainer| trainer.epochs(0), &train, &test), TrainError::NoEpochs));
    let error = refused(|trainer| trainer.batch_size(0), &train, &test);
    assert!(matches!(error, TrainError::Data(DataError::BatchSize)));
    for (train, test) in [(&train.take(0), &test), (&train, &test.take(0))] {
        assert!(matches!(refused(|trainer| trainer, train, test), TrainError::Data(DataError::Empty)));
    }
    let error = refused(|trainer| trainer.chart("curves.gif"), &train, &test);
    assert!(error.to_string().contains("curves.gif"), "{error}");
    let error = refused(|trainer| trainer, &train, &wgrad_data::digits());
    let expected = "training records have `features` f32[30] and `label` u32[], \
                    test records `image` f32[1, 8, 8] and `label` u32[]";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn records_need_an_input_and_a_target() {
    let data = TensorDataset::new().field("x", [4], &[0f32; 4]).unwrap();
    let vars = Vars::new();
    let error = trainer(&vars, 0.1).fit(&data, &data, |x, _| x.mean(..)).err().unwrap();
    assert!(error.to_string().ends_with("these have `x` f32[]"), "{error}");
}

#[test]
fn a_model_that_does_not_fit_the_data_is_located() {
    let vars = Vars::new();
    let model = Regression::new(&vars);
    let data = wgrad_data::digits().take(64);
    let result = trainer(&vars, 0.1).fit(&data, &data, |x, y| model.forward(x).cross_entropy(y));
    let message = result.err().unwrap().to_string();
    assert!(message.contains("trainer.rs"), "{message}");
}
