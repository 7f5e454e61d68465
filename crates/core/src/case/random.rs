//! Random graphs: a list of numbers becomes a graph with a loss and gradients, so that a property test
//! can shrink a failing graph by shrinking the list.
//!
//! Every value stays within about [−1, 1] (each step scales its result back), and whatever takes a
//! decision first adds noise of its own, so that no two values tie by construction.

use crate::case::{Fill, Operand, fill};
use crate::interpret::Environment;
use crate::ops::Window;
use crate::{Array, AttentionOptions, DType, Graph, Mode, NodeId, Recording, Shape, Tensor, TensorSpec};

/// A graph made from a list of choices.
pub struct RandomGraph {
    /// Everything recorded: the operations, the loss and its gradients.
    pub recording: Recording,
    /// A scalar that every operation contributes to.
    pub loss: NodeId,
    /// The inputs, in the order of `gradients`.
    pub inputs: Vec<NodeId>,
    /// The gradient of the loss with respect to each input.
    pub gradients: Vec<NodeId>,
    /// The results that nothing else uses.
    pub results: Vec<NodeId>,
    /// Values for the inputs.
    pub environment: Environment,
}

impl RandomGraph {
    /// The loss, the results and the gradients: what a test compares.
    pub fn outputs(&self) -> Vec<NodeId> {
        [&[self.loss], &self.results[..], &self.gradients].concat()
    }
}

/// At least this many steps are taken, each of one operation or more.
const STEPS: usize = 10;

/// No tensor grows beyond this many elements.
const LARGEST: usize = 600;

/// The extents of an input's axes; those beyond `FEW` only in graphs with layers.
const EXTENTS: [usize; 9] = [3, 1, 4, 2, 5, 7, 8, 12, 16];
const FEW: usize = 6;

/// Builds a graph from choices: the same one for the same list. More choices make a larger graph; a
/// choice that is missing counts as 0.
///
/// ```
/// let graph = wgrad_core::case::random_graph(&[3, 1, 4, 1, 5, 9, 2, 6]);
/// assert!(graph.recording.check().is_ok());
/// ```
pub fn random_graph(choices: &[u32]) -> RandomGraph {
    graph(choices, false)
}

/// The same with what layers are made of: convolutions over two axes, attention, batch norm, dropout, perceptrons; and with
/// axes whose neighbours are read together.
///
/// ```
/// let graph = wgrad_core::case::random_layers(&[3, 1, 4, 1, 5, 9, 2, 6]);
/// assert!(graph.recording.check().is_ok());
/// ```
pub fn random_layers(choices: &[u32]) -> RandomGraph {
    graph(choices, true)
}

fn graph(choices: &[u32], with_layers: bool) -> RandomGraph {
    let seed = choices.iter().fold(0, |seed: u64, &choice| {
        seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(u64::from(choice) + 1)
    });
    let mut builder = Builder {
        graph: Graph::new(Mode::Train),
        with_layers,
        choices: choices.to_vec(),
        position: 0,
        seed,
        inputs: vec![],
        environment: Environment::new(),
        pool: vec![],
    };
    for _ in 0..2 {
        let shape = builder.shape();
        let input = builder.input(shape);
        builder.add(input);
    }
    let mut steps = 0;
    while steps < STEPS || (builder.position < choices.len() && steps < 3 * STEPS) {
        builder.step();
        steps += 1;
    }
    builder.finish()
}

struct Builder {
    graph: Graph,
    with_layers: bool,
    choices: Vec<u32>,
    position: usize,
    seed: u64,
    inputs: Vec<Tensor>,
    environment: Environment,
    /// Results so far, and whether another operation uses them.
    pool: Vec<(Tensor, bool)>,
}

impl Builder {
    /// The next choice among `count`.
    fn choose(&mut self, count: usize) -> usize {
        let choice = self.choices.get(self.position).copied().unwrap_or(0);
        self.position += 1;
        choice as usize % count.max(1)
    }

    fn shape(&mut self) -> Shape {
        let rank = 1 + self.choose(4);
        let extents = if self.with_layers { EXTENTS.len() } else { FEW };
        let mut room = LARGEST;
        let mut extent = || {
            let extent = EXTENTS[self.choose(extents)].min(room);
            room /= extent;
            extent
        };
        (0..rank).map(|_| extent()).collect()
    }

    fn input(&mut self, shape: impl Into<Shape>) -> Tensor {
        self.input_of(shape.into(), DType::F32, Fill::Uniform(-1.0, 1.0))
    }

    fn input_of(&mut self, shape: Shape, dtype: DType, values: Fill) -> Tensor {
        let name = format!("x{}", self.environment.len());
        let operand = Operand { spec: TensorSpec::new(dtype, &shape), fill: values };
        let array: Array = fill(&operand, self.seed.wrapping_add(self.environment.len() as u64));
        self.environment.insert(name.clone(), array);
        let input = self.graph.input(&name, shape, dtype);
        if dtype.is_float() {
            self.inputs.push(input.clone());
        }
        input
    }

    /// One of the results so far, recent ones more often.
    fn pick(&mut self) -> Tensor {
        let back = self.choose(self.pool.len()).min(self.choose(self.pool.len()));
        let index = self.pool.len() - 1 - back;
        self.pool[index].1 = true;
        self.pool[index].0.clone()
    }

    fn add(&mut self, tensor: Tensor) {
        self.pool.push((tensor, false));
    }

    /// The tensor plus noise, which breaks ties.
    fn noisy(&mut self, x: &Tensor) -> Tensor {
        let noise = self.input(x.shape());
        x * 0.75 + noise * 0.25
    }

    /// Records one operation, or one with its company, on results so far.
    fn step(&mut self) {
        let x = self.pick();
        let y = match self.choose(if self.with_layers { 9 } else { 8 }) {
            0 => self.unary(&x),
            1 => self.binary(&x),
            2 => self.movement(&x),
            3 => self.join(&x),
            4 => self.reduce(&x),
            5 => self.contract(&x),
            6 => self.window(&x),
            7 => self.index(&x),
            _ => self.layer(&x),
        };
        self.add(if y.numel() > LARGEST { y.flatten(0).slice(0, 0..LARGEST / 4) } else { y });
    }

    fn unary(&mut self, x: &Tensor) -> Tensor {
        match self.choose(26) {
            0 => x.tanh(),
            1 => x.sigmoid(),
            2 => x.sin(),
            3 => x.cos(),
            4 => x.exp() * 0.375,
            5 => (x.square() + 0.5).log(),
            6 => (x.square() * 0.75 + 0.25).sqrt(),
            7 => (x.square() + 1.0).rsqrt(),
            8 => self.noisy(x).relu(),
            9 => self.noisy(x).abs(),
            10 => x.erf(),
            11 => x.atan(),
            12 => x.expm1() * 0.5,
            13 => x.square().log1p(),
            14 => x.gelu(),
            15 => x.softplus() * 0.75,
            16 => (x * 0.75).asin(),
            17 => (x + 2.0).reciprocal(),
            18 => x.neg(),
            19 => x.erfc() * 0.5,
            20 => x.mish(),
            21 => x.softsign(),
            22 => self.noisy(x).hardswish(),
            23 => x.exp2() * 0.5,
            24 => x.logaddexp(0.25) * 0.5,
            _ => self.noisy(x).clamp(-0.5, 0.375),
        }
    }

    fn binary(&mut self, x: &Tensor) -> Tensor {
        let other = self.pick();
        // Where the shapes do not broadcast, one number of the other operand is used.
        let fits = x.shape().broadcast(&other.shape()).is_ok_and(|shape| shape.numel() <= LARGEST);
        let y = if fits { other } else { other.mean(..) };
        match self.choose(10) {
            0 => (x + y) * 0.5,
            1 => (x - y) * 0.5,
            2 => x * y,
            3 => x / (y.square() + 1.0),
            4 => self.noisy(x).maximum(y),
            5 => self.noisy(x).minimum(y),
            6 => x.atan2(y.square() + 0.5) * 0.75,
            7 => (x.square() + 0.5).pow(&y) * 0.5,
            8 => self.noisy(x).gt(&y).select(x, &y),
            _ => x * (y.neg() + 0.25) * 0.75,
        }
    }

    fn axis(&mut self, x: &Tensor) -> isize {
        self.choose(x.rank()) as isize
    }

    fn movement(&mut self, x: &Tensor) -> Tensor {
        if x.rank() == 0 {
            return x.expand([3, 2]);
        }
        let axis = self.axis(x);
        let n = x.dim(axis);
        match self.choose(10) {
            0 => x.transpose(axis, -1),
            1 => x.flatten(axis),
            2 => x.slice(axis, n / 3..n),
            3 => x.slice_step(axis, 0..n, 2),
            4 => x.flip([axis as i32]),
            5 => {
                let amounts: Vec<(usize, usize)> =
                    (0..x.rank()).map(|a| if a as isize == axis { (1, 2) } else { (0, 0) }).collect();
                x.pad(&amounts, 0.25)
            }
            6 => x
                .unsqueeze(axis)
                .expand([&x.shape()[..axis as usize], &[2], &x.shape()[axis as usize..]].concat()),
            7 => x.repeat_interleave(2, axis),
            8 => x.upsample_linear(&[x.dim(-1) + 2], false),
            _ => x.reshape([n, x.numel() / n.max(1)]),
        }
    }

    fn join(&mut self, x: &Tensor) -> Tensor {
        if x.rank() == 0 {
            return Tensor::stack(&[x, &x.sin()], 0);
        }
        let axis = self.axis(x);
        match self.choose(4) {
            0 => Tensor::concat(&[x, &x.cos()], axis),
            1 => Tensor::stack(&[&x.tanh(), x], axis),
            2 => x.roll(1, axis),
            _ => {
                let fresh = self.input(x.shape());
                Tensor::concat(&[&fresh, x], axis)
            }
        }
    }

    fn reduce(&mut self, x: &Tensor) -> Tensor {
        if x.rank() == 0 {
            return x.square();
        }
        let axis = self.axis(x);
        match self.choose(13) {
            0 => x.mean(axis),
            1 => x.mean_keep(axis) - x * 0.25,
            2 => self.noisy(x).max(axis),
            3 => x - self.noisy(x).max_keep(axis) * 0.25,
            4 => x.softmax(axis),
            5 => x.log_softmax(axis) * 0.25,
            6 => x.layer_norm(axis, None, None, 0.5) * 0.5,
            7 => x.cumsum(axis) / x.dim(axis) as f64,
            8 => x.prod(axis),
            9 => x.cumprod(axis) * 0.75,
            10 => x.norm_p(3.0, axis) / x.dim(axis).max(1) as f64,
            11 => self.noisy(x).sort(axis, true).0,
            _ => x.sum(..) / x.numel().max(1) as f64,
        }
    }

    fn contract(&mut self, x: &Tensor) -> Tensor {
        let k = x.dim(-1);
        let scale = 1.0 / k.max(1) as f64;
        match (x.rank(), self.choose(4)) {
            (0, _) => x.sin(),
            (2.., 0) => x.matmul(&x.t()) * scale,
            (2.., 1) => {
                let weight = self.input([x.dim(-2), 3]);
                x.t().matmul(&weight) / x.dim(-2).max(1) as f64
            }
            (1, 2) => x.einsum(x, "i,j->ij"),
            _ => {
                let weight = self.input([k, 5]);
                x.matmul(&weight) * scale
            }
        }
    }

    /// What layers are made of, on x as images [1, C, H, W] or as words [B, T, D].
    fn layer(&mut self, x: &Tensor) -> Tensor {
        if x.rank() == 0 {
            return x.tanh();
        }
        let width = x.dim(-1);
        let height = if x.rank() > 1 { x.dim(-2) } else { 1 };
        let channels = x.numel() / (width * height).max(1);
        let images = x.reshape([1, channels, height, width]);
        let words = x.reshape([channels, height, width]);
        match self.choose(8) {
            0 => {
                let (window, area) = self.window_over(height, width);
                let filters = [1, 4, 8][self.choose(3)];
                let weight = self.input([&[filters, channels], &window.size[..]].concat());
                images.conv(&weight, None, &window, 1) / (channels * area) as f64
            }
            1 => {
                let (window, area) = self.window_over(height, width);
                let weight = self.input([&[channels, 1], &window.size[..]].concat());
                images.conv(&weight, None, &window, channels) / area as f64
            }
            2 => images.avg_pool(&self.window_over(height, width).0),
            3 => {
                let (mean, var) = (images.mean([0, 2, 3]), images.var([0, 2, 3], 0));
                let [weight, bias] = [(); 2].map(|()| self.input([channels]));
                images.batch_norm(&mean, &var, Some(&weight), Some(&bias), 0.5) * 0.375
            }
            4 | 5 => {
                let [query, value] = [width, 4].map(|columns| self.input([width, columns]));
                let [q, v] = [query, value].map(|weight| words.matmul(&weight) / width as f64);
                let options = AttentionOptions::new().dropout([0.0, 0.25][self.choose(2)]);
                let options = if self.choose(2) == 0 { options } else { options.causal() };
                Tensor::scaled_dot_product_attention(&q, &words, &v, &options) * 0.75
            }
            6 => {
                let kept = self.graph.random_bits(x.shape()).bits_to_uniform().ge(0.25);
                kept.select(x, &self.graph.scalar(0.0, DType::F32))
            }
            _ => {
                let [up, down] = [[width, 16], [16, width]].map(|shape| self.input(shape));
                let hidden = (words.matmul(&up) / width as f64).gelu();
                words * 0.5 + hidden.matmul(&down) / 32.0
            }
        }
    }

    /// A window over two axes, and how many positions it has.
    fn window_over(&mut self, height: usize, width: usize) -> (Window, usize) {
        let size = [height, width].map(|extent| extent.min(1 + self.choose(3)));
        let window = Window::new(&size).stride(1 + self.choose(2)).padding(self.choose(2));
        (window, size[0] * size[1])
    }

    fn window(&mut self, x: &Tensor) -> Tensor {
        if x.rank() == 0 {
            return x.cos();
        }
        let n = x.dim(-1);
        let window =
            Window::new(&[n.min(1 + self.choose(3))]).stride(1 + self.choose(2)).padding(self.choose(2));
        match self.choose(4) {
            0 => x.windows(&window, 0.5),
            1 => x.avg_pool(&window),
            2 if window.padding[0].0 < window.size[0] => self.noisy(x).max_pool(&window),
            _ => {
                let channels = x.numel() / n.max(1);
                let weight = self.input([2, channels, window.size[0]]);
                x.reshape([1, channels, n]).conv(&weight, None, &window, 1) / channels.max(1) as f64
            }
        }
    }

    fn index(&mut self, x: &Tensor) -> Tensor {
        if x.rank() == 0 {
            return x.expand([4]);
        }
        let axis = self.axis(x);
        let n = x.dim(axis);
        match self.choose(4) {
            0 => {
                let picks = self.input_of([4].into(), DType::U32, Fill::Uniform(0.0, n as f64));
                x.index_select(axis, &picks)
            }
            1 => {
                let places = self.input_of(x.shape(), DType::U32, Fill::Uniform(0.0, 3.0));
                x.scatter_add(axis, &places, 3) / n.max(1) as f64
            }
            2 => {
                let labels = self.input_of([5].into(), DType::U32, Fill::Uniform(0.0, n as f64));
                labels.one_hot(n).matmul(&x.transpose(0, axis).reshape([n, x.numel() / n]).slice(1, 0..1))
            }
            _ => {
                let best = self.noisy(x).argmax(axis).unsqueeze(axis);
                x.gather(axis, &best)
            }
        }
    }

    /// Sums up what nothing else uses, and takes gradients.
    fn finish(mut self) -> RandomGraph {
        let open: Vec<Tensor> = self.pool.iter().filter(|(_, used)| !used).map(|(t, _)| t.clone()).collect();
        let mut loss = self.graph.scalar(0.0, DType::F32);
        // Behind a detach an input would have no gradient; this term gives every one its own.
        for tensor in open.iter().chain(&self.inputs) {
            if tensor.numel() > 0 {
                loss = loss + (tensor.square() + tensor * 0.5).mean(..);
            }
        }
        let gradients = loss.gradients(&self.inputs.iter().collect::<Vec<_>>());
        let ids = |tensors: &[Tensor]| tensors.iter().map(Tensor::id).collect();
        RandomGraph {
            recording: self.graph.recording(),
            loss: loss.id(),
            gradients: ids(&gradients),
            results: ids(&open),
            inputs: ids(&std::mem::take(&mut self.inputs)),
            environment: self.environment,
        }
    }
}
