//! Diagrams of recordings: what shares a block, which layer it is said to be, and that pictures are sound.

use wgrad_core::diagram::{Diagram, Kind};
use wgrad_core::{F32, Graph, Init, Mode, NodeId, Tensor, TensorSpec, U32, Vars};

fn parameter(graph: &Graph, vars: &Vars, name: &str, shape: &[usize]) -> Tensor {
    graph.var(&vars.var(name, shape, Init::constant(0.5)))
}

/// A linear layer, all of it on one line of its caller.
#[track_caller]
fn linear(x: &Tensor, vars: &Vars, widths: [usize; 2]) -> Tensor {
    let weight = parameter(x.graph(), vars, "weight", &widths);
    let bias = parameter(x.graph(), vars, "bias", &widths[1..]);
    x.matmul(&weight) + bias
}

/// A norm with a gain, and a linear layer behind it.
#[track_caller]
fn block(x: &Tensor, vars: &Vars) -> Tensor {
    let gain = parameter(x.graph(), &vars.sub("norm"), "weight", &[8]);
    let normed = x.layer_norm(-1, Some(&gain), None, 1e-5);
    x + linear(&normed, &vars.sub("linear"), [8, 8])
}

fn headings(diagram: &Diagram) -> Vec<&str> {
    diagram.blocks().iter().map(|block| block.lines[0].as_str()).collect()
}

fn arrows(diagram: &Diagram) -> Vec<(usize, usize)> {
    diagram.arrows().iter().map(|arrow| (arrow.from, arrow.to)).collect()
}

#[test]
fn blocks_are_layers_and_lines() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let x = graph.input("x", [4, 8], F32);
    let hidden = linear(&x, &vars.sub("fc1"), [8, 16]).relu();
    let logits = linear(&hidden, &vars.sub("fc2"), [16, 3]);
    let loss = logits.cross_entropy(&graph.input("y", [4], U32));
    let diagram = loss.diagram();
    let names = headings(&diagram);
    assert_eq!((&names[..4], names.len()), (&["x", "fc1", "fc2", "y"][..], 5));
    assert_eq!(arrows(&diagram), [(0, 1), (1, 2), (2, 4), (3, 4)]);
    let kinds: Vec<Kind> = diagram.blocks().iter().map(|block| block.kind).collect();
    let expected = [Kind::Input, Kind::Contraction, Kind::Contraction, Kind::Input, Kind::Reduction];
    assert_eq!(kinds, expected);
    let fc1 = diagram.blocks()[1].lines.join("; ");
    assert!(fc1.starts_with("fc1; contract, add, relu; → f32[4, 16]; diagram.rs:"), "{fc1}");
    assert_eq!(diagram.arrows()[1].lines, ["f32[4, 16]"]);
}

/// All on one line, as `Sequential` places it: the norm's statistics belong to the norm, the residual sum to
/// what it adds.
#[test]
fn layers_on_one_line_are_told_apart_by_their_parameters() {
    let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    let x = graph.input("x", [4, 8], F32);
    let y = (0..2).fold(x, |x, number| block(&x, &vars.sub(format!("h.{number}"))));
    let diagram = y.diagram();
    assert_eq!(headings(&diagram), ["x", "h.0.norm", "h.0.linear", "h.1.norm", "h.1.linear"]);
    assert_eq!(arrows(&diagram), [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4)]);
}

#[test]
fn updates_are_named_and_nothing_is_left_out() {
    let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
    let x = graph.input("x", [4, 8], F32);
    let count = vars.buffer("count", TensorSpec::new(F32, []), Init::constant(0.0));
    graph.update(&count, |count| count + x.sum(..));
    let recording = graph.recording();
    let all: Vec<NodeId> = (0..recording.nodes.len()).map(|index| NodeId(index as u32)).collect();
    let diagram = recording.diagram(&all);
    let update = diagram.blocks().iter().find(|block| block.kind == Kind::Update).unwrap();
    assert!(update.lines.contains(&"updates count".to_owned()), "{:?}", update.lines);
    assert!(recording.to_dot().contains("updates count"));
}

/// A graph without inputs is still a graph.
#[test]
fn what_depends_on_variables_alone_is_shown() {
    let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    let weight = parameter(&graph, &vars, "weight", &[3]);
    let diagram = weight.exp().diagram();
    assert_eq!(headings(&diagram), ["exp"]);
}

#[test]
fn pictures_are_sound_xml_and_text_is_text() {
    let mut diagram = Diagram::new();
    let first = diagram.block(Kind::Input, vec!["a < b & \"c\"".into(), "\\n".into()]);
    let second = diagram.block(Kind::Map, vec!["</text>".into()]);
    (0..5).for_each(|number| diagram.arrow(first, second, format!("tensor <{number}>")));
    diagram.arrow(second, first, "upwards".into());
    diagram.arrow(first, 7, "nowhere".into());
    assert_eq!(diagram.arrows().len(), 1);
    let svg = diagram.to_svg();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let texts: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("text") || node.tag_name().name() == "text")
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(texts, ["tensor <0>", "tensor <1>", "and 3 more", "a < b & \"c\"", "\\n", "</text>"]);
    let dot = diagram.to_dot();
    assert!(dot.contains(r#"label="a < b & \"c\"\n\\n""#), "{dot}");
    assert!(Diagram::new().to_svg().ends_with("</svg>\n"));
}
