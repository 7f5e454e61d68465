//! Every layer against its formula, written out in plain loops.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use reference::{array, assert_close, eval, noise, run, scrambled};
use wgrad_core::ops::Window;
use wgrad_core::{Array, Graph, Mode, Tensor, U32, Vars};
use wgrad_nn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool3d, AvgPool1d, AvgPool2d,
    AvgPool3d, Bilinear, Conv1dConfig, Conv2d, Conv2dConfig, Conv3dConfig, ConvTranspose2dConfig, Embedding,
    Flatten, GlobalAvgPool2d, Linear, LpPool1d, MaxPool1d, MaxPool2d, MaxPool3d, Module, PixelShuffle,
    PixelUnshuffle, Relu, Sequential, Upsample,
};

/// f64 rounding of short sums.
const EXACT: f64 = 1e-12;

/// Constants that a layer rounds to f32: eps, 1/√width.
const ROUNDED: f64 = 1e-7;

fn linear(x: &[f64], weight: &Array, bias: &[f64]) -> Vec<f64> {
    let row = |o: usize| x.iter().enumerate().map(|(i, x)| x * weight.at(&[o, i])).sum::<f64>() + bias[o];
    (0..bias.len()).map(row).collect()
}

#[test]
fn linear_over_the_last_axis_of_any_rank() {
    let vars = Vars::new();
    let layer = Linear::new(vars.sub("fc"), 5, 3);
    let state = scrambled(&vars);
    for lead in [&[][..], &[4], &[2, 3], &[0]] {
        let x = noise([lead, &[5]].concat(), 1);
        let expected = x.data.chunks(5).flat_map(|x| linear(x, &state["fc.weight"], &state["fc.bias"].data));
        let expected = Array::new(x.spec.dtype, [lead, &[3]].concat(), expected.collect());
        assert_close(&eval(&layer, &x, &state), &expected, EXACT);
    }
}

#[test]
fn linear_without_bias() {
    let vars = Vars::new();
    let layer = Linear::no_bias(&vars, 5, 3);
    let state = scrambled(&vars);
    assert_eq!(vars.all().len(), 1);
    let x = noise([2, 5], 1);
    let expected = x.data.chunks(5).flat_map(|x| linear(x, &state["weight"], &[0.0; 3])).collect();
    assert_close(&eval(&layer, &x, &state), &Array::new(x.spec.dtype, [2, 3], expected), EXACT);
}

/// Where output position o reads kernel element k, if inside of extent n.
fn source(o: usize, k: usize, window: &Window, axis: usize, n: usize) -> Option<usize> {
    let at = o * window.stride[axis] + k * window.dilation[axis];
    at.checked_sub(window.padding[axis].0).filter(|&at| at < n)
}

fn conv2d(x: &Array, weight: &Array, bias: Option<&Array>, window: &Window, groups: usize) -> Array {
    let (xs, ws) = (x.shape(), weight.shape());
    let extent = |axis: usize| {
        let padded = xs[2 + axis] + window.padding[axis].0 + window.padding[axis].1;
        (padded - window.dilation[axis] * (window.size[axis] - 1) - 1) / window.stride[axis] + 1
    };
    array([xs[0], ws[0], extent(0), extent(1)], |index| {
        let (n, o, group) = (index[0], index[1], index[1] / (ws[0] / groups));
        let mut sum = bias.map_or(0.0, |bias| bias.at(&[o]));
        for c in 0..ws[1] {
            for i in 0..ws[2] {
                for j in 0..ws[3] {
                    let (h, w) =
                        (source(index[2], i, window, 0, xs[2]), source(index[3], j, window, 1, xs[3]));
                    if let (Some(h), Some(w)) = (h, w) {
                        sum += x.at(&[n, group * ws[1] + c, h, w]) * weight.at(&[o, c, i, j]);
                    }
                }
            }
        }
        sum
    })
}

#[test]
fn convolution() {
    let square = |size: usize| Window::new(&[size, size]);
    let uneven = Window { padding: vec![(2, 0), (1, 3)], ..Window::new(&[2, 3]).stride(2) };
    let layers: [(Conv2dConfig, Window, usize); 6] = [
        (Conv2dConfig::new(4, 6, 3), square(3), 1),
        (Conv2dConfig::new(4, 6, 3).stride(2).padding(1), square(3).stride(2).padding(1), 1),
        (Conv2dConfig::new(4, 6, 2).dilation(3).no_bias(), square(2).dilation(3), 1),
        (Conv2dConfig::new(4, 6, 3).groups(2).padding(2), square(3).padding(2), 2),
        (Conv2dConfig::new(4, 8, 3).groups(4), square(3), 4),
        (Conv2dConfig::new(4, 6, 3).window(uneven.clone()), uneven, 1),
    ];
    for (config, window, groups) in layers {
        let vars = Vars::new();
        let layer = config.build(vars.sub("conv"));
        let state = scrambled(&vars);
        let x = noise([2, 4, 7, 6], 3);
        let expected = conv2d(&x, &state["conv.weight"], state.get("conv.bias"), &window, groups);
        assert_close(&eval(&layer, &x, &state), &expected, EXACT);
    }
}

/// One and three axes as two: a sequence is an image of height 1, and a kernel of depth 1 filters the slices
/// of a volume one by one.
#[test]
fn convolution_of_sequences_and_volumes() {
    let vars = Vars::new();
    let layer = Conv1dConfig::new(4, 6, 3).stride(2).padding(1).groups(2).build(vars.sub("conv"));
    let (state, x) = (scrambled(&vars), noise([2, 4, 9], 3));
    let window = Window { padding: vec![(0, 0), (1, 1)], ..Window::new(&[1, 3]).stride(2) };
    let two = |a: &Array, shape: [usize; 4]| Array::new(a.spec.dtype, shape, a.data.clone());
    let weight = two(&state["conv.weight"], [6, 2, 1, 3]);
    let expected = conv2d(&two(&x, [2, 4, 1, 9]), &weight, state.get("conv.bias"), &window, 2);
    let actual = eval(&layer, &x, &state);
    assert_eq!(**actual.shape(), [2, 6, 5]);
    assert_close(&two(&actual, [2, 6, 1, 5]), &expected, EXACT);

    let vars = Vars::new();
    let window =
        Window { size: vec![1, 3, 2], padding: vec![(0, 0), (1, 1), (0, 1)], ..Window::new(&[1; 3]) };
    let layer = Conv3dConfig::new(3, 5, 1).window(window).no_bias().build(vars.sub("conv"));
    let (state, x) = (scrambled(&vars), noise([2, 3, 4, 5, 6], 3));
    let window = Window { padding: vec![(1, 1), (0, 1)], ..Window::new(&[3, 2]) };
    let actual = eval(&layer, &x, &state);
    for depth in 0..4 {
        let slice = |a: &Array| {
            let s = a.shape();
            array([s[0], s[1], s[3], s[4]], |i| a.at(&[i[0], i[1], depth, i[2], i[3]]))
        };
        let weight = two(&state["conv.weight"], [5, 3, 3, 2]);
        assert_close(&slice(&actual), &conv2d(&slice(&x), &weight, None, &window, 1), EXACT);
    }
}

#[test]
fn pooling() {
    let x = noise([2, 3, 7, 6], 4);
    let pooled = |window: &Window, start: f64, combine: &dyn Fn(f64, f64) -> f64| {
        let extents = window.output(&x.shape()[2..]).expect("the window fits");
        array([2, 3, extents[0], extents[1]], |index| {
            let mut value = start;
            for (i, j) in (0..window.size[0]).flat_map(|i| (0..window.size[1]).map(move |j| (i, j))) {
                let (h, w) = (source(index[2], i, window, 0, 7), source(index[3], j, window, 1, 6));
                if let (Some(h), Some(w)) = (h, w) {
                    value = combine(value, x.at(&[index[0], index[1], h, w]));
                }
            }
            value
        })
    };
    for (size, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 0)] {
        let window = Window::new(&[size, size]).stride(stride).padding(padding);
        let max = MaxPool2d::new(size).stride(stride).padding(padding);
        let state = Default::default();
        assert_close(&eval(&max, &x, &state), &pooled(&window, f64::MIN, &f64::max), EXACT);
        let average = AvgPool2d::new(size).stride(stride).padding(padding);
        let share = 1.0 / (size * size) as f64;
        assert_close(&eval(&average, &x, &state), &pooled(&window, 0.0, &|sum, x| sum + x * share), EXACT);
    }
    let global = array([2, 3], |nc| (0..42).map(|i| x.at(&[nc[0], nc[1], i / 6, i % 6])).sum::<f64>() / 42.0);
    assert_close(&eval(&GlobalAvgPool2d, &x, &Default::default()), &global, EXACT);
}

/// Each input times the kernel, added up where it lands.
#[test]
fn transposed_convolution() {
    for (groups, stride, padding, output_padding, dilation) in
        [(1, 1, 0, 0, 1), (1, 2, 1, 1, 1), (2, 3, 1, 2, 2), (1, 2, 0, 1, 2)]
    {
        let vars = Vars::new();
        let config = ConvTranspose2dConfig::new(4, 6, 3).stride(stride).padding(padding).dilation(dilation);
        let layer = config.output_padding(output_padding).groups(groups).build(vars.sub("up"));
        let state = scrambled(&vars);
        let (weight, bias) = (&state["up.weight"], &state["up.bias"]);
        let x = noise([2, 4, 3, 5], 3);
        let extent = |n: usize| (n - 1) * stride + dilation * 2 + output_padding + 1 - 2 * padding;
        let mut expected = array([2, 6, extent(3), extent(5)], |index| bias.data[index[1]]);
        let shape = expected.shape().clone();
        array([2, 4, 3, 5], |i| {
            for (o, kh, kw) in (0..6).flat_map(|o| (0..9).map(move |k| (o, k / 3, k % 3))) {
                let target = |at: usize, k: usize| (at * stride + k * dilation).checked_sub(padding);
                let (Some(h), Some(w)) = (target(i[2], kh), target(i[3], kw)) else { continue };
                if h < shape[2] && w < shape[3] && o / (6 / groups) == i[1] / (4 / groups) {
                    let at = ((i[0] * 6 + o) * shape[2] + h) * shape[3] + w;
                    expected.data[at] += x.at(i) * weight.at(&[i[1], o % (6 / groups), kh, kw]);
                }
            }
            0.0
        });
        assert_close(&eval(&layer, &x, &state), &expected, EXACT);
    }
}

#[test]
fn pooling_of_sequences_and_volumes() {
    let state = Default::default();
    let x = Array::new(wgrad_core::F32, [1, 1, 5], vec![1.0, 5.0, 2.0, 4.0, 3.0]);
    let table: [(&dyn Module, &[f64]); 8] = [
        (&MaxPool1d::new(2), &[5.0, 4.0]),
        (&MaxPool1d::new(2).ceil_mode(), &[5.0, 4.0, 3.0]),
        (&MaxPool1d::new(2).stride(1).dilation(2), &[2.0, 5.0, 3.0]),
        (&AvgPool1d::new(2).padding(1), &[0.5, 3.5, 3.5]),
        (&AvgPool1d::new(2).padding(1).exclude_padding(), &[1.0, 3.5, 3.5]),
        (&AdaptiveAvgPool1d::new([2]), &[8.0 / 3.0, 3.0]),
        (&AdaptiveMaxPool1d::new([2]), &[5.0, 4.0]),
        (&LpPool1d::new(2.0, 2), &[26f64.sqrt(), 20f64.sqrt()]),
    ];
    for (module, expected) in table {
        let expected = Array::new(wgrad_core::F32, [1, 1, expected.len()], expected.to_vec());
        assert_close(&eval(module, &x, &state), &expected, ROUNDED);
    }
    let x = noise([2, 3, 4, 4, 6], 5);
    let boxes = |combine: &dyn Fn(f64, f64) -> f64| {
        array([2, 3, 2, 2, 3], |i| {
            let corner = |k: usize| [i[0], i[1], 2 * i[2] + k / 4, 2 * i[3] + k / 2 % 2, 2 * i[4] + k % 2];
            (1..8).fold(x.at(&corner(0)), |all, k| combine(all, x.at(&corner(k))))
        })
    };
    let (largest, sum) = (boxes(&f64::max), boxes(&|a, b| a + b));
    let mean = Array { data: sum.data.iter().map(|sum| sum / 8.0).collect(), ..sum };
    assert_close(&eval(&MaxPool3d::new(2), &x, &state), &largest, EXACT);
    assert_close(&eval(&AdaptiveMaxPool3d::new([2, 2, 3]), &x, &state), &largest, EXACT);
    assert_close(&eval(&AvgPool3d::new(2), &x, &state), &mean, EXACT);
    assert_close(&eval(&AdaptiveAvgPool3d::new([2, 2, 3]), &x, &state), &mean, EXACT);
}

#[test]
fn pooling_steps_by_its_size() {
    let x = noise([1, 1, 6, 6], 5);
    let by_size = eval(&MaxPool2d::new(3), &x, &Default::default());
    assert_eq!(by_size, eval(&MaxPool2d::new(3).stride(3), &x, &Default::default()));
    assert_eq!(**by_size.shape(), [1, 1, 2, 2]);
}

#[test]
fn flatten_keeps_the_first_axis() {
    let x = noise([2, 3, 4, 5], 6);
    let flat = eval(&Flatten, &x, &Default::default());
    assert_eq!((&**flat.shape(), &flat.data), (&[2, 60][..], &x.data));
}

#[test]
fn embedding_looks_rows_up() {
    let vars = Vars::new();
    let layer = Embedding::new(vars.sub("words"), 7, 3);
    let state = scrambled(&vars);
    let words = Array::new(U32, [2, 4], vec![0.0, 6.0, 3.0, 3.0, 1.0, 5.0, 0.0, 2.0]);
    let table = &state["words.weight"];
    let expected = array([2, 4, 3], |index| table.at(&[words.at(&index[..2]) as usize, index[2]]));
    assert_close(&eval(&layer, &words, &state), &expected, EXACT);
}

#[test]
fn the_padding_of_an_embedding_is_zero_and_stays() {
    let vars = Vars::new();
    let layer = Embedding::with_padding(vars.sub("words"), 5, 3, 2);
    let table = reference::initial(&vars)["words.weight"].clone();
    assert!((0..5).all(|row| (0..3).all(|i| (table.at(&[row, i]) == 0.0) == (row == 2))));
    let graph = Graph::new(Mode::Train);
    let words = graph.constant([4], &[2u32, 1, 2, 4]);
    let loss = layer.forward(&words).sum(..);
    let (_, gradient) = loss.backward(&vars).remove(0);
    let values = wgrad_core::interpret::evaluate(&graph.recording(), &scrambled(&vars));
    let expected = array([5, 3], |index| if [1, 4].contains(&index[0]) { 1.0 } else { 0.0 });
    assert_eq!(values[gradient.id().index()], expected);
}

#[test]
fn bilinear() {
    let vars = Vars::new();
    let layer = Bilinear::new(vars.sub("pair"), 3, 4, 2);
    let state = scrambled(&vars);
    let (x, z) = (noise([2, 5, 3], 1), noise([2, 5, 4], 2));
    let module = |x: &Tensor| layer.forward(x, &x.graph().constant_array(z.clone()));
    let (weight, bias) = (&state["pair.weight"], &state["pair.bias"]);
    let expected = array([2, 5, 2], |index| {
        let pairs = (0..3).flat_map(|i| (0..4).map(move |j| (i, j)));
        let term = |(i, j)| {
            x.at(&[index[0], index[1], i]) * weight.at(&[index[2], i, j]) * z.at(&[index[0], index[1], j])
        };
        bias.at(&[index[2]]) + pairs.map(term).sum::<f64>()
    });
    assert_close(&eval(&module, &x, &state), &expected, EXACT);
}

#[test]
fn a_tied_weight_gets_both_gradients() {
    let vars = Vars::new();
    let words = Embedding::new(vars.sub("words"), 5, 3);
    let head = Linear { weight: words.weight.clone(), bias: None };
    let graph = Graph::new(Mode::Train);
    let loss = head.forward(&words.forward(&graph.constant([2], &[1u32, 3]))).sum(..);
    let gradients = loss.backward(&vars);
    assert_eq!(gradients.len(), 1);
    let state = scrambled(&vars);
    let values = wgrad_core::interpret::evaluate(&graph.recording(), &state);
    let w = &state["words.weight"];
    // L = Σ over the picked rows e and all rows w of e·w: each row w gets Σ e, each picked one Σ w on top.
    let expected = array([5, 3], |index| {
        let picked = w.at(&[1, index[1]]) + w.at(&[3, index[1]]);
        let all: f64 = (0..5).map(|row| w.at(&[row, index[1]])).sum();
        picked + if [1, 3].contains(&index[0]) { all } else { 0.0 }
    });
    assert_close(&values[gradients[0].1.id().index()], &expected, EXACT);
}

#[test]
fn embedding_bounds_its_input() {
    let (graph, vars) = (Graph::new(Mode::Eval), Vars::new());
    Embedding::new(&vars, 7, 3).forward(&graph.input("text", [4], U32));
    assert_eq!(graph.recording().bounds, [("text".into(), 7)]);
}

#[test]
fn sequential_applies_in_order() {
    let vars = Vars::new();
    let (first, second) = (Linear::new(vars.sub(0), 5, 4), Linear::new(vars.sub(2), 4, 2));
    let chain = Sequential::new().then(first.clone()).then(Relu).then(second.clone());
    let doubled = Sequential::new().then(chain).then(|x: &Tensor| x * 2.0);
    let by_hand = |x: &Tensor| second.forward(&first.forward(x).relu()) * 2.0;
    let state = scrambled(&vars);
    let x = noise([3, 5], 11);
    assert_eq!(eval(&doubled, &x, &state), eval(&by_hand, &x, &state));
    assert_eq!(eval(&Sequential::new(), &x, &state), x);
    let names: Vec<_> = vars.all().iter().map(|var| var.name().to_string()).collect();
    assert_eq!(names, ["0.weight", "0.bias", "2.weight", "2.bias"]);
}

#[test]
fn layers_are_the_same_in_training_unless_they_say_so() {
    let vars = Vars::new();
    let layer = Conv2d::new(&vars, 3, 2, 2);
    let mut state = scrambled(&vars);
    let x = noise([2, 3, 4, 4], 12);
    assert_eq!(run(Mode::Train, &layer, &x, &mut state), eval(&layer, &x, &state));
}

#[test]
fn upsampling() {
    let state = Default::default();
    let x = Array::new(wgrad_core::F32, [1, 1, 3], vec![1.0, 3.0, 2.0]);
    let line = |module: &dyn Module| eval(module, &x, &state).data;
    assert_eq!(line(&Upsample::nearest(2)), [1.0, 1.0, 3.0, 3.0, 2.0, 2.0]);
    // Cells of half the size: their middles lie a quarter of a step beside the old ones.
    assert_eq!(line(&Upsample::linear(2)), [1.0, 1.5, 2.5, 2.75, 2.25, 2.0]);
    // Six points over the same two steps.
    let corners = line(&Upsample::linear(2).align_corners());
    let expected = [1.0, 1.8, 2.6, 2.8, 2.4, 2.0];
    assert!(corners.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{corners:?}");
    let image = noise([2, 3, 2, 5], 3);
    let expected = array([2, 3, 4, 10], |i| image.at(&[i[0], i[1], i[2] / 2, i[3] / 2]));
    assert_close(&eval(&Upsample::nearest(2), &image, &state), &expected, EXACT);
}

#[test]
fn pixels_from_channels() {
    let (x, state) = (noise([2, 8, 3, 5], 4), Default::default());
    let pixels = eval(&PixelShuffle(2), &x, &state);
    let expected =
        array([2, 2, 6, 10], |i| x.at(&[i[0], 4 * i[1] + 2 * (i[2] % 2) + i[3] % 2, i[2] / 2, i[3] / 2]));
    assert_close(&pixels, &expected, EXACT);
    assert_eq!(eval(&PixelUnshuffle(2), &pixels, &state), x);
}
