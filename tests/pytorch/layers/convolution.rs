//! Convolutions and their transposes.

use wgrad::nn::{
    Conv1d, Conv1dConfig, Conv3d, Conv3dConfig, ConvTranspose1d, ConvTranspose1dConfig, ConvTranspose2d,
    ConvTranspose2dConfig, ConvTranspose3d,
};
use wgrad::prelude::*;

use crate::case::{Case, layer};

pub(crate) fn cases() -> Vec<Case> {
    [plain(), transposed()].into_iter().flatten().collect()
}

fn plain() -> Vec<Case> {
    let rectangle = || Window { stride: vec![1, 2], padding: vec![(1, 1), (0, 0)], ..Window::new(&[3, 2]) };
    vec![
        layer("Conv1d", |v| Conv1d::new(v, 3, 4, 3)),
        layer("Conv1d/all", |v| {
            Conv1dConfig::new(4, 6, 3).stride(2).padding(2).dilation(2).groups(2).build(v)
        }),
        layer("Conv2d", |v| Conv2d::new(v, 2, 3, 3)),
        layer("Conv2d/no-bias", |v| Conv2dConfig::new(2, 3, 2).no_bias().build(v)),
        layer("Conv2d/stride", |v| Conv2dConfig::new(2, 3, 3).stride(2).padding(1).build(v)),
        layer("Conv2d/dilation", |v| Conv2dConfig::new(2, 3, 2).dilation(2).build(v)),
        layer("Conv2d/groups", |v| Conv2dConfig::new(4, 6, 3).groups(2).padding(1).build(v)),
        layer("Conv2d/depthwise", |v| Conv2dConfig::new(3, 3, 3).groups(3).build(v)),
        layer("Conv2d/pointwise", |v| Conv2d::new(v, 3, 5, 1)),
        layer("Conv2d/rectangle", move |v| Conv2dConfig::new(2, 3, 3).window(rectangle()).build(v)),
        layer("Conv3d", |v| Conv3d::new(v, 2, 3, 2)),
        layer("Conv3d/all", |v| Conv3dConfig::new(2, 4, 2).stride(2).padding(1).groups(2).build(v)),
    ]
}

fn transposed() -> Vec<Case> {
    vec![
        layer("ConvTranspose1d", |v| ConvTranspose1d::new(v, 3, 4, 3)),
        layer("ConvTranspose1d/all", |v| {
            let config = ConvTranspose1dConfig::new(4, 6, 3).stride(3).padding(1).dilation(2);
            config.output_padding(1).groups(2).build(v)
        }),
        layer("ConvTranspose2d", |v| ConvTranspose2d::new(v, 2, 3, 3)),
        layer("ConvTranspose2d/no-bias", |v| {
            ConvTranspose2dConfig::new(2, 3, 2).stride(2).no_bias().build(v)
        }),
        layer("ConvTranspose2d/all", |v| {
            let config = ConvTranspose2dConfig::new(4, 4, 3).stride(2).padding(1);
            config.output_padding(1).groups(2).build(v)
        }),
        layer("ConvTranspose3d", |v| ConvTranspose3d::new(v, 2, 2, 2)),
        layer("ConvTranspose2d/dilation", |v| ConvTranspose2dConfig::new(2, 3, 2).dilation(2).build(v)),
    ]
}
