//! Metrics: what is measured beside the loss, computed on the device.
//!
//! A [`Metric`] is a small array for each batch, whose size does not depend on the batch's: sums, counts, a
//! histogram. The device computes it in the same step as the loss, and leaves out the records that pad a batch.
//! The host combines the arrays of all batches to a [`Total`], in f64, and the value follows from that: it is
//! the value of the whole set, whatever the batches were.

mod auroc;
mod classes;
mod classification;
mod combine;
mod confusion;
mod perplexity;
mod regression;
mod total;

use std::fmt;
use std::sync::Arc;

use wgrad_core::{Array, F32, Tensor};

pub use classification::Confusion;
pub(crate) use classification::matrix;
pub use combine::Combine;
pub(crate) use combine::Rule;
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
/// In a training loop of one's own, where the loader's batches say which of their records count
/// ([`RECORDS`](wgrad_core::batch::RECORDS)):
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
/// for batch in loader.epoch(0) {
///     let outputs = program.run(&mut state, batch?)?;
///     metric.add(&mut total, &outputs.get(0)?);
/// }
/// println!("{}", metric.value(&total));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metric {
    pub(crate) values: Tensor,
    /// What the values were computed from, if that has a row for each record.
    pub(crate) rows: Option<Tensor>,
    pub(crate) rule: Rule,
    pub(crate) finish: Finish,
}

type Value = dyn Fn(&[f64]) -> f64 + Send + Sync;

/// What follows from a total.
#[derive(Clone)]
pub(crate) struct Finish(Arc<Value>);

impl Metric {
    /// The mean of a value: one number for the batch, itself a mean over its records, or a row for each
    /// record. A row may have more axes; their elements count alike.
    #[track_caller]
    pub fn mean(values: &Tensor) -> Self {
        let mean = |total: &[f64]| match total {
            [sum, count] => sum / count,
            _ => f64::NAN,
        };
        if !values.is_valid() {
            return Self::broken(values);
        }
        let (graph, values) = (values.graph(), values.cast(F32));
        if values.numel() == 1 {
            let records = graph.records();
            let weighted = Tensor::stack(&[&(values.reshape([]) * &records), &records], 0);
            return Self::of_batches(&weighted, |total, batch| Combine::Sum.add(total, batch), mean);
        }
        let means = if values.rank() > 1 { values.flatten(1).mean(1) } else { values.clone() };
        let summed = Self::of_rows(&Tensor::stack(&[&means, &means.ones_like()], 1), Combine::Sum, mean);
        Self { rows: Some(values), ..summed }
    }

    /// A metric of one's own: `rows` \[n, …\] has a row for each record along its first axis (or several rows
    /// for each, in order), which the device combines to one, without those that pad the batch; the rows of all
    /// batches are combined alike, and `value` is what follows in the end. Without any records it is NaN.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, Tensor};
    /// use wgrad_train::{Combine, Metric};
    /// let g = Graph::new(Mode::Eval);
    /// let (y, target) = (g.input("y", [8], F32), g.input("target", [8], F32));
    /// let largest = Metric::of_rows(&(&y - &target).abs(), Combine::Max, |largest| largest[0]);
    /// // Symmetric mean absolute percentage error, of the sums.
    /// let parts = Tensor::stack(&[&(&y - &target).abs(), &(y.abs() + target.abs())], 1);
    /// let smape = Metric::of_rows(&parts, Combine::Sum, |sums| 200.0 * sums[0] / sums[1]);
    /// ```
    #[track_caller]
    pub fn of_rows(
        rows: &Tensor,
        combine: Combine,
        value: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        if rows.is_valid() && rows.rank() == 0 {
            return Self::broken(
                &rows.fail("metric", "needs a row for each record, got one number for the batch"),
            );
        }
        let values = rows.graph().full_precision(|| combine.rows(rows));
        let add = move |total: &mut Vec<f64>, batch: &[f64]| combine.add(total, batch);
        Self { rows: Some(rows.clone()), ..Self::of_batches(&values, add, value) }
    }

    /// A metric of one's own, of any array for each batch: a histogram, or moments, which no [`Combine`] joins.
    /// `add` adds the array of a batch to what is kept of those before, at first nothing; `value` is what follows
    /// in the end, NaN where nothing is kept. [`Graph::counted`](wgrad_core::Graph::counted) says which rows of a
    /// batch to leave out.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// use wgrad_train::Metric;
    /// let g = Graph::new(Mode::Eval);
    /// let error = g.input("error", [64], F32).abs();
    /// let counting = g.counted(64).select(&error, &error.zeros_like());
    /// // The largest of a batch's errors, and of those the mean.
    /// let value = |kept: &[f64]| kept.iter().sum::<f64>() / kept.len() as f64;
    /// let largest = Metric::of_batches(&counting.max(0), |kept, batch| kept.extend(batch), value);
    /// ```
    pub fn of_batches(
        values: &Tensor,
        add: impl Fn(&mut Vec<f64>, &[f64]) + Send + Sync + 'static,
        value: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self { values: values.clone(), rows: None, rule: Rule::new(add), finish: Finish(Arc::new(value)) }
    }

    /// What stands where recording failed.
    fn broken(values: &Tensor) -> Self {
        Self::of_batches(values, |_, _| {}, |_| f64::NAN)
    }

    /// Another value of the same total.
    fn finished(&self, value: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> Self {
        Self { finish: Finish(Arc::new(value)), ..self.clone() }
    }

    /// What the device computes for a batch: a program returns it beside the loss.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// Adds the values of a batch to a total.
    pub fn add(&self, total: &mut Total, values: &Array) {
        self.rule.add(&mut total.values, &values.data);
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

impl Finish {
    pub(crate) fn value(&self, total: &Total) -> f64 {
        if total.values.is_empty() { f64::NAN } else { (self.0)(&total.values) }
    }
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finish")
    }
}
