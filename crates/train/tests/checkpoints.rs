//! Files of checkpoints: exact, checked, rotated, and refused where they are not what they should be.

#[path = "net/mod.rs"]
mod net;

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use wgrad_core::{Array, Bool, F32, I32, Init, TensorSpec, U32, Vars};
use wgrad_gpu::State;
use wgrad_train::{
    Checkpoint, CheckpointError, Checkpoints, ConfusionMatrix, EpochReport, History, Progress, Scores,
    Settings, Total,
};
use wgrad_weights::Weights;

/// A state with every dtype that any adapter has, and values that a careless format would change.
fn state(value: f32) -> State {
    let vars = Vars::new();
    vars.var("weight", [2, 3], Init::constant(0.25));
    vars.buffer("odd", TensorSpec::new(F32, [4]), Init::constant(0.0));
    vars.buffer("count", TensorSpec::new(U32, []), Init::constant(7.0));
    vars.buffer("signed", TensorSpec::new(I32, [3]), Init::constant(-7.0));
    vars.buffer("mask", TensorSpec::new(Bool, [3]), Init::constant(1.0));
    let mut state = net::GPU.init(&vars, 1 << 40).unwrap();
    let odd = [value, -0.0, f32::MIN_POSITIVE / 8.0, f32::INFINITY];
    state.write("odd", &Array::from_slice([4], &odd)).unwrap();
    state.write("count", &Array::from_slice([], &[u32::MAX])).unwrap();
    state
}

fn progress() -> Progress {
    let scores = |loss: f64| Scores {
        loss,
        metrics: vec![("accuracy".into(), 0.1 + 0.2), ("bad".into(), f64::INFINITY)],
    };
    let epoch = EpochReport {
        epoch: 1,
        train: scores(1.0 / 3.0),
        test: scores(-f64::INFINITY),
        time: Duration::new(3, 141_592_653),
        stalled: Duration::from_millis(7),
        samples_per_second: 1e300,
    };
    Progress {
        epoch: 1,
        batch: 17,
        totals: vec![Total { values: vec![0.1 + 0.7, -0.0, f64::MIN_POSITIVE] }, Total::default()],
        time: Duration::from_nanos(1),
        stalled: Duration::from_nanos(2),
        history: History::new(vec![epoch]),
        confusion: ConfusionMatrix::new(2, vec![1, 2, 3, u64::MAX]),
        settings: Settings { seed: u64::MAX, batch_size: 32, ..Settings::default() },
    }
}

fn set_step(state: &mut State, step: u32) {
    state.write("wgrad.step", &Array::from_slice([], &[step])).unwrap();
}

#[test]
fn every_bit_comes_back() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new/run.safetensors");
    let mut saved = state(1.5);
    set_step(&mut saved, 12);
    Checkpoint::of(&saved, &progress()).unwrap().write(&path).unwrap();
    let read = Checkpoint::read(&path).unwrap();
    assert_eq!((read.progress(), read.step()), (&progress(), 12));
    let mut other = state(-3.0);
    read.restore(&mut other).unwrap();
    assert_eq!(net::bits(&saved), net::bits(&other));
    assert_eq!(other.read("odd").unwrap().data[1].to_bits(), (-0.0f64).to_bits());
    assert_eq!(other.read("wgrad.seed").unwrap().data, [0.0, 256.0]);
    let again = directory.path().join("again.safetensors");
    Checkpoint::of(&other, &progress()).unwrap().write(&again).unwrap();
    assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "the same state makes the same file");
    // It is an ordinary weight file, too.
    assert_eq!(Weights::read(&path).unwrap().get("weight").unwrap().array().unwrap().data, [0.25; 6]);
}

#[test]
fn a_loss_that_is_no_number_is_kept() {
    let nan = Progress { totals: vec![Total { values: vec![f64::NAN] }], ..Progress::default() };
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("nan.safetensors");
    Checkpoint::of(&state(1.0), &nan).unwrap().write(&path).unwrap();
    assert!(Checkpoint::read(&path).unwrap().progress().totals[0].values[0].is_nan());
}

/// What is said about a file, without its path.
fn refused(path: &Path) -> CheckpointError {
    match Checkpoint::read(path).unwrap_err() {
        CheckpointError::File { path: told, source } => {
            assert_eq!(told, path);
            *source
        }
        other => other,
    }
}

#[test]
fn other_files_and_other_versions_are_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file.safetensors");
    assert!(matches!(refused(&path), CheckpointError::Weights(_)));
    fs::write(&path, "text").unwrap();
    assert!(matches!(refused(&path), CheckpointError::Weights(_)));
    let mut foreign = Weights::new();
    foreign.insert("weight", &Array::from_slice([1], &[1f32]));
    foreign.write(&path).unwrap();
    assert!(matches!(refused(&path), CheckpointError::Foreign));

    Checkpoint::of(&state(1.0), &progress()).unwrap().write(&path).unwrap();
    let rewritten = |key: &str, value: &str| {
        let mut weights = Weights::read(&path).unwrap();
        weights.set_metadata(key, value);
        let other = directory.path().join("other.safetensors");
        weights.write(&other).unwrap();
        refused(&other)
    };
    assert!(matches!(rewritten("version", "2"), CheckpointError::Newer { version: 2, known: 1 }));
    assert!(matches!(rewritten("version", "one"), CheckpointError::Checksum));
    assert!(matches!(rewritten("progress", "{}"), CheckpointError::Checksum));
    let mut weights = Weights::read(&path).unwrap();
    weights.insert("weight", &Array::new(F32, [2, 3], vec![0.5; 6]));
    weights.write(&path).unwrap();
    assert!(matches!(refused(&path), CheckpointError::Checksum));
}

#[test]
fn another_model_is_refused_by_name() {
    let saved = Checkpoint::of(&state(1.0), &progress()).unwrap();
    let vars = Vars::new();
    let mut bare = net::GPU.init(&vars, 0).unwrap();
    let error = saved.restore(&mut bare).unwrap_err().to_string();
    assert_eq!(error, "belongs to another model or optimizer: the model lacks `weight`");
    let mut full = state(1.0);
    let error = Checkpoint::of(&bare, &progress()).unwrap().restore(&mut full).unwrap_err();
    assert!(error.to_string().contains("it lacks `weight`"), "{error}");
    vars.var("weight", [3, 2], Init::constant(0.0));
    let other = Checkpoint::of(&net::GPU.init(&vars, 0).unwrap(), &progress()).unwrap();
    let vars = Vars::new();
    vars.var("weight", [2, 3], Init::constant(0.0));
    let error = other.restore(&mut net::GPU.init(&vars, 0).unwrap()).unwrap_err();
    assert!(matches!(error, CheckpointError::Gpu(_)), "{error}");
}

/// Small, even pseudo-random numbers (Knuth's 64-bit generator).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Damages a file in one of the ways that disks and people do.
fn damage(bytes: &mut Vec<u8>, kind: usize, random: &mut Random) {
    let n = bytes.len();
    match kind {
        0 => bytes[random.below(n)] ^= 1 << random.below(8),
        1 => bytes.truncate(random.below(n)),
        2 => {
            let (a, b) = (random.below(n), random.below(n));
            bytes.swap(a, b);
        }
        3 => {
            let (start, length) = (random.below(n), 1 + random.below(512));
            bytes[start..].iter_mut().take(length).for_each(|byte| *byte = 0);
        }
        _ => {
            let (start, length) = (random.below(n), 1 + random.below(64));
            drop(bytes.splice(start..(start + length).min(n), vec![0xa5; random.below(128)]));
        }
    }
}

#[test]
fn two_hundred_damages() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("run.safetensors");
    let whole = Checkpoint::of(&state(1.5), &progress()).unwrap();
    whole.write(&path).unwrap();
    let file = fs::read(&path).unwrap();
    let (mut random, mut errors) = (Random(11), 0);
    for trial in 0..200 {
        let mut bytes = file.clone();
        damage(&mut bytes, trial % 5, &mut random);
        fs::write(&path, &bytes).unwrap();
        match Checkpoint::read(&path) {
            Err(_) => errors += 1,
            Ok(read) => {
                assert_eq!(read.progress(), whole.progress(), "trial {trial}");
                let [a, b] = [&read, &whole].map(|checkpoint| checkpoint.variables().to_bytes().unwrap());
                assert!(a == b, "trial {trial}: damage went unseen");
            }
        }
    }
    println!("{errors} of 200 damaged files refused, the others held the same values");
    assert!(errors >= 150, "{errors}");
}

/// A checkpoint of a step.
fn at(step: u32) -> Checkpoint {
    let mut state = state(step as f32);
    set_step(&mut state, step);
    Checkpoint::of(&state, &progress()).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn old_checkpoints_go_and_the_best_stays() {
    let temporary = TempDir::new().unwrap();
    let directory = temporary.path().join("run");
    let checkpoints = Checkpoints::new(&directory).keep(2);
    assert!(checkpoints.latest().unwrap().is_none() && checkpoints.best().unwrap().is_none());
    checkpoints.save(&at(5)).unwrap();
    checkpoints.save_best(&at(5)).unwrap();
    fs::write(directory.join("notes.txt"), "mine").unwrap();
    fs::write(directory.join(".step-0000000011.safetensors.4711.tmp"), "half a fi").unwrap();
    for step in [10, 100, 99_999_999] {
        checkpoints.save(&at(step)).unwrap();
    }
    let kept =
        ["best.safetensors", "notes.txt", "step-0000000100.safetensors", "step-0099999999.safetensors"];
    assert_eq!(names(&directory), kept);
    let last = checkpoints.latest().unwrap().unwrap();
    assert_eq!(
        (last.checkpoint.step(), last.path.file_name().unwrap().to_str().unwrap()),
        (99_999_999, kept[3])
    );
    assert_eq!(checkpoints.best().unwrap().unwrap().step(), 5);
}

#[test]
fn a_damaged_checkpoint_is_an_error_or_passed_over_where_asked() {
    let temporary = TempDir::new().unwrap();
    let checkpoints = Checkpoints::new(temporary.path()).keep(3);
    for step in [1, 2, 3] {
        checkpoints.save(&at(step)).unwrap();
    }
    let [first, second, third] = checkpoints.all().unwrap().try_into().unwrap();
    fs::write(&third, &fs::read(&third).unwrap()[..100]).unwrap();
    assert!(matches!(checkpoints.latest(), Err(CheckpointError::Weights(_))));
    let found = checkpoints.latest_good().unwrap().unwrap();
    assert_eq!((found.checkpoint.step(), &found.path, found.skipped.len()), (2, &second, 1));
    assert!(found.skipped[0].to_string().contains("step-0000000003"), "{}", found.skipped[0]);
    fs::write(&second, "").unwrap();
    fs::write(&first, "").unwrap();
    assert!(checkpoints.latest_good().unwrap_err().to_string().contains("step-0000000003"));
}

#[test]
fn a_training_falls_back_where_asked() {
    let directory = TempDir::new().unwrap();
    let alone = net::fit(|trainer| trainer).unwrap();
    let with = |trainer: wgrad_train::Trainer| trainer.checkpoint(directory.path()).resume(true);
    net::fit(|trainer| with(trainer).epochs(3)).unwrap();
    let all = Checkpoints::new(directory.path()).all().unwrap();
    let mut bytes = fs::read(&all[1]).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 4;
    fs::write(&all[1], bytes).unwrap();
    let error = net::fit(with).err().unwrap().to_string();
    assert!(error.contains("step-0000000045.safetensors: is damaged"), "{error}");
    let report = net::fit(|trainer| with(trainer).fall_back(true)).unwrap();
    assert_eq!(report.resumed_from.as_ref(), Some(&all[0]));
    assert!(net::bits(&report.state) == net::bits(&alone.state));
    assert!(names(directory.path()).contains(&"step-0000000045.safetensors.unusable".to_string()));
    let again = net::fit(with).unwrap();
    assert!(net::bits(&again.state) == net::bits(&alone.state));
}
