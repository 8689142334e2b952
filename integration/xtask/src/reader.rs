//! Reads every command that the agent sent during the conformance run with a library that others
//! wrote (`integration/java-peer/README.md`, "The second reader").

use crate::context::{Context, Done, files, run};
use crate::{peer, tools};

const LIBRARY: &str = "org.eclipse.hudson:hudson-remoting:3.0.3";
const JAR: &str = "hudson-remoting-3.0.3.jar";
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";

pub fn run_it(context: &Context) -> Done {
    let dump = peer::dump(context);
    if !dump.is_file() {
        return Err("there is no dump of the agent's commands; the part peer makes it".to_owned());
    }
    tools::need(&tools::JAVAC)?;
    let library = context.target.join("reader-lib");
    let jar = library.join(JAR);
    if !jar.is_file() {
        tools::need(&tools::MVN)?;
        let mut maven = context.command("mvn");
        maven.args(["-q", "-B", COPY]).arg(format!("-Dartifact={LIBRARY}"));
        // Not into the user's own repository.
        maven.arg(format!("-Dmaven.repo.local={}", context.target.join("maven").display()));
        run(maven.arg(format!("-DoutputDirectory={}", library.display())))?;
    }
    let classes = context.fresh_dir("reader")?;
    let sources = files(&context.root.join("integration/java-peer/reader/src"), "java")?;
    let mut javac = context.command("javac");
    javac.args(["-nowarn", "--release", "17", "-cp"]).arg(&jar).arg("-d").arg(&classes);
    run(javac.args(sources))?;
    let path = std::env::join_paths([&classes, &jar]).map_err(|error| error.to_string())?;
    let mut java = context.command("java");
    run(java.arg("-cp").arg(path).arg("pilotfish.reader.Main").arg(dump))
}
