//! Initializers with a structure: identities, and matrices that are mostly zero.

use wgrad_core::vars::InitContext;
use wgrad_core::{Array, Init, Tensor, U32};

use super::distribution::{evaluated, record_normal};

/// The identity matrix, with zeros where it is not square (PyTorch's `eye_`).
pub fn eye() -> Init {
    Init::new(|cx| {
        if cx.shape.rank() != 2 {
            return refuse(cx, "eye", "a matrix");
        }
        let (row, column) = (cx.graph.iota(cx.shape, 0, U32), cx.graph.iota(cx.shape, 1, U32));
        row.eq(column).cast(cx.dtype)
    })
}

/// A convolution \[out, in/groups, kernel…\] that hands on as many channels of each group as it can, unchanged up
/// to the borders (PyTorch's `dirac_`). `groups` must divide the outputs.
pub fn dirac(groups: usize) -> Init {
    Init::new(move |cx| {
        let (graph, shape) = (cx.graph, cx.shape);
        if !(3..=5).contains(&shape.rank()) || groups == 0 || !shape[0].is_multiple_of(groups) {
            return refuse(cx, "dirac", &format!("a convolution of {groups} groups"));
        }
        let index = |axis: usize| graph.iota(shape, axis, U32);
        let mut one = (index(0) % (shape[0] / groups).max(1) as f64).eq(index(1));
        for axis in 2..shape.rank() {
            one = one.and(&index(axis).eq((shape[axis] / 2) as f64));
        }
        one.cast(cx.dtype)
    })
}

/// Normal numbers in a matrix \[out, in\], of whose columns each has this share of zeros, rounded up (PyTorch's
/// `sparse_`; Martens, 2010). Computed on the host when the state is initialized.
pub fn sparse(sparsity: f64, std: f64) -> Init {
    Init::new(move |cx| {
        if cx.shape.rank() != 2 || !(0.0..=1.0).contains(&sparsity) {
            return refuse(
                cx,
                "sparse",
                &format!("a matrix and a share in [0, 1], which {sparsity} must be"),
            );
        }
        let (rows, columns) = (cx.shape[0], cx.shape[1]);
        let mut values = evaluated(cx, |cx| record_normal(cx, 0.0, std));
        let order = evaluated(cx, |cx| cx.random_bits(2));
        let zeros = (sparsity * rows as f64).ceil() as usize;
        for column in 0..columns {
            let mut picks: Vec<usize> = (0..rows).map(|row| row * columns + column).collect();
            picks.sort_by(|&a, &b| order[a].total_cmp(&order[b]));
            picks.iter().take(zeros).for_each(|&pick| values[pick] = 0.0);
        }
        cx.graph.constant_array(Array::new(cx.dtype, cx.shape, values))
    })
}

fn refuse(cx: &InitContext<'_>, initializer: &str, what: &str) -> Tensor {
    let message = format!("variable `{}` is {}, but the initializer takes {what}", cx.name, cx.shape);
    cx.graph.fail(initializer, message)
}
