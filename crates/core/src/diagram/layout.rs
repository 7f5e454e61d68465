//! Places for blocks and arrows, rank by rank (Sugiyama, Tagawa and Toda, "Methods for Visual Understanding
//! of Hierarchical System Structures", 1981).
//!
//! Blocks lie on ranks, so that all arrows lead down, with a rank of labels between two of blocks. An arrow over
//! several ranks has a bend on each, which takes part like a block: first the order within the ranks is
//! improved, then the places, such that nothing overlaps.

use super::Diagram;

/// The least distance between two items of a rank, and between two ranks.
const GAP: (f64, f64) = (14.0, 14.0);
/// How often order and places are improved, downwards and upwards in turn.
const SWEEPS: usize = 24;

/// A width and a height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Where an item lies: the middle of its upper edge, and its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) size: Size,
}

/// The places of everything in a diagram.
pub(super) struct Layout {
    pub(super) size: Size,
    pub(super) blocks: Vec<Place>,
    /// For each arrow the place of its label, then those of its bends.
    pub(super) arrows: Vec<Vec<Place>>,
}

/// Something that takes space on a rank.
struct Item {
    size: Size,
    rank: usize,
    /// Neighbours on the rank above and on the rank below.
    above: Vec<usize>,
    below: Vec<usize>,
    /// How much it matters that it lies under its neighbours: an arrow should not zigzag.
    weight: f64,
    x: f64,
}

impl Item {
    fn new(size: Size, rank: usize, weight: f64) -> Self {
        Self { size, rank, above: vec![], below: vec![], weight, x: 0.0 }
    }
}

/// Lays out a diagram whose blocks and labels have these sizes.
pub(super) fn layout(diagram: &Diagram, blocks: &[Size], labels: &[Size]) -> Layout {
    let ranks = ranks(diagram);
    let mut items: Vec<Item> =
        blocks.iter().zip(&ranks).map(|(&size, &rank)| Item::new(size, rank, 1.0)).collect();
    let mut chains: Vec<Vec<usize>> = vec![];
    for (arrow, &label) in diagram.arrows.iter().zip(labels) {
        let mut path = vec![arrow.from];
        for rank in ranks[arrow.from] + 1..ranks[arrow.to] {
            let bend = Item::new(Size { width: 0.0, height: 0.0 }, rank, 8.0);
            items.push(if path.len() == 1 { Item { size: label, weight: 2.0, ..bend } } else { bend });
            path.push(items.len() - 1);
        }
        path.push(arrow.to);
        for pair in path.windows(2) {
            items[pair[0]].below.push(pair[1]);
            items[pair[1]].above.push(pair[0]);
        }
        chains.push(path[1..path.len() - 1].to_vec());
    }

    let count = ranks.iter().max().map_or(0, |last| last + 1);
    let mut rows: Vec<Vec<usize>> = vec![vec![]; count];
    items.iter().enumerate().for_each(|(index, item)| rows[item.rank].push(index));
    sweep(&mut items, &mut rows, order);
    rows.iter().for_each(|row| place(&mut items, row, |_| 0.0));
    sweep(&mut items, &mut rows, |items, row, neighbours| {
        let middle = row.iter().map(|&index| items[index].x).sum::<f64>() / row.len().max(1) as f64;
        let goal = |&index: &usize| match &items[index] {
            // What has no neighbours at all stays with its rank.
            Item { above, below, .. } if above.is_empty() && below.is_empty() => middle,
            item => mean(items, neighbours(item), index),
        };
        let goals: Vec<f64> = row.iter().map(goal).collect();
        place(items, row, |position| goals[position]);
    });
    finish(&items, &rows, blocks.len(), &chains)
}

/// The rank of each block: even, as labels lie between.
fn ranks(diagram: &Diagram) -> Vec<usize> {
    let mut ranks = vec![0; diagram.blocks.len()];
    let mut arrows: Vec<_> = diagram.arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    arrows.sort_by_key(|&(from, to)| (to, from));
    for &(from, to) in &arrows {
        ranks[to] = ranks[to].max(ranks[from] + 2);
    }
    // What nothing leads to lies right above what needs it first.
    for block in (0..ranks.len()).rev() {
        let is_source = arrows.iter().all(|&(_, to)| to != block);
        let first = arrows.iter().filter(|(from, _)| *from == block).map(|&(_, to)| ranks[to]).min();
        if let Some(first) = first.filter(|_| is_source) {
            ranks[block] = first - 2;
        }
    }
    ranks
}

type Neighbours = fn(&Item) -> &[usize];

/// Improves rank after rank by its neighbours above, and back by those below.
fn sweep(
    items: &mut [Item],
    rows: &mut [Vec<usize>],
    mut improve: impl FnMut(&mut [Item], &mut [usize], Neighbours),
) {
    for _ in 0..SWEEPS {
        rows.iter_mut().for_each(|row| improve(items, row, |item| &item.above));
        rows.iter_mut().rev().for_each(|row| improve(items, row, |item| &item.below));
    }
}

/// The mean place of an item's neighbours; its own where it has none.
fn mean(items: &[Item], neighbours: &[usize], index: usize) -> f64 {
    match neighbours.len() {
        0 => items[index].x,
        count => neighbours.iter().map(|&other| items[other].x).sum::<f64>() / count as f64,
    }
}

/// Sorts a rank by the places of its items' neighbours; a place is the number in the rank, from its middle.
fn order(items: &mut [Item], row: &mut [usize], neighbours: Neighbours) {
    let goal = |&index: &usize| (mean(items, neighbours(&items[index]), index), index);
    let mut goals: Vec<(f64, usize)> = row.iter().map(goal).collect();
    goals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = row.len() as f64 / 2.0;
    for (number, (_, index)) in goals.into_iter().enumerate() {
        row[number] = index;
        items[index].x = number as f64 - middle;
    }
}

/// Moves the items of a rank as near to their goals as their order and sizes allow: least squares under
/// lower bounds on the differences, solved by pooling neighbours that violate them (Ayer et al., "An empirical
/// distribution function for sampling with incomplete information", 1955).
fn place(items: &mut [Item], row: &[usize], goal: impl Fn(usize) -> f64) {
    // Without the space that the items before it need, an item only must not lie before those.
    let mut before = vec![0.0; row.len()];
    for (position, pair) in row.windows(2).enumerate() {
        let half = |index: usize| items[index].size.width / 2.0;
        before[position + 1] = before[position] + half(pair[0]) + GAP.0 + half(pair[1]);
    }
    // Pools of neighbours: how many, their weight, and their weighted mean.
    let mut pools: Vec<(usize, f64, f64)> = vec![];
    for (position, &index) in row.iter().enumerate() {
        let mut pool = (1, items[index].weight, goal(position) - before[position]);
        while let Some(last) = pools.pop_if(|last| last.2 >= pool.2) {
            let weight = last.1 + pool.1;
            pool = (last.0 + pool.0, weight, (last.1 * last.2 + pool.1 * pool.2) / weight);
        }
        pools.push(pool);
    }
    let places = pools.iter().flat_map(|&(count, _, mean)| std::iter::repeat_n(mean, count));
    for ((&index, place), before) in row.iter().zip(places).zip(before) {
        items[index].x = place + before;
    }
}

/// Places in the picture, whose upper left corner is zero.
fn finish(items: &[Item], rows: &[Vec<usize>], blocks: usize, chains: &[Vec<usize>]) -> Layout {
    let edges = |side: f64| items.iter().map(move |item| item.x + side * item.size.width / 2.0);
    let left = edges(-1.0).fold(f64::INFINITY, f64::min);
    let right = edges(1.0).fold(f64::NEG_INFINITY, f64::max);
    let mut tops = vec![];
    let mut bottom = 0.0;
    for row in rows {
        tops.push(bottom);
        bottom += row.iter().map(|&index| items[index].size.height).fold(0.0, f64::max) + GAP.1;
    }
    let place = |index: usize| {
        let item = &items[index];
        let height = rows[item.rank].iter().map(|&index| items[index].size.height).fold(0.0, f64::max);
        // Blocks lie in the middle of their rank, bends go through all of it.
        let size = if item.size.width == 0.0 { Size { width: 0.0, height } } else { item.size };
        Place { x: item.x - left, y: tops[item.rank] + (height - size.height) / 2.0, size }
    };
    let (width, height) = if items.is_empty() { (0.0, 0.0) } else { (right - left, bottom - GAP.1) };
    Layout {
        size: Size { width, height },
        blocks: (0..blocks).map(place).collect(),
        arrows: chains.iter().map(|chain| chain.iter().map(|&index| place(index)).collect()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    /// A diagram of pseudo-random arrows among `blocks` blocks.
    fn tangle(blocks: usize) -> Diagram {
        let mut diagram = Diagram::new();
        for block in 0..blocks {
            diagram.block(Kind::Map, vec![format!("block {block}")]);
        }
        for number in 0..2 * blocks {
            let (from, to) = (number * 7 % blocks, number * 13 % blocks);
            diagram.arrow(from.min(to), from.max(to), "f32[3]".into());
        }
        diagram
    }

    #[test]
    fn nothing_overlaps_and_arrows_lead_down() {
        let diagram = tangle(40);
        let sizes: Vec<Size> = (0..40)
            .map(|block| Size { width: 40.0 + block as f64, height: 20.0 + (block % 3) as f64 })
            .collect();
        let labels = vec![Size { width: 30.0, height: 10.0 }; diagram.arrows.len()];
        let layout = layout(&diagram, &sizes, &labels);
        let all: Vec<Place> = layout
            .blocks
            .iter()
            .chain(layout.arrows.iter().flatten())
            .filter(|place| place.size.width > 0.0)
            .copied()
            .collect();
        let bottom = |place: &Place| place.y + place.size.height;
        for (index, a) in all.iter().enumerate() {
            assert!(a.x - a.size.width / 2.0 > -1e-6 && a.x + a.size.width / 2.0 < layout.size.width + 1e-6);
            assert!(a.y >= 0.0 && bottom(a) < layout.size.height + 1e-6);
            for b in &all[..index] {
                let apart_x = (a.x - b.x).abs() + 1e-6 >= (a.size.width + b.size.width) / 2.0;
                let apart_y = bottom(a) <= b.y || bottom(b) <= a.y;
                assert!(apart_x || apart_y, "{a:?} {b:?}");
            }
        }
        for (arrow, bends) in diagram.arrows.iter().zip(&layout.arrows) {
            let mut last = layout.blocks[arrow.from];
            for place in bends.iter().chain([&layout.blocks[arrow.to]]) {
                assert!(bottom(&last) < place.y);
                last = *place;
            }
        }
    }

    #[test]
    fn a_chain_is_straight() {
        let mut diagram = Diagram::new();
        for _ in 0..5 {
            diagram.block(Kind::Map, vec![]);
        }
        (1..5).for_each(|block| diagram.arrow(block - 1, block, String::new()));
        let size = Size { width: 50.0, height: 20.0 };
        let layout = layout(&diagram, &[size; 5], &[size; 4]);
        assert!(layout.blocks.iter().all(|block| block.x == 25.0));
        assert_eq!(layout.size.width, 50.0);
    }
}
