//! A compiled graph: pipelines and everything around them, prepared once.

use std::sync::{Arc, Mutex};

use wgrad_core::batch::{Batch, BatchAllocator, Layout, RECORDS};
use wgrad_core::{Array, Node, NodeId, Op, Recording, Tensor, TensorSpec, U32};

use crate::bind::Launches;
use crate::codegen::Source;
use crate::compile::Compiler;
use crate::device::Gpu;
use crate::error::Error;
use crate::plan::{Place, Plan, Recomputed, remat};
use crate::run::{Fields, Reader};
use crate::staging::{Ring, Shared};

/// What is known of a program before it runs.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Compute dispatches of a run.
    pub dispatches: usize,
    /// How often a dispatch has to wait for those before it; between, they may run at the same time.
    pub barriers: usize,
    /// Bytes of the workspace: every intermediate of a run at its peak.
    pub peak_bytes: u64,
    /// The most bytes that are alive at once: no plan can do with less.
    pub lower_bound: u64,
    /// Floating-point operations of a run.
    pub flops: u64,
    /// Bytes that kernels read and write in a run, each tensor counted once per kernel.
    pub bytes: u64,
    /// Bytes that a run hands back to the host: its outputs and probes.
    pub read_back: u64,
    /// What a memory budget costs; also counted in `dispatches` and `bytes`.
    pub recomputed: Option<Recomputed>,
}

/// A value that is read back: where it lies in the workspace or state, and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Readback {
    pub(crate) place: Place,
    pub(crate) spec: TensorSpec,
    /// Its byte offset in the readback buffer.
    pub(crate) offset: u64,
}

/// What a program was compiled from.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) compiler: Compiler,
    pub(crate) recording: Recording,
    pub(crate) outputs: Vec<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) gpu: Gpu,
    pub(crate) recorded: Recorded,
    pub(crate) plan: Plan,
    pub(crate) stats: Stats,
    pub(crate) inputs: Vec<(Arc<str>, TensorSpec)>,
    pub(crate) input_places: Vec<Place>,
    /// Of the last batch.
    pub(crate) fields: Mutex<Option<Arc<Fields>>>,
    /// Of each dispatch.
    pub(crate) sources: Vec<Source>,
    pub(crate) workspace: wgpu::Buffer,
    pub(crate) constants: Vec<(u64, Vec<u8>)>,
    /// Outputs, then probes.
    pub(crate) results: Vec<Readback>,
    pub(crate) outputs: usize,
    pub(crate) ring: Arc<Ring>,
    pub(crate) reader: Arc<Reader>,
    /// By state.
    pub(crate) launches: Arc<Launches>,
}

/// A compiled graph. Clones share it.
///
/// ```no_run
/// use wgrad_core::{F32, Mode, Vars, batch::Batch};
/// use wgrad_gpu::Gpu;
/// let gpu = Gpu::new()?;
/// let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32).square()])?;
/// let mut state = gpu.init(&Vars::new(), 0)?;
/// let outputs = program.run(&mut state, Batch::new().with("x", [3], &[1f32, 2.0, 3.0]))?;
/// assert_eq!(outputs.get(0)?.data, [1.0, 4.0, 9.0]);
/// # Ok::<(), wgrad_gpu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) inner: Arc<Compiled>,
}

impl Gpu {
    pub(crate) fn check_limits(&self, plan: &Plan) -> Result<(), Error> {
        let limits = self.inner.device.limits();
        let too_large = |what: &str, needed: u64, limit: u64, advice: String, largest: String| {
            let (adapter, what) = (self.info().name.clone(), what.into());
            Err(Error::TooLarge { adapter, what, needed, limit, largest, advice })
        };
        let nodes = plan.recording.nodes.iter().zip(&plan.places);
        let stored = nodes.filter(|(_, place)| place.is_some()).map(|(node, _)| node);
        let binding = limits.max_storage_buffer_binding_size;
        let mut too_wide: Vec<_> = stored.filter(|node| node.spec.bytes() as u64 > binding).collect();
        too_wide.sort_by_key(|node| std::cmp::Reverse(node.spec.bytes()));
        if let Some(widest) = too_wide.first() {
            let needed = widest.spec.bytes() as u64;
            let largest = too_wide.iter().take(8).map(|node| line(node)).collect();
            return too_large("for one tensor", needed, binding, String::new(), largest);
        }
        if plan.workspace > limits.max_buffer_size {
            let least = remat::smallest(plan).workspace;
            let advice = format!("; with a memory budget it can do with {least}");
            let (needed, limit) = (plan.workspace, limits.max_buffer_size);
            return too_large("for intermediates", needed, limit, advice, plan.largest_at_peak());
        }
        Ok(())
    }

    pub(crate) fn assemble(
        &self,
        recorded: Recorded,
        plan: Plan,
        sources: Vec<Source>,
    ) -> Result<Program, Error> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let workspace = self.buffer("workspace", plan.workspace, usage).map_err(|error| match error {
            Error::OutOfMemory(message) => {
                let largest = plan.largest_at_peak();
                Error::OutOfMemory(format!("{message}; the largest tensors at the peak:\n{largest}"))
            }
            error => error,
        })?;
        let inputs = plan.recording.inputs();
        let mut places = vec![];
        let mut layout = Layout::new();
        for (name, spec) in &inputs {
            layout = layout.field(name, spec.clone());
            let is_this = |node: &Node| matches!(&node.op, Op::Input(op) if op.name == *name);
            let node = plan.recording.nodes.iter().position(is_this);
            let place = node.and_then(|node| plan.places[node].clone());
            places.push(place.ok_or_else(|| Error::Internal(format!("input `{name}` has no place")))?);
        }
        let bounds =
            recorded.recording.bounds.iter().map(|(name, bound)| (name.to_string(), *bound)).collect();
        // Loaders' batches say how many of their records count, whether or not the program asks.
        let layout = layout.field(RECORDS, TensorSpec::new(U32, [2]));
        let ring = Arc::new(Ring::new(self, layout.bytes(), bounds)?);
        let mut offset = 0;
        let mut results = vec![];
        for id in plan.outputs.iter().chain(plan.recording.probes.iter().map(|(_, id)| id)) {
            let spec = plan.recording.node(*id).spec.clone();
            let place = plan.places[id.index()].clone();
            let place = place.ok_or_else(|| Error::Internal(format!("output %{} has no place", id.0)))?;
            let bytes = crate::plan::bytes_of(spec.dtype, &spec.shape);
            results.push(Readback { place, spec, offset });
            offset += bytes;
        }
        let reader = Arc::new(Reader::new(self, offset)?);
        let constants = constants(&plan);
        let stats = Stats {
            dispatches: sources.len(),
            barriers: plan.waits().into_iter().filter(|waits| *waits).count(),
            peak_bytes: plan.workspace,
            lower_bound: plan.lower_bound,
            flops: plan.flops(),
            bytes: plan.kernels.iter().map(|kernel| plan.kernel_bytes(kernel)).sum(),
            read_back: offset,
            recomputed: plan.recomputed,
        };
        let pieces: Vec<_> = constants.iter().map(|(offset, bytes)| (*offset, bytes.as_slice())).collect();
        self.upload(&workspace, &pieces)?;
        self.check()?;
        let outputs = plan.outputs.len();
        let inner = Compiled {
            gpu: self.clone(),
            recorded,
            plan,
            stats,
            inputs,
            input_places: places,
            fields: Mutex::default(),
            sources,
            workspace,
            constants,
            results,
            outputs,
            ring,
            reader,
            launches: self.launches(),
        };
        Ok(Program { inner: Arc::new(inner) })
    }

    /// Computes one tensor that depends on no inputs and no variables; waits for it.
    pub fn eval(&self, tensor: &Tensor) -> Result<Array, Error> {
        let program = self.compile_recording(&tensor.graph().recording(), &[tensor.id()])?;
        let mut state = self.init(&wgrad_core::Vars::new(), 0)?;
        program.run(&mut state, Batch::new())?.get(0)
    }
}

/// A node that needs memory, as errors name it.
fn line(node: &Node) -> String {
    format!("  {} {} ({} bytes) at {}\n", node.op.name(), node.spec, node.spec.bytes(), node.location)
}

/// The constants of a plan that lie in memory: (offset, bytes).
fn constants(plan: &Plan) -> Vec<(u64, Vec<u8>)> {
    let nodes = plan.recording.nodes.iter().zip(&plan.places);
    nodes
        .filter_map(|(node, place)| match (&node.op, place) {
            (Op::Constant(constant), Some(Place::Workspace { offset, .. })) => {
                let mut bytes = node.spec.dtype.encode(&constant.array().data);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                Some((*offset, bytes))
            }
            _ => None,
        })
        .collect()
}

impl Program {
    /// Names and specs of the inputs that a batch must have.
    pub fn inputs(&self) -> &[(Arc<str>, TensorSpec)] {
        &self.inner.inputs
    }

    /// A ring of mapped staging buffers: a loader that allocates here writes straight into memory that the
    /// device copies from.
    pub fn staging(&self) -> Arc<dyn BatchAllocator> {
        Arc::new(Shared(self.inner.ring.clone()))
    }

    /// What is known before running.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// A listing of the kernels, what was fused into each, bytes, flops and places in memory.
    pub fn explain(&self) -> String {
        self.inner.plan.explain() + &self.explain_cooperative()
    }

    /// The WGSL of every kernel, in the order of execution.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.inner.sources.iter().map(|source| source.wgsl.as_str())
    }
}
