//! Compiles a recording: the passes of the plan, the WGSL of its kernels, their pipelines.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use wgrad_core::simplify::simplify;
use wgrad_core::{DType, Graph, Mode, NodeId, Op, Recording, Tensor, Var};

#[cfg(not(target_family = "wasm"))]
use crate::ahead;
use crate::codegen::{self, Shaping, Source};
use crate::device::Gpu;
use crate::error::Error;
use crate::parallel;
use crate::plan::fuse::{Budget, fuse};
use crate::plan::pack::{self, Packing, SMALL};
use crate::plan::{Place, Plan, bytes_of, lower, memory, mixed, remat, schedule};
use crate::program::{Program, Recorded};

/// How one program is compiled. [`Gpu::compile`] is the short way to one with the defaults.
///
/// ```no_run
/// use wgrad_core::{F32, Mode};
/// use wgrad_gpu::Gpu;
/// let gpu = Gpu::new()?;
/// let program = gpu.compiler().compile(Mode::Eval, |g| [g.input("x", [3], F32).square()])?;
/// # Ok::<(), wgrad_gpu::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a compiler does nothing until it compiles"]
pub struct Compiler {
    gpu: Gpu,
    precision: Precision,
    memory_budget: Option<u64>,
    /// How kernels are shaped, whatever the device says.
    shaping: Option<Shaping>,
    /// Bytes of the state, as far as they are known.
    state_bytes: u64,
}

/// In which precision a program multiplies and stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Everything in the dtype it was recorded in: f32, as a rule.
    #[default]
    Full,
    /// Products of f32 tensors (matrix products, convolutions, attention) read and give f16, and are summed in
    /// f32; what lies between them is f32 in registers. Variables stay f32, and so do the optimizer's updates.
    /// Train with a loss scale: small gradients vanish in f16.
    ///
    /// An adapter without f16 is an error.
    Mixed,
    /// [`Precision::Mixed`] where the adapter has f16, [`Precision::Full`] elsewhere.
    MixedWhereSupported,
}

impl Gpu {
    /// A compiler for this device, with the defaults.
    pub fn compiler(&self) -> Compiler {
        Compiler {
            gpu: self.clone(),
            precision: Precision::Full,
            memory_budget: None,
            shaping: None,
            state_bytes: 0,
        }
    }

    /// Records a graph and compiles it. The closure returns the outputs; a mistake made while recording is
    /// returned with its place in the user's code. In [`Mode::Train`] every run adds one to the state's
    /// step.
    pub fn compile<O: AsRef<[Tensor]>>(
        &self,
        mode: Mode,
        record: impl FnOnce(&Graph) -> O,
    ) -> Result<Program, Error> {
        self.compiler().compile(mode, record)
    }

    /// Compiles a finished recording.
    pub fn compile_recording(&self, recording: &Recording, outputs: &[NodeId]) -> Result<Program, Error> {
        self.compiler().compile_recording(recording, outputs)
    }
}

impl Compiler {
    /// In which precision to multiply and store.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Whether programs are in mixed precision: it is asked for, and where it may be left out the adapter has f16.
    pub fn is_mixed(&self) -> bool {
        match self.precision {
            Precision::Full => false,
            Precision::Mixed => true,
            Precision::MixedWhereSupported => self.has_half(),
        }
    }

    /// Keeps the workspace, which is every intermediate of a run at its peak, within so many bytes: what does not
    /// fit is computed a second time where it is read again (gradient checkpointing, chosen by the planner). The
    /// same kernels run, so results have the same bits as without; [`Stats`](crate::Stats) and
    /// [`Program::explain`] say what it costs. Variables are not counted: [`State::bytes`](crate::State::bytes)
    /// come on top.
    ///
    /// Compiling fails with [`Error::OverBudget`], which says what would do, where recomputing is not enough.
    ///
    /// ```no_run
    /// # use wgrad_core::{Mode, Tensor};
    /// # fn of(gpu: wgrad_gpu::Gpu, record: impl Fn(&wgrad_core::Graph) -> [Tensor; 1]) -> Result<(), wgrad_gpu::Error> {
    /// let whole = gpu.compile(Mode::Train, &record)?;
    /// let half = whole.stats().peak_bytes / 2;
    /// let program = gpu.compiler().memory_budget(half).compile(Mode::Train, &record)?;
    /// assert!(program.stats().peak_bytes <= half);
    /// # Ok(())
    /// # }
    /// ```
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// For a state that has so many bytes, however few of its variables the program sees.
    pub(crate) fn for_state(mut self, bytes: u64) -> Self {
        self.state_bytes = bytes;
        self
    }

    /// Shapes kernels in this way, with cooperative matrices that nothing has tested.
    pub(crate) fn shaped(mut self, shaping: Shaping) -> Self {
        self.shaping = Some(shaping);
        self
    }

    /// The same without a memory budget.
    pub(crate) fn without_budget(mut self) -> Self {
        self.memory_budget = None;
        self
    }

    /// [`Gpu::compile`] with this compiler's choices.
    pub fn compile<O: AsRef<[Tensor]>>(
        &self,
        mode: Mode,
        record: impl FnOnce(&Graph) -> O,
    ) -> Result<Program, Error> {
        let graph = Graph::new(mode);
        let outputs = record(&graph);
        if mode == Mode::Train {
            let step = graph.var(&Var::step());
            graph.assign(&Var::step(), &(&step + graph.scalar(1.0, DType::U32)));
        }
        let outputs = outputs.as_ref();
        if let Some(foreign) = outputs.iter().find(|output| !output.graph().same(&graph)) {
            foreign.fail("compile", "this output was recorded in another graph");
            foreign.graph().recording().check()?;
        }
        let outputs: Vec<NodeId> = outputs.iter().map(Tensor::id).collect();
        self.compile_recording(&graph.recording(), &outputs)
    }

    /// Compiles a finished recording.
    pub fn compile_recording(&self, recording: &Recording, outputs: &[NodeId]) -> Result<Program, Error> {
        recording.check()?;
        let gpu = &self.gpu;
        gpu.check()?;
        if self.precision == Precision::Mixed && !self.has_half() {
            let what = "f16, which mixed precision needs (`Precision::MixedWhereSupported` does without it)";
            return Err(Error::Unsupported { adapter: gpu.info().name.clone(), what: what.into() });
        }
        let plan = self.plan(recording, outputs)?;
        gpu.check_limits(&plan)?;
        let shaping = self.shaping.unwrap_or_else(|| gpu.shaping_of(&plan));
        let shapings = codegen::within_budget(&plan, &shaping);
        let steps: Vec<(&Range<usize>, Shaping)> = plan.steps.iter().zip(shapings).collect();
        let sources = parallel::map(&steps, |(step, shaping)| {
            let kernels = &plan.kernels[step.start..step.end];
            codegen::generate(&plan, kernels, &gpu.shaped(&plan, kernels, shaping))
        });
        let sources = sources.into_iter().collect::<Result<Vec<Source>, _>>()?;
        let mut seen = HashSet::new();
        let kernels =
            sources.iter().filter(|source| seen.insert(&source.wgsl) && !gpu.is_prepared(&source.wgsl));
        let kernels: Vec<&Source> = kernels.collect();
        parallel::map(&kernels, |source| gpu.prepare(source)).into_iter().collect::<Result<Vec<_>, _>>()?;
        gpu.save_pipelines();
        #[cfg(not(target_family = "wasm"))]
        ahead::compile(gpu, &kernels);
        let (recording, outputs) = (recording.clone(), outputs.to_vec());
        let recorded = Recorded { compiler: self.clone(), recording, outputs };
        gpu.assemble(recorded, plan, sources)
    }

    /// Plans a recording without compiling anything.
    pub fn plan(&self, recording: &Recording, outputs: &[NodeId]) -> Result<Plan, Error> {
        let gpu = &self.gpu;
        let simple = if self.is_mixed() {
            let (mixed, outputs) = mixed::mixed(recording, outputs);
            simplify(&mixed, &outputs)
        } else {
            simplify(recording, outputs)
        };
        let shaping = gpu.shaping();
        let subgroup = shaping.subgroup.map(|size| size as usize);
        let own = gpu.own_kernels(&simple.recording)?;
        let accepted = lower::Accepted { own, attention: gpu.options().fuse };
        let grain = lower::Grain::new(subgroup, shaping.workgroup_tiles.then_some(shaping.processors));
        let (lowered, outputs) = lower::lower(&simple.recording, &simple.outputs, grain, &accepted);
        lowered.check()?;
        let simple = simplify(&lowered, &outputs);
        let mut outputs = simple.outputs;
        let recording = lower::own_assigned_values(simple.recording);
        let recording = lower::own_read_values(recording, &mut outputs);
        self.check_dtypes(&recording)?;
        let mut roots = outputs.clone();
        roots.extend(recording.assigns.iter().map(|(_, id)| *id));
        roots.extend(recording.probes.iter().map(|(_, id)| *id));
        let budget = Budget { bindings: gpu.bindings(), fuse: gpu.options().fuse, subgroup };
        let alignment = self.alignment();
        let packed = |packing| {
            let mut alone = HashSet::new();
            loop {
                let fused = fuse(&recording, &roots, budget);
                let schedule = schedule::schedule(&recording, fused, packing, &alone);
                let plan = memory::place(recording.clone(), outputs.clone(), schedule, alignment);
                let known = alone.len();
                alone.extend(pack::too_far_apart(&plan, self.reach()));
                if alone.len() == known {
                    return plan;
                }
            }
        };
        let packing = self.packing(&recording);
        let plan = packed(packing);
        let Some(budget) = self.memory_budget.filter(|&budget| plan.workspace > budget) else {
            return Ok(plan);
        };
        // Waiting for each other, packed kernels keep their operands alive.
        remat::within(&packed(packing.min(Packing::Maps)), budget).map_err(|least| Error::OverBudget {
            budget,
            least: least.workspace,
            largest: least.largest_at_peak(),
        })
    }

    /// Which kernels may share a dispatch: those whose tensors one binding reaches, in whatever state they lie or in the one that is
    /// known.
    fn packing(&self, recording: &Recording) -> Packing {
        /// How many times as far apart as they are large the small variables that a program sees may lie, and all of them:
        /// small ones lie together, and the optimizer's may lie among the others without being seen.
        const APART: [u64; 2] = [2, 4];
        let seen = recording.nodes.iter().filter_map(|node| match &node.op {
            Op::Variable(variable) => Some((&*variable.name, &node.spec)),
            _ => None,
        });
        let given = recording.assigns.iter().map(|(var, id)| (var.name(), &recording.node(*id).spec));
        let bytes: HashMap<&str, u64> =
            seen.chain(given).map(|(name, spec)| (name, bytes_of(spec.dtype, &spec.shape))).collect();
        let small: u64 = bytes.values().filter(|&&bytes| bytes <= SMALL).sum();
        if !self.gpu.options().fuse || APART[0] * small > self.reach() {
            Packing::None
        } else if (APART[1] * bytes.values().sum::<u64>()).max(self.state_bytes) > self.reach() {
            Packing::Maps
        } else {
            Packing::All
        }
    }

    /// The alignment of values in the workspace: what the device wants of bindings.
    fn alignment(&self) -> u64 {
        let wanted = self.gpu.inner.device.limits().min_storage_buffer_offset_alignment;
        u64::from(wanted).clamp(Place::LEAST_ALIGNMENT, Place::ALIGNMENT)
    }

    /// The bytes that one binding reaches.
    fn reach(&self) -> u64 {
        self.gpu.inner.device.limits().max_storage_buffer_binding_size
    }

    fn has_half(&self) -> bool {
        self.gpu.inner.device.features().contains(wgpu::Features::SHADER_F16)
    }

    fn check_dtypes(&self, recording: &Recording) -> Result<(), Error> {
        let has_half = self.has_half();
        let half = recording.nodes.iter().find(|node| node.spec.dtype == DType::F16);
        match half.filter(|_| !has_half) {
            Some(node) => Err(Error::Unsupported {
                adapter: self.gpu.info().name.clone(),
                what: format!("f16, which `{}` at {} needs", node.op.name(), node.location),
            }),
            None => Ok(()),
        }
    }
}
