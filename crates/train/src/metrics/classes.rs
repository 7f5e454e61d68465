//! Precision, recall and F1 from three counts for each class.

use super::Average;

/// For each class how many records of it were taken for it, how many were taken for it, and how many belong to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ByClass {
    pub(super) right: Vec<f64>,
    pub(super) predicted: Vec<f64>,
    pub(super) labelled: Vec<f64>,
}

/// True positives, false positives and false negatives.
#[derive(Clone, Copy, Default)]
struct Outcomes {
    right: f64,
    wrongly: f64,
    missed: f64,
}

impl ByClass {
    /// From counts one after the other, as the device has them.
    pub(super) fn of(counts: &[f64]) -> Self {
        let part = |part: usize| {
            counts.chunks(counts.len().div_ceil(3).max(1)).nth(part).unwrap_or_default().to_vec()
        };
        Self { right: part(0), predicted: part(1), labelled: part(2) }
    }

    /// NaN without records.
    pub(super) fn accuracy(&self) -> f64 {
        self.right.iter().sum::<f64>() / self.labelled.iter().sum::<f64>()
    }

    pub(super) fn precision(&self, average: Average) -> f64 {
        self.average(average, |n| ratio(n.right, n.right + n.wrongly))
    }

    pub(super) fn recall(&self, average: Average) -> f64 {
        self.average(average, |n| ratio(n.right, n.right + n.missed))
    }

    pub(super) fn f1(&self, average: Average) -> f64 {
        self.average(average, |n| ratio(2.0 * n.right, 2.0 * n.right + n.wrongly + n.missed))
    }

    fn outcomes(&self) -> impl Iterator<Item = Outcomes> {
        let counts = self.right.iter().zip(&self.predicted).zip(&self.labelled);
        counts.map(|((&right, predicted), labelled)| Outcomes {
            right,
            wrongly: predicted - right,
            missed: labelled - right,
        })
    }

    fn average(&self, average: Average, value: impl Fn(Outcomes) -> f64) -> f64 {
        let mean = |weight: fn(Outcomes) -> f64| {
            let sum: f64 = self.outcomes().map(|n| value(n) * weight(n)).sum();
            ratio(sum, self.outcomes().map(weight).sum())
        };
        match average {
            Average::Class(class) => value(self.outcomes().nth(class).unwrap_or_default()),
            Average::Macro => mean(|n| f64::from(n.right + n.wrongly + n.missed > 0.0)),
            Average::Weighted => mean(|n| n.right + n.missed),
            Average::Micro => value(self.outcomes().fold(Outcomes::default(), |a, b| Outcomes {
                right: a.right + b.right,
                wrongly: a.wrongly + b.wrongly,
                missed: a.missed + b.missed,
            })),
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}
