//! The variational autoencoder.

use std::borrow::Borrow;

use wgrad_core::{Mode, Tensor, Vars};

use crate::init::standard_normal;
use crate::{Linear, Module};

/// An autoencoder whose code is a normal distribution per sample: \[N, inputs\] to logits \[N, inputs\] (Kingma and
/// Welling, 2014; the layers of PyTorch's example). Training draws codes, evaluation takes the mean.
///
/// Variables: `fc1`, `fc21` (mean), `fc22` (logarithm of the variance), `fc3`, `fc4`. With 784, 400 and 20
/// features, 652,824 parameters.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::models::Vae;
/// let model = Vae::new(Vars::new(), 784, 400, 20);
/// let x = Graph::new(Mode::Train).input("x", [64, 784], F32);
/// let (mean, log_variance) = model.encode(&x);
/// let logits = model.decode(&Vae::sample(&mean, &log_variance));
/// let reconstruction = logits.binary_cross_entropy_with_logits(&x) * 784.0;
/// let loss = reconstruction + Vae::divergence(&mean, &log_variance).mean(..);
/// # assert!(loss.is_valid());
/// ```
#[derive(Clone, Debug)]
pub struct Vae {
    fc1: Linear,
    mean: Linear,
    log_variance: Linear,
    fc3: Linear,
    fc4: Linear,
}

impl Vae {
    /// A model of `inputs` features with one layer of `hidden` and a code of `latent`.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, hidden: usize, latent: usize) -> Self {
        let vars = vars.borrow();
        Self {
            fc1: Linear::new(vars.sub("fc1"), inputs, hidden),
            mean: Linear::new(vars.sub("fc21"), hidden, latent),
            log_variance: Linear::new(vars.sub("fc22"), hidden, latent),
            fc3: Linear::new(vars.sub("fc3"), latent, hidden),
            fc4: Linear::new(vars.sub("fc4"), hidden, inputs),
        }
    }

    /// The mean and the logarithm of the variance of each sample's code, \[N, latent\] each.
    #[track_caller]
    pub fn encode(&self, x: &Tensor) -> (Tensor, Tensor) {
        let hidden = self.fc1.forward(x).relu();
        (self.mean.forward(&hidden), self.log_variance.forward(&hidden))
    }

    /// In training a code drawn from the distribution, mean + σ·ε, through which gradients flow; the mean in
    /// evaluation.
    #[track_caller]
    pub fn sample(mean: &Tensor, log_variance: &Tensor) -> Tensor {
        if !mean.is_valid() || mean.mode() == Mode::Eval {
            return mean.clone();
        }
        let (graph, shape) = (mean.graph(), mean.shape());
        let noise = standard_normal(&graph.random_bits(&shape), &graph.random_bits(&shape));
        mean + (log_variance * 0.5).exp() * noise.cast(mean.dtype())
    }

    /// A code \[N, latent\] to logits \[N, inputs\].
    #[track_caller]
    pub fn decode(&self, code: &Tensor) -> Tensor {
        self.fc4.forward(&self.fc3.forward(code).relu())
    }

    /// The Kullback-Leibler divergence of each sample's distribution from the standard normal one, \[N\]:
    /// −½ Σ (1 + ln σ² − μ² − σ²) (appendix B of the paper).
    #[track_caller]
    pub fn divergence(mean: &Tensor, log_variance: &Tensor) -> Tensor {
        (log_variance + 1.0 - mean.square() - log_variance.exp()).sum(-1) * -0.5
    }
}

impl Module for Vae {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (mean, log_variance) = self.encode(x);
        self.decode(&Self::sample(&mean, &log_variance))
    }
}
