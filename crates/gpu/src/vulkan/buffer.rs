//! Buffers that kernels read as texels, which wgpu does not make.

use ash::vk;
use wgpu::hal::api::Vulkan;
use wgpu::hal::vulkan::{Buffer, Device};

use super::{Context, refused};
use crate::error::Error;
use crate::plan::Place;

/// Bytes behind the last of a buffer that texels may reach to.
const SLACK: u64 = 256;

/// How long the texels in so many bytes are made. llvmpipe takes the second byte of a view's length for a mipmap level, and
/// compiles a kernel once for level 0 and once for all others: no view has 0 there.
pub(super) fn length(bytes: u64) -> u64 {
    if bytes >> 8 & 0xff == 0 { bytes + SLACK } else { bytes }
}

/// The device's kinds of memory, where kernels read through texel buffers.
pub(super) struct Memory(Vec<vk::MemoryPropertyFlags>);

impl Memory {
    /// That of a device on which reading through texel buffers is faster, and possible for whatever a kernel binds.
    pub(super) fn of(device: &wgpu::Device, hal: &Device) -> Option<Self> {
        // Mesa's driver for CPUs, which loads from a storage buffer one lane at a time.
        if device.adapter_info().driver != "llvmpipe" {
            return None;
        }
        let (instance, adapter) = (hal.shared_instance().raw_instance(), hal.raw_physical_device());
        // SAFETY: the physical device is one of this instance.
        let (limits, memory) = unsafe {
            let limits = instance.get_physical_device_properties(adapter).limits;
            (limits, instance.get_physical_device_memory_properties(adapter))
        };
        let longest = device.limits().max_storage_buffer_binding_size / 4;
        let is_possible = u64::from(limits.max_texel_buffer_elements) >= longest
            && Place::LEAST_ALIGNMENT.is_multiple_of(limits.min_texel_buffer_offset_alignment.max(1));
        is_possible
            .then(|| Self(memory.memory_types_as_slice().iter().map(|kind| kind.property_flags).collect()))
    }

    /// The kind of memory for something that may lie in these.
    fn kind(&self, allowed: u32) -> Option<u32> {
        let mut kinds = (0..self.0.len() as u32).filter(|kind| allowed >> kind & 1 == 1);
        let first = kinds.clone().next();
        kinds.find(|kind| self.0[*kind as usize].contains(vk::MemoryPropertyFlags::DEVICE_LOCAL)).or(first)
    }
}

impl Context {
    /// A buffer of undefined contents that kernels can read as texels; `None` where they do not, or where it is of no use to
    /// them.
    pub(crate) fn buffer(
        &self,
        descriptor: &wgpu::BufferDescriptor<'_>,
    ) -> Result<Option<wgpu::Buffer>, Error> {
        use wgpu::BufferUsages as U;
        let known = [
            (U::STORAGE, vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::UNIFORM_TEXEL_BUFFER),
            (U::COPY_SRC, vk::BufferUsageFlags::TRANSFER_SRC),
            (U::COPY_DST, vk::BufferUsageFlags::TRANSFER_DST),
        ];
        let of_storage = descriptor.usage.contains(U::STORAGE)
            && known.iter().fold(descriptor.usage, |rest, (usage, _)| rest - *usage).is_empty();
        let Some(memory) = self.texels.as_ref().filter(|_| of_storage && !descriptor.mapped_at_creation)
        else {
            return Ok(None);
        };
        let used = known.iter().filter(|(usage, _)| descriptor.usage.contains(*usage));
        let usage = used.fold(vk::BufferUsageFlags::empty(), |all, (_, usage)| all | *usage);
        // llvmpipe compiles a kernel anew for texels in a buffer whose size is a power of two: no buffer has one.
        let size = descriptor.size + SLACK;
        let size = size + u64::from(size.is_power_of_two());
        let raw = &self.raw;
        let create =
            vk::BufferCreateInfo::default().size(size).usage(usage).sharing_mode(vk::SharingMode::EXCLUSIVE);
        // SAFETY: the size is not zero, as wgpu would not allow it either, and usages are of Vulkan 1.0.
        let buffer = unsafe { raw.create_buffer(&create, None) };
        let buffer = buffer.map_err(|result| refused("a buffer", result))?;
        // SAFETY: the buffer is new and of this device.
        let requirements = unsafe { raw.get_buffer_memory_requirements(buffer) };
        let bound = || {
            let kind = memory.kind(requirements.memory_type_bits);
            let kind = kind.ok_or_else(|| refused("a buffer", vk::Result::ERROR_OUT_OF_DEVICE_MEMORY))?;
            let allocate =
                vk::MemoryAllocateInfo::default().allocation_size(requirements.size).memory_type_index(kind);
            // SAFETY: the kind of memory is one of the device's, and the size not zero.
            let memory = unsafe { raw.allocate_memory(&allocate, None) };
            let memory = memory.map_err(|result| refused("memory of a buffer", result))?;
            // SAFETY: both are new, and the memory is as large and of a kind as the buffer asks.
            let bound = unsafe { raw.bind_buffer_memory(buffer, memory, 0) };
            bound.map(|()| memory).map_err(|result| {
                // SAFETY: nothing lies in it.
                unsafe { raw.free_memory(memory, None) };
                refused("memory of a buffer", result)
            })
        };
        let memory = bound().inspect_err(|_| {
            // SAFETY: nothing uses it.
            unsafe { raw.destroy_buffer(buffer, None) };
        })?;
        // SAFETY: from here on buffer and memory are wgpu's, which takes them along. The buffer is of this device, is as the
        // descriptor says, and that its contents are undefined matters to nobody: whoever wants zeros writes them.
        let buffer = unsafe {
            let buffer = Buffer::from_raw_managed(buffer, memory, 0, requirements.size);
            self.device.create_buffer_from_hal::<Vulkan>(buffer, descriptor)
        };
        Ok(Some(buffer))
    }
}
