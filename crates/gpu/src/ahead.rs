//! Compiles kernels before they run, on all cores. Drivers that run on the CPU leave a pipeline as it is until its
//! first dispatch, and then compile on the one thread of the device's queue. A dispatch of no workgroups is enough;
//! other devices of the same adapter compile meanwhile, and hand over what they made through the driver's cache on
//! disk (`docs/decisions.md`).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::adapter::AdapterKind;
use crate::codegen::{Bound, Source};
use crate::device::Gpu;
use crate::error::Error;
use crate::launch::{Binding, Dispatch, Launch, Transfers};
use crate::plan::Place;

/// How long a kernel takes that is in the cache, at the most. Only where one takes longer do other devices help.
const CACHED: Duration = Duration::from_millis(25);
/// Devices that compile at the same time, at the most: each needs some memory.
const DEVICES: usize = 8;

/// Has kernels compiled that this device has not seen before. What fails here fails again, and is reported, where
/// the kernel is used.
pub(crate) fn compile(gpu: &Gpu, kernels: &[&Source]) {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(DEVICES);
    if gpu.info().kind != AdapterKind::Software || cores == 1 {
        return;
    }
    // Users' kernels may want more than the few bytes that are bound here.
    let mut kernels: Vec<&Source> = kernels.iter().filter(|source| !source.checked).copied().collect();
    // The last ones are short: nobody waits long for another, and what is not yet on disk is soon made again.
    kernels.sort_by_key(|source| std::cmp::Reverse(source.wgsl.len()));
    let (start, begun, next) = (Instant::now(), AtomicU64::new(0), AtomicUsize::new(0));
    let take = || kernels.get(next.fetch_add(1, Ordering::Relaxed));
    let is_slow = || {
        let begun = Duration::from_micros(begun.load(Ordering::Relaxed));
        start.elapsed().saturating_sub(begun) > CACHED
    };
    let help = || {
        while !is_slow() {
            thread::sleep(CACHED / 5);
            if next.load(Ordering::Relaxed) >= kernels.len() {
                return;
            }
        }
        let Some(sibling) = gpu.sibling() else { return };
        while let Some(source) = take() {
            if sibling.dispatch_nothing(source).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..cores {
            scope.spawn(help);
        }
        while let Some(source) = take() {
            begun.store(start.elapsed().as_micros() as u64, Ordering::Relaxed);
            if gpu.dispatch_nothing(source).is_err() {
                return;
            }
        }
    });
}

impl Gpu {
    /// Runs a kernel in no workgroups at all.
    fn dispatch_nothing(&self, source: &Source) -> Result<(), Error> {
        // Room for an element of any array that a kernel binds: with less, nothing would be compiled here.
        let buffer = self.buffer("nothing", Place::ALIGNMENT, wgpu::BufferUsages::STORAGE)?;
        let binding = |_: &Bound| Binding { buffer: buffer.clone(), offset: 0, bytes: Place::ALIGNMENT };
        let bindings = source.bindings.iter().map(binding).collect();
        let nothing = Source { grid: [0, 1, 1], ..source.clone() };
        let dispatch = Dispatch { source: &nothing, bindings, waits: false, times: 1 };
        let launch = Launch::new(self, &[dispatch], &[], false)?;
        self.wait(&launch.submit(self, Transfers::default())?)
    }
}
