//! Pooling: the maximum, the mean or the norm of each window.

use super::Window;
use crate::case::{Case, Fill};
use crate::{Array, DType, Shape, Tensor};

/// Choices of [`Tensor::max_pool_with`] and [`Tensor::avg_pool_with`]; the default is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Whether a last window that reaches beyond the padded input counts, if it starts inside of the input
    /// or the padding before it.
    pub ceil_mode: bool,
    /// Whether padding counts as zeros in a mean; else a mean is over the elements of the input alone.
    pub count_include_pad: bool,
}

impl Default for Pooling {
    fn default() -> Self {
        Self { ceil_mode: false, count_include_pad: true }
    }
}

impl Tensor {
    /// The maximum of each window over the last axes; padding never wins. The whole gradient goes to the
    /// first maximum of a window, as in PyTorch.
    #[track_caller]
    pub fn max_pool(&self, window: &Window) -> Self {
        self.max_pool_with(window, Pooling::default())
    }

    /// [`Tensor::max_pool`] with PyTorch's choices.
    #[track_caller]
    pub fn max_pool_with(&self, window: &Window, pooling: Pooling) -> Self {
        match self.taps(window, self.dtype().lowest(), pooling, "max_pool") {
            Some((taps, _)) => taps.first_max(),
            None => self.invalid(),
        }
    }

    /// The mean of each window over the last axes; padding counts as zeros, as by default in PyTorch.
    #[track_caller]
    pub fn avg_pool(&self, window: &Window) -> Self {
        self.avg_pool_with(window, Pooling::default())
    }

    /// [`Tensor::avg_pool`] with PyTorch's choices.
    #[track_caller]
    pub fn avg_pool_with(&self, window: &Window, pooling: Pooling) -> Self {
        if !self.needs_float("avg_pool") {
            return self.invalid();
        }
        let Some((taps, moved)) = self.taps(window, 0.0, pooling, "avg_pool") else { return self.invalid() };
        if !taps.is_valid() {
            return taps;
        }
        let shape = self.shape();
        let input = &shape[shape.rank() - window.rank()..];
        let counts: Vec<Vec<usize>> =
            (0..window.rank()).map(|axis| taken(&moved, window, input, axis, pooling)).collect();
        match counts.iter().map(|counts| uniform(counts)).collect::<Option<Vec<usize>>>() {
            Some(each) => taps.sum(-1) / each.iter().product::<usize>() as f64,
            None => taps.sum(-1) / self.graph().constant_array(outer(&counts, self.dtype())),
        }
    }

    /// (Σ|x|ᵖ)^(1/p) over each window of the last axes, p ≥ 1 (PyTorch's `LPPool`, which leaves the magnitude
    /// out: it agrees where p is even or x is not negative).
    #[track_caller]
    pub fn lp_pool(&self, window: &Window, p: f64) -> Self {
        if !self.needs_float("lp_pool") {
            return self.invalid();
        }
        match self.taps(window, 0.0, Pooling::default(), "lp_pool") {
            Some((taps, _)) => taps.norm_p(p, -1),
            None => self.invalid(),
        }
    }

    /// The maximum of neighbouring `size` × `size` squares over the last two axes (PyTorch's
    /// `MaxPool2d(size)`). Rows and columns that do not fill a square are left out.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("image", [8, 3, 29, 28], F32);
    /// assert_eq!(*x.max_pool2d(2).shape(), [8, 3, 14, 14]);
    /// ```
    #[track_caller]
    pub fn max_pool2d(&self, size: usize) -> Self {
        self.max_pool(&Window::new(&[size, size]).stride(size))
    }

    /// The mean of neighbouring `size` × `size` squares over the last two axes (PyTorch's
    /// `AvgPool2d(size)`).
    #[track_caller]
    pub fn avg_pool2d(&self, size: usize) -> Self {
        self.avg_pool(&Window::new(&[size, size]).stride(size))
    }

    /// The mean over the last two axes, which are dropped: \[N, C, H, W\] becomes \[N, C\].
    #[track_caller]
    pub fn global_avg_pool2d(&self) -> Self {
        if self.is_valid() && self.rank() < 2 {
            return self.fail("global_avg_pool2d", format!("needs two axes to average, got {}", self.spec()));
        }
        self.mean([-2, -1])
    }

    /// The maximum over the last axis, which is dropped; the first one takes the whole gradient.
    #[track_caller]
    pub(super) fn first_max(&self) -> Self {
        let winner = self.argmax(-1).unsqueeze(-1);
        let position = self.graph().arange(self.dim(-1), DType::U32);
        winner.eq(position).select(self, &self.zeros_like()).sum(-1)
    }

    /// Windows with their elements flattened to one last axis, and the window with the padding that they
    /// were read with.
    #[track_caller]
    fn taps(&self, window: &Window, fill: f64, pooling: Pooling, operation: &str) -> Option<(Self, Window)> {
        if !self.is_valid() {
            return None;
        }
        let shape = self.shape();
        let moved = match shape.rank().checked_sub(window.rank()).filter(|_| window.rank() > 0) {
            Some(lead) => {
                if pooling.ceil_mode {
                    rounded_up(window, &shape[lead..])
                } else {
                    window.output(&shape[lead..]).map(|_| window.clone())
                }
            }
            None => Err(format!("a window over {} axes does not fit {shape}", window.rank())),
        };
        match moved {
            Ok(moved) => Some((self.windows(&moved, fill).flatten(-(window.rank() as isize)), moved)),
            Err(message) => {
                self.fail(operation, message);
                None
            }
        }
    }
}

/// The window with so much padding after the input that a last, incomplete window is kept, as PyTorch's
/// `ceil_mode` keeps it.
fn rounded_up(window: &Window, input: &[usize]) -> Result<Window, String> {
    let mut moved = window.clone();
    let ranks = [window.stride.len(), window.padding.len(), window.dilation.len(), input.len()];
    if ranks == [window.rank(); 4] {
        for (axis, &n) in input.iter().enumerate() {
            let (stride, (low, high)) = (window.stride[axis].max(1), window.padding[axis]);
            let reach =
                window.size[axis].saturating_sub(1).saturating_mul(window.dilation[axis]).saturating_add(1);
            let starts = n.saturating_add(low);
            let room = starts.saturating_add(high).saturating_sub(reach);
            // The last window must not start behind the input.
            let last = room.div_ceil(stride).min(starts.saturating_sub(1) / stride);
            let end = last.saturating_mul(stride).saturating_add(reach);
            moved.padding[axis].1 = high.max(end.saturating_sub(starts));
        }
    }
    moved.output(input).map(|_| moved)
}

/// How many elements each window along an axis takes the mean of.
fn taken(moved: &Window, window: &Window, input: &[usize], axis: usize, pooling: Pooling) -> Vec<usize> {
    let (low, high) = window.padding[axis];
    let range = if pooling.count_include_pad { 0..low + input[axis] + high } else { low..low + input[axis] };
    let windows = moved.output(input).map_or(0, |output| output[axis]);
    let taps =
        |o: usize| (0..window.size[axis]).map(move |k| o * window.stride[axis] + k * window.dilation[axis]);
    (0..windows).map(|o| taps(o).filter(|position| range.contains(position)).count().max(1)).collect()
}

/// The number that all are equal to, if there is one.
fn uniform(counts: &[usize]) -> Option<usize> {
    let first = counts.first().copied().unwrap_or(1);
    counts.iter().all(|&count| count == first).then_some(first)
}

/// The products of one count along each axis.
fn outer(counts: &[Vec<usize>], dtype: DType) -> Array {
    let shape: Shape = counts.iter().map(Vec::len).collect();
    let product =
        |index: &[usize]| -> usize { index.iter().zip(counts).map(|(&i, counts)| counts[i]).product() };
    Array::from_fn(&crate::TensorSpec::new(dtype, shape), |index| product(index) as f64)
}

pub(crate) fn cases() -> Vec<Case> {
    let max_pool = |variant: &str, window: Window| {
        Case::new(&format!("max_pool{variant}"), move |t| t[0].max_pool(&window))
    };
    let avg_pool = |variant: &str, window: Window| {
        Case::new(&format!("avg_pool{variant}"), move |t| t[0].avg_pool(&window))
    };
    let with = |ceil_mode: bool, count_include_pad: bool| Pooling { ceil_mode, count_include_pad };
    let max_with = |variant: &str, window: Window, pooling: Pooling| {
        Case::new(&format!("max_pool_with{variant}"), move |t| t[0].max_pool_with(&window, pooling))
    };
    let avg_with = |variant: &str, window: Window, pooling: Pooling| {
        Case::new(&format!("avg_pool_with{variant}"), move |t| t[0].avg_pool_with(&window, pooling))
    };
    let square = |size: usize| Window::new(&[size, size]);
    let x = [1.0, 2.0, 5.0, 4.0, -3.0, 0.0, -1.0, 7.0];
    vec![
        max_pool("", Window::new(&[3]).stride(2).padding(1)).given([2, 4], &x).expect(&[2.0, 5.0, 0.0, 7.0]),
        max_pool("/below-zero", Window::new(&[2]).padding(1))
            .given([2], &[-1.0, -2.0])
            .expect(&[-1.0, -1.0, -2.0]),
        max_pool("/overlapping", square(3).stride(2).padding(1)).distinct([2, 3, 7, 5]),
        max_pool("/dilated", square(2).dilation(2)).distinct([1, 2, 5, 6]),
        max_pool("/three-axes", Window::new(&[2, 2, 2]).stride(2)).distinct([2, 4, 5, 4]),
        max_pool("/f16", square(2)).operand(DType::F16, [3, 4, 5], Fill::Distinct(-2.0, 2.0)),
        max_pool("/no-batch", square(2)).random([0, 3, 3]).expect(&[]),
        avg_pool("", Window::new(&[3]).stride(2).padding(1))
            .given([1, 4], &[3.0, 6.0, 9.0, 12.0])
            .expect(&[3.0, 9.0]),
        avg_pool("/overlapping", square(3).stride(2).padding(1)).random([2, 3, 7, 5]),
        // Windows from −1, 2 and 5; the one from 8 would start behind the input.
        max_with("", Window::new(&[3]).stride(3).padding(1), with(true, true))
            .given([6], &[1.0, 5.0, 3.0, 4.0, 2.0, -6.0])
            .expect(&[5.0, 4.0, -6.0]),
        max_with("/no-start-in-padding", Window::new(&[2]).stride(2).padding(1), with(true, true))
            .given([3], &[1.0, 2.0, 3.0])
            .expect(&[1.0, 3.0]),
        max_with("/squares", square(3).stride(2), with(true, true)).distinct([2, 2, 6, 4]),
        // Of the last window one element lies in the input, one in its padding, and one beyond.
        avg_with("", Window::new(&[3]).stride(3).padding(1), with(true, true))
            .given([6], &[1.0, 5.0, 3.0, 4.0, 2.0, -6.0])
            .expect(&[2.0, 3.0, -3.0]),
        avg_with("/without-padding", Window::new(&[3]).stride(3).padding(1), with(true, false))
            .given([6], &[1.0, 5.0, 3.0, 4.0, 2.0, -6.0])
            .expect(&[3.0, 3.0, -6.0]),
        avg_with("/squares", square(3).stride(2).padding(1), with(false, false)).random([2, 2, 6, 5]),
        avg_with("/three-axes", Window::new(&[2, 2, 2]).stride(2), with(true, false)).random([2, 3, 5, 2]),
        Case::new("lp_pool", |t| t[0].lp_pool(&Window::new(&[2]).stride(2), 2.0))
            .given([2, 4], &[3.0, 4.0, 0.0, 2.0, 5.0, 12.0, 8.0, 6.0])
            .expect(&[5.0, 2.0, 13.0, 10.0]),
        Case::new("lp_pool/cubes", |t| t[0].lp_pool(&Window::new(&[2, 2]).stride(1), 3.0)).uniform(
            [2, 3, 4],
            0.5,
            2.0,
        ),
        Case::new("max_pool2d", |t| t[0].max_pool2d(2)).given([1, 1, 2, 4], &x).expect(&[2.0, 7.0]),
        Case::new("max_pool2d/odd", |t| t[0].max_pool2d(2)).distinct([2, 2, 7, 5]),
        Case::new("max_pool2d/transposed", |t| t[0].t().max_pool2d(2)).distinct([2, 2, 7, 4]),
        Case::new("avg_pool2d", |t| t[0].avg_pool2d(2)).given([1, 1, 2, 4], &x).expect(&[0.0, 3.75]),
        Case::new("avg_pool2d/odd", |t| t[0].avg_pool2d(3)).random([2, 2, 7, 5]),
        Case::new("global_avg_pool2d", |t| t[0].global_avg_pool2d())
            .given([1, 2, 2, 2], &x)
            .expect(&[3.0, 0.75]),
    ]
}
