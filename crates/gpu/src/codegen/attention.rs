//! Attention without a matrix of scores (Dao et al., *FlashAttention*, 2022): every invocation owns a few rows (of
//! queries, or of keys) and holds them and what is made of them in registers, while the rows of the other side
//! pass by. A score lives for as long as it takes to use it.

use wgrad_core::ops::{Attention, AttentionShape, Pass};
use wgrad_core::{DType, NodeId, Op};

use super::emit::{Emitter, Value};
use super::results::{bits, pick, vector};
use super::{Body, Shaping};
use crate::error::Error;
use crate::plan::index::Index;

/// Below any score that is not masked, and far enough from overflow that differences are finite.
const LOWEST: &str = "-1e38f";
/// Multiplications written out for each passing row: compilers take a third of a millisecond for each.
const WRITTEN_OUT: usize = 512;
/// Rows that are loaded and stored in one run of a loop.
const TOGETHER: usize = 2;
/// Workgroups that keep the cores of a processor busy.
const ENOUGH_TASKS: usize = 16;
/// Invocations of a workgroup on GPUs, and passing rows that wait in workgroup memory.
const GPU_LANES: usize = 64;
const STAGED_ROWS: usize = 32;
/// Bytes of workgroup memory that WebGPU guarantees, in vectors of four.
const WORKGROUP_VECTORS: usize = 1024;
/// How far a score may exceed the largest one so far, in powers of e, before sums are scaled down on GPUs, where
/// a branch that no invocation takes costs nothing.
const SLACK: &str = "8f";

/// How passing rows reach the invocations of a workgroup.
#[derive(Clone, Copy, PartialEq)]
enum Passing {
    /// Each lane of a subgroup loads a part and hands it to all: for adapters that run on the CPU.
    Shuffled,
    /// Through workgroup memory, some rows at a time.
    Staged,
    /// Every invocation loads every row.
    Direct,
}

pub(super) fn write(emitter: &mut Emitter<'_>, node: NodeId, shaping: &Shaping) -> Result<Body, Error> {
    let recording = &emitter.plan.recording;
    let Op::Attention(op) = &recording.node(node).op else {
        return Err(Error::Internal("a kernel of attention without attention".into()));
    };
    emitter.wide_loads = true;
    emitter.compact = shaping.compact;
    let kernel = Kernel::new(emitter, op, node, recording.node(node).inputs.clone(), shaping);
    Ok(kernel.write(emitter, shaping))
}

struct Kernel<'a> {
    op: &'a Attention,
    node: NodeId,
    inputs: Vec<NodeId>,
    shape: AttentionShape,
    passing: Passing,
    lanes: usize,
    /// Rows that an invocation owns.
    rows: usize,
    /// The position along the axes in front.
    lead: Vec<Index>,
    /// The same as one number.
    batch: Index,
    /// The number of the workgroup's tile of rows.
    tile: Index,
}

/// An owned row, and whether it is there.
struct Row {
    position: Index,
    inside: Option<String>,
}

/// A passing row.
struct Passed {
    /// Its position.
    position: String,
    /// Of each operand the vectors of four.
    vectors: Vec<Vec<String>>,
    /// The numbers that belong to it.
    numbers: Vec<String>,
}

impl<'a> Kernel<'a> {
    fn new(
        emitter: &mut Emitter<'_>,
        op: &'a Attention,
        node: NodeId,
        inputs: Vec<NodeId>,
        shaping: &Shaping,
    ) -> Self {
        let [q, k, v] = [0, 1, 2].map(|at| &emitter.plan.recording.node(inputs[at]).spec.shape);
        let shape = AttentionShape::new(q, k, v);
        let (passing, lanes) = match shaping.subgroup {
            Some(size) => (Passing::Shuffled, size as usize),
            None if shaping.workgroup_tiles => (Passing::Staged, GPU_LANES),
            None => (Passing::Direct, shaping.tile.workgroup as usize),
        };
        let (width, value_width) = (shape.width, shape.value_width);
        let multiplications = match op.pass {
            Pass::Forward => width + value_width,
            Pass::Queries => 2 * width + value_width,
            Pass::KeysAndValues => 2 * (width + value_width),
        };
        let owned = if op.pass == Pass::KeysAndValues { shape.keys } else { shape.queries };
        let mut rows = if passing == Passing::Staged { 1 } else { 8 };
        let idle = |rows: usize| shape.count() * owned.div_ceil(lanes * rows) < ENOUGH_TASKS;
        while rows > 1 && (rows * multiplications > WRITTEN_OUT || idle(rows) || lanes * rows >= 2 * owned) {
            rows /= 2;
        }
        let (nothing, lead) = (Index::default(), shape.lead.clone());
        let mut kernel = Self {
            op,
            node,
            inputs,
            shape,
            passing,
            lanes,
            rows,
            lead: vec![],
            batch: nothing.clone(),
            tile: nothing,
        };
        let tiles = kernel.owned().div_ceil(lanes * rows);
        let (atom, group) = emitter.indices.named_var(kernel.tasks(), 0);
        emitter.define(atom, "group");
        kernel.tile = emitter.indices.rem(&group, tiles as i64);
        kernel.batch = emitter.indices.div(&group, tiles as i64);
        kernel.lead = emitter.indices.unflatten(&kernel.batch, &lead);
        kernel
    }

    fn owns_keys(&self) -> bool {
        self.op.pass == Pass::KeysAndValues
    }

    /// The number of rows that are owned.
    fn owned(&self) -> usize {
        if self.owns_keys() { self.shape.keys } else { self.shape.queries }
    }

    /// The number of rows that pass by.
    fn passed(&self) -> usize {
        if self.owns_keys() { self.shape.queries } else { self.shape.keys }
    }

    fn tasks(&self) -> usize {
        self.shape.count() * self.owned().div_ceil(self.lanes * self.rows)
    }

    fn write(&self, emitter: &mut Emitter<'_>, shaping: &Shaping) -> Body {
        let tasks = self.tasks();
        if u64::from(shaping.max_groups) < tasks as u64 {
            emitter.line(&format!("if (group >= {tasks}u) {{ return; }}"));
        }
        let (atom, lane) = emitter.indices.named_var(self.lanes, 0);
        emitter.define(atom, "lid");
        let row = |number| self.row(emitter, &lane, &Index::constant(number));
        let rows: Vec<Row> = (0..self.rows).map(row).collect();
        let globals = match self.op.pass {
            Pass::Forward => self.forward(emitter, &rows, &lane),
            Pass::Queries => self.queries(emitter, &rows, &lane),
            Pass::KeysAndValues => self.keys_and_values(emitter, &rows, &lane),
        };
        Body {
            text: emitter.finish(),
            globals,
            workgroup: self.lanes as u32,
            groups: tasks as u64,
            subgroup: self.passing == Passing::Shuffled,
        }
    }

    fn row(&self, emitter: &mut Emitter<'_>, lane: &Index, number: &Index) -> Row {
        let first = self.tile.times((self.lanes * self.rows) as i64);
        let first = emitter.indices.add(&first, &number.times(self.lanes as i64));
        let wanted = emitter.indices.add(&first, lane);
        let position = emitter.indices.clamp(&wanted, self.owned() - 1);
        let beyond = position != wanted;
        let inside = beyond.then(|| format!("{} < {}u", emitter.position(&wanted), self.owned()));
        Row { position, inside }
    }

    /// Four neighbours of a row of an operand.
    fn vector(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Index, column: &Index) -> String {
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
    fn number(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Index) -> String {
        let mut index = self.lead.clone();
        index.push(row.clone());
        emitter.value(self.inputs[operand], &index).text
    }

    /// The vectors of four of an operand's row.
    fn vectors(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Index) -> Vec<String> {
        let at = |column: usize| Index::constant(4 * column);
        let columns = 0..self.columns(emitter, operand) / 4;
        columns.map(|column| self.vector(emitter, operand, row, &at(column))).collect()
    }

    /// The vectors of an operand's owned rows. Many rows are loaded in a loop, two a run, and move up as others follow:
    /// written out, the loads took a compiler longer than the rest.
    fn own(&self, emitter: &mut Emitter<'_>, rows: &[Row], operand: usize, lane: &Index) -> Vec<Vec<String>> {
        if rows.len() <= TOGETHER {
            return rows.iter().map(|row| self.vectors(emitter, operand, &row.position)).collect();
        }
        let width = self.columns(emitter, operand);
        let names = self.accumulators(emitter, rows.len(), width);
        self.over_rows(emitter, rows.len(), |emitter, number, _| {
            let loaded: Vec<Vec<String>> = (0..TOGETHER)
                .map(|at| {
                    let row = self.row(emitter, lane, &number.clone().offset(at as i64));
                    self.vectors(emitter, operand, &row.position)
                })
                .collect();
            let follow = names[TOGETHER..].iter().chain(&loaded);
            for (name, next) in names.iter().flatten().zip(follow.flatten()) {
                emitter.line(&format!("{name} = {next};"));
            }
        });
        names
    }

    /// Stores what was made of the rows: `parts` are places with each row's vectors. Many rows are stored in a loop.
    fn store_rows(
        &self,
        emitter: &mut Emitter<'_>,
        rows: &[Row],
        lane: &Index,
        parts: &[(usize, &[Vec<String>])],
    ) {
        if rows.len() <= TOGETHER {
            for (number, row) in rows.iter().enumerate() {
                parts.iter().for_each(|(start, vectors)| self.store(emitter, row, *start, &vectors[number]));
            }
            return;
        }
        self.over_rows(emitter, rows.len(), |emitter, number, bits| {
            for at in 0..TOGETHER {
                let row = self.row(emitter, lane, &number.clone().offset(at as i64));
                for (start, vectors) in parts {
                    let of_rows: Vec<&Vec<String>> = vectors.iter().skip(at).step_by(TOGETHER).collect();
                    let column = |column: usize| {
                        let values = of_rows.iter().map(|vectors| vectors[column].clone()).collect();
                        pick(emitter, values, bits)
                    };
                    let picked: Vec<String> = (0..of_rows[0].len()).map(column).collect();
                    self.store(emitter, &row, *start, &picked);
                }
            }
        });
    }

    /// A loop over owned rows, some a run. The body gets the number of the first, and the bits of that of the run.
    fn over_rows(
        &self,
        emitter: &mut Emitter<'_>,
        rows: usize,
        body: impl FnOnce(&mut Emitter<'_>, &Index, &[String]),
    ) {
        let runs = rows / TOGETHER;
        emitter.open();
        let (name, depth) = (emitter.name("r"), emitter.depth());
        let (atom, run) = emitter.indices.named_var(runs, depth);
        emitter.define(atom, &name);
        let bits = bits(emitter, &name, runs);
        body(emitter, &run.times(TOGETHER as i64), &bits);
        let text = emitter.close();
        emitter.repeat(&name, runs, &text);
    }

    fn columns(&self, emitter: &Emitter<'_>, operand: usize) -> usize {
        let shape = &emitter.plan.recording.node(self.inputs[operand]).spec.shape;
        shape[shape.rank() - 1]
    }

    /// The result, online: whenever a larger score passes by, what has been summed is scaled down.
    fn forward(&self, emitter: &mut Emitter<'_>, rows: &[Row], lane: &Index) -> String {
        let queries = self.own(emitter, rows, 0, lane);
        let sums = self.accumulators(emitter, rows.len(), self.shape.value_width);
        let [largest, totals] = [("m", LOWEST), ("l", "0f")].map(|(prefix, start)| {
            let names: Vec<String> = rows.iter().map(|_| emitter.name(prefix)).collect();
            names.iter().for_each(|name| emitter.line(&format!("var {name} = {start};")));
            names
        });
        emitter.functions.extend(["wg_exp", "wg_log"]);
        let globals = self.pass(emitter, &[1, 2], &[], lane, |emitter, key| {
            let scores = self.scores(emitter, rows, &queries, key);
            for (row, score) in scores.iter().enumerate() {
                let (m, l, sums) = (&largest[row], &totals[row], &sums[row]);
                if let Some(seen) = self.seen(emitter, &rows[row], key) {
                    emitter.line(&format!("{score} = select({LOWEST}, {score}, {seen});"));
                }
                let scaled: String = sums.iter().map(|sum| format!(" {sum} *= c;")).collect();
                let lazy = self.passing == Passing::Staged;
                let weight = emitter.name("p");
                if lazy {
                    emitter.line(&format!(
                        "if ({score} > {m} + {SLACK}) {{ let c = wg_exp({m} - {score}); {m} = {score}; {l} *= c;{scaled} }}"
                    ));
                    emitter.line(&format!("let {weight} = wg_exp({score} - {m});"));
                    emitter.line(&format!("{l} += {weight};"));
                    self.add_scaled(emitter, sums, &weight, &key.vectors[1]);
                    continue;
                }
                let (larger, factor) = (emitter.name("m"), emitter.name("c"));
                emitter.line(&format!("let {larger} = max({m}, {score});"));
                emitter.line(&format!("let {factor} = wg_exp({m} - {larger});"));
                emitter.line(&format!("let {weight} = wg_exp({score} - {larger});"));
                emitter.line(&format!("{m} = {larger};"));
                emitter.line(&format!("{l} = fma({l}, {factor}, {weight});"));
                for (sum, vector) in sums.iter().zip(&key.vectors[1]) {
                    emitter.line(&format!("{sum} = fma(vec4<f32>({weight}), {vector}, {sum} * {factor});"));
                }
            }
        });
        let starts = self.op.starts(&self.shape);
        for (sums, l) in sums.iter().zip(&totals) {
            sums.iter().for_each(|sum| emitter.line(&format!("{sum} = {sum} / {l};")));
        }
        self.store_rows(emitter, rows, lane, &[(starts[0], &sums)]);
        for (row, (m, l)) in rows.iter().zip(largest.iter().zip(&totals)) {
            self.store_number(emitter, row, starts[1], format!("({m} + wg_log({l}))"));
        }
        globals
    }

    fn queries(&self, emitter: &mut Emitter<'_>, rows: &[Row], lane: &Index) -> String {
        let [queries, cotangents] = [0, 5].map(|operand| self.own(emitter, rows, operand, lane));
        let numbers = |emitter: &mut Emitter<'_>, operand: usize| -> Vec<String> {
            rows.iter().map(|row| self.number(emitter, operand, &row.position)).collect()
        };
        let (sums, products) = (numbers(emitter, 3), numbers(emitter, 4));
        let gradients = self.accumulators(emitter, rows.len(), self.shape.width);
        emitter.functions.insert("wg_exp");
        let globals = self.pass(emitter, &[1, 2], &[], lane, |emitter, key| {
            let scores = self.scores(emitter, rows, &queries, key);
            let of_weights = dots(emitter, &cotangents, &key.vectors[1]);
            for row in 0..rows.len() {
                let weight = self.weight(emitter, &rows[row], &scores[row], &sums[row], key);
                let slope = self.slope(emitter, &weight, &of_weights[row], &products[row]);
                self.add_scaled(emitter, &gradients[row], &slope, &key.vectors[0]);
            }
        });
        self.store_rows(emitter, rows, lane, &[(0, &gradients)]);
        globals
    }

    fn keys_and_values(&self, emitter: &mut Emitter<'_>, rows: &[Row], lane: &Index) -> String {
        let [keys, values] = [1, 2].map(|operand| self.own(emitter, rows, operand, lane));
        let of_keys = self.accumulators(emitter, rows.len(), self.shape.width);
        let of_values = self.accumulators(emitter, rows.len(), self.shape.value_width);
        emitter.functions.insert("wg_exp");
        let globals = self.pass(emitter, &[0, 5], &[3, 4], lane, |emitter, query| {
            let scores = self.scores(emitter, rows, &keys, query);
            let of_weights = dots(emitter, &values, &query.vectors[1]);
            for row in 0..rows.len() {
                let weight = self.weight(emitter, &rows[row], &scores[row], &query.numbers[0], query);
                self.add_scaled(emitter, &of_values[row], &weight, &query.vectors[1]);
                let slope = self.slope(emitter, &weight, &of_weights[row], &query.numbers[1]);
                self.add_scaled(emitter, &of_keys[row], &slope, &query.vectors[0]);
            }
        });
        let starts = self.op.starts(&self.shape);
        self.store_rows(emitter, rows, lane, &[(starts[0], &of_keys), (starts[1], &of_values)]);
        globals
    }

    /// The names of vectors that sum up, for each row.
    fn accumulators(&self, emitter: &mut Emitter<'_>, rows: usize, width: usize) -> Vec<Vec<String>> {
        let names: Vec<Vec<String>> =
            (0..rows).map(|_| (0..width / 4).map(|_| emitter.name("acc")).collect()).collect();
        names.iter().flatten().for_each(|name| emitter.line(&format!("var {name} = vec4<f32>();")));
        names
    }

    /// The scores of the owned rows with a passing one, as variables.
    fn scores(
        &self,
        emitter: &mut Emitter<'_>,
        rows: &[Row],
        own: &[Vec<String>],
        passed: &Passed,
    ) -> Vec<String> {
        let products = dots(emitter, own, &passed.vectors[0]);
        let scale = self.scale(emitter);
        let scaled = |product: &String| {
            let name = emitter.name("x");
            emitter.line(&format!("var {name} = {product} * {scale};"));
            name
        };
        debug_assert_eq!(products.len(), rows.len());
        products.iter().map(scaled).collect()
    }

    fn scale(&self, emitter: &mut Emitter<'_>) -> String {
        emitter.literal(self.shape.scale(DType::F32), DType::F32)
    }

    /// The condition under which a query sees a key, if it does not always.
    fn seen(&self, emitter: &mut Emitter<'_>, row: &Row, passed: &Passed) -> Option<String> {
        self.op.causal.then(|| {
            let own = emitter.position(&row.position);
            match self.owns_keys() {
                true => format!("{own} <= {}", passed.position),
                false => format!("{} <= {own}", passed.position),
            }
        })
    }

    /// The attention weight that belongs to a score: 0 where the query does not see the key.
    fn weight(
        &self,
        emitter: &mut Emitter<'_>,
        row: &Row,
        score: &str,
        sum: &str,
        passed: &Passed,
    ) -> String {
        let exponential = format!("wg_exp({score} - {sum})");
        let text = match self.seen(emitter, row, passed) {
            Some(seen) => format!("select(0f, {exponential}, {seen})"),
            None => exponential,
        };
        let name = emitter.name("p");
        emitter.line(&format!("let {name} = {text};"));
        name
    }

    /// The gradient of a product of query and key, given that of the weight.
    fn slope(&self, emitter: &mut Emitter<'_>, weight: &str, of_weight: &str, products: &str) -> String {
        let scale = self.scale(emitter);
        let name = emitter.name("g");
        emitter.line(&format!("let {name} = {weight} * ({of_weight} - {products}) * {scale};"));
        name
    }

    fn add_scaled(&self, emitter: &mut Emitter<'_>, sums: &[String], factor: &str, vectors: &[String]) {
        for (sum, vector) in sums.iter().zip(vectors) {
            emitter.line(&format!("{sum} = fma(vec4<f32>({factor}), {vector}, {sum});"));
        }
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
    fn store_number(&self, emitter: &mut Emitter<'_>, row: &Row, start: usize, text: String) {
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
    fn pass(
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
        emitter.open();
        let name = emitter.name("s");
        let depth = emitter.depth();
        let (atom, position) = emitter.indices.named_var(count, depth);
        emitter.define(atom, &name);
        let vectors = operands.iter().map(|&operand| match self.passing {
            Passing::Direct => self.vectors(emitter, operand, &position),
            _ => self.shuffled(emitter, operand, &position, lane),
        });
        let vectors = vectors.collect();
        let numbers = numbers.iter().map(|&operand| self.number(emitter, operand, &position)).collect();
        body(emitter, &Passed { position: name.clone(), vectors, numbers });
        let text = emitter.close();
        emitter.line(&format!("for (var {name} = {start}; {name} < {end}; {name}++) {{"));
        emitter.block(&text);
        emitter.line("}");
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
        let staged = most.min(STAGED_ROWS);
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
        emitter.open();
        let at = emitter.name("s");
        let vectors = widths.iter().zip(&tiles).map(|(width, tile)| {
            (0..*width).map(|column| format!("{tile}[{at} * {width}u + {column}u]")).collect()
        });
        let vectors = vectors.collect();
        let numbers = lists.iter().map(|list| format!("{list}[{at}]")).collect();
        body(emitter, &Passed { position: format!("({base} + {at})"), vectors, numbers });
        let text = emitter.close();
        emitter.line(&format!("for (var {at} = 0u; {at} < min({staged}u, {end} - {base}); {at}++) {{"));
        emitter.block(&text);
        emitter.line("}");
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
        let (name, depth) = (emitter.name("i"), emitter.depth());
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

/// The products of rows with one row, each a sum of four chains.
fn dots(emitter: &mut Emitter<'_>, rows: &[Vec<String>], with: &[String]) -> Vec<String> {
    let mut sums: Vec<String> = vec![];
    for (column, vector) in with.iter().enumerate() {
        for (number, row) in rows.iter().enumerate() {
            let name = emitter.name("d");
            let own = &row[column];
            match sums.get_mut(number) {
                None => {
                    emitter.line(&format!("let {name} = {own} * {vector};"));
                    sums.push(name);
                }
                Some(sum) => {
                    emitter.line(&format!("let {name} = fma({own}, {vector}, {sum});"));
                    *sum = name;
                }
            }
        }
    }
    sums.iter().map(|sum| format!("(({sum}.x + {sum}.y) + ({sum}.z + {sum}.w))")).collect()
}
