//! What is minimized, and what is measured beside it.

use wgrad_core::{Mode, Tensor};

use crate::metrics::{Finish, Rule, matrix};
use crate::{Confusion, ConfusionMatrix, Metric, Total};

/// Up to so many classes, [`Objective::classification`] counts a confusion matrix: one that can be looked at.
const CLASSES_SHOWN: usize = 100;

/// A loss over one batch, the mean over its records, and metrics.
///
/// A loss alone converts: an objective may be written `model.forward(x).cross_entropy(y)`.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, U32};
/// use wgrad_train::{Metric, Objective};
/// let g = Graph::new(Mode::Train);
/// let (logits, label) = (g.input("logits", [8, 10], F32), g.input("label", [8], U32));
/// let objective = Objective::classification(&logits, &label)
///     .metric("top 3", Metric::top_k(3, &logits, &label))
///     .metric("confidence", logits.max(1).mean(..));
/// assert_eq!(objective.names(), ["accuracy", "top 3", "confidence"]);
/// ```
#[derive(Clone, Debug)]
pub struct Objective {
    loss: Tensor,
    metrics: Vec<(String, Metric)>,
    confusion: Option<Confusion>,
}

impl Objective {
    /// Minimizes a loss: a float scalar.
    pub fn new(loss: Tensor) -> Self {
        Self { loss, metrics: Vec::new(), confusion: None }
    }

    /// Minimizes the cross-entropy of logits f32\[n, classes, …\] and labels u32\[n, …\], and measures the
    /// `accuracy`; of up to a hundred classes the confusion matrix too.
    #[track_caller]
    pub fn classification(logits: &Tensor, labels: &Tensor) -> Self {
        let objective = Self::new(logits.cross_entropy(labels));
        if objective.loss.is_valid() && logits.dim(1) <= CLASSES_SHOWN {
            let confusion = Confusion::new(logits, labels);
            objective.metric("accuracy", confusion.accuracy()).confusion(&confusion)
        } else if objective.loss.is_valid() {
            objective.metric("accuracy", Metric::top_k(1, logits, labels))
        } else {
            objective.metric("accuracy", logits.accuracy(labels))
        }
    }

    /// Measures something, under a name. No gradient flows.
    #[track_caller]
    pub fn metric(mut self, name: &str, metric: impl Into<Metric>) -> Self {
        self.metrics.push((name.into(), metric.into()));
        self
    }

    /// Keeps the confusion matrix of each evaluation: the last is in the
    /// [`Report`](crate::Report::confusion). It is computed in evaluations alone.
    pub fn confusion(mut self, confusion: &Confusion) -> Self {
        self.confusion = Some(confusion.clone());
        self
    }

    /// The names of the metrics.
    pub fn names(&self) -> Vec<&str> {
        self.metrics.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The loss.
    pub fn loss(&self) -> &Tensor {
        &self.loss
    }

    /// What a program must return, and what follows from it. Fails where a metric has no row for each record.
    pub(crate) fn measures(&self, batch_size: usize) -> (Vec<Tensor>, Measures) {
        let mut outputs = vec![self.loss.clone()];
        let mut measures = Measures { rules: vec![], metrics: vec![], confusion: None };
        let mut total = |name: &str, metric: &Metric| {
            let Metric { values, rows, rule, .. } = metric;
            if let Some(rows) = rows.as_ref().filter(|rows| !rows.dim(0).is_multiple_of(batch_size)) {
                let message =
                    format!("`{name}` needs a row for each of {batch_size} records, got {}", rows.spec());
                rows.graph().located(rows.location(), || rows.fail("metric", message));
            }
            let is_this = |at: &usize| outputs[at + 1].id() == values.id() && measures.rules[*at].is(rule);
            (0..measures.rules.len()).find(is_this).unwrap_or_else(|| {
                outputs.push(values.clone());
                measures.rules.push(rule.clone());
                measures.rules.len() - 1
            })
        };
        let metrics: Vec<_> = self.metrics.iter().map(|(name, metric)| total(name, metric)).collect();
        // Of a training no matrix is reported, so none is counted.
        let confusion = self.confusion.as_ref().filter(|_| self.loss.graph().mode() == Mode::Eval);
        let confusion =
            confusion.map(|confusion| (total("confusion matrix", &confusion.matrix), confusion.classes));
        let finish = self.metrics.iter().zip(metrics);
        measures.metrics = finish.map(|((name, m), at)| (name.clone(), at, m.finish.clone())).collect();
        measures.confusion = confusion;
        (outputs, measures)
    }
}

impl From<Tensor> for Objective {
    fn from(loss: Tensor) -> Self {
        Self::new(loss)
    }
}

/// How the outputs of a program behind the loss become totals, and those become scores. Several metrics may share
/// a total.
#[derive(Clone)]
pub(crate) struct Measures {
    /// One for each output behind the loss.
    pub(crate) rules: Vec<Rule>,
    /// Name, number of the total, and what follows from it.
    metrics: Vec<(String, usize, Finish)>,
    /// The number of the total, and the number of classes.
    confusion: Option<(usize, usize)>,
}

impl Measures {
    pub(crate) fn names(&self) -> Vec<String> {
        self.metrics.iter().map(|(name, ..)| name.clone()).collect()
    }

    pub(crate) fn metrics(&self, totals: &[Total]) -> Vec<(String, f64)> {
        let value = |(name, at, finish): &(String, usize, Finish)| (name.clone(), finish.value(&totals[*at]));
        self.metrics.iter().map(value).collect()
    }

    pub(crate) fn confusion(&self, totals: &[Total]) -> Option<ConfusionMatrix> {
        let (at, classes) = self.confusion?;
        matrix(classes, &totals[at].values)
    }
}
