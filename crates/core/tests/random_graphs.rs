//! Random graphs: they record, their gradients agree with central differences, and simplification keeps
//! their meaning. The generator is the one whose graphs the GPU is tested with.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wgrad_core::case::{RandomGraph, random_graph, sensitivity};
use wgrad_core::interpret::{evaluate, evaluate_with};
use wgrad_core::simplify::simplify;
use wgrad_core::{Op, ops};

/// The same graphs on every run; a failure is shrunk to few choices.
fn on_random_graphs(count: u32, check: impl Fn(&RandomGraph) -> Result<(), TestCaseError>) {
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&vec(any::<u32>(), 0..160), |choices| check(&random_graph(&choices)));
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn graphs_are_valid_and_stay_in_range() {
    on_random_graphs(300, |graph| {
        prop_assert_eq!(graph.recording.check(), Ok(()));
        let leaf = |op: &Op| matches!(op, Op::Input(_) | Op::Scalar(_) | Op::Iota(_));
        prop_assert!(graph.recording.nodes.iter().filter(|node| !leaf(&node.op)).count() >= 10);
        prop_assert!(!graph.inputs.is_empty() && graph.inputs.len() == graph.gradients.len());
        let values = evaluate(&graph.recording, &graph.environment);
        for id in graph.outputs() {
            prop_assert!(values[id.index()].data.iter().all(|v| v.is_finite() && v.abs() < 1e3));
        }
        Ok(())
    });
}

#[test]
fn gradients_agree_with_central_differences() {
    on_random_graphs(100, |graph| {
        let values = evaluate(&graph.recording, &graph.environment);
        for (input, gradient) in graph.inputs.iter().zip(&graph.gradients) {
            let Op::Input(ops::Input { name, .. }) = &graph.recording.node(*input).op else {
                return Err(TestCaseError::fail("inputs must be inputs"));
            };
            let gradient = &values[gradient.index()];
            // One step against the gradient: the loss must change by its squared length.
            let length = gradient.data.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-9);
            let loss = |step: f64| {
                let mut environment = graph.environment.clone();
                let array = environment.get_mut(&**name).expect("inputs have values");
                array.data.iter_mut().zip(&gradient.data).for_each(|(v, g)| *v += step * g / length);
                evaluate(&graph.recording, &environment)[graph.loss.index()].item()
            };
            let measured = (loss(1e-6) - loss(-1e-6)) / 2e-6;
            prop_assert!(
                (measured - length).abs() <= 1e-6 * (1.0 + length),
                "{name}: {length}, measured {measured}"
            );
        }
        Ok(())
    });
}

#[test]
fn simplification_keeps_the_meaning() {
    on_random_graphs(200, |graph| {
        let outputs = graph.outputs();
        let simplified = simplify(&graph.recording, &outputs);
        let before = evaluate(&graph.recording, &graph.environment);
        let after = evaluate(&simplified.recording, &graph.environment);
        for (old, new) in outputs.iter().zip(&simplified.outputs) {
            for (a, b) in before[old.index()].data.iter().zip(&after[new.index()].data) {
                prop_assert!((a - b).abs() <= 1e-12 * (1.0 + a.abs()), "{} became {}", a, b);
            }
        }
        Ok(())
    });
}

#[test]
fn tolerances_cover_f32_and_stay_small() {
    on_random_graphs(100, |graph| {
        let outputs = graph.outputs();
        let exact = evaluate(&graph.recording, &graph.environment);
        // A device that rounds each value once.
        let rounded = evaluate_with(&graph.recording, &graph.environment, |_, value| {
            let dtype = value.spec.dtype;
            value.data.iter_mut().for_each(|v| *v = dtype.round(*v));
        });
        let tolerances = sensitivity(&graph.recording, &graph.environment, &outputs, 5);
        for (id, tolerance) in outputs.iter().zip(&tolerances) {
            let (exact, rounded) = (&exact[id.index()], &rounded[id.index()]);
            prop_assert_eq!(&tolerance.spec, &exact.spec);
            for (element, (a, b)) in exact.data.iter().zip(&rounded.data).enumerate() {
                let near = (a - b).abs() <= tolerance.data[element];
                prop_assert!(near, "{}: {} is {}", graph.recording.node(*id).op.name(), a, b);
            }
        }
        // The loss is a mean of values near 1; WGSL's sine alone may be off by 2⁻¹¹.
        prop_assert!(tolerances[0].item() < 0.02 * (1.0 + exact[graph.loss.index()].item().abs()));
        Ok(())
    });
}
