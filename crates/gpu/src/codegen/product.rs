//! A contraction as a batched matrix product of composite axes.

use wgrad_core::ops::Contract;
use wgrad_core::{DType, NodeId};

use super::emit::Emitter;
use crate::plan::index::Index;

/// An axis of the result that is no longer than this does not keep the lanes of a tile busy.
const NARROWEST: usize = 3;

/// A contraction with its labels sorted into four composite axes.
pub(super) struct Product {
    pub(super) node: NodeId,
    /// The operand that gives rows, and the one that gives columns.
    pub(super) operands: [NodeId; 2],
    pub(super) labels: [Vec<u8>; 2],
    pub(super) out: Vec<u8>,
    pub(super) batch: Axis,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) inner: Axis,
    pub(super) dtype: DType,
}

/// A composite axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) labels: Vec<u8>,
    pub(super) extents: Vec<usize>,
}

impl Axis {
    pub(super) fn len(&self) -> usize {
        self.extents.iter().product()
    }
}

impl Product {
    pub(super) fn new(emitter: &Emitter<'_>, id: NodeId, op: &Contract) -> Self {
        let recording = &emitter.plan.recording;
        let node = recording.node(id);
        let (a, b) = (&recording.node(node.inputs[0]).spec, &recording.node(node.inputs[1]).spec);
        let extent = |label: u8| op.extent(label, a, b);
        // Neighbours in the result are columns, so that they are read and written together, unless they are too few.
        let wider_than = |least| op.out.iter().rev().copied().find(|&label| extent(label) > least);
        let innermost = wider_than(NARROWEST).or_else(|| wider_than(1));
        let swap = innermost.is_some_and(|label| op.a.contains(&label) && !op.b.contains(&label));
        let (mut operands, mut labels) = ([node.inputs[0], node.inputs[1]], [op.a.clone(), op.b.clone()]);
        if swap {
            operands.reverse();
            labels.reverse();
        }
        let axis = |labels: Vec<u8>| Axis { extents: labels.iter().map(|&l| extent(l)).collect(), labels };
        let of_out = |in_rows: bool, in_columns: bool| {
            let belongs = |l: &u8| labels[0].contains(l) == in_rows && labels[1].contains(l) == in_columns;
            axis(op.out.iter().copied().filter(belongs).collect())
        };
        let inner = labels[0].iter().copied().filter(|label| !op.out.contains(label)).collect();
        Self {
            node: id,
            operands,
            out: op.out.clone(),
            batch: of_out(true, true),
            rows: of_out(true, false),
            columns: of_out(false, true),
            inner: axis(inner),
            dtype: node.spec.dtype,
            labels,
        }
    }

    /// The multi-index of an operand, or of the result, from positions along the composite axes.
    pub(super) fn index(&self, labels: &[u8], parts: &[(&Axis, &[Index])]) -> Vec<Index> {
        let find = |label: &u8| {
            let hit = |(axis, index): &(&Axis, &[Index])| {
                axis.labels.iter().position(|l| l == label).map(|at| index[at].clone())
            };
            parts.iter().find_map(hit).unwrap_or_default()
        };
        labels.iter().map(find).collect()
    }

    /// An operand's value in the type that products are summed in.
    pub(super) fn in_f32(&self, text: String) -> String {
        if self.dtype == DType::F32 { text } else { format!("f32({text})") }
    }
}
