//! However the invocations that share a row combine what they have found, and however many there are, results are the
//! reference's.

use std::sync::LazyLock;

use wgrad_core::batch::Batch;
use wgrad_core::case::{Case, Fill};
use wgrad_core::{DType, F32, Graph, Init, Mode, Tensor, Vars};
use wgrad_gpu::{Gpu, Options, Program, Shaping, Subgroups, conformance};

/// Devices on which so many invocations at most share a row and may take subgroups to have these sizes.
fn device(threads: u32, subgroups: Option<Subgroups>) -> Gpu {
    let shaping = Shaping { row_threads: threads, subgroups, ..Shaping::hardware() };
    let options = Options { shaping: Some(shaping), checked: true, poison: true, ..Options::default() };
    Gpu::with_options(options).expect("the tests need an adapter")
}

/// A tree, and subgroups where there are any: 256 invocations, few, and one subgroup that is known to be one or not.
static DEVICES: LazyLock<Vec<(String, Gpu)>> = LazyLock::new(|| {
    let mut devices = vec![("a tree of 64".into(), device(64, None))];
    let Some(sizes) = devices[0].1.info().subgroups else { return devices };
    let any = Subgroups { least: sizes.least.min(4), most: 128 };
    let ways = [
        (256, sizes),
        (64, sizes),
        (32, sizes),
        (sizes.most, sizes),
        (256, any),
        (32, any),
        (sizes.most, any),
    ];
    devices.extend(
        ways.map(|(threads, sizes)| (format!("{threads} of {sizes:?}"), device(threads, Some(sizes)))),
    );
    devices
});

fn cases() -> Vec<Case> {
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    let mut cases = vec![
        case("sums of rows and their squares", |t| t[0].sum(-1) * t[0].square().sum(-1)).random([3, 3001]),
        case("a sum of halves", |t| t[0].sum(-1)).operand(DType::F16, [3, 516], Fill::Uniform(-1.0, 1.0)),
        case("a maximum of halves", |t| t[0].max(-1))
            .operand(DType::F16, [3, 517], Fill::Uniform(-1.0, 1.0))
            .no_gradient(),
        case("a maximum below zero", |t| t[0].max(-1)).operand(F32, [3, 700], Fill::Distinct(-9.0, -2.0)),
        case("a maximum of u32", |t| t[0].max(-1)).labels([3, 999], usize::MAX >> 33).no_gradient(),
        case("a sum of i32", |t| t[0].sum(-1))
            .operand(DType::I32, [2, 130], Fill::Uniform(-9e8, 9e8))
            .no_gradient(),
        case("argmax", |t| t[0].argmax(-1)).operand(F32, [3, 700], Fill::Distinct(-2.0, 2.0)).no_gradient(),
        case("a group that is normalised", |t| t[0].layer_norm([-2, -1], Some(&t[1]), Some(&t[2]), 1e-5))
            .random([3, 9, 36])
            .random([9, 36])
            .random([9, 36]),
        case("batch norm", |t| {
            let (mean, var) = (t[0].mean([0, 2, 3]), t[0].var([0, 2, 3], 0));
            t[0].batch_norm(&mean, &var, Some(&t[1]), None, 1e-5)
        })
        .random([1, 3, 16, 17])
        .uniform([3], 0.5, 2.0),
        case("many sums", |t| many_sums(&t[0])).random([2, 300]),
    ];
    for length in [127, 128, 129, 255, 256, 1000, 4097] {
        let softmax = Case::new(&format!("softmax of {length}"), |t: &[Tensor]| t[0].softmax(-1));
        cases.push(softmax.uniform([3, length], -4.0, 4.0));
    }
    cases
}

/// Eleven sums that do not depend on each other, and nine that depend on them.
fn many_sums(x: &Tensor) -> Tensor {
    let mean = |sums: Vec<Tensor>| {
        let count = sums.len() as f64;
        sums.into_iter().reduce(|all, sum| all + sum).expect("a sum") / count
    };
    let all = mean((1..=11).map(|n| (x * f64::from(n)).cos().sum_keep(-1)).collect());
    mean((0..9).map(|n| (x * &all + f64::from(n)).sin().sum(-1)).collect())
}

#[test]
fn all_ways_to_share_a_row_agree_with_the_reference() {
    let mut failures = vec![];
    for case in cases() {
        let (recording, environment, outputs) = conformance::with_gradients(&case, 11);
        recording.check().unwrap();
        for (name, gpu) in DEVICES.iter() {
            if let Err(error) = conformance::compare(gpu, &recording, &environment, &outputs) {
                failures.push(format!("{} ({name}): {error}", case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whoever shares a row with the invocation that updates a variable may be late to read its old value.
#[test]
fn a_variable_is_updated_after_all_have_read_it() {
    let (rows, length) = (4, 1024);
    let values: Vec<f32> = (0..rows * length).map(|i| (i % 97) as f32).collect();
    for (name, gpu) in DEVICES.iter() {
        let vars = Vars::new();
        let average = vars.var("average", [rows, 1], Init::constant(8.0));
        let program = gpu.compile(Mode::Eval, |g| {
            let x = g.input("x", [rows, length], F32);
            let new = g.var(&average) * 0.5 + x.mean_keep(-1) * 0.5;
            g.assign(&average, &new);
            [x - new]
        });
        let program = program.unwrap();
        assert_eq!(program.stats().dispatches, 1, "{}", program.explain());
        let mut state = gpu.init(&vars, 0).unwrap();
        let outputs = program.run(&mut state, Batch::new().with("x", [rows, length], &values)).unwrap();
        let new = state.read("average").unwrap().data;
        for (at, value) in outputs.get(0).unwrap().data.into_iter().enumerate() {
            let expected = f64::from(values[at] - new[at / length] as f32);
            assert!((value - expected).abs() < 1e-4, "{name}: {at} is {value}, not {expected}");
        }
    }
}

fn softmax(gpu: &Gpu) -> Program {
    gpu.compile(Mode::Eval, |g| [g.input("x", [2, 1024], F32).softmax(-1)]).unwrap()
}

fn barriers(program: &Program) -> usize {
    program.sources().map(|source| source.matches("workgroupBarrier").count()).sum()
}

#[test]
fn subgroups_need_one_barrier_for_each_reduction_and_one_subgroup_none() {
    // The maximum and the sum.
    let tree = device(256, None);
    assert_eq!(barriers(&softmax(&tree)), 2 * (8 + 2));
    if let Some(sizes) = tree.info().subgroups {
        let program = softmax(&device(256, Some(sizes)));
        assert_eq!(barriers(&program), 2);
        assert!(program.sources().any(|source| source.contains("@builtin(num_subgroups)")));
        // Eight at a time.
        let many = |g: &Graph| [many_sums(&g.input("x", [2, 1024], F32))];
        assert_eq!(barriers(&device(256, Some(sizes)).compile(Mode::Eval, many).unwrap()), 4);
        if let Some(size) = sizes.single() {
            assert_eq!(barriers(&softmax(&device(size, Some(sizes)))), 0);
        }
    }
}

#[test]
fn a_sum_keeps_nan_and_infinity_and_has_the_same_bits_every_time() {
    let values = |special: f32| -> Vec<f32> {
        (0..1000).map(|i| if i == 777 { special } else { (i as f32 * 0.37).sin() }).collect()
    };
    for (name, gpu) in DEVICES.iter() {
        let program =
            gpu.compile(Mode::Eval, |g| [g.input("x", [1000], F32).reshape([1, 1000]).sum(-1)]).unwrap();
        let mut state = gpu.init(&Vars::new(), 0).unwrap();
        let mut sum = |special: f32| {
            let outputs = program.run(&mut state, Batch::new().with("x", [1000], &values(special))).unwrap();
            outputs.scalar(0).unwrap()
        };
        assert!(sum(f32::NAN).is_nan(), "{name}");
        assert_eq!(sum(f32::INFINITY), f64::INFINITY, "{name}");
        let first = sum(0.5).to_bits();
        assert!((0..10).all(|_| sum(0.5).to_bits() == first), "{name}");
    }
}
