//! IDX files: whole, truncated, garbled, missing.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;
use wgrad_data::{DataError, Dataset, FileProblem, idx, mnist};

/// An IDX file of bytes whose values count up.
fn file(shape: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend((0..shape.iter().product::<u32>()).map(|v| (v % 10) as u8));
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn problem(path: &Path, axes: u8) -> FileProblem {
    match idx::read(path, axes) {
        Err(DataError::File { path: named, problem }) => {
            assert_eq!(named, path);
            problem
        }
        other => panic!("{other:?}"),
    }
}

fn read(bytes: &[u8], axes: u8) -> Result<idx::Idx, FileProblem> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, bytes).unwrap();
    idx::read(&path, axes).map_err(|_| problem(&path, axes))
}

#[test]
fn whole_files_read_plain_or_gzipped() {
    let plain = file(&[3, 2, 2]);
    let expected = idx::Idx { shape: vec![3, 2, 2], values: vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1] };
    assert_eq!(read(&plain, 3).unwrap(), expected);
    assert_eq!(read(&gzip(&plain), 3).unwrap(), expected);
    assert_eq!(read(&file(&[0]), 1).unwrap().values, [0u8; 0]);
}

proptest! {
    #[test]
    fn a_truncated_file_is_refused(cut in 0usize..24) {
        let whole = file(&[4, 2, 1]);
        prop_assert_eq!(whole.len(), 24);
        match read(&whole[..cut], 3).unwrap_err() {
            FileProblem::Header { expected: 16, got } => prop_assert!(cut < 16 && got == cut as u64),
            FileProblem::Length { expected: 8, got: Some(got), .. } => {
                prop_assert!(cut >= 16 && got == cut as u64 - 16);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_truncated_gzip_is_refused(cut in 0usize..1000) {
        let whole = gzip(&file(&[4, 20, 10]));
        prop_assert!(read(&whole[..cut % whole.len()], 3).is_err());
    }

    #[test]
    fn garbage_is_refused_or_consistent(bytes in proptest::collection::vec(any::<u8>(), 0..200), valid in any::<bool>()) {
        let bytes = if valid { [&[0, 0, 8, 3], &bytes[..]].concat() } else { bytes };
        if let Ok(idx) = read(&bytes, 3) {
            prop_assert_eq!(idx.shape.iter().product::<usize>(), idx.values.len());
        }
    }
}

#[test]
fn other_kinds_of_files_are_named() {
    let error = read(b"PNG and more", 3).unwrap_err();
    assert!(error.to_string().contains("0x504e4720") && error.to_string().contains("0x00000803"), "{error}");
    assert!(matches!(read(&file(&[3]), 3).unwrap_err(), FileProblem::Magic { got: 0x801, magic: 0x803, .. }));
    let mut corrupt = gzip(&file(&[9]));
    let checksum = corrupt.len() - 8;
    corrupt[checksum] ^= 1;
    assert!(matches!(read(&corrupt, 1).unwrap_err(), FileProblem::Io(_)));
}

#[test]
fn unreadable_files_are_named() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(problem(&dir.path().join("absent"), 1), FileProblem::Io(_)));
    assert!(matches!(problem(dir.path(), 1), FileProblem::Io(_)));
}

#[test]
fn impossible_sizes_are_refused_without_allocating() {
    let huge = [&[0u8, 0, 8, 3][..], &[0xFF; 12]].concat();
    assert!(matches!(read(&huge, 3).unwrap_err(), FileProblem::Size { .. }));
    let large = [&[0u8, 0, 8, 2, 0, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF][..], &[1; 5]].concat();
    assert!(matches!(read(&large, 2).unwrap_err(), FileProblem::Length { got: Some(5), .. }));
    let longer = [&file(&[4])[..], &[0]].concat();
    let error = read(&longer, 1).unwrap_err();
    assert!(matches!(error, FileProblem::Length { got: None, .. }));
    assert!(error.to_string().contains("more"), "{error}");
}

/// A directory with a tiny MNIST of 2×3 images: five for training, three for testing.
fn tiny_mnist(name: impl Fn(&str, &str) -> String, encode: impl Fn(&[u8]) -> Vec<u8>) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (part, n) in [("train", 5), ("t10k", 3)] {
        let path = |what: &str, kind: &str| dir.path().join(name(&format!("{part}-{what}"), kind));
        fs::write(path("images", "idx3-ubyte"), encode(&file(&[n, 2, 3]))).unwrap();
        fs::write(path("labels", "idx1-ubyte"), encode(&file(&[n]))).unwrap();
    }
    dir
}

#[test]
fn mnist_is_found_under_all_its_names() {
    for (separator, end) in [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")] {
        let encode = |bytes: &[u8]| if end.is_empty() { bytes.to_vec() } else { gzip(bytes) };
        let dir = tiny_mnist(|stem, kind| format!("{stem}{separator}{kind}{end}"), encode);
        let (train, test) = mnist(dir.path()).unwrap();
        assert_eq!((train.len(), test.len(), train.classes()), (5, 3, 10));
        assert_eq!(&train.shape()[..], [1, 2, 3]);
        assert_eq!(train.label(4), Some(4));
        assert_eq!(test.input(1).unwrap(), [6u8, 7, 8, 9, 0, 1].map(|v| f32::from(v) / 255.0));
    }
}

#[test]
fn damaged_mnist_says_what_is_wrong_where() {
    let whole = || tiny_mnist(|stem, kind| format!("{stem}-{kind}"), <[u8]>::to_vec);
    let message = |dir: &TempDir| mnist(dir.path()).err().unwrap().to_string();

    let dir = whole();
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let text = message(&dir);
    assert!(text.contains("t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz"), "{text}");
    assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
    assert!(mnist("/no/such/directory").err().unwrap().to_string().contains("/no/such/directory"));

    let dir = whole();
    fs::write(dir.path().join("train-labels-idx1-ubyte"), file(&[4])).unwrap();
    assert!(message(&dir).ends_with("train-labels-idx1-ubyte: `label` has 4 records, the others have 5"));

    let dir = whole();
    let mut labels = file(&[5]);
    *labels.last_mut().unwrap() = 10;
    fs::write(dir.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    let text = message(&dir);
    assert!(text.ends_with("record 4 has label 10, but there are 10 classes (0 to 9)"), "{text}");

    let dir = whole();
    let images = file(&[5, 2, 3]);
    fs::write(dir.path().join("train-images-idx3-ubyte"), &images[..images.len() - 1]).unwrap();
    let text = message(&dir);
    assert!(
        text.contains("declares shape [5, 2, 3], so 30 bytes") && text.contains("29 (it is truncated)"),
        "{text}"
    );
}
