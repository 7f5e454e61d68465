//! Functions without variables: activations, reductions, and operations with conventions of their own.

use wgrad::nn;
use wgrad::prelude::*;

use crate::case::{Case, call, function, layer};
use crate::suite::check;

fn activations() -> Vec<Case> {
    vec![
        layer("CELU", |_| nn::Celu::default()),
        layer("CELU/alpha", |_| nn::Celu(0.5)),
        layer("ELU", |_| nn::Elu::default()),
        layer("ELU/alpha", |_| nn::Elu(0.5)),
        layer("GELU", |_| nn::Gelu),
        layer("GELU/tanh", |_| nn::GeluTanh),
        layer("GLU", |_| nn::Glu(-1)),
        layer("Hardshrink", |_| nn::Hardshrink::default()),
        layer("Hardsigmoid", |_| nn::Hardsigmoid),
        layer("Hardswish", |_| nn::Hardswish),
        layer("Hardtanh", |_| nn::Hardtanh::default()),
        layer("Hardtanh/range", |_| nn::Hardtanh { min: -0.5, max: 2.0 }),
        layer("LeakyReLU", |_| nn::LeakyRelu::default()),
        layer("LeakyReLU/slope", |_| nn::LeakyRelu(0.25)),
        layer("LogSigmoid", |_| nn::LogSigmoid),
        layer("LogSoftmax", |_| nn::LogSoftmax(-1)),
        layer("Mish", |_| nn::Mish),
        layer("ReLU", |_| nn::Relu),
        layer("ReLU6", |_| nn::Relu6),
        layer("ReLU6/beyond", |_| nn::Relu6),
        layer("SELU", |_| nn::Selu),
        layer("SiLU", |_| nn::Silu),
        layer("Sigmoid", |_| nn::Sigmoid),
        layer("Softmax", |_| nn::Softmax(-1)),
        layer("Softmax/channels", |_| nn::Softmax(1)),
        layer("Softmin", |_| nn::Softmin(-1)),
        layer("Softplus", |_| nn::Softplus::default()),
        layer("Softplus/beta", |_| nn::Softplus { beta: 2.0, threshold: 3.0 }),
        layer("Softshrink", |_| nn::Softshrink::default()),
        layer("Softsign", |_| nn::Softsign),
        layer("Tanh", |_| nn::Tanh),
        layer("Tanhshrink", |_| nn::Tanhshrink),
        layer("Threshold", |_| nn::Threshold { threshold: 0.25, value: -1.5 }),
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
    let attend = |name, options: fn(&[Tensor]) -> AttentionOptions| {
        call(name, move |x| Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], &options(&x[3..])))
    };
    vec![
        attend("scaled_dot_product_attention", |_| AttentionOptions::new()),
        attend("scaled_dot_product_attention/causal", |_| AttentionOptions::new().causal()),
        attend("scaled_dot_product_attention/seen", |mask| AttentionOptions::new().hidden(&mask[0].gt(0.0))),
        attend("scaled_dot_product_attention/bias", |bias| AttentionOptions::new().bias(&bias[0])),
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
