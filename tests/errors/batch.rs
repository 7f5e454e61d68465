//! Batches that a program cannot take.

use std::any::Any;
use std::sync::Arc;

use wgrad::core::batch::{BatchError, BatchMemory, HostMemory, Layout};
use wgrad::gpu::Error;
use wgrad::prelude::*;

use crate::{GPU, classifier, says};

/// The error of one run of the classifier. It still works afterwards.
#[track_caller]
fn refused(batch: Batch) -> Error {
    let (program, vars) = classifier();
    let mut state = GPU.init(&vars, 1).unwrap();
    let error = program.run(&mut state, batch).expect_err("the batch is wrong");
    let right = Batch::new().with("x", [3, 4], &[1f32; 12]).with("label", [3], &[0u32, 1, 0]);
    let loss = program.run(&mut state, right).unwrap().scalar(0).unwrap();
    assert!(loss.is_finite());
    assert_eq!(state.step().unwrap(), 1, "a refused batch is no step");
    error
}

#[test]
fn label_out_of_range_in_a_host_batch() {
    let error = refused(Batch::new().with("x", [3, 4], &[1f32; 12]).with("label", [3], &[0u32, 1, 2]));
    let Error::Batch(BatchError::OutOfRange { field, value, bound, element }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((field.as_str(), *value, *bound, *element), ("label", 2, 2, 2));
    says(&error, &["`label`", "2", "element 2"]);
}

/// Rows whose labels are not checked before they reach a batch.
fn rows(labels: &[u32]) -> TensorDataset {
    let n = labels.len();
    let rows = TensorDataset::new().field("x", [n, 4], &vec![1f32; 4 * n]).unwrap();
    rows.field("label", [n], labels).unwrap()
}

#[test]
fn label_out_of_range_in_a_loader() {
    let (program, vars) = classifier();
    let mut state = GPU.init(&vars, 1).unwrap();
    let data = rows(&[0, 1, 0, 1, 7, 0, 1, 1, 0]);
    for workers in [0, 1, 3] {
        let loader = Loader::new(data.clone(), 3).workers(workers).allocator(program.staging());
        let mut batches = loader.epoch(0);
        program.run(&mut state, batches.next().unwrap().unwrap()).unwrap();
        let error = batches.next().unwrap().err().unwrap();
        let DataError::Record { record: 4, source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, DataError::Batch(BatchError::OutOfRange { value: 7, bound: 2, .. })));
        says(&error, &["record 4", "`label`", "7", "not below 2"]);
        assert!(batches.next().is_none(), "after an error there are no more batches");
    }
    // The memory of the refused batches has gone back to the ring.
    for batch in Loader::new(rows(&[0; 60]), 3).allocator(program.staging()).epoch(0) {
        program.run(&mut state, batch.unwrap()).unwrap();
    }
}

#[test]
fn index_out_of_range() {
    let vars = Vars::new();
    let table = Embedding::new(vars.sub("table"), 5, 2);
    let program = GPU.compile(Mode::Eval, |g| [table.forward(&g.input("word", [2], U32))]).unwrap();
    let mut state = GPU.init(&vars, 1).unwrap();
    let error = program.run(&mut state, Batch::new().with("word", [2], &[4u32, 5])).unwrap_err();
    assert!(matches!(error, Error::Batch(BatchError::OutOfRange { value: 5, bound: 5, .. })), "{error:?}");
    says(&error, &["`word`", "element 1"]);
}

#[test]
fn a_batch_of_another_shape() {
    let error = refused(Batch::new().with("x", [2, 4], &[1f32; 8]).with("label", [3], &[0u32; 3]));
    assert!(matches!(&error, Error::WrongInput { name, .. } if name == "x"));
    says(&error, &["`x`", "f32[3, 4]", "f32[2, 4]"]);
}

#[test]
fn a_batch_of_another_dtype() {
    let error = refused(Batch::new().with("x", [3, 4], &[1i32; 12]).with("label", [3], &[0u32; 3]));
    assert!(matches!(&error, Error::WrongInput { name, .. } if name == "x"));
    says(&error, &["`x`", "f32[3, 4]", "i32[3, 4]"]);
}

#[test]
fn a_batch_with_too_few_values() {
    let error = refused(Batch::new().with("x", [3, 4], &[1f32; 11]).with("label", [3], &[0u32; 3]));
    assert!(matches!(&error, Error::WrongInput { name, .. } if name == "x"));
    says(&error, &["`x`", "f32[3, 4]", "f32[11]"]);
}

#[test]
fn a_staged_batch_that_something_is_added_to() {
    let (program, vars) = classifier();
    let mut state = GPU.init(&vars, 1).unwrap();
    let loader = Loader::new(rows(&[0; 10]), 3).allocator(program.staging());
    let batch = loader.epoch(0).next().unwrap().unwrap().with("noise", [2], &[0f32; 2]);
    let error = program.run(&mut state, batch).unwrap_err();
    assert!(matches!(error, Error::BatchMemory { .. }), "{error:?}");
}

#[test]
fn a_staged_batch_of_another_size() {
    let (program, vars) = classifier();
    let mut state = GPU.init(&vars, 1).unwrap();
    for batch_size in [1, 2, 5] {
        let loader = Loader::new(rows(&[0; 10]), batch_size).allocator(program.staging());
        let batch = loader.epoch(0).next().unwrap().unwrap();
        let error = program.run(&mut state, batch).unwrap_err();
        assert!(matches!(error, Error::WrongInput { .. }), "{error:?}");
        says(&error, &["f32[3, 4]", &format!("f32[{batch_size}, 4]")]);
    }
}

#[test]
fn a_batch_staged_for_another_program() {
    let ((program, vars), (other, _)) = (classifier(), classifier());
    let mut state = GPU.init(&vars, 1).unwrap();
    let batch = Loader::new(rows(&[0; 3]), 3).allocator(other.staging()).epoch(0).next().unwrap().unwrap();
    let error = program.run(&mut state, batch).unwrap_err();
    assert!(matches!(error, Error::BatchMemory(_)), "{error:?}");
    says(&error, &["another program", "staging()"]);
}

#[test]
fn a_batch_with_another_layout_than_its_memory() {
    let (program, vars) = classifier();
    let mut state = GPU.init(&vars, 1).unwrap();
    let small: Arc<Layout> = Layout::new().field("label", TensorSpec::new(U32, [3])).into();
    let memory = program.staging().allocate(&small).unwrap();
    let layout = Layout::new().field("label", TensorSpec::new(U32, [3]));
    let layout = layout.field("x", TensorSpec::new(F32, [3, 4])).into();
    let error = program.run(&mut state, Batch { layout, memory }).unwrap_err();
    assert!(matches!(error, Error::BatchMemory(_)), "{error:?}");
    says(&error, &["another layout"]);
}

#[test]
fn a_batch_in_memory_of_a_users_own_kind() {
    struct Mine;
    impl BatchMemory for Mine {
        fn write(&mut self, _: usize, _: &[u8]) -> Result<(), BatchError> {
            Ok(())
        }
        fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
            self
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    let right = Batch::new().with("x", [3, 4], &[1f32; 12]).with("label", [3], &[0u32; 3]);
    let error = refused(Batch { layout: right.layout, memory: Box::new(Mine) });
    assert!(matches!(error, Error::BatchMemory(_)), "{error:?}");
    says(&error, &["unknown kind", "staging()"]);
}

#[test]
fn a_missing_input() {
    let error = refused(Batch::new().with("x", [3, 4], &[1f32; 12]));
    assert!(matches!(&error, Error::MissingInput { name, .. } if name == "label"));
    says(&error, &["`label`", "u32[3]", "`x`"]);
    let error = refused(Batch::new());
    assert!(matches!(error, Error::MissingInput { .. }));
}

#[test]
fn a_batch_shorter_than_its_layout_says() {
    let layout = || {
        let layout = Layout::new().field("x", TensorSpec::new(F32, [3, 4]));
        layout.field("label", TensorSpec::new(U32, [3])).into()
    };
    for bytes in [0, 20, 48, 52] {
        let error = refused(Batch { layout: layout(), memory: Box::new(HostMemory(vec![0; bytes])) });
        assert!(matches!(error, Error::BatchMemory(_)), "{bytes}: {error:?}");
        let short = if bytes < 48 { "`x` ends at 48" } else { "`label` ends at 60" };
        says(&error, &[&format!("{bytes} bytes"), short]);
    }
}
