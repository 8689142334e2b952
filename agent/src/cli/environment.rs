//! The variables of the container entry point `jenkins-agent`, and of our own.
//!
//! | variable | means |
//! |---|---|
//! | `JENKINS_URL` | `-url` |
//! | `JENKINS_SECRET` (may be `@FILE`), else `JENKINS_SECRET_FILE` | `-secret` |
//! | `JENKINS_NAME`, else `JENKINS_AGENT_NAME` | `-name` |
//! | `JENKINS_AGENT_WORKDIR` | `-workDir` |
//! | `JENKINS_WEB_SOCKET` = `true` | `-webSocket` |
//! | `JENKINS_TUNNEL`, `JENKINS_DIRECT_CONNECTION`, `JENKINS_INSTANCE_IDENTITY`, `JENKINS_PROTOCOLS` | the TCP options |
//! | `REMOTING_OPTS` | words in front of the arguments |
//! | `JENKINS_HTTP_PROXY`, `JENKINS_HTTPS_PROXY`, `JENKINS_NO_PROXY` | proxies for the agent alone; else `http_proxy`, `https_proxy`, `no_proxy` in either case |
//! | `SSL_CERT_FILE`, `SSL_CERT_DIR` | root certificates for https |
//! | `PILOTFISH_LOG`, `PILOTFISH_LOG_FORMAT` | levels and format of the log |
//! | `PILOTFISH_JVM` | `--jvm` |
//! | `PILOTFISH_MEMORY_MARGIN` | `--memory-margin` |
//! | `PILOTFISH_HEALTH_ADDRESS` | `--health-address` |
//! | `PILOTFISH_OTLP_ENDPOINT`, `PILOTFISH_OTLP_HEADERS` = `a=b,c=d` | `--otlp-endpoint`, `--otlp-header` |
//! | `PILOTFISH_BRIDGE_URL`, `PILOTFISH_BRIDGE_TOKEN` (may be `@FILE`), else `PILOTFISH_BRIDGE_TOKEN_FILE`, `PILOTFISH_BRIDGE_CONTROLLER` | `--bridge-url` and its like |
//! | `PILOTFISH_CONFINE` = `true`, `PILOTFISH_CONFINE_ALLOW` = `/a:/b` | `--confine`, `--confine-allow` |
//! | `JENKINS_JAVA_BIN`, `JAVA_HOME`, `JENKINS_JAVA_OPTS`, `JAVA_OPTS`, `JENKINS_AGENT_FILE` | for a JVM that the agent starts |

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jenkins_remoting::transport::{NoProxy, Proxy, ProxyOptions};

use super::arguments::{self, Given, Origin, Word};
use super::configuration::{JavaSettings, JvmMode};
use super::java_options::SystemProperties;
use super::mistake::Mistake;
use super::options::Opt;
use super::words;
use crate::secret::{SECRET_VARIABLES, Secret};

const REMOTING_OPTIONS: &str = "REMOTING_OPTS";

/// The variables that are read, with surrounding white space removed (a Kubernetes secret often ends
/// with a newline, which the entry point's word splitting drops). Empty ones count as not set.
#[derive(Debug)]
pub(super) struct Variables<'a>(HashMap<&'a str, Option<&'a str>>);

impl<'a> Variables<'a> {
    pub(super) fn new(variables: &'a [(OsString, OsString)]) -> Self {
        Self(
            variables
                .iter()
                .filter_map(|(name, value)| Some((name.to_str()?, value.to_str().map(str::trim))))
                .filter(|(_, value)| *value != Some(""))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied().flatten()
    }

    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
        names.iter().find_map(|&name| Some((name, self.get(name)?)))
    }

    fn is_not_utf8(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Option::is_none)
    }
}

/// The words of `REMOTING_OPTS` and then the arguments.
pub(super) fn words(
    arguments: &[OsString],
    variables: &Variables<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Word> {
    let mut found = Vec::new();
    if let Some(text) = variables.get(REMOTING_OPTIONS) {
        match words::split(text, &|name| variables.get(name).map(str::to_owned)) {
            Ok(words) => found.extend(
                words.into_iter().map(|text| Word { text, origin: Origin::RemotingOptions }),
            ),
            Err(error) => mistakes.push(error.into()),
        }
    }
    for (at, argument) in arguments.iter().enumerate() {
        match argument.to_str() {
            Some(text) => found.push(Word { text: text.to_owned(), origin: Origin::Argument }),
            None => mistakes.push(Mistake::NotUtf8 { what: format!("argument {}", at + 1) }),
        }
    }
    found
}

/// The variables that mean an option with a value; the first that is set counts.
const WITH_VALUE: &[(Opt, &[&str])] = &[
    (Opt::Url, &["JENKINS_URL"]),
    (Opt::Secret, &["JENKINS_SECRET", "JENKINS_SECRET_FILE"]),
    (Opt::Name, &["JENKINS_NAME", "JENKINS_AGENT_NAME"]),
    (Opt::WorkDir, &["JENKINS_AGENT_WORKDIR"]),
    (Opt::Tunnel, &["JENKINS_TUNNEL"]),
    (Opt::Direct, &["JENKINS_DIRECT_CONNECTION"]),
    (Opt::InstanceIdentity, &["JENKINS_INSTANCE_IDENTITY"]),
    (Opt::Protocols, &["JENKINS_PROTOCOLS"]),
    (Opt::LogFormat, &["PILOTFISH_LOG_FORMAT"]),
    (Opt::Jvm, &["PILOTFISH_JVM"]),
    (Opt::DrainTimeout, &["PILOTFISH_DRAIN_TIMEOUT"]),
    (Opt::MemoryMargin, &["PILOTFISH_MEMORY_MARGIN"]),
    (Opt::ConfineAllow, &["PILOTFISH_CONFINE_ALLOW"]),
    (Opt::HealthAddress, &["PILOTFISH_HEALTH_ADDRESS"]),
    (Opt::OtlpEndpoint, &["PILOTFISH_OTLP_ENDPOINT"]),
    (Opt::OtlpHeader, &["PILOTFISH_OTLP_HEADERS"]),
    (Opt::BridgeUrl, &["PILOTFISH_BRIDGE_URL"]),
    (Opt::BridgeToken, &["PILOTFISH_BRIDGE_TOKEN", "PILOTFISH_BRIDGE_TOKEN_FILE"]),
    (Opt::BridgeController, &["PILOTFISH_BRIDGE_CONTROLLER"]),
];

/// Adds the options that variables mean, where words do not give them.
pub(super) fn add_variables(
    given: &mut Given,
    variables: &Variables<'_>,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<String>,
) {
    for &(option, names) in WITH_VALUE {
        for &name in names.iter().filter(|name| variables.is_not_utf8(name)) {
            mistakes.push(Mistake::NotUtf8 { what: format!("the variable {name}") });
        }
        let Some((name, value)) = variables.first(names) else { continue };
        if let Some(explicit) = explicit_value(given, option) {
            if explicit != value {
                warnings.push(format!(
                    "{name} is not used: the arguments give {} another value",
                    option.name()
                ));
            } else if matches!(option, Opt::Secret | Opt::Name | Opt::WorkDir) {
                warnings.push(format!("{name} is given twice: as a variable and in the arguments"));
            }
            continue;
        }
        add_one(given, option, name, value, mistakes);
    }
    match variables.get("JENKINS_WEB_SOCKET") {
        None | Some("false") => {}
        Some("true") if given.has(Opt::WebSocket) => {}
        Some("true") => given.add(
            Opt::WebSocket,
            Word { text: String::new(), origin: Origin::Variable("JENKINS_WEB_SOCKET") },
        ),
        Some(other) => warnings.push(format!(
            "JENKINS_WEB_SOCKET={other} has no effect: only the exact value true switches WebSocket on"
        )),
    }
    match variables.get("PILOTFISH_CONFINE") {
        None | Some("false") => {}
        Some("true") if given.has(Opt::Confine) => {}
        Some("true") => given.add(
            Opt::Confine,
            Word { text: String::new(), origin: Origin::Variable("PILOTFISH_CONFINE") },
        ),
        // Whoever sets it wants a limit: without one the agent must not start.
        Some(_) => mistakes.push(Mistake::BadVariable {
            name: "PILOTFISH_CONFINE",
            problem: "expected true or false".to_owned(),
        }),
    }
    if variables.is_not_utf8(REMOTING_OPTIONS) {
        mistakes.push(Mistake::NotUtf8 { what: format!("the variable {REMOTING_OPTIONS}") });
    }
}

fn explicit_value(given: &Given, option: Opt) -> Option<&str> {
    let positional = match (option, given.positional.as_slice()) {
        (Opt::Secret, [secret, _]) => Some(secret),
        (Opt::Name, [_, name]) => Some(name),
        _ => None,
    };
    given.last(option).or(positional).map(|word| word.text.as_str())
}

fn add_one(
    given: &mut Given,
    option: Opt,
    name: &'static str,
    value: &str,
    mistakes: &mut Vec<Mistake>,
) {
    let path = match name {
        "JENKINS_SECRET_FILE" | "PILOTFISH_BRIDGE_TOKEN_FILE" => Some(value),
        "JENKINS_SECRET" | "PILOTFISH_BRIDGE_TOKEN" => value.strip_prefix('@'),
        _ => None,
    };
    let origin = Origin::Variable(name);
    match path {
        None if option == Opt::Protocols => {
            for protocol in value.split([' ', '\t', '\n', ',']).filter(|part| !part.is_empty()) {
                given.add(option, Word { text: protocol.to_owned(), origin: origin.clone() });
            }
        }
        None if option == Opt::OtlpHeader => {
            for header in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                given.add(option, Word { text: header.to_owned(), origin: origin.clone() });
            }
        }
        None if option == Opt::ConfineAllow => {
            for directory in value.split(':').filter(|part| !part.is_empty()) {
                given.add(option, Word { text: directory.to_owned(), origin: origin.clone() });
            }
        }
        None => given.add(option, Word { text: value.to_owned(), origin }),
        Some(path) => match secret_file(name, Path::new(path)) {
            Ok(text) => given.add(option, Word { text, origin }),
            Err(mistake) => {
                mistakes.push(mistake);
                // Present, so that it is not reported as missing too.
                given.add(option, Word { text: String::new(), origin });
            }
        },
    }
}

fn secret_file(name: &'static str, path: &Path) -> Result<String, Mistake> {
    let path = PathBuf::from(path);
    let text = arguments::read_file(&path).map_err(|problem| Mistake::File {
        path: path.clone(),
        option: Some(name),
        problem,
    })?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.count()) {
        (Some(line), 0) => Ok(line.to_owned()),
        (first, more) => {
            let lines = usize::from(first.is_some()) + more;
            Err(Mistake::ValueFile { option: name, path, lines })
        }
    }
}

/// Secrets in variables that are no longer told apart in `given`: unused or split ones, and the
/// whole of `REMOTING_OPTS` if a secret option stands in it, as quoting may have changed its text.
pub(super) fn secrets(variables: &Variables<'_>, given: &Given) -> Vec<Secret> {
    let mut found: Vec<Secret> =
        SECRET_VARIABLES.iter().filter_map(|name| variables.get(name).map(Secret::new)).collect();
    let quoted = given.options().any(|(option, _)| {
        option.spec().secret
            && given.all(option).iter().any(|word| word.origin == Origin::RemotingOptions)
    });
    let positional = given.positional.iter().any(|word| word.origin == Origin::RemotingOptions);
    if quoted || positional {
        found.extend(variables.get(REMOTING_OPTIONS).map(Secret::new));
    }
    found
}

/// Proxies: from the agent's own variables, else from the usual ones in either case, else from the
/// system properties for a JVM. `http_proxy` is for https too where nothing else is given, as the Java
/// agent knows only that one.
pub(super) fn proxy(
    variables: &Variables<'_>,
    java: &JavaSettings,
    given: &Given,
    mistakes: &mut Vec<Mistake>,
) -> ProxyOptions {
    let properties = SystemProperties::of(&java.options);
    let credentials = given.last(Opt::ProxyCredentials).map(|word| word.text.as_str());
    let credentials = credentials.or_else(|| properties.get("proxyCredentials"));
    let credentials = credentials.and_then(|pair| pair.split_once(':'));
    let mut read = |names: &[&'static str], property: Option<String>| {
        let (name, text) = match (variables.first(names), property) {
            (Some((name, text)), _) => (name, text.to_owned()),
            (None, Some(text)) => ("JAVA_OPTS", text),
            (None, None) => return None,
        };
        match Proxy::parse(&text) {
            Ok(proxy) => Some(match credentials {
                Some((user, password)) => proxy.with_credentials(user, password),
                None => proxy,
            }),
            Err(problem) => {
                mistakes.push(Mistake::BadVariable { name, problem: problem.to_string() });
                None
            }
        }
    };
    let http =
        read(&["JENKINS_HTTP_PROXY", "http_proxy", "HTTP_PROXY"], properties.proxy("http", "80"));
    let https = read(
        &["JENKINS_HTTPS_PROXY", "https_proxy", "HTTPS_PROXY"],
        properties.proxy("https", "443"),
    );
    let no_proxy = variables.first(&["JENKINS_NO_PROXY", "no_proxy", "NO_PROXY"]);
    let no_proxy = no_proxy.map(|(_, list)| list.to_owned()).or_else(|| properties.no_proxy());
    ProxyOptions {
        https: https.or_else(|| http.clone()),
        http,
        no_proxy: NoProxy::parse(&no_proxy.unwrap_or_default()),
    }
}

/// What a JVM that the agent starts is given.
pub(super) fn java(variables: &Variables<'_>, mode: JvmMode) -> JavaSettings {
    JavaSettings {
        mode,
        binary: variables.get("JENKINS_JAVA_BIN").map(PathBuf::from),
        home: variables.get("JAVA_HOME").map(PathBuf::from),
        options: variables
            .first(&["JENKINS_JAVA_OPTS", "JAVA_OPTS"])
            .map(|(_, text)| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        agent_file: variables.get("JENKINS_AGENT_FILE").map(PathBuf::from),
    }
}
