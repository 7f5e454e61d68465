//! Random changes of images, made by the loader's threads while they fill batches.

use wgrad_core::{F32, TensorSpec};

use crate::record::Visit;
use crate::scratch::Scratch;
use crate::{DataError, Dataset, Random, Record};

/// A dataset whose images are changed a little, differently in each epoch (torchvision's `transforms`). The
/// changes happen in the order in which they were asked for, and depend on the loader's seed, the epoch
/// and the record's place alone. They happen on the loader's threads, which cost a GPU nothing while they keep up with
/// it; `wgrad_nn::augment` makes the same changes within the step.
///
/// ```
/// use wgrad_data::{Augmented, Loader, digits};
/// let augmented = Augmented::new(digits())?.crop(1).rotate(10.0).normalize(&[0.3], &[0.4])?;
/// let loader = Loader::new(augmented, 64).shuffle(7).workers(2);
/// assert_eq!(loader.batches()?, 29);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Augmented<D> {
    data: D,
    image: String,
    shape: [usize; 3],
    fill: f32,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Flip,
    Crop(usize),
    Rotate(f64),
    /// (mean, deviation) of each channel.
    Normalize(Vec<(f32, f32)>),
}

impl<D: Dataset> Augmented<D> {
    /// A dataset as it is, so far. Its first field of three axes, f32\[channels, height, width\], is what
    /// changes. Errors: there is none.
    pub fn new(data: D) -> Result<Self, DataError> {
        let image = data.fields().into_iter().find(|(_, spec)| spec.dtype == F32 && spec.shape.rank() == 3);
        let Some((image, spec)) = image else {
            let problem = "the dataset has no images f32[channels, height, width]".into();
            return Err(DataError::Transformation { transformation: "augmentation", problem });
        };
        let shape = [spec.shape[0], spec.shape[1], spec.shape[2]];
        Ok(Self { data, image, shape, fill: 0.0, steps: Vec::new() })
    }

    /// What appears where an image is moved away; 0 unless chosen. The value is one before
    /// [`Augmented::normalize`] where that comes later.
    pub fn fill(mut self, value: f32) -> Self {
        self.fill = value;
        self
    }

    /// Mirrors left and right, half of the time (`RandomHorizontalFlip`).
    pub fn flip(self) -> Self {
        self.then(Step::Flip)
    }

    /// Moves by up to `padding` pixels along both axes, as if a part of the same size were cut from the
    /// padded image (`RandomCrop` with `padding`).
    pub fn crop(self, padding: usize) -> Self {
        self.then(Step::Crop(padding))
    }

    /// Rotates around the centre by up to so many degrees either way, counter-clockwise where the angle is positive,
    /// with bilinear interpolation (`RandomRotation`).
    pub fn rotate(self, degrees: f64) -> Self {
        self.then(Step::Rotate(degrees))
    }

    /// Subtracts a mean and divides by a deviation, one of each for every channel or one for all
    /// (`Normalize`). Errors: another number of them, a deviation that cannot be divided by.
    pub fn normalize(self, means: &[f32], deviations: &[f32]) -> Result<Self, DataError> {
        let channels = self.shape[0];
        if means.len() != deviations.len() || (means.len() != 1 && means.len() != channels) {
            let [m, d] = [means, deviations].map(<[f32]>::len);
            let problem = format!("{m} means and {d} deviations do not fit {channels} channels");
            return Err(DataError::Transformation { transformation: "normalize", problem });
        }
        let pairs: Vec<(f32, f32)> = means.iter().copied().zip(deviations.iter().copied()).collect();
        let bad =
            |(mean, deviation): &&(f32, f32)| !mean.is_finite() || !deviation.is_normal() || *deviation < 0.0;
        if let Some(&(mean, deviation)) = pairs.iter().find(bad) {
            return Err(DataError::Normalize { mean, deviation });
        }
        let pairs = (0..channels).map(|channel| pairs[channel % pairs.len()]).collect();
        Ok(self.then(Step::Normalize(pairs)))
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn apply(&self, step: &Step, mut image: Vec<f32>, random: &mut Random) -> Vec<f32> {
        let [_, height, width] = self.shape;
        match step {
            Step::Flip => {
                if random.below(2) == 1 {
                    image.chunks_exact_mut(width.max(1)).for_each(<[f32]>::reverse);
                }
                image
            }
            Step::Crop(padding) => {
                let mut shift = || random.below(2 * *padding as u64 + 1) as isize - *padding as isize;
                let (dy, dx) = (shift(), shift());
                self.shifted(&image, dy, dx)
            }
            Step::Rotate(degrees) => {
                self.turned(&image, (degrees * (2.0 * random.uniform() - 1.0)).to_radians())
            }
            Step::Normalize(pairs) => {
                let planes = image.chunks_exact_mut((height * width).max(1));
                for (plane, (mean, deviation)) in planes.zip(pairs) {
                    plane.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
                }
                image
            }
        }
    }

    /// The image that has at each place what the old one has so many rows and columns further on.
    fn shifted(&self, image: &[f32], dy: isize, dx: isize) -> Vec<f32> {
        let [channels, height, width] = self.shape;
        let mut shifted = vec![self.fill; image.len()];
        let covered = |extent: usize, by: isize| {
            let start = by.min(0).unsigned_abs();
            start..extent.saturating_sub(by.max(0).unsigned_abs())
        };
        let (rows, columns) = (covered(height, dy), covered(width, dx));
        if columns.is_empty() {
            return shifted;
        }
        let left = columns.start.wrapping_add_signed(dx);
        for (channel, row) in (0..channels).flat_map(|channel| rows.clone().map(move |row| (channel, row))) {
            let to = (channel * height + row) * width + columns.start;
            let from = (channel * height + row.wrapping_add_signed(dy)) * width + left;
            shifted[to..to + columns.len()].copy_from_slice(&image[from..from + columns.len()]);
        }
        shifted
    }

    /// The image turned counter-clockwise around its centre, interpolated between four neighbours.
    fn turned(&self, image: &[f32], angle: f64) -> Vec<f32> {
        let [_, height, width] = self.shape;
        let (sin, cos) = angle.sin_cos();
        let (cy, cx) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let plane = height * width;
        let mut turned = vec![0.0; image.len()];
        for at in 0..plane {
            // Where the pixel comes from, in every channel.
            let (y, x) = ((at / width) as f64 - cy, (at % width) as f64 - cx);
            let (y, x) = (cy + cos * y + sin * x, cx - sin * y + cos * x);
            let (top, left) = (y.floor(), x.floor());
            let (down, right) = ((y - top) as f32, (x - left) as f32);
            let place = |y: f64, x: f64| {
                let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
                inside.then(|| y as usize * width + x as usize)
            };
            let corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)];
            let corners = corners.map(|(y, x)| place(top + y, left + x));
            for (from, to) in image.chunks_exact(plane).zip(turned.chunks_exact_mut(plane)) {
                let [a, b, c, d] = corners.map(|corner| corner.map_or(self.fill, |at| from[at]));
                let row = |a: f32, b: f32| a * (1.0 - right) + b * right;
                to[at] = row(a, b) * (1.0 - down) + row(c, d) * down;
            }
        }
        turned
    }
}

impl<D: Dataset> Dataset for Augmented<D> {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        self.data.fields()
    }

    fn name(&self, record: usize) -> Option<String> {
        self.data.name(record)
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let scratch = Scratch::of(&self.data, Visit { record, ..sink.visit() })?;
        scratch.copy_except(&self.image, sink)?;
        let mut random = sink.random("augment");
        let image = scratch.fields().iter().find(|field| field.name == self.image);
        let image = image.map(|field| scratch.floats(field)).unwrap_or_default();
        let image = self.steps.iter().fold(image, |image, step| self.apply(step, image, &mut random));
        sink.write(&self.image, &image)
    }
}
