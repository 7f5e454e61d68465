//! Normalisation of groups of channels, and of each channel alone.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Var, Vars};

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
/// `3d` without running statistics, their default; Ulyanov et al., 2016).
///
/// Without variables by default; [`affine`](Self::affine) adds `weight` (1) and `bias` (0), \[C\].
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
        Self { channels, affine: None, eps: 1e-5 }
    }

    /// A norm that then scales and shifts each channel.
    #[track_caller]
    pub fn affine(vars: impl Borrow<Vars>, channels: usize) -> Self {
        let vars = vars.borrow();
        let (weight, bias) = (vars.var("weight", [channels], ones()), vars.var("bias", [channels], zeros()));
        Self { affine: Some([weight, bias]), ..Self::new(channels) }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Module for InstanceNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let name = self.affine.as_ref().map_or("InstanceNorm", |[weight, _]| weight.name());
        if let Some(message) = refuse(x, name, self.channels) {
            return x.fail("instance_norm", message);
        }
        let positions: usize = x.shape()[2..].iter().product();
        if positions == 1 {
            let message = format!("needs more than one position per channel, got {}", x.spec());
            return x.fail("instance_norm", message);
        }
        match &self.affine {
            Some([weight, bias]) => {
                let (weight, bias) = (x.graph().var(weight), x.graph().var(bias));
                x.instance_norm(Some(&weight), Some(&bias), self.eps)
            }
            None => x.instance_norm(None, None, self.eps),
        }
    }
}

/// What is wrong with an input, which must be \[N, channels, …\].
fn refuse(x: &Tensor, name: &str, channels: usize) -> Option<String> {
    let shape = x.shape();
    let fits = shape.rank() >= 2 && shape[1] == channels;
    (!fits).then(|| format!("`{name}` needs an input [N, {channels}, …], got {}", x.spec()))
}
