//! What a model consists of, layer by layer, before anything runs.

mod layers;
mod table;

use std::panic::Location;

use wgrad_core::{Graph, Mode, Node, NodeId, Op, Recording, Result, Tensor, TensorSpec, Var, VarKind, Vars};

/// The layers of a model with their outputs, parameters and work; displays as a table (as `torchinfo` prints
/// it for PyTorch).
///
/// A layer is what reads the parameters of one prefix of names (`conv1` of `conv1.weight`). Operations that
/// read none (activations, pooling, attention's products, losses) come last, together.
///
/// ```
/// use wgrad_core::{F32, Vars};
/// use wgrad_nn::{Linear, Module, Summary};
/// let vars = Vars::new();
/// let hidden = Linear::new(vars.sub("hidden"), 784, 128);
/// let output = Linear::new(vars.sub("output"), 128, 10);
/// vars.freeze("hidden.*");
/// let summary = Summary::new(&vars, |g| {
///     let image = g.input("image", [64, 784], F32);
///     output.forward(&hidden.forward(&image).relu())
/// })?;
/// assert_eq!(summary.layers[0].output.as_ref().unwrap().to_string(), "f32[64, 128]");
/// assert_eq!(summary.layers[0].parameters, 784 * 128 + 128);
/// assert_eq!((summary.parameters, summary.frozen), (101_770, 100_480));
/// println!("{summary}");
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// In the order of their first use.
    pub layers: Vec<LayerSummary>,
    /// All parameters, also those that the recorded graph does not read.
    pub parameters: usize,
    /// Those of them that are frozen.
    pub frozen: usize,
    /// Bytes of all parameters.
    pub parameter_bytes: usize,
    /// Bytes of running statistics.
    pub buffer_bytes: usize,
    /// Floating-point operations of the forward pass.
    pub flops: u64,
    /// Those of them outside of any layer.
    pub other_flops: u64,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct LayerSummary {
    /// The prefix of its parameters' names.
    pub name: String,
    /// What comes out, in the first of several calls. `None` where that depends on no input.
    pub output: Option<TensorSpec>,
    /// The number of its parameters.
    pub parameters: usize,
    /// Those of them that are frozen.
    pub frozen: usize,
    /// Floating-point operations of the forward pass.
    pub flops: u64,
    /// Where the program calls it.
    pub location: &'static Location<'static>,
}

impl Summary {
    /// Records a model as for training, and sums it up. Errors: mistakes made while recording.
    pub fn new(vars: &Vars, record: impl FnOnce(&Graph) -> Tensor) -> Result<Self> {
        vars.check()?;
        let graph = Graph::new(Mode::Train);
        let output = record(&graph);
        output.graph().recording().check()?;
        let recording = graph.recording();
        recording.check()?;
        Ok(Self::of(vars, &recording))
    }

    /// Sums up a recording that has no gradients yet.
    pub fn of(vars: &Vars, recording: &Recording) -> Self {
        let mut summary = Self::default();
        for var in vars.all() {
            match var.kind() {
                VarKind::Parameter => {
                    summary.parameters += var.shape().numel();
                    summary.frozen += frozen(&var);
                    summary.parameter_bytes += var.spec().bytes();
                }
                VarKind::Buffer => summary.buffer_bytes += var.spec().bytes(),
                VarKind::Slot(_) | VarKind::System => {}
            }
        }
        let (layers, varies) = (layers::of(recording), layers::varies(recording));
        let mut latest = "";
        for (index, layer) in layers.iter().enumerate() {
            let id = NodeId(index as u32);
            let node = recording.node(id);
            if !node.valid || matches!(node.op, Op::Variable(_) | Op::Input(_)) {
                continue;
            }
            let flops = node.op.primitive().flops(&recording.input_specs(id), &node.spec);
            summary.flops += flops;
            let Some(row) = summary.row(vars, layer, node) else {
                summary.other_flops += flops;
                continue;
            };
            row.flops += flops;
            // Of several calls, the first says what comes out.
            if varies[index] && (row.output.is_none() || latest == layer) {
                row.output = Some(recording.node(layers::result(recording, id)).spec.clone());
            }
            latest = if varies[index] { layer } else { latest };
        }
        summary
    }

    /// The row of a layer, a new one at its first node; `None` for the name of no layer.
    fn row(&mut self, vars: &Vars, name: &str, node: &Node) -> Option<&mut LayerSummary> {
        if name.is_empty() {
            return None;
        }
        let position = self.layers.iter().position(|layer| layer.name == name);
        let position = position.unwrap_or_else(|| {
            let own = |var: &Var| layers::of_parameter(var.name()) == name;
            let own: Vec<Var> = vars.parameters().into_iter().filter(own).collect();
            self.layers.push(LayerSummary {
                name: name.into(),
                output: None,
                parameters: own.iter().map(|var| var.shape().numel()).sum(),
                frozen: own.iter().map(frozen).sum(),
                flops: 0,
                location: node.location,
            });
            self.layers.len() - 1
        });
        self.layers.get_mut(position)
    }
}

/// How many of a variable's numbers are frozen.
fn frozen(var: &Var) -> usize {
    if var.is_trainable() { 0 } else { var.shape().numel() }
}
