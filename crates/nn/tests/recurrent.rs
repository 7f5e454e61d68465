//! RNN, LSTM and GRU against plain loops.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{array, assert_close, eval, noise, scrambled};
use wgrad_core::interpret::Environment;
use wgrad_core::{Array, F32, Graph, Mode, Tensor, U32, Vars};
use wgrad_nn::{Gru, Lstm, Module, RecurrentConfig, Rnn};

const EXACT: f64 = 1e-12;

/// One step of a cell: gates of the input and of the hidden state, biases included, and the state (h, c).
type Cell = fn(&[f64], &[f64], &mut (Vec<f64>, Vec<f64>));

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn tanh_cell(x: &[f64], u: &[f64], (h, _): &mut (Vec<f64>, Vec<f64>)) {
    *h = x.iter().zip(u).map(|(x, u)| (x + u).tanh()).collect();
}

fn relu_cell(x: &[f64], u: &[f64], (h, _): &mut (Vec<f64>, Vec<f64>)) {
    *h = x.iter().zip(u).map(|(x, u)| (x + u).max(0.0)).collect();
}

fn lstm_cell(x: &[f64], u: &[f64], (h, c): &mut (Vec<f64>, Vec<f64>)) {
    let size = h.len();
    let gate = |which: usize, i: usize| x[which * size + i] + u[which * size + i];
    for i in 0..size {
        c[i] = sigmoid(gate(1, i)) * c[i] + sigmoid(gate(0, i)) * gate(2, i).tanh();
        h[i] = sigmoid(gate(3, i)) * c[i].tanh();
    }
}

fn gru_cell(x: &[f64], u: &[f64], (h, _): &mut (Vec<f64>, Vec<f64>)) {
    let size = h.len();
    for i in 0..size {
        let (r, z) = (sigmoid(x[i] + u[i]), sigmoid(x[size + i] + u[size + i]));
        let n = (x[2 * size + i] + r * u[2 * size + i]).tanh();
        h[i] = (1.0 - z) * n + z * h[i];
    }
}

fn affine(x: &[f64], weight: &Array, bias: Option<&Array>) -> Vec<f64> {
    let row = |o: usize| {
        let product: f64 = x.iter().enumerate().map(|(i, x)| x * weight.at(&[o, i])).sum();
        product + bias.map_or(0.0, |bias| bias.data[o])
    };
    (0..weight.shape()[0]).map(row).collect()
}

/// What a layer computes: outputs [N][T][directions · hidden], last states [layers · directions][N].
struct Reference<'a> {
    cell: Cell,
    hidden: usize,
    layers: usize,
    directions: usize,
    state: &'a Environment,
    lengths: Option<[usize; 2]>,
    initial: Option<[Array; 2]>,
}

/// The states (h, c) that sequences end with.
type Last = Vec<(Vec<f64>, Vec<f64>)>;

impl Reference<'_> {
    /// One sequence.
    fn run(&self, n: usize, x: &[Vec<f64>]) -> (Vec<Vec<f64>>, Last) {
        let (mut sequence, mut last) = (x.to_vec(), vec![]);
        let length = self.lengths.map_or(x.len(), |lengths| lengths[n]);
        for layer in 0..self.layers {
            let mut outputs = vec![vec![]; x.len()];
            for direction in 0..self.directions {
                let suffix = format!("l{layer}{}", ["", "_reverse"][direction]);
                let get = |name: &str| self.state.get(&format!("{name}_{suffix}"));
                let initial = |which: usize| {
                    let row = |i| match &self.initial {
                        Some(states) => states[which].at(&[layer * self.directions + direction, n, i]),
                        None => 0.0,
                    };
                    (0..self.hidden).map(row).collect::<Vec<f64>>()
                };
                let mut state = (initial(0), initial(1));
                let steps: Vec<usize> =
                    if direction == 0 { (0..length).collect() } else { (0..length).rev().collect() };
                let mut hidden = vec![vec![0.0; self.hidden]; x.len()];
                for t in steps {
                    let input =
                        affine(&sequence[t], &self.state[&format!("weight_ih_{suffix}")], get("bias_ih"));
                    let own = affine(&state.0, &self.state[&format!("weight_hh_{suffix}")], get("bias_hh"));
                    (self.cell)(&input, &own, &mut state);
                    hidden[t] = state.0.clone();
                }
                outputs.iter_mut().zip(hidden).for_each(|(all, own)| all.extend(own));
                last.push(state);
            }
            sequence = outputs;
        }
        (sequence, last)
    }

    /// Two sequences: output, last hidden states, last memories.
    fn batch(&self, x: &Array) -> [Array; 3] {
        let rows: Vec<Vec<f64>> = x.data.chunks(x.shape()[2]).map(<[f64]>::to_vec).collect();
        let runs: Vec<_> = rows.chunks(x.shape()[1]).enumerate().map(|(n, x)| self.run(n, x)).collect();
        let output = runs.iter().flat_map(|(output, _)| output.concat()).collect();
        let (count, width) = (self.layers * self.directions, self.directions * self.hidden);
        let last = |memory: bool| {
            array([count, runs.len(), self.hidden], |index| {
                let (h, c) = &runs[index[1]].1[index[0]];
                if memory { c[index[2]] } else { h[index[2]] }
            })
        };
        [Array::new(F32, [runs.len(), x.shape()[1], width], output), last(false), last(true)]
    }
}

/// A layer as a function from x to output, hidden state and, if it has one, memory.
type Run<'a> = &'a dyn Fn(&Tensor, Option<&Tensor>, Option<[&Tensor; 2]>) -> Vec<Tensor>;

/// Runs a layer with and without lengths and initial states.
fn check(layers: usize, directions: usize, vars: &Vars, cell: Cell, layer: Run<'_>) {
    let (x, mut state) = (noise([2, 4, 3], 1), scrambled(vars));
    let initial = [noise([layers * directions, 2, 5], 2), noise([layers * directions, 2, 5], 3)];
    state.insert("lengths".into(), Array::new(U32, [2], vec![4.0, 2.0]));
    for (i, value) in initial.iter().enumerate() {
        state.insert(format!("initial{i}"), value.clone());
    }
    for (with_lengths, with_initial) in [(false, false), (true, false), (false, true), (true, true)] {
        let reference = Reference {
            cell,
            hidden: 5,
            layers,
            directions,
            state: &state,
            lengths: with_lengths.then_some([4, 2]),
            initial: with_initial.then(|| initial.clone()),
        };
        let module = |x: &Tensor| {
            let graph = x.graph();
            let lengths = graph.input("lengths", [2], U32);
            let states = [0, 1].map(|i| graph.input(&format!("initial{i}"), initial[0].shape(), F32));
            let [h, c] = &states;
            layer(x, with_lengths.then_some(&lengths), with_initial.then_some([h, c]))
        };
        let count = module(&Graph::new(Mode::Eval).input("x", x.shape(), F32)).len();
        for (which, expected) in reference.batch(&x).into_iter().enumerate().take(count) {
            assert_close(&eval(&|x: &Tensor| module(x).swap_remove(which), &x, &state), &expected, EXACT);
        }
    }
}

fn configs() -> Vec<(RecurrentConfig, usize, usize)> {
    let config = RecurrentConfig::new(3, 5);
    vec![
        (config.clone(), 1, 1),
        (config.clone().no_bias(), 1, 1),
        (config.clone().layers(2), 2, 1),
        (config.layers(2).bidirectional(), 2, 2),
    ]
}

#[test]
fn rnn() {
    for (config, layers, directions) in configs() {
        let vars = Vars::new();
        let rnn = config.clone().rnn(&vars);
        for (rnn, cell) in [(rnn.clone(), tanh_cell as Cell), (rnn.relu(), relu_cell)] {
            check(layers, directions, &vars, cell, &|x, lengths, initial| {
                let (output, hidden) = rnn.run(x, lengths, initial.map(|[h, _]| h));
                vec![output, hidden]
            });
        }
    }
}

#[test]
fn lstm() {
    for (config, layers, directions) in configs() {
        let vars = Vars::new();
        let lstm = config.clone().lstm(&vars);
        check(layers, directions, &vars, lstm_cell, &|x, lengths, initial| {
            let (output, (hidden, memory)) = lstm.run(x, lengths, initial.map(|[h, c]| (h, c)));
            vec![output, hidden, memory]
        });
    }
}

#[test]
fn gru() {
    for (config, layers, directions) in configs() {
        let vars = Vars::new();
        let gru = config.clone().gru(&vars);
        check(layers, directions, &vars, gru_cell, &|x, lengths, initial| {
            let (output, hidden) = gru.run(x, lengths, initial.map(|[h, _]| h));
            vec![output, hidden]
        });
    }
}

#[test]
fn names_are_pytorchs() {
    let vars = Vars::new();
    RecurrentConfig::new(3, 5).layers(2).bidirectional().lstm(vars.sub("lstm"));
    let names: Vec<String> = vars.all().iter().map(|var| var.name().to_string()).collect();
    let mut expected = vec![];
    for suffix in ["l0", "l0_reverse", "l1", "l1_reverse"] {
        for part in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
            expected.push(format!("lstm.{part}_{suffix}"));
        }
    }
    assert_eq!(names, expected);
    assert_eq!(**vars.get("lstm.weight_ih_l1").expect("a second layer").shape(), [20, 10]);
}

#[test]
fn dropout_is_between_layers_alone() {
    let x = noise([2, 4, 3], 1);
    for (layers, same) in [(1, true), (2, false)] {
        let vars = Vars::new();
        let config = RecurrentConfig::new(3, 5).layers(layers);
        let (plain, dropped) = (config.clone().gru(&vars), config.dropout(0.5).gru(Vars::new()));
        let mut state = scrambled(&vars);
        let train =
            |module: &dyn Module, state: &mut Environment| reference::run(Mode::Train, module, &x, state);
        assert_eq!(train(&plain, &mut state.clone()) == train(&dropped, &mut state.clone()), same);
        assert_eq!(train(&plain, &mut state), eval(&dropped, &x, &state));
    }
}

#[test]
fn misuse_is_reported() {
    let vars = Vars::new();
    let gru = Gru::new(vars.sub("gru"), 3, 5);
    type Misuse<'a> = (&'a dyn Fn(&Graph, &Tensor) -> Tensor, &'a str);
    let cases: [Misuse<'_>; 5] = [
        (
            &|g, _| gru.forward(&g.input("y", [2, 4, 4], F32)),
            "`gru.weight_ih_l0` needs a sequence f32[N, T, 3]",
        ),
        (&|g, x| gru.run(x, Some(&g.input("l", [3], U32)), None).0, "needs lengths u32[2], got u32[3]"),
        (&|g, x| gru.run(x, None, Some(&g.input("h", [2, 5], F32))).1, "f32[1, 2, 5], got f32[2, 5]"),
        (&|_, x| RecurrentConfig::new(3, 5).layers(0).rnn(Vars::new()).forward(x), "at least one layer"),
        (&|g, _| Lstm::new(Vars::new(), 3, 5).forward(&g.input("y", [2, 4, 3], U32)), "got u32[2, 4, 3]"),
    ];
    for (misuse, message) in cases {
        let graph = Graph::new(Mode::Train);
        assert!(!misuse(&graph, &graph.input("x", [2, 4, 3], F32)).is_valid());
        let error = graph.recording().check().expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.location.file(), file!(), "{error}");
    }
}

#[test]
fn sequences_without_elements() {
    let rnn = Rnn::new(Vars::new(), 3, 5);
    for (n, t) in [(0, 4), (2, 0)] {
        let graph = Graph::new(Mode::Train);
        let (output, hidden) = rnn.run(&graph.input("x", [n, t, 3], F32), None, None);
        assert_eq!((output.shape(), hidden.shape()), ([n, t, 5].into(), [1, n, 5].into()));
    }
}
