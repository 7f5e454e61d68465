//! The passes of attention that keep no matrix of scores (Dao et al., *FlashAttention*, 2022): what stands in a
//! compiled program for [`Tensor::scaled_dot_product_attention`](crate::Tensor::scaled_dot_product_attention) and
//! its gradients. Recorded graphs have their definitions, and [`Custom`](super::Custom) nodes that offer these.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Shape, Tensor, TensorSpec};

/// One pass over all scores. Operands are q \[…, T, D\], k \[…, S, D\] and v \[…, S, E\]; for the gradients then the
/// logarithms of the sums of exponentials of the scores \[…, T\], the sums of the products of result and
/// cotangent \[…, T\], and the cotangent \[…, T, E\]. Behind them stand what is added to the scores and what the weights are
/// multiplied by, \[…, T, S\] both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// What it computes.
    pub pass: Pass,
    /// Whether position t sees only the positions s ≤ t.
    pub causal: bool,
    /// Whether something is added to the scores.
    pub biased: bool,
    /// Whether weights are multiplied by something.
    pub dropped: bool,
}

/// What a pass computes: a flat tensor of its parts, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The result \[…, T, E\], and the logarithms of the sums of exponentials of the scores \[…, T\].
    Forward,
    /// The gradient of the queries \[…, T, D\].
    Queries,
    /// The gradients of the keys \[…, S, D\] and of the values \[…, S, E\].
    KeysAndValues,
}

/// A part of what a pass computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttentionPart {
    /// The pass.
    pub attention: Attention,
    /// The number of the part.
    pub part: usize,
}

/// The extents of attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// The axes in front: batch and heads.
    pub lead: Vec<usize>,
    /// T.
    pub queries: usize,
    /// S.
    pub keys: usize,
    /// D.
    pub width: usize,
    /// E.
    pub value_width: usize,
}

impl AttentionShape {
    /// The extents given q, k and v, which fit each other.
    pub fn new(q: &Shape, k: &Shape, v: &Shape) -> Self {
        let rank = q.rank();
        Self {
            lead: q[..rank - 2].to_vec(),
            queries: q[rank - 2],
            keys: k[rank - 2],
            width: q[rank - 1],
            value_width: v[rank - 1],
        }
    }

    /// What products of queries and keys are multiplied by: 1 / √D, as a number of the operands' dtype.
    pub fn scale(&self, dtype: DType) -> f64 {
        dtype.round(1.0 / (self.width as f64).sqrt())
    }

    /// Elements along all axes in front.
    pub fn count(&self) -> usize {
        self.lead.iter().product()
    }

    /// The number of pairs of a query and a key that it sees.
    fn seen(&self, causal: bool) -> usize {
        let of_query = |t: usize| if causal { self.keys.min(t + 1) } else { self.keys };
        self.count() * (0..self.queries).map(of_query).sum::<usize>()
    }
}

impl Attention {
    /// What a score becomes where it is hidden: so low that nothing is left of it, yet not as low as the future of causal
    /// attention.
    pub(crate) fn hidden_score(dtype: DType) -> f64 {
        dtype.lowest() / 4.0
    }

    /// A query none of whose scores reaches this sees nothing.
    pub fn blind_below(dtype: DType) -> f64 {
        dtype.lowest() / 16.0
    }

    /// The number of operands that every such pass has.
    fn common(self) -> usize {
        if self.pass == Pass::Forward { 3 } else { 6 }
    }

    /// The number of operands.
    pub fn operands(self) -> usize {
        self.common() + usize::from(self.biased) + usize::from(self.dropped)
    }

    /// Which operand is added to the scores.
    pub fn bias(self) -> Option<usize> {
        self.biased.then(|| self.common())
    }

    /// Which operand the weights are multiplied by.
    pub fn factor(self) -> Option<usize> {
        self.dropped.then(|| self.operands() - 1)
    }

    /// Whether an operand has a number for each pair of a query and a key.
    pub fn is_of_pairs(self, operand: usize) -> bool {
        operand >= self.common()
    }

    /// The extents, given the operands' shapes.
    pub fn shape(&self, inputs: &[&TensorSpec]) -> AttentionShape {
        AttentionShape::new(&inputs[0].shape, &inputs[1].shape, &inputs[2].shape)
    }

    /// Where each part begins in the result, and where the last one ends.
    pub fn starts(&self, shape: &AttentionShape) -> Vec<usize> {
        let AttentionShape { queries, keys, width, value_width, .. } = shape;
        let rows = match self.pass {
            Pass::Forward => vec![queries * value_width, *queries],
            Pass::Queries => vec![queries * width],
            Pass::KeysAndValues => vec![keys * width, keys * value_width],
        };
        let add = |end: &mut usize, part: usize| {
            *end += shape.count() * part;
            Some(*end)
        };
        [0].into_iter().chain(rows.into_iter().scan(0, add)).collect()
    }

    /// The part of a result, a view of it under the shape that the part is asked for.
    pub fn part(&self, result: &Tensor, part: usize, shape: &AttentionShape, under: &Shape) -> Tensor {
        let starts = self.starts(shape);
        result.slice(0, starts[part]..starts[part + 1]).reshape(under)
    }
}

/// The elements of row `row` of the last two axes of an array, for a position along all axes in front.
fn row(array: &Array, lead: usize, row: usize) -> &[f64] {
    let [.., rows, width] = array.shape()[..] else { return &[] };
    let start = (lead * rows + row) * width;
    &array.data[start..start + width]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(sum: &mut [f64], factor: f64, row: &[f64]) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
}

impl Attention {
    /// What a query meets its keys with: their numbers, scores and what their weights are multiplied by.
    fn pairs(&self, inputs: &[&Array], shape: &AttentionShape, n: usize, t: usize) -> Vec<(usize, f64, f64)> {
        let (q, k) = (inputs[0], inputs[1]);
        let scale = shape.scale(q.spec.dtype);
        let beside = |operand: Option<usize>, s: usize| {
            Some(inputs[operand?].data[(n * shape.queries + t) * shape.keys + s])
        };
        let pair = |s: usize| {
            let score = dot(row(q, n, t), row(k, n, s)) * scale;
            let bias = beside(self.bias(), s).unwrap_or(0.0);
            (s, score + bias, beside(self.factor(), s).unwrap_or(1.0))
        };
        let seen = if self.causal { shape.keys.min(t + 1) } else { shape.keys };
        (0..seen).map(pair).collect()
    }

    /// The result and the logarithms of the sums, for all queries of one position along the axes in front.
    fn forward(&self, inputs: &[&Array], n: usize, shape: &AttentionShape, result: &mut [f64]) {
        let (v, sums) = (inputs[2], self.starts(shape)[1]);
        for t in 0..shape.queries {
            let (at, pairs) = (n * shape.queries + t, self.pairs(inputs, shape, n, t));
            let largest = pairs.iter().map(|pair| pair.1).fold(f64::NEG_INFINITY, f64::max);
            if self.biased && largest < Self::blind_below(v.spec.dtype) {
                continue;
            }
            let sum: f64 = pairs.iter().map(|pair| (pair.1 - largest).exp()).sum();
            result[sums + at] = largest + sum.ln();
            let own = &mut result[at * shape.value_width..][..shape.value_width];
            for (s, score, factor) in pairs {
                add_scaled(own, (score - largest).exp() / sum * factor, row(v, n, s));
            }
        }
    }

    /// What every pair of a query and a key that it sees adds to the gradients.
    fn backward(&self, inputs: &[&Array], n: usize, shape: &AttentionShape, result: &mut [f64]) {
        let [q, k, v, sums, products, cotangent, ..] = inputs[..] else { return };
        let scale = shape.scale(q.spec.dtype);
        let values = self.starts(shape)[1];
        for t in 0..shape.queries {
            let at = n * shape.queries + t;
            for (s, score, factor) in self.pairs(inputs, shape, n, t) {
                let weight = (score - sums.data[at]).exp();
                let slope = dot(row(cotangent, n, t), row(v, n, s)) * factor - products.data[at];
                let slope = weight * slope * scale;
                let key = n * shape.keys + s;
                if self.pass == Pass::Queries {
                    add_scaled(&mut result[at * shape.width..][..shape.width], slope, row(k, n, s));
                    continue;
                }
                add_scaled(&mut result[key * shape.width..][..shape.width], slope, row(q, n, t));
                let own = &mut result[values + key * shape.value_width..][..shape.value_width];
                add_scaled(own, weight * factor, row(cotangent, n, t));
            }
        }
    }
}

impl Primitive for Attention {
    fn name(&self) -> &'static str {
        match self.pass {
            Pass::Forward => "attention",
            Pass::Queries => "attention_queries_gradient",
            Pass::KeysAndValues => "attention_keys_and_values_gradient",
        }
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let wanted = self.operands();
        let ranks =
            inputs.iter().take(3).all(|x| x.shape.rank() >= 2 && x.shape.rank() == inputs[0].shape.rank());
        if inputs.len() != wanted || !ranks {
            return Err(format!("needs {wanted} operands of one rank, got {}", inputs.len()));
        }
        let shape = self.shape(inputs);
        let length = self.starts(&shape).last().copied().unwrap_or(0);
        Ok(TensorSpec::new(inputs[0].dtype, [length]))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let specs: Vec<&TensorSpec> = inputs.iter().map(|input| &input.spec).collect();
        let shape = self.shape(&specs);
        let mut result = vec![0.0; output.shape.numel()];
        for n in 0..shape.count() {
            match self.pass {
                Pass::Forward => self.forward(inputs, n, &shape, &mut result),
                _ => self.backward(inputs, n, &shape, &mut result),
            }
        }
        Array { spec: output.clone(), data: result }
    }

    fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
        // Gradients have been recorded before passes are chosen.
        Cotangent::NotDifferentiable
    }

    fn flops(&self, inputs: &[&TensorSpec], _: &TensorSpec) -> u64 {
        let shape = self.shape(inputs);
        let (width, value_width) = (shape.width, shape.value_width);
        let per_pair = match self.pass {
            Pass::Forward => 2 * width + 2 * value_width,
            Pass::Queries => 4 * width + 2 * value_width,
            Pass::KeysAndValues => 4 * width + 4 * value_width,
        };
        (shape.seen(self.causal) * per_pair) as u64
    }
}

/// None of their own: what they stand in for has cases, by which they are tested too.
pub(crate) fn cases() -> Vec<Case> {
    vec![]
}
