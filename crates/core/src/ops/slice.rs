//! Slice, pad, concat: parts of a tensor, and tensors put together.

use std::ops::Range;

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, Graph, Shape, Tensor, TensorSpec};

/// Every `step`-th element of a range along each axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// First position along each axis.
    pub start: Vec<usize>,
    /// One past the last position along each axis.
    pub end: Vec<usize>,
    /// Stride along each axis, at least 1.
    pub step: Vec<usize>,
}

/// A constant around, and between, the elements along each axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pad {
    /// Elements added before.
    pub low: Vec<usize>,
    /// Elements added after.
    pub high: Vec<usize>,
    /// Elements added between neighbours.
    pub interior: Vec<usize>,
    /// The value of added elements, as f64 bits.
    pub value_bits: u64,
}

impl Pad {
    /// The value of added elements.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.value_bits)
    }
}

/// Operands joined along one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// Which axis.
    pub axis: usize,
}

impl Primitive for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let shape = &inputs[0].shape;
        let ranks = [self.start.len(), self.end.len(), self.step.len()];
        if ranks.iter().any(|&rank| rank != shape.rank()) {
            return Err(format!("slices {ranks:?} axes of {shape}"));
        }
        let extent = |axis: usize| {
            let (start, end, step) = (self.start[axis], self.end[axis], self.step[axis]);
            if start > end || end > shape[axis] || step == 0 {
                return Err(format!("{start}..{end} step {step} is outside of axis {axis} of {shape}"));
            }
            Ok((end - start).div_ceil(step))
        };
        let extents = (0..shape.rank()).map(extent).collect::<Result<Vec<_>, _>>()?;
        Ok(TensorSpec::new(inputs[0].dtype, extents))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        Array::from_fn(output, |index| {
            let source: Vec<usize> =
                index.iter().enumerate().map(|(axis, i)| self.start[axis] + i * self.step[axis]).collect();
            inputs[0].at(&source)
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let (from, to) = (cx.inputs[0].shape(), cx.output.shape());
        if to.numel() == 0 {
            return cx.inputs[0].zeros_like().into();
        }
        let covered = |axis: usize| self.start[axis] + (to[axis] - 1) * self.step[axis] + 1;
        let pad = Pad {
            low: self.start.clone(),
            high: (0..from.rank()).map(|axis| from[axis] - covered(axis)).collect(),
            interior: self.step.iter().map(|step| step - 1).collect(),
            value_bits: 0.0f64.to_bits(),
        };
        cx.graph().record(pad, &[cx.cotangent]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let shape = &inputs[0].shape;
        let ranks = [self.low.len(), self.high.len(), self.interior.len()];
        if ranks.iter().any(|&rank| rank != shape.rank()) {
            return Err(format!("pads {ranks:?} axes of {shape}"));
        }
        let extent = |axis: usize| {
            let n = shape[axis];
            let between = n.saturating_sub(1).saturating_mul(self.interior[axis]);
            [self.low[axis], between, self.high[axis]].iter().fold(n, |sum, &more| sum.saturating_add(more))
        };
        Ok(TensorSpec::new(inputs[0].dtype, (0..shape.rank()).map(extent).collect::<Shape>()))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let shape = inputs[0].shape();
        Array::from_fn(output, |index| {
            let position = |axis: usize| {
                let inner = index[axis].checked_sub(self.low[axis])?;
                let stride = self.interior[axis] + 1;
                (inner % stride == 0 && inner / stride < shape[axis]).then_some(inner / stride)
            };
            let source: Option<Vec<usize>> = (0..shape.rank()).map(position).collect();
            source.map_or(self.value(), |source| inputs[0].at(&source))
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let (from, to) = (cx.inputs[0].shape(), cx.output.shape());
        let slice = Slice {
            start: self.low.clone(),
            end: (0..to.rank()).map(|axis| to[axis] - self.high[axis]).collect(),
            step: self.interior.iter().map(|interior| interior + 1).collect(),
        };
        if from.numel() == 0 {
            return cx.inputs[0].zeros_like().into();
        }
        cx.graph().record(slice, &[cx.cotangent]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let Some(first) = inputs.first() else {
            return Err("needs at least one tensor".into());
        };
        if self.axis >= first.shape.rank() {
            return Err(format!("axis {} does not exist in shape {}", self.axis, first.shape));
        }
        let mut extents = first.shape.to_vec();
        extents[self.axis] = 0;
        for input in inputs {
            let fits = input.dtype == first.dtype
                && input.shape.rank() == extents.len()
                && (0..extents.len()).all(|axis| axis == self.axis || input.shape[axis] == extents[axis]);
            if !fits {
                return Err(format!("{input} does not fit {first} along axis {}", self.axis));
            }
            extents[self.axis] += input.shape[self.axis];
        }
        Ok(TensorSpec::new(first.dtype, extents))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        Array::from_fn(output, |index| {
            let mut source = index.to_vec();
            for input in inputs {
                let extent = input.shape()[self.axis];
                if source[self.axis] < extent {
                    return input.at(&source);
                }
                source[self.axis] -= extent;
            }
            unreachable!("the extents of the operands add up to the result's")
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        let extent = |tensor: &Tensor| tensor.dim(self.axis as isize);
        let start: usize = cx.inputs[..input].iter().map(extent).sum();
        let end = start + extent(&cx.inputs[input]);
        cx.cotangent.slice(self.axis as isize, start..end).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Tensor {
    /// A range of positions along one axis.
    #[track_caller]
    pub fn slice(&self, axis: isize, range: Range<usize>) -> Self {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th position of a range along one axis.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, range: Range<usize>, step: usize) -> Self {
        let shape = self.shape();
        match shape.axis(axis) {
            Ok(axis) => {
                let mut op =
                    Slice { start: vec![0; shape.rank()], end: shape.to_vec(), step: vec![1; shape.rank()] };
                (op.start[axis], op.end[axis], op.step[axis]) = (range.start, range.end, step);
                self.graph().record(op, &[self])
            }
            Err(message) => self.fail("slice", message),
        }
    }

    /// One position along an axis, which is dropped.
    #[track_caller]
    pub fn select_index(&self, axis: isize, index: usize) -> Self {
        self.slice(axis, index..index.saturating_add(1)).squeeze(axis)
    }

    /// A constant before and after the elements along each axis: (before, after) per axis.
    #[track_caller]
    pub fn pad(&self, amounts: &[(usize, usize)], value: f64) -> Self {
        let op = Pad {
            low: amounts.iter().map(|amount| amount.0).collect(),
            high: amounts.iter().map(|amount| amount.1).collect(),
            interior: vec![0; amounts.len()],
            value_bits: self.dtype().round(value).to_bits(),
        };
        self.graph().record(op, &[self])
    }

    /// Tensors joined along an axis (PyTorch's `cat`); at least one.
    #[track_caller]
    pub fn concat(tensors: &[&Self], axis: isize) -> Self {
        let Some(first) = tensors.first() else { return Graph::without_operands("concat") };
        match first.shape().axis(axis) {
            Ok(axis) => first.graph().record(Concat { axis }, tensors),
            Err(message) => first.fail("concat", message),
        }
    }

    /// Tensors of one shape joined along a new axis.
    #[track_caller]
    pub fn stack(tensors: &[&Self], axis: isize) -> Self {
        let mut unsqueezed = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            unsqueezed.push(tensor.unsqueeze(axis));
        }
        Self::concat(&unsqueezed.iter().collect::<Vec<_>>(), axis)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("slice", |t| t[0].slice(1, 1..3)).given([2, 3], &x).expect(&[2.0, 3.0, 5.0, 6.0]),
        case("slice/none", |t| t[0].slice(0, 1..1)).given([2, 3], &x).expect(&[]),
        case("slice/of-transposed", |t| t[0].t().slice(0, 1..3)).random([3, 5]),
        case("slice_step", |t| t[0].slice_step(1, 0..3, 2)).given([2, 3], &x).expect(&[1.0, 3.0, 4.0, 6.0]),
        case("slice_step/uneven", |t| t[0].slice_step(0, 1..9, 3)).random([11, 3]),
        case("select_index", |t| t[0].select_index(0, 1)).given([2, 3], &x).expect(&[4.0, 5.0, 6.0]),
        case("pad", |t| t[0].pad(&[(1, 0), (0, 1)], 9.0))
            .given([1, 2], &[1.0, 2.0])
            .expect(&[9.0, 9.0, 9.0, 1.0, 2.0, 9.0]),
        case("pad/random", |t| t[0].pad(&[(2, 1), (0, 3)], 0.0)).random([3, 5]),
        case("pad/empty", |t| t[0].pad(&[(1, 1)], 2.0)).random([0]).expect(&[2.0, 2.0]),
        case("pad/between", |t| {
            let pad = Pad { low: vec![1], high: vec![0], interior: vec![2], value_bits: 0.0f64.to_bits() };
            t[0].graph().record(pad, &[&t[0]])
        })
        .given([2], &[1.0, 2.0])
        .expect(&[0.0, 1.0, 0.0, 0.0, 2.0]),
        case("pad/product", |t| t[0].t().pad(&[(1, 1), (1, 1)], 1.0) * &t[1]).random([3, 2]).random([4, 5]),
        case("concat", |t| Tensor::concat(&[&t[0], &t[1]], 1))
            .given([2, 1], &[1.0, 2.0])
            .given([2, 2], &[3.0, 4.0, 5.0, 6.0])
            .expect(&[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]),
        case("concat/three", |t| Tensor::concat(&[&t[0], &t[1].t(), &t[0]], 0)).random([3, 5]).random([5, 2]),
        case("concat/with-none", |t| Tensor::concat(&[&t[0], &t[1]], 0)).random([0, 3]).random([2, 3]),
        case("concat/of-parts", |t| Tensor::concat(&[&t[0].exp(), &t[0].slice(0, 1..3)], 0)).random([5]),
        case("stack", |t| Tensor::stack(&[&t[0], &t[1]], 1))
            .given([2], &[1.0, 2.0])
            .given([2], &[3.0, 4.0])
            .expect(&[1.0, 3.0, 2.0, 4.0]),
    ]
}
