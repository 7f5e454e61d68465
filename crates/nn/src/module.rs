//! What all layers are, and layers one after another.

use std::fmt;
use std::panic::Location;

use wgrad_core::Tensor;

/// A function of one tensor, with variables of its own. Models implement it, and so does every function
/// from tensor to tensor, so that reshapes and activations stand between layers as closures.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Tensor, Vars};
/// use wgrad_nn::{Linear, Module};
///
/// struct Mlp { hidden: Linear, output: Linear }
///
/// impl Module for Mlp {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.output.forward(&self.hidden.forward(x).relu())
///     }
/// }
///
/// let vars = Vars::new();
/// let mlp = Mlp {
///     hidden: Linear::new(vars.sub("hidden"), 784, 128),
///     output: Linear::new(vars.sub("output"), 128, 10),
/// };
/// let graph = Graph::new(Mode::Eval);
/// let logits = mlp.forward(&graph.input("image", [64, 784], F32));
/// assert_eq!(*logits.shape(), [64, 10]);
/// ```
pub trait Module {
    /// Records the module's operations on an input. A shape that does not fit is an error of the graph,
    /// reported when it is compiled.
    fn forward(&self, x: &Tensor) -> Tensor;
}

impl<F: Fn(&Tensor) -> Tensor> Module for F {
    fn forward(&self, x: &Tensor) -> Tensor {
        self(x)
    }
}

struct Layer {
    module: Box<dyn Module>,
    added: &'static Location<'static>,
}

/// Modules applied one after another (PyTorch's `Sequential`).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Tensor, Vars};
/// use wgrad_nn::{Dropout, Linear, Module, Relu, Sequential};
/// let vars = Vars::new();
/// let mlp = Sequential::new()
///     .then(|x: &Tensor| x.flatten(1))
///     .then(Linear::new(vars.sub(1), 784, 128))
///     .then(Relu)
///     .then(Dropout::new(0.5))
///     .then(Linear::new(vars.sub(4), 128, 10));
/// let graph = Graph::new(Mode::Eval);
/// assert_eq!(*mlp.forward(&graph.input("image", [64, 1, 28, 28], F32)).shape(), [64, 10]);
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Layer>);

impl Sequential {
    /// The identity: no modules yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module after the others. What it records is placed at this call.
    #[track_caller]
    pub fn then(mut self, module: impl Module + 'static) -> Self {
        self.0.push(Layer { module: Box::new(module), added: Location::caller() });
        self
    }
}

impl Module for Sequential {
    fn forward(&self, x: &Tensor) -> Tensor {
        let apply = |x: Tensor, layer: &Layer| x.graph().located(layer.added, || layer.module.forward(&x));
        self.0.iter().fold(x.clone(), apply)
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequential of {} modules", self.0.len())
    }
}
