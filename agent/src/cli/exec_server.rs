//! The command line of `pilotfish-agent exec-server`, the entry point of a tool container.

use std::ffi::OsString;
use std::path::PathBuf;

use super::environment::Variables;
use super::mistake::{Mistake, Mistakes};

/// The word that begins it.
pub(super) const NAME: &str = "exec-server";

/// Names the socket where `--socket` does not.
const SOCKET_VARIABLE: &str = "PILOTFISH_EXEC_SOCKET";

/// What a tool container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecServerOptions {
    /// `--socket`: an absolute path, in a directory that only this container and the agent's have mounted.
    pub socket: PathBuf,
    /// `--allow-uid`: users who may run something here, beside the one of this process.
    pub allowed_users: Vec<u32>,
    /// The container's own command, behind `--`.
    pub command: Vec<String>,
}

/// Reads the words behind `exec-server`.
pub(super) fn parse(
    words: &[OsString],
    variables: &Variables<'_>,
) -> Result<ExecServerOptions, Mistakes> {
    let mut mistakes = Vec::new();
    let mut bad = |problem: String| mistakes.push(Mistake::ExecServer { problem });
    let mut socket = variables.get(SOCKET_VARIABLE).map(str::to_owned);
    let mut allowed_users = Vec::new();
    let mut command = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(word) = word.to_str() else {
            bad("a word is not UTF-8".to_owned());
            continue;
        };
        let (name, value) = match word.split_once('=').filter(|(name, _)| name.starts_with("--")) {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || {
            let given = value.clone().or_else(|| words.next()?.to_str().map(str::to_owned));
            given.ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "--" => {
                let rest: Option<Vec<String>> =
                    words.by_ref().map(|word| word.to_str().map(str::to_owned)).collect();
                match rest {
                    Some(rest) if !rest.is_empty() => command = rest,
                    Some(_) => bad("no command stands behind --".to_owned()),
                    None => bad("the command behind -- is not UTF-8".to_owned()),
                }
            }
            "--socket" => match value() {
                Ok(path) => socket = Some(path),
                Err(problem) => bad(problem),
            },
            "--allow-uid" => match value().map(|text| (text.parse(), text)) {
                Ok((Ok(user), _)) => allowed_users.push(user),
                Ok((Err(_), text)) => bad(format!("--allow-uid: {text:?} is no number of a user")),
                Err(problem) => bad(problem),
            },
            _ => bad(format!(
                "{word:?} is not known: there are --socket PATH, --allow-uid NUMBER, and -- before the container's \
                 own command"
            )),
        }
    }
    let socket = match socket {
        Some(path) if path.starts_with('/') && !path.ends_with('/') => PathBuf::from(path),
        Some(path) => {
            bad(format!("--socket: {path:?} is no absolute path of a file"));
            PathBuf::new()
        }
        None => {
            bad(format!("the socket is not given: add --socket PATH, or set {SOCKET_VARIABLE}"));
            PathBuf::new()
        }
    };
    match mistakes.is_empty() {
        true => Ok(ExecServerOptions { socket, allowed_users, command }),
        false => Err(Mistakes(mistakes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str, socket: Option<&str>) -> Result<ExecServerOptions, Mistakes> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let variables: Vec<(OsString, OsString)> =
            socket.map(|path| (SOCKET_VARIABLE.into(), path.into())).into_iter().collect();
        parse(&words, &Variables::new(&variables))
    }

    #[test]
    fn options_and_the_containers_own_command() {
        let options =
            parsed("--socket /x/s --allow-uid=1000 --allow-uid 0 -- mysqld --port=1 --", None);
        assert_eq!(
            options.unwrap(),
            ExecServerOptions {
                socket: "/x/s".into(),
                allowed_users: vec![1000, 0],
                command: ["mysqld", "--port=1", "--"].map(str::to_owned).into(),
            }
        );
        let options = parsed("", Some("/y/s")).unwrap();
        assert_eq!((options.socket.to_str(), options.command.len()), (Some("/y/s"), 0));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = parsed("--allow-uid x --what --socket s --", None).unwrap_err().to_string();
        for part in [
            "\"x\" is no number of a user",
            "\"--what\" is not known",
            "no command stands behind --",
            "\"s\" is no absolute path",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = parsed("", None).unwrap_err().to_string();
        assert!(text.contains("add --socket PATH, or set PILOTFISH_EXEC_SOCKET"), "{text}");
    }
}
