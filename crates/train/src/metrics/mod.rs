//! Metrics: what is measured beside the loss, computed on the device and added up exactly.
//!
//! A [`Metric`] is a few numbers for each record, which the device computes in the same step as the loss, a
//! rule by which the records of all batches add up to a [`Total`], and the value that follows from it.
//! Whatever the batches were, the value is that of the whole set; records that pad the last batch do not
//! count.

mod auroc;
mod classification;
mod confusion;
mod perplexity;
mod regression;
mod total;

use std::fmt;
use std::sync::Arc;

use wgrad_core::{Array, Tensor};

pub use classification::Confusion;
pub(crate) use classification::matrix;
pub use confusion::{Average, ConfusionMatrix};
pub use total::Total;

/// Something that is measured beside the loss: an [`Objective`](crate::Objective) names it.
///
/// A tensor alone converts: one number is the mean over its batch, a row for each record (\[n\], or more
/// axes) is averaged exactly.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, U32};
/// use wgrad_train::{Average, Confusion, Metric, Objective};
/// let g = Graph::new(Mode::Train);
/// let (logits, label) = (g.input("logits", [8, 10], F32), g.input("label", [8], U32));
/// let confusion = Confusion::new(&logits, &label);
/// let objective = Objective::new(logits.cross_entropy(&label))
///     .metric("accuracy", confusion.accuracy())
///     .metric("F1", confusion.f1(Average::Macro))
///     .metric("top 5", Metric::top_k(5, &logits, &label))
///     .metric("confidence", logits.softmax(1).max(1));
/// assert_eq!(objective.names(), ["accuracy", "F1", "top 5", "confidence"]);
/// ```
///
/// In a training loop of one's own:
///
/// ```no_run
/// # use wgrad_core::{F32, Mode, U32};
/// # use wgrad_gpu::Gpu;
/// # use wgrad_train::Metric;
/// # let (gpu, vars) = (Gpu::new()?, wgrad_core::Vars::new());
/// # let loader = wgrad_data::Loader::new(wgrad_data::digits(), 32);
/// # let mut state = gpu.init(&vars, 0)?;
/// let mut metric = None;
/// let program = gpu.compile(Mode::Eval, |g| {
///     let (image, label) = (g.input("image", [32, 1, 8, 8], F32), g.input("label", [32], U32));
///     let top = Metric::top_k(5, &image.flatten(1), &label);
///     [metric.insert(top).values().clone()]
/// })?;
/// let (metric, mut total) = (metric.unwrap(), Default::default());
/// for (index, batch) in loader.epoch(0).enumerate() {
///     let outputs = program.run(&mut state, batch?)?;
///     metric.add(&mut total, &outputs.get(0)?, loader.records(index));
/// }
/// println!("{}", metric.value(&total));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metric {
    pub(crate) values: Tensor,
    pub(crate) rule: Rule,
    pub(crate) finish: Finish,
}

type AddRow = dyn Fn(&mut Vec<f64>, &[f64]) + Send + Sync;

/// How the values of a batch enter a total.
#[derive(Clone)]
pub(crate) enum Rule {
    /// One number, a mean over the records of the batch.
    Mean,
    /// Row by row, along the first axis.
    Rows(Arc<AddRow>),
}

/// What follows from a total.
#[derive(Clone)]
pub(crate) struct Finish(Arc<dyn Fn(&Total) -> f64 + Send + Sync>);

impl Metric {
    /// The mean of a value: one number for the batch, itself a mean over its records, or a row for each
    /// record. A row may have more axes; their elements count alike.
    pub fn mean(values: &Tensor) -> Self {
        let mean = |total: &Total| total.values.first().map_or(f64::NAN, |sum| sum / total.rows as f64);
        if values.numel() == 1 {
            return Self { values: values.clone(), rule: Rule::Mean, finish: Finish(Arc::new(mean)) };
        }
        Self::of_rows(&means_of_rows(values), add_up, mean)
    }

    /// A metric of one's own. `values` has a row for each record along its first axis (or several rows for
    /// each, in order); `add` adds a row to what is kept of the rows before, at first nothing; `value` is
    /// what follows in the end.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// use wgrad_train::Metric;
    /// let g = Graph::new(Mode::Eval);
    /// let error = g.input("y", [8], F32) - g.input("target", [8], F32);
    /// let largest = Metric::of_rows(
    ///     &error.abs(),
    ///     |kept, row| *kept = vec![row[0].max(kept.first().copied().unwrap_or(0.0))],
    ///     |total| total.values.first().copied().unwrap_or(f64::NAN),
    /// );
    /// ```
    #[track_caller]
    pub fn of_rows(
        values: &Tensor,
        add: impl Fn(&mut Vec<f64>, &[f64]) + Send + Sync + 'static,
        value: impl Fn(&Total) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let values = match values.rank() {
            0 => values.fail("metric", "needs a row for each record, got one number for the batch"),
            _ => values.clone(),
        };
        Self { values, rule: Rule::Rows(Arc::new(add)), finish: Finish(Arc::new(value)) }
    }

    /// What the device computes: a program returns it beside the loss.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// Adds the values of a batch to a total. Only the first `rows` of them count: leave those out that pad
    /// the batch. Where the values are one number, it counts for as many records.
    pub fn add(&self, total: &mut Total, values: &Array, rows: usize) {
        self.rule.add(total, values, rows);
    }

    /// The value over everything in a total; NaN where that is nothing.
    pub fn value(&self, total: &Total) -> f64 {
        self.finish.value(total)
    }
}

impl From<Tensor> for Metric {
    #[track_caller]
    fn from(values: Tensor) -> Self {
        Self::mean(&values)
    }
}

impl From<&Tensor> for Metric {
    #[track_caller]
    fn from(values: &Tensor) -> Self {
        Self::mean(values)
    }
}

/// One number for each row: its mean.
fn means_of_rows(values: &Tensor) -> Tensor {
    if values.rank() > 1 { values.flatten(1).cast(wgrad_core::F32).mean(1) } else { values.clone() }
}

/// Adds rows up, column by column.
fn add_up(sums: &mut Vec<f64>, row: &[f64]) {
    sums.resize(row.len(), 0.0);
    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
}

impl Rule {
    pub(crate) fn add(&self, total: &mut Total, values: &Array, rows: usize) {
        match self {
            Self::Mean => add_up(&mut total.values, &[values.data.iter().sum::<f64>() * rows as f64]),
            Self::Rows(add) => {
                let width = values.data.len() / values.shape().first().copied().unwrap_or(1).max(1);
                let rows = values.data.chunks_exact(width.max(1)).take(rows);
                rows.for_each(|row| add(&mut total.values, row));
            }
        }
        total.rows += rows as u64;
    }

    /// Whether both are one rule, so that equal values have equal totals.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mean, Self::Mean) => true,
            (Self::Rows(a), Self::Rows(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Finish {
    pub(crate) fn value(&self, total: &Total) -> f64 {
        (self.0)(total)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Mean) { "Mean" } else { "Rows" })
    }
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finish")
    }
}
