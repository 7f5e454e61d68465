//! Contraction: matrix products of any rank, by labelled axes.

use crate::case::{Case, Fill};
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// The sum of products over shared labels: each axis of either operand and of the result carries a
/// label; labels missing from the result are summed. Every label of the result, and every summed
/// label, must occur as einsum allows; a label in only one operand must be in the result.
///
/// Labels in both operands and the result are *batch* axes, in one operand and the result *rows* (of a)
/// or *columns* (of b), in both operands only the *inner* axes. It is closed under differentiation:
/// the gradient of an operand is the contraction of the result's gradient with the other operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contract {
    /// Labels of the first operand's axes.
    pub a: Vec<u8>,
    /// Labels of the second operand's axes.
    pub b: Vec<u8>,
    /// Labels of the result's axes.
    pub out: Vec<u8>,
}

impl Contract {
    /// A contraction from einsum-like strings of labels.
    pub fn new(a: &str, b: &str, out: &str) -> Self {
        Self { a: a.into(), b: b.into(), out: out.into() }
    }

    /// The labels that are summed, in the order of the first operand's axes.
    pub fn inner(&self) -> Vec<u8> {
        self.a.iter().copied().filter(|label| !self.out.contains(label)).collect()
    }

    /// The extent of a label.
    pub fn extent(&self, label: u8, a: &TensorSpec, b: &TensorSpec) -> usize {
        let find = |labels: &[u8]| labels.iter().position(|&l| l == label);
        match (find(&self.a), find(&self.b)) {
            (Some(axis), _) => a.shape[axis],
            (None, Some(axis)) => b.shape[axis],
            (None, None) => 1,
        }
    }
}

fn repeats(labels: &[u8]) -> bool {
    labels.iter().enumerate().any(|(i, label)| labels[..i].contains(label))
}

impl Primitive for Contract {
    fn name(&self) -> &'static str {
        "contract"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (a, b) = (inputs[0], inputs[1]);
        let spelled = || {
            let text = |labels: &[u8]| String::from_utf8_lossy(labels).into_owned();
            format!("`{},{}->{}`", text(&self.a), text(&self.b), text(&self.out))
        };
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(format!("needs two float tensors of one dtype, got {a} and {b}"));
        }
        if self.a.len() != a.shape.rank() || self.b.len() != b.shape.rank() {
            return Err(format!("{} does not label the axes of {} and {}", spelled(), a.shape, b.shape));
        }
        if repeats(&self.a) || repeats(&self.b) || repeats(&self.out) {
            return Err(format!("{} repeats a label within one operand", spelled()));
        }
        for (axis, label) in self.a.iter().enumerate() {
            if let Some(other) = self.b.iter().position(|l| l == label) {
                if a.shape[axis] != b.shape[other] {
                    return Err(format!(
                        "{} · {}: axis {axis} of the first ({}) and axis {other} of the second ({}) must agree",
                        a.shape, b.shape, a.shape[axis], b.shape[other]
                    ));
                }
            } else if !self.out.contains(label) {
                return Err(format!("{} sums a label that only one operand has", spelled()));
            }
        }
        if self.b.iter().any(|label| !self.a.contains(label) && !self.out.contains(label)) {
            return Err(format!("{} sums a label that only one operand has", spelled()));
        }
        if self.out.iter().any(|label| !self.a.contains(label) && !self.b.contains(label)) {
            return Err(format!("{} has a label in the result alone", spelled()));
        }
        let extents: Vec<usize> = self.out.iter().map(|&label| self.extent(label, a, b)).collect();
        Ok(TensorSpec::new(a.dtype, extents))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let (a, b) = (inputs[0], inputs[1]);
        let inner = self.inner();
        let extent = |label| self.extent(label, &a.spec, &b.spec);
        let inner_shape: Vec<usize> = inner.iter().map(|&label| extent(label)).collect();
        let steps = inner_shape.iter().product();
        // How far each output or inner axis moves inside of an operand.
        let stride = |labels: &[u8], array: &Array, label: u8| {
            let axis = labels.iter().position(|&l| l == label);
            axis.map_or(0, |axis| array.shape().strides()[axis])
        };
        let strides = |labels: &[u8]| -> Vec<(usize, usize)> {
            labels.iter().map(|&l| (stride(&self.a, a, l), stride(&self.b, b, l))).collect()
        };
        let (outer, inner) = (strides(&self.out), strides(&inner));
        // Offsets of every inner step relative to the first.
        let mut offsets = Vec::with_capacity(steps);
        let mut index = vec![0; inner_shape.len()];
        let inner_shape = inner_shape.into();
        for _ in 0..steps {
            offsets.push(travel(&index, &inner));
            crate::array::advance(&mut index, &inner_shape);
        }
        Array::from_fn(output, |index| {
            let (at, bt) = travel(index, &outer);
            offsets.iter().map(|(i, j)| a.data[at + i] * b.data[bt + j]).sum()
        })
    }

    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent {
        let other = &cx.inputs[1 - input];
        let (mine, others) = if input == 0 { (&self.a, &self.b) } else { (&self.b, &self.a) };
        // The operand whose axes come first keeps its side, so that layouts stay as users wrote them.
        let op = Self { a: self.out.clone(), b: others.clone(), out: mine.clone() };
        cx.graph().record(op, &[cx.cotangent, other]).into()
    }

    fn flops(&self, inputs: &[&TensorSpec], output: &TensorSpec) -> u64 {
        let inner: usize = self.inner().iter().map(|&l| self.extent(l, inputs[0], inputs[1])).product();
        2 * (output.shape.numel() * inner) as u64
    }
}

fn travel(index: &[usize], strides: &[(usize, usize)]) -> (usize, usize) {
    let step = |sum: (usize, usize), (&i, s): (&usize, &(usize, usize))| (sum.0 + i * s.0, sum.1 + i * s.1);
    index.iter().zip(strides).fold((0, 0), step)
}

impl Tensor {
    /// The matrix product over the last two axes, leading axes broadcast (PyTorch's `matmul`). A vector
    /// operand acts as a row (left) or a column (right), and that axis is dropped.
    #[track_caller]
    pub fn matmul(&self, other: &Self) -> Self {
        if !self.is_valid() || !other.is_valid() {
            return self.invalid();
        }
        let (x, y) = (self.shape(), other.shape());
        if x.rank() == 0 || y.rank() == 0 {
            return self.fail("matmul", format!("operands {x} and {y} must have at least one axis"));
        }
        if x.rank() == 1 {
            let product = self.unsqueeze(0).matmul(other);
            return if y.rank() == 1 {
                product
            } else if product.is_valid() {
                product.squeeze(-2)
            } else {
                product
            };
        }
        if y.rank() == 1 {
            let product = self.matmul(&other.unsqueeze(-1));
            return if product.is_valid() { product.squeeze(-1) } else { product };
        }
        let (x_lead, y_lead) = (x.rank() - 2, y.rank() - 2);
        let rank = x_lead.max(y_lead);
        // Leading axis i (aligned at the right) is labelled the same in both operands when its extents
        // agree; an operand that would be broadcast along it simply goes without.
        let (mut a, mut b, mut out) = (vec![], vec![], vec![]);
        let (mut a_shape, mut b_shape) = (vec![], vec![]);
        let mut out_shape = vec![];
        for i in 0..rank {
            let label = b'A' + i as u8;
            let m = (i + x_lead).checked_sub(rank).map(|axis| x[axis]);
            let n = (i + y_lead).checked_sub(rank).map(|axis| y[axis]);
            let extent = match (m.unwrap_or(1), n.unwrap_or(1)) {
                (m, n) if m == n => m,
                (1, n) => n,
                (m, 1) => m,
                _ => {
                    return self
                        .fail("matmul", format!("leading axes of {x} and {y} cannot be broadcast together"));
                }
            };
            out_shape.push(extent);
            let (in_a, in_b) =
                (m.unwrap_or(1) == extent && extent != 1, n.unwrap_or(1) == extent && extent != 1);
            if in_a {
                a.push(label);
                a_shape.push(extent);
            }
            if in_b {
                b.push(label);
                b_shape.push(extent);
            }
            if in_a || in_b {
                out.push(label);
            }
        }
        let (m, k, n) = (x[x.rank() - 2], x[x.rank() - 1], y[y.rank() - 1]);
        a.extend(*b"mk");
        b.extend(*b"kn");
        out.extend(*b"mn");
        a_shape.extend([m, k]);
        b_shape.extend([y[y.rank() - 2], n]);
        out_shape.extend([m, n]);
        if k != y[y.rank() - 2] {
            let message = format!(
                "{x} · {y}: the last axis of the first ({k}) and the second to last of the second ({}) must agree",
                y[y.rank() - 2]
            );
            return self.fail("matmul", message);
        }
        let product =
            self.graph().record(Contract { a, b, out }, &[&self.reshape(a_shape), &other.reshape(b_shape)]);
        if product.is_valid() { product.reshape(out_shape) } else { product }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let matmul = |variant: &str| Case::new(&format!("matmul{variant}"), |t: &[Tensor]| t[0].matmul(&t[1]));
    vec![
        matmul("")
            .given([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .given([3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0])
            .expect(&[4.0, 5.0, 10.0, 11.0]),
        matmul("/odd").random([7, 5]).random([5, 3]),
        matmul("/square").random([16, 16]).random([16, 16]),
        matmul("/larger").random([33, 37]).random([37, 35]),
        matmul("/long").random([3, 700]).random([700, 2]),
        matmul("/tall").random([129, 3]).random([3, 2]),
        matmul("/one").random([1, 1]).random([1, 1]),
        matmul("/row").random([1, 17]).random([17, 9]),
        matmul("/column").random([9, 17]).random([17, 1]),
        matmul("/no-rows").random([0, 3]).random([3, 2]).expect(&[]),
        matmul("/no-inner").random([2, 0]).random([0, 3]).expect(&[0.0; 6]),
        matmul("/dot").given([3], &[1.0, 2.0, 3.0]).given([3], &[4.0, 5.0, 6.0]).expect(&[32.0]),
        matmul("/vector-matrix")
            .given([2], &[1.0, 2.0])
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .expect(&[7.0, 10.0]),
        matmul("/matrix-vector")
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2], &[1.0, 2.0])
            .expect(&[5.0, 11.0]),
        matmul("/batched").random([3, 5, 4]).random([3, 4, 2]),
        matmul("/batch-of-one").random([1, 5, 4]).random([3, 4, 2]),
        matmul("/batch-missing").random([2, 3, 5, 4]).random([4, 3]),
        matmul("/batch-broadcast").random([2, 1, 5, 4]).random([3, 4, 3]),
        matmul("/f16").operand(DType::F16, [5, 7], Fill::Uniform(-1.0, 1.0)).operand(
            DType::F16,
            [7, 3],
            Fill::Uniform(-1.0, 1.0),
        ),
        Case::new("matmul/left-transposed", |t| t[0].t().matmul(&t[1])).random([5, 7]).random([5, 3]),
        Case::new("matmul/right-transposed", |t| t[0].matmul(&t[1].t())).random([7, 5]).random([3, 5]),
        Case::new("matmul/both-transposed", |t| t[0].t().matmul(&t[1].t())).random([5, 7]).random([3, 5]),
        Case::new("matmul/sliced", |t| t[0].slice_step(1, 1..10, 2).matmul(&t[1].slice(0, 1..6)))
            .random([3, 11])
            .random([7, 4]),
        Case::new("matmul/expanded", |t| t[0].unsqueeze(0).expand([3, 4]).matmul(&t[1]))
            .random([4])
            .random([4, 5]),
        Case::new("matmul/chain", |t| (t[0].matmul(&t[1]) + &t[2]).relu().matmul(&t[3]))
            .random([5, 7])
            .random([7, 6])
            .random([6])
            .random([6, 3]),
    ]
}
