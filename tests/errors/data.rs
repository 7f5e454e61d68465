//! Data sets and files.

use std::path::{Path, PathBuf};

use wgrad::data::{FileProblem, Record, idx};
use wgrad::prelude::*;
use wgrad::train::TrainError;

use crate::{GPU, classifier, says};

#[test]
fn an_empty_data_set() {
    let empty = digits().take(0);
    let loader = Loader::new(empty.clone(), 8);
    assert!(matches!(loader.batches(), Err(DataError::Empty)));
    let error = loader.epoch(0).next().unwrap().err().unwrap();
    assert!(matches!(error, DataError::Empty));
    says(&error, &["no records"]);

    let vars = Vars::new();
    let fc = Linear::new(vars.sub("fc"), 64, 10);
    let trainer = Trainer::new(&GPU, &vars, Sgd::new(0.1)).progress(false);
    let loss = |x: &Tensor, y: &Tensor| fc.forward(&x.flatten(1)).cross_entropy(y);
    for (train, test) in [(&empty, &digits()), (&digits(), &empty)] {
        let error = trainer.fit(train, test, loss).err().unwrap();
        assert!(matches!(error, TrainError::Data(DataError::Empty)));
    }
}

#[test]
fn label_out_of_range_in_a_dataset() {
    let error = Labelled::new("x", [2], vec![0.0; 6], vec![0, 3, 1], 3).err().unwrap();
    assert!(matches!(error, DataError::Label { record: 1, label: 3, classes: 3 }));
    says(&error, &["record 1", "label 3", "3 classes"]);
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// An IDX file of two images of 2×2 and its labels.
const IMAGES: [u8; 24] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
const LABELS: [u8; 10] = [0, 0, 8, 1, 0, 0, 0, 2, 3, 9];

#[test]
fn an_unreadable_idx_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = idx::read(&missing, 3).unwrap_err();
    assert!(matches!(error, DataError::File { problem: FileProblem::Io(_), .. }));
    says(&error, &[&missing.display().to_string(), "cannot be read"]);
    let error = idx::read(dir.path(), 3).unwrap_err();
    says(&error, &["cannot be read"]);
    let error = mnist(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::File { problem: FileProblem::Missing { .. }, .. }));
    says(&error, &["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]);
}

#[test]
fn a_truncated_idx_file() {
    let dir = tempfile::tempdir().unwrap();
    for len in 0..IMAGES.len() {
        let path = write(dir.path(), "images", &IMAGES[..len]);
        let error = idx::read(&path, 3).unwrap_err();
        let DataError::File { problem, .. } = &error else { panic!("{error:?}") };
        match len {
            0..16 => assert!(matches!(problem, FileProblem::Header { .. }), "{len}: {problem:?}"),
            _ => assert!(matches!(problem, FileProblem::Length { expected: 8, .. }), "{len}: {problem:?}"),
        }
        says(&error, &["images", &if len < 16 { len } else { len - 16 }.to_string()]);
    }
    let error = idx::read(write(dir.path(), "labels", &LABELS), 3).unwrap_err();
    says(&error, &["0x00000801", "0x00000803"]);
}

#[test]
fn an_mnist_directory_with_a_truncated_file() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["train", "t10k"] {
        write(dir.path(), &format!("{part}-images-idx3-ubyte"), &IMAGES);
        write(dir.path(), &format!("{part}-labels-idx1-ubyte"), &LABELS);
    }
    let (train, test) = mnist(dir.path()).unwrap();
    assert_eq!((train.len(), test.len()), (2, 2));
    write(dir.path(), "t10k-labels-idx1-ubyte", &LABELS[..9]);
    let error = mnist(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::File { problem: FileProblem::Length { .. }, .. }));
    says(&error, &["t10k-labels-idx1-ubyte", "truncated"]);
    write(dir.path(), "t10k-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 3, 10]);
    let error = mnist(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::File { problem: FileProblem::Content(_), .. }));
    says(&error, &["record 1", "label 10", "10 classes"]);
}

#[test]
fn a_dataset_that_panics() {
    struct Broken;
    impl Dataset for Broken {
        fn len(&self) -> usize {
            9
        }
        fn fields(&self) -> Vec<(String, TensorSpec)> {
            vec![("x".into(), TensorSpec::new(F32, [4])), ("label".into(), TensorSpec::new(U32, []))]
        }
        fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
            assert!(record < 4, "no more");
            sink.write("x", &[0f32; 4])?;
            sink.write("label", &[0u32])
        }
    }
    let (program, _) = classifier();
    let mut batches = Loader::new(Broken, 3).allocator(program.staging()).epoch(0);
    assert!(batches.next().unwrap().is_ok());
    let error = batches.next().unwrap().err().unwrap();
    says(&error, &["record 4", "panicked", "no more"]);
}
