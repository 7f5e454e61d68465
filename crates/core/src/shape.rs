//! Shapes, axes and NumPy-style broadcasting.

use std::fmt;
use std::ops::{Deref, RangeFull};

use crate::DType;

/// The extent of a tensor along each axis, outermost first. A scalar has no axes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape of a scalar.
    pub const fn scalar() -> Self {
        Self(Vec::new())
    }

    /// The number of elements; `usize::MAX` stands for any number beyond it.
    pub fn numel(&self) -> usize {
        if self.0.contains(&0) { 0 } else { self.0.iter().fold(1, |n, &extent| n.saturating_mul(extent)) }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Row-major strides, in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self.0[axis];
        }
        strides
    }

    /// Resolves a possibly negative axis as PyTorch does (−1 is the last).
    pub fn axis(&self, axis: isize) -> Result<usize, String> {
        let rank = self.rank() as isize;
        let resolved = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&resolved) {
            Ok(resolved as usize)
        } else {
            Err(format!("axis {axis} does not exist in shape {self} of rank {rank}"))
        }
    }

    /// The common shape of two operands by NumPy's rules: align at the last axis; extents agree or
    /// one of them is 1.
    pub fn broadcast(&self, other: &Self) -> Result<Self, String> {
        let rank = self.rank().max(other.rank());
        let extent = |shape: &Self, axis: usize| {
            (axis + shape.rank()).checked_sub(rank).map_or(1, |axis| shape.0[axis])
        };
        (0..rank)
            .map(|axis| match (extent(self, axis), extent(other, axis)) {
                (a, b) if a == b => Ok(a),
                (1, b) => Ok(b),
                (a, 1) => Ok(a),
                _ => Err(format!("shapes {self} and {other} cannot be broadcast together")),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    /// This shape with the given axes set to extent 1.
    pub fn reduced(&self, axes: &[usize]) -> Self {
        let keep = |(axis, &n): (usize, &usize)| if axes.contains(&axis) { 1 } else { n };
        Self(self.0.iter().enumerate().map(keep).collect())
    }

    /// This shape without the given axes.
    pub fn without(&self, axes: &[usize]) -> Self {
        let keep = |(axis, &n): (usize, &usize)| (!axes.contains(&axis)).then_some(n);
        Self(self.0.iter().enumerate().filter_map(keep).collect())
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(extents: &[usize]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(extents: Vec<usize>) -> Self {
        Self(extents)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(extents: I) -> Self {
        Self(extents.into_iter().collect())
    }
}

/// What is known of a tensor before it has a value: element type and shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorSpec {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Shape,
}

impl TensorSpec {
    /// A spec from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        Self { dtype, shape: shape.into() }
    }

    /// Bytes in device memory.
    pub fn bytes(&self) -> usize {
        self.shape.numel() * self.dtype.size()
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// Anything that names axes: `1`, `-1`, `[0, 2]`, or `..` for all of them.
pub trait Axes {
    /// The axes as sorted indices without duplicates.
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String>;
}

fn resolve_all(axes: impl Iterator<Item = isize>, shape: &Shape) -> Result<Vec<usize>, String> {
    let mut resolved = axes.map(|axis| shape.axis(axis)).collect::<Result<Vec<_>, _>>()?;
    resolved.sort_unstable();
    if resolved.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("an axis of shape {shape} is named twice"));
    }
    Ok(resolved)
}

impl Axes for i32 {
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        shape.axis(*self as isize).map(|axis| vec![axis])
    }
}

impl Axes for isize {
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        shape.axis(*self).map(|axis| vec![axis])
    }
}

impl<const N: usize> Axes for [i32; N] {
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        resolve_all(self.iter().map(|&axis| axis as isize), shape)
    }
}

impl Axes for &[isize] {
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        resolve_all(self.iter().copied(), shape)
    }
}

impl Axes for &[usize] {
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        resolve_all(self.iter().map(|&axis| axis as isize), shape)
    }
}

impl Axes for RangeFull {
    fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        Ok((0..shape.rank()).collect())
    }
}
