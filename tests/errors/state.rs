//! States and results that do not have what is asked of them.

use wgrad::gpu::Error;
use wgrad::prelude::*;

use crate::{GPU, classifier, says};

#[test]
fn a_state_without_the_optimizers_variables() {
    let vars = Vars::new();
    let fc = Linear::new(vars.sub("fc"), 4, 2);
    let mut state = GPU.init(&vars, 1).unwrap();
    let program = GPU.compile(Mode::Train, |g| {
        let loss = fc.forward(&g.input("x", [3, 4], F32)).mean(..);
        Adam::new(0.1).minimize(&loss, &vars);
        [loss]
    });
    let batch = Batch::new().with("x", [3, 4], &[1f32; 12]);
    let error = program.unwrap().run(&mut state, batch).unwrap_err();
    assert!(matches!(&error, Error::Variable { name, .. } if vars.get(name).is_some()), "{error:?}");
    says(&error, &["gpu.init", "after compiling"]);
}

#[test]
fn a_state_of_another_model() {
    let (program, _) = classifier();
    let vars = Vars::new();
    let fc = Linear::new(vars.sub("fc"), 4, 3);
    GPU.compile(Mode::Train, |g| {
        let loss = fc.forward(&g.input("x", [3, 4], F32)).mean(..);
        Adam::new(0.1).minimize(&loss, &vars);
        [loss]
    })
    .unwrap();
    let mut state = GPU.init(&vars, 1).unwrap();
    let batch = Batch::new().with("x", [3, 4], &[1f32; 12]).with("label", [3], &[0u32; 3]);
    let error = program.run(&mut state, batch).unwrap_err();
    assert!(matches!(&error, Error::Variable { name, .. } if name.starts_with("fc.")), "{error:?}");
    says(&error, &["in the state", "in the program", "f32[2", "f32[3"]);
}

#[test]
fn a_variable_that_the_state_does_not_have() {
    let vars = Vars::new();
    let _fc = Linear::new(vars.sub("fc"), 4, 2);
    let mut state = GPU.init(&vars, 1).unwrap();
    let error = state.read("fc.wieght").unwrap_err();
    assert!(matches!(&error, Error::Variable { name, .. } if name == "fc.wieght"));
    says(&error, &["`fc.wieght`"]);
    let error = state.write("fc.bias", &Array::from_slice([3], &[0f32; 3])).unwrap_err();
    assert!(matches!(error, Error::Variable { .. }));
    says(&error, &["`fc.bias`", "f32[2]", "f32[3]"]);
    let error = state.write("fc.bias", &Array::from_slice([2], &[0u32; 2])).unwrap_err();
    says(&error, &["`fc.bias`", "f32[2]", "u32[2]"]);
    assert_eq!(state.read("fc.bias").unwrap().spec, TensorSpec::new(F32, [2]));
}

#[test]
fn variables_larger_than_the_adapter_allows() {
    let vars = Vars::new();
    for i in 0..400 {
        vars.var(&format!("table{i}"), [2_000_000_000], Init::constant(0.0));
    }
    let error = GPU.init(&vars, 0).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    says(&error, &["variables", "table", "f32[2000000000]"]);
}

#[test]
fn an_output_or_probe_that_does_not_exist() {
    let (program, vars) = classifier();
    let mut state = GPU.init(&vars, 1).unwrap();
    let batch = Batch::new().with("x", [3, 4], &[1f32; 12]).with("label", [3], &[0u32; 3]);
    let outputs = program.run(&mut state, batch).unwrap();
    for index in [2, 3, usize::MAX] {
        let error = outputs.get(index).unwrap_err();
        assert!(matches!(error, Error::NoOutput { .. }));
        says(&error, &[&index.to_string(), "2 outputs"]);
    }
    let error = outputs.probe("logit").unwrap_err();
    assert!(matches!(error, Error::NoOutput { .. }));
    says(&error, &["`logit`", "logits"]);
    let error = outputs.scalar(1).unwrap_err();
    assert!(matches!(error, Error::NoOutput { .. }));
    says(&error, &["one number", "f32[3, 2]"]);
    assert_eq!(outputs.probe("logits").unwrap(), outputs.get(1).unwrap());
}
