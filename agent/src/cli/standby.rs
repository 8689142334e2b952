//! The command line of `pilotfish-agent standby`: an agent that does not know yet where it connects to.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use jenkins_remoting::transport::{Endpoint, RootUrl};

use super::environment::Variables;
use super::mistake::{Mistake, Mistakes};
use super::{Configuration, Invocation, Outcome, agent};

/// The word that begins it.
pub(super) const NAME: &str = "standby";

/// Options whose values come from the bridge.
const FROM_BRIDGE: [&str; 8] =
    ["-url", "-secret", "-name", "-direct", "-tunnel", "-jnlpUrl", "-noReconnect", "-credentials"];
/// Stands for a secret until there is one.
const NO_SECRET: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What an agent is told that waits.
#[derive(Debug)]
pub struct StandbyOptions {
    /// `--standby-url`: address of the bridge.
    pub bridge: RootUrl,
    /// `--standby-id`: what the bridge calls this agent.
    pub id: String,
    /// `--standby-token-file`: read each time, as tokens of service accounts are renewed.
    pub token_file: PathBuf,
    /// Everything else. What it says of the controller, the node and the secret stands for what the bridge
    /// will say.
    pub configuration: Configuration,
}

/// The three options, each with its variable.
#[derive(Default)]
struct Given {
    url: Option<String>,
    id: Option<String>,
    token_file: Option<String>,
}

/// Reads the words behind `standby`.
pub(super) fn parse(
    words: &[OsString],
    variables: &[(OsString, OsString)],
    read: &Variables<'_>,
) -> Outcome {
    let mut mistakes = Vec::new();
    let variable = |name: &str| read.get(name).map(str::to_owned);
    let mut given = Given {
        url: variable("PILOTFISH_STANDBY_URL"),
        id: variable("PILOTFISH_STANDBY_ID"),
        token_file: variable("PILOTFISH_STANDBY_TOKEN_FILE"),
    };
    let mut others = own(words, &mut given, &mut mistakes);
    let mut bad = |problem: String| mistakes.push(Mistake::Standby { problem });
    let mut needed = |value: Option<String>, option: &str, variable: &str| {
        if value.is_none() {
            bad(format!("{option} is missing: add it, or set {variable}"));
        }
        value
    };
    let url = needed(given.url, "--standby-url URL", "PILOTFISH_STANDBY_URL");
    let id = needed(given.id, "--standby-id ID", "PILOTFISH_STANDBY_ID");
    let token_file =
        needed(given.token_file, "--standby-token-file FILE", "PILOTFISH_STANDBY_TOKEN_FILE");
    let url = url.and_then(|text| match RootUrl::parse(&text) {
        Ok(url) if !is_private(url.endpoint()) => {
            bad("--standby-url begins with http://, and the secret of the node comes from there: give \
                 the https:// address of the bridge"
                .to_owned());
            None
        }
        Ok(url) => Some(url),
        Err(error) => {
            bad(format!("--standby-url: {error}"));
            None
        }
    });
    // So that everything else is checked as ever.
    let shown = url.as_ref().map_or_else(|| "http://bridge/".to_owned(), ToString::to_string);
    let name = id.clone().unwrap_or_else(|| NAME.to_owned());
    for word in ["-url", &shown, "-secret", NO_SECRET, "-name", &name, "-webSocket"] {
        others.push(word.into());
    }
    let mut outcome = agent(&others, variables, read, mistakes);
    outcome.secrets.retain(|secret| secret.expose() != NO_SECRET);
    outcome.result =
        outcome.result.and_then(|invocation| match (invocation, url, id, token_file) {
            (Invocation::Run(configuration), Some(bridge), Some(id), Some(token_file)) => {
                Ok(Invocation::Standby(Box::new(StandbyOptions {
                    bridge,
                    id,
                    token_file: token_file.into(),
                    configuration: *configuration,
                })))
            }
            (Invocation::Run(_), ..) => Err(Mistakes(Vec::new())),
            (other, ..) => Ok(other),
        });
    outcome
}

/// Whether nobody can read along: TLS, or this machine.
fn is_private(bridge: &Endpoint) -> bool {
    let is_loopback = |address: IpAddr| address.is_loopback();
    bridge.secure || bridge.host == "localhost" || bridge.host.parse().is_ok_and(is_loopback)
}

/// Takes the options of `standby` out of the words.
fn own(words: &[OsString], given: &mut Given, mistakes: &mut Vec<Mistake>) -> Vec<OsString> {
    let mut bad = |problem: String| mistakes.push(Mistake::Standby { problem });
    let mut others = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            others.push(word.clone());
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let place = match name {
            "--standby-url" => &mut given.url,
            "--standby-id" => &mut given.id,
            "--standby-token-file" => &mut given.token_file,
            _ => {
                if FROM_BRIDGE.contains(&text) {
                    bad(format!("{text} is said by the bridge: remove it"));
                }
                others.push(word.clone());
                continue;
            }
        };
        let value = value.or_else(|| words.next()?.to_str().map(str::to_owned));
        match value.filter(|value| !value.is_empty()) {
            Some(value) => *place = Some(value),
            None => bad(format!("{name} needs a value")),
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::super::parse as parse_all;
    use super::*;

    fn parsed(line: &str, variables: &[(&str, &str)]) -> Outcome {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        parse_all(&words, &variables)
    }

    const OWN: &str =
        "standby --standby-url https://bridge --standby-id=a1 --standby-token-file /t";

    #[test]
    fn what_the_bridge_will_say_need_not_be_given() {
        let outcome = parsed(&format!("{OWN} -workDir /w --drain-timeout 5s"), &[]);
        assert!(outcome.secrets.is_empty());
        let Ok(Invocation::Standby(options)) = outcome.result else { panic!() };
        assert_eq!(
            (options.id.as_str(), options.bridge.to_string()),
            ("a1", "https://bridge/".into())
        );
        assert_eq!(options.token_file, PathBuf::from("/t"));
        assert_eq!(options.configuration.work_directory.unwrap().path, PathBuf::from("/w"));
    }

    #[test]
    fn variables_say_it_as_well() {
        let variables = [
            ("PILOTFISH_STANDBY_URL", "http://127.0.0.1:1"),
            ("PILOTFISH_STANDBY_ID", "a2"),
            ("PILOTFISH_STANDBY_TOKEN_FILE", "/t2"),
            ("JENKINS_AGENT_WORKDIR", "/w"),
        ];
        let Ok(Invocation::Standby(options)) = parsed("standby", &variables).result else {
            panic!()
        };
        assert_eq!(options.id, "a2");
        assert!(options.configuration.work_directory.is_some());
    }

    #[test]
    fn a_secret_does_not_come_over_a_network_in_the_clear() {
        let text = |url: &str| {
            let line =
                format!("standby --standby-url {url} --standby-id a --standby-token-file /t");
            parsed(&format!("{line} -workDir /w"), &[]).result.map(drop).map_err(|e| e.to_string())
        };
        assert!(text("http://bridge").unwrap_err().contains("the https:// address of the bridge"));
        for good in ["https://bridge", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"]
        {
            assert_eq!(text(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = parsed("standby --standby-url ftp://x -name n --jvm sometimes", &[]);
        let text = text.result.unwrap_err().to_string();
        for part in [
            "--standby-id ID is missing: add it, or set PILOTFISH_STANDBY_ID",
            "--standby-token-file FILE is missing",
            "--standby-url: ",
            "-name is said by the bridge",
            "\"sometimes\" is no time to start a JVM",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
