//! The learning rate: a number of the graph, not of the program, so that it changes from step to step
//! without compiling again.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use wgrad_core::{F32, Init, Tensor, TensorSpec, Var, Vars};

/// A learning rate as a function of the step, recorded once and computed in every step. Steps are the
/// updates of the parameters: several micro-batches that make one update are one step.
///
/// A number is the constant schedule, and a function from the step to the rate is a schedule too:
///
/// ```
/// use wgrad_core::{F32, Tensor};
/// use wgrad_optim::Sgd;
/// // The rate of stochastic approximation, 1/(t + 1).
/// let sgd = Sgd::new(|step: &Tensor| (step.cast(F32) + 1.0).reciprocal());
/// ```
pub trait Schedule: Send + Sync {
    /// The rate (f32 scalar) at a step (u32 scalar; 0 in the first).
    fn rate(&self, step: &Tensor) -> Tensor;
}

impl Schedule for f64 {
    fn rate(&self, step: &Tensor) -> Tensor {
        if *self >= 0.0 && self.is_finite() {
            step.graph().scalar(*self, F32)
        } else {
            step.fail("learning rate", format!("is {self}, but must be finite and not negative"))
        }
    }
}

impl<F: Fn(&Tensor) -> Tensor + Send + Sync> Schedule for F {
    fn rate(&self, step: &Tensor) -> Tensor {
        self(step)
    }
}

/// A learning rate that the program's owner sets between steps: a variable of the state, `optim.lr`.
///
/// ```
/// use wgrad_core::Vars;
/// use wgrad_optim::{Adam, Manual};
/// let vars = Vars::new();
/// let adam = Adam::new(Manual::new(&vars, 1e-3));
/// assert!(vars.get("optim.lr").is_some());
/// // Between steps: state.write("optim.lr", &Array::new(F32, [], vec![1e-4]))?;
/// ```
#[derive(Clone, Debug)]
pub struct Manual(Var);

impl Manual {
    /// The variable `optim.lr` of the tree with this initial rate; declared on first use. A second
    /// `Manual` of the same tree is the same variable, with the first one's initial rate.
    #[track_caller]
    pub fn new(vars: &Vars, initial: f64) -> Self {
        const NAME: &str = "optim.lr";
        let scalar = TensorSpec::new(F32, []);
        Self(vars.shared_slot(NAME, scalar, Init::constant(initial)))
    }

    /// The variable that holds the rate.
    pub fn var(&self) -> &Var {
        &self.0
    }
}

impl Schedule for Manual {
    fn rate(&self, step: &Tensor) -> Tensor {
        step.graph().var(&self.0)
    }
}

/// Any schedule; what optimizers take, so that `Adam::new(1e-3)` and `Adam::new(Cosine::new(1e-3, 1000))`
/// both read well.
#[derive(Clone)]
pub struct Rate(pub(crate) Arc<dyn Schedule>);

impl Rate {
    /// Records the rate at a step (u32 scalar) as an f32 scalar.
    #[track_caller]
    pub fn at(&self, step: &Tensor) -> Tensor {
        // A call through `dyn` forgets who called; mistakes belong to the user's line.
        step.graph().located(Location::caller(), || self.0.rate(step))
    }
}

impl<S: Schedule + 'static> From<S> for Rate {
    fn from(schedule: S) -> Self {
        Self(Arc::new(schedule))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rate")
    }
}
