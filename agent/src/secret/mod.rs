//! Secrets and the hygiene of the process that holds one.
//!
//! Builds run as children of the agent, usually as the same user. Such a process may read the
//! agent's `/proc/<pid>/environ`, `cmdline` and, if it may trace it, `mem`. So at start, before any
//! thread exists, [`protect`] overwrites every secret in the initial argument and environment memory
//! and makes the process undumpable, after which the kernel refuses `environ`, `mem` and tracing to
//! everyone without `CAP_SYS_PTRACE`. Only a process with that capability (a privileged root) can still
//! read the agent's heap, where the secret has to stay for reconnects.

mod wipe;

use std::ffi::OsString;

pub use jenkins_remoting::transport::Secret;
pub use wipe::WipeError;

use crate::unix;

/// What is written over a secret.
const MASK: u8 = b'*';
/// A value shorter than this is masked only where it is a whole argument or the whole value of a
/// variable: as a part of other text it would hit by accident.
const SHORTEST_SEARCHED: usize = 8;
/// Variables that no build and no answer to the controller may see.
pub const SECRET_VARIABLES: [&str; 4] = [
    "JENKINS_SECRET",
    "PILOTFISH_BRIDGE_TOKEN",
    "PILOTFISH_OTLP_ENDPOINT",
    "PILOTFISH_OTLP_HEADERS",
];

/// Erases `secrets` from the initial argument and environment memory and makes the process undumpable.
///
/// Must be called before any thread starts. The process becomes undumpable in any case.
///
/// # Errors
/// If the memory could not be erased (no `/proc`, for example); the caller warns and goes on.
pub fn protect(secrets: &[Secret]) -> Result<(), WipeError> {
    // /proc/self/maps and /proc/self/stat are complete only while the process is dumpable.
    let wiped = wipe::wipe(secrets);
    let undumpable = unix::make_undumpable().map_err(WipeError::Undumpable);
    wiped.and(undumpable)
}

/// The environment as builds and the controller's queries may see it: without [`SECRET_VARIABLES`]
/// and with every secret that another variable contains masked.
///
/// A deliberate difference from the Java agent, which hands `JENKINS_SECRET` to every build.
#[must_use]
pub fn presentable_environment(
    environment: &[(OsString, OsString)],
    secrets: &[Secret],
) -> Vec<(OsString, OsString)> {
    environment
        .iter()
        .filter(|(name, _)| !SECRET_VARIABLES.iter().any(|secret| name == secret))
        .map(|(name, value)| {
            let mut bytes = unix::bytes_of(value).to_vec();
            mask_entry(&mut bytes, secrets);
            (name.clone(), unix::text_of(bytes))
        })
        .collect()
}

/// Overwrites the secrets in a block of NUL-terminated entries (arguments, or `NAME=value`).
fn mask_block(block: &mut [u8], secrets: &[Secret]) {
    for entry in block.split_mut(|&byte| byte == 0) {
        let value_at = entry.iter().position(|&byte| byte == b'=').map_or(0, |at| at + 1);
        mask_entry(&mut entry[value_at..], secrets);
        mask_entry(entry, secrets);
    }
}

fn mask_entry(entry: &mut [u8], secrets: &[Secret]) {
    for secret in secrets {
        let needle = secret.expose().as_bytes();
        if needle.is_empty() {
            continue;
        }
        if entry == needle {
            entry.fill(MASK);
        } else if needle.len() >= SHORTEST_SEARCHED {
            let mut from = 0;
            while let Some(at) = find(&entry[from..], needle) {
                let start = from + at;
                entry[start..start + needle.len()].fill(MASK);
                from = start + needle.len();
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_long_values_anywhere_and_short_ones_only_whole() {
        let secrets = [Secret::new("0123456789"), Secret::new("u:p")];
        let mut block =
            b"agent\0-secret\x000123456789\0A=x0123456789y0123456789\0B=u:p\0C=xu:p\0u:p\0"
                .to_vec();
        mask_block(&mut block, &secrets);
        assert_eq!(
            String::from_utf8_lossy(&block),
            "agent\0-secret\0**********\0A=x**********y**********\0B=***\0C=xu:p\0***\0"
        );
    }

    #[test]
    fn environment_for_builds_has_no_secret() {
        let environment = [
            ("JENKINS_SECRET", "0123456789"),
            ("REMOTING_OPTS", "-secret 0123456789 -noReconnect"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let shown = presentable_environment(&environment, &[Secret::new("0123456789")]);
        let expected = [("REMOTING_OPTS", "-secret ********** -noReconnect"), ("PATH", "/bin")]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        assert_eq!(shown, expected);
    }
}
