//! Sinusoidal positions.

use wgrad_core::{Graph, Tensor};

use crate::Module;

/// Adds a fixed wave per feature to a sequence \[N, T, width\], so that what follows can tell positions apart
/// (Vaswani et al., 2017, section 3.5): feature 2i of position t gets sin(t / 10,000^(2i/width)), feature
/// 2i + 1 the cosine. There are no variables.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Module, SinusoidalPositions};
/// let x = Graph::new(Mode::Train).input("x", [8, 100, 64], F32);
/// assert_eq!(SinusoidalPositions.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SinusoidalPositions;

impl SinusoidalPositions {
    /// The waves at the first positions, \[positions, width\].
    #[track_caller]
    pub fn table(graph: &Graph, positions: usize, width: usize) -> Tensor {
        let wave = |i: usize| {
            let (position, feature) = (i / width, i % width);
            let exponent = (feature - feature % 2) as f64 / width as f64;
            let angle = position as f64 / 10_000f64.powf(exponent);
            (if feature % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
        };
        let values: Vec<f32> = (0..positions * width).map(wave).collect();
        graph.constant([positions, width], &values)
    }
}

impl Module for SinusoidalPositions {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let shape = x.shape();
        let &[.., positions, width] = &shape[..] else {
            return x.fail("sinusoidal_positions", format!("needs an input […, T, width], got {}", x.spec()));
        };
        x + Self::table(x.graph(), positions, width).cast(x.dtype())
    }
}
