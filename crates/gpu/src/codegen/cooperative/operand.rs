//! How tiles of an operand get into workgroup memory, and from there into cooperative matrices.

use super::{Shaping, TILE_K, parameter};
use crate::codegen::emit::Emitter;
use crate::codegen::product::{Axis, Product};
use crate::codegen::results::lanes;
use crate::codegen::staged::cost_of_loads;
use crate::plan::index::Index;

/// An operand of a product, and how its tiles lie in workgroup memory.
pub(super) struct Operand<'a> {
    product: &'a Product,
    /// 0 for A, which gives rows, and 1 for B.
    side: usize,
    /// Whether neighbours in workgroup memory are those along the inner axis.
    along_inner: bool,
}

impl<'a> Operand<'a> {
    /// Chooses along which axis tiles of so many rows or columns are better loaded.
    pub(super) fn new(
        emitter: &Emitter<'_>,
        shaping: &Shaping,
        product: &'a Product,
        side: usize,
        length: usize,
    ) -> Self {
        let with = |along_inner| Self { product, side, along_inner };
        let cost = |along_inner: &bool| {
            let groups = if *along_inner { TILE_K } else { length } / 4;
            with(*along_inner).cost(&mut emitter.fresh(shaping), groups)
        };
        // As a matrix lies in memory by itself.
        let usual = side == 0;
        with([usual, !usual].into_iter().min_by_key(cost).unwrap_or(usual))
    }

    /// What loading four neighbours costs where so many of them make a row of a tile.
    fn cost(&self, emitter: &mut Emitter<'_>, groups: usize) -> usize {
        let (_, [row, group]) = self.load(emitter);
        // In the middle, as the edges of a view are like no other place.
        let [rows, columns] = self.axes().map(|axis| axis.len() / 2);
        cost_of_loads(emitter, |lane, atom| match atom {
            _ if atom == row => (rows + lane / groups) as i64,
            _ if atom == group => (columns / 4 + lane % groups) as i64,
            _ => 0,
        })
    }

    /// The axes of a tile's rows, and along its rows.
    fn axes(&self) -> [&'a Axis; 2] {
        let (outer, inner) = ([&self.product.rows, &self.product.columns][self.side], &self.product.inner);
        if self.along_inner { [outer, inner] } else { [inner, outer] }
    }

    /// The same with what they are called in the kernel.
    fn names(&self) -> [&'static str; 2] {
        let outer = ["M", "N"][self.side];
        if self.along_inner { [outer, "K"] } else { ["K", outer] }
    }

    fn letter(&self) -> &'static str {
        ["A", "B"][self.side]
    }

    /// The function that loads four neighbours, and the atoms of its row and its group.
    pub(super) fn load(&self, emitter: &mut Emitter<'_>) -> (String, [u32; 2]) {
        let (product, [outer, along]) = (self.product, self.axes());
        let name = ["load_a", "load_b"][self.side];
        let mut atoms = [0; 2];
        let signature = format!("fn {name}(batch: u32, row: u32, group: u32) -> vec4<f16>");
        let text = emitter.function(&signature, |emitter| {
            let (_, batch) = parameter(emitter, &product.batch, "batch");
            let (atom, row) = parameter(emitter, outer, "row");
            let (of_group, group) = emitter.indices.named_var(along.len().div_ceil(4), 0);
            emitter.define(of_group, "group");
            atoms = [atom, of_group];
            let mut values = vec![];
            for lane in lanes(emitter, &group, 4, along.len(), along) {
                let parts: [(&Axis, &[Index]); 3] =
                    [(&product.batch, &batch), (outer, &row), (along, &lane.index)];
                let index = product.index(&product.labels[self.side], &parts);
                let value = emitter.value(product.operands[self.side], &index).text;
                let value = format!("f16({value})");
                values.push(match lane.inside {
                    Some(condition) => format!("select(f16(0.0), {value}, {condition})"),
                    None => value,
                });
            }
            emitter.line(&format!("return vec4<f16>({});", values.join(", ")));
        });
        (text, atoms)
    }

    pub(super) fn layout(&self) -> String {
        let (letter, [row, column]) = (self.letter(), self.names());
        format!(
            "const {letter}_ROWS: u32 = TILE_{row};\nconst {letter}_COLUMNS: u32 = TILE_{column};\n\
             const {letter}_LAST_ROW: u32 = {row};\nconst {letter}_LAST_COLUMN: u32 = {column};\n"
        )
    }

    pub(super) fn stage(&self) -> String {
        let (letter, [row, column]) = (self.letter(), self.names());
        let call = format!("stage_{letter}(batch, first_{row}, first_{column}, local);\n");
        format!("        {}", call.to_lowercase())
    }

    /// Loads the cooperative matrix at a step of the inner axis with a number along the block.
    pub(super) fn matrix(&self, number: usize) -> String {
        let (letter, outer) = (self.letter(), ["m", "n"][self.side]);
        let array = letter.to_lowercase();
        let place = format!("block_{outer} + {number}u * MATRIX");
        let position = match self.along_inner {
            true => format!("({place}) * {letter}_STRIDE + k"),
            false => format!("k * {letter}_STRIDE + {place}"),
        };
        // A matrix lies row by row, `T`, if neighbours in memory are neighbours in a row of it.
        let by_rows = if self.along_inner == (self.side == 0) { "T" } else { "" };
        format!(
            "            let {array}_{number} = coopLoad{by_rows}<Matrix{letter}>(&tile_{array}[{position}], \
             {letter}_STRIDE);\n"
        )
    }
}
