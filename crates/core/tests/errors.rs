//! Mistakes: each is a typed error that says what was wrong, with the facts and the user's file and
//! line; none is a panic, and one mistake is one error.

use wgrad_core::batch::{BatchError, BatchMemory, HostMemory};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::ops::{CrossEntropy, CtcTarget, Reduction, Window};
use wgrad_core::{
    AttentionOptions, Bool, CustomOp, Error, F16, F32, Graph, I32, Init, Mode, Tensor, U32, Vars, WgslKernel,
};

/// The one error of a recording that goes wrong.
#[track_caller]
fn refused(record: impl FnOnce(&Graph) -> Tensor) -> Error {
    let g = Graph::new(Mode::Train);
    let result = record(&g);
    let errors = g.recording().errors;
    assert_eq!(errors.len(), 1, "one mistake, one error: {errors:?}");
    assert!(!result.is_valid());
    assert_eq!(g.recording().check(), Err(errors[0].clone()));
    assert_eq!(errors[0].location.file(), file!(), "{}", errors[0]);
    errors[0].clone()
}

/// The error's text holds every fact.
#[track_caller]
fn says(error: &Error, facts: &[&str]) {
    let text = error.to_string();
    for fact in facts {
        assert!(text.contains(fact), "`{fact}` is missing in: {text}");
    }
}

fn x(g: &Graph) -> Tensor {
    g.input("x", [3, 5], F32)
}

fn labels(g: &Graph) -> Tensor {
    g.input("label", [3], U32)
}

fn smoothed(label_smoothing: f64) -> CrossEntropy<'static> {
    CrossEntropy { label_smoothing, ..CrossEntropy::default() }
}

#[test]
fn the_error_stands_at_the_users_line() {
    let g = Graph::new(Mode::Train);
    let (a, b) = (g.input("a", [64, 1600], F32), g.input("b", [1568, 128], F32));
    let (_, line) = (a.matmul(&b), line!());
    let error = g.recording().check().unwrap_err();
    assert_eq!((error.location.file(), error.location.line()), (file!(), line));
    says(&error, &["matmul", "[64, 1600]", "[1568, 128]", "1600", "1568", file!()]);
}

#[test]
fn every_node_of_a_composite_stands_in_the_users_file() {
    let g = Graph::new(Mode::Train);
    let vars = Vars::new();
    let w = vars.var("w", [3, 3, 3, 3], Init::constant(0.5));
    let image = g.input("image", [2, 3, 8, 8], F32);
    let statistics = (image.mean([0, 2, 3]), image.var([0, 2, 3], 0));
    let y = image.batch_norm(&statistics.0, &statistics.1, Some(&statistics.1), None, 1e-5);
    let y = y.conv2d(&g.var(&w), None, &Window::new(&[3, 3]).padding(1), 1);
    let y = y.conv2d(&g.var(&w), None, &Window::new(&[3, 3]), 1).max_pool2d(2).avg_pool2d(2).flatten(1);
    let y = Tensor::stack(&[&y, &y.layer_norm(-1, None, None, 1e-5)], 1).prod(1);
    let y = Tensor::scaled_dot_product_attention(&y, &y, &y, &AttentionOptions::new().causal())
        .gelu()
        .softplus()
        .repeat(&[1, 2]);
    let y = y.split(2, 1)[0].roll(1, 0).tril(0).clamp(-1.0, 1.0);
    let loss =
        y.cross_entropy_with(&g.input("label", [2], U32), &smoothed(0.1)) + y.norm(..) + y.logsumexp(..);
    loss.backward(&vars);
    let recording = g.recording();
    assert_eq!(recording.check(), Ok(()));
    assert!(recording.nodes.len() > 200);
    for node in &recording.nodes {
        assert_eq!(node.location.file(), file!(), "{} at {}", node.op.name(), node.location);
    }
}

#[test]
fn what_follows_a_mistake_is_silent() {
    let g = Graph::new(Mode::Train);
    let wrong = x(&g).matmul(&x(&g));
    let y = (wrong.softmax(-1) * 2.0 + x(&g)).max_pool2d(2).reshape([7]).sum(0).cross_entropy(&labels(&g));
    assert!(!y.is_valid());
    assert!(y.gradients(&[&x(&g)]).iter().all(|gradient| !gradient.is_valid()));
    assert!(y.backward(&Vars::new()).is_empty());
    assert_eq!(g.recording().errors.len(), 1);
}

#[test]
fn wrong_shapes() {
    let shapes = ["[3, 5]", "[4]"];
    let four = |g: &Graph| g.input("four", [4], F32);
    says(&refused(|g| x(g) + four(g)), &[&["add"], &shapes[..]].concat());
    says(&refused(|g| x(g).gt(four(g))), &[&["gt"], &shapes[..]].concat());
    says(&refused(|g| x(g).gt(0.0).select(&x(g), &four(g))), &[&["select"], &shapes[..]].concat());
    says(&refused(|g| x(g).reshape([4])), &["reshape", "15", "4"]);
    says(&refused(|g| x(g).expand([3, 6])), &["expand", "[3, 5]", "[3, 6]"]);
    says(&refused(|g| x(g).permute(&[0, 0])), &["permute", "[0, 0]", "[3, 5]"]);
    says(&refused(|g| x(g).slice(1, 2..6)), &["slice", "2..6", "[3, 5]"]);
    says(&refused(|g| x(g).pad(&[(1, 1)], 0.0)), &["pad", "[3, 5]"]);
    says(&refused(|g| x(g).squeeze(0)), &["squeeze", "axis 0", "[3, 5]"]);
    says(&refused(|g| Tensor::concat(&[&x(g), &four(g)], 0)), &["concat", "[3, 5]", "[4]"]);
    says(&refused(|g| x(g).einsum(&four(g), "ij,j->i")), &["einsum", "`j`", "[3, 5]", "[4]"]);
    says(&refused(|g| x(g).einsum(&four(g), "ij;j")), &["einsum", "ij;j"]);
    says(&refused(|g| x(g).split(0, 0)[0].clone()), &["split"]);
    says(&refused(|g| x(g).repeat(&[2])), &["repeat", "[3, 5]"]);
    says(&refused(|g| g.constant([2, 2], &[1f32, 2.0, 3.0])), &["constant", "[2, 2]", "4", "3"]);
    says(&refused(|g| x(g).windows(&Window::new(&[2, 2, 2]), 0.0)), &["windows", "3 axes", "[3, 5]"]);
    says(&refused(|g| x(g).max_pool2d(4)), &["max_pool", "4", "3"]);
    says(&refused(|g| x(g).avg_pool(&Window::new(&[1]).stride(0))), &["avg_pool", "at least 1"]);
    says(&refused(|g| x(g).expand([1 << 20, 1 << 20, 3, 5])), &["expand", "2³¹"]);
}

#[test]
fn wrong_axes() {
    for refusal in [
        refused(|g| x(g).sum(2)),
        refused(|g| x(g).mean(2)),
        refused(|g| x(g).softmax(2)),
        refused(|g| x(g).argmax(2)),
        refused(|g| x(g).cumsum(2)),
        refused(|g| x(g).prod(2)),
        refused(|g| x(g).roll(1, 2)),
        refused(|g| x(g).flip(2)),
        refused(|g| x(g).transpose(0, 2)),
        refused(|g| x(g).gather(2, &labels(g))),
    ] {
        says(&refusal, &["axis 2", "[3, 5]"]);
    }
    says(&refused(|g| x(g).sum([0, 0])), &["named twice", "[3, 5]"]);
    says(&refused(|g| x(g).slice(1, 1..1).argmax(1)), &["argmax", "no elements"]);
}

#[test]
fn wrong_dtypes() {
    let half = |g: &Graph| g.input("half", [3, 5], F16);
    says(&refused(|g| x(g) * half(g)), &["mul", "f32[3, 5]", "f16[3, 5]", "cast"]);
    says(&refused(|g| x(g).matmul(&half(g).t())), &["contract", "f32", "f16"]);
    says(&refused(|g| labels(g).exp()), &["exp", "float", "u32[3]"]);
    says(&refused(|g| labels(g).neg()), &["neg", "signed", "u32[3]"]);
    says(&refused(|g| x(g).logical_not()), &["logical_not", "bool", "f32"]);
    says(&refused(|g| labels(g).mean(..)), &["mean", "float", "u32[3]"]);
    says(&refused(|g| labels(g).softmax(0)), &["softmax", "float", "u32[3]"]);
    says(&refused(|g| x(g).gt(0.0).sum(..)), &["sum", "bool"]);
    says(&refused(|g| x(g).gt(0.0).min(..)), &["min", "bool"]);
    says(&refused(|g| x(g).gather(0, &x(g))), &["gather", "u32", "f32[3, 5]"]);
    says(&refused(|g| x(g).one_hot(3)), &["one_hot", "u32", "f32[3, 5]"]);
    says(&refused(|g| x(g).bits_to_uniform()), &["bits_to_uniform", "u32", "f32[3, 5]"]);
    says(&refused(|g| x(g).and(&x(g))), &["and", "f32"]);
}

#[test]
fn composites_check_their_arguments() {
    let image = |g: &Graph| g.input("image", [2, 3, 8, 8], F32);
    let weight = |g: &Graph| g.input("weight", [4, 2, 3, 3], F32);
    let square = Window::new(&[3, 3]);
    let conv = refused(|g| image(g).conv2d(&weight(g), None, &square, 1));
    says(&conv, &["conv", "[2, 3, 8, 8]", "[4, 2, 3, 3]", "3 channels"]);
    says(&refused(|g| image(g).conv2d(&weight(g), None, &Window::new(&[3]), 1)), &["conv2d", "2 axes"]);
    says(
        &refused(|g| image(g).conv2d(&weight(g), None, &Window::new(&[5, 5]), 1)),
        &["[5, 5]", "[4, 2, 3, 3]"],
    );
    let biased = refused(|g| image(g).slice(1, 0..2).conv2d(&weight(g), Some(&labels(g)), &square, 1));
    says(&biased, &["conv", "bias [4]", "u32[3]"]);
    says(&refused(|g| x(g).cross_entropy(&x(g))), &["cross_entropy", "f32[3, 5]", "u32 labels"]);
    says(&refused(|g| x(g).cross_entropy_with(&labels(g), &smoothed(1.5))), &["cross_entropy", "1.5"]);
    says(&refused(|g| x(g).accuracy(&x(g))), &["accuracy", "f32[3, 5]"]);
    says(&refused(|g| x(g).nll_loss(&labels(g).slice(0, 0..2))), &["nll_loss", "[3, 5]", "[2]"]);
    says(&refused(|g| x(g).mse_loss(&x(g).t())), &["mse_loss", "[3, 5]", "[5, 3]"]);
    says(&refused(|g| x(g).l1_loss(&x(g).sum(0))), &["l1_loss", "[3, 5]", "[5]"]);
    says(&refused(|g| x(g).huber_loss(&x(g), 0.0)), &["huber_loss", "positive", "0"]);
    let score = refused(|g| x(g).binary_cross_entropy_with_logits(&labels(g)));
    says(&score, &["binary_cross_entropy_with_logits", "f32[3, 5]", "u32[3]"]);
    says(&refused(|g| x(g).layer_norm(-1, Some(&labels(g)), None, 1e-5)), &["layer_norm", "[3]", "[3, 5]"]);
    says(&refused(|g| image(g).batch_norm(&x(g), &x(g), None, None, 0.0)), &["batch_norm", "[3]", "[3, 5]"]);
    says(&refused(|g| labels(g).embedding(&labels(g))), &["embedding", "[V, D]", "u32[3]"]);
    says(&refused(|g| labels(g).tril(0)), &["tril", "matrix", "u32[3]"]);
    says(&refused(|g| x(g).clamp(1.0, -1.0)), &["clamp", "1", "-1"]);
    says(&refused(|g| labels(g).global_avg_pool2d()), &["global_avg_pool2d", "u32[3]"]);
    let attend = |x: &Tensor, k: &Tensor, options: AttentionOptions| {
        Tensor::scaled_dot_product_attention(x, k, x, &options)
    };
    let attention = refused(|g| attend(&x(g), &x(g).t(), AttentionOptions::new()));
    says(&attention, &["scaled_dot_product_attention", "[3, 5]", "[5, 3]"]);
    let hidden = refused(|g| attend(&x(g), &x(g), AttentionOptions::new().hidden(&x(g))));
    says(&hidden, &["scaled_dot_product_attention", "hidden", "f32[3, 5]", "bool[3, 3]"]);
    let bias = refused(|g| attend(&x(g), &x(g), AttentionOptions::new().bias(&x(g))));
    says(&bias, &["scaled_dot_product_attention", "added", "f32[3, 5]", "f32[3, 3]"]);
    let dropout = refused(|g| attend(&x(g), &x(g), AttentionOptions::new().dropout(1.5)));
    says(&dropout, &["scaled_dot_product_attention", "dropout", "1.5"]);
}

#[test]
fn windows_and_images_are_checked() {
    let image = |g: &Graph| g.input("image", [2, 3, 8, 8], F32);
    let weight = |g: &Graph| g.input("weight", [3, 2, 3, 3], F32);
    let square = Window::new(&[3, 3]).stride(2);
    let transposed = |g: &Graph, window: &Window, more: &[usize], groups: usize| {
        image(g).conv_transpose2d(&weight(g), None, window, more, groups)
    };
    says(&refused(|g| transposed(g, &Window::new(&[3]), &[0], 1)), &["conv_transpose2d", "2 axes"]);
    says(&refused(|g| transposed(g, &Window::new(&[5, 5]), &[0, 0], 1)), &["[5, 5]", "[3, 2, 3, 3]"]);
    says(&refused(|g| transposed(g, &square, &[0, 0], 2)), &["conv_transpose", "2 groups"]);
    says(&refused(|g| transposed(g, &square, &[2, 0], 1)), &["output padding 2", "stride 2"]);
    says(&refused(|g| transposed(g, &square, &[0], 1)), &["conv_transpose", "output padding"]);
    says(&refused(|g| transposed(g, &square.clone().padding(9), &[0, 0], 1)), &["8 elements", "(9, 9)"]);
    says(&refused(|g| image(g).conv1d(&weight(g), None, &square, 1)), &["conv1d", "1 axes"]);
    says(&refused(|g| image(g).conv3d(&weight(g), None, &square, 1)), &["conv3d", "3 axes"]);
    says(&refused(|g| labels(g).avg_pool(&Window::new(&[2]))), &["avg_pool", "float", "u32[3]"]);
    says(&refused(|g| x(g).lp_pool(&Window::new(&[2]), 0.5)), &["norm_p", "0.5"]);
    says(&refused(|g| x(g).adaptive_avg_pool(&[2, 0])), &["adaptive_avg_pool", "[3, 5]", "[2, 0]"]);
    says(&refused(|g| x(g).adaptive_max_pool(&[1, 2, 3])), &["adaptive_max_pool", "[3, 5]", "[1, 2, 3]"]);
    says(&refused(|g| x(g).unfold(&square)), &["unfold", "[3, 5]", "2 axes"]);
    says(&refused(|g| image(g).flatten(2).fold(&[8, 8], &square)), &["fold", "9 windows of 9", "[2, 3, 64]"]);
    says(&refused(|g| x(g).upsample_nearest(&[0])), &["upsample_nearest", "[3, 5]", "[0]"]);
    says(&refused(|g| labels(g).upsample_linear(&[2], true)), &["upsample_linear", "float"]);
    says(&refused(|g| image(g).pixel_shuffle(2)), &["pixel_shuffle", "3 channels", "2²"]);
    says(&refused(|g| image(g).pixel_unshuffle(3)), &["pixel_unshuffle", "[2, 3, 8, 8]", "3 pixels"]);
    says(&refused(|g| image(g).group_norm(2, None, None, 1e-5)), &["group_norm", "[2, 3, 8, 8]", "2 groups"]);
    says(&refused(|g| x(g).instance_norm(None, None, 1e-5)), &["instance_norm", "f32[3, 5]"]);
    says(&refused(|g| x(g).rms_norm(-1, Some(&labels(g)), 1e-5)), &["rms_norm", "[3]", "[3, 5]"]);
    says(&refused(|g| image(g).prelu(&x(g))), &["prelu", "[3]", "[3, 5]"]);
    says(&refused(|g| x(g).glu(1)), &["glu", "two halves", "f32[3, 5]"]);
}

#[test]
fn losses_check_their_arguments() {
    let mean = Reduction::Mean;
    says(&refused(|g| x(g).smooth_l1_loss(&x(g), -1.0)), &["smooth_l1_loss", "-1"]);
    says(&refused(|g| x(g).soft_cross_entropy(&labels(g), mean)), &["soft_cross_entropy", "u32[3]"]);
    let weights = |g: &Graph| {
        let few = g.input("weight", [4], F32);
        x(g).cross_entropy_with(&labels(g), &CrossEntropy { weight: Some(&few), ..CrossEntropy::default() })
    };
    says(&refused(weights), &["cross_entropy", "5 classes", "f32[4]"]);
    says(&refused(|g| x(g).kl_div(&x(g).t(), false, mean)), &["kl_div", "[3, 5]", "[5, 3]"]);
    let variances = refused(|g| x(g).gaussian_nll_loss(&x(g), &x(g).t(), false, 1e-6, mean));
    says(&variances, &["gaussian_nll_loss", "[5, 3]"]);
    says(&refused(|g| x(g).multi_margin_loss(&labels(g), 3, 1.0, None, mean)), &["multi_margin_loss", "3"]);
    let signs = refused(|g| x(g).cosine_embedding_loss(&x(g), &labels(g), 0.0, mean));
    says(&signs, &["cosine_embedding_loss", "sign", "u32[3]"]);
    let spelt = |g: &Graph| {
        let lengths = labels(g);
        let target = CtcTarget { labels: &x(g), input_lengths: &lengths, target_lengths: &lengths, blank: 0 };
        x(g).ctc_loss(target, false, mean)
    };
    says(&refused(spelt), &["ctc_loss", "[T, N, C]", "f32[3, 5]", "u32[3]"]);
}

#[test]
fn pieces_and_orders_are_checked() {
    says(&refused(|g| x(g).top_k(6, 1).0), &["top_k", "6 elements of 5", "f32[3, 5]"]);
    says(&refused(|g| x(g).sort(2, false).0), &["argsort", "axis 2"]);
    says(&refused(|g| x(g).gt(0.0).argsort(0, true)), &["argsort", "bool"]);
    says(&refused(|g| x(g).chunk(0, 0)[0].clone()), &["chunk", "0 pieces"]);
    says(&refused(|g| x(g).unbind(3)[0].clone()), &["unbind", "axis 3"]);
    says(&refused(|g| x(g).unflatten(1, &[2, 3])), &["reshape", "15", "18"]);
    says(&refused(|g| Tensor::meshgrid(&[&x(g)])[0].clone()), &["meshgrid", "f32[3, 5]"]);
    says(&refused(|g| labels(g).diagonal(0)), &["diagonal", "matrix", "u32[3]"]);
    says(&refused(|g| x(g).movedim(0, 2)), &["movedim", "axis 2", "[3, 5]"]);
    says(&refused(|g| x(g).dot(&x(g))), &["dot", "f32[3, 5]"]);
    says(&refused(|g| x(g).index_add(0, &labels(g), &x(g).t())), &["index_add", "u32[3]", "[5, 3]"]);
    for (equation, fact) in [
        ("ij", "1 operands, got 2"),
        ("ij,jk,kl->il", "3 operands, got 2"),
        ("ij,ij->k", "`k`"),
        ("ij,ij->ii", "twice"),
        ("i1,ij->i", "`1`"),
        ("ijk,ij->i", "names 3 axes"),
    ] {
        says(&refused(|g| x(g).einsum(&x(g), equation)), &["einsum", equation, fact]);
    }
    says(&refused(|g| x(g).einsum(&x(g).t(), "ij,ij->")), &["einsum", "`i` is both 3 and 5"]);
}

#[test]
fn two_graphs_do_not_mix() {
    let (g, h) = (Graph::new(Mode::Train), Graph::new(Mode::Eval));
    let y = x(&g) + x(&h);
    assert!(!y.is_valid());
    let error = g.recording().check().unwrap_err();
    says(&error, &["add", "another graph", "f32[3, 5]", file!()]);
    let foreign = Graph::new(Mode::Eval);
    // The first node of either graph.
    says(
        &refused(|g| x(g).sum(..).gradients(&[&x(&foreign)]).remove(0)),
        &["gradients", "another graph", "f32[3, 5]"],
    );
    says(
        &refused(|g| {
            let x = x(g);
            x.exp().pull_back(&foreign.ones([3, 5], F32), &[&x]).remove(0)
        }),
        &["gradients", "another graph"],
    );
}

/// The first mistake is told, however its result is taken apart.
#[test]
fn pieces_of_a_mistake_are_as_many() {
    refused(|g| {
        let pieces = x(g).matmul(&x(g)).chunk(3, -1);
        &pieces[0] + &pieces[1] + &pieces[2]
    });
}

/// Nothing is counted for windows that there are not.
#[test]
fn windows_of_endless_padding_are_refused() {
    for padding in [1 << 40, usize::MAX] {
        refused(|g| x(g).avg_pool(&Window::new(&[2]).padding(padding)));
    }
}

/// Rows that could be ranked by counting, but not so many of them.
#[test]
fn many_rows_are_sorted_as_well() {
    let g = Graph::new(Mode::Eval);
    let (values, order) = g.input("x", [1 << 12, 1024], F32).top_k(5, -1);
    assert_eq!((values.shape(), order.shape()), ([1 << 12, 5].into(), [1 << 12, 5].into()));
    g.recording().check().unwrap();
}

#[test]
fn losses_must_be_scalars_that_depend_on_what_is_asked_for() {
    says(&refused(|g| x(g).exp().gradients(&[&x(g)])[0].clone()), &["gradients", "f32[3, 5]", "mean(..)"]);
    let other = |g: &Graph| g.input("other", [2], F32);
    says(&refused(|g| x(g).sum(..).gradients(&[&other(g)])[0].clone()), &["does not depend", "f32[2]"]);
    let detached = refused(|g| {
        let x = x(g);
        x.detach().sum(..).gradients(&[&x])[0].clone()
    });
    says(&detached, &["does not depend", "f32[3, 5]"]);
}

#[test]
fn an_operation_without_derivative_is_named_where_it_was_used() {
    let g = Graph::new(Mode::Train);
    let x = x(&g);
    let (y, line) = (x.floor(), line!());
    y.sum(..).gradients(&[&x]);
    let error = g.recording().check().unwrap_err();
    assert_eq!((error.location.file(), error.location.line()), (file!(), line));
    says(&error, &["floor", "no derivative", "f32[3, 5]", "detach()"]);
    for wrong in [
        |x: &Tensor| x.sign(),
        |x: &Tensor| x.cast(I32).cast(F32),
        |x: &Tensor| x.argmax(-1).cast(F32),
        |x: &Tensor| x.gt(0.0).cast(F32),
    ] {
        let g = Graph::new(Mode::Train);
        let x = g.input("x", [3, 5], F32);
        wrong(&x).sum(..).gradients(&[&x]);
        says(&g.recording().check().unwrap_err(), &["no derivative", file!()]);
    }
}

#[test]
fn custom_operations_are_checked() {
    let other = refused(|g| {
        let beside = x(g);
        Tensor::custom_gradient(&[&x(g)], |t| &t[0] * &beside, |cx| vec![cx.cotangent.clone().into()])
    });
    says(&other, &["custom_gradient", "`x`", "detach()"]);
    let op = CustomOp::new("halve", |t| t[0].reshape([4]));
    says(&refused(|g| op.apply(&[&x(g)])), &["reshape", "15"]);
    let few = CustomOp::new("few", |t| t[0].square()).with_gradient(|_| vec![]);
    says(&refused(|g| gradient_of(&few, g)), &["few", "0 for 1 operands"]);
    let misfit =
        CustomOp::new("misfit", |t| t[0].square()).with_gradient(|cx| vec![cx.cotangent.sum(0).into()]);
    says(&refused(|g| gradient_of(&misfit, g)), &["misfit", "f32[5]", "operand 0 f32[3, 5]"]);
    assert!(!op.apply(&[]).is_valid());
    let ignores = CustomOp::new("ignores", |t| t[0].square())
        .with_kernel(WgslKernel::elementwise("fn ignores(x: f32, y: f32) -> f32 { return x * x; }"));
    let foreign = refused(|g| ignores.apply(&[&x(g), &x(&Graph::new(Mode::Eval))]));
    says(&foreign, &["ignores", "another graph"]);
    assert!(!Tensor::concat(&[], 0).is_valid());
}

fn gradient_of(operation: &CustomOp, g: &Graph) -> Tensor {
    let x = x(g);
    operation.apply(&[&x]).sum(..).gradients(&[&x]).remove(0)
}

#[test]
fn a_trainable_variable_that_the_loss_misses_is_named() {
    let vars = Vars::new();
    let [used, lost] = ["used", "lost"].map(|name| vars.sub("fc1").var(name, [2], Init::constant(0.5)));
    let g = Graph::new(Mode::Train);
    let (loss, unused) = (g.var(&used).square().sum(..), g.var(&lost));
    let gradients = loss.backward(&vars);
    assert_eq!(gradients.len(), 1);
    assert!(unused.is_valid());
    says(&g.recording().check().unwrap_err(), &["backward", "`fc1.lost`", "freeze", file!()]);

    assert_eq!(vars.freeze("*.lost"), 1);
    let g = Graph::new(Mode::Train);
    g.var(&used).square().sum(..).backward(&vars);
    assert_eq!(g.recording().check(), Ok(()));
}

#[test]
fn variables_have_one_name_and_one_new_value() {
    let vars = Vars::new();
    let (first, line) = (vars.var("w", [2], Init::constant(0.0)), line!());
    vars.var("w", [3], Init::constant(0.0));
    let error = vars.check().unwrap_err();
    says(&error, &["`w`", "already declared", &format!("{}:{line}", file!()), "vars.sub"]);
    assert_eq!(error.location.file(), file!());

    let vars = Vars::new();
    assert_eq!(vars.freeze("["), 0);
    says(&vars.check().unwrap_err(), &["freeze", "`[`", "glob"]);

    let twice = Graph::new(Mode::Train);
    let value = twice.var(&first) + 1.0;
    twice.assign(&first, &value);
    twice.assign(&first, &value);
    says(&twice.recording().check().unwrap_err(), &["assign", "`w`", "twice"]);

    let misfit = Graph::new(Mode::Train);
    misfit.assign(&first, &misfit.zeros([3], F32));
    says(&misfit.recording().check().unwrap_err(), &["assign", "`w`", "f32[2]", "f32[3]"]);

    let foreign = Graph::new(Mode::Train);
    foreign.assign(&first, &value);
    says(&foreign.recording().check().unwrap_err(), &["assign", "`w`", "another graph"]);
}

#[test]
fn an_input_has_one_spec() {
    let error = refused(|g| {
        g.input("x", [3], F32);
        g.input("x", [3], Bool)
    });
    says(&error, &["input", "`x`", "f32[3]", "bool[3]"]);
}

#[test]
fn labels_are_bounded() {
    let g = Graph::new(Mode::Train);
    x(&g).cross_entropy(&labels(&g));
    let words = g.input("words", [2, 7], U32);
    g.input("table", [11, 4], F32).embedding(&words);
    let bounds = g.recording().bounds;
    assert!(bounds.contains(&("label".into(), 5)) && bounds.contains(&("words".into(), 11)), "{bounds:?}");
}

#[test]
fn labels_beside_the_ignored_one_have_no_loss() {
    let g = Graph::new(Mode::Train);
    let ignoring =
        CrossEntropy { ignore_index: Some(99), reduction: Reduction::None, ..CrossEntropy::default() };
    x(&g).cross_entropy_with(&labels(&g), &ignoring);
    assert_eq!(g.recording().bounds, [("label".into(), 100)]);
    let losses = x(&g).cross_entropy_with(&g.constant([3], &[99u32, 5, 4]), &ignoring);
    let values = evaluate(&g.recording(), &Environment::new());
    let [ignored, stray, even] = values[losses.id().index()].data[..] else { panic!("three losses") };
    assert!(ignored == 0.0 && stray.is_nan() && (even - 5f64.ln()).abs() < 1e-12);
    // No bound lies above the last u32.
    let g = Graph::new(Mode::Train);
    x(&g).cross_entropy_with(&labels(&g), &CrossEntropy { ignore_index: Some(u32::MAX), ..ignoring });
    assert_eq!(g.recording().bounds, []);
}

#[test]
fn batches_do_not_overflow_their_memory() {
    let mut memory = HostMemory(vec![0; 8]);
    assert_eq!(memory.write(4, &[1, 2, 3, 4]), Ok(()));
    assert_eq!(memory.write(6, &[0; 4]), Err(BatchError::OutOfMemory { offset: 6, len: 4, bytes: 8 }));
    assert!(memory.write(usize::MAX, &[0; 4]).is_err());
    assert_eq!(memory.0, [0, 0, 0, 0, 1, 2, 3, 4]);
}
