//! Pieces of a tensor, and a tensor's elements several times over.

use crate::case::Case;
use crate::{Shape, Tensor};

impl Tensor {
    /// `length` positions along an axis, from `start` on (PyTorch's `narrow`).
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, length: usize) -> Self {
        self.slice(axis, start..start.saturating_add(length))
    }

    /// About equal pieces along an axis, at most `count` of them: all but the last have ⌈n / count⌉ positions
    /// (PyTorch's `chunk`).
    #[track_caller]
    pub fn chunk(&self, count: usize, axis: isize) -> Vec<Self> {
        if count == 0 {
            return vec![self.fail("chunk", "0 pieces")];
        }
        if !self.is_valid() {
            // As many as wanted, so that taking them apart shows the first mistake and not another.
            return vec![self.invalid(); count];
        }
        self.split(self.dim(axis).div_ceil(count).max(1), axis)
    }

    /// Every position along an axis, which is dropped, as a tensor of its own (PyTorch's `unbind`).
    #[track_caller]
    pub fn unbind(&self, axis: isize) -> Vec<Self> {
        let shape = self.shape();
        let n = match shape.axis(axis) {
            Ok(axis) => shape[axis],
            Err(message) => return vec![self.fail("unbind", message)],
        };
        let mut pieces = Vec::with_capacity(n);
        for position in 0..n {
            pieces.push(self.select_index(axis, position));
        }
        pieces
    }

    /// An axis split into several (PyTorch's `unflatten`): the extents must multiply to its own.
    #[track_caller]
    pub fn unflatten(&self, axis: isize, extents: &[usize]) -> Self {
        let shape = self.shape();
        match shape.axis(axis) {
            Ok(axis) => self.reshape([&shape[..axis], extents, &shape[axis + 1..]].concat()),
            Err(message) => self.fail("unflatten", message),
        }
    }

    /// The whole tensor repeated along each axis; missing leading axes and counts are 1 (PyTorch's `tile`).
    #[track_caller]
    pub fn tile(&self, counts: &[usize]) -> Self {
        let missing = self.rank().saturating_sub(counts.len());
        self.repeat(&[&vec![1; missing], counts].concat())
    }

    /// Each position along an axis repeated `count` times in a row (PyTorch's `repeat_interleave`).
    #[track_caller]
    pub fn repeat_interleave(&self, count: usize, axis: isize) -> Self {
        let shape = self.shape();
        match shape.axis(axis) {
            Ok(axis) => {
                let with = |extent: &[usize]| -> Shape {
                    [&shape[..=axis], extent, &shape[axis + 1..]].concat().into()
                };
                let mut whole = shape.to_vec();
                whole[axis] = whole[axis].saturating_mul(count);
                let repeated = self.reshape(with(&[1])).expand(with(&[count]));
                if repeated.is_valid() { repeated.reshape(whole) } else { repeated }
            }
            Err(message) => self.fail("repeat_interleave", message),
        }
    }

    /// Coordinates on a grid: vectors of m, n, … positions, each as a tensor \[m, n, …\] that varies along its
    /// own axis (PyTorch's `meshgrid` with `indexing="ij"`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, Tensor};
    /// let g = Graph::new(Mode::Eval);
    /// let grid = Tensor::meshgrid(&[&g.arange(3, F32), &g.arange(5, F32)]);
    /// assert_eq!(*grid[1].shape(), [3, 5]);
    /// ```
    #[track_caller]
    pub fn meshgrid(vectors: &[&Self]) -> Vec<Self> {
        let whole: Vec<usize> = vectors.iter().map(|vector| vector.numel()).collect();
        let mut grid = Vec::with_capacity(vectors.len());
        for (axis, vector) in vectors.iter().enumerate() {
            let mut aligned = vec![1; vectors.len()];
            aligned[axis] = whole[axis];
            grid.push(match vector.rank() {
                1 => vector.reshape(aligned).expand(&whole[..]),
                _ => vector.fail("meshgrid", format!("needs vectors, got {}", vector.spec())),
            });
        }
        grid
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("narrow", |t| t[0].narrow(1, 1, 2)).given([2, 3], &x).expect(&[2.0, 3.0, 5.0, 6.0]),
        case("chunk", |t| t[0].chunk(2, -1)[1].clone()).given([2, 3], &x).expect(&[3.0, 6.0]),
        case("chunk/product", |t| {
            let pieces = t[0].chunk(3, 0);
            &pieces[0] * &pieces[2]
        })
        .random([6, 3]),
        case("unbind", |t| t[0].unbind(0)[1].clone()).given([2, 3], &x).expect(&[4.0, 5.0, 6.0]),
        case("unbind/products", |t| {
            let pieces = t[0].unbind(1);
            &pieces[0] * &pieces[2]
        })
        .random([2, 3, 4]),
        case("unflatten", |t| t[0].unflatten(0, &[2, 3]).t())
            .given([6], &x)
            .expect(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        case("tile", |t| t[0].tile(&[2])).given([2, 1], &[1.0, 2.0]).expect(&[1.0, 1.0, 2.0, 2.0]),
        case("tile/rows", |t| t[0].tile(&[2, 3, 1])).random([2, 5]),
        case("repeat_interleave", |t| t[0].repeat_interleave(2, 0))
            .given([2], &[1.0, 2.0])
            .expect(&[1.0, 1.0, 2.0, 2.0]),
        case("repeat_interleave/middle", |t| t[0].repeat_interleave(3, 1)).random([2, 3, 4]),
        case("repeat_interleave/none", |t| t[0].repeat_interleave(0, 0)).random([2]).expect(&[]),
        case("meshgrid", |t| {
            let grid = Tensor::meshgrid(&[&t[0], &t[1]]);
            &grid[0] * 10.0 + &grid[1]
        })
        .given([2], &[1.0, 2.0])
        .given([3], &[3.0, 4.0, 5.0])
        .expect(&[13.0, 14.0, 15.0, 23.0, 24.0, 25.0]),
    ]
}
