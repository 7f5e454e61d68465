//! Parameter groups: who is in them, what they change, and in which order.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{START, advance, gradient, initial, problem};
use wgrad_core::{Graph, Init, Mode, Vars};
use wgrad_optim::{AdamW, Optimizer, Sgd, StepLr};

const RATE: f64 = 1.0 / 16.0;

/// How far (x, y₀, y₁) are after the first step, in units of their gradients: the rate of each.
fn rates(optimizer: &dyn Optimizer) -> [f64; 3] {
    let after = training::trajectory(optimizer, 1)[0];
    let g = gradient(START);
    [0, 1, 2].map(|i| (START[i] - after[i]) / g[i])
}

#[track_caller]
fn assert_rates(optimizer: &dyn Optimizer, expected: [f64; 3]) {
    let rates = rates(optimizer);
    assert!(rates.iter().zip(expected).all(|(r, e)| (r - e).abs() < 1e-12), "{rates:?}, not {expected:?}");
}

#[test]
fn rates_and_factors() {
    let sgd = Sgd::new(RATE);
    assert_rates(&sgd, [RATE; 3]);
    assert_rates(&sgd.clone().group("x", |g| g.rate(0.5)), [0.5, RATE, RATE]);
    assert_rates(&sgd.clone().group("y", |g| g.rate_factor(0.25)), [RATE, RATE / 4.0, RATE / 4.0]);
    // The last group that says something counts; a rate of its own is a new start for the factor.
    let both = sgd.clone().group("*", |g| g.rate_factor(0.5)).group("x", |g| g.rate(0.25));
    assert_rates(&both, [0.25, RATE / 2.0, RATE / 2.0]);
    let scheduled = sgd.group("y", |g| g.rate(StepLr::new(0.5, 1, 0.5)).rate_factor(0.5));
    assert_rates(&scheduled, [RATE, 0.25, 0.25]);
}

#[test]
fn rates_by_depth() {
    assert_rates(&Sgd::new(RATE).rates_by_depth(0.5, &["x", "y"]), [RATE / 2.0, RATE, RATE]);
}

#[test]
fn frozen_groups_have_no_slots() {
    let sgd = Sgd::new(RATE).momentum(0.5).group("x", |g| g.freeze());
    assert_rates(&sgd, [0.0, RATE, RATE]);
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    sgd.clone().minimize(&problem(&graph, &vars), &vars);
    assert!(vars.all().iter().all(|var| !var.name().starts_with("x.")));
    assert_rates(&sgd.group("x", |g| g.unfreeze()), [RATE; 3]);
}

#[test]
fn weight_decay_spares_a_pattern() {
    let decayed = |optimizer: &dyn Optimizer| {
        // Without a gradient, what is left of the parameter is what the decay leaves.
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        let [w, b] = [("fc.weight", vec![2, 2]), ("fc.bias", vec![2])]
            .map(|(name, shape)| graph.var(&vars.var(name, shape, Init::constant(1.0))));
        optimizer.minimize(&((w.sum(..) + b.sum(..)) * 0.0), &vars);
        let mut state = initial(&vars);
        advance(&graph, &mut state);
        ["fc.weight", "fc.bias"].map(|name| state[name].data[0])
    };
    let adam = AdamW::new(0.5).weight_decay(0.25);
    assert_eq!(decayed(&adam), [0.875, 0.875]);
    assert_eq!(decayed(&adam.clone().no_decay("*bias")), [0.875, 1.0]);
    assert_eq!(decayed(&adam.clone().vectors(|g| g.weight_decay(0.0))), [0.875, 1.0]);
    assert_eq!(decayed(&adam.group("*weight", |g| g.weight_decay(0.5))), [0.75, 0.875]);
}

#[test]
fn a_group_may_have_another_optimizer() {
    let other = Sgd::new(0.5).weight_decay(0.25);
    let mixed = Sgd::new(RATE).weight_decay(1.0).group("x", |g| g.optimizer(other)).group("*", |g| g);
    let after = training::trajectory(&mixed, 1)[0];
    let g = gradient(START);
    assert_eq!(after[0], START[0] - 0.5 * (g[0] + 0.25 * START[0]));
    assert_eq!(after[1], START[1] - RATE * (g[1] + START[1]));
}

#[test]
fn patterns_are_relative_to_the_tree() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let loss = problem(&graph, &vars.sub("model"));
    Sgd::new(RATE).group("x", |g| g.freeze()).minimize(&loss, &vars.sub("model"));
    let mut state = initial(&vars);
    advance(&graph, &mut state);
    assert_eq!(state["model.x"].item(), START[0]);
    assert_eq!(state["model.optim.step"].item(), 1.0);
}

#[test]
fn mistakes_are_located() {
    let sgd = || Sgd::new(RATE);
    let mistakes: [(Sgd, &str); 5] = [
        (sgd().group("head.*", |g| g.freeze()), "Sgd: no parameter matches `head.*`"),
        (sgd().no_decay("[x"), "`[x` is not a glob pattern"),
        (sgd().group("x", |g| g.rate_factor(-1.0)), "in the group of `x`, the rate factor is -1"),
        (
            sgd().vectors(|g| g.optimizer(Sgd::new(0.1).momentum(-1.0))),
            "in the group of vectors, Sgd: momentum is -1",
        ),
        (sgd().weight_decay(-1.0), "Sgd: weight decay is -1, but must be in [0, inf)"),
    ];
    for (optimizer, expected) in mistakes {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        let loss = problem(&graph, &vars);
        optimizer.minimize(&loss, &vars);
        let line = line!() - 1;
        let error = graph.recording().check().expect_err("the group is wrong");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!((error.location.file(), error.location.line()), (file!(), line), "{error}");
    }
}

#[test]
fn two_optimizers_of_one_tree_make_one_update() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let gradients = problem(&graph, &vars).backward(&vars);
    let (first, second) = gradients.split_at(1);
    AdamW::new(RATE).update(first, &vars);
    Sgd::new(RATE).update(second, &vars);
    let mut state = initial(&vars);
    for t in 1..=3 {
        advance(&graph, &mut state);
        assert_eq!(state["optim.step"].item(), f64::from(t));
    }
}
