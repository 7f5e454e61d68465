//! Metrics of predicted numbers.

use std::sync::Arc;

use wgrad_core::{F32, Tensor};

use super::{Finish, Metric, Total};

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
        Self { finish: Finish(Arc::new(move |total| squares.value(total).sqrt())), ..mean }
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
            return Self::mean(&errors);
        }
        let shape = [target.dim(0), 1, target.numel() / target.dim(0).max(1)];
        let columns = shape[2];
        let parts = [target, &errors].map(|values| values.cast(F32).reshape(shape));
        let values = Tensor::concat(&[&parts[0], &parts[1]], 1);
        // Squares in f64: targets far from zero would lose their variance in f32.
        let add = move |kept: &mut Vec<f64>, row: &[f64]| {
            kept.resize(4 * columns, 0.0);
            let (targets, errors) = row.split_at(columns);
            for (sums, (target, error)) in kept.chunks_exact_mut(4).zip(targets.iter().zip(errors)) {
                // Variances by Welford's recurrence (1962).
                sums[0] += 1.0;
                let before = target - sums[1];
                sums[1] += before / sums[0];
                sums[2] += before * (target - sums[1]);
                sums[3] += error * error;
            }
        };
        let value = move |total: &Total| {
            let of_column = |sums: &[f64]| match (sums[2], sums[3]) {
                (0.0, 0.0) => 1.0,
                (0.0, _) => 0.0,
                (variance, errors) => 1.0 - errors / variance,
            };
            total.values.chunks_exact(4).map(of_column).sum::<f64>() / (total.values.len() / 4) as f64
        };
        Self::of_rows(&values, add, value)
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
