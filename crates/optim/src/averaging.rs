//! Averages of the parameters over training: often better than the last parameters, and evaluated in their
//! place.

use wgrad_core::{F32, Graph, Init, Tensor, TensorSpec, U32, Var, Vars};

use crate::optimizer::{BELOW_ONE, within};

/// Averages of the parameters, kept in the state beside them (PyTorch's `AveragedModel`).
///
/// Exponential: a ← δ·a + (1 − δ)·w after each update (Polyak and Juditsky, 1992). Stochastic: the mean of
/// the parameters at certain updates, a ← a + (w − a)/(n + 1) (Izmailov et al., 2018). The first average
/// is the parameters themselves.
///
/// An evaluation that is to use the averages says so before it records the model:
///
/// ```
/// use wgrad_core::{F32, Graph, Init, Mode, Vars};
/// use wgrad_optim::{Adam, Averaging, Optimizer};
/// let vars = Vars::new();
/// let weight = vars.var("weight", [3], Init::constant(1.0));
/// let model = |g: &Graph| (g.var(&weight) * g.input("x", [3], F32)).sum(..);
///
/// let adam = Adam::new(1e-3).averaging(Averaging::ema(0.999));
/// adam.minimize(&model(&Graph::new(Mode::Train)), &vars);
///
/// let evaluation = Graph::new(Mode::Eval);
/// Averaging::read(&evaluation, &vars);
/// let output = model(&evaluation);
/// ```
///
/// Running statistics (batch norm) are not averaged.
#[derive(Clone, Debug)]
pub struct Averaging {
    decay: Option<f64>,
    start: u32,
    every: u32,
}

/// The slot that holds a parameter's average.
const AVERAGE: &str = "average";

/// How many values of the parameters the averages have seen.
fn counter(vars: &Vars) -> Var {
    vars.shared_slot("optim.averaged", TensorSpec::new(U32, []), Init::constant(0.0))
}

impl Averaging {
    /// The exponential moving average: a share `decay` of it stays in each update.
    pub fn ema(decay: f64) -> Self {
        Self { decay: Some(decay), start: 0, every: 1 }
    }

    /// The plain mean, of stochastic weight averaging.
    pub fn swa() -> Self {
        Self { decay: None, start: 0, every: 1 }
    }

    /// The first update to be averaged, counted from 0.
    pub fn start(mut self, update: u32) -> Self {
        self.start = update;
        self
    }

    /// Averages every n-th update from there on.
    pub fn every(mut self, updates: u32) -> Self {
        self.every = updates;
        self
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.every == 0 {
            return Err("averages are taken every 0 updates, but it must be at least 1".into());
        }
        within("the decay of the averages", self.decay.unwrap_or(0.0), BELOW_ONE)
    }

    /// Records the averages of parameters and their new values in the update with a number (u32 scalar,
    /// from 0), which may not apply.
    pub(crate) fn record(
        &self,
        new: &[(&Var, Tensor)],
        update: &Tensor,
        applies: Option<&Tensor>,
        vars: &Vars,
    ) {
        let graph = update.graph();
        let counter = counter(vars);
        let n = graph.var(&counter);
        // What a new value weighs in the average: all at first, nothing between two that count.
        let mut weight = match self.decay {
            Some(decay) => {
                let [all, some] = [1.0, 1.0 - decay].map(|weight| graph.scalar(weight, F32));
                n.eq(0.0).select(&all, &some)
            }
            None => (n.cast(F32) + 1.0).reciprocal(),
        };
        if let Some(counts) = self.counts(update, applies) {
            weight = counts.select(&weight, &weight.zeros_like());
            graph.assign(&counter, &(n + counts.cast(U32)));
        } else {
            graph.assign(&counter, &(n + 1.0));
        }
        for (var, value) in new {
            let slot = vars.slot(AVERAGE, var, Init::constant(0.0));
            let average = graph.var(&slot);
            graph.assign(&slot, &(&average + (value - &average) * &weight));
        }
    }

    /// Whether the update with a number is averaged; `None` if every update is.
    fn counts(&self, update: &Tensor, applies: Option<&Tensor>) -> Option<Tensor> {
        let started = (self.start > 0).then(|| update.ge(f64::from(self.start)));
        let due = (self.every > 1).then(|| {
            let phase = f64::from(self.start % self.every);
            (update % f64::from(self.every)).eq(phase)
        });
        [applies.cloned(), started, due].into_iter().flatten().reduce(|a, b| a.and(&b))
    }

    /// Makes this graph read every averaged parameter's average in its place, or the parameter as long as
    /// nothing has been averaged. Record the training step before, and the model after.
    #[track_caller]
    pub fn read(graph: &Graph, vars: &Vars) {
        for (var, value) in averages(graph, vars) {
            graph.substitute(&var, &value);
        }
    }

    /// Records that the averages become the parameters: the end of training, in a program of its own.
    #[track_caller]
    pub fn write(graph: &Graph, vars: &Vars) {
        for (var, value) in averages(graph, vars) {
            graph.assign(&var, &value);
        }
    }
}

/// The parameters that have an average, and its value in a graph.
#[track_caller]
fn averages(graph: &Graph, vars: &Vars) -> Vec<(Var, Tensor)> {
    let slots = vars.all();
    let slot_of = |var: Var| {
        let name = format!("{}.{AVERAGE}", var.name());
        slots.iter().find(|slot| slot.name() == name).map(|slot| (var, slot))
    };
    let pairs: Vec<(Var, &Var)> = vars.parameters().into_iter().filter_map(slot_of).collect();
    if pairs.is_empty() {
        let message = "nothing is averaged; record a training step with `averaging` first";
        graph.fail("averaging", message.into());
        return vec![];
    }
    let any = graph.var(&counter(vars)).gt(0.0);
    let value = |(var, slot): (Var, &Var)| {
        let value = any.select(&graph.var(slot), &graph.var(&var));
        (var, value)
    };
    pairs.into_iter().map(value).collect()
}
