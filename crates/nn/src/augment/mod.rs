//! Augmentation as part of the recorded step: images change on the device, after they were uploaded.
//!
//! Each layer changes every image \[N, C, H, W\] of a batch in its own random way in training, and nothing in
//! evaluation. Like dropout's masks, the changes are functions of the state's seed, the step and the place in
//! the graph, so a resumed training repeats them. `wgrad_data::Augmented` does the same in the loader's threads,
//! which is cheaper on a GPU as long as they keep up: they work while it trains.

mod mixup;
mod rotation;

use wgrad_core::{F32, Mode, Tensor, U32};

use crate::Module;

pub use mixup::Mixup;
pub use rotation::RandomRotation;

/// Mirrors left and right, each image with probability p (torchvision's `RandomHorizontalFlip`).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::augment::{Normalize, RandomCrop, RandomHorizontalFlip};
/// use wgrad_nn::{Module, Sequential};
/// let augment = Sequential::new()
///     .then(RandomHorizontalFlip::new(0.5))
///     .then(RandomCrop::new(4))
///     .then(Normalize::new(&[0.49, 0.48, 0.45], &[0.25, 0.24, 0.26]));
/// let x = Graph::new(Mode::Train).input("image", [64, 3, 32, 32], F32);
/// assert_eq!(augment.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RandomHorizontalFlip {
    p: f64,
}

impl RandomHorizontalFlip {
    /// Mirrors with probability p in \[0, 1\].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for RandomHorizontalFlip {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        flipped(x, self.p, 3, "random_horizontal_flip")
    }
}

/// Mirrors top and bottom, each image with probability p (torchvision's `RandomVerticalFlip`).
#[derive(Clone, Copy, Debug)]
pub struct RandomVerticalFlip {
    p: f64,
}

impl RandomVerticalFlip {
    /// Mirrors with probability p in \[0, 1\].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for RandomVerticalFlip {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        flipped(x, self.p, 2, "random_vertical_flip")
    }
}

#[track_caller]
fn flipped(x: &Tensor, p: f64, axis: isize, operation: &str) -> Tensor {
    if !(0.0..=1.0).contains(&p) {
        return x.fail(operation, format!("the probability is {p}, but must be in [0, 1]"));
    }
    match images(x, operation) {
        Images::Change([n, ..]) => uniform(x, n).lt(p).select(&x.flip(axis), x),
        Images::Keep(x) => x,
    }
}

/// Moves each image by up to `padding` pixels along both axes, as if a part of the same size were cut from the
/// padded image (torchvision's `RandomCrop` with `padding`).
#[derive(Clone, Copy, Debug)]
pub struct RandomCrop {
    padding: usize,
    fill: f64,
}

impl RandomCrop {
    /// Zeros appear where an image is moved away.
    pub fn new(padding: usize) -> Self {
        Self { padding, fill: 0.0 }
    }

    /// Another value appears there.
    pub fn fill(self, fill: f64) -> Self {
        Self { fill, ..self }
    }
}

impl Module for RandomCrop {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let n = match images(x, "random_crop") {
            Images::Change([n, ..]) => n,
            Images::Keep(x) => return x,
        };
        let reach = self.padding as f64;
        let shift = || (uniform(x, n) * (2.0 * reach + 1.0)).floor() - reach;
        let (rows, columns) = (shift() + positions(x, 2), shift() + positions(x, 3));
        picked(x, &rows, &columns, self.fill)
    }
}

/// Covers a square of each image with zeros. Its centre may be anywhere, so part of it may lie outside
/// (T. DeVries and G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017).
#[derive(Clone, Copy, Debug)]
pub struct Cutout {
    side: usize,
}

impl Cutout {
    /// Squares of `side` × `side` pixels.
    pub fn new(side: usize) -> Self {
        Self { side }
    }
}

impl Module for Cutout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let [n, _, h, w] = match images(x, "cutout") {
            Images::Change(shape) => shape,
            Images::Keep(x) => return x,
        };
        let covered = |axis: usize, extent: usize| {
            let start = (uniform(x, n) * extent as f64).floor() - (self.side / 2) as f64;
            let behind = positions(x, axis) - start;
            behind.ge(0.0).and(&behind.lt(self.side as f64))
        };
        x.masked_fill(&covered(2, h).and(&covered(3, w)), 0.0)
    }
}

/// Subtracts a mean and divides by a deviation, in training and in evaluation (torchvision's `Normalize`).
#[derive(Clone, Debug)]
pub struct Normalize {
    means: Vec<f32>,
    deviations: Vec<f32>,
}

impl Normalize {
    /// One mean and deviation for every channel, or one of each for all.
    pub fn new(means: &[f32], deviations: &[f32]) -> Self {
        Self { means: means.into(), deviations: deviations.into() }
    }
}

impl Module for Normalize {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !x.is_valid() {
            return x.clone();
        }
        let (means, deviations) = (&self.means, &self.deviations);
        let fits = x.rank() == 4 && (means.len() == 1 || means.len() == x.shape()[1]);
        if !fits || means.len() != deviations.len() {
            let [m, d] = [means, deviations].map(Vec::len);
            return x.fail("normalize", format!("{m} means and {d} deviations do not fit {}", x.spec()));
        }
        if let Some(bad) = deviations.iter().find(|deviation| !deviation.is_normal() || **deviation < 0.0) {
            return x.fail("normalize", format!("values cannot be divided by the deviation {bad}"));
        }
        let channels = |values: &[f32]| x.graph().constant([1, values.len(), 1, 1], values).cast(x.dtype());
        (x - channels(means)) / channels(deviations)
    }
}

enum Images {
    /// Extents of a batch that is to be changed.
    Change([usize; 4]),
    /// Nothing is to be changed (or the input is unusable): the result.
    Keep(Tensor),
}

#[track_caller]
fn images(x: &Tensor, operation: &str) -> Images {
    if !x.is_valid() {
        return Images::Keep(x.clone());
    }
    match x.shape()[..] {
        [n, c, h, w] if x.mode() == Mode::Train => Images::Change([n, c, h, w]),
        [_, _, _, _] => Images::Keep(x.clone()),
        _ => Images::Keep(x.fail(operation, format!("needs images [N, C, H, W], got {}", x.spec()))),
    }
}

/// A uniform number in \[0, 1) for each image, \[N, 1, 1, 1\].
#[track_caller]
fn uniform(x: &Tensor, n: usize) -> Tensor {
    x.graph().random_bits([n, 1, 1, 1]).bits_to_uniform()
}

/// The positions along an axis of images, as floats that broadcast to them.
#[track_caller]
fn positions(x: &Tensor, axis: usize) -> Tensor {
    let mut shape = [1; 4];
    shape[axis] = x.shape()[axis];
    x.graph().iota(shape, axis, F32)
}

/// Images \[N, C, H, W\] with the pixel of another row and column, whole numbers \[N, 1, H, W\] or what broadcasts to
/// that, at each place, and `fill` for those that lie outside.
#[track_caller]
fn picked(x: &Tensor, rows: &Tensor, columns: &Tensor, fill: f64) -> Tensor {
    let shape = x.shape();
    let (h, w) = (shape[2], shape[3]);
    let planes = [shape[0], shape[1], h * w];
    let inside = |at: &Tensor, extent: usize| at.ge(0.0).and(&at.lt(extent as f64));
    let held = |at: &Tensor, extent: usize| at.clamp(0.0, extent.saturating_sub(1) as f64).cast(U32);
    // One gather from all pixels of a channel: no padded image is ever stored.
    let source = held(rows, h) * w as f64 + held(columns, w);
    let pixels = x.reshape(planes).gather(2, &source.expand(&shape).reshape(planes)).reshape(&shape);
    inside(rows, h).and(&inside(columns, w)).select(&pixels, &x.full_like(fill))
}
