//! Augmentation on the device makes the images that the interpreter makes, and the same ones again.

use wgrad::core::batch::HostMemory;
use wgrad::core::interpret::{Environment, evaluate};
use wgrad::data::Augmented;
use wgrad::nn::augment::{
    Cutout, Mixup, Normalize, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip,
};
use wgrad::prelude::*;

const SHAPE: [usize; 4] = [16, 3, 9, 7];

/// Images after all changes, and shares of the classes.
fn augmented(g: &Graph) -> [Tensor; 2] {
    let (x, labels) = (g.input("image", SHAPE, F32), g.input("label", [SHAPE[0]], U32));
    let augment = Sequential::new()
        .then(RandomHorizontalFlip::new(0.5))
        .then(RandomVerticalFlip::new(0.5))
        .then(RandomRotation::new(25.0).fill(0.5))
        .then(RandomCrop::new(2))
        .then(Cutout::new(3))
        .then(Normalize::new(&[0.1, 0.2, 0.3], &[0.5, 0.6, 0.7]));
    let (x, target) = Mixup::new(0.4).mix(&augment.forward(&x), &labels, 5);
    [x, target]
}

#[test]
fn the_device_changes_images_as_the_interpreter_does() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let program = gpu.compile(Mode::Train, augmented).unwrap();
    let mut state = gpu.init(&Vars::new(), 11).unwrap();
    let values: Vec<f32> =
        (0..SHAPE.iter().product()).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let images = Array::from_slice(SHAPE, &values);
    let labels: Vec<u32> = (0..SHAPE[0] as u32).map(|label| label % 5).collect();
    let labels = Array::from_slice([SHAPE[0]], &labels);
    let mut before = Vec::new();
    for step in 0..3u32 {
        let graph = Graph::new(Mode::Train);
        let expected = augmented(&graph);
        let mut environment = Environment::new();
        environment.insert(Var::seed().name().into(), Array::from_slice([2], &[11u32, 0]));
        environment.insert(Var::step().name().into(), Array::from_slice([], &[step]));
        environment.insert("image".into(), images.clone());
        environment.insert("label".into(), labels.clone());
        let values = evaluate(&graph.recording(), &environment);
        state.write(Var::step().name(), &Array::from_slice([], &[step])).unwrap();
        let batch = Batch::of_arrays([("image", &images), ("label", &labels)]);
        let outputs = program.run(&mut state, batch).unwrap();
        for (index, tensor) in expected.iter().enumerate() {
            let (got, expected) = (outputs.get(index).unwrap(), &values[tensor.id().index()]);
            for (at, (a, b)) in got.data.iter().zip(&expected.data).enumerate() {
                assert!((a - b).abs() < 1e-4, "step {step}, output {index}, element {at}: {a}, not {b}");
            }
        }
        let images = outputs.get(0).unwrap();
        assert!(!before.contains(&images), "each step has its own changes");
        before.push(images);
    }
}

/// Height and width of images whose first two channels hold each pixel's row and column, and the third anything.
const TURNED: [usize; 2] = [17, 12];

fn places() -> Array {
    let spec = TensorSpec::new(F32, [16, 3, TURNED[0], TURNED[1]]);
    Array::from_fn(&spec, |at| match at[1] {
        2 => ((at[0] * 31 + at[2] * 37 + at[3] * 53) % 101) as f64 / 50.0 - 1.0,
        axis => at[2 + axis] as f64,
    })
}

/// The angle of a rotated image, counter-clockwise, from where the pixel right of the centre came from.
fn angle(turned: &Array, n: usize) -> f64 {
    let [cy, cx] = TURNED.map(|extent| (extent as f64 - 1.0) / 2.0);
    let [row, column] = [0, 1].map(|axis| turned.at(&[n, axis, cy as usize, (cx + 4.5) as usize]));
    (row - cy).atan2(column - cx)
}

/// An image, padded without end, at (row, column): the mean of all pixels, weighed by a tent over the place.
fn sampled(image: impl Fn([usize; 2]) -> f64, fill: f64, place: [f64; 2]) -> f64 {
    let tent = |at: usize, place: f64| (1.0 - (at as f64 - place).abs()).max(0.0);
    let (mut sum, mut weights) = (0.0, 0.0);
    for at in (0..TURNED[0] * TURNED[1]).map(|at| [at / TURNED[1], at % TURNED[1]]) {
        let weight = tent(at[0], place[0]) * tent(at[1], place[1]);
        (sum, weights) = (sum + weight * image(at), weights + weight);
    }
    sum + (1.0 - weights) * fill
}

/// A rotated batch against the rotation of every image by its angle, computed another way; the angles in degrees.
fn check_turned(turned: &Array, fill: f64) -> Vec<f64> {
    let images = places();
    let angles: Vec<f64> = (0..16).map(|n| angle(turned, n)).collect();
    let [cy, cx] = TURNED.map(|extent| (extent as f64 - 1.0) / 2.0);
    let expected = Array::from_fn(&turned.spec, |at| {
        let (sin, cos) = angles[at[0]].sin_cos();
        let (dy, dx) = (at[2] as f64 - cy, at[3] as f64 - cx);
        let place = [cy + cos * dy + sin * dx, cx + cos * dx - sin * dy];
        sampled(|[y, x]| images.at(&[at[0], at[1], y, x]), fill, place)
    });
    for (at, (a, b)) in turned.data.iter().zip(&expected.data).enumerate() {
        assert!((a - b).abs() < 1e-4, "element {at}: {a}, not {b}");
    }
    angles.into_iter().map(f64::to_degrees).collect()
}

#[test]
fn device_and_host_turn_images_alike() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let images = places();
    let program = gpu.compile(Mode::Train, |g| {
        [RandomRotation::new(30.0).fill(0.25).forward(&g.input("image", images.shape(), F32))]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&Vars::new(), 3).unwrap();
    let outputs = program.run(&mut state, Batch::of_arrays([("image", &images)])).unwrap();
    let device = check_turned(&outputs.get(0).unwrap(), 0.25);

    let values = images.data.iter().map(|value| *value as f32).collect();
    let data = Labelled::new("image", [3, TURNED[0], TURNED[1]], values, vec![0; 16], 1).unwrap();
    let turned = Augmented::new(data).unwrap().fill(0.25).rotate(30.0);
    let batch = Loader::new(turned, 16).seed(3).epoch(0).next().unwrap().unwrap();
    let memory = batch.memory.as_any().downcast_ref::<HostMemory>().unwrap();
    let field = batch.layout.get("image").unwrap();
    let bytes = &memory.0[field.offset..field.offset + field.spec.bytes()];
    let host = check_turned(&Array { spec: field.spec.clone(), data: F32.decode(bytes) }, 0.25);

    for angles in [device, host] {
        // Each is beyond half of the range to one side with probability ¼.
        let (left, right) = (angles.iter().any(|a| *a > 15.0), angles.iter().any(|a| *a < -15.0));
        assert!(left && right && angles.iter().all(|a| a.abs() < 30.0 + 1e-3), "{angles:?}");
    }
}
