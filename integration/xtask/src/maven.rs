//! Files of Maven Central: fetched once, and only used where they are those that were looked at.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::context::{Context, Done, run};
use crate::tools;

/// A file there.
pub struct File {
    /// `group:artifact:version`, with `:packaging` where that is not a jar.
    pub artifact: &'static str,
    /// What it is called here.
    pub name: &'static str,
    /// Its digest in hexadecimal digits.
    pub sha256: &'static str,
}

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";

/// The files, in a directory below the target directory; fetched where they are not there yet.
pub fn fetch(context: &Context, wanted: &[File], directory: &str) -> Done<Vec<PathBuf>> {
    let directory = context.target.join(directory);
    let mut paths = Vec::new();
    for File { artifact, name, sha256 } in wanted {
        let file = directory.join(name);
        if !file.is_file() {
            tools::need(&tools::MVN)?;
            let mut maven = context.command("mvn");
            maven.args(["-q", "-B", COPY]).arg(format!("-Dartifact={artifact}"));
            // Not into the user's own repository.
            maven.arg(format!("-Dmaven.repo.local={}", context.target.join("maven").display()));
            run(maven.arg(format!("-DoutputDirectory={}", directory.display())))?;
        }
        check(context, &file, sha256)?;
        paths.push(file);
    }
    Ok(paths)
}

fn check(context: &Context, file: &Path, sha256: &str) -> Done {
    let failed = |error: std::io::Error| format!("sha256sum: {error}");
    let mut command = context.command("sha256sum");
    command.args(["--check", "--status"]).stdin(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{sha256}  {}", file.display()).map_err(failed)?;
    }
    if child.wait().map_err(failed)?.success() {
        return Ok(());
    }
    Err(format!("{} is not the file that is expected; remove it and try again", file.display()))
}
