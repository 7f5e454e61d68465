//! What is minimized, and what is measured beside it.

use wgrad_core::Tensor;

/// A loss and metrics over one batch, each a mean over its records.
///
/// A loss alone converts: an objective may be written `model.forward(x).cross_entropy(y)`.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, U32};
/// use wgrad_train::Objective;
/// let g = Graph::new(Mode::Train);
/// let (logits, label) = (g.input("logits", [8, 10], F32), g.input("label", [8], U32));
/// let objective = Objective::classification(&logits, &label).metric("confidence", logits.max(1).mean(..));
/// assert_eq!(objective.names(), ["accuracy", "confidence"]);
/// ```
#[derive(Clone, Debug)]
pub struct Objective {
    loss: Tensor,
    metrics: Vec<(String, Tensor)>,
}

impl Objective {
    /// Minimizes a loss: a float scalar.
    pub fn new(loss: Tensor) -> Self {
        Self { loss, metrics: Vec::new() }
    }

    /// Minimizes the cross-entropy of logits f32\[n, classes\] and labels u32\[n\], and measures the
    /// `accuracy`.
    #[track_caller]
    pub fn classification(logits: &Tensor, labels: &Tensor) -> Self {
        Self::new(logits.cross_entropy(labels)).metric("accuracy", logits.accuracy(labels))
    }

    /// Measures one more value: a scalar, a mean over the records of the batch. No gradient flows.
    #[track_caller]
    pub fn metric(mut self, name: &str, value: Tensor) -> Self {
        let value = match value.numel() {
            1 => value,
            _ => value.fail("metric", format!("`{name}` must be one number, got {}", value.spec())),
        };
        self.metrics.push((name.into(), value));
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

    /// The loss, then the metrics.
    pub(crate) fn outputs(&self) -> Vec<Tensor> {
        let metrics = self.metrics.iter().map(|(_, value)| value.clone());
        std::iter::once(self.loss.clone()).chain(metrics).collect()
    }
}

impl From<Tensor> for Objective {
    fn from(loss: Tensor) -> Self {
        Self::new(loss)
    }
}
