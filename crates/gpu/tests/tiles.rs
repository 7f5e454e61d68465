//! Tiles of contractions are chosen for a whole program, within a budget of compiling, and make no difference to the
//! results.

use wgrad_core::batch::Batch;
use wgrad_core::{F32, Graph, Mode, Vars};
use wgrad_gpu::{Gpu, Program};

/// Rows, columns and inner axis of a product that a tile fills many times.
const SIZE: usize = 512;
/// Other products beside it, each of another size and so of another kernel.
const OTHERS: usize = 24;

/// The product of `a` and `b` and, of so many more products with `b`, the means.
fn products(gpu: &Gpu, others: usize) -> Program {
    let record = |g: &Graph| {
        let (a, b) = (g.input("a", [SIZE, SIZE], F32), g.input("b", [SIZE, SIZE], F32));
        let mut outputs = vec![a.matmul(&b)];
        for other in 1..=others {
            outputs.push(a.slice(0, 0..SIZE - 8 * other).matmul(&b).mean(..));
        }
        outputs
    };
    gpu.compile(Mode::Eval, record).unwrap()
}

#[test]
fn more_kernels_have_smaller_tiles_and_the_same_results() {
    let gpu = Gpu::new().unwrap();
    let numbers = |start: u32| -> Vec<f32> {
        let number = |i: u32| (start + i).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5;
        (0..(SIZE * SIZE) as u32).map(number).collect()
    };
    let (a, b) = (numbers(1), numbers(1 << 20));
    let result = |program: &Program| {
        let mut state = gpu.init(&Vars::new(), 0).unwrap();
        let batch = Batch::new().with("a", [SIZE, SIZE], &a).with("b", [SIZE, SIZE], &b);
        program.run(&mut state, batch).unwrap().get(0).unwrap().data
    };
    let (alone, beside) = (products(&gpu, 0), products(&gpu, OTHERS));
    assert_eq!(result(&alone), result(&beside));
    // The driver for whose compiler there is a budget.
    if gpu.info().name.contains("llvmpipe") {
        let longest = |program: &Program| program.sources().map(str::len).max().unwrap();
        assert!(longest(&alone) > longest(&beside), "{} and {}", longest(&alone), longest(&beside));
    }
}
