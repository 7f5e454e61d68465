//! Everything training remembers: parameters, optimizer moments, running statistics, seed and step, in one
//! device buffer.

use std::collections::HashMap;
use std::sync::Arc;

use wgrad_core::batch::Batch;
use wgrad_core::vars::InitContext;
use wgrad_core::{Array, DType, Mode, NodeId, Op, Recording, Tensor, TensorSpec, Var, VarKind, Vars};

use crate::device::Gpu;
use crate::error::Error;
use crate::plan::pack::SMALL;
use crate::plan::{Place, bytes_of};

/// Where a variable lies in the state.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) spec: TensorSpec,
}

/// The values of a set of variables.
#[derive(Debug)]
pub struct State {
    pub(crate) gpu: Gpu,
    /// Programs keep what they have prepared for this state for as long as this is here.
    pub(crate) alive: Arc<()>,
    pub(crate) buffer: wgpu::Buffer,
    slots: HashMap<Arc<str>, Slot>,
    order: Vec<Arc<str>>,
    bytes: u64,
}

impl Gpu {
    /// Gives every variable its first value, on the device. Call it after compiling the training program,
    /// so that the optimizer's variables exist.
    pub fn init(&self, vars: &Vars, seed: u64) -> Result<State, Error> {
        vars.check()?;
        let mut all = vec![Var::seed(), Var::step()];
        all.extend(vars.all());
        // Small ones first; among those and the large, parameters lie together, then each of the optimizer's
        // moments in the parameters' order.
        all.sort_by_key(|var| {
            let large = bytes_of(var.spec().dtype, var.shape()) > SMALL;
            match var.kind() {
                VarKind::System => (large, 0, String::new()),
                VarKind::Parameter => (large, 1, String::new()),
                VarKind::Slot(slot) => (large, 2, slot.clone()),
                VarKind::Buffer => (large, 3, String::new()),
            }
        });
        let mut state = State::allocate(self, &all)?;
        // What the host knows, pretrained weights among it, needs no kernel.
        let mut given = vec![];
        let program = self.compiler().for_state(state.bytes).compile(Mode::Eval, |graph| {
            let value = |var: &Var| {
                let cx = InitContext {
                    graph,
                    shape: var.shape(),
                    dtype: var.spec().dtype,
                    name: var.name(),
                    seed,
                };
                if *var.kind() == VarKind::System && var.name() == Var::seed().name() {
                    graph.constant([2], &[seed as u32, (seed >> 32) as u32])
                } else {
                    var.init().record(&cx)
                }
            };
            let values: Vec<Tensor> = all.iter().map(value).collect();
            let recording = graph.recording();
            for (var, value) in all.iter().zip(&values) {
                let fits = value.spec() == *var.spec();
                match &recording.node(value.id()).op {
                    Op::Constant(constant) if fits => given.push((var, constant.clone())),
                    // A new state holds zeros.
                    _ if fits && is_zero(&recording, value.id()) => {}
                    _ => graph.assign(var, value),
                }
            }
            []
        })?;
        program.run(&mut state, Batch::new())?;
        given.iter().try_for_each(|(var, values)| state.write(var.name(), &values.array()))?;
        Ok(state)
    }
}

/// Whether all elements of a node are +0, by its definition.
fn is_zero(recording: &Recording, id: NodeId) -> bool {
    let node = recording.node(id);
    match &node.op {
        Op::Scalar(scalar) => scalar.value() == 0.0 && scalar.value().is_sign_positive(),
        Op::Expand(_) | Op::Reshape(_) | Op::Detach(_) => is_zero(recording, node.inputs[0]),
        _ => false,
    }
}

impl State {
    fn allocate(gpu: &Gpu, vars: &[Var]) -> Result<Self, Error> {
        let mut slots = HashMap::new();
        let mut order = vec![];
        let mut end = 0;
        for var in vars {
            let bytes = bytes_of(var.spec().dtype, var.shape());
            let name: Arc<str> = var.name().into();
            slots.insert(name.clone(), Slot { offset: end, bytes, spec: var.spec().clone() });
            order.push(name);
            end = (end + bytes).next_multiple_of(Place::ALIGNMENT);
        }
        let limit = gpu.inner.device.limits().max_buffer_size;
        if end > limit {
            let mut largest: Vec<&Var> = vars.iter().collect();
            largest.sort_by_key(|var| std::cmp::Reverse(var.spec().bytes()));
            let lines = largest.iter().take(5).map(|var| format!("  `{}` {}\n", var.name(), var.spec()));
            return Err(Error::TooLarge {
                adapter: gpu.info().name.clone(),
                what: "for variables in one buffer".into(),
                needed: end,
                limit,
                largest: lines.collect(),
                advice: String::new(),
            });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = gpu.zeroed_buffer("state", end, usage)?;
        Ok(Self { gpu: gpu.clone(), alive: Arc::default(), buffer, slots, order, bytes: end })
    }

    /// A state of the same variables with the same values, in device memory of its own.
    pub fn duplicate(&self) -> Result<Self, Error> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let mut copy = Self {
            gpu: self.gpu.clone(),
            alive: Arc::default(),
            buffer: self.gpu.buffer("state", self.bytes, usage)?,
            slots: self.slots.clone(),
            order: self.order.clone(),
            bytes: self.bytes,
        };
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Takes the values of a state of the same variables, on the device and without waiting.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), Error> {
        if !Arc::ptr_eq(&self.gpu.inner, &other.gpu.inner) {
            let [program, state] = [&self.gpu, &other.gpu].map(|gpu| gpu.info().to_string());
            return Err(Error::OtherDevice { program, state });
        }
        let place =
            |state: &Self, name: &str| state.slots.get(name).map(|slot| (slot.offset, slot.spec.clone()));
        let mut names = self.order.iter().chain(&other.order);
        if let Some(name) = names.find(|name| place(self, name) != place(other, name)) {
            let message = "it is not the same in the two states of a copy".into();
            return Err(Error::Variable { name: name.to_string(), message });
        }
        let mut encoder =
            self.gpu.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&other.buffer, 0, &self.buffer, 0, self.bytes);
        self.gpu.submit([encoder.finish()]);
        self.gpu.check()
    }

    pub(crate) fn slot(&self, name: &str) -> Result<&Slot, Error> {
        self.slots.get(name).ok_or_else(|| Error::Variable {
            name: name.into(),
            message: "the state does not have it; call `gpu.init` after compiling the training program"
                .into(),
        })
    }

    /// The names of the variables, in the order of their place in memory.
    pub fn names(&self) -> Vec<String> {
        self.order.iter().map(ToString::to_string).collect()
    }

    /// Bytes of device memory.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// A variable's value; waits for the steps before.
    pub fn read(&self, name: &str) -> Result<Array, Error> {
        let slot = self.slot(name)?;
        let data = crate::run::read_buffer(&self.gpu, &self.buffer, slot.offset, slot.bytes)?;
        let values = slot.spec.dtype.decode(&data[..slot.spec.bytes()]);
        Ok(Array { spec: slot.spec.clone(), data: values })
    }

    /// Gives a variable a value, before the next step.
    pub fn write(&mut self, name: &str, value: &Array) -> Result<(), Error> {
        let slot = self.slot(name)?;
        if slot.spec != value.spec {
            let message = format!("it is {}, the new value {}", slot.spec, value.spec);
            return Err(Error::Variable { name: name.into(), message });
        }
        let mut bytes = value.spec.dtype.encode(&value.data);
        bytes.resize(slot.bytes as usize, 0);
        self.gpu.upload(&self.buffer, &[(slot.offset, &bytes)])
    }

    /// The number of training steps taken; waits for them.
    pub fn step(&self) -> Result<u32, Error> {
        let step = self.read(Var::step().name())?;
        debug_assert_eq!(step.spec.dtype, DType::U32);
        Ok(step.item() as u32)
    }
}
