//! Normalisation of groups of channels, and of each channel alone.

use std::borrow::Borrow;

use wgrad_core::{F32, Mode, Tensor, TensorSpec, U32, Var, Vars};

use crate::Module;
use crate::init::{ones, zeros};

/// Normalises each group of channels of each sample of \[N, C, …\] over channels and positions, then scales and
/// shifts each channel (PyTorch's `GroupNorm`; Wu and He, 2018). The same in training and evaluation.
///
/// Variables: `weight` (1) and `bias` (0), \[C\].
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{GroupNorm, Module};
/// let norm = GroupNorm::new(Vars::new(), 4, 16);
/// let x = Graph::new(Mode::Train).input("image", [8, 16, 10, 10], F32);
/// assert_eq!(norm.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// The scale of each channel.
    pub weight: Var,
    /// The shift of each channel.
    pub bias: Var,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// A norm of `channels` channels in `groups` groups, which must divide them; eps is 10⁻⁵.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, groups: usize, channels: usize) -> Self {
        let vars = vars.borrow();
        Self {
            weight: vars.var("weight", [channels], ones()),
            bias: vars.var("bias", [channels], zeros()),
            groups,
            eps: 1e-5,
        }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Module for GroupNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (name, channels, groups) = (self.weight.name(), self.weight.shape()[0], self.groups);
        if let Some(message) = refuse(x, name, channels) {
            return x.fail("group_norm", message);
        }
        if groups == 0 || !channels.is_multiple_of(groups) {
            let message =
                format!("the {channels} channels of `{name}` cannot be divided into {groups} groups");
            return x.fail("group_norm", message);
        }
        let (weight, bias) = (x.graph().var(&self.weight), x.graph().var(&self.bias));
        x.group_norm(groups, Some(&weight), Some(&bias), self.eps)
    }
}

/// Normalises each channel of each sample of \[N, C, …\] over its positions (PyTorch's `InstanceNorm1d`, `2d`,
/// `3d`; Ulyanov et al., 2016).
///
/// Without variables by default; [`affine`](Self::affine) adds `weight` (1) and `bias` (0), \[C\], and
/// [`track_running_stats`](Self::track_running_stats) the buffers `running_mean` (0) and `running_var` (1), \[C\].
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{InstanceNorm2d, Module};
/// let norm = InstanceNorm2d::new(16);
/// let scaled = InstanceNorm2d::affine(Vars::new(), 16);
/// let x = Graph::new(Mode::Train).input("image", [8, 16, 10, 10], F32);
/// assert_eq!(scaled.forward(&norm.forward(&x)).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    channels: usize,
    affine: Option<[Var; 2]>,
    running: Option<[Var; 2]>,
    momentum: f64,
    eps: f64,
}

/// Instance norm of sequences \[N, C, L\].
pub type InstanceNorm1d = InstanceNorm;

/// Instance norm of images \[N, C, H, W\].
pub type InstanceNorm2d = InstanceNorm;

/// Instance norm of volumes \[N, C, D, H, W\].
pub type InstanceNorm3d = InstanceNorm;

impl InstanceNorm {
    /// A norm of `channels` channels; eps is 10⁻⁵.
    pub fn new(channels: usize) -> Self {
        Self { channels, affine: None, running: None, momentum: 0.1, eps: 1e-5 }
    }

    /// A norm that then scales and shifts each channel.
    #[track_caller]
    pub fn affine(vars: impl Borrow<Vars>, channels: usize) -> Self {
        let vars = vars.borrow();
        let (weight, bias) = (vars.var("weight", [channels], ones()), vars.var("bias", [channels], zeros()));
        Self { affine: Some([weight, bias]), ..Self::new(channels) }
    }

    /// Keeps averages over the samples of the means and (unbiased) variances, which move as those of a batch norm
    /// and are used in evaluation in their place.
    #[track_caller]
    pub fn track_running_stats(self, vars: impl Borrow<Vars>) -> Self {
        let (vars, statistics) = (vars.borrow(), TensorSpec::new(F32, [self.channels]));
        let mean = vars.buffer("running_mean", statistics.clone(), zeros());
        let var = vars.buffer("running_var", statistics, ones());
        // PyTorch's layer has it, and never counts.
        vars.buffer("num_batches_tracked", TensorSpec::new(U32, []), zeros());
        Self { running: Some([mean, var]), ..self }
    }

    /// The share of a new batch in the running statistics, by default 0.1.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Moves the running statistics towards those of x, averaged over its samples.
    #[track_caller]
    fn move_towards(&self, [mean, var]: &[Var; 2], x: &Tensor) {
        let positions: Vec<usize> = (2..x.rank()).collect();
        let (means, vars) = (x.mean(&positions[..]), x.var(&positions[..], 1));
        for (running, batch) in [(mean, means.mean(0)), (var, vars.mean(0))] {
            let moved = |running: &Tensor| running * (1.0 - self.momentum) + &batch * self.momentum;
            x.graph().update(running, moved);
        }
    }
}

impl Module for InstanceNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let name = self.affine.as_ref().map_or("InstanceNorm", |[weight, _]| weight.name());
        if let Some(message) = refuse(x, name, self.channels) {
            return x.fail("instance_norm", message);
        }
        let graph = x.graph();
        let [weight, bias] = match &self.affine {
            Some(affine) => affine.each_ref().map(|var| Some(graph.var(var))),
            None => [None, None],
        };
        if let (Some([mean, var]), Mode::Eval) = (&self.running, graph.mode()) {
            let (mean, var) = (graph.var(mean), graph.var(var));
            return x.batch_norm(&mean, &var, weight.as_ref(), bias.as_ref(), self.eps);
        }
        let positions: usize = x.shape()[2..].iter().product();
        if positions == 1 {
            let message = format!("needs more than one position per channel, got {}", x.spec());
            return x.fail("instance_norm", message);
        }
        if let Some(running) = &self.running {
            self.move_towards(running, x);
        }
        x.instance_norm(weight.as_ref(), bias.as_ref(), self.eps)
    }
}

/// What is wrong with an input, which must be \[N, channels, …\].
fn refuse(x: &Tensor, name: &str, channels: usize) -> Option<String> {
    let shape = x.shape();
    let fits = shape.rank() >= 2 && shape[1] == channels;
    (!fits).then(|| format!("`{name}` needs an input [N, {channels}, …], got {}", x.spec()))
}
