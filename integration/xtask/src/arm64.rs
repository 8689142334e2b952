//! The agent for 64-bit ARM: cross-built, and run in an emulator of the user mode where the host has
//! another processor.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::{Context, Done, output, run};
use crate::peer::Peer;
use crate::{agent, elf, tools};

const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// As the tests use it, on one build.
pub fn run_it(context: &Context) -> Done {
    if let Err(why) = standard_library(context) {
        println!("arm64 is SKIPPED: no standard library for {TRIPLE}: {why}");
        return Ok(());
    }
    let binary = debug(context)?;
    let emulator = emulator(context)?;
    let program: Vec<&OsStr> =
        emulator.iter().map(OsStr::new).chain([binary.as_os_str()]).collect();
    let Some((first, rest)) = program.split_first() else { return Ok(()) };
    let version = output(context.command(first).args(rest).arg("-version"))?;
    println!("arm64 runs: {}", version.trim());
    // A whole build: connection, processes, files, and the end of all of it.
    let mut peer = Peer::compiled(context)?.mode(context, "demo");
    agent::append_to(&mut peer, &program, "never");
    run(&mut peer)
}

/// The release binary.
pub fn release(context: &Context) -> Done<PathBuf> {
    standard_library(context)?;
    tools::need(&tools::JAVAC)?;
    let mut cargo = build(context)?;
    run(cargo.arg("--release").env("PILOTFISH_LAUNCHER", "required"))?;
    checked(context, "release")
}

fn debug(context: &Context) -> Done<PathBuf> {
    run(&mut build(context)?)?;
    checked(context, "debug")
}

fn build(context: &Context) -> Done<Command> {
    let mut cargo = context.cargo(["build", "--package", "pilotfish-agent", "--target", TRIPLE]);
    if context.triple != TRIPLE {
        tools::need(&tools::ARM64_CC)?;
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", tools::ARM64_CC.program());
    }
    Ok(cargo)
}

fn checked(context: &Context, profile: &str) -> Done<PathBuf> {
    let binary = context.target.join(TRIPLE).join(profile).join("pilotfish-agent");
    let describe = |why: String| format!("{}: {why}", binary.display());
    let bytes = std::fs::read(&binary).map_err(|error| describe(error.to_string()))?;
    // The compiler has no static-pie for this target.
    elf::check_static(&bytes).map_err(describe)?;
    elf::check_machine(&bytes, elf::AARCH64).map_err(describe)?;
    Ok(binary)
}

/// Installs the standard library, if it is not there.
fn standard_library(context: &Context) -> Done {
    let libraries =
        output(context.command("rustc").args(["--print", "target-libdir", "--target", TRIPLE]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    run(context.command("rustup").args(["target", "add", TRIPLE]))
}

/// What runs the binary here; empty on the processor itself.
fn emulator(context: &Context) -> Done<Vec<&'static str>> {
    if context.triple == TRIPLE {
        return Ok(Vec::new());
    }
    tools::need(&tools::ARM64_EMULATOR)?;
    Ok(vec![tools::ARM64_EMULATOR.program()])
}
