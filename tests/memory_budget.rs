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

    /// A small transformer with dropout, clipping and AdamW.
    fn gpt() -> Self {
        let sizes =
            GptConfig { context: 32, layers: 2, heads: 2, width: 32, dropout: 0.1, ..GptConfig::default() };
        Self::transformer(4, sizes, |optimizer| optimizer.clip_grad_norm(1.0))
    }

    /// A transformer over 65 tokens.
    fn transformer(batch: usize, sizes: GptConfig, change: impl FnOnce(AdamW) -> AdamW) -> Self {
        let vars = Vars::new();
        let sizes = GptConfig { vocabulary: 65, ..sizes };
        let (context, model) = (sizes.context, Gpt::new(&vars, sizes));
        Self::of(vars.clone(), |g| {
            let (x, y) = (g.input("x", [batch, context], U32), g.input("y", [batch * context], U32));
            let loss = model.forward(&x).reshape([batch * context, 65]).cross_entropy(&y);
            change(AdamW::new(1e-3)).minimize(&loss, &vars);
            loss
        })
    }

    /// Two convolutions, pooling and two layers, with Adam.
    fn cnn(batch: usize) -> Self {
        let vars = Vars::new();
        let conv = |name, from, to| Conv2dConfig::new(from, to, 3).padding(1).build(vars.sub(name));
        let (conv1, conv2) = (conv("conv1", 1, 32), conv("conv2", 32, 64));
        let (fc1, fc2) = (Linear::new(vars.sub("fc1"), 3136, 128), Linear::new(vars.sub("fc2"), 128, 10));
        Self::of(vars.clone(), |g| {
            let (x, y) = (g.input("x", [batch, 1, 28, 28], F32), g.input("y", [batch], U32));
            let x = conv2.forward(&conv1.forward(&x).relu().max_pool2d(2)).relu().max_pool2d(2);
            let loss = fc2.forward(&fc1.forward(&x.flatten(1)).relu()).cross_entropy(&y);
            Adam::new(1e-3).minimize(&loss, &vars);
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
    // Kernels that share a dispatch otherwise run by themselves.
    assert!(tight.stats().dispatches >= whole.stats().dispatches + recomputed.dispatches);
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
    same_bits_within("resnet18", &Step::resnet(8, 64), &GPU, 50, 3);
}

#[test]
fn a_transformer_at_seven_tenths_of_its_peak() {
    same_bits_within("gpt", &Step::gpt(), &GPU, 70, 3);
}

/// A user's kernel finds its operands, and leaves its result, where they are at that moment.
#[test]
fn a_users_kernel_runs_again() {
    let vars = Vars::new();
    // Of different sizes, so that a result which is computed again does not happen to lie where it lay before.
    let widths = [64, 160, 96, 224, 128, 32, 192, 64];
    let layers: Vec<Linear> = (1..8).map(|i| Linear::new(vars.sub(i), widths[i - 1], widths[i])).collect();
    let source = "fn squash(i: u32) -> f32 { return x0[i] / (1.0 + abs(x0[i])); }";
    let squash =
        CustomOp::new("squash", |x| &x[0] / (x[0].abs() + 1.0)).with_kernel(WgslKernel::per_element(source));
    let step = Step::of(vars.clone(), |g| {
        let x = g.input("x", [256, 64], F32);
        let loss = layers.iter().fold(x, |x, layer| squash.apply(&[&layer.forward(&x)])).square().mean(..);
        Sgd::new(0.1).minimize(&loss, &vars);
        loss
    });
    for percent in [80, 60, 50] {
        same_bits_within("perceptron", &step, &GPU, percent, 3);
    }
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

/// The figures of `docs/benchmarks.md`: `cargo test --test memory_budget -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute on a software adapter"]
fn figures() {
    let sizes = GptConfig { context: 128, layers: 4, heads: 4, width: 128, ..GptConfig::default() };
    let steps = [
        ("resnet18, 8×3×64×64", Step::resnet(8, 64), [75, 50]),
        ("resnet18, 2×3×224×224", Step::resnet(2, 224), [75, 50]),
        ("cnn, 64×1×28×28", Step::cnn(64), [90, 80]),
        ("gpt, 16×128 tokens", Step::transformer(16, sizes, |optimizer| optimizer), [70, 50]),
    ];
    for (name, step, percents) in steps {
        let peak = step.compile(&GPU, None).unwrap().stats().peak_bytes;
        if let Err(Error::OverBudget { least, .. }) = step.compile(&GPU, Some(1)) {
            println!("{name}: {:.0}% at least", 100.0 * least as f64 / peak as f64);
        }
        for percent in percents {
            match step.compile(&GPU, Some(peak * percent / 100)) {
                Ok(_) => same_bits_within(&format!("{name}, {percent}%"), &step, &GPU, percent, 4),
                Err(error) => println!("{name}, {percent}%: {error}"),
            }
        }
    }
}
