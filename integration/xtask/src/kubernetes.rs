//! A real Kubernetes for the tests (`integration/kubernetes`).

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};

use crate::context::{Context, Done, output, run as run_command};
use crate::peer::Peer;
use crate::{agent, go, images};

/// Options of `cargo xtask kubernetes`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Builds the program that has all parts of Kubernetes; 6 to 10 minutes, once
    Build,
    /// Brings a cluster up: a control plane, and a node where the kernel lets it
    Up {
        /// Only the API with its scheduler and controllers
        #[arg(long)]
        no_node: bool,
    },
    /// Ends it and removes what it left on the machine
    Down,
    /// Brings a cluster up, measures pods and steps in it, and takes it down
    Bench,
    /// Builds kaniko (three minutes of processor time, once) and has it push an image from a pod of a plan
    Kaniko,
    /// Brings a cluster up, runs the tests that need one, and takes it down
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
        /// Leave the cluster up
        #[arg(long)]
        keep: bool,
        /// With the agent as other tests use it, in place of the one that is shipped
        #[arg(long)]
        debug: bool,
    },
}

pub fn run(context: &Context, options: &Options) -> Done {
    match &options.action {
        Action::Build => {
            go::build(context, &go::HYPER)?;
            go::build(context, &go::HELM).map(drop)
        }
        Action::Up { no_node } => up(context, *no_node || why_no_node(context)?.is_some()),
        Action::Down => down(context),
        Action::Bench => bench(context),
        Action::Kaniko => kaniko(context),
        Action::Test { filter, keep, debug } => {
            test(context, filter.as_deref(), *keep, !debug, None)
        }
    }
}

/// All tests, as CI runs them.
pub fn run_it(context: &Context) -> Done {
    test(context, None, false, true, None)
}

/// The stage of the shipped catalog that builds images, with the real kaniko.
fn kaniko(context: &Context) -> Done {
    if let Some(why) = why_no_node(context)? {
        return Err(format!("this machine cannot have a node: {why}"));
    }
    let kaniko = go::build(context, &go::KANIKO)?;
    test(context, Some("kaniko"), false, false, Some(&kaniko))
}

fn test(
    context: &Context,
    filter: Option<&str>,
    keep: bool,
    release: bool,
    kaniko: Option<&Path>,
) -> Done {
    let why_no_node = why_no_node(context)?;
    if let Some(why) = &why_no_node {
        println!("SKIPPED: the tests on a real node, since this machine cannot have one: {why}");
    }
    let with_node = why_no_node.is_none();
    // All that is compiled comes before the cluster, which takes memory and processors.
    let parts = if with_node { Some(OfNode::build(context, release)?) } else { None };
    let bridge = images::small_debug(context, "pilotfish-bridge")?;
    let helm = go::build(context, &go::HELM)?;
    run_command(tests(context).arg("--no-run"))?;
    let passed = up(context, !with_node).and_then(|()| {
        let mut tests = tests(context);
        tests.env("PILOTFISH_TEST_KUBERNETES", state(context));
        tests.env("PILOTFISH_TEST_BRIDGE", &bridge);
        tests.env("PILOTFISH_TEST_HELM", &helm);
        if let Some(kaniko) = kaniko {
            tests.env("PILOTFISH_TEST_KANIKO", kaniko);
        }
        if let Some(parts) = &parts {
            tests.env("PILOTFISH_TEST_MASTER", &parts.master);
            tests.env("PILOTFISH_TEST_AGENT", &parts.agent);
            tests.env("PILOTFISH_TEST_IMAGES", &parts.images);
            tests.env("PILOTFISH_TEST_PEER", parts.peer.classes());
        }
        tests.arg("--").arg("--ignored").args(filter);
        if !with_node {
            tests.args(["--skip", "on_node::"]);
        }
        run_command(&mut tests)
    });
    if keep {
        return passed;
    }
    let down = down(context);
    passed.and(down)
}

/// Figures of a real cluster. What is measured here is built for tests: it waits for the cluster, not
/// the other way round. The agent is the one that is shipped.
fn bench(context: &Context) -> Done {
    let why_no_node = why_no_node(context)?;
    if let Some(why) = &why_no_node {
        println!("SKIPPED: steps and memory, since this machine cannot have a node: {why}");
    }
    let with_node = why_no_node.is_none();
    let images = match with_node {
        true => Some(images::build(context, &["static"], true, &[])?),
        false => None,
    };
    let bench = || {
        let bench = ["bench", "--profile", "dev", "--package", "pilotfish-kubernetes", "--bench"];
        let mut bench = context.cargo(bench);
        bench.arg("cluster");
        bench
    };
    run_command(bench().arg("--no-run"))?;
    let measured = up(context, !with_node).and_then(|()| {
        let mut bench = bench();
        bench.env("PILOTFISH_TEST_KUBERNETES", state(context));
        if let Some(images) = &images {
            bench.env("PILOTFISH_TEST_IMAGES", images);
        }
        run_command(&mut bench)
    });
    let down = down(context);
    measured.and(down)
}

/// What the tests on a node need.
struct OfNode {
    /// The directory of the images.
    images: PathBuf,
    /// The agent that is in them.
    agent: PathBuf,
    /// The controller.
    peer: Peer,
    /// The program of simulated masters.
    master: PathBuf,
}

impl OfNode {
    fn build(context: &Context, release: bool) -> Done<Self> {
        let images = images::build(context, &["static"], release, &[])?;
        let agent = match release {
            true => agent::release(context)?,
            false => images::small_debug(context, "pilotfish-agent")?,
        };
        // Its release build takes minutes, and nothing here is about its speed.
        images::build(context, &["bridge"], false, &[])?;
        let peer = Peer::compiled(context)?;
        let master = images::small_debug(context, "pilotfish-fleet")?;
        Ok(Self { images, agent, peer, master })
    }
}

/// With the features of the whole workspace, as [`Context::programs`] builds them.
fn tests(context: &Context) -> Command {
    context.cargo(["test", "--workspace", "--test", "cluster"])
}

fn up(context: &Context, no_node: bool) -> Done {
    let hyper = go::build(context, &go::HYPER)?;
    let mut up = harness(context)?;
    up.arg("up").arg("--hyper").arg(hyper);
    if no_node {
        up.arg("--no-node");
    }
    run_command(&mut up)
}

fn down(context: &Context) -> Done {
    run_command(harness(context)?.arg("down"))
}

fn why_no_node(context: &Context) -> Done<Option<String>> {
    let why = output(harness(context)?.arg("why-no-node"))?;
    let why = why.trim();
    Ok((!why.is_empty()).then(|| why.to_owned()))
}

fn state(context: &Context) -> PathBuf {
    context.target.join("kubernetes")
}

/// The harness, built; not by `cargo run`, which would hold its lock while the cluster comes up.
fn harness(context: &Context) -> Done<Command> {
    let harness = context.program("pilotfish-kubernetes")?;
    let mut command = context.command(harness);
    command.arg("--state").arg::<&Path>(&state(context));
    Ok(command)
}
