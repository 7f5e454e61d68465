//! Scaled dot-product attention.

use super::Contract;
use crate::case::Case;
use crate::{DType, Tensor};

impl Tensor {
    /// softmax(q·kᵀ / √d) · v (PyTorch's `scaled_dot_product_attention`; Vaswani et al., 2017): q is
    /// \[…, T, D\], k is \[…, S, D\], v is \[…, S, E\] with the same leading axes (batch, heads); the
    /// result is \[…, T, E\]. With `causal`, position t sees the positions s ≤ t.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, Tensor};
    /// let g = Graph::new(Mode::Eval);
    /// let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, [2, 4, 16, 8], F32));
    /// assert_eq!(*Tensor::scaled_dot_product_attention(&q, &k, &v, true).shape(), [2, 4, 16, 8]);
    /// ```
    #[track_caller]
    pub fn scaled_dot_product_attention(q: &Self, k: &Self, v: &Self, causal: bool) -> Self {
        if !q.is_valid() || !k.is_valid() || !v.is_valid() {
            return q.invalid();
        }
        let (qs, ks, vs) = (q.shape(), k.shape(), v.shape());
        let rank = qs.rank();
        let fits = rank >= 2
            && (ks.rank(), vs.rank()) == (rank, rank)
            && (qs[..rank - 2] == ks[..rank - 2] && qs[..rank - 2] == vs[..rank - 2])
            && (qs[rank - 1] == ks[rank - 1] && ks[rank - 2] == vs[rank - 2]);
        if !fits {
            let message = format!("q [… T D], k [… S D] and v [… S E] do not fit: {qs}, {ks} and {vs}");
            return q.fail("scaled_dot_product_attention", message);
        }
        let lead: Vec<u8> = (0..rank - 2).map(|axis| b'A' + axis as u8).collect();
        let product = |a: &[u8], b: &[u8], out: &[u8]| {
            let labels = |own: &[u8]| [&lead[..], own].concat();
            Contract { a: labels(a), b: labels(b), out: labels(out) }
        };
        let scale = 1.0 / (qs[rank - 1] as f64).sqrt();
        let mut scores = q.graph().record(product(b"td", b"sd", b"ts"), &[q, k]) * scale;
        if causal {
            let grid = [qs[rank - 2], ks[rank - 2]];
            let (row, column) = (q.graph().iota(grid, 0, DType::U32), q.graph().iota(grid, 1, DType::U32));
            // Far below any score, yet far enough from overflow that subtracting the maximum is safe.
            scores = scores.masked_fill(&column.gt(row), q.dtype().lowest() / 2.0);
        }
        q.graph().record(product(b"ts", b"se", b"te"), &[&scores.softmax(-1), v])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let attend = |name: &str, causal: bool| {
        let build = move |t: &[Tensor]| Tensor::scaled_dot_product_attention(&t[0], &t[1], &t[2], causal);
        Case::new(&format!("scaled_dot_product_attention{name}"), build)
    };
    vec![
        // Equal scores: the mean of the values, for a causal query that of the values up to it.
        attend("", false)
            .given([2, 1], &[0.0, 0.0])
            .given([2, 1], &[1.0, 2.0])
            .given([2, 2], &[1.0, 2.0, 3.0, 6.0])
            .expect(&[2.0, 4.0, 2.0, 4.0]),
        attend("/causal", true)
            .given([2, 1], &[0.0, 0.0])
            .given([2, 1], &[1.0, 2.0])
            .given([2, 2], &[1.0, 2.0, 3.0, 6.0])
            .expect(&[1.0, 2.0, 2.0, 4.0]),
        attend("/heads", false).random([2, 3, 5, 4]).random([2, 3, 7, 4]).random([2, 3, 7, 3]),
        attend("/causal-heads", true).random([2, 1, 5, 4]).random([2, 1, 5, 4]).random([2, 1, 5, 4]),
    ]
}
