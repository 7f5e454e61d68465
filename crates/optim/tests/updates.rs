//! What optimizers leave alone, share and refuse; and clipping.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{START, advance, gradient, initial, problem};
use wgrad_core::interpret::evaluate;
use wgrad_core::{Array, F32, Graph, Mode, VarKind, Vars};
use wgrad_optim::{
    Adagrad, Adam, AdamW, Cosine, Manual, Optimizer, RmsProp, Sgd, Warmup, clip_grad_norm, clip_grad_value,
    grad_norm,
};

fn every_optimizer() -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Sgd::new(0.1).momentum(0.9).weight_decay(0.1)),
        Box::new(RmsProp::new(0.1).weight_decay(0.1)),
        Box::new(Adagrad::new(0.1).weight_decay(0.1)),
        Box::new(Adam::new(0.1).weight_decay(0.1)),
        Box::new(AdamW::new(0.1)),
    ]
}

#[test]
fn frozen_parameters_stay_untouched() {
    for optimizer in every_optimizer() {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        let loss = problem(&graph, &vars);
        assert_eq!(vars.freeze("x"), 1);
        optimizer.minimize(&loss, &vars);
        assert!(vars.all().iter().all(|var| !var.name().starts_with("x.")), "a frozen parameter has slots");
        let mut state = initial(&vars);
        for _ in 0..5 {
            advance(&graph, &mut state);
        }
        assert_eq!(state["x"].item(), START[0]);
        assert!((state["y"].data[0] - START[1]).abs() > 1e-3);
    }
}

#[test]
fn programs_share_one_state() {
    for optimizer in every_optimizer() {
        let vars = Vars::new();
        let programs = [Graph::new(Mode::Train), Graph::new(Mode::Train)];
        for graph in &programs {
            optimizer.minimize(&problem(graph, &vars), &vars);
        }
        assert!(vars.check().is_ok());
        let names: Vec<_> = vars.all().iter().map(|var| var.name().to_string()).collect();
        let slots = vars.all().iter().filter(|var| matches!(var.kind(), VarKind::Slot(_))).count();
        // One or two moments of x and of y, and the count of updates.
        assert!(slots == 3 || slots == 5, "{names:?}");
        // Alternating between the programs is the same training as repeating one.
        let (mut one, mut both) = (initial(&vars), initial(&vars));
        for t in 0..6 {
            advance(&programs[0], &mut one);
            advance(&programs[t % 2], &mut both);
        }
        assert_eq!(one, both);
    }
}

#[test]
fn a_rate_written_between_steps_takes_effect() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    Sgd::new(Manual::new(&vars, 0.125)).minimize(&problem(&graph, &vars), &vars);
    let mut state = initial(&vars);
    advance(&graph, &mut state);
    let g = gradient(START);
    assert!((state["x"].item() - (START[0] - 0.125 * g[0])).abs() < 1e-12);
    let before = state["x"].item();
    state.insert("optim.lr".into(), Array::new(F32, [], vec![0.0]));
    advance(&graph, &mut state);
    assert_eq!(state["x"].item(), before);
}

#[test]
fn clipping_by_the_common_norm() {
    let g = gradient(START);
    let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
    for limit in [0.5, 64.0] {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        let gradients = problem(&graph, &vars).backward(&vars);
        let recorded = grad_norm(&gradients).expect("there are gradients");
        let clipped = clip_grad_norm(&gradients, limit);
        let values = evaluate(&graph.recording(), &initial(&vars));
        assert!((values[recorded.id().index()].item() - norm).abs() < 1e-12);
        let scale = (limit / (norm + 1e-6)).min(1.0);
        assert_eq!(scale < 1.0, limit < 1.0);
        let flat: Vec<f64> = clipped.iter().flat_map(|(_, g)| values[g.id().index()].data.clone()).collect();
        for (clipped, g) in flat.iter().zip(g) {
            assert!((clipped - g * scale).abs() < 1e-12, "{clipped} is not {g} · {scale}");
        }
    }
}

#[test]
fn clipping_by_value() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let clipped = clip_grad_value(&problem(&graph, &vars).backward(&vars), 2.5);
    let values = evaluate(&graph.recording(), &initial(&vars));
    let flat: Vec<f64> = clipped.iter().flat_map(|(_, g)| values[g.id().index()].data.clone()).collect();
    let g = gradient(START);
    assert!(g.iter().any(|g| g.abs() > 2.5) && g.iter().any(|g| g.abs() < 2.5));
    for (clipped, g) in flat.iter().zip(g) {
        assert!((clipped - g.clamp(-2.5, 2.5)).abs() < 1e-12);
    }
}

#[test]
fn nothing_to_clip() {
    assert!(grad_norm(&[]).is_none());
    assert!(clip_grad_norm(&[], 1.0).is_empty());
    assert!(clip_grad_value(&[], 1.0).is_empty());
}

#[test]
fn settings_out_of_range_are_located_errors() {
    let wrong: Vec<(Box<dyn Optimizer>, &str)> = vec![
        (Box::new(Sgd::new(0.1).momentum(-1.0)), "Sgd: momentum is -1, but must be in [0, inf)"),
        (Box::new(Sgd::new(0.1).nesterov()), "Sgd: Nesterov momentum needs a positive momentum"),
        (Box::new(Sgd::new(0.1).weight_decay(f64::NAN)), "Sgd: weight decay is NaN"),
        (Box::new(RmsProp::new(0.1).alpha(1.0)), "RmsProp: alpha is 1, but must be in [0, 1)"),
        (Box::new(Adagrad::new(0.1).eps(-1.0)), "Adagrad: eps is -1"),
        (Box::new(Adam::new(0.1).betas(0.9, 1.5)), "Adam: the second beta is 1.5"),
        (Box::new(AdamW::new(0.1).betas(-0.5, 0.9)), "AdamW: the first beta is -0.5"),
    ];
    for (optimizer, expected) in wrong {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        optimizer.minimize(&problem(&graph, &vars), &vars);
        let error = graph.recording().check().expect_err("the setting is wrong").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_error_names_the_place_of_the_call() {
    let in_the_rate = Warmup::new(5, Cosine::new(0.1, 0));
    for optimizer in [Adam::new(0.1).eps(-1.0), Adam::new(in_the_rate)] {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        let loss = problem(&graph, &vars);
        optimizer.minimize(&loss, &vars);
        let line = line!() - 1;
        let error = graph.recording().check().expect_err("a setting is wrong");
        assert_eq!((error.location.file(), error.location.line()), (file!(), line), "{error}");
    }
}

#[test]
fn a_wrong_clipping_limit_is_an_error() {
    for clip in [clip_grad_norm, clip_grad_value] {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        let gradients = problem(&graph, &vars).backward(&vars);
        assert_eq!(clip(&gradients, 0.0).len(), 2);
        let error = graph.recording().check().expect_err("the limit is zero").to_string();
        assert!(error.contains("the limit is 0, but must be positive"), "{error}");
    }
}
