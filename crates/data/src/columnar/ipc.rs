//! Arrow files: the IPC format with a footer, which Feather files of version 2 are too.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::{FileDecoder, read_footer_length};
use arrow_ipc::{Block, Message, MetadataVersion, root_as_footer, root_as_message};
use arrow_schema::SchemaRef;

use super::table::{Visit, format, io, plausible};
use crate::error::FileProblem;

/// Rows that are handed on at a time.
const STRIDE: usize = 1024;

/// Where the record batches are.
#[derive(Debug)]
pub(super) struct Footer {
    version: MetadataVersion,
    blocks: Vec<Block>,
}

/// The columns, where the record batches are, and how many rows each has.
pub(super) fn open(file: &mut File) -> Result<(SchemaRef, Footer, Vec<usize>), FileProblem> {
    let end = file.metadata().map_err(io)?.len();
    let tail = part(file, end.saturating_sub(10), 10)?;
    let tail: [u8; 10] = tail[..].try_into().map_err(format)?;
    let length = read_footer_length(tail).map_err(format)? as u64;
    let start =
        (end - 10).checked_sub(length).ok_or_else(|| format("declares a footer larger than itself"))?;
    let bytes = part(file, start, length)?;
    let footer = root_as_footer(&bytes).map_err(format)?;
    let schema = footer.schema().ok_or_else(|| format("has no schema"))?;
    if !schema.endianness().equals_to_target_endianness() {
        return Err(format("holds values in the byte order of another machine"));
    }
    let schema = Arc::new(try_fb_to_schema(schema).map_err(format)?);
    let blocks: Vec<Block> = footer.recordBatches().into_iter().flatten().copied().collect();
    let mut rows = Vec::with_capacity(blocks.len());
    for block in &blocks {
        let bytes = part(file, unsigned(block.offset())?, unsigned(block.metaDataLength())?)?;
        let batch = message(&bytes)?.header_as_record_batch();
        let length = batch.ok_or_else(|| format("refers to something that is no record batch"))?.length();
        rows.push(usize::try_from(length).map_err(format)?);
    }
    Ok((schema, Footer { version: footer.version(), blocks }, rows))
}

pub(super) fn read(
    path: &Path,
    schema: &SchemaRef,
    footer: &Footer,
    group: usize,
    columns: &[usize],
    visit: Visit<'_>,
) -> Result<(), FileProblem> {
    let mut file = File::open(path).map_err(io)?;
    let block = footer.blocks.get(group).ok_or_else(|| format("has fewer record batches than before"))?;
    let head = unsigned(block.metaDataLength())?;
    let length = head.checked_add(unsigned(block.bodyLength())?).ok_or_else(|| format("is damaged"))?;
    let bytes = part(&mut file, unsigned(block.offset())?, length)?;
    let (metadata, body) = bytes.split_at(head as usize);
    check_sizes(&message(metadata)?, body)?;
    let decoder = FileDecoder::new(schema.clone(), footer.version).with_projection(columns.to_vec());
    let batch = decoder.read_record_batch(block, &Buffer::from_vec(bytes)).map_err(format)?;
    let batch = batch.ok_or_else(|| format("refers to something that is no record batch"))?;
    for start in (0..batch.num_rows()).step_by(STRIDE) {
        visit(&batch.slice(start, STRIDE.min(batch.num_rows() - start)))?;
    }
    Ok(())
}

/// A part of the file, if it has one there.
fn part(file: &mut File, start: u64, length: u64) -> Result<Vec<u8>, FileProblem> {
    let all = file.metadata().map_err(io)?.len();
    if start.checked_add(length).is_none_or(|end| end > all) {
        return Err(FileProblem::Format(format!(
            "has no {length} bytes at {start}: it is damaged or truncated"
        )));
    }
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// The description of a record batch: behind its length, and since version 0.15 a marker in front of that.
fn message(bytes: &[u8]) -> Result<Message<'_>, FileProblem> {
    let skipped = if bytes.starts_with(&[0xff; 4]) { 8 } else { 4 };
    root_as_message(bytes.get(skipped..).unwrap_or_default()).map_err(format)
}

/// Compressed buffers begin with the size of their contents, for which memory is made ready.
fn check_sizes(message: &Message<'_>, body: &[u8]) -> Result<(), FileProblem> {
    let batch = message.header_as_record_batch().filter(|batch| batch.compression().is_some());
    for buffer in batch.iter().filter_map(|batch| batch.buffers()).flatten() {
        let (start, length) = (unsigned(buffer.offset())?, unsigned(buffer.length())?);
        let bytes = body.get(start as usize..).and_then(|rest| rest.get(..length as usize));
        let bytes = bytes.ok_or_else(|| format("a buffer reaches beyond its record batch"))?;
        let Some(size) = bytes.first_chunk::<8>() else { continue };
        // −1 says that the contents follow as they are.
        let size = u64::try_from(i64::from_le_bytes(*size)).unwrap_or(0);
        if !plausible(size, length) {
            return Err(format(format_args!("a buffer of {length} bytes declares {size} bytes of contents")));
        }
    }
    Ok(())
}

fn unsigned(number: impl TryInto<u64>) -> Result<u64, FileProblem> {
    number.try_into().map_err(|_| format("holds a negative offset or length"))
}
