//! Are the gradient rules right? Every differentiable case, in the middle of a graph and with a random
//! upstream gradient, against central differences of the reference; and second gradients.

use wgrad_core::case::{Case, Fill, Operand, cases, fill};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::ops::Window;
use wgrad_core::{DType, Graph, Mode, Recording, Tensor, TensorSpec};

/// The step of the central differences: their own error is about its square.
const STEP: f64 = 1e-5;

/// A case between an affine map of each operand and a quadratic map of the result, which uses it twice.
struct Probe {
    graph: Graph,
    /// The float operands before the affine map.
    free: Vec<Tensor>,
    output: Tensor,
    environment: Environment,
}

impl Probe {
    fn new(case: &Case, seed: u64) -> Self {
        let graph = Graph::new(Mode::Train);
        let mut environment = Environment::new();
        let mut free = vec![];
        let mut operands = vec![];
        for (position, operand) in case.operands.iter().enumerate() {
            let name = format!("x{position}");
            let mut values = fill(operand, seed + position as u64);
            let input = graph.input(&name, &operand.spec.shape, operand.spec.dtype);
            if operand.spec.dtype.is_float() {
                values.data.iter_mut().for_each(|v| *v = (*v - 0.125) / 1.25);
                operands.push(&input * 1.25 + 0.125);
                free.push(input);
            } else {
                operands.push(input);
            }
            environment.insert(name, values);
        }
        let y = (case.build)(&operands);
        let output = &y * 0.75 + y.square() * 0.5;
        Self { graph, free, output, environment }
    }

    /// A random tensor in the shape of another.
    fn random_like(&mut self, name: &str, like: &Tensor, seed: u64) -> Tensor {
        let operand = Operand { spec: like.spec(), fill: Fill::Uniform(-1.0, 1.0) };
        self.environment.insert(name.into(), fill(&operand, seed));
        self.graph.input(name, like.shape(), like.dtype())
    }

    /// Compares gradients of a scalar with central differences: element by element for a few, and along
    /// a random direction for all together.
    fn check(&self, name: &str, scalar: &Tensor, gradients: &[Tensor]) {
        let recording = self.graph.recording();
        assert_eq!(recording.check(), Ok(()), "{name}");
        let values = evaluate(&recording, &self.environment);
        for (input, gradient) in self.free.iter().zip(gradients) {
            let gradient = &values[gradient.id().index()];
            assert_eq!(gradient.spec, input.spec(), "{name}");
            for direction in directions(&gradient.spec) {
                let measured = self.difference(&recording, scalar, input, &direction);
                let terms = || gradient.data.iter().zip(&direction).map(|(g, d)| g * d);
                let (analytic, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                let error = (measured - analytic).abs();
                assert!(
                    error <= 1e-6 * (1.0 + size),
                    "{name}: the gradient of {input:?} along {direction:?} is {analytic}, measured {measured}"
                );
            }
        }
    }

    fn difference(&self, recording: &Recording, scalar: &Tensor, input: &Tensor, direction: &[f64]) -> f64 {
        let name = recording.inputs().into_iter().find_map(|(name, _)| {
            let found = recording.nodes[input.id().index()].op == graph_input(&name, input);
            found.then(|| name.to_string())
        });
        let name = name.expect("the operand is an input");
        let value = |step: f64| {
            let mut environment = self.environment.clone();
            let array = environment.get_mut(&name).expect("inputs have values");
            array.data.iter_mut().zip(direction).for_each(|(v, d)| *v += step * d);
            evaluate(recording, &environment)[scalar.id().index()].item()
        };
        (value(STEP) - value(-STEP)) / (2.0 * STEP)
    }
}

fn graph_input(name: &str, input: &Tensor) -> wgrad_core::Op {
    wgrad_core::ops::Input { name: name.into(), spec: input.spec() }.into()
}

/// Up to seven single elements, spread over the tensor, and one random direction.
fn directions(spec: &TensorSpec) -> Vec<Vec<f64>> {
    let n = spec.shape.numel();
    let single = |element: usize| (0..n).map(|i| f64::from(i == element)).collect();
    let mut directions: Vec<Vec<f64>> = (0..n).step_by(n.div_ceil(7).max(1)).map(single).collect();
    let all = Operand { spec: TensorSpec::new(DType::F32, [n]), fill: Fill::Uniform(-1.0, 1.0) };
    directions.push(fill(&all, 99).data);
    directions
}

fn references(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

#[test]
fn gradients_agree_with_central_differences() {
    for case in cases().iter().filter(|case| case.differentiable) {
        let mut probe = Probe::new(case, 7);
        let upstream = probe.random_like("upstream", &probe.output.clone(), 11);
        let gradients = probe.output.pull_back(&upstream, &references(&probe.free));
        let scalar = (&probe.output * &upstream).sum(..);
        probe.check(&case.name, &scalar, &gradients);
    }
}

#[test]
fn second_gradients_agree_with_central_differences() {
    let mut checked = 0;
    for case in cases().iter().filter(|case| case.differentiable) {
        let elements: usize = case.operands.iter().map(|operand| operand.spec.shape.numel()).sum();
        if !(1..=120).contains(&elements) {
            continue;
        }
        let mut probe = Probe::new(case, 7);
        if probe.output.numel() == 0 {
            continue;
        }
        let upstream = probe.random_like("upstream", &probe.output.clone(), 11);
        let first = probe.output.pull_back(&upstream, &references(&probe.free));
        let mut scalar = probe.graph.scalar(0.0, DType::F32);
        for (position, gradient) in first.iter().enumerate() {
            let weight = probe.random_like(&format!("v{position}"), gradient, 13 + position as u64);
            scalar = scalar + (gradient * weight).sum(..).cast(DType::F32);
        }
        let second = scalar.pull_back(&scalar.ones_like(), &references(&probe.free));
        probe.check(&case.name, &scalar, &second);
        checked += 1;
    }
    assert!(checked > 150, "only {checked} cases were small enough");
}

/// The gradient of the sum of an operation's results at given values.
fn gradient_at(x: &[f32], record: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let g = Graph::new(Mode::Train);
    let x = g.constant([x.len()], x);
    let gradient = record(&x).sum(..).gradients(&[&x]).remove(0);
    let recording = g.recording();
    assert_eq!(recording.check(), Ok(()));
    evaluate(&recording, &Environment::new())[gradient.id().index()].data.clone()
}

/// What PyTorch does where no derivative, or no single one, exists.
#[test]
fn kinks_follow_pytorch() {
    let zero = |record: fn(&Tensor) -> Tensor| gradient_at(&[0.0], record)[0];
    assert_eq!(zero(Tensor::relu), 0.0);
    assert_eq!(zero(Tensor::abs), 0.0);
    assert_eq!(zero(Tensor::softplus), 0.5);
    assert_eq!(zero(|x| x.leaky_relu(0.25)), 0.25);
    assert_eq!(zero(|x| x.elu(1.5)), 1.5);
    assert_eq!(zero(|x| x.pow(&0.0)), 0.0);
    assert_eq!(zero(|x| x.pow(&1.0)), 1.0);
    assert_eq!(gradient_at(&[0.0, 0.0], |x| x.norm(0)), [0.0, 0.0]);
    assert_eq!(gradient_at(&[1.0, 1.0, 0.0], |x| x.max(0)), [0.5, 0.5, 0.0]);
    assert_eq!(gradient_at(&[1.0, 1.0, 0.0, 0.0], |x| x.min(0)), [0.0, 0.0, 0.5, 0.5]);
    assert_eq!(gradient_at(&[1.0, 2.0, 3.0], |x| x.maximum(2.0)), [0.0, 0.5, 1.0]);
    assert_eq!(gradient_at(&[1.0, 2.0, 3.0], |x| x.minimum(2.0)), [1.0, 0.5, 0.0]);
    assert_eq!(gradient_at(&[-3.0, -1.0, 0.0, 2.0, 3.0], |x| x.clamp(-1.0, 2.0)), [0.0, 1.0, 1.0, 1.0, 0.0]);
    let pooled = gradient_at(&[1.0, 1.0, 0.0, 2.0, 2.0, 2.0], |x| x.max_pool(&Window::new(&[3]).stride(3)));
    assert_eq!(pooled, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(gradient_at(&[0.0, 3.0, 5.0], |x| x.prod(0)), [15.0, 0.0, 0.0]);
}
