//! Mixed precision: every case with its products rounded to f16, against the same graph in the reference.

use wgrad_core::case;
use wgrad_core::{AttentionOptions, DType, F32, Graph, I32, Mode, Op, Recording, Tensor, U32};
use wgrad_gpu::plan::mixed::mixed;
use wgrad_gpu::{Gpu, Precision};

use crate::cases::with_gradients;
use crate::compare::{DEVICES, compare};

fn halves(recording: &Recording) -> usize {
    recording.nodes.iter().filter(|node| node.spec.dtype == DType::F16).count()
}

#[test]
fn cases_with_products_agree_with_the_reference() {
    let only = std::env::var("WGRAD_CASE").unwrap_or_default();
    let (mut checked, mut failures) = (0, vec![]);
    for case in case::cases().iter().filter(|case| case.name.contains(&only)) {
        let (recording, environment, outputs) = with_gradients(case, 3);
        let has_product = recording.nodes.iter().any(|node| matches!(node.op, Op::Contract(_)));
        let (rounded, outputs) = mixed(&recording, &outputs);
        if !has_product || halves(&rounded) == halves(&recording) {
            continue;
        }
        for (name, gpu) in DEVICES.iter().take(3) {
            checked += 1;
            if let Err(message) = compare(gpu, &rounded, &environment, &outputs) {
                failures.push(format!("{} ({name}): {message}", case.name));
            }
        }
    }
    println!("{checked} runs compared");
    assert!(checked > 100 || !only.is_empty(), "hardly any case has products");
    assert!(failures.is_empty(), "{} of {checked} failed:\n{}", failures.len(), failures.join("\n"));
}

/// Neither forward nor backward, whatever is hidden, added or dropped.
#[test]
fn attention_keeps_no_matrix_of_scores() {
    const LENGTH: usize = 1024;
    let options: [fn(&Graph) -> AttentionOptions; 4] = [
        |_| AttentionOptions::new().causal(),
        |_| AttentionOptions::new().dropout(0.1),
        |g| AttentionOptions::new().hidden(&g.iota([1, LENGTH], 1, U32).ge(g.input("lengths", [1], U32))),
        // ALiBi (Press et al., 2022).
        |g| {
            let [row, column] = [0, 1].map(|axis| g.iota([LENGTH, LENGTH], axis, I32).cast(F32));
            AttentionOptions::new().causal().bias(&((column - row) * 0.0625))
        },
    ];
    let gpu = Gpu::new().expect("an adapter");
    for precision in [Precision::Full, Precision::MixedWhereSupported] {
        for (number, options) in options.iter().enumerate() {
            let program = gpu.compiler().precision(precision).compile(Mode::Train, |g| {
                let [q, k, v, cotangent] =
                    ["q", "k", "v", "cotangent"].map(|name| g.input(name, [1, LENGTH, 32], F32));
                let result = Tensor::scaled_dot_product_attention(&q, &k, &v, &options(g));
                let mut outputs = result.pull_back(&cotangent, &[&q, &k, &v]);
                outputs.push(result);
                outputs
            });
            let peak = program.expect("compiles").stats().peak_bytes;
            let halves = 2 * LENGTH * LENGTH;
            assert!(peak < halves as u64, "{number}, {precision:?}: {peak} bytes");
        }
    }
}
