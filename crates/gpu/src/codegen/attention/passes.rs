//! The three passes of attention: the result, the gradient of the queries, and those of the keys and values.

use wgrad_core::DType;
use wgrad_core::ops::Attention;

use super::{Kernel, LOWEST, Passed, Passing, Row, SLACK};
use crate::codegen::emit::Emitter;
use crate::plan::index::Index;

impl Kernel<'_> {
    /// The result, online: whenever a larger score passes by, what has been summed is scaled down.
    pub(super) fn forward(&self, emitter: &mut Emitter<'_>, rows: &[Row], lane: &Index) -> String {
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
                let factor = self.factor(emitter, &rows[row], key);
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
                    self.add_scaled(emitter, sums, &times(&weight, &factor), &key.vectors[1]);
                    continue;
                }
                let (larger, scale) = (emitter.name("m"), emitter.name("c"));
                emitter.line(&format!("let {larger} = max({m}, {score});"));
                emitter.line(&format!("let {scale} = wg_exp({m} - {larger});"));
                emitter.line(&format!("let {weight} = wg_exp({score} - {larger});"));
                emitter.line(&format!("{m} = {larger};"));
                emitter.line(&format!("{l} = fma({l}, {scale}, {weight});"));
                let weight = times(&weight, &factor);
                for (sum, vector) in sums.iter().zip(&key.vectors[1]) {
                    emitter.line(&format!("{sum} = fma(vec4<f32>({weight}), {vector}, {sum} * {scale});"));
                }
            }
        });
        let starts = self.op.starts(&self.shape);
        let mut logarithms = vec![];
        for (sums, (m, l)) in sums.iter().zip(largest.iter().zip(&totals)) {
            let (mut scale, mut logarithm) = (format!("1f / {l}"), format!("{m} + wg_log({l})"));
            if self.op.biased {
                let sees =
                    format!("{m} >= {}", emitter.literal(Attention::blind_below(DType::F32), DType::F32));
                [scale, logarithm] = [scale, logarithm].map(|text| format!("select(0f, {text}, {sees})"));
            }
            let name = emitter.name("c");
            emitter.line(&format!("let {name} = {scale};"));
            sums.iter().for_each(|sum| emitter.line(&format!("{sum} *= {name};")));
            logarithms.push(format!("({logarithm})"));
        }
        self.store_rows(emitter, rows, lane, &[(starts[0], &sums)]);
        for (row, logarithm) in rows.iter().zip(logarithms) {
            self.store_number(emitter, row, starts[1], logarithm);
        }
        globals
    }

    pub(super) fn queries(&self, emitter: &mut Emitter<'_>, rows: &[Row], lane: &Index) -> String {
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
                let factor = self.factor(emitter, &rows[row], key);
                let slope = self.slope(emitter, &weight, &times(&of_weights[row], &factor), &products[row]);
                self.add_scaled(emitter, &gradients[row], &slope, &key.vectors[0]);
            }
        });
        self.store_rows(emitter, rows, lane, &[(0, &gradients)]);
        globals
    }

    pub(super) fn keys_and_values(&self, emitter: &mut Emitter<'_>, rows: &[Row], lane: &Index) -> String {
        let [keys, values] = [1, 2].map(|operand| self.own(emitter, rows, operand, lane));
        let of_keys = self.accumulators(emitter, rows.len(), self.shape.width);
        let of_values = self.accumulators(emitter, rows.len(), self.shape.value_width);
        emitter.functions.insert("wg_exp");
        let globals = self.pass(emitter, &[0, 5], &[3, 4], lane, |emitter, query| {
            let scores = self.scores(emitter, rows, &keys, query);
            let of_weights = dots(emitter, &values, &query.vectors[1]);
            for row in 0..rows.len() {
                let weight = self.weight(emitter, &rows[row], &scores[row], &query.numbers[0], query);
                let factor = self.factor(emitter, &rows[row], query);
                self.add_scaled(emitter, &of_values[row], &times(&weight, &factor), &query.vectors[1]);
                let of_weight = times(&of_weights[row], &factor);
                let slope = self.slope(emitter, &weight, &of_weight, &query.numbers[1]);
                self.add_scaled(emitter, &of_keys[row], &slope, &query.vectors[0]);
            }
        });
        let starts = self.op.starts(&self.shape);
        self.store_rows(emitter, rows, lane, &[(starts[0], &of_keys), (starts[1], &of_values)]);
        globals
    }

    /// The names of vectors that sum up, for each row.
    pub(super) fn accumulators(
        &self,
        emitter: &mut Emitter<'_>,
        rows: usize,
        width: usize,
    ) -> Vec<Vec<String>> {
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
        let scaled = |(product, row): (&String, &Row)| {
            let bias = self.op.bias().map(|operand| self.of_pair(emitter, operand, row, passed));
            let bias = bias.map_or(String::new(), |bias| format!(" + {bias}"));
            let name = emitter.name("x");
            emitter.line(&format!("var {name} = {product} * {scale}{bias};"));
            name
        };
        products.iter().zip(rows).map(scaled).collect()
    }

    /// What the weight of a pair is multiplied by, if anything.
    fn factor(&self, emitter: &mut Emitter<'_>, row: &Row, passed: &Passed) -> Option<String> {
        self.op.factor().map(|operand| self.of_pair(emitter, operand, row, passed))
    }

    /// The number that an operand has for an owned row and a passing one.
    fn of_pair(&self, emitter: &mut Emitter<'_>, operand: usize, row: &Row, passed: &Passed) -> String {
        let (own, passing) = (row.position.clone(), passed.position.clone());
        let pair = if self.owns_keys() { [passing, own] } else { [own, passing] };
        emitter.value(self.inputs[operand], &[&self.lead[..], &pair].concat()).text
    }

    fn scale(&self, emitter: &mut Emitter<'_>) -> String {
        emitter.literal(self.shape.scale(DType::F32), DType::F32)
    }

    /// The condition under which a query sees a key, if it does not always.
    fn seen(&self, emitter: &mut Emitter<'_>, row: &Row, passed: &Passed) -> Option<String> {
        self.op.causal.then(|| {
            let [own, passing] = [&row.position, &passed.position].map(|index| emitter.position(index));
            if self.owns_keys() { format!("{own} <= {passing}") } else { format!("{passing} <= {own}") }
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

    pub(super) fn add_scaled(
        &self,
        emitter: &mut Emitter<'_>,
        sums: &[String],
        factor: &str,
        vectors: &[String],
    ) {
        for (sum, vector) in sums.iter().zip(vectors) {
            emitter.line(&format!("{sum} = fma(vec4<f32>({factor}), {vector}, {sum});"));
        }
    }
}

/// A value times a factor, if there is one.
fn times(value: &str, factor: &Option<String>) -> String {
    match factor {
        Some(factor) => format!("({value} * {factor})"),
        None => value.into(),
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
