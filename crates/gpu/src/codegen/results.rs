//! The results of a tile of a contraction: where they are, and everything that is made from them behind the
//! loop, written out or, where that is long, in a loop over the tile's rows.

use wgrad_core::{DType, NodeId};

use super::emit::{Emitter, Value, register_type, vector_of};
use super::product::{Axis, Product};
use crate::plan::Kernel;
use crate::plan::index::Index;

/// The most operations and stores, over all results of a tile, that are written out behind the loop; more are
/// written in a loop of their own. Compilers take seconds for thousands of lines.
const UNROLLED: usize = 256;
/// The same for compact kernels, and how many each run of the loop may have.
const COMPACT: usize = 16;
const TOGETHER: usize = 8;

const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// A lane's position along a composite axis and, for lanes that may lie beyond the end, the condition
/// under which they do not.
pub(super) struct Lane {
    pub(super) index: Vec<Index>,
    pub(super) inside: Option<String>,
}

/// One position along an axis, clamped to it.
pub(super) fn lane(emitter: &mut Emitter<'_>, position: &Index, extent: usize, axis: &Axis) -> Lane {
    let clamped = emitter.indices.clamp(position, extent.saturating_sub(1));
    let inside = (clamped != *position).then(|| format!("{} < {extent}u", emitter.position(position)));
    Lane { index: emitter.indices.unflatten(&clamped, &axis.extents), inside }
}

/// A group of neighbours, clamped as a whole where the extent allows, so that they stay aligned.
pub(super) fn lanes(
    emitter: &mut Emitter<'_>,
    group: &Index,
    width: usize,
    extent: usize,
    axis: &Axis,
) -> Vec<Lane> {
    let at = |group: &Index, j: usize| group.times(width as i64).offset(j as i64);
    if !extent.is_multiple_of(width) {
        return (0..width).map(|j| lane(emitter, &at(group, j), extent, axis)).collect();
    }
    let groups = extent / width;
    let clamped = emitter.indices.clamp(group, groups.saturating_sub(1));
    let inside = (clamped != *group).then(|| format!("{} < {groups}u", emitter.position(group)));
    let lane = |j: usize| {
        let index = emitter.indices.unflatten(&at(&clamped, j), &axis.extents);
        Lane { index, inside: inside.clone() }
    };
    (0..width).map(lane).collect()
}

/// Patches of `height` × `width` positions along the two innermost extents, of which the width is a multiple: one by
/// its number, row by row. They are to windows what neighbours are to rows: positions that read the same elements.
#[derive(Clone, Copy)]
pub(super) struct Patches<'a> {
    pub(super) axis: &'a Axis,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Patches<'_> {
    /// How many there are along each extent.
    fn extents(&self) -> Vec<usize> {
        let mut extents = self.axis.extents.clone();
        if let [.., y, x] = &mut extents[..] {
            (*y, *x) = (y.div_ceil(self.height), x.div_ceil(self.width));
        }
        extents
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.extents().iter().product()
    }

    /// The positions of a patch. Beyond the last one is the last one again, and so is what a patch has below the last
    /// row.
    pub(super) fn lanes(&self, emitter: &mut Emitter<'_>, number: &Index) -> Vec<Lane> {
        let count = self.count();
        let clamped = emitter.indices.clamp(number, count.saturating_sub(1));
        let there = (clamped != *number).then(|| format!("{} < {count}u", emitter.position(number)));
        let mut index = emitter.indices.unflatten(&clamped, &self.extents());
        let (Some(column), Some(row)) = (index.pop(), index.pop()) else { return vec![] };
        let rows = self.axis.extents[index.len()];
        let mut lanes = vec![];
        for y in 0..self.height {
            let wanted = row.times(self.height as i64).offset(y as i64);
            let position = emitter.indices.clamp(&wanted, rows.saturating_sub(1));
            let within = (position != wanted).then(|| format!("{} < {rows}u", emitter.position(&wanted)));
            let conditions: Vec<&str> = there.iter().chain(&within).map(String::as_str).collect();
            let inside = (!conditions.is_empty()).then(|| conditions.join(" && "));
            for x in 0..self.width {
                let column = column.times(self.width as i64).offset(x as i64);
                let index = [&index[..], &[position.clone(), column]].concat();
                lanes.push(Lane { index, inside: inside.clone() });
            }
        }
        lanes
    }
}

/// The type of up to four neighbours.
pub(super) fn chunk_type(width: usize) -> String {
    if width == 1 { "f32".into() } else { format!("vec{width}<f32>") }
}

/// Up to four values as a vector.
pub(super) fn vector(values: &[String]) -> String {
    vector_of(values).unwrap_or_else(|| format!("{}({})", chunk_type(values.len()), values.join(", ")))
}

/// A tile whose accumulators are complete.
pub(super) struct Results<'a> {
    pub(super) product: &'a Product,
    pub(super) kernel: &'a Kernel,
    pub(super) batch: &'a [Index],
    /// The position of the tile's first row.
    pub(super) first_row: Index,
    /// The columns of an invocation; neighbours make chunks of four.
    pub(super) columns: &'a [Lane],
}

impl Results<'_> {
    /// Writes everything that is made from the accumulators, named by row and chunk of columns.
    pub(super) fn write(&self, emitter: &mut Emitter<'_>, accumulators: &[Vec<String>]) {
        let rows = accumulators.len();
        let of_row = (emitter.inlined(self.kernel) + self.kernel.stores.len()) * self.columns.len();
        if rows == 1 || rows * of_row <= if emitter.compact { COMPACT } else { UNROLLED } {
            for (row, accumulators) in accumulators.iter().enumerate() {
                let row = self.row(emitter, &Index::constant(row));
                for (columns, accumulator) in self.columns.chunks(4).zip(accumulators) {
                    self.write_chunk(emitter, &row, columns, accumulator);
                }
            }
            return;
        }
        let fits = |together: &usize| rows.is_multiple_of(*together) && together * of_row <= TOGETHER;
        let together = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
        self.write_in_a_loop(emitter, accumulators, together);
    }

    fn row(&self, emitter: &mut Emitter<'_>, row: &Index) -> Lane {
        let position = emitter.indices.add(&self.first_row, row);
        lane(emitter, &position, self.product.rows.len(), &self.product.rows)
    }

    /// The same in a loop over all rows, some at a time, whose accumulators are selected by the bits of the loop's
    /// counter: an array in registers with an index that they do not know takes compilers seconds.
    fn write_in_a_loop(&self, emitter: &mut Emitter<'_>, accumulators: &[Vec<String>], together: usize) {
        let runs = accumulators.len() / together;
        emitter.open();
        let depth = emitter.depth();
        let name = emitter.name("r");
        let (atom, r) = emitter.indices.named_var(runs, depth);
        emitter.define(atom, &name);
        let bits = bits(emitter, &name, runs);
        for at in 0..together {
            let row = self.row(emitter, &r.times(together as i64).offset(at as i64));
            for (chunk, columns) in self.columns.chunks(4).enumerate() {
                let of_rows = accumulators.iter().skip(at).step_by(together);
                let of_rows = of_rows.map(|accumulators| accumulators[chunk].clone()).collect();
                let accumulator = pick(emitter, of_rows, &bits);
                self.write_chunk(emitter, &row, columns, &accumulator);
            }
        }
        let text = emitter.close();
        emitter.repeat(&name, runs, &text);
    }

    /// Stores everything that is made from up to four neighbouring results.
    fn write_chunk(&self, emitter: &mut Emitter<'_>, row: &Lane, columns: &[Lane], accumulator: &str) {
        let Self { product, kernel, batch, .. } = self;
        let mut positions = vec![];
        for (column, component) in columns.iter().zip(COMPONENTS) {
            let parts: [(&Axis, &[Index]); 3] =
                [(&product.batch, batch), (&product.rows, &row.index), (&product.columns, &column.index)];
            let index = product.index(&product.out, &parts);
            let text =
                if columns.len() == 1 { accumulator.into() } else { format!("{accumulator}.{component}") };
            let text = match product.dtype {
                DType::F32 => text,
                dtype => format!("{}({text})", register_type(dtype)),
            };
            // Lanes beyond the end share the position of the last one, and its value.
            let depth = emitter.depth();
            emitter.know(product.node, &index, Value { text, depth });
            positions.push(index);
        }
        let of_node: Vec<Vec<Vec<Index>>> = kernel
            .stores
            .iter()
            .map(|&node| positions.iter().map(|at| emitter.reshaped(at, product.node, node)).collect())
            .collect();
        for (&node, positions) in kernel.stores.iter().zip(&of_node) {
            emitter.prepare(&[node], positions);
        }
        for (&node, positions) in kernel.stores.iter().zip(&of_node) {
            if columns.iter().all(|column| column.inside == columns[0].inside) {
                write_if(emitter, node, positions, row.inside.iter().chain(&columns[0].inside));
                continue;
            }
            for (column, position) in columns.iter().zip(positions) {
                write_if(
                    emitter,
                    node,
                    std::slice::from_ref(position),
                    row.inside.iter().chain(&column.inside),
                );
            }
        }
    }
}

/// The bits of a counter of so many runs, lowest first.
pub(super) fn bits(emitter: &mut Emitter<'_>, counter: &str, runs: usize) -> Vec<String> {
    let mut bits = vec![];
    while 1 << bits.len() < runs {
        let bit = emitter.name("b");
        emitter.line(&format!("let {bit} = ({counter} & {}u) != 0u;", 1 << bits.len()));
        bits.push(bit);
    }
    bits
}

/// The value whose number has these bits.
pub(super) fn pick(emitter: &mut Emitter<'_>, mut values: Vec<String>, bits: &[String]) -> String {
    for bit in bits {
        let halved = values.chunks(2).map(|pair| match pair {
            [even, odd] => {
                let name = emitter.name("p");
                emitter.line(&format!("let {name} = select({even}, {odd}, {bit});"));
                name
            }
            _ => pair.concat(),
        });
        values = halved.collect();
    }
    values.concat()
}

fn write_if<'c>(
    emitter: &mut Emitter<'_>,
    node: NodeId,
    positions: &[Vec<Index>],
    conditions: impl Iterator<Item = &'c String>,
) {
    let conditions: Vec<&str> = conditions.map(String::as_str).collect();
    if conditions.is_empty() {
        emitter.store(node, positions);
        return;
    }
    emitter.open();
    emitter.store(node, positions);
    let text = emitter.close();
    emitter.line(&format!("if ({}) {{", conditions.join(" && ")));
    emitter.block(&text);
    emitter.line("}");
}
