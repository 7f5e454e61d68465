//! Histograms of weights.

use super::message::Message;

/// Buckets of equal width; what reads them merges them to fewer.
const BUCKETS: usize = 64;

/// The numbers of a tensor's values between its least and its greatest, as TensorBoard's `HistogramProto`.
/// Values that are no finite numbers are left out; `None` where there are no others.
pub(crate) fn histogram(values: &[f64]) -> Option<Message> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })?;
    let width = (high - low) / BUCKETS as f64;
    // Equal values, and values whose distance overflows, fill one bucket.
    let buckets = if width > 0.0 && width.is_finite() { BUCKETS } else { 1 };
    let mut counts = vec![0.0; buckets];
    finite().for_each(|value| counts[(((value - low) / width) as usize).min(buckets - 1)] += 1.0);
    let mut limits: Vec<f64> = (1..buckets).map(|bucket| low + width * bucket as f64).collect();
    limits.push(high);
    let message = Message::new()
        .double(1, low)
        .double(2, high)
        .double(3, finite().count() as f64)
        .double(4, finite().sum())
        .double(5, finite().map(|value| value * value).sum());
    Some(message.doubles(6, &limits).doubles(7, &counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_numbers_do_not_count() {
        assert!(histogram(&[]).is_none());
        assert!(histogram(&[f64::NAN, f64::INFINITY]).is_none());
        let with = histogram(&[1.0, f64::NAN, 2.0]).unwrap();
        assert_eq!(with.into_bytes(), histogram(&[1.0, 2.0]).unwrap().into_bytes());
    }

    #[test]
    fn extreme_values_have_a_bucket() {
        for values in [&[3.0][..], &[5.0; 4], &[f64::MIN, f64::MAX], &[0.0, f64::MIN_POSITIVE]] {
            let bytes = histogram(values).unwrap().into_bytes();
            // Behind five doubles: limits and counts, each with a key, a length and as many numbers.
            let rest = &bytes[5 * 9..];
            assert_eq!(rest[0], 0x32);
            assert!(rest.len() >= 2 * (2 + 8));
        }
    }
}
