//! The safetensors format: eight bytes of header length, a JSON header, the arrays one after the other
//! (<https://github.com/huggingface/safetensors>).

use std::io::{self, Write};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use crate::entry::{Bytes, Entry};
use crate::{StoredType, Weights, WeightsError};

const FORMAT: &str = "safetensors";
/// The header's length comes first.
const PREFIX: usize = 8;

pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(PREFIX) == Some(&b'{')
}

pub(crate) fn parse(buffer: &Arc<Vec<u8>>) -> Result<Weights, WeightsError> {
    let damaged = |error| WeightsError::damaged(FORMAT, error);
    let (header, metadata) = SafeTensors::read_metadata(buffer).map_err(damaged)?;
    let mut weights = Weights::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let stored = stored(info.dtype)
            .ok_or_else(|| WeightsError::Unsupported(format!("`{name}` as {:?}", info.dtype)))?;
        let (start, end) = info.data_offsets;
        let bytes = Bytes::part(buffer, PREFIX + header + start..PREFIX + header + end);
        let entry = bytes.and_then(|bytes| Entry::contiguous(stored, &info.shape[..], bytes));
        let misplaced = || WeightsError::damaged(FORMAT, format!("`{name}` does not lie inside"));
        weights.insert_entry(name.clone(), entry.ok_or_else(misplaced)?)?;
    }
    for (key, value) in metadata.metadata().iter().flatten() {
        weights.set_metadata(key, value);
    }
    Ok(weights)
}

/// Writes arrays of wide elements before those of narrow ones, so that each is aligned to its elements.
pub(crate) fn write(weights: &Weights, out: &mut impl Write) -> io::Result<()> {
    let mut entries: Vec<_> = weights.iter().collect();
    entries.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.stored().size()));
    let mut header = Map::new();
    if !weights.metadata().is_empty() {
        header.insert("__metadata__".into(), json!(weights.metadata()));
    }
    let mut end = 0;
    for (name, entry) in &entries {
        let start = end;
        end += entry.shape().numel() * entry.stored().size();
        let stored = name_of(entry.stored());
        let info = json!({"dtype": stored, "shape": entry.shape()[..], "data_offsets": [start, end]});
        header.insert((*name).into(), info);
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(PREFIX) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    entries.iter().try_for_each(|(_, entry)| out.write_all(&entry.to_bytes()))
}

fn stored(dtype: Dtype) -> Option<StoredType> {
    Some(match dtype {
        Dtype::F64 => StoredType::F64,
        Dtype::F32 => StoredType::F32,
        Dtype::F16 => StoredType::F16,
        Dtype::BF16 => StoredType::Bf16,
        Dtype::I64 => StoredType::I64,
        Dtype::I32 => StoredType::I32,
        Dtype::I16 => StoredType::I16,
        Dtype::I8 => StoredType::I8,
        Dtype::U64 => StoredType::U64,
        Dtype::U32 => StoredType::U32,
        Dtype::U16 => StoredType::U16,
        Dtype::U8 => StoredType::U8,
        Dtype::BOOL => StoredType::Bool,
        _ => return None,
    })
}

/// The format's name of a type: ours in capitals.
fn name_of(stored: StoredType) -> String {
    stored.to_string().to_uppercase()
}
