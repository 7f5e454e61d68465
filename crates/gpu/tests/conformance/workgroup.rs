//! Contractions through workgroup memory: every tile on sizes that are no multiples of it, through all kinds of views.

use wgrad_core::case::{Fill, Operand, fill};
use wgrad_core::interpret::Environment;
use wgrad_core::ops::Window;
use wgrad_core::{F32, Graph, Mode, NodeId, Recording, Tensor, TensorSpec};
use wgrad_gpu::plan::mixed::mixed;
use wgrad_gpu::{Gpu, Options, Shaping, WorkgroupTile};

use crate::compare::compare;
use crate::shaders::translate;

const fn tile(
    rows: usize,
    columns: usize,
    inner: usize,
    rows_each: usize,
    columns_each: usize,
) -> WorkgroupTile {
    WorkgroupTile { rows, columns, inner, rows_each, columns_each }
}

/// One of each shape that rules choose, and some that only a database could.
const TILES: [WorkgroupTile; 12] = [
    tile(128, 128, 8, 8, 8),
    tile(128, 64, 8, 8, 4),
    tile(64, 128, 8, 8, 4),
    tile(64, 64, 16, 8, 4),
    tile(64, 64, 8, 4, 4),
    tile(128, 32, 8, 8, 4),
    tile(32, 128, 8, 8, 4),
    tile(64, 32, 16, 4, 4),
    tile(32, 64, 16, 4, 4),
    tile(32, 32, 16, 4, 4),
    tile(16, 64, 16, 4, 4),
    tile(16, 64, 24, 4, 8),
];

fn device(tile: WorkgroupTile, checked: bool) -> Gpu {
    let shaping = Shaping { workgroup_tile: Some(tile), ..Shaping::hardware() };
    let options = Options { shaping: Some(shaping), poison: true, checked, ..Options::default() };
    Gpu::with_options(options).expect("the tests need an adapter")
}

struct Work {
    name: &'static str,
    recording: Recording,
    environment: Environment,
    outputs: Vec<NodeId>,
}

/// A graph over operands of these shapes, with the gradients of all of them.
fn work(name: &'static str, shapes: &[&[usize]], build: impl Fn(&[Tensor]) -> Tensor) -> Work {
    let graph = Graph::new(Mode::Train);
    let mut environment = Environment::new();
    let mut add = |name: String, shape: &[usize], seed: u64| {
        let operand = Operand { spec: TensorSpec::new(F32, shape), fill: Fill::Uniform(-1.0, 1.0) };
        environment.insert(name.clone(), fill(&operand, seed));
        graph.input(&name, shape, F32)
    };
    let inputs: Vec<Tensor> =
        shapes.iter().enumerate().map(|(i, shape)| add(format!("x{i}"), shape, i as u64)).collect();
    let output = build(&inputs);
    let cotangent = add("cotangent".into(), &output.shape(), 99);
    let mut outputs = vec![output.clone()];
    outputs.extend(output.pull_back(&cotangent, &inputs.iter().collect::<Vec<_>>()));
    let outputs = outputs.iter().map(Tensor::id).collect();
    Work { name, recording: graph.recording(), environment, outputs }
}

impl Work {
    /// Compares with the reference; returns how many kernels went through workgroup memory, all of which exist in every
    /// shader language.
    fn check(&self, gpu: &Gpu) -> usize {
        let Self { name, recording, environment, outputs } = self;
        let compared = compare(gpu, recording, environment, outputs);
        let tile = gpu.options().shaping.and_then(|shaping| shaping.workgroup_tile);
        assert!(compared.is_ok(), "{name} by {tile:?}: {}", compared.unwrap_err());
        let program = gpu.compile_recording(recording, outputs).expect("compiles");
        let tiled = program.sources().filter(|source| source.contains("var<workgroup> tile_a"));
        tiled.inspect(|source| translate(source)).count()
    }
}

/// Sizes around those of a tile: forward and gradients multiply in all three transpositions.
#[test]
fn every_tile_at_odd_sizes() {
    for (number, tile) in TILES.into_iter().enumerate() {
        let gpu = device(tile, number % 2 == 0);
        let odd = work("odd", &[&[tile.rows + 3, 2 * tile.inner + 5], &[2 * tile.inner + 5, 41]], |x| {
            x[0].matmul(&x[1])
        });
        assert_eq!(odd.check(&gpu), 3, "{tile:?}");
        let fours = work("fours", &[&[20, tile.inner + 4], &[tile.columns + 4, tile.inner + 4]], |x| {
            x[0].matmul(&x[1].t())
        });
        assert_eq!(fours.check(&gpu), 3, "{tile:?}");
    }
}

#[test]
fn inner_axes_shorter_than_a_step() {
    for tile in [tile(32, 32, 16, 4, 4), tile(64, 64, 8, 8, 4)] {
        let gpu = device(tile, true);
        for inner in [1, 3, 4] {
            let x = work("short", &[&[37, inner], &[inner, 34]], |x| x[0].matmul(&x[1]));
            assert!(x.check(&gpu) >= 1, "{inner}");
        }
    }
}

fn views() -> Vec<Work> {
    let padded = Window::new(&[3, 3]).padding(1);
    let strided = Window::new(&[3, 3]).stride(2).padding(1);
    vec![
        work("batched", &[&[3, 19, 12], &[3, 12, 20]], |x| x[0].matmul(&x[1]).tanh()),
        work("bias and gelu", &[&[35, 20], &[20, 36], &[36]], |x| (x[0].matmul(&x[1]) + &x[2]).gelu()),
        work("convolution", &[&[2, 3, 9, 7], &[8, 3, 3, 3], &[8]], move |x| {
            x[0].conv2d(&x[1], Some(&x[2]), &padded, 1).relu()
        }),
        work("strided", &[&[2, 4, 9, 8], &[6, 4, 3, 3]], move |x| x[0].conv2d(&x[1], None, &strided, 1)),
        work("grouped", &[&[2, 4, 6, 6], &[8, 2, 3, 3]], |x| {
            x[0].conv2d(&x[1], None, &Window::new(&[3, 3]), 2)
        }),
        work("of views", &[&[6, 7, 11], &[9, 5, 40]], |x| {
            let rows = x[0].permute(&[2, 0, 1]).reshape([22, 21]);
            let columns = x[1].slice(2, 2..35).flip([0]).pad(&[(1, 0), (0, 0), (2, 1)], 0.5);
            rows.exp().matmul(&columns.reshape([50, 36]).slice(0, 3..24).sigmoid())
        }),
        work("shared rows", &[&[33, 1], &[18, 40]], |x| x[0].expand([33, 18]).matmul(&x[1])),
    ]
}

#[test]
fn views_are_read_and_everything_behind_is_written() {
    let views = views();
    for (number, tile) in [tile(32, 32, 16, 4, 4), tile(64, 64, 8, 8, 4)].into_iter().enumerate() {
        let gpu = device(tile, number == 0);
        for work in &views {
            assert!(work.check(&gpu) >= 1, "{}", work.name);
        }
    }
}

#[test]
fn halves_are_multiplied_in_full_precision() {
    let gpu = device(tile(32, 64, 16, 4, 4), true);
    for work in views() {
        let (recording, outputs) = mixed(&work.recording, &work.outputs);
        Work { recording, outputs, ..work }.check(&gpu);
    }
}

/// The gradient of these weights sums 32 · 32 · 32 products for each of 108 results: along one axis there are too few
/// parts for a GPU.
#[test]
fn long_inner_axes_of_several_extents_are_cut_along_more_than_one() {
    let gpu = device(tile(32, 32, 16, 4, 4), false);
    let work = work("weights", &[&[32, 3, 34, 34], &[4, 3, 3, 3]], |x| {
        x[0].conv2d(&x[1], None, &Window::new(&[3, 3]), 1)
    });
    assert!(work.check(&gpu) >= 2);
}
