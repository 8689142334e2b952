//! Programs that the recipes need beside cargo: found, installed, or asked for.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::context::{Done, run};

/// A program, and the Debian packages that bring it.
pub struct Tool {
    program: &'static str,
    packages: &'static [&'static str],
    purpose: &'static str,
}

/// A JDK, version 17 or later.
pub const JAVAC: Tool = Tool {
    program: "javac",
    packages: &["default-jdk-headless"],
    purpose: "the embedded controller, the tests against the JDK, and the Java class in the agent",
};
/// A C compiler, which also links.
pub const CC: Tool =
    Tool { program: "cc", packages: &["gcc", "libc6-dev"], purpose: "ring's code, and linking" };
/// A C++ compiler.
pub const CXX: Tool =
    Tool { program: "c++", packages: &["g++"], purpose: "libFuzzer, which the fuzz targets link" };
/// Maven.
pub const MVN: Tool = Tool {
    program: "mvn",
    packages: &["maven"],
    purpose: "the library of others that reads what the agent sends",
};

/// One file that is a whole user land.
pub const BUSYBOX: Tool = Tool {
    program: "busybox",
    packages: &["busybox-static"],
    purpose: "images without Debian below",
};
/// Makes Debian systems.
pub const MMDEBSTRAP: Tool = Tool {
    program: "mmdebstrap",
    packages: &["mmdebstrap", "debian-archive-keyring"],
    purpose: "images with Debian below",
};

/// A C compiler for 64-bit ARM, which also links.
pub const ARM64_CC: Tool = Tool {
    program: "aarch64-linux-gnu-gcc",
    packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
    purpose: "the agent for arm64: ring's code, and linking",
};
/// Runs programs for 64-bit ARM.
pub const ARM64_EMULATOR: Tool = Tool {
    program: "qemu-aarch64-static",
    packages: &["qemu-user-static"],
    purpose: "trying the agent for arm64",
};

impl Tool {
    /// What it is called on the path.
    pub fn program(&self) -> &'static str {
        self.program
    }
}

/// Makes sure that a program is there. As root on Debian it is installed.
pub fn need(tool: &Tool) -> Done {
    if is_there(tool.program) {
        return Ok(());
    }
    let packages = tool.packages.join(" ");
    let install = format!("apt-get install -y --no-install-recommends {packages}");
    if !Path::new("/etc/debian_version").exists() || !is_root() {
        let Tool { program, purpose, .. } = tool;
        return Err(format!(
            "{program} is missing; it is needed for {purpose}. Install it and try again (Debian: {install})"
        ));
    }
    println!("{} is missing: {install}", tool.program);
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"], tool.packages].concat())?;
    if is_there(tool.program) {
        return Ok(());
    }
    Err(format!("{} is still missing after: {install}", tool.program))
}

/// Whether a program is on the path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Whether PostgreSQL's programs are where Debian puts them, or on the path.
pub fn has_postgresql() -> bool {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    debian.into_iter().any(|version| version.path().join("bin/initdb").is_file())
        || is_there("initdb")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program-anywhere"));
    }
}
