//! Is a gradient rule right? A case in the middle of a graph, with a random upstream gradient, against central
//! differences of the reference.

use crate::case::{Case, Fill, Operand, fill};
use crate::interpret::{Environment, evaluate};
use crate::{DType, Graph, Mode, Recording, Tensor, TensorSpec};

/// The step of the central differences: their own error is about its square.
const STEP: f64 = 1e-5;

/// The error allowed of a gradient, and of each of its terms.
const TOLERANCE: f64 = 1e-6;

/// The same in f16, in which the constants of definitions and rules (2/√π, an epsilon) are rounded as well, each by up
/// to 2⁻¹¹.
const TOLERANCE_F16: f64 = 4.0 / 2048.0;

/// Compares the gradients of a case with central differences: a few single elements of each float operand, and
/// a random direction through all of them (PyTorch's `gradcheck`). The error says what differs.
pub fn gradcheck(case: &Case, seed: u64) -> Result<(), String> {
    let mut probe = Probe::new(case, seed);
    let upstream = probe.random_like("upstream", &probe.output.clone(), seed.wrapping_add(4));
    let gradients = probe.output.pull_back(&upstream, &references(&probe.free));
    let scalar = (&probe.output * &upstream).sum(..);
    probe.check(&case.name, &scalar, &gradients)
}

/// The same for second gradients: those of a random sum of the first ones (PyTorch's `gradgradcheck`).
pub fn gradgradcheck(case: &Case, seed: u64) -> Result<(), String> {
    let mut probe = Probe::new(case, seed);
    let upstream = probe.random_like("upstream", &probe.output.clone(), seed.wrapping_add(4));
    let first = probe.output.pull_back(&upstream, &references(&probe.free));
    let mut scalar = probe.graph.scalar(0.0, DType::F32);
    for (position, gradient) in first.iter().enumerate() {
        let weight =
            probe.random_like(&format!("v{position}"), gradient, seed.wrapping_add(6 + position as u64));
        scalar = scalar + (gradient * weight).sum(..).cast(DType::F32);
    }
    let second = scalar.pull_back(&scalar.ones_like(), &references(&probe.free));
    probe.check(&case.name, &scalar, &second)
}

fn references(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

/// A case between an affine map of each operand and a quadratic map of the result, which uses it twice.
struct Probe {
    graph: Graph,
    /// The names of the float operands, and these before the affine map.
    names: Vec<String>,
    free: Vec<Tensor>,
    output: Tensor,
    environment: Environment,
}

impl Probe {
    fn new(case: &Case, seed: u64) -> Self {
        let graph = Graph::new(Mode::Train);
        let mut environment = Environment::new();
        let (mut names, mut free, mut operands) = (vec![], vec![], vec![]);
        for (position, operand) in case.operands.iter().enumerate() {
            let name = format!("x{position}");
            let mut values = fill(operand, seed.wrapping_add(position as u64));
            let input = graph.input(&name, &operand.spec.shape, operand.spec.dtype);
            if operand.spec.dtype.is_float() {
                values.data.iter_mut().for_each(|v| *v = (*v - 0.125) / 1.25);
                operands.push(&input * 1.25 + 0.125);
                names.push(name.clone());
                free.push(input);
            } else {
                operands.push(input);
            }
            environment.insert(name, values);
        }
        let y = (case.build)(&operands);
        let output = &y * 0.75 + y.square() * 0.5;
        Self { graph, names, free, output, environment }
    }

    /// A random tensor in the shape of another.
    fn random_like(&mut self, name: &str, like: &Tensor, seed: u64) -> Tensor {
        let operand = Operand { spec: like.spec(), fill: Fill::Uniform(-1.0, 1.0) };
        self.environment.insert(name.into(), fill(&operand, seed));
        self.graph.input(name, like.shape(), like.dtype())
    }

    /// Compares gradients of a scalar with central differences.
    fn check(&self, case: &str, scalar: &Tensor, gradients: &[Tensor]) -> Result<(), String> {
        let recording = self.graph.recording();
        recording.check().map_err(|error| format!("{case}: {error}"))?;
        let values = evaluate(&recording, &self.environment);
        let half = self.free.iter().any(|input| input.dtype() == DType::F16);
        let tolerance = if half { TOLERANCE_F16 } else { TOLERANCE };
        for ((name, input), gradient) in self.names.iter().zip(&self.free).zip(gradients) {
            let gradient = &values[gradient.id().index()];
            if gradient.spec != input.spec() {
                return Err(format!("{case}: the gradient of {} is {}", input.spec(), gradient.spec));
            }
            for direction in directions(&gradient.spec) {
                let measured = self.difference(&recording, scalar, name, &direction);
                let terms = || gradient.data.iter().zip(&direction).map(|(g, d)| g * d);
                let (analytic, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                let error = (measured - analytic).abs();
                if error.is_nan() || error > tolerance * (1.0 + size) {
                    return Err(format!(
                        "{case}: the gradient of {name} {} along {direction:?} is {analytic}, measured {measured}",
                        input.spec()
                    ));
                }
            }
        }
        Ok(())
    }

    fn difference(&self, recording: &Recording, scalar: &Tensor, name: &str, direction: &[f64]) -> f64 {
        let value = |step: f64| {
            let mut environment = self.environment.clone();
            if let Some(array) = environment.get_mut(name) {
                array.data.iter_mut().zip(direction).for_each(|(v, d)| *v += step * d);
            }
            evaluate(recording, &environment)[scalar.id().index()].item()
        };
        (value(STEP) - value(-STEP)) / (2.0 * STEP)
    }
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
