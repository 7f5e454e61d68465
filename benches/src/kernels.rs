//! Single operations, forward and backward, on operands that stay on the device.

use wgrad::core::ops::Window;
use wgrad::prelude::*;
use wgrad_measure::Kernel as Single;

use crate::{Error, Work};

/// One operation, or one with its gradients.
pub struct Kernel {
    /// What it is called in tables and on the command line.
    pub name: String,
    /// The shapes of its operands.
    pub operands: Vec<Vec<usize>>,
    /// Multiplications and additions of its products; 0 where memory is what counts.
    pub flops: u64,
    /// Small enough for the caches of a processor: the same arithmetic without the way to memory.
    pub in_cache: Option<Vec<Vec<usize>>>,
    record: Record,
}

/// Records an operation on its operands and returns all that is to be computed.
type Record = Box<dyn Fn(&[Tensor]) -> Vec<Tensor>>;

impl Kernel {
    fn new(
        name: impl Into<String>,
        operands: &[&[usize]],
        flops: usize,
        record: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static,
    ) -> Self {
        let operands = operands.iter().map(|shape| shape.to_vec()).collect();
        Self { name: name.into(), operands, flops: flops as u64, in_cache: None, record: Box::new(record) }
    }

    fn with_cached(mut self, operands: &[&[usize]]) -> Self {
        self.in_cache = Some(operands.iter().map(|shape| shape.to_vec()).collect());
        self
    }

    /// The operation on uniform operands. Its results are assigned to variables: they are written to memory,
    /// and nothing is copied back but one number to wait for.
    pub fn work(&self, gpu: &Gpu, operands: &[Vec<usize>]) -> Result<Work, Error> {
        let vars = Vars::new();
        let operand = |(index, shape): (usize, &Vec<usize>)| {
            vars.sub("operand").var(&index.to_string(), shape.as_slice(), init::uniform(-1.0, 1.0))
        };
        let operands: Vec<Var> = operands.iter().enumerate().map(operand).collect();
        let program = |graph: &Graph| {
            let operands: Vec<Tensor> = operands.iter().map(|var| graph.var(var)).collect();
            for (index, result) in (self.record)(&operands).iter().enumerate() {
                let name = index.to_string();
                let var = vars.sub("result").buffer(&name, result.spec(), Init::constant(0.0));
                graph.assign(&var, result);
            }
            [graph.scalar(0.0, F32)]
        };
        Work::new(gpu, Mode::Eval, &vars, program, vec![])
    }
}

/// All kernels, in the order of tables.
pub fn kernels() -> Vec<Kernel> {
    [products(), maps_and_rows(), convolutions(), attention()].into_iter().flatten().collect()
}

/// An operation that peers have too.
pub fn single(kernel: Single) -> Kernel {
    let operands = kernel.operands();
    let operands: Vec<&[usize]> = operands.iter().map(Vec::as_slice).collect();
    let record = move |x: &[Tensor]| match kernel {
        Single::Matmul(_) => vec![x[0].matmul(&x[1])],
        Single::Conv => vec![conv(x, 3, 1)],
    };
    Kernel::new(kernel.to_string(), &operands, kernel.flops() as usize, record)
}

/// A convolution with so many groups, of a square size, keeping height and width.
fn conv(x: &[Tensor], size: usize, groups: usize) -> Tensor {
    x[0].conv2d(&x[1], None, &Window::new(&[size, size]).padding(size / 2), groups)
}

fn products() -> Vec<Kernel> {
    let product = |name: String, batch: &[usize], [m, k, n]: [usize; 3]| {
        let (a, b) = ([batch, &[m, k]].concat(), [batch, &[k, n]].concat());
        let flops = 2 * m * k * n * batch.iter().product::<usize>();
        Kernel::new(name, &[&a, &b], flops, |x| vec![x[0].matmul(&x[1])])
    };
    let mut kernels: Vec<Kernel> = [256, 512, 1024, 2048].map(|n| single(Single::Matmul(n))).into();
    kernels.push(product("matmul/128×784×512".into(), &[], [128, 784, 512]));
    kernels.push(product("matmul/1000×37×101".into(), &[], [1000, 37, 101]));
    kernels.push(product("matmul/64 of 128×32×128".into(), &[64], [128, 32, 128]));
    kernels
}

fn maps_and_rows() -> Vec<Kernel> {
    let (many, few): (&[usize], &[usize]) = (&[16 << 20], &[128 << 10]);
    let (rows, cached, row): (&[usize], &[usize], &[usize]) = (&[4096, 1024], &[128, 1024], &[1024]);
    let norm = |x: &[Tensor]| x[0].layer_norm(-1, Some(&x[1]), Some(&x[2]), 1e-5);
    let map = |x: &[Tensor]| vec![(&x[0] * &x[1] + &x[2]).gelu() + x[0].tanh()];
    vec![
        Kernel::new("elementwise/16M", &[many; 3], 0, map).with_cached(&[few; 3]),
        Kernel::new("softmax/forward", &[rows], 0, |x| vec![x[0].softmax(-1)]).with_cached(&[cached]),
        Kernel::new("softmax/both", &[rows; 2], 0, |x| with_gradients(&x[0].softmax(-1), x))
            .with_cached(&[cached; 2]),
        Kernel::new("layer_norm/forward", &[rows, row, row], 0, move |x| vec![norm(x)])
            .with_cached(&[cached, row, row]),
        Kernel::new("layer_norm/both", &[rows, row, row, rows], 0, move |x| with_gradients(&norm(x), x))
            .with_cached(&[cached, row, row, cached]),
    ]
}

fn convolutions() -> Vec<Kernel> {
    let (image, full) = (&[32, 64, 32, 32][..], &[64, 64, 3, 3][..]);
    let pixels = 32 * 64 * 32 * 32;
    let flops = 2 * pixels * 64 * 9;
    vec![
        single(Single::Conv),
        Kernel::new("conv/input gradient", &[image, full, image], flops, |x| {
            conv(x, 3, 1).pull_back(&x[2], &[&x[0]])
        }),
        Kernel::new("conv/weight gradient", &[image, full, image], flops, |x| {
            conv(x, 3, 1).pull_back(&x[2], &[&x[1]])
        }),
        Kernel::new("conv/depthwise", &[image, &[64, 1, 3, 3]], 2 * pixels * 9, |x| vec![conv(x, 3, 64)]),
        Kernel::new("conv/1×1", &[image, &[64, 64, 1, 1]], 2 * pixels * 64, |x| vec![conv(x, 1, 1)]),
    ]
}

fn attention() -> Vec<Kernel> {
    let attend = |x: &[Tensor]| {
        let causal = AttentionOptions::new().causal();
        Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], &causal)
    };
    let mut kernels = vec![];
    for (sequence, head) in [(128, 32), (1024, 64)] {
        let shape: &[usize] = &[16, 4, sequence, head];
        // A product over the pairs of positions that see each other: two forward, five more backward
        // (scores again, and the gradients of values, probabilities, queries and keys).
        let product = 16 * 4 * sequence * (sequence + 1) * head;
        let name = |what| format!("attention/{sequence}×{head} {what}");
        kernels.push(Kernel::new(name("forward"), &[shape; 3], 2 * product, move |x| vec![attend(x)]));
        kernels.push(Kernel::new(name("both"), &[shape; 4], 7 * product, move |x| {
            with_gradients(&attend(x), x)
        }));
    }
    kernels
}

/// The gradients of every operand but the last, which is the cotangent, and the result.
fn with_gradients(result: &Tensor, operands: &[Tensor]) -> Vec<Tensor> {
    let Some((cotangent, inputs)) = operands.split_last() else { return vec![] };
    let mut all = result.pull_back(cotangent, &inputs.iter().collect::<Vec<_>>());
    all.push(result.clone());
    all
}
