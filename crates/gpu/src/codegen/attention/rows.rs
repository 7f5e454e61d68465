//! How the rows of attention move: owned ones from memory into registers and back, passing ones to every invocation
//! of a workgroup.

use super::{Kernel, Passed, Passing, Row, STAGED_ROWS, WORKGROUP_VECTORS};
use crate::codegen::emit::{Emitter, Value};
use crate::codegen::results::{bits, pick, vector};
use crate::plan::index::Index;

/// The loops in which rows pass by.
struct Loops {
    /// Rows of a run of the outer loop.
    block: usize,
    outer: String,
    inner: Option<String>,
    /// The row's place among those of the loops, and its position among all.
    own: String,
    position: Index,
}

impl Loops {
    /// Closes them around what has been written. A block begins at `start`.
    fn close(self, emitter: &mut Emitter<'_>, start: &str, end: &str) {
        let Self { block, outer, inner, .. } = self;
        let mut close = |header: String| {
            let text = emitter.close();
            emitter.line(&format!("for ({header}) {{"));
            emitter.block(&text);
            emitter.line("}");
        };
        let Some(inner) = inner else {
            return close(format!("var {outer} = {start}; {outer} < {end}; {outer}++"));
        };
        let rest = format!("min({block}u, {end} - {outer} * {block}u)");
        close(format!("var {inner} = 0u; {inner} < {rest}; {inner}++"));
        close(format!("var {outer} = {start} / {block}u; {outer} * {block}u < {end}; {outer}++"));
    }
}

impl Kernel<'_> {
    /// Four neighbours of a row of an operand.
    pub(super) fn vector(
        &self,
        emitter: &mut Emitter<'_>,
        operand: usize,
        row: &Index,
        column: &Index,
    ) -> String {
        let element = |emitter: &mut Emitter<'_>, at: i64| {
            let mut index = self.lead.clone();
            index.extend([row.clone(), column.clone().offset(at)]);
            emitter.value(self.inputs[operand], &index).text
        };
        let elements: Vec<String> = (0..4).map(|at| element(emitter, at)).collect();
        let name = emitter.name("z");
        emitter.line(&format!("let {name} = {};", vector(&elements)));
        name
    }

    /// A number that belongs to a row.
    pub(super) fn number(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Index) -> String {
        let mut index = self.lead.clone();
        index.push(row.clone());
        emitter.value(self.inputs[operand], &index).text
    }

    /// The vectors of four of an operand's row.
    pub(super) fn vectors(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Index) -> Vec<String> {
        let at = |column: usize| Index::constant(4 * column);
        let columns = 0..self.columns(emitter, operand) / 4;
        columns.map(|column| self.vector(emitter, operand, row, &at(column))).collect()
    }

    /// The vectors of an operand's owned rows. Where a load is a loop of its own, several rows are loaded in a loop, and
    /// move up as others follow: written out, the loads took a compiler longer than the rest.
    pub(super) fn own(
        &self,
        emitter: &mut Emitter<'_>,
        rows: &[Row],
        operand: usize,
        lane: &Index,
    ) -> Vec<Vec<String>> {
        if rows.len() == 1 || emitter.texels {
            return rows.iter().map(|row| self.vectors(emitter, operand, &row.position)).collect();
        }
        let width = self.columns(emitter, operand);
        let names = self.accumulators(emitter, rows.len(), width);
        self.over_rows(emitter, rows.len(), |emitter, number, _| {
            let row = self.row(emitter, lane, number);
            let loaded = self.vectors(emitter, operand, &row.position);
            let follow = names[1..].iter().flatten().chain(&loaded);
            for (name, next) in names.iter().flatten().zip(follow) {
                emitter.line(&format!("{name} = {next};"));
            }
        });
        names
    }

    /// Stores what was made of the rows: `parts` are places with each row's vectors. Several rows are stored in a loop.
    pub(super) fn store_rows(
        &self,
        emitter: &mut Emitter<'_>,
        rows: &[Row],
        lane: &Index,
        parts: &[(usize, &[Vec<String>])],
    ) {
        if let [row] = rows {
            parts.iter().for_each(|(start, vectors)| self.store(emitter, row, *start, &vectors[0]));
            return;
        }
        self.over_rows(emitter, rows.len(), |emitter, number, bits| {
            let row = self.row(emitter, lane, number);
            for (start, vectors) in parts {
                let column = |column: usize| {
                    let values = vectors.iter().map(|vectors| vectors[column].clone()).collect();
                    pick(emitter, values, bits)
                };
                let picked: Vec<String> = (0..vectors[0].len()).map(column).collect();
                self.store(emitter, &row, *start, &picked);
            }
        });
    }

    /// A loop over owned rows. The body gets the row's number, and its bits.
    fn over_rows(
        &self,
        emitter: &mut Emitter<'_>,
        rows: usize,
        body: impl FnOnce(&mut Emitter<'_>, &Index, &[String]),
    ) {
        emitter.open();
        let (name, depth) = (emitter.name("r"), emitter.depth());
        let (atom, number) = emitter.indices.named_var(rows, depth);
        emitter.define(atom, &name);
        let bits = bits(emitter, &name, rows);
        body(emitter, &number, &bits);
        let text = emitter.close();
        emitter.repeat(&name, rows, &text);
    }

    pub(super) fn columns(&self, emitter: &Emitter<'_>, operand: usize) -> usize {
        let shape = &emitter.plan.recording.node(self.inputs[operand]).spec.shape;
        shape[shape.rank() - 1]
    }

    /// Writes a row of a part that begins at `start`.
    fn store(&self, emitter: &mut Emitter<'_>, row: &Row, start: usize, vectors: &[String]) {
        let number = self.row_number(emitter, row);
        emitter.open();
        for (column, vector) in vectors.iter().enumerate() {
            let first = number.times(4 * vectors.len() as i64).offset((start + 4 * column) as i64);
            let name = emitter.name("w");
            emitter.line(&format!("let {name} = {vector};"));
            let depth = emitter.depth();
            let mut positions = vec![];
            for (at, component) in ["x", "y", "z", "w"].iter().enumerate() {
                let position = vec![first.clone().offset(at as i64)];
                emitter.know(self.node, &position, Value { text: format!("{name}.{component}"), depth });
                positions.push(position);
            }
            emitter.store(self.node, &positions);
        }
        self.close(emitter, row);
    }

    /// Writes the number of a row into a part that begins at `start`.
    pub(super) fn store_number(&self, emitter: &mut Emitter<'_>, row: &Row, start: usize, text: String) {
        let position = vec![self.row_number(emitter, row).offset(start as i64)];
        emitter.open();
        let depth = emitter.depth();
        emitter.know(self.node, &position, Value { text, depth });
        emitter.store(self.node, &[position]);
        self.close(emitter, row);
    }

    /// The number of an owned row among those of all positions along the axes in front.
    fn row_number(&self, emitter: &mut Emitter<'_>, row: &Row) -> Index {
        let before = self.batch.times(self.owned() as i64);
        emitter.indices.add(&before, &row.position)
    }

    /// Closes a scope whose text runs where the row is there.
    fn close(&self, emitter: &mut Emitter<'_>, row: &Row) {
        let text = emitter.close();
        let condition = row.inside.as_deref().map(|inside| format!("if ({inside}) ")).unwrap_or_default();
        emitter.line(&format!("{condition}{{"));
        emitter.block(&text);
        emitter.line("}");
    }

    /// Writes the loop in which rows pass by; returns declarations that it needs. Of causal attention, rows that
    /// no row of the tile sees, or is seen by, are left out.
    pub(super) fn pass(
        &self,
        emitter: &mut Emitter<'_>,
        operands: &[usize],
        numbers: &[usize],
        lane: &Index,
        body: impl FnOnce(&mut Emitter<'_>, &Passed),
    ) -> String {
        let count = self.passed();
        let first = self.tile.times((self.lanes * self.rows) as i64);
        let (mut start, mut end) = ("0u".to_string(), format!("{count}u"));
        if self.op.causal && self.owns_keys() {
            start = emitter.position(&first);
        } else if self.op.causal {
            let last = emitter.position(&first.offset((self.lanes * self.rows) as i64));
            end = format!("min({last}, {count}u)");
        }
        if self.passing == Passing::Staged {
            return self.pass_staged(emitter, operands, numbers, [&start, &end], body);
        }
        let passing = self.open_loops(emitter, None);
        let position = passing.position.clone();
        let vectors = operands.iter().map(|&operand| match self.passing {
            Passing::Direct => self.vectors(emitter, operand, &position),
            _ => self.shuffled(emitter, operand, &position, lane),
        });
        let vectors = vectors.collect();
        let numbers = numbers.iter().map(|&operand| self.number(emitter, operand, &position)).collect();
        body(emitter, &Passed { position, vectors, numbers });
        passing.close(emitter, &start, &end);
        String::new()
    }

    /// A passing row of which every lane loads a part, and hands it to all.
    fn shuffled(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Index, lane: &Index) -> Vec<String> {
        let columns = self.columns(emitter, operand) / 4;
        let loaded: Vec<String> = (0..columns.div_ceil(self.lanes))
            .map(|slot| {
                let wanted = lane.clone().offset((slot * self.lanes) as i64);
                let column = emitter.indices.clamp(&wanted, columns - 1);
                self.vector(emitter, operand, row, &column.times(4))
            })
            .collect();
        let hand = |column: usize| {
            let (slot, from) = (column / self.lanes, column % self.lanes);
            let name = emitter.name("y");
            emitter.line(&format!("let {name} = subgroupShuffle({}, {from}u);", loaded[slot]));
            name
        };
        (0..columns).map(hand).collect()
    }

    /// How many passing rows, one behind the other, share a block of random words, which is computed before they pass.
    fn block(&self) -> usize {
        const WORDS: usize = 4;
        let shares = self.op.dropped && !self.owns_keys() && self.shape.keys.is_multiple_of(WORDS);
        if shares { WORDS } else { 1 }
    }

    /// Opens the loops in which rows pass by, those from `base` on if it is given: one over blocks of rows, and one over
    /// the rows of a block if it has several.
    fn open_loops(&self, emitter: &mut Emitter<'_>, base: Option<&str>) -> Loops {
        let block = self.block();
        let open = |emitter: &mut Emitter<'_>, extent: usize| {
            emitter.open();
            let (name, depth) = (emitter.name("s"), emitter.depth());
            let (atom, index) = emitter.indices.named_var(extent, depth);
            (name, atom, index)
        };
        let (outer, atom, index) = open(emitter, self.passed().div_ceil(block));
        emitter.define(atom, &base.map_or(outer.clone(), |base| format!("({base} / {block}u + {outer})")));
        let position = index.times(block as i64);
        if block == 1 {
            return Loops { block, own: outer.clone(), outer, inner: None, position };
        }
        let (inner, atom, index) = open(emitter, block);
        emitter.define(atom, &inner);
        let position = emitter.indices.add(&position, &index);
        Loops { block, own: format!("({outer} * {block}u + {inner})"), outer, inner: Some(inner), position }
    }

    /// The loop over rows that wait in workgroup memory, within the loop over such groups of rows.
    fn pass_staged(
        &self,
        emitter: &mut Emitter<'_>,
        operands: &[usize],
        numbers: &[usize],
        [start, end]: [&str; 2],
        body: impl FnOnce(&mut Emitter<'_>, &Passed),
    ) -> String {
        let count = self.passed();
        let widths: Vec<usize> = operands.iter().map(|&at| self.columns(emitter, at) / 4).collect();
        let most = (WORKGROUP_VECTORS - STAGED_ROWS) / widths.iter().sum::<usize>();
        // Groups begin where blocks do.
        let staged = most.min(STAGED_ROWS) / self.block() * self.block();
        let mut globals = String::new();
        let mut declare = |emitter: &mut Emitter<'_>, kind: &str, length: usize| {
            let name = emitter.name("tile");
            globals.push_str(&format!("var<workgroup> {name}: array<{kind}, {length}>;\n"));
            name
        };
        let tiles: Vec<String> =
            widths.iter().map(|width| declare(emitter, "vec4<f32>", staged * width)).collect();
        let lists: Vec<String> = numbers.iter().map(|_| declare(emitter, "f32", staged)).collect();
        emitter.open();
        let (base, depth) = (emitter.name("base"), emitter.depth());
        let (atom, first) = emitter.indices.named_var(count, depth);
        emitter.define(atom, &base);
        emitter.line("workgroupBarrier();");
        for ((&operand, width), tile) in operands.iter().zip(&widths).zip(&tiles) {
            self.stage(emitter, staged * width, |emitter, at| {
                let row = emitter.indices.div(at, *width as i64);
                let column = emitter.indices.rem(at, *width as i64);
                let row = emitter.indices.add(&first, &row);
                let row = emitter.indices.clamp(&row, count - 1);
                (tile.clone(), self.vector(emitter, operand, &row, &column.times(4)))
            });
        }
        for (&operand, list) in numbers.iter().zip(&lists) {
            self.stage(emitter, staged, |emitter, at| {
                let row = emitter.indices.add(&first, at);
                let row = emitter.indices.clamp(&row, count - 1);
                (list.clone(), self.number(emitter, operand, &row))
            });
        }
        emitter.line("workgroupBarrier();");
        let passing = self.open_loops(emitter, Some(&base));
        let at = &passing.own;
        let vectors = widths.iter().zip(&tiles).map(|(width, tile)| {
            (0..*width).map(|column| format!("{tile}[{at} * {width}u + {column}u]")).collect()
        });
        let vectors = vectors.collect();
        let numbers = lists.iter().map(|list| format!("{list}[{at}]")).collect();
        body(emitter, &Passed { position: passing.position.clone(), vectors, numbers });
        passing.close(emitter, "0u", &format!("min({staged}u, {end} - {base})"));
        let text = emitter.close();
        emitter.line(&format!("for (var {base} = {start}; {base} < {end}; {base} += {staged}u) {{"));
        emitter.block(&text);
        emitter.line("}");
        globals
    }

    /// Fills an array in workgroup memory, each invocation its share.
    fn stage(
        &self,
        emitter: &mut Emitter<'_>,
        length: usize,
        load: impl FnOnce(&mut Emitter<'_>, &Index) -> (String, String),
    ) {
        emitter.open();
        let (name, depth) = (emitter.name("j"), emitter.depth());
        let (atom, at) = emitter.indices.named_var(length, depth);
        emitter.define(atom, &name);
        let (tile, value) = load(emitter, &at);
        emitter.line(&format!("{tile}[{name}] = {value};"));
        let text = emitter.close();
        emitter.line(&format!("for (var {name} = lid; {name} < {length}u; {name} += {}u) {{", self.lanes));
        emitter.block(&text);
        emitter.line("}");
    }
}
