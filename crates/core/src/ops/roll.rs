//! Roll, repeat, split: pieces of a tensor in another arrangement.

use crate::case::Case;
use crate::{Shape, Tensor};

impl Tensor {
    /// Elements moved along an axis by `shift` positions; those pushed over the end come back at the
    /// beginning (PyTorch's `roll`).
    #[track_caller]
    pub fn roll(&self, shift: isize, axis: isize) -> Self {
        let shape = self.shape();
        let n = match shape.axis(axis) {
            Ok(axis) => shape[axis],
            Err(message) => return self.fail("roll", message),
        };
        if n == 0 {
            return self.clone();
        }
        let moved = n - shift.rem_euclid(n as isize) as usize;
        if moved == n {
            return self.clone();
        }
        Self::concat(&[&self.slice(axis, moved..n), &self.slice(axis, 0..moved)], axis)
    }

    /// The whole tensor repeated along each axis; missing leading axes are added (PyTorch's `repeat`).
    #[track_caller]
    pub fn repeat(&self, counts: &[usize]) -> Self {
        let shape = self.shape();
        let Some(lead) = counts.len().checked_sub(shape.rank()) else {
            return self.fail("repeat", format!("{} counts are too few for {shape}", counts.len()));
        };
        if !self.is_valid() {
            return self.clone();
        }
        let extents: Vec<usize> = std::iter::repeat_n(1, lead).chain(shape.iter().copied()).collect();
        let interleave = |first: &[usize]| -> Shape {
            first.iter().zip(&extents).flat_map(|(&count, &n)| [count, n]).collect()
        };
        let whole: Shape = counts.iter().zip(&extents).map(|(count, n)| count.saturating_mul(*n)).collect();
        self.reshape(interleave(&vec![1; counts.len()])).expand(interleave(counts)).reshape(whole)
    }

    /// Consecutive pieces of `size` positions along an axis; the last one may be smaller (PyTorch's
    /// `split`).
    #[track_caller]
    pub fn split(&self, size: usize, axis: isize) -> Vec<Self> {
        let shape = self.shape();
        let n = match shape.axis(axis) {
            Ok(_) if size == 0 => return vec![self.fail("split", "pieces of 0 positions")],
            Ok(axis) => shape[axis],
            Err(message) => return vec![self.fail("split", message)],
        };
        let mut pieces = Vec::with_capacity(n.div_ceil(size));
        for start in (0..n).step_by(size) {
            pieces.push(self.slice(axis, start..n.min(start + size)));
        }
        pieces
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("roll", |t| t[0].roll(1, -1)).given([2, 3], &x).expect(&[3.0, 1.0, 2.0, 6.0, 4.0, 5.0]),
        case("roll/back", |t| t[0].roll(-4, 0)).given([3, 2], &x).expect(&[3.0, 4.0, 5.0, 6.0, 1.0, 2.0]),
        case("repeat", |t| t[0].repeat(&[2, 2]))
            .given([2], &[1.0, 2.0])
            .expect(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]),
        case("repeat/rows", |t| t[0].repeat(&[3, 1])).random([2, 5]),
        case("repeat/none", |t| t[0].repeat(&[0])).random([3]).expect(&[]),
        case("split", |t| t[0].split(2, -1)[1].clone()).given([2, 3], &x).expect(&[3.0, 6.0]),
        case("split/product", |t| {
            let pieces = t[0].split(2, 0);
            &pieces[0] * &pieces[1]
        })
        .random([4, 3]),
    ]
}
