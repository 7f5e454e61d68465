//! Measures how the kernels of programs are best shaped.

use std::collections::HashSet;

use super::trial::{Shaped, Trial, agree};
use super::{Choice, TuningDatabase, signature};
use crate::codegen::{self, Candidate, Shaping, Source};
use crate::device::Gpu;
use crate::error::Error;
use crate::parallel;
use crate::peaks::Peaks;
use crate::plan::{Kernel, Plan};
use crate::program::Program;

/// Candidates within this factor of the least bound are measured, and no more than so many.
const WITHIN: f64 = 1.6;
const MOST: usize = 8;
/// How many times as often as the rules assume a kernel runs that is worth tuning.
const OFTEN: f64 = 8.0;
/// A choice must be this much faster than the rule's to be one.
const GAIN: f64 = 1.04;
/// A kernel that comes this near to the adapter's roof needs no other shape.
const ROOF: f64 = 0.9;
/// Below so many seconds a dispatch costs more than what it does.
const SHORT: f64 = 50e-6;

/// Finds the fastest shape of every kernel of the programs that it is given.
///
/// ```no_run
/// use wgrad_gpu::{Gpu, Program, Tuner};
/// fn tune(gpu: &Gpu, program: &Program) -> Result<(), wgrad_gpu::Error> {
///     let mut tuner = Tuner::new(gpu)?;
///     tuner.tune(program, |kernel| println!("{kernel}"))?;
///     gpu.keep_tuning(tuner.database())?; // for the devices opened from now on
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Tuner {
    gpu: Gpu,
    peaks: Peaks,
    seen: HashSet<String>,
    database: TuningDatabase,
}

/// What was measured of a kernel.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// Its signature.
    pub signature: String,
    /// Seconds of a run as the rule shapes it.
    pub rule: f64,
    /// Seconds of a run in the fastest shape.
    pub best: f64,
    /// That shape, unless the rule's is as good.
    pub choice: Option<Choice>,
    /// Candidates that were run.
    pub tried: usize,
    /// Those of them that computed something else, and were not timed.
    pub wrong: Vec<Choice>,
}

impl std::fmt::Display for Tuned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { signature, rule, best, choice, tried, wrong } = self;
        write!(f, "{:>9.1} → {:>9.1} µs of {tried:>2} candidates", 1e6 * rule, 1e6 * best)?;
        if !wrong.is_empty() {
            write!(f, ", {} WRONG: {wrong:?}", wrong.len())?;
        }
        write!(f, "  {signature}")?;
        choice.iter().try_for_each(|choice| write!(f, " by {choice:?}"))
    }
}

impl Tuner {
    /// Measures the adapter's roofs, which takes about a second.
    pub fn new(gpu: &Gpu) -> Result<Self, Error> {
        // Candidates are kept only by the device that they are tried on.
        let gpu = gpu.sibling().unwrap_or_else(|| gpu.clone());
        let (peaks, database) = (gpu.peaks()?, TuningDatabase::new(gpu.info()));
        Ok(Self { gpu, peaks, seen: HashSet::new(), database })
    }

    /// The choices so far: those of kernels that some shape makes faster than the rule's.
    pub fn database(&self) -> &TuningDatabase {
        &self.database
    }

    /// Measures the kernels of a program that are not like any before; `each` is told of every one.
    pub fn tune(&mut self, program: &Program, mut each: impl FnMut(&Tuned)) -> Result<(), Error> {
        let plan = program.plan();
        for kernel in &plan.kernels {
            let Some(signature) = signature::of(plan, kernel) else { continue };
            if !self.seen.insert(signature.clone()) {
                continue;
            }
            let Some(tuned) = self.kernel(plan, kernel, signature)? else { continue };
            if let Some(choice) = tuned.choice {
                self.database.insert(&tuned.signature, choice, tuned.rule / tuned.best);
            }
            each(&tuned);
        }
        Ok(())
    }

    /// `None` where nothing can be measured, or would gain anything.
    fn kernel(&self, plan: &Plan, kernel: &Kernel, signature: String) -> Result<Option<Tuned>, Error> {
        let shaping = self.gpu.shaping_of(plan);
        let Some(trial) = Trial::new(&self.gpu, plan, kernel)? else { return Ok(None) };
        let rule = trial.compile(trial.source(&shaping)?)?;
        let seconds = trial.seconds(&rule)?;
        let roof = plan.kernel_flops(kernel) as f64 / self.peaks.flops;
        let roof = roof.max(plan.kernel_bytes(kernel) as f64 / self.peaks.copy);
        if seconds < SHORT || roof >= ROOF * seconds {
            return Ok(None);
        }
        let sources = self.sources(&trial, plan, kernel, &shaping, &rule.source)?;
        let compiled = parallel::map(&sources, |(choice, source)| (*choice, trial.compile(source.clone())));
        let mut tuned =
            Tuned { signature, rule: seconds, best: seconds, choice: None, tried: 0, wrong: vec![] };
        let expected = trial.results(&rule)?;
        let mut fastest: Option<(f64, Choice, Shaped)> = None;
        for (choice, shaped) in compiled {
            // A candidate that this driver does not take is none.
            let Ok(shaped) = shaped else { continue };
            tuned.tried += 1;
            if !agree(&expected, &trial.results(&shaped)?) {
                tuned.wrong.push(choice);
                continue;
            }
            let seconds = trial.seconds(&shaped)?;
            if fastest.as_ref().is_none_or(|(known, ..)| seconds < *known) {
                fastest = Some((seconds, choice, shaped));
            }
        }
        if let Some((seconds, choice, shaped)) = fastest {
            // In turns once more: neither has the quieter machine.
            tuned.best = seconds;
            for _ in 0..2 {
                tuned.rule = tuned.rule.min(trial.seconds(&rule)?);
                tuned.best = tuned.best.min(trial.seconds(&shaped)?);
            }
            tuned.choice = (tuned.rule >= SHORT.max(GAIN * tuned.best)).then_some(choice);
        }
        tuned.best = tuned.best.min(tuned.rule);
        Ok(Some(tuned))
    }

    /// The texts of the candidates that their bounds do not exclude, without those that are the rule's.
    fn sources(
        &self,
        trial: &Trial<'_>,
        plan: &Plan,
        kernel: &Kernel,
        shaping: &Shaping,
        rule: &Source,
    ) -> Result<Vec<(Choice, Source)>, Error> {
        let mut texts = HashSet::from([rule.wgsl.clone()]);
        let mut sources = vec![];
        for Candidate { choice, .. } in worth_measuring(codegen::candidates(plan, kernel, shaping)?) {
            if let Some(source) = trial.source_of(choice, shaping)?
                && texts.insert(source.wgsl.clone())
            {
                sources.push((choice, source));
            }
        }
        Ok(sources)
    }
}

impl Program {
    /// The ways in which its kernels could be shaped, by signature: those that a [`Tuner`] measures are among them.
    pub fn choices(&self) -> Result<Vec<(String, Vec<Choice>)>, Error> {
        let plan = self.plan();
        let shaping = self.inner.gpu.shaping_of(plan);
        let of = |kernel: &Kernel| {
            let signature = signature::of(plan, kernel)?;
            let all = codegen::candidates(plan, kernel, &shaping);
            let choice = |candidate: &Candidate| candidate.choice;
            Some(all.map(|all| (signature, all.iter().map(choice).collect())))
        };
        plan.kernels.iter().filter_map(of).collect()
    }
}

/// The candidates whose bound comes near to the least, the best first. Compiling counts too, but less than for a rule.
fn worth_measuring(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let cost = |candidate: &Candidate| candidate.run + candidate.compile / OFTEN;
    candidates.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    let least = candidates.first().map_or(0.0, cost);
    candidates.retain(|candidate| cost(candidate) <= WITHIN * least);
    candidates.truncate(MOST);
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_exclude_what_cannot_win() {
        let candidate = |share, run, compile| Candidate { choice: Choice::Row { share }, run, compile };
        let all = vec![
            candidate(1, 30.0, 1.0),
            candidate(2, 12.0, 3.0),
            candidate(4, 10.0, 4.0),
            candidate(8, 9.0, 90.0),
        ];
        let left: Vec<Choice> = worth_measuring(all).iter().map(|candidate| candidate.choice).collect();
        assert_eq!(left, [Choice::Row { share: 4 }, Choice::Row { share: 2 }]);
        assert!(worth_measuring(vec![]).is_empty());
    }
}
