//! Sliding windows. Pooling and convolution, forward and both backwards, are these two views and a
//! reduction or a contraction.
//!
//! With S the extents of an input, O those of the output and K those of the window, along d axes:
//! *slide* reads `[…, S, K]` as `[…, O, K]`: y[o, k] = x[o·stride + k·dilation − padding, k];
//! *unslide* is its adjoint: y[s, k] = x[(s + padding − k·dilation) / stride, k] where that is a whole
//! number inside of O, else 0.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, Shape, Tensor, TensorSpec};

/// How a window moves over the last axes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extents of the window.
    pub size: Vec<usize>,
    /// Steps between neighbouring windows.
    pub stride: Vec<usize>,
    /// (before, after) padding.
    pub padding: Vec<(usize, usize)>,
    /// Steps between neighbouring elements of a window.
    pub dilation: Vec<usize>,
}

impl Window {
    /// A window of the given size, stride 1, no padding, no dilation.
    pub fn new(size: &[usize]) -> Self {
        Self {
            size: size.to_vec(),
            stride: vec![1; size.len()],
            padding: vec![(0, 0); size.len()],
            dilation: vec![1; size.len()],
        }
    }

    /// The same stride along every axis.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride.fill(stride);
        self
    }

    /// The same padding before and after along every axis.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding.fill((padding, padding));
        self
    }

    /// The same dilation along every axis.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation.fill(dilation);
        self
    }

    /// The padding that gives as many windows as there are elements, at stride 1 (PyTorch's
    /// `padding="same"`): where it cannot be even, one more after than before.
    pub fn same(mut self) -> Self {
        let reach = |(&size, &dilation): (&usize, &usize)| size.saturating_sub(1).saturating_mul(dilation);
        let total = self.size.iter().zip(&self.dilation).map(reach);
        self.padding = total.map(|total| (total / 2, total.div_ceil(2))).collect();
        self
    }

    /// Whether windows lie side by side: neither overlap nor gaps, nor padding.
    fn tiles(&self) -> bool {
        self.size == self.stride
            && self.size.iter().all(|&size| size > 0)
            && self.dilation.iter().all(|&step| step == 1)
            && self.padding.iter().all(|&padding| padding == (0, 0))
    }

    /// The number of axes the window moves along.
    pub fn rank(&self) -> usize {
        self.size.len()
    }

    /// The number of windows along each axis of an input.
    pub fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let ranks = [self.stride.len(), self.padding.len(), self.dilation.len(), input.len()];
        if ranks.iter().any(|&rank| rank != self.rank()) {
            return Err(format!("a window over {} axes does not fit {input:?}", self.rank()));
        }
        (0..self.rank())
            .map(|axis| {
                let (low, high) = self.padding[axis];
                let reach =
                    self.size[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1);
                let padded = input[axis].saturating_add(low).saturating_add(high);
                let room = padded.checked_sub(reach);
                match room {
                    Some(room) if self.stride[axis] > 0 && self.size[axis] > 0 && self.dilation[axis] > 0 => {
                        Ok(room / self.stride[axis] + 1)
                    }
                    Some(_) => Err("size, stride and dilation must be at least 1".into()),
                    None => Err(format!(
                        "a window that reaches over {reach} elements does not fit {} padded to {padded}",
                        input[axis]
                    )),
                }
            })
            .collect()
    }
}

/// Reads `[…, S, K]` as `[…, O, K]`; elements outside of S read as `fill`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slide {
    /// The moving window.
    pub window: Window,
    /// What is read outside of the input, as f64 bits.
    pub fill_bits: u64,
}

impl Slide {
    /// What is read outside of the input.
    pub fn fill(&self) -> f64 {
        f64::from_bits(self.fill_bits)
    }

    /// The input position that window `o` reads at its element `k`, if inside of extent `n`.
    pub fn source(&self, axis: usize, o: usize, k: usize, n: usize) -> Option<usize> {
        let w = &self.window;
        let position = (o * w.stride[axis] + k * w.dilation[axis]).checked_sub(w.padding[axis].0)?;
        (position < n).then_some(position)
    }
}

/// The adjoint of [`Slide`]: reads `[…, O, K]` as `[…, S, K]`, 0 where there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unslide {
    /// The moving window.
    pub window: Window,
    /// The extents S.
    pub input: Vec<usize>,
}

impl Unslide {
    /// The window that reads input position `s` at its element `k`, if there is one among `n`.
    pub fn source(&self, axis: usize, s: usize, k: usize, n: usize) -> Option<usize> {
        let w = &self.window;
        let position = (s + w.padding[axis].0).checked_sub(k * w.dilation[axis])?;
        let o = position / w.stride[axis];
        (position % w.stride[axis] == 0 && o < n).then_some(o)
    }
}

/// Splits a shape into (leading axes, moved axes, window axes).
fn split<'a>(shape: &'a Shape, window: &Window) -> Result<(&'a [usize], &'a [usize]), String> {
    let d = window.rank();
    let lead = shape.rank().checked_sub(2 * d).filter(|&lead| shape[lead + d..] == window.size[..]);
    match lead {
        Some(lead) => Ok((&shape[..lead], &shape[lead..lead + d])),
        None => Err(format!("{shape} does not end in the window's extents {:?}", window.size)),
    }
}

fn gather(
    window: &Window,
    input: &Array,
    output: &TensorSpec,
    fill: f64,
    source: impl Fn(usize, usize, usize, usize) -> Option<usize>,
) -> Array {
    let d = window.rank();
    let lead = output.shape.rank() - 2 * d;
    Array::from_fn(output, |index| {
        let mut from = index.to_vec();
        for axis in 0..d {
            let (o, k) = (index[lead + axis], index[lead + d + axis]);
            match source(axis, o, k, input.shape()[lead + axis]) {
                Some(position) => from[lead + axis] = position,
                None => return fill,
            }
        }
        input.at(&from)
    })
}

impl Primitive for Slide {
    fn name(&self) -> &'static str {
        "slide"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (lead, moved) = split(&inputs[0].shape, &self.window)?;
        let output = self.window.output(moved)?;
        Ok(TensorSpec::new(inputs[0].dtype, [lead, &output, &self.window.size].concat()))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        gather(&self.window, inputs[0], output, self.fill(), |a, o, k, n| self.source(a, o, k, n))
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let shape = cx.inputs[0].shape();
        let d = self.window.rank();
        let input = shape[shape.rank() - 2 * d..shape.rank() - d].to_vec();
        cx.graph().record(Unslide { window: self.window.clone(), input }, &[cx.cotangent]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Primitive for Unslide {
    fn name(&self) -> &'static str {
        "unslide"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (lead, moved) = split(&inputs[0].shape, &self.window)?;
        if self.window.output(&self.input)? != moved {
            return Err(format!("{moved:?} windows do not come from {:?}", self.input));
        }
        Ok(TensorSpec::new(inputs[0].dtype, [lead, &self.input, &self.window.size].concat()))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        gather(&self.window, inputs[0], output, 0.0, |a, s, k, n| self.source(a, s, k, n))
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let slide = Slide { window: self.window.clone(), fill_bits: 0.0f64.to_bits() };
        cx.graph().record(slide, &[cx.cotangent]).into()
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Tensor {
    /// All windows over the last axes: `[…, S]` becomes `[…, O, K]` (PyTorch's `unfold`, any rank).
    /// Elements outside of the input read as `fill`.
    #[track_caller]
    pub fn windows(&self, window: &Window, fill: f64) -> Self {
        let shape = self.shape();
        let Some(lead) = shape.rank().checked_sub(window.rank()) else {
            let message = format!("a window over {} axes does not fit {shape}", window.rank());
            return self.fail("windows", message);
        };
        if window.tiles() && shape[lead..].iter().zip(&window.size).all(|(n, size)| n >= size) {
            return self.tiled(&window.size);
        }
        let ones = vec![1; window.rank()];
        let aligned = self.reshape([&shape[..lead], &shape[lead..], &ones].concat());
        let repeated = aligned.expand([&shape[..lead], &shape[lead..], &window.size].concat());
        let slide = Slide { window: window.clone(), fill_bits: self.dtype().round(fill).to_bits() };
        self.graph().record(slide, &[&repeated])
    }

    /// Windows that lie side by side are a reshape of the input, without what does not fill a window; so is
    /// their gradient, where that of overlapping ones is a sum.
    #[track_caller]
    fn tiled(&self, size: &[usize]) -> Self {
        let lead = self.rank() - size.len();
        let (mut whole, mut cut) = (self.clone(), self.shape()[..lead].to_vec());
        for (axis, &size) in size.iter().enumerate() {
            let count = self.shape()[lead + axis] / size;
            whole = whole.slice((lead + axis) as isize, 0..count * size);
            cut.extend([count, size]);
        }
        let outer = (0..size.len()).map(|axis| lead + 2 * axis);
        let inner = (0..size.len()).map(|axis| lead + 2 * axis + 1);
        let order: Vec<isize> = (0..lead).chain(outer).chain(inner).map(|axis| axis as isize).collect();
        whole.reshape(cut).permute(&order)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let windows = |variant: &str, window: Window, fill: f64| {
        Case::new(&format!("windows{variant}"), move |t| t[0].windows(&window, fill))
    };
    vec![
        windows("", Window::new(&[2]), 0.0)
            .given([4], &[1.0, 2.0, 3.0, 4.0])
            .expect(&[1.0, 2.0, 2.0, 3.0, 3.0, 4.0]),
        windows("/stride-padding", Window::new(&[3]).stride(2).padding(1), -1.0)
            .given([3], &[1.0, 2.0, 3.0])
            .expect(&[-1.0, 1.0, 2.0, 2.0, 3.0, -1.0]),
        windows("/dilation", Window::new(&[2]).dilation(2), 0.0)
            .given([4], &[1.0, 2.0, 3.0, 4.0])
            .expect(&[1.0, 3.0, 2.0, 4.0]),
        windows("/two-axes", Window::new(&[2, 3]).stride(2).padding(1), 0.0).random([2, 5, 4]),
        windows("/one", Window::new(&[1, 1]), 0.0).random([3, 2]),
        windows("/side-by-side", Window { stride: vec![2, 3], ..Window::new(&[2, 3]) }, 0.0)
            .random([2, 5, 6]),
        windows("/gap", Window::new(&[2]).stride(3), 0.0).random([3, 8]),
        windows("/u32", Window::new(&[2]), 7.0).labels([5], 100).no_gradient(),
        Case::new("unslide", |t| {
            let window = Window::new(&[2]).stride(2).padding(1);
            t[0].graph().record(Unslide { window, input: vec![3] }, &[&t[0]])
        })
        .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
        .expect(&[0.0, 2.0, 3.0, 0.0, 0.0, 4.0]),
    ]
}
