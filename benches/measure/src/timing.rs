//! Timing steps with the loss read after each, and after every twenty.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Milliseconds of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// The middle one.
    pub median_ms: f64,
    /// The shortest one.
    pub min_ms: f64,
}

impl Times {
    /// Of at least one measurement.
    pub fn of(samples: Vec<f64>) -> Option<Self> {
        let min_ms = samples.iter().copied().min_by(f64::total_cmp)?;
        Some(Self { median_ms: median(samples)?, min_ms })
    }
}

/// The middle of at least one sample.
pub fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().checked_sub(1)?;
    Some((samples.get(last / 2)? + samples.get(last.div_ceil(2))?) / 2.0)
}

/// The times of one model's training steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// From the start of the program to the first loss: opening the device and compiling included.
    pub first_ms: f64,
    /// A step when the loss of each is waited for.
    pub every_step: Option<Times>,
    /// A step when the loss of each twentieth is waited for.
    pub every_20: Option<Times>,
}

impl Steps {
    /// Times a training step for some seconds in each mode; for 0 seconds only the first. `step` takes one step, and if its argument is
    /// true returns only when the loss has arrived. `start` is when the program started.
    pub fn measure(
        start: Instant,
        seconds: f64,
        mut step: impl FnMut(bool) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        step(true)?;
        let first_ms = start.elapsed().as_secs_f64() * 1e3;
        if seconds == 0.0 {
            return Ok(Self { first_ms, every_step: None, every_20: None });
        }
        // What tunes itself or fills caches does so in the first few steps.
        for _ in 0..3 {
            step(true)?;
        }
        let every_step = repeat(seconds, 1, &mut step)?;
        let every_20 = repeat(seconds, 20, &mut step)?;
        Ok(Self { first_ms, every_step, every_20 })
    }
}

/// Groups of `every` steps for some seconds, at least one, with a wait after each group.
pub(crate) fn repeat(
    seconds: f64,
    every: usize,
    step: &mut impl FnMut(bool) -> Result<(), Error>,
) -> Result<Option<Times>, Error> {
    let mut samples = vec![];
    let start = Instant::now();
    while samples.is_empty() || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        for number in 1..=every {
            step(number == every)?;
        }
        samples.push(begin.elapsed().as_secs_f64() * 1e3 / every as f64);
    }
    Ok(Times::of(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(Times::of(vec![3.0, 1.0, 2.0]), Some(Times { median_ms: 2.0, min_ms: 1.0 }));
        assert_eq!(Times::of(vec![4.0, 1.0]), Some(Times { median_ms: 2.5, min_ms: 1.0 }));
        assert_eq!(Times::of(vec![]), None);
    }

    #[test]
    fn waits_once_every_twenty_steps() {
        let mut waits = vec![];
        let mut step = |wait| {
            waits.push(wait);
            Ok(())
        };
        repeat(0.0, 20, &mut step).unwrap();
        assert_eq!(waits.len(), 20);
        assert_eq!(waits.iter().position(|&wait| wait), Some(19));
    }
}
