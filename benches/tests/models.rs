//! The five models are of the agreed sizes and can be recorded.

use wgrad::prelude::*;
use wgrad_benches::Training;
use wgrad_benches::kernels::kernels;
use wgrad_measure::{Model, Values};

#[test]
fn every_model_has_the_numbers_it_should() {
    for model in Model::ALL {
        assert_eq!(Training::of(model).parameters(), model.parameters(), "{model}");
    }
}

#[test]
fn every_model_takes_its_batches_and_gives_a_loss() {
    for model in Model::ALL {
        let training = Training::of(model);
        let graph = Graph::new(Mode::Train);
        let [loss] = training.record(&graph);
        graph.recording().check().unwrap_or_else(|error| panic!("{model}: {error}"));
        assert_eq!(loss.rank(), 0, "{model}");
        let (input, target) = model.batch(0);
        for (values, spec) in [(input, training.input()), (target, training.target())] {
            let (numbers, classes) = (values.f32().len(), values.u32().len());
            let expected = if spec.dtype == F32 { (spec.shape.numel(), 0) } else { (0, spec.shape.numel()) };
            assert_eq!((numbers, classes), expected, "{model}");
        }
    }
}

#[test]
fn batches_differ() {
    assert_ne!(Model::Mlp.batch(0).0, Model::Mlp.batch(1).0);
    assert_ne!(Values::below(10, 0, 100), Values::below(10, 1, 100));
}

#[test]
fn kernels_have_names_of_their_own() {
    let mut names: Vec<String> = kernels().into_iter().map(|kernel| kernel.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
