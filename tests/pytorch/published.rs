//! Whole networks at their full size, in training: results, and the gradients of some parameters. Both sides make
//! all parameters from the same random numbers, so that no file has to hold them.

use wgrad::core::Array;
use wgrad::core::ops::philox;
use wgrad::nn::models::{MobileNetV2, ResNet};
use wgrad::prelude::*;

use crate::golden::Goldens;
use crate::suite::GPU;

/// How many times further than PyTorch's own f32 a value may be from its f64: the order of sums differs between
/// adapters (llvmpipe comes to 3), and so does which of thousands of errors is the largest.
const MARGIN: f64 = 8.0;

/// 1024 equal steps between low and high, by the tensor's number: `noise` of `tables/published.py`.
fn noise(number: u32, shape: &Shape, low: f64, high: f64) -> Array {
    let word = |element: usize| philox([(element / 4) as u32, 0, 0, 0], [number, 0])[element % 4];
    let value = |element: usize| low + (high - low) * (f64::from(word(element) >> 22) + 0.5) / 1024.0;
    Array::new(F32, shape, (0..shape.numel()).map(value).collect())
}

/// Parameters and statistics, as `fill` of `tables/published.py` makes them.
fn fill(vars: &Vars, state: &mut State) {
    let mut floats: Vec<Var> = vars.all().into_iter().filter(|var| var.spec().dtype == F32).collect();
    floats.sort_by(|a, b| a.name().cmp(b.name()));
    for (number, var) in (0..).zip(&floats) {
        let (name, shape) = (var.name(), var.shape());
        let (low, high) = if shape.rank() > 1 {
            let fan_in: usize = shape[1..].iter().product();
            let bound = 0.5f64.powi(((fan_in as f64 / 6.0).log2() / 2.0).round_ties_even() as i32);
            (-bound, bound)
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            (0.5, 1.5)
        } else {
            (-0.5, 0.5)
        };
        state.write(name, &noise(number, shape, low, high)).expect("the variable is in the state");
    }
}

/// The sides of the images.
const SIDE: usize = 33;

fn agree(name: &str, vars: &Vars, call: impl Fn(&Tensor) -> Tensor) {
    let golden = Goldens::read("published").case(name);
    let watched: Vec<String> =
        golden.iter().filter_map(|(name, _)| Some(name.strip_prefix("d.")?.to_string())).collect();
    assert!(watched.len() > 3, "{watched:?}");
    let array = |name: &str| golden.get(name).expect("it is in the file").array().expect("numbers");
    let images = Shape::from([2, 3, SIDE, SIDE]);
    let shape = array("out").shape().clone();
    let program = GPU.compile(Mode::Train, |g| {
        let results = call(&g.input("image", &images, F32));
        let loss = (&results * g.input("upstream", &shape, F32)).sum(..);
        let gradients = loss.backward(vars);
        let of = |name: &String| {
            let found = gradients.iter().find(|(var, _)| var.name() == *name);
            found.unwrap_or_else(|| panic!("`{name}` has no gradient")).1.clone()
        };
        [vec![results], watched.iter().map(of).collect()].concat()
    });
    let program = program.unwrap_or_else(|error| panic!("{error}"));
    let mut state = GPU.init(vars, 0).expect("a state");
    fill(vars, &mut state);
    let image = noise(array("image").item() as u32, &images, -1.0, 1.0);
    let upstream = noise(1000, &shape, -1.0, 1.0);
    let outputs = program.run(&mut state, Batch::of_arrays([("image", &image), ("upstream", &upstream)]));
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}"));
    let (mut worst, mut failures) = (0.0f64, vec![]);
    let names = ["out".to_string()].into_iter().chain(watched.iter().map(|name| format!("d.{name}")));
    for (at, what) in names.enumerate() {
        let (expected, single) = (array(&what), array(&format!("f32.{what}")).item());
        let found = outputs.get(at).expect("an output");
        let pairs = expected.data.iter().zip(&found.data);
        let error =
            pairs.fold(0.0f64, |most, (e, f)| if f.is_nan() { f64::NAN } else { most.max((e - f).abs()) });
        println!("{name} {what}: off by {error:.1e}, PyTorch's f32 by {single:.1e}");
        if error.is_nan() || error > MARGIN * single {
            failures.push(what);
        }
        worst = worst.max(error / single.max(f64::MIN_POSITIVE));
    }
    println!("{name}: {worst:.2} times as far off as PyTorch in f32");
    assert!(failures.is_empty(), "{name}: {failures:?}");
}

#[test]
fn resnet18_agrees() {
    let vars = Vars::new();
    let model = ResNet::resnet18(&vars, 10);
    agree("ResNet18", &vars, |x| model.forward(x));
}

#[test]
fn mobilenet_v2_agrees() {
    let vars = Vars::new();
    let model = MobileNetV2::new(&vars, 10);
    // The classifier comes after a dropout.
    vars.freeze("classifier.*");
    agree("MobileNetV2", &vars, |x| model.features(x));
}
