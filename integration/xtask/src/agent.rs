//! The agent's binary.

use std::path::PathBuf;
use std::process::Command;

use crate::context::{Context, Done, run};
use crate::tools;

/// Builds the agent as it is shipped and returns where it is.
pub fn release(context: &Context) -> Done<PathBuf> {
    // For the Java class in it, without which a JVM that died is not replaced on its connection.
    tools::need(&tools::CC)?;
    tools::need(&tools::JAVAC)?;
    let mut cargo = context.cargo(["build", "--package", "pilotfish-agent", "--release"]);
    run(cargo.env("PILOTFISH_LAUNCHER", "required"))?;
    Ok(context.target.join(&context.triple).join("release/pilotfish-agent"))
}

/// Builds the agent as the tests use it.
pub fn debug(context: &Context) -> Done<PathBuf> {
    tools::need(&tools::CC)?;
    let agent = context.program("pilotfish-agent")?;
    Ok(agent)
}

/// Appends the command with which the embedded controller starts an agent; it fills in the braces.
/// `jvm` is the agent's option of that name.
pub fn append_to(peer: &mut Command, program: &[&std::ffi::OsStr], jvm: &str) {
    append_tcp_to(peer, program, jvm);
    peer.arg("-webSocket");
}

/// The same, over TCP.
pub fn append_tcp_to(peer: &mut Command, program: &[&std::ffi::OsStr], jvm: &str) {
    peer.arg("--").args(program);
    peer.args(["-url", "{url}", "-secret", "@{secret-file}", "-name", "{name}"]);
    peer.args(["-workDir", "{root}"]).arg(format!("--jvm={jvm}"));
}
