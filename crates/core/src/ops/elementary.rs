//! Elementwise functions made of others: powers and logarithms to other bases, remainders, and small
//! formulas with a name.

use std::f64::consts::{LN_2, LN_10, LOG2_E, LOG10_E, SQRT_2};

use super::Operand;
use crate::case::{Case, Fill};
use crate::{DType, Tensor};

impl Tensor {
    /// 2ˣ.
    #[track_caller]
    pub fn exp2(&self) -> Self {
        if !self.needs_float("exp2") {
            return self.invalid();
        }
        self.graph().scalar(2.0, self.dtype()).pow(self)
    }

    /// The logarithm to base 2.
    #[track_caller]
    pub fn log2(&self) -> Self {
        self.log() * LOG2_E
    }

    /// The logarithm to base 10.
    #[track_caller]
    pub fn log10(&self) -> Self {
        self.log() * LOG10_E
    }

    /// x − trunc(x), with the sign of x (PyTorch's `frac`); its derivative is 1.
    #[track_caller]
    pub fn frac(&self) -> Self {
        self - self.detach().trunc()
    }

    /// The remainder of the division rounded down, with the sign of the divisor (PyTorch's `remainder`); `%`
    /// rounds towards zero and keeps the sign of self (PyTorch's `fmod`).
    #[track_caller]
    pub fn remainder(&self, other: impl Operand) -> Self {
        let other = other.tensor(self);
        let Some((a, b)) = self.broadcast_with("remainder", &other) else { return self.invalid() };
        let rest = a % &b;
        if b.dtype() == DType::U32 {
            return rest;
        }
        let zero = rest.zeros_like();
        let wrong_side = rest.ne(&zero).and(&rest.lt(&zero).ne(b.lt(&zero)));
        wrong_side.select(&(&rest + b), &rest)
    }

    /// √(self² + other²), without overflow in the squares; ∞ where one of them is infinite. Its gradient at
    /// (0, 0) is 0.
    #[track_caller]
    pub fn hypot(&self, other: impl Operand) -> Self {
        let other = other.tensor(self);
        let Some((a, b)) = self.broadcast_with("hypot", &other) else { return self.invalid() };
        let largest = a.abs().maximum(b.abs());
        let infinite = largest.eq(f64::INFINITY);
        // The result does not depend on the scale, so no gradient flows through it.
        let scale = largest.detach().masked_fill(&largest.eq(0.0).or(&infinite), 1.0);
        // What is not selected must have a finite slope, which is multiplied by 0.
        let (a, b) = ((a / &scale).masked_fill(&infinite, 0.0), (b / &scale).masked_fill(&infinite, 0.0));
        infinite.select(&largest, &((a.square() + b.square()).root_or_zero(2.0) * scale))
    }

    /// self + weight·(end − self) (PyTorch's `lerp`).
    #[track_caller]
    pub fn lerp(&self, end: &Self, weight: impl Operand) -> Self {
        let weight = weight.tensor(self);
        self + (end - self) * weight
    }

    /// self + value·a·b (PyTorch's `addcmul`).
    #[track_caller]
    pub fn addcmul(&self, a: &Self, b: &Self, value: f64) -> Self {
        self + a * b * value
    }

    /// self + value·a/b (PyTorch's `addcdiv`).
    #[track_caller]
    pub fn addcdiv(&self, a: &Self, b: &Self, value: f64) -> Self {
        self + a / b * value
    }

    /// ln(eᵃ + eᵇ), which cannot overflow (PyTorch's `logaddexp`). Equal operands share the gradient, infinite
    /// ones too.
    #[track_caller]
    pub fn logaddexp(&self, other: impl Operand) -> Self {
        let other = other.tensor(self);
        let Some((a, b)) = self.broadcast_with("logaddexp", &other) else { return self.invalid() };
        let first = a.gt(&b);
        let (larger, smaller) = (first.select(&a, &b), first.select(&b, &a));
        // The difference of equal infinities is NaN.
        let alike = a.eq(&b).and(&a.abs().eq(f64::INFINITY));
        let difference = (smaller - &larger).masked_fill(&alike, 0.0);
        difference.exp().log1p() + alike.select(&a.maximum(&b), &larger)
    }

    /// ln(x / (1 − x)), the inverse of the logistic function, for x limited to \[eps, 1 − eps\] (PyTorch's
    /// `logit`).
    #[track_caller]
    pub fn logit(&self, eps: f64) -> Self {
        let x = if eps > 0.0 { self.clamp(eps, 1.0 - eps) } else { self.clone() };
        x.log() - x.neg().log1p()
    }

    /// x·ln y, 0 where x is 0 (PyTorch's `xlogy`).
    #[track_caller]
    pub fn xlogy(&self, other: &Self) -> Self {
        let Some((x, y)) = self.broadcast_with("xlogy", other) else { return self.invalid() };
        let zero = x.eq(0.0);
        x * y.masked_fill(&zero, 1.0).log()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let inf = f64::INFINITY;
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("exp2", |t| t[0].exp2()).given([4], &[0.0, 3.0, -1.0, 0.5]).expect(&[1.0, 8.0, 0.5, SQRT_2]),
        case("exp2/random", |t| t[0].exp2()).uniform([7, 5], -4.0, 4.0),
        case("log2", |t| t[0].log2()).given([3], &[8.0, 0.5, 1.0]).expect(&[3.0, -1.0, 0.0]),
        case("log2/random", |t| t[0].log2()).uniform([7, 5], 0.1, 9.0),
        case("log10", |t| t[0].log10()).given([3], &[1000.0, 2.0, 1.0]).expect(&[3.0, LN_2 / LN_10, 0.0]),
        case("log10/random", |t| t[0].log10()).uniform([7, 5], 0.1, 9.0),
        case("frac", |t| t[0].frac())
            .given([3], &[1.75, -1.75, 2.0])
            .expect(&[0.75, -0.75, 0.0])
            .no_gradient(),
        case("frac/random", |t| t[0].frac()).distinct([3, 5]),
        case("remainder", |t| t[0].remainder(&t[1]))
            .given([5], &[5.5, -5.5, 5.5, -5.5, -4.5])
            .given([5], &[2.0, 2.0, -2.0, -2.0, 2.0])
            .expect(&[1.5, 0.5, -0.5, -1.5, 1.5])
            .no_gradient(),
        case("remainder/random", |t| t[0].remainder(&t[1])).uniform([3, 5], -1.9, -1.1).uniform(
            [5],
            0.6,
            0.9,
        ),
        case("remainder/i32", |t| t[0].remainder(&t[1]))
            .operand(DType::I32, [3], Fill::Given(vec![-4.0, 5.0, -5.0]))
            .operand(DType::I32, [3], Fill::Given(vec![2.0, -3.0, 3.0]))
            .expect(&[0.0, -1.0, 1.0])
            .no_gradient(),
        case("remainder/number", |t| t[0].remainder(3.0)).labels([7], 100).no_gradient(),
        case("hypot", |t| t[0].hypot(&t[1]))
            .given([4], &[3.0, 0.0, -5.0, 3e30])
            .given([4], &[-4.0, 0.0, 12.0, 4e30])
            .expect(&[5.0, 0.0, 13.0, 5e30])
            .no_gradient(),
        case("hypot/infinite", |t| t[0].hypot(&t[1]))
            .given([5], &[inf, -inf, 3.0, 2.0, inf])
            .given([5], &[1.0, -2.0, 4.0, -inf, -inf])
            .expect(&[inf, inf, 5.0, inf, inf])
            .no_gradient(),
        case("hypot/infinite-gradient", |t| gradients(&t[0].hypot(&t[1]), t))
            .given([4], &[inf, -inf, 2.0, inf])
            .given([4], &[1.0, -2.0, -inf, -inf])
            .expect(&[1.0, -1.0, 0.0, 0.5, 0.0, 0.0, -1.0, -0.5])
            .no_gradient(),
        case("hypot/random", |t| t[0].hypot(&t[1])).distinct([3, 1]).distinct([5]),
        case("lerp", |t| t[0].lerp(&t[1], 0.25))
            .given([2], &[1.0, 2.0])
            .given([2], &[5.0, -2.0])
            .expect(&[2.0, 1.0]),
        case("lerp/tensor", |t| t[0].lerp(&t[1], &t[2])).random([3, 5]).random([3, 5]).random([5]),
        case("addcmul", |t| t[0].addcmul(&t[1], &t[2], 0.5))
            .given([2], &[1.0, 2.0])
            .given([2], &[3.0, 4.0])
            .given([2], &[5.0, 6.0])
            .expect(&[8.5, 14.0]),
        case("addcdiv", |t| t[0].addcdiv(&t[1], &t[2], 2.0))
            .given([2], &[1.0, 2.0])
            .given([2], &[3.0, 4.0])
            .given([2], &[4.0, 8.0])
            .expect(&[2.5, 3.0]),
        case("logaddexp", |t| t[0].logaddexp(&t[1]))
            .given([3], &[0.0, 1e4, -1e4])
            .given([3], &[0.0, 1e4, 1.0])
            .expect(&[LN_2, 1e4 + LN_2, 1.0])
            .no_gradient(),
        case("logaddexp/infinite", |t| t[0].logaddexp(&t[1]))
            .given([5], &[inf, -inf, inf, -inf, 1.0])
            .given([5], &[inf, -inf, -inf, 1.0, inf])
            .expect(&[inf, -inf, inf, 1.0, inf])
            .no_gradient(),
        case("logaddexp/infinite-gradient", |t| gradients(&t[0].logaddexp(&t[1]), t))
            .given([6], &[inf, -inf, inf, -inf, 1.0, 1.0])
            .given([6], &[inf, -inf, -inf, 1.0, inf, 1.0])
            .expect(&[0.5, 0.5, 1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.0, 1.0, 1.0, 0.5])
            .no_gradient(),
        case("logaddexp/random", |t| t[0].logaddexp(&t[1])).random([3, 5]).random([5]),
        case("logit", |t| t[0].logit(0.0)).given([3], &[0.5, 0.25, 0.75]).expect(&[
            0.0,
            -(3f64.ln()),
            3f64.ln(),
        ]),
        case("logit/limited", |t| t[0].logit(0.2)).uniform([3, 5], 0.25, 0.75),
        case("xlogy", |t| t[0].xlogy(&t[1]))
            .given([3], &[0.0, 2.0, 1.0])
            .given([3], &[0.0, 2.0, 1.0])
            .expect(&[0.0, 2.0 * LN_2, 0.0])
            .no_gradient(),
        case("xlogy/random", |t| t[0].xlogy(&t[1])).random([3, 5]).uniform([5], 0.25, 2.0),
    ]
}

/// The gradients of the sum of a result in two operands, one after the other.
fn gradients(result: &Tensor, operands: &[Tensor]) -> Tensor {
    let gradients = result.sum(..).gradients(&[&operands[0], &operands[1]]);
    Tensor::concat(&[&gradients[0], &gradients[1]], 0)
}
