//! Memory budgets: what does not fit is computed once more, with the same bits.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use wgrad::core::{NodeId, Recording};
use wgrad::gpu::{Error, Options};
use wgrad::nn::models::{Gpt, GptConfig, ResNet};
use wgrad::prelude::*;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// A training step: its variables, inputs and recording.
struct Step {
    vars: Vars,
    recording: Recording,
    outputs: Vec<NodeId>,
}

impl Step {
    fn of(vars: Vars, record: impl FnOnce(&Graph) -> Tensor) -> Self {
        let graph = Graph::new(Mode::Train);
        let loss = record(&graph);
        let step = graph.var(&Var::step());
        graph.assign(&Var::step(), &(&step + graph.scalar(1.0, U32)));
        Self { vars, recording: graph.recording(), outputs: vec![loss.id()] }
    }

    /// ResNet-18 on images of `size` × `size`, with momentum.
    fn resnet(batch: usize, size: usize) -> Self {
        let vars = Vars::new();
        let model = ResNet::resnet18(&vars, 10);
        Self::of(vars.clone(), |g| {
            let (x, y) = (g.input("x", [batch, 3, size, size], F32), g.input("y", [batch], U32));
            let loss = model.forward(&x).cross_entropy(&y);
            Sgd::new(0.01).momentum(0.9).minimize(&loss, &vars);
            loss
        })
    }

    /// A transformer with dropout, clipping and AdamW.
    fn gpt() -> Self {
        let vars = Vars::new();
        let sizes = GptConfig {
            vocabulary: 65,
            context: 32,
            layers: 2,
            heads: 2,
            width: 32,
            dropout: 0.1,
            ..GptConfig::default()
        };
        let model = Gpt::new(&vars, sizes);
        Self::of(vars.clone(), |g| {
            let (x, y) = (g.input("x", [4, 32], U32), g.input("y", [128], U32));
            let loss = model.forward(&x).reshape([128, 65]).cross_entropy(&y);
            AdamW::new(1e-3).clip_grad_norm(1.0).minimize(&loss, &vars);
            loss
        })
    }

    fn compile(&self, gpu: &Gpu, budget: Option<u64>) -> Result<Program, Error> {
        let compiler = budget.map_or(gpu.compiler(), |bytes| gpu.compiler().memory_budget(bytes));
        compiler.compile_recording(&self.recording, &self.outputs)
    }

    /// The losses and the state after a few steps, and the time of a step.
    fn train(&self, gpu: &Gpu, program: &Program, steps: usize) -> (Vec<f64>, State, Duration) {
        let mut state = gpu.init(&self.vars, 7).unwrap();
        let (mut losses, mut time) = (vec![], Duration::MAX);
        for number in 0..steps {
            let start = Instant::now();
            let outputs = program.run(&mut state, self.batch(number)).unwrap();
            losses.push(outputs.scalar(0).unwrap());
            time = time.min(start.elapsed());
        }
        (losses, state, time)
    }

    fn batch(&self, number: usize) -> Batch {
        let word = |i: usize| ((i + 31 * number) as u32).wrapping_mul(0x9e37_79b9) >> 8;
        let arrays = self.recording.inputs().into_iter().map(|(name, spec)| {
            let value = |i: usize| match spec.dtype {
                U32 => f64::from(word(i) % 10),
                _ => f64::from(word(i)) / f64::from(1 << 23) - 1.0,
            };
            let values = (0..spec.shape.numel()).map(value).collect();
            (name, Array::new(spec.dtype, &spec.shape, values))
        });
        let arrays: Vec<_> = arrays.collect();
        Batch::of_arrays(arrays.iter().map(|(name, array)| (&**name, array)))
    }
}

/// Trains with and without a budget of so many percent of the peak; every bit of the state must be the same.
fn same_bits_within(name: &str, step: &Step, gpu: &Gpu, percent: u64, steps: usize) {
    let whole = step.compile(gpu, None).unwrap();
    let peak = whole.stats().peak_bytes;
    let budget = peak * percent / 100;
    let start = Instant::now();
    let tight = step.compile(gpu, Some(budget)).unwrap();
    let compiling = start.elapsed();
    let recomputed = tight.stats().recomputed.expect("something is recomputed");
    assert!(tight.stats().peak_bytes <= budget);
    assert_eq!(tight.stats().dispatches, whole.stats().dispatches + recomputed.dispatches);
    assert!(tight.explain().contains("once more"), "{}", tight.explain());

    let (expected, before, time) = step.train(gpu, &whole, steps);
    let (losses, after, longer) = step.train(gpu, &tight, steps);
    assert_eq!(losses, expected);
    for variable in before.names() {
        let bits = |state: &State| -> Vec<u64> {
            state.read(&variable).unwrap().data.iter().map(|value| value.to_bits()).collect()
        };
        assert!(bits(&before) == bits(&after), "{name}: `{variable}` differs");
    }
    println!(
        "{name}: {} of {peak} bytes, {} of {} dispatches again, {:.1}% more flops, {:.1} instead of {:.1} ms a step, \
         compiled in {:.0} ms",
        tight.stats().peak_bytes,
        recomputed.dispatches,
        whole.stats().dispatches,
        100.0 * recomputed.flops as f64 / whole.stats().flops as f64,
        longer.as_secs_f64() * 1e3,
        time.as_secs_f64() * 1e3,
        compiling.as_secs_f64() * 1e3,
    );
}

#[test]
fn resnet18_at_half_of_its_peak() {
    same_bits_within("resnet18", &Step::resnet(4, 32), &GPU, 50, 3);
}

#[test]
fn a_transformer_at_seven_tenths_of_its_peak() {
    same_bits_within("gpt", &Step::gpt(), &GPU, 70, 3);
}

/// Whatever is read without having been written is NaN here.
#[test]
fn nothing_is_read_before_it_is_written_again() {
    let gpu = Gpu::with_options(Options { poison: true, ..Options::default() }).unwrap();
    same_bits_within("gpt, poisoned", &Step::gpt(), &gpu, 70, 2);
    let gpu = Gpu::with_options(Options { poison: true, fuse: false, ..Options::default() }).unwrap();
    same_bits_within("resnet18, unfused", &Step::resnet(2, 32), &gpu, 80, 2);
}

/// The least budget that the error names is one that works, and the largest tensors have lines.
#[test]
fn a_budget_that_is_too_small_says_what_would_do() {
    let step = Step::gpt();
    let error = step.compile(&GPU, Some(1000)).unwrap_err();
    println!("{error}");
    let Error::OverBudget { budget, least, largest } = error else { panic!("{error}") };
    assert_eq!(budget, 1000);
    assert!(largest.lines().count() >= 3 && largest.lines().all(|line| line.contains(".rs:")), "{largest}");
    let program = step.compile(&GPU, Some(least)).unwrap();
    assert!(program.stats().peak_bytes <= least);
    // Recomputing helps: it would not without.
    assert!(program.stats().recomputed.is_some());
}

/// A budget that holds without recomputing changes nothing.
#[test]
fn a_large_budget_costs_nothing() {
    let step = Step::gpt();
    let whole = step.compile(&GPU, None).unwrap();
    let same = step.compile(&GPU, Some(whole.stats().peak_bytes)).unwrap();
    assert_eq!(same.stats().recomputed, None);
    assert_eq!(same.explain(), whole.explain());
}

/// The figures of `docs/benchmarks.md`: `cargo test --release --test memory_budget -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes on a software adapter"]
fn figures() {
    for (batch, size) in [(8, 64), (4, 128)] {
        for percent in [75, 50] {
            let name = format!("resnet18, {batch} × 3 × {size} × {size}, {percent}%");
            same_bits_within(&name, &Step::resnet(batch, size), &GPU, percent, 3);
        }
    }
}
