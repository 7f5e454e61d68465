//! LeNet-5.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::{Conv2d, Conv2dConfig, Linear, Module};

/// Grey images \[N, 1, 28, 28\] to logits \[N, classes\] (LeCun et al., 1998, with the ReLU and maximum pooling of
/// PyTorch's tutorial; the paper's 32×32 are 28×28 with the first convolution's padding).
///
/// Variables: `conv1`, `conv2`, `fc1`, `fc2`, `fc3`. With 10 classes, 61,706 parameters.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::LeNet};
/// let model = LeNet::new(Vars::new(), 10);
/// let image = Graph::new(Mode::Train).input("image", [64, 1, 28, 28], F32);
/// assert_eq!(*model.forward(&image).shape(), [64, 10]);
/// ```
#[derive(Clone, Debug)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl LeNet {
    /// Declares the variables.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, classes: usize) -> Self {
        let vars = vars.borrow();
        Self {
            conv1: Conv2dConfig::new(1, 6, 5).padding(2).build(vars.sub("conv1")),
            conv2: Conv2d::new(vars.sub("conv2"), 6, 16, 5),
            fc1: Linear::new(vars.sub("fc1"), 16 * 5 * 5, 120),
            fc2: Linear::new(vars.sub("fc2"), 120, 84),
            fc3: Linear::new(vars.sub("fc3"), 84, classes),
        }
    }
}

impl Module for LeNet {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.conv1.forward(x).relu().max_pool2d(2);
        let x = self.conv2.forward(&x).relu().max_pool2d(2).flatten(1);
        let x = self.fc1.forward(&x).relu();
        self.fc3.forward(&self.fc2.forward(&x).relu())
    }
}
