//! A kernel's WGSL as SPIR-V and as a pipeline.

use std::fmt;
use std::sync::Arc;

use ash::vk;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{ValidationFlags, Validator};

use super::texels::{self, Texels};
use super::{Cache, Context, Layout, pairs, refused, scalars};
use crate::error::Error;
use crate::own_kernels::capabilities;

/// A compiled kernel.
pub(crate) struct Pipeline {
    context: Arc<Context>,
    pub(super) raw: vk::Pipeline,
    pub(super) layout: Layout,
    /// What it reads as texels; these have the binding numbers behind its storage buffers.
    pub(super) texels: Vec<Texels>,
}

impl Pipeline {
    /// Compiles a kernel's source, whose entry point is `main` and whose bindings are so many storage buffers of group 0.
    /// One that is not `checked` must keep within them by itself, as generated kernels do (`plan::index`). One that is `ours`
    /// never reads what was written in the same dispatch.
    pub(crate) fn new(
        context: &Arc<Context>,
        wgsl: &str,
        bindings: usize,
        checked: bool,
        ours: bool,
        cache: Option<&Cache>,
    ) -> Result<Self, Error> {
        let failed = |message: String| Error::Driver {
            what: "a kernel".into(),
            message: format!("{message}\n{wgsl}"),
        };
        let mut words = context.spirv(wgsl, checked, ours).map_err(failed)?;
        let mut texels = vec![];
        if ours && context.texels.is_some() {
            words = scalars::split(&words);
            if context.features.contains(wgpu::Features::SHADER_INT64) {
                words = pairs::pair(&words);
            }
            (words, texels) = texels::rewrite(&words, bindings as u32);
        }
        let layout = context.layout(bindings, texels.len())?;
        let raw = &context.raw;
        let descriptor = vk::ShaderModuleCreateInfo::default().code(&words);
        // SAFETY: naga has validated the module, and wrote SPIR-V of a version that the driver reads, with capabilities of
        // features that are on.
        let module = unsafe { raw.create_shader_module(&descriptor, None) };
        let module = module.map_err(|result| failed(result.to_string()))?;
        let mut flags = vk::PipelineShaderStageCreateFlags::empty();
        if context.features.contains(wgpu::Features::SUBGROUP) {
            // wgpu turned the feature on together with subgroups, and sets this for its own pipelines.
            flags |= vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE;
        }
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(flags)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let descriptor = vk::ComputePipelineCreateInfo::default().layout(layout.pipeline).stage(stage);
        let cache = cache.map_or(vk::PipelineCache::null(), |cache| cache.raw);
        // SAFETY: module and layout are of this device, the layout has every binding of the module, as `own::check` sees to
        // where a user wrote it, and the cache may be used by several threads.
        let made = unsafe { raw.create_compute_pipelines(cache, &[descriptor], None) };
        // SAFETY: a pipeline does not need its module once it exists.
        unsafe { raw.destroy_shader_module(module, None) };
        let made = made.map_err(|(_, result)| match refused("a kernel", result) {
            Error::Driver { message, .. } => failed(message),
            error => error,
        })?;
        Ok(Self { context: context.clone(), raw: made[0], layout, texels })
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // SAFETY: commands that use it hold it, and wait for the device before they let go.
        unsafe { self.context.raw.destroy_pipeline(self.raw, None) };
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").finish_non_exhaustive()
    }
}

impl Context {
    /// The SPIR-V of a kernel; the error says what naga found.
    fn spirv(&self, wgsl: &str, checked: bool, ours: bool) -> Result<Vec<u32>, String> {
        let module = naga::front::wgsl::parse_str(wgsl).map_err(|error| error.emit_to_string(wgsl))?;
        let info = Validator::new(ValidationFlags::all(), capabilities(self.features))
            .validate(&module)
            .map_err(|error| error.emit_to_string(wgsl))?;
        let bounds = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
        let options = spv::Options {
            lang_version: self.spirv,
            flags: spv::WriterFlags::empty(),
            capabilities: Some(self.spirv_capabilities()),
            bounds_check_policies: BoundsCheckPolicies {
                index: bounds,
                buffer: bounds,
                image_load: bounds,
                binding_array: bounds,
            },
            // Every kernel of ours writes its workgroup memory before reading it.
            zero_initialize_workgroup_memory: match ours {
                true => spv::ZeroInitializeWorkgroupMemoryMode::None,
                false => spv::ZeroInitializeWorkgroupMemoryMode::Polyfill,
            },
            use_storage_input_output_16: false, // kernels have no such inputs
            force_loop_bounding: checked,
            emit_int_div_checks: checked,
            ..Default::default()
        };
        let stage =
            spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".into() };
        spv::write_vec(&module, &info, &options, Some(&stage)).map_err(|error| error.to_string())
    }

    /// What the features that are on allow a kernel to use. Others are written without, where naga can.
    fn spirv_capabilities(&self) -> naga::FastHashSet<spv::Capability> {
        use spv::Capability as C;
        let mut all = vec![C::Shader, C::Matrix];
        let by_feature: [(wgpu::Features, &[C]); 4] = [
            (
                wgpu::Features::SUBGROUP,
                &[
                    C::GroupNonUniform,
                    C::GroupNonUniformVote,
                    C::GroupNonUniformArithmetic,
                    C::GroupNonUniformBallot,
                    C::GroupNonUniformShuffle,
                    C::GroupNonUniformShuffleRelative,
                    C::GroupNonUniformQuad,
                ],
            ),
            (
                wgpu::Features::SHADER_F16,
                &[C::Float16, C::StorageBuffer16BitAccess, C::UniformAndStorageBuffer16BitAccess],
            ),
            (wgpu::Features::SHADER_INT64, &[C::Int64]),
            (
                wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
                &[C::CooperativeMatrixKHR, C::VulkanMemoryModel],
            ),
        ];
        for (feature, capabilities) in by_feature {
            if self.features.contains(feature) {
                all.extend_from_slice(capabilities);
            }
        }
        all.into_iter().collect()
    }
}
