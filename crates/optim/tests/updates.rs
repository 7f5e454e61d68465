//! What optimizers leave alone, share and refuse; and clipping.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{START, advance, gradient, initial, problem, trajectory};
use wgrad_core::interpret::evaluate;
use wgrad_core::{Array, F32, Graph, Mode, VarKind, Vars};
use wgrad_optim::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Cosine, Lamb, LinearLr, Lion, Manual, Muon, NAdam,
    Optimizer, RAdam, RmsProp, Sgd, Warmup, clip_grad_norm, clip_grad_value, grad_norm,
};

/// Every optimizer but Muon, which has no use for vectors, with rates that fall to zero.
fn every_optimizer() -> Vec<Box<dyn Optimizer>> {
    let rate = |rate: f64| LinearLr::new(rate, STEPS as u32).start(1.0).end(0.0);
    vec![
        Box::new(Sgd::new(rate(0.1)).momentum(0.9)),
        Box::new(RmsProp::new(rate(0.1))),
        Box::new(Adagrad::new(rate(1.0))),
        Box::new(Adadelta::new(rate(10.0))),
        Box::new(Adam::new(rate(0.1))),
        Box::new(AdamW::new(rate(0.1)).weight_decay(0.0)),
        Box::new(Adamax::new(rate(0.1))),
        Box::new(NAdam::new(rate(0.1))),
        Box::new(RAdam::new(rate(0.1))),
        Box::new(Lion::new(rate(0.1))),
        Box::new(Lamb::new(rate(0.1))),
        Box::new(Adafactor::new(rate(0.1))),
    ]
}

const STEPS: usize = 300;

#[test]
fn every_optimizer_finds_the_minimum() {
    let slope = |w: [f64; 3]| gradient(w).iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!(slope(START) > 3.0);
    for optimizer in every_optimizer() {
        // Steps in proportion to the tensor do not lead x, a single number, across zero.
        if ["Lamb", "Adafactor"].contains(&optimizer.name()) {
            continue;
        }
        let last = trajectory(&*optimizer, STEPS)[STEPS - 1];
        assert!(slope(last) < 0.03, "{} ends at {last:?}, slope {}", optimizer.name(), slope(last));
    }
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
        // As many for x as for y, and the count of updates.
        assert!(slots >= 3 && slots % 2 == 1, "{names:?}");
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
        (Box::new(Adadelta::new(1.0).rho(1.0)), "Adadelta: rho is 1"),
        (Box::new(Adamax::new(0.1).eps(f64::NAN)), "Adamax: eps is NaN"),
        (Box::new(NAdam::new(0.1).momentum_decay(-0.1)), "NAdam: the momentum decay is -0.1"),
        (Box::new(RAdam::new(0.1).betas(0.9, 1.0)), "RAdam: the second beta is 1"),
        (Box::new(Lion::new(0.1).betas(1.0, 0.9)), "Lion: the first beta is 1"),
        (Box::new(Lamb::new(0.1).eps(-1.0)), "Lamb: eps is -1"),
        (Box::new(Adafactor::new(0.1).threshold(0.5)), "Adafactor: the threshold is 0.5"),
        (Box::new(Adafactor::new(0.1).decay(0.5)), "Adafactor: the decay is 0.5, but must not be positive"),
        (Box::new(Muon::new(0.1).momentum(1.0)), "Muon: momentum is 1"),
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
