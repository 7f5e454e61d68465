//! Runs one recording on the device under several configurations and compares with the reference.

use std::sync::LazyLock;

use wgrad_core::batch::Batch;
use wgrad_core::case::sensitivity;
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{NodeId, Recording, Vars};
use wgrad_gpu::{Gpu, Options, Shaping};

/// The configurations under which every graph must give the same values.
pub(crate) static DEVICES: LazyLock<Vec<(&str, Gpu)>> = LazyLock::new(|| {
    let open = |options: Options| {
        Gpu::with_options(options).expect("the tests need an adapter: on Debian, install mesa-vulkan-drivers")
    };
    let base = Options { poison: true, ..Options::default() };
    vec![
        ("fused", open(Options { shaping: Some(Shaping::software()), ..base })),
        (
            "fused, shaped for a GPU",
            open(Options { shaping: Some(Shaping::hardware()), checked: true, ..base }),
        ),
        ("unfused", open(Options { fuse: false, shaping: Some(Shaping::software()), checked: true, ..base })),
        ("fused, eight bindings", open(Options { bindings: Some(8), ..base })),
    ]
});

/// The largest error of the outputs relative to its tolerance, or what went wrong.
pub(crate) fn compare(
    gpu: &Gpu,
    recording: &Recording,
    environment: &Environment,
    outputs: &[NodeId],
) -> Result<f64, String> {
    let program =
        gpu.compile_recording(recording, outputs).map_err(|error| format!("does not compile: {error}"))?;
    let mut state = gpu.init(&Vars::new(), 0).map_err(|error| error.to_string())?;
    let batch = Batch::of_arrays(environment.iter().map(|(name, array)| (name.as_str(), array)));
    let run = program.run(&mut state, batch).map_err(|error| error.to_string())?;
    let exact = evaluate(recording, environment);
    let tolerances = sensitivity(recording, environment, outputs, 1);
    let mut worst = 0.0f64;
    for (position, (id, tolerance)) in outputs.iter().zip(&tolerances).enumerate() {
        let expected = &exact[id.index()];
        let found = run.get(position).map_err(|error| error.to_string())?;
        for (element, (&e, &f)) in expected.data.iter().zip(&found.data).enumerate() {
            let allowed = tolerance.data[element];
            if e == f || e.is_nan() && f.is_nan() {
                continue;
            }
            let ratio = (e - f).abs() / allowed;
            if ratio > 1.0 || ratio.is_nan() {
                return Err(format!(
                    "output {position} element {element}: expected {e}, found {f}, allowed error {allowed:e}\n{}",
                    program.explain()
                ));
            }
            worst = worst.max(ratio);
        }
    }
    Ok(worst)
}
