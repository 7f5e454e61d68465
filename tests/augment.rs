//! Augmentation on the device makes the images that the interpreter makes, and the same ones again.

use wgrad::core::interpret::{Environment, evaluate};
use wgrad::nn::augment::{Cutout, Mixup, Normalize, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip};
use wgrad::prelude::*;

const SHAPE: [usize; 4] = [16, 3, 9, 7];

/// Images after all changes, and shares of the classes.
fn augmented(g: &Graph) -> [Tensor; 2] {
    let (x, labels) = (g.input("image", SHAPE, F32), g.input("label", [SHAPE[0]], U32));
    let augment = Sequential::new()
        .then(RandomHorizontalFlip::new(0.5))
        .then(RandomVerticalFlip::new(0.5))
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
