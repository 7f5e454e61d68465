//! Whether a device computes what an operation's definition says: cases run on the GPU, forward and backward, against
//! the f64 reference. The library's own operations are tested so; whoever writes a kernel tests theirs.

use wgrad_core::batch::Batch;
use wgrad_core::case::{Case, Fill, Operand, fill, sensitivity};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{NodeId, Recording, Vars};

use crate::codegen::Shaping;
use crate::device::{Gpu, Options};
use crate::error::Error;

/// The adapter under every configuration that must not change a value: as users open it, unfused, with kernels shaped for a
/// CPU and for a GPU with its subgroups, few bindings, accesses checked and unchecked, and always with NaN in memory that
/// has not been written.
///
/// ```no_run
/// use wgrad_core::{CustomOp, WgslKernel};
/// use wgrad_gpu::Conformance;
/// let cube = CustomOp::new("cube", |x| x[0].square() * &x[0])
///     .with_kernel(WgslKernel::elementwise("fn cube(x: f32) -> f32 { return x * x * x; }"));
/// let error = Conformance::new()?.check(&cube.case("/random").random([3, 5]), 7)?;
/// println!("the largest error was {error} of what rounding allows");
/// # Ok::<(), wgrad_gpu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conformance {
    devices: Vec<(&'static str, Gpu)>,
}

impl Conformance {
    /// Opens the adapter that [`Gpu::new`] would open.
    #[cfg(not(target_family = "wasm"))]
    pub fn new() -> Result<Self, Error> {
        let base = Options { poison: true, ..Options::default() };
        let open = |options| Gpu::with_options(options);
        // What a browser has, whose commands are recorded at each step.
        let eight_bindings = open(Options { bindings: Some(8), replay: false, ..base.clone() })?;
        let hardware = Shaping { subgroups: eight_bindings.info().subgroups, ..Shaping::hardware() };
        let hardware = Options { shaping: Some(hardware), checked: true, ..base.clone() };
        let software = Some(Shaping::software());
        let unfused = Options { fuse: false, checked: true, shaping: software, ..base.clone() };
        let devices = vec![
            ("fused", open(base)?),
            ("fused, shaped for a GPU", open(hardware)?),
            ("unfused", open(unfused)?),
            ("fused, eight bindings", eight_bindings),
        ];
        Ok(Self { devices })
    }

    /// The configurations, by name.
    pub fn devices(&self) -> &[(&'static str, Gpu)] {
        &self.devices
    }

    /// Runs a case, and the gradients of its float operands where it has them, under every configuration. Returns
    /// the largest error in units of what rounding allows; more than 1 is [`Error::Differs`]. The same seed gives
    /// the same operands.
    pub fn check(&self, case: &Case, seed: u64) -> Result<f64, Error> {
        let (recording, environment, outputs) = with_gradients(case, seed);
        let mut worst = 0.0f64;
        for (name, gpu) in &self.devices {
            let compared = compare(gpu, &recording, &environment, &outputs).map_err(|error| match error {
                Error::Differs { what, message } => {
                    Error::Differs { what: format!("{} ({name}), {what}", case.name), message }
                }
                other => other,
            });
            worst = worst.max(compared?);
        }
        Ok(worst)
    }
}

/// A case with gradients of its float operands under a random cotangent.
pub fn with_gradients(case: &Case, seed: u64) -> (Recording, Environment, Vec<NodeId>) {
    let mut recorded = case.record(seed);
    let mut outputs = vec![recorded.output.clone()];
    let spec = recorded.output.spec();
    if case.differentiable && spec.dtype.is_float() {
        let cotangent = recorded.graph.input("cotangent", &spec.shape, spec.dtype);
        let operand = Operand { spec, fill: Fill::Uniform(-1.0, 1.0) };
        recorded.environment.insert("cotangent".into(), fill(&operand, seed.wrapping_add(100)));
        let floats: Vec<_> = recorded.inputs.iter().filter(|x| x.dtype().is_float()).collect();
        outputs.extend(recorded.output.pull_back(&cotangent, &floats));
    }
    let ids = outputs.iter().map(|output| output.id()).collect();
    (recorded.graph.recording(), recorded.environment, ids)
}

/// The largest error of the outputs of a recording in units of what rounding allows; more than 1 is
/// [`Error::Differs`].
pub fn compare(
    gpu: &Gpu,
    recording: &Recording,
    environment: &Environment,
    outputs: &[NodeId],
) -> Result<f64, Error> {
    let program = gpu.compile_recording(recording, outputs)?;
    let mut state = gpu.init(&Vars::new(), 0)?;
    let batch = Batch::of_arrays(environment.iter().map(|(name, array)| (name.as_str(), array)));
    let run = program.run(&mut state, batch)?;
    let exact = evaluate(recording, environment);
    let tolerances = sensitivity(recording, environment, outputs, 1);
    let mut worst = 0.0f64;
    for (position, (id, tolerance)) in outputs.iter().zip(&tolerances).enumerate() {
        let found = run.get(position)?;
        for (element, (&e, &f)) in exact[id.index()].data.iter().zip(&found.data).enumerate() {
            let allowed = tolerance.data[element];
            if e == f || e.is_nan() && f.is_nan() {
                continue;
            }
            let ratio = (e - f).abs() / allowed;
            if ratio > 1.0 || ratio.is_nan() {
                return Err(Error::Differs {
                    what: format!("output {position} element {element}"),
                    message: format!(
                        "expected {e}, found {f}, allowed error {allowed:e}\n{}",
                        program.explain()
                    ),
                });
            }
            worst = worst.max(ratio);
        }
    }
    Ok(worst)
}
