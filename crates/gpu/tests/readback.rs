//! Results arrive when they arrive: held, dropped or read out of order, each is that of its own run.

use std::sync::{Arc, LazyLock};

use wgrad_core::batch::{Batch, BatchMemory, HostMemory, Layout};
use wgrad_core::{F32, Graph, Mode, TensorSpec, U32, Var, Vars};
use wgrad_gpu::{Error, Gpu, Options, Outputs, Program, State};

static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// x and the step, in a vector and a scalar: [x·1000 + step; 3], step; the probe `twice` is 2x.
fn program() -> (Program, State) {
    let program = GPU.compile(Mode::Train, |g: &Graph| {
        let x = g.input("x", [3], F32);
        let step = g.var(&Var::step());
        (&x * 2.0).probe("twice");
        [&x * 1000.0 + step.cast(F32), step]
    });
    (program.unwrap(), GPU.init(&Vars::new(), 0).unwrap())
}

fn run(program: &Program, state: &mut State, x: u32) -> Outputs {
    program.run(state, Batch::new().with("x", [3], &[x as f32; 3])).unwrap()
}

/// That these are the results of step `step` with input `x`.
#[track_caller]
fn holds(outputs: &Outputs, x: u32, step: u32) {
    assert_eq!(outputs.get(0).unwrap().data, [f64::from(1000 * x + step); 3]);
    assert_eq!(outputs.scalar(1).unwrap(), f64::from(step));
    assert_eq!(outputs.get(1).unwrap().spec.dtype, U32);
    assert_eq!(outputs.probe("twice").unwrap().data, [f64::from(2 * x); 3]);
    assert!(outputs.is_ready());
}

#[test]
fn held_unread_for_many_steps() {
    let (program, mut state) = program();
    let held: Vec<Outputs> = (0..30).map(|step| run(&program, &mut state, step % 7)).collect();
    for (step, outputs) in (0..).zip(&held) {
        holds(outputs, step % 7, step);
    }
    // Again: what was read stays.
    for (step, outputs) in (0..).zip(&held) {
        holds(outputs, step % 7, step);
    }
}

#[test]
fn read_out_of_order() {
    let (program, mut state) = program();
    let mut held: Vec<Option<Outputs>> = (0..20).map(|step| Some(run(&program, &mut state, step))).collect();
    for step in (0..20).map(|i| i * 7 % 20) {
        let outputs = held[step as usize].take().unwrap();
        holds(&outputs, step, step);
    }
    // The freed memory serves the next runs.
    for step in 20..40 {
        holds(&run(&program, &mut state, step), step, step);
    }
}

#[test]
fn dropped_unread() {
    let (program, mut state) = program();
    for step in 0..100 {
        let outputs = run(&program, &mut state, step);
        if step % 9 == 0 {
            holds(&outputs, step, step);
        }
    }
    assert_eq!(state.step().unwrap(), 100);
}

/// A device of its own, since its counters are compared.
#[test]
fn memory_for_results_is_used_again() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32) + 1.0]).unwrap();
    let mut state = gpu.init(&Vars::new(), 0).unwrap();
    let mut hold_twelve = || (0..12).map(|x| run(&program, &mut state, x)).collect::<Vec<_>>();
    drop(hold_twelve());
    let before = gpu.counters().buffers_created;
    for _ in 0..5 {
        let held = hold_twelve();
        (0..)
            .zip(&held)
            .for_each(|(x, outputs)| assert_eq!(outputs.get(0).unwrap().data, [f64::from(x) + 1.0; 3]));
    }
    assert_eq!(gpu.counters().buffers_created, before);
}

/// A device of its own, since its counters are compared; once where the driver keeps commands, and once where wgpu records
/// them.
fn devices() -> [Gpu; 2] {
    [true, false].map(|replay| {
        Gpu::with_options(Options { replay, ..Options::default() }).expect("the tests need an adapter")
    })
}

#[test]
fn refused_batches_keep_no_memory() {
    for gpu in devices() {
        let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32) + 1.0]).unwrap();
        let mut state = gpu.init(&Vars::new(), 0).unwrap();
        let layout = Batch::new().with("x", [3], &[0f32; 3]).layout;
        let before = gpu.counters().buffers_created;
        for x in 0..20 {
            let batch = Batch { layout: layout.clone(), memory: Box::new(HostMemory(vec![0; 4])) };
            assert!(matches!(program.run(&mut state, batch), Err(Error::BatchMemory(_))));
            let outputs = run(&program, &mut state, x);
            assert_eq!(outputs.get(0).unwrap().data, [f64::from(x) + 1.0; 3]);
        }
        assert_eq!(gpu.counters().buffers_created, before);
    }
}

/// Loaders that have filled all memory there is for batches may wait for the run of another.
#[test]
fn a_run_does_not_wait_for_loaders() {
    for gpu in devices() {
        let program = gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32) + 1.0]).unwrap();
        let mut state = gpu.init(&Vars::new(), 0).unwrap();
        let (layout, staging) = (Batch::new().with("x", [3], &[0f32; 3]).layout, program.staging());
        let before = gpu.counters().buffers_created;
        for _ in 0..5 {
            let held: Vec<_> = (0..4).map(|_| staging.allocate(&layout).unwrap()).collect();
            for x in 0..3 {
                let outputs = run(&program, &mut state, x);
                assert_eq!(outputs.get(0).unwrap().data, [f64::from(x) + 1.0; 3]);
            }
            for (x, mut memory) in (0..).zip(held) {
                memory.write(0, bytemuck::cast_slice(&[x as f32; 3])).unwrap();
                let outputs = program.run(&mut state, Batch { layout: layout.clone(), memory }).unwrap();
                assert_eq!(outputs.get(0).unwrap().data, [f64::from(x) + 1.0; 3]);
            }
        }
        assert_eq!(gpu.counters().buffers_created, before + 1);
    }
}

#[test]
fn results_outlive_program_and_state() {
    let outputs = {
        let (program, mut state) = program();
        run(&program, &mut state, 5)
    };
    holds(&outputs, 5, 0);
}

#[test]
fn waiting_from_another_thread() {
    let (program, mut state) = program();
    let all: Vec<Outputs> = (0..8).map(|step| run(&program, &mut state, step)).collect();
    std::thread::scope(|scope| {
        for (step, outputs) in (0..).zip(all) {
            scope.spawn(move || holds(&outputs, step, step));
        }
    });
}

#[test]
fn polling_sees_the_results_arrive() {
    let (program, mut state) = program();
    let outputs = run(&program, &mut state, 3);
    let start = std::time::Instant::now();
    while !outputs.is_ready() {
        assert!(start.elapsed().as_secs() < 20, "a step of three numbers takes no seconds");
        std::thread::yield_now();
    }
    holds(&outputs, 3, 0);
}

/// One program works on several states, also alternately, and several programs on one.
#[test]
fn programs_and_states_combine() {
    let (program, mut one) = program();
    let mut two = GPU.init(&Vars::new(), 0).unwrap();
    for step in 0..5 {
        holds(&run(&program, &mut one, 1), 1, 2 * step);
        holds(&run(&program, &mut one, 2), 2, 2 * step + 1);
        holds(&run(&program, &mut two, 3), 3, step);
    }
    let other = GPU.compile(Mode::Eval, |g| [g.var(&Var::step()) + 0.0]).unwrap();
    assert_eq!(other.run(&mut one, Batch::new()).unwrap().scalar(0).unwrap(), 10.0);
    assert_eq!(other.run(&mut two, Batch::new()).unwrap().scalar(0).unwrap(), 5.0);
    assert_eq!(one.step().unwrap(), 10, "an evaluation is no step");
    // More states than a program keeps bind groups for.
    let mut many: Vec<State> = (0..9).map(|_| GPU.init(&Vars::new(), 0).unwrap()).collect();
    for step in 0..3 {
        for (x, state) in (0..).zip(&mut many) {
            holds(&run(&program, state, x), x, step);
        }
    }
}

/// The inputs lie where each batch's own layout says, whichever came before: several batches of one layout, in memory of
/// either kind, between batches whose fields follow in another order, and one that is refused.
#[test]
fn batches_of_several_layouts() {
    let program =
        GPU.compile(Mode::Eval, |g| [&g.input("a", [2], F32) * 10.0 + &g.input("b", [2], F32)]).unwrap();
    let mut state = GPU.init(&Vars::new(), 0).unwrap();
    let layout = |names: [&str; 2]| {
        let fields =
            names.iter().fold(Layout::new(), |layout, name| layout.field(name, TensorSpec::new(F32, [2])));
        Arc::new(fields)
    };
    let orders = [layout(["a", "b"]), layout(["b", "a"])];
    for step in 0..12u8 {
        let [a, b] = [f32::from(step), f32::from(step) + 3.0];
        let layout = &orders[usize::from(step / 2 % 2)];
        let mut memory: Box<dyn BatchMemory> = match step % 3 {
            0 => Box::new(HostMemory(vec![0; layout.bytes()])),
            _ => program.staging().allocate(layout).unwrap(),
        };
        for (name, value) in [("a", a), ("b", b)] {
            let offset = layout.get(name).unwrap().offset;
            memory.write(offset, bytemuck::cast_slice(&[value; 2])).unwrap();
        }
        let outputs = program.run(&mut state, Batch { layout: layout.clone(), memory }).unwrap();
        assert_eq!(outputs.get(0).unwrap().data, [f64::from(10.0 * a + b); 2], "step {step}");
        let lacking = Batch::new().with("a", [2], &[0f32; 2]);
        assert!(matches!(program.run(&mut state, lacking), Err(Error::MissingInput { .. })));
    }
}
