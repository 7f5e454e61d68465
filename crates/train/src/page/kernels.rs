//! Where the time of a training step goes, kernel by kernel, and the step's plan as a picture.

use super::html::{bar, cell, paragraph, row, table};
use crate::Profile;
use wgrad_gpu::Roofline;

/// A plan of more kernels is no picture any more.
const DRAWN: usize = 200;

/// The table, or why there is none.
pub(super) fn roofline(profile: Option<&Profile>) -> String {
    match profile.map(|profile| &profile.roofline) {
        None => {
            paragraph("The kernels were not timed: `Trainer::report` and `Trainer::profile` ask for that.")
        }
        Some(Err(error)) => paragraph(&format!("The kernels could not be timed: {error}")),
        Some(Ok(roofline)) => timed(roofline),
    }
}

fn timed(roofline: &Roofline) -> String {
    let peaks = roofline.peaks;
    let text = format!(
        "{} kernels take {:.3} ms when timed one after another. At best {} does {:.1} GFLOP/s and copies {:.1} GB/s; \
         the roof of a kernel is whichever of the two binds it, and what lies in caches may exceed it.",
        roofline.kernels.len(),
        roofline.total() / 1e6,
        roofline.adapter,
        peaks.flops / 1e9,
        peaks.copy / 1e9,
    );
    let line = |number: usize| {
        let kernel = &roofline.kernels[number];
        let (share, of_roof) = (kernel.duration / roofline.total().max(1.0), kernel.share_of_roof(&peaks));
        let rate = |rate: f64, peak: f64| bar(&format!("{:.1}", rate / 1e9), rate / peak);
        row(
            "",
            &[
                cell(format!("k{number}: {}", kernel.label)),
                cell(format!("{:.1}", kernel.duration / 1e3)),
                bar(&format!("{:.1} %", 100.0 * share), share),
                rate(kernel.flops_per_second(), peaks.flops),
                rate(kernel.bytes_per_second(), peaks.copy),
                bar(&format!("{:.0} %", 100.0 * of_roof), of_roof),
            ],
        )
    };
    let rows: Vec<String> = roofline.by_time().into_iter().map(line).collect();
    paragraph(&text)
        + &table("kernels", &["kernel", "µs", "of the time", "GFLOP/s", "GB/s", "of its roof"], &rows)
}

/// The plan; each box is a kernel, each arrow a tensor in memory.
pub(super) fn picture(profile: Option<&Profile>) -> String {
    let Some(plan) = profile.map(|profile| &profile.plan) else { return String::new() };
    let blocks = plan.blocks().len();
    if blocks > DRAWN {
        return paragraph(&format!("A plan of {blocks} blocks is too large to be drawn."));
    }
    format!(
        "<details><summary>Kernels and the tensors between them</summary><div class=\"picture\">{}</div></details>\n",
        plan.to_svg()
    )
}
