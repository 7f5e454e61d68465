//! What the benchmarks share: programs on values that stay the same from framework to framework, run many
//! times and waited for once.
//!
//! [`training`] holds the training steps and [`kernels`] single operations, [`Work`] runs a program. Submissions are timed from the first
//! call to the arrival of the last result, so that a figure is the time the device needs and not the way to
//! it and back.

pub mod chart;
pub mod growth;
pub mod kernels;
pub mod roofline;
pub mod trace;
pub mod training;
pub mod tune;

use std::sync::Arc;
use std::time::{Duration, Instant};

use wgrad::core::batch::{BatchError, Layout};
use wgrad::prelude::*;
use wgrad_measure::{Model, Values};

pub use training::Training;
pub use wgrad_measure::Error;

/// Batches that a training step sees in turn.
const BATCHES: u64 = 4;

/// A compiled program, the state it works on, and what it is fed.
pub struct Work {
    /// The program; its first output is a scalar.
    pub program: Program,
    /// The state.
    pub state: State,
    layout: Arc<Layout>,
    batches: Vec<Vec<Values>>,
    next: usize,
    /// How long each run took to hand over, until they are taken out.
    pub host: Vec<Duration>,
}

impl Work {
    /// Compiles `record`, whose first output is a scalar, and initializes the variables of `vars`. Inputs
    /// are filled by position: every batch holds as many values as the program has inputs.
    pub fn new<O: AsRef<[Tensor]>>(
        gpu: &Gpu,
        mode: Mode,
        vars: &Vars,
        record: impl FnOnce(&Graph) -> O,
        batches: Vec<Vec<Values>>,
    ) -> Result<Self, Error> {
        let program = gpu.compile(mode, record)?;
        let state = gpu.init(vars, 0)?;
        let field = |layout: Layout, (name, spec): &(Arc<str>, TensorSpec)| layout.field(name, spec.clone());
        let layout = Arc::new(program.inputs().iter().fold(Layout::new(), field));
        Ok(Self { program, state, layout, batches, next: 0, host: vec![] })
    }

    /// A training step of one of the five models.
    pub fn training(gpu: &Gpu, model: Model) -> Result<Self, Error> {
        let training = Training::of(model);
        let batch = |number| {
            let (input, target) = model.batch(number);
            vec![input, target]
        };
        let batches = (0..BATCHES).map(batch).collect();
        Self::new(gpu, Mode::Train, &training.vars, |graph| training.record(graph), batches)
    }

    /// Runs once, and returns the scalar if it is to be waited for.
    pub fn step(&mut self, wait: bool) -> Result<Option<f64>, Error> {
        let batch = self.batch()?;
        let start = Instant::now();
        let outputs = self.program.run(&mut self.state, batch)?;
        self.host.push(start.elapsed());
        Ok(if wait { Some(outputs.scalar(0)?) } else { None })
    }

    /// The time of `runs` runs, whose scalar is waited for every `every` runs and after the last.
    pub fn time(&mut self, runs: u64, every: u64) -> Result<Duration, Error> {
        let start = Instant::now();
        for run in 1..=runs {
            self.step(run % every == 0 || run == runs)?;
        }
        self.host.clear();
        Ok(start.elapsed())
    }

    /// The next batch, in staging memory, written as a loader would.
    pub fn batch(&mut self) -> Result<Batch, BatchError> {
        if self.batches.is_empty() {
            return Ok(Batch::new());
        }
        let mut memory = self.program.staging().allocate(&self.layout)?;
        for (field, values) in self.layout.fields().iter().zip(&self.batches[self.next]) {
            let bytes: &[u8] = match values {
                Values::F32(values) => bytemuck::cast_slice(values),
                Values::U32(values) => bytemuck::cast_slice(values),
            };
            memory.write(field.offset, bytes)?;
        }
        self.next = (self.next + 1) % self.batches.len();
        Ok(Batch { layout: self.layout.clone(), memory })
    }
}
