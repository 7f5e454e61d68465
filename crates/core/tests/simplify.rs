//! Does simplification keep the meaning? Every case and its gradient, before and after; and what it is
//! for: equal nodes, dead nodes and neutral operations go.

use wgrad_core::case::cases;
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::simplify::{Simplified, simplify};
use wgrad_core::{F32, Graph, Init, Mode, NodeId, Recording, Tensor, U32, Vars};

fn same_values(name: &str, recording: &Recording, outputs: &[NodeId], environment: &Environment) {
    let simplified = simplify(recording, outputs);
    let before = evaluate(recording, environment);
    let after = evaluate(&simplified.recording, environment);
    assert!(simplified.recording.nodes.len() <= recording.nodes.len(), "{name} grew");
    for (old, new) in outputs.iter().zip(&simplified.outputs) {
        let (old, new) = (&before[old.index()], &after[new.index()]);
        assert_eq!(old.spec, new.spec, "{name}");
        for (a, b) in old.data.iter().zip(&new.data) {
            let same = a == b || (a - b).abs() <= 1e-12 * (1.0 + a.abs()) || (a.is_nan() && b.is_nan());
            assert!(same, "{name}: {a} became {b}");
        }
    }
}

#[test]
fn cases_keep_their_meaning() {
    for case in cases() {
        let recorded = case.record(3);
        let mut outputs = vec![recorded.output.id()];
        if case.differentiable {
            let floats: Vec<&Tensor> = recorded.inputs.iter().filter(|x| x.dtype().is_float()).collect();
            let upstream = &recorded.output * 0.5 + 1.0;
            let gradients = recorded.output.pull_back(&upstream, &floats);
            outputs.extend(gradients.iter().map(Tensor::id));
        }
        let recording = recorded.graph.recording();
        assert_eq!(recording.check(), Ok(()), "{}", case.name);
        same_values(&case.name, &recording, &outputs, &recorded.environment);
    }
}

/// How many nodes are left.
fn left(g: &Graph, outputs: &[&Tensor]) -> Simplified {
    let recording = g.recording();
    recording.check().unwrap();
    simplify(&recording, &outputs.iter().map(|tensor| tensor.id()).collect::<Vec<_>>())
}

#[test]
fn equal_nodes_become_one() {
    let g = Graph::new(Mode::Train);
    let x = g.input("x", [3], F32);
    let (a, b) = (x.exp() + 1.0, x.exp() + 1.0);
    let simplified = left(&g, &[&a, &b]);
    assert_eq!(simplified.outputs[0], simplified.outputs[1]);
}

#[test]
fn random_numbers_of_different_streams_stay_apart() {
    let g = Graph::new(Mode::Train);
    let (a, b) = (g.random_bits([4]), g.random_bits([4]));
    let simplified = left(&g, &[&a, &b]);
    assert_ne!(simplified.outputs[0], simplified.outputs[1]);
}

#[test]
fn dead_and_neutral_nodes_go() {
    let g = Graph::new(Mode::Train);
    let x = g.input("x", [3], F32);
    let _dead = x.exp().sum(..);
    let y = ((&x * 1.0 + 0.0) / 1.0).neg().neg().detach().reshape([3]);
    let simplified = left(&g, &[&y]);
    assert_eq!(simplified.recording.nodes.len(), 1);
}

#[test]
fn neutral_numbers_are_neutral_on_their_side_only() {
    let both_sides: [fn(&Tensor, f64) -> [Tensor; 2]; 5] = [
        |x, n| [x + n, n + x],
        |x, n| [x - n, n - x],
        |x, n| [x * n, n * x],
        |x, n| [x / n, n / x],
        |x, n| [x.pow(&n), x.full_like(n).pow(x)],
    ];
    let g = Graph::new(Mode::Train);
    let x = g.constant([3], &[1.5f32, 2.0, 4.0]);
    let mut outputs = vec![];
    for number in [0.0, 1.0, 2.0] {
        outputs.extend(both_sides.iter().flat_map(|sides| sides(&x, number)).map(|tensor| tensor.id()));
    }
    same_values("neutral numbers", &g.recording(), &outputs, &Environment::new());
}

#[test]
fn numbers_are_folded() {
    let g = Graph::new(Mode::Train);
    let x = g.input("x", [3], F32);
    let rate = (g.scalar(4.0, F32).sqrt() + 1.0) * 0.5;
    let y = x * rate;
    let simplified = left(&g, &[&y]);
    let names: Vec<_> = simplified.recording.nodes.iter().map(|node| node.op.name()).collect();
    assert!(!names.contains(&"sqrt") && !names.contains(&"add"), "{names:?}");
}

#[test]
fn assigned_and_probed_nodes_stay() {
    let g = Graph::new(Mode::Train);
    let vars = Vars::new();
    let step = vars.var("step", [], Init::constant(0.0));
    let value = g.var(&step) + 1.0;
    g.assign(&step, &value);
    g.input("x", [2], U32).probe("labels");
    let simplified = left(&g, &[]);
    assert_eq!(simplified.recording.assigns.len(), 1);
    assert_eq!(simplified.recording.probes.len(), 1);
    let (var, id) = &simplified.recording.assigns[0];
    assert_eq!(var.name(), "step");
    assert_eq!(simplified.recording.node(*id).op.name(), "add");
    assert_eq!(simplified.recording.node(simplified.recording.probes[0].1).op.name(), "input");
}
