//! Transposed convolution: the adjoint of a convolution in its input, as an operation of its own.
//!
//! Each input element is multiplied with the whole weight, and the products are added up where the
//! windows of the result lie: a contraction, an unslide and a sum.

use super::conv::Labels;
use super::{Contract, Unslide, Window};
use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// Transposed convolution over one axis; see [`Tensor::conv_transpose`] (PyTorch's
    /// `conv_transpose1d`).
    #[track_caller]
    pub fn conv_transpose1d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        window: &Window,
        output_padding: &[usize],
        groups: usize,
    ) -> Self {
        match self.window_over(1, window, "conv_transpose1d") {
            Ok(()) => self.conv_transpose(weight, bias, window, output_padding, groups),
            Err(refused) => refused,
        }
    }

    /// Transposed convolution over two axes; see [`Tensor::conv_transpose`] (PyTorch's
    /// `conv_transpose2d`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, ops::Window};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [8, 16, 7, 7], F32);
    /// let weight = g.input("weight", [16, 3, 4, 4], F32);
    /// let window = Window::new(&[4, 4]).stride(2).padding(1);
    /// assert_eq!(*x.conv_transpose2d(&weight, None, &window, &[0, 0], 1).shape(), [8, 3, 14, 14]);
    /// ```
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        window: &Window,
        output_padding: &[usize],
        groups: usize,
    ) -> Self {
        match self.window_over(2, window, "conv_transpose2d") {
            Ok(()) => self.conv_transpose(weight, bias, window, output_padding, groups),
            Err(refused) => refused,
        }
    }

    /// Transposed convolution over three axes; see [`Tensor::conv_transpose`] (PyTorch's
    /// `conv_transpose3d`).
    #[track_caller]
    pub fn conv_transpose3d(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        window: &Window,
        output_padding: &[usize],
        groups: usize,
    ) -> Self {
        match self.window_over(3, window, "conv_transpose3d") {
            Ok(()) => self.conv_transpose(weight, bias, window, output_padding, groups),
            Err(refused) => refused,
        }
    }

    /// Transposed convolution over the last one, two or three axes: input \[N, C, S…\], weight
    /// \[C, O/groups, K…\], bias \[O\], result \[N, O, S'…\] with S' = (S − 1)·stride − padding +
    /// dilation·(K − 1) + `output_padding` + 1. The output padding must be less than the stride or the
    /// dilation along each axis.
    #[track_caller]
    pub fn conv_transpose(
        &self,
        weight: &Self,
        bias: Option<&Self>,
        window: &Window,
        output_padding: &[usize],
        groups: usize,
    ) -> Self {
        const NAME: &str = "conv_transpose";
        if !self.is_valid() || !weight.is_valid() || bias.is_some_and(|bias| !bias.is_valid()) {
            return self.invalid();
        }
        let (x, w) = (self.shape(), weight.shape());
        let rank = window.rank();
        let ranks = (x.rank(), w.rank()) == (rank + 2, rank + 2);
        if !(1..=3).contains(&rank) || !ranks || w[2..] != window.size[..] {
            let message = format!(
                "a window of {:?} needs an input [N, C, …] and a weight [C, O/groups, …] that ends in the \
                 window's extents, got {x} and {w}",
                window.size
            );
            return self.fail(NAME, message);
        }
        if groups == 0 || x[1] != w[0] || w[0] % groups != 0 {
            let message = format!(
                "input {x} has {} channels and weight {w} takes {}, divided among {groups} groups",
                x[1], w[0]
            );
            return self.fail(NAME, message);
        }
        let channels = w[1].saturating_mul(groups);
        if let Some(bias) = bias.filter(|bias| *bias.shape() != [channels]) {
            let message = format!("weight {w} needs a bias [{channels}], got {}", bias.spec());
            return self.fail(NAME, message);
        }
        let extents = match transposed_extents(&x[2..], window, output_padding) {
            Ok(extents) => extents,
            Err(message) => return self.fail(NAME, message),
        };
        let product = self.spread_windows(weight, window, extents, groups);
        match bias {
            Some(bias) => product + bias.reshape([&[channels], &vec![1; rank][..]].concat()),
            None => product,
        }
    }

    #[track_caller]
    fn spread_windows(&self, weight: &Self, window: &Window, extents: Extents, groups: usize) -> Self {
        let (x, w, d) = (self.shape(), weight.shape(), window.rank());
        let missing = extents.windows.iter().zip(&x[2..]).map(|(windows, n)| (0, windows - n));
        let amounts: Vec<(usize, usize)> = [(0, 0); 2].into_iter().chain(missing).collect();
        let padded = if extents.windows[..] == x[2..] { self.clone() } else { self.pad(&amounts, 0.0) };
        let each = x[1] / groups;
        let grouped = padded.reshape([&[x[0], groups, each], &extents.windows[..]].concat());
        let weight = weight.reshape([&[groups, each], &w[1..]].concat());
        let labels = Labels::new(d);
        let op = Contract { a: labels.output(b"ngc"), b: labels.weight(b"gco"), out: labels.windows(b"ngo") };
        let products = self.graph().record(op, &[&grouped, &weight]);
        let unslide = Unslide { window: window.clone(), input: extents.result.clone() };
        let taps: Vec<isize> = (1..=d as isize).map(|axis| -axis).collect();
        let summed = self.graph().record(unslide, &[&products]).sum(&taps[..]);
        if !summed.is_valid() {
            return summed;
        }
        summed.reshape([&[x[0], groups * w[1]], &extents.result[..]].concat())
    }
}

/// The extents of a transposed convolution's result, and how many windows lie in it: more than the input
/// has elements where the output padding makes room for another one.
struct Extents {
    result: Vec<usize>,
    windows: Vec<usize>,
}

fn transposed_extents(input: &[usize], window: &Window, output_padding: &[usize]) -> Result<Extents, String> {
    let ranks = [window.stride.len(), window.padding.len(), window.dilation.len(), output_padding.len()];
    if ranks.iter().any(|&rank| rank != window.rank()) {
        return Err(format!("stride, padding, dilation and output padding name {ranks:?} axes"));
    }
    let extent = |axis: usize| {
        let (n, stride, dilation) = (input[axis], window.stride[axis], window.dilation[axis]);
        let (more, (low, high)) = (output_padding[axis], window.padding[axis]);
        if more >= stride.max(dilation) {
            return Err(format!(
                "output padding {more} is not less than stride {stride} or dilation {dilation}"
            ));
        }
        let reach = window.size[axis].saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let steps = n.checked_sub(1).map(|steps| steps.saturating_mul(stride));
        let whole = steps.map(|steps| steps.saturating_add(reach).saturating_add(more));
        let extent = whole.and_then(|whole| whole.checked_sub(low.saturating_add(high)));
        extent.ok_or_else(|| {
            format!("{n} elements give no result at stride {stride} and padding ({low}, {high})")
        })
    };
    let result = (0..window.rank()).map(extent).collect::<Result<Vec<_>, _>>()?;
    let windows = window.output(&result)?;
    Ok(Extents { result, windows })
}

pub(crate) fn cases() -> Vec<Case> {
    let transposed = |name: &str, window: Window, output_padding: &'static [usize], groups: usize| {
        let rank = window.rank();
        let build = move |t: &[Tensor]| match rank {
            1 => t[0].conv_transpose1d(&t[1], t.get(2), &window, output_padding, groups),
            2 => t[0].conv_transpose2d(&t[1], t.get(2), &window, output_padding, groups),
            _ => t[0].conv_transpose3d(&t[1], t.get(2), &window, output_padding, groups),
        };
        Case::new(name, build)
    };
    let square = |size: usize| Window::new(&[size, size]);
    let line = |size: usize| Window::new(&[size]);
    vec![
        // Windows [1, 2, 3], [2, 4, 6] two apart: 1, 2, 3 + 2, 4, 6.
        transposed("conv_transpose1d", line(3).stride(2), &[0], 1)
            .given([1, 1, 2], &[1.0, 2.0])
            .given([1, 1, 3], &[1.0, 2.0, 3.0])
            .given([1], &[0.5])
            .expect(&[1.5, 2.5, 5.5, 4.5, 6.5]),
        transposed("conv_transpose1d/output-padding", line(3).stride(2).padding(1), &[1], 1)
            .given([1, 1, 2], &[1.0, 2.0])
            .given([1, 1, 3], &[1.0, 2.0, 3.0])
            .expect(&[2.0, 5.0, 4.0, 6.0]),
        // The output padding is a whole stride: nothing reaches it.
        transposed("conv_transpose1d/room-for-more", line(2).dilation(3), &[2], 1)
            .given([1, 1, 2], &[1.0, 2.0])
            .given([1, 1, 2], &[1.0, 10.0])
            .expect(&[1.0, 2.0, 0.0, 10.0, 20.0, 0.0, 0.0]),
        transposed("conv_transpose1d/groups", line(3).stride(3).padding(1), &[2], 2)
            .random([2, 4, 5])
            .random([4, 3, 3])
            .random([6]),
        transposed("conv_transpose2d", square(2), &[0, 0], 1)
            .given([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2, 1, 2, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
            .expect(&[4.0, 9.0, 4.0, 3.0, 8.0, 6.0]),
        transposed("conv_transpose2d/stride", square(3).stride(2).padding(1), &[1, 1], 1)
            .random([2, 3, 4, 3])
            .random([3, 2, 3, 3])
            .random([2]),
        transposed("conv_transpose2d/plain", square(3), &[0, 0], 1).random([2, 3, 4, 5]).random([3, 4, 3, 3]),
        transposed("conv_transpose2d/depthwise", square(4).stride(2).padding(1), &[0, 0], 3)
            .random([1, 3, 3, 5])
            .random([3, 1, 4, 4]),
        transposed("conv_transpose2d/dilation", square(2).dilation(2).stride(2), &[0, 1], 1)
            .random([1, 2, 3, 3])
            .random([2, 3, 2, 2]),
        transposed("conv_transpose2d/no-batch", square(2), &[0, 0], 1)
            .random([0, 2, 3, 3])
            .random([2, 3, 2, 2])
            .expect(&[]),
        transposed("conv_transpose3d", Window::new(&[2, 1, 1]), &[0, 0, 0], 1)
            .given([1, 1, 2, 1, 1], &[1.0, 2.0])
            .given([1, 1, 2, 1, 1], &[1.0, 3.0])
            .expect(&[1.0, 5.0, 6.0]),
        transposed("conv_transpose3d/stride", Window::new(&[2, 3, 2]).stride(2).padding(1), &[1, 0, 1], 1)
            .random([1, 2, 3, 2, 3])
            .random([2, 2, 2, 3, 2]),
        Case::new("conv_transpose", |t| {
            t[0].conv_transpose(&t[1], None, &Window::new(&[2]).stride(2), &[0], 1)
        })
        .given([1, 1, 2], &[1.0, 2.0])
        .given([1, 1, 2], &[3.0, 4.0])
        .expect(&[3.0, 4.0, 6.0, 8.0]),
    ]
}
