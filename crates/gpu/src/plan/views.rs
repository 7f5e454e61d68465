//! Movement operations as index maps: where an element of the result is found in the operand.

use wgrad_core::{Op, Shape};

use super::index::{Index, Indices};

/// Where to read, and under which conditions there is anything to read.
pub struct Source {
    /// The multi-index in the operand.
    pub index: Vec<Index>,
    /// Guard atoms that must all hold; `fill` is the value otherwise.
    pub guards: Vec<u32>,
    /// The value where a guard fails.
    pub fill: f64,
}

/// The source of element `index` of a movement of one operand, `None` for other operations.
pub fn source(op: &Op, index: &[Index], from: &Shape, to: &Shape, indices: &mut Indices) -> Option<Source> {
    let mut guards = vec![];
    let mut fill = 0.0;
    let mut guarded = |indices: &mut Indices, raw: Index, stride: usize, extent: usize| {
        let (index, guard) = indices.guard(&raw, stride, extent);
        guards.extend(guard);
        index
    };
    let index = match op {
        Op::Reshape(_) => {
            let position = indices.flatten(index, to);
            indices.unflatten(&position, from)
        }
        Op::Detach(_) => index.to_vec(),
        Op::Permute(op) => {
            let mut source = vec![Index::default(); index.len()];
            for (&axis, i) in op.axes.iter().zip(index) {
                source[axis] = i.clone();
            }
            source
        }
        Op::Expand(_) => {
            let keep = |(i, &n): (&Index, &usize)| if n == 1 { Index::default() } else { i.clone() };
            index.iter().zip(from.iter()).map(keep).collect()
        }
        Op::Flip(op) => {
            let mut source = index.to_vec();
            for &axis in &op.axes {
                source[axis] = index[axis].times(-1).offset(from[axis] as i64 - 1);
            }
            source
        }
        Op::Slice(op) => {
            let along = |axis: usize| index[axis].times(op.step[axis] as i64).offset(op.start[axis] as i64);
            (0..index.len()).map(along).collect()
        }
        Op::Pad(op) => {
            fill = op.value();
            let mut source = Vec::with_capacity(index.len());
            for (axis, i) in index.iter().enumerate() {
                let raw = i.clone().offset(-(op.low[axis] as i64));
                source.push(guarded(indices, raw, op.interior[axis] + 1, from[axis]));
            }
            source
        }
        Op::Slide(op) => {
            fill = op.fill();
            let d = op.window.rank();
            let lead = index.len() - 2 * d;
            let mut source = index.to_vec();
            for axis in 0..d {
                let moved = index[lead + axis].times(op.window.stride[axis] as i64);
                let tap = index[lead + d + axis].times(op.window.dilation[axis] as i64);
                let raw = indices.add(&moved, &tap).offset(-(op.window.padding[axis].0 as i64));
                source[lead + axis] = guarded(indices, raw, 1, from[lead + axis]);
            }
            source
        }
        Op::Unslide(op) => {
            let d = op.window.rank();
            let lead = index.len() - 2 * d;
            let mut source = index.to_vec();
            for axis in 0..d {
                let tap = index[lead + d + axis].times(-(op.window.dilation[axis] as i64));
                let raw = indices.add(&index[lead + axis], &tap).offset(op.window.padding[axis].0 as i64);
                source[lead + axis] = guarded(indices, raw, op.window.stride[axis], from[lead + axis]);
            }
            source
        }
        _ => return None,
    };
    Some(Source { index, guards, fill })
}

/// Whether an operation only moves elements of one operand.
pub fn is_view(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape(_)
            | Op::Detach(_)
            | Op::Permute(_)
            | Op::Expand(_)
            | Op::Flip(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Slide(_)
            | Op::Unslide(_)
    )
}
