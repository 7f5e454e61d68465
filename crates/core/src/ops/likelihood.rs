//! Losses that are negative log-likelihoods, or divergences, of distributions.

use std::f64::consts::{LN_2, PI};

use super::Reduction;
use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// The Kullback-Leibler divergence, element by element: t·(ln t − x) for log-probabilities x and targets t,
    /// 0 where t is 0. With `log_target`, targets are log-probabilities too (PyTorch's `KLDivLoss`; for its
    /// "batchmean" divide the sum by the number of samples).
    #[track_caller]
    pub fn kl_div(&self, target: &Self, log_target: bool, reduction: Reduction) -> Self {
        if !self.matches(target, "kl_div") {
            return self.invalid();
        }
        let losses =
            if log_target { target.exp() * (target - self) } else { target.entropy() - target * self };
        reduction.apply(&losses)
    }

    /// ½(ln v + (x − t)²/v) for means x, targets t and variances v, which broadcast to x and are taken as at
    /// least `eps`; `full` adds ½ ln 2π (PyTorch's `GaussianNLLLoss`).
    #[track_caller]
    pub fn gaussian_nll_loss(
        &self,
        target: &Self,
        variance: &Self,
        full: bool,
        eps: f64,
        reduction: Reduction,
    ) -> Self {
        if !self.matches(target, "gaussian_nll_loss") || !variance.is_valid() {
            return self.invalid();
        }
        if self.shape().broadcast(&variance.shape()).as_ref() != Ok(&self.shape()) {
            let (x, v) = (self.spec(), variance.spec());
            return self.fail("gaussian_nll_loss", format!("variances {v} do not broadcast to means {x}"));
        }
        // The bound only guards the division: gradients pass, as in PyTorch.
        let variance = variance + (variance.maximum(eps) - variance).detach();
        let constant = if full { (2.0 * PI).ln() } else { 0.0 };
        let losses = ((self - target).square() / &variance + variance.log() + constant) * 0.5;
        reduction.apply(&losses)
    }

    /// λ − t·ln λ for counts t and rates λ, which x gives as ln λ with `log_input`, and else as itself, `eps`
    /// guarding the logarithm; `full` adds Stirling's t ln t − t + ½ ln 2πt where t > 1 (PyTorch's
    /// `PoissonNLLLoss`).
    #[track_caller]
    pub fn poisson_nll_loss(
        &self,
        target: &Self,
        log_input: bool,
        full: bool,
        eps: f64,
        reduction: Reduction,
    ) -> Self {
        if !self.matches(target, "poisson_nll_loss") {
            return self.invalid();
        }
        let mut losses =
            if log_input { self.exp() - target * self } else { self - target * (self + eps).log() };
        if full {
            let counts = target.gt(1.0);
            let safe = target.masked_fill(&counts.logical_not(), 1.0);
            let logarithm = safe.log();
            let stirling = &safe * &logarithm - &safe + (logarithm + (2.0 * PI).ln()) * 0.5;
            losses = losses + counts.select(&stirling, &stirling.zeros_like());
        }
        reduction.apply(&losses)
    }

    /// x·ln x, 0 at 0.
    #[track_caller]
    fn entropy(&self) -> Self {
        let zero = self.eq(0.0);
        self * self.masked_fill(&zero, 1.0).log()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let all = Reduction::None;
    vec![
        Case::new("kl_div", move |t| t[0].kl_div(&t[1], false, all))
            .given([3], &[0.0, -LN_2, -1.0])
            .given([3], &[0.5, 0.25, 0.0])
            .expect(&[-0.5 * LN_2, -0.25 * LN_2, 0.0])
            .no_gradient(),
        Case::new("kl_div/random", |t| t[0].kl_div(&t[1], false, Reduction::Sum))
            .uniform([3, 5], -3.0, 0.0)
            .uniform([3, 5], 0.1, 1.0),
        Case::new("kl_div/log-target", |t| t[0].kl_div(&t[1], true, Reduction::Mean))
            .uniform([3, 5], -3.0, 0.0)
            .uniform([3, 5], -3.0, 0.0),
        Case::new("gaussian_nll_loss", move |t| t[0].gaussian_nll_loss(&t[1], &t[2], false, 1e-6, all))
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2, 2], &[3.0, 2.0, 3.0, 5.0])
            .given([2, 1], &[2.0, 1.0])
            .expect(&[1.0 + 0.5 * LN_2, 0.5 * LN_2, 0.0, 0.5]),
        Case::new("gaussian_nll_loss/full", |t| {
            t[0].gaussian_nll_loss(&t[1], &t[2], true, 1e-6, Reduction::Mean)
        })
        .random([3, 5])
        .random([3, 5])
        .uniform([3, 5], 0.5, 2.0),
        Case::new("poisson_nll_loss", move |t| t[0].poisson_nll_loss(&t[1], true, false, 1e-8, all))
            .given([3], &[0.0, LN_2, 0.0])
            .given([3], &[2.0, 1.0, 0.0])
            .expect(&[1.0, 2.0 - LN_2, 1.0]),
        Case::new("poisson_nll_loss/rates", |t| {
            t[0].poisson_nll_loss(&t[1], false, false, 1e-8, Reduction::Sum)
        })
        .uniform([3, 5], 0.5, 3.0)
        .uniform([3, 5], 0.0, 5.0),
        Case::new("poisson_nll_loss/full", |t| {
            t[0].poisson_nll_loss(&t[1], true, true, 1e-8, Reduction::Mean)
        })
        .random([2, 5])
        .given([2, 5], &[0.0, 0.75, 2.0, 3.0, 4.0, 9.0, 0.5, 1.5, 7.0, 2.0]),
    ]
}
