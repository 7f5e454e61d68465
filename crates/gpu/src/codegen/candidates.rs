//! The ways in which a kernel could be shaped, each with a bound of what it costs: operations and loads, padding
//! included, on a device that is as busy as there are workgroups. What the rules choose is among them; tuning measures
//! those that the bound does not exclude.

use super::emit::Emitter;
use super::product::Product;
use super::{Cooperative, Shaping, Tile, WorkgroupTile, attention, cooperative, map, row, subgroup, tiled};
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
                None => {
                    let blocks = blocks(plan, &product, shaping);
                    tiles(&product, shaping).into_iter().chain(blocks).map(candidate).collect()
                }
            }
        }
        Archetype::Attention { node } => {
            attention::shares(&Emitter::new(plan, kernel, shaping), *node, shaping)?
                .into_iter()
                .map(|(rows, run)| candidate((Choice::Attention { rows }, run)))
                .collect()
        }
        // Nothing about it is ours to choose.
        Archetype::Wgsl { .. } => vec![],
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

/// Multiply-adds that a load is worth, the load of a vector from workgroup memory, a barrier and what it waits for, and
/// all that an invocation does besides. They are guesses for GPUs with caches; what is within a factor of them is
/// measured.
const LOAD: f64 = 8.0;
const SHARED: f64 = 4.0;
const BARRIER: f64 = 32.0;
const START: f64 = 64.0;
/// Invocations that keep a processor busy, with sums of 16 and more on a GPU.
const BUSY: usize = 128;
/// What work costs where there is nothing else to do.
const IDLE: f64 = 0.25;
/// Multiply-adds that cooperative matrices do in the time of one.
const TENSOR: f64 = 8.0;

/// Tiles in registers, and those in workgroup memory.
fn tiles(product: &Product, shaping: &Shaping) -> Vec<(Choice, f64)> {
    let mut all = vec![];
    for (rows, columns) in [(2, 4), (4, 4), (8, 4), (4, 8), (8, 8), (8, 16)] {
        for workgroup in [8, 32, 64, 128, 256].into_iter().filter(|&w| w <= shaping.map_workgroup) {
            let tile = Tile { rows, columns, workgroup };
            all.push((Choice::Registers(tile), in_registers(product, shaping, tile)));
        }
    }
    let [invocations, bytes] = shaping.workgroup_limits;
    for tile in tiled::TILES.into_iter().filter(|tile| tile.fits(invocations, bytes)) {
        if shaping.workgroup_tiles && product.inner.len() > 0 {
            all.push((Choice::Workgroup(tile), in_workgroups(product, shaping, tile)));
        }
    }
    all
}

/// Blocks of cooperative matrices.
fn blocks(plan: &Plan, product: &Product, shaping: &Shaping) -> Vec<(Choice, f64)> {
    let Some(cooperative) = shaping.cooperative else { return vec![] };
    let with = |block| Cooperative { block: Some(block), ..cooperative };
    let fits = |block: &[usize; 2]| with(*block).block_for(plan, product, shaping.processors).is_some();
    let invocations = cooperative.invocations() as usize;
    let cost = |block: [usize; 2]| {
        let ([rows, columns], k) = (cooperative.tile(block), product.inner.len());
        let steps = k.div_ceil(cooperative::TILE_K);
        let share = |elements: usize| elements as f64 / invocations as f64;
        let multiply = share(k * rows * columns) / TENSOR;
        let loads = LOAD * share(steps * cooperative::TILE_K * (rows + columns));
        let barriers = 2 * (steps + block[0] * block[1]);
        let each = START + multiply + loads + BARRIER * barriers as f64;
        on_processors(shaping, cooperative.workgroups(product, block), invocations, each)
    };
    Cooperative::CANDIDATES
        .into_iter()
        .filter(fits)
        .map(|block| (Choice::Cooperative { block }, cost(block)))
        .collect()
}

/// The tile in workgroup memory of a contraction for which that is worth while: what was chosen, or by the same bounds.
pub(super) fn workgroup_tile(product: &Product, shaping: &Shaping) -> Option<WorkgroupTile> {
    if !shaping.workgroup_tiles || product.inner.len() == 0 {
        return None;
    }
    let [invocations, bytes] = shaping.workgroup_limits;
    let fits = |tile: &WorkgroupTile| tile.fits(invocations, bytes);
    if let Some(tile) = shaping.workgroup_tile.filter(fits) {
        return Some(tile);
    }
    let all = tiled::TILES.into_iter().filter(fits).map(|tile| (tile, in_workgroups(product, shaping, tile)));
    let (tile, cost) = all.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (cost < in_registers(product, shaping, shaping.tile)).then_some(tile)
}

fn in_registers(product: &Product, shaping: &Shaping, tile: Tile) -> f64 {
    let Tile { rows, columns, workgroup } = tile;
    let tiles =
        product.batch.len() * product.rows.len().div_ceil(rows) * product.columns.len().div_ceil(columns);
    let loads = LOAD * (rows + columns) as f64;
    let each = product.inner.len() as f64 * ((rows * columns) as f64 + loads);
    if !shaping.workgroup_tiles {
        let busy = tiles.max(1);
        return tiles as f64 * each * shaping.enough().max(busy) as f64 / busy as f64;
    }
    let workgroups = tiles.div_ceil(workgroup as usize);
    on_processors(shaping, workgroups, workgroup as usize, START + each)
}

fn in_workgroups(product: &Product, shaping: &Shaping, tile: WorkgroupTile) -> f64 {
    let WorkgroupTile { rows, columns, inner, rows_each, columns_each } = tile;
    let (invocations, k) = (tile.invocations(), product.inner.len());
    let steps = k.div_ceil(inner);
    let shared = SHARED * ((rows_each + columns_each) / 4) as f64;
    let multiply = k as f64 * ((rows_each * columns_each) as f64 + shared);
    let loads = LOAD * (steps * inner * (rows + columns)) as f64 / invocations as f64;
    let [m_tiles, n_tiles] = tile.counts(product);
    let each = START + multiply + loads + BARRIER * (steps + 1) as f64;
    on_processors(shaping, product.batch.len() * m_tiles * n_tiles, invocations, each)
}

/// The cost of so many workgroups that cost so much an invocation, on a device where some processors may have none, or
/// too few invocations to hide what each waits for. What is computed for nothing takes no time there, but memory's.
fn on_processors(shaping: &Shaping, workgroups: usize, invocations: usize, each: f64) -> f64 {
    let [processors, workgroups, invocations] =
        [shaping.processors, workgroups, invocations].map(|n| n as f64);
    let rounds = (workgroups / processors).max(1.0);
    each * (processors * (rounds * invocations).max(BUSY as f64) + IDLE * workgroups * invocations)
}

impl Shaping {
    /// Invocations that keep a device busy.
    pub(super) fn enough(&self) -> usize {
        BUSY * self.processors
    }
}

#[cfg(test)]
mod tests {
    use wgrad_core::{DType, NodeId};

    use super::super::product::Axis;
    use super::*;

    fn product(batch: usize, [m, n, k]: [usize; 3]) -> Product {
        let axis = |extent: usize| Axis { labels: vec![0], extents: vec![extent] };
        let (node, operands) = (NodeId(0), [NodeId(0); 2]);
        let (labels, out, dtype) = ([vec![], vec![]], vec![], DType::F32);
        let (rows, columns, inner) = (axis(m), axis(n), axis(k));
        Product { node, operands, labels, out, batch: axis(batch), rows, columns, inner, dtype }
    }

    #[test]
    fn large_tiles_are_for_products_that_fill_a_gpu_with_them() {
        let sizes = [8, 32, 64, 128, 200, 256, 512, 1000, 2048, 4096];
        for (m, n) in sizes.into_iter().flat_map(|m| sizes.map(|n| (m, n))) {
            for (batch, k, bytes) in [(1, 64, 16 << 10), (1, 1024, 48 << 10), (12, 64, 32 << 10)] {
                let shaping = Shaping { workgroup_limits: [256, bytes], ..Shaping::hardware() };
                let product = product(batch, [m, n, k]);
                let Some(tile) = workgroup_tile(&product, &shaping) else { continue };
                let groups = batch * tile.counts(&product).iter().product::<usize>();
                let what = format!("{batch} × {m} × {n} × {k}: {groups} of {tile:?}");
                assert!(tile.fits(256, bytes), "{what}");
                assert!(groups >= 96 || tile.rows * tile.columns <= 64 * 32, "{what}");
                assert!(tile.rows <= 2 * m.max(32) && tile.columns <= 2 * n.max(32), "{what}");
            }
        }
    }

    #[test]
    fn many_small_products_are_computed_in_registers() {
        assert_eq!(workgroup_tile(&product(1024, [8, 8, 8]), &Shaping::hardware()), None);
    }

    #[test]
    fn tiles_follow_the_shape_and_the_limits() {
        let sides = |sizes: [usize; 3], bytes: u32| {
            let shaping = Shaping { workgroup_limits: [256, bytes], ..Shaping::hardware() };
            workgroup_tile(&product(1, sizes), &shaping).map(|tile| (tile.rows, tile.columns))
        };
        assert_eq!(sides([2048, 2048, 512], 48 << 10), Some((128, 128)));
        assert_eq!(sides([2048, 2048, 512], 16 << 10), Some((128, 64)));
        assert_eq!(sides([16, 32768, 512], 48 << 10), Some((16, 64)));
        assert_eq!(sides([32768, 32, 512], 48 << 10), Some((128, 32)));
        // Nothing that several invocations would read, or nothing at all.
        assert_eq!(sides([4, 4, 1], 48 << 10), None);
        assert_eq!(sides([64, 64, 0], 48 << 10), None);
    }
}
