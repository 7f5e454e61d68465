//! The table of cases, forward and backward.

use std::collections::BTreeMap;

use wgrad_core::case;
pub(crate) use wgrad_gpu::conformance::with_gradients;

use crate::compare::{DEVICES, compare};
use crate::table;

#[test]
fn every_case_agrees_with_the_reference() {
    // Fresh numbers in every run of the tests; the seed is printed so that a failure can be repeated.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let seed = std::env::var("WGRAD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now.as_secs());
    let only = std::env::var("WGRAD_CASE").unwrap_or_default();
    println!("WGRAD_SEED={seed}");
    let mut failures = vec![];
    let mut errors: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut checked = 0;
    for case in case::cases().iter().filter(|case| case.name.contains(&only)) {
        let (recording, environment, outputs) = with_gradients(case, seed);
        recording.check().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        for (name, gpu) in DEVICES.iter() {
            checked += 1;
            match compare(gpu, &recording, &environment, &outputs) {
                Ok(error) => errors.entry(case.name.clone()).or_default().push(error),
                Err(message) => failures.push(format!("{} ({name}): {message}", case.name)),
            }
        }
    }
    println!("{checked} runs compared");
    assert!(failures.is_empty(), "{} of {checked} failed:\n{}", failures.len(), failures.join("\n"));
    table::write(&errors);
}
