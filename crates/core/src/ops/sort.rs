//! Sorting along an axis. The order is a tensor of indices; values are gathered by it, and that is what
//! gradients flow through.
//!
//! Short rows are ranked by counting: a rank is the number of elements that come before. Long rows go
//! through a bitonic network (Batcher, "Sorting networks and their applications", 1968).

use crate::case::{Case, Fill};
use crate::{DType, Tensor};

/// Rows up to this length are ranked by counting, n² comparisons in one pass; longer ones go through about
/// ½ log²n passes of a network.
const COUNTED: usize = 1024;

impl Tensor {
    /// The elements along an axis in order, and their positions before, u32 (PyTorch's `sort` with
    /// `stable=True`): equal elements keep their order. Where a NaN goes is not specified.
    ///
    /// ```
    /// use wgrad_core::{Graph, Mode, interpret::evaluate};
    /// let g = Graph::new(Mode::Eval);
    /// let (values, order) = g.constant([3], &[2f32, 3.0, 1.0]).sort(-1, false);
    /// let all = evaluate(&g.recording(), &Default::default());
    /// assert_eq!(all[values.id().index()].data, [1.0, 2.0, 3.0]);
    /// assert_eq!(all[order.id().index()].data, [2.0, 0.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: isize, descending: bool) -> (Self, Self) {
        let order = self.argsort(axis, descending);
        if !order.is_valid() {
            return (order.clone(), order);
        }
        (self.gather(axis, &order), order)
    }

    /// The positions, u32, that put the elements along an axis in order (PyTorch's `argsort` with
    /// `stable=True`). Not differentiable.
    #[track_caller]
    pub fn argsort(&self, axis: isize, descending: bool) -> Self {
        let shape = self.shape();
        let axis = match shape.axis(axis) {
            Ok(axis) => axis as isize,
            Err(message) => return self.fail("argsort", message),
        };
        if self.dtype() == DType::Bool {
            return self.fail("argsort", "is not defined for bool; cast first");
        }
        let keys = if descending { self.reversed("argsort") } else { self.clone() };
        if !keys.is_valid() {
            return keys;
        }
        let keys = keys.detach().movedim(axis, -1);
        // Counting has a position for each pair, which there must be numbers for.
        let (length, pairs) = (self.dim(axis), self.numel().saturating_mul(self.dim(axis)));
        let counts = length <= COUNTED && pairs <= i32::MAX as usize;
        let order = if counts { keys.order_by_counting() } else { keys.order_by_network() };
        order.movedim(-1, axis)
    }

    /// The `k` largest elements along an axis, the largest first, and their positions, u32 (PyTorch's `topk`);
    /// of equal ones the first comes first.
    #[track_caller]
    pub fn top_k(&self, k: usize, axis: isize) -> (Self, Self) {
        let n = self.dim(axis);
        if self.is_valid() && k > n {
            let refused =
                self.fail("top_k", format!("{k} elements of {n} in {} along axis {axis}", self.spec()));
            return (refused.clone(), refused);
        }
        let order = self.argsort(axis, true);
        if !order.is_valid() {
            return (order.clone(), order);
        }
        let order = order.slice(axis, 0..k);
        (self.gather(axis, &order), order)
    }

    /// The order along the last axis: each element's number is put at its rank.
    #[track_caller]
    fn order_by_counting(&self) -> Self {
        let n = self.dim(-1);
        let (this, other) = (self.unsqueeze(-1), self.unsqueeze(-2));
        let (i, j) = (self.graph().iota([n, n], 0, DType::U32), self.graph().iota([n, n], 1, DType::U32));
        let before = other.lt(&this).or(&other.eq(&this).and(&j.lt(i)));
        let rank = before.cast(DType::U32).sum(-1);
        let number = self.graph().arange(n, DType::U32).expand(self.shape());
        number.scatter_add(-1, &rank, n)
    }

    /// The order along the last axis, by a bitonic network over (key, number): no two pairs are equal, so the
    /// result is stable.
    #[track_caller]
    fn order_by_network(&self) -> Self {
        let n = self.dim(-1);
        let width = n.next_power_of_two();
        let mut amounts = vec![(0, 0); self.rank()];
        amounts[self.rank() - 1].1 = width - n;
        // Behind everything: of equal keys the padding has the larger numbers.
        let last = match self.dtype() {
            DType::I32 => f64::from(i32::MAX),
            DType::U32 => f64::from(u32::MAX),
            _ => f64::INFINITY,
        };
        let mut keys = self.pad(&amounts, last);
        let mut numbers = self.graph().arange(width, DType::U32).expand(keys.shape());
        for sorted in 0..width.ilog2() {
            // Runs of 2·2^sorted become sorted, every second one downwards.
            for half in (0..=sorted).rev() {
                (keys, numbers) = exchange(&keys, &numbers, 1 << half, 2 << sorted);
            }
        }
        numbers.slice(-1, 0..n)
    }
}

/// Orders each pair of elements `distance` apart, downwards in every second run of `run` elements.
#[track_caller]
fn exchange(keys: &Tensor, numbers: &Tensor, distance: usize, run: usize) -> (Tensor, Tensor) {
    let shape = keys.shape();
    let blocks = keys.dim(-1) / (2 * distance);
    let paired = [&shape[..shape.rank() - 1], &[blocks, 2, distance]].concat();
    let (keys, numbers) = (keys.reshape(&paired[..]), numbers.reshape(&paired[..]));
    let [a, b] = [keys.slice(-2, 0..1), keys.slice(-2, 1..2)];
    let [i, j] = [numbers.slice(-2, 0..1), numbers.slice(-2, 1..2)];
    let ordered = a.lt(&b).or(&a.eq(&b).and(&i.lt(&j)));
    let block = keys.graph().iota([blocks, 1, 1], 0, DType::U32);
    let downwards = (block / (run / (2 * distance)) as f64 % 2.0).ne(0.0);
    let stay = ordered.ne(downwards);
    let (low, high) = (stay.select(&a, &b), stay.select(&b, &a));
    let (low_number, high_number) = (stay.select(&i, &j), stay.select(&j, &i));
    let joined = Tensor::concat(&[&low, &high], -2).reshape(&shape);
    (joined, Tensor::concat(&[&low_number, &high_number], -2).reshape(&shape))
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [3.0, 1.0, 2.0, 1.0, 5.0, 4.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("sort", |t| t[0].sort(-1, false).0).given([2, 3], &x).expect(&[1.0, 2.0, 3.0, 1.0, 4.0, 5.0]),
        case("sort/descending", |t| t[0].sort(0, true).0).distinct([7, 3]),
        case("sort/middle", |t| t[0].sort(1, false).0).distinct([2, 5, 3]),
        case("sort/one", |t| t[0].sort(0, false).0).random([1, 3]),
        case("sort/none", |t| t[0].sort(1, false).0).random([2, 0]).expect(&[]),
        case("argsort", |t| t[0].argsort(0, false))
            .given([6], &x)
            .expect(&[1.0, 3.0, 2.0, 0.0, 5.0, 4.0])
            .no_gradient(),
        case("argsort/descending", |t| t[0].argsort(-1, true))
            .given([2, 3], &[2.0, 7.0, 2.0, -1.0, -1.0, 0.0])
            .expect(&[1.0, 0.0, 2.0, 2.0, 0.0, 1.0])
            .no_gradient(),
        case("argsort/u32", |t| t[0].argsort(-1, true)).labels([3, 9], 4).no_gradient(),
        case("argsort/i32", |t| t[0].argsort(0, false))
            .operand(DType::I32, [4], Fill::Given(vec![7.0, -2147483648.0, 2147483647.0, -1.0]))
            .expect(&[1.0, 3.0, 0.0, 2.0])
            .no_gradient(),
        case("argsort/network", |t| t[0].order_by_network())
            .indices([2, 6], &[3.0, 1.0, 4294967295.0, 1.0, 5.0, 4.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
            .expect(&[1.0, 3.0, 0.0, 5.0, 4.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
            .no_gradient(),
        case("argsort/network-of-floats", |t| t[0].order_by_network()).distinct([2, 11]).no_gradient(),
        case("top_k", |t| t[0].top_k(2, -1).0).given([2, 3], &x).expect(&[3.0, 2.0, 5.0, 4.0]),
        case("top_k/positions", |t| t[0].top_k(2, 0).1)
            .given([4, 1], &[1.0, 5.0, 0.0, 5.0])
            .expect(&[1.0, 3.0])
            .no_gradient(),
        case("top_k/columns", |t| t[0].top_k(3, 0).0).distinct([7, 4]),
    ]
}
