//! Finds the JDK, compiles the Java half once and runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiled Java half.
pub struct Jdk {
    classes: tempfile::TempDir,
}

impl Jdk {
    /// Compiles every file of `tests/oracle`.
    pub fn compiled() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let sources: Vec<_> = entries.filter(|path| path.extension().is_some()).collect();
        assert!(sources.len() >= 3, "{sources:?}");
        let classes = tempfile::tempdir().unwrap();
        let mut javac = Command::new(tool("javac"));
        javac.args(["-nowarn", "-XDignore.symbol.file", "--release", "17", "-d"]);
        run(javac.arg(classes.path()).args(sources));
        Self { classes }
    }

    /// Runs a class with a folder as its argument; it must succeed.
    pub fn run(&self, class: &str, folder: &Path) {
        let mut java = Command::new(tool("java"));
        java.args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp"]);
        run(java.arg(self.classes.path()).arg(class).arg(folder));
    }
}

fn tool(name: &str) -> PathBuf {
    match std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin").join(name)) {
        Some(path) if path.exists() => path,
        _ => PathBuf::from(name),
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{} cannot be started ({error}). These tests compare with a JDK, version 17 or later: \
             install one (Debian: apt-get install -y --no-install-recommends default-jdk-headless) \
             or point JAVA_HOME at it.",
            command.get_program().display()
        )
    });
    let told = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&told));
}
