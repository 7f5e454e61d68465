//! Metrics: the values of scikit-learn, whatever the batches are, and as many bytes read back for each.

#[path = "net/mod.rs"]
mod net;

use wgrad_core::{F32, Init, Tensor, U32, Vars};
use wgrad_data::TensorDataset;
use wgrad_optim::Sgd;
use wgrad_train::{Average, Confusion, ConfusionMatrix, Metric, Objective, Report, TrainError, Trainer};

const RECORDS: usize = 23;

/// Scores of four classes with many ties, a prediction and a target far from zero; labels of which one class
/// is absent.
fn data() -> TensorDataset {
    let row = |i: usize| {
        let score = |class: usize| ((i * 7 + class * 5 + i * class) % 11) as f64 / 10.0;
        let target = 1000.0 + (i as f64).sin();
        let predicted = target + 0.25 * (3.0 * i as f64).cos();
        [score(0), score(1), score(2), score(3), predicted, target].map(|value| value as f32)
    };
    let rows: Vec<f32> = (0..RECORDS).flat_map(row).collect();
    let labels: Vec<u32> = (0..RECORDS as u32).map(|i| (i * i + i / 3) % 3).collect();
    let data = TensorDataset::new().field("x", [RECORDS, 6], &rows).unwrap();
    data.field("y", [RECORDS], &labels).unwrap()
}

/// Trains for one epoch with a rate of zero, so that training and test records have the same scores.
fn measure(
    batch_size: usize,
    objective: impl Fn(Objective, &Tensor, &Tensor) -> Objective,
) -> Result<Report, TrainError> {
    let vars = Vars::new();
    let bias = vars.var("bias", [4], Init::constant(0.0));
    let trainer = Trainer::new(&net::GPU, &vars, Sgd::new(0.0)).epochs(1).batch_size(batch_size);
    let data = data();
    trainer.progress(false).fit(&data, &data, |x, y| {
        let scores = x.slice(1, 0..4) + x.graph().var(&bias);
        objective(Objective::new(scores.cross_entropy(y)), x, y)
    })
}

/// The same values for training and test records, whether or not batches are padded.
fn expect(
    objective: impl Fn(Objective, &Tensor, &Tensor) -> Objective,
    expected: &[(&str, f64)],
    tolerance: f64,
) {
    for batch_size in [1, 4, 8, 23, 50] {
        let report = measure(batch_size, &objective).unwrap();
        let epoch = report.history.last().unwrap();
        for (name, value) in expected {
            for (records, scores) in [("training", &epoch.train), ("test", &epoch.test)] {
                let got = scores.get(name).unwrap();
                let near = (got - value).abs() <= tolerance;
                assert!(near, "{name} of {records} records by {batch_size}: {got}, not {value}");
            }
        }
    }
}

#[test]
fn classification_as_scikit_learn_has_it() {
    let objective = |objective: Objective, x: &Tensor, y: &Tensor| {
        let scores = x.slice(1, 0..4);
        let confusion = Confusion::new(&scores, y);
        objective
            .metric("accuracy", confusion.accuracy())
            .metric("precision", confusion.precision(Average::Macro))
            .metric("recall", confusion.recall(Average::Macro))
            .metric("F1", confusion.f1(Average::Macro))
            .metric("weighted F1", confusion.f1(Average::Weighted))
            .metric("micro F1", confusion.f1(Average::Micro))
            .metric("top 1", Metric::top_k(1, &scores, y))
            .metric("top 2", Metric::top_k(2, &scores, y))
            .metric("top 3", Metric::top_k(3, &scores, y))
            .metric("top 4", Metric::top_k(4, &scores, y))
    };
    let expected = [
        ("accuracy", 0.260_869_565_217_391_3),
        ("precision", 0.3),
        ("recall", 0.190_476_190_476_190_47),
        ("F1", 0.223_717_948_717_948_73),
        ("weighted F1", 0.312_486_064_659_977_7),
        ("micro F1", 0.260_869_565_217_391_3),
        ("top 1", 0.260_869_565_217_391_3),
        ("top 2", 0.434_782_608_695_652_16),
        ("top 3", 0.652_173_913_043_478_3),
        ("top 4", 1.0),
    ];
    expect(objective, &expected, 1e-14);
}

#[test]
fn areas_and_perplexities() {
    let objective = |objective: Objective, x: &Tensor, y: &Tensor| {
        let scores = x.slice(1, 0..4);
        objective
            .metric("binary", Metric::auroc(&x.select_index(1, 0), &y.eq(1.0)))
            .metric("exact binary", Metric::auroc_exact(&x.select_index(1, 0), &y.eq(1.0)))
            .metric("classes", Metric::auroc_exact(&scores.softmax(1), y))
            .metric("perplexity", Metric::perplexity(&scores, y))
            .metric("without 0", Metric::perplexity_ignoring(0, &scores, y))
    };
    let expected = [
        ("binary", 0.515_873_015_873_015_8),
        ("exact binary", 0.515_873_015_873_015_8),
        ("classes", 0.433_862_433_862_433_8),
        ("perplexity", 4.285_036_409_924_698_5),
        ("without 0", 4.133_190_560_561_392),
    ];
    expect(objective, &expected, 1e-5);
}

#[test]
fn regression_as_scikit_learn_has_it() {
    let objective = |objective: Objective, x: &Tensor, _: &Tensor| {
        let (predicted, target) = (x.select_index(1, 4), x.select_index(1, 5));
        let three = predicted.full_like(3.0);
        let pair = |values: &Tensor| Tensor::stack(&[values, &three], 1);
        objective
            .metric("MSE", Metric::mse(&predicted, &target))
            .metric("RMSE", Metric::rmse(&predicted, &target))
            .metric("MAE", Metric::mae(&predicted, &target))
            .metric("R2", Metric::r2(&predicted, &target))
            .metric("R2 of two", Metric::r2(&pair(&predicted), &pair(&target)))
            .metric("mean", &(&predicted - &target))
    };
    let expected = [
        ("MSE", 0.032_353_629_398_605_095),
        ("RMSE", 0.179_871_146_653_945_3),
        ("MAE", 0.162_234_099_014_945_65),
        ("R2", 0.931_430_769_203_241_3),
        ("R2 of two", 0.965_715_384_601_620_7),
    ];
    expect(objective, &expected, 1e-7);
}

/// The matrix of the last evaluation, of one label a record and of many.
#[test]
fn confusion_matrices() {
    let expected = ConfusionMatrix::new(4, vec![2, 0, 1, 4, 2, 3, 3, 1, 4, 1, 1, 1, 0, 0, 0, 0]).unwrap();
    for batch_size in [4, 23] {
        let report =
            measure(batch_size, |objective, x, y| objective.confusion(&Confusion::new(&x.slice(1, 0..4), y)));
        assert_eq!(report.unwrap().confusion.unwrap(), expected);
        let report = measure(batch_size, |objective, x, y| {
            // Each record 20 times, and as often with a label that does not count.
            let repeat = |values: &Tensor| values.unsqueeze(-1).expand([&values.shape()[..], &[20]].concat());
            let (scores, labels) = (repeat(&x.slice(1, 0..4)), repeat(y));
            let scores = Tensor::concat(&[&scores, &scores], 2);
            let labels = Tensor::concat(&[&labels, &labels.full_like(7.0)], 1);
            objective.confusion(&Confusion::ignoring(7, &scores, &labels))
        });
        let twenty = expected.counts().iter().map(|count| count * 20).collect();
        assert_eq!(report.unwrap().confusion, ConfusionMatrix::new(4, twenty));
    }
}

/// What a record measures may be several rows: language models flatten batch and time.
#[test]
fn several_rows_of_a_record() {
    let objective = |objective: Objective, x: &Tensor, y: &Tensor| {
        let twice = |values: &Tensor| {
            let shape = [&[2 * values.dim(0)], &values.shape()[1..]].concat();
            Tensor::stack(&[values, values], 1).reshape(shape)
        };
        let scores = x.slice(1, 0..4);
        objective.metric("top 2", Metric::top_k(2, &twice(&scores), &twice(y)))
    };
    expect(objective, &[("top 2", 0.434_782_608_695_652_16)], 1e-14);
}

#[test]
fn mistakes_are_located() {
    let message = |objective: fn(Objective, &Tensor, &Tensor) -> Objective| {
        let message = measure(8, objective).err().unwrap().to_string();
        assert!(message.contains("metrics.rs"), "{message}");
        message
    };
    let wrong = message(|objective, x, y| objective.metric("top", Metric::top_k(9, &x.slice(1, 0..4), y)));
    assert!(wrong.contains("k is 9, of 4 classes"), "{wrong}");
    let wrong = message(|objective, x, y| objective.metric("area", Metric::auroc(x, &y.slice(0, 0..3))));
    assert!(wrong.contains("needs scores [n] or [n, classes] and labels [n]"), "{wrong}");
    let wrong = message(|objective, x, _| objective.metric("mean", x.sum(0)));
    assert!(wrong.contains("`mean` needs a row for each of 8 records, got f32[6]"), "{wrong}");
    let wrong = message(|objective, _, y| {
        objective.confusion(&Confusion::of_predictions(4, &y.cast(F32), &y.cast(U32), None))
    });
    assert!(wrong.contains("needs u32 labels"), "{wrong}");
    let wrong = message(|objective, x, y| objective.metric("R2", Metric::r2(x, y)));
    assert!(wrong.contains("needs one shape"), "{wrong}");
}
