//! Checkpoints: everything that a training remembers, in one file that is either whole or not there.
//!
//! [`Checkpoint`] is such a file: every variable of the state, bit for bit, and the [`Progress`] beside it.
//! [`Checkpoints`] is a directory of them: the last few, and the best.

mod directory;
mod error;
pub(crate) mod number;
mod progress;

use std::path::Path;

use sha2::{Digest, Sha256};
use wgrad_core::Var;
use wgrad_gpu::State;
use wgrad_weights::Weights;

pub use directory::{Checkpoints, Found};
pub use error::CheckpointError;
pub use progress::{Progress, Settings};

/// What the metadata says under `format`.
const FORMAT: &str = "wgrad-checkpoint";
/// Of this layout; larger ones are refused.
const VERSION: u32 = 1;

/// All variables of a state and the progress of its training. In a file it is safetensors, with the
/// progress as JSON in the metadata and a checksum over both.
///
/// ```no_run
/// # use wgrad_core::Vars;
/// # use wgrad_gpu::Gpu;
/// use wgrad_train::{Checkpoint, Progress};
/// use wgrad_weights::Weights;
/// # let (gpu, vars) = (Gpu::new()?, Vars::new());
/// # let mut state = gpu.init(&vars, 0)?;
/// let progress = Progress { epoch: 3, batch: 120, ..Progress::default() };
/// Checkpoint::of(&state, &progress)?.write("run/last.safetensors")?;
/// // In another process, after the same programs were compiled:
/// let checkpoint = Checkpoint::read("run/last.safetensors")?;
/// checkpoint.restore(&mut state)?;
/// let next = checkpoint.progress().batch; // for `loader.epoch_from(3, next)`
/// // Where only the model is of interest, a checkpoint is a weight file like others:
/// Weights::read("run/best.safetensors")?.matching(&vars).complete()?.init();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint {
    variables: Weights,
    progress: Progress,
    step: u64,
}

impl Checkpoint {
    /// Copies a state to the host; waits for the steps before.
    pub fn of(state: &State, progress: &Progress) -> Result<Self, CheckpointError> {
        let mut variables = Weights::new();
        for name in state.names() {
            variables.insert(&name, &state.read(&name)?);
        }
        let text = serde_json::to_string(progress).map_err(CheckpointError::manifest)?;
        variables.set_metadata("format", FORMAT);
        variables.set_metadata("version", VERSION.to_string());
        variables.set_metadata("sha256", checksum(&variables, &text));
        variables.set_metadata("progress", text);
        let step = step(&variables)?;
        Ok(Self { variables, progress: progress.clone(), step })
    }

    /// Writes the file. Under its name there is at any moment the old file or the new one, whole and on
    /// disk.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        Ok(self.variables.write(path)?)
    }

    /// Reads a file and checks it. Errors: a file that is damaged, that is no checkpoint, or that a later
    /// version wrote.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        Self::from_weights(Weights::read(path)?).map_err(|error| error.in_file(path))
    }

    fn from_weights(variables: Weights) -> Result<Self, CheckpointError> {
        let said = |key: &str| variables.metadata().get(key).map(String::as_str);
        if said("format") != Some(FORMAT) {
            return Err(CheckpointError::Foreign);
        }
        let (Some(version), Some(sum), Some(text)) = (said("version"), said("sha256"), said("progress"))
        else {
            return Err(CheckpointError::Checksum);
        };
        let version = version.parse::<u32>().map_err(|_| CheckpointError::Checksum)?;
        if version > VERSION {
            return Err(CheckpointError::Newer { version, known: VERSION });
        }
        if sum != checksum(&variables, text) {
            return Err(CheckpointError::Checksum);
        }
        let progress = serde_json::from_str(text).map_err(CheckpointError::manifest)?;
        let step = step(&variables)?;
        Ok(Self { variables, progress, step })
    }

    /// Gives a state these values. It must have the same variables: compile the same programs and call
    /// `gpu.init` first. After an error its values are mixed.
    pub fn restore(&self, state: &mut State) -> Result<(), CheckpointError> {
        let names = state.names();
        let lacks = names.iter().find(|name| self.variables.get(name).is_none());
        let extra = self.variables.iter().map(|(name, _)| name).find(|name| !names.iter().any(|n| n == name));
        match (lacks, extra) {
            (Some(name), _) => return Err(CheckpointError::Variables { lacks: "it", name: name.clone() }),
            (_, Some(name)) => {
                return Err(CheckpointError::Variables { lacks: "the model", name: name.into() });
            }
            (None, None) => {}
        }
        for (name, entry) in self.variables.iter() {
            state.write(name, &entry.array()?)?;
        }
        Ok(())
    }

    /// Every variable of the state: parameters, running statistics, what optimizers keep, seed and step.
    pub fn variables(&self) -> &Weights {
        &self.variables
    }

    /// How far the training had come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The number of training steps that the state had seen.
    pub fn step(&self) -> u64 {
        self.step
    }
}

fn step(variables: &Weights) -> Result<u64, CheckpointError> {
    let missing = || CheckpointError::Variables { lacks: "it", name: Var::step().name().into() };
    let entry = variables.get(Var::step().name()).filter(|entry| entry.shape().is_empty());
    Ok(entry.ok_or_else(missing)?.array()?.item() as u64)
}

/// SHA-256 of version, progress, names, types, shapes and values, each with its length in front.
fn checksum(variables: &Weights, progress: &str) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(&VERSION.to_le_bytes());
    add(progress.as_bytes());
    // In a file, arrays are sorted by the size of their elements; here, by name.
    let mut entries: Vec<_> = variables.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    for (name, entry) in entries {
        add(name.as_bytes());
        add(entry.to_string().as_bytes());
        add(&entry.to_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
