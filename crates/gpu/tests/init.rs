//! Initial values are born on the device: those of many variables in few dispatches, and each variable's the same
//! whatever else is initialized.

use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::vars::InitContext;
use wgrad_core::{F32, Graph, Init, Mode, Vars};
use wgrad_gpu::Gpu;

const SEED: u64 = 0x0123_4567_89ab_cdef;

/// Uniform numbers from `low` to `high`.
fn uniform(low: f64, high: f64) -> Init {
    Init::new(move |cx| cx.random_bits(0).bits_to_uniform() * (high - low) + low)
}

/// Variables by name, shape and initializer.
fn variables() -> Vec<(String, Vec<usize>, Init)> {
    let shapes: [&[usize]; 7] = [&[1], &[3], &[130], &[7, 11], &[64, 65], &[5, 3, 3, 3], &[300, 301]];
    let drawn = shapes.iter().enumerate().flat_map(|(number, shape)| {
        let (low, high) = (-1.0 - number as f64, 0.5 + number as f64);
        ["a", "b"].map(|name| (format!("{name}{number}"), shape.to_vec(), uniform(low, high)))
    });
    let fixed = [("zeros", 0.0), ("negative", -0.0), ("ones", 1.0)];
    let fixed = fixed.map(|(name, value)| (name.to_string(), vec![9], Init::constant(value)));
    let given = Init::new(|cx| cx.graph.constant([2, 2], &[0.5f32, -1.5, 0.0, 3.25]));
    drawn.chain(fixed).chain([("given".to_string(), vec![2, 2], given)]).collect()
}

fn vars(variables: &[(String, Vec<usize>, Init)]) -> Vars {
    let vars = Vars::new();
    for (name, shape, init) in variables {
        vars.var(name, shape.as_slice(), init.clone());
    }
    vars
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_variable_starts_with_the_same_bits_alone_and_among_others() {
    let gpu = Gpu::new().unwrap();
    let variables = variables();
    let before = gpu.counters().dispatches;
    let all = gpu.init(&vars(&variables), SEED).unwrap();
    // Draws of all sizes and scales share one dispatch, each number has one, and what the host knows needs none.
    assert_eq!(gpu.counters().dispatches - before, 3);
    for variable in &variables {
        let (name, shape, init) = variable;
        let alone = gpu.init(&vars(std::slice::from_ref(variable)), SEED).unwrap().read(name).unwrap().data;
        let found = all.read(name).unwrap().data;
        assert_eq!(bits(&found), bits(&alone), "{name}");

        let graph = Graph::new(Mode::Eval);
        let shape = shape.as_slice().into();
        let cx = InitContext { graph: &graph, shape: &shape, dtype: F32, name, seed: SEED };
        let value = init.record(&cx);
        let values = evaluate(&graph.recording(), &Environment::new());
        let expected = &values[value.id().index()].data;
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 2e-6, "{name}: {found}, expected {expected}");
            assert_eq!(found.is_sign_negative(), expected.is_sign_negative(), "{name}");
        }
    }
}
