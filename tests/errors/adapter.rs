//! No adapter, or not the one asked for.

use std::process::Command;

use wgrad::gpu::Error;
use wgrad::prelude::*;

use crate::{GPU, says};

/// Adapters are chosen by environment variables, which a test can set for a child process only: this
/// test runs itself again.
#[test]
fn an_adapter_that_does_not_exist() {
    const CHILD: &str = "WGRAD_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let error = Gpu::new().unwrap_err();
        assert!(matches!(error, Error::NoAdapter { .. }), "{error:?}");
        println!("{error}");
        return;
    }
    for (name, value) in [("WGRAD_ADAPTER", "nonexistent"), ("WGRAD_BACKEND", "nonexistent")] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "adapter::an_adapter_that_does_not_exist", "--nocapture"]);
        let output = child.env(CHILD, "1").env(name, value).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        says(&text, &["no GPU adapter found", &format!("{name}={value}"), &GPU.info().name]);
    }
}
