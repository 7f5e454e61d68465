//! Convolution (in the sense of the field: cross-correlation) over one, two or three axes.
//!
//! The windows of the input, read through a view, are contracted with the weight; both gradients follow
//! from that definition.

use super::{Contract, Window};
use crate::Tensor;

impl Tensor {
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
        if window.rank() != 2 {
            return self
                .fail("conv2d", format!("needs a window over 2 axes, got one over {}", window.rank()));
        }
        self.conv(weight, bias, window, groups)
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
        if groups == 0 || x[1] != w[1] * groups || w[0] % groups != 0 {
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
struct Labels {
    positions: Vec<u8>,
    elements: Vec<u8>,
}

impl Labels {
    fn new(rank: usize) -> Self {
        Self { positions: b"012"[..rank].to_vec(), elements: b"ABC"[..rank].to_vec() }
    }

    fn windows(&self, lead: &[u8]) -> Vec<u8> {
        [lead, &self.positions, &self.elements].concat()
    }

    fn weight(&self, lead: &[u8]) -> Vec<u8> {
        [lead, &self.elements].concat()
    }

    fn output(&self, lead: &[u8]) -> Vec<u8> {
        [lead, &self.positions].concat()
    }
}
