//! Dropout of elements, of whole channels and of whole branches.
//!
//! Masks are functions of the state's seed, the step and the place in the graph: the same step of the
//! same training drops the same elements.

use wgrad_core::{Mode, Tensor};

use crate::Module;

/// In training, zeroes each element with probability p and scales the rest by 1/(1 − p); the identity in
/// evaluation (PyTorch's `Dropout`; Srivastava et al., 2014).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Dropout, Module};
/// let x = Graph::new(Mode::Eval).input("x", [64, 128], F32);
/// assert_eq!(Dropout::new(0.5).forward(&x).id(), x.id());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Drops each element with probability p in [0, 1].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match mask(x, self.p, usize::MAX, "dropout") {
            Mask::Keep(keep) => scaled(x, &keep, self.p),
            Mask::All(x) => x,
        }
    }
}

/// In training, zeroes whole channels of \[N, C, …\] with probability p and scales the rest by 1/(1 − p)
/// (PyTorch's `Dropout1d`, `2d`, `3d`, which differ in the rank alone; Tompson et al., 2015).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Dropout2d, Module};
/// let x = Graph::new(Mode::Train).input("image", [8, 16, 10, 10], F32);
/// assert_eq!(Dropout2d::new(0.5).forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ChannelDropout {
    p: f64,
}

/// Dropout of the channels of sequences \[N, C, L\].
pub type Dropout1d = ChannelDropout;

/// Dropout of the channels of images \[N, C, H, W\].
pub type Dropout2d = ChannelDropout;

/// Dropout of the channels of volumes \[N, C, D, H, W\].
pub type Dropout3d = ChannelDropout;

impl ChannelDropout {
    /// Drops each channel of each sample with probability p in [0, 1].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for ChannelDropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if x.is_valid() && x.rank() < 2 {
            return x.fail("dropout", format!("needs channels [N, C, …], got {}", x.spec()));
        }
        match mask(x, self.p, 2, "dropout") {
            Mask::Keep(keep) => scaled(x, &keep, self.p),
            Mask::All(x) => x,
        }
    }
}

/// Stochastic depth: in training, zeroes a residual branch for whole samples with probability p and scales
/// the rest by 1/(1 − p) (torchvision's `StochasticDepth` with mode "row", timm's `DropPath`; Huang et
/// al., 2016). Applied to the branch, before it is added to the shortcut.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{DropPath, Module};
/// let x = Graph::new(Mode::Train).input("x", [8, 16], F32);
/// let y = &x + DropPath::new(0.1).forward(&x.relu());
/// assert_eq!(y.shape(), x.shape());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DropPath {
    p: f64,
}

impl DropPath {
    /// Drops the branch of each sample with probability p in [0, 1].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for DropPath {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match mask(x, self.p, 1, "drop_path") {
            Mask::Keep(keep) => scaled(x, &keep, self.p),
            Mask::All(x) => x,
        }
    }
}

/// Dropout that keeps mean 0 and variance 1, for networks of SELU: dropped elements take SELU's limit at
/// −∞, and the result is shifted and scaled (PyTorch's `AlphaDropout`; Klambauer et al., 2017).
#[derive(Clone, Copy, Debug)]
pub struct AlphaDropout {
    p: f64,
}

/// The limit of SELU at −∞: −λα with the constants of Klambauer et al.
const SELU_LIMIT: f64 = -1.0507009873554805 * 1.6732632423543772;

impl AlphaDropout {
    /// Drops each element with probability p in [0, 1].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for AlphaDropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let keep = match mask(x, self.p, usize::MAX, "alpha_dropout") {
            Mask::Keep(_) if self.p == 1.0 => return x.zeros_like(),
            Mask::Keep(keep) => keep,
            Mask::All(x) => return x,
        };
        // The variance of a kept-or-replaced unit variable is (1 − p)(1 + p·limit²), its mean p·limit.
        let scale = ((1.0 - self.p) * (1.0 + self.p * SELU_LIMIT * SELU_LIMIT)).sqrt().recip();
        let shift = -scale * self.p * SELU_LIMIT;
        keep.select(x, &x.full_like(SELU_LIMIT)) * scale + shift
    }
}

enum Mask {
    /// True where elements stay; broadcasts to the input.
    Keep(Tensor),
    /// Nothing is dropped (or the input is unusable): the result.
    All(Tensor),
}

/// Independent draws along the first `axes` axes of x.
#[track_caller]
fn mask(x: &Tensor, p: f64, axes: usize, operation: &str) -> Mask {
    if !(0.0..=1.0).contains(&p) {
        return Mask::All(x.fail(operation, format!("the probability is {p}, but must be in [0, 1]")));
    }
    if !x.is_valid() || x.mode() == Mode::Eval || p == 0.0 {
        return Mask::All(x.clone());
    }
    let drawn: Vec<usize> =
        x.shape().iter().enumerate().map(|(axis, &extent)| if axis < axes { extent } else { 1 }).collect();
    Mask::Keep(x.graph().random_bits(drawn).bits_to_uniform().ge(p))
}

#[track_caller]
fn scaled(x: &Tensor, keep: &Tensor, p: f64) -> Tensor {
    // With p = 1 nothing is kept, and nothing must be divided by 0.
    let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
    keep.select(&(x * scale), &x.zeros_like())
}
