//! Loading into a model: strict and partial, subtrees and new names, and what the report says.

use wgrad_core::interpret::{self, Environment};
use wgrad_core::vars::InitContext;
use wgrad_core::{Array, F16, Graph, Init, Mode, TensorSpec, U32, Var, Vars};
use wgrad_weights::{Weights, WeightsError};

/// A layer, a norm, and the moments of an optimizer.
fn model() -> Vars {
    let vars = Vars::new();
    let fc = vars.sub("fc").var("weight", [2], Init::constant(9.0));
    let norm = vars.sub("norm");
    norm.var("weight", [2], Init::constant(9.0));
    norm.buffer("running_mean", TensorSpec::new(F16, [2]), Init::constant(9.0));
    norm.buffer("num_batches_tracked", TensorSpec::new(U32, []), Init::constant(9.0));
    vars.slot("adam.exp_avg", &fc, Init::constant(9.0));
    vars
}

fn file() -> Weights {
    let mut weights = Weights::new();
    weights.insert("fc.weight", &Array::from_slice([2], &[1f32, 2.0]));
    weights.insert("norm.weight", &Array::from_slice([2], &[3f32, 4.0]));
    weights.insert("norm.running_mean", &Array::from_slice([2], &[5f32, 6.0]));
    weights.insert("norm.num_batches_tracked", &Array::from_slice([], &[7i32]));
    weights
}

/// What a state would begin with.
fn initial(vars: &Vars, name: &str) -> Array {
    let var: Var = vars.get(name).unwrap();
    let graph = Graph::new(Mode::Eval);
    let (shape, dtype) = (var.shape(), var.spec().dtype);
    let value = var.init().record(&InitContext { graph: &graph, shape, dtype, name, seed: 0 });
    graph.recording().check().unwrap();
    interpret::evaluate(&graph.recording(), &Environment::new()).swap_remove(value.id().index())
}

#[test]
fn complete_weights_become_the_initial_values() {
    let vars = model();
    let report = file().apply(&vars).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.to_string(), "4 loaded");
    assert_eq!(initial(&vars, "fc.weight"), Array::from_slice([2], &[1f32, 2.0]));
    assert_eq!(initial(&vars, "norm.running_mean"), Array::new(F16, [2], vec![5.0, 6.0]));
    assert_eq!(initial(&vars, "norm.num_batches_tracked"), Array::from_slice([], &[7u32]));
    assert_eq!(initial(&vars, "fc.weight.adam.exp_avg").data, [9.0, 9.0]);
    // The last file wins.
    let mut second = Weights::new();
    second.insert("fc.weight", &Array::from_slice([2], &[0f32, 0.5]));
    assert_eq!(second.apply_partial(&vars).loaded, ["fc.weight"]);
    assert_eq!(initial(&vars, "fc.weight").data, [0.0, 0.5]);
    assert_eq!(initial(&vars, "norm.weight").data, [3.0, 4.0]);
}

#[test]
fn strict_loading_changes_nothing_unless_everything_fits() {
    let vars = model();
    let mut weights = file().filter(|name| name != "norm.weight");
    weights.insert("fc.weight", &Array::from_slice([3], &[1f32, 2.0, 3.0]));
    weights.insert("head.bias", &Array::from_slice([1], &[1f32]));
    weights.insert("norm.num_batches_tracked", &Array::from_slice([], &[-1i32]));
    let error = weights.apply(&vars).unwrap_err();
    let WeightsError::Incomplete(report) = &error else { panic!("{error}") };
    assert_eq!(report.loaded, ["norm.running_mean"]);
    assert_eq!(report.missing, ["norm.weight"]);
    assert_eq!(report.unexpected, ["head.bias"]);
    assert_eq!(
        error.to_string(),
        "the weights do not fit the model: 1 loaded; 1 missing: norm.weight; 1 unexpected: head.bias; \
         2 mismatched: fc.weight is f32[2], the file has f32[3], norm.num_batches_tracked is u32[], the file \
         has i32[]: the value -1 does not fit into u32; `apply_partial` loads what fits"
    );
    assert_eq!(initial(&vars, "norm.running_mean").data, [9.0, 9.0]);
    assert_eq!(weights.apply_partial(&vars), **report);
    assert_eq!(initial(&vars, "norm.running_mean").data, [5.0, 6.0]);
    assert_eq!(initial(&vars, "fc.weight").data, [9.0, 9.0]);
}

#[test]
fn only_kinds_of_elements_that_hold_the_values_match() {
    let vars = Vars::new();
    vars.var("weight", [1], Init::constant(0.0));
    let mut weights = Weights::new();
    weights.insert("weight", &Array::from_slice([1], &[1u32]));
    let error = weights.apply(&vars).unwrap_err().to_string();
    assert!(error.contains("u32 values cannot become f32"), "{error}");
}

#[test]
fn what_batch_norms_and_optimizers_keep_may_be_missing() {
    let vars = model();
    let report = file().filter(|name| !name.ends_with("tracked")).apply(&vars).unwrap();
    assert_eq!(report.loaded.len(), 3);
    let mut weights = file();
    weights.insert("fc.weight.adam.exp_avg", &Array::from_slice([2], &[0.5f32, 0.25]));
    assert_eq!(weights.apply(&vars).unwrap().loaded.len(), 5);
    assert_eq!(initial(&vars, "fc.weight.adam.exp_avg").data, [0.5, 0.25]);
}

#[test]
fn arrays_may_be_left_over_where_every_variable_has_its_value() {
    let vars = model();
    let mut weights = file();
    weights.insert("wgrad.step", &Array::from_slice([], &[3u32]));
    assert!(weights.matching(&vars).strict().is_err());
    let report = weights.matching(&vars).complete().unwrap().init();
    assert_eq!((report.loaded.len(), &report.unexpected[..]), (4, &["wgrad.step".to_string()][..]));
    assert_eq!(initial(&vars, "fc.weight").data, [1.0, 2.0]);
    let less = weights.filter(|name| name != "norm.weight");
    assert!(matches!(less.matching(&vars).complete(), Err(WeightsError::Incomplete(_))));
}

#[test]
fn subtrees_prefixes_and_new_names() {
    let vars = model();
    let norm = file().sub("norm");
    assert_eq!(norm.apply(&vars.sub("norm")).unwrap().loaded[0], "weight");
    assert_eq!(initial(&vars, "norm.weight").data, [3.0, 4.0]);
    let wrapped = file().rename(|name| format!("module.{}", name.replace("fc.", "classifier."))).unwrap();
    let report = wrapped.sub("module").apply_partial(&vars);
    assert_eq!(
        (report.missing, report.unexpected),
        (vec!["fc.weight".into()], vec!["classifier.weight".into()])
    );
    let unwrapped = wrapped.sub("module").rename(|name| name.replace("classifier", "fc")).unwrap();
    unwrapped.apply(&vars).unwrap();
    assert_eq!(initial(&vars, "fc.weight").data, [1.0, 2.0]);
    let error = file().rename(|_| "same".into()).unwrap_err();
    assert!(matches!(error, WeightsError::Duplicate { name } if name == "same"));
}

#[test]
fn a_running_state_is_written_by_full_names() {
    let vars = model();
    let mut written = vec![];
    let matching = file().sub("norm").matching(&vars.sub("norm")).strict().unwrap();
    let write = |name: &str, value: &Array| {
        written.push((name.to_string(), value.clone()));
        Ok::<(), ()>(())
    };
    let report = matching.clone().write(write).unwrap();
    assert_eq!(report, *matching.report());
    let expected = ("norm.running_mean".to_string(), Array::new(F16, [2], vec![5.0, 6.0]));
    assert_eq!((written.len(), &written[1]), (3, &expected));
    assert_eq!(matching.write(|_, _| Err("device lost")), Err("device lost"));
}

#[test]
fn long_reports_stay_short() {
    let vars = Vars::new();
    (0..20).for_each(|i| drop(vars.var(&format!("w{i}"), [1], Init::constant(0.0))));
    let report = Weights::new().apply_partial(&vars);
    assert_eq!(report.to_string(), "0 loaded; 20 missing: w0, w1, w2, w3, w4, w5, w6, w7 and 12 more");
}
