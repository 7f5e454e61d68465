//! The device: what everything runs on, and the caches that live as long as it does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, Weak};

use crate::adapter::{self, AdapterInfo, AdapterKind, Subgroups, Wanted};
use crate::bind::Launches;
use crate::codegen::Shaping;
use crate::cooperative::{self, Offer};
use crate::disk::DiskCache;
use crate::error::Error;
use crate::pipelines::Pipelines;
use crate::tune::{Found, Tuning};
use crate::vulkan;

/// Processors that an integrated GPU is taken to have: most have 8 to 40, and no adapter says.
const INTEGRATED: usize = 32;

/// How programs are compiled. The defaults are right for training; tests vary them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Fuse operations into few kernels. Without, every intermediate is stored.
    pub fuse: bool,
    /// Let the driver check every access although all are proved to be in bounds.
    pub checked: bool,
    /// Fill the workspace with NaN before each run, so that whatever is read without having been written
    /// shows.
    pub poison: bool,
    /// How kernels are shaped; by default chosen by the adapter's kind.
    pub shaping: Option<Shaping>,
    /// Use cooperative matrices (tensor cores) where the adapter has them and they pass a self-test. Without, the driver
    /// is not asked for them: should it fail in the test itself, this is the way around.
    pub cooperative: bool,
    /// Storage buffers a kernel may bind; by default what the adapter allows, up to 16.
    pub bindings: Option<usize>,
    /// Let the driver keep a step's commands and execute them again, where it can (Vulkan). Without, they are recorded anew
    /// at each step, through wgpu, and pipelines are not kept on disk.
    pub replay: bool,
    /// Where compiled pipelines are kept from run to run.
    pub disk_cache: DiskCache,
    /// Where measured shapes of kernels come from.
    pub tuning: Tuning,
}

impl Default for Options {
    fn default() -> Self {
        let (disk_cache, tuning) = (DiskCache::default(), Tuning::default());
        Self {
            fuse: true,
            checked: false,
            poison: false,
            shaping: None,
            cooperative: true,
            bindings: None,
            replay: true,
            disk_cache,
            tuning,
        }
    }
}

/// What has happened on a device since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Command buffers handed to the queue.
    pub submissions: u64,
    /// Compute dispatches recorded.
    pub dispatches: u64,
    /// Buffers created.
    pub buffers_created: u64,
    /// Bytes of all buffers created.
    pub bytes_allocated: u64,
    /// Compute pipelines created.
    pub pipelines_created: u64,
    /// Bind groups created, or what the driver keeps in their place.
    pub bind_groups_created: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) submissions: AtomicU64,
    pub(crate) dispatches: AtomicU64,
    pub(crate) buffers: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) pipelines: AtomicU64,
    pub(crate) bind_groups: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    /// Held by whoever submits.
    pub(crate) turn: Arc<Mutex<()>>,
    /// What the device was opened from, if it was opened here.
    adapter: Option<wgpu::Adapter>,
    pub(crate) info: AdapterInfo,
    pub(crate) options: Options,
    pub(crate) count: Count,
    pub(crate) cooperative: Offer,
    /// The driver, where it keeps the commands of steps.
    pub(crate) vulkan: Option<Arc<vulkan::Context>>,
    pub(crate) pipelines: Pipelines,
    /// Of each program.
    pub(crate) launches: Mutex<Vec<Weak<Launches>>>,
    pub(crate) tuning: Found,
    lost: Arc<Mutex<Option<String>>>,
    failed: Arc<Mutex<Option<Error>>>,
}

/// Who opened a device: we do not know what else is submitted to a user's.
enum Owner {
    /// From an adapter, if others are to be opened from it.
    Us(Option<wgpu::Adapter>),
    User,
}

/// A device of an adapter. Clones share it.
///
/// ```no_run
/// use wgrad_gpu::Gpu;
/// let gpu = Gpu::new()?;
/// println!("{}", gpu.info());
/// # Ok::<(), wgrad_gpu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    descriptor.backends = backends;
    wgpu::Instance::new(descriptor)
}

fn describe(adapter: &wgpu::Adapter) -> AdapterInfo {
    AdapterInfo::of(&adapter.get_info(), adapter.features(), &adapter.limits())
}

/// Adapters of the native APIs and of WebGPU; those of GL where they are asked for or nothing else exists.
async fn enumerate(with_gl: bool) -> Vec<wgpu::Adapter> {
    let mut adapters = instance(wgpu::Backends::PRIMARY).enumerate_adapters(wgpu::Backends::PRIMARY).await;
    if with_gl || adapters.is_empty() {
        adapters.extend(instance(wgpu::Backends::GL).enumerate_adapters(wgpu::Backends::GL).await);
    }
    adapters.retain(|adapter| {
        let flags = adapter.get_downlevel_capabilities().flags;
        flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters
}

impl Gpu {
    /// Opens the best adapter; blocks. `WGRAD_ADAPTER` (part of a name, or a number of
    /// [`Gpu::adapters`]) and `WGRAD_BACKEND` (vulkan, metal, dx12, gl) choose another.
    #[cfg(not(target_family = "wasm"))]
    pub fn new() -> Result<Self, Error> {
        Self::with_options(Options::default())
    }

    /// [`Gpu::new`] with options.
    #[cfg(not(target_family = "wasm"))]
    pub fn with_options(options: Options) -> Result<Self, Error> {
        pollster::block_on(Self::request_with(options))
    }

    /// Opens the best adapter without blocking; the same everywhere, the browser included.
    pub async fn request() -> Result<Self, Error> {
        Self::request_with(Options::default()).await
    }

    /// [`Gpu::request`] with options.
    pub async fn request_with(options: Options) -> Result<Self, Error> {
        let wanted = Wanted::from_env();
        let adapters = enumerate(wanted != Wanted::default()).await;
        let infos: Vec<AdapterInfo> = adapters.iter().map(describe).collect();
        let chosen = adapter::choose(&infos, &wanted)?;
        let (adapter, info) = (&adapters[chosen], infos[chosen].clone());
        if info.kind == AdapterKind::Software {
            // Said on the terminal, whether or not the program has a logger; once is enough.
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                eprintln!("wgrad: `{}` runs on the CPU; a GPU would be much faster", info.name);
            });
        }
        let wanted = wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SUBGROUP;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let mut sizes = if options.cooperative { cooperative::sizes(adapter) } else { vec![] };
        let device = match cooperative::request(adapter, &sizes, &descriptor).await {
            Some(opened) => Ok(opened),
            None => {
                sizes.clear();
                adapter.request_device(&descriptor).await
            }
        };
        let (device, queue) = device
            .map_err(|error| Error::NoDevice { adapter: info.name.clone(), message: error.to_string() })?;
        let gpu = Self::open(device, queue, Owner::Us(Some(adapter.clone())), sizes, info, options);
        gpu.check()?;
        Ok(gpu)
    }

    /// Another device of the same adapter, where the adapter is known.
    pub(crate) fn sibling(&self) -> Option<Self> {
        self.sibling_shaped(self.inner.options.shaping)
    }

    /// The same, where kernels are shaped in another way.
    pub(crate) fn sibling_shaped(&self, shaping: Option<Shaping>) -> Option<Self> {
        let (this, adapter) = (&self.inner, self.inner.adapter.as_ref()?);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgrad, compiling"),
            required_features: this.device.features(),
            required_limits: this.device.limits(),
            experimental_features: cooperative::experimental(&this.cooperative.sizes),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).ok()?;
        let (disk_cache, tuning) = (DiskCache::Off, Tuning::Off);
        let options = Options { disk_cache, tuning, shaping, ..this.options.clone() };
        let sizes = this.cooperative.sizes.clone();
        Some(Self::open(device, queue, Owner::Us(None), sizes, this.info.clone(), options))
    }

    /// Uses a device that the program already has. wgpu submits all steps, in turn with what the program does on its own;
    /// where the API is Vulkan that takes the host some tens of microseconds a step more than on a device of [`Gpu::new`].
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::from_wgpu_with(device, queue, Options::default())
    }

    /// [`Gpu::from_wgpu`] with options. A tuning file that cannot be used is an error of the first program.
    pub fn from_wgpu_with(device: wgpu::Device, queue: wgpu::Queue, options: Options) -> Self {
        let info = AdapterInfo::of(&device.adapter_info(), device.features(), &device.limits());
        // What matrices the adapter has is not known.
        Self::open(device, queue, Owner::User, vec![], info, options)
    }

    /// The adapters of this system.
    #[cfg(not(target_family = "wasm"))]
    pub fn adapters() -> Vec<AdapterInfo> {
        pollster::block_on(enumerate(true)).iter().map(describe).collect()
    }

    fn open(
        device: wgpu::Device,
        queue: wgpu::Queue,
        owner: Owner,
        matrices: Vec<usize>,
        info: AdapterInfo,
        options: Options,
    ) -> Self {
        let lost = Arc::new(Mutex::new(None));
        let failed = Arc::new(Mutex::new(None));
        let sink = lost.clone();
        device.set_device_lost_callback(move |reason, message| {
            *lock(&sink) = Some(format!("{reason:?}: {message}"));
        });
        let sink = failed.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&sink).get_or_insert(translate("a command", &error));
        }));
        let turn = Arc::new(Mutex::new(()));
        let ours = matches!(owner, Owner::Us(_)).then_some(&turn);
        let vulkan = if options.replay { vulkan::Context::open(&device, ours) } else { None };
        let pipelines = Pipelines::open(&device, vulkan.as_ref(), &options.disk_cache);
        let tuning = Found::open(&info, &options).unwrap_or_else(|error| {
            lock(&failed).get_or_insert(error.into());
            Found::default()
        });
        let inner = Inner {
            cooperative: Offer::new(matrices),
            tuning,
            device,
            queue,
            turn,
            adapter: if let Owner::Us(adapter) = owner { adapter } else { None },
            info,
            options,
            count: Count::default(),
            vulkan,
            pipelines,
            launches: Mutex::default(),
            lost,
            failed,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What this runs on.
    pub fn info(&self) -> &AdapterInfo {
        &self.inner.info
    }

    /// How programs are compiled.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        let count = &self.inner.count;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            submissions: read(&count.submissions),
            dispatches: read(&count.dispatches),
            buffers_created: read(&count.buffers),
            bytes_allocated: read(&count.bytes),
            pipelines_created: read(&count.pipelines),
            bind_groups_created: read(&count.bind_groups),
        }
    }

    pub(crate) fn shaping(&self) -> Shaping {
        let mut shaping = self.inner.options.shaping.unwrap_or(match self.inner.info.kind {
            AdapterKind::Software => Shaping::software(),
            AdapterKind::Integrated => Shaping { processors: INTEGRATED, ..Shaping::hardware() },
            _ => Shaping::hardware(),
        });
        let (limits, most) = (self.inner.device.limits(), self.most_invocations());
        shaping.map_workgroup = shaping.map_workgroup.min(most);
        shaping.row_threads = shaping.row_threads.min(most);
        shaping.workgroup_limits = [most, limits.max_compute_workgroup_storage_size];
        let subgroups = self.inner.info.subgroups;
        match (self.inner.options.shaping, self.inner.info.kind) {
            (Some(_), _) => {}
            (None, AdapterKind::Software) => {
                shaping.subgroup = subgroups.and_then(Subgroups::single);
                shaping.int64 = self.inner.device.features().contains(wgpu::Features::SHADER_INT64);
                shaping.texels = self.inner.vulkan.as_ref().is_some_and(|vulkan| vulkan.reads_texels());
            }
            // Browsers want an `enable subgroups;` that naga does not know.
            (None, _) => shaping.subgroups = subgroups.filter(|_| cfg!(not(target_family = "wasm"))),
        }
        // NVIDIA's driver reports more than it accepts along x; everybody has at least this many.
        shaping.max_groups = limits.max_compute_workgroups_per_dimension.min(65_535);
        shaping
    }

    /// The most invocations of a workgroup along its one dimension.
    pub(crate) fn most_invocations(&self) -> u32 {
        let limits = self.inner.device.limits();
        limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x)
    }

    pub(crate) fn bindings(&self) -> usize {
        let allowed = self.inner.device.limits().max_storage_buffers_per_shader_stage as usize;
        allowed.min(self.inner.options.bindings.unwrap_or(16))
    }

    /// An error that the device reported since the last call, if any.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(message) = lock(&self.inner.lost).clone() {
            return Err(Error::DeviceLost(message));
        }
        lock(&self.inner.failed).take().map_or(Ok(()), Err)
    }

    pub(crate) fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, Error> {
        self.buffer_with(label, size, usage, false)
    }

    pub(crate) fn buffer_with(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
        mapped_at_creation: bool,
    ) -> Result<wgpu::Buffer, Error> {
        let size = size.next_multiple_of(16).max(16);
        let limit = self.inner.device.limits().max_buffer_size;
        if size > limit {
            // wgpu would report it to nobody in particular.
            return Err(Error::TooLarge {
                adapter: self.info().name.clone(),
                what: format!("for {label} in one buffer"),
                needed: size,
                limit,
                largest: String::new(),
                advice: String::new(),
            });
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation };
        let buffer = match self.try_buffer(&descriptor) {
            Err(Error::OutOfMemory(_)) if self.reclaim() => self.try_buffer(&descriptor),
            buffer => buffer,
        };
        let buffer = buffer.map_err(|error| match error {
            Error::OutOfMemory(message) => Error::OutOfMemory(format!("{label} of {size} bytes: {message}")),
            error => error,
        })?;
        self.inner.count.buffers.fetch_add(1, Ordering::Relaxed);
        self.inner.count.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(buffer)
    }

    /// A buffer, from wgpu or the driver, if there is memory.
    fn try_buffer(&self, descriptor: &wgpu::BufferDescriptor<'_>) -> Result<wgpu::Buffer, Error> {
        let scope = self.inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let driver = self.inner.vulkan.as_ref();
        let buffer = match driver.map_or(Ok(None), |driver| driver.buffer(descriptor)) {
            Ok(Some(buffer)) => Ok(buffer),
            Ok(None) => Ok(self.inner.device.create_buffer(descriptor)),
            Err(error) => Err(error),
        };
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(Error::OutOfMemory(error.to_string())),
            None => buffer,
        }
    }

    /// A buffer of zeros, whether wgpu or the driver is the first to use it.
    pub(crate) fn zeroed_buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, Error> {
        let buffer = self.buffer(label, size, usage)?;
        let mut encoder =
            self.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&buffer, 0, None);
        self.submit([encoder.finish()]);
        Ok(buffer)
    }

    /// Runs the callbacks of whatever has finished.
    pub(crate) fn poll(&self, poll: wgpu::PollType) -> Result<(), Error> {
        let polled = self.polled(poll);
        self.check()?;
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::DeviceLost(error.to_string())),
            Err(_) => Err(Error::DeviceLost("the driver could not wait for it".into())),
        }
    }

    /// [`Gpu::poll`] without a look at what the device has reported. wgpu panics where a driver says only now, in a wait,
    /// that the device is gone.
    pub(crate) fn polled(
        &self,
        poll: wgpu::PollType,
    ) -> std::thread::Result<Result<wgpu::PollStatus, wgpu::PollError>> {
        catch_unwind(AssertUnwindSafe(|| self.inner.device.poll(poll)))
    }
}

/// A device error as one of ours.
fn translate(what: &str, error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory(error.to_string()),
        _ => Error::Driver { what: what.into(), message: error.to_string() },
    }
}
