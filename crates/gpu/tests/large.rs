//! Large shapes: sums, maxima, products and running sums far beyond the 65,535 loop iterations after
//! which some software drivers silently end an invocation.
//!
//! Values are drawn on the device and, being a pure function of (seed, stream, element), again on the
//! host, where f64 adds them exactly enough. Tolerances follow from rounding: see [`allowed`].

use std::sync::LazyLock;

use wgrad_core::batch::Batch;
use wgrad_core::ops::philox;
use wgrad_core::{Array, F16, F32, Graph, Init, Mode, Tensor, U32, Vars};
use wgrad_gpu::Gpu;

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));
const SEED: u64 = 7;

/// What the recorded tensors are, computed on the device.
#[track_caller]
fn run<const N: usize>(batch: Batch, record: impl FnOnce(&Graph) -> [Tensor; N]) -> [Array; N] {
    let program = GPU.compile(Mode::Eval, record).unwrap();
    let mut state = GPU.init(&Vars::new(), SEED).unwrap();
    let outputs = program.run(&mut state, batch).unwrap();
    std::array::from_fn(|index| outputs.get(index).unwrap())
}

/// The words of the `stream`-th `random_bits` of a graph (from 1), at step 0.
fn words(stream: u32, n: usize) -> impl Iterator<Item = u32> {
    let blocks = (0..n.div_ceil(4) as u32).map(move |block| philox([block, 0, stream, 0], [SEED as u32, 0]));
    blocks.flatten().take(n)
}

/// The same as uniform numbers in [0, 1); exact in f32.
fn uniform(stream: u32, n: usize) -> impl Iterator<Item = f64> {
    words(stream, n).map(|word| f64::from(word >> 8) / f64::from(1 << 24))
}

/// How far an f32 sum of n terms may be from the exact one, if the sum of their absolute values is
/// `magnitude`: λ·√h·u·Σ|x| with unit roundoff u = 2⁻²⁴, where h is the longest chain of additions. Blocks of √n
/// elements, added up in turn, have chains of 2√n; a single chain of n fails here. λ = 6 is exceeded
/// with probability 2·exp(−λ²/2) = 3·10⁻⁸ (Higham and Mary, "A new approach to probabilistic rounding
/// error analysis", SIAM J. Sci. Comput. 41, 2019). Two more roundings are granted to each term.
fn allowed(n: usize, magnitude: f64) -> f64 {
    let chain = 2.0 * (n as f64).sqrt() + 2.0;
    6.0 * chain.sqrt() * 2f64.powi(-24) * magnitude
}

/// Compares and returns the largest error in units of what is allowed.
#[track_caller]
fn close(what: &str, found: &[f64], exact: &[f64], allowed: impl Fn(usize) -> f64) {
    assert_eq!(found.len(), exact.len());
    let mut worst = (0.0, 0);
    for (i, (&found, &exact)) in found.iter().zip(exact).enumerate() {
        let ratio = (found - exact).abs() / allowed(i);
        assert!(ratio <= 1.0, "{what}: element {i} is {found}, not {exact}; {ratio:.1} of the error allowed");
        if ratio > worst.0 {
            worst = (ratio, i);
        }
    }
    println!("{what}: at most {:.3} of the error allowed", worst.0);
}

#[test]
fn ones_are_counted_exactly() {
    let n = 10_000_000;
    let [sum, mean] = run(Batch::new().with("x", [n], &vec![1f32; n]), |g| {
        let x = g.input("x", [n], F32);
        [x.sum(..), x.mean(..)]
    });
    println!("sum of {n} ones {}, mean {}", sum.item(), mean.item());
    assert_eq!((sum.item(), mean.item()), (n as f64, 1.0));
}

/// Lengths around every power and multiple that blocks are cut at, primes among them.
#[test]
fn bits_are_counted_exactly_whatever_the_length() {
    for n in [65_535, 65_536, 65_537, 262_133, 262_143, 524_309, 1_048_576, 4_194_301, 9_999_991] {
        let [ones, float] = run(Batch::new(), |g| {
            let bit = g.random_bits([n]) % 2.0;
            [bit.sum(..), bit.cast(F32).sum(..)]
        });
        let exact = f64::from(words(1, n).map(|word| word % 2).sum::<u32>());
        assert_eq!((ones.item(), float.item()), (exact, exact), "{n} elements");
    }
}

#[test]
fn sum_mean_and_variance_of_ten_million() {
    let n = 10_000_000;
    let [sum, mean, variance, signed] = run(Batch::new(), |g| {
        let x = g.random_bits([n]).bits_to_uniform();
        [x.sum(..), x.mean(..), x.var(.., 0), (&x - 0.5).sum(..)]
    });
    let exact: f64 = uniform(1, n).sum();
    let average = exact / n as f64;
    let spread: f64 = uniform(1, n).map(|x| (x - average).powi(2)).sum();
    let chained = f64::from(uniform(1, n).fold(0f32, |sum, x| sum + x as f32));
    assert!((chained - exact).abs() > allowed(n, exact), "the tolerance would pass a naive sum: {chained}");
    close("sum", &sum.data, &[exact], |_| allowed(n, exact));
    close("mean", &mean.data, &[average], |_| allowed(n, average));
    close("variance", &variance.data, &[spread / n as f64], |_| allowed(n, spread / n as f64));
    let magnitude = uniform(1, n).map(|x| (x - 0.5).abs()).sum();
    close("sum of both signs", &signed.data, &[exact - 0.5 * n as f64], |_| allowed(n, magnitude));
}

#[test]
fn sums_along_each_axis() {
    for [rows, columns] in [[3000, 1001], [5, 1_000_003], [1_000_003, 5], [1, 2_000_001], [70_001, 64]] {
        let n = rows * columns;
        let [down, across] = run(Batch::new(), |g| {
            let x = g.random_bits([rows, columns]).bits_to_uniform();
            [x.sum(0), x.sum(1)]
        });
        let (mut by_column, mut by_row) = (vec![0.0; columns], vec![0.0; rows]);
        for (i, x) in uniform(1, n).enumerate() {
            by_column[i % columns] += x;
            by_row[i / columns] += x;
        }
        close(&format!("{rows}×{columns} down"), &down.data, &by_column, |i| allowed(rows, by_column[i]));
        close(&format!("{rows}×{columns} across"), &across.data, &by_row, |i| allowed(columns, by_row[i]));
    }
}

/// None of the axes is long, their product is.
#[test]
fn sums_along_several_axes() {
    for (shape, axes) in [
        ([45, 45, 45, 45], &[0, 1, 2, 3][..]),
        ([33, 65, 57, 57], &[0, 1, 2, 3]),
        ([129, 3, 91, 91], &[0, 2, 3]),
        ([63, 61, 3, 65], &[0, 1, 3]),
    ] {
        let n: usize = shape.iter().product();
        let [sum, largest, product] = run(Batch::new(), |g| {
            let x = g.random_bits(shape).bits_to_uniform();
            let kept: String = (0..4)
                .filter(|axis| !axes.contains(axis))
                .map(|axis| ['a', 'b', 'c', 'd'][axis as usize])
                .collect();
            [x.sum(axes), x.max(axes), x.einsum(&x, &format!("abcd,abcd->{kept}"))]
        });
        let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        let kept = (0..4).find(|axis| !axes.contains(&(*axis as isize)));
        let results = kept.map_or(1, |axis| shape[axis]);
        let (mut sums, mut maxima, mut squares) =
            (vec![0.0; results], vec![0f64; results], vec![0.0; results]);
        for (i, x) in uniform(1, n).enumerate() {
            let to = kept.map_or(0, |axis| i / stride(axis) % shape[axis]);
            sums[to] += x;
            squares[to] += x * x;
            maxima[to] = maxima[to].max(x);
        }
        let what = format!("{shape:?} along {axes:?}");
        close(&what, &sum.data, &sums, |i| allowed(n / results, sums[i]));
        close(&format!("squares of {what}"), &product.data, &squares, |i| allowed(n / results, squares[i]));
        assert_eq!(largest.data, maxima, "{what}");
    }
}

#[test]
fn maximum_and_its_position() {
    let n = 3_000_001;
    let [largest, at, least, lowest_at] = run(Batch::new(), |g| {
        let x = g.random_bits([n]).bits_to_uniform();
        [x.max(..), x.argmax(0), x.min(..), x.argmin(0)]
    });
    let values: Vec<f64> = uniform(1, n).collect();
    let max = values.iter().copied().fold(f64::MIN, f64::max);
    let min = values.iter().copied().fold(f64::MAX, f64::min);
    let position = |wanted: f64| values.iter().position(|&value| value == wanted).unwrap() as f64;
    assert_eq!((largest.item(), at.item()), (max, position(max)));
    assert_eq!((least.item(), lowest_at.item()), (min, position(min)));
}

/// One element sticks out, wherever it is.
#[test]
fn the_one_that_sticks_out_is_found() {
    let n = 2_000_003;
    let program = GPU.compile(Mode::Eval, |g| {
        let hit = g.arange(n, U32).eq(g.input("at", [], U32));
        let x = hit.select(&g.scalar(1.0, F32), &g.scalar(-1.0, F32));
        [x.argmax(0), x.max(..), x.sum(..)]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&Vars::new(), SEED).unwrap();
    for at in [0, 1, 1023, 65_534, 65_535, 65_536, 262_144, 1_000_000, n - 2, n - 1] {
        let outputs = program.run(&mut state, Batch::new().with("at", [], &[at as u32])).unwrap();
        let values = [0, 1, 2].map(|index| outputs.scalar(index).unwrap());
        assert_eq!(values, [at as f64, 1.0, 2.0 - n as f64]);
    }
}

/// A·B with A of m×k and B of k×n, both drawn from −½..½; also with A given transposed.
#[test]
fn products_with_a_long_inner_axis() {
    for [m, k, n] in [[37, 100_000, 19], [1, 100_000, 1], [3, 1_000_003, 2], [130, 70_001, 1]] {
        let [plain, transposed] = run(Batch::new(), |g| {
            let a = g.random_bits([m, k]).bits_to_uniform() - 0.5;
            let b = g.random_bits([k, n]).bits_to_uniform() - 0.5;
            let c = g.random_bits([k, m]).bits_to_uniform() - 0.5;
            [a.matmul(&b), c.t().matmul(&b)]
        });
        let centred = |stream, len| uniform(stream, len).map(|x| x - 0.5).collect::<Vec<f64>>();
        let (a, b, c) = (centred(1, m * k), centred(2, k * n), centred(3, k * m));
        let product = |a: &dyn Fn(usize, usize) -> f64| {
            let (mut sums, mut magnitudes) = (vec![0.0; m * n], vec![0.0; m * n]);
            for l in 0..k {
                for i in 0..m {
                    for j in 0..n {
                        let term = a(i, l) * b[l * n + j];
                        sums[i * n + j] += term;
                        magnitudes[i * n + j] += term.abs();
                    }
                }
            }
            (sums, magnitudes)
        };
        for (name, found, (exact, magnitude)) in
            [("", &plain, product(&|i, l| a[i * k + l])), ("ᵀ", &transposed, product(&|i, l| c[l * m + i]))]
        {
            let what = format!("A{name}·B of {m}×{k}×{n}");
            close(&what, &found.data, &exact, |i| allowed(k, magnitude[i]));
        }
    }
}

#[test]
fn running_sums() {
    let n = 100_000;
    let [counts, sums, down] = run(Batch::new(), |g| {
        let bits = g.random_bits([n]);
        let wide = g.random_bits([n, 3]).bits_to_uniform();
        [(&bits % 8.0).cumsum(0), bits.bits_to_uniform().cumsum(0), wide.cumsum(0)]
    });
    let running = |values: &mut dyn Iterator<Item = f64>| {
        values
            .scan(0.0, |sum, x| {
                *sum += x;
                Some(*sum)
            })
            .collect::<Vec<f64>>()
    };
    assert_eq!(counts.data, running(&mut words(1, n).map(|word| f64::from(word % 8))));
    let exact = running(&mut uniform(1, n));
    close("running sum", &sums.data, &exact, |i| allowed(n, exact[i]));
    for column in 0..3 {
        let found: Vec<f64> = down.data.iter().skip(column).step_by(3).copied().collect();
        let exact = running(&mut uniform(2, 3 * n).skip(column).step_by(3));
        close(&format!("running sum of column {column}"), &found, &exact, |i| allowed(n, exact[i]));
    }
}

/// Every one of 200,000 picks is counted in its class.
#[test]
fn scattered_counts() {
    let (n, classes) = (200_000, 37);
    let [counts] = run(Batch::new(), |g| {
        let class = g.random_bits([n]) % classes as f64;
        [g.ones([n], F32).scatter_add(0, &class, classes)]
    });
    let mut exact = vec![0.0; classes];
    words(1, n).for_each(|word| exact[word as usize % classes] += 1.0);
    assert_eq!(counts.data, exact);
}

#[test]
fn log_softmax_over_a_long_row() {
    let n = 700_001;
    let [found, total] = run(Batch::new(), |g| {
        let x = g.random_bits([2, n]).bits_to_uniform() * 8.0;
        [x.log_softmax(1).sum(1), x.softmax(1).sum(1)]
    });
    let x: Vec<f64> = uniform(1, 2 * n).map(|x| x * 8.0).collect();
    let exact: Vec<f64> = x
        .chunks(n)
        .map(|row| {
            let log = row.iter().map(|x| x.exp()).sum::<f64>().ln();
            row.iter().map(|x| x - log).sum()
        })
        .collect();
    // All terms have one sign, so the sum of absolute values is that of the sum; exp and ln add a few
    // roundings to each.
    close("Σ log softmax", &found.data, &exact, |i| allowed(n, 2.0 * exact[i].abs()));
    close("Σ softmax", &total.data, &[1.0, 1.0], |_| allowed(n, 8.0));
}

/// Rows just short enough to be taken whole, by a kernel that passes over them several times: the
/// iterations of all its loops count together. Small whole numbers, so everything is exact.
#[test]
fn several_passes_over_one_row() {
    if !GPU.info().features.iter().any(|feature| feature == "SHADER_F16") {
        println!(
            "skipped: `{}` has no f16, and f32 rows of this number and length fit nowhere",
            GPU.info().name
        );
        return;
    }
    let (rows, n, levels) = (4_096, 16_381, 4);
    let [found] = run(Batch::new(), |g| {
        let x = (g.iota([rows, n], 0, U32) * 7.0 + g.iota([rows, n], 1, U32)) % 31.0;
        let next = |x: Tensor, _| ((&x + x.max_keep(1)).cast(U32) * 5.0 % 31.0).cast(F16);
        [(0..levels).fold(x.cast(F16), next).cast(F32).sum(1)]
    });
    for row in [0, 1, 2_047, rows - 1] {
        let mut x: Vec<u32> = (0..n).map(|i| (7 * row + i) as u32 % 31).collect();
        for _ in 0..levels {
            let largest = x.iter().copied().max().unwrap();
            x.iter_mut().for_each(|x| *x = (*x + largest) * 5 % 31);
        }
        assert_eq!(found.data[row], f64::from(x.iter().sum::<u32>()), "row {row}");
    }
}

/// Equal updates of tensors that lie farther apart than one binding reaches.
#[test]
fn small_variables_on_both_sides_of_a_large_one() {
    let vars = Vars::new();
    let zero = || Init::constant(0.0);
    let all =
        [vars.var("a", [10], zero()), vars.var("large", [1 << 25], zero()), vars.var("b", [21], zero())];
    let program = GPU.compile(Mode::Train, |g| {
        for var in &all {
            g.assign(var, &(g.var(var) * 0.5 + 1.0));
        }
        [g.var(&all[1]).slice(0, 0..3)]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    for _ in 0..3 {
        program.run(&mut state, Batch::new()).unwrap();
    }
    assert_eq!(state.read("a").unwrap().data, [1.75; 10]);
    assert_eq!(state.read("b").unwrap().data, [1.75; 21]);
    assert!(state.read("large").unwrap().data.iter().all(|&value| value == 1.75));
}
