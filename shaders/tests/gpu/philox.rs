//! Philox on the adapter against the core's.

use wgrad_core::ops::philox;
use wgrad_shaders::{MULTIPLY_HIGH_64, PHILOX, replace};

use crate::adapter::Adapter;

const MAIN: &str = "
@group(0) @binding(0) var<storage, read> counters: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> keys: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> blocks: array<vec4<u32>>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    blocks[id.x] = philox(counters[id.x], keys[id.x]);
}
";

#[test]
fn philox_equals_the_reference() {
    // Carries between the 16-bit halves are what can go wrong: words of all ones and of single bits, then the
    // generator's own output.
    const BLOCKS: usize = 4096;
    let edges = [0, 1, 0xffff, 0x1_0000, 0xffff_0000, 0x8000_0000, u32::MAX];
    let word = |i: usize, lane: usize| match i {
        0..2048 => edges[i * (2 * lane + 1) / (lane + 1) % edges.len()],
        _ => philox([i as u32, lane as u32, 0, 0], [2026, 11])[0],
    };
    let counters: Vec<u32> = (0..4 * BLOCKS).map(|e| word(e / 4, e % 4)).collect();
    let keys: Vec<u32> = (0..2 * BLOCKS).map(|e| word(e / 2, 4 + e % 2)).collect();
    let expected: Vec<u32> = (0..BLOCKS)
        .flat_map(|i| {
            let counter = std::array::from_fn(|lane| counters[4 * i + lane]);
            philox(counter, [keys[2 * i], keys[2 * i + 1]])
        })
        .collect();

    let adapter = Adapter::new();
    let mut generators = vec![PHILOX.to_string()];
    if adapter.int64() {
        generators.push(replace(PHILOX, "multiply_high", MULTIPLY_HIGH_64));
    }
    for generator in generators {
        let source = generator + MAIN;
        let blocks = adapter.run(&source, &[&counters, &keys], 4 * BLOCKS, [BLOCKS as u32 / 64, 1, 1]);
        assert_eq!(blocks, expected);
    }
}
