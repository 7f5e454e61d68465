//! Where the driver keeps a step's commands, a step computes what it computes when its commands are recorded anew, whatever
//! happens around it; and dispatches wait for each other where they have to, and nowhere else.

use std::ops::Range;
use std::sync::LazyLock;

use wgrad_core::batch::Batch;
use wgrad_core::{Array, F32, Graph, Init, Mode, Tensor, Var, Vars};
use wgrad_gpu::plan::{Place, Plan};
use wgrad_gpu::{Error, Gpu, Options, Program, State};

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// Sixteen inputs through four layers with dropout, trained by momentum towards a value and a sum; a chain, and maps that
/// depend on nothing but the weights beside it.
fn record(g: &Graph, vars: &Vars) -> [Tensor; 2] {
    let x = g.input("x", [32, 16], F32);
    let (mut y, mut sizes) = (x.clone(), g.scalar(0.0, F32));
    for layer in 0..4 {
        let w = vars.var(&format!("w{layer}"), [16, 16], Init::constant(0.1 + layer as f64 / 100.0));
        let w = g.var(&w);
        let kept = g.random_bits([32, 16]).cast(F32).gt(1e9).cast(F32);
        y = y.matmul(&w).relu() * kept;
        sizes = sizes + w.square().sum(..);
    }
    let loss = (y.sum(1) - 3.0).square().mean(..) + &sizes * 1e-3;
    for (var, gradient) in loss.backward(vars) {
        let velocity = vars.var(&format!("{}.velocity", var.name()), [16, 16], Init::constant(0.0));
        let moved = g.var(&velocity) * 0.9 + gradient;
        g.assign(&velocity, &moved);
        g.assign(&var, &(g.var(&var) - moved * 1e-3));
    }
    [loss, sizes]
}

fn program(gpu: &Gpu) -> (Program, State) {
    let vars = Vars::new();
    let program = gpu.compile(Mode::Train, |g| record(g, &vars)).unwrap();
    let state = gpu.init(&vars, 5).unwrap();
    (program, state)
}

fn batch(step: usize) -> Batch {
    let values: Vec<f32> = (0..32 * 16).map(|i| ((i * 7 + step * 3) % 11) as f32 / 11.0).collect();
    Batch::new().with("x", [32, 16], &values)
}

fn bits(state: &State) -> Vec<u64> {
    state.names().iter().flat_map(|name| state.read(name).unwrap().data).map(f64::to_bits).collect()
}

#[test]
fn steps_have_the_same_bits_either_way() {
    let anew = Gpu::with_options(Options { replay: false, ..Options::default() }).expect("an adapter");
    let [kept, anew] = [&*GPU, &anew].map(|gpu| {
        let (program, mut state) = program(gpu);
        let losses: Vec<_> = (0..20).map(|step| program.run(&mut state, batch(step)).unwrap()).collect();
        let losses: Vec<u64> = losses.iter().map(|loss| loss.scalar(0).unwrap().to_bits()).collect();
        (losses, bits(&state))
    });
    assert_eq!(kept, anew);
    assert_ne!(kept.0[0], kept.0[19]);
}

/// What wgpu does by itself, it does in turn with steps: reads, writes and copies of a state between steps that nobody
/// waits for.
#[test]
fn steps_and_what_wgpu_records_keep_their_order() {
    let gpu = &*GPU;
    let program = gpu.compile(Mode::Train, |g| {
        let counter = g.var(&Var::step());
        [g.input("x", [1 << 16], F32).sum(0) + counter.cast(F32)]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&Vars::new(), 0).unwrap();
    let ones = || Batch::new().with("x", [1 << 16], &[1f32; 1 << 16]);
    let mut expected = 0;
    for round in 0..20u32 {
        for _ in 0..3 {
            program.run(&mut state, ones()).unwrap();
            expected += 1;
        }
        if round % 2 == 0 {
            assert_eq!(state.step().unwrap(), expected);
        }
        expected = 1000 * round;
        let value =
            Array { spec: state.read(Var::step().name()).unwrap().spec, data: vec![f64::from(expected)] };
        state.write(Var::step().name(), &value).unwrap();
        let mut copy = state.duplicate().unwrap();
        let outputs = program.run(&mut copy, ones()).unwrap();
        assert_eq!(outputs.scalar(0).unwrap(), f64::from((1 << 16) + expected));
        assert_eq!((copy.step().unwrap(), state.step().unwrap()), (expected + 1, expected));
    }
}

/// Whatever is dropped while steps are on their way stays until they are over.
#[test]
fn a_program_and_its_state_may_go_before_their_steps_are_over() {
    for round in 0..6 {
        let (program, mut state) = program(&GPU);
        let mut outputs: Vec<_> = (0..8).map(|step| program.run(&mut state, batch(step)).unwrap()).collect();
        let kept = outputs.pop().unwrap();
        // In each order.
        match round % 3 {
            0 => drop((outputs, program, state)),
            1 => drop((state, program, outputs)),
            _ => drop((program, outputs, state)),
        }
        assert!(kept.scalar(0).unwrap().is_finite());
    }
    let (program, mut state) = program(&GPU);
    assert!(program.run(&mut state, batch(0)).unwrap().scalar(0).unwrap() > 0.0);
}

/// A profiled step has commands of its own, on the same buffers.
#[test]
fn profiled_steps_are_steps() {
    let [kept, profiled] = [1, 3].map(|every| {
        let (program, mut state) = program(&GPU);
        let mut losses = vec![];
        for step in 0..24 {
            if every > 1 && step % every == 0 {
                match program.profile(&mut state, batch(step)) {
                    Ok(times) => assert_eq!(times.len(), program.stats().dispatches),
                    Err(Error::Unsupported { .. }) => drop(program.run(&mut state, batch(step)).unwrap()),
                    Err(error) => panic!("{error}"),
                }
            } else {
                losses.push((step, program.run(&mut state, batch(step)).unwrap()));
            }
        }
        let losses = losses.iter().filter(|(step, _)| step % 3 > 0);
        (losses.map(|(_, loss)| loss.scalar(0).unwrap().to_bits()).collect::<Vec<_>>(), bits(&state))
    });
    assert_eq!(kept, profiled);
}

/// Batches say where their fields lie, and each its own way.
#[test]
fn layouts_alternate() {
    let program = GPU.compile(Mode::Eval, |g| [g.input("a", [5], F32) * 10.0 + g.input("b", [5], F32)]);
    let (program, mut state) = (program.unwrap(), GPU.init(&Vars::new(), 0).unwrap());
    let outputs: Vec<_> = (0..40)
        .map(|step| {
            let (a, b) = ([step as f32; 5], [(step % 7) as f32; 5]);
            let batch = match step % 3 {
                0 => Batch::new().with("a", [5], &a).with("b", [5], &b),
                1 => Batch::new().with("b", [5], &b).with("a", [5], &a),
                _ => Batch::new().with("b", [5], &b).with("more", [100], &[9f32; 100]).with("a", [5], &a),
            };
            program.run(&mut state, batch).unwrap()
        })
        .collect();
    for (step, outputs) in outputs.iter().enumerate() {
        assert_eq!(outputs.get(0).unwrap().data, [(10 * step + step % 7) as f64; 5]);
    }
}

/// The queue takes one submission at a time, whoever makes it.
#[test]
fn threads_take_turns() {
    let train = || {
        let (program, mut state) = program(&GPU);
        for step in 0..30 {
            program.run(&mut state, batch(step)).unwrap();
            if step % 4 == 0 {
                state = state.duplicate().unwrap();
            }
        }
        bits(&state)
    };
    let alone = train();
    let others: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(train)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(others.iter().all(|bits| *bits == alone));
}

/// More states than a program keeps commands for, in turn.
#[test]
fn many_states_take_turns() {
    let (program, first) = program(&GPU);
    let mut states: Vec<State> = (0..9).map(|_| first.duplicate().unwrap()).collect();
    for step in 0..4 {
        for state in &mut states {
            program.run(state, batch(step)).unwrap();
        }
    }
    let all: Vec<Vec<u64>> = states.iter().map(bits).collect();
    assert!(all.iter().all(|bits| *bits == all[0]));
    assert_ne!(all[0], bits(&first));
}

/// What each dispatch reads and writes, by itself: bytes of the workspace, or all of a variable.
fn accesses(plan: &Plan, step: &Range<usize>) -> Vec<(Place, bool)> {
    let mut all = vec![];
    for kernel in &plan.kernels[step.clone()] {
        for (nodes, writes) in [(&kernel.loads, false), (&kernel.stores, true)] {
            all.extend(nodes.iter().filter_map(|id| Some((plan.place(kernel, *id)?.clone(), writes))));
        }
    }
    all
}

fn conflict(one: &[(Place, bool)], other: &[(Place, bool)]) -> bool {
    let overlap = |one: &Place, other: &Place| match (one, other) {
        (Place::Workspace { offset: a, bytes: n }, Place::Workspace { offset: b, bytes: m }) => {
            (*a..a + n).contains(b) || (*b..b + m).contains(a)
        }
        (one, other) => one == other,
    };
    one.iter()
        .any(|(one, writes)| other.iter().any(|(other, also)| (*writes || *also) && overlap(one, other)))
}

#[test]
fn dispatches_wait_where_they_have_to_and_nowhere_else() {
    // Stored one by one there is more to wait for.
    let unfused = Gpu::with_options(Options { fuse: false, ..Options::default() }).expect("an adapter");
    for gpu in [&*GPU, &unfused] {
        let (program, _) = program(gpu);
        let plan = program.plan();
        let (waits, all): (Vec<bool>, Vec<_>) =
            (plan.waits(), plan.steps.iter().map(|step| accesses(plan, step)).collect());
        assert_eq!(waits.len(), program.stats().dispatches);
        assert_eq!(waits.iter().filter(|waits| **waits).count(), program.stats().barriers);
        let mut since = 0;
        for (at, wait) in waits.iter().enumerate() {
            let must = (since..at).any(|before| conflict(&all[before], &all[at]));
            assert_eq!(*wait, must, "dispatch {at}\n{}", program.explain());
            if *wait {
                since = at;
            }
            // Across earlier waits nothing is left to wait for: all before them is over.
            assert!((since..at).all(|before| !conflict(&all[before], &all[at])), "dispatch {at}");
        }
        let dispatches = waits.len();
        println!("{} of {dispatches} dispatches wait", program.stats().barriers);
        assert!(program.stats().barriers + 2 < dispatches, "{}", program.explain());
    }
}
