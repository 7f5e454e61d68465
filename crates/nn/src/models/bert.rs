//! BERT's encoder, in the layout of the transformers library.

use std::borrow::Borrow;

use wgrad_core::{Tensor, U32, Vars};

use crate::attention::{attend, merge_heads, split_heads, uneven_heads};
use crate::init::{normal, zeros};
use crate::{AttentionMask, Dropout, Embedding, LayerNorm, Linear, LinearConfig, Module};

/// The size of a [`Bert`]. The default is BERT-base, uncased (109 million parameters).
#[derive(Clone, Debug)]
pub struct BertConfig {
    /// Different tokens.
    pub vocabulary: usize,
    /// The longest sequence.
    pub context: usize,
    /// Different kinds of segments.
    pub segments: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of each attention; must divide the width.
    pub heads: usize,
    /// Features of each token.
    pub width: usize,
    /// Features between the two linear layers of a block.
    pub feedforward: usize,
    /// The probability of every dropout.
    pub dropout: f64,
    /// Whether there is a layer that sums a sequence up in its first token.
    pub pooler: bool,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocabulary: 30522,
            context: 512,
            segments: 2,
            layers: 12,
            heads: 12,
            width: 768,
            feedforward: 3072,
            dropout: 0.1,
            pooler: true,
        }
    }
}

/// Tokens u32 \[N, T\] to features that know both sides of them, \[N, T, width\] (`BertModel` of the transformers
/// library; Devlin et al., 2019).
///
/// Variables: `embeddings.{word_embeddings, position_embeddings, token_type_embeddings, LayerNorm}`, for each block N
/// `encoder.layer.N.{attention.self.{query, key, value}, attention.output.{dense, LayerNorm}, intermediate.dense,
/// output.{dense, LayerNorm}}`, `pooler.dense`. By default 109,482,240 parameters.
///
/// ```
/// use wgrad_core::{Bool, Graph, Mode, U32, Vars};
/// use wgrad_nn::models::{Bert, BertConfig};
/// let config = BertConfig { vocabulary: 1000, layers: 2, heads: 4, width: 64, feedforward: 256, ..BertConfig::default() };
/// let bert = Bert::new(Vars::new(), config);
/// let graph = Graph::new(Mode::Train);
/// let (tokens, padding) = (graph.input("tokens", [8, 32], U32), graph.input("padding", [8, 32], Bool));
/// let features = bert.encode(&tokens, None, Some(&padding));
/// assert_eq!(*features.shape(), [8, 32, 64]);
/// assert_eq!(*bert.pool(&features).shape(), [8, 64]);
/// ```
#[derive(Clone, Debug)]
pub struct Bert {
    words: Embedding,
    positions: Embedding,
    segments: Embedding,
    norm: LayerNorm,
    blocks: Vec<Block>,
    pooler: Option<Linear>,
    config: BertConfig,
}

impl Bert {
    /// Declares the variables.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, config: BertConfig) -> Self {
        let (vars, width) = (vars.borrow(), config.width);
        let embeddings = vars.sub("embeddings");
        let start = || normal(0.0, 0.02);
        let words = embeddings.sub("word_embeddings");
        let words = Embedding::with_init(words, config.vocabulary, width, start());
        let positions = embeddings.sub("position_embeddings");
        let positions = Embedding::with_init(positions, config.context, width, start());
        let segments = embeddings.sub("token_type_embeddings");
        let segments = Embedding::with_init(segments, config.segments, width, start());
        let norm = norm(embeddings.sub("LayerNorm"), width);
        let mut blocks = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            blocks.push(Block::new(&vars.sub("encoder").sub("layer").sub(layer), &config));
        }
        let pooler =
            if config.pooler { Some(linear(vars.sub("pooler").sub("dense"), width, width)) } else { None };
        Self { words, positions, segments, norm, blocks, pooler, config }
    }

    /// Features of tokens in segments, u32 \[N, T\] (default 0), with padding hidden, bool \[N, T\].
    #[track_caller]
    pub fn encode(&self, tokens: &Tensor, segments: Option<&Tensor>, padding: Option<&Tensor>) -> Tensor {
        let (graph, shape, context) = (tokens.graph(), tokens.shape(), self.config.context);
        if shape.rank() != 2 || shape[1] > context {
            let message = format!("needs tokens u32[N, T] with T up to {context}, got {}", tokens.spec());
            return tokens.fail("bert", message);
        }
        if let Some(message) = uneven_heads(self.words.weight.name(), self.config.width, self.config.heads) {
            return tokens.fail("bert", message);
        }
        let segments = match segments {
            Some(segments) => self.segments.forward(segments),
            None => self.segments.forward(&graph.zeros([1, 1], U32)),
        };
        let positions = graph.var(&self.positions.weight).slice(0, 0..shape[1]);
        let x = self.words.forward(tokens) + positions + segments;
        let mut x = Dropout::new(self.config.dropout).forward(&self.norm.forward(&x));
        let mask = match padding {
            Some(padding) => AttentionMask::none().key_padding(padding),
            None => AttentionMask::none(),
        };
        for block in &self.blocks {
            x = block.forward(&x, &mask);
        }
        x
    }

    /// The whole sequence summed up, \[N, width\]: tanh of a linear layer over the first token's features.
    #[track_caller]
    pub fn pool(&self, features: &Tensor) -> Tensor {
        match &self.pooler {
            Some(pooler) => pooler.forward(&features.select_index(1, 0)).tanh(),
            None => features.fail("bert", "there is no pooler in this configuration"),
        }
    }
}

impl Module for Bert {
    #[track_caller]
    fn forward(&self, tokens: &Tensor) -> Tensor {
        self.encode(tokens, None, None)
    }
}

#[derive(Clone, Debug)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    project: Linear,
    norm1: LayerNorm,
    widen: Linear,
    narrow: Linear,
    norm2: LayerNorm,
    heads: usize,
    dropout: f64,
}

impl Block {
    #[track_caller]
    fn new(vars: &Vars, config: &BertConfig) -> Self {
        let (attention, width) = (vars.sub("attention"), config.width);
        let (own, after, output) = (attention.sub("self"), attention.sub("output"), vars.sub("output"));
        Self {
            query: linear(own.sub("query"), width, width),
            key: linear(own.sub("key"), width, width),
            value: linear(own.sub("value"), width, width),
            project: linear(after.sub("dense"), width, width),
            norm1: norm(after.sub("LayerNorm"), width),
            widen: linear(vars.sub("intermediate").sub("dense"), width, config.feedforward),
            narrow: linear(output.sub("dense"), config.feedforward, width),
            norm2: norm(output.sub("LayerNorm"), width),
            heads: config.heads,
            dropout: config.dropout,
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor, mask: &AttentionMask) -> Tensor {
        let q = split_heads(&self.query.forward(x), self.heads);
        let k = split_heads(&self.key.forward(x), self.heads);
        let v = split_heads(&self.value.forward(x), self.heads);
        let attended = merge_heads(&attend(&q, &k, &v, mask, self.dropout));
        let dropout = Dropout::new(self.dropout);
        let x = self.norm1.forward(&(x + dropout.forward(&self.project.forward(&attended))));
        let narrow = self.narrow.forward(&self.widen.forward(&x).gelu());
        self.norm2.forward(&(&x + dropout.forward(&narrow)))
    }
}

#[track_caller]
fn norm(vars: Vars, width: usize) -> LayerNorm {
    LayerNorm::new(vars, [width]).eps(1e-12)
}

#[track_caller]
fn linear(vars: Vars, inputs: usize, outputs: usize) -> Linear {
    LinearConfig::new(inputs, outputs).weight_init(normal(0.0, 0.02)).bias_init(zeros()).build(vars)
}
