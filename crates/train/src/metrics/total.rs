//! What is kept of the batches so far.

use serde::{Deserialize, Serialize};

use crate::checkpoint::number;

/// What a metric has added up: counts, sums, or whatever its rule keeps, in f64.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Total {
    /// What is kept of the rows, as the metric's rule says.
    #[serde(with = "number::list")]
    pub values: Vec<f64>,
    /// How many rows were added.
    pub rows: u64,
}
