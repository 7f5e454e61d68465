//! What is kept of the batches so far.

use serde::{Deserialize, Serialize};

use crate::checkpoint::number;

/// What a metric keeps of the batches so far, in f64; at first nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Total {
    /// The batches' arrays, combined as the metric says.
    #[serde(with = "number::list")]
    pub values: Vec<f64>,
}
