//! What a training compiles: a step, the update behind several steps, and the evaluation.

use std::cell::OnceCell;
use std::sync::Arc;

use wgrad_core::batch::{Field, Layout};
use wgrad_core::{Graph, Mode, Tensor, Vars};
use wgrad_data::{Dataset, Loader, Subset};
use wgrad_gpu::{Compiler, Error, Program};
use wgrad_nn::Summary;
use wgrad_optim::{Averaging, Optimizer};

use crate::feed::Feed;
use crate::objective::Measures;
use crate::pass::Pass;
use crate::plateau::Plateau;
use crate::{Objective, TrainError};

/// The name under which a training step tells its learning rate.
pub(crate) const LEARNING_RATE: &str = "wgrad.learning_rate";

/// Everything that a training runs.
pub(crate) struct Programs {
    pub(crate) training: Feed,
    /// The update that follows several batches; `None` where each batch has its own.
    pub(crate) update: Option<Program>,
    /// For full batches and for the rest, so that every record counts once.
    pub(crate) evaluation: Vec<Pass>,
    /// What is told of each evaluation.
    pub(crate) plateaus: Vec<Plateau>,
}

/// What programs are made from.
pub(crate) struct Recipe<'a> {
    pub(crate) compiler: &'a Compiler,
    pub(crate) vars: &'a Vars,
    pub(crate) optimizer: &'a dyn Optimizer,
    pub(crate) objective: &'a dyn Fn(&Tensor, &Tensor) -> Objective,
    pub(crate) batch_size: usize,
    pub(crate) accumulate: usize,
    pub(crate) averages: bool,
    pub(crate) seed: u64,
    pub(crate) workers: Option<usize>,
    /// What is to be changed about the loader of training records.
    pub(crate) loader: &'a dyn Fn(Loader) -> Loader,
    /// What the first training step was recorded to be, before its gradients.
    pub(crate) summary: OnceCell<Summary>,
}

impl Recipe<'_> {
    /// Compiles all of them: the step first, which declares what the optimizer keeps.
    pub(crate) fn compile<D: Dataset + Clone + 'static>(
        &self,
        train: &[D],
        test: &[impl Dataset + Clone + 'static],
    ) -> Result<Programs, TrainError> {
        let (training, update) = self.training(train.iter().map(|records| self.loader(records)))?;
        let mut evaluation = vec![];
        for records in test {
            evaluation.extend(self.evaluation(records)?);
        }
        Ok(Programs { training, update, evaluation, plateaus: vec![] })
    }

    /// Compiles what trains the variables that are trainable now.
    pub(crate) fn training(
        &self,
        loaders: impl Iterator<Item = Loader>,
    ) -> Result<(Feed, Option<Program>), TrainError> {
        let passes = loaders.map(|loader| self.pass(Mode::Train, loader)).collect::<Result<Vec<_>, _>>()?;
        let update = (self.accumulate > 1).then(|| {
            self.compiler.compile(Mode::Eval, |graph| {
                self.optimizer.apply(graph, self.vars);
                []
            })
        });
        Ok((Feed::new(passes, self.seed), update.transpose()?))
    }

    /// Records a training step without compiling it, which declares what the optimizer keeps.
    pub(crate) fn declare(&self, train: &[impl Dataset + Clone + 'static]) -> Result<(), TrainError> {
        let [step, update] = [Mode::Train, Mode::Eval].map(Graph::new);
        if let Some(records) = train.first() {
            self.record(&step, &self.loader(records).layout());
        }
        if self.accumulate > 1 {
            self.optimizer.apply(&update, self.vars);
        }
        [step, update].iter().try_for_each(|graph| graph.recording().check()).map_err(Error::from)?;
        Ok(())
    }

    fn loader(&self, records: &(impl Dataset + Clone + 'static)) -> Loader {
        (self.loader)(Loader::new(records.clone(), self.batch_size).shuffle(self.seed))
    }

    fn evaluation(&self, data: &(impl Dataset + Clone + 'static)) -> Result<Vec<Pass>, TrainError> {
        let rest = data.len() % self.batch_size;
        let full = data.len() - rest;
        let mut passes = Vec::new();
        for (records, batch_size) in [(0..full, self.batch_size), (full..data.len(), rest)] {
            if !records.is_empty() {
                let loader = Loader::new(Subset::new(data.clone(), records)?, batch_size);
                passes.push(self.pass(Mode::Eval, loader)?);
            }
        }
        Ok(passes)
    }

    fn pass(&self, mode: Mode, loader: Loader) -> Result<Pass, TrainError> {
        let layout = loader.layout();
        let mut measures = None;
        let program = self.compiler.compile(mode, |graph: &Graph| {
            let (outputs, found) = self.record(graph, &layout);
            measures = Some(found);
            outputs
        })?;
        let loader = loader.allocator(program.staging());
        let loader = match self.workers {
            Some(workers) => loader.workers(workers),
            None => loader,
        };
        let measures = measures.ok_or_else(|| Error::Internal("nothing was recorded".into()))?;
        Ok(Pass { program, loader, measures: Arc::new(measures) })
    }

    /// Records the model, and in training mode what changes it; the outputs, and what they say.
    fn record(&self, graph: &Graph, layout: &Layout) -> (Vec<Tensor>, Measures) {
        let input = |field: &Field| graph.input(&field.name, &field.spec.shape, field.spec.dtype);
        let inputs: Vec<Tensor> = layout.fields().iter().map(input).collect();
        let mode = graph.mode();
        if mode == Mode::Eval && self.averages {
            Averaging::read(graph, self.vars);
        }
        let objective = (self.objective)(&inputs[0], &inputs[1]);
        if mode == Mode::Train {
            self.summary.get_or_init(|| Summary::of(self.vars, &graph.recording()));
        }
        if mode == Mode::Train {
            self.optimizer.learning_rate(graph, self.vars).probe(LEARNING_RATE);
        }
        match mode {
            Mode::Train if self.accumulate > 1 => self.optimizer.accumulate(objective.loss(), self.vars),
            Mode::Train => self.optimizer.minimize(objective.loss(), self.vars),
            Mode::Eval => {}
        }
        objective.measures(batch_size(layout))
    }
}

/// Every field has the batch axis in front.
fn batch_size(layout: &Layout) -> usize {
    layout.fields().first().map_or(1, |field| field.spec.shape[0])
}
