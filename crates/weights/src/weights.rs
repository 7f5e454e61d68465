//! The ordered map of named arrays.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use wgrad_core::{Array, VarKind, Vars};

use crate::entry::Entry;
use crate::{WeightsError, file, safetensors, torch};

/// Named arrays, in the order of their file. Reading keeps a file's bytes once and converts nothing.
///
/// Arrays in nested dicts get the names along the way, joined by dots: of `{"state_dict": {"fc.weight": …}}`
/// the array is called `state_dict.fc.weight`, and [`Weights::sub`]`("state_dict")` gives the inner dict.
///
/// ```
/// use wgrad_core::{Array, Init, Vars};
/// use wgrad_weights::Weights;
/// let mut file = Weights::new();
/// file.insert("module.fc.weight", &Array::from_slice([2], &[1f32, 2.0]));
///
/// let vars = Vars::new();
/// vars.sub("fc").var("weight", [2], Init::constant(0.0));
/// let report = file.sub("module").apply(&vars)?; // what `gpu.init` now starts from
/// assert_eq!(report.loaded, ["fc.weight"]);
/// # Ok::<(), wgrad_weights::WeightsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Weights {
    entries: IndexMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl Weights {
    /// No arrays.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a safetensors file, or what `torch.save` writes (its zip and its older format), whatever the
    /// name ends in. Of a pickle only what state dicts need is understood; nothing in it is run.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(WeightsError::io("read"));
        bytes.and_then(Self::from_bytes).map_err(in_file(path))
    }

    /// [`Weights::read`] for a file in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let buffer = Arc::new(bytes);
        if safetensors::looks_like(&buffer) {
            safetensors::parse(&buffer)
        } else if torch::looks_like(&buffer) {
            torch::parse(&buffer)
        } else {
            Err(WeightsError::UnknownFormat { start: buffer.iter().take(8).copied().collect() })
        }
    }

    /// Writes a safetensors file. It appears under its name only when it is whole and on disk.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), WeightsError> {
        let path = path.as_ref();
        let written = file::write_whole(path, |out| safetensors::write(self, out));
        written.map_err(WeightsError::io("written")).map_err(in_file(path))
    }

    /// A safetensors file in memory. The same arrays and metadata give the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let mut bytes = Vec::new();
        safetensors::write(self, &mut bytes).map_err(WeightsError::io("written"))?;
        Ok(bytes)
    }

    /// The values of a model's parameters and buffers, under their names in `vars` and in their order: what
    /// PyTorch calls a state dict. Integers become i64, as PyTorch keeps them. `read` gets full names:
    /// `|name| state.read(name)`.
    pub fn of_model<E>(vars: &Vars, read: impl FnMut(&str) -> Result<Array, E>) -> Result<Self, E> {
        Self::of(vars, |kind| matches!(kind, VarKind::Parameter | VarKind::Buffer), read)
    }

    /// [`Weights::of_model`], and what optimizers keep beside each parameter.
    pub fn of_training<E>(vars: &Vars, read: impl FnMut(&str) -> Result<Array, E>) -> Result<Self, E> {
        Self::of(vars, |kind| *kind != VarKind::System, read)
    }

    fn of<E>(
        vars: &Vars,
        wanted: impl Fn(&VarKind) -> bool,
        mut read: impl FnMut(&str) -> Result<Array, E>,
    ) -> Result<Self, E> {
        let mut weights = Self::new();
        for var in vars.all().iter().filter(|var| wanted(var.kind())) {
            let name = vars.relative(var).unwrap_or(var.name());
            weights.entries.insert(name.into(), Entry::of_array(&read(var.name())?).widened());
        }
        Ok(weights)
    }

    /// The number of arrays.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names and arrays, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The array with a name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Adds an array, or replaces the one with this name.
    pub fn insert(&mut self, name: impl Into<String>, array: &Array) {
        self.entries.insert(name.into(), Entry::of_array(array));
    }

    pub(crate) fn insert_entry(&mut self, name: String, entry: Entry) -> Result<(), WeightsError> {
        match self.entries.entry(name) {
            indexmap::map::Entry::Vacant(place) => {
                place.insert(entry);
                Ok(())
            }
            indexmap::map::Entry::Occupied(taken) => {
                Err(WeightsError::Duplicate { name: taken.key().clone() })
            }
        }
    }

    /// What a safetensors file says about itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Says something in the file's metadata.
    pub fn set_metadata(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// The arrays below a prefix, without it: `sub("module")` undoes what `DataParallel` puts in front.
    pub fn sub(&self, prefix: &str) -> Self {
        let inside = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_string());
        let below = self.entries.iter().filter_map(|(name, entry)| Some((inside(name)?, entry.clone())));
        Self { entries: below.collect(), metadata: self.metadata.clone() }
    }

    /// Only the arrays whose names pass: `filter(|name| !name.starts_with("classifier."))`.
    pub fn filter(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.entries.retain(|name, _| keep(name));
        self
    }

    /// Gives every array a new name: `rename(|name| name.replace("gamma", "weight"))`. Two arrays must not
    /// get the same one.
    pub fn rename(self, name: impl Fn(&str) -> String) -> Result<Self, WeightsError> {
        let mut renamed = Self { metadata: self.metadata, ..Self::default() };
        for (old, entry) in self.entries {
            renamed.insert_entry(name(&old), entry)?;
        }
        Ok(renamed)
    }
}

fn in_file(path: &Path) -> impl FnOnce(WeightsError) -> WeightsError {
    move |error| WeightsError::File { path: path.into(), source: Box::new(error) }
}
