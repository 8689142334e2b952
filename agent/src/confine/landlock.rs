//! Landlock: a thread gives up its right to other files, for good.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};

/// The first version with which files can be renamed from one directory into another.
const OLDEST: ABI = ABI::V2;

/// The newest version whose rights are known here; older kernels check fewer of them.
const NEWEST: ABI = ABI::V5;

/// What the agent's own code reads for a controller's file operation: trust and addresses for
/// downloads of tools. It is the same on every machine or public, and a request cannot name it.
const READABLE: [&str; 8] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
];

/// Whether the kernel has what is needed.
pub(super) fn is_available() -> bool {
    let oldest = AccessFs::from_all(OLDEST);
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(oldest)
        .and_then(Ruleset::create)
        .is_ok()
}

/// Restricts this thread, and what it starts, to these directories.
pub(super) fn restrict(roots: &[PathBuf]) -> Result<(), String> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let all = AccessFs::from_all(NEWEST);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(Ruleset::create)
        .map_err(|error| say(&error))?;
    for root in roots {
        let directory = PathFd::new(root).map_err(|error| say(&error))?;
        rules = rules.add_rule(PathBeneath::new(directory, all)).map_err(|error| say(&error))?;
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in READABLE.map(Path::new) {
        // What is missing on this machine is not read either.
        let Ok(descriptor) = PathFd::new(path) else { continue };
        let rights = if path.is_dir() { read } else { AccessFs::ReadFile.into() };
        rules =
            rules.add_rule(PathBeneath::new(descriptor, rights)).map_err(|error| say(&error))?;
    }
    let status = rules.restrict_self().map_err(|error| say(&error))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("Landlock is not enforced".to_owned()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}
