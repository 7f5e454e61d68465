//! The configurations that everything here runs under, opened once.

use std::sync::LazyLock;

use wgrad_core::interpret::Environment;
use wgrad_core::{NodeId, Recording};
use wgrad_gpu::{Conformance, Gpu, conformance};

static CONFORMANCE: LazyLock<Conformance> = LazyLock::new(|| {
    Conformance::new().expect("the tests need an adapter: on Debian, install mesa-vulkan-drivers")
});

/// The configurations under which every graph must give the same values.
pub(crate) static DEVICES: LazyLock<&[(&str, Gpu)]> = LazyLock::new(|| CONFORMANCE.devices());

/// The largest error of the outputs relative to its tolerance, or what went wrong.
pub(crate) fn compare(
    gpu: &Gpu,
    recording: &Recording,
    environment: &Environment,
    outputs: &[NodeId],
) -> Result<f64, String> {
    conformance::compare(gpu, recording, environment, outputs).map_err(|error| error.to_string())
}
