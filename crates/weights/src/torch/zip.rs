//! PyTorch's format since 1.6: a zip archive of `data.pkl` and one file for each storage.

use std::collections::HashMap;
use std::collections::hash_map;
use std::io::{Cursor, Read};
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::{collect, pickle};
use crate::entry::Bytes;
use crate::{Weights, WeightsError};

const FORMAT: &str = "PyTorch zip";
const PICKLE: &str = "data.pkl";

pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

pub(super) fn parse(buffer: &Arc<Vec<u8>>) -> Result<Weights, WeightsError> {
    let mut archive = Archive { buffer, zip: ZipArchive::new(Cursor::new(&buffer[..])).map_err(damaged)? };
    let root = archive.zip.file_names().find_map(|name| {
        let root = name.strip_suffix(PICKLE)?;
        (root.is_empty() || root.ends_with('/')).then(|| root.to_string())
    });
    let root = root.ok_or_else(|| {
        WeightsError::Unsupported("a zip archive without a `data.pkl`, so not written by PyTorch".into())
    })?;
    if let Some(order) = archive.file(&format!("{root}byteorder"))?
        && order.as_slice() != b"little"
    {
        return Err(WeightsError::Unsupported("values in big-endian order".into()));
    }
    let bytes = archive.file(&format!("{root}{PICKLE}"))?;
    let bytes = bytes.ok_or_else(|| WeightsError::damaged(FORMAT, "the pickle is gone"))?;
    let unpickled = pickle::unpickle(bytes.as_slice(), 0)?;
    let mut storages = HashMap::new();
    for storage in &unpickled.storages {
        if let hash_map::Entry::Vacant(place) = storages.entry(storage.key.clone()) {
            let bytes = archive.file(&format!("{root}data/{}", storage.key))?;
            let gone = || WeightsError::damaged(FORMAT, format!("storage `{}` is missing", storage.key));
            place.insert(bytes.ok_or_else(gone)?);
        }
    }
    collect(FORMAT, &unpickled.heap, unpickled.root, &storages)
}

struct Archive<'a> {
    buffer: &'a Arc<Vec<u8>>,
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

impl Archive<'_> {
    /// A file of the archive. What is not compressed stays where it is; its checksum is checked anyway.
    fn file(&mut self, name: &str) -> Result<Option<Bytes>, WeightsError> {
        let Some(index) = self.zip.index_for_name(name) else { return Ok(None) };
        let mut file = self.zip.by_index(index).map_err(damaged)?;
        let outside = || WeightsError::damaged(FORMAT, format!("`{name}` does not lie inside"));
        if file.compression() != CompressionMethod::Stored {
            let mut bytes = vec![];
            file.read_to_end(&mut bytes).map_err(damaged)?;
            return Ok(Some(Bytes::whole(bytes)));
        }
        let place = |start: u64, size: u64| {
            let (start, end) =
                (usize::try_from(start).ok()?, usize::try_from(start.checked_add(size)?).ok()?);
            Bytes::part(self.buffer, start..end)
        };
        let bytes = place(file.data_start(), file.size()).ok_or_else(outside)?;
        if crc32fast::hash(bytes.as_slice()) != file.crc32() {
            return Err(WeightsError::damaged(FORMAT, format!("`{name}` does not have its checksum")));
        }
        Ok(Some(bytes))
    }
}

fn damaged(error: impl ToString) -> WeightsError {
    WeightsError::damaged(FORMAT, error)
}
