//! From given options to a [`Configuration`]: needs, conflicts and every value are checked, and all
//! mistakes are collected before any is reported.

mod transport;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jenkins_remoting::transport::{Secret, TlsContext, TlsOptions, TlsSetupError, Trust};

use super::arguments::{self, Given, Word};
use super::configuration::{
    Configuration, JvmMode, LogFormat, LoggingOptions, Reconnect, WorkDirectoryOptions,
};
use super::duration;
use super::environment::{self, Variables};
use super::mistake::{Mistake, Mistakes};
use super::options::Opt;
use crate::confine::ConfineOptions;
use crate::drain;
use crate::memory::Margin;
use crate::observe::ListenAddress;

/// Number of hexadecimal digits of a node's secret (HMAC-SHA256).
const SECRET_DIGITS: usize = 64;
/// Checks everything. The caller, who knows all secrets, fills in the environment and the warnings.
pub(super) fn configuration(
    given: &Given,
    variables: &Variables<'_>,
    mistakes: Vec<Mistake>,
    warnings: &mut Vec<String>,
) -> Result<Configuration, Mistakes> {
    let mut resolver = Resolver { given, mistakes, warnings };
    resolver.check_ignored();
    resolver.check_relations();
    let (secret, node_name) = resolver.credentials();
    let transport = resolver.transport();
    let reconnect = resolver.reconnect();
    let tls = TlsOptions {
        trust: resolver.trust(),
        cert_file: variables.get("SSL_CERT_FILE").map(PathBuf::from),
        cert_dir: variables.get("SSL_CERT_DIR").map(PathBuf::from),
    };
    resolver.pair(Opt::ProxyCredentials);
    let work_directory = resolver.work_directory();
    let logging = resolver.logging(variables);
    let confine = resolver.confine();
    let java = environment::java(variables, resolver.jvm(confine.is_some()));
    let drain_timeout = resolver.drain_timeout();
    let memory_margin = resolver.parsed(Opt::MemoryMargin, Margin::parse).unwrap_or_default();
    let health_address = resolver.parsed(Opt::HealthAddress, ListenAddress::parse);
    let collector = resolver.collector();
    let bridge = resolver.bridge();
    let proxy = environment::proxy(variables, &java, given, &mut resolver.mistakes);
    let jar_cache = resolver.path(Opt::JarCache);
    match (resolver.mistakes.is_empty(), transport, secret, node_name) {
        (true, Some(transport), Some(secret), Some(node_name)) => Ok(Configuration {
            node_name,
            secret,
            transport,
            reconnect,
            tls,
            proxy,
            work_directory,
            jar_cache,
            logging,
            java,
            drain_timeout,
            memory_margin,
            confine,
            health_address,
            collector,
            bridge,
            one_use: None,
            environment: Vec::new(),
            warnings: Vec::new(),
        }),
        _ => Err(Mistakes(resolver.mistakes)),
    }
}

struct Resolver<'a> {
    given: &'a Given,
    mistakes: Vec<Mistake>,
    warnings: &'a mut Vec<String>,
}

impl Resolver<'_> {
    fn bad(&mut self, option: Opt, word: &Word, problem: impl Into<String>) {
        self.mistakes.push(Mistake::bad_value(option, &word.origin, problem));
    }

    fn check_ignored(&mut self) {
        for (option, word) in self.given.options().filter(|(option, _)| option.spec().ignored) {
            let line = match option {
                Opt::Text => format!(
                    "-text{} has no effect: it is for standard input and output",
                    word.origin
                ),
                _ => format!(
                    "The \"{}\" argument{} is deprecated and has no effect",
                    option.name(),
                    word.origin
                ),
            };
            self.warnings.push(line);
        }
    }

    fn check_relations(&mut self) {
        let mut reported = BTreeSet::new();
        for (option, word) in self.given.options() {
            let spec = option.spec();
            for &needed in spec.needs {
                if self.given.has(needed) {
                    continue;
                }
                // A missing -url is reported once, with the other missing things.
                if option == Opt::WebSocket {
                    continue;
                }
                let needed_for = match needed.spec().value {
                    Some(value) => {
                        format!("add {} {value}, or remove {}", needed.name(), spec.name)
                    }
                    None => format!("add {}, or remove {}", needed.name(), spec.name),
                };
                self.mistakes.push(Mistake::Needs {
                    option: spec.name,
                    origin: word.origin.clone(),
                    needed: needed.name(),
                    needed_for,
                });
            }
            for &other in spec.forbids {
                let Some(other_word) = self.given.last(other) else { continue };
                if reported.insert((option.min(other), option.max(other))) {
                    self.mistakes.push(Mistake::Conflict {
                        option: spec.name,
                        origin: word.origin.clone(),
                        other: other.name(),
                        other_origin: other_word.origin.clone(),
                    });
                }
            }
        }
    }

    /// The secret and the node's name, from options or from the pair `SECRET NAME`.
    fn credentials(&mut self) -> (Option<Secret>, Option<String>) {
        let mut secret = self.given.last(Opt::Secret);
        let mut name = self.given.last(Opt::Name);
        match self.given.positional.as_slice() {
            [] => {}
            [first, second] => {
                for (option, word) in [(Opt::Secret, &mut secret), (Opt::Name, &mut name)] {
                    if let Some(word) = word {
                        self.mistakes.push(Mistake::PositionalConflict {
                            option: option.name(),
                            origin: word.origin.clone(),
                        });
                    }
                }
                self.warnings.push(
                    "Providing the secret and agent name as positional arguments is deprecated; use \
                     \"-secret\" and \"-name\" instead."
                        .to_owned(),
                );
                (secret, name) = (Some(first), Some(second));
            }
            [first, ..] => self.mistakes.push(Mistake::Positional {
                count: self.given.positional.len(),
                origin: first.origin.clone(),
            }),
        }
        if !self.is_inbound() {
            // Reported as a whole by `transport`.
            return (None, None);
        }
        // A wrong number of positional arguments most likely holds both: one mistake is enough.
        let unclear = !matches!(self.given.positional.len(), 0 | 2);
        if secret.is_none() && !unclear && !self.has_mistake_about(Opt::Secret) {
            self.mistakes.push(Mistake::Missing {
                what: "the secret",
                how: "add -secret SECRET or -secret @FILE, or set JENKINS_SECRET; the node's page on the \
                      controller shows it",
            });
        }
        if name.is_none()
            && !unclear
            && !self.has_mistake_about(Opt::Name)
            && !self.given.has(Opt::JnlpUrl)
        {
            self.mistakes.push(Mistake::Missing {
                what: "the node's name",
                how: "add -name NAME or set JENKINS_AGENT_NAME",
            });
        }
        (secret.and_then(|word| self.secret(word)), name.and_then(|word| self.node_name(word)))
    }

    fn secret(&mut self, word: &Word) -> Option<Secret> {
        let text = word.text.trim();
        if text.is_empty() {
            if !self
                .mistakes
                .iter()
                .any(|mistake| matches!(mistake, Mistake::File { .. } | Mistake::ValueFile { .. }))
            {
                self.bad(
                    Opt::Secret,
                    word,
                    "the value is empty: copy the secret from the node's page",
                );
            }
            return None;
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.bad(
                Opt::Secret,
                word,
                "the value has characters that no secret has (not shown): copy it from the node's page",
            );
            return None;
        }
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != SECRET_DIGITS || !hexadecimal {
            self.warnings.push(format!(
                "-secret{} does not look like a node's secret ({SECRET_DIGITS} hexadecimal digits; it has \
                 {} characters): if the controller refuses it, copy it from the node's page",
                word.origin,
                text.len()
            ));
        }
        Some(Secret::new(text))
    }

    fn node_name(&mut self, word: &Word) -> Option<String> {
        if word.text.is_empty() {
            self.bad(Opt::Name, word, "the value is empty: give the node's name");
            return None;
        }
        if word.text.chars().any(char::is_control) {
            self.bad(Opt::Name, word, "the value has control characters: give the node's name");
            return None;
        }
        Some(word.text.clone())
    }

    fn has_mistake_about(&self, option: Opt) -> bool {
        self.mistakes.iter().any(|mistake| match mistake {
            Mistake::MissingValue { option: about, .. }
            | Mistake::BadValue { option: about, .. }
            | Mistake::ValueFile { option: about, .. } => *about == option.name(),
            Mistake::File { option: about, .. } => *about == Some(option.name()),
            _ => false,
        })
    }

    fn is_inbound(&self) -> bool {
        [Opt::Url, Opt::Direct, Opt::JnlpUrl, Opt::Secret, Opt::Name, Opt::WebSocket]
            .iter()
            .any(|&option| self.given.has(option) || self.has_mistake_about(option))
            || !self.given.positional.is_empty()
    }

    fn parsed<T>(&mut self, option: Opt, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let word = self.given.last(option)?;
        parse(&word.text).map_err(|problem| self.bad(option, word, problem)).ok()
    }

    /// A value of the form `USER:PASSWORD`.
    fn pair(&mut self, option: Opt) -> Option<Secret> {
        self.parsed(option, |text| match text.split_once(':') {
            Some((user, _)) if !user.is_empty() => Ok(Secret::new(text)),
            _ => Err("expected USER:PASSWORD (not shown)".to_owned()),
        })
    }

    fn reconnect(&mut self) -> Reconnect {
        if self.given.has(Opt::NoReconnect) {
            return Reconnect::Never;
        }
        let limit = self.parsed(Opt::NoReconnectAfter, |text| {
            duration::parse(text)
                .ok_or_else(|| format!("{text:?} is no duration: expected {}", duration::FORMATS))
        });
        limit.map_or(Reconnect::Always, Reconnect::GiveUpAfter)
    }

    fn drain_timeout(&mut self) -> Duration {
        let timeout = self.parsed(Opt::DrainTimeout, |text| match duration::parse(text) {
            // Elsewhere these are milliseconds, which nobody would guess here.
            Some(time) if !time.is_zero() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Err(format!("{text:?} has no unit: write {text}s for seconds"))
            }
            Some(time) => Ok(time),
            None => Err(format!("{text:?} is no duration: expected a number with s, m or h, or 0")),
        });
        timeout.unwrap_or(drain::DEFAULT_TIMEOUT)
    }

    fn trust(&mut self) -> Trust {
        if self.given.has(Opt::NoCertificateCheck) {
            self.warnings.push(
                "HTTPS certificate validation is switched off: anyone on the network path can read the \
                 secret. Use -cert @FILE with the controller's certificate instead."
                    .to_owned(),
            );
            return Trust::NoCheck;
        }
        let mut certificates = Vec::new();
        for word in self.given.all(Opt::Cert) {
            let text = match word.text.strip_prefix('@') {
                None => word.text.clone(),
                Some(path) => match arguments::read_file(Path::new(path)) {
                    Ok(text) => text,
                    Err(problem) => {
                        let option = Some(Opt::Cert.name());
                        self.mistakes.push(Mistake::File { path: path.into(), option, problem });
                        continue;
                    }
                },
            };
            match certificate_problem(&text) {
                None => certificates.push(text),
                Some(problem) => self.bad(
                    Opt::Cert,
                    word,
                    format!(
                        "this is no certificate in PEM form ({problem}): give its text, or @ and the \
                         path of a PEM file"
                    ),
                ),
            }
        }
        if certificates.is_empty() { Trust::System } else { Trust::Only(certificates) }
    }

    fn path(&mut self, option: Opt) -> Option<PathBuf> {
        self.parsed(option, |text| match text {
            "" => Err("the path is empty: give one".to_owned()),
            _ if text.contains('\0') => Err("the path has a NUL character".to_owned()),
            _ => Ok(PathBuf::from(text)),
        })
    }

    fn work_directory(&mut self) -> Option<WorkDirectoryOptions> {
        let internal_name = self.parsed(Opt::InternalDir, |text| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            // The Java agent's pattern lets these two through, and would then use the work directory
            // itself or its parent.
            if text.is_empty() || text == "." || text == ".." || !text.bytes().all(allowed) {
                return Err(format!(
                    "{text:?} is no directory name: use letters, digits, dots, underscores and dashes \
                     ([a-zA-Z0-9._-]*)"
                ));
            }
            Ok(text.to_owned())
        });
        Some(WorkDirectoryOptions {
            path: self.path(Opt::WorkDir)?,
            internal_name: internal_name.unwrap_or_else(|| "remoting".to_owned()),
            must_exist: self.given.has(Opt::FailIfWorkDirIsMissing),
        })
    }

    fn confine(&mut self) -> Option<ConfineOptions> {
        let mut allowed = Vec::new();
        for word in self.given.all(Opt::ConfineAllow) {
            if word.text.starts_with('/') && !word.text.contains('\0') {
                allowed.push(PathBuf::from(&word.text));
            } else {
                self.bad(Opt::ConfineAllow, word, "expected the absolute path of a directory");
            }
        }
        self.given.has(Opt::Confine).then_some(ConfineOptions { allowed })
    }

    fn jvm(&mut self, confined: bool) -> JvmMode {
        let mode = self.parsed(Opt::Jvm, |text| match text {
            "never" => Ok(JvmMode::Never),
            "lazy" => Ok(JvmMode::Lazy),
            "eager" => Ok(JvmMode::Eager),
            _ => Err(format!("{text:?} is no time to start a JVM: use never, lazy or eager")),
        });
        if confined && mode.is_some_and(|mode| mode != JvmMode::Never) {
            self.warnings.push(
                "--jvm allows the controller's own code to run, which --confine does not limit: use --jvm never \
                 unless you trust the controller"
                    .to_owned(),
            );
        }
        mode.unwrap_or(if confined { JvmMode::Never } else { JvmMode::default() })
    }

    fn logging(&mut self, variables: &Variables<'_>) -> LoggingOptions {
        let format = self.parsed(Opt::LogFormat, |text| match text {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("{text:?} is no log format: use human or json")),
        });
        LoggingOptions {
            agent_log: self.path(Opt::AgentLog),
            java_config: self.path(Opt::LoggingConfig),
            format: format.unwrap_or_default(),
            filter: variables.get("PILOTFISH_LOG").map(str::to_owned),
        }
    }
}

/// Why a text cannot be used as `-cert`.
fn certificate_problem(text: &str) -> Option<String> {
    let trust = Trust::Only(vec![text.to_owned()]);
    match TlsContext::new(TlsOptions { trust, ..TlsOptions::default() }).prepare() {
        Ok(_) => None,
        Err(TlsSetupError::BadCertificate { detail, .. }) => Some(detail),
        Err(other) => Some(other.to_string()),
    }
}
