//! The embedded sets and the operations on labelled data.

use wgrad_data::{DataError, Dataset, Labelled, breast_cancer, digits};

fn label_counts(data: &Labelled) -> Vec<usize> {
    let mut counts = vec![0; data.classes()];
    (0..data.len()).for_each(|record| counts[data.label(record).unwrap() as usize] += 1);
    counts
}

/// Figures published with scikit-learn's `load_digits`.
#[test]
fn digits_are_the_published_ones() {
    let data = digits();
    assert_eq!((data.len(), data.classes()), (1797, 10));
    assert_eq!(label_counts(&data), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    let first = data.input(0).unwrap();
    assert_eq!(first[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0].map(|v| v / 16.0));
    assert_eq!(data.label(0), Some(0));
    let all = (0..data.len()).flat_map(|record| data.input(record).unwrap());
    assert!(all.into_iter().all(|v| (0.0..=1.0).contains(&v)));
}

/// Figures published with scikit-learn's `load_breast_cancer`.
#[test]
fn breast_cancer_is_the_published_one() {
    let data = breast_cancer();
    assert_eq!((data.len(), data.classes()), (569, 2));
    assert_eq!(label_counts(&data), [212, 357]);
    assert_eq!(data.input(0).unwrap()[..3], [17.99, 10.38, 122.8]);
    let radius: Vec<f32> = (0..data.len()).map(|record| data.input(record).unwrap()[0]).collect();
    assert_eq!(radius.iter().copied().fold(f32::MAX, f32::min), 6.981);
    assert_eq!(radius.iter().copied().fold(0.0, f32::max), 28.11);
}

#[test]
fn split_parts_are_disjoint_and_repeatable() {
    let data = Labelled::new("x", [1], (0..100).map(|v| v as f32).collect(), vec![0; 100], 1).unwrap();
    let values = |part: &Labelled| -> Vec<f32> {
        (0..part.len()).flat_map(|record| part.input(record).unwrap()).collect()
    };
    let (first, second) = data.split(0.8, 5);
    assert_eq!((first.len(), second.len()), (80, 20));
    let mut all = [values(&first), values(&second)].concat();
    all.sort_by(f32::total_cmp);
    assert_eq!(all, values(&data));
    assert_eq!(values(&second), values(&data.split(0.8, 5).1));
    assert_ne!(values(&second), values(&data.split(0.8, 6).1));
    for (fraction, records) in [(-1.0, 0), (f64::NAN, 0), (2.0, 100)] {
        assert_eq!(data.split(fraction, 0).0.len(), records);
    }
    assert_eq!(values(&second.take(3)), values(&second)[..3]);
    assert_eq!(values(&data.subset([7, 7, 2]).unwrap()), [7.0, 7.0, 2.0]);
    assert!(matches!(second.subset([20]), Err(DataError::NoSuchRecord { record: 20, records: 20 })));
    assert_eq!(second.take(1000).len(), 20);
}

#[test]
fn normalization_gives_mean_zero_and_deviation_one() {
    let data = digits();
    let (mean, deviation) = data.moments();
    let (mean, deviation) = data.normalized(mean, deviation).unwrap().moments();
    assert!(mean.abs() < 1e-5 && (deviation - 1.0).abs() < 1e-5, "{mean} {deviation}");
    for deviation in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(digits().normalized(0.0, deviation), Err(DataError::Normalize { .. })));
    }
}

#[test]
fn standardization_is_per_feature_and_from_the_reference() {
    let table =
        |values: &[f32]| Labelled::new("x", [2], values.to_vec(), vec![0; values.len() / 2], 1).unwrap();
    let train = table(&[1.0, 5.0, 3.0, 5.0]);
    let test = table(&[4.0, 6.0]).standardized_by(&train).unwrap();
    assert_eq!(test.input(0).unwrap(), [2.0, 1.0]);
    assert_eq!(train.standardized_by(&train).unwrap().input(0).unwrap(), [-1.0, 0.0]);
    assert!(matches!(test.standardized_by(&digits()), Err(DataError::Mismatch { .. })));
}

#[test]
fn labelled_data_must_fit_together() {
    let error = Labelled::new("x", [2], vec![0.0; 5], vec![0, 1], 2).err().unwrap();
    assert_eq!(error.to_string(), "`x` is f32[2] in each record, got 5 values for 2 labels");
    let error = Labelled::new("x", [2], vec![0.0; 4], vec![0, 2], 2).err().unwrap();
    assert!(matches!(error, DataError::Label { record: 1, label: 2, classes: 2 }));
}
