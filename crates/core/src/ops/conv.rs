//! Convolution (in the sense of the field: cross-correlation) over one, two or three axes.
//!
//! The windows of the input, read through a view, are contracted with the weight; both gradients follow
//! from that definition.

use super::{Contract, Window};
use crate::case::{Case, Fill};
use crate::{DType, Tensor};

impl Tensor {
    /// Convolution of an input \[N, C, L\] with a weight \[O, C/groups, K\] and a bias \[O\] (PyTorch's
    /// `conv1d`). `window` gives stride, padding and dilation; its size is the weight's.
    #[track_caller]
    pub fn conv1d(&self, weight: &Self, bias: Option<&Self>, window: &Window, groups: usize) -> Self {
        match self.window_over(1, window, "conv1d") {
            Ok(()) => self.conv(weight, bias, window, groups),
            Err(refused) => refused,
        }
    }

    /// Convolution of an input \[N, C, H, W\] with a weight \[O, C/groups, KH, KW\] and a bias \[O\]
    /// (PyTorch's `conv2d`). `window` gives stride, padding and dilation; its size is the weight's.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, ops::Window};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("image", [8, 3, 32, 32], F32);
    /// let weight = g.input("weight", [16, 3, 5, 5], F32);
    /// let y = x.conv2d(&weight, None, &Window::new(&[5, 5]).padding(2).stride(2), 1);
    /// assert_eq!(*y.shape(), [8, 16, 16, 16]);
    /// ```
    #[track_caller]
    pub fn conv2d(&self, weight: &Self, bias: Option<&Self>, window: &Window, groups: usize) -> Self {
        match self.window_over(2, window, "conv2d") {
            Ok(()) => self.conv(weight, bias, window, groups),
            Err(refused) => refused,
        }
    }

    /// Convolution of an input \[N, C, D, H, W\] with a weight \[O, C/groups, KD, KH, KW\] and a bias
    /// \[O\] (PyTorch's `conv3d`). `window` gives stride, padding and dilation; its size is the weight's.
    #[track_caller]
    pub fn conv3d(&self, weight: &Self, bias: Option<&Self>, window: &Window, groups: usize) -> Self {
        match self.window_over(3, window, "conv3d") {
            Ok(()) => self.conv(weight, bias, window, groups),
            Err(refused) => refused,
        }
    }

    /// Whether a window moves over so many axes; the invalid tensor of the error otherwise.
    #[track_caller]
    pub(super) fn window_over(&self, axes: usize, window: &Window, operation: &str) -> Result<(), Self> {
        if window.rank() == axes {
            return Ok(());
        }
        let message = format!("needs a window over {axes} axes, got one over {}", window.rank());
        Err(self.fail(operation, message))
    }

    /// Convolution over the last one, two or three axes: input \[N, C, S…\], weight
    /// \[O, C/groups, K…\], bias \[O\], result \[N, O, …\] (PyTorch's `conv1d`, `conv2d`, `conv3d`).
    #[track_caller]
    pub fn conv(&self, weight: &Self, bias: Option<&Self>, window: &Window, groups: usize) -> Self {
        if !self.is_valid() || !weight.is_valid() || bias.is_some_and(|bias| !bias.is_valid()) {
            return self.invalid();
        }
        let (x, w) = (self.shape(), weight.shape());
        let rank = window.rank();
        if !(1..=3).contains(&rank)
            || x.rank() != rank + 2
            || w.rank() != rank + 2
            || w[2..] != window.size[..]
        {
            let message = format!(
                "a window of {:?} needs an input [N, C, …] and a weight [O, C/groups, …] that ends in \
                 the window's extents, got {x} and {w}",
                window.size
            );
            return self.fail("conv", message);
        }
        if groups == 0 || x[1] != w[1].saturating_mul(groups) || w[0] % groups != 0 {
            let message = format!(
                "input {x} has {} channels and weight {w} takes {} in each of {groups} groups, with {} \
                 output channels to divide among them",
                x[1], w[1], w[0]
            );
            return self.fail("conv", message);
        }
        if let Some(bias) = bias.filter(|bias| *bias.shape() != [w[0]]) {
            return self.fail("conv", format!("weight {w} needs a bias [{}], got {}", w[0], bias.spec()));
        }
        let product = if groups == 1 {
            self.convolve(weight, window)
        } else {
            self.convolve_groups(weight, window, groups)
        };
        match bias {
            Some(bias) => product + bias.reshape([&w[..1], &vec![1; rank]].concat()),
            None => product,
        }
    }

    #[track_caller]
    fn convolve(&self, weight: &Self, window: &Window) -> Self {
        let labels = Labels::new(window.rank());
        let op = Contract { a: labels.windows(b"nc"), b: labels.weight(b"oc"), out: labels.output(b"no") };
        self.graph().record(op, &[&self.windows(window, 0.0), weight])
    }

    /// Groups are a batch axis of the contraction.
    #[track_caller]
    fn convolve_groups(&self, weight: &Self, window: &Window, groups: usize) -> Self {
        let (x, w) = (self.shape(), weight.shape());
        let grouped = self.reshape([&[x[0], groups, w[1]], &x[2..]].concat());
        let weight = weight.reshape([&[groups, w[0] / groups], &w[1..]].concat());
        let labels = Labels::new(window.rank());
        let op = Contract { a: labels.windows(b"ngc"), b: labels.weight(b"goc"), out: labels.output(b"ngo") };
        let product = self.graph().record(op, &[&grouped.windows(window, 0.0), &weight]);
        let y = product.shape();
        if product.is_valid() { product.reshape([&[x[0], w[0]], &y[3..]].concat()) } else { product }
    }
}

/// Names of the axes of a convolution: positions 0, 1, … and window elements A, B, ….
pub(super) struct Labels {
    positions: Vec<u8>,
    elements: Vec<u8>,
}

impl Labels {
    pub(super) fn new(rank: usize) -> Self {
        Self { positions: b"012"[..rank].to_vec(), elements: b"ABC"[..rank].to_vec() }
    }

    pub(super) fn windows(&self, lead: &[u8]) -> Vec<u8> {
        [lead, &self.positions, &self.elements].concat()
    }

    pub(super) fn weight(&self, lead: &[u8]) -> Vec<u8> {
        [lead, &self.elements].concat()
    }

    pub(super) fn output(&self, lead: &[u8]) -> Vec<u8> {
        [lead, &self.positions].concat()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let conv2d = |variant: &str, window: Window, groups: usize| {
        let build = move |t: &[Tensor]| t[0].conv2d(&t[1], t.get(2), &window, groups);
        Case::new(&format!("conv2d{variant}"), build)
    };
    let conv1d = |variant: &str, window: Window, groups: usize| {
        let build = move |t: &[Tensor]| t[0].conv1d(&t[1], t.get(2), &window, groups);
        Case::new(&format!("conv1d{variant}"), build)
    };
    let conv3d = |variant: &str, window: Window, groups: usize| {
        let build = move |t: &[Tensor]| t[0].conv3d(&t[1], t.get(2), &window, groups);
        Case::new(&format!("conv3d{variant}"), build)
    };
    let conv = |variant: &str, window: Window, groups: usize| {
        let build = move |t: &[Tensor]| t[0].conv(&t[1], t.get(2), &window, groups);
        Case::new(&format!("conv{variant}"), build)
    };
    let square = |size: usize| Window::new(&[size, size]);
    vec![
        conv2d("", square(2), 1)
            .given([1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
            .given([1, 1, 2, 2], &[1.0, 0.0, 0.0, -1.0])
            .given([1], &[10.0])
            .expect(&[6.0, 6.0, 6.0, 6.0]),
        conv2d("/channels", square(3), 1).random([2, 3, 7, 5]).random([4, 3, 3, 3]).random([4]),
        conv2d("/padding", square(3).padding(1), 1).random([2, 2, 5, 5]).random([3, 2, 3, 3]),
        conv2d("/stride", square(3).stride(2), 1).random([2, 2, 8, 7]).random([3, 2, 3, 3]),
        conv2d("/stride-padding", square(3).stride(2).padding(1), 1)
            .random([1, 2, 7, 8])
            .random([3, 2, 3, 3]),
        conv2d("/dilation", square(2).dilation(3), 1).random([1, 2, 7, 6]).random([3, 2, 2, 2]),
        conv2d("/groups", square(3).padding(1), 2).random([2, 4, 5, 5]).random([6, 2, 3, 3]).random([6]),
        conv2d("/depthwise", square(3), 3).random([2, 3, 5, 5]).random([3, 1, 3, 3]),
        conv2d("/one-by-one", square(1), 1).random([2, 5, 3, 3]).random([4, 5, 1, 1]),
        conv2d("/whole", Window::new(&[3, 4]), 1).random([2, 2, 3, 4]).random([3, 2, 3, 4]),
        conv2d(
            "/uneven",
            Window {
                size: vec![3, 2],
                stride: vec![2, 1],
                padding: vec![(0, 1), (2, 1)],
                dilation: vec![1, 2],
            },
            1,
        )
        .random([1, 2, 6, 5])
        .random([2, 2, 3, 2]),
        conv2d("/no-batch", square(2), 1).random([0, 2, 3, 3]).random([3, 2, 2, 2]).expect(&[]),
        conv2d("/f16", square(3).padding(1), 1)
            .operand(DType::F16, [1, 2, 4, 5], Fill::Uniform(-1.0, 1.0))
            .operand(DType::F16, [3, 2, 3, 3], Fill::Uniform(-1.0, 1.0)),
        conv2d("/wide", square(3).padding(1), 1).random([2, 8, 9, 9]).random([16, 8, 3, 3]).random([16]),
        conv1d("", Window::new(&[2]).stride(3), 1)
            .given([1, 2, 5], &[1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0, 0.0, 1.0, 0.0])
            .given([1, 2, 2], &[1.0, 1.0, 2.0, 3.0])
            .given([1], &[0.5])
            .expect(&[6.5, 11.5]),
        conv1d("/depthwise", Window::new(&[3]).same(), 3).random([2, 3, 7]).random([6, 1, 3]).random([6]),
        conv3d("", Window::new(&[1, 2, 1]), 1)
            .given([1, 1, 2, 2, 1], &[1.0, 2.0, 3.0, 4.0])
            .given([1, 1, 1, 2, 1], &[1.0, 10.0])
            .expect(&[21.0, 43.0]),
        conv3d("/groups", Window::new(&[2, 1, 2]).stride(2).dilation(2).padding(1), 2)
            .random([1, 4, 4, 3, 5])
            .random([2, 2, 2, 1, 2])
            .random([2]),
        conv("", Window::new(&[3]), 1)
            .given([1, 1, 5], &[1.0, 2.0, 4.0, 8.0, 16.0])
            .given([1, 1, 3], &[1.0, -2.0, 1.0])
            .expect(&[1.0, 2.0, 4.0]),
        conv("/one-axis", Window::new(&[3]).padding(2).stride(2).dilation(2), 2)
            .random([2, 4, 9])
            .random([2, 2, 3])
            .random([2]),
        conv("/three-axes", Window::new(&[2, 2, 2]).padding(1).stride(2), 1)
            .random([1, 2, 3, 4, 3])
            .random([2, 2, 2, 2, 2]),
    ]
}
