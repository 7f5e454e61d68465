//! Reshape, permute, expand, flip: the same elements in another order.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, Axes, Shape, Tensor, TensorSpec};

/// The same elements, in row-major order, under another shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

/// Axes in another order: axis i of the result is axis `axes[i]` of the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permute {
    /// The order.
    pub axes: Vec<usize>,
}

/// Axes of extent 1 repeated to a larger extent. The rank stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expand {
    /// The new shape.
    pub shape: Shape,
}

/// Axes reversed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flip {
    /// Which axes.
    pub axes: Vec<usize>,
}

impl Primitive for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (from, to) = (&inputs[0].shape, &self.shape);
        if from.numel() != to.numel() {
            return Err(format!("{from} has {} elements, {to} has {}", from.numel(), to.numel()));
        }
        Ok(TensorSpec::new(inputs[0].dtype, to))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        Array { spec: output.clone(), data: inputs[0].data.clone() }
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        cx.cotangent.reshape(cx.inputs[0].shape()).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let shape = &inputs[0].shape;
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        if sorted != (0..shape.rank()).collect::<Vec<_>>() {
            return Err(format!("{:?} is not an order of the axes of {shape}", self.axes));
        }
        let extents: Shape = self.axes.iter().map(|&axis| shape[axis]).collect();
        Ok(TensorSpec::new(inputs[0].dtype, extents))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let mut source = vec![0; self.axes.len()];
        Array::from_fn(output, |index| {
            for (&axis, &i) in self.axes.iter().zip(index) {
                source[axis] = i;
            }
            inputs[0].at(&source)
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let mut inverse = vec![0; self.axes.len()];
        for (to, &from) in self.axes.iter().enumerate() {
            inverse[from] = to;
        }
        cx.graph().record(Self { axes: inverse }, &[cx.cotangent]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (from, to) = (&inputs[0].shape, &self.shape);
        let fits = |(&a, &b): (&usize, &usize)| a == b || a == 1;
        if from.rank() != to.rank() || !from.iter().zip(to.iter()).all(fits) {
            return Err(format!("{from} cannot be expanded to {to}"));
        }
        Ok(TensorSpec::new(inputs[0].dtype, to))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let from = inputs[0].shape();
        Array::from_fn(output, |index| {
            let source: Vec<usize> =
                index.iter().zip(from.iter()).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect();
            inputs[0].at(&source)
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let from = cx.inputs[0].shape();
        let repeated: Vec<usize> = (0..from.rank()).filter(|&axis| from[axis] != self.shape[axis]).collect();
        cx.cotangent.sum_keep(&repeated[..]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        match self.axes.iter().find(|&&axis| axis >= inputs[0].shape.rank()) {
            Some(axis) => Err(format!("axis {axis} does not exist in shape {}", inputs[0].shape)),
            None => Ok(inputs[0].clone()),
        }
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        Array::from_fn(output, |index| {
            let mut source = index.to_vec();
            for &axis in &self.axes {
                source[axis] = output.shape[axis] - 1 - index[axis];
            }
            inputs[0].at(&source)
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        cx.graph().record(self.clone(), &[cx.cotangent]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Tensor {
    /// The same elements under another shape with as many of them (PyTorch's `reshape`, without −1).
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        if self.is_valid() && self.shape() == shape {
            return self.clone();
        }
        self.graph().record(Reshape { shape }, &[self])
    }

    /// Axes in another order: axis i of the result is axis `axes[i]` of this tensor.
    #[track_caller]
    pub fn permute(&self, axes: &[isize]) -> Self {
        let shape = self.shape();
        match axes.iter().map(|&axis| shape.axis(axis)).collect::<Result<Vec<_>, _>>() {
            Ok(axes) => self.graph().record(Permute { axes }, &[self]),
            Err(message) => self.fail("permute", message),
        }
    }

    /// Swaps two axes.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        let shape = self.shape();
        match (shape.axis(a), shape.axis(b)) {
            (Ok(a), Ok(b)) => {
                let mut axes: Vec<usize> = (0..shape.rank()).collect();
                axes.swap(a, b);
                self.graph().record(Permute { axes }, &[self])
            }
            (Err(message), _) | (_, Err(message)) => self.fail("transpose", message),
        }
    }

    /// Swaps the last two axes.
    #[track_caller]
    pub fn t(&self) -> Self {
        self.transpose(-2, -1)
    }

    /// One axis moved to another place, the others in their order (PyTorch's `movedim`).
    #[track_caller]
    pub fn movedim(&self, from: isize, to: isize) -> Self {
        let shape = self.shape();
        match (shape.axis(from), shape.axis(to)) {
            (Ok(from), Ok(to)) => {
                let mut axes: Vec<usize> = (0..shape.rank()).filter(|&axis| axis != from).collect();
                axes.insert(to, from);
                self.graph().record(Permute { axes }, &[self])
            }
            (Err(message), _) | (_, Err(message)) => self.fail("movedim", message),
        }
    }

    /// Repeats axes of extent 1, and adds leading axes, to reach a shape (PyTorch's `expand`).
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Self {
        let (from, shape) = (self.shape(), shape.into());
        if !self.is_valid() || from == shape {
            return self.clone();
        }
        if from.rank() > shape.rank() {
            return self.fail("expand", format!("{from} cannot be expanded to {shape}"));
        }
        let lead = shape.rank() - from.rank();
        let aligned: Shape = std::iter::repeat_n(1, lead).chain(from.iter().copied()).collect();
        let aligned = self.reshape(aligned);
        if aligned.shape() == shape {
            return aligned;
        }
        self.graph().record(Expand { shape }, &[&aligned])
    }

    /// A new axis of extent 1 before `axis` (−1 appends it).
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        let shape = self.shape();
        let rank = shape.rank() as isize + 1;
        let at = if axis < 0 { axis + rank } else { axis };
        if !(0..rank).contains(&at) {
            return self.fail("unsqueeze", format!("no place {axis} for a new axis in {shape}"));
        }
        let mut extents = shape.to_vec();
        extents.insert(at as usize, 1);
        self.reshape(extents)
    }

    /// Drops an axis of extent 1.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        let shape = self.shape();
        match shape.axis(axis) {
            Ok(axis) if shape[axis] == 1 => self.reshape(shape.without(&[axis])),
            Ok(_) => self.fail("squeeze", format!("axis {axis} of {shape} is not of extent 1")),
            Err(message) => self.fail("squeeze", message),
        }
    }

    /// Merges the axes from `first` to the last (PyTorch's `flatten(first)`).
    #[track_caller]
    pub fn flatten(&self, first: isize) -> Self {
        let shape = self.shape();
        match shape.axis(first) {
            Ok(first) => {
                let mut extents = shape[..first].to_vec();
                extents.push(shape[first..].iter().product());
                self.reshape(extents)
            }
            Err(_) if shape.rank() == 0 && self.is_valid() => self.reshape([1]),
            Err(message) => self.fail("flatten", message),
        }
    }

    /// Reverses axes.
    #[track_caller]
    pub fn flip(&self, axes: impl Axes) -> Self {
        match axes.resolve(&self.shape()) {
            Ok(axes) => self.graph().record(Flip { axes }, &[self]),
            Err(message) => self.fail("flip", message),
        }
    }

    /// Zeros in this tensor's shape and dtype.
    #[track_caller]
    pub fn zeros_like(&self) -> Self {
        self.full_like(0.0)
    }

    /// Ones in this tensor's shape and dtype.
    #[track_caller]
    pub fn ones_like(&self) -> Self {
        self.full_like(1.0)
    }

    /// One value in this tensor's shape and dtype.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Self {
        self.graph().full(self.shape(), value, self.dtype())
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let turned = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("reshape", |t| t[0].reshape([3, 2])).given([2, 3], &x).expect(&x),
        case("reshape/of-transposed", |t| t[0].t().reshape([2, 3])).given([2, 3], &x).expect(&turned),
        case("reshape/split-and-merge", |t| t[0].t().reshape([3, 5, 2]).permute(&[2, 0, 1]).reshape([6, 5]))
            .random([5, 6]),
        case("reshape/none", |t| t[0].reshape([5, 0])).random([0, 3]).expect(&[]),
        case("permute", |t| t[0].permute(&[1, 0])).given([2, 3], &x).expect(&turned),
        case("permute/four-axes", |t| t[0].permute(&[2, 0, 3, 1])).random([2, 3, 4, 5]),
        case("transpose", |t| t[0].transpose(0, 1)).given([2, 3], &x).expect(&turned),
        case("transpose/outer", |t| t[0].transpose(0, -1)).random([3, 5, 4]),
        case("t", |t| t[0].t()).given([2, 3], &x).expect(&turned),
        case("t/larger", |t| t[0].t()).random([33, 70]),
        case("movedim", |t| t[0].movedim(0, -1)).given([2, 3], &x).expect(&turned),
        case("movedim/inward", |t| t[0].movedim(-1, 1)).random([3, 5, 2, 4]),
        case("expand", |t| t[0].expand([2, 2, 3]))
            .given([2, 1], &[1.0, 2.0])
            .expect(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0]),
        case("expand/to-none", |t| t[0].expand([0, 3])).random([1, 3]).expect(&[]),
        case("expand/scalar", |t| t[0].expand([3, 5])).random([]),
        case("unsqueeze", |t| t[0].unsqueeze(1) + &t[0])
            .given([2], &[1.0, 2.0])
            .expect(&[2.0, 3.0, 3.0, 4.0]),
        case("squeeze", |t| t[0].squeeze(0)).given([1, 2], &[1.0, 2.0]).expect(&[1.0, 2.0]),
        case("flatten", |t| t[0].flatten(1).t()).given([1, 2, 3], &x).expect(&x),
        case("flip", |t| t[0].flip(1)).given([2, 3], &x).expect(&[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]),
        case("flip/all", |t| t[0].flip(..)).random([3, 5, 2]),
        case("flip/of-transposed", |t| t[0].t().flip(0)).random([5, 3]),
        case("zeros_like", |t| &t[0] + t[0].zeros_like()).given([2], &[1.0, 2.0]).expect(&[1.0, 2.0]),
        case("ones_like", |t| &t[0] + t[0].ones_like()).given([2], &[1.0, 2.0]).expect(&[2.0, 3.0]),
        case("full_like", |t| &t[0] * t[0].full_like(-3.0)).given([2], &[1.0, 2.0]).expect(&[-3.0, -6.0]),
    ]
}
