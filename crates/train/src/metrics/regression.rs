//! Metrics of predicted numbers.

use wgrad_core::{F32, Tensor};

use super::{Combine, Metric};

impl Metric {
    /// The mean squared error of predictions and targets of one shape, \[n, …\].
    #[track_caller]
    pub fn mse(predicted: &Tensor, target: &Tensor) -> Self {
        Self::mean(&errors("mse", predicted, target).square())
    }

    /// The root of the mean squared error over all records, in the target's units.
    #[track_caller]
    pub fn rmse(predicted: &Tensor, target: &Tensor) -> Self {
        let mean = Self::mse(predicted, target);
        let squares = mean.finish.clone();
        mean.finished(move |total| (squares.0)(total).sqrt())
    }

    /// The mean absolute error of predictions and targets of one shape, \[n, …\].
    #[track_caller]
    pub fn mae(predicted: &Tensor, target: &Tensor) -> Self {
        Self::mean(&errors("mae", predicted, target).abs())
    }

    /// The coefficient of determination R² = 1 − Σ(y − ŷ)²/Σ(y − ȳ)² of predictions and targets of one
    /// shape \[n\], or \[n, …\], where it is the mean over the columns (scikit-learn's `r2_score`). A constant
    /// target that is predicted exactly has 1, another prediction of it 0.
    #[track_caller]
    pub fn r2(predicted: &Tensor, target: &Tensor) -> Self {
        let errors = errors("r2", predicted, target);
        if !errors.is_valid() {
            return Self::broken(&errors);
        }
        let shape = [target.dim(0), target.numel() / target.dim(0).max(1)];
        let [target, errors] = [target, &errors].map(|values| values.cast(F32).reshape(shape));
        let moments = target.graph().full_precision(|| moments(&target, &errors));
        let value = |total: &[f64]| {
            let columns: Vec<f64> = total.chunks_exact(4).map(determination).collect();
            columns.iter().sum::<f64>() / columns.len() as f64
        };
        Self { rows: Some(target), ..Self::of_batches(&moments, merge, value) }
    }
}

/// For each column of \[n, columns\] a pivot within the batch's targets, and behind it Σ1, Σd, Σd² and Σe² over
/// the rows that count, d being a target's distance from the pivot: \[5, columns\]. About zero, squares of targets
/// far from it would lose their variance in f32 (Chan, Golub and LeVeque, 1983).
fn moments(target: &Tensor, errors: &Tensor) -> Tensor {
    // Of equal targets exactly their value, and so no variance.
    let first = target.slice(0, 0..target.dim(0).min(1));
    let pivot = &first + (target - &first).mean(0).unsqueeze(0);
    let distance = target - &pivot;
    let rows = Tensor::stack(&[&distance.ones_like(), &distance, &distance.square(), &errors.square()], 1);
    Tensor::concat(&[&pivot, &Combine::Sum.rows(&rows)], 0)
}

/// Adds the moments of a batch to those of the batches before: for each column the number of targets, their mean,
/// their squared distances from it, and the squared errors.
fn merge(total: &mut Vec<f64>, batch: &[f64]) {
    let columns = batch.len() / 5;
    total.resize(4 * columns, 0.0);
    for (column, kept) in total.chunks_exact_mut(4).enumerate() {
        let [pivot, n, d, squares, errors] = [0, 1, 2, 3, 4].map(|part| batch[part * columns + column]);
        if n == 0.0 {
            continue;
        }
        let (before, apart) = (kept[0], pivot + d / n - kept[1]);
        kept[0] += n;
        kept[1] += apart * n / kept[0];
        kept[2] += squares - d * d / n + apart * apart * before * n / kept[0];
        kept[3] += errors;
    }
}

/// R² of one column.
fn determination(sums: &[f64]) -> f64 {
    match (sums[2], sums[3]) {
        (0.0, 0.0) => 1.0,
        (0.0, _) => 0.0,
        (variance, errors) => 1.0 - errors / variance,
    }
}

/// Prediction minus target, in one shape with a row for each record.
#[track_caller]
fn errors(operation: &str, predicted: &Tensor, target: &Tensor) -> Tensor {
    if !predicted.is_valid() || !target.is_valid() {
        return if predicted.is_valid() { target.clone() } else { predicted.clone() };
    }
    if predicted.spec() != target.spec() || predicted.rank() == 0 {
        let message = format!("needs one shape [n, …], got {} and {}", predicted.spec(), target.spec());
        return predicted.fail(operation, message);
    }
    predicted - target
}
