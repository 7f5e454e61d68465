//! Products of f16 on cooperative matrices agree with the reference; their kernels are valid on every machine, and
//! programs do without them where a device has none.

use naga::back::{msl, spv};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgrad_core::batch::Batch;
use wgrad_core::case::{Case, Fill, Operand, fill, sensitivity};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::ops::Window;
use wgrad_core::{DType, F32, Graph, Init, Mode, NodeId, Recording, Tensor, TensorSpec, Var, Vars};
use wgrad_gpu::conformance::{compare, with_gradients};
use wgrad_gpu::plan::mixed::mixed;
use wgrad_gpu::{Choice, Cooperative, Gpu, Options, Precision, Shaping, codegen};

/// The products of these cases and of their gradients fill at least half a tile of 2 × 2 matrices of 8 × 8, and no tile
/// exactly.
fn cases() -> Vec<Case> {
    let plain = |x: &[Tensor]| x[0].matmul(&x[1]);
    let behind = |x: &[Tensor]| (x[0].matmul(&x[1]) + &x[2]).gelu();
    let windows = |stride: usize| Window::new(&[3, 3]).stride(stride).padding(1);
    let mut cases = vec![
        Case::new("plain", plain).random([37, 41]).random([41, 29]),
        Case::new("fours", plain).random([20, 36]).random([36, 28]),
        Case::new("batch", plain).random([3, 18, 35]).random([3, 35, 23]),
        Case::new("shared factor", plain).random([2, 19, 33]).random([33, 21]),
        Case::new("bias and gelu", behind).random([35, 44]).random([44, 26]).random([26]),
        Case::new("transposed", |x| x[0].transpose(0, 1).matmul(&x[1].transpose(0, 1)))
            .random([40, 36])
            .random([28, 40]),
        Case::new("first transposed", |x| x[0].transpose(0, 1).matmul(&x[1]))
            .random([43, 21])
            .random([43, 25]),
        Case::new("second transposed", |x| x[0].matmul(&x[1].transpose(0, 1)))
            .random([24, 35])
            .random([27, 35]),
        Case::new("padded and sliced", |x| x[0].pad(&[(3, 2), (0, 5)], 0.5).matmul(&x[1].slice(0, 1..38)))
            .random([18, 32])
            .random([40, 24]),
        Case::new("two layers", |x| {
            let hidden = (x[0].matmul(&x[1]) + &x[2]).relu();
            (hidden.matmul(&x[3]) - 0.5).square().mean(..)
        })
        .random([34, 25])
        .uniform([25, 38], -0.3, 0.3)
        .random([38])
        .uniform([38, 18], -0.3, 0.3),
        Case::new("of f16", plain).operand(DType::F16, [21, 34], Fill::Uniform(-1.0, 1.0)).operand(
            DType::F16,
            [34, 27],
            Fill::Uniform(-1.0, 1.0),
        ),
    ];
    for stride in [1, 2] {
        let conv = move |x: &[Tensor]| x[0].conv2d(&x[1], Some(&x[2]), &windows(stride), 1);
        let name = format!("convolution/{stride}");
        cases.push(Case::new(&name, conv).random([2, 5, 9, 8]).random([18, 5, 3, 3]).random([18]));
    }
    cases
}

/// A case with its gradients in mixed precision.
fn record(case: &Case) -> (Recording, Environment, Vec<NodeId>) {
    let (recording, environment, outputs) = with_gradients(case, 5);
    let (rounded, outputs) = mixed(&recording, &outputs);
    (rounded, environment, outputs)
}

fn on_matrices<'a>(sources: impl Iterator<Item = &'a str>) -> usize {
    sources.filter(|source| source.contains("coop_mat")).count()
}

fn open(cooperative: Option<Cooperative>, checked: bool) -> Gpu {
    let shaping = Some(Shaping { cooperative, ..Shaping::hardware() });
    Gpu::with_options(Options { shaping, checked, poison: true, ..Options::default() }).expect("an adapter")
}

#[test]
fn products_agree_with_the_reference() {
    let gpu = Gpu::new().expect("an adapter");
    let own = match gpu.cooperative() {
        Ok(own) => own,
        Err(reason) => return println!("{}: no cooperative matrices: {reason}", gpu.info()),
    };
    println!("{}: {own:?}", gpu.info());
    let (mut runs, mut worst, mut failures) = (0, 0.0f64, vec![]);
    for (block, checked) in [([1, 1], true), ([1, 2], false), ([2, 1], false)] {
        let gpu = open(Some(Cooperative { block: Some(block), ..own }), checked);
        for case in cases() {
            let (recording, environment, outputs) = record(&case);
            let program = gpu.compile_recording(&recording, &outputs).expect("compiles");
            let kernels = on_matrices(program.sources());
            assert!(kernels > 0, "{} in blocks of {block:?}:\n{}", case.name, program.explain());
            assert!(program.explain().contains("cooperative matrices of"), "{}", program.explain());
            let choices = program.choices().expect("choices");
            let mut choices = choices.iter().flat_map(|(_, choices)| choices);
            assert!(choices.any(|choice| matches!(choice, Choice::Cooperative { .. })), "{}", case.name);
            runs += 1;
            match compare(&gpu, &recording, &environment, &outputs) {
                Ok(error) => {
                    println!("{} in blocks of {block:?}: {kernels} kernels, error {error:.3}", case.name);
                    worst = worst.max(error);
                }
                Err(error) => failures.push(format!("{} in blocks of {block:?}: {error}", case.name)),
            }
        }
    }
    println!("{runs} runs, the largest error {worst:.3} of what rounding allows");
    assert!(failures.is_empty(), "{} of {runs} failed:\n{}", failures.len(), failures.join("\n"));
}

/// Two layers, and a step down their gradients in mixed precision.
fn train(g: &Graph, vars: &Vars, parameters: &[Var; 2]) -> Tensor {
    let x = g.input("x", [34, 25], F32);
    let [first, second] = parameters.each_ref().map(|parameter| g.var(parameter));
    let loss = (x.matmul(&first).gelu().matmul(&second) - 0.5).square().mean(..);
    for (var, gradient) in loss.backward(vars) {
        g.assign(&var, &(g.var(&var) - gradient * 0.5));
    }
    loss
}

#[test]
fn a_step_of_training_leaves_the_parameters_that_the_reference_says() {
    let gpu = Gpu::new().expect("an adapter");
    let Ok(own) = gpu.cooperative() else { return println!("{}: no cooperative matrices", gpu.info()) };
    let gpu = open(Some(Cooperative { block: Some([1, 1]), ..own }), false);
    let vars = Vars::new();
    let parameter = |name: &str, shape: [usize; 2]| vars.var(name, shape, Init::constant(0.0));
    let parameters = [parameter("first", [25, 38]), parameter("second", [38, 18])];
    let graph = Graph::new(Mode::Eval);
    let loss = train(&graph, &vars, &parameters);
    let (recording, _) = mixed(&graph.recording(), &[loss.id()]);
    let program = gpu.compiler().precision(Precision::Mixed);
    let program = program.compile(Mode::Eval, |g| [train(g, &vars, &parameters)]).expect("compiles");
    assert!(on_matrices(program.sources()) >= 4, "{}", program.explain());

    let value =
        |spec: &TensorSpec, seed| fill(&Operand { spec: spec.clone(), fill: Fill::Uniform(-0.5, 0.5) }, seed);
    let x = value(&TensorSpec::new(F32, [34, 25]), 7);
    let mut state = gpu.init(&vars, 0).expect("a state");
    let mut environment = Environment::from([("x".into(), x.clone())]);
    for (number, var) in parameters.iter().enumerate() {
        let start = value(var.spec(), number as u64);
        state.write(var.name(), &start).expect("a variable");
        environment.insert(var.name().into(), start);
    }
    program.run(&mut state, Batch::of_arrays([("x", &x)])).expect("runs");
    let exact = evaluate(&recording, &environment);
    let assigned: Vec<NodeId> = recording.assigns.iter().map(|(_, id)| *id).collect();
    let tolerances = sensitivity(&recording, &environment, &assigned, 1);
    for ((var, id), tolerance) in recording.assigns.iter().zip(&tolerances) {
        let name = var.name();
        let found = state.read(name).expect("a value");
        let values = found.data.iter().zip(&exact[id.index()].data).zip(&tolerance.data);
        let ratios: Vec<f64> =
            values.map(|((found, exact), allowed)| (found - exact).abs() / allowed).collect();
        assert!(ratios.iter().all(|ratio| *ratio <= 1.0), "{name}: {ratios:?}");
        assert!(found.data != environment[name].data, "{name} is what it was");
    }
}

fn translate(source: &str) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}\n{source}", error.emit_to_string(source)));
    let capabilities = Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}\n{source}", error.emit_to_string(source)));
    let words = spv::write_vec(&module, &info, &spv::Options::default(), None)
        .unwrap_or_else(|error| panic!("SPIR-V: {error}\n{source}"));
    // The instruction that multiplies, OpCooperativeMatrixMulAddKHR, of six words.
    assert!(words.contains(&(6 << 16 | 4459)), "{source}");
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    let (text, _) = msl::write_string(&module, &info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|error| panic!("MSL: {error}\n{source}"));
    assert!(text.contains("simdgroup_multiply_accumulate"), "{text}");
}

#[test]
fn every_kernel_is_valid_and_is_written_as_spirv_and_msl() {
    let gpu = open(None, false);
    let shapes = [(8, 8, [1, 1]), (8, 32, [2, 2]), (16, 32, [1, 2])];
    let mut count = 0;
    for (size, subgroup, block) in shapes {
        let cooperative = Some(Cooperative { size, subgroup, block: Some(block) });
        let shaping = Shaping { cooperative, ..Shaping::hardware() };
        for case in cases() {
            let (recording, _, outputs) = record(&case);
            let plan = gpu.compiler().plan(&recording, &outputs).expect("a plan");
            for step in &plan.steps {
                let source =
                    codegen::generate(&plan, &plan.kernels[step.clone()], &shaping).expect("a kernel");
                if source.wgsl.contains("coop_mat") {
                    translate(&source.wgsl);
                    count += 1;
                }
            }
        }
    }
    assert!(count > 60, "only {count} kernels");
    println!("{count} kernels written in two languages");
}

#[test]
fn a_device_without_these_matrices_does_without() {
    // No device has subgroups of this size.
    let gpu = open(Some(Cooperative { size: 16, subgroup: 48, block: None }), true);
    for case in cases() {
        let (recording, environment, outputs) = record(&case);
        let program = gpu.compile_recording(&recording, &outputs).expect("compiles");
        assert_eq!(on_matrices(program.sources()), 0, "{}", case.name);
        assert!(program.explain().contains("no cooperative matrices: "), "{}", program.explain());
        compare(&gpu, &recording, &environment, &outputs)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}
