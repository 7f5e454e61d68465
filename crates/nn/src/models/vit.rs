//! The vision transformer, in the layout of timm.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Var, Vars};

use crate::attention::{attend, merge_heads, split_packed, uneven_heads};
use crate::init::{normal, trunc_normal, zeros};
use crate::{
    AttentionMask, Conv2d, Conv2dConfig, DropPath, Dropout, LayerNorm, Linear, LinearConfig, Module,
};

/// The size of a [`Vit`]. The default is ViT-Ti/16 for 224×224 (5.7 million parameters).
#[derive(Clone, Debug)]
pub struct VitConfig {
    /// The side of the square image.
    pub image: usize,
    /// The side of a square patch; must divide the image's.
    pub patch: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of each attention; must divide the width.
    pub heads: usize,
    /// Features of each patch.
    pub width: usize,
    /// Classes.
    pub classes: usize,
    /// The probability of dropout behind projections.
    pub dropout: f64,
    /// The probability of dropping a branch of the last block; it grows linearly from 0 in the first.
    pub drop_path: f64,
}

impl Default for VitConfig {
    fn default() -> Self {
        Self {
            image: 224,
            patch: 16,
            channels: 3,
            layers: 12,
            heads: 3,
            width: 192,
            classes: 1000,
            dropout: 0.0,
            drop_path: 0.0,
        }
    }
}

/// Images \[N, channels, side, side\] to logits \[N, classes\], by a transformer over patches (timm's
/// `vit_tiny_patch16_224` by default; Dosovitskiy et al., 2021; Touvron et al., 2021).
///
/// Variables: `cls_token`, `pos_embed`, `patch_embed.proj`, for each block N
/// `blocks.N.{norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2}`, `norm`, `head`. By default 5,717,416 parameters.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::{Vit, VitConfig}};
/// let config = VitConfig { image: 28, patch: 7, channels: 1, layers: 4, classes: 10, ..VitConfig::default() };
/// let model = Vit::new(Vars::new(), config);
/// let image = Graph::new(Mode::Train).input("image", [8, 1, 28, 28], F32);
/// assert_eq!(*model.forward(&image).shape(), [8, 10]);
/// ```
#[derive(Clone, Debug)]
pub struct Vit {
    class: Var,
    positions: Var,
    patches: Conv2d,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    config: VitConfig,
}

impl Vit {
    /// Declares the variables.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, config: VitConfig) -> Self {
        let (vars, width, patch) = (vars.borrow(), config.width, config.patch);
        let side = config.image.checked_div(patch).unwrap_or(0);
        let class = vars.var("cls_token", [1, 1, width], normal(0.0, 1e-6));
        let start = trunc_normal(0.0, 0.02, -2.0, 2.0);
        let positions = vars.var("pos_embed", [1, side * side + 1, width], start);
        let patches = Conv2dConfig::new(config.channels, width, patch).stride(patch);
        let patches = patches.build(vars.sub("patch_embed").sub("proj"));
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            blocks.push(Block::new(&vars.sub("blocks").sub(layer), &config, layer));
        }
        let norm = norm(vars.sub("norm"), width);
        let head = linear(vars.sub("head"), width, config.classes);
        Self { class, positions, patches, blocks, norm, head, config }
    }

    /// What the head reads: \[N, width\], the class token behind the last block.
    #[track_caller]
    pub fn features(&self, x: &Tensor) -> Tensor {
        let VitConfig { image, patch, channels, heads, width, .. } = self.config;
        let (graph, shape) = (x.graph(), x.shape());
        if patch == 0 || !image.is_multiple_of(patch) || shape[..].get(1..) != Some(&[channels, image, image])
        {
            let message =
                format!("needs images [N, {channels}, {image}, {image}] of whole patches of {patch}");
            return x.fail("vit", format!("{message}, got {}", x.spec()));
        }
        if let Some(message) = uneven_heads(self.positions.name(), width, heads) {
            return x.fail("vit", message);
        }
        let patches = self.patches.forward(x).flatten(2).transpose(1, 2);
        let class = graph.var(&self.class).expand([shape[0], 1, width]);
        let mut x = Tensor::concat(&[&class, &patches], 1) + graph.var(&self.positions);
        x = Dropout::new(self.config.dropout).forward(&x);
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.norm.forward(&x).select_index(1, 0)
    }
}

impl Module for Vit {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.features(x))
    }
}

#[derive(Clone, Debug)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    project: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    dropout: Dropout,
    drop_path: DropPath,
}

impl Block {
    #[track_caller]
    fn new(vars: &Vars, config: &VitConfig, layer: usize) -> Self {
        let (attn, mlp, width) = (vars.sub("attn"), vars.sub("mlp"), config.width);
        Self {
            norm1: norm(vars.sub("norm1"), width),
            qkv: linear(attn.sub("qkv"), width, 3 * width),
            project: linear(attn.sub("proj"), width, width),
            norm2: norm(vars.sub("norm2"), width),
            fc1: linear(mlp.sub("fc1"), width, 4 * width),
            fc2: linear(mlp.sub("fc2"), 4 * width, width),
            heads: config.heads,
            dropout: Dropout::new(config.dropout),
            drop_path: DropPath::new(config.drop_path * layer as f64 / (config.layers - 1).max(1) as f64),
        }
    }
}

impl Module for Block {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let [q, k, v] = split_packed(&self.qkv.forward(&self.norm1.forward(x)), self.heads);
        let attended = merge_heads(&attend(&q, &k, &v, &AttentionMask::none(), 0.0));
        let attended = self.dropout.forward(&self.project.forward(&attended));
        let x = x + self.drop_path.forward(&attended);
        let hidden = self.dropout.forward(&self.fc1.forward(&self.norm2.forward(&x)).gelu());
        let narrow = self.dropout.forward(&self.fc2.forward(&hidden));
        &x + self.drop_path.forward(&narrow)
    }
}

#[track_caller]
fn norm(vars: Vars, width: usize) -> LayerNorm {
    LayerNorm::new(vars, [width]).eps(1e-6)
}

#[track_caller]
fn linear(vars: Vars, inputs: usize, outputs: usize) -> Linear {
    let start = trunc_normal(0.0, 0.02, -2.0, 2.0);
    LinearConfig::new(inputs, outputs).weight_init(start).bias_init(zeros()).build(vars)
}
