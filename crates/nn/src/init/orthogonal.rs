//! Orthogonal initialization.

use wgrad_core::{Array, Init};

use super::distribution::{evaluated, record_normal};

/// A random (semi-)orthogonal matrix times a gain (Saxe, McClelland and Ganguli, 2014): uniformly
/// distributed over all such matrices. Axes after the first count as one: of the rows and columns of
/// \[out, in·kernel…\], the fewer are orthogonal to each other and of length `gain`.
///
/// The matrix is computed on the host when the state is initialized; its cost grows with
/// rows · columns · min(rows, columns).
pub fn orthogonal(gain: f64) -> Init {
    Init::new(move |cx| {
        if cx.shape.rank() < 2 {
            let message = format!("variable `{}` is {}, but must have at least two axes", cx.name, cx.shape);
            return cx.graph.fail("orthogonal", message);
        }
        let (rows, columns) = (cx.shape[0], cx.shape[1..].iter().product::<usize>());
        let samples = evaluated(cx, |cx| record_normal(cx, 0.0, 1.0));
        let at = |row: usize, column: usize| samples[row * columns + column];
        // Orthonormalize whichever are fewer: rows or columns.
        let wide = rows <= columns;
        let (count, length) = if wide { (rows, columns) } else { (columns, rows) };
        let vector = |i: usize| (0..length).map(|j| if wide { at(i, j) } else { at(j, i) }).collect();
        let basis = orthonormalize((0..count).map(vector).collect());
        let value = |row: usize, column: usize| if wide { basis[row][column] } else { basis[column][row] };
        let data = (0..rows * columns).map(|i| gain * value(i / columns, i % columns)).collect();
        cx.graph.constant_array(Array::new(cx.dtype, cx.shape, data))
    })
}

/// Gram and Schmidt, each vector freed from its predecessors twice, which makes them orthogonal to
/// working precision (Giraud et al., 2005). It is the QR decomposition with a positive diagonal of R,
/// whose Q is uniformly distributed for normal samples (Mezzadri, 2007).
fn orthonormalize(mut vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(i);
        let vector = &mut rest[0];
        for other in before.iter().chain(before.iter()) {
            let shared = dot(vector, other);
            vector.iter_mut().zip(other).for_each(|(v, o)| *v -= shared * o);
        }
        let length = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|v| *v /= length);
    }
    vectors
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
