//! Programs at the edge: nothing in, nothing out, nothing in between.

use std::sync::LazyLock;

use wgrad_core::batch::Batch;
use wgrad_core::{AttentionOptions, Bool, F16, F32, Graph, I32, Init, Mode, NodeId, Tensor, U32, Var, Vars};
use wgrad_gpu::{Gpu, Options, Shaping};

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

#[test]
fn no_inputs_and_no_outputs() {
    for mode in [Mode::Eval, Mode::Train] {
        let program = GPU.compile(mode, |_| []).unwrap();
        let mut state = GPU.init(&Vars::new(), 0).unwrap();
        assert!(program.inputs().is_empty());
        for _ in 0..3 {
            let outputs = program.run(&mut state, Batch::new()).unwrap();
            assert!(outputs.get(0).is_err());
            assert!(outputs.is_ready());
        }
        assert_eq!(state.step().unwrap(), if mode == Mode::Train { 3 } else { 0 });
    }
}

#[test]
fn outputs_without_inputs() {
    let program = GPU.compile(Mode::Eval, |g| [g.arange(5, I32) - 2.0, g.ones([2, 2], F32)]).unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let outputs = program.run(&mut state, Batch::new()).unwrap();
    assert_eq!(outputs.get(0).unwrap().data, [-2.0, -1.0, 0.0, 1.0, 2.0]);
    assert_eq!(outputs.get(1).unwrap().data, [1.0; 4]);
}

#[test]
fn inputs_without_outputs() {
    let vars = Vars::new();
    let total = vars.var("total", [], Init::constant(0.0));
    let program = GPU.compile(Mode::Eval, |g| {
        let sum = g.input("x", [4], F32).sum(..);
        g.assign(&total, &(g.var(&total) + sum));
        []
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    for _ in 0..3 {
        program.run(&mut state, Batch::new().with("x", [4], &[1f32, 2.0, 3.0, 4.0])).unwrap();
    }
    assert_eq!(state.read("total").unwrap().item(), 30.0);
}

/// What goes in comes out, and inputs that nothing reads are accepted; so are fields that are no input.
#[test]
fn inputs_as_outputs() {
    let program = GPU.compile(Mode::Eval, |g| {
        g.input("unread", [7], F32);
        let x = g.input("x", [2, 3], I32);
        [x.clone(), x.t(), x]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let values = [1, -2, 3, i32::MAX, i32::MIN, 0];
    let batch =
        Batch::new().with("more", [1], &[9f32]).with("x", [2, 3], &values).with("unread", [7], &[0f32; 7]);
    let outputs = program.run(&mut state, batch).unwrap();
    let values = values.map(f64::from);
    assert_eq!(outputs.get(0).unwrap().data, values);
    assert_eq!(outputs.get(1).unwrap().data, [0, 3, 1, 4, 2, 5].map(|i| values[i]));
    assert_eq!(outputs.get(2).unwrap().data, values);
}

#[test]
fn a_batch_of_no_records() {
    let vars = Vars::new();
    let w = vars.var("w", [4, 2], Init::constant(0.5));
    let program = GPU.compile(Mode::Train, |g| {
        let x = g.input("x", [0, 4], F32);
        let weight = g.var(&w);
        let y = x.matmul(&weight);
        let loss = y.square().sum(..);
        g.assign(&w, &(&weight - &loss.gradients(&[&weight])[0]));
        [y.relu(), loss, x.sum(0), x.max(1), x.mean(..), y.softmax(1), y.log_softmax(0)]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    for _ in 0..2 {
        let outputs = program.run(&mut state, Batch::new().with("x", [0, 4], &[0f32; 0])).unwrap();
        let shape = |index: usize| outputs.get(index).unwrap().spec.shape;
        assert_eq!(*shape(0), [0, 2]);
        assert_eq!(outputs.scalar(1).unwrap(), 0.0);
        assert_eq!(outputs.get(2).unwrap().data, [0.0; 4]);
        assert_eq!(*shape(3), [0]);
        assert!(outputs.scalar(4).unwrap().is_nan(), "the mean of nothing, as in PyTorch");
        assert_eq!((&*shape(5), &*shape(6)), (&[0, 2][..], &[0, 2][..]));
    }
    assert_eq!(state.read("w").unwrap().data, [0.5; 8]);
    assert_eq!(state.step().unwrap(), 2);
}

#[test]
fn variables_without_elements() {
    let vars = Vars::new();
    let empty = vars.var("empty", [3, 0], Init::constant(1.0));
    let one = vars.var("one", [], Init::constant(2.0));
    let program = GPU.compile(Mode::Train, |g| {
        g.assign(&empty, &(g.var(&empty) * 2.0));
        g.assign(&one, &(g.var(&one) + g.var(&empty).sum(..)));
        [g.var(&empty)]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    assert_eq!(*program.run(&mut state, Batch::new()).unwrap().get(0).unwrap().spec.shape, [3, 0]);
    assert_eq!(state.read("empty").unwrap().data, [0.0; 0]);
    assert_eq!(state.read("one").unwrap().item(), 2.0);
    assert_eq!(state.names(), ["wgrad.seed", "wgrad.step", "empty", "one"]);
}

/// Two variables exchange their values, and one takes the other's: every read sees the value from before
/// the step.
#[test]
fn assignments_see_the_values_from_before() {
    let vars = Vars::new();
    let [a, b, c] =
        ["a", "b", "c"].map(|name| vars.var(name, [300], Init::constant(f64::from(name.as_bytes()[0]))));
    let program = GPU.compile(Mode::Eval, |g| {
        let (x, y) = (g.var(&a), g.var(&b));
        g.assign(&a, &y);
        g.assign(&b, &x);
        g.assign(&c, &(&x + &y.flip(0) + g.var(&c).flip(0)));
        [x, y]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    let outputs = program.run(&mut state, Batch::new()).unwrap();
    // a, b, c are 97, 98, 99.
    assert_eq!((outputs.get(0).unwrap().data[0], outputs.get(1).unwrap().data[299]), (97.0, 98.0));
    let read = |name: &str| state.read(name).unwrap().data;
    assert_eq!((read("a"), read("b"), read("c")), (vec![98.0; 300], vec![97.0; 300], vec![294.0; 300]));
}

/// Outputs and probes of a variable are its value from before the step, those of the new value the one
/// from after it.
#[test]
fn old_and_new_values_are_read_back() {
    let vars = Vars::new();
    let w = vars.var("w", [700], Init::constant(1.0));
    let program = GPU.compile(Mode::Train, |g| {
        let before = g.var(&w);
        let after = &before * 2.0 + g.arange(700, F32);
        g.assign(&w, &after);
        before.probe("before");
        after.probe("after");
        before.reshape([7, 100]).t().probe("turned");
        [before.clone(), after, before]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    let mut expected = vec![1.0; 700];
    for _ in 0..4 {
        let outputs = program.run(&mut state, Batch::new()).unwrap();
        let next: Vec<f64> = expected.iter().enumerate().map(|(i, w)| 2.0 * w + i as f64).collect();
        let read = |index: usize| outputs.get(index).unwrap().data;
        assert_eq!((read(0), read(2)), (expected.clone(), expected.clone()));
        assert_eq!(outputs.probe("before").unwrap().data, expected);
        assert_eq!(outputs.probe("turned").unwrap().at(&[3, 2]), expected[203]);
        assert_eq!((read(1), outputs.probe("after").unwrap().data), (next.clone(), next.clone()));
        assert_eq!(state.read("w").unwrap().data, next);
        expected = next;
    }
}

/// Odd numbers of elements of every dtype, through a batch, a program and a readback.
#[test]
fn every_dtype_goes_in_and_out() {
    let has_half = GPU.info().features.iter().any(|feature| feature == "SHADER_F16");
    for n in [1, 2, 3, 5, 7, 8] {
        let specs = [(F32, "f"), (I32, "i"), (U32, "u"), (Bool, "b"), (F16, "h")];
        let specs = if has_half { &specs[..] } else { &specs[..4] };
        let program = GPU.compile(Mode::Eval, |g: &Graph| {
            let out = |&(dtype, name): &(_, &str)| {
                let x = g.input(name, [n], dtype);
                if dtype == Bool { x.logical_not() } else { &x + &x }
            };
            specs.iter().map(out).collect::<Vec<Tensor>>()
        });
        let program = program.unwrap();
        let mut state = GPU.init(&Vars::new(), 0).unwrap();
        let arrays: Vec<_> = specs
            .iter()
            .map(|&(dtype, name)| {
                let value = |i: usize| if dtype == Bool { (i % 2) as f64 } else { i as f64 };
                (name, wgrad_core::Array::new(dtype, [n], (0..n).map(value).collect()))
            })
            .collect();
        let batch = Batch::of_arrays(arrays.iter().map(|(name, array)| (*name, array)));
        let outputs = program.run(&mut state, batch).unwrap();
        for (index, (name, array)) in arrays.iter().enumerate() {
            let found = outputs.get(index).unwrap();
            let expected = |v: &f64| if *name == "b" { 1.0 - v } else { 2.0 * v };
            assert_eq!(found.data, array.data.iter().map(expected).collect::<Vec<_>>(), "{name} {n}");
            assert_eq!(found.spec, array.spec);
        }
    }
}

#[test]
fn a_tensor_is_computed_at_once() {
    let g = Graph::new(Mode::Eval);
    let x = g.constant([2, 2], &[1f32, 2.0, 3.0, 4.0]);
    assert_eq!(GPU.eval(&x.matmul(&x)).unwrap().data, [7.0, 10.0, 15.0, 22.0]);
    assert_eq!(GPU.eval(&g.ones([3, 0, 2], F32).sum(1)).unwrap().data, [0.0; 6]);
    let error = GPU.eval(&x.matmul(&g.ones([3], F32))).unwrap_err();
    assert!(error.to_string().contains("matmul"), "{error}");
}

/// A contraction is no map, even where its result and the operand computed before it are one number.
#[test]
fn a_product_that_is_one_number() {
    let program = GPU.compile(Mode::Eval, |g| {
        let x = g.input("x", [], F32).square();
        let y = x.expand([1, 5]).matmul(&g.input("w", [5, 1], F32));
        [x, &y + 1.0, y]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let batch = Batch::new().with("x", [], &[3f32]).with("w", [5, 1], &[1f32, 2.0, 3.0, 4.0, 5.0]);
    let outputs = program.run(&mut state, batch).unwrap();
    assert_eq!([0, 1, 2].map(|index| outputs.scalar(index).unwrap()), [9.0, 136.0, 135.0]);
}

/// Kernels are written by recursion, which must not follow a chain to its end.
#[test]
fn a_long_chain_of_operations() {
    let n = 5_000;
    let program = GPU.compile(Mode::Eval, |g| {
        let x = g.input("x", [3], F32);
        let turned = |y: Tensor| y.reshape([1, 3]).flip(1).reshape([3]);
        [(0..n).fold(x.clone(), |y, _| y + &x), (0..n).fold(x, |y, _| turned(y))]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let outputs = program.run(&mut state, Batch::new().with("x", [3], &[1f32, -2.0, 0.5])).unwrap();
    let sums = [1.0, -2.0, 0.5].map(|x| f64::from(n + 1) * x);
    assert_eq!(outputs.get(0).unwrap().data, sums);
    assert_eq!(outputs.get(1).unwrap().data, [1.0, -2.0, 0.5]);
}

/// More values than a kernel can bind: in a sum, in a concatenation, and in the gradient of parts of a tensor
/// that are used one by one.
#[test]
fn more_operands_than_bindings() {
    const MANY: usize = 40;
    let vars = Vars::new();
    let x = vars.var("x", [MANY, 3], Init::constant(2.0));
    let program = GPU.compile(Mode::Eval, |g| {
        let rows: Vec<Tensor> = (0..MANY).map(|row| g.var(&x).select_index(0, row)).collect();
        // Sums over all elements of each row are stored: nothing is recomputed in their place.
        let scaled = rows.iter().zip(1..).map(|(row, scale)| row.square().sum(..) * f64::from(scale));
        let scaled: Vec<Tensor> = scaled.collect();
        let sum = scaled.iter().skip(1).fold(scaled[0].clone(), |sum, next| sum + next);
        let stacked = Tensor::stack(&scaled.iter().collect::<Vec<_>>(), 0);
        let gradient = sum.backward(&vars).remove(0).1;
        [sum, stacked, gradient]
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 0).unwrap();
    let outputs = program.run(&mut state, Batch::new()).unwrap();
    assert_eq!(outputs.scalar(0).unwrap(), 12.0 * 820.0);
    assert_eq!(outputs.get(1).unwrap().data, (1..=MANY).map(|row| 12.0 * row as f64).collect::<Vec<_>>());
    let expected: Vec<f64> = (1..=MANY).flat_map(|row| [4.0 * row as f64; 3]).collect();
    assert_eq!(outputs.get(2).unwrap().data, expected);
}

/// Names in generated kernels are numbered: none may be that of a type, whichever number comes.
#[test]
fn no_variable_is_named_like_a_type() {
    for before in 0..8 {
        let program = GPU.compile(Mode::Eval, |g| {
            let x = g.input("x", [50], F32);
            let index = g.input("index", [3], U32);
            let start =
                (0..before).fold(g.zeros([3], I32), |sum, shift| sum + (index.cast(I32) - f64::from(shift)));
            let picked = |shift: u32| x.index_select(0, &(&index + f64::from(shift))).cast(I32);
            [(0..30).fold(start, |sum, shift| sum + picked(shift)).cast(F32)]
        });
        let x: Vec<f32> = (0..50).map(|i| i as f32).collect();
        let batch = Batch::new().with("x", [50], &x).with("index", [3], &[0u32, 4, 9]);
        let sum = |index: i32| {
            let start: i32 = (0..before).map(|shift| index - shift).sum();
            f64::from(start + (0..30).map(|shift| index + shift).sum::<i32>())
        };
        let mut state = GPU.init(&Vars::new(), 0).unwrap();
        let found = program.unwrap().run(&mut state, batch).unwrap().get(0).unwrap().data;
        assert_eq!(found, [0, 4, 9].map(sum));
    }
}

/// What −∞ is added to is hidden, as it is in PyTorch, and a query that sees nothing has a result and gradients of 0.
#[test]
fn attention_under_masks_of_infinity() {
    const T: usize = 16;
    let hides = |at: usize| at / T == 3 || (at * 7) % 5 == 2;
    let program = GPU.compile(Mode::Train, |g| {
        let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, [T, 8], F32));
        let masks = [
            AttentionOptions::new().bias(&g.input("bias", [T, T], F32)),
            AttentionOptions::new().hidden(&g.input("hidden", [T, T], U32).gt(0.0)),
        ];
        let results = masks.map(|mask| {
            let result = Tensor::scaled_dot_product_attention(&q, &k, &v, &mask);
            let gradients = result.square().sum(..).gradients(&[&q, &k, &v]);
            std::iter::once(result).chain(gradients).collect::<Vec<_>>()
        });
        results.concat()
    });
    let program = program.unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let values = |seed: usize| (0..T * 8).map(|i| ((i * seed) % 17) as f32 / 8.0 - 1.0).collect::<Vec<f32>>();
    let bias: Vec<f32> = (0..T * T).map(|at| if hides(at) { f32::NEG_INFINITY } else { 0.0 }).collect();
    let hidden: Vec<u32> = (0..T * T).map(|at| hides(at).into()).collect();
    let batch = Batch::new().with("q", [T, 8], &values(3)).with("k", [T, 8], &values(5));
    let batch =
        batch.with("v", [T, 8], &values(7)).with("bias", [T, T], &bias).with("hidden", [T, T], &hidden);
    let outputs = program.run(&mut state, batch).unwrap();
    for part in 0..4 {
        let [infinite, hidden] = [part, part + 4].map(|part| outputs.get(part).unwrap());
        for (a, b) in infinite.data.iter().zip(&hidden.data) {
            assert!((a - b).abs() < 1e-6, "{part}: {a} and {b}");
        }
        if part < 2 {
            assert_eq!(infinite.data[3 * 8..4 * 8], [0.0; 8]);
        }
        assert!(infinite.data.iter().any(|x| x.abs() > 0.01), "{part}: {:?}", infinite.data);
    }
}

#[test]
fn constants_that_are_not_finite() {
    let record = |g: &Graph| {
        let x = g.input("x", [2], F32);
        [
            &x + g.scalar(1.0, F32) / g.scalar(0.0, F32),
            &x - g.scalar(1e30, F32) * 1e30,
            &x * g.full([2], -1.0, F32).sqrt(),
            &x + g.zeros([2], F32).reciprocal(),
        ]
    };
    let program = GPU.compile(Mode::Eval, record).unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let outputs = program.run(&mut state, Batch::new().with("x", [2], &[1f32, 2.0])).unwrap();
    let value = |output: usize| outputs.get(output).unwrap().data;
    assert_eq!(value(0), [f64::INFINITY; 2]);
    assert_eq!(value(1), [f64::NEG_INFINITY; 2]);
    assert!(value(2).iter().all(|value| value.is_nan()));
    assert_eq!(value(3), [f64::INFINITY; 2]);
}

/// The largest of elements that are all −∞ is the first of them.
#[test]
fn the_largest_of_nothing_finite() {
    for length in [1, 5, 5000] {
        let record = |g: &Graph| {
            let x = g.input("x", [2, length], F32);
            [x.argmax(1), (-x).argmin(1)]
        };
        let program = GPU.compile(Mode::Eval, record).unwrap();
        let mut state = GPU.init(&Vars::new(), 0).unwrap();
        let mut values = vec![f32::NEG_INFINITY; 2 * length];
        values[2 * length - 1] = 3.0;
        let outputs = program.run(&mut state, Batch::new().with("x", [2, length], &values)).unwrap();
        for output in 0..2 {
            assert_eq!(outputs.get(output).unwrap().data, [0.0, length as f64 - 1.0], "{length}");
        }
    }
}

/// Two maps that differ in nothing but which of the variables they read is the one that they update first.
#[test]
fn maps_that_update_another_of_their_operands() {
    const N: usize = 64;
    let vars = Vars::new();
    let names = ["prev", "u", "w", "acc"];
    let of = |group: &str, first: f64| {
        let var = |at: usize| vars.sub(group).var(names[at], [N], Init::constant(first + at as f64));
        [0, 1, 2, 3].map(var)
    };
    let (a, b) = (of("a", 3.0), of("b", 16.0));
    let program = GPU.compile(Mode::Eval, |g| {
        for ([prev, u, w, acc], turned) in [(&a, false), (&b, true)] {
            let [p, q, r] = [prev, u, w].map(|var| g.var(var));
            let difference = if turned { &q - &p } else { &p - &q };
            g.assign(prev, &(&r * 0.5));
            g.assign(acc, &(difference * r));
        }
        []
    });
    let program = program.unwrap();
    let mut state = GPU.init(&vars, 3).unwrap();
    program.run(&mut state, Batch::new()).unwrap();
    for (group, expected) in [("a", [2.5, 4.0, 5.0, -5.0]), ("b", [9.0, 17.0, 18.0, 18.0])] {
        let found = names.map(|name| state.read(&format!("{group}.{name}")).unwrap().data);
        assert_eq!(found, expected.map(|value| vec![value; N]), "{group}");
    }
}

/// The gradient of a table of 50,257 vectors, of which a batch picks 1,024: a matrix of all pairs of table and batch would have
/// more numbers than an index can count.
#[test]
fn an_embedding_of_a_large_vocabulary() {
    const ROWS: usize = 50_257;
    let vars = Vars::new();
    let tables = ["first", "second"].map(|name| vars.var(name, [ROWS, 768], Init::constant(0.5)));
    let graph = Graph::new(Mode::Train);
    let tokens = graph.input("tokens", [8, 128], U32);
    let picked = tables.each_ref().map(|table| graph.var(table).embedding(&tokens));
    let gradients = (&picked[0] * &picked[1]).square().sum(..).backward(&vars);
    let gradients: Vec<NodeId> = gradients.iter().map(|(_, gradient)| gradient.id()).collect();
    let plan = GPU.compiler().plan(&graph.recording(), &gradients).unwrap();
    // Two gradients, and rows of the batch; no matrix of zeros and ones, which would have 1,024 for each row of a table.
    let (results, rows) = (2 * ROWS as u64 * 768 * 4, 1024 * 768 * 4);
    assert!(plan.workspace < results + 8 * rows, "{}", plan.explain());
}

/// Neighbouring invocations that write different components of one vector may each write all of it (WGSL says so, and
/// Metal's compiler does it), so what is written one by one lies in arrays of single elements.
#[test]
fn gpus_write_no_components() {
    let options = Options { shaping: Some(Shaping::hardware()), ..Options::default() };
    let gpu = Gpu::with_options(options).unwrap();
    let vars = Vars::new();
    let layers: Vec<Var> =
        (0..4).map(|i| vars.var(&format!("w{i}"), [27, 27], Init::constant(0.1))).collect();
    let program = gpu.compile(Mode::Train, |g| {
        let q = g.input("q", [2, 2, 27, 16], F32);
        let seen = Tensor::scaled_dot_product_attention(&q, &q, &q, &AttentionOptions::new().causal());
        let x = seen.sum(-1).reshape([4, 27]);
        let y = layers.iter().fold(x, |x, w| (x.matmul(&g.var(w)) + x.mean_keep(-1)).tanh());
        let loss = y.square().mean(..) + seen.square().mean(..);
        for (w, gradient) in loss.backward(&vars) {
            g.assign(&w, &(g.var(&w) - gradient * 0.1));
        }
        let of_q = loss.pull_back(&g.scalar(1.0, F32), &[&q]).remove(0);
        [loss, of_q]
    });
    let program = program.unwrap();
    let mut single = 0;
    for source in program.sources() {
        assert!(!source.contains("[i & 3u] ="), "{source}");
        single += usize::from(source.contains("fn store0(") || source.contains("fn store1("));
    }
    assert!(single > 0);
}

/// A program writes only into variables that are what it takes them for, whether or not it reads them.
#[test]
fn a_variable_of_another_size_is_not_assigned() {
    let (small, large) = (Vars::new(), Vars::new());
    let [_, last] = ["average", "last"].map(|name| small.var(name, [4], Init::constant(1.0)));
    let average = large.var("average", [1000], Init::constant(0.0));
    let program = GPU.compile(Mode::Eval, |g| {
        g.assign(&average, &g.input("x", [1000], F32));
        []
    });
    let program = program.unwrap();
    let mut state = GPU.init(&small, 0).unwrap();
    let error = program.run(&mut state, Batch::new().with("x", [1000], &[7f32; 1000])).unwrap_err();
    let message = error.to_string();
    println!("{message}");
    assert!(
        message.contains("average") && message.contains("[1000]") && message.contains("[4]"),
        "{message}"
    );
    assert_eq!(state.read(last.name()).unwrap().data, [1.0; 4]);
}

/// Computed once more, elements might be rounded otherwise, and none would be the maximum. Long rows have partial maxima.
#[test]
fn what_is_compared_with_its_maximum_is_stored() {
    for length in [100, 50_000] {
        let graph = Graph::new(Mode::Eval);
        let a = graph.input("a", [2, length], F32);
        let x = &a * 1.1 + 0.3;
        let gradient = x.max(1).sum(..).gradients(&[&a]).remove(0);
        for output in [gradient, x.argmax(1)] {
            let plan = GPU.compiler().plan(&graph.recording(), &[output.id()]).unwrap();
            let mut stored = plan.kernels.iter().flat_map(|kernel| &kernel.stores);
            let is_x = |id: &NodeId| {
                let node = plan.recording.node(*id);
                node.op.name() == "add" && node.spec.shape.numel() == 2 * length
            };
            assert!(stored.any(is_x), "{}", plan.explain());
        }
    }
}
