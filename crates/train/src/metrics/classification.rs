//! Metrics of classifiers: the confusion matrix and what follows from it, top-k accuracy.

use wgrad_core::{F32, Tensor, U32};

use super::classes::ByClass;
use super::{Average, Combine, ConfusionMatrix, Metric};

/// The confusion matrix of a classifier, counted over all records, and the accuracy, precisions, recalls and F1
/// that follow from it.
///
/// These four share three counts for each class, which is all they need; the matrix, of classes² counts, is
/// computed where it is asked for ([`Confusion::value`], [`Objective::confusion`](crate::Objective::confusion)).
#[derive(Clone, Debug)]
pub struct Confusion {
    by_class: Metric,
    pub(crate) matrix: Metric,
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
        let (predicted, labels) = checked(classes, predicted, labels, ignored);
        if !labels.is_valid() {
            let broken = Metric::broken(&labels);
            return Self { by_class: broken.clone(), matrix: broken, classes };
        }
        let positions = Positions::new(classes, &predicted, &labels, ignored);
        let add = |total: &mut Vec<f64>, batch: &[f64]| Combine::Sum.add(total, batch);
        let counted = |counts: &Tensor, value: fn(&[f64]) -> f64| Metric {
            rows: Some(labels.clone()),
            ..Metric::of_batches(counts, add, value)
        };
        let [by_class, matrix] = labels.graph().full_precision(|| [positions.by_class(), positions.matrix()]);
        let by_class = counted(&by_class, |counts| ByClass::of(counts).accuracy());
        Self { by_class, matrix: counted(&matrix, |_| f64::NAN), classes }
    }

    /// The share of positions that were taken for what they are.
    pub fn accuracy(&self) -> Metric {
        self.by_class.clone()
    }

    /// [`ConfusionMatrix::precision`].
    pub fn precision(&self, average: Average) -> Metric {
        self.by_class.finished(move |counts| ByClass::of(counts).precision(average))
    }

    /// [`ConfusionMatrix::recall`].
    pub fn recall(&self, average: Average) -> Metric {
        self.by_class.finished(move |counts| ByClass::of(counts).recall(average))
    }

    /// [`ConfusionMatrix::f1`].
    pub fn f1(&self, average: Average) -> Metric {
        self.by_class.finished(move |counts| ByClass::of(counts).f1(average))
    }

    /// Any number that follows from the matrix. classes² counts are read back for each batch: 4 MB of a
    /// thousand classes.
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
        self.matrix.finished(move |counts| matrix(classes, counts).map_or(f64::NAN, |matrix| value(&matrix)))
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

/// The matrix of what was added up.
pub(crate) fn matrix(classes: usize, counts: &[f64]) -> Option<ConfusionMatrix> {
    ConfusionMatrix::new(classes, counts.iter().map(|&count| count as u64).collect())
}

/// Finds mistakes in predictions and labels.
#[track_caller]
fn checked(classes: usize, predicted: &Tensor, labels: &Tensor, ignored: Option<u32>) -> (Tensor, Tensor) {
    if !predicted.is_valid() || !labels.is_valid() {
        let broken = if predicted.is_valid() { labels } else { predicted };
        return (predicted.clone(), broken.clone());
    }
    let (got, known) = (predicted.spec(), labels.spec());
    let problem = if got.shape != known.shape || [got.dtype, known.dtype] != [U32; 2] || labels.rank() == 0 {
        format!("needs u32 labels {} [n, …], got {known}", got.shape)
    } else if classes == 0 || classes > u16::MAX as usize {
        format!("a matrix of {classes} classes; 1 to 65535 are possible")
    } else {
        // No bound lies above the last u32.
        let labels = match ignored.map_or(Some(0), |label| label.checked_add(1)) {
            Some(bound) => labels.require_below(bound.max(classes as u32)),
            None => labels.clone(),
        };
        return (predicted.clone(), labels);
    };
    (predicted.clone(), labels.fail("confusion", problem))
}

/// Which class each position has and is taken for, bool \[positions, classes\]; none where it does not count.
struct Positions {
    labelled: Tensor,
    predicted: Tensor,
}

impl Positions {
    fn new(classes: usize, predicted: &Tensor, labels: &Tensor, ignored: Option<u32>) -> Self {
        let graph = labels.graph();
        let (records, all) = (labels.dim(0), labels.numel());
        let counted =
            graph.counted(records).unsqueeze(1).expand([records, all / records.max(1)]).reshape([all]);
        let flat = labels.reshape([all]);
        let counted = match ignored {
            Some(label) => counted.and(&flat.ne(f64::from(label))),
            None => counted,
        };
        let class = graph.iota([all, classes], 1, U32);
        let is = |values: &Tensor| values.reshape([all, 1]).eq(&class).and(&counted.unsqueeze(1));
        Self { labelled: is(&flat), predicted: is(predicted) }
    }

    /// How many of each class are right, how many are taken for it, how many belong to it: \[3, classes\].
    fn by_class(&self) -> Tensor {
        let right = self.labelled.and(&self.predicted);
        Tensor::stack(&[&right, &self.predicted, &self.labelled].map(|which| which.cast(F32)).each_ref(), 0)
            .sum(1)
    }

    /// How many of each class are taken for each, \[classes, classes\]: a product, since it has every pair of
    /// classes as a sum over the positions.
    fn matrix(&self) -> Tensor {
        self.labelled.cast(F32).einsum(&self.predicted.cast(F32), "nl,np->lp")
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
}

#[cfg(test)]
mod tests {
    use wgrad_core::{Graph, Mode};

    use super::*;

    #[test]
    fn labels_are_bounded_by_classes_and_the_ignored_one() {
        for (ignored, bound) in
            [(None, Some(3)), (Some(1), Some(3)), (Some(7), Some(8)), (Some(u32::MAX), None)]
        {
            let graph = Graph::new(Mode::Eval);
            let labels = graph.input("label", [4], U32);
            let predicted = graph.input("x", [4, 3], F32).argmax(1);
            Confusion::of_predictions(3, &predicted, &labels, ignored);
            let bounds = graph.recording().bounds;
            let expected: Vec<_> = bound.into_iter().map(|bound| ("label".into(), bound)).collect();
            assert_eq!(bounds, expected);
        }
    }
}
