//! Connectionist temporal classification: the probability that a sequence of frames spells a shorter text.
//!
//! Source: Graves, Fernández, Gomez and Schmidhuber, ICML 2006. The forward recursion over frames is recorded
//! in the logarithm; its gradient is the backward recursion.

use super::Reduction;
use crate::case::Case;
use crate::{DType, Tensor};

/// The logarithm of a probability of 0: far below any sum of log-probabilities, yet far from overflow.
const NEVER: f64 = -1e30;

/// What [`Tensor::ctc_loss`] compares log-probabilities with.
#[derive(Clone, Copy, Debug)]
pub struct CtcTarget<'a> {
    /// The texts, u32 \[N, S\], padded with any class.
    pub labels: &'a Tensor,
    /// How many frames of each sample count, u32 \[N\], at most T.
    pub input_lengths: &'a Tensor,
    /// How many labels of each text count, u32 \[N\], at most S.
    pub target_lengths: &'a Tensor,
    /// The class that stands for no label.
    pub blank: u32,
}

impl Tensor {
    /// −ln of the probability of each text, summed over all its alignments: f32 log-probabilities \[T, N, C\]
    /// and texts of lengths up to S (PyTorch's `CTCLoss`). A mean is over losses divided by their text's
    /// length. A text that cannot be spelt in its frames has a loss of about 10³⁰, where PyTorch has infinity;
    /// with `zero_infinity` it has none.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, U32, ops::{CtcTarget, Reduction}};
    /// let g = Graph::new(Mode::Train);
    /// let frames = g.input("frames", [50, 8, 28], F32).log_softmax(-1);
    /// let (labels, lengths) = (g.input("labels", [8, 12], U32), g.input("lengths", [8], U32));
    /// let all = g.full([8], 50.0, U32);
    /// let target = CtcTarget { labels: &labels, input_lengths: &all, target_lengths: &lengths, blank: 0 };
    /// assert_eq!(frames.ctc_loss(target, true, Reduction::Mean).rank(), 0);
    /// ```
    #[track_caller]
    pub fn ctc_loss(&self, target: CtcTarget<'_>, zero_infinity: bool, reduction: Reduction) -> Self {
        if !self.spells(&target) {
            return self.invalid();
        }
        let shape = self.shape();
        let (frames, batch, classes) = (shape[0], shape[1], shape[2]);
        let texts = target.labels.require_below(classes as u32);
        let text_lengths = target.target_lengths.require_below(texts.dim(1) as u32 + 1);
        let frame_lengths = target.input_lengths.require_below(frames as u32 + 1).unsqueeze(-1);
        // Blanks around every label: the states of the recursion.
        let blank = self.graph().scalar(f64::from(target.blank), DType::U32);
        let pairs = Self::stack(&[&blank.expand(texts.shape()), &texts], -1).flatten(1);
        let states = Self::concat(&[&pairs, &blank.expand([batch, 1])], 1);
        let count = states.dim(1);
        // The state two before may be skipped from, unless that drops a blank between equal labels.
        let may_skip = states.ne(states.shifted(2, f64::from(target.blank)));
        let emitted = self.gather(2, &states.expand([frames, batch, count]));
        let state = self.graph().arange(count, DType::U32);
        let mut alpha = emitted.select_index(0, 0).masked_fill(&state.ge(2.0), NEVER);
        for frame in 1..frames {
            let skipped = alpha.shifted(2, NEVER).masked_fill(&may_skip.logical_not(), NEVER);
            let reached = log_add([&alpha, &alpha.shifted(1, NEVER), &skipped]);
            let next = reached + emitted.select_index(0, frame);
            alpha = frame_lengths.gt(frame as f64).select(&next, &alpha);
        }
        // A text ends in its last label or in the blank behind it.
        let end = (&text_lengths * 2.0).unsqueeze(-1);
        let is_last = state.eq(&end).or(&(state + 1.0).eq(&end));
        let mut losses = is_last.select(&alpha, &alpha.full_like(NEVER)).logsumexp(-1).neg();
        if zero_infinity {
            losses = losses.masked_fill(&losses.gt(-NEVER / 10.0), 0.0);
        }
        match reduction {
            Reduction::Mean => (losses / text_lengths.maximum(1.0).cast(DType::F32)).mean(..),
            _ => reduction.apply(&losses),
        }
    }

    /// Whether these are log-probabilities for such texts; anything else is reported.
    #[track_caller]
    fn spells(&self, target: &CtcTarget<'_>) -> bool {
        let CtcTarget { labels, input_lengths, target_lengths, blank } = target;
        if ![self, labels, input_lengths, target_lengths].iter().all(|tensor| tensor.is_valid()) {
            return false;
        }
        let (x, texts) = (self.spec(), labels.spec());
        let of_samples =
            |lengths: &Self| lengths.dtype() == DType::U32 && lengths.shape()[..] == texts.shape[..1];
        let fits = x.dtype == DType::F32
            && (x.shape.rank(), texts.shape.rank()) == (3, 2)
            && (x.shape[0] > 0 && x.shape[1] == texts.shape[0] && (*blank as usize) < x.shape[2])
            && (texts.dtype == DType::U32 && of_samples(input_lengths) && of_samples(target_lengths));
        if !fits {
            let message = format!(
                "needs f32 log-probabilities [T, N, C], a blank below C, u32 labels [N, S] and u32 lengths [N], \
                 got {x}, {blank}, {texts}, {} and {}",
                input_lengths.spec(),
                target_lengths.spec()
            );
            self.fail("ctc_loss", message);
        }
        fits
    }

    /// Rows moved to higher positions, `value` in the places left behind.
    #[track_caller]
    fn shifted(&self, by: usize, value: f64) -> Self {
        let n = self.dim(-1);
        self.pad(&[(0, 0), (by, 0)], value).slice(-1, 0..n)
    }
}

/// ln(eᵃ + eᵇ + eᶜ).
#[track_caller]
fn log_add([a, b, c]: [&Tensor; 3]) -> Tensor {
    let largest = a.detach().maximum(b.detach()).maximum(c.detach());
    let total = (a - &largest).exp() + (b - &largest).exp() + (c - &largest).exp();
    total.log() + largest
}

pub(crate) fn cases() -> Vec<Case> {
    let loss = |variant: &str, blank: u32, zero_infinity: bool, reduction: Reduction| {
        let build = move |t: &[Tensor]| {
            let [labels, input_lengths, target_lengths] = [&t[1], &t[2], &t[3]];
            let target = CtcTarget { labels, input_lengths, target_lengths, blank };
            t[0].log_softmax(-1).ctc_loss(target, zero_infinity, reduction)
        };
        Case::new(&format!("ctc_loss{variant}"), build)
    };
    let all = Reduction::None;
    vec![
        // Of the four alignments of two even frames, three spell one label, and one spells nothing; two equal
        // labels need three frames.
        loss("", 0, true, all)
            .given([2, 3, 2], &[0.0; 12])
            .indices([3, 2], &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0])
            .indices([3], &[2.0, 2.0, 2.0])
            .indices([3], &[1.0, 0.0, 2.0])
            .expect(&[(4f64 / 3.0).ln(), 4f64.ln(), 0.0]),
        // Two equal labels have one alignment with three frames of three classes: label, blank, label.
        loss("/mean", 2, false, Reduction::Mean)
            .given([3, 1, 3], &[0.0; 9])
            .indices([1, 2], &[1.0, 1.0])
            .indices([1], &[3.0])
            .indices([1], &[2.0])
            .expect(&[27f64.ln() / 2.0]),
        loss("/random", 0, false, Reduction::Mean)
            .random([5, 2, 4])
            .indices([2, 3], &[1.0, 2.0, 2.0, 3.0, 1.0, 0.0])
            .indices([2], &[5.0, 3.0])
            .indices([2], &[3.0, 2.0]),
        loss("/last-blank", 3, true, Reduction::Sum)
            .random([6, 2, 4])
            .labels([2, 2], 3)
            .indices([2], &[6.0, 5.0])
            .indices([2], &[2.0, 1.0]),
    ]
}
