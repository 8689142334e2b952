//! Programs of Go that the tests need: built from pinned modules once, and kept by what they are made from.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::context::{Context, Done, output, run};
use crate::tools;

/// A program of a module of this repository.
pub struct Program {
    /// Its name, and that of its directory below `target/tools`.
    pub name: &'static str,
    /// Where its `go.mod` is.
    module: &'static str,
    /// The package to build, as seen from there.
    package: &'static str,
    /// Settings of variables in packages.
    variables: &'static [(&'static str, &'static str)],
}

/// etcd, kubectl and all parts of Kubernetes.
pub const HYPER: Program = Program {
    name: "hyper",
    module: "integration/kubernetes/hyper",
    package: ".",
    // The parts tell their version, and kubectl's is not newer than the API server's.
    variables: &[
        ("k8s.io/component-base/version.gitVersion", "v1.34.4"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "34"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
    ],
};

/// Nothing of these runs for its speed. Without inlining and debugging information a build takes
/// about three quarters of the time.
const COMPILER: &str = "all=-l -dwarf=false";

/// Builds a program, unless it is there, and returns where it is.
pub fn build(context: &Context, program: &Program) -> Done<PathBuf> {
    if !tools::is_there("go") {
        return Err(format!(
            "go is missing; {} is built with it. Install Go 1.24 or later: https://go.dev/dl",
            program.name
        ));
    }
    let module = context.root.join(program.module);
    let tools = context.target.join("tools");
    fs::create_dir_all(&tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    // CI builds in the background, before anybody needs it.
    let lock = File::create(tools.join(format!("{}.lock", program.name)));
    let lock = lock.map_err(|error| format!("{}: {error}", tools.display()))?;
    if lock.try_lock().is_err() {
        println!("waiting for {}, which is being built", program.name);
        lock.lock().map_err(|error| format!("lock of {}: {error}", program.name))?;
    }
    let linker = linker_flags(program);
    let dir = tools.join(format!("{}-{}", program.name, key(program, &module, &linker)?));
    let built = dir.join(program.name);
    if built.exists() {
        return Ok(built);
    }
    println!("building {}: some minutes the first time", program.name);
    let unfinished = dir.join("unfinished");
    let mut go = context.command("go");
    go.current_dir(&module).env("CGO_ENABLED", "0").args(["build", "-buildvcs=false"]);
    go.arg(format!("-gcflags={COMPILER}")).args(["-ldflags", &linker, "-o"]).arg(&unfinished);
    run(go.arg(program.package))?;
    fs::rename(&unfinished, &built).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(built)
}

fn linker_flags(program: &Program) -> String {
    let variables = program.variables.iter().map(|(name, value)| format!(" -X {name}={value}"));
    std::iter::once("-s -w".to_owned()).chain(variables).collect()
}

/// Everything that the program is made from, in 16 digits.
fn key(program: &Program, module: &std::path::Path, linker: &str) -> Done<String> {
    let mut digest = Sha256::new();
    for name in ["go.mod", "go.sum", "main.go", "tools.go"] {
        // A module that only names what to build has one of the last two or none.
        if let Ok(bytes) = fs::read(module.join(name)) {
            digest.update(&bytes);
        }
    }
    let version = output(Command::new("go").arg("version").current_dir(module))?;
    for text in [program.package, COMPILER, linker, &version] {
        digest.update(text.as_bytes());
    }
    Ok(digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}
