//! One kernel of a plan by itself, on operands of its own: what it computes in another shape, and how long that takes.

use wgrad_core::{DType, NodeId};

use super::Choice;
use crate::codegen::{self, Bound, Shaping, Source};
use crate::device::Gpu;
use crate::error::Error;
use crate::launch::{Binding, Copy, Dispatch, Launch, Transfers};
use crate::plan::{Kernel, Place, Plan, bytes_of};
use crate::run::read_buffer;

/// Values that are written over and over; prime, so that no power of two hides a wrong position.
const PATTERN: usize = 65_521;
/// The largest difference between two shapes of a kernel, relative to the larger of an element and the root mean square of
/// its tensor. Operands are small multiples of 1/16, so sums of products have the same bits in every order; what
/// functions of them round is far below this, and one missing term of a thousand far above.
const TOLERANCE: f64 = 1.0 / 16_384.0;

pub(super) struct Trial<'a> {
    gpu: &'a Gpu,
    plan: &'a Plan,
    kernel: &'a Kernel,
    /// Where each place lies in both buffers: offset and bytes.
    ranges: Vec<(Place, [u64; 2])>,
    /// The operands, as they are before a run.
    fresh: wgpu::Buffer,
    /// What is run on.
    work: wgpu::Buffer,
}

/// A kernel in one shape, ready to run.
pub(super) struct Shaped {
    pub(super) source: Source,
    bindings: Vec<Binding>,
}

impl<'a> Trial<'a> {
    /// Operands for a kernel; `None` if the device cannot hold them twice.
    pub(super) fn new(gpu: &'a Gpu, plan: &'a Plan, kernel: &'a Kernel) -> Result<Option<Self>, Error> {
        let mut ranges: Vec<(Place, [u64; 2], NodeId)> = vec![];
        for &id in kernel.loads.iter().chain(&kernel.stores) {
            let spec = &plan.recording.node(id).spec;
            let (bytes, place) = (bytes_of(spec.dtype, &spec.shape), plan.place(kernel, id));
            let Some(place) = place else { return Ok(None) };
            match ranges.iter_mut().find(|(known, ..)| known == place) {
                Some((_, [_, known], _)) => *known = bytes.max(*known),
                None => ranges.push((place.clone(), [0, bytes], id)),
            }
        }
        let mut end = 0;
        for (_, [offset, bytes], _) in &mut ranges {
            *offset = end;
            end = (end + *bytes).next_multiple_of(Place::ALIGNMENT);
        }
        if end > gpu.inner.device.limits().max_buffer_size / 4 {
            return Ok(None);
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        // wgpu reads back what only the driver has written, so it has to know of values there.
        let (fresh, work) = (gpu.buffer("operands", end, usage)?, gpu.zeroed_buffer("trial", end, usage)?);
        for (_, [offset, bytes], id) in &ranges {
            let operand = operand(plan.recording.node(*id).spec.dtype, *bytes as usize);
            gpu.upload(&fresh, &[(*offset, &operand)])?;
        }
        let ranges = ranges.into_iter().map(|(place, range, _)| (place, range)).collect();
        Ok(Some(Self { gpu, plan, kernel, ranges, fresh, work }))
    }

    /// The text of the kernel in a shape.
    pub(super) fn source(&self, shaping: &Shaping) -> Result<Source, Error> {
        codegen::generate(self.plan, std::slice::from_ref(self.kernel), shaping)
    }

    pub(super) fn source_of(&self, choice: Choice, shaping: &Shaping) -> Result<Option<Source>, Error> {
        choice.shape(shaping, self.gpu.most_invocations()).map(|shaping| self.source(&shaping)).transpose()
    }

    /// Compiles it.
    pub(super) fn compile(&self, source: Source) -> Result<Shaped, Error> {
        self.gpu.prepare(&source)?;
        let binding = |bound: &Bound| {
            let Bound::Tensor(place) = bound else { return None };
            let (_, [offset, bytes]) = *self.ranges.iter().find(|(known, _)| known == place)?;
            Some(Binding { buffer: self.work.clone(), offset, bytes })
        };
        let bindings: Option<Vec<Binding>> = source.bindings.iter().map(binding).collect();
        let bindings = bindings
            .ok_or_else(|| Error::Internal("a kernel binds what it neither loads nor stores".into()))?;
        Ok(Shaped { source, bindings })
    }

    /// What it computes from fresh operands, by stored tensor.
    pub(super) fn results(&self, shaped: &Shaped) -> Result<Vec<Vec<f64>>, Error> {
        let (source, bindings) = (&shaped.source, shaped.bindings.clone());
        let dispatch = Dispatch { source, bindings, waits: false, times: 1 };
        let (from, to, bytes) = (self.fresh.clone(), self.work.clone(), self.work.size());
        let before = vec![Copy { from, from_offset: 0, to, to_offset: 0, bytes }];
        let launch = Launch::new(self.gpu, &[dispatch], &[&self.fresh, &self.work], false)?;
        self.gpu.wait(&launch.submit(self.gpu, Transfers { before, ..Transfers::default() })?)?;
        let read = |id: &NodeId| {
            let spec = &self.plan.recording.node(*id).spec;
            let place = self.plan.place(self.kernel, *id);
            let range = self.ranges.iter().find(|(known, _)| Some(known) == place);
            let [offset, _] = range.map_or([0, 0], |(_, range)| *range);
            let bytes = read_buffer(self.gpu, &self.work, offset, bytes_of(spec.dtype, &spec.shape))?;
            let mut values = spec.dtype.decode(&bytes);
            values.truncate(spec.shape.numel());
            Ok(values)
        };
        self.kernel.stores.iter().map(read).collect()
    }

    /// Seconds of a run: the least of several.
    pub(super) fn seconds(&self, shaped: &Shaped) -> Result<f64, Error> {
        self.gpu.seconds(0.01, &shaped.source, &shaped.bindings)
    }
}

/// Bytes of an operand: 1 to 4 sixteenths, or small whole numbers.
fn operand(dtype: DType, bytes: usize) -> Vec<u8> {
    let mut bits = 0x9e37_79b9_u32;
    let mut next = || {
        // Marsaglia, "Xorshift RNGs", 2003.
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        f64::from(bits >> 30)
    };
    let value = |number: f64| match dtype {
        DType::F32 | DType::F16 => (number + 1.0) / 16.0,
        DType::Bool => f64::from(u8::from(number > 1.0)),
        _ => number,
    };
    let pattern: Vec<f64> = (0..PATTERN).map(|_| value(next())).collect();
    dtype.encode(&pattern).into_iter().cycle().take(bytes).collect()
}

/// Whether two runs of a kernel gave the same.
pub(super) fn agree(expected: &[Vec<f64>], found: &[Vec<f64>]) -> bool {
    expected.iter().zip(found).all(|(expected, found)| {
        let finite = expected.iter().filter(|value| value.is_finite());
        let (sum, count) = finite.fold((0.0, 0.0), |(sum, count), value| (sum + value * value, count + 1.0));
        let scale = f64::sqrt(sum / f64::max(count, 1.0));
        let same = |(e, f): (&f64, &f64)| {
            e == f || e.is_nan() && f.is_nan() || (e - f).abs() <= TOLERANCE * e.abs().max(scale)
        };
        expected.len() == found.len() && expected.iter().zip(found).all(same)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_element_is_seen_and_rounding_is_not() {
        let expected = vec![(0..1000).map(|i| f64::from(i) / 7.0).collect::<Vec<f64>>()];
        let changed = |at: usize, by: f64| {
            let mut found = expected.clone();
            found[0][at] += by;
            agree(&expected, &found)
        };
        assert!(changed(500, 1e-6) && changed(0, 1e-6));
        assert!(
            !changed(500, 0.1) && !changed(0, 0.1) && !changed(3, f64::NAN) && !changed(3, f64::INFINITY)
        );
        assert!(agree(&[vec![f64::NAN]], &[vec![f64::NAN]]) && !agree(&[vec![f64::NAN]], &[vec![1.0]]));
        assert!(!agree(&expected, &[expected[0][1..].to_vec()]));
    }

    #[test]
    fn operands_are_exact_in_every_dtype() {
        for dtype in [DType::F32, DType::F16, DType::U32, DType::I32, DType::Bool] {
            let values = dtype.decode(&operand(dtype, 4000));
            let distinct: std::collections::BTreeSet<u64> =
                values.iter().map(|value| value.to_bits()).collect();
            assert_eq!(distinct.len(), if dtype == DType::Bool { 2 } else { 4 }, "{dtype}");
        }
    }
}
