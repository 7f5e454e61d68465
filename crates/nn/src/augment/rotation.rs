//! Images turned around their centres.

use wgrad_core::Tensor;

use super::{Images, images, picked, positions, uniform};
use crate::Module;

/// Rotates each image around its centre by an angle drawn evenly from ±`degrees`, counter-clockwise where it is
/// positive, with bilinear interpolation (torchvision's `RandomRotation`, which takes the nearest pixel unless told
/// otherwise). The same as `wgrad_data::Augmented::rotate` on the host.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Module, augment::RandomRotation};
/// let x = Graph::new(Mode::Train).input("image", [64, 3, 32, 32], F32);
/// assert_eq!(RandomRotation::new(15.0).forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RandomRotation {
    degrees: f64,
    fill: f64,
}

impl RandomRotation {
    /// By up to so many degrees either way. Zeros appear where the image is turned away.
    pub fn new(degrees: f64) -> Self {
        Self { degrees, fill: 0.0 }
    }

    /// Another value appears there.
    pub fn fill(self, fill: f64) -> Self {
        Self { fill, ..self }
    }
}

impl Module for RandomRotation {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !self.degrees.is_finite() {
            return x.fail("random_rotation", format!("the angle is {}, but must be finite", self.degrees));
        }
        let [n, _, h, w] = match images(x, "random_rotation") {
            Images::Change(shape) => shape,
            Images::Keep(x) => return x,
        };
        let angle = (uniform(x, n) * 2.0 - 1.0) * self.degrees.to_radians();
        let (sin, cos) = (angle.sin(), angle.cos());
        let (cy, cx) = ((h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0);
        let (dy, dx) = (positions(x, 2) - cy, positions(x, 3) - cx);
        // Where the pixel at each place comes from.
        let (rows, columns) = (&cos * &dy + &sin * &dx + cy, &cos * &dx - &sin * &dy + cx);
        let (top, left) = (rows.floor(), columns.floor());
        let (down, right) = ((&rows - &top).cast(x.dtype()), (&columns - &left).cast(x.dtype()));
        let row = |top: &Tensor| {
            let [a, b] = [0.0, 1.0].map(|step| picked(x, top, &(&left + step), self.fill));
            a * (1.0 - &right) + b * &right
        };
        row(&top) * (1.0 - &down) + row(&(&top + 1.0)) * &down
    }
}
