//! Examples of a batch mixed with each other.

use wgrad_core::{F32, Mode, Tensor};

/// Mixes each example with another of the batch: λ of its inputs and its class, 1 − λ of the other's, with λ
/// from a beta distribution (H. Zhang et al., "mixup: Beyond empirical risk minimization", 2018). The other
/// one is the next of the batch: whatever order the loader has shuffled is random enough.
///
/// ```
/// use wgrad_core::ops::Reduction;
/// use wgrad_core::{F32, Graph, Mode, U32, Vars};
/// use wgrad_nn::augment::Mixup;
/// use wgrad_nn::{Linear, Module};
/// let g = Graph::new(Mode::Train);
/// let (x, labels) = (g.input("x", [64, 20], F32), g.input("label", [64], U32));
/// let (x, target) = Mixup::new(0.2).mix(&x, &labels, 10);
/// let loss = Linear::new(Vars::new(), 20, 10).forward(&x).soft_cross_entropy(&target, Reduction::Mean);
/// assert!(loss.shape().is_empty());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mixup {
    alpha: f64,
}

impl Mixup {
    /// Pairs of random numbers of which the first that is accepted gives λ. At least half of all are.
    const TRIES: usize = 24;

    /// Both parameters of the beta distribution, above 0 and at most 1; 0.1 to 0.4 are usual.
    pub fn new(alpha: f64) -> Self {
        Self { alpha }
    }

    /// The mixed inputs \[N, …\] and the share of each class, f32\[N, classes\], for
    /// [`soft_cross_entropy`](Tensor::soft_cross_entropy). In evaluation the inputs stay as they are.
    #[track_caller]
    pub fn mix(&self, x: &Tensor, labels: &Tensor, classes: usize) -> (Tensor, Tensor) {
        if !(self.alpha > 0.0 && self.alpha <= 1.0) {
            let message = format!("alpha is {}, but must be above 0 and at most 1", self.alpha);
            return (x.fail("mixup", message), labels.one_hot(classes));
        }
        let target = labels.one_hot(classes);
        if !x.is_valid() || !target.is_valid() || x.mode() == Mode::Eval {
            return (x.clone(), target);
        }
        let n = x.shape().first().copied().unwrap_or_default();
        if target.shape()[..] != [n, classes] {
            let message = format!("inputs {} and labels {} are not one of each", x.spec(), labels.spec());
            return (x.fail("mixup", message), target);
        }
        let lambda = self.lambda(x, n);
        let mixed = |x: &Tensor| {
            let each = std::iter::once(n).chain(std::iter::repeat_n(1, x.rank() - 1));
            let lambda = lambda.reshape(each.collect::<Vec<_>>()).cast(x.dtype());
            &lambda * x + (1.0 - &lambda) * x.roll(-1, 0)
        };
        (mixed(x), mixed(&target))
    }

    /// A draw for each example, after Jöhnk (1964): of uniform u and v with u^(1/α) + v^(1/α) ≤ 1, the share
    /// of the first in that sum has the beta distribution. The share is taken from the logarithms, since the
    /// powers may be too small to divide. Should no pair be accepted (once in 2²⁴ for α = 1), the first
    /// serves.
    fn lambda(&self, x: &Tensor, n: usize) -> Tensor {
        // In (0, 1], so that logarithms are finite.
        let draw = || 1.0 - x.graph().random_bits([n, Self::TRIES]).bits_to_uniform();
        let [u, v] = [draw(), draw()].map(|uniform| uniform.log() * (1.0 / self.alpha));
        let accepted = (u.exp() + v.exp()).le(1.0).cast(F32);
        (u - v).sigmoid().gather(1, &accepted.argmax(1).unsqueeze(1))
    }
}
