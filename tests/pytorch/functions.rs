//! Functions without variables: activations, reductions, and operations with conventions of their own.

use wgrad::prelude::*;

use crate::case::{Case, call, function};
use crate::suite::check;

fn activations() -> Vec<Case> {
    vec![
        function("CELU", |x| x.celu(1.0)),
        function("CELU/alpha", |x| x.celu(0.5)),
        function("ELU", |x| x.elu(1.0)),
        function("ELU/alpha", |x| x.elu(0.5)),
        function("GELU", Tensor::gelu),
        function("GELU/tanh", Tensor::gelu_tanh),
        function("GLU", |x| x.glu(-1)),
        function("Hardshrink", |x| x.hardshrink(0.5)),
        function("Hardsigmoid", Tensor::hardsigmoid),
        function("Hardswish", Tensor::hardswish),
        function("Hardtanh", |x| x.hardtanh(-1.0, 1.0)),
        function("Hardtanh/range", |x| x.hardtanh(-0.5, 2.0)),
        function("LeakyReLU", |x| x.leaky_relu(0.01)),
        function("LeakyReLU/slope", |x| x.leaky_relu(0.25)),
        function("LogSigmoid", Tensor::log_sigmoid),
        function("LogSoftmax", |x| x.log_softmax(-1)),
        function("Mish", Tensor::mish),
        function("ReLU", Tensor::relu),
        function("ReLU6", Tensor::relu6),
        function("ReLU6/beyond", Tensor::relu6),
        function("SELU", Tensor::selu),
        function("SiLU", Tensor::silu),
        function("Sigmoid", Tensor::sigmoid),
        function("Softmax", |x| x.softmax(-1)),
        function("Softmax/channels", |x| x.softmax(1)),
        function("Softmin", |x| x.softmin(-1)),
        function("Softplus", Tensor::softplus),
        function("Softshrink", |x| x.softshrink(0.5)),
        function("Softsign", Tensor::softsign),
        function("Tanh", Tensor::tanh),
        function("Tanhshrink", Tensor::tanhshrink),
        function("Threshold", |x| x.threshold(0.25, -1.5)),
    ]
}

fn reductions() -> Vec<Case> {
    vec![
        function("cumsum", |x| x.cumsum(1)),
        function("logsumexp", |x| x.logsumexp(1)),
        function("norm", |x| x.norm(1)),
        function("norm/3", |x| x.norm_p(3.0, 1)),
        function("prod", |x| x.prod(1)),
        function("std", |x| x.std(1, 1)),
        function("var", |x| x.var(1, 1)),
        function("var/biased", |x| x.var(1, 0)),
    ]
}

fn rearrangements() -> Vec<Case> {
    let two = Window::new(&[2, 2]);
    let (folded, unfolded) = (two.clone(), two.stride(2).padding(1));
    vec![
        call("einsum/attention", |x| x[0].einsum(&x[1], "bqhd,bkhd->bhqk")),
        call("einsum/matmul", |x| x[0].einsum(&x[1], "ij,jk->ik")),
        function("fold", move |x| x.fold(&[4, 5], &folded)),
        call("gather", |x| x[0].gather(1, &x[1])),
        call("index_add", |x| x[0].index_add(0, &x[1], &x[2])),
        call("index_select", |x| x[0].index_select(1, &x[1])),
        call("masked_fill", |x| x[0].masked_fill(&x[1].gt(0.0), -2.0)),
        function("repeat_interleave", |x| x.repeat_interleave(3, 1)),
        function("roll", |x| x.roll(2, 1)),
        call("scatter_add", |x| &x[0] + x[2].scatter_add(1, &x[1], 5)),
        function("sort", |x| x.sort(1, false).0),
        function("sort/descending", |x| x.sort(1, true).0),
        function("topk", |x| x.top_k(3, 1).0),
        function("tril", |x| x.tril(0)),
        function("triu", |x| x.triu(1)),
        function("unfold", move |x| x.unfold(&unfolded)),
    ]
}

fn attention() -> Vec<Case> {
    vec![
        call("scaled_dot_product_attention", |x| {
            Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], false)
        }),
        call("scaled_dot_product_attention/causal", |x| {
            Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], true)
        }),
    ]
}

fn distances() -> Vec<Case> {
    vec![
        call("CosineSimilarity", |x| x[0].cosine_similarity(&x[1], 1, 1e-8)),
        call("PairwiseDistance", |x| x[0].pairwise_distance(&x[1], 2.0, 1e-6)),
        function("normalize", |x| x.normalize(1, 1e-12)),
    ]
}

fn all() -> Vec<Case> {
    [activations(), others()].into_iter().flatten().collect()
}

fn others() -> Vec<Case> {
    [reductions(), rearrangements(), attention(), distances()].into_iter().flatten().collect()
}

#[test]
fn activations_agree() {
    check("functions", "activations", activations());
}

#[test]
fn other_functions_agree() {
    check("functions", "other functions", others());
}

#[test]
fn every_function_is_here() {
    crate::golden::same_cases("functions", all().iter().map(|case| case.name));
}
