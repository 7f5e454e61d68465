//! Attention, and the blocks of transformers.

use wgrad::nn::{AttentionMask, MultiHeadAttentionConfig, TransformerConfig};
use wgrad::prelude::*;

use crate::case::{Case, layer};

const NONE: fn() -> AttentionMask = AttentionMask::none;

pub(crate) fn cases() -> Vec<Case> {
    [attention(), encoders(), decoders()].into_iter().flatten().collect()
}

fn attention() -> Vec<Case> {
    vec![
        layer("MultiheadAttention", |v| MultiHeadAttention::new(v, 6, 2)),
        layer("MultiheadAttention/causal", |v| MultiHeadAttention::new(v, 6, 2).causal()),
        Case::new("MultiheadAttention/padded", |v, x| {
            // The second sequence is two positions shorter.
            let lengths = x[0].graph().constant([2, 1], &[5u32, 3]);
            let padding = x[0].graph().iota([2, 5], 1, U32).ge(&lengths);
            let mask = NONE().key_padding(&padding);
            vec![MultiHeadAttention::new(v, 6, 2).attend(&x[0], &x[0], &x[0], &mask)]
        }),
        layer("MultiheadAttention/no-bias", |v| MultiHeadAttentionConfig::new(6, 2).no_bias().build(v)),
        Case::new("MultiheadAttention/cross", |v, x| {
            vec![MultiHeadAttention::new(v, 6, 2).attend(&x[0], &x[1], &x[2], &NONE())]
        }),
        Case::new("MultiheadAttention/widths", |v, x| {
            let attention = MultiHeadAttentionConfig::new(6, 2).key_width(4).value_width(5).build(v);
            vec![attention.attend(&x[0], &x[1], &x[2], &NONE())]
        }),
    ]
}

fn blocks() -> TransformerConfig {
    TransformerConfig::new(6, 2).feedforward(8).dropout(0.0)
}

fn encoders() -> Vec<Case> {
    vec![
        layer("TransformerEncoderLayer", |v| blocks().encoder_layer(v)),
        layer("TransformerEncoderLayer/pre-norm", |v| {
            blocks().norm_first().activation(Tensor::gelu).encoder_layer(v)
        }),
        Case::new("TransformerEncoderLayer/causal", |v, x| {
            vec![blocks().encoder_layer(v).forward_masked(&x[0], &AttentionMask::causal())]
        }),
        layer("TransformerEncoder", |v| blocks().encoder(v, 2)),
        layer("TransformerEncoder/norm", |v| blocks().norm_first().final_norm().encoder(v, 2)),
    ]
}

fn decoders() -> Vec<Case> {
    vec![
        Case::new("TransformerDecoderLayer", |v, x| {
            vec![blocks().decoder_layer(v).forward(&x[0], &x[1], &AttentionMask::causal(), &NONE())]
        }),
        Case::new("TransformerDecoderLayer/pre-norm", |v, x| {
            let block = blocks().norm_first().decoder_layer(v);
            vec![block.forward(&x[0], &x[1], &AttentionMask::causal(), &NONE())]
        }),
        Case::new("TransformerDecoder", |v, x| {
            vec![blocks().decoder(v, 2).forward(&x[0], &x[1], &AttentionMask::causal(), &NONE())]
        }),
    ]
}
