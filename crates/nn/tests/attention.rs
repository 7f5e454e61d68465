//! Attention against plain loops: masks, cross-attention, positions, and the cache of generation.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{array, assert_close, eval, noise, run, scrambled};
use wgrad_core::interpret::Environment;
use wgrad_core::{Array, Bool, F32, Graph, Mode, Tensor, U32, Vars};
use wgrad_nn::{
    AttentionMask, KvCache, Module, MultiHeadAttention, MultiHeadAttentionConfig, RotaryEmbedding,
    SinusoidalPositions,
};

/// 1/√width, and tables of waves, are rounded to f32.
const ROUNDED: f64 = 1e-6;

/// x·Wᵀ + b for [N, T, in], with rows of a weight from `first` on.
fn project(x: &Array, weight: &Array, bias: &Array, first: usize, width: usize) -> Array {
    let (s, inputs) = (x.shape(), weight.shape()[1]);
    array([s[0], s[1], width], |index| {
        let product = |i| x.at(&[index[0], index[1], i]) * weight.at(&[first + index[2], i]);
        (0..inputs).map(product).sum::<f64>() + bias.data[first + index[2]]
    })
}

/// Attention of projected q, k, v [N, T or S, width]; `hidden` says (sample, head, t, s).
fn attend(
    [q, k, v]: [&Array; 3],
    heads: usize,
    hidden: &dyn Fn(usize, usize, usize, usize) -> bool,
) -> Array {
    let (shape, count) = (q.shape(), k.shape()[1]);
    let size = shape[2] / heads;
    array(shape, |index| {
        let (n, t, head) = (index[0], index[1], index[2] / size);
        let score = |s: usize| {
            let features = head * size..(head + 1) * size;
            let dot: f64 = features.map(|i| q.at(&[n, t, i]) * k.at(&[n, s, i])).sum();
            if hidden(n, head, t, s) { 0.0 } else { (dot / (size as f64).sqrt()).exp() }
        };
        let scores: Vec<f64> = (0..count).map(score).collect();
        let total: f64 = scores.iter().sum();
        (0..count).map(|s| scores[s] / total * v.at(&[n, s, index[2]])).sum()
    })
}

/// The whole layer of width 6 with 2 heads over query, key and value.
fn layer(
    [q, k, v]: [&Array; 3],
    state: &Environment,
    hidden: &dyn Fn(usize, usize, usize, usize) -> bool,
) -> Array {
    let bias = &state["in_proj_bias"];
    let weight = |i: usize| match state.get("in_proj_weight") {
        Some(packed) => (packed.clone(), 6 * i),
        None => (state[["q_proj_weight", "k_proj_weight", "v_proj_weight"][i]].clone(), 0),
    };
    let part = |x: &Array, i: usize| {
        let (weight, first) = weight(i);
        let own =
            Array::new(F32, [first + 6], [vec![0.0; first], bias.data[6 * i..6 * i + 6].to_vec()].concat());
        project(x, &weight, &own, first, 6)
    };
    let seen = attend([&part(q, 0), &part(k, 1), &part(v, 2)], 2, hidden);
    project(&seen, &state["out_proj.weight"], &state["out_proj.bias"], 0, 6)
}

#[test]
fn self_attention() {
    for causal in [false, true] {
        let vars = Vars::new();
        let module = MultiHeadAttention::new(&vars, 6, 2);
        let module = if causal { module.causal() } else { module };
        let state = scrambled(&vars);
        let x = noise([2, 4, 6], 9);
        let expected = layer([&x, &x, &x], &state, &|_, _, t, s| causal && s > t);
        assert_close(&eval(&module, &x, &state), &expected, ROUNDED);
    }
}

#[test]
fn masks_hide() {
    let vars = Vars::new();
    let module = MultiHeadAttention::new(&vars, 6, 2);
    let mut state = scrambled(&vars);
    let x = noise([2, 4, 6], 9);
    let padding = array([2, 4], |i| f64::from(i[0] == 1 && i[1] > 1));
    let pairs = array([4, 4], |i| f64::from((i[0] + 2 * i[1]) % 3 == 1));
    let per_head = array([4, 4, 4], |i| f64::from((i[0] + i[1] + 2 * i[2]) % 3 == 1));
    let added = noise([4, 4], 10);
    for (name, value) in [("padding", &padding), ("pairs", &pairs), ("per_head", &per_head)] {
        state.insert(
            name.into(),
            Array { spec: wgrad_core::TensorSpec::new(Bool, value.shape()), ..value.clone() },
        );
    }
    state.insert("added".into(), added.clone());
    let masked = |x: &Tensor, mask: fn(&Graph) -> AttentionMask| module.attend(x, x, x, &mask(x.graph()));
    type Case<'a> = (fn(&Graph) -> AttentionMask, &'a dyn Fn(usize, usize, usize, usize) -> bool);
    let cases: [Case<'_>; 4] = [
        (|g| AttentionMask::none().key_padding(&g.input("padding", [2, 4], Bool)), &|n, _, _, s| {
            n == 1 && s > 1
        }),
        (|g| AttentionMask::none().pairs(&g.input("pairs", [4, 4], Bool)), &|_, _, t, s| {
            (t + 2 * s) % 3 == 1
        }),
        (|g| AttentionMask::none().pairs(&g.input("per_head", [4, 4, 4], Bool)), &|n, h, t, s| {
            (2 * n + h + t + 2 * s) % 3 == 1
        }),
        (|g| AttentionMask::causal().key_padding(&g.input("padding", [2, 4], Bool)), &|n, _, t, s| {
            n == 1 && s > 1 || s > t
        }),
    ];
    for (mask, hidden) in cases {
        let expected = layer([&x, &x, &x], &state, hidden);
        assert_close(&eval(&|x: &Tensor| masked(x, mask), &x, &state), &expected, ROUNDED);
    }
    // A float mask of very negative numbers hides as a bool mask does; of one number, it changes nothing.
    let plain = eval(&module, &x, &state);
    let constant = |x: &Tensor| masked(x, |g| AttentionMask::none().pairs(&g.full([4, 4], 0.5, F32)));
    assert_close(&eval(&constant, &x, &state), &plain, ROUNDED);
    let by_float = |x: &Tensor| {
        masked(x, |g| AttentionMask::none().pairs(&(g.input("pairs", [4, 4], Bool).cast(F32) * -1e4)))
    };
    let by_bool = |x: &Tensor| masked(x, |g| AttentionMask::none().pairs(&g.input("pairs", [4, 4], Bool)));
    assert_close(&eval(&by_float, &x, &state), &eval(&by_bool, &x, &state), ROUNDED);
}

#[test]
fn cross_attention_over_other_widths() {
    for (key_width, value_width) in [(6, 6), (5, 3)] {
        let vars = Vars::new();
        let config = MultiHeadAttentionConfig::new(6, 2).key_width(key_width).value_width(value_width);
        let module = config.build(&vars);
        assert_eq!(vars.get("in_proj_weight").is_some(), key_width == 6);
        let mut state = scrambled(&vars);
        let (x, k, v) = (noise([2, 4, 6], 1), noise([2, 7, key_width], 2), noise([2, 7, value_width], 3));
        state.insert("k".into(), k.clone());
        state.insert("v".into(), v.clone());
        let cross = |x: &Tensor| {
            let (k, v) = (x.graph().input("k", k.shape(), F32), x.graph().input("v", v.shape(), F32));
            module.attend(x, &k, &v, &AttentionMask::none())
        };
        let expected = layer([&x, &k, &v], &state, &|_, _, _, _| false);
        assert_close(&eval(&cross, &x, &state), &expected, ROUNDED);
    }
}

#[test]
fn dropout_of_attention_weights() {
    let vars = Vars::new();
    let module = MultiHeadAttentionConfig::new(6, 2).no_bias().build(&vars);
    assert_eq!(vars.all().len(), 2);
    let state = scrambled(&vars);
    let x = noise([2, 4, 6], 9);
    let all = module.clone().dropout(1.0);
    let nothing = run(Mode::Train, &all, &x, &mut state.clone());
    assert!(nothing.data.iter().all(|&y| y == 0.0), "without weights and biases nothing is left");
    assert_eq!(eval(&all, &x, &state), eval(&module, &x, &state));
    let some = run(Mode::Train, &module.clone().dropout(0.5), &x, &mut state.clone());
    assert_ne!(some, eval(&module, &x, &state));
}

#[test]
fn rotary_turns_pairs() {
    let x = noise([2, 3, 5, 8], 4);
    for interleaved in [false, true] {
        let rotary = RotaryEmbedding::new(8, 20).base(100.0);
        let rotary = if interleaved { rotary.interleaved() } else { rotary };
        let turned = |first: usize| {
            array(x.shape(), |index| {
                let (position, i) = ((index[2] + first) as f64, index[3]);
                let (pair, second) = if interleaved { (i / 2, i % 2 == 1) } else { (i % 4, i >= 4) };
                let partner = if interleaved { i ^ 1 } else { (i + 4) % 8 };
                let angle = position * 100f64.powf(-(2.0 * pair as f64) / 8.0);
                let other = x.at(&[index[0], index[1], index[2], partner]);
                x.at(index) * angle.cos() + if second { other } else { -other } * angle.sin()
            })
        };
        assert_close(&eval(&rotary, &x, &Default::default()), &turned(0), ROUNDED);
        let later = |x: &Tensor| rotary.at(x, &(x.graph().arange(5, U32) + 7.0));
        assert_close(&eval(&later, &x, &Default::default()), &turned(7), ROUNDED);
    }
}

#[test]
fn sinusoidal_waves() {
    let x = noise([2, 6, 5], 5);
    let expected = array(x.shape(), |index| {
        let angle = index[1] as f64 / 10_000f64.powf((index[2] / 2 * 2) as f64 / 5.0);
        x.at(index) + if index[2] % 2 == 0 { angle.sin() } else { angle.cos() }
    });
    assert_close(&eval(&SinusoidalPositions, &x, &Default::default()), &expected, ROUNDED);
}

/// Tokens given in pieces through a cache see what they see in one piece.
#[test]
fn the_cache_remembers() {
    let vars = Vars::new();
    let rotary = RotaryEmbedding::new(3 - 1, 16);
    let module = MultiHeadAttention::new(&vars, 4, 2).rotary(rotary);
    let cache = KvCache::new(vars.sub("cache"), 1, [2, 2, 9, 2]);
    let mut state = scrambled(&vars);
    let x = noise([2, 9, 4], 6);
    let whole = eval(&module.clone().causal(), &x, &state);
    let mut start = 0;
    for count in [1, 3, 1, 2, 2] {
        let piece = |a: &Array| array([2, count, 4], |index| a.at(&[index[0], start + index[1], index[2]]));
        let cached = |x: &Tensor| {
            let y = module.attend_cached(x, &cache, 0);
            cache.advance(x.graph(), count);
            y
        };
        assert_close(&run(Mode::Eval, &cached, &piece(&x), &mut state), &piece(&whole), 1e-12);
        start += count;
        assert_eq!(state["cache.position"].item(), start as f64);
    }
}

#[test]
fn misuse_is_reported() {
    let vars = Vars::new();
    let module = MultiHeadAttention::new(vars.sub("mha"), 6, 2);
    let cache = KvCache::new(vars.sub("cache"), 1, [2, 2, 9, 3]);
    type Misuse<'a> = (&'a dyn Fn(&Graph, &Tensor) -> Tensor, &'a str);
    let cases: [Misuse<'_>; 8] = [
        (
            &|g, x| module.attend(x, &g.input("k", [2, 5, 6], F32), x, &AttentionMask::none()),
            "do not fit each other",
        ),
        (&|g, x| module.attend(x, x, &g.input("v", [2, 4, 5], F32), &AttentionMask::none()), "[N, S, 6]"),
        (
            &|g, x| module.attend(x, x, x, &AttentionMask::none().key_padding(&g.input("p", [4, 2], Bool))),
            "bool [2, 4], got bool[4, 2]",
        ),
        (
            &|g, x| module.attend(x, x, x, &AttentionMask::none().pairs(&g.input("p", [2, 4], Bool))),
            "[4, 4] or [4, 4, 4], got bool[2, 4]",
        ),
        (&|_, x| RotaryEmbedding::new(5, 9).forward(x), "even number of features, not 5"),
        (&|_, x| RotaryEmbedding::new(6, 3).forward(x), "4 positions are more than the limit of 3"),
        (&|_, x| module.attend_cached(x, &cache, 1), "no layer 1 in a cache of 1"),
        (
            &|g, _| module.attend_cached(&g.input("y", [1, 4, 6], F32), &cache, 0),
            "`cache.0.key` takes [2, 2, T, 3]",
        ),
    ];
    for (misuse, message) in cases {
        let graph = Graph::new(Mode::Eval);
        let y = misuse(&graph, &graph.input("x", [2, 4, 6], F32));
        assert!(!y.is_valid());
        let error = graph.recording().check().expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.location.file(), file!(), "{error}");
    }
}
