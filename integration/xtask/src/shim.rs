//! The library of `library-shim`, under the transformer and the engine of the Pipeline plugins.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::context::{Context, Done, files, run};
use crate::tools;

/// What the test needs from Maven Central: coordinates, file, SHA-256.
const JARS: [(&str, &str, &str); 3] = [
    (
        "org.codehaus.groovy:groovy-all:2.4.21",
        "groovy-all-2.4.21.jar",
        "de65260cf2070442e99882f2f3d72e7531725c1e6a257446cc0cea525c607bd0",
    ),
    (
        "com.cloudbees:groovy-cps:1.31",
        "groovy-cps-1.31.jar",
        "ecfd4e43d75ca8204e278ff01d27c10d4b0d7b3ee781a18d1c363fc04c5c3e7e",
    ),
    (
        "com.google.guava:guava:11.0.1",
        "guava-11.0.1.jar",
        "aa7cef9d2ba0110a2db7be0fb6e679cd71f6a26fc3ba9da7715f41d3300def1d",
    ),
];
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";

/// The golden step calls, and a plan that runs from recorded parameters to its events.
pub fn run_it(context: &Context) -> Done {
    tools::need(&tools::CC)?;
    tools::need(&tools::JAVAC)?;
    run(&mut context.cargo(["build", "--quiet", "--package", "pilotfish-bridge"]))?;
    let bridge = context.target.join(&context.triple).join("debug/pilotfish-bridge");
    let jars = jars(context)?;
    let library = context.root.join("library-shim");
    let classes = context.fresh_dir("library-shim")?;
    let path = |all: &[PathBuf]| std::env::join_paths(all).map_err(|error| error.to_string());
    let mut sources = files(&library.join("test/src"), "java")?;
    sources.extend(files(&library.join("test/stubs"), "java")?);
    let mut javac = context.command("javac");
    javac.args(["-nowarn", "-Xlint:none", "--release", "17", "-encoding", "UTF-8", "-cp"]);
    run(javac.arg(path(&jars)?).arg("-d").arg(&classes).args(sources))?;
    let mut all = jars;
    all.push(classes);
    for mode in ["golden", "local"] {
        let mut java = context.command("java");
        java.arg("-cp").arg(path(&all)?).args(["io.pilotfish.shim.Main", mode]);
        run(java.arg(&library).arg(&bridge))?;
    }
    Ok(())
}

/// The jars, fetched where they are not there yet, and checked.
fn jars(context: &Context) -> Done<Vec<PathBuf>> {
    let directory = context.target.join("library-shim-lib");
    let mut paths = Vec::new();
    for (artifact, name, digest) in JARS {
        let jar = directory.join(name);
        if !jar.is_file() {
            tools::need(&tools::MVN)?;
            let mut maven = context.command("mvn");
            maven.args(["-q", "-B", COPY]).arg(format!("-Dartifact={artifact}"));
            // Not into the user's own repository.
            maven.arg(format!("-Dmaven.repo.local={}", context.target.join("maven").display()));
            run(maven.arg(format!("-DoutputDirectory={}", directory.display())))?;
        }
        check(context, &jar, digest)?;
        paths.push(jar);
    }
    Ok(paths)
}

fn check(context: &Context, jar: &Path, digest: &str) -> Done {
    let failed = |error: std::io::Error| format!("sha256sum: {error}");
    let mut command = context.command("sha256sum");
    command.args(["--check", "--status"]).stdin(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{digest}  {}", jar.display()).map_err(failed)?;
    }
    if child.wait().map_err(failed)?.success() {
        return Ok(());
    }
    Err(format!("{} is not the file that is expected; remove it and try again", jar.display()))
}
