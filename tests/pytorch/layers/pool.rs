//! Pooling, and other changes of resolution.

use wgrad::nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AdaptiveMaxPool3d, AvgPool1d, AvgPool3d, LpPool1d, LpPool2d, MaxPool1d, MaxPool3d, PixelShuffle,
    PixelUnshuffle, Upsample,
};
use wgrad::prelude::*;

use crate::case::{Case, layer};

pub(crate) fn cases() -> Vec<Case> {
    [maxima(), means(), adaptive(), resized()].into_iter().flatten().collect()
}

fn maxima() -> Vec<Case> {
    vec![
        layer("MaxPool1d", |_| MaxPool1d::new(3).stride(2).padding(1)),
        layer("MaxPool2d", |_| MaxPool2d::new(2)),
        layer("MaxPool2d/overlapping", |_| MaxPool2d::new(3).stride(2).padding(1)),
        layer("MaxPool2d/ceil", |_| MaxPool2d::new(2).ceil_mode()),
        layer("MaxPool3d", |_| MaxPool3d::new(2)),
    ]
}

fn means() -> Vec<Case> {
    vec![
        layer("AvgPool1d", |_| AvgPool1d::new(3).stride(2).padding(1)),
        layer("AvgPool2d", |_| AvgPool2d::new(2)),
        layer("AvgPool2d/overlapping", |_| AvgPool2d::new(3).stride(2).padding(1)),
        layer("AvgPool2d/no-pad", |_| AvgPool2d::new(3).stride(2).padding(1).exclude_padding()),
        layer("AvgPool2d/ceil", |_| AvgPool2d::new(2).ceil_mode()),
        layer("AvgPool3d", |_| AvgPool3d::new(2)),
        layer("LPPool1d", |_| LpPool1d::new(2.0, 3).stride(2)),
        layer("LPPool2d", |_| LpPool2d::new(2.0, 2)),
    ]
}

fn adaptive() -> Vec<Case> {
    vec![
        layer("AdaptiveAvgPool1d", |_| AdaptiveAvgPool1d::new([3])),
        layer("AdaptiveAvgPool2d", |_| AdaptiveAvgPool2d::new([2, 3])),
        layer("AdaptiveAvgPool2d/one", |_| AdaptiveAvgPool2d::new([1, 1])),
        layer("AdaptiveAvgPool3d", |_| AdaptiveAvgPool3d::new([2, 3, 1])),
        layer("AdaptiveMaxPool3d", |_| AdaptiveMaxPool3d::new([2, 3, 1])),
        layer("AdaptiveMaxPool1d", |_| AdaptiveMaxPool1d::new([3])),
        layer("AdaptiveMaxPool2d", |_| AdaptiveMaxPool2d::new([2, 3])),
    ]
}

fn resized() -> Vec<Case> {
    vec![
        layer("PixelShuffle", |_| PixelShuffle(2)),
        layer("PixelUnshuffle", |_| PixelUnshuffle(2)),
        layer("Upsample", |_| Upsample::nearest(2)),
        layer("Upsample/bilinear", |_| Upsample::linear(2)),
        layer("Upsample/corners", |_| Upsample::linear(2).align_corners()),
    ]
}
