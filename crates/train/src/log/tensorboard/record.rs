//! The frame of a record in an event file (TFRecord): length, checksum of the length, bytes, checksum of the
//! bytes (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>).

use crc::{CRC_32_ISCSI, Crc};

/// The polynomial that is known as CRC-32C.
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The record that holds `data`.
pub(crate) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked(CHECKSUM.checksum(&length)).to_le_bytes());
    record.extend(data);
    record.extend(masked(CHECKSUM.checksum(data)).to_le_bytes());
    record
}

/// A checksum of data that may hold checksums itself is rotated and shifted by a constant.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of RFC 3720, B.4.
    #[test]
    fn checksum_is_that_of_iscsi() {
        assert_eq!(CHECKSUM.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CHECKSUM.checksum(&[0xff; 32]), 0x62a8_ab43);
    }

    /// The bytes that TensorBoard's own `RecordWriter` makes of these three.
    #[test]
    fn a_record_is_framed() {
        let expected = [3, 0, 0, 0, 0, 0, 0, 0, 176, 153, 73, 14, b'a', b'b', b'c', 110, 87, 241, 33];
        assert_eq!(framed(b"abc"), expected);
    }
}
