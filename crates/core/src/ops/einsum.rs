//! Einstein summation: any number of operands by labelled axes, two at a time.

use super::Contract;
use crate::case::Case;
use crate::{Graph, Shape, Tensor};

/// An equation fitted to operands: a label for each of their axes. Letters stand for themselves, bytes from
/// [`ELLIPSIS`] on for the axes that an ellipsis covers.
struct Equation {
    operands: Vec<Vec<u8>>,
    output: Vec<u8>,
}

/// The label of the first axis that an ellipsis covers.
const ELLIPSIS: u8 = 128;

impl Graph {
    /// Einstein summation (PyTorch's `einsum`): `"bik,bkj->bij"` names the axes of each operand, and of the
    /// result; labels that the result lacks are summed over. Without `->` the result has the labels that occur
    /// once, in alphabetical order. A label twice in one operand takes its diagonal, `...` stands for any
    /// number of axes, and axes of extent 1 broadcast. Operands are contracted from left to right.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let [x, a, y] = [[8, 5], [5, 7], [8, 7]].map(|shape| g.input(&format!("{shape:?}"), shape, F32));
    /// assert_eq!(*g.einsum("ni,ij,nj->n", &[&x, &a, &y]).shape(), [8]);
    /// ```
    #[track_caller]
    pub fn einsum(&self, equation: &str, operands: &[&Tensor]) -> Tensor {
        if operands.iter().any(|operand| !operand.is_valid()) {
            return self.invalid();
        }
        let shapes: Vec<Shape> = operands.iter().map(|operand| operand.shape()).collect();
        let parsed = Equation::parse(equation, &shapes).and_then(|parsed| {
            let extents = parsed.extents(&shapes)?;
            Ok((parsed, extents))
        });
        let (Equation { operands: labels, output }, extents) = match parsed {
            Ok(parsed) => parsed,
            Err(message) => return self.fail("einsum", format!("`{equation}`: {message}")),
        };
        let mut terms = Vec::with_capacity(operands.len());
        for (operand, labels) in operands.iter().zip(labels) {
            terms.push(plain(operand, labels, &extents));
        }
        let mut terms = terms.into_iter();
        let Some((mut left, mut left_labels)) = terms.next() else {
            return self.fail("einsum", "needs at least one operand".into());
        };
        let mut rest: Vec<(Tensor, Vec<u8>)> = terms.collect();
        while !rest.is_empty() {
            let (right, right_labels) = rest.remove(0);
            // What a later operand or the result needs stays.
            let later =
                |label: &u8| output.contains(label) || rest.iter().any(|(_, labels)| labels.contains(label));
            let out: Vec<u8> = if rest.is_empty() {
                output
                    .iter()
                    .copied()
                    .filter(|l| left_labels.contains(l) || right_labels.contains(l))
                    .collect()
            } else {
                let fresh = right_labels.iter().filter(|label| !left_labels.contains(label));
                left_labels.iter().chain(fresh).copied().filter(later).collect()
            };
            let kept_left = |label: &u8| later(label) || right_labels.contains(label);
            let (a, a_labels) = summed(&left, &left_labels, kept_left);
            let kept_right = |label: &u8| later(label) || left_labels.contains(label);
            let (b, b_labels) = summed(&right, &right_labels, kept_right);
            left = self.record(Contract { a: a_labels, b: b_labels, out: out.clone() }, &[&a, &b]);
            left_labels = out;
        }
        let (total, labels) = summed(&left, &left_labels, |label| output.contains(label));
        let order: Vec<isize> = output
            .iter()
            .filter_map(|label| labels.iter().position(|l| l == label))
            .map(|at| at as isize)
            .collect();
        if order.is_sorted() { total } else { total.permute(&order) }
    }
}

impl Tensor {
    /// Einstein summation of two tensors, like `"bik,bkj->bij"`; see [`Graph::einsum`].
    #[track_caller]
    pub fn einsum(&self, other: &Self, equation: &str) -> Self {
        self.graph().einsum(equation, &[self, other])
    }
}

impl Equation {
    fn parse(equation: &str, shapes: &[Shape]) -> Result<Self, String> {
        let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (&text[..], None),
        };
        let terms: Vec<&str> = inputs.split(',').collect();
        if terms.len() != shapes.len() {
            return Err(format!(
                "names {} operands, got {}; write it like `ab,bc->ac`",
                terms.len(),
                shapes.len()
            ));
        }
        // An ellipsis covers what an operand's letters leave; operands are aligned at its end.
        let covered = |(term, shape): (&&str, &Shape)| {
            let letters = term.chars().filter(|&c| c != '.').count();
            if term.contains("...") { shape.rank().saturating_sub(letters) } else { 0 }
        };
        let widest = terms.iter().zip(shapes).map(covered).max().unwrap_or(0);
        let mut operands = Vec::with_capacity(terms.len());
        for (term, shape) in terms.iter().zip(shapes) {
            let labels = labels_of(term, covered((term, shape)), widest)?;
            if labels.len() != shape.rank() {
                return Err(format!("`{term}` names {} axes of an operand {shape}", labels.len()));
            }
            operands.push(labels);
        }
        let output = match output {
            Some(output) => labels_of(output, widest, widest)?,
            None => {
                let mut all = operands.concat();
                all.sort_unstable();
                let once = |label: &u8| all.iter().filter(|l| *l == label).count() == 1;
                let letters = all.iter().copied().filter(|label| *label < ELLIPSIS && once(label));
                (0..widest as u8).map(|axis| ELLIPSIS + axis).chain(letters).collect()
            }
        };
        let known = |label: &u8| operands.iter().any(|labels| labels.contains(label));
        if let Some(&label) = output.iter().find(|label| !known(label)) {
            return Err(format!("no operand has the result's label `{}`", label as char));
        }
        if (1..output.len()).any(|at| output[..at].contains(&output[at])) {
            return Err("the result names a label twice".into());
        }
        Ok(Self { operands, output })
    }

    /// The extent of every label; extents of 1 broadcast.
    fn extents(&self, shapes: &[Shape]) -> Result<[usize; 256], String> {
        let mut extents = [1; 256];
        for (labels, shape) in self.operands.iter().zip(shapes) {
            for (&label, &n) in labels.iter().zip(shape.iter()) {
                let known = &mut extents[label as usize];
                if *known != 1 && n != 1 && *known != n {
                    let name = if label < ELLIPSIS { (label as char).to_string() } else { "...".into() };
                    let all: Vec<String> = shapes.iter().map(Shape::to_string).collect();
                    return Err(format!("`{name}` is both {known} and {n} in operands {}", all.join(", ")));
                }
                *known = if n == 1 { *known } else { n };
            }
        }
        Ok(extents)
    }
}

fn labels_of(term: &str, covered: usize, widest: usize) -> Result<Vec<u8>, String> {
    let axes = (widest - covered..widest).map(|axis| ELLIPSIS + axis as u8);
    let mut labels = vec![];
    let (before, after) = term.split_once("...").unwrap_or((term, ""));
    for c in before.chars().chain(after.chars()) {
        if !c.is_ascii_alphabetic() {
            return Err(format!("`{c}` is not a label; write it like `ab,bc->ac`"));
        }
        labels.push(c as u8);
    }
    if term.contains("...") {
        labels.splice(before.len()..before.len(), axes);
    }
    Ok(labels)
}

/// An operand whose labels all differ and have their full extents: diagonals are taken, and axes that
/// broadcast are dropped.
#[track_caller]
fn plain(operand: &Tensor, mut labels: Vec<u8>, extents: &[usize; 256]) -> (Tensor, Vec<u8>) {
    let mut operand = operand.clone();
    for axis in (0..labels.len()).rev() {
        if operand.dim(axis as isize) == 1 && extents[labels[axis] as usize] != 1 {
            operand = operand.squeeze(axis as isize);
            labels.remove(axis);
        }
    }
    for axis in (0..labels.len()).rev() {
        if let Some(first) = labels[..axis].iter().position(|&label| label == labels[axis]) {
            operand = operand.merged_axes(first, axis);
            labels.remove(axis);
        }
    }
    (operand, labels)
}

/// Sums over the labels that nothing needs any more.
#[track_caller]
fn summed(operand: &Tensor, labels: &[u8], kept: impl Fn(&u8) -> bool) -> (Tensor, Vec<u8>) {
    let done: Vec<usize> = (0..labels.len()).filter(|&axis| !kept(&labels[axis])).collect();
    let left = labels.iter().copied().filter(|label| kept(label)).collect();
    if done.is_empty() { (operand.clone(), left) } else { (operand.sum(&done[..]), left) }
}

pub(crate) fn cases() -> Vec<Case> {
    let einsum = |equation: &'static str| {
        let build = move |t: &[Tensor]| t[0].graph().einsum(equation, &t.iter().collect::<Vec<_>>());
        Case::new(&format!("einsum/{equation}"), build)
    };
    let x = [1.0, 2.0, 3.0, 4.0];
    vec![
        Case::new("einsum", |t| t[0].einsum(&t[1], "ij,kj->ki"))
            .given([1, 2], &[1.0, 2.0])
            .given([2, 2], &[3.0, 4.0, 5.0, 6.0])
            .expect(&[11.0, 17.0]),
        einsum("i,j->ij").given([2], &[1.0, 2.0]).given([2], &[3.0, 4.0]).expect(&[3.0, 4.0, 6.0, 8.0]),
        einsum("ij,ij->").given([2, 2], &x).given([2, 2], &[1.0, 1.0, 2.0, 2.0]).expect(&[17.0]),
        einsum("ij,ij->ij").random([3, 5]).random([3, 5]),
        einsum("ij,ij->j").random([7, 5]).random([7, 5]),
        einsum("bhtd,bhsd->bhts").random([2, 3, 5, 4]).random([2, 3, 3, 4]),
        einsum("bij,kji->kb").random([3, 4, 5]).random([2, 5, 4]),
        einsum("aib,bka->kbi").random([3, 5, 2]).random([2, 4, 3]),
        einsum("ij->ji").given([2, 2], &x).expect(&[1.0, 3.0, 2.0, 4.0]),
        einsum("ii").given([2, 2], &x).expect(&[5.0]),
        einsum("ii->i").given([2, 2], &x).expect(&[1.0, 4.0]),
        einsum("iij,j->i").random([3, 3, 4]).random([4]),
        einsum("ba").given([1, 3], &[1.0, 2.0, 3.0]).expect(&[1.0, 2.0, 3.0]),
        einsum("ik, kj").given([1, 2], &[1.0, 2.0]).given([2, 1], &[3.0, 4.0]).expect(&[11.0]),
        einsum("ni,ij,nj->n").random([3, 4]).random([4, 5]).random([3, 5]),
        einsum("ij,k->i").random([3, 4]).random([5]),
        einsum("i,i,i->")
            .given([2], &[1.0, 2.0])
            .given([2], &[3.0, 4.0])
            .given([2], &[5.0, 6.0])
            .expect(&[63.0]),
        einsum("...ij,...jk->...ik").random([2, 3, 4]).random([4, 5]),
        einsum("b...,...->b").random([3, 2, 4]).random([1, 4]),
        einsum("ij,ij->i").random([3, 1]).random([3, 5]),
    ]
}
