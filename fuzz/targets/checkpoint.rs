#![no_main]

libfuzzer_sys::fuzz_target!(init: wgrad_fuzz::quietly(), |bytes: &[u8]| wgrad_fuzz::checkpoint(bytes));
