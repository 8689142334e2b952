//! The Debian system below our layer, made by mmdebstrap.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use crate::error::Error;

/// What is left out: nobody reads it in a container.
const LEFT_OUT: [&str; 6] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    // Licences must stay with what they are for.
    "path-include=/usr/share/doc/*/copyright",
    "path-include=/usr/share/locale/locale.alias",
];
/// Java's packages make links there.
const MANUALS: &str = "mkdir -p \"$1/usr/share/man/man1\"";
/// Files that hold a time or the number of a machine. A container makes them anew.
const REMOVED: &str = "rm -rf \"$1\"/var/log/* \"$1\"/var/cache/* \"$1\"/var/lib/apt/lists/* \
     \"$1\"/etc/machine-id \"$1\"/tmp/* \"$1\"/run/* \"$1\"/usr/share/man";
/// The account that the official image has too.
const ACCOUNT: &str = "echo 'jenkins:x:1000:1000:Jenkins user:/home/jenkins:/bin/bash' >>\"$1/etc/passwd\" && \
     echo 'jenkins:x:1000:' >>\"$1/etc/group\"";

/// What `git lfs install --system` sets, in another order each time; its package does that too.
const LFS: [(&str, &str); 4] = [
    ("clean", "git-lfs clean -- %f"),
    ("smudge", "git-lfs smudge -- %f"),
    ("process", "git-lfs filter-process"),
    ("required", "true"),
];

/// From where Debian comes.
#[derive(Debug, Clone)]
pub struct Source {
    /// The release, such as `trixie`.
    pub suite: String,
    /// The archive. One of snapshot.debian.org gives the same packages for ever.
    pub mirror: String,
}

/// Makes a system with these packages as a tar file.
///
/// # Errors
/// What mmdebstrap says.
pub fn system(source: &Source, packages: &[&str], epoch: u64, tar: &Path) -> Result<(), Error> {
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=essential", "--aptopt=Acquire::Languages \"none\""]);
    command.arg(format!("--include={}", packages.join(",")));
    command.args(LEFT_OUT.iter().map(|one| format!("--dpkgopt={one}")));
    command.arg(format!("--essential-hook={MANUALS}"));
    command.args([ACCOUNT, REMOVED].iter().map(|one| format!("--customize-hook={one}")));
    if packages.contains(&"git-lfs") {
        let set = LFS.map(|(key, value)| {
            format!("chroot \"$1\" git config --system filter.lfs.{key} '{value}'")
        });
        let set = set.join(" && ");
        command.arg(format!("--customize-hook=rm -f \"$1/etc/gitconfig\" && {set}"));
    }
    command.arg(&source.suite).arg(tar).arg(&source.mirror);
    // Times are cut to this one; a locale of the machine would be looked for in the new system.
    command.env("SOURCE_DATE_EPOCH", epoch.to_string()).env("LC_ALL", "C.UTF-8");
    run(&mut command)
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    output(command).map(drop)
}

/// Runs a program that must succeed and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let output = command.output();
    let output = output
        .map_err(|error| Error::Program { program: program.clone(), why: error.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Program { program, why: format!("{}\n{}", output.status, said.trim_end()) })
}

/// The list of installed packages of a system in a tar file.
///
/// # Errors
/// A file that cannot be read, or has no such list.
pub fn status(tar: &Path) -> Result<String, Error> {
    let file = std::fs::File::open(tar).map_err(Error::at(tar))?;
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries().map_err(Error::at(tar))? {
        let mut entry = entry.map_err(Error::at(tar))?;
        let path = entry.path().map_err(Error::at(tar))?;
        if path.strip_prefix(".").unwrap_or(&path) == Path::new("var/lib/dpkg/status") {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(Error::at(tar))?;
            return Ok(text);
        }
    }
    Err(Error::NoPackages)
}
