//! PyTorch's format before 1.6: five pickles (a magic number, a version, facts about the machine, the
//! object, the keys of its storages), then each storage as a length and its values.

use std::collections::HashMap;
use std::sync::Arc;

use super::object::{Heap, Object, Value};
use super::{collect, pickle};
use crate::entry::Bytes;
use crate::{Weights, WeightsError};

const FORMAT: &str = "PyTorch legacy";
/// 0x1950a86a20f9469cfc6c as a pickle holds it.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The magic number lies in a pickle of its own, which is not longer than this.
const FIRST: usize = 32;

pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let first = &bytes[..bytes.len().min(FIRST)];
    first.starts_with(&[0x80]) && first.windows(MAGIC.len()).any(|window| window == MAGIC)
}

pub(super) fn parse(buffer: &Arc<Vec<u8>>) -> Result<Weights, WeightsError> {
    let magic = pickle::unpickle(buffer, 0)?;
    let version = pickle::unpickle(buffer, magic.end)?;
    let machine = pickle::unpickle(buffer, version.end)?;
    if !matches!(version.root, Value::Int(1001)) {
        return Err(WeightsError::Unsupported("another version of PyTorch's old format".into()));
    }
    if !is_little_endian(&machine.heap, machine.root) {
        return Err(WeightsError::Unsupported("values in big-endian order".into()));
    }
    let object = pickle::unpickle(buffer, machine.end)?;
    let keys = pickle::unpickle(buffer, object.end)?;
    let sizes: HashMap<&str, usize> =
        object.storages.iter().map(|storage| (storage.key.as_str(), storage.stored.size())).collect();
    let mut storages = HashMap::new();
    let mut at = keys.end;
    let broken = |problem: &str| WeightsError::damaged(FORMAT, problem);
    for &key in keys.heap.list(keys.root).ok_or_else(|| broken("the keys are no list"))? {
        let key = keys.heap.text(key).ok_or_else(|| broken("a key is no text"))?;
        let size = sizes.get(key).ok_or_else(|| broken("a storage belongs to no tensor"))?;
        let (bytes, end) = storage(buffer, at, *size).ok_or_else(|| broken("it ends within a storage"))?;
        storages.insert(key.to_string(), bytes);
        at = end;
    }
    collect(FORMAT, &object.heap, object.root, &storages)
}

/// A storage and where it ends: the number of elements in eight bytes, then the elements.
fn storage(buffer: &Arc<Vec<u8>>, at: usize, size: usize) -> Option<(Bytes, usize)> {
    let length = buffer.get(at..)?.first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?.checked_mul(size)?;
    let start = at + 8;
    let end = start.checked_add(length)?;
    Some((Bytes::part(buffer, start..end)?, end))
}

/// What the dict of facts says under `little_endian`.
fn is_little_endian(heap: &Heap<'_>, facts: Value) -> bool {
    match heap.object(facts) {
        Some(Object::Dict(facts)) => facts.iter().any(|&(key, value)| {
            heap.text(key) == Some("little_endian") && matches!(value, Value::Bool(true))
        }),
        _ => false,
    }
}
