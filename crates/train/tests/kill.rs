//! A training that is killed while it runs, or while it writes a checkpoint, and resumed, ends with the same
//! bits as one that was left alone.
//!
//! The process that is killed is this test again, told by an environment variable to train.

#[path = "net/mod.rs"]
mod net;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wgrad_train::{Checkpoints, Ending, Trainer};

/// The directory that a child trains in.
const DIRECTORY: &str = "WGRAD_TEST_TRAIN_IN";

/// This test in a process of its own. Where this one ignores signals, as what a script runs in the background does, that
/// one would too, and Ctrl-C would rightly do nothing: it gets them back.
fn spawn(test: &str, directory: &Path) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = if cfg!(target_os = "linux") {
        let mut env = Command::new("env");
        env.arg("--default-signal=INT,TERM,HUP").arg(this);
        env
    } else {
        Command::new(this)
    };
    command.args(["--exact", test]).env(DIRECTORY, directory).stdout(Stdio::null()).spawn().unwrap()
}

/// Whether this process is such a child; then it trains, and calls `after_step` after each batch.
fn is_child(after_step: fn(&Path)) -> bool {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return false };
    let directory = Path::new(&directory);
    let train = |trainer: Trainer| {
        let watched = directory.to_path_buf();
        let slow = trainer.on_step(move |_| {
            after_step(&watched);
            Ok(ControlFlow::Continue(()))
        });
        slow.checkpoint(directory).checkpoint_every(1).resume(true)
    };
    net::fit(train).unwrap();
    true
}

/// Where a parent says that its signal is on the way.
fn sent_in(directory: &Path) -> PathBuf {
    directory.with_extension("sent")
}

/// Once there is a checkpoint, waits for the signal, and then gives it time to arrive.
fn await_signal(directory: &Path) {
    while !Checkpoints::new(directory).all().unwrap().is_empty() && !sent_in(directory).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
}

/// Waits until a child has begun to train: its first checkpoint is there.
fn wait_for_checkpoint(child: &mut Child, directory: &Path) {
    let start = Instant::now();
    while Checkpoints::new(directory).all().unwrap().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended before its first checkpoint");
        assert!(start.elapsed() < Duration::from_secs(120), "the child does not begin to train");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Delays of all lengths up to a quarter of a second, spread evenly (multiples of the golden ratio).
fn delay(trial: u32) -> Duration {
    Duration::from_secs_f64((f64::from(trial) * 0.618_033_988_75).fract() * 0.25)
}

/// Lets a child train for a while, and kills it. One that was too fast is tried again with half the time.
fn killed(trial: u32, directory: &Path) {
    let mut delay = delay(trial);
    loop {
        let mut child = spawn("resumed_after_a_kill", directory);
        wait_for_checkpoint(&mut child, directory);
        std::thread::sleep(delay);
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        if running {
            return;
        }
        std::fs::remove_dir_all(directory).unwrap();
        delay /= 2;
    }
}

#[test]
fn resumed_after_a_kill() {
    if is_child(|_| {}) {
        return;
    }
    let alone = net::fit(|trainer| trainer).unwrap();
    let (expected, scores) = (net::bits(&alone.state), net::scores(&alone));
    let (mut same, mut writing, mut batches) = (0, 0, vec![]);
    for trial in 0..20 {
        let temporary = TempDir::new().unwrap();
        let directory = temporary.path().join("run");
        killed(trial, &directory);
        let is_temporary = |name: &str| name.ends_with(".tmp");
        let names = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
        writing += usize::from(names.into_iter().any(|name| is_temporary(&name.to_string_lossy())));
        let last = Checkpoints::new(&directory).latest().unwrap().unwrap().checkpoint;
        batches.push(last.step());
        let report = net::fit_in(&directory);
        assert!(report.resumed_from.is_some());
        assert_eq!(net::scores(&report), scores, "trial {trial}, killed after step {}", last.step());
        same += usize::from(net::bits(&report.state) == expected);
    }
    println!("killed after steps {batches:?}, {writing} times while writing; {same} of 20 ended alike");
    assert_eq!(same, 20);
}

#[cfg(unix)]
#[test]
fn resumed_after_ctrl_c() {
    if is_child(await_signal) {
        return;
    }
    let temporary = TempDir::new().unwrap();
    let directory = temporary.path().join("run");
    let mut child = spawn("resumed_after_ctrl_c", &directory);
    wait_for_checkpoint(&mut child, &directory);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    std::fs::write(sent_in(&directory), []).unwrap();
    assert!(child.wait().unwrap().success(), "the child ends as if it had come to its end");
    let last = Checkpoints::new(&directory).latest().unwrap().unwrap().checkpoint;
    assert!(last.step() < 60, "it stopped before the end, not at {}", last.step());
    let report = net::fit_in(&directory);
    assert_eq!(report.ending, Ending::Finished);
    let alone = net::fit(|trainer| trainer).unwrap();
    assert_eq!(net::scores(&report), net::scores(&alone));
    assert!(net::bits(&report.state) == net::bits(&alone.state));
}
