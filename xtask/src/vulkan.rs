//! Whether a Vulkan driver is there, without linking against one: the loader library and at least one
//! driver manifest, where the loader's documentation ("Driver discovery on Linux") says they lie. And Khronos' validation
//! layer, which watches what a program asks of the driver.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run_watched;
use crate::error::{Error, Result};
use crate::system::{Need, ensure};

/// Mesa's drivers; one of them runs on the CPU and so on every machine.
const NEED: Need = Need {
    what: "a Vulkan driver",
    apt: "libvulkan1 mesa-vulkan-drivers",
    dnf: "vulkan-loader mesa-vulkan-drivers",
    pacman: "vulkan-icd-loader vulkan-swrast",
    apk: "vulkan-loader mesa-vulkan-swrast",
    otherwise: "your system's package manager: the Vulkan loader and Mesa's Vulkan drivers",
};

/// Sees to a driver. macOS and Windows bring theirs along.
pub(crate) fn ensure_driver() -> Result<()> {
    if cfg!(target_os = "linux") {
        ensure(&NEED, || Places::of(|name| std::env::var_os(name)).complete())
    } else {
        Ok(())
    }
}

/// The layer, under the name of its manifest.
const LAYER: &str = "VK_LAYER_KHRONOS_validation";
const LAYER_NEED: Need = Need {
    what: "Vulkan's validation layer",
    apt: "vulkan-validationlayers",
    dnf: "vulkan-validation-layers",
    pacman: "vulkan-validation-layers",
    apk: "vulkan-validation-layers",
    otherwise: "your system's package manager: Vulkan's validation layers",
};

/// Runs a command under the validation layer, which has to be there and to find nothing wrong. Does nothing but on Linux,
/// whose systems have packages of it.
pub(crate) fn validated(command: &mut Command) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let manifest = "share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json";
    ensure(&LAYER_NEED, || {
        ["/usr", "/usr/local"].iter().any(|root| Path::new(root).join(manifest).exists())
    })?;
    let folder = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
    let settings = folder.path().join("vk_layer_settings.txt");
    std::fs::write(&settings, SETTINGS).map_err(Error::io(&settings))?;
    let mut said = Said::default();
    command.env("VK_INSTANCE_LAYERS", LAYER).env("VK_LAYER_SETTINGS_PATH", &settings);
    run_watched(command, |line| said.hear(line))?;
    match said {
        Said { active: false, .. } => Err(Error::NotValidated),
        Said { wrong, .. } if !wrong.is_empty() => Err(Error::Invalid { message: wrong.join("\n") }),
        _ => Ok(()),
    }
}

/// All that the layer has to say, to standard output.
const SETTINGS: &str = "\
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn,info
khronos_validation.log_filename = stdout
";

/// What the layer said.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// That it watches.
    active: bool,
    /// What it found.
    wrong: Vec<String>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        self.active |= line.contains("Khronos Validation Layer Active");
        if line.contains("Validation Error") || line.contains("Validation Warning") {
            self.wrong.push(line.into());
        }
    }
}

/// Where to look.
struct Places {
    /// Folders that may hold the loader, directly or one level down (`x86_64-linux-gnu`).
    libraries: Vec<PathBuf>,
    /// Driver manifests, or folders of them.
    manifests: Vec<PathBuf>,
}

impl Places {
    /// The places that an environment names, then the usual ones.
    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let paths = |name: &str| -> Vec<PathBuf> {
            let value = variable(name).unwrap_or_default();
            std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
        };
        let mut libraries = paths("LD_LIBRARY_PATH");
        libraries.extend(["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from));

        let mut manifests = [paths("VK_DRIVER_FILES"), paths("VK_ICD_FILENAMES")].concat();
        if manifests.is_empty() {
            let mut roots = [paths("XDG_CONFIG_DIRS"), paths("XDG_DATA_DIRS")].concat();
            roots.extend(paths("HOME").iter().map(|home| home.join(".local/share")));
            let usual = ["/etc", "/etc/xdg", "/usr/share", "/usr/local/share", "/run/opengl-driver/share"];
            roots.extend(usual.map(PathBuf::from));
            manifests.extend(roots.into_iter().map(|root| root.join("vulkan/icd.d")));
        }
        Self { libraries, manifests }
    }

    fn complete(&self) -> bool {
        self.libraries.iter().any(|folder| holds_loader(folder))
            && self.manifests.iter().any(|place| holds_manifest(place))
    }
}

fn holds_loader(folder: &Path) -> bool {
    let loader = |folder: &Path| folder.join("libvulkan.so.1").exists();
    loader(folder) || entries(folder).iter().any(|below| loader(below))
}

fn holds_manifest(place: &Path) -> bool {
    let manifest = |path: &Path| path.is_file() && path.extension().is_some_and(|end| end == "json");
    manifest(place) || entries(place).iter().any(|path| manifest(path))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    #[test]
    fn hears_that_the_layer_watches_and_what_it_finds() {
        let mut said = Said::default();
        said.hear("status-message(INFO / SPEC): msgNum: 1 - Validation Information: [ status-message ] | Khronos Validation Layer Active:");
        said.hear("test readback ... ok");
        assert_eq!(said, Said { active: true, wrong: vec![] });
        let wrong =
            "VUID-1(ERROR / SPEC): msgNum: 2 - Validation Error: [ VUID-1 ] offset (0x4) must be a multiple";
        said.hear(wrong);
        assert_eq!(said.wrong, [wrong]);
    }

    #[test]
    fn needs_both_the_loader_and_a_manifest() {
        let root = tempfile::tempdir().unwrap();
        let (lib, icd) = (root.path().join("lib"), root.path().join("icd.d"));
        let places = Places { libraries: vec![lib.clone()], manifests: vec![icd.clone()] };
        assert!(!places.complete(), "nothing there");

        create_dir_all(lib.join("x86_64-linux-gnu")).unwrap();
        write(lib.join("x86_64-linux-gnu/libvulkan.so.1"), "").unwrap();
        assert!(!places.complete(), "a loader alone is no driver");

        create_dir_all(&icd).unwrap();
        write(icd.join("README"), "").unwrap();
        assert!(!places.complete(), "a manifest ends in .json");

        write(icd.join("lvp_icd.json"), "{}").unwrap();
        assert!(places.complete());
    }

    #[test]
    fn a_manifest_may_be_named_directly() {
        let root = tempfile::tempdir().unwrap();
        let (loader, manifest) = (root.path().join("libvulkan.so.1"), root.path().join("my.json"));
        let libraries = vec![root.path().to_owned()];
        let places = Places { libraries, manifests: vec![manifest.clone()] };
        write(&manifest, "{}").unwrap();
        assert!(!places.complete());
        write(&loader, "").unwrap();
        assert!(places.complete());
    }

    #[test]
    fn an_empty_environment_leaves_the_usual_places() {
        for value in [None, Some(OsString::new())] {
            let places = Places::of(|_| value.clone());
            assert!(places.libraries.contains(&"/usr/lib".into()));
            assert!(places.manifests.contains(&"/usr/share/vulkan/icd.d".into()), "{:?}", places.manifests);
        }
    }

    #[test]
    fn named_drivers_replace_the_usual_places() {
        let places = Places::of(|name| (name == "VK_DRIVER_FILES").then(|| "/opt/my.json".into()));
        assert_eq!(places.manifests, [PathBuf::from("/opt/my.json")]);
    }
}
