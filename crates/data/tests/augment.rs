//! Augmentation and mixup: what may change, what must not, and what it depends on.

use wgrad_core::batch::{Batch, HostMemory};
use wgrad_data::{Augmented, DataError, Dataset, Labelled, Loader, Mixup, breast_cancer, digits};

fn field(batch: &Batch, name: &str) -> Vec<f64> {
    let memory = batch.memory.as_any().downcast_ref::<HostMemory>().unwrap();
    let field = batch.layout.get(name).unwrap();
    field.spec.dtype.decode(&memory.0[field.offset..field.offset + field.spec.bytes()])
}

fn all(data: impl Dataset + 'static, name: &str, epoch: u64, workers: usize) -> Vec<Vec<f64>> {
    let loader = Loader::new(data, 1).seed(3).workers(workers);
    loader.epoch(epoch).map(|batch| field(&batch.unwrap(), name)).collect()
}

/// 64 copies of one image of 1×3×4.
fn copies() -> Labelled {
    let image: Vec<f32> = (1..=12).map(|v| v as f32).collect();
    Labelled::new("image", [1, 3, 4], image.repeat(64), vec![0; 64], 1).unwrap()
}

fn plain() -> Vec<f64> {
    (1..=12).map(f64::from).collect()
}

#[test]
fn flips_happen_half_of_the_time() {
    let flipped: Vec<f64> = plain().chunks(4).flat_map(|row| row.iter().rev().copied()).collect();
    let images = all(Augmented::new(copies()).unwrap().flip(), "image", 0, 0);
    let count = images.iter().filter(|&image| *image == flipped).count();
    assert!(images.iter().all(|image| *image == flipped || *image == plain()));
    assert!((16..=48).contains(&count), "{count}: four standard deviations from 32");
}

#[test]
fn crops_move_by_whole_pixels_and_fill() {
    let images = all(Augmented::new(copies()).unwrap().fill(-1.0).crop(2), "image", 0, 0);
    let shifted = |dy: isize, dx: isize| -> Vec<f64> {
        let pixel = |at: isize| {
            let (y, x) = (at / 4 + dy, at % 4 + dx);
            if (0..3).contains(&y) && (0..4).contains(&x) { (y * 4 + x + 1) as f64 } else { -1.0 }
        };
        (0..12).map(pixel).collect()
    };
    let possible: Vec<_> = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| shifted(dy, dx))).collect();
    let mut seen = vec![0; possible.len()];
    for image in &images {
        seen[possible.iter().position(|known| known == image).expect("a shift by at most 2")] += 1;
    }
    assert!(seen.iter().filter(|&&count| count > 0).count() > 15, "{seen:?}");
    // Further than the image is large: 79 % are gone, within four standard deviations of 3.2 images.
    let far = all(Augmented::new(copies()).unwrap().fill(-1.0).crop(6), "image", 0, 0);
    let gone = far.iter().filter(|image| image.iter().all(|&value| value == -1.0)).count();
    assert!((38..64).contains(&gone), "{gone} of 64");
}

#[test]
fn rotations_keep_the_centre() {
    let image = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0].map(|v| v as f32);
    let dot = Labelled::new("image", [1, 3, 3], image.repeat(32), vec![0; 32], 1).unwrap();
    let quarter = all(Augmented::new(dot.clone()).unwrap().rotate(90.0), "image", 0, 0);
    assert!(quarter.iter().all(|image| image[4].abs() < 1e-6));
    assert!(quarter.iter().any(|image| image[6] < 0.5), "some are turned far");
    let still = all(Augmented::new(dot).unwrap().rotate(0.0), "image", 0, 0);
    assert!(still.iter().all(|still| still.iter().zip(image).all(|(a, b)| (a - f64::from(b)).abs() < 1e-6)));
}

#[test]
fn channels_are_normalized_each_by_its_own() {
    let image = Labelled::new("image", [2, 1, 2], vec![1.0, 2.0, 3.0, 5.0], vec![0], 1).unwrap();
    let normal = Augmented::new(image.clone()).unwrap().normalize(&[1.0, 4.0], &[0.5, 2.0]).unwrap();
    assert_eq!(all(normal, "image", 0, 0)[0], [0.0, 2.0, -0.5, 0.5]);
    for (means, deviations) in [(&[1.0][..], &[1.0, 1.0][..]), (&[0.0; 3], &[1.0; 3])] {
        let error = Augmented::new(image.clone()).unwrap().normalize(means, deviations).unwrap_err();
        assert!(matches!(error, DataError::Transformation { .. }));
    }
    let error = Augmented::new(image).unwrap().normalize(&[0.0], &[0.0]).unwrap_err();
    assert!(matches!(error, DataError::Normalize { .. }));
    let error = Augmented::new(breast_cancer()).unwrap_err();
    assert!(error.to_string().contains("no images"), "{error}");
}

#[test]
fn changes_depend_on_seed_and_epoch_but_not_on_threads() {
    let data = || Augmented::new(digits().take(64)).unwrap().flip().crop(1).rotate(20.0);
    let first = all(data(), "image", 0, 0);
    assert_eq!(first, all(data(), "image", 0, 3));
    assert_ne!(first, all(data(), "image", 1, 0));
    let other = Loader::new(data(), 1).seed(4).epoch(0).next().unwrap().unwrap();
    assert_ne!(first[0], field(&other, "image"));
    assert_eq!(all(data(), "label", 0, 2), all(digits().take(64), "label", 0, 0));
}

/// Each input is λ, as its record's class says, of one constant image and 1 − λ of another's.
#[test]
fn mixed_inputs_and_labels_agree() {
    let values = (0..50).flat_map(|record| [(record % 2) as f32; 4]).collect();
    let data = Labelled::new("x", [4], values, (0..50).map(|record| record % 2).collect(), 2).unwrap();
    let mixed = Mixup::new(data, 2, 1.0).unwrap();
    let (inputs, labels) = (all(mixed.clone(), "x", 0, 0), all(mixed, "label", 0, 2));
    for (input, label) in inputs.iter().zip(&labels) {
        assert!((label[0] + label[1] - 1.0).abs() < 1e-6);
        assert!(input.iter().all(|value| (value - label[1]).abs() < 1e-6), "{input:?} {label:?}");
    }
    assert!(labels.iter().any(|label| (0.1..0.9).contains(&label[0])), "some are really mixed");
    assert!(matches!(Mixup::new(digits(), 10, 0.0), Err(DataError::Transformation { .. })));
    let twice = Mixup::new(Mixup::new(digits(), 10, 0.2).unwrap(), 10, 0.2).unwrap_err();
    assert!(twice.to_string().contains("one label u32[]"), "{twice}");
    let few = Loader::new(Mixup::new(digits(), 3, 0.2).unwrap(), 8).epoch(0).next().unwrap();
    assert!(few.err().unwrap().to_string().contains("there are 3 classes"));
}
