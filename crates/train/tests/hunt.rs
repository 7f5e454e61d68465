//! A training that comes apart says which line began it.

use wgrad_core::{Init, Tensor, Vars};
use wgrad_data::TensorDataset;
use wgrad_gpu::hunt::Source;
use wgrad_gpu::{Gpu, NonFinite};
use wgrad_optim::Sgd;
use wgrad_train::{TrainError, Trainer};

/// Trains one weight on records (x, 0), two in a batch; where the first number came from that was not finite.
fn fail(x: &[f32], hunt: bool, loss: impl Fn(&Tensor) -> Tensor) -> (Option<Box<NonFinite>>, String) {
    let vars = Vars::new();
    let w = vars.var("w", [1], Init::constant(1.0));
    let zeros = vec![0f32; x.len()];
    let data = TensorDataset::new().field("x", [x.len(), 1], x).unwrap();
    let data = data.field("y", [x.len(), 1], &zeros).unwrap();
    let trainer = Trainer::new(&Gpu::new().unwrap(), &vars, Sgd::new(1e-6)).epochs(2).batch_size(2);
    let trainer = trainer.progress(false).hunt_nan(hunt);
    let error = trainer.fit(&data, &data, |x, _| loss(&(x * x.graph().var(&w)))).err().unwrap();
    println!("{error}");
    let message = error.to_string();
    let TrainError::NonFinite { cause, .. } = error else { panic!("{error}") };
    (cause, message)
}

#[test]
fn the_operation_is_named() {
    let x: Vec<f32> = (0..40).map(|i| if i == 17 { -1.0 } else { 1.0 + i as f32 }).collect();
    let line = line!() + 1;
    let (cause, message) = fail(&x, true, |x| x.log().mean(..));
    let cause = cause.expect("a cause");
    assert_eq!((&cause.source, cause.location.line()), (&Source::Operation("log"), line));
    assert_eq!((cause.nans, cause.operands[0].range.unwrap().0 < 0.0), (1, true));
    assert!(message.contains("tests/hunt.rs") && message.contains("1 NaN"), "{message}");
}

/// The loss is finite, its gradient is not: only the loss after it shows that.
#[test]
fn an_operation_of_the_step_before_is_named() {
    let line = line!() + 1;
    let (cause, message) = fail(&[0.0; 8], true, |x| x.square().sum(..).sqrt());
    let cause = cause.expect("a cause");
    assert!(matches!(cause.source, Source::Operation(_)), "{message}");
    assert_eq!(cause.location.line(), line, "{message}");
}

#[test]
fn without_a_hunt_the_error_says_that_there_is_one() {
    let (cause, message) = fail(&[-1.0; 4], false, |x| x.log().mean(..));
    assert!(cause.is_none() && message.contains("hunt_nan"), "{message}");
}
