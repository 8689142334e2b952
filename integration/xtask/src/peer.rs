//! The embedded controller of `integration/java-peer`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::{Context, Done, files, run};
use crate::{agent, tools};

/// The compiled controller.
pub struct Peer {
    classes: PathBuf,
}

impl Peer {
    pub fn compiled(context: &Context) -> Done<Self> {
        tools::need(&tools::JAVAC)?;
        let sources = context.root.join("integration/java-peer/src");
        let classes = context.fresh_dir("java-peer")?;
        let mut javac = context.command("javac");
        javac.args(["-nowarn", "--release", "17", "-d"]).arg(&classes);
        run(javac.args(files(&sources, "java")?))?;
        Ok(Self { classes })
    }

    /// Its classes.
    pub fn classes(&self) -> &Path {
        &self.classes
    }

    /// The controller in one of its modes.
    pub fn mode(&self, context: &Context, mode: &str) -> Command {
        let mut java = context.command("java");
        java.arg("-cp").arg(&self.classes).args(["pilotfish.peer.Main", mode]);
        java
    }
}

/// Has the peer judge the agent; the large streams are of this many MiB.
pub fn conformance(context: &Context, agent: &Path, pipe_mib: u32) -> Done {
    native(context, &Peer::compiled(context)?, agent, pipe_mib)
}

/// The same, and then what the agent leaves to a JVM.
pub fn both_tiers(context: &Context, agent: &Path, pipe_mib: u32) -> Done {
    let peer = Peer::compiled(context)?;
    native(context, &peer, agent, pipe_mib)?;
    let mut jvm = peer.mode(context, "jvm");
    jvm.arg("--agent-log").arg(context.target.join("java-peer-jvm-agent.log"));
    agent::append_to(&mut jvm, &[agent.as_os_str()], "lazy");
    run(&mut jvm)
}

/// Without a JVM, so that every answer is the agent's own.
fn native(context: &Context, peer: &Peer, agent: &Path, pipe_mib: u32) -> Done {
    let mut peer = peer.mode(context, "conformance");
    peer.arg("--pipe-mib").arg(pipe_mib.to_string()).arg("--dump").arg(dump(context));
    peer.arg("--agent-log").arg(context.target.join("java-peer-agent.log"));
    agent::append_to(&mut peer, &[agent.as_os_str()], "never");
    run(&mut peer)
}

/// Has the peer judge the agent over TCP: how it comes in, and what it does then.
pub fn jnlp4(context: &Context, agent: &Path, pipe_mib: u32) -> Done {
    let mut peer = Peer::compiled(context)?.mode(context, "jnlp4");
    peer.arg("--pipe-mib").arg(pipe_mib.to_string());
    peer.arg("--agent-log").arg(context.target.join("java-peer-jnlp4-agent.log"));
    agent::append_tcp_to(&mut peer, &[agent.as_os_str()], "never");
    run(&mut peer)
}

/// Where the conformance run leaves every command that the agent sent.
pub fn dump(context: &Context) -> PathBuf {
    context.target.join("java-peer-commands.bin")
}
