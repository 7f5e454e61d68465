//! Ten thousand steps: memory stays as it is. Takes a minute or two and prints what `docs/benchmarks.md` shows:
//!
//! ```text
//! cargo test -p wgrad-train --test long -- --ignored --nocapture
//! ```

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use wgrad_core::{Init, Tensor, Var, Vars};
use wgrad_data::digits;
use wgrad_gpu::{Counters, Gpu};
use wgrad_optim::Adam;
use wgrad_train::{Objective, Trainer};

const STEPS: usize = 10_000;
const BATCH: usize = 64;

/// A perceptron 64-128-10.
struct Perceptron([Var; 4]);

impl Perceptron {
    fn new(vars: &Vars) -> Self {
        let uniform = |scale: f64| Init::new(move |cx| (cx.random_bits(0).bits_to_uniform() - 0.5) * scale);
        let zero = || Init::constant(0.0);
        Self([
            vars.var("hidden.weight", [64, 128], uniform(0.3)),
            vars.var("hidden.bias", [128], zero()),
            vars.var("output.weight", [128, 10], uniform(0.2)),
            vars.var("output.bias", [10], zero()),
        ])
    }

    fn forward(&self, image: &Tensor) -> Tensor {
        let [hidden, hidden_bias, output, output_bias] = self.0.each_ref().map(|var| image.graph().var(var));
        let hidden = (image.flatten(1).matmul(&hidden) + hidden_bias).relu();
        hidden.matmul(&output) + output_bias
    }
}

/// What is held at a step.
struct Mark {
    step: u64,
    seconds: f64,
    counters: Counters,
    /// The process's memory in MiB, where the system tells it.
    resident: Option<f64>,
}

impl Mark {
    fn new(step: u64, start: Instant, gpu: &Gpu) -> Self {
        let (seconds, counters) = (start.elapsed().as_secs_f64(), gpu.counters());
        Self { step, seconds, counters, resident: resident() }
    }
}

/// The resident memory of this process in MiB, on Linux.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

#[test]
#[ignore = "takes minutes"]
fn memory_is_flat() {
    let gpu = Gpu::new().unwrap();
    let vars = Vars::new();
    let model = Perceptron::new(&vars);
    let (train, test) = digits().split(0.8, 0);
    let marks: Rc<RefCell<Vec<Mark>>> = Rc::default();
    let (start, sink, device) = (Instant::now(), marks.clone(), gpu.clone());
    let trainer = Trainer::new(&gpu, &vars, Adam::new(1e-4)).steps(STEPS).batch_size(BATCH).progress(false);
    let report = trainer
        .on_step(move |step| {
            if step.step.is_multiple_of(1000) {
                sink.borrow_mut().push(Mark::new(step.step, start, &device));
            }
            Ok(ControlFlow::Continue(()))
        })
        .fit(&train, &test, |x, y| Objective::classification(&model.forward(x), y))
        .unwrap();

    println!("{}\n{report}", gpu.info());
    println!("   step  seconds  device bytes  buffers  process MiB");
    for Mark { step, seconds, counters, resident } in marks.borrow().iter() {
        let Counters { bytes_allocated, buffers_created, .. } = counters;
        let resident = resident.map_or("unknown".into(), |mib| format!("{mib:.1}"));
        println!("{step:>7}  {seconds:>7.1}  {bytes_allocated:>12}  {buffers_created:>7}  {resident:>11}");
    }
    let timing = report.timing;
    let (train, steps) = (timing.train.as_secs_f64(), STEPS as f64);
    println!(
        "{:.0} samples/s, {:.3} ms/step, {:.1} µs/step on the host, {:.3} s of {train:.1} s stalled",
        steps * BATCH as f64 / train,
        train / steps * 1e3,
        timing.host.as_secs_f64() / steps * 1e6,
        timing.stalled.as_secs_f64(),
    );

    let marks = marks.borrow();
    let (first, last) = (&marks[0], &marks[marks.len() - 1]);
    assert_eq!((first.step, last.step), (1000, STEPS as u64));
    let held = |mark: &Mark| (mark.counters.buffers_created, mark.counters.bytes_allocated);
    assert_eq!(held(first), held(last));
    if let (Some(first), Some(last)) = (first.resident, last.resident) {
        assert!(last - first < 4.0, "{first} MiB became {last} MiB");
    }
    assert!(report.test().get("accuracy").unwrap() > 0.9, "{report}");
}
