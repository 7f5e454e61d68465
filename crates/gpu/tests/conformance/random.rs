//! Random graphs with gradients: the device and the reference must agree.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wgrad_core::case::random_graph;

use crate::compare::{DEVICES, compare};

#[test]
fn random_graphs_agree_with_the_reference() {
    let config = Config { cases: 200, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let choices = proptest::collection::vec(any::<u32>(), 10..60);
    let mut run = 0;
    let runs = std::cell::RefCell::new(&mut run);
    let outcome = TestRunner::new(config).run(&choices, |choices| {
        let graph = random_graph(&choices);
        let mut runs = runs.borrow_mut();
        // Every graph as users run it; the other configurations take turns.
        for (name, gpu) in [&DEVICES[0], &DEVICES[1 + **runs % (DEVICES.len() - 1)]] {
            let compared = compare(gpu, &graph.recording, &graph.environment, &graph.outputs());
            prop_assert!(compared.is_ok(), "{name}: {}", compared.unwrap_err());
        }
        **runs += 1;
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(run >= 200, "only {run} graphs were run");
}
