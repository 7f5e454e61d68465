//! What the benchmarks share: running a program many times and waiting once.
//!
//! Submissions are timed from the first call to the arrival of the last result, so that a figure is
//! the time the device needs and not the way to it and back.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wgrad::core::batch::{BatchError, Layout};
use wgrad::prelude::*;

/// Why a benchmark could not run.
pub type Error = Box<dyn std::error::Error>;

/// A compiled program and the state it works on.
pub struct Work {
    program: Program,
    state: State,
    layout: Arc<Layout>,
}

impl Work {
    /// Compiles `record`, whose first output is a scalar, and initializes the variables of `vars`.
    pub fn new<O: AsRef<[Tensor]>>(
        gpu: &Gpu,
        mode: Mode,
        vars: &Vars,
        record: impl FnOnce(&Graph) -> O,
    ) -> Result<Self, Error> {
        let program = gpu.compile(mode, record)?;
        let state = gpu.init(vars, 0)?;
        let field = |layout: Layout, (name, spec): &(Arc<str>, TensorSpec)| layout.field(name, spec.clone());
        let layout = Arc::new(program.inputs().iter().fold(Layout::new(), field));
        Ok(Self { program, state, layout })
    }

    /// The time of `runs` runs, whose scalar is waited for every `every` runs and after the last.
    pub fn time(&mut self, runs: u64, every: u64) -> Result<Duration, Error> {
        let start = Instant::now();
        for run in 1..=runs {
            let outputs = self.program.run(&mut self.state, batch(&self.program, &self.layout)?)?;
            if run % every == 0 || run == runs {
                black_box(outputs.scalar(0)?);
            }
        }
        Ok(start.elapsed())
    }
}

/// A batch in staging memory, written as a loader would: every f32 is 0.5, every u32 is 1.
fn batch(program: &Program, layout: &Arc<Layout>) -> Result<Batch, BatchError> {
    if layout.fields().is_empty() {
        return Ok(Batch::new());
    }
    let mut memory = program.staging().allocate(layout)?;
    for field in layout.fields() {
        let word = if field.spec.dtype == F32 { 0.5f32.to_bits() } else { 1 };
        memory.write(field.offset, &word.to_ne_bytes().repeat(field.spec.shape.numel()))?;
    }
    Ok(Batch { layout: layout.clone(), memory })
}
