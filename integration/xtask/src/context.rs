//! Where things are, and how other programs are run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A test that is built in no time. With one of them named, Cargo unites the features of all tests.
const FEATURES_OF_TESTS: &str = "bad_input";

/// Why a recipe failed, as one line for a person.
pub type Done<T = ()> = Result<T, String>;

/// The repository and its build directory.
pub struct Context {
    /// The root of the repository.
    pub root: PathBuf,
    /// Cargo's target directory; nothing is written outside of it and of temporary directories.
    pub target: PathBuf,
    /// The host's target triple, for which `.cargo/config.toml` builds everything.
    pub triple: String,
}

impl Context {
    pub fn new() -> Done<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = root.join(target.unwrap_or_else(|| PathBuf::from("target")));
        let version = output(Command::new("rustc").arg("-vV"))?;
        let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
        let triple = triple.ok_or("rustc -vV names no host")?.to_owned();
        Ok(Self { root, target, triple })
    }

    /// A cargo command in the repository.
    pub fn cargo<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        // What `cargo run` says of this program is no business of others: crates whose build scripts look at
        // it, and all that use them, would be built again whenever Cargo is called directly in between.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command.args(arguments);
        command
    }

    /// Builds a program of the workspace as its tests use it, and returns where it is.
    ///
    /// Whichever is named, every crate gets the features that the whole workspace asks of it, those of
    /// its tests included: so nothing that `cargo test --workspace` has compiled is compiled again.
    pub fn program(&self, name: &str) -> Done<PathBuf> {
        let mut cargo = self.cargo(["build", "--workspace"]);
        run(cargo.args(["--bin", name, "--test", FEATURES_OF_TESTS]))?;
        Ok(self.target.join(&self.triple).join("debug").join(name))
    }

    /// A command in the repository.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// An empty directory below the target directory.
    pub fn fresh_dir(&self, name: impl AsRef<Path>) -> Done<PathBuf> {
        let dir = self.target.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(dir)
    }
}

/// Runs a command with our own input and output; it must succeed.
pub fn run(command: &mut Command) -> Done {
    let name = describe(command);
    let status = command.status().map_err(|error| format!("cannot start {name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed ({status})")) }
}

/// Runs a command and returns what it printed; it must succeed.
pub fn output(command: &mut Command) -> Done<String> {
    let name = describe(command);
    let output = command.output().map_err(|error| format!("cannot start {name}: {error}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} failed ({})\n{}", output.status, told.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The program and its first arguments, without the path of the former.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let arguments = command.get_args().take(4).map(|argument| argument.to_string_lossy());
    let words: Vec<_> = std::iter::once(program.to_string_lossy()).chain(arguments).collect();
    words.join(" ")
}

/// The files below a directory with this extension, sorted.
pub fn files(dir: &Path, extension: &str) -> Done<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = dir.read_dir().map_err(|error| format!("{}: {error}", dir.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
