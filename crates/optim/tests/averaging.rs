//! Averages of parameters, and programs that read them.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod training;

use training::{START, advance, initial, problem, trajectory};
use wgrad_core::interpret::{Environment, evaluate, step};
use wgrad_core::{Graph, Mode, Vars};
use wgrad_optim::{Averaging, Optimizer, Sgd};

const STEPS: usize = 12;

/// The averages of (x, y₀, y₁) after each step, and the parameters beside them.
fn averages(averaging: Averaging) -> Vec<([f64; 3], [f64; 3])> {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let sgd = Sgd::new(1.0 / 16.0).averaging(averaging);
    sgd.minimize(&problem(&graph, &vars), &vars);
    let mut state = initial(&vars);
    let point = |state: &Environment, suffix: &str| {
        let [x, y] = ["x", "y"].map(|name| state[&format!("{name}{suffix}")].data.clone());
        [x[0], y[0], y[1]]
    };
    let mut next = || {
        advance(&graph, &mut state);
        (point(&state, ".average"), point(&state, ""))
    };
    (0..STEPS).map(|_| next()).collect()
}

#[track_caller]
fn close(found: [f64; 3], expected: [f64; 3]) {
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-12), "{found:?}, not {expected:?}");
}

#[test]
fn the_exponential_average_begins_with_the_first_parameters() {
    let mut expected: Option<[f64; 3]> = None;
    for (average, w) in averages(Averaging::ema(0.875)) {
        let next = |a: [f64; 3]| [0, 1, 2].map(|i| 0.875 * a[i] + 0.125 * w[i]);
        expected = Some(expected.map_or(w, next));
        close(average, expected.unwrap_or(w));
    }
}

#[test]
fn averaging_leaves_training_alone() {
    let alone = trajectory(&Sgd::new(1.0 / 16.0), STEPS);
    let beside: Vec<[f64; 3]> = averages(Averaging::swa()).into_iter().map(|(_, w)| w).collect();
    assert_eq!(alone, beside);
}

#[test]
fn the_stochastic_average_is_the_mean_of_every_third_from_the_fifth() {
    let mut sum = [0.0; 3];
    let mut n = 0.0;
    for (t, (average, w)) in averages(Averaging::swa().start(5).every(3)).into_iter().enumerate() {
        if t >= 5 && (t - 5) % 3 == 0 {
            n += 1.0;
            (0..3).for_each(|i| sum[i] += w[i]);
        }
        if n > 0.0 {
            close(average, sum.map(|sum| sum / n));
        } else {
            assert_eq!(average, [0.0; 3]);
        }
    }
    assert_eq!(n, 3.0);
}

#[test]
fn a_program_may_read_or_take_the_averages() {
    let vars = Vars::new();
    let graph = Graph::new(Mode::Train);
    let sgd = Sgd::new(1.0 / 16.0).averaging(Averaging::ema(0.75).start(2));
    sgd.minimize(&problem(&graph, &vars), &vars);
    let mut state = initial(&vars);

    let plain = Graph::new(Mode::Eval);
    let plain_loss = problem(&plain, &vars);
    let averaged = Graph::new(Mode::Eval);
    Averaging::read(&averaged, &vars);
    let averaged_loss = problem(&averaged, &vars);
    let losses = |state: &Environment| {
        [(&plain, &plain_loss), (&averaged, &averaged_loss)]
            .map(|(graph, loss)| evaluate(&graph.recording(), state)[loss.id().index()].item())
    };
    // As long as nothing is averaged, the parameters stand in.
    advance(&graph, &mut state);
    let [now, average] = losses(&state);
    assert_eq!(now, average);
    for _ in 0..5 {
        advance(&graph, &mut state);
    }
    let [now, average] = losses(&state);
    assert!((now - average).abs() > 1e-3);

    let take = Graph::new(Mode::Eval);
    Averaging::write(&take, &vars);
    step(&take.recording(), &mut state, &[]);
    assert_eq!(state["x"], state["x.average"]);
    let [now, again] = losses(&state);
    assert_eq!((now, again), (average, average));
    assert_ne!(state["x"].item(), START[0]);
}

#[test]
fn mistakes_are_located() {
    for (averaging, expected) in [
        (Averaging::ema(1.0), "Sgd: the decay of the averages is 1, but must be in [0, 1)"),
        (Averaging::swa().every(0), "Sgd: averages are taken every 0 updates"),
    ] {
        let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
        Sgd::new(0.1).averaging(averaging).minimize(&problem(&graph, &vars), &vars);
        let error = graph.recording().check().expect_err("the setting is wrong").to_string();
        assert!(error.contains(expected), "{error}");
    }
    let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    Averaging::read(&graph, &vars);
    let error = graph.recording().check().expect_err("there are no averages").to_string();
    assert!(error.contains("nothing is averaged; record a training step"), "{error}");
}
