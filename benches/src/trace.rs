//! A step's kernels on a time line, in the format of Chrome's tracing page and of Perfetto ("Trace Event
//! Format"): complete events, times in microseconds.

use serde_json::{Value, json};
use wgrad::prelude::*;
use wgrad_measure::Model;

use crate::{Error, Work};

/// The third step of each model, its kernels timed by the device; a process of the trace is a model.
pub fn trace(models: &[Model]) -> Result<String, Error> {
    let gpu = Gpu::new()?;
    let mut events = vec![];
    for (process, &model) in models.iter().enumerate() {
        events.push(json!({
            "name": "process_name", "ph": "M", "pid": process, "args": { "name": model.name() },
        }));
        let mut work = Work::training(&gpu, model)?;
        work.time(2, 1)?;
        let batch = work.batch()?;
        let kernels = work.program.profile(&mut work.state, batch)?;
        let event = |(number, kernel): (usize, &wgrad::gpu::KernelTime)| -> Value {
            json!({
                "name": format!("k{number}: {}", kernel.label), "ph": "X", "pid": process, "tid": 0,
                "ts": kernel.start / 1e3, "dur": kernel.duration / 1e3,
                "args": {
                    "GFLOP/s": kernel.flops as f64 / kernel.duration,
                    "GB/s": kernel.bytes as f64 / kernel.duration,
                },
            })
        };
        events.extend(kernels.iter().enumerate().map(event));
    }
    Ok(json!({ "traceEvents": events, "otherData": { "adapter": gpu.info().to_string() } }).to_string())
}
