//! Recurrent networks: RNN, LSTM and GRU over sequences, unrolled in the graph.
//!
//! The inputs of all time steps are projected by one product; what remains for each step is the product with
//! the hidden state and the cell's formula.

mod gru;
mod lstm;
mod rnn;

pub use gru::Gru;
pub use lstm::Lstm;
pub use rnn::Rnn;

use std::borrow::Borrow;

use wgrad_core::{F32, Tensor, U32, Var, Vars};

use crate::init::uniform;
use crate::linear::project;
use crate::{Dropout, Module};

/// The choices of a recurrent layer, made before its variables are declared.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, RecurrentConfig};
/// let vars = Vars::new();
/// let lstm = RecurrentConfig::new(12, 32).layers(2).bidirectional().dropout(0.2).lstm(vars.sub("lstm"));
/// let x = Graph::new(Mode::Train).input("x", [8, 20, 12], F32);
/// assert_eq!(*lstm.forward(&x).shape(), [8, 20, 64]);
/// assert!(vars.get("lstm.weight_hh_l1_reverse").is_some());
/// ```
#[derive(Clone, Debug)]
pub struct RecurrentConfig {
    inputs: usize,
    hidden: usize,
    layers: usize,
    bidirectional: bool,
    dropout: f64,
    bias: bool,
}

impl RecurrentConfig {
    /// PyTorch's defaults: one layer, one direction, biases, no dropout.
    pub fn new(inputs: usize, hidden: usize) -> Self {
        Self { inputs, hidden, layers: 1, bidirectional: false, dropout: 0.0, bias: true }
    }

    /// Layers on top of each other; each reads the hidden states of the one below.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// Reads sequences in both directions; hidden states are joined, forward before backward.
    pub fn bidirectional(mut self) -> Self {
        self.bidirectional = true;
        self
    }

    /// In training, drops elements of the hidden states between layers with this probability.
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Products alone.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Declares the variables of an RNN with tanh.
    #[track_caller]
    pub fn rnn(self, vars: impl Borrow<Vars>) -> Rnn {
        Rnn::from_stack(self.build(vars.borrow(), 1, 1))
    }

    /// Declares the variables of an LSTM.
    #[track_caller]
    pub fn lstm(self, vars: impl Borrow<Vars>) -> Lstm {
        Lstm::from_stack(self.build(vars.borrow(), 4, 4))
    }

    /// Declares the variables of a GRU.
    #[track_caller]
    pub fn gru(self, vars: impl Borrow<Vars>) -> Gru {
        Gru::from_stack(self.build(vars.borrow(), 3, 2))
    }

    /// Layers of a cell with a number of gates; the hidden bias of the first `plain` ones is merely added.
    #[track_caller]
    fn build(self, vars: &Vars, gates: usize, plain: usize) -> Stack {
        let directions = 1 + usize::from(self.bidirectional);
        let mut layers = Vec::with_capacity(self.layers);
        for layer in 0..self.layers {
            let inputs = if layer == 0 { self.inputs } else { self.hidden * directions };
            let mut both = Vec::with_capacity(directions);
            for suffix in ["", "_reverse"].into_iter().take(directions) {
                both.push(self.direction(vars, gates, inputs, &format!("l{layer}{suffix}")));
            }
            layers.push(both);
        }
        Stack { layers, hidden: self.hidden, plain, dropout: self.dropout }
    }

    #[track_caller]
    fn direction(&self, vars: &Vars, gates: usize, inputs: usize, suffix: &str) -> Direction {
        let rows = gates * self.hidden;
        let bound = 1.0 / (self.hidden.max(1) as f64).sqrt();
        let init = || uniform(-bound, bound);
        let mut direction = Direction {
            input: vars.var(&format!("weight_ih_{suffix}"), [rows, inputs], init()),
            hidden: vars.var(&format!("weight_hh_{suffix}"), [rows, self.hidden], init()),
            biases: None,
        };
        if self.bias {
            let input = vars.var(&format!("bias_ih_{suffix}"), [rows], init());
            direction.biases = Some([input, vars.var(&format!("bias_hh_{suffix}"), [rows], init())]);
        }
        direction
    }
}

/// The weights of one direction of one layer.
#[derive(Clone, Debug)]
struct Direction {
    input: Var,
    hidden: Var,
    biases: Option<[Var; 2]>,
}

/// Layers of recurrent cells, all but the cell's formula.
#[derive(Clone, Debug)]
struct Stack {
    layers: Vec<Vec<Direction>>,
    hidden: usize,
    plain: usize,
    dropout: f64,
}

/// What a cell is given at one step: the gates' share of the input (with biases), that of the hidden state,
/// and the hidden bias of the gates that do not merely add it.
struct Step<'a> {
    input: &'a Tensor,
    hidden: &'a Tensor,
    bias: Option<&'a Tensor>,
}

/// A cell: a step and the state before it to the state behind it, the hidden state first.
type Cell<const S: usize> = fn(&Step<'_>, &[Tensor; S]) -> [Tensor; S];

impl Stack {
    /// Runs over \[N, T, inputs\]: the last layer's hidden states \[N, T, hidden · directions\], and the last
    /// states \[layers · directions, N, hidden\]. Sequences end at their `lengths`, u32 \[N\]: behind the end
    /// outputs are 0, and states stay as they were.
    #[track_caller]
    fn run<const S: usize>(
        &self,
        x: &Tensor,
        lengths: Option<&Tensor>,
        initial: Option<[&Tensor; S]>,
        cell: Cell<S>,
    ) -> (Tensor, [Tensor; S]) {
        if let Some(message) = self.refuse(x, lengths, initial.as_ref().map(|states| &states[..])) {
            let invalid = x.fail("recurrent", message);
            return (invalid.clone(), std::array::from_fn(|_| invalid.clone()));
        }
        let mut sequence = x.clone();
        let mut last: [Vec<Tensor>; S] = std::array::from_fn(|_| vec![]);
        for (layer, directions) in self.layers.iter().enumerate() {
            if layer > 0 {
                sequence = Dropout::new(self.dropout).forward(&sequence);
            }
            let mut outputs = Vec::with_capacity(directions.len());
            for (which, direction) in directions.iter().enumerate() {
                let number = layer * directions.len() + which;
                let states = self.initial_states(x, initial, number);
                let (output, states) =
                    self.run_direction(&sequence, lengths, direction, which == 1, states, cell);
                outputs.push(output);
                last.iter_mut().zip(states).for_each(|(all, state)| all.push(state));
            }
            sequence = join(&outputs, -1);
        }
        (sequence, last.map(|states| stack(&states, 0)))
    }

    /// The given state of a layer and direction, or zeros.
    #[track_caller]
    fn initial_states<const S: usize>(
        &self,
        x: &Tensor,
        initial: Option<[&Tensor; S]>,
        number: usize,
    ) -> [Tensor; S] {
        match initial {
            Some(states) => states.map(|state| state.select_index(0, number)),
            None => std::array::from_fn(|_| x.graph().zeros([x.dim(0), self.hidden], x.dtype())),
        }
    }

    #[track_caller]
    fn run_direction<const S: usize>(
        &self,
        x: &Tensor,
        lengths: Option<&Tensor>,
        direction: &Direction,
        reverse: bool,
        mut states: [Tensor; S],
        cell: Cell<S>,
    ) -> (Tensor, [Tensor; S]) {
        let (graph, steps) = (x.graph(), x.dim(1));
        let (bias, inner) = self.biases(x, direction);
        let input = project(x, &graph.var(&direction.input), bias.as_ref(), direction.input.name());
        let (inputs, weight) = (time_steps(&input), graph.var(&direction.hidden));
        let mut outputs = vec![None; steps];
        for i in 0..steps {
            let t = if reverse { steps - 1 - i } else { i };
            let hidden = states[0].einsum(&weight, "ni,oi->no");
            let step = Step { input: &inputs[t], hidden: &hidden, bias: inner.as_ref() };
            let next = cell(&step, &states);
            let Some(lengths) = lengths else {
                outputs[t] = Some(next[0].clone());
                states = next;
                continue;
            };
            let runs = lengths.gt(t as f64).unsqueeze(1);
            outputs[t] = Some(runs.select(&next[0], &next[0].zeros_like()));
            for (state, next) in states.iter_mut().zip(&next) {
                *state = runs.select(next, state);
            }
        }
        let outputs: Vec<Tensor> = outputs.into_iter().flatten().collect();
        match outputs.is_empty() {
            true => (graph.zeros([x.dim(0), 0, self.hidden], x.dtype()), states),
            false => (stack(&outputs, 1), states),
        }
    }

    /// The bias of the input's product, which takes over the hidden bias of the plain gates, and the hidden
    /// bias of the others.
    #[track_caller]
    fn biases(&self, x: &Tensor, direction: &Direction) -> (Option<Tensor>, Option<Tensor>) {
        let Some([input, hidden]) = &direction.biases else { return (None, None) };
        let (input, hidden) = (x.graph().var(input), x.graph().var(hidden));
        let (rows, plain) = (hidden.dim(0), self.plain * self.hidden);
        if plain == rows {
            return (Some(input + hidden), None);
        }
        let shared = hidden.slice(0, 0..plain).pad(&[(0, rows - plain)], 0.0);
        (Some(input + shared), Some(hidden.slice(0, plain..rows)))
    }

    /// What is wrong with the operands, if anything.
    fn refuse(&self, x: &Tensor, lengths: Option<&Tensor>, initial: Option<&[&Tensor]>) -> Option<String> {
        let Some(first) = self.layers.first() else { return Some("needs at least one layer".into()) };
        let (name, inputs) = (first[0].input.name(), first[0].input.shape()[1]);
        let shape = x.shape();
        if shape.rank() != 3 || shape[2] != inputs || x.dtype() != F32 {
            return Some(format!("`{name}` needs a sequence f32[N, T, {inputs}], got {}", x.spec()));
        }
        if let Some(lengths) =
            lengths.filter(|lengths| *lengths.shape() != [shape[0]] || lengths.dtype() != U32)
        {
            return Some(format!("`{name}` needs lengths u32[{}], got {}", shape[0], lengths.spec()));
        }
        let state = [self.layers.len() * first.len(), shape[0], self.hidden];
        let other = initial.unwrap_or_default().iter().find(|given| *given.shape() != state)?;
        Some(format!("`{name}` needs an initial state f32{state:?}, got {}", other.spec()))
    }
}

/// The gates of one step, each \[N, hidden\].
#[track_caller]
fn gates<const G: usize>(all: &Tensor) -> [Tensor; G] {
    let size = all.dim(-1) / G;
    std::array::from_fn(|gate| all.slice(-1, gate * size..(gate + 1) * size))
}

/// The time steps of \[N, T, gates\], taken from blocks of about √T: the gradient is a sum of padded parts in which
/// each element looks at the steps of a block and at the blocks, not at all steps.
#[track_caller]
fn time_steps(x: &Tensor) -> Vec<Tensor> {
    let count = x.dim(1);
    let size = count.isqrt().max(1);
    let mut steps = Vec::with_capacity(count);
    for start in (0..count).step_by(size) {
        let block = x.slice(1, start..count.min(start + size));
        for t in 0..block.dim(1) {
            steps.push(block.select_index(1, t));
        }
    }
    steps
}

#[track_caller]
fn stack(tensors: &[Tensor], axis: isize) -> Tensor {
    Tensor::stack(&tensors.iter().collect::<Vec<_>>(), axis)
}

#[track_caller]
fn join(tensors: &[Tensor], axis: isize) -> Tensor {
    Tensor::concat(&tensors.iter().collect::<Vec<_>>(), axis)
}
