//! The tiled matrix product on the adapter against a loop in f64.

use wgrad_core::ops::philox;
use wgrad_shaders::{MATMUL_TILED, replace};

use crate::adapter::Adapter;

/// Numbers in [-1, 1) as the bits of f32.
fn uniform(len: usize, seed: u32) -> Vec<u32> {
    let value = |e: usize| philox([e as u32, 0, 0, 0], [seed, 0])[0] as i32 as f32 * 2f32.powi(-31);
    (0..len).map(|e| value(e).to_bits()).collect()
}

fn float(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits))
}

fn check(adapter: &Adapter, batch: usize, m: usize, n: usize, k: usize) {
    let (a, b) = (uniform(batch * m * k, 1), uniform(batch * k * n, 2));
    let sizes = format!("const M: u32 = {m}u;\nconst N: u32 = {n}u;\nconst K: u32 = {k}u;\n");
    let grid = [n.div_ceil(64) as u32, m.div_ceil(64) as u32, batch as u32];
    let c = adapter.run(&replace(MATMUL_TILED, "sizes", &sizes), &[&a, &b], batch * m * n, grid);
    for (e, &got) in c.iter().enumerate() {
        let (i, row, column) = (e / (m * n), e / n % m, e % n);
        let terms = (0..k).map(|l| float(a[(i * m + row) * k + l]) * float(b[(i * k + l) * n + column]));
        let (sum, absolute) = terms.fold((0.0, 0.0), |(s, t), term| (s + term, t + term.abs()));
        // A recursive sum of k products errs by at most k units of 2^-24 of the absolute sum.
        let error = (float(got) - sum).abs();
        assert!(
            error <= k as f64 * 2f64.powi(-24) * absolute,
            "{batch}x{m}x{n}x{k}: element {e} is {}, expected {sum}",
            float(got)
        );
    }
}

#[test]
fn matmul_equals_the_loop() {
    let adapter = Adapter::new();
    for [batch, m, n, k] in [
        [1, 1, 1, 1],
        [1, 64, 64, 16],
        [1, 64, 64, 64],
        [2, 65, 63, 17],
        [1, 1, 130, 33],
        [1, 130, 1, 15],
        [3, 5, 7, 100],
        [1, 97, 101, 3],
        [5, 3, 66, 31],
    ] {
        check(&adapter, batch, m, n, k);
    }
}

#[test]
fn other_functions_take_the_place_of_the_marked() {
    // B read transposed, and the result scaled: what fusion does.
    let sizes = "const M: u32 = 5u;\nconst N: u32 = 67u;\nconst K: u32 = 19u;\n";
    let (a, b) = (uniform(5 * 19, 3), uniform(67 * 19, 4));
    let functions = "
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
fn load_a(batch: u32, m: u32, k: u32) -> f32 { return a[m * K + k]; }
fn load_b(batch: u32, k: u32, n: u32) -> f32 { return b[n * K + k]; }
fn store(batch: u32, m: u32, n: u32, value: f32) { c[m * N + n] = max(value, 0.0) * 2.0; }
";
    let source = replace(&replace(MATMUL_TILED, "sizes", sizes), "functions", functions);
    let c = Adapter::new().run(&source, &[&a, &b], 5 * 67, [2, 1, 1]);
    for (e, &got) in c.iter().enumerate() {
        let sum: f64 = (0..19).map(|l| float(a[e / 67 * 19 + l]) * float(b[e % 67 * 19 + l])).sum();
        let expected = 2.0 * sum.max(0.0);
        assert!((float(got) - expected).abs() < 1e-5, "element {e} is {}, expected {expected}", float(got));
    }
}
