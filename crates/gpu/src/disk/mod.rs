//! What a device remembers from run to run: compiled pipelines, and how kernels were tuned. All of it can be made anew,
//! so nothing here fails a run: what cannot be read counts as absent, what cannot be written is left.

pub(crate) mod pipelines;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// Where a device keeps what it remembers from run to run.
///
/// ```no_run
/// use wgrad_gpu::{DiskCache, Gpu, Options};
/// let gpu = Gpu::with_options(Options { disk_cache: DiskCache::Off, ..Options::default() })?;
/// # Ok::<(), wgrad_gpu::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DiskCache {
    /// The folder `wgrad` in the user's cache folder: `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on
    /// Windows `%LOCALAPPDATA%`.
    #[default]
    User,
    /// This folder, made when something is written. Nobody else should be able to write to it: drivers run what
    /// they find in their pipelines.
    Folder(PathBuf),
    /// Nothing is read or written.
    Off,
}

impl DiskCache {
    /// The folder, if there is one: a user may be without a home.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::User => etcetera::base_strategy::choose_native_strategy()
                .ok()
                .map(|base| base.cache_dir().join("wgrad")),
            Self::Folder(folder) => Some(folder.clone()),
            Self::Off => None,
        }
    }
}

/// Replaces a file as a whole: who reads it at the same time, and who writes it, finds the old or the new one.
pub(crate) fn replace(path: &Path, contents: &[&[u8]]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_private(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    contents.iter().try_for_each(|part| file.write_all(part))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Makes a folder that only its owner can use.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_folders_are_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/c.bin");
        replace(&path, &[b"one", b"two"]).expect("written");
        replace(&path, &[b"three"]).expect("written again");
        assert_eq!(std::fs::read(&path).expect("read"), b"three");
        assert_eq!(std::fs::read_dir(folder.path().join("a/b")).expect("listed").count(), 1);
        // A file stands where a folder would have to be.
        assert!(replace(&path.join("d"), &[b"four"]).is_err());
    }

    #[test]
    fn the_folder_is_the_one_that_was_asked_for() {
        assert_eq!(DiskCache::Off.folder(), None);
        assert_eq!(DiskCache::Folder("here".into()).folder(), Some("here".into()));
        assert!(DiskCache::User.folder().is_none_or(|folder| folder.ends_with("wgrad")));
    }
}
