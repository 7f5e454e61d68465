//! Reads of a variable that give another tensor.

use wgrad_core::interpret::{Environment, step};
use wgrad_core::{Array, F32, Graph, Init, Mode, Vars};

#[test]
fn reads_change_and_the_variable_does_not() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let w = vars.var("w", [2], Init::constant(0.0));
    let before = graph.var(&w);
    graph.substitute(&w, &(&before * 10.0));
    let after = graph.var(&w);
    // An assignment still is to the variable, and a gradient flows through the substitute to it.
    let gradients = (&after * &after).sum(..).backward(&vars);
    graph.assign(&w, &(&before + 1.0));
    let recording = graph.recording();
    recording.check().expect("records without mistakes");
    let mut state = Environment::from([("w".to_string(), Array::new(F32, [2], vec![1.0, 2.0]))]);
    let values = step(&recording, &mut state, &[after.id(), gradients[0].1.id()]);
    assert_eq!(values[0].data, [10.0, 20.0]);
    assert_eq!(values[1].data, [200.0, 400.0]);
    assert_eq!(state["w"].data, [2.0, 3.0]);
}

#[test]
fn another_shape_and_another_graph_are_errors() {
    let vars = Vars::new();
    let w = vars.var("w", [2], Init::constant(0.0));
    let (graph, other) = (Graph::new(Mode::Eval), Graph::new(Mode::Eval));
    for (value, expected) in [
        (graph.scalar(1.0, F32), "substitute: variable `w` is f32[2], the value f32[]"),
        (other.var(&w), "substitute: the value for `w` is in another graph"),
    ] {
        let graph = if value.graph().same(&graph) { graph.clone() } else { Graph::new(Mode::Eval) };
        graph.substitute(&w, &value);
        let line = line!() - 1;
        let error = graph.recording().check().expect_err("it cannot be substituted");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!((error.location.file(), error.location.line()), (file!(), line));
    }
}

#[test]
fn parameters_match_below_a_prefix() {
    let vars = Vars::new();
    for name in ["head.fc.weight", "head.fc.bias", "stem.weight"] {
        vars.var(name, [1], Init::constant(0.0));
    }
    let names = |vars: &Vars, pattern: &str| -> Vec<String> {
        let matching = vars.matching(pattern).expect("a pattern");
        matching.iter().map(|var| var.name().to_string()).collect()
    };
    assert_eq!(names(&vars, "*weight"), ["head.fc.weight", "stem.weight"]);
    assert_eq!(names(&vars.sub("head"), "fc.*"), ["head.fc.weight", "head.fc.bias"]);
    assert!(names(&vars.sub("head"), "head.*").is_empty());
    assert!(vars.matching("[").expect_err("an open bracket").contains("`[` is not a glob pattern"));
}
