//! The library of `library-shim`, under the transformer and the engine of the Pipeline plugins.

use std::path::PathBuf;

use crate::context::{Context, Done, files, run};
use crate::{maven, tools};

/// What the test needs.
const JARS: [maven::File; 3] = [
    maven::File {
        artifact: "org.codehaus.groovy:groovy-all:2.4.21",
        name: "groovy-all-2.4.21.jar",
        sha256: "de65260cf2070442e99882f2f3d72e7531725c1e6a257446cc0cea525c607bd0",
    },
    maven::File {
        artifact: "com.cloudbees:groovy-cps:1.31",
        name: "groovy-cps-1.31.jar",
        sha256: "ecfd4e43d75ca8204e278ff01d27c10d4b0d7b3ee781a18d1c363fc04c5c3e7e",
    },
    maven::File {
        artifact: "com.google.guava:guava:11.0.1",
        name: "guava-11.0.1.jar",
        sha256: "aa7cef9d2ba0110a2db7be0fb6e679cd71f6a26fc3ba9da7715f41d3300def1d",
    },
];
/// The golden step calls, and a plan that runs from recorded parameters to its events.
pub fn run_it(context: &Context) -> Done {
    tools::need(&tools::CC)?;
    tools::need(&tools::JAVAC)?;
    let bridge = context.program("pilotfish-bridge")?;
    let jars = maven::fetch(context, &JARS, "library-shim-lib")?;
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
