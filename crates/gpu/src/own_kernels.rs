//! The kernels that users offer for their operations: which of them this device can run.

use naga::valid::Capabilities;
use wgrad_core::ops::{Offer, Wgsl};
use wgrad_core::{Op, Recording};

use crate::codegen::own::{Needs, check};
use crate::device::Gpu;
use crate::error::Error;

impl Gpu {
    /// The kernels offered in a recording that this device can run; for the others the definition stands. One that
    /// no device could run is an error.
    pub(crate) fn own_kernels(&self, recording: &Recording) -> Result<Vec<Wgsl>, Error> {
        let mut accepted = vec![];
        for node in &recording.nodes {
            let Op::Custom(custom) = &node.op else { continue };
            let Some(Offer::Wgsl(kernel)) = &custom.kernel else { continue };
            if accepted.contains(kernel) {
                continue;
            }
            let needs = check(kernel).map_err(|message| Error::Kernel {
                operation: custom.name.into(),
                kernel: kernel.kernel.location(),
                applied: node.location,
                message,
            })?;
            if self.can_run(&needs) {
                accepted.push(kernel.clone());
            }
        }
        Ok(accepted)
    }

    fn can_run(&self, needs: &Needs) -> bool {
        let (features, limits) = (self.inner.device.features(), self.inner.device.limits());
        needs.bindings <= self.bindings()
            && needs.workgroup <= limits.max_compute_invocations_per_workgroup
            && needs.workgroup <= limits.max_compute_workgroup_size_x
            && needs.memory <= limits.max_compute_workgroup_storage_size
            && needs.run_with(capabilities(features))
    }
}

/// What kernels may use on a device with these features.
pub(crate) fn capabilities(features: wgpu::Features) -> Capabilities {
    let by_feature = [
        (wgpu::Features::SHADER_F16, Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_FLOAT16_IN_FLOAT32),
        (wgpu::Features::SHADER_INT64, Capabilities::SHADER_INT64),
        (wgpu::Features::SUBGROUP, Capabilities::SUBGROUP),
        (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, Capabilities::COOPERATIVE_MATRIX),
    ];
    let there = by_feature.iter().filter(|(feature, _)| features.contains(*feature));
    there.fold(Capabilities::default(), |all, (_, capabilities)| all | *capabilities)
}
