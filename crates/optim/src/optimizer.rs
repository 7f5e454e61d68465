//! The trait of all optimizers: each says how one parameter changes, everything around that rule (rates,
//! groups, clipping, loss scale, accumulation, averages, the count of updates) is the same for all.

use std::ops::Range;
use std::panic::Location;

use wgrad_core::{Graph, Tensor, Var, Vars};

use crate::{Averaging, Group, LossScale, Parameter, Settings, accumulate, update};

/// Records how parameters change in a training step.
///
/// An optimizer owns no values. Its moments are slot variables of the tree it is given, so one
/// optimizer may be recorded into several programs (another batch size, say) that share one state.
/// The updates of a tree are counted in `optim.step`, from which schedules and bias corrections follow.
///
/// Rates, weight decay and clipping are the same methods on every optimizer, and any of them may differ
/// by group, a glob pattern over the names of parameters; the last group that says something counts:
///
/// ```
/// use wgrad_core::{F32, Graph, Init, Mode, Vars};
/// use wgrad_optim::{AdamW, Averaging, Cosine, Optimizer};
/// let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
/// let weight = graph.var(&vars.var("head.weight", [3], Init::constant(1.0)));
/// let bias = graph.var(&vars.var("head.bias", [], Init::constant(0.0)));
/// let loss = ((weight * graph.input("x", [3], F32)).sum(..) + bias).square();
/// AdamW::new(Cosine::new(1e-3, 1000))
///     .weight_decay(0.1)
///     .no_decay("*bias")
///     .group("head.*", |g| g.rate(1e-2))
///     .clip_grad_norm(1.0)
///     .averaging(Averaging::ema(0.999))
///     .minimize(&loss, &vars);
/// assert!(graph.recording().check().is_ok());
/// ```
///
/// An optimizer of one's own is a rule:
///
/// ```
/// use wgrad_core::Tensor;
/// use wgrad_optim::{Optimizer, Parameter, Settings};
/// /// w ← w − η·sign(g)
/// struct SignDescent(Settings);
///
/// impl Optimizer for SignDescent {
///     fn name(&self) -> &'static str {
///         "SignDescent"
///     }
///     fn settings(&self) -> &Settings {
///         &self.0
///     }
///     fn settings_mut(&mut self) -> &mut Settings {
///         &mut self.0
///     }
///     fn check(&self) -> Result<(), String> {
///         Ok(())
///     }
///     fn rule(&self, p: &Parameter<'_>) -> Tensor {
///         &p.value - p.gradient.sign() * &p.rate
///     }
/// }
/// let optimizer = SignDescent(Settings::new(0.01)).clip_grad_value(1.0);
/// ```
pub trait Optimizer {
    /// The name used in errors.
    fn name(&self) -> &'static str;

    /// What every optimizer can be told.
    fn settings(&self) -> &Settings;

    /// The same, to be changed.
    fn settings_mut(&mut self) -> &mut Settings;

    /// Whether the optimizer's own hyperparameters make sense; if not, what is wrong.
    fn check(&self) -> Result<(), String>;

    /// Records the new value of one parameter.
    fn rule(&self, parameter: &Parameter<'_>) -> Tensor;

    /// Records the gradients of a scalar loss with respect to every trainable variable of `vars`, and
    /// the updates. A trainable variable that the loss does not reach is an error that names it.
    #[track_caller]
    fn minimize(&self, loss: &Tensor, vars: &Vars) {
        self.update(&self.gradients(loss, vars), vars);
    }

    /// Records the gradients alone: what [`Tensor::backward`] records, by way of the scaled loss where
    /// there is a [`LossScale`].
    #[track_caller]
    fn gradients(&self, loss: &Tensor, vars: &Vars) -> Vec<(Var, Tensor)> {
        match &self.settings().loss_scale {
            Some(scale) => scale.gradients(loss, vars),
            None => loss.backward(vars),
        }
    }

    /// Records the updates for gradients that are already there. Slots are declared in `vars`.
    #[track_caller]
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars) {
        if let Some((_, first)) = gradients.first() {
            let record = || update::record(self, gradients, vars);
            let graph = first.graph();
            graph.located(Location::caller(), || graph.full_precision(record));
        }
    }

    /// Records the gradients of a micro-batch's loss, and adds them to sums in the state. A program of
    /// its own, [`Optimizer::apply`], updates by their mean: several small batches between two updates
    /// are one large batch.
    ///
    /// ```no_run
    /// # use wgrad_core::{F32, Graph, Init, Mode, Vars};
    /// # use wgrad_optim::{Adam, Optimizer};
    /// # let vars = Vars::new();
    /// # let weight = vars.var("weight", [3], Init::constant(1.0));
    /// # let loss = |g: &Graph| (g.var(&weight) * g.input("x", [3], F32)).sum(..);
    /// let adam = Adam::new(1e-3);
    /// // let add = gpu.compile(Mode::Train, |g| { …; adam.accumulate(&loss, &vars); [loss] })?;
    /// // let apply = gpu.compile(Mode::Eval, |g| { adam.apply(g, &vars); [] })?;
    /// // for batches in … { for batch in batches { add.run(…)?; } apply.run(&mut state, Batch::new())?; }
    /// # adam.accumulate(&loss(&Graph::new(Mode::Train)), &vars);
    /// # adam.apply(&Graph::new(Mode::Eval), &vars);
    /// ```
    #[track_caller]
    fn accumulate(&self, loss: &Tensor, vars: &Vars) {
        let gradients = self.gradients(loss, vars);
        let (graph, add) = (loss.graph(), || accumulate::add(&gradients, vars));
        graph.located(Location::caller(), || graph.full_precision(add));
    }

    /// Records an update by the mean of the gradients that [`Optimizer::accumulate`] has added up since
    /// the last one. Record `accumulate` first; `graph` needs no loss and no input. At least one
    /// micro-batch must run before.
    #[track_caller]
    fn apply(&self, graph: &Graph, vars: &Vars) {
        let location = Location::caller();
        let record = || {
            let gradients = accumulate::take(graph, vars);
            if !gradients.is_empty() {
                update::record(self, &gradients, vars);
            }
        };
        graph.located(location, || graph.full_precision(record));
    }

    /// Records the learning rate of the next update (f32 scalar), as it is where no group says otherwise: for
    /// a log.
    #[track_caller]
    fn learning_rate(&self, graph: &Graph, vars: &Vars) -> Tensor {
        self.settings().rate.at(&graph.var(&update::counter(vars)))
    }

    /// The weight decay λ: an L2 penalty in the gradient, or decoupled from it, as the optimizer defines.
    fn weight_decay(mut self, weight_decay: f64) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().weight_decay = weight_decay;
        self
    }

    /// Ascends instead of descending.
    fn maximize(mut self) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().maximize = true;
        self
    }

    /// Other settings for the parameters whose names match a glob pattern (`*` also matches dots). A
    /// pattern that matches no parameter is an error.
    fn group(mut self, pattern: &str, set: impl FnOnce(Group) -> Group) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().groups.push(set(Group::matching(pattern)));
        self
    }

    /// Other settings for the parameters with fewer than two axes: biases, and the gains of norms.
    ///
    /// ```
    /// use wgrad_optim::{AdamW, Muon, Optimizer};
    /// let adam = AdamW::new(3e-4).weight_decay(0.1).vectors(|g| g.weight_decay(0.0));
    /// let muon = Muon::new(0.02).vectors(|g| g.optimizer(AdamW::new(3e-4)));
    /// ```
    fn vectors(mut self, set: impl FnOnce(Group) -> Group) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().groups.push(set(Group::vectors()));
        self
    }

    /// No weight decay for the parameters that match a pattern.
    fn no_decay(self, pattern: &str) -> Self
    where
        Self: Sized,
    {
        self.group(pattern, |group| group.weight_decay(0.0))
    }

    /// Rates by depth: the parameters of the last pattern train with the full rate, those of each pattern
    /// before it with `factor` times the next one's (Howard and Ruder, 2018).
    ///
    /// ```
    /// use wgrad_optim::{AdamW, Optimizer};
    /// let adam = AdamW::new(1e-3).rates_by_depth(0.5, &["stem.*", "layer1.*", "layer2.*", "fc.*"]);
    /// ```
    fn rates_by_depth(mut self, factor: f64, patterns: &[&str]) -> Self
    where
        Self: Sized,
    {
        for (depth, pattern) in patterns.iter().rev().enumerate() {
            self = self.group(pattern, |group| group.rate_factor(factor.powi(depth as i32)));
        }
        self
    }

    /// Scales the gradients before each update so that their common 2-norm is at most `limit`
    /// ([`clip_grad_norm`](crate::clip_grad_norm())).
    fn clip_grad_norm(mut self, limit: f64) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().clip_norm = Some(limit);
        self
    }

    /// Cuts every element of the gradients off at ±`limit`, before their norm is taken
    /// ([`clip_grad_value`](crate::clip_grad_value())).
    fn clip_grad_value(mut self, limit: f64) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().clip_value = Some(limit);
        self
    }

    /// Keeps averages of the parameters beside them.
    fn averaging(mut self, averaging: Averaging) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().averaging = Some(averaging);
        self
    }

    /// Differentiates a scaled loss, and skips an update whose gradients are not finite.
    fn loss_scale(mut self, scale: LossScale) -> Self
    where
        Self: Sized,
    {
        self.settings_mut().loss_scale = Some(scale);
        self
    }
}

/// Zero or any positive number.
pub(crate) const NOT_NEGATIVE: Range<f64> = 0.0..f64::INFINITY;

/// A decay rate: at 1 nothing new would ever be learned.
pub(crate) const BELOW_ONE: Range<f64> = 0.0..1.0;

/// Refuses a hyperparameter outside of its range.
pub(crate) fn within(name: &str, value: f64, range: Range<f64>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}, but must be in [{}, {})", range.start, range.end))
}

/// Refuses decay rates of two moments outside of [0, 1).
pub(crate) fn betas_within((first, second): (f64, f64)) -> Result<(), String> {
    within("the first beta", first, BELOW_ONE)?;
    within("the second beta", second, BELOW_ONE)
}

/// The moving average β·a + (1 − β)·x.
pub(crate) fn moving_average(average: &Tensor, sample: &Tensor, beta: f64) -> Tensor {
    average * beta + sample * (1.0 - beta)
}

/// 1 − βᵗ. Written as −expm1(t·ln β) with the logarithm taken in f64: a device's power loses most
/// digits of the difference when β is close to 1.
pub(crate) fn bias_correction(t: &Tensor, beta: f64) -> Tensor {
    // In the limit β → 0 nothing is averaged, and nothing is biased.
    if beta == 0.0 { t.ones_like() } else { -(t * beta.ln()).expm1() }
}
