//! Normalisations.

use wgrad::nn::{BatchNorm3d, GroupNorm, InstanceNorm1d, InstanceNorm2d, RmsNorm};
use wgrad::prelude::*;

use crate::case::{Case, layer};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        layer("BatchNorm1d", |v| BatchNorm1d::new(v, 4)),
        layer("BatchNorm1d/sequence", |v| BatchNorm1d::new(v, 3)),
        layer("BatchNorm1d/eval", |v| BatchNorm1d::new(v, 4)).eval(),
        layer("BatchNorm2d", |v| BatchNorm2d::new(v, 3)),
        layer("BatchNorm2d/momentum", |v| BatchNorm2d::new(v, 3).momentum(0.25).eps(1e-3)),
        layer("BatchNorm2d/eval", |v| BatchNorm2d::new(v, 3)).eval(),
        layer("BatchNorm3d", |v| BatchNorm3d::new(v, 2)),
        layer("LayerNorm", |v| LayerNorm::new(v, [6])),
        layer("LayerNorm/two-axes", |v| LayerNorm::new(v, [3, 4])),
        layer("LayerNorm/eps", |v| LayerNorm::new(v, [5]).eps(0.125)),
        layer("RMSNorm", |v| RmsNorm::new(v, [6])),
        layer("RMSNorm/eps", |v| RmsNorm::new(v, [6]).eps(0.125)),
        layer("GroupNorm", |v| GroupNorm::new(v, 2, 6)),
        layer("GroupNorm/images", |v| GroupNorm::new(v, 3, 6)),
        layer("InstanceNorm1d", |_| InstanceNorm1d::new(3)),
        layer("InstanceNorm1d/affine", |v| InstanceNorm1d::affine(v, 3)),
        layer("InstanceNorm2d", |_| InstanceNorm2d::new(3)),
        layer("InstanceNorm2d/affine", |v| InstanceNorm2d::affine(v, 3)),
        layer("InstanceNorm1d/tracking", |v| InstanceNorm1d::affine(v, 3).track_running_stats(v)),
        layer("InstanceNorm2d/tracking", |v| InstanceNorm2d::new(3).track_running_stats(v).momentum(0.25)),
        layer("InstanceNorm2d/eval", |v| InstanceNorm2d::affine(v, 3).track_running_stats(v)).eval(),
    ]
}
