//! Loss scaling: gradients of f16 values would vanish below 6·10⁻⁸, so the loss is multiplied before and
//! the gradients divided after, by a factor that adapts on the device.

use wgrad_core::{F32, Graph, Init, Tensor, TensorSpec, U32, Var, Vars};

use crate::optimizer::within;

/// A factor on the loss that the gradients are divided by again, and a check that they are finite: an
/// update whose gradients are not is skipped and counted, and leaves parameters, moments, averages and
/// the schedule as they were (PyTorch's `GradScaler`; Micikevicius et al., 2018).
///
/// The scale shrinks after a skipped update, and grows after a number of updates in a row that were not.
/// It lives in the state as `optim.loss_scale`, the updates since it changed as `optim.growth_tracker`,
/// those skipped as `optim.skipped`.
///
/// ```
/// use wgrad_optim::{AdamW, LossScale, Optimizer};
/// let mixed = AdamW::new(3e-4).loss_scale(LossScale::dynamic());
/// let careful = AdamW::new(3e-4).loss_scale(LossScale::fixed(1.0));
/// ```
#[derive(Clone, Debug)]
pub struct LossScale {
    initial: f64,
    growth: f64,
    backoff: f64,
    interval: u32,
}

impl LossScale {
    /// Begins at 65,536, doubles after 2000 good updates, halves after a bad one.
    pub fn dynamic() -> Self {
        Self { initial: 65_536.0, growth: 2.0, backoff: 0.5, interval: 2000 }
    }

    /// One factor for ever. With 1 all that remains is that bad updates are skipped.
    pub fn fixed(scale: f64) -> Self {
        Self { initial: scale, growth: 1.0, backoff: 1.0, interval: 1 }
    }

    fn is_fixed(&self) -> bool {
        self.growth == 1.0 && self.backoff == 1.0
    }

    /// The factor at the start.
    pub fn initial(mut self, scale: f64) -> Self {
        self.initial = scale;
        self
    }

    /// The factor on the scale after `interval` good updates in a row; at least 1.
    pub fn growth(mut self, factor: f64, interval: u32) -> Self {
        (self.growth, self.interval) = (factor, interval);
        self
    }

    /// The factor on the scale after a bad update, in (0, 1].
    pub fn backoff(mut self, factor: f64) -> Self {
        self.backoff = factor;
        self
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        within("the loss scale", self.initial, f64::MIN_POSITIVE..f64::INFINITY)?;
        within("the growth of the loss scale", self.growth, 1.0..f64::INFINITY)?;
        if self.interval == 0 || !(self.backoff > 0.0 && self.backoff <= 1.0) {
            return Err(format!(
                "the loss scale grows after {} updates and shrinks by {}, but these must be at least 1 and in \
                 (0, 1]",
                self.interval, self.backoff
            ));
        }
        Ok(())
    }

    fn scale(&self, vars: &Vars) -> Var {
        let spec = TensorSpec::new(F32, []);
        vars.shared_slot("optim.loss_scale", spec, Init::constant(self.initial))
    }

    /// The gradients of the loss by way of the scaled loss.
    #[track_caller]
    pub(crate) fn gradients(&self, loss: &Tensor, vars: &Vars) -> Vec<(Var, Tensor)> {
        let graph = loss.graph();
        let scale =
            if self.is_fixed() { graph.scalar(self.initial, F32) } else { graph.var(&self.scale(vars)) };
        let inverse = scale.reciprocal();
        let gradients = (loss * &scale).backward(vars);
        let unscaled = |(var, gradient)| (var, gradient * &inverse);
        graph.full_precision(|| gradients.into_iter().map(unscaled).collect())
    }

    /// Whether all gradients are finite (bool scalar); records what follows for the scale.
    pub(crate) fn judge(&self, graph: &Graph, gradients: &[(Var, Tensor)], vars: &Vars) -> Tensor {
        let finite = finite(graph, gradients);
        let counter = |name: &str| vars.shared_slot(name, TensorSpec::new(U32, []), Init::constant(0.0));
        let skipped = counter("optim.skipped");
        let count = graph.var(&skipped);
        graph.assign(&skipped, &finite.select(&count, &(&count + 1.0)));
        if self.is_fixed() {
            return finite;
        }
        let (scale_var, tracker_var) = (self.scale(vars), counter("optim.growth_tracker"));
        let (scale, tracker) = (graph.var(&scale_var), graph.var(&tracker_var) + 1.0);
        let grows = tracker.eq(f64::from(self.interval));
        let zero = tracker.zeros_like();
        graph.assign(&tracker_var, &finite.select(&grows.select(&zero, &tracker), &zero));
        // Growth stops where the scale itself would overflow.
        let room = scale.le(f64::from(f32::MAX) / self.growth);
        let grown = room.select(&(&scale * self.growth), &scale);
        let next = finite.select(&grows.select(&grown, &scale), &(&scale * self.backoff));
        graph.assign(&scale_var, &next);
        finite
    }
}

/// Whether every element of every gradient is finite. The mean of all absolute values is, exactly then:
/// a sum keeps what is not finite, where comparing and taking maxima may lose a NaN, and dividing by the
/// number of elements first keeps large finite ones from overflowing.
fn finite(graph: &Graph, gradients: &[(Var, Tensor)]) -> Tensor {
    let count: usize = gradients.iter().map(|(_, gradient)| gradient.numel()).sum();
    let share = 1.0 / count.max(1) as f64;
    let parts = gradients.iter().map(|(_, gradient)| (gradient.abs() * share).sum(..));
    let mean = parts.fold(graph.scalar(0.0, F32), |sum, part| sum + part);
    mean.le(f64::from(f32::MAX))
}
