//! What a training compiles: a step, the update behind several steps, and the evaluation.

use wgrad_core::{Graph, Mode, Tensor, Vars};
use wgrad_data::{Dataset, Loader, Subset};
use wgrad_gpu::{Error, Gpu, Program};
use wgrad_optim::{Averaging, Optimizer};

use crate::pass::Pass;
use crate::{Objective, TrainError};

/// The name under which a training step tells its learning rate.
pub(crate) const LEARNING_RATE: &str = "wgrad.learning_rate";

/// Everything that a training runs.
pub(crate) struct Programs {
    pub(crate) training: Pass,
    /// The update that follows several batches; `None` where each batch has its own.
    pub(crate) update: Option<Program>,
    /// For full batches and for the rest, so that every record counts once.
    pub(crate) evaluation: Vec<Pass>,
}

/// What programs are made from.
pub(crate) struct Recipe<'a> {
    pub(crate) gpu: &'a Gpu,
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
}

impl Recipe<'_> {
    /// Compiles all of them: the step first, which declares what the optimizer keeps.
    pub(crate) fn compile(
        &self,
        train: &(impl Dataset + Clone + 'static),
        test: &(impl Dataset + Clone + 'static),
    ) -> Result<Programs, TrainError> {
        let loader = (self.loader)(Loader::new(train.clone(), self.batch_size).shuffle(self.seed));
        let training = self.pass(Mode::Train, loader)?;
        let update = (self.accumulate > 1).then(|| {
            self.gpu.compile(Mode::Eval, |graph| {
                self.optimizer.apply(graph, self.vars);
                []
            })
        });
        Ok(Programs { training, update: update.transpose()?, evaluation: self.evaluation(test)? })
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
        let batch_size = layout.fields()[0].spec.shape[0];
        let program = self.gpu.compile(mode, |graph: &Graph| {
            let inputs: Vec<Tensor> = layout
                .fields()
                .iter()
                .map(|field| graph.input(&field.name, &field.spec.shape, field.spec.dtype))
                .collect();
            if mode == Mode::Eval && self.averages {
                Averaging::read(graph, self.vars);
            }
            let objective = (self.objective)(&inputs[0], &inputs[1]);
            if mode == Mode::Train {
                self.optimizer.learning_rate(graph, self.vars).probe(LEARNING_RATE);
            }
            match mode {
                Mode::Train if self.accumulate > 1 => self.optimizer.accumulate(objective.loss(), self.vars),
                Mode::Train => self.optimizer.minimize(objective.loss(), self.vars),
                Mode::Eval => {}
            }
            let (outputs, found) = objective.measures(batch_size);
            measures = Some(found);
            outputs
        })?;
        let loader = loader.allocator(program.staging());
        let loader = match self.workers {
            Some(workers) => loader.workers(workers),
            None => loader,
        };
        let measures = measures.ok_or_else(|| Error::Internal("nothing was recorded".into()))?;
        Ok(Pass { program, loader, measures, batch_size })
    }
}
