//! Batch normalisation.

use std::borrow::Borrow;

use wgrad_core::{F32, Mode, Tensor, TensorSpec, U32, Var, Vars};

use crate::Module;
use crate::init::{ones, zeros};

/// Normalises each channel of \[N, C, …\] over all other axes, then scales and shifts it (PyTorch's
/// `BatchNorm1d`, `2d`, `3d`, which differ in the rank alone; Ioffe and Szegedy, 2015).
///
/// In training, mean and (biased) variance are the batch's, and the running statistics move towards them:
/// running ← (1 − momentum)·running + momentum·batch, with the unbiased variance. In evaluation the
/// running statistics are used. A layer that is called several times in one step moves them as often, one
/// batch after the other.
///
/// Variables: `weight` (1) and `bias` (0), buffers `running_mean` (0), `running_var` (1), all \[C\], and
/// `num_batches_tracked` (u32 scalar).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{BatchNorm2d, Module};
/// let vars = Vars::new();
/// let norm = BatchNorm2d::new(vars.sub("bn1"), 16);
/// let graph = Graph::new(Mode::Train);
/// let x = graph.input("image", [8, 16, 10, 10], F32);
/// assert_eq!(norm.forward(&x).shape(), x.shape());
/// assert_eq!(graph.recording().assigns.len(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The scale of each channel.
    pub weight: Var,
    /// The shift of each channel.
    pub bias: Var,
    /// The moving average of the batches' means.
    pub running_mean: Var,
    /// The moving average of the batches' unbiased variances.
    pub running_var: Var,
    batches: Var,
    momentum: f64,
    eps: f64,
}

/// Batch norm of features \[N, C\] or sequences \[N, C, L\].
pub type BatchNorm1d = BatchNorm;

/// Batch norm of images \[N, C, H, W\].
pub type BatchNorm2d = BatchNorm;

/// Batch norm of volumes \[N, C, D, H, W\].
pub type BatchNorm3d = BatchNorm;

impl BatchNorm {
    /// A norm of `channels` channels with momentum 0.1 and eps 10⁻⁵.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, channels: usize) -> Self {
        let vars = vars.borrow();
        let statistics = TensorSpec::new(F32, [channels]);
        Self {
            weight: vars.var("weight", [channels], ones()),
            bias: vars.var("bias", [channels], zeros()),
            running_mean: vars.buffer("running_mean", statistics.clone(), zeros()),
            running_var: vars.buffer("running_var", statistics, ones()),
            batches: vars.buffer("num_batches_tracked", TensorSpec::new(U32, []), zeros()),
            momentum: 0.1,
            eps: 1e-5,
        }
    }

    /// The share of a new batch in the running statistics.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// The batch's mean and biased variance per channel; the running ones move towards them.
    #[track_caller]
    fn batch_statistics(&self, x: &Tensor) -> (Tensor, Tensor) {
        let graph = x.graph();
        let axes: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
        let (mean, var) = (x.mean(&axes[..]), x.var(&axes[..], 0));
        let count = (x.numel() / x.dim(1).max(1)) as f64;
        let unbiased = &var * (count / (count - 1.0));
        for (running, batch) in [(&self.running_mean, &mean), (&self.running_var, &unbiased)] {
            graph.update(running, |running| running * (1.0 - self.momentum) + batch * self.momentum);
        }
        graph.update(&self.batches, |batches| batches + 1.0);
        (mean, var)
    }
}

impl Module for BatchNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (graph, shape, channels) = (x.graph(), x.shape(), self.weight.shape()[0]);
        if shape.rank() < 2 || shape[1] != channels {
            let message = format!("`{}` needs an input [N, {channels}, …]", self.weight.name());
            return x.fail("batch_norm", format!("{message}, got {}", x.spec()));
        }
        let (mean, var) = match graph.mode() {
            Mode::Eval => (graph.var(&self.running_mean), graph.var(&self.running_var)),
            Mode::Train if shape.numel() <= channels => {
                let message = format!("`{}` needs more than one value per channel", self.weight.name());
                return x.fail("batch_norm", format!("{message} in training, got {}", x.spec()));
            }
            Mode::Train => self.batch_statistics(x),
        };
        let (weight, bias) = (graph.var(&self.weight), graph.var(&self.bias));
        x.batch_norm(&mean, &var, Some(&weight), Some(&bias), self.eps)
    }
}
