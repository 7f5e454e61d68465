//! The hunt for the first NaN names the line that made it.

use std::sync::LazyLock;

use wgrad_core::batch::{Batch, Layout};
use wgrad_core::{Array, F32, Graph, Init, Mode, Tensor, TensorSpec, Vars};
use wgrad_gpu::hunt::Source;
use wgrad_gpu::{Gpu, NonFinite, State};

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// Trains `w` by gradient descent on what is recorded, one step with the input `x`, and hunts.
fn hunt(x: &[f32], mut record: impl FnMut(&Tensor, &Tensor) -> Tensor) -> (Option<NonFinite>, f64) {
    let vars = Vars::new();
    let w = vars.var("w", [4], Init::constant(0.5));
    let program = GPU.compile(Mode::Train, |g: &Graph| {
        let x = g.input("x", [x.len() / 4, 4], F32);
        let loss = record(&x, &g.var(&w));
        for (var, gradient) in loss.backward(&vars) {
            g.assign(&var, &(g.var(&var) - gradient * 0.1));
        }
        [loss]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    let batch = || Batch::new().with("x", [x.len() / 4, 4], x);
    let found = program.hunt_nan(&state, batch()).unwrap();
    assert_eq!(state.read("w").unwrap().data, [0.5; 4], "a hunt leaves the state as it is");
    assert_eq!(state.step().unwrap(), 0);
    let loss = program.run(&mut state, batch()).unwrap().scalar(0).unwrap();
    assert_eq!(
        found.is_none(),
        loss.is_finite() && state.read("w").unwrap().data.iter().all(|w| w.is_finite())
    );
    if let Some(found) = &found {
        println!("{found}");
        assert!(found.location.file().ends_with("hunt.rs"), "{found}");
    }
    (found, loss)
}

#[test]
fn a_logarithm_of_a_negative_number() {
    let mut line = 0;
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, -6.0, 7.0, -8.0];
    let (found, loss) = hunt(&x, |x, w| {
        let hidden = (x * w).sigmoid() + x;
        line = line!() + 1;
        let deep = hidden.log();
        (deep * w).tanh().mean(..)
    });
    let found = found.expect("a NaN");
    assert!(loss.is_nan());
    assert_eq!((found.source, found.location.line()), (Source::Operation("log"), line));
    assert_eq!((found.nans, found.infinities), (2, 0));
    let (low, high) = found.operands[0].range.unwrap();
    assert!((-8.0..-7.0).contains(&low) && (7.0..=8.0).contains(&high), "{low} {high}");
}

#[test]
fn an_exponential_that_overflows() {
    let mut line = 0;
    let (found, loss) = hunt(&[1.0, 2.0, 300.0, -300.0], |x, w| {
        line = line!() + 1;
        let e = (x * w).exp();
        (&e / e.sum_keep(-1)).square().sum(..)
    });
    let found = found.expect("an infinity");
    assert!(loss.is_nan());
    assert_eq!((found.source, found.location.line()), (Source::Operation("exp"), line));
    assert_eq!((found.nans, found.infinities), (0, 1));
}

/// √x at 0 is 0, and its slope infinite; the slope of what is in front of it is 0.
#[test]
fn a_gradient_alone() {
    let mut line = 0;
    let (found, loss) = hunt(&[0.0, 0.0, 0.0, 0.0], |x, w| {
        let squared = (x * w).square();
        line = line!() + 1;
        let norm = squared.sum(-1).sqrt();
        norm.mean(..)
    });
    let found = found.expect("a NaN in the gradient");
    assert_eq!(loss, 0.0);
    assert_eq!(found.location.line(), line, "{found}");
    assert!(matches!(found.source, Source::Operation(_)));
}

/// What a mask throws away, with its gradient, is no harm.
#[test]
fn an_infinity_that_nothing_reads_is_passed_over() {
    let (found, loss) = hunt(&[0.0, 1.0, 2.0, 4.0], |x, w| {
        let safe = x.gt(0.0).select(&x.log(), &x.zeros_like());
        (safe * w).sum(..)
    });
    assert!(loss.is_finite());
    assert!(found.is_none(), "{}", found.unwrap());
}

#[test]
fn a_bad_batch_and_a_bad_state_are_named() {
    let (found, _) = hunt(&[1.0, f32::NAN, f32::INFINITY, 1.0], |x, w| (x * w).sum(..));
    let found = found.expect("a bad batch");
    assert_eq!((&found.source, found.nans, found.infinities), (&Source::Input("x".into()), 1, 1));
    assert!(found.to_string().contains("input `x`"), "{found}");

    let vars = Vars::new();
    let w = vars.var("w", [4], Init::constant(0.5));
    let program = GPU.compile(Mode::Eval, |g| [(g.input("x", [4], F32) * g.var(&w)).exp().sum(..)]).unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    state.write("w", &Array::new(F32, [4], vec![1.0, f64::NAN, f64::NAN, 1.0])).unwrap();
    let found =
        program.hunt_nan(&state, Batch::new().with("x", [4], &[0f32; 4])).unwrap().expect("a bad state");
    assert_eq!((&found.source, found.nans), (&Source::Variable("w".into()), 2));
    assert!(found.to_string().contains("earlier step"), "{found}");
}

/// A batch in the program's own staging memory.
#[test]
fn a_staged_batch() {
    let program = GPU.compile(Mode::Eval, |g| [g.input("x", [3], F32).rsqrt().sum(..)]).unwrap();
    let state = GPU.init(&Vars::new(), 0).unwrap();
    let layout = Layout::new().field("x", TensorSpec::new(F32, [3])).into();
    let mut memory = program.staging().allocate(&layout).unwrap();
    let bytes: Vec<u8> = [4f32, 0.0, 1.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    memory.write(0, &bytes).unwrap();
    let found = program.hunt_nan(&state, Batch { layout, memory }).unwrap().expect("an infinity");
    assert_eq!((&found.source, found.infinities), (&Source::Operation("rsqrt"), 1));
}

/// A copy has the same values, goes its own way, and can be gone back to.
#[test]
fn a_state_is_copied() {
    let vars = Vars::new();
    let w = vars.var("w", [3], Init::constant(1.0));
    let program = GPU.compile(Mode::Train, |g| {
        g.assign(&w, &(g.var(&w) * 2.0));
        []
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    program.run(&mut state, Batch::new()).unwrap();
    let copy = state.duplicate().unwrap();
    program.run(&mut state, Batch::new()).unwrap();
    let read = |state: &State| (state.read("w").unwrap().data, state.step().unwrap());
    assert_eq!((read(&state), read(&copy)), ((vec![4.0; 3], 2), (vec![2.0; 3], 1)));
    state.copy_from(&copy).unwrap();
    program.run(&mut state, Batch::new()).unwrap();
    assert_eq!(read(&state), (vec![4.0; 3], 2));
    let others = GPU.init(&Vars::new(), 0).unwrap();
    let error = state.copy_from(&others).unwrap_err();
    assert!(error.to_string().contains("`w`"), "{error}");
}
