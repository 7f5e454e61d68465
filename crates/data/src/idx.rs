//! IDX files: the format of MNIST and its relatives, plain or gzipped.
//!
//! A big-endian header (two zero bytes, a type code, the number of axes, then the extent of each axis as
//! u32) and the values in row-major order. Source: Y. LeCun, C. Cortes, C. Burges, *The MNIST database*.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::DataError;
use crate::error::FileProblem;

/// The type code of unsigned bytes, the only one that image sets use.
const UNSIGNED_BYTE: u32 = 0x08;

/// The contents of an IDX file of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The extents.
    pub shape: Vec<usize>,
    /// The values in row-major order.
    pub values: Vec<u8>,
}

/// Reads an IDX file with `axes` axes of unsigned bytes. A gzipped file is recognised by its contents.
pub fn read(path: impl AsRef<Path>, axes: u8) -> Result<Idx, DataError> {
    let path = path.as_ref();
    let file = || -> Result<Idx, FileProblem> {
        let mut file = File::open(path).map_err(io_problem)?;
        let start = fill(&mut file, 2)?;
        let gzipped = start == [0x1f, 0x8b];
        let whole = Cursor::new(start).chain(file);
        if gzipped { parse(MultiGzDecoder::new(whole), axes) } else { parse(whole, axes) }
    };
    file().map_err(|problem| DataError::File { path: path.into(), problem })
}

fn parse(mut input: impl Read, axes: u8) -> Result<Idx, FileProblem> {
    let expected = 4 + 4 * usize::from(axes);
    let header = fill(&mut input, expected)?;
    let word = |at: usize| header.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let magic = UNSIGNED_BYTE << 8 | u32::from(axes);
    if let Some(got) = word(0).filter(|&got| got != magic) {
        let expected = format!("an IDX file of bytes with {axes} axes");
        return Err(FileProblem::Magic { got, magic, expected });
    }
    if header.len() < expected {
        return Err(FileProblem::Header { expected: expected as u64, got: header.len() as u64 });
    }
    let shape: Vec<usize> =
        (1..=usize::from(axes)).filter_map(|axis| word(4 * axis)).map(|n| n as usize).collect();
    let bytes = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    // One more than declared would fit is enough to see that there is more.
    let Some(bytes) = bytes.filter(|&bytes| bytes < isize::MAX as usize) else {
        return Err(FileProblem::Size { shape });
    };
    let values = fill(&mut input, bytes + 1)?;
    if values.len() != bytes {
        let got = (values.len() < bytes).then_some(values.len() as u64);
        return Err(FileProblem::Length { shape, expected: bytes as u64, got });
    }
    Ok(Idx { shape, values })
}

/// Up to `limit` bytes; fewer where the input ends or a gzip stream is cut off. Memory grows with what is
/// really there, not with what a damaged header declares.
fn fill(input: &mut impl Read, limit: usize) -> Result<Vec<u8>, FileProblem> {
    let mut bytes = Vec::new();
    match input.take(limit as u64).read_to_end(&mut bytes) {
        // All values but no checksum behind them: the length would not show that something is missing.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || bytes.len() + 1 == limit => {
            Err(io_problem(error))
        }
        _ => Ok(bytes),
    }
}

fn io_problem(error: io::Error) -> FileProblem {
    FileProblem::Io(Arc::new(error))
}
