//! The confusion matrix, and what follows from it: precision, recall and F1.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::classes::ByClass;

/// How many records of each class were taken for which.
///
/// Precision is TP/(TP + FP), recall TP/(TP + FN), F1 their harmonic mean 2·TP/(2·TP + FP + FN). Where a
/// denominator is zero the value is 0 (scikit-learn's `zero_division=0`).
///
/// ```
/// use wgrad_train::{Average, ConfusionMatrix};
/// // Rows are true classes, columns predictions: three of the first class were right, one was not.
/// let matrix = ConfusionMatrix::new(2, vec![3, 1, 2, 4]).unwrap();
/// assert_eq!(matrix.count(0, 1), 1);
/// assert_eq!(matrix.accuracy(), 0.7);
/// assert_eq!(matrix.recall(Average::Class(0)), 0.75);
/// assert_eq!(matrix.precision(Average::Class(0)), 0.6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

/// How the values of several classes become one (scikit-learn's `average`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The mean over the classes that occur, as labels or as predictions.
    Macro,
    /// From the sums of TP, FP and FN over all classes. With one label a record, that is the accuracy.
    Micro,
    /// The mean over the classes, weighted by how many records belong to each.
    Weighted,
    /// One class alone: 1 is the positive class of two.
    Class(usize),
}

impl ConfusionMatrix {
    /// A matrix from its counts, row by row: `counts[label · classes + predicted]`. `None` where their number
    /// is not the square of the classes'.
    pub fn new(classes: usize, counts: Vec<u64>) -> Option<Self> {
        (classes.checked_mul(classes) == Some(counts.len())).then_some(Self { classes, counts })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All counts, row by row: a row for each label, a column for each prediction.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many records with a label were taken for a class; 0 for a class that does not exist.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        let exists = label < self.classes && predicted < self.classes;
        if exists { self.counts[label * self.classes + predicted] } else { 0 }
    }

    /// The number of all records.
    pub fn total(&self) -> u64 {
        sum(self.counts.iter().copied())
    }

    /// How many records have a label.
    pub fn support(&self, label: usize) -> u64 {
        sum((0..self.classes).map(|predicted| self.count(label, predicted)))
    }

    /// The share of records that were taken for what they are; NaN without records.
    pub fn accuracy(&self) -> f64 {
        self.by_class(0..self.classes).accuracy()
    }

    /// How many of the records that were taken for a class belong to it.
    pub fn precision(&self, average: Average) -> f64 {
        self.rate(average, ByClass::precision)
    }

    /// How many of the records that belong to a class were taken for it.
    pub fn recall(&self, average: Average) -> f64 {
        self.rate(average, ByClass::recall)
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(&self, average: Average) -> f64 {
        self.rate(average, ByClass::f1)
    }

    /// Of one class, only that one is counted: a table asks for each.
    fn rate(&self, average: Average, rate: fn(&ByClass, Average) -> f64) -> f64 {
        match average {
            Average::Class(class) if class < self.classes => {
                rate(&self.by_class(class..class + 1), Average::Class(0))
            }
            _ => rate(&self.by_class(0..self.classes), average),
        }
    }

    fn by_class(&self, classes: Range<usize>) -> ByClass {
        let each = |count: &dyn Fn(usize) -> u64| classes.clone().map(|class| count(class) as f64).collect();
        ByClass {
            right: each(&|class| self.count(class, class)),
            predicted: each(&|class| sum((0..self.classes).map(|label| self.count(label, class)))),
            labelled: each(&|class| self.support(class)),
        }
    }
}

/// Counts may come from anywhere; they do not overflow.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// A table: a row for each label, then its recall; precisions in the last row.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.counts.iter().copied().max().unwrap_or(0).max(self.classes as u64);
        let width = largest.to_string().len().max(5) + 1;
        write!(f, "{:>9}", "label")?;
        (0..self.classes).try_for_each(|class| write!(f, "{class:>width$}"))?;
        writeln!(f, "   recall")?;
        for label in 0..self.classes {
            write!(f, "{label:>9}")?;
            (0..self.classes).try_for_each(|class| write!(f, "{:>width$}", self.count(label, class)))?;
            writeln!(f, "{:>9.3}", self.recall(Average::Class(label)))?;
        }
        write!(f, "precision")?;
        (0..self.classes)
            .try_for_each(|class| write!(f, "{:>width$.3}", self.precision(Average::Class(class))))
    }
}

/// How a matrix lies in a file: rows.
#[derive(Serialize, Deserialize)]
struct Stored(Vec<Vec<u64>>);

impl From<ConfusionMatrix> for Stored {
    fn from(matrix: ConfusionMatrix) -> Self {
        Self(matrix.counts.chunks(matrix.classes.max(1)).map(<[u64]>::to_vec).collect())
    }
}

impl TryFrom<Stored> for ConfusionMatrix {
    type Error = String;

    fn try_from(Stored(rows): Stored) -> Result<Self, String> {
        let classes = rows.len();
        match rows.iter().find(|row| row.len() != classes) {
            Some(row) => Err(format!("a confusion matrix of {classes} rows has a row of {}", row.len())),
            None => Ok(Self { classes, counts: rows.concat() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From labels [0, 0, 0, 1, 1, 2, 2, 2, 2, 0] and predictions [0, 1, 0, 1, 2, 2, 2, 0, 2, 4] over five
    /// classes: class 3 does not occur, class 4 only as a prediction.
    fn matrix() -> ConfusionMatrix {
        let mut counts = vec![0; 25];
        let pairs = [(0, 0), (0, 1), (0, 0), (1, 1), (1, 2), (2, 2), (2, 2), (2, 0), (2, 2), (0, 4)];
        pairs.iter().for_each(|(label, predicted)| counts[label * 5 + predicted] += 1);
        ConfusionMatrix::new(5, counts).unwrap()
    }

    /// What scikit-learn's `precision_recall_fscore_support` says, with `zero_division=0`.
    #[test]
    fn averages_are_those_of_scikit_learn() {
        let matrix = matrix();
        let values = |average| [matrix.precision(average), matrix.recall(average), matrix.f1(average)];
        let close = |got: [f64; 3], expected: [f64; 3]| {
            let near = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(near, "{got:?} {expected:?}");
        };
        close(values(Average::Class(0)), [2.0 / 3.0, 0.5, 4.0 / 7.0]);
        close(values(Average::Class(1)), [0.5, 0.5, 0.5]);
        close(values(Average::Class(2)), [0.75, 0.75, 0.75]);
        close(values(Average::Class(3)), [0.0, 0.0, 0.0]);
        close(values(Average::Class(4)), [0.0, 0.0, 0.0]);
        close(values(Average::Macro), [0.479_166_666_666_666_63, 0.4375, 0.455_357_142_857_142_9]);
        close(values(Average::Micro), [0.6, 0.6, 0.6]);
        close(values(Average::Weighted), [0.666_666_666_666_666_6, 0.6, 0.628_571_428_571_428_6]);
        assert_eq!(matrix.accuracy(), 0.6);
        assert_eq!((matrix.support(0), matrix.support(3), matrix.total()), (4, 0, 10));
    }

    #[test]
    fn a_file_holds_rows() {
        let matrix = ConfusionMatrix::new(2, vec![3, 1, 2, 4]).unwrap();
        let text = serde_json::to_string(&matrix).unwrap();
        assert_eq!(text, "[[3,1],[2,4]]");
        assert_eq!(serde_json::from_str::<ConfusionMatrix>(&text).unwrap(), matrix);
        assert!(serde_json::from_str::<ConfusionMatrix>("[[1,2],[3]]").is_err());
        assert!(ConfusionMatrix::new(2, vec![1, 2, 3]).is_none());
    }

    #[test]
    fn nothing_counted_is_nothing_known() {
        let empty = ConfusionMatrix::new(2, vec![0; 4]).unwrap();
        assert!(empty.accuracy().is_nan());
        assert_eq!(empty.f1(Average::Macro), 0.0);
        assert_eq!(empty.precision(Average::Class(7)), 0.0);
    }
}
