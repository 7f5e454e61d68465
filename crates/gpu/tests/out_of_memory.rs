//! A driver without memory: whatever is asked for, the error says so, and the device is as good as before.
//!
//! The software adapter takes its memory from the process's address space. With a limit on that a device is full, and
//! really refuses. The process that is limited is this test again, told by an environment variable.

#![cfg(target_os = "linux")]

use std::process::{Command, id};

use wgrad_core::batch::Batch;
use wgrad_core::{Array, F32, Graph, Init, Mode, U32, Vars};
use wgrad_gpu::{AdapterKind, Error, Gpu, Program, State};

const LIMITED: &str = "WGRAD_TEST_LIMITED";

const MIB: u64 = 1 << 20;

/// 80 MiB of f32: a legal size for every tensor, and more than the driver has in its pools.
const LARGE: [usize; 2] = [5 << 10, 4 << 10];

/// Leaves the process so much address space beyond what it has, or all there is.
fn leave(bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".into(), |bytes| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kibibytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        (1024 * kibibytes + bytes).to_string()
    });
    // The soft limit alone, which can be raised again.
    let limit = format!("--as={limit}:");
    let limited = Command::new("prlimit").args(["--pid", &id().to_string(), &limit]).status().unwrap();
    assert!(limited.success());
}

/// Takes what wgpu keeps for buffers to come, until the driver itself has to be asked and refuses.
fn fill(gpu: &Gpu) -> Vec<State> {
    let vars = Vars::new();
    vars.var("ballast", [MIB as usize], Init::constant(0.0));
    let mut ballast = vec![gpu.init(&vars, 0).unwrap()];
    leave(Some(16 * MIB));
    let error = loop {
        match ballast[0].duplicate() {
            Ok(state) => ballast.push(state),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
    ballast
}

/// What is asked for with so little left ends in the right error, time and again, and without the limit succeeds.
fn refused<T>(gpu: &Gpu, what: &str, left: u64, mut ask: impl FnMut() -> Result<T, Error>) -> T {
    let ballast = fill(gpu);
    // More often than any ring has buffers: none of them may be lost on the way.
    for _ in 0..6 {
        leave(Some(left));
        let error = ask().err().unwrap_or_else(|| panic!("{what} fits into {left} bytes"));
        assert!(matches!(&error, Error::OutOfMemory(message) if message.contains(what)), "{what}: {error}");
        gpu.synchronize().unwrap();
    }
    leave(None);
    drop(ballast);
    ask().unwrap()
}

fn squares(gpu: &Gpu) -> Program {
    gpu.compile(Mode::Eval, |g| [g.input("x", [3], F32).square()]).unwrap()
}

fn square(program: &Program, state: &mut State) {
    let outputs = program.run(state, Batch::new().with("x", [3], &[1f32, 2.0, 3.0])).unwrap();
    assert_eq!(outputs.get(0).unwrap().data, [1.0, 4.0, 9.0]);
}

fn limited(gpu: &Gpu) {
    let small = squares(gpu);
    let mut state = gpu.init(&Vars::new(), 0).unwrap();
    square(&small, &mut state);

    let count = |g: &Graph, n: usize| g.iota(LARGE, 0, F32) + n as f64;
    refused(gpu, "workspace", 300 * MIB, || gpu.compile(Mode::Eval, |g| [0, 1, 2, 3].map(|n| count(g, n))));
    square(&small, &mut state);

    let sum = || gpu.compile(Mode::Eval, |g| [g.input("x", LARGE, U32).max(..)]);
    refused(gpu, "staging", 250 * MIB, sum);
    refused(gpu, "readback", 250 * MIB, || gpu.compile(Mode::Eval, |g| [count(g, 0)]));
    square(&small, &mut state);

    let vars = Vars::new();
    for number in 0..4 {
        vars.var(&format!("w{number}"), LARGE, Init::constant(f64::from(number)));
    }
    let mut wide = refused(gpu, "state", 250 * MIB, || gpu.init(&vars, 0));
    refused(gpu, "state", 250 * MIB, || wide.duplicate());
    assert_eq!(refused(gpu, "readback", 64 * MIB, || wide.read("w3")).data[5], 3.0);
    let value = Array::new(F32, LARGE, vec![7.0; LARGE.iter().product()]);
    refused(gpu, "upload", 120 * MIB, || wide.write("w2", &value));
    assert_eq!(wide.read("w2").unwrap().data[5], 7.0);
    square(&small, &mut state);

    // Programs keep what they have prepared for a state, but not the memory of one that is gone.
    let sum = gpu.compile(Mode::Eval, |g| [g.var(&vars.all()[0]).sum(..)]).unwrap();
    let mut other = wide.duplicate().unwrap();
    for _ in 0..3 {
        sum.run(&mut other, Batch::new()).unwrap();
        leave(Some(64 * MIB));
        drop(other);
        other = wide.duplicate().unwrap();
        leave(None);
    }
    drop(other);
    square(&small, &mut state);

    // A batch with more in it than the program has room for, and more results than it expected to be held.
    let batch = || Batch::new().with("x", [3], &[1f32, 2.0, 3.0]);
    let more = vec![0u32; LARGE.iter().product()];
    let mut batches: Vec<Batch> = (0..7).map(|_| batch().with("more", LARGE, &more)).collect();
    refused(gpu, "staging", 64 * MIB, || small.run(&mut state, batches.pop().unwrap()));
    square(&small, &mut state);
    let wide = gpu.compile(Mode::Eval, |g| [g.input("x", [1], F32).expand(LARGE).exp()]).unwrap();
    let run = |state: &mut State| wide.run(state, Batch::new().with("x", [1], &[0f32]));
    let held: Vec<_> = (0..4).map(|_| run(&mut state).unwrap()).collect();
    refused(gpu, "readback", 64 * MIB, || run(&mut state));
    assert!(held.iter().all(|outputs| outputs.get(0).unwrap().data[0] == 1.0));
    drop(held);
    assert_eq!(run(&mut state).unwrap().get(0).unwrap().data[9], 1.0);
    square(&small, &mut state);
}

#[test]
fn a_full_device_refuses_and_goes_on() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    if gpu.info().kind != AdapterKind::Software {
        return println!("{} has memory of its own", gpu.info());
    }
    if std::env::var_os(LIMITED).is_some() {
        return limited(&gpu);
    }
    let test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_device_refuses_and_goes_on", "--nocapture"])
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let said = [test.stdout, test.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(test.status.success(), "{}: {said}", test.status);
}
