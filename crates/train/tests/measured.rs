//! Metrics beside the same numbers computed on the host in f64, in loops of one's own: batches of a loader, of
//! which the last is padded, and batches made by hand.

#[path = "net/mod.rs"]
mod net;

use wgrad_core::batch::{Batch, RECORDS};
use wgrad_core::{Array, F32, Graph, Mode, Tensor, TensorSpec, U32, Vars, interpret};
use wgrad_data::{Loader, Random, TensorDataset};
use wgrad_train::{Average, Combine, Confusion, Metric, Total};

const RECORDS_IN_ALL: usize = 700;
const CLASSES: usize = 7;

/// Scores of seven classes of which the sixth never occurs, labels of which some are 9 (unknown), and a target.
struct Data {
    scores: Vec<f32>,
    labels: Vec<u32>,
    target: Vec<f32>,
}

impl Data {
    fn new() -> Self {
        let mut random = Random::new(3, 1);
        let mut uniform = || random.uniform() as f32;
        let labels: Vec<u32> = (0..RECORDS_IN_ALL)
            .map(|_| match (uniform() * 8.0) as u32 {
                5 => 9,
                7 => 0,
                label => label,
            })
            .collect();
        let score = |class: usize, label: u32, noise: f32| {
            noise * 6.0 + if class as u32 == label { 2.0 } else { 0.0 }
        };
        let scores = labels
            .iter()
            .flat_map(|&label| (0..CLASSES).map(|class| score(class, label, uniform())).collect::<Vec<_>>())
            .collect();
        let target = (0..RECORDS_IN_ALL).map(|_| 500.0 + uniform()).collect();
        Self { scores, labels, target }
    }

    fn row(&self, record: usize) -> Vec<f64> {
        self.scores[record * CLASSES..(record + 1) * CLASSES].iter().map(|&score| f64::from(score)).collect()
    }

    /// The class of the first of the largest scores.
    fn predicted(&self, record: usize) -> u32 {
        let row = self.row(record);
        let largest = row.iter().copied().fold(f64::MIN, f64::max);
        row.iter().position(|&score| score == largest).unwrap() as u32
    }

    /// The number of records with a known label for which something holds.
    fn count(&self, holds: impl Fn(usize) -> bool) -> f64 {
        (0..RECORDS_IN_ALL).filter(|&record| self.labels[record] != 9 && holds(record)).count() as f64
    }

    fn loader(&self, batch_size: usize) -> Loader {
        let data = TensorDataset::new()
            .field("scores", [RECORDS_IN_ALL, CLASSES], &self.scores)
            .and_then(|data| data.field("label", [RECORDS_IN_ALL], &self.labels))
            .and_then(|data| data.field("target", [RECORDS_IN_ALL], &self.target));
        Loader::new(data.unwrap(), batch_size)
    }
}

/// The metrics' values over all batches of a loader.
fn over_batches(
    data: &Data,
    batch_size: usize,
    record: impl Fn(&Tensor, &Tensor, &Tensor) -> Vec<Metric>,
) -> Vec<f64> {
    let mut metrics = vec![];
    let program = net::GPU.compile(Mode::Eval, |g| {
        let scores = g.input("scores", [batch_size, CLASSES], F32);
        let (label, target) = (g.input("label", [batch_size], U32), g.input("target", [batch_size], F32));
        metrics = record(&scores, &label, &target);
        metrics.iter().map(|metric| metric.values().clone()).collect::<Vec<_>>()
    });
    let (program, mut totals) = (program.unwrap(), vec![Total::default(); metrics.len()]);
    let mut state = net::GPU.init(&Vars::new(), 0).unwrap();
    for batch in data.loader(batch_size).epoch(0) {
        let outputs = program.run(&mut state, batch.unwrap()).unwrap();
        for (index, (metric, total)) in metrics.iter().zip(&mut totals).enumerate() {
            metric.add(total, &outputs.get(index).unwrap());
        }
    }
    metrics.iter().zip(&totals).map(|(metric, total)| metric.value(total)).collect()
}

fn close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {got}, not {expected}");
}

const BATCH_SIZES: [usize; 3] = [64, 333, 1024];

#[test]
fn counts_are_those_of_the_host() {
    let data = Data::new();
    let right = |record: usize| data.predicted(record) == data.labels[record];
    let outcome = |class: u32| {
        let right = data.count(|record| right(record) && data.labels[record] == class);
        [right, data.count(|record| data.predicted(record) == class), data.count(|r| data.labels[r] == class)]
    };
    let outcomes: Vec<[f64; 3]> = (0..CLASSES as u32).map(outcome).collect();
    assert_eq!(outcomes[5][2], 0.0);
    let share = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
    let mean = |value: &dyn Fn(&[f64; 3]) -> f64| {
        let occur = outcomes.iter().filter(|[_, predicted, labelled]| predicted + labelled > 0.0);
        occur.clone().map(value).sum::<f64>() / occur.count() as f64
    };
    let known = data.count(|_| true);
    let expected = [
        data.count(right) / known,
        mean(&|[right, predicted, _]| share(*right, *predicted)),
        mean(&|[right, _, labelled]| share(*right, *labelled)),
        mean(&|[right, predicted, labelled]| share(2.0 * right, predicted + labelled)),
        outcomes.iter().map(|[r, p, l]| share(2.0 * r, p + l) * l).sum::<f64>() / known,
        data.count(|record| data.labels[record] == 2 && data.predicted(record) == 3),
    ];
    for batch_size in BATCH_SIZES {
        let got = over_batches(&data, batch_size, |scores, label, _| {
            let confusion = Confusion::ignoring(9, scores, label);
            vec![
                confusion.accuracy(),
                confusion.precision(Average::Macro),
                confusion.recall(Average::Macro),
                confusion.f1(Average::Macro),
                confusion.f1(Average::Weighted),
                confusion.value(|matrix| matrix.count(2, 3) as f64),
            ]
        });
        for (index, (got, expected)) in got.into_iter().zip(expected).enumerate() {
            close(got, expected, 1e-14, &format!("number {index} by {batch_size}"));
        }
    }
}

#[test]
fn means_and_moments_are_those_of_the_host() {
    let data = Data::new();
    let all = 0..RECORDS_IN_ALL;
    let error = |record: usize| {
        f64::from(data.scores[record * CLASSES]) / 8.0 + 500.0 - f64::from(data.target[record])
    };
    let mean = |value: &dyn Fn(usize) -> f64| all.clone().map(value).sum::<f64>() / RECORDS_IN_ALL as f64;
    let target = mean(&|record| f64::from(data.target[record]));
    let variance = mean(&|record| (f64::from(data.target[record]) - target).powi(2));
    let surprise = |record: usize| {
        let row = data.row(record);
        row.iter().map(|score| score.exp()).sum::<f64>().ln() - row[data.labels[record] as usize]
    };
    let known: Vec<usize> = all.clone().filter(|&record| data.labels[record] != 9).collect();
    let among_two = |record: usize| {
        let (row, label) = (data.row(record), data.labels[record] as usize);
        let label = if label == 9 { 0 } else { label };
        let before = |c: usize| row[c] > row[label] || (row[c] == row[label] && c < label);
        (0..CLASSES).filter(|&class| before(class)).count() < 2
    };
    let expected = [
        mean(&|record| error(record).powi(2)),
        mean(&|record| error(record).powi(2)).sqrt(),
        mean(&|record| error(record).abs()),
        1.0 - mean(&|record| error(record).powi(2)) / variance,
        (known.iter().map(|&record| surprise(record)).sum::<f64>() / known.len() as f64).exp(),
        all.clone().map(|record| error(record).abs()).fold(0.0, f64::max),
        all.clone().map(error).fold(f64::MAX, f64::min),
        mean(&|record| f64::from(among_two(record))),
    ];
    for batch_size in BATCH_SIZES {
        let got = over_batches(&data, batch_size, |scores, label, target| {
            let predicted = scores.select_index(1, 0) / 8.0 + 500.0;
            let error = &predicted - target;
            let class = label.eq(9.0).select(&label.zeros_like(), label);
            vec![
                Metric::mse(&predicted, target),
                Metric::rmse(&predicted, target),
                Metric::mae(&predicted, target),
                Metric::r2(&predicted, target),
                Metric::perplexity_ignoring(9, scores, label),
                Metric::of_rows(&error.abs(), Combine::Max, |largest| largest[0]),
                Metric::of_rows(&error, Combine::Min, |smallest| smallest[0]),
                Metric::top_k(2, scores, &class),
            ]
        });
        for (index, (got, expected)) in got.into_iter().zip(expected).enumerate() {
            close(got, expected, 2e-5, &format!("number {index} by {batch_size}"));
        }
    }
}

/// Σ over pairs of a positive and a negative, by comparing each.
fn pairs(scores: &[f32], is_positive: impl Fn(usize) -> bool) -> f64 {
    let of = |positive: bool| {
        (0..scores.len()).filter(|&r| is_positive(r) == positive).map(|r| scores[r]).collect()
    };
    let [positives, negatives]: [Vec<f32>; 2] = [of(true), of(false)];
    let higher =
        |p: f32| negatives.iter().map(|&n| f64::from(u8::from(p > n) + u8::from(p >= n)) / 2.0).sum::<f64>();
    positives.iter().map(|&p| higher(p)).sum::<f64>() / (positives.len() * negatives.len()) as f64
}

/// Ten thousand logits or probabilities of several spreads. The bins' error is what the documentation says.
#[test]
fn areas_are_those_of_all_pairs() {
    const N: usize = 10_000;
    let mut random = Random::new(11, 0);
    let mut normal = || (0..12).map(|_| random.uniform()).sum::<f64>() - 6.0;
    let labels: Vec<u32> = (0..N).map(|_| u32::from(normal() > 0.7)).collect();
    let spreads = [(1.0, 1.0), (10.0, 3.0), (30.0, 9.0), (0.1, 0.1)];
    let mut cases: Vec<Vec<f32>> = vec![];
    for (apart, spread) in spreads {
        let logits: Vec<f64> =
            labels.iter().map(|&y| (f64::from(y) - 0.5) * apart + normal() * spread).collect();
        cases.push(logits.iter().map(|&s| s as f32).collect());
        cases.push(logits.iter().map(|&s| (1.0 / (1.0 + (-s).exp())) as f32).collect());
    }
    for (number, scores) in cases.iter().enumerate() {
        let data =
            TensorDataset::new().field("score", [N], scores).and_then(|d| d.field("label", [N], &labels));
        let [binned, exact] = [Metric::auroc, Metric::auroc_exact].map(|auroc| {
            let mut metric = None;
            let program = net::GPU.compile(Mode::Eval, |g| {
                let (score, label) = (g.input("score", [768], F32), g.input("label", [768], U32));
                [metric.insert(auroc(&score, &label)).values().clone()]
            });
            let (program, metric, mut total) = (program.unwrap(), metric.unwrap(), Total::default());
            let mut state = net::GPU.init(&Vars::new(), 0).unwrap();
            for batch in Loader::new(data.clone().unwrap(), 768).epoch(0) {
                metric.add(&mut total, &program.run(&mut state, batch.unwrap()).unwrap().get(0).unwrap());
            }
            metric.value(&total)
        });
        let expected = pairs(scores, |record| labels[record] == 1);
        println!("{number}: {expected} binned {:e}", binned - expected);
        close(exact, expected, 1e-12, &format!("exact {number}"));
        // The last: probabilities that are all within a tenth of each other share few bins.
        let tolerance = if number == 7 { 4e-3 } else { 2e-4 };
        close(binned, expected, tolerance, &format!("binned {number}"));
    }
}

#[test]
fn areas_of_several_classes() {
    let data = Data::new();
    let known = |record: usize| if data.labels[record] == 9 { 5 } else { data.labels[record] };
    let probability = |record: usize, class: usize| {
        let row = data.row(record);
        (row[class].exp() / row.iter().map(|score| score.exp()).sum::<f64>()) as f32
    };
    let area = |class: usize| {
        let scores: Vec<f32> = (0..RECORDS_IN_ALL).map(|record| probability(record, class)).collect();
        pairs(&scores, |record| known(record) == class as u32)
    };
    let expected = (0..CLASSES).map(area).sum::<f64>() / CLASSES as f64;
    for batch_size in BATCH_SIZES {
        let got = over_batches(&data, batch_size, |scores, label, _| {
            let class = label.eq(9.0).select(&label.full_like(5.0), label);
            let probabilities = scores.softmax(1);
            // With a class that no record has.
            let none = Tensor::concat(&[&probabilities, &scores.slice(1, 0..1)], 1);
            vec![
                Metric::auroc_exact(&probabilities, &class),
                Metric::auroc(&probabilities, &class),
                Metric::auroc(&none, &class),
                Metric::auroc(&(scores * f64::NAN), &class),
                Metric::auroc(&probabilities, &class.full_like(3.0)),
            ]
        });
        // Of probabilities that are nearly alike, a device may find two equal.
        close(got[0], expected, 1e-6, &format!("exact by {batch_size}"));
        close(got[1], expected, 3e-4, &format!("binned by {batch_size}"));
        assert_eq!(got[1], got[2]);
        assert!(got[3].is_nan(), "{got:?}");
        assert!(got[4].is_nan(), "{got:?}");
    }
}

/// Every metric, on batches of any size.
fn all(g: &Graph, batch_size: usize) -> Vec<Metric> {
    let scores = g.input("scores", [batch_size, CLASSES], F32);
    let (label, target) = (g.input("label", [batch_size], U32), g.input("target", [batch_size], F32));
    let confusion = Confusion::ignoring(9, &scores, &label);
    let known = label.lt(CLASSES as f64).select(&label, &label.zeros_like());
    vec![
        confusion.accuracy(),
        confusion.f1(Average::Macro),
        confusion.value(|matrix| matrix.count(0, 0) as f64),
        Metric::top_k(2, &scores, &known),
        Metric::perplexity_ignoring(9, &scores, &label),
        Metric::auroc(&scores.softmax(1), &known),
        Metric::r2(&scores.select_index(1, 0), &target),
        Metric::rmse(&scores.select_index(1, 0), &target),
        Metric::mean(&scores),
        Metric::mean(&target.mean(..)),
        Metric::of_rows(&target, Combine::Max, |largest| largest[0]),
    ]
}

#[test]
fn as_many_bytes_are_read_back_for_any_batch() {
    let read_back = |batch_size: usize| {
        let mut numels = vec![];
        let program = net::GPU.compile(Mode::Eval, |g| {
            let values: Vec<Tensor> =
                all(g, batch_size).iter().map(|metric| metric.values().clone()).collect();
            numels = values.iter().map(Tensor::numel).collect();
            values
        });
        (program.unwrap().stats().read_back, numels)
    };
    let expected = read_back(1);
    assert_eq!(read_back(8), expected);
    assert_eq!(read_back(1000), expected);
    // Three counts a class, the matrix, two histograms of 33 · 64 cells for each class, moments, sums with counts.
    let (by_class, matrix, histograms) = (3 * CLASSES, CLASSES * CLASSES, CLASSES * 2 * 33 * 64);
    assert_eq!(expected.1, [by_class, by_class, matrix, 2, 2, histograms, 5, 2, 2, 2, 1]);
}

/// Of a batch that does not say how many of its records count, all do.
#[test]
fn batches_made_by_hand() {
    let data = Data::new();
    let mut metrics = vec![];
    let program = net::GPU.compile(Mode::Eval, |g| {
        metrics = all(g, 8);
        metrics.iter().map(|metric| metric.values().clone()).collect::<Vec<_>>()
    });
    let (program, mut state) = (program.unwrap(), net::GPU.init(&Vars::new(), 0).unwrap());
    let batch = |first: usize| {
        Batch::new()
            .with("scores", [8, CLASSES], &data.scores[first * CLASSES..(first + 8) * CLASSES])
            .with("label", [8], &data.labels[first..first + 8])
            .with("target", [8], &data.target[first..first + 8])
    };
    let mut values = |batches: Vec<Batch>| -> Vec<f64> {
        let mut totals = vec![Total::default(); metrics.len()];
        for batch in batches {
            let outputs = program.run(&mut state, batch).unwrap();
            for (index, (metric, total)) in metrics.iter().zip(&mut totals).enumerate() {
                metric.add(total, &outputs.get(index).unwrap());
            }
        }
        metrics.iter().zip(&totals).map(|(metric, total)| metric.value(total)).collect()
    };
    // Records 0 to 10: of the last batch three, in front of five that come again.
    let some = |first: usize, counted: u32| batch(first).with(RECORDS, [2], &[counted, 8]);
    let padded = values(vec![batch(0), some(8, 3)]);
    let parts = values(vec![some(0, 5), some(5, 6)]);
    for (index, (a, b)) in padded.iter().zip(&parts).enumerate() {
        // A mean of a whole batch is one of all its records, and so has those that pad it.
        if index != 9 {
            close(*a, *b, 1e-5, &format!("number {index}"));
        }
    }
    let whole = values(vec![batch(0)]);
    assert_eq!(values(vec![some(0, 8)])[..9], whole[..9]);
    // Batches of no records, and no batches.
    assert_eq!(values(vec![batch(0), some(8, 0)])[..9], whole[..9]);
    assert!(values(vec![]).iter().all(|value| value.is_nan()));
}

/// A record may have several rows; the first records count.
#[test]
fn rows_that_count() {
    let record = |g: &Graph| [g.counted(6).cast(F32), g.records(), g.counted(3).cast(F32)];
    let g = Graph::new(Mode::Eval);
    let tensors = record(&g);
    let program = net::GPU.compile(Mode::Eval, record).unwrap();
    let mut state = net::GPU.init(&Vars::new(), 0).unwrap();
    let cases = [
        ([2u32, 3], vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0], 2.0, vec![1.0, 1.0, 0.0]),
        ([1, 3], vec![1.0, 1.0, 0.0, 0.0, 0.0, 0.0], 1.0, vec![1.0, 0.0, 0.0]),
        ([0, 3], vec![0.0; 6], 0.0, vec![0.0; 3]),
        ([3, 3], vec![1.0; 6], 3.0, vec![1.0; 3]),
    ];
    for (counts, six, records, three) in cases {
        let expected = [six, vec![records], three];
        let field = Array { spec: TensorSpec::new(U32, [2]), data: counts.map(f64::from).to_vec() };
        let reference = interpret::evaluate(&g.recording(), &[(RECORDS.to_string(), field)].into());
        let outputs = program.run(&mut state, Batch::new().with(RECORDS, [2], &counts)).unwrap();
        for (index, (tensor, expected)) in tensors.iter().zip(expected).enumerate() {
            assert_eq!(reference[tensor.id().index()].data, expected);
            assert_eq!(outputs.get(index).unwrap().data, expected);
        }
    }
}
