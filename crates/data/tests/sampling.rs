//! Samplers, splits and folds.

use wgrad_core::batch::{Batch, HostMemory};
use wgrad_data::{
    DataError, Dataset, Labelled, Loader, Sampler, Stratified, Weighted, breast_cancer, digits, split,
};

fn labels(batch: &Batch) -> Vec<u32> {
    let memory = batch.memory.as_any().downcast_ref::<HostMemory>().unwrap();
    let field = batch.layout.get("label").unwrap();
    let bytes = &memory.0[field.offset..field.offset + field.spec.bytes()];
    bytes.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Counts stay within four standard deviations of their expectations.
#[test]
fn weights_are_frequencies() {
    let weights = [1.0, 0.0, 3.0, 6.0, 0.0];
    let sampler = Weighted::new(&weights, 3).unwrap().draws(10_000);
    let order = sampler.order(5, 0).unwrap();
    assert_eq!((order.len(), sampler.len(5)), (10_000, 10_000));
    for (record, weight) in weights.iter().enumerate() {
        let (p, count) = (weight / 10.0, order.iter().filter(|&&r| r == record).count() as f64);
        assert!((count - 1e4 * p).abs() <= 4.0 * (1e4 * p * (1.0 - p)).sqrt(), "{record}: {count}");
    }
    assert_eq!(order, sampler.order(5, 0).unwrap());
    assert_ne!(order, sampler.order(5, 1).unwrap());
}

#[test]
fn balanced_weights_even_out_classes() {
    let data = breast_cancer(); // 212 and 357
    let sampler = Weighted::balanced(data.labels(), 1).unwrap().draws(6_000);
    let loader = Loader::new(data, 60).sampler(sampler);
    assert_eq!(loader.batches().unwrap(), 100);
    let ones: u32 = loader.epoch(0).map(|batch| labels(&batch.unwrap()).iter().sum::<u32>()).sum();
    assert!((f64::from(ones) - 3000.0).abs() < 4.0 * 1500f64.sqrt(), "{ones}");
}

#[test]
fn impossible_weights_say_why() {
    for (weights, text) in [
        (&[1.0, -1.0][..], "record 1 has weight -1; weights must be finite and not negative"),
        (&[f64::NAN], "record 0 has weight NaN; weights must be finite and not negative"),
        (&[0.0, 0.0], "the weights add up to 0, so nothing can be drawn by them"),
        (&[], "the weights add up to 0, so nothing can be drawn by them"),
    ] {
        assert_eq!(Weighted::new(weights, 0).unwrap_err().to_string(), text);
    }
    let sampler = Weighted::new(&[1.0, 1.0], 0).unwrap();
    let mut items = Loader::new(digits(), 8).sampler(sampler).epoch(0);
    assert!(matches!(items.next(), Some(Err(DataError::Count { .. }))));
    assert!(items.next().is_none());
}

#[test]
fn stratified_batches_have_the_classes_of_the_whole() {
    let data = breast_cancer();
    let loader = Loader::new(data.clone(), 57).sampler(Stratified::new(data.labels(), 4)).drop_last();
    for batch in loader.epoch(1) {
        let ones = labels(&batch.unwrap()).iter().sum::<u32>() as f64;
        // 57 · 357 / 569 = 35.8; a stretch has each class give or take one at either end.
        assert!((ones - 35.8).abs() <= 2.0, "{ones}");
    }
    let mut order = Stratified::new(data.labels(), 4).order(569, 0).unwrap();
    assert_ne!(order, Stratified::new(data.labels(), 4).order(569, 1).unwrap());
    order.sort_unstable();
    assert_eq!(order, (0..569).collect::<Vec<_>>());
}

fn sorted(parts: &[Vec<usize>]) -> Vec<usize> {
    let mut all = parts.concat();
    all.sort_unstable();
    all
}

#[test]
fn splits_are_disjoint_and_have_their_shares() {
    let parts = split::random(101, &[0.7, 0.2, 0.1], 5).unwrap();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [71, 20, 10]);
    assert_eq!(sorted(&parts), (0..101).collect::<Vec<_>>());
    assert_eq!(parts, split::random(101, &[0.7, 0.2, 0.1], 5).unwrap());
    assert_ne!(parts, split::random(101, &[0.7, 0.2, 0.1], 6).unwrap());
    for shares in [&[0.5, 0.6][..], &[-0.1], &[f64::NAN]] {
        assert!(matches!(split::random(10, shares, 0), Err(DataError::Shares { .. })));
    }

    let data = breast_cancer();
    let parts = split::by_class(data.labels(), &[0.5, 0.25], 5).unwrap();
    for (part, share) in parts.iter().zip([0.5, 0.25]) {
        let ones = part.iter().filter(|&&record| data.label(record) == Some(1)).count() as f64;
        assert!((ones - 357.0 * share).abs() <= 2.0, "{ones}");
    }
}

#[test]
fn every_record_is_tested_once() {
    let data = breast_cancer();
    let by_class = split::k_fold_by_class(data.labels(), 5, 1).unwrap();
    for (folds, n) in [(split::k_fold(23, 5, 1).unwrap(), 23), (by_class, 569)] {
        let tests: Vec<Vec<usize>> = folds.iter().map(|(_, test)| test.clone()).collect();
        assert_eq!(sorted(&tests), (0..n).collect::<Vec<_>>());
        for (train, test) in folds {
            assert_eq!(sorted(&[train, test.clone()]), (0..n).collect::<Vec<_>>());
            assert!((n / 5..=n / 5 + 1).contains(&test.len()));
        }
    }
    for folds in [0, 1, 24] {
        assert!(matches!(split::k_fold(23, folds, 1), Err(DataError::Folds { records: 23, .. })));
    }
}

#[test]
fn labels_follow_the_records() {
    let data = Labelled::new("x", [1], vec![0.0; 4], vec![3, 1, 2, 0], 4).unwrap();
    assert_eq!(data.labels().collect::<Vec<_>>(), [3, 1, 2, 0]);
    assert_eq!(data.subset([2, 0]).unwrap().labels().collect::<Vec<_>>(), [2, 3]);
    assert_eq!(data.len(), 4);
}
