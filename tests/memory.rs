//! Two thousand steps leave device and process memory where they were.

use std::collections::VecDeque;

use wgrad::prelude::*;

const BATCH: usize = 32;
const STEPS: usize = 2_000;
/// Steps after which every cache and pool has reached its size.
const WARM: usize = 400;
/// What the process may grow by afterwards: the allocator's own slack. One leaked batch of 8 kB a step
/// would be 13 MB.
const SLACK: u64 = 4 << 20;

/// Bytes of physical memory that the process occupies.
#[cfg(target_os = "linux")]
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(not(target_os = "linux"))]
fn resident() -> Option<u64> {
    None
}

#[test]
fn two_thousand_steps_leave_memory_flat() {
    let gpu = Gpu::new().expect("the tests need an adapter");
    let vars = Vars::new();
    let conv = Conv2d::new(vars.sub("conv"), 1, 8, 3);
    let fc = Linear::new(vars.sub("fc"), 8 * 3 * 3, 10);
    let program = gpu.compile(Mode::Train, |g| {
        let (x, y) = (g.input("image", [BATCH, 1, 8, 8], F32), g.input("label", [BATCH], U32));
        let hidden = conv.forward(&x).relu().max_pool2d(2).flatten(1);
        let loss = fc.forward(&hidden).cross_entropy(&y);
        Adam::new(1e-3).minimize(&loss, &vars);
        [loss]
    });
    let program = program.unwrap();
    let mut state = gpu.init(&vars, 1).unwrap();
    let loader = Loader::new(digits(), BATCH).shuffle(1).drop_last().workers(2).allocator(program.staging());

    let mut under_way = VecDeque::new();
    let mut losses = vec![];
    let (mut ready_early, mut warm) = (0, None);
    let batches = (0..).flat_map(|epoch| loader.epoch(epoch));
    for (step, batch) in batches.take(STEPS).enumerate() {
        let outputs = program.run(&mut state, batch.unwrap()).unwrap();
        under_way.push_back(outputs);
        while under_way.len() > 8 || under_way.front().is_some_and(Outputs::is_ready) {
            let outputs = under_way.pop_front().unwrap();
            ready_early += usize::from(outputs.is_ready());
            losses.push(outputs.scalar(0).unwrap());
        }
        if step + 1 == WARM {
            warm = Some((gpu.counters(), resident()));
        }
        if (step + 1) % WARM == 0 {
            let device = gpu.counters().bytes_allocated;
            let process = resident().map_or("?".into(), |bytes| bytes.to_string());
            println!("step {:4}: device {device} bytes, process {process} bytes", step + 1);
        }
    }
    for outputs in under_way {
        losses.push(outputs.scalar(0).unwrap());
    }

    let (device, process) = warm.unwrap();
    let after = gpu.counters();
    println!("{ready_early} of {STEPS} losses were there before they were asked for");
    assert_eq!(after.buffers_created, device.buffers_created);
    assert_eq!(after.bytes_allocated, device.bytes_allocated);
    assert_eq!(after.bind_groups_created, device.bind_groups_created);
    assert_eq!(after.pipelines_created, device.pipelines_created);
    if let (Some(before), Some(after)) = (process, resident()) {
        assert!(after < before + SLACK, "the process grew from {before} to {after} bytes");
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..50]), mean(&losses[STEPS - 50..]));
    println!("loss {first:.4} over the first 50 steps, {last:.4} over the last");
    assert_eq!(losses.len(), STEPS);
    assert!(last < 0.2 * first, "{first} {last}");
    assert_eq!(state.step().unwrap() as usize, STEPS);
}
