//! Single operations that peers have too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::timing::repeat;
use crate::{Error, Times};

/// An operation whose operands stay on the device. In f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The product of two square matrices of so many rows.
    Matmul(usize),
    /// Convolution 3×3, 64 to 64 channels, of 32×64×32×32, padding 1, without bias.
    Conv,
}

impl Kernel {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Matmul(512), Self::Matmul(1024), Self::Conv];

    /// The shapes of both operands.
    pub fn operands(self) -> [Vec<usize>; 2] {
        match self {
            Self::Matmul(size) => [vec![size, size], vec![size, size]],
            Self::Conv => [vec![32, 64, 32, 32], vec![64, 64, 3, 3]],
        }
    }

    /// Multiplications and additions.
    pub fn flops(self) -> u64 {
        match self {
            Self::Matmul(size) => 2 * size.pow(3) as u64,
            Self::Conv => 2 * 32 * 64 * 32 * 32 * 64 * 9,
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matmul(size) => write!(f, "matmul/{size}"),
            Self::Conv => f.write_str("conv/forward"),
        }
    }
}

impl FromStr for Kernel {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|kernel| kernel.to_string() == name);
        known.ok_or_else(|| format!("there is no kernel `{name}`").into())
    }
}

/// One operation in one framework.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelReport {
    /// The operation's name.
    pub kernel: String,
    /// The times of single runs, each waited for.
    pub times: Times,
    /// Multiplications and additions a second that the device reached at best meanwhile; peers do not say.
    pub peak: Option<f64>,
}

impl KernelReport {
    /// Times an operation for some seconds. `run` runs it once and returns when the device has finished.
    pub fn measure(
        kernel: Kernel,
        seconds: f64,
        mut run: impl FnMut() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        // What tunes itself or fills caches does so in the first few runs.
        for _ in 0..4 {
            run()?;
        }
        let times = repeat(seconds, 1, &mut |_| run())?.ok_or("nothing was measured")?;
        Ok(Self { kernel: kernel.to_string(), times, peak: None })
    }
}
