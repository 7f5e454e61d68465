//! Reading and adding at positions given by another tensor.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// y\[…, i, …\] = x\[…, index\[…, i, …\], …\] along an axis (PyTorch's `gather`). The operands agree in
/// every other axis. An index beyond the axis reads the last position, to which no gradient flows back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gather {
    /// Which axis.
    pub axis: usize,
}

/// The adjoint of [`Gather`]: y\[…, j, …\] = Σ x\[…, i, …\] over the i with index\[…, i, …\] = j.
/// Operands: x, index. Sums in the order of i: deterministic. Positions beyond the axis are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScatterAdd {
    /// Which axis.
    pub axis: usize,
    /// The axis's extent in the result.
    pub size: usize,
}

fn check(axis: usize, x: &TensorSpec, index: &TensorSpec, op_is_gather: bool) -> Result<(), String> {
    let alike = x.shape.rank() == index.shape.rank()
        && axis < x.shape.rank()
        && (0..x.shape.rank()).all(|a| (a == axis && op_is_gather) || x.shape[a] == index.shape[a]);
    if index.dtype != DType::U32 {
        return Err(format!("needs u32 indices, got {index}"));
    }
    if !alike {
        return Err(format!("indices {} do not fit {} along axis {axis}", index.shape, x.shape));
    }
    Ok(())
}

impl Primitive for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        check(self.axis, inputs[0], inputs[1], true)?;
        if inputs[0].shape[self.axis] == 0 && inputs[1].shape.numel() > 0 {
            return Err(format!("axis {} of {} has no elements", self.axis, inputs[0].shape));
        }
        Ok(TensorSpec::new(inputs[0].dtype, &inputs[1].shape))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let last = inputs[0].shape()[self.axis].saturating_sub(1);
        Array::from_fn(output, |index| {
            let mut source = index.to_vec();
            source[self.axis] = (inputs[1].at(index) as usize).min(last);
            inputs[0].at(&source)
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        if input == 1 {
            return Cotangent::Zero;
        }
        let size = cx.inputs[0].dim(self.axis as isize);
        cx.cotangent.scatter_add(self.axis as isize, &cx.inputs[1], size).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        check(self.axis, inputs[0], inputs[1], false)?;
        if inputs[0].dtype == DType::Bool {
            return Err("is not defined for bool; cast first".into());
        }
        let mut extents = inputs[0].shape.to_vec();
        extents[self.axis] = self.size;
        Ok(TensorSpec::new(inputs[0].dtype, extents))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let mut result = Array::from_fn(output, |_| 0.0);
        Array::from_fn(&inputs[0].spec, |index| {
            let mut to = index.to_vec();
            to[self.axis] = inputs[1].at(index) as usize;
            if to[self.axis] < self.size {
                result.data[crate::array::offset(&to, &output.shape)] += inputs[0].at(index);
            }
            0.0
        });
        if !output.dtype.is_float() {
            result.data.iter_mut().for_each(|v| *v = output.dtype.round(*v));
        }
        result
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        if input == 1 {
            return Cotangent::Zero;
        }
        let index = &cx.inputs[1];
        if self.size == 0 {
            return cx.inputs[0].zeros_like().into();
        }
        let gathered = cx.cotangent.gather(self.axis as isize, index);
        gathered.masked_fill(&index.ge(self.size as f64), 0.0).into()
    }

    fn flops(&self, inputs: &[&TensorSpec], _: &TensorSpec) -> u64 {
        inputs[0].shape.numel() as u64
    }
}

impl Tensor {
    /// Elements picked along an axis by u32 indices of the result's shape (PyTorch's `gather`).
    #[track_caller]
    pub fn gather(&self, axis: isize, index: &Self) -> Self {
        match self.shape().axis(axis) {
            Ok(axis) => self.graph().record(Gather { axis }, &[self, index]),
            Err(message) => self.fail("gather", message),
        }
    }

    /// Whole slices picked along an axis by u32 indices of any shape, which replace that axis
    /// (PyTorch's `index_select`; with axis 0, an embedding lookup).
    #[track_caller]
    pub fn index_select(&self, axis: isize, index: &Self) -> Self {
        if !self.is_valid() || !index.is_valid() {
            return self.invalid();
        }
        let (shape, picks) = (self.shape(), index.shape());
        let axis = match shape.axis(axis) {
            Ok(axis) => axis,
            Err(message) => return self.fail("index_select", message),
        };
        let (before, after) = (&shape[..axis], &shape[axis + 1..]);
        let ones = |extents: &[usize]| vec![1; extents.len()];
        let flat = index.reshape([ones(before), vec![picks.numel()], ones(after)].concat());
        let spread = flat.expand([before, &[picks.numel()], after].concat());
        let picked = self.gather(axis as isize, &spread);
        if picked.is_valid() { picked.reshape([before, &picks, after].concat()) } else { picked }
    }

    /// Sums elements into positions given by u32 indices along an axis of extent `size` (PyTorch's `scatter_add` on zeros);
    /// positions beyond it are left out. Where the elements times `size` are 2³¹ and more, indices have to be the same along the
    /// other axes (as for [`Tensor::embedding`] and [`Tensor::index_add`]), and a device makes NaN of sums beside one that is not
    /// finite.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, index: &Self, size: usize) -> Self {
        match self.shape().axis(axis) {
            Ok(axis) => self.graph().record(ScatterAdd { axis, size }, &[self, index]),
            Err(message) => self.fail("scatter_add", message),
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let gather = |variant: &str, axis: isize| {
        Case::new(&format!("gather{variant}"), move |t| t[0].gather(axis, &t[1]))
    };
    let select = |variant: &str, axis: isize| {
        Case::new(&format!("index_select{variant}"), move |t| t[0].index_select(axis, &t[1]))
    };
    let scatter = |variant: &str, axis: isize, size: usize| {
        Case::new(&format!("scatter_add{variant}"), move |t| t[0].scatter_add(axis, &t[1], size))
    };
    vec![
        gather("", 1)
            .given([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .indices([2, 2], &[2.0, 0.0, 1.0, 1.0])
            .expect(&[3.0, 1.0, 5.0, 5.0]),
        gather("/first", 0).random([5, 3]).labels([7, 3], 5),
        gather("/middle", 1).random([2, 5, 3]).labels([2, 4, 3], 5),
        gather("/one", 0).random([1, 3]).labels([4, 3], 1),
        gather("/none", 0).random([5, 3]).labels([0, 3], 5).expect(&[]),
        Case::new("gather/transposed", |t| t[0].t().gather(0, &t[1])).random([3, 5]).labels([4, 3], 5),
        select("", 1)
            .given([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .indices([2], &[2.0, 0.0])
            .expect(&[3.0, 1.0, 6.0, 4.0]),
        select("/matrix-of-picks", 0).random([5, 3]).labels([2, 7], 5),
        select("/last", -1).random([3, 5]).labels([7], 5),
        select("/scalar", 0).random([5, 3]).labels([], 5),
        scatter("", 1, 3)
            .given([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .indices([2, 3], &[2.0, 0.0, 2.0, 1.0, 1.0, 1.0])
            .expect(&[2.0, 0.0, 4.0, 0.0, 15.0, 0.0]),
        scatter("/beyond", 0, 2)
            .given([3], &[1.0, 2.0, 4.0])
            .indices([3], &[0.0, 2.0, 0.0])
            .expect(&[5.0, 0.0]),
        scatter("/first", 0, 4).random([7, 3]).labels([7, 3], 4),
        scatter("/middle", 1, 3).random([2, 5, 3]).labels([2, 5, 3], 3),
        scatter("/from-none", 0, 2).random([0, 3]).labels([0, 3], 2).expect(&[0.0; 6]),
        scatter("/crowded", 0, 3).random([1000, 2]).labels([1000, 2], 3),
    ]
}
