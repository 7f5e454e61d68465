//! What can be looked at: the plan as a diagram, kernels beside the adapter's roofs.

use wgrad_core::batch::Batch;
use wgrad_core::diagram::Kind;
use wgrad_core::{F32, Graph, Init, Mode, Tensor, Vars};
use wgrad_gpu::{Error, Gpu, Program};

/// A step of gradient descent on a linear layer, whose loss and weight are large enough for kernels of
/// their own.
fn step(gpu: &Gpu, vars: &Vars) -> Program {
    let weight = vars.var("weight", [64, 48], Init::constant(0.5));
    let record = |graph: &Graph| -> [Tensor; 1] {
        let x = graph.input("x", [32, 64], F32);
        let loss = x.matmul(&graph.var(&weight)).softmax(1).square().sum(..);
        for (var, gradient) in loss.backward(vars) {
            graph.assign(&var, &(graph.var(&var) - gradient * 0.1));
        }
        [loss]
    };
    gpu.compile(Mode::Train, record).unwrap()
}

#[test]
fn a_plan_shows_every_dispatch_and_what_lies_between() {
    let (gpu, vars) = (Gpu::new().unwrap(), Vars::new());
    let program = step(&gpu, &vars);
    let diagram = program.plan().diagram();
    assert_eq!(diagram.blocks().len(), 1 + program.stats().dispatches);
    assert_eq!((diagram.blocks()[0].kind, &diagram.blocks()[0].lines[0][..]), (Kind::Input, "x"));
    let text = program.plan().to_dot();
    for expected in
        ["contract to [32, 48]", "reads weight", "updates weight", "f32[32, 48], 6 KiB", "→ output f32[]"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    // The input is read twice: by the product, and by the weight's gradient.
    assert_eq!(diagram.arrows().iter().filter(|arrow| arrow.from == 0).count(), 2);
    assert!(program.plan().to_svg().contains("updates weight"));
}

#[test]
fn kernels_are_timed_and_held_to_their_roofs() {
    let (gpu, vars) = (Gpu::new().unwrap(), Vars::new());
    let program = step(&gpu, &vars);
    let mut state = gpu.init(&vars, 0).unwrap();
    let batch = || Batch::new().with("x", [32, 64], &[0.25f32; 32 * 64]);
    let roofline = match program.roofline(&mut state, [batch(), batch(), batch()]) {
        Err(Error::Unsupported { what, .. }) => return println!("not tested: no {what}"),
        measured => measured.unwrap(),
    };
    assert_eq!(roofline.kernels.len(), program.stats().dispatches);
    assert_eq!(state.step().unwrap(), 3);
    let table = roofline.to_string();
    assert_eq!(table.lines().count(), 3 + roofline.kernels.len(), "{table}");
    let order = roofline.by_time();
    let times: Vec<f64> = order.iter().map(|&kernel| roofline.kernels[kernel].duration).collect();
    assert!(times.is_sorted_by(|a, b| a >= b) && times.iter().all(|time| *time >= 0.0), "{times:?}");
}
