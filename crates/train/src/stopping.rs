//! When to stop although epochs are left.

/// How many epochs in a row the test loss may fail to reach a new low before training stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(pub usize);

/// Early stopping (Prechelt, "Early stopping – but when?", 1998; Keras' `EarlyStopping`).
#[derive(Debug)]
pub(crate) struct Stopping {
    patience: Patience,
    lowest: f64,
    epochs_since: usize,
}

impl Stopping {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, lowest: f64::INFINITY, epochs_since: 0 }
    }

    /// Takes note of an epoch's test loss.
    pub(crate) fn after(&mut self, loss: f64) {
        if loss < self.lowest {
            self.lowest = loss;
            self.epochs_since = 0;
        } else {
            self.epochs_since += 1;
        }
    }

    /// Whether the last epoch was one too many.
    pub(crate) fn is_due(&self) -> bool {
        self.epochs_since > self.patience.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of epochs that a sequence of losses is allowed.
    fn epochs(patience: usize, losses: &[f64]) -> usize {
        let mut stopping = Stopping::new(Patience(patience));
        let mut is_last = |loss| {
            stopping.after(loss);
            stopping.is_due()
        };
        losses.iter().position(|&loss| is_last(loss)).map_or(losses.len(), |last| last + 1)
    }

    #[test]
    fn waits_as_many_epochs_as_it_has_patience() {
        let losses = [3.0, 2.0, 2.5, 1.0, 1.0, 1.5, 2.0, 0.5];
        assert_eq!(epochs(0, &losses), 3);
        assert_eq!(epochs(1, &losses), 6);
        assert_eq!(epochs(2, &losses), 7);
        assert_eq!(epochs(3, &losses), 8);
        assert_eq!(epochs(1, &[f64::NAN; 5]), 2);
    }
}
