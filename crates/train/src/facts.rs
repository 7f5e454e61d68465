//! What is known of a training before it begins, for logs and the report.

use wgrad_nn::Summary;

use crate::Trainer;
use crate::length::Length;
use crate::log::{LogError, Logs, Opening};

impl Trainer {
    /// Names and values, in the order in which to tell them.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let parameters = self.vars.parameters();
        let numbers: usize = parameters.iter().map(|var| var.shape().numel()).sum();
        let length = match self.length {
            Length::Epochs(epochs) => format!("{epochs} epochs"),
            Length::Updates(updates) => format!("{updates} updates"),
        };
        let mut facts = vec![
            ("adapter", self.gpu.info().to_string()),
            ("optimizer", self.optimizer.name().to_owned()),
            ("parameters", format!("{numbers} in {} tensors", parameters.len())),
            ("length", length),
            ("batch size", self.batch_size.to_string()),
            ("seed", self.seed.to_string()),
        ];
        if self.accumulate > 1 {
            facts.push(("batches of an update", self.accumulate.to_string()));
        }
        facts
    }

    /// Opens the logs, of which lines up to a step stay.
    pub(crate) fn open_logs(
        &self,
        step: u64,
        metrics: &[String],
        model: Option<&Summary>,
    ) -> Result<Logs, LogError> {
        let parameters: Vec<String> = self.vars.parameters().iter().map(|var| var.name().into()).collect();
        let line = |(name, value): (&str, String)| format!("{name}: {value}\n");
        let facts: String = self.facts().into_iter().map(line).collect();
        let summary = facts + &model.map_or(String::new(), |model| format!("\n{model}\n"));
        let opening = Opening { step, metrics, parameters: &parameters, summary: &summary };
        Logs::open(&self.logs, &opening)
    }
}
