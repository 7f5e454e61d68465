//! A rate that falls when a metric no longer improves.

use wgrad_core::{F32, Graph, Init, Tensor, TensorSpec, U32, Var, Vars};

use crate::optimizer::{BELOW_ONE, NOT_NEGATIVE, within};
use crate::{Manual, Schedule};

/// A rate that is multiplied by a factor when a metric has not improved for some time (PyTorch's
/// `ReduceLROnPlateau`).
///
/// The decision is recorded, and what it remembers lies in the state: the rate as `optim.lr` (that of
/// [`Manual`]), and `optim.plateau.best`, `.bad` and `.cooldown`. A resumed run goes on as if it had
/// never stopped.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_optim::{Adam, ReduceOnPlateau};
/// let vars = Vars::new();
/// let plateau = ReduceOnPlateau::new(&vars, 1e-3).factor(0.5).patience(3);
/// let adam = Adam::new(plateau.clone());
/// // A program that runs once after every epoch, with the validation loss as its input.
/// let graph = Graph::new(Mode::Eval);
/// plateau.observe(&graph.input("metric", [], F32));
/// assert!(graph.recording().check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct ReduceOnPlateau {
    rate: Manual,
    best: Var,
    bad: Var,
    cooling: Var,
    maximize: bool,
    factor: f64,
    patience: u32,
    threshold: f64,
    absolute: bool,
    cooldown: u32,
    minimum: f64,
    eps: f64,
}

/// Worse than any metric, with room to be scaled by a threshold.
const WORST: f64 = f32::MAX as f64 / 2.0;

impl ReduceOnPlateau {
    /// The rate at first. It is divided by 10 when a metric, which should fall, is not less than 0.9999
    /// times its best for more than 10 observations in a row (PyTorch's defaults).
    #[track_caller]
    pub fn new(vars: &Vars, initial: f64) -> Self {
        let slot = |name: &str, dtype, value| {
            vars.shared_slot(name, TensorSpec::new(dtype, []), Init::constant(value))
        };
        Self {
            rate: Manual::new(vars, initial),
            best: slot("optim.plateau.best", F32, WORST),
            bad: slot("optim.plateau.bad", U32, 0.0),
            cooling: slot("optim.plateau.cooldown", U32, 0.0),
            maximize: false,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            minimum: 0.0,
            eps: 1e-8,
        }
    }

    /// The metric should rise.
    pub fn maximize(mut self) -> Self {
        self.maximize = true;
        self.best.set_init(Init::constant(-WORST));
        self
    }

    /// What the rate is multiplied by, in [0, 1).
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// How many observations in a row may be bad.
    pub fn patience(mut self, observations: u32) -> Self {
        self.patience = observations;
        self
    }

    /// How much better than the best a metric must be, as a fraction of the best.
    pub fn threshold(mut self, fraction: f64) -> Self {
        (self.threshold, self.absolute) = (fraction, false);
        self
    }

    /// How much better than the best a metric must be, in its own units.
    pub fn absolute_threshold(mut self, amount: f64) -> Self {
        (self.threshold, self.absolute) = (amount, true);
        self
    }

    /// For how many observations after a reduction none counts as bad.
    pub fn cooldown(mut self, observations: u32) -> Self {
        self.cooldown = observations;
        self
    }

    /// The lowest rate.
    pub fn minimum(mut self, rate: f64) -> Self {
        self.minimum = rate;
        self
    }

    /// A reduction by no more than this is not made.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Records what follows from a metric (f32 scalar): run it once for every observation.
    #[track_caller]
    pub fn observe(&self, metric: &Tensor) {
        let graph = metric.graph();
        if let Err(message) = self.check() {
            return drop(graph.fail("ReduceOnPlateau", message));
        }
        let [best, bad, cooling] = [&self.best, &self.bad, &self.cooling].map(|var| graph.var(var));
        let zero = bad.zeros_like();
        let better = self.is_better(metric, &best);
        graph.assign(&self.best, &better.select(metric, &best));

        // A metric that is observed while cooling down is never bad.
        let cools = cooling.gt(0.0);
        let bad = better.or(&cools).select(&zero, &(bad + 1.0));
        let cooling = cools.select(&(&cooling - 1.0), &zero);
        let reduces = bad.gt(f64::from(self.patience));
        graph.assign(&self.bad, &reduces.select(&zero, &bad));
        graph.assign(&self.cooling, &reduces.select(&zero.full_like(self.cooldown.into()), &cooling));
        self.reduce(graph, &reduces);
    }

    #[track_caller]
    fn reduce(&self, graph: &Graph, reduces: &Tensor) {
        let rate = graph.var(self.rate.var());
        let lower = (&rate * self.factor).maximum(self.minimum);
        let applies = reduces.and(&(&rate - &lower).gt(self.eps));
        graph.assign(self.rate.var(), &applies.select(&lower, &rate));
    }

    #[track_caller]
    fn is_better(&self, metric: &Tensor, best: &Tensor) -> Tensor {
        let threshold = if self.maximize { self.threshold } else { -self.threshold };
        let bar = if self.absolute { best + threshold } else { best * (1.0 + threshold) };
        if self.maximize { metric.gt(&bar) } else { metric.lt(&bar) }
    }

    fn check(&self) -> Result<(), String> {
        within("the factor", self.factor, BELOW_ONE)?;
        within("the threshold", self.threshold, NOT_NEGATIVE)?;
        within("the lowest rate", self.minimum, NOT_NEGATIVE)?;
        within("eps", self.eps, NOT_NEGATIVE)
    }
}

impl Schedule for ReduceOnPlateau {
    fn rate(&self, step: &Tensor) -> Tensor {
        self.rate.rate(step)
    }
}
