//! The compiled kernels of a device, by their text: each is compiled once, for wgpu or for the driver, whoever runs it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crate::codegen::Source;
use crate::device::{Gpu, lock};
use crate::disk::DiskCache;
use crate::disk::pipelines::{Pipelines as OnDisk, PipelinesOnDisk};
use crate::error::Error;
use crate::vulkan;

/// A pipeline and the layout of its one bind group.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

/// Everything compiled so far.
#[derive(Debug)]
pub(crate) struct Pipelines {
    /// Those whose dispatches are recorded through wgpu.
    recorded: Mutex<HashMap<String, Pipeline>>,
    /// Those whose dispatches the driver keeps.
    replayed: Mutex<HashMap<String, Arc<vulkan::Pipeline>>>,
    /// By number of storage buffers.
    layouts: Mutex<HashMap<usize, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>>,
    on_disk: Option<OnDisk>,
}

impl Pipelines {
    /// None yet; with what earlier runs have left on disk, where the driver gives it out and takes it back.
    pub(crate) fn open(
        device: &wgpu::Device,
        vulkan: Option<&Arc<vulkan::Context>>,
        disk: &DiskCache,
    ) -> Self {
        let on_disk = vulkan.and_then(|vulkan| OnDisk::open(&device.adapter_info(), vulkan, disk));
        Self { recorded: Mutex::default(), replayed: Mutex::default(), layouts: Mutex::default(), on_disk }
    }
}

impl Gpu {
    /// What was found on disk of the pipelines of earlier runs.
    pub fn pipelines_on_disk(&self) -> &PipelinesOnDisk {
        self.inner.pipelines.on_disk.as_ref().map_or(&PipelinesOnDisk::Off, OnDisk::found)
    }

    /// Keeps the pipelines compiled so far for later runs, where that is possible.
    pub(crate) fn save_pipelines(&self) {
        self.inner.pipelines.on_disk.iter().for_each(OnDisk::save);
    }

    /// The layout of a bind group of storage buffers, and of pipelines that have it.
    fn layouts(&self, bindings: usize) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
        let mut layouts = lock(&self.inner.pipelines.layouts);
        let entry = |binding: usize| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: false },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let create = || {
            let entries: Vec<_> = (0..bindings).map(entry).collect();
            let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
            let group = self.inner.device.create_bind_group_layout(&descriptor);
            let descriptor = wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            };
            let pipeline = self.inner.device.create_pipeline_layout(&descriptor);
            (group, pipeline)
        };
        layouts.entry(bindings).or_insert_with(create).clone()
    }

    /// Whether the pipeline that steps use of a kernel's source exists.
    pub(crate) fn is_prepared(&self, wgsl: &str) -> bool {
        match &self.inner.vulkan {
            Some(_) => lock(&self.inner.pipelines.replayed).contains_key(wgsl),
            None => lock(&self.inner.pipelines.recorded).contains_key(wgsl),
        }
    }

    /// Compiles the pipeline that steps use of a kernel.
    pub(crate) fn prepare(&self, source: &Source) -> Result<(), Error> {
        match &self.inner.vulkan {
            Some(context) => self.replayed(context, source).map(drop),
            None => self.pipeline(&source.wgsl, source.bindings.len(), source.checked).map(drop),
        }
    }

    /// The driver's own pipeline of a kernel, compiled on first use.
    pub(crate) fn replayed(
        &self,
        context: &Arc<vulkan::Context>,
        source: &Source,
    ) -> Result<Arc<vulkan::Pipeline>, Error> {
        let Source { wgsl, bindings, checked, .. } = source;
        if let Some(known) = lock(&self.inner.pipelines.replayed).get(wgsl) {
            return Ok(known.clone());
        }
        let (is_checked, kept) =
            (*checked || self.inner.options.checked, self.inner.pipelines.on_disk.as_ref());
        let cache = kept.map(OnDisk::cache);
        let pipeline = vulkan::Pipeline::new(context, wgsl, bindings.len(), is_checked, !checked, cache)?;
        kept.iter().for_each(|kept| kept.added());
        self.inner.count.pipelines.fetch_add(1, Ordering::Relaxed);
        let pipeline = Arc::new(pipeline);
        lock(&self.inner.pipelines.replayed).insert(wgsl.clone(), pipeline.clone());
        Ok(pipeline)
    }

    /// The pipeline of a kernel's source, compiled on first use. What users wrote is checked as it runs, and finds
    /// its workgroup memory zeroed.
    pub(crate) fn pipeline(&self, wgsl: &str, bindings: usize, checked: bool) -> Result<Pipeline, Error> {
        if let Some(known) = lock(&self.inner.pipelines.recorded).get(wgsl) {
            return Ok(known.clone());
        }
        let device = &self.inner.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some("wgrad kernel"),
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        };
        let module = if checked || self.inner.options.checked {
            device.create_shader_module(descriptor)
        } else {
            trusted(device, descriptor)
        };
        let (layout, pipeline_layout) = self.layouts(bindings);
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("wgrad kernel"),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel of ours writes its workgroup memory before reading it.
                zero_initialize_workgroup_memory: checked,
                ..Default::default()
            },
            cache: None,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Driver { what: "a kernel".into(), message: format!("{error}\n{wgsl}") });
        }
        self.inner.count.pipelines.fetch_add(1, Ordering::Relaxed);
        let pipeline = Pipeline { pipeline, layout };
        lock(&self.inner.pipelines.recorded).insert(wgsl.into(), pipeline.clone());
        Ok(pipeline)
    }
}

/// A module without injected bounds checks.
///
/// Soundness: generated kernels compute every position symbolically with known ranges
/// (`plan::index`); what could leave its tensor is clamped or guarded before the access, and positions
/// read at run time are clamped to their axis. Loops have constant bounds. Tests run the same kernels
/// checked.
#[allow(unsafe_code)]
fn trusted(device: &wgpu::Device, descriptor: wgpu::ShaderModuleDescriptor<'_>) -> wgpu::ShaderModule {
    // SAFETY: see above.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}
