//! How kernels are shaped where that was measured rather than chosen by rule.
//!
//! A [`Choice`] shapes one kernel. A [`TuningDatabase`] holds choices by the kernels' signatures, for one adapter and
//! driver; some ship with the library, others are made by a [`Tuner`], which checks the values of every candidate before
//! it looks at its speed. A device reads its choices once, when it is opened.

mod choice;
mod database;
pub(crate) mod signature;
mod trial;
mod tuner;

pub use choice::Choice;
pub use database::{TuningDatabase, TuningError};
pub use tuner::{Tuned, Tuner};

pub(crate) use database::Found;

use std::path::PathBuf;

use crate::codegen::Shaping;
use crate::device::Gpu;
use crate::plan::{Archetype, Kernel, Plan};

/// Where a device has its choices from. They stay the same for as long as it is open; another database may change the
/// order of summation in a kernel, and so the last bits of its results.
///
/// ```no_run
/// use wgrad_gpu::{Gpu, Options, Tuning};
/// let gpu = Gpu::with_options(Options { tuning: Tuning::File("here.json".into()), ..Options::default() })?;
/// # Ok::<(), wgrad_gpu::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tuning {
    /// What was measured on this machine and lies in the folder of [`DiskCache`](crate::DiskCache), and for other
    /// kernels what ships with the library; both for this very adapter and driver. A file that cannot be used is
    /// ignored: [`Gpu::tuning_problem`] says why.
    #[default]
    OnDisk,
    /// This file alone. One that is damaged, newer or of another adapter or driver is an error.
    File(PathBuf),
    /// Rules alone.
    Off,
}

impl Gpu {
    /// How many kernels have a measured shape.
    pub fn tuned_kernels(&self) -> usize {
        self.inner.tuning.choices.len()
    }

    /// Why a file of measured choices was ignored, if one was.
    pub fn tuning_problem(&self) -> Option<&TuningError> {
        self.inner.tuning.problem.as_ref()
    }

    /// Keeps choices for the devices that are opened later, in the folder of [`DiskCache`](crate::DiskCache); those
    /// that are there already stay where these say nothing. Returns the file.
    pub fn keep_tuning(&self, database: &TuningDatabase) -> Result<PathBuf, TuningError> {
        let folder = self.options().disk_cache.folder().ok_or(TuningError::NoFolder)?;
        let path = folder.join(TuningDatabase::file_name(self.info()));
        let mut all = TuningDatabase::new(self.info());
        if let Ok(known) = TuningDatabase::read(&path)
            && known.check(&path, self.info()).is_ok()
        {
            all.extend(&known);
        }
        all.extend(database);
        all.write(&path)?;
        Ok(path)
    }

    /// How the kernels of a dispatch are shaped: as was measured, or by rule.
    pub(crate) fn shaped(&self, plan: &Plan, kernels: &[Kernel], shaping: &Shaping) -> Shaping {
        let choices = &self.inner.tuning.choices;
        let Some(kernel) = kernels.first().filter(|_| !choices.is_empty()) else { return *shaping };
        // Packed maps divide their work by a table; packed kernels of other kinds are all alike.
        if kernels.len() > 1 && matches!(kernel.archetype, Archetype::Map { .. }) {
            return *shaping;
        }
        let choice = signature::of(plan, kernel).and_then(|signature| choices.get(&signature));
        choice.and_then(|choice| choice.shape(shaping, self.most_invocations())).unwrap_or(*shaping)
    }
}
