//! What a program prints about the steps of one model.

use std::fmt;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Model, Steps, digits, memory};

/// The training steps of one model in one framework.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The framework, its version, and what it runs on.
    pub framework: String,
    /// The model's name.
    pub model: String,
    /// Samples of a batch.
    pub samples: usize,
    /// The times.
    pub steps: Steps,
    /// The most memory the process has had resident, where known.
    pub memory_mib: Option<f64>,
    /// Bytes of all buffers that the framework holds on a device, where there is one and it says so.
    pub device_bytes: Option<u64>,
    /// What wgrad knows of its device; peers do not say.
    pub device: Option<Device>,
}

/// What a step does to the device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Compute dispatches of a step.
    pub dispatches: u64,
    /// Submissions of a step.
    pub submissions: u64,
    /// Median microseconds that the host spends in handing a step to the device, without any wait.
    pub host_us: f64,
    /// Bytes planned for intermediates.
    pub peak_bytes: u64,
    /// Bytes that no plan of these kernels could do without.
    pub lower_bound: u64,
    /// Floating-point operations of a step.
    pub flops: u64,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, planned) = (digits(self.host_us), digits(self.peak_bytes as f64 / 1e6));
        let of_bound = self.peak_bytes as f64 / self.lower_bound as f64;
        write!(
            f,
            "{} dispatches a step, {host} µs of the host, {planned} MB planned, {of_bound:.3} times the lower bound",
            self.dispatches
        )
    }
}

impl Report {
    /// Measures a model. The framework's own count of the model's numbers must be right: only equal work
    /// can be compared.
    pub fn measure(
        framework: &str,
        model: Model,
        parameters: usize,
        start: Instant,
        seconds: f64,
        step: impl FnMut(bool) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        if parameters != model.parameters() {
            let expected = model.parameters();
            return Err(format!("`{model}` has {parameters} parameters instead of {expected}").into());
        }
        let steps = Steps::measure(start, seconds, step)?;
        Ok(Self {
            framework: framework.into(),
            model: model.name().into(),
            samples: model.samples(),
            steps,
            memory_mib: memory::peak_mib(),
            device_bytes: None,
            device: None,
        })
    }
}

/// A report as a line of JSON.
pub fn line(report: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(report)?)
}

/// The report in a program's output: its last line that is one.
pub fn find<R: DeserializeOwned>(output: &str) -> Option<R> {
    output.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}
