//! Compiled pipelines on disk, where the API hands them out (Vulkan): one file for each adapter and driver. A driver
//! believes what it is given, so a file has a header of ours, and goes to the driver only if every byte is as it was
//! written, by the same driver.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256};

use super::{DiskCache, replace};
use crate::device::lock;
use crate::vulkan::{Cache, Context};

const MAGIC: [u8; 8] = *b"wgradPL2";
const HEADER: usize = MAGIC.len() + 8 + 32;
/// A larger cache is not kept; a new one begins.
const LARGEST: u64 = 64 << 20;
/// Files of so many adapters and drivers are kept.
const FILES: usize = 8;
/// Headers alone: no driver needs less for a pipeline.
const EMPTY: usize = 256;
/// Programs that are compiled one after the other are saved together.
const PAUSE: Duration = Duration::from_secs(1);

/// What was found of the pipelines of earlier runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipelinesOnDisk {
    /// None are kept: the adapter's API does not hand them out, or there is no folder.
    Off,
    /// No earlier run has left any.
    Absent,
    /// So many bytes went to the driver.
    Loaded(u64),
    /// There is a file that did not go to the driver, and which the next pipelines replace.
    Refused(Refusal),
}

/// Why a file of pipelines did not go to the driver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no file of this library, or one of another version.
    #[error("it is no file of pipelines")]
    Foreign,
    /// It is longer or shorter than it says, or longer than any that is kept.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// Its checksum is another: it was damaged, or written by another driver.
    #[error("its checksum is wrong")]
    Checksum,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// The pipelines that a driver has in memory, and the file where they are kept.
#[derive(Debug)]
pub(crate) struct Pipelines {
    cache: Cache,
    path: PathBuf,
    key: String,
    found: PipelinesOnDisk,
    unsaved: AtomicU64,
    saved: Mutex<Option<Saved>>,
}

/// What was written last.
#[derive(Debug)]
struct Saved {
    checksum: [u8; 32],
    at: Instant,
}

impl Pipelines {
    /// Those of a device; `None` where they cannot be kept.
    pub(crate) fn open(adapter: &wgpu::AdapterInfo, driver: &Arc<Context>, disk: &DiskCache) -> Option<Self> {
        let key = key(adapter)?;
        let path = disk.folder()?.join(file_name(&key));
        let (found, data) = match read(&path, &key) {
            Ok(None) => (PipelinesOnDisk::Absent, None),
            Ok(Some(data)) => (PipelinesOnDisk::Loaded(data.len() as u64), Some(data)),
            Err(refusal) => (PipelinesOnDisk::Refused(refusal), None),
        };
        let cache = create(driver, data.as_deref())?;
        let saved = Mutex::new(None);
        Some(Self { cache, path, key, found, unsaved: AtomicU64::new(0), saved })
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn found(&self) -> &PipelinesOnDisk {
        &self.found
    }

    /// Notes that a pipeline was compiled.
    pub(crate) fn added(&self) {
        self.unsaved.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes what is new, unless that was done a moment ago. Whoever writes last at the same time wins; a folder
    /// that cannot be written to costs nothing but compiling again.
    pub(crate) fn save(&self) {
        let mut saved = lock(&self.saved);
        if saved.as_ref().is_none_or(|saved| saved.at.elapsed() >= PAUSE) {
            self.save_now(&mut saved);
        }
    }

    fn save_now(&self, saved: &mut Option<Saved>) {
        if self.unsaved.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        let Some(data) = self.cache.data().filter(|data| data.len() > EMPTY) else { return };
        if data.len() as u64 > LARGEST {
            let _ = std::fs::remove_file(&self.path);
            return;
        }
        let checksum = checksum(&self.key, &data);
        if saved.as_ref().is_none_or(|saved| saved.checksum != checksum) {
            let _ = replace(&self.path, &[&header(&self.key, &data), &data]);
            self.path.parent().into_iter().for_each(|folder| prune(folder, FILES));
        }
        *saved = Some(Saved { checksum, at: Instant::now() });
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        let mut saved = lock(&self.saved).take();
        self.save_now(&mut saved);
    }
}

/// What the driver keeps pipelines in, with those of a former run.
#[allow(unsafe_code)]
fn create(driver: &Arc<Context>, data: Option<&[u8]>) -> Option<Cache> {
    // SAFETY: the data are what `Cache::data` gave for the same adapter and driver, unchanged: all of this is under the
    // checksum that `read` has compared.
    unsafe { Cache::new(driver, data.unwrap_or_default()) }.ok()
}

/// Everything that pipelines depend on; `None` where the API does not hand them out.
fn key(adapter: &wgpu::AdapterInfo) -> Option<String> {
    let class = wgpu::util::pipeline_cache_key(adapter)?;
    let wgpu::AdapterInfo { name, driver, driver_info, .. } = adapter;
    let bits = usize::BITS;
    Some(format!("{class}\n{name}\n{driver}\n{driver_info}\n{bits} bits"))
}

fn file_name(key: &str) -> String {
    let digest = Sha256::digest(key);
    let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("pipelines-{short}.bin")
}

fn checksum(key: &str, data: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update((key.len() as u64).to_le_bytes())
        .chain_update(key)
        .chain_update(data)
        .finalize()
        .into()
}

/// Magic, bytes of data, checksum of key and data.
fn header(key: &str, data: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &(data.len() as u64).to_le_bytes(), &checksum(key, data)].concat()
}

/// The data of a file with this key; `None` if there is no file.
fn read(path: &Path, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let most = LARGEST + HEADER as u64;
    if length > most {
        return Err(Refusal::Length { expected: most, found: length });
    }
    decode(std::fs::read(path).map_err(unreadable)?, key).map(Some)
}

/// What follows the header, if it is whole.
fn decode(mut file: Vec<u8>, key: &str) -> Result<Vec<u8>, Refusal> {
    let Some((header, data)) = file.split_at_checked(HEADER) else { return Err(Refusal::Foreign) };
    let (magic, rest) = header.split_at(MAGIC.len());
    let (length, expected) = rest.split_at(8);
    if magic != MAGIC {
        return Err(Refusal::Foreign);
    }
    let length = length.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    if length != data.len() as u64 {
        let expected = length.saturating_add(HEADER as u64);
        return Err(Refusal::Length { expected, found: file.len() as u64 });
    }
    if checksum(key, data) != *expected {
        return Err(Refusal::Checksum);
    }
    Ok(file.split_off(HEADER))
}

/// Removes the files that were written longest ago, so that no more than `most` are left.
fn prune(folder: &Path, most: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let ours = |name: &str| name.starts_with("pipelines-") && name.ends_with(".bin");
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(ours))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(most);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "an adapter\na driver";

    fn whole() -> Vec<u8> {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * i) as u8).collect();
        [header(KEY, &data), data].concat()
    }

    #[test]
    fn what_was_written_is_read() {
        let data = decode(whole(), KEY).expect("whole");
        assert_eq!(data, whole()[HEADER..]);
    }

    #[test]
    fn no_damaged_byte_and_no_other_length_is_read() {
        for at in 0..whole().len() {
            for bit in [0x01, 0x80] {
                let mut file = whole();
                file[at] ^= bit;
                assert!(decode(file, KEY).is_err(), "byte {at}");
            }
            assert!(decode(whole()[..at].to_vec(), KEY).is_err(), "{at} bytes");
        }
        assert!(matches!(decode([whole(), vec![0]].concat(), KEY), Err(Refusal::Length { .. })));
        assert_eq!(decode(vec![b'x'; 5000], KEY), Err(Refusal::Foreign));
        assert_eq!(decode(whole(), "another driver"), Err(Refusal::Checksum));
    }

    #[test]
    fn a_file_that_is_not_there_is_no_refusal() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(&folder.path().join("none"), KEY), Ok(None));
        assert!(matches!(read(folder.path(), KEY), Err(Refusal::Unreadable(_))));
    }

    #[test]
    fn the_oldest_files_go() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..5u64 {
            let path = folder.path().join(format!("pipelines-{number}.bin"));
            let file = std::fs::File::create(path).expect("a file");
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - number);
            file.set_modified(at).expect("a time");
        }
        std::fs::write(folder.path().join("something else"), "").expect("a file");
        prune(folder.path(), 2);
        let left = |name: &str| folder.path().join(name).exists();
        assert!(left("pipelines-0.bin") && left("pipelines-1.bin") && left("something else"));
        assert!(!left("pipelines-2.bin") && !left("pipelines-4.bin"));
    }

    #[test]
    fn writers_and_readers_at_once_see_whole_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipelines-0.bin");
        std::thread::scope(|scope| {
            for writer in 0..2u8 {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..100usize {
                        let data = vec![writer; 1000 * (round + 1)];
                        replace(path, &[&header(KEY, &data), &data]).expect("written");
                    }
                });
            }
            let mut seen = 0;
            while seen < 100 {
                let data = read(&path, KEY).expect("a whole file");
                seen += usize::from(data.is_some_and(|data| data.iter().all(|byte| *byte == data[0])));
            }
        });
    }

    /// Opens the device of the tests with a folder, and computes with it.
    fn run(folder: &Path) -> crate::Gpu {
        let disk_cache = DiskCache::Folder(folder.into());
        let gpu = crate::Gpu::with_options(crate::Options { disk_cache, ..Default::default() })
            .expect("an adapter");
        let graph = wgrad_core::Graph::new(wgrad_core::Mode::Eval);
        let sum = graph.iota([100], 0, wgrad_core::F32).square().sum(..);
        assert_eq!(gpu.eval(&sum).expect("runs").data, [328_350.0]);
        gpu
    }

    #[test]
    fn a_device_uses_whole_files_refuses_damaged_ones_and_needs_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let gpu = run(folder.path());
        let (Some(driver), Some(key)) = (&gpu.inner.vulkan, key(&gpu.inner.device.adapter_info())) else {
            assert_eq!(gpu.pipelines_on_disk(), &PipelinesOnDisk::Off);
            return;
        };
        assert_eq!(gpu.pipelines_on_disk(), &PipelinesOnDisk::Absent);
        let path = folder.path().join(file_name(&key));
        let data = create(driver, None).and_then(|cache| cache.data()).expect("data, if only a header");
        drop(gpu);
        let mut file = [header(&key, &data), data].concat();
        std::fs::write(&path, &file).expect("written");
        let loaded = PipelinesOnDisk::Loaded((file.len() - HEADER) as u64);
        assert_eq!(run(folder.path()).pipelines_on_disk(), &loaded);
        *file.last_mut().expect("bytes") ^= 1;
        std::fs::write(&path, &file).expect("written");
        let refused = PipelinesOnDisk::Refused(Refusal::Checksum);
        assert_eq!(run(folder.path()).pipelines_on_disk(), &refused);
        // Where no folder can be made, nothing is kept and nothing fails.
        run(&path.join("folder"));
    }
}
