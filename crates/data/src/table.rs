//! The tables embedded in this crate: gzipped numbers separated by commas, the label last.

use std::io::Read;

use flate2::read::GzDecoder;

/// The features of all rows one after the other, and the labels. Only for tables that this crate
/// carries: their form is fixed when it is built.
pub(crate) fn embedded(gzip: &[u8], header_lines: usize) -> (Vec<f32>, Vec<u32>) {
    let mut text = String::new();
    GzDecoder::new(gzip).read_to_string(&mut text).expect("the embedded table is gzipped text");
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines().skip(header_lines) {
        let (row, label) = line.rsplit_once(',').expect("a row ends with its label");
        features.extend(row.split(',').map(|cell| cell.parse::<f32>().expect("cells are numbers")));
        labels.push(label.parse().expect("labels are whole numbers"));
    }
    (features, labels)
}
