//! Compiles the launcher class of the JVM tier, if this machine has a Java compiler.
//!
//! Without one the agent is complete but for one thing: a JVM that died is not replaced before the
//! next connection. Set `PILOTFISH_LAUNCHER=required` where that must not happen unnoticed.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "jvm-launcher/pilotfish/jvm/Launcher.java";
const POLICY: &str = "PILOTFISH_LAUNCHER";
/// The oldest Java that any controller's remoting library of the last years runs on.
const RELEASE: &str = "11";

fn main() -> Result<(), Box<dyn Error>> {
    let tell = |line: &str| println!("cargo::{line}");
    tell(&format!("rerun-if-changed={SOURCE}"));
    tell(&format!("rerun-if-env-changed={POLICY}"));
    tell("rerun-if-env-changed=JAVA_HOME");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let classes = out.join("launcher-classes");
    if classes.exists() {
        fs::remove_dir_all(&classes)?;
    }
    fs::create_dir(&classes)?;
    if let Err(problem) = compile(&classes) {
        if env::var(POLICY).is_ok_and(|policy| policy == "required") {
            return Err(problem);
        }
        fs::remove_dir_all(&classes)?;
        fs::create_dir(&classes)?;
        tell(&format!("warning=built without the launcher class of the JVM tier: {problem}"));
    }
    fs::write(out.join("launcher_classes.rs"), table(&classes)?)?;
    Ok(())
}

fn compile(classes: &Path) -> Result<(), Box<dyn Error>> {
    let compiler = match env::var_os("JAVA_HOME") {
        Some(home) if Path::new(&home).join("bin/javac").is_file() => {
            Path::new(&home).join("bin/javac")
        }
        _ => PathBuf::from("javac"),
    };
    let output = Command::new(&compiler)
        .args(["--release", RELEASE, "-proc:none", "-g:none", "-Xlint:all,-options", "-Werror"])
        .arg("-d")
        .arg(classes)
        .arg(SOURCE)
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).replace('\n', " | ");
            Err(format!("{} fails: {words}", compiler.display()).into())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("there is no javac; install a JDK 11 or later".into())
        }
        Err(error) => Err(format!("{} cannot be run: {error}", compiler.display()).into()),
    }
}

/// A table of the class files in Rust, sorted by name so that builds are reproducible.
fn table(classes: &Path) -> Result<String, Box<dyn Error>> {
    let package = classes.join("pilotfish/jvm");
    let mut files: Vec<PathBuf> = match fs::read_dir(&package) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    files.sort();
    let mut text = String::from("static CLASSES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let name = file.strip_prefix(classes)?.to_str().ok_or("a class name that is not UTF-8")?;
        let path = file.to_str().ok_or("a target directory that is not UTF-8")?;
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    text.push_str("];\n");
    Ok(text)
}
