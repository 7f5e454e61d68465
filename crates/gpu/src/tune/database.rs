//! Choices on disk: JSON, sorted by kernel, so that two files can be compared line by line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::{Choice, Tuning};
use crate::adapter::AdapterInfo;
use crate::device::Options;
use crate::disk;

/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;
/// A longer file is no database.
const LONGEST: u64 = 16 << 20;

/// Databases that ship with the library.
const SHIPPED: [&str; 1] = [include_str!("../../tuned/llvmpipe-22.3.json")];

/// Measured choices for the kernels of one adapter and driver.
///
/// ```no_run
/// use wgrad_gpu::TuningDatabase;
/// let database = TuningDatabase::read("tuned.json".as_ref())?;
/// println!("{} kernels of {}", database.len(), database.adapter());
/// # Ok::<(), wgrad_gpu::TuningError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningDatabase {
    #[serde(rename = "wgrad_tuning")]
    version: u32,
    adapter: String,
    driver: String,
    #[serde(deserialize_with = "known")]
    kernels: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Entry {
    choice: Choice,
    /// The rule's time as a multiple of this choice's, when it was measured.
    gain: f64,
}

/// The kernels whose choices have a form that this version knows; the others are left to the rule.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Entry>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Any {
        choice: serde_json::Value,
        gain: f64,
    }
    let all = BTreeMap::<String, Any>::deserialize(deserializer)?;
    let entry = |(signature, Any { choice, gain })| {
        serde_json::from_value(choice).ok().map(|choice| (signature, Entry { choice, gain }))
    };
    Ok(all.into_iter().filter_map(entry).collect())
}

/// Why a tuning database could not be used or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// The file cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The file is no tuning database, or a damaged one.
    #[error("{path} is no tuning database: {message}; `cargo xtask tune` or a `Tuner` writes one")]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The file was written by a later version of this library.
    #[error("{path} has version {version} of the tuning format, this library reads up to {known}: update it")]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// The file's version.
        version: u32,
        /// The latest that this library knows.
        known: u32,
    },
    /// The file is for another adapter or driver.
    #[error("{path} was measured on {theirs}, this is {ours}: measure anew")]
    OtherDevice {
        /// Where it is.
        path: PathBuf,
        /// The file's adapter and driver.
        theirs: String,
        /// This device's adapter and driver.
        ours: String,
    },
    /// There is no folder to write to.
    #[error("there is no folder to keep choices in: `Options::disk_cache` is off, or the user has no home")]
    NoFolder,
}

impl TuningDatabase {
    /// An empty one for an adapter and its driver.
    pub fn new(info: &AdapterInfo) -> Self {
        let AdapterInfo { name, driver, .. } = info.clone();
        Self { version: VERSION, adapter: name, driver, kernels: BTreeMap::new() }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TuningError> {
        let unreadable =
            |error: std::io::Error| TuningError::File { path: path.into(), message: error.to_string() };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > LONGEST {
            return Err(TuningError::Damaged {
                path: path.into(),
                message: format!("it has {length} bytes"),
            });
        }
        Self::parse(&std::fs::read(path).map_err(unreadable)?, path)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, TuningError> {
        /// What all versions have in common.
        #[derive(Deserialize)]
        struct Head {
            wgrad_tuning: u32,
        }
        let damaged =
            |error: serde_json::Error| TuningError::Damaged { path: path.into(), message: error.to_string() };
        let Head { wgrad_tuning: version } = serde_json::from_slice(text).map_err(damaged)?;
        if version > VERSION {
            return Err(TuningError::Newer { path: path.into(), version, known: VERSION });
        }
        serde_json::from_slice(text).map_err(damaged)
    }

    /// Writes a file, replacing it as a whole.
    pub fn write(&self, path: &Path) -> Result<(), TuningError> {
        let failed = |message: String| TuningError::File { path: path.into(), message };
        let mut text = serde_json::to_string_pretty(self).map_err(|error| failed(error.to_string()))?;
        text.push('\n');
        disk::replace(path, &[text.as_bytes()]).map_err(|error| failed(error.to_string()))
    }

    /// Whether it is for this adapter and driver.
    pub(super) fn check(&self, path: &Path, info: &AdapterInfo) -> Result<(), TuningError> {
        if self.is_for(info) {
            return Ok(());
        }
        let theirs = format!("{} with {}", self.adapter, self.driver);
        let ours = format!("{} with {}", info.name, info.driver);
        Err(TuningError::OtherDevice { path: path.into(), theirs, ours })
    }

    fn is_for(&self, info: &AdapterInfo) -> bool {
        self.adapter == info.name && self.driver == info.driver
    }

    /// The name of the file for an adapter and its driver.
    pub(super) fn file_name(info: &AdapterInfo) -> String {
        let digest = Sha256::digest(format!("{}\n{}", info.name, info.driver));
        let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("tuning-{short}.json")
    }

    /// The adapter's name.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The driver and its version.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The number of kernels.
    pub fn len(&self) -> usize {
        self.kernels.len()
    }

    /// Whether no kernel has a choice.
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// Kernels' signatures and their choices, sorted.
    pub fn choices(&self) -> impl Iterator<Item = (&str, Choice)> {
        self.kernels.iter().map(|(signature, entry)| (signature.as_str(), entry.choice))
    }

    /// Chooses for the kernels of a signature, for so many times the speed of the rule.
    pub fn insert(&mut self, signature: impl Into<String>, choice: Choice, gain: f64) {
        let gain = (100.0 * gain).round() / 100.0;
        self.kernels.insert(signature.into(), Entry { choice, gain });
    }

    /// Takes over the choices of another one, also for kernels that have one.
    pub fn extend(&mut self, other: &Self) {
        self.kernels.extend(other.kernels.iter().map(|(signature, entry)| (signature.clone(), *entry)));
    }
}

/// The choices of a device.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) choices: BTreeMap<String, Choice>,
    /// Why a file was ignored.
    pub(crate) problem: Option<TuningError>,
}

impl Found {
    /// What there is for a device with these options.
    pub(crate) fn open(info: &AdapterInfo, options: &Options) -> Result<Self, TuningError> {
        // Who shapes kernels himself wants no other shapes.
        if options.shaping.is_some() {
            return Ok(Self::default());
        }
        let read = |path: &Path| {
            let database = TuningDatabase::read(path)?;
            database.check(path, info).map(|()| database)
        };
        let mut found = Self::default();
        match &options.tuning {
            Tuning::Off => {}
            Tuning::File(path) => found.add(&read(path)?),
            Tuning::OnDisk => {
                shipped().filter(|database| database.is_for(info)).for_each(|database| found.add(&database));
                let path =
                    options.disk_cache.folder().map(|folder| folder.join(TuningDatabase::file_name(info)));
                match path.filter(|path| path.exists()).map(|path| read(&path)) {
                    Some(Ok(database)) => found.add(&database),
                    Some(Err(problem)) => found.problem = Some(problem),
                    None => {}
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, database: &TuningDatabase) {
        self.choices.extend(database.choices().map(|(signature, choice)| (signature.to_string(), choice)));
    }
}

fn shipped() -> impl Iterator<Item = TuningDatabase> {
    SHIPPED.into_iter().filter_map(|text| TuningDatabase::parse(text.as_bytes(), Path::new("shipped")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::WorkgroupTile;

    fn info(name: &str) -> AdapterInfo {
        let (name, backend, driver) = (name.into(), "vulkan".into(), "a driver 1.0".into());
        let kind = crate::AdapterKind::Discrete;
        AdapterInfo { name, backend, kind, driver, subgroups: None, features: vec![], limits: vec![] }
    }

    fn database() -> TuningDatabase {
        let mut database = TuningDatabase::new(&info("one"));
        database.insert("row", Choice::Row { share: 8 }, 1.23456);
        let tile = WorkgroupTile { rows: 64, columns: 64, inner: 16, rows_each: 4, columns_each: 4 };
        database.insert("contract", Choice::Workgroup(tile), 2.0);
        database
    }

    fn on_disk(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tuning.json");
        std::fs::write(&path, text).expect("written");
        (folder, path)
    }

    #[test]
    fn what_was_written_is_read_and_sorted() {
        let (_folder, path) = on_disk("");
        database().write(&path).expect("written");
        assert_eq!(TuningDatabase::read(&path).expect("read"), {
            let mut expected = database();
            expected.insert("row", Choice::Row { share: 8 }, 1.23);
            expected
        });
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(
            text.find("contract") < text.find("row") && text.contains("1.23") && text.ends_with("}\n"),
            "{text}"
        );
    }

    #[test]
    fn damaged_newer_and_foreign_files_are_told_apart() {
        let whole = serde_json::to_string(&database()).expect("json");
        for length in 0..whole.len() {
            let (_folder, path) = on_disk(&whole[..length]);
            let error = TuningDatabase::read(&path).expect_err("damaged");
            assert!(matches!(error, TuningError::Damaged { .. }), "{error}");
        }
        for foreign in ["[]", "{}", "{\"adapter\": \"one\"}", "{\"wgrad_tuning\": -1}", "\u{0}"] {
            let (_folder, path) = on_disk(foreign);
            assert!(matches!(TuningDatabase::read(&path), Err(TuningError::Damaged { .. })), "{foreign}");
        }
        let (_folder, path) = on_disk("{\"wgrad_tuning\": 2, \"all\": \"different\"}");
        assert!(matches!(TuningDatabase::read(&path), Err(TuningError::Newer { version: 2, .. })));
        let (_folder, path) = on_disk(&whole);
        let database = TuningDatabase::read(&path).expect("whole");
        assert!(database.check(&path, &info("one")).is_ok());
        assert!(matches!(database.check(&path, &info("two")), Err(TuningError::OtherDevice { .. })));
        assert!(matches!(TuningDatabase::read(&path.join("none")), Err(TuningError::File { .. })));
    }

    #[test]
    fn choices_of_another_form_are_left_to_the_rule() {
        let whole = serde_json::to_string(&database()).expect("json");
        let before = "\"choice\":{\"workgroup\":";
        let start = whole.find(before).expect("the tile") + "\"choice\":".len();
        let end = start + whole[start..].find("}}").expect("its end") + 2;
        for form in ["\"workgroup\"", "{\"workgroup\":{\"rows\":64}}", "{\"by_tides\":[1,2]}"] {
            let text = [&whole[..start], form, &whole[end..]].concat();
            let read = TuningDatabase::parse(text.as_bytes(), Path::new("other")).expect("a database");
            let row = ("row", Choice::Row { share: 8 });
            assert_eq!(read.choices().collect::<Vec<_>>(), [row], "{form}");
        }
    }

    #[test]
    fn shipped_databases_are_whole() {
        assert_eq!(shipped().count(), SHIPPED.len());
    }
}
