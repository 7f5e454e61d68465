//! GPT-2, in the layout of nanoGPT.

use std::borrow::Borrow;

use wgrad_core::{Init, Tensor, Vars};

use crate::attention::{attend, merge_heads, split_packed, uneven_heads};
use crate::init::{normal, zeros};
use crate::{AttentionMask, Dropout, Embedding, KvCache, LayerNorm, Linear, LinearConfig, Module};

/// The size of a [`Gpt`]. The default is GPT-2's smallest (124 million parameters).
#[derive(Clone, Debug)]
pub struct GptConfig {
    /// Different tokens.
    pub vocabulary: usize,
    /// The longest sequence.
    pub context: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of each attention; must divide the width.
    pub heads: usize,
    /// Features of each token.
    pub width: usize,
    /// The probability of every dropout.
    pub dropout: f64,
    /// Whether linear layers and norms have biases.
    pub bias: bool,
    /// Whether the head shares the weight of the token embedding, as in GPT-2.
    pub tied: bool,
}

impl Default for GptConfig {
    fn default() -> Self {
        Self {
            vocabulary: 50257,
            context: 1024,
            layers: 12,
            heads: 12,
            width: 768,
            dropout: 0.0,
            bias: true,
            tied: true,
        }
    }
}

/// A causal language model: tokens u32 \[N, T\] to logits of the next token \[N, T, vocabulary\] (nanoGPT's
/// `GPT`; Radford et al., 2019).
///
/// Variables: `transformer.wte.weight`, `transformer.wpe.weight`, for each block N
/// `transformer.h.N.{ln_1, attn.c_attn, attn.c_proj, ln_2, mlp.c_fc, mlp.c_proj}`, `transformer.ln_f`, and
/// `lm_head.weight` unless tied. Weights start normal with deviation 0.02, those that end a branch with
/// 0.02/√(2·layers).
///
/// ```
/// use wgrad_core::{Graph, Mode, U32, Vars};
/// use wgrad_nn::{Module, models::{Gpt, GptConfig}};
/// let vars = Vars::new();
/// let config = GptConfig { vocabulary: 84, context: 64, layers: 4, heads: 4, width: 128, ..GptConfig::default() };
/// let gpt = Gpt::new(&vars, config);
/// let train = Graph::new(Mode::Train);
/// let (text, next) = (train.input("text", [16, 64], U32), train.input("next", [16, 64], U32));
/// let logits = gpt.forward(&text);
/// let loss = logits.reshape([16 * 64, 84]).cross_entropy(&next.reshape([16 * 64]));
///
/// // Generation: one token in, the logits of the next one out.
/// let cache = gpt.cache(vars.sub("cache"), 1);
/// let eval = Graph::new(Mode::Eval);
/// let logits = gpt.forward_cached(&eval.input("token", [1, 1], U32), &cache);
/// assert_eq!(*logits.shape(), [1, 1, 84]);
/// # assert!(train.recording().check().is_ok() && loss.is_valid());
/// ```
#[derive(Clone, Debug)]
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    dropout: Dropout,
    config: GptConfig,
}

impl Gpt {
    /// Declares the variables of a model.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, config: GptConfig) -> Self {
        let (vars, width) = (vars.borrow(), config.width);
        let body = vars.sub("transformer");
        let tokens = Embedding::with_init(body.sub("wte"), config.vocabulary, width, start());
        let positions = Embedding::with_init(body.sub("wpe"), config.context, width, start());
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            blocks.push(Block::new(&body.sub("h").sub(layer), &config));
        }
        let norm = norm(body.sub("ln_f"), &config);
        let head = if config.tied {
            Linear { weight: tokens.weight.clone(), bias: None }
        } else {
            LinearConfig::new(width, config.vocabulary)
                .no_bias()
                .weight_init(start())
                .build(vars.sub("lm_head"))
        };
        Self { tokens, positions, blocks, norm, head, dropout: Dropout::new(config.dropout), config }
    }

    /// A cache for generating `batch` sequences at once, of up to `context` tokens.
    #[track_caller]
    pub fn cache(&self, vars: impl Borrow<Vars>, batch: usize) -> KvCache {
        let GptConfig { context, layers, heads, width, .. } = self.config;
        KvCache::new(vars, layers, [batch, heads, context, width.checked_div(heads).unwrap_or(0)])
    }

    /// The logits of the next tokens \[N, T\], which follow those that the cache remembers.
    #[track_caller]
    pub fn forward_cached(&self, tokens: &Tensor, cache: &KvCache) -> Tensor {
        let graph = tokens.graph();
        if let Some(message) = self.refuse(tokens) {
            return tokens.fail("gpt", message);
        }
        let positions =
            graph.var(&self.positions.weight).index_select(0, &cache.positions(graph, tokens.dim(1)));
        let mut x = self.tokens.forward(tokens) + positions;
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward_cached(&x, cache, layer);
        }
        cache.advance(graph, tokens.dim(1));
        self.head.forward(&self.norm.forward(&x))
    }

    /// What is wrong with tokens, if anything.
    fn refuse(&self, tokens: &Tensor) -> Option<String> {
        let (shape, context) = (tokens.shape(), self.config.context);
        if shape.rank() != 2 || shape[1] > context {
            return Some(format!("needs tokens u32[N, T] with T up to {context}, got {}", tokens.spec()));
        }
        uneven_heads(self.positions.weight.name(), self.config.width, self.config.heads)
    }
}

impl Module for Gpt {
    #[track_caller]
    fn forward(&self, tokens: &Tensor) -> Tensor {
        if let Some(message) = self.refuse(tokens) {
            return tokens.fail("gpt", message);
        }
        let positions = tokens.graph().var(&self.positions.weight).slice(0, 0..tokens.dim(1));
        let mut x = self.dropout.forward(&(self.tokens.forward(tokens) + positions));
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.head.forward(&self.norm.forward(&x))
    }
}

#[derive(Clone, Debug)]
struct Block {
    norm1: LayerNorm,
    attention: Linear,
    project: Linear,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
    heads: usize,
    dropout: f64,
}

impl Block {
    #[track_caller]
    fn new(vars: &Vars, config: &GptConfig) -> Self {
        let (attn, mlp, width) = (vars.sub("attn"), vars.sub("mlp"), config.width);
        let last = || normal(0.0, 0.02 / ((2 * config.layers) as f64).sqrt());
        Self {
            norm1: norm(vars.sub("ln_1"), config),
            attention: linear(attn.sub("c_attn"), width, 3 * width, config.bias, start()),
            project: linear(attn.sub("c_proj"), width, width, config.bias, last()),
            norm2: norm(vars.sub("ln_2"), config),
            widen: linear(mlp.sub("c_fc"), width, 4 * width, config.bias, start()),
            narrow: linear(mlp.sub("c_proj"), 4 * width, width, config.bias, last()),
            heads: config.heads,
            dropout: config.dropout,
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let [q, k, v] = split_packed(&self.attention.forward(&self.norm1.forward(x)), self.heads);
        self.finish(x, &attend(&q, &k, &v, &AttentionMask::causal(), self.dropout))
    }

    #[track_caller]
    fn forward_cached(&self, x: &Tensor, cache: &KvCache, layer: usize) -> Tensor {
        let [q, k, v] = split_packed(&self.attention.forward(&self.norm1.forward(x)), self.heads);
        let (k, v) = cache.append(layer, &k, &v);
        let mask = AttentionMask::none().pairs(&cache.hidden(x.graph(), x.dim(1)));
        self.finish(x, &attend(&q, &k, &v, &mask, self.dropout))
    }

    #[track_caller]
    fn finish(&self, x: &Tensor, attended: &Tensor) -> Tensor {
        let dropout = Dropout::new(self.dropout);
        let x = x + dropout.forward(&self.project.forward(&merge_heads(attended)));
        let hidden = self.widen.forward(&self.norm2.forward(&x)).gelu();
        &x + dropout.forward(&self.narrow.forward(&hidden))
    }
}

/// How most weights start.
fn start() -> Init {
    normal(0.0, 0.02)
}

#[track_caller]
fn norm(vars: Vars, config: &GptConfig) -> LayerNorm {
    if config.bias { LayerNorm::new(vars, [config.width]) } else { LayerNorm::no_bias(vars, [config.width]) }
}

#[track_caller]
fn linear(vars: Vars, inputs: usize, outputs: usize, bias: bool, init: Init) -> Linear {
    let config = LinearConfig::new(inputs, outputs).weight_init(init).bias_init(zeros());
    if bias { config.build(vars) } else { config.no_bias().build(vars) }
}
