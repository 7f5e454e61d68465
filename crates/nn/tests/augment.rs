//! Augmentation in the graph: each image is what one of the allowed changes makes of it, all of them happen,
//! and the same step of the same training makes the same.

#[allow(dead_code, reason = "each test file uses a part of it")]
mod reference;

use std::collections::BTreeSet;

use reference::{array, assert_close, eval, initial, noise, run};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::{Array, F32, Graph, Mode, U32, Var, Vars};
use wgrad_nn::Module;
use wgrad_nn::augment::{
    Cutout, Mixup, Normalize, RandomCrop, RandomHorizontalFlip, RandomRotation, RandomVerticalFlip,
};

const SHAPE: [usize; 4] = [200, 2, 5, 6];

fn at(seed: u32, step: u32) -> Environment {
    let mut state = initial(&Vars::new());
    state.insert(Var::seed().name().into(), Array::new(U32, [2], vec![seed.into(), 0.0]));
    state.insert(Var::step().name().into(), Array::new(U32, [], vec![step.into()]));
    state
}

fn image(batch: &Array, n: usize) -> &[f64] {
    let size = SHAPE[1..].iter().product::<usize>();
    &batch.data[n * size..(n + 1) * size]
}

/// Which of the allowed changes, each a map from (channel, row, column) of the result to that of its source or
/// to a value, each image went through.
fn changes<T: Copy + Ord>(
    module: &dyn Module,
    allowed: &[T],
    source: impl Fn(T, [usize; 3]) -> Result<[usize; 3], f64>,
) -> Vec<T> {
    let x = noise(SHAPE, 3);
    let y = run(Mode::Train, module, &x, &mut at(1, 0));
    let [n, c, h, w] = SHAPE;
    let changed = |n: usize, change: T| {
        let expected = (0..c * h * w).map(|at| match source(change, [at / (h * w), at / w % h, at % w]) {
            Ok([c, row, column]) => image(&x, n)[(c * h + row) * w + column],
            Err(value) => value,
        });
        expected.eq(image(&y, n).iter().copied())
    };
    let found = |n| allowed.iter().copied().find(|&change| changed(n, change));
    (0..n).map(|n| found(n).unwrap_or_else(|| panic!("image {n} is none of the allowed ones"))).collect()
}

#[test]
fn flips_mirror_a_share_of_the_images() {
    for p in [0.25, 0.5, 0.9] {
        let mirrored = changes(&RandomHorizontalFlip::new(p), &[true, false], |flip, [c, row, column]| {
            Ok([c, row, if flip { SHAPE[3] - 1 - column } else { column }])
        });
        let share = mirrored.iter().filter(|&&flip| flip).count() as f64 / SHAPE[0] as f64;
        let sigma = (p * (1.0 - p) / SHAPE[0] as f64).sqrt();
        assert!((share - p).abs() < 4.0 * sigma, "{share} of {p}");
    }
    let upside = changes(&RandomVerticalFlip::new(0.5), &[true, false], |flip, [c, row, column]| {
        Ok([c, if flip { SHAPE[2] - 1 - row } else { row }, column])
    });
    assert!(upside.contains(&true) && upside.contains(&false));
}

#[test]
fn crops_move_by_every_shift_within_the_padding() {
    let shifts: Vec<(isize, isize)> = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (dy, dx))).collect();
    let found = changes(&RandomCrop::new(2).fill(7.0), &shifts, |(dy, dx), [c, row, column]| {
        let row = row.checked_add_signed(dy).filter(|&row| row < SHAPE[2]);
        let column = column.checked_add_signed(dx).filter(|&column| column < SHAPE[3]);
        row.zip(column).map(|(row, column)| [c, row, column]).ok_or(7.0)
    });
    // Of 25 shifts, 200 images miss one with probability 25 · (24/25)²⁰⁰ = 0.7 %; the seed is fixed.
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 25);
}

#[test]
fn cutouts_cover_squares_around_every_pixel() {
    let centres: Vec<(usize, usize)> =
        (0..SHAPE[2]).flat_map(|y| (0..SHAPE[3]).map(move |x| (y, x))).collect();
    let found = changes(&Cutout::new(3), &centres, |(y, x), [c, row, column]| {
        let covered = row.abs_diff(y) <= 1 && column.abs_diff(x) <= 1;
        if covered { Err(0.0) } else { Ok([c, row, column]) }
    });
    let found: BTreeSet<_> = found.into_iter().collect();
    assert!(found.len() > 25, "{found:?}");
    assert!(found.contains(&(0, 0)) && found.contains(&(SHAPE[2] - 1, SHAPE[3] - 1)));
}

/// Each pixel holds its place, which is what bilinear interpolation gives within the image: the angle can be read off.
#[test]
fn rotations_are_spread_evenly_over_the_angles() {
    let [n, _, h, w] = SHAPE;
    let x = array(SHAPE, |index| index[2 + index[1]] as f64);
    let y = run(Mode::Train, &RandomRotation::new(40.0), &x, &mut at(1, 0));
    let (dy, dx) = (1.0, 0.5);
    let (cy, cx) = ((h as f64 - 1.0) / 2.0, (w as f64 - 1.0) / 2.0);
    let place = |n, axis| y.at(&[n, axis, (cy + dy) as usize, (cx + dx) as usize]);
    let angle = |n| {
        let (row, column) = (place(n, 0) - cy, place(n, 1) - cx);
        assert!((row.hypot(column) - dx.hypot(dy)).abs() < 1e-6, "image {n} was not only turned");
        (row * dx - column * dy).atan2(row * dy + column * dx).to_degrees()
    };
    let angles: Vec<f64> = (0..n).map(angle).collect();
    assert!(angles.iter().all(|angle| angle.abs() < 40.0 + 1e-6), "{angles:?}");
    // Uniform: variance d²/3, and E a⁴ = d⁴/5; within four standard errors.
    let mean = angles.iter().sum::<f64>() / n as f64;
    let spread = angles.iter().map(|angle| angle * angle).sum::<f64>() / n as f64;
    let (variance, fourth) = (40f64.powi(2) / 3.0, 40f64.powi(4) / 5.0);
    assert!(mean.abs() < 4.0 * (variance / n as f64).sqrt(), "{mean}");
    assert!((spread - variance).abs() < 4.0 * ((fourth - variance.powi(2)) / n as f64).sqrt(), "{spread}");
}

#[test]
fn normalize_is_affine_in_both_modes() {
    let x = noise([3, 2, 4, 4], 1);
    let module = Normalize::new(&[0.5, -1.0], &[2.0, 0.25]);
    let expected = array([3, 2, 4, 4], |index| {
        let (mean, deviation) = [(0.5, 2.0), (-1.0, 0.25)][index[1]];
        (x.at(index) - mean) / deviation
    });
    assert_close(&run(Mode::Train, &module, &x, &mut at(1, 0)), &expected, 1e-6);
    assert_close(&eval(&module, &x, &at(1, 0)), &expected, 1e-6);
}

#[test]
fn changes_depend_on_seed_and_step_alone_and_evaluation_has_none() {
    let x = noise(SHAPE, 5);
    let modules: [&dyn Module; 5] = [
        &RandomHorizontalFlip::new(0.5),
        &RandomVerticalFlip::new(0.5),
        &RandomCrop::new(1),
        &Cutout::new(2),
        &RandomRotation::new(30.0),
    ];
    for module in modules {
        let changed = |seed, step| run(Mode::Train, module, &x, &mut at(seed, step));
        assert_eq!(changed(1, 3), changed(1, 3));
        assert_ne!(changed(1, 3), changed(1, 4));
        assert_ne!(changed(1, 3), changed(2, 3));
        assert_eq!(eval(module, &x, &at(1, 3)), x);
    }
}

/// Inputs and targets of a batch whose inputs are the one-hot labels themselves.
fn mixed(mode: Mode, alpha: f64, n: usize) -> (Array, Array) {
    let graph = Graph::new(mode);
    let labels = graph.input("label", [n], U32);
    let (x, target) = Mixup::new(alpha).mix(&labels.one_hot(n), &labels, n);
    graph.recording().check().unwrap();
    let mut state = at(9, 0);
    state.insert("label".into(), Array::new(U32, [n], (0..n).map(|label| label as f64).collect()));
    let values = evaluate(&graph.recording(), &state);
    (values[x.id().index()].clone(), values[target.id().index()].clone())
}

/// λ has mean ½ and variance 1/(4(2α + 1)), within four standard errors; E (λ − ½)⁴ = 3/(16(2α + 1)(2α + 3)).
#[test]
fn mixup_weighs_inputs_and_classes_alike() {
    let n = 400;
    for alpha in [0.1, 0.4, 1.0] {
        let (x, target) = mixed(Mode::Train, alpha, n);
        assert_eq!(x, target);
        let lambda: Vec<f64> = (0..n).map(|i| target.at(&[i, i])).collect();
        for (i, lambda) in lambda.iter().enumerate() {
            let rest = target.at(&[i, (i + 1) % n]);
            assert!(
                (lambda + rest - 1.0).abs() < 1e-6 && (0.0..=1.0).contains(lambda),
                "{lambda} and {rest}"
            );
        }
        let (a, b) = (2.0 * alpha + 1.0, 2.0 * alpha + 3.0);
        let (variance, fourth) = (1.0 / (4.0 * a), 3.0 / (16.0 * a * b));
        let mean = lambda.iter().sum::<f64>() / n as f64;
        let spread = lambda.iter().map(|l| (l - 0.5).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 4.0 * (variance / n as f64).sqrt(), "α = {alpha}: mean {mean}");
        let error = ((fourth - variance * variance) / n as f64).sqrt();
        assert!((spread - variance).abs() < 4.0 * error, "α = {alpha}: variance {spread}, not {variance}");
    }
    let (x, target) = mixed(Mode::Eval, 0.4, 3);
    assert_eq!((&x.data, &x), (&vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], &target));
}

#[test]
fn gradients_flow_to_where_pixels_came_from() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", SHAPE, F32);
    let moved =
        Cutout::new(2).forward(&RandomCrop::new(1).forward(&RandomHorizontalFlip::new(0.5).forward(&x)));
    let gradient = (&moved * &moved).sum(..).gradients(&[&x]).remove(0);
    graph.recording().check().unwrap();
    let mut state = at(2, 0);
    state.insert("x".into(), noise(SHAPE, 8));
    let values = evaluate(&graph.recording(), &state);
    // The loss is the sum of squares of the pixels that are left: its gradient is twice each of those.
    let (x, gradient) = (&values[x.id().index()], &values[gradient.id().index()]);
    let loss: f64 = values[moved.id().index()].data.iter().map(|v| v * v).sum();
    let kept: f64 = x.data.iter().zip(&gradient.data).filter(|(_, g)| **g != 0.0).map(|(x, _)| x * x).sum();
    assert!((kept - loss).abs() < 1e-9 * loss, "{kept} is not {loss}");
    assert!(x.data.iter().zip(&gradient.data).all(|(x, g)| *g == 0.0 || (g - 2.0 * x).abs() < 1e-9));
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let refused = |module: &dyn Module, shape: &[usize], part: &str| {
        let graph = Graph::new(Mode::Train);
        module.forward(&graph.input("x", shape, F32));
        let errors: Vec<String> = graph.recording().errors.iter().map(ToString::to_string).collect();
        assert!(errors.len() == 1 && errors[0].contains(part), "{errors:?}");
    };
    refused(&RandomHorizontalFlip::new(1.5), &SHAPE, "the probability is 1.5");
    refused(&RandomCrop::new(1), &[3, 4], "needs images [N, C, H, W], got f32[3, 4]");
    refused(&Cutout::new(1), &[3], "needs images");
    refused(&RandomRotation::new(f64::NAN), &SHAPE, "the angle is NaN");
    refused(&RandomRotation::new(10.0), &[3, 4], "needs images [N, C, H, W]");
    refused(&Normalize::new(&[0.0; 3], &[1.0; 3]), &SHAPE, "3 means and 3 deviations do not fit");
    refused(&Normalize::new(&[0.0], &[0.0]), &SHAPE, "divided by the deviation 0");
    let graph = Graph::new(Mode::Train);
    let (x, labels) = (graph.input("x", [4, 2], F32), graph.input("label", [3], U32));
    let _ = Mixup::new(0.2).mix(&x, &labels, 5);
    let _ = Mixup::new(2.0).mix(&x, &labels, 5);
    let errors: Vec<String> = graph.recording().errors.iter().map(ToString::to_string).collect();
    assert!(errors[0].contains("are not one of each") && errors[1].contains("alpha is 2"), "{errors:?}");
}
