//! Whatever a user gets wrong is a typed error with the facts in its message; nothing panics.

mod adapter;
mod batch;
mod data;
mod graph;
mod state;

use std::sync::LazyLock;

use wgrad::prelude::*;

pub(crate) static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("the tests need an adapter"));

/// The error's text holds every fact.
#[track_caller]
pub(crate) fn says(error: &impl std::fmt::Display, facts: &[&str]) {
    let text = error.to_string();
    println!("{text}");
    for fact in facts {
        assert!(text.contains(fact), "`{fact}` is missing in: {text}");
    }
}

/// A classifier of three records of four features into two classes, and its variables.
pub(crate) fn classifier() -> (Program, Vars) {
    let vars = Vars::new();
    let fc = Linear::new(vars.sub("fc"), 4, 2);
    let program = GPU.compile(Mode::Train, |g| {
        let (x, y) = (g.input("x", [3, 4], F32), g.input("label", [3], U32));
        let logits = fc.forward(&x).probe("logits");
        let loss = logits.cross_entropy(&y);
        Adam::new(0.1).minimize(&loss, &vars);
        [loss, logits]
    });
    (program.unwrap(), vars)
}
