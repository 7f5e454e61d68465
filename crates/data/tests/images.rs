//! Folders of images: sizes, transparency, and files that are none.
#![cfg(feature = "image")]

use std::fs;
use std::path::Path;

use image::{Rgba, RgbaImage};
use tempfile::TempDir;
use wgrad_data::{DataError, Dataset, ImageFolder, Loader};

fn paint(path: &Path, width: u32, height: u32, color: [u8; 4]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbaImage::from_pixel(width, height, Rgba(color)).save(path).unwrap();
}

fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    paint(&dir.path().join("dogs/one.png"), 8, 4, [255, 0, 0, 255]);
    paint(&dir.path().join("cats/b.png"), 2, 2, [0, 0, 255, 0]);
    paint(&dir.path().join("cats/a.PNG"), 5, 5, [0, 51, 255, 255]);
    fs::write(dir.path().join("cats/notes.txt"), "not an image").unwrap();
    fs::write(dir.path().join("readme.md"), "not a class").unwrap();
    dir
}

#[test]
fn folders_are_classes_and_images_have_one_size() {
    let dir = folder();
    let images = ImageFolder::open(dir.path(), 3, 2).unwrap();
    assert_eq!(images.classes(), ["cats", "dogs"]);
    assert_eq!(images.labels().collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(images.fields()[0].1.to_string(), "f32[3, 3, 2]");
    assert_eq!(images.name(0).unwrap(), Path::new("cats/a.PNG").display().to_string());
    let data = images.load().unwrap();
    let planes = |red: f32, green: f32, blue: f32| [[red; 6], [green; 6], [blue; 6]].concat();
    assert_eq!(data.input(0).unwrap(), planes(0.0, 0.2, 1.0));
    assert_eq!(data.input(1).unwrap(), planes(1.0, 1.0, 1.0), "transparent is white");
    assert_eq!(data.input(2).unwrap(), planes(1.0, 0.0, 0.0));
    let black = images.background([0; 3]).load().unwrap();
    assert_eq!(black.input(1).unwrap(), planes(0.0, 0.0, 0.0));
}

#[test]
fn classes_can_be_chosen() {
    let dir = folder();
    let all = ImageFolder::open(dir.path(), 2, 2).unwrap();
    let chosen = all.only(&["dogs", "cats"]).unwrap();
    assert_eq!(chosen.classes(), ["dogs", "cats"]);
    assert_eq!(chosen.labels().collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(chosen.name(0), all.name(2));
    assert_eq!(all.only(&["cats"]).unwrap().len(), 2);
    let error = all.only(&["cows"]).unwrap_err();
    assert!(error.to_string().ends_with("has no folder `cows`; it has cats, dogs"), "{error}");
}

#[test]
fn a_broken_file_is_named_or_skipped() {
    let dir = folder();
    fs::write(dir.path().join("cats/broken.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    let images = ImageFolder::open(dir.path(), 4, 4).unwrap();
    let error = Loader::new(images.clone(), 4).epoch(0).next().unwrap().err().unwrap();
    assert!(error.to_string().contains("broken.png"), "{error}");
    assert!(matches!(images.load(), Err(DataError::File { .. })));
    let loader = Loader::new(images, 4).skip_bad();
    assert!(loader.epoch(0).all(|batch| batch.is_ok()));
    assert_eq!(loader.skipped().len(), 1);
}

#[test]
fn a_folder_without_images_is_an_error() {
    let dir = TempDir::new().unwrap();
    let error = ImageFolder::open(dir.path(), 4, 4).unwrap_err();
    assert!(error.to_string().contains("no folders with PNG or JPEG"), "{error}");
    assert!(matches!(ImageFolder::open(dir.path().join("none"), 4, 4), Err(DataError::File { .. })));
}

/// Of 300 MB, if the header were believed.
#[test]
fn a_huge_image_is_refused_by_its_header() {
    let dir = folder();
    let path = dir.path().join("cats/b.png");
    let mut bytes = fs::read(&path).unwrap();
    // Width and height follow the signature and the name of the first chunk, whose checksum covers them.
    bytes[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let error = ImageFolder::open(dir.path(), 4, 4).unwrap().load().unwrap_err().to_string();
    assert!(error.contains("b.png") && error.contains("limit"), "{error}");
}
