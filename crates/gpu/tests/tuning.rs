//! Measured shapes of kernels: every candidate computes the same, files choose among them, and what is no choice is none.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wgrad_core::interpret::Environment;
use wgrad_core::ops::Window;
use wgrad_core::{Array, AttentionOptions, F32, Graph, Mode, NodeId, Recording, Tensor};
use wgrad_gpu::{
    Choice, Cut, DiskCache, Error, Gpu, Options, Program, Shaping, Tile, Tuner, Tuning, TuningDatabase,
    TuningError, WorkgroupTile, conformance,
};

fn workgroup() -> Choice {
    Choice::Workgroup(WorkgroupTile { rows: 64, columns: 64, inner: 8, rows_each: 4, columns_each: 4 })
}

/// A graph with its inputs' values.
struct Work {
    recording: Recording,
    environment: Environment,
    outputs: Vec<NodeId>,
}

fn work(shapes: &[&[usize]], record: impl Fn(&[Tensor]) -> Vec<Tensor>) -> Work {
    let graph = Graph::new(Mode::Eval);
    let mut environment = Environment::new();
    let mut inputs = vec![];
    for (number, shape) in shapes.iter().enumerate() {
        let name = format!("x{number}");
        inputs.push(graph.input(&name, *shape, F32));
        let value = |i: usize| ((i * 7919 + number * 104_729) % 1009) as f64 / 1009.0 - 0.4;
        let data = (0..shape.iter().product()).map(value).map(|v| f64::from(v as f32)).collect();
        environment.insert(name, Array::new(F32, *shape, data));
    }
    let outputs = record(&inputs).iter().map(Tensor::id).collect();
    Work { recording: graph.recording(), environment, outputs }
}

fn product(m: usize, k: usize, n: usize, transposed: bool) -> Work {
    let b: &[usize] = if transposed { &[n, k] } else { &[k, n] };
    work(&[&[m, k], b, &[n]], |x| {
        let b = if transposed { x[1].permute(&[1, 0]) } else { x[1].clone() };
        vec![(x[0].matmul(&b) + &x[2]).tanh()]
    })
}

fn convolution(channels: usize, size: usize) -> Work {
    let filters: &[usize] = &[2 * channels, channels, 3, 3];
    work(&[&[2, channels, size, size], filters], |x| {
        let y = x[0].conv2d(&x[1], None, &Window::new(&[3, 3]).padding(1), 1);
        let sum = y.square().sum(..);
        let mut all = sum.gradients(&[&x[0], &x[1]]);
        all.push(y);
        all
    })
}

fn rows(rows: usize, length: usize) -> Work {
    work(&[&[rows, length]], |x| vec![x[0].softmax(-1), x[0].sum(0), &x[0] * 2.0 + 1.0])
}

fn options(tuning: Tuning) -> Options {
    Options { tuning, poison: true, disk_cache: DiskCache::Off, ..Options::default() }
}

fn device(tuning: Tuning) -> Gpu {
    Gpu::with_options(options(tuning)).expect("an adapter")
}

fn compile(gpu: &Gpu, work: &Work) -> Program {
    gpu.compile_recording(&work.recording, &work.outputs).expect("compiles")
}

/// Computes with one choice for one kernel, from a file; returns the texts of the kernels.
fn with_choice(work: &Work, signature: &str, choice: Choice) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("choice.json");
    let mut database = TuningDatabase::new(device(Tuning::Off).info());
    database.insert(signature, choice, 1.0);
    database.write(&path).expect("written");
    let gpu = device(Tuning::File(path));
    assert_eq!(gpu.tuned_kernels(), 1);
    let compared = conformance::compare(&gpu, &work.recording, &work.environment, &work.outputs);
    compared.unwrap_or_else(|error| panic!("{signature} by {choice:?}: {error}"));
    compile(&gpu, work).sources().map(Into::into).collect()
}

/// Some of the choices of every kernel, from one on; returns how many changed a kernel.
fn check(work: &Work, first: usize, step: usize) -> usize {
    let program = compile(&device(Tuning::Off), work);
    let by_rule: Vec<String> = program.sources().map(Into::into).collect();
    let mut changed = 0;
    for (signature, choices) in program.choices().expect("choices") {
        assert!(!choices.is_empty(), "{signature}");
        for choice in choices.into_iter().skip(first % step).step_by(step) {
            changed += usize::from(with_choice(work, &signature, choice) != by_rule);
        }
    }
    changed
}

#[test]
fn random_candidates_compute_the_same() {
    let config = Config { cases: 8, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let shapes = ((1..70usize, 1..70usize, 1..70usize), any::<bool>(), 0..100usize);
    let outcome = TestRunner::new(config).run(&shapes, |((m, k, n), transposed, first)| {
        check(&product(m, k, n, transposed), first, 23);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Attention with its gradients.
fn attention(queries: usize, keys: usize) -> Work {
    work(&[&[2, queries, 16], &[2, keys, 16], &[2, keys, 8], &[2, queries, 8]], |x| {
        let options = AttentionOptions::new();
        let options = if queries == keys { options.causal() } else { options.dropout(0.1) };
        let result = Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], &options);
        let mut all = result.pull_back(&x[3], &[&x[0], &x[1], &x[2]]);
        all.push(result);
        all
    })
}

#[test]
fn candidates_of_attention_compute_the_same() {
    assert!(check(&attention(70, 70), 0, 2) >= 3);
    // As on GPUs, where rows wait in workgroup memory.
    let work = attention(140, 90);
    for rows in [2, 8] {
        let shaping = Some(Shaping { attention_rows: Some(rows), ..Shaping::hardware() });
        let gpu = Gpu::with_options(Options { shaping, ..options(Tuning::Off) }).expect("an adapter");
        let compared = conformance::compare(&gpu, &work.recording, &work.environment, &work.outputs);
        compared.unwrap_or_else(|error| panic!("{rows} rows: {error}"));
    }
}

#[test]
fn candidates_of_convolutions_rows_and_maps_compute_the_same() {
    assert!(check(&convolution(3, 7), 0, 41) >= 3);
    assert!(check(&rows(37, 260), 0, 1) >= 2);
    assert!(check(&work(&[&[4096]], |x| vec![x[0].exp()]), 0, 1) >= 3);
}

#[test]
fn contractions_can_be_shaped_as_for_another_adapter() {
    let work = product(70, 37, 45, false);
    let program = compile(&device(Tuning::Off), &work);
    let choices = program.choices().expect("choices");
    let (signature, _) =
        choices.iter().find(|(signature, _)| signature.starts_with("contract")).expect("a product");
    let by_rule: Vec<String> = program.sources().map(Into::into).collect();
    let tile = |rows, columns, workgroup| Choice::Registers(Tile { rows, columns, workgroup });
    for choice in [tile(2, 8, 32), tile(8, 16, 8), tile(5, 12, 64), workgroup()] {
        assert_ne!(with_choice(&work, signature, choice), by_rule, "{choice:?}");
    }
}

#[test]
fn tiles_for_gpus_compute_the_same() {
    let shaping = Some(Shaping { workgroup_limits: [256, 48 << 10], ..Shaping::hardware() });
    let shaped = Gpu::with_options(Options { shaping, ..options(Tuning::Off) }).expect("an adapter");
    for work in [product(37, 45, 50, true), convolution(3, 9)] {
        let by_rule: Vec<String> = compile(&device(Tuning::Off), &work).sources().map(Into::into).collect();
        let mut tiles = 0;
        for (signature, choices) in compile(&shaped, &work).choices().expect("choices") {
            let tile = |choice: &&Choice| matches!(choice, Choice::Workgroup(_));
            for choice in choices.iter().filter(tile) {
                assert_ne!(with_choice(&work, &signature, *choice), by_rule, "{signature} by {choice:?}");
                tiles += 1;
            }
        }
        assert!(tiles >= 10, "{tiles}");
    }
}

#[test]
fn nonsense_is_left_to_the_rule() {
    let work = product(33, 17, 21, true);
    let program = compile(&device(Tuning::Off), &work);
    let by_rule: Vec<String> = program.sources().map(Into::into).collect();
    let (signature, _) = &program.choices().expect("choices")[0];
    let cut = |rows, rows_per_lane, columns, inner| {
        Choice::Subgroup(Cut { rows, rows_per_lane, columns, height: 1, inner })
    };
    let patch =
        |columns, height| Choice::Subgroup(Cut { rows: 8, rows_per_lane: 1, columns, height, inner: 4 });
    let most = usize::MAX;
    for choice in [
        cut(0, 1, 4, 4),
        cut(7, 1, 4, 4),
        cut(8, 3, 4, 4),
        cut(8, 1, 0, 4),
        cut(8, 1, 4, 0),
        cut(8, 1, 4, 18),
        cut(32, 4, 16, 16),
        cut(most, most, most, most),
        patch(8, 0),
        patch(8, 2),
        patch(12, 3),
        Choice::Registers(Tile { rows: most, columns: most, workgroup: u32::MAX }),
        Choice::Registers(Tile { rows: 4, columns: 4, workgroup: 0 }),
        Choice::Row { share: 0 },
        Choice::Map { workgroup: 3, lanes: 2 },
    ] {
        assert_eq!(with_choice(&work, signature, choice), by_rule, "{choice:?}");
    }
    let rows = rows(5, 300);
    let program = compile(&device(Tuning::Off), &rows);
    let by_rule: Vec<String> = program.sources().map(Into::into).collect();
    for (signature, _) in program.choices().expect("choices").iter().filter(|(s, _)| s.starts_with("row")) {
        for share in [0, 3, 1 << 31] {
            assert_eq!(with_choice(&rows, signature, Choice::Row { share }), by_rule, "{share}");
        }
    }
}

#[test]
fn what_a_tuner_finds_is_kept_and_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        disk_cache: DiskCache::Folder(folder.path().into()),
        tuning: Tuning::Off,
        ..Options::default()
    };
    let gpu = Gpu::with_options(options.clone()).expect("an adapter");
    let work = product(96, 130, 200, false);
    let mut tuner = Tuner::new(&gpu).expect("a tuner");
    let mut tried = 0;
    tuner
        .tune(&compile(&gpu, &work), |tuned| {
            println!("{tuned}");
            assert!(tuned.wrong.is_empty() && tuned.best <= tuned.rule, "{tuned}");
            tried += tuned.tried;
        })
        .expect("tunes");
    assert!(tried > 0, "no candidate was measured");
    let mut database = tuner.database().clone();
    // Whether something is faster than the rule depends on the machine; that it is used does not.
    database.insert("contract of our own", workgroup(), 2.0);
    let path = gpu.keep_tuning(&database).expect("kept");
    assert_eq!(gpu.tuned_kernels(), 0, "an open device keeps its choices");
    let later = Gpu::with_options(Options { tuning: Tuning::OnDisk, ..options.clone() }).expect("an adapter");
    assert!(later.tuned_kernels() >= database.len() && later.tuning_problem().is_none());
    conformance::compare(&later, &work.recording, &work.environment, &work.outputs).expect("the same values");
    std::fs::write(&path, "{").expect("damaged");
    let damaged =
        Gpu::with_options(Options { tuning: Tuning::OnDisk, ..options.clone() }).expect("opens all the same");
    assert!(matches!(damaged.tuning_problem(), Some(TuningError::Damaged { .. })));
    // What is kept next replaces the damaged file.
    damaged.keep_tuning(&database).expect("kept");
    assert!(TuningDatabase::read(&path).is_ok());
}

/// The error of a device that is told to use this file.
fn refused(path: &Path) -> TuningError {
    match Gpu::with_options(options(Tuning::File(path.into()))) {
        Err(Error::Tuning(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_named_file_that_cannot_be_used_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tuning.json");
    assert!(matches!(refused(&path), TuningError::File { .. }));
    for (text, what) in [
        ("", "no tuning database"),
        ("{\"wgrad_tuning\": 99}", "update"),
        ("{\"wgrad_tuning\": 1, \"adapter\": \"a\", \"driver\": \"b\", \"kernels\": {}}", "measure anew"),
    ] {
        std::fs::write(&path, text).expect("written");
        let error = refused(&path).to_string();
        assert!(error.contains(what) && error.contains("tuning.json"), "{error}");
    }
    let without = Options { disk_cache: DiskCache::Off, ..Options::default() };
    let gpu = Gpu::with_options(without).expect("an adapter");
    assert_eq!(gpu.keep_tuning(&TuningDatabase::new(gpu.info())), Err(TuningError::NoFolder));
}
