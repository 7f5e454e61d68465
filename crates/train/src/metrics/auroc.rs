//! The area under the receiver operating characteristic, from the scores of all records.

/// The mean area over the classes that have positive and negative records, each against the rest. Rows are
/// the scores of all classes, then the label; with one column of scores, the positive class is 1.
pub(super) fn mean_area(classes: usize, rows: &[f64]) -> f64 {
    let column = |class: usize| {
        let positive = if classes == 1 { 1.0 } else { class as f64 };
        rows.chunks_exact(classes + 1).map(|row| (row[class], row[classes] == positive)).collect()
    };
    let areas: Vec<f64> = (0..classes).filter_map(|class| area(column(class))).collect();
    areas.iter().sum::<f64>() / areas.len() as f64
}

/// (Sum of the positives' ranks − p(p + 1)/2)/(p·n), where equal scores share the mean of their ranks (Mann
/// and Whitney, 1947). `None` without positives or without negatives.
fn area(mut records: Vec<(f64, bool)>) -> Option<f64> {
    let positives = records.iter().filter(|(_, positive)| *positive).count() as f64;
    let negatives = records.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    if records.iter().any(|(score, _)| score.is_nan()) {
        return Some(f64::NAN);
    }
    records.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (mut before, mut ranks) = (0.0, 0.0);
    // Not bitwise: 0 and −0 are equal scores.
    for equal in records.chunk_by(|(a, _), (b, _)| a == b) {
        let rank = before + (equal.len() as f64 + 1.0) / 2.0;
        ranks += rank * equal.iter().filter(|(_, positive)| *positive).count() as f64;
        before += equal.len() as f64;
    }
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(scores: &[f64], labels: &[f64]) -> f64 {
        let rows: Vec<f64> = scores.iter().zip(labels).flat_map(|(&s, &l)| [s, l]).collect();
        mean_area(1, &rows)
    }

    /// Values of scikit-learn's `roc_auc_score`.
    #[test]
    fn areas_are_those_of_scikit_learn() {
        assert_eq!(binary(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]), 0.75);
        let tied = binary(&[0.5, 0.5, 0.2, 0.5, 0.9, -0.0, 0.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
        assert!((tied - 0.708_333_333_333_333_4).abs() < 1e-15, "{tied}");
        assert_eq!(binary(&[1.0; 4], &[0.0, 1.0, 1.0, 0.0]), 0.5);
    }

    #[test]
    fn without_negatives_there_is_no_area() {
        assert!(binary(&[0.1, 0.2], &[1.0, 1.0]).is_nan());
        assert!(binary(&[], &[]).is_nan());
        assert!(binary(&[f64::NAN, 0.2], &[1.0, 0.0]).is_nan());
    }
}
