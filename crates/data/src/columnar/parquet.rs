//! Parquet files, through Arrow's reader.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::table::{Visit, format, io, plausible};
use crate::error::FileProblem;

/// Rows that are decoded at a time.
const STRIDE: usize = 1024;

pub(super) fn open(file: &File) -> Result<ArrowReaderMetadata, FileProblem> {
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(format)
}

/// The rows of each group. What the file says of them in three places must agree: nothing else stands
/// between a damaged number and a dataset of 2⁶⁰ records.
pub(super) fn rows(metadata: &ParquetMetaData) -> Result<Vec<usize>, FileProblem> {
    let contradiction = || FileProblem::Format("contradicts itself in its numbers of rows".into());
    let mut all = Vec::with_capacity(metadata.num_row_groups());
    for group in metadata.row_groups() {
        let rows = group.num_rows();
        let agrees = group.columns().iter().all(|column| match column.column_descr().max_rep_level() {
            0 => column.num_values() == rows,
            _ => column.num_values() >= rows,
        });
        all.push(usize::try_from(rows).ok().filter(|_| agrees).ok_or_else(contradiction)?);
    }
    let sum = all.iter().try_fold(0usize, |sum, &rows| sum.checked_add(rows));
    let declared = usize::try_from(metadata.file_metadata().num_rows()).ok();
    if sum.is_none() || sum != declared { Err(contradiction()) } else { Ok(all) }
}

pub(super) fn read(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    group: usize,
    columns: &[usize],
    visit: Visit<'_>,
) -> Result<(), FileProblem> {
    let file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(Pages { file, bytes }, metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
    let reader = builder.with_projection(mask).with_row_groups(vec![group]).with_batch_size(STRIDE);
    for batch in reader.build().map_err(format)? {
        visit(&batch.map_err(format)?)?;
    }
    Ok(())
}

/// The file, with a look at the header of each page before memory is made ready for its contents.
struct Pages {
    file: File,
    bytes: u64,
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    /// A page's header begins here: everything else is read by its length.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut reader = self.file.get_read(start)?;
        match sizes(reader.fill_buf()?) {
            Some([whole, compressed]) if !plausible(whole, compressed) => Err(ParquetError::General(
                format!("a page of {compressed} bytes declares {whole} bytes of contents"),
            )),
            _ => Ok(reader),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<bytes::Bytes, ParquetError> {
        match start.checked_add(length as u64).filter(|&end| end <= self.bytes) {
            Some(_) => self.file.get_bytes(start, length),
            None => Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the file"))),
        }
    }
}

/// The uncompressed and the compressed size of a page, the second and third field of its header: in Thrift's
/// compact protocol each is a byte 0x15 (next field, i32) and a zigzag varint. `None` for anything else,
/// which is for the reader to judge.
fn sizes(mut header: &[u8]) -> Option<[u64; 2]> {
    let mut field = || {
        let (tag, rest) = header.split_first()?;
        header = rest;
        let mut zigzag = 0u64;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = header.split_first()?;
            header = rest;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return (*tag == 0x15).then_some(zigzag / 2);
            }
        }
        None
    };
    let (_kind, whole, compressed) = (field()?, field()?, field()?);
    Some([whole, compressed])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_header_starts_with_kind_and_sizes() {
        // Data page (0), 300 bytes whole, 100 compressed; zigzag doubles.
        assert_eq!(sizes(&[0x15, 0, 0x15, 0xd8, 0x04, 0x15, 0xc8, 0x01, 0x2c]), Some([300, 100]));
        assert_eq!(sizes(&[0x15, 0, 0x15, 0xd8]), None);
        assert_eq!(sizes(&[0x25, 0, 0x15, 0, 0x15, 0]), None);
        assert_eq!(sizes(&[0x15, 0, 0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
