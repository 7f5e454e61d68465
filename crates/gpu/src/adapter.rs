//! Which adapters there are and which one is used.

use std::fmt;

use crate::error::Error;

/// What kind of processor an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// Runs on the CPU.
    Software,
    /// Unknown, or of a browser that does not say.
    Other,
    /// Hosted by a virtual machine.
    Virtual,
    /// Shares memory with the CPU.
    Integrated,
    /// Has memory of its own.
    Discrete,
}

/// An adapter and what it can do.
#[derive(Clone, Debug)]
pub struct AdapterInfo {
    /// The name the driver gives it.
    pub name: String,
    /// The API it is reached by: vulkan, metal, dx12, gl, webgpu.
    pub backend: String,
    /// What kind of processor it is.
    pub kind: AdapterKind,
    /// The driver and its version.
    pub driver: String,
    /// The sizes of its subgroups, where kernels may use them.
    pub subgroups: Option<Subgroups>,
    /// Optional features, by wgpu's names.
    pub features: Vec<String>,
    /// Limits, by WebGPU's names.
    pub limits: Vec<(String, u64)>,
}

/// The sizes that subgroups (warps, waves) of an adapter may have. A driver may choose another for each kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subgroups {
    /// The smallest.
    pub least: u32,
    /// The largest.
    pub most: u32,
}

impl Subgroups {
    /// The size, if there is only one.
    pub fn single(self) -> Option<u32> {
        (self.least == self.most).then_some(self.least)
    }
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {:?}, {})", self.name, self.backend, self.kind, self.driver)
    }
}

impl AdapterInfo {
    pub(crate) fn of(info: &wgpu::AdapterInfo, features: wgpu::Features, limits: &wgpu::Limits) -> Self {
        let kind = match info.device_type {
            wgpu::DeviceType::Cpu => AdapterKind::Software,
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Other => AdapterKind::Other,
        };
        let (least, most) = (info.subgroup_min_size, info.subgroup_max_size);
        let l = |name: &str, value: u64| (name.to_string(), value);
        Self {
            name: info.name.clone(),
            backend: info.backend.to_str().to_string(),
            kind,
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            subgroups: features.contains(wgpu::Features::SUBGROUP).then_some(Subgroups { least, most }),
            features: features.iter_names().map(|(name, _)| name.to_string()).collect(),
            limits: vec![
                l("max_buffer_size", limits.max_buffer_size),
                l("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
                l("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage.into()),
                l("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size.into()),
                l(
                    "max_compute_invocations_per_workgroup",
                    limits.max_compute_invocations_per_workgroup.into(),
                ),
                l("max_compute_workgroups_per_dimension", limits.max_compute_workgroups_per_dimension.into()),
                l("min_storage_buffer_offset_alignment", limits.min_storage_buffer_offset_alignment.into()),
            ],
        }
    }
}

/// What the user asked for in the environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// `WGRAD_ADAPTER`: part of a name, or a number in the list.
    pub(crate) adapter: Option<String>,
    /// `WGRAD_BACKEND`: vulkan, metal, dx12, gl.
    pub(crate) backend: Option<String>,
}

impl Wanted {
    pub(crate) fn from_env() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        Self { adapter: read("WGRAD_ADAPTER"), backend: read("WGRAD_BACKEND") }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [("WGRAD_ADAPTER", &self.adapter), ("WGRAD_BACKEND", &self.backend)] {
            if let Some(value) = value {
                write!(f, " for {name}={value}")?;
            }
        }
        Ok(())
    }
}

/// The position of the adapter to use: the best kind among those wanted, native APIs before GL.
pub(crate) fn choose(adapters: &[AdapterInfo], wanted: &Wanted) -> Result<usize, Error> {
    let matches = |(number, info): &(usize, &AdapterInfo)| {
        let backend = wanted.backend.as_ref().is_none_or(|b| info.backend.eq_ignore_ascii_case(b));
        let adapter = wanted.adapter.as_ref().is_none_or(|name| {
            name.parse() == Ok(*number) || info.name.to_lowercase().contains(&name.to_lowercase())
        });
        backend && adapter
    };
    let best = adapters
        .iter()
        .enumerate()
        .filter(matches)
        .max_by_key(|(number, info)| (info.kind, info.backend != "gl", std::cmp::Reverse(*number)));
    best.map(|(number, _)| number).ok_or_else(|| Error::NoAdapter {
        wanted: wanted.to_string(),
        advice: if adapters.is_empty() { advice().into() } else { "choose one of those available".into() },
        available: if adapters.is_empty() {
            "none".into()
        } else {
            adapters.iter().enumerate().map(|(n, info)| format!("\n  {n}: {info}")).collect()
        },
    })
}

/// What to install on this system so that there is an adapter.
fn advice() -> &'static str {
    if cfg!(target_os = "linux") {
        "install your GPU's Vulkan driver; a software one is in Debian's `mesa-vulkan-drivers` and \
         `libvulkan1`, Fedora's `mesa-vulkan-drivers` and `vulkan-loader`, Arch's `vulkan-swrast` and \
         `vulkan-icd-loader`"
    } else if cfg!(target_os = "windows") {
        "install your GPU's current driver; Windows 10 and later bring a software adapter (WARP)"
    } else if cfg!(target_os = "macos") {
        "Metal needs macOS 10.13 or later and a GPU that supports it"
    } else {
        "the browser must support WebGPU"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, backend: &str, kind: AdapterKind) -> AdapterInfo {
        let (name, backend) = (name.into(), backend.into());
        AdapterInfo {
            name,
            backend,
            kind,
            driver: String::new(),
            subgroups: None,
            features: vec![],
            limits: vec![],
        }
    }

    #[test]
    fn the_best_adapter_is_the_default_and_the_environment_overrides_it() {
        let list = [
            adapter("llvmpipe", "vulkan", AdapterKind::Software),
            adapter("Radeon", "gl", AdapterKind::Discrete),
            adapter("Radeon", "vulkan", AdapterKind::Discrete),
            adapter("Iris", "vulkan", AdapterKind::Integrated),
        ];
        let pick = |adapter: Option<&str>, backend: Option<&str>| {
            let wanted = Wanted { adapter: adapter.map(Into::into), backend: backend.map(Into::into) };
            choose(&list, &wanted)
        };
        assert_eq!(pick(None, None).unwrap(), 2);
        assert_eq!(pick(Some("iris"), None).unwrap(), 3);
        assert_eq!(pick(Some("0"), None).unwrap(), 0);
        assert_eq!(pick(None, Some("GL")).unwrap(), 1);
        let error = pick(Some("geforce"), None).unwrap_err().to_string();
        assert!(error.contains("WGRAD_ADAPTER=geforce") && error.contains("llvmpipe"), "{error}");
    }

    #[test]
    fn without_an_adapter_the_error_says_what_to_install() {
        let error = choose(&[], &Wanted::default()).unwrap_err();
        assert!(matches!(error, Error::NoAdapter { .. }));
        assert!(error.to_string().contains(advice()));
    }
}
