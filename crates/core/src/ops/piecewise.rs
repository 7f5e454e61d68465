//! Activation functions made of straight pieces (ReLU is a primitive), and their smoothed products.
//!
//! At a kink the derivative is the one PyTorch takes.

use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// x where positive, else slope · x (PyTorch's `LeakyReLU`).
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Self {
        self.gt(0.0).select(self, &(self * slope))
    }

    /// x where positive, else weight · x, for one weight \[1\] or one for each channel of \[N, C, …\], \[C\]
    /// (PyTorch's `PReLU`; He et al., 2015).
    #[track_caller]
    pub fn prelu(&self, weight: &Self) -> Self {
        if !self.is_valid() || !weight.is_valid() {
            return self.invalid();
        }
        let (shape, n) = (self.shape(), weight.numel());
        let channels = if shape.rank() < 2 { 1 } else { shape[1] };
        if weight.rank() != 1 || (n != 1 && n != channels) {
            let message = format!("input {shape} needs a weight [1] or [{channels}], got {}", weight.spec());
            return self.fail("prelu", message);
        }
        let aligned = if n == 1 { vec![1] } else { [&[n], &vec![1; shape.rank() - 2][..]].concat() };
        self.gt(0.0).select(self, &(self * weight.reshape(aligned)))
    }

    /// min(max(x, 0), 6) (PyTorch's `ReLU6`); the derivative at 0 and 6 is taken as 0.
    #[track_caller]
    pub fn relu6(&self) -> Self {
        self.hardtanh(0.0, 6.0)
    }

    /// x limited to \[min, max\] (PyTorch's `Hardtanh`); the derivative at the ends is taken as 0, where that of
    /// [`Tensor::clamp`] is 1.
    #[track_caller]
    pub fn hardtanh(&self, min: f64, max: f64) -> Self {
        if min > max {
            return self.fail("hardtanh", format!("the lower end {min} is above the upper end {max}"));
        }
        self.masked_fill(&self.le(min), min).masked_fill(&self.ge(max), max)
    }

    /// min(max(x/6 + ½, 0), 1) (PyTorch's `Hardsigmoid`).
    #[track_caller]
    pub fn hardsigmoid(&self) -> Self {
        (self + 3.0).relu6() / 6.0
    }

    /// x · hardsigmoid(x) (PyTorch's `Hardswish`; Howard et al., 2019).
    #[track_caller]
    pub fn hardswish(&self) -> Self {
        self * self.hardsigmoid()
    }

    /// x where |x| > lambda, else 0 (PyTorch's `Hardshrink`).
    #[track_caller]
    pub fn hardshrink(&self, lambda: f64) -> Self {
        self.masked_fill(&self.detach().abs().le(lambda), 0.0)
    }

    /// x moved by lambda ≥ 0 towards 0, at most to 0 (PyTorch's `Softshrink`).
    #[track_caller]
    pub fn softshrink(&self, lambda: f64) -> Self {
        (self - lambda).relu() - (self.neg() - lambda).relu()
    }

    /// x where x > threshold, else `value` (PyTorch's `Threshold`).
    #[track_caller]
    pub fn threshold(&self, threshold: f64, value: f64) -> Self {
        self.masked_fill(&self.le(threshold), value)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [-100.0, -1.0, 0.25, 2.0, 100.0];
    let hand = |name: &str, activation: fn(&Tensor) -> Tensor, expected: &[f64]| {
        Case::new(name, move |t| activation(&t[0])).given([5], &x).expect(expected)
    };
    let random = |name: &str, activation: fn(&Tensor) -> Tensor| {
        Case::new(&format!("{name}/random"), move |t| activation(&t[0])).distinct([7, 5])
    };
    let sixth = 1.0 / 6.0;
    vec![
        hand("leaky_relu", |x| x.leaky_relu(0.25), &[-25.0, -0.25, 0.25, 2.0, 100.0]),
        random("leaky_relu", |x| x.leaky_relu(0.01)),
        Case::new("prelu", |t| t[0].prelu(&t[1]))
            .given([2, 2], &[-1.0, -2.0, 3.0, -4.0])
            .given([2], &[0.5, 0.25])
            .expect(&[-0.5, -0.5, 3.0, -1.0]),
        Case::new("prelu/images", |t| t[0].prelu(&t[1])).distinct([2, 3, 4]).random([3]),
        Case::new("prelu/one", |t| t[0].prelu(&t[1])).distinct([3, 5]).random([1]),
        hand("relu6", |x| x.relu6(), &[0.0, 0.0, 0.25, 2.0, 6.0]),
        random("relu6", |x| (x * 5.0).relu6()),
        hand("hardtanh", |x| x.hardtanh(-2.0, 1.0), &[-2.0, -1.0, 0.25, 1.0, 1.0]),
        random("hardtanh", |x| x.hardtanh(-1.0, 0.75)),
        hand("hardsigmoid", |x| x.hardsigmoid(), &[0.0, 2.0 * sixth, 3.25 * sixth, 5.0 * sixth, 1.0]),
        random("hardsigmoid", |x| (x * 3.0).hardsigmoid()),
        hand("hardswish", |x| x.hardswish(), &[0.0, -2.0 * sixth, 0.8125 * sixth, 10.0 * sixth, 100.0]),
        random("hardswish", |x| (x * 3.0).hardswish()),
        hand("hardshrink", |x| x.hardshrink(0.5), &[-100.0, -1.0, 0.0, 2.0, 100.0]),
        random("hardshrink", |x| x.hardshrink(0.5)),
        hand("softshrink", |x| x.softshrink(0.5), &[-99.5, -0.5, 0.0, 1.5, 99.5]),
        random("softshrink", |x| x.softshrink(0.5)),
        hand("threshold", |x| x.threshold(0.5, 7.0), &[7.0, 7.0, 7.0, 2.0, 100.0]),
        random("threshold", |x| x.threshold(0.1, -3.0)),
    ]
}
