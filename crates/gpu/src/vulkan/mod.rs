//! Where the API is Vulkan, the driver keeps a step's commands: pipelines of our own, and a secondary command buffer that
//! is recorded once and executed at every step. wgpu records a pass anew each time, at a microsecond and more a dispatch;
//! and as it follows whole buffers, it has every dispatch wait for the one before (`docs/decisions.md`).
//!
//! wgpu still owns the device and all buffers; those that kernels read as texels are made here ([`buffer`]). Where the
//! device is ours alone, steps go to its queue past wgpu too ([`steps`]); a user's is left to wgpu. This folder is the only
//! place that speaks to the driver past wgpu, and so is unsafe throughout.
#![allow(unsafe_code)]

mod buffer;
mod commands;
mod pairs;
mod pipeline;
mod scalars;
mod steps;
mod storage;
mod texels;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ash::vk;
use wgpu::hal::api::Vulkan;

use crate::device::lock;
use crate::error::Error;

use buffer::Memory;
pub(crate) use commands::Commands;
pub(crate) use pipeline::Pipeline;
use steps::Queue;

/// The driver behind a device of wgpu.
pub(crate) struct Context {
    raw: ash::Device,
    queue_family: u32,
    /// The version of SPIR-V that the driver reads.
    spirv: (u8, u8),
    features: wgpu::Features,
    /// Where kernels read through texel buffers ([`texels`]), have no variables that are vectors ([`scalars`]), and store
    /// vectors of four as pairs ([`pairs`]).
    texels: Option<Memory>,
    /// By numbers of storage buffers and of texel buffers.
    layouts: Mutex<HashMap<[usize; 2], Layout>>,
    /// The queue, where nobody submits to it but us.
    queue: Option<Queue>,
    /// What keeps the driver's device alive; dropped last.
    device: wgpu::Device,
}

/// The layout of a descriptor set of storage buffers and then texel buffers, and of pipelines that have it.
#[derive(Clone, Copy)]
struct Layout {
    set: vk::DescriptorSetLayout,
    pipeline: vk::PipelineLayout,
}

impl Context {
    /// That of a device; `None` if its API is another. With `turn`, steps go past wgpu to the queue, and whoever submits
    /// anything else there has to hold it.
    pub(crate) fn open(device: &wgpu::Device, turn: Option<&Arc<Mutex<()>>>) -> Option<Arc<Self>> {
        // SAFETY: the handles that are taken from here are not destroyed, and `device` outlives them.
        let hal = unsafe { device.as_hal::<Vulkan>() }?;
        let instance = hal.shared_instance();
        let (raw, adapter) = (instance.raw_instance(), hal.raw_physical_device());
        // SAFETY: the physical device is one of this instance.
        let (properties, extensions) = unsafe {
            (raw.get_physical_device_properties(adapter), raw.enumerate_device_extension_properties(adapter))
        };
        let version = properties.api_version.min(instance.instance_api_version());
        // Vulkan 1.3, appendix A, "Versions and Formats".
        let spirv = match (vk::api_version_major(version), vk::api_version_minor(version)) {
            (1, 0) => (1, 0),
            (1, 1) => (1, 3),
            (1, 2) => (1, 5),
            _ => (1, 6),
        };
        // wgpu has the driver count with semaphores where they are part of Vulkan and it lists the extension that they were.
        let is_listed = |extension: &vk::ExtensionProperties| {
            extension.extension_name_as_c_str() == Ok(ash::khr::timeline_semaphore::NAME)
        };
        let counts = version >= vk::API_VERSION_1_2 && extensions.iter().flatten().any(is_listed);
        let queue =
            turn.filter(|_| counts).and_then(|turn| Queue::new(hal.raw_device(), hal.raw_queue(), turn));
        Some(Arc::new(Self {
            queue,
            raw: hal.raw_device().clone(),
            queue_family: hal.queue_family_index(),
            spirv,
            features: device.features(),
            texels: Memory::of(device, &hal),
            layouts: Mutex::default(),
            device: device.clone(),
        }))
    }

    /// Whether kernels read through texel buffers.
    pub(crate) fn reads_texels(&self) -> bool {
        self.texels.is_some()
    }

    fn layout(&self, storage: usize, texels: usize) -> Result<Layout, Error> {
        let mut layouts = lock(&self.layouts);
        if let Some(known) = layouts.get(&[storage, texels]) {
            return Ok(*known);
        }
        let binding = |number: usize| {
            let kind = match number < storage {
                true => vk::DescriptorType::STORAGE_BUFFER,
                false => vk::DescriptorType::UNIFORM_TEXEL_BUFFER,
            };
            vk::DescriptorSetLayoutBinding::default()
                .binding(number as u32)
                .descriptor_type(kind)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let numbered: Vec<_> = (0..storage + texels).map(binding).collect();
        let descriptor = vk::DescriptorSetLayoutCreateInfo::default().bindings(&numbered);
        // SAFETY: numbers are distinct and within the device's limit, which the planner keeps.
        let set = unsafe { self.raw.create_descriptor_set_layout(&descriptor, None) };
        let sets = [set.map_err(|result| refused("a descriptor set", result))?];
        let descriptor = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: the one set layout is of this device.
        let pipeline = unsafe { self.raw.create_pipeline_layout(&descriptor, None) };
        let pipeline = pipeline.map_err(|result| {
            // SAFETY: nothing uses it.
            unsafe { self.raw.destroy_descriptor_set_layout(sets[0], None) };
            refused("a pipeline layout", result)
        })?;
        let layout = Layout { set: sets[0], pipeline };
        layouts.insert([storage, texels], layout);
        Ok(layout)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.destroy(&self.raw);
        }
        for layout in lock(&self.layouts).values() {
            // SAFETY: pipelines and commands made with them hold this context, so none is left.
            unsafe {
                self.raw.destroy_pipeline_layout(layout.pipeline, None);
                self.raw.destroy_descriptor_set_layout(layout.set, None);
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("spirv", &self.spirv).finish_non_exhaustive()
    }
}

/// The pipelines that the driver has in memory, in a form that it gives and takes.
pub(crate) struct Cache {
    context: Arc<Context>,
    raw: vk::PipelineCache,
}

impl Cache {
    /// An empty one, or one with what [`Cache::data`] gave earlier.
    ///
    /// # Safety
    ///
    /// The data must be what a cache of the same adapter and driver gave, unchanged.
    pub(crate) unsafe fn new(context: &Arc<Context>, data: &[u8]) -> Result<Self, Error> {
        let descriptor = vk::PipelineCacheCreateInfo::default().initial_data(data);
        // SAFETY: the caller's promise is all that Vulkan asks for.
        let raw = unsafe { context.raw.create_pipeline_cache(&descriptor, None) };
        let raw = raw.map_err(|result| refused("a pipeline cache", result))?;
        Ok(Self { context: context.clone(), raw })
    }

    /// What the driver hands out.
    pub(crate) fn data(&self) -> Option<Vec<u8>> {
        // SAFETY: the cache is alive, and of this device.
        unsafe { self.context.raw.get_pipeline_cache_data(self.raw) }.ok()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: it is used only while a pipeline is created, which borrows it.
        unsafe { self.context.raw.destroy_pipeline_cache(self.raw, None) };
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// What the driver said, as an error of ours.
fn refused(what: &str, result: vk::Result) -> Error {
    match result {
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY
        | vk::Result::ERROR_OUT_OF_HOST_MEMORY
        | vk::Result::ERROR_OUT_OF_POOL_MEMORY
        | vk::Result::ERROR_FRAGMENTED_POOL => Error::OutOfMemory(format!("{what}: {result}")),
        vk::Result::ERROR_DEVICE_LOST => Error::DeviceLost(format!("{what}: {result}")),
        _ => Error::Driver { what: what.into(), message: result.to_string() },
    }
}
