//! What searching has found, again; and what lies around it, for a few seconds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use wgrad_data::Random;
use wgrad_fuzz::READERS;

/// How long each reader is given damaged files; `FUZZ_SECONDS` asks for more.
fn patience() -> Duration {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(0.9))
}

fn corpus(reader: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(reader);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes a file in one of the ways in which files are damaged, or mixes it with another.
fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let mut below = |bound: usize| random.below(bound as u64) as usize;
    let (start, end) = (below(bytes.len() + 1), below(bytes.len() + 1));
    let (start, end) = (start.min(end), start.max(end));
    match below(8) {
        0 | 1 if start < bytes.len() => bytes[start] ^= 1 << below(8),
        2 if start < bytes.len() => bytes[start] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'9'][below(8)],
        3 => drop(bytes.drain(start..end.min(start + 64))),
        4 => drop(bytes.splice(start..start, bytes[start..end.min(start + 64)].to_vec())),
        5 => bytes.truncate(start),
        6 => {
            let word =
                [0u64, u64::MAX, 1 << 31, 1 << 40, i64::MAX as u64, 0x7fff_ffff][below(6)].to_le_bytes();
            let length = [2, 4, 8][below(3)];
            bytes.iter_mut().skip(start).zip(&word[..length]).for_each(|(byte, new)| *byte = *new);
        }
        _ => {
            let from = below(other.len() + 1);
            let to = (from + below(64)).min(other.len());
            drop(bytes.splice(start..end.min(start + 64), other[from..to].iter().copied()));
        }
    }
}

/// Feeds a reader its corpus, and damaged copies until time is over. The order of the damages is always the same.
fn feed(name: &str, read: fn(&[u8])) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    corpus.iter().for_each(|bytes| read(bytes));
    let mut random = Random::new(name.len() as u64, 0);
    let (start, mut fed) = (Instant::now(), 0u64);
    while start.elapsed() < patience() {
        let [one, other] = [0; 2].map(|_| random.below(corpus.len() as u64) as usize);
        let mut bytes = corpus[one].clone();
        for _ in 0..=random.below(4) {
            damage(&mut bytes, &corpus[other], &mut random);
        }
        read(&bytes);
        fed += 1;
    }
    println!("{name}: {} files and {fed} damaged ones", corpus.len());
    assert!(fed > 0);
}

/// One after the other, so that the most memory that the process ever held is that of one reader.
#[test]
fn damaged_files_are_values_or_errors() {
    wgrad_fuzz::quietly();
    for (name, read) in READERS {
        feed(name, read);
        // Where the system tells, in kilobytes.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        let most: u64 = most.map_or(0, |most| most.parse().unwrap());
        assert!(most < 1 << 20, "{name} took {most} kB");
    }
}
