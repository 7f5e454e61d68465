//! The ways in which a kernel could be shaped, each with a bound of what it costs: operations and loads, padding
//! included, on a device that is as busy as there are workgroups. What the rules choose is among them; tuning measures
//! those that the bound does not exclude.

use super::emit::Emitter;
use super::product::Product;
use super::{Shaping, Tile, map, row, subgroup, tiled};
use crate::error::Error;
use crate::plan::{Archetype, Kernel, Plan};
use crate::tune::Choice;

/// A way to shape a kernel. The unit of its costs is the same for all candidates of that kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) choice: Choice,
    /// The least that a run costs.
    pub(crate) run: f64,
    /// What compiling it costs.
    pub(crate) compile: f64,
}

/// All candidates for a kernel.
pub(crate) fn candidates(plan: &Plan, kernel: &Kernel, shaping: &Shaping) -> Result<Vec<Candidate>, Error> {
    let candidate = |(choice, run)| Candidate { choice, run, compile: 0.0 };
    Ok(match &kernel.archetype {
        Archetype::Map { numel } => map::widths(*numel, shaping)
            .into_iter()
            .map(|(workgroup, lanes, run)| candidate((Choice::Map { workgroup, lanes }, run)))
            .collect(),
        Archetype::Row { shape, axes } => row::shares(shape, axes, shaping)
            .into_iter()
            .map(|(share, run)| candidate((Choice::Row { share }, run)))
            .collect(),
        Archetype::Contract { node } => {
            let emitter = Emitter::new(plan, kernel, shaping);
            let product = super::product(&emitter, *node)?;
            match shaping.subgroup {
                Some(size) => cuts(&emitter, kernel, &product, shaping, size),
                None => tiles(&product, shaping).into_iter().map(candidate).collect(),
            }
        }
        // Nothing about it is ours to choose.
        _ => vec![],
    })
}

fn cuts(
    emitter: &Emitter<'_>,
    kernel: &Kernel,
    product: &Product,
    shaping: &Shaping,
    size: u32,
) -> Vec<Candidate> {
    let cuts = subgroup::cuts(emitter, kernel, product, shaping, size as usize).into_iter();
    cuts.map(|(cut, cost)| Candidate {
        choice: Choice::Subgroup(cut),
        run: cost.run as f64,
        compile: (subgroup::PRICE * cost.compile) as f64,
    })
    .collect()
}

/// Multiply-adds that a load is worth, and one from workgroup memory. Both are guesses for GPUs with caches; what is
/// within a factor of them is measured.
const LOAD: f64 = 8.0;
const SHARED: f64 = 1.0;

/// Tiles in registers, and where it suits the one in workgroup memory.
fn tiles(product: &Product, shaping: &Shaping) -> Vec<(Choice, f64)> {
    let [m, n, k] = [&product.rows, &product.columns, &product.inner].map(|axis| axis.len());
    // Multiply-adds of a tile of so many rows and columns in all places, by so many invocations, with loads for each.
    let work = |rows: usize, columns: usize, threads: usize, loads: f64| {
        let tiles = product.batch.len() * m.div_ceil(rows) * n.div_ceil(columns);
        let busy = (tiles * threads).max(1);
        let operations = (tiles * rows * columns * k) as f64 * (1.0 + loads);
        operations * shaping.enough().max(busy) as f64 / busy as f64
    };
    let mut all = vec![];
    for (rows, columns) in [(2, 4), (4, 4), (8, 4), (4, 8), (8, 8), (8, 16)] {
        let loads = LOAD * (rows + columns) as f64 / (rows * columns) as f64;
        let run = work(rows, columns, 1, loads);
        let tile = |workgroup| Choice::Registers(Tile { rows, columns, workgroup });
        all.extend(
            [8, 32, 64, 128, 256].into_iter().filter(|&w| w <= shaping.map_workgroup).map(|w| (tile(w), run)),
        );
    }
    if shaping.workgroup_tiles && tiled::suits(product) {
        let [rows, columns, _] = tiled::TILE;
        let loads = LOAD * (rows + columns) as f64 / (rows * columns) as f64 + SHARED * 0.5;
        all.push((Choice::Workgroup, work(rows, columns, 256, loads)));
    }
    all
}

impl Shaping {
    /// Invocations that keep a device busy: a few for each of a processor's lanes, thousands on a GPU.
    pub(super) fn enough(&self) -> usize {
        if self.workgroup_tiles { 16 * 1024 } else { 128 }
    }
}
