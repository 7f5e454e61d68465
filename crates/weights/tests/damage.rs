//! Damaged files: bytes flipped, cut off, swapped or put in. The answer is an error or values, never a panic,
//! and where the format has checksums, never other values.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wgrad_core::Array;
use wgrad_weights::Weights;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn safetensors() -> Vec<u8> {
    let mut weights = Weights::new();
    weights.insert("fc.weight", &Array::from_slice([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]));
    weights.insert("fc.bias", &Array::from_slice([2], &[7u32, 8]));
    weights.set_metadata("format", "pt");
    weights.to_bytes().unwrap()
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Swap(usize, usize),
    PutIn(usize, Vec<u8>),
    Overwrite(usize, [u8; 4]),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    prop_oneof![
        4 => (at(), 1u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        2 => at().prop_map(Damage::Cut),
        1 => (at(), at()).prop_map(|(a, b)| Damage::Swap(a, b)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Damage::PutIn(at, bytes)),
        1 => (at(), prop_oneof![Just([0xff; 4]), Just([0; 4]), any::<[u8; 4]>()])
            .prop_map(|(at, word)| Damage::Overwrite(at, word)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let n = bytes.len().max(1);
    match damage {
        _ if bytes.is_empty() => {}
        Damage::Flip(at, bits) => bytes[at % n] ^= bits,
        Damage::Cut(at) => bytes.truncate(at % n),
        Damage::Swap(a, b) => bytes.swap(a % n, b % n),
        Damage::PutIn(at, more) => drop(bytes.splice(at % n..at % n, more.iter().copied())),
        Damage::Overwrite(at, word) => bytes.iter_mut().skip(at % n).zip(word).for_each(|(b, w)| *b = *w),
    }
}

/// Loads a damaged file and uses whatever it gives; whether it was read.
fn survives(bytes: Vec<u8>) -> Option<Weights> {
    let weights = Weights::from_bytes(bytes).ok()?;
    // Damage can give a view zero strides and a huge shape; values are made only of what is asked for.
    weights.iter().filter(|(_, entry)| entry.shape().numel() < 1 << 16).for_each(|(_, entry)| {
        let _ = entry.array();
    });
    Some(weights)
}

#[test]
fn damage_is_an_error_or_harmless() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    // `PROPTEST_CASES` asks for a longer search.
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 400 };
    let mut runner = TestRunner::new_with_rng(Config { cases, ..default }, rng);
    let files = ["state.zip.pth", "state.legacy.pth", "state.protocol4.pth", "nested.pth"].map(fixture);
    for file in files.into_iter().chain([safetensors()]) {
        let strategy = prop::collection::vec(damage(), 1..4);
        let run = runner.run(&strategy, |damages| {
            let mut bytes = file.clone();
            damages.iter().for_each(|damage| apply(&mut bytes, damage));
            let _ = survives(bytes);
            Ok(())
        });
        run.unwrap();
    }
}

/// Every single byte of every file, changed in three ways, and every length.
#[test]
fn every_byte_may_be_wrong() {
    let files = ["state.zip.pth", "state.legacy.pth", "nested.pth"].map(fixture);
    for file in files.into_iter().chain([safetensors()]) {
        for at in 0..file.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut bytes = file.clone();
                bytes[at] ^= bits;
                let _ = survives(bytes);
            }
            let cut = survives(file[..at].to_vec());
            assert!(cut.is_none(), "a file cut at {at} of {} was read", file.len());
        }
    }
}

/// The zip format has checksums: a changed byte never gives other values.
#[test]
fn a_zip_gives_its_values_or_none() {
    let file = fixture("state.zip.pth");
    let whole = Weights::from_bytes(file.clone()).unwrap();
    let mut read = 0;
    for at in 0..file.len() {
        let mut bytes = file.clone();
        bytes[at] ^= 0x10;
        let Some(weights) = survives(bytes) else { continue };
        read += 1;
        assert_eq!(weights.len(), whole.len());
        for (name, entry) in whole.iter() {
            let found = weights.get(name).unwrap();
            assert_eq!(
                (found.stored(), found.to_bytes()),
                (entry.stored(), entry.to_bytes()),
                "{name}, {at}"
            );
        }
    }
    assert!(read > 0, "padding, at least, may change");
}
