//! Metrics of classifiers: the confusion matrix and what follows from it, top-k accuracy, the area under
//! the ROC curve.

use std::sync::Arc;

use wgrad_core::{DType, F32, Tensor, U32};

use super::auroc::mean_area;
use super::{Average, ConfusionMatrix, Finish, Metric, Rule, Total};

/// The confusion matrix of a classifier, counted over all records: the accuracy, precisions, recalls and
/// F1 that follow from it are metrics that share its counts.
///
/// The device says for each record which of its cells it belongs to (or, where a record has more labels
/// than the matrix has cells, how many belong to each), so little is read back.
#[derive(Clone, Debug)]
pub struct Confusion {
    pub(crate) values: Tensor,
    pub(crate) rule: Rule,
    pub(crate) classes: usize,
}

impl Confusion {
    /// Of scores f32 \[n, classes, …\], the largest of which is the prediction (the first of equals), and
    /// labels u32 \[n, …\], which must be below the number of classes.
    #[track_caller]
    pub fn new(scores: &Tensor, labels: &Tensor) -> Self {
        Self::recorded(scores, labels, None)
    }

    /// [`Confusion::new`] without the positions that have a certain label (padding, unknown).
    #[track_caller]
    pub fn ignoring(label: u32, scores: &Tensor, labels: &Tensor) -> Self {
        Self::recorded(scores, labels, Some(label))
    }

    #[track_caller]
    fn recorded(scores: &Tensor, labels: &Tensor, ignored: Option<u32>) -> Self {
        let scores = match scores.rank() {
            0 | 1 => scores.fail("confusion", format!("needs scores [n, classes, …], got {}", scores.spec())),
            _ => scores.clone(),
        };
        Self::of_predictions(scores.dim(1), &scores.argmax(1), labels, ignored)
    }

    /// Of predicted classes and labels, both u32 \[n, …\] and below `classes`; positions with the ignored
    /// label, if one is given, do not count. So a classifier with one logit: `logits.gt(0.0).cast(U32)`, two
    /// classes.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, U32};
    /// use wgrad_train::{Average, Confusion};
    /// let g = Graph::new(Mode::Eval);
    /// let (logit, label) = (g.input("logit", [8], F32), g.input("label", [8], U32));
    /// let confusion = Confusion::of_predictions(2, &logit.gt(0.0).cast(U32), &label, None);
    /// let recall = confusion.recall(Average::Class(1));
    /// ```
    #[track_caller]
    pub fn of_predictions(classes: usize, predicted: &Tensor, labels: &Tensor, ignored: Option<u32>) -> Self {
        let cells = classes.saturating_mul(classes);
        let cell = cell(classes, predicted, labels, ignored);
        let [records, positions] = [cell.dim(0), cell.numel() / cell.dim(0).max(1)];
        if positions <= cells {
            let count = move |counts: &mut Vec<f64>, row: &[f64]| {
                counts.resize(cells, 0.0);
                let of = |cell: f64| (cell < cells as f64).then_some(cell as usize);
                row.iter().filter_map(|&cell| of(cell)).for_each(|cell| counts[cell] += 1.0);
            };
            return Self { values: cell, rule: Rule::Rows(Arc::new(count)), classes };
        }
        let cell = cell.reshape([records, positions]);
        let ones = cell.graph().ones([records, positions], F32);
        let values = ones.scatter_add(1, &cell, cells);
        Self { values, rule: Rule::Rows(Arc::new(super::add_up)), classes }
    }

    /// The share of positions that were taken for what they are.
    pub fn accuracy(&self) -> Metric {
        self.value(ConfusionMatrix::accuracy)
    }

    /// [`ConfusionMatrix::precision`].
    pub fn precision(&self, average: Average) -> Metric {
        self.value(move |matrix| matrix.precision(average))
    }

    /// [`ConfusionMatrix::recall`].
    pub fn recall(&self, average: Average) -> Metric {
        self.value(move |matrix| matrix.recall(average))
    }

    /// [`ConfusionMatrix::f1`].
    pub fn f1(&self, average: Average) -> Metric {
        self.value(move |matrix| matrix.f1(average))
    }

    /// Any number that follows from the matrix.
    ///
    /// ```
    /// # use wgrad_core::{F32, Graph, Mode, U32};
    /// # use wgrad_train::Confusion;
    /// # let g = Graph::new(Mode::Eval);
    /// # let confusion = Confusion::new(&g.input("x", [8, 3], F32), &g.input("label", [8], U32));
    /// let confused = confusion.value(|matrix| matrix.count(0, 1) as f64);
    /// ```
    pub fn value(&self, value: impl Fn(&ConfusionMatrix) -> f64 + Send + Sync + 'static) -> Metric {
        let classes = self.classes;
        let finish = move |total: &Total| matrix(classes, total).map_or(f64::NAN, |matrix| value(&matrix));
        Metric { values: self.values.clone(), rule: self.rule.clone(), finish: Finish(Arc::new(finish)) }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

/// The matrix of what was added up.
pub(crate) fn matrix(classes: usize, total: &Total) -> Option<ConfusionMatrix> {
    ConfusionMatrix::new(classes, total.values.iter().map(|&count| count as u64).collect())
}

/// Where in a matrix each position counts: label · classes + prediction, behind its end where it does not.
#[track_caller]
fn cell(classes: usize, predicted: &Tensor, labels: &Tensor, ignored: Option<u32>) -> Tensor {
    if !predicted.is_valid() || !labels.is_valid() {
        return if predicted.is_valid() { labels.clone() } else { predicted.clone() };
    }
    let (got, known) = (predicted.spec(), labels.spec());
    if got.shape != known.shape || [got.dtype, known.dtype] != [U32; 2] || labels.rank() == 0 {
        return labels.fail("confusion", format!("needs u32 labels {} [n, …], got {known}", got.shape));
    }
    if classes == 0 || classes > u16::MAX as usize {
        return labels.fail("confusion", format!("a matrix of {classes} classes; 1 to 65535 are possible"));
    }
    let beyond = ignored.map_or(0, |label| label.saturating_add(1));
    let labels = labels.require_below(beyond.max(classes as u32));
    let cell = &labels * classes as f64 + predicted;
    match ignored {
        // A label between the classes and the ignored one lies behind the matrix as well.
        Some(ignored) => {
            labels.eq(f64::from(ignored)).select(&cell.full_like((classes * classes) as f64), &cell)
        }
        None => cell,
    }
}

impl Metric {
    /// The share of records whose label is among the k largest of their scores: f32 \[n, classes, …\] and
    /// u32 \[n, …\]. Of equal scores the first come first, so k = 1 is the accuracy.
    #[track_caller]
    pub fn top_k(k: usize, scores: &Tensor, labels: &Tensor) -> Self {
        if !scores.is_valid() || !labels.is_valid() {
            return Self::mean(if scores.is_valid() { labels } else { scores });
        }
        let (known, rank) = (labels.spec(), scores.rank());
        let without_classes = || [&scores.shape()[..1], &scores.shape()[2..]].concat();
        if rank < 2 || known.dtype != U32 || known.shape[..] != without_classes()[..] {
            let message = format!(
                "needs scores [n, classes, …] and u32 labels [n, …], got {} and {known}",
                scores.spec()
            );
            return Self::mean(&scores.fail("top_k", message));
        }
        let classes = scores.dim(1);
        if k == 0 || k > classes {
            return Self::mean(&scores.fail("top_k", format!("k is {k}, of {classes} classes")));
        }
        let labels = labels.require_below(classes as u32).unsqueeze(1);
        let class = scores.graph().iota(scores.shape(), 1, U32);
        let own = class.eq(&labels).select(scores, &scores.zeros_like()).sum(1).unsqueeze(1);
        // Counting those behind the label's score, and not those before: no comparison holds with a NaN.
        let behind = scores.lt(&own).or(&scores.eq(&own).and(&class.gt(&labels)));
        let behind = behind.and(&class.ne(&labels)).cast(F32).sum(1);
        Self::mean(&behind.ge((classes - k) as f64).cast(F32))
    }

    /// The area under the receiver operating characteristic: the share of pairs of a positive and a
    /// negative record in which the positive has the higher score, ties counting half (Mann and Whitney,
    /// 1947). Exact: the scores of all records are read back and kept until the end of the pass.
    ///
    /// Scores f32 \[n\] (logits or probabilities) go with labels \[n\], positive where they are 1. Scores
    /// \[n, classes\] go with labels u32 \[n\]: the mean over the classes of each against the rest; they
    /// should be probabilities, since logits of different records do not compare. A class of which all or no
    /// records are is left out; NaN where that leaves none.
    #[track_caller]
    pub fn auroc(scores: &Tensor, labels: &Tensor) -> Self {
        if !scores.is_valid() || !labels.is_valid() {
            return Self::mean(if scores.is_valid() { labels } else { scores });
        }
        let (got, known) = (scores.spec(), labels.spec());
        let fits = matches!(scores.rank(), 1 | 2)
            && got.dtype.is_float()
            && known.shape[..] == got.shape[..1]
            && (known.dtype == U32 || scores.numel() == labels.numel());
        if !fits {
            let message = format!("needs scores [n] or [n, classes] and labels [n], got {got} and {known}");
            return Self::mean(&scores.fail("auroc", message));
        }
        let classes = scores.numel() / scores.dim(0).max(1);
        let labels = match known.dtype {
            DType::U32 => labels.require_below(classes.max(2) as u32),
            _ => labels.clone(),
        };
        let columns = [&scores.reshape([scores.dim(0), classes]).cast(F32), &labels.cast(F32).unsqueeze(1)];
        let keep = |kept: &mut Vec<f64>, row: &[f64]| kept.extend(row);
        Self::of_rows(&Tensor::concat(&columns, 1), keep, move |total| mean_area(classes, &total.values))
    }
}
