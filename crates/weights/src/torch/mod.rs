//! What `torch.save` writes: a pickle of the object and, beside it, the raw storages of its tensors.
//!
//! [`pickle`] rebuilds the object from the few instructions and names that state dicts need; [`object`] is
//! what it builds. [`zip`] and [`legacy`] know where the two formats keep the storages.

mod legacy;
mod object;
mod pickle;
mod zip;

use std::collections::HashMap;
use std::sync::Arc;

use crate::entry::{Bytes, Entry};
use crate::{Weights, WeightsError};
use object::{Heap, Tensor, Value};

pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    zip::looks_like(bytes) || legacy::looks_like(bytes)
}

pub(crate) fn parse(buffer: &Arc<Vec<u8>>) -> Result<Weights, WeightsError> {
    if zip::looks_like(buffer) { zip::parse(buffer) } else { legacy::parse(buffer) }
}

/// An expanded tensor's strides of 0 repeat its values. One that repeats them more often than this on average,
/// into more bytes than that, is damage: whoever asks for its values would get gigabytes.
const REPEATS: usize = 64;
const REPEATED: usize = 64 << 20;

/// The tensors of an object, with the storages that they are views of.
fn collect(
    format: &'static str,
    heap: &Heap<'_>,
    root: Value,
    storages: &HashMap<String, Bytes>,
) -> Result<Weights, WeightsError> {
    let mut weights = Weights::new();
    for (name, tensor) in heap.tensors(root).map_err(|problem| WeightsError::damaged(format, problem))? {
        let damaged = |problem: String| WeightsError::damaged(format, problem);
        let storage = storages.get(&tensor.storage.key);
        let entry = storage.and_then(|bytes| view(tensor, bytes));
        let entry = entry.ok_or_else(|| damaged(format!("`{name}` reaches beyond its storage")))?;
        let stored = storage.map_or(0, |bytes| bytes.as_slice().len());
        let size = entry.shape().iter().fold(entry.stored().size(), |size, &n| size.saturating_mul(n));
        if size > stored.saturating_mul(REPEATS).max(REPEATED) {
            return Err(damaged(format!("`{name}` makes {entry} of {stored} bytes")));
        }
        weights.insert_entry(name, entry)?;
    }
    Ok(weights)
}

fn view(tensor: &Tensor, storage: &Bytes) -> Option<Entry> {
    let offset = tensor.offset.checked_add(tensor.storage.offset)?;
    Entry::view(tensor.storage.stored, tensor.shape.as_slice().into(), &tensor.strides, storage, offset)
}
