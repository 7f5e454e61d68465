//! Sums and maxima along axes.

use crate::array::offset;
use crate::case::{Case, Fill};
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, Axes, DType, Tensor, TensorSpec};

/// A reduction along axes, which stay with extent 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// Sum or maximum.
    pub kind: ReduceKind,
    /// Sorted axes.
    pub axes: Vec<usize>,
}

/// The associative operations that tensors are reduced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Addition; 0 for no elements.
    Sum,
    /// The larger; the dtype's lowest value for no elements.
    Max,
}

impl ReduceKind {
    /// The value of a reduction over no elements.
    pub fn identity(self, dtype: DType) -> f64 {
        match self {
            Self::Sum => 0.0,
            Self::Max => dtype.lowest(),
        }
    }
}

impl Primitive for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            ReduceKind::Sum => "sum",
            ReduceKind::Max => "max",
        }
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let TensorSpec { dtype, shape } = inputs[0];
        if self.axes.iter().any(|&axis| axis >= shape.rank()) {
            return Err(format!("axes {:?} do not all exist in shape {shape}", self.axes));
        }
        if *dtype == DType::Bool {
            return Err("is not defined for bool; cast first".into());
        }
        Ok(TensorSpec::new(*dtype, shape.reduced(&self.axes)))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let identity = self.kind.identity(output.dtype);
        let mut result = Array::from_fn(output, |_| identity);
        let input = inputs[0];
        let mut flat = input.data.iter();
        let mut to = vec![0; output.shape.rank()];
        Array::from_fn(&input.spec, |index| {
            for (axis, &i) in index.iter().enumerate() {
                to[axis] = if output.shape[axis] == 1 { 0 } else { i };
            }
            let slot = &mut result.data[offset(&to, &output.shape)];
            let value = *flat.next().expect("one value for each index");
            *slot = match self.kind {
                ReduceKind::Sum => *slot + value,
                ReduceKind::Max => slot.max(value),
            };
            0.0
        });
        if !output.dtype.is_float() {
            result.data.iter_mut().for_each(|v| *v = output.dtype.round(*v));
        }
        result
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let x = &cx.inputs[0];
        match self.kind {
            ReduceKind::Sum => cx.cotangent.expand(x.shape()).into(),
            // Ties share the gradient, as in PyTorch's `amax`; where all are −∞, the output is the lowest number.
            ReduceKind::Max => {
                let all_infinite = x.eq(f64::NEG_INFINITY).and(&cx.output.eq(x.dtype().lowest()));
                let is_max = x.eq(cx.output).or(&all_infinite);
                let is_max = is_max.select(&x.ones_like(), &x.zeros_like());
                let count = is_max.sum_keep(&self.axes[..]);
                (is_max * (cx.cotangent / count)).into()
            }
        }
    }

    fn flops(&self, inputs: &[&TensorSpec], _: &TensorSpec) -> u64 {
        inputs[0].shape.numel() as u64
    }
}

impl Tensor {
    #[track_caller]
    fn reduce(&self, kind: ReduceKind, axes: &impl Axes, keep: bool) -> Self {
        let shape = self.shape();
        match axes.resolve(&shape) {
            Ok(axes) => {
                let dropped = shape.without(&axes);
                // A reduction over axes of extent 1 (or none) is the identity.
                let reduced = if axes.iter().all(|&axis| shape[axis] == 1) && self.dtype() != DType::Bool {
                    self.clone()
                } else {
                    self.graph().record(Reduce { kind, axes }, &[self])
                };
                if keep || !reduced.is_valid() { reduced } else { reduced.reshape(dropped) }
            }
            Err(message) => self.fail("reduce", message),
        }
    }

    /// The sum along axes, which are dropped. `x.sum(..)` sums everything.
    #[track_caller]
    pub fn sum(&self, axes: impl Axes) -> Self {
        self.reduce(ReduceKind::Sum, &axes, false)
    }

    /// The sum along axes, which stay with extent 1.
    #[track_caller]
    pub fn sum_keep(&self, axes: impl Axes) -> Self {
        self.reduce(ReduceKind::Sum, &axes, true)
    }

    /// The maximum along axes, which are dropped; ties share the gradient (PyTorch's `amax`). Where several
    /// elements are all −∞ it is the dtype's lowest finite number.
    #[track_caller]
    pub fn max(&self, axes: impl Axes) -> Self {
        self.reduce(ReduceKind::Max, &axes, false)
    }

    /// The maximum along axes, which stay with extent 1.
    #[track_caller]
    pub fn max_keep(&self, axes: impl Axes) -> Self {
        self.reduce(ReduceKind::Max, &axes, true)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let inf = f64::INFINITY;
    let x = [1.0, 3.0, -8.0, 2.0, 2.0, 5.0];
    let infinite = [-inf, -inf, -inf, 1.0, inf, 3.0, inf, inf];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("sum", |t| t[0].sum(-1)).given([2, 3], &x).expect(&[-4.0, 9.0]),
        case("sum/columns", |t| t[0].sum(0)).given([2, 3], &x).expect(&[3.0, 5.0, -3.0]),
        case("sum/all", |t| t[0].sum(..)).given([2, 3], &x).expect(&[5.0]),
        case("sum/outer-and-inner", |t| t[0].sum([0, 2])).random([3, 5, 4]),
        case("sum/middle", |t| t[0].sum(1)).random([3, 5, 4]),
        case("sum/transposed", |t| t[0].t().sum(-1)).random([7, 5]),
        case("sum/sliced", |t| t[0].slice_step(1, 1..10, 3).sum(-1)).random([3, 11]),
        case("sum/expanded", |t| t[0].unsqueeze(1).expand([3, 4]).sum(..)).random([3]),
        case("sum/one", |t| t[0].sum([0, 1])).random([1, 1, 3]),
        case("sum/empty", |t| t[0].sum(0)).random([0, 3]).expect(&[0.0; 3]),
        case("sum/of-none", |t| t[0].sum(1)).random([0, 3]).expect(&[]),
        case("sum/i32", |t| t[0].sum(..))
            .operand(DType::I32, [3], Fill::Given(vec![2147483647.0, 1.0, 5.0]))
            .expect(&[-2147483643.0])
            .no_gradient(),
        case("sum/f16", |t| t[0].sum(-1)).operand(DType::F16, [3, 9], Fill::Uniform(-1.0, 1.0)),
        case("sum/long-rows", |t| t[0].sum(-1)).random([3, 3001]),
        case("sum/long-columns", |t| t[0].sum(0)).random([3001, 3]),
        case("sum/large", |t| t[0].sum(..)).random([101, 97]),
        case("sum_keep", |t| &t[0] / t[0].sum_keep(0)).given([2, 1], &[1.0, 3.0]).expect(&[0.25, 0.75]),
        case("max", |t| t[0].max(-1)).given([2, 3], &x).expect(&[3.0, 5.0]),
        case("max/ties", |t| t[0].max(0))
            .given([2, 2], &[1.0, 2.0, 1.0, 0.0])
            .expect(&[1.0, 2.0])
            .no_gradient(),
        case("max/below-zero", |t| t[0].max(..)).given([2], &[-3.0, -2.0]).expect(&[-2.0]),
        case("max/outer-and-inner", |t| t[0].max([0, 2])).distinct([3, 5, 4]),
        case("max/transposed", |t| t[0].t().max(-1)).distinct([7, 5]),
        case("max/infinite", |t| t[0].max(-1))
            .given([4, 2], &infinite)
            .expect(&[f64::from(f32::MIN), 1.0, inf, inf])
            .no_gradient(),
        case("max/infinite-gradient", |t| t[0].max(-1).sum(..).gradients(&[&t[0]]).remove(0))
            .given([4, 2], &infinite)
            .expect(&[0.5, 0.5, 0.0, 1.0, 1.0, 0.0, 0.5, 0.5])
            .no_gradient(),
        case("max/empty", |t| t[0].max(0)).random([0, 2]).expect(&[f64::from(f32::MIN); 2]).no_gradient(),
        case("max/i32", |t| t[0].max(0))
            .operand(DType::I32, [2, 2], Fill::Given(vec![-5.0, 2.0, -7.0, 3.0]))
            .expect(&[-5.0, 3.0])
            .no_gradient(),
        case("max/u32", |t| t[0].max(..))
            .indices([3], &[1.0, 4294967295.0, 3.0])
            .expect(&[4294967295.0])
            .no_gradient(),
        case("max/long", |t| t[0].max(..)).operand(DType::F32, [3001], Fill::Distinct(-2.0, 2.0)),
        case("max_keep", |t| &t[0] - t[0].max_keep(-1))
            .given([1, 3], &[1.0, 3.0, 2.0])
            .expect(&[-2.0, 0.0, -1.0]),
    ]
}
