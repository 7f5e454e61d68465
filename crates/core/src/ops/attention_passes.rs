//! The passes of attention that keep no matrix of scores (Dao et al., *FlashAttention*, 2022): what stands in a
//! compiled program for [`Tensor::scaled_dot_product_attention`](crate::Tensor::scaled_dot_product_attention) and
//! its gradients. Recorded graphs have their definitions, and [`Custom`](super::Custom) nodes that offer these.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Shape, Tensor, TensorSpec};

/// One pass over all scores. Operands are q \[…, T, D\], k \[…, S, D\] and v \[…, S, E\]; for the gradients then the
/// logarithms of the sums of exponentials of the scores \[…, T\], the sums of the products of result and
/// cotangent \[…, T\], and the cotangent \[…, T, E\].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// What it computes.
    pub pass: Pass,
    /// Whether position t sees only the positions s ≤ t.
    pub causal: bool,
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

    /// Pairs of a query and a key that it sees.
    fn pairs(&self, causal: bool) -> usize {
        let of_query = |t: usize| if causal { self.keys.min(t + 1) } else { self.keys };
        self.count() * (0..self.queries).map(of_query).sum::<usize>()
    }
}

impl Attention {
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
    /// The result and the logarithms of the sums, for all queries of one position along the axes in front.
    fn forward(&self, inputs: &[&Array], n: usize, shape: &AttentionShape, result: &mut [f64]) {
        let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
        let (scale, sums) = (shape.scale(q.spec.dtype), self.starts(shape)[1]);
        for t in 0..shape.queries {
            let seen = if self.causal { shape.keys.min(t + 1) } else { shape.keys };
            let scores: Vec<f64> = (0..seen).map(|s| dot(row(q, n, t), row(k, n, s)) * scale).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let at = n * shape.queries + t;
            result[sums + at] = largest + sum.ln();
            let own = &mut result[at * shape.value_width..][..shape.value_width];
            weights.iter().enumerate().for_each(|(s, weight)| add_scaled(own, weight / sum, row(v, n, s)));
        }
    }

    /// What every pair of a query and a key that it sees adds to the gradients.
    fn backward(&self, inputs: &[&Array], n: usize, shape: &AttentionShape, result: &mut [f64]) {
        let [q, k, v, sums, products, cotangent] = inputs[..] else { return };
        let scale = shape.scale(q.spec.dtype);
        let values = self.starts(shape)[1];
        for t in 0..shape.queries {
            let at = n * shape.queries + t;
            let seen = if self.causal { shape.keys.min(t + 1) } else { shape.keys };
            for s in 0..seen {
                let score = dot(row(q, n, t), row(k, n, s)) * scale;
                let weight = (score - sums.data[at]).exp();
                let slope = dot(row(cotangent, n, t), row(v, n, s)) - products.data[at];
                let slope = weight * slope * scale;
                let key = n * shape.keys + s;
                if self.pass == Pass::Queries {
                    add_scaled(&mut result[at * shape.width..][..shape.width], slope, row(k, n, s));
                    continue;
                }
                add_scaled(&mut result[key * shape.width..][..shape.width], slope, row(q, n, t));
                let own = &mut result[values + key * shape.value_width..][..shape.value_width];
                add_scaled(own, weight, row(cotangent, n, t));
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
        let wanted = if self.pass == Pass::Forward { 3 } else { 6 };
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
        (shape.pairs(self.causal) * per_pair) as u64
    }
}

/// None of their own: what they stand in for has cases, by which they are tested too.
pub(crate) fn cases() -> Vec<Case> {
    vec![]
}
