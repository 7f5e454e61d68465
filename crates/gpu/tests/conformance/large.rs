//! Shapes that the table of cases is too small for: contractions through workgroup memory, split inner axes,
//! rows shared by a workgroup.

use wgrad_core::case::{Fill, Operand, fill};
use wgrad_core::interpret::Environment;
use wgrad_core::ops::Window;
use wgrad_core::{AttentionOptions, F32, Graph, Mode, Tensor, TensorSpec, U32};

use crate::compare::{DEVICES, compare};

fn check(name: &str, shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Tensor) {
    let graph = Graph::new(Mode::Train);
    let mut environment = Environment::new();
    let mut add = |name: String, shape: &[usize], seed: u64| {
        let operand = Operand { spec: TensorSpec::new(F32, shape), fill: Fill::Uniform(-1.0, 1.0) };
        environment.insert(name.clone(), fill(&operand, seed));
        graph.input(&name, shape, F32)
    };
    let inputs: Vec<Tensor> =
        shapes.iter().enumerate().map(|(i, shape)| add(format!("x{i}"), shape, i as u64)).collect();
    let output = build(&inputs);
    graph.recording().check().unwrap_or_else(|error| panic!("{name}: {error}"));
    let cotangent = add("cotangent".into(), &output.shape(), 99);
    let mut outputs = vec![output.clone()];
    outputs.extend(output.pull_back(&cotangent, &inputs.iter().collect::<Vec<_>>()));
    let ids: Vec<_> = outputs.iter().map(Tensor::id).collect();
    for (device, gpu) in DEVICES.iter() {
        let compared = compare(gpu, &graph.recording(), &environment, &ids);
        assert!(compared.is_ok(), "{name} ({device}): {}", compared.unwrap_err());
    }
}

#[test]
fn contractions_beyond_one_tile() {
    check("matmul", &[&[70, 130], &[130, 67]], |x| x[0].matmul(&x[1]));
    check("batched", &[&[3, 65, 33], &[3, 33, 64]], |x| x[0].matmul(&x[1]).tanh());
    check("transposed", &[&[48, 96], &[80, 96], &[80]], |x| (x[0].matmul(&x[1].t()) + &x[2]).relu());
    check("long inner axis", &[&[5, 3001], &[3001, 7]], |x| x[0].matmul(&x[1]));
    check("long inner axis, divisible", &[&[9, 4096], &[4096, 12]], |x| x[0].matmul(&x[1]));
}

#[test]
fn convolutions_beyond_one_tile() {
    let window = Window::new(&[3, 3]).padding(1);
    check("conv", &[&[2, 8, 13, 11], &[40, 8, 3, 3], &[40]], move |x| {
        x[0].conv2d(&x[1], Some(&x[2]), &window, 1).relu()
    });
    let window = Window::new(&[3, 3]).stride(2).padding(1);
    check("strided", &[&[2, 4, 16, 16], &[36, 4, 3, 3]], move |x| x[0].conv2d(&x[1], None, &window, 1));
}

#[test]
fn long_rows_and_columns() {
    check("softmax", &[&[5, 700]], |x| x[0].softmax(-1));
    check("layer norm", &[&[6, 516]], |x| {
        let centred = &x[0] - x[0].mean_keep(-1);
        &centred / (centred.square().mean_keep(-1) + 1e-5).sqrt()
    });
    check("column sums", &[&[3000, 5]], |x| x[0].sum(0));
    check("everything", &[&[70_001]], |x| x[0].square().sum(..));
    check("largest", &[&[4099]], |x| x[0].max(..));
}

#[test]
fn few_long_channels() {
    check("channel norm", &[&[3, 18, 9, 8]], |x| {
        let axes = [0, 2, 3];
        let centred = &x[0] - x[0].mean_keep(axes);
        &centred / (centred.square().mean_keep(axes) + 1e-5).sqrt()
    });
    check("squares side by side", &[&[2, 5, 9, 11]], |x| x[0].max_pool2d(2));
}

/// The rows of the tile and the columns of the tiles together are one number there, and taken apart again
/// they are not the sums that they were put together from.
#[test]
fn results_are_read_under_another_shape() {
    check("spread and picked", &[&[128, 2], &[2, 64], &[128, 1], &[128, 64]], |x| {
        let product = x[0].matmul(&x[1]) / (x[2].square() + 1.0);
        let spread = product.unsqueeze(1).expand([128, 3, 64]);
        spread.select_index(1, 1) * &x[3]
    });
}

#[test]
fn operands_are_computed_as_they_are_read() {
    check("scaled", &[&[40, 50], &[50, 36], &[40, 50]], |x| ((&x[0] + &x[2]) * 1.0).matmul(&x[1].relu()));
    let graph = Graph::new(Mode::Eval);
    let (a, b) = (graph.input("a", [64, 64], F32), graph.input("b", [64, 64], F32));
    let product = (&a * 2.0).matmul(&(&b + &a)).tanh();
    for (device, gpu) in DEVICES.iter().filter(|(_, gpu)| gpu.options().fuse) {
        let program = gpu.compile_recording(&graph.recording(), &[product.id()]).expect("compiles");
        assert_eq!(program.stats().dispatches, 1, "{device}: {}", program.explain());
    }
}

#[test]
fn attention_where_lanes_own_many_rows() {
    let attention = |options: AttentionOptions| {
        move |x: &[Tensor]| Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], &options)
    };
    let own = AttentionOptions::new;
    check("causal", &[&[8, 72, 16], &[8, 72, 16], &[8, 72, 16]], attention(own().causal()));
    check("wide", &[&[16, 40, 32], &[16, 56, 32], &[16, 56, 16]], attention(own()));
    check("dropout", &[&[4, 40, 8], &[4, 44, 8], &[4, 44, 8]], attention(own().dropout(0.2)));
    let padded = |x: &[Tensor]| {
        let graph = x[0].graph();
        let lengths = graph.iota([2, 1, 1, 1], 0, U32) * 20.0 + 15.0;
        let padding = graph.iota([2, 1, 1, 40], 3, U32).ge(&lengths);
        let options = AttentionOptions::new().causal().hidden(&padding);
        Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], &options)
    };
    check("padding", &[&[2, 2, 40, 8], &[2, 2, 40, 8], &[2, 2, 40, 8]], padded);
}
