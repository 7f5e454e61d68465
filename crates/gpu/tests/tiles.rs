//! Tiles of contractions are chosen for a whole program, within a budget of compiling, and make no difference to the
//! results. Where there would be too few of them, inner axes are cut.

use wgrad_core::batch::Batch;
use wgrad_core::ops::Window;
use wgrad_core::{F32, Graph, Mode, Op, Tensor, Vars};
use wgrad_gpu::plan::Archetype;
use wgrad_gpu::{Gpu, Options, Program, Shaping};

/// Rows, columns and inner axis of a product that a tile fills many times.
const SIZE: usize = 512;
/// Other products beside it, each of another size and so of another kernel.
const OTHERS: usize = 48;

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
        // The sums that a lane keeps.
        let most = |program: &Program| program.sources().map(|wgsl| wgsl.matches("var acc").count()).max();
        let (alone, beside) = (most(&alone), most(&beside));
        println!("{alone:?} vectors of sums, {beside:?} beside {OTHERS} others");
        assert!(alone > beside, "{alone:?} and {beside:?}");
    }
}

/// The results and inner extents of the contractions that a GPU computes.
fn contractions(record: impl Fn(&Graph) -> Tensor) -> Vec<(usize, usize)> {
    let gpu =
        Gpu::with_options(Options { shaping: Some(Shaping::hardware()), ..Options::default() }).unwrap();
    let graph = Graph::new(Mode::Train);
    let output = record(&graph).id();
    let plan = gpu.compiler().plan(&graph.recording(), &[output]).unwrap();
    let size = |kernel: &wgrad_gpu::plan::Kernel| {
        let Archetype::Contract { node } = kernel.archetype else { return None };
        let node = plan.recording.node(node);
        let Op::Contract(op) = &node.op else { return None };
        let [a, b] = [0, 1].map(|side| &plan.recording.node(node.inputs[side]).spec);
        let inner = op.inner().into_iter().map(|label| op.extent(label, a, b)).product();
        Some((node.spec.shape.numel(), inner))
    };
    plan.kernels.iter().filter_map(size).collect()
}

/// The gradient of the weights of a 3×3 convolution of 32 images of 32 × 32.
fn weight_gradient(g: &Graph, channels: usize, filters: usize) -> Tensor {
    let (x, w) = (g.input("x", [32, channels, 32, 32], F32), g.input("w", [filters, channels, 3, 3], F32));
    let y = x.conv2d(&w, None, &Window::new(&[3, 3]).padding(1), 1);
    let upstream = g.input("upstream", y.shape(), F32);
    y.pull_back(&upstream, &[&w]).remove(0)
}

/// 128 tiles of 32 × 32 are the least that keeps a large GPU busy.
#[test]
fn long_inner_axes_are_cut_until_a_gpu_is_busy() {
    const BUSY: usize = 100 * 32 * 32;
    let all = [
        contractions(|g| weight_gradient(g, 3, 32)),
        contractions(|g| weight_gradient(g, 64, 64)),
        contractions(|g| weight_gradient(g, 256, 256)),
        contractions(|g| g.input("a", [64, 65536], F32).matmul(&g.input("b", [65536, 64], F32))),
        contractions(|g| g.input("a", [8, 2048], F32).matmul(&g.input("b", [2048, 4096], F32))),
    ];
    for (number, contractions) in all.iter().enumerate() {
        let [(results, inner)] = contractions[..] else { panic!("{number}: {contractions:?}") };
        assert!(results >= BUSY && inner >= 256, "{number}: {results} results of {inner} terms");
    }
    // Short ones are not, and neither are those of which there are many.
    let short = contractions(|g| g.input("a", [64, 512], F32).matmul(&g.input("b", [512, 64], F32)));
    let many = contractions(|g| g.input("a", [512, 4096], F32).matmul(&g.input("b", [4096, 512], F32)));
    assert_eq!((short, many), (vec![(64 * 64, 512)], vec![(512 * 512, 4096)]));
}
