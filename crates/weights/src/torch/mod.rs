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

/// The tensors of an object, with the storages that they are views of.
fn collect(
    format: &'static str,
    heap: &Heap<'_>,
    root: Value,
    storages: &HashMap<String, Bytes>,
) -> Result<Weights, WeightsError> {
    let mut weights = Weights::new();
    for (name, tensor) in heap.tensors(root).map_err(|problem| WeightsError::damaged(format, problem))? {
        let entry = storages.get(&tensor.storage.key).and_then(|bytes| view(tensor, bytes));
        let outside = || WeightsError::damaged(format, format!("`{name}` reaches beyond its storage"));
        let entry = entry.ok_or_else(outside)?;
        weights.insert_entry(name, entry)?;
    }
    Ok(weights)
}

fn view(tensor: &Tensor, storage: &Bytes) -> Option<Entry> {
    let offset = tensor.offset.checked_add(tensor.storage.offset)?;
    Entry::view(tensor.storage.stored, tensor.shape.as_slice().into(), &tensor.strides, storage, offset)
}
