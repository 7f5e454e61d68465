//! Kernels that users write for their operations: how they take part in a program, and what is said about wrong ones.

use std::sync::LazyLock;

use wgrad_core::batch::Batch;
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{
    Array, Bool, CustomOp, F16, F32, Graph, Init, Mode, NodeId, Op, Tensor, U32, Vars, WgslKernel,
};
use wgrad_gpu::{Conformance, Error, Gpu, Options, Program};

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

fn softsign() -> CustomOp {
    CustomOp::new("softsign", |x| &x[0] / (x[0].abs() + 1.0))
        .with_kernel(WgslKernel::elementwise("fn softsign(x: f32) -> f32 { return x / (1.0 + abs(x)); }"))
}

/// Every element plus its neighbour to the right, around the end.
fn neighbours() -> CustomOp {
    CustomOp::new("neighbours", |x| &x[0] + x[0].roll(-1, 0)).with_kernel(WgslKernel::per_element(
        "fn neighbours(i: u32) -> f32 { return x0[i] + x0[(i + 1u) % X0_LENGTH]; }",
    ))
}

/// A histogram by whole-number atomics, which no other operation has: the order of additions does not matter to them.
fn histogram() -> CustomOp {
    let kernel = WgslKernel::per_workgroup(
        "var<workgroup> counts: array<atomic<u32>, RESULT_LENGTH>;
         fn histogram(group: u32, lane: u32) {
           for (var i = lane; i < X0_LENGTH; i += WORKGROUP_SIZE) { atomicAdd(&counts[x0[i]], 1u); }
           workgroupBarrier();
           for (var i = lane; i < RESULT_LENGTH; i += WORKGROUP_SIZE) { result[i] = atomicLoad(&counts[i]); }
         }",
        32,
        |_, _| 1,
    );
    CustomOp::new("histogram", |x| x[0].one_hot(10).cast(U32).sum(0)).with_kernel(kernel)
}

fn compile(gpu: &Gpu, build: impl FnOnce(&Graph) -> Tensor) -> Program {
    gpu.compile(Mode::Eval, |g| [build(g)]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn functions_of_elements_are_fused_wherever_ours_are() {
    let op = softsign();
    let map = compile(&GPU, |g| op.apply(&[&(g.input("a", [40], F32) + 1.0)]) * 2.0);
    let behind =
        compile(&GPU, |g| op.apply(&[&g.input("a", [9, 12], F32).matmul(&g.input("b", [12, 7], F32))]));
    // Into a product only what costs no more than its loads.
    let half = CustomOp::new("softsign", |x| &x[0] * 0.5)
        .with_kernel(WgslKernel::elementwise("fn softsign(x: f32) -> f32 { return x * 0.5; }"));
    let before =
        compile(&GPU, |g| half.apply(&[&g.input("a", [9, 12], F32)]).matmul(&g.input("b", [12, 7], F32)));
    let row = compile(&GPU, |g| op.apply(&[&g.input("a", [9, 12], F32)]).softmax(-1));
    for program in [map, behind, before, row] {
        assert_eq!(program.stats().dispatches, 1, "{}", program.explain());
        let source = program.sources().next().expect("a kernel");
        assert!(source.contains("fn softsign_own0(x: f32)"), "{source}");
        // Nothing of the definition is left.
        let names: Vec<&str> = program.plan().recording.nodes.iter().map(|node| node.op.name()).collect();
        assert!(!names.contains(&"abs"), "{names:?}");
    }
}

#[test]
fn whole_kernels_are_dispatches_of_their_own() {
    let op = neighbours();
    let program = compile(&GPU, |g| op.apply(&[&g.input("a", [4, 10], F32).sin().reshape([40])]).cos());
    assert_eq!(program.stats().dispatches, 3, "{}", program.explain());
    assert!(program.explain().contains("own kernel `neighbours` to [40]"), "{}", program.explain());
    // Where the operand lies in memory anyway, there is nothing before it.
    let program = compile(&GPU, |g| op.apply(&[&g.input("a", [4, 10], F32).reshape([40])]));
    assert_eq!(program.stats().dispatches, 1, "{}", program.explain());
    assert!(
        program.plan().recording.nodes.iter().all(|node| !matches!(node.op, Op::Concat(_) | Op::Slice(_)))
    );
}

#[test]
fn kernels_that_compute_something_else_are_caught() {
    let conformance = Conformance::new().expect("the tests need an adapter");
    let definition = |x: &[Tensor]| x[0].square();
    let wrong = [
        WgslKernel::elementwise("fn square(x: f32) -> f32 { return x * x * 1.00001; }"),
        WgslKernel::per_element("fn square(i: u32) -> f32 { return x0[i] * x0[min(i, 13u)]; }"),
        WgslKernel::per_workgroup(
            "fn square(group: u32, lane: u32) { if (lane < 14u) { result[lane] = x0[lane] * x0[lane]; } }",
            16,
            |_, _| 1,
        ),
    ];
    for kernel in wrong {
        let case = CustomOp::new("square", definition).with_kernel(kernel.clone()).case("").random([3, 5]);
        let error = conformance.check(&case, 1).expect_err("it lies");
        let Error::Differs { what, .. } = &error else { panic!("{error}") };
        assert!(what.starts_with("square (fused), output 0"), "{kernel:?}: {what}");
    }
    let labels = |case: wgrad_core::case::Case| case.labels([1000], 10).no_gradient();
    conformance.check(&labels(histogram().case("")), 3).unwrap_or_else(|error| panic!("{error}"));
}

/// The message of compiling one application to two f32[3, 5], in a line of this file.
fn refusal(kernel: WgslKernel) -> String {
    let op = CustomOp::new("mine", |x| &x[0] + &x[1]).with_kernel(kernel);
    let compiled =
        GPU.compile(Mode::Eval, |g| [op.apply(&[&g.input("a", [3, 5], F32), &g.input("b", [3, 5], F32)])]);
    match compiled {
        Err(Error::Kernel { operation, kernel, applied, message }) => {
            assert_eq!((operation.as_str(), kernel.file(), applied.file()), ("mine", file!(), file!()));
            message
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn what_is_wrong_with_a_kernel_is_said_with_its_place() {
    let elementwise: &[(&str, &[&str])] = &[
        (
            "fn mine(a: f32, b: f32) -> f32 {\n  return a + c;\n}",
            &["`c`", "line 2, column 14", "return a + c;", "\n               ^ unknown"],
        ),
        ("fn mine(a: f32, b: f32) -> f32 {\n  return a + 1u;\n}", &["line 2", "return a + 1u;"]),
        ("fn mine(a: f32, b: f32) -> f32 { return a + b }", &["line 1", "expected"]),
        ("fn mine(a: f32, b: f32) -> f32 { return pow(a); }", &["pow", "line 1"]),
        ("fn yours(a: f32, b: f32) -> f32 { return a; }", &["`mine`", "`yours`"]),
        ("fn mine(a: f32) -> f32 { return a; }", &["fn mine(f32, f32) -> f32"]),
        ("fn mine(a: f32, b: i32) -> f32 { return a; }", &["fn mine(f32, f32) -> f32"]),
        ("var<private> k: f32;\nfn mine(a: f32, b: f32) -> f32 { return a; }", &["`k`", "outside"]),
        ("fn mine(a: f32, b: f32) -> f32 { return subgroupAdd(a); }", &["subgroupAdd", "neighbours"]),
        ("override k: f32;\nfn mine(a: f32, b: f32) -> f32 { return a * k; }", &["override"]),
        (
            "@compute @workgroup_size(1) fn main() {}\nfn mine(a: f32, b: f32) -> f32 { return a; }",
            &["entry point"],
        ),
        ("", &["`mine`"]),
    ];
    for (source, parts) in elementwise {
        let message = refusal(WgslKernel::elementwise(*source));
        parts.iter().for_each(|part| assert!(message.contains(part), "{source}: {message}"));
    }
    let per_element: &[(&str, &[&str])] = &[
        ("fn mine(i: u32) -> f32 { return x0[i] + x2[i]; }", &["`x2`", "line 1"]),
        ("fn mine(i: u32) -> f32 {\n\n x0[i] = 1.0; return 0.0; }", &["line 3", "x0[i] = 1.0"]),
        ("fn mine(i: u32) -> u32 { return i; }", &["fn mine(u32) -> f32"]),
        ("fn mine(i: i32) -> f32 { return 1.0; }", &["fn mine(u32) -> f32"]),
        (
            "@group(0) @binding(9) var<storage> table: array<f32>;\nfn mine(i: u32) -> f32 { return table[i]; }",
            &["`table`", "`x0`, `x1`", "`result`"],
        ),
        ("fn main() {}\nfn mine(i: u32) -> f32 { return x0[i]; }", &["main"]),
        // Names as operands have, but not of this operation's.
        (
            "@group(0) @binding(7) var<storage> x7: array<f32>;\nfn mine(i: u32) -> f32 { return x7[i]; }",
            &["`x7`", "`x0`, `x1`", "`result`"],
        ),
        (
            "@group(1) @binding(0) var<storage> x2: array<f32>;\nfn mine(i: u32) -> f32 { return x2[i]; }",
            &["`x2`", "`x0`, `x1`", "`result`"],
        ),
        (
            "@group(0) @binding(0) var<storage> x00: array<f32>;\nfn mine(i: u32) -> f32 { return x00[i]; }",
            &["`x00`", "`x0`, `x1`", "`result`"],
        ),
        (
            "@group(0) @binding(2) var<uniform> x3: vec4<f32>;\nfn mine(i: u32) -> f32 { return x3.x; }",
            &["`x3`", "`x0`, `x1`", "`result`"],
        ),
        (
            "@group(0) @binding(0) var<storage> x0: array<f32>;\nfn mine(i: u32) -> f32 { return x0[i]; }",
            &["redefinition", "`x0`"],
        ),
    ];
    for (source, parts) in per_element {
        let message = refusal(WgslKernel::per_element(*source));
        parts.iter().for_each(|part| assert!(message.contains(part), "{source}: {message}"));
    }
    let idle = WgslKernel::per_workgroup("fn mine(group: u32, lane: u32) {}", 16, |_, _| 0);
    assert!(refusal(idle).contains("0 workgroups of 16"));
}

#[test]
fn a_kernel_that_reads_what_is_no_operand_is_refused() {
    let vars = Vars::new();
    let scale = vars.var("scale", [5], Init::constant(2.0));
    let op = CustomOp::new("scaled", move |x| &x[0] * x[0].graph().var(&scale))
        .with_kernel(WgslKernel::elementwise("fn scaled(x: f32) -> f32 { return x * 2.0; }"));
    let g = Graph::new(Mode::Eval);
    op.apply(&[&g.input("x", [3, 5], F32)]);
    let message = g.recording().check().expect_err("the variable is missing").to_string();
    assert!(message.contains("`scale`") && message.contains("operand"), "{message}");
    let total = CustomOp::new("total", |x| x[0].sum(0))
        .with_kernel(WgslKernel::elementwise("fn total(x: f32) -> f32 { return x; }"));
    let g = Graph::new(Mode::Eval);
    total.apply(&[&g.input("x", [3, 5], F32)]);
    let message = g.recording().check().expect_err("it is not elementwise").to_string();
    assert!(message.contains("elementwise") && message.contains("f32[3, 5]"), "{message}");
}

#[test]
fn where_a_kernel_cannot_run_the_definition_does() {
    let huge =
        WgslKernel::per_workgroup("fn twice(group: u32, lane: u32) { result[0] = 7.0; }", 1 << 13, |_, _| 1);
    let op = CustomOp::new("twice", |x| &x[0] * 2.0).with_kernel(huge);
    let program = compile(&GPU, |g| op.apply(&[&g.input("x", [2], F32)]));
    assert!(!program.explain().contains("own kernel"), "{}", program.explain());
    let mut state = GPU.init(&Vars::new(), 0).expect("a state");
    let outputs = program.run(&mut state, Batch::new().with("x", [2], &[1f32, 2.0])).expect("runs");
    assert_eq!(outputs.get(0).expect("a result").data, [2.0, 4.0]);

    let few = Gpu::with_options(Options { bindings: Some(4), ..Options::default() }).expect("an adapter");
    let sum = CustomOp::new("sum4", |x| &x[0] + &x[1] + &x[2] + &x[3]).with_kernel(WgslKernel::per_element(
        "fn sum4(i: u32) -> f32 { return x0[i] + x1[i] + x2[i] + x3[i]; }",
    ));
    let record = |g: &Graph| {
        let x: Vec<Tensor> = (0..4).map(|n| g.input(&format!("x{n}"), [5], F32)).collect();
        sum.apply(&x.iter().collect::<Vec<_>>())
    };
    assert!(compile(&GPU, record).explain().contains("own kernel"));
    assert!(!compile(&few, record).explain().contains("own kernel"));
}

#[test]
fn known_operands_are_computed_at_compile_time() {
    let program = compile(&GPU, |g| softsign().apply(&[&g.full([3], 1.0, F32)]) + g.input("x", [3], F32));
    assert!(!program.sources().any(|source| source.contains("softsign")));
}

/// Values from −1 to 1.
fn ramp() -> Init {
    Init::new(|cx| cx.graph.arange(cx.shape[0], F32) * (2.0 / cx.shape[0] as f64) - 1.0)
}

/// The value of a variable after some steps, on the device and in the reference.
fn steps(vars: &Vars, names: &[&str], record: impl Fn(&Graph)) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let program = GPU.compile(Mode::Eval, |g| {
        record(g);
        [] as [Tensor; 0]
    });
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    let mut state = GPU.init(vars, 0).expect("a state");
    let mut environment: Environment =
        names.iter().map(|name| (name.to_string(), state.read(name).expect("a variable"))).collect();
    let graph = Graph::new(Mode::Eval);
    record(&graph);
    for _ in 0..3 {
        program.run(&mut state, Batch::new()).expect("runs");
        wgrad_core::interpret::step(&graph.recording(), &mut environment, &[]);
    }
    let of = |get: &dyn Fn(&str) -> Array| names.iter().map(|name| get(name).data).collect();
    (of(&|name| state.read(name).expect("a variable")), of(&|name| environment[name].clone()))
}

#[test]
fn variables_are_not_overwritten_while_a_kernel_reads_them() {
    let vars = Vars::new();
    let v = vars.var("v", [300], ramp());
    let (found, expected) = steps(&vars, &["v"], |g| g.assign(&v, &neighbours().apply(&[&g.var(&v)])));
    for (f, e) in found[0].iter().zip(&expected[0]) {
        assert!((f - e).abs() <= 1e-5 * e.abs(), "{f} is not {e}");
    }
}

#[test]
fn updates_with_a_users_function_are_packed() {
    let vars = Vars::new();
    let names = ["a", "b", "c"];
    let all = [7, 300, 64].into_iter().zip(names).map(|(n, name)| vars.var(name, [n], ramp()));
    let all: Vec<_> = all.collect();
    let op = softsign();
    let record = |g: &Graph| all.iter().for_each(|v| g.assign(v, &(op.apply(&[&g.var(v)]) + 0.5)));
    let (found, expected) = steps(&vars, &names, record);
    for (f, e) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((f - e).abs() <= 1e-6, "{f} is not {e}");
    }
    let program = GPU.compile(Mode::Eval, |g| {
        record(g);
        [] as [Tensor; 0]
    });
    let program = program.expect("compiles");
    assert_eq!(program.stats().dispatches, 1, "{}", program.explain());
}

#[test]
fn functions_that_call_their_parts_alike_do_not_meet() {
    let with = |name, factor: f64| {
        let source = format!(
            "const k = {factor:?};\nfn part(x: f32) -> f32 {{ return x * k; }}\nfn {name}(x: f32) -> f32 {{ return part(x); }}"
        );
        CustomOp::new(name, move |x| &x[0] * factor).with_kernel(WgslKernel::elementwise(source))
    };
    let (twice, thrice) = (with("twice", 2.0), with("thrice", 3.0));
    let program = compile(&GPU, |g| {
        let x = g.input("x", [2], F32);
        twice.apply(&[&thrice.apply(&[&x])]) + twice.apply(&[&x])
    });
    assert_eq!(program.stats().dispatches, 1);
    let mut state = GPU.init(&Vars::new(), 0).expect("a state");
    let outputs = program.run(&mut state, Batch::new().with("x", [2], &[1f32, -2.0])).expect("runs");
    assert_eq!(outputs.get(0).expect("a result").data, [8.0, -16.0]);
}

#[test]
fn all_dtypes_pass_through() {
    let conformance = Conformance::new().expect("the tests need an adapter");
    let half = softsign().case("/f16").operand(F16, [3, 5], wgrad_core::case::Fill::Uniform(-2.0, 2.0));
    let parity = CustomOp::new("odd", |x| x[0].gt(x[0].zeros_like()).ne(x[1].cast(Bool))).with_kernel(
        WgslKernel::elementwise("fn odd(x: u32, y: f32) -> bool { return (x > 0u) != (y != 0.0); }"),
    );
    let mask = CustomOp::new("flags", |x| x[0].gt(0.5))
        .with_kernel(WgslKernel::per_element("fn flags(i: u32) -> bool { return x0[i] > 0.5; }"));
    let kept = CustomOp::new("kept", |x| x[0].select(&x[1], &x[1].zeros_like())).with_kernel(
        WgslKernel::per_element("fn kept(i: u32) -> f32 { if (x0[i] != 0u) { return x1[i]; } return 0.0; }"),
    );
    let cases = [
        half,
        parity
            .case("")
            .labels([9], 2)
            .given([9], &[0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0])
            .no_gradient(),
        mask.case("").random([11]).no_gradient(),
        wgrad_core::case::Case::new("kept", move |x| kept.apply(&[&mask.apply(&[&x[0]]), &x[1]]))
            .distinct([11])
            .random([11])
            .no_gradient(),
        neighbours().case("/scalar_like").random([1]),
    ];
    for case in cases {
        conformance.check(&case, 5).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn accesses_beyond_the_ends_are_harmless() {
    let kernel = WgslKernel::per_workgroup(
        "fn far(group: u32, lane: u32) {
           result[lane] = 1.0;
           result[lane + 16u + group * 65536u] = x0[lane + 1000000u];
         }",
        16,
        |_, _| 1,
    );
    let op = CustomOp::new("far", |x| x[0].ones_like()).with_kernel(kernel);
    let program = GPU.compile(Mode::Eval, |g| {
        let x = g.input("x", [16], F32).exp();
        [op.apply(&[&x]), x]
    });
    let program = program.expect("compiles");
    let mut state = GPU.init(&Vars::new(), 0).expect("a state");
    let outputs = program.run(&mut state, Batch::new().with("x", [16], &[0f32; 16])).expect("runs");
    assert_eq!(outputs.get(1).expect("a result").data, [1.0; 16]);
}

#[test]
fn a_lowered_program_can_be_interpreted() {
    let g = Graph::new(Mode::Eval);
    let x = g.input("x", [2, 3], F32);
    let y = softsign().apply(&[&neighbours().apply(&[&x.reshape([6])])]);
    let program = GPU.compile_recording(&g.recording(), &[y.id()]).expect("compiles");
    let environment: Environment =
        [("x".to_string(), Array::from_slice([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, -7.0]))].into();
    let plan = program.plan();
    let of = |recording, id: NodeId| evaluate(recording, &environment)[id.index()].data.clone();
    assert_eq!(of(&plan.recording, plan.outputs[0]), of(&g.recording(), y.id()));
}
