//! Kernels of a step beside the adapter's own roofs: which are as fast as they can be, and which are not
//! (Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", 2009).

use std::fmt;

use wgrad_core::batch::Batch;

use crate::error::Error;
use crate::peaks::Peaks;
use crate::profile::KernelTime;
use crate::program::Program;
use crate::state::State;

/// The kernels of a step in their order, and what the adapter does at best. Displays as a table.
#[derive(Clone, Debug)]
pub struct Roofline {
    /// The adapter's name.
    pub adapter: String,
    /// Its measured roofs.
    pub peaks: Peaks,
    /// The kernels, each with the least of its times.
    pub kernels: Vec<KernelTime>,
}

impl Program {
    /// Runs a step for every batch with its kernels timed by the device, and measures the adapter's roofs, which
    /// takes about a second more. The first steps of a program are slower than others: give it several.
    ///
    /// An adapter without timestamps is [`Error::Unsupported`].
    pub fn roofline(
        &self,
        state: &mut State,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Result<Roofline, Error> {
        let gpu = &self.inner.gpu;
        let mut kernels: Vec<KernelTime> = vec![];
        for batch in batches {
            let times = self.profile(state, batch)?;
            for (known, time) in kernels.iter_mut().zip(&times) {
                if time.duration < known.duration {
                    known.clone_from(time);
                }
            }
            if kernels.is_empty() {
                kernels = times;
            }
        }
        Ok(Roofline { adapter: gpu.info().to_string(), peaks: gpu.peaks()?, kernels })
    }
}

impl KernelTime {
    /// Floating-point operations a second.
    pub fn flops_per_second(&self) -> f64 {
        self.flops as f64 / self.seconds()
    }

    /// Bytes a second, read and written.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.seconds()
    }

    /// The least time that the adapter needs for such work, as a share of the time that it took. What lies in
    /// caches may exceed 1.
    pub fn share_of_roof(&self, peaks: &Peaks) -> f64 {
        (self.flops_per_second() / peaks.flops).max(self.bytes_per_second() / peaks.copy)
    }

    /// Timestamps have a period; what is shorter counts as a nanosecond.
    fn seconds(&self) -> f64 {
        self.duration.max(1.0) / 1e9
    }
}

impl Roofline {
    /// Nanoseconds of all kernels together.
    pub fn total(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.duration).sum()
    }

    /// The numbers of the kernels, the longest first.
    pub fn by_time(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.kernels.len()).collect();
        order.sort_by(|a, b| self.kernels[*b].duration.total_cmp(&self.kernels[*a].duration));
        order
    }
}

impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peaks { flops, copy } = self.peaks;
        writeln!(f, "{}: {:.1} GFLOP/s, {:.1} GB/s copied", self.adapter, flops / 1e9, copy / 1e9)?;
        writeln!(f, "{:>9} {:>6} {:>9} {:>8} {:>8}  kernel", "µs", "time", "GFLOP/s", "GB/s", "of roof")?;
        for number in self.by_time() {
            let kernel = &self.kernels[number];
            writeln!(
                f,
                "{:>9.1} {:>4.1} % {:>9.2} {:>8.2} {:>6.0} %  k{number}: {}",
                kernel.duration / 1e3,
                100.0 * kernel.duration / self.total(),
                kernel.flops_per_second() / 1e9,
                kernel.bytes_per_second() / 1e9,
                100.0 * kernel.share_of_roof(&self.peaks),
                kernel.label,
            )?;
        }
        write!(f, "{:>9.1} µs in {} kernels", self.total() / 1e3, self.kernels.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_held_to_the_roof_that_binds_it() {
        let kernel = |flops, bytes| KernelTime {
            label: "map over 3".into(),
            start: 0.0,
            duration: 1000.0,
            flops,
            bytes,
        };
        let peaks = Peaks { flops: 100e9, copy: 10e9 };
        let (heavy, light) = (kernel(50_000, 1_000), kernel(100, 5_000));
        assert!((heavy.share_of_roof(&peaks) - 0.5).abs() < 1e-12);
        assert!((light.share_of_roof(&peaks) - 0.5).abs() < 1e-12);
        let roofline = Roofline { adapter: "one".into(), peaks, kernels: vec![light, heavy] };
        let table = roofline.to_string();
        assert!(table.starts_with("one: 100.0 GFLOP/s, 10.0 GB/s copied\n"), "{table}");
        assert!(table.ends_with("2.0 µs in 2 kernels"), "{table}");
        assert_eq!(table.lines().count(), 5);
    }
}
