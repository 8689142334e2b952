//! What the tests of the real binary share: the agent as a process, a scripted controller, commands.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod agent;
pub mod callables;
pub mod commands;
pub mod connection;
pub mod controller;
pub mod service;
pub mod task;

use std::future::Future;
use std::time::Duration;

/// Far above what any step takes, so that only an agent that hangs runs into it.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// The outcome of `step`, or a panic that says what did not happen.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what}: did not happen within {} s", PATIENCE.as_secs()),
    }
}

/// Waits until something outside of the agent's reach holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
