//! Is the reference right? Every case with a result worked out by hand, and the completeness of the
//! table: an operation without a case fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wgrad_core::case::{Case, cases, sensitivity};
use wgrad_core::interpret::{evaluate, evaluate_with};
use wgrad_core::ops::{BinaryKind, CompareKind, Custom, Offer, UnaryKind};
use wgrad_core::{Array, F16, F32, Graph, Mode, Op, Primitive, Tensor};

#[test]
fn the_reference_gives_hand_written_results() {
    let mut checked = 0;
    for case in cases() {
        let Some(expected) = &case.expected else { continue };
        let recorded = case.record(1);
        let recording = recorded.graph.recording();
        assert_eq!(recording.check(), Ok(()), "{}", case.name);
        let values = evaluate(&recording, &recorded.environment);
        let actual = &values[recorded.output.id().index()];
        assert_eq!(actual.data.len(), expected.len(), "{}: {}", case.name, actual.spec);
        for (&a, &e) in actual.data.iter().zip(expected) {
            // Operands and scalars are rounded to f32; integers are exact.
            let tolerance = if actual.spec.dtype.is_float() { 2e-7 * (1.0 + e.abs()) } else { 0.0 };
            assert!(
                a == e || (a - e).abs() <= tolerance,
                "{}: {:?} is not {expected:?}",
                case.name,
                actual.data
            );
        }
        checked += 1;
    }
    assert!(checked > 250, "only {checked} cases have a hand-written result");
}

#[test]
fn every_case_records_and_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
        let recorded = case.record(1);
        assert_eq!(recorded.graph.recording().check(), Ok(()), "{}", case.name);
        assert!(recorded.output.is_valid(), "{}", case.name);
    }
}

/// A node of a composite must stand where the user called it: `#[track_caller]` ends at closures.
#[test]
fn every_node_stands_at_the_call() {
    let mut first_lines = BTreeMap::new();
    let mut astray = BTreeSet::new();
    for case in cases() {
        let nodes = case.record(1).graph.recording().nodes;
        // The operands are recorded by the case itself.
        for node in nodes.iter().filter(|node| !matches!(node.op, Op::Input(_))) {
            let (file, line) = (node.location.file(), node.location.line());
            let first = first_lines.entry(file).or_insert_with(|| {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().position(|line| line.contains("fn cases()")).unwrap_or(usize::MAX)
            });
            if (line as usize) < *first {
                astray.insert(format!("{}: {} at {}", case.operation(), node.op.name(), node.location));
            }
        }
    }
    assert!(astray.is_empty(), "{astray:#?}");
}

/// The public methods of tensors and graphs that record operations, read from the sources.
fn recording_methods() -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for (_, rest) in
            text.match_indices("#[track_caller]").map(|(at, mark)| text.split_at(at + mark.len()))
        {
            if let Some(signature) = rest.trim_start().strip_prefix("pub fn ") {
                let name = signature.split(['(', '<']).next().unwrap_or_default();
                if !name.starts_with('$') {
                    methods.insert(name.to_string());
                }
            }
        }
    }
    methods
}

#[test]
fn every_operation_has_a_case_with_a_hand_written_result() {
    let by_hand: BTreeSet<String> =
        cases().iter().filter(|case| case.expected.is_some()).map(|case| case.operation().into()).collect();
    let mut wanted = recording_methods();
    assert!(wanted.contains("softmax") && wanted.contains("matmul"), "the sources were not found");
    wanted.extend(UnaryKind::ALL.iter().map(|kind| kind.name().to_string()));
    wanted.extend(BinaryKind::ALL.iter().map(|kind| kind.name().to_string()));
    wanted.extend(CompareKind::ALL.iter().map(|kind| kind.name().to_string()));
    let missing: Vec<&String> = wanted.difference(&by_hand).collect();
    assert!(missing.is_empty(), "no hand-written case for {missing:?}");
}

#[test]
fn every_primitive_occurs_in_the_table() {
    let mut seen = BTreeSet::new();
    for case in cases() {
        let recorded = case.record(1);
        if case.differentiable {
            let wrt = floats(&case, &recorded.inputs);
            recorded.output.pull_back(&recorded.output.ones_like(), &wrt);
        }
        seen.extend(recorded.graph.recording().nodes.iter().map(|node| node.op.kind()));
    }
    // Variables are read like inputs, from a state instead of a batch.
    seen.insert("Variable");
    // Kernels are put in when a graph is compiled.
    seen.extend(["Wgsl", "Attention"]);
    let missing: Vec<_> = Op::PRIMITIVES.iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "no case uses {missing:?}");
}

#[test]
fn tolerances_cover_rounding_to_the_dtype() {
    for case in cases() {
        let recorded = case.record(5);
        let (recording, output) = (recorded.graph.recording(), recorded.output.id());
        let exact = evaluate(&recording, &recorded.environment);
        let rounded = evaluate_with(&recording, &recorded.environment, |_, value| {
            let dtype = value.spec.dtype;
            value.data.iter_mut().for_each(|v| *v = dtype.round(*v));
        });
        let tolerance = &sensitivity(&recording, &recorded.environment, &[output], 1)[0];
        let (exact, rounded) = (&exact[output.index()], &rounded[output.index()]);
        for (element, (a, b)) in exact.data.iter().zip(&rounded.data).enumerate() {
            let tolerance = tolerance.data[element];
            let covered = a == b || (a - b).abs() <= tolerance;
            assert!(covered, "{}: {a} became {b}, tolerance {tolerance}", case.name);
            if exact.spec.dtype.is_float() {
                let bound = if exact.spec.dtype == F16 { 0.1 } else { 0.01 };
                assert!(tolerance <= bound * (1.0 + a.abs()), "{}: {a} ± {tolerance}", case.name);
            } else {
                assert_eq!(tolerance, 0.0, "{}", case.name);
            }
        }
    }
}

/// A decision near its threshold is another in a few of the runs that tolerances come from. What those round must not count
/// for the difference: a device may decide so and round nothing.
#[test]
fn tolerances_cover_a_decision_and_rounding_besides() {
    const NEAR: usize = 2000;
    // Nine tenths of what a product's rounding is taken for.
    let threshold = 1.0 - 3.6 * f64::from(f32::EPSILON);
    let graph = Graph::new(Mode::Eval);
    let [a, b] = ["a", "b"].map(|name| graph.input(name, [NEAR], F32));
    let decided = (&a * &b).gt(threshold);
    let output = decided.select(&a.zeros_like(), &(&a * 3.0));
    let ones = Array::new(F32, [NEAR], vec![1.0; NEAR]);
    let environment = ["a", "b"].map(|name| (name.to_string(), ones.clone())).into_iter().collect();
    let tolerance = &sensitivity(&graph.recording(), &environment, &[output.id()], 1)[0];
    let whole = tolerance.data.iter().filter(|tolerance| **tolerance > 1e-3).collect::<Vec<_>>();
    assert!((NEAR / 4..NEAR).contains(&whole.len()), "{} of {NEAR} in doubt", whole.len());
    for tolerance in whole {
        assert!((3.0..3.001).contains(tolerance), "{tolerance}");
    }
}

/// A root that is 0 at 0, with a gradient there, is not 0 of what is no number.
#[test]
fn roots_of_nan_are_nan() {
    let g = Graph::new(Mode::Eval);
    let (x, one) = (g.constant([1], &[f32::NAN]), g.constant([1], &[2f32]));
    let results = [x.norm(0), x.norm_p(3.0, 0), x.hypot(&one).sum(0), one.std(0, 1)];
    let values = evaluate(&g.recording(), &Default::default());
    assert!(results.iter().all(|result| values[result.id().index()].item().is_nan()));
}

fn floats<'a>(case: &Case, inputs: &'a [Tensor]) -> Vec<&'a Tensor> {
    let pairs = inputs.iter().zip(&case.operands);
    pairs.filter(|(_, operand)| operand.spec.dtype.is_float()).map(|(input, _)| input).collect()
}

/// Whatever a compiler may put in the place of a definition computes the same.
#[test]
fn passes_of_attention_are_what_their_definitions_say() {
    let mut compared = 0;
    for case in cases().iter().filter(|case| case.operation() == "scaled_dot_product_attention") {
        let recorded = case.record(3);
        let slope = |index: &[usize]| (index.iter().sum::<usize>() % 5) as f64 - 1.5;
        let cotangent = Array::from_fn(&recorded.output.spec(), slope);
        let cotangent = recorded.graph.constant_array(cotangent);
        recorded.output.pull_back(&cotangent, &recorded.inputs.iter().collect::<Vec<_>>());
        let recording = recorded.graph.recording();
        let values = evaluate(&recording, &recorded.environment);
        for node in &recording.nodes {
            let Op::Custom(Custom { kernel: Some(Offer::Attention(offer)), .. }) = &node.op else { continue };
            let operands: Vec<&Array> = node.inputs[1..].iter().map(|id| &values[id.index()]).collect();
            let specs: Vec<_> = operands.iter().map(|operand| &operand.spec).collect();
            let spec = offer.attention.infer(&specs).unwrap();
            let whole = offer.attention.evaluate(&operands, &spec);
            let starts = offer.attention.starts(&offer.attention.shape(&specs));
            let part = &whole.data[starts[offer.part]..starts[offer.part + 1]];
            for (found, wanted) in part.iter().zip(&values[node.inputs[0].index()].data) {
                assert!((found - wanted).abs() < 1e-12, "{}: {found}, not {wanted}", offer.attention.name());
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "only {compared} numbers were compared");
}
