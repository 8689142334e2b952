//! Looks for new commits where no webhook comes: `git ls-remote`, which fetches nothing.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::event;
use crate::forges::Forge;

/// The most that a look may take.
const LOOK: Duration = Duration::from_secs(60);
/// The most bytes of an answer: a hundred thousand branches.
const ANSWER_BYTES: u64 = 16 << 20;
/// The most bytes of a message of git that are shown.
const MESSAGE_BYTES: u64 = 4096;

/// Commits by branch.
pub type Branches = BTreeMap<String, String>;

/// Reads what `git ls-remote --heads` prints. Lines that are none of a branch are left out.
#[must_use]
pub fn branches(text: &str) -> Branches {
    let line = |line: &str| {
        let (commit, reference) = line.split_once('\t')?;
        let branch = reference.strip_prefix("refs/heads/")?;
        Some((event::name("a branch", branch).ok()?, event::commit(commit).ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What has come since: branches that are new or elsewhere.
#[must_use]
pub fn news<'b>(seen: &Branches, now: &'b Branches) -> Vec<(&'b str, &'b str)> {
    let is_new = |(branch, commit): &(&String, &String)| seen.get(*branch) != Some(*commit);
    now.iter().filter(is_new).map(|(branch, commit)| (branch.as_str(), commit.as_str())).collect()
}

fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The command that asks. Secrets stay in their files: git and ssh are told where those are.
fn command(forge: &Forge, path: &str) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    for name in ["PATH", "HOME", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"]
    {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        // Others run commands that the address names.
        .env("GIT_ALLOW_PROTOCOL", "https:http:ssh:file");
    let mut ssh = "ssh -o BatchMode=yes -o ConnectTimeout=10".to_owned();
    if let Some(key) = &forge.spec.ssh_key_file {
        ssh.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quoted(key)));
    }
    if let Some(hosts) = &forge.spec.ssh_known_hosts_file {
        ssh.push_str(&format!(" -o UserKnownHostsFile={}", quoted(hosts)));
    }
    command.env("GIT_SSH_COMMAND", ssh).args(["-c", "credential.helper="]);
    if let Some(file) = &forge.spec.git_credentials_file {
        command.arg("-c").arg(format!("credential.helper=store --file={}", quoted(file)));
    }
    let base = forge.spec.git_url.as_ref().unwrap_or(&forge.spec.url);
    let address = format!("{}/{path}", base.trim_end_matches('/'));
    command.args(["ls-remote", "--heads", "--", &address]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The branches of a repository now.
///
/// # Errors
/// Why they cannot be seen, for people.
pub async fn look(forge: &Forge, path: &str) -> Result<Branches, String> {
    match tokio::time::timeout(LOOK, ask(forge, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("git did not answer within {} s", LOOK.as_secs())),
    }
}

async fn ask(forge: &Forge, path: &str) -> Result<Branches, String> {
    let mut child = command(forge, path).spawn().map_err(|error| format!("start git: {error}"))?;
    let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("git gave no output".to_owned());
    };
    let (mut text, mut message) = (Vec::new(), Vec::new());
    let (mut output, mut errors) = (output.take(ANSWER_BYTES + 1), errors.take(MESSAGE_BYTES));
    let read = tokio::join!(output.read_to_end(&mut text), errors.read_to_end(&mut message));
    read.0.map_err(|error| format!("read what git says: {error}"))?;
    if text.len() as u64 > ANSWER_BYTES {
        return Err(format!("git says more than {ANSWER_BYTES} bytes"));
    }
    // What is left of a long message would keep it from ending.
    drop((output, errors));
    let status = child.wait().await.map_err(|error| format!("wait for git: {error}"))?;
    if status.success() {
        return Ok(branches(&String::from_utf8_lossy(&text)));
    }
    let message = String::from_utf8_lossy(&message);
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words: String =
        lines.join("; ").chars().filter(|one| !one.is_control()).take(300).collect();
    Err(format!("git ls-remote: {}", if words.is_empty() { "it failed" } else { &words }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn branches_are_read_and_compared() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "{a}\trefs/heads/main\n{b}\trefs/heads/feature/x\n{a}\trefs/tags/v1\nnonsense\n"
        );
        let now = branches(&text);
        assert_eq!(now.len(), 2);
        let seen = BTreeMap::from([("main".to_owned(), a.clone()), ("gone".to_owned(), a)]);
        assert_eq!(news(&seen, &now), [("feature/x", b.as_str())]);
        assert_eq!(news(&now, &now), []);
    }

    #[test]
    fn files_are_quoted() {
        assert_eq!(quoted(std::path::Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    proptest! {
        #[test]
        fn any_answer_is_read(text in "[0-9a-f\t\n/ refs.]{0,200}") {
            let all = branches(&text);
            prop_assert!(all.values().all(|commit| commit.len() == 40 || commit.len() == 64));
        }
    }
}
