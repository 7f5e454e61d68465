//! Random graphs with gradients: the device and the reference must agree.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use wgrad_core::case::{random_graph, random_layers};

use crate::compare::{DEVICES, compare};

#[test]
fn random_graphs_agree_with_the_reference() {
    let config = Config { cases: 200, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let choices = proptest::collection::vec(any::<u32>(), 10..60);
    let mut run = 0;
    let runs = std::cell::RefCell::new(&mut run);
    let outcome = TestRunner::new(config).run(&choices, |choices| {
        // Every graph as users run it; kinds of graphs and the other configurations take turns.
        let turn = choices[0] as usize;
        let graph = if turn.is_multiple_of(2) { random_graph(&choices) } else { random_layers(&choices) };
        for (name, gpu) in [&DEVICES[0], &DEVICES[1 + turn / 2 % (DEVICES.len() - 1)]] {
            let compared = compare(gpu, &graph.recording, &graph.environment, &graph.outputs());
            prop_assert!(compared.is_ok(), "{name}: {}", compared.unwrap_err());
        }
        **runs.borrow_mut() += 1;
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(run >= 200, "only {run} graphs were run");
}

/// What failed once: single numbers whose position was written as an index that is always 0, and a reshaped product whose rows
/// were remainders that no longer looked the same after they had been divided.
#[test]
fn graphs_that_failed_once_agree_with_the_reference() {
    let choices: &[&[u32]] = &[
        &[
            1048067364, 2148942559, 3287193572, 901166317, 610476038, 3377622964, 311462311, 2227810042,
            4208759954, 2497865020, 3830242985, 2226352164, 3925349069, 1504964949, 1951688419, 3452730850,
            1464289490, 3321544687, 3941415537, 3204495953, 1192189137, 3356157495, 3518359871, 1305245858,
            2767619189, 662035150, 1166692157, 2927866050, 2178099146, 930525296, 2631026605, 854715343,
            1687003058, 1182273690,
        ],
        &[
            3646227793, 2961156214, 202723889, 3218513426, 3808941883, 1918806523, 3890021521, 3277505468,
            3867183945, 3243905285, 2158095052, 3894434710, 3954178383, 736301258, 2520260664, 3703860094,
            91410694, 3857432648, 2904144364, 3278652577, 740211405, 334004955, 530390844, 2440581054,
            3743926838, 465568885, 3485195830, 894679176, 3470011449, 2271526910, 2805633836, 1589243956,
            550629642, 1580995692, 3106375326, 2901370229, 3587269670, 2200761720, 2668074176, 1492309373,
            1206547690, 1274964688, 3844911930, 3325932778, 1040396297, 1124924939,
        ],
        &[
            89463955, 874618736, 2705237667, 3360392180, 301892505, 1962640267, 2196569027, 45310096,
            3982462709, 2326599297, 3729784739, 4024633723, 2354346606, 2680319518, 2822473287, 2882701653,
            5373175, 2265575797, 3389780376, 812997936, 620796889, 972277812, 3549962948, 2012127484,
        ],
    ];
    for choices in choices {
        let graph = random_graph(choices);
        for (name, gpu) in DEVICES.iter() {
            let compared = compare(gpu, &graph.recording, &graph.environment, &graph.outputs());
            assert!(compared.is_ok(), "{name}: {}", compared.unwrap_err());
        }
    }
}
