//! The adapter's own roofs, measured by small kernels: what no kernel can exceed, and what a good one
//! comes near to.

use std::time::Instant;

use crate::codegen::{Bound, Source};
use crate::device::Gpu;
use crate::error::Error;
use crate::launch::{Binding, Dispatch, Launch, Transfers};

/// What an adapter reaches at best in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Floating-point operations a second, in multiply-adds that stay in registers.
    pub flops: f64,
    /// Bytes a second that a kernel copies, read and written counted together.
    pub copy: f64,
}

/// Invocations of a workgroup.
const WORKGROUP: u64 = 128;

/// vec4s of the buffers: 64 MiB each, more than caches hold.
const LENGTH: u64 = 4 << 20;

impl Gpu {
    /// Measures the roofs; takes about a second.
    pub fn peaks(&self) -> Result<Peaks, Error> {
        let usage = wgpu::BufferUsages::STORAGE;
        let buffers = [self.buffer("peak", 16 * LENGTH, usage)?, self.buffer("peak", 16 * LENGTH, usage)?];
        let copy = self.rate(COPY, &buffers, LENGTH / WORKGROUP, 2 * 16 * LENGTH)?;
        let mut flops = 0f64;
        // How many independent sums hide the latency of one depends on the adapter.
        for sums in [2, 4, 8] {
            const GROUPS: u64 = 512;
            let work = GROUPS * WORKGROUP * ROUNDS * 4 * sums * 8;
            flops = flops.max(self.rate(&multiply_add(sums), &buffers[..1], GROUPS, work)?);
        }
        Ok(Peaks { flops, copy })
    }

    /// Work a second of a kernel that does `work` in a dispatch.
    fn rate(&self, wgsl: &str, buffers: &[wgpu::Buffer], groups: u64, work: u64) -> Result<f64, Error> {
        // Long enough that a submission and a wait, some tens of microseconds, do not count.
        const SECONDS: f64 = 0.02;
        let bindings = vec![Bound::Table(vec![]); buffers.len()];
        let grid = [groups as u32, 1, 1];
        let source = Source { wgsl: wgsl.into(), bindings, grid, checked: false };
        let whole =
            |buffer: &wgpu::Buffer| Binding { buffer: buffer.clone(), offset: 0, bytes: buffer.size() };
        let bindings: Vec<Binding> = buffers.iter().map(whole).collect();
        Ok(work as f64 / self.seconds(SECONDS, &source, &bindings)?)
    }

    /// Seconds of one run of a kernel: the least of several times of as many as take at least `long`.
    pub(crate) fn seconds(&self, long: f64, source: &Source, bindings: &[Binding]) -> Result<f64, Error> {
        let time = |times: u32| {
            let dispatch = Dispatch { source, bindings: bindings.to_vec(), waits: false, times };
            let launch = Launch::new(self, &[dispatch], &[], false)?;
            let start = Instant::now();
            let ticket = launch.submit(self, Transfers::default())?;
            self.wait(&ticket)?;
            Ok::<f64, Error>(start.elapsed().as_secs_f64())
        };
        time(1)?;
        let (mut runs, mut best) = (1, time(1)?);
        while best < long && runs < 1 << 16 {
            runs *= 2;
            best = time(runs)?;
        }
        for _ in 0..3 {
            best = best.min(time(runs)?);
        }
        Ok(best / f64::from(runs))
    }
}

const COPY: &str = "
@group(0) @binding(0) var<storage, read_write> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target_: array<vec4<f32>>;

@compute @workgroup_size(128)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    target_[id.x] = source[id.x];
}
";

/// Times that an invocation goes round: well below the 65,535 after which llvmpipe ends it.
const ROUNDS: u64 = 256;

/// A kernel of `sums` vec4 sums, each advanced four times a round.
fn multiply_add(sums: u64) -> String {
    let lines = |line: &dyn Fn(u64) -> String| (0..sums).map(line).collect::<String>();
    let declare = lines(&|sum| format!("    var s{sum} = values[id.x] + {sum}.0;\n"));
    let advance = lines(&|sum| format!("        s{sum} = fma(s{sum}, x, y);\n")).repeat(4);
    let total = lines(&|sum| format!(" + s{sum}"));
    format!(
        "
@group(0) @binding(0) var<storage, read_write> values: array<vec4<f32>>;

@compute @workgroup_size(128)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let x = values[id.x + 1u] * 0.5;
    let y = values[id.x + 2u] + 0.5;
{declare}
    for (var round = 0u; round < {ROUNDS}u; round++) {{
{advance}    }}
    values[id.x] = y{total};
}}
"
    )
}
