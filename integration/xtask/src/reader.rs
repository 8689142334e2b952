//! Reads every command that the agent sent during the conformance run with a library that others
//! wrote (`integration/java-peer/README.md`, "The second reader").

use crate::context::{Context, Done, files, run};
use crate::{maven, peer, tools};

/// That library.
const LIBRARY: [maven::File; 1] = [maven::File {
    artifact: "org.eclipse.hudson:hudson-remoting:3.0.3",
    name: "hudson-remoting-3.0.3.jar",
    sha256: "966a9c61bfb1e426120ca42b6cc903148ff1e20f9fb481f3815e1de3f430254f",
}];

pub fn run_it(context: &Context) -> Done {
    let dump = peer::dump(context);
    if !dump.is_file() {
        return Err("there is no dump of the agent's commands; the part peer makes it".to_owned());
    }
    tools::need(&tools::JAVAC)?;
    let jars = maven::fetch(context, &LIBRARY, "reader-lib")?;
    let jar = &jars[0];
    let classes = context.fresh_dir("reader")?;
    let sources = files(&context.root.join("integration/java-peer/reader/src"), "java")?;
    let mut javac = context.command("javac");
    javac.args(["-nowarn", "--release", "17", "-cp"]).arg(jar).arg("-d").arg(&classes);
    run(javac.args(sources))?;
    let path = std::env::join_paths([&classes, jar]).map_err(|error| error.to_string())?;
    let mut java = context.command("java");
    run(java.arg("-cp").arg(path).arg("pilotfish.reader.Main").arg(dump))
}
