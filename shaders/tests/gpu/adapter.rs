//! The least that runs a compute shader: read-only buffers in, one buffer out.

use wgpu::util::DeviceExt;

pub(crate) struct Adapter {
    pub(crate) name: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Adapter {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var("WGRAD_ADAPTER").unwrap_or_default().to_lowercase();
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        adapters.retain(|adapter| adapter.get_info().name.to_lowercase().contains(&wanted));
        adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            _ => 2,
        });
        let adapter = adapters.first().unwrap_or_else(|| {
            panic!(
                "no GPU adapter with \"{wanted}\" in its name: this test needs one; a software Vulkan driver \
                 does (Debian and Ubuntu: mesa-vulkan-drivers, Fedora: mesa-vulkan-drivers, Arch: vulkan-swrast)"
            )
        });
        let required_features = adapter.features() & wgpu::Features::SHADER_INT64;
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .expect("an adapter grants a device with default limits");
        let info = adapter.get_info();
        Self { name: format!("{} ({:?}, {})", info.name, info.backend, info.driver_info), device, queue }
    }

    /// Whether shaders may compute with integers of 64 bits.
    pub(crate) fn int64(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_INT64)
    }

    /// Runs a shader with `inputs` at bindings 0, 1, … of group 0 and a result of `words` words after them.
    pub(crate) fn run(&self, source: &str, inputs: &[&[u32]], words: usize, grid: [u32; 3]) -> Vec<u32> {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffer = |contents: &[u32], usage| {
            let contents = bytemuck::cast_slice(contents);
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
        };
        let mut buffers: Vec<_> = inputs.iter().map(|i| buffer(i, wgpu::BufferUsages::STORAGE)).collect();
        // Poison: a word that the shader forgets is a NaN, and no likely random number.
        let poison = vec![0x7fc0_dead; words];
        buffers.push(buffer(&poison, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC));
        let entries: Vec<_> = (0u32..)
            .zip(&buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let readback = buffer(&poison, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);

        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(grid[0], grid[1], grid[2]);
        drop(pass);
        encoder.copy_buffer_to_buffer(&buffers[inputs.len()], 0, &readback, 0, 4 * words as u64);
        self.queue.submit([encoder.finish()]);
        readback.map_async(wgpu::MapMode::Read, .., |result| result.expect("the result is readable"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device finishes");
        let view = readback.get_mapped_range(..).expect("the result is mapped");
        bytemuck::cast_slice(&view).to_vec()
    }
}
