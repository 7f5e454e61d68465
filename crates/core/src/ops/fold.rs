//! Patches of images as columns, and columns added up to images (PyTorch's `unfold` and `fold`).

use super::{Unslide, Window};
use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// The windows of \[N, C, S…\] as columns \[N, C·ΠK, L\], L of them (PyTorch's `unfold`, also called
    /// im2col).
    #[track_caller]
    pub fn unfold(&self, window: &Window) -> Self {
        if !self.is_valid() {
            return self.clone();
        }
        let (shape, d) = (self.shape(), window.rank());
        if d == 0 || shape.rank() != d + 2 {
            let message =
                format!("a window over {d} axes needs an input [N, C, …] with as many, got {shape}");
            return self.fail("unfold", message);
        }
        let windows = self.windows(window, 0.0);
        if !windows.is_valid() {
            return windows;
        }
        let order: Vec<isize> =
            [0, 1].into_iter().chain(2 + d..2 + 2 * d).chain(2..2 + d).map(|a| a as isize).collect();
        let extents = windows.shape();
        let (positions, taps) =
            (extents[2..2 + d].iter().product(), extents[2 + d..].iter().product::<usize>());
        windows.permute(&order).reshape([shape[0], shape[1] * taps, positions])
    }

    /// Columns \[N, C·ΠK, L\] added up where their windows lie in an image \[N, C, `extents`…\]: the adjoint
    /// of [`Tensor::unfold`] (PyTorch's `fold`, also called col2im).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, ops::Window};
    /// let g = Graph::new(Mode::Eval);
    /// let window = Window::new(&[2, 2]).stride(2);
    /// let columns = g.input("x", [8, 3, 6, 4], F32).unfold(&window);
    /// assert_eq!(*columns.shape(), [8, 12, 6]);
    /// assert_eq!(*columns.fold(&[6, 4], &window).shape(), [8, 3, 6, 4]);
    /// ```
    #[track_caller]
    pub fn fold(&self, extents: &[usize], window: &Window) -> Self {
        if !self.is_valid() {
            return self.clone();
        }
        let (shape, d) = (self.shape(), window.rank());
        let output = match window.output(extents) {
            Ok(output) => output,
            Err(message) => return self.fail("fold", message),
        };
        let taps: usize = window.size.iter().product();
        let columns: usize = output.iter().product();
        if d == 0 || shape.rank() != 3 || !shape[1].is_multiple_of(taps) || shape[2] != columns {
            let message =
                format!("{extents:?} has {columns} windows of {taps} elements, got columns {shape}");
            return self.fail("fold", message);
        }
        let lead = [shape[0], shape[1] / taps];
        let spread = self.reshape([&lead[..], &window.size, &output].concat());
        let order: Vec<isize> =
            [0, 1].into_iter().chain(2 + d..2 + 2 * d).chain(2..2 + d).map(|a| a as isize).collect();
        let unslide = Unslide { window: window.clone(), input: extents.to_vec() };
        let taps: Vec<isize> = (1..=d as isize).map(|axis| -axis).collect();
        self.graph().record(unslide, &[&spread.permute(&order)]).sum(&taps[..])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let uneven = || Window { padding: vec![(1, 0), (0, 1)], ..Window::new(&[2, 3]).stride(2) };
    vec![
        Case::new("unfold", |t| t[0].unfold(&Window::new(&[2])))
            .given([1, 1, 4], &[1.0, 2.0, 3.0, 4.0])
            .expect(&[1.0, 2.0, 3.0, 2.0, 3.0, 4.0]),
        Case::new("unfold/uneven", move |t| t[0].unfold(&uneven())).random([2, 3, 5, 4]),
        Case::new("fold", |t| t[0].fold(&[4], &Window::new(&[2])))
            .given([1, 2, 3], &[1.0, 2.0, 3.0, 2.0, 3.0, 4.0])
            .expect(&[1.0, 4.0, 6.0, 4.0]),
        Case::new("fold/uneven", move |t| t[0].fold(&[5, 4], &uneven())).random([2, 12, 6]),
        Case::new("fold/dilation", |t| t[0].fold(&[5, 6], &Window::new(&[2, 2]).dilation(2)))
            .random([1, 8, 12]),
    ]
}
