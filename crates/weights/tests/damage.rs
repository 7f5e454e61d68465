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

/// A file of the older format with an object, as a pickle without its frame, and one storage `0` of one f32.
fn legacy(object: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    let pickle = |body: &[u8]| [b"\x80\x02", body, b"."].concat();
    let magic = pickle(&[b"\x8a\x0a", &MAGIC[..]].concat());
    let facts = pickle(b"}X\x0d\0\0\0little_endian\x88s");
    let keys = pickle(b"](X\x01\0\0\x000e");
    let storage = [1u64.to_le_bytes().as_slice(), &1f32.to_le_bytes()].concat();
    [magic, pickle(b"M\xe9\x03"), facts, pickle(object), keys, storage].concat()
}

/// `{"w": tensor}` with a shape and strides of 0.
fn expanded(extent: u64) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ";
    let shape = [b"\x8a\x08", &extent.to_le_bytes()[..], b"\x85"].concat();
    let tensor =
        [b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(), storage, b"K\0", &shape, b"K\0\x85tR"].concat();
    legacy(&[b"}X\x01\0\0\0w".as_slice(), &tensor, b"s"].concat())
}

#[test]
fn values_are_not_repeated_into_gigabytes() {
    let small = Weights::from_bytes(expanded(1000)).unwrap();
    assert_eq!(small.get("w").unwrap().array().unwrap().data, [1.0; 1000]);
    for extent in [1 << 30, 1 << 61, i64::MAX as u64] {
        let error = Weights::from_bytes(expanded(extent)).unwrap_err().to_string();
        assert!(error.contains("`w` makes f32["), "{error}");
    }
}

/// A list of 10,000 pairs, of which 10,000 dicts are to be made.
#[test]
fn objects_are_not_copied_without_end() {
    let pairs =
        [b"ccollections\nOrderedDict\nq\x01NN\x86q\x02](".as_slice(), &b"h\x02".repeat(10_000), b"eq\x03"];
    let dicts = b"h\x01h\x03\x85R".repeat(10_000);
    let error = Weights::from_bytes(legacy(&[pairs.concat(), dicts].concat())).unwrap_err().to_string();
    assert!(error.contains("it copies its objects without end"), "{error}");
}
