//! The agent's binary.

use std::path::PathBuf;
use std::process::Command;

use crate::context::{Context, Done, run};
use crate::tools;

/// Builds the agent as it is shipped and returns where it is.
pub fn release(context: &Context) -> Done<PathBuf> {
    build(context, &["--release"], "release")
}

/// Builds the agent as the tests use it.
pub fn debug(context: &Context) -> Done<PathBuf> {
    build(context, &[], "debug")
}

fn build(context: &Context, profile: &[&str], dir: &str) -> Done<PathBuf> {
    tools::need(&tools::CC)?;
    run(context.cargo(["build", "--package", "pilotfish-agent"]).args(profile))?;
    Ok(context.target.join(&context.triple).join(dir).join("pilotfish-agent"))
}

/// Appends the command with which the embedded controller starts an agent; it fills in the braces.
pub fn append_to(peer: &mut Command, program: &[&std::ffi::OsStr]) {
    peer.arg("--").args(program);
    peer.args(["-url", "{url}", "-secret", "@{secret-file}", "-name", "{name}"]);
    peer.args(["-webSocket", "-workDir", "{root}"]);
}
