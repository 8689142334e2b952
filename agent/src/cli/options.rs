//! The table of options. Names, aliases, needs and conflicts are those of `hudson.remoting.Launcher`.

/// An option, independent of its spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each option is described once, in its row of OPTIONS")]
pub enum Opt {
    Url,
    Secret,
    Name,
    WebSocket,
    WebSocketHeader,
    Direct,
    InstanceIdentity,
    Protocols,
    Tunnel,
    Credentials,
    ProxyCredentials,
    NoReconnect,
    NoReconnectAfter,
    NoKeepAlive,
    WorkDir,
    InternalDir,
    FailIfWorkDirIsMissing,
    JarCache,
    AgentLog,
    LoggingConfig,
    LogFormat,
    Jvm,
    DrainTimeout,
    MemoryMargin,
    Confine,
    ConfineAllow,
    HealthAddress,
    OtlpEndpoint,
    OtlpHeader,
    BridgeUrl,
    BridgeToken,
    BridgeController,
    Cert,
    NoCertificateCheck,
    JnlpUrl,
    Text,
    Ping,
    Tcp,
    Auth,
    ConnectTo,
    Headless,
    Help,
    Version,
    ProductVersion,
}

/// One row of the table.
#[derive(Debug)]
pub struct OptionSpec {
    /// The option.
    pub option: Opt,
    /// The spelling that messages use.
    pub name: &'static str,
    /// Other accepted spellings.
    pub aliases: &'static [&'static str],
    /// What the value is, or `None` for an option without one.
    pub value: Option<&'static str>,
    /// Whether all values count. Otherwise the last one does.
    pub repeatable: bool,
    /// Options without which this one is a mistake.
    pub needs: &'static [Opt],
    /// Options with which this one is a mistake.
    pub forbids: &'static [Opt],
    /// Accepted and not used.
    pub ignored: bool,
    /// Whether the value is a secret.
    pub secret: bool,
    /// One or two sentences for `-help`.
    pub help: &'static str,
}

const PLAIN: OptionSpec = OptionSpec {
    option: Opt::Help,
    name: "",
    aliases: &[],
    value: None,
    repeatable: false,
    needs: &[],
    forbids: &[],
    ignored: false,
    secret: false,
    help: "",
};

/// All options, in the order of `-help`.
pub static OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        option: Opt::Url,
        name: "-url",
        value: Some("URL"),
        repeatable: true,
        help: "Root URL of the controller. Variable: JENKINS_URL.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Secret,
        name: "-secret",
        value: Some("SECRET"),
        secret: true,
        help: "The node's secret, 64 hexadecimal digits, or @FILE with one line. Variables: \
               JENKINS_SECRET, or JENKINS_SECRET_FILE with a path.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Name,
        name: "-name",
        value: Some("NAME"),
        help: "Name of the node. Variables: JENKINS_NAME, JENKINS_AGENT_NAME.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::WebSocket,
        name: "-webSocket",
        needs: &[Opt::Url],
        forbids: &[Opt::Direct, Opt::Tunnel, Opt::Credentials, Opt::NoKeepAlive],
        help: "Connect over WebSocket, through the controller's HTTP port. Variable: \
               JENKINS_WEB_SOCKET=true.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::WebSocketHeader,
        name: "-webSocketHeader",
        value: Some("NAME=VALUE"),
        repeatable: true,
        needs: &[Opt::WebSocket],
        secret: true,
        help: "A further header of the WebSocket request. May be repeated.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::WorkDir,
        name: "-workDir",
        value: Some("DIR"),
        help: "Work directory; holds the agent's logs. Variable: JENKINS_AGENT_WORKDIR.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::InternalDir,
        name: "-internalDir",
        value: Some("NAME"),
        needs: &[Opt::WorkDir],
        help: "Directory inside the work directory for the agent's own files. Default: remoting.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::FailIfWorkDirIsMissing,
        name: "-failIfWorkDirIsMissing",
        needs: &[Opt::WorkDir],
        help: "Exit when the work directory does not exist, instead of creating it.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::JarCache,
        name: "-jar-cache",
        value: Some("DIR"),
        help: "Where jar files of the controller are kept. Default: <workDir>/remoting/jarCache, \
               else ~/.jenkins/cache/jars.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::NoReconnect,
        name: "-noReconnect",
        aliases: &["-noreconnect"],
        forbids: &[Opt::NoReconnectAfter],
        help: "Exit when the connection ends instead of connecting again.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::NoReconnectAfter,
        name: "-noReconnectAfter",
        value: Some("DURATION"),
        forbids: &[Opt::NoReconnect],
        help: "Give up after failing to connect for that long: 90s, 15m, 2h, 1d, PT15M, or a number of \
               milliseconds.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Cert,
        name: "-cert",
        value: Some("PEM"),
        repeatable: true,
        forbids: &[Opt::NoCertificateCheck],
        help: "Trust only these certificates for https: PEM text, or @FILE. May be repeated.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::NoCertificateCheck,
        name: "-noCertificateCheck",
        aliases: &["-disableHttpsCertValidation"],
        forbids: &[Opt::Cert],
        help: "Do not verify the controller's certificate. Anyone on the network path can then read the \
               secret; prefer -cert.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::ProxyCredentials,
        name: "-proxyCredentials",
        value: Some("USER:PASSWORD"),
        secret: true,
        help: "Credentials for the HTTP proxy. The proxy itself comes from https_proxy, http_proxy and \
               no_proxy.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::AgentLog,
        name: "-agentLog",
        value: Some("FILE"),
        help: "Write the log to FILE too, instead of <workDir>/remoting/logs.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::LoggingConfig,
        name: "-loggingConfig",
        value: Some("FILE"),
        help: "Log levels and handlers from a java.util.logging properties file.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::LogFormat,
        name: "--log-format",
        value: Some("human|json"),
        help: "Format of log lines. Variable: PILOTFISH_LOG_FORMAT. Levels: PILOTFISH_LOG=debug or \
               PILOTFISH_LOG=info,jenkins_remoting=trace.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Jvm,
        name: "--jvm",
        value: Some("never|lazy|eager"),
        help: "When to start a JVM for requests that are not answered natively: never, with the first of \
               them (lazy, the default), or with each connection. Variable: PILOTFISH_JVM. Java is found \
               by JENKINS_JAVA_BIN, else JAVA_HOME, else PATH; JENKINS_JAVA_OPTS are for it.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::DrainTimeout,
        name: "--drain-timeout",
        value: Some("DURATION"),
        help: "How long builds may go on after SIGTERM (20s): the agent serves those that it runs, refuses others, and \
               ends after the last one. 0 ends it at once. Kubernetes must wait longer than this \
               (terminationGracePeriodSeconds). Variable: PILOTFISH_DRAIN_TIMEOUT.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::MemoryMargin,
        name: "--memory-margin",
        value: Some("MARGIN"),
        help: "How far below the container's memory limit the agent ends the largest process of the builds, where \
               the kernel would end the whole container (memory.oom.group is 1): auto (3 %, 16m to 256m), off, a \
               share such as 5%, or a size such as 64m. Variable: PILOTFISH_MEMORY_MARGIN.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Confine,
        name: "--confine",
        needs: &[Opt::WorkDir],
        help: "Let the controller's file operations touch the work directory and nothing else. Processes that builds \
               launch are not limited. No JVM is started, unless --jvm asks for one. Variable: \
               PILOTFISH_CONFINE=true.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::ConfineAllow,
        name: "--confine-allow",
        value: Some("DIR"),
        repeatable: true,
        needs: &[Opt::Confine],
        help: "Another directory that --confine allows. May be repeated. Variable: PILOTFISH_CONFINE_ALLOW, with \
               colons between directories.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::HealthAddress,
        name: "--health-address",
        value: Some("HOST:PORT"),
        help: "Serve /healthz, /readyz and /metrics (Prometheus) over HTTP at this address; :PORT takes all addresses. \
               Nothing is served without it. Variable: PILOTFISH_HEALTH_ADDRESS.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::OtlpEndpoint,
        name: "--otlp-endpoint",
        value: Some("URL"),
        secret: true,
        help: "Send a span of each request to this OpenTelemetry collector (OTLP over HTTP; /v1/traces is added). The \
               agent ignores the variables of OpenTelemetry, which are for builds. Variable: \
               PILOTFISH_OTLP_ENDPOINT.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::OtlpHeader,
        name: "--otlp-header",
        value: Some("NAME=VALUE"),
        repeatable: true,
        needs: &[Opt::OtlpEndpoint],
        secret: true,
        help: "A header for the collector, as for its token. May be repeated. Variable: PILOTFISH_OTLP_HEADERS, with \
               commas between headers.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::BridgeUrl,
        name: "--bridge-url",
        value: Some("URL"),
        needs: &[Opt::BridgeToken, Opt::BridgeController],
        help: "On SIGTERM, ask this pilotfish-bridge to have the controller send the node no more builds; at start, to \
               undo that. It is told what the stages of its plans used. Variable: PILOTFISH_BRIDGE_URL.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::BridgeToken,
        name: "--bridge-token",
        value: Some("TOKEN"),
        needs: &[Opt::BridgeUrl],
        secret: true,
        help: "Access token for the bridge with the scopes nodes:drain and usage:report, or @FILE with one line. Variables: \
               PILOTFISH_BRIDGE_TOKEN, or PILOTFISH_BRIDGE_TOKEN_FILE with a path.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::BridgeController,
        name: "--bridge-controller",
        value: Some("NAME"),
        needs: &[Opt::BridgeUrl],
        help: "What the bridge calls the controller. Variable: PILOTFISH_BRIDGE_CONTROLLER.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Direct,
        name: "-direct",
        aliases: &["-directConnection"],
        value: Some("HOST:PORT"),
        needs: &[Opt::InstanceIdentity],
        forbids: &[Opt::JnlpUrl, Opt::Url, Opt::Tunnel],
        help: "TCP: connect to this address with no HTTP request. Variable: JENKINS_DIRECT_CONNECTION.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::InstanceIdentity,
        name: "-instanceIdentity",
        value: Some("BASE64"),
        needs: &[Opt::Direct],
        help: "TCP: public key that the controller must prove. Variable: JENKINS_INSTANCE_IDENTITY.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Protocols,
        name: "-protocols",
        value: Some("NAME"),
        repeatable: true,
        needs: &[Opt::Direct],
        help: "TCP: protocols to try, all if not given. May be repeated. Variable: JENKINS_PROTOCOLS.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Tunnel,
        name: "-tunnel",
        value: Some("HOST:PORT"),
        help: "TCP: connect here instead of to the advertised address; HOST: and :PORT replace a part. \
               Variable: JENKINS_TUNNEL.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Credentials,
        name: "-credentials",
        aliases: &["-jnlpCredentials"],
        value: Some("USER:PASSWORD"),
        secret: true,
        help: "TCP: HTTP Basic credentials for the controller's discovery page.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::NoKeepAlive,
        name: "-noKeepAlive",
        help: "TCP: do not set keep-alive on the socket.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::JnlpUrl,
        name: "-jnlpUrl",
        value: Some("URL"),
        forbids: &[Opt::Direct, Opt::Name, Opt::Tunnel, Opt::Url, Opt::WebSocket],
        help: "Not in this version: use -url and -name.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Text,
        name: "-text",
        ignored: true,
        help: "No effect: only for standard input and output.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Ping,
        name: "-ping",
        ignored: true,
        help: "Deprecated, no effect.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Tcp,
        name: "-tcp",
        value: Some("FILE"),
        ignored: true,
        help: "Deprecated, no effect.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Auth,
        name: "-auth",
        value: Some("USER:PASSWORD"),
        ignored: true,
        secret: true,
        help: "Deprecated, no effect.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::ConnectTo,
        name: "-connectTo",
        value: Some("HOST:PORT"),
        ignored: true,
        help: "Deprecated, no effect.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Headless,
        name: "-headless",
        ignored: true,
        help: "Deprecated, no effect.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Help,
        name: "-help",
        aliases: &["--help"],
        help: "Print this text.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::Version,
        name: "-version",
        help: "Print the version of the remoting protocol that the agent reports to the controller.",
        ..PLAIN
    },
    OptionSpec {
        option: Opt::ProductVersion,
        name: "--version",
        help: "Print the version of this program.",
        ..PLAIN
    },
];

impl Opt {
    /// The row of this option.
    #[must_use]
    pub fn spec(self) -> &'static OptionSpec {
        OPTIONS.iter().find(|spec| spec.option == self).unwrap_or(&PLAIN)
    }

    /// The spelling that messages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}

/// The option with exactly this spelling.
pub(super) fn named(word: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|spec| spec.name == word || spec.aliases.contains(&word))
}

/// An option of our own and its value, written as one word: `--name=value`.
pub(super) fn with_value(word: &str) -> Option<(&'static OptionSpec, &str)> {
    let (name, value) = word.split_once('=')?;
    let spec = named(name)?;
    (name.starts_with("--") && spec.value.is_some()).then_some((spec, value))
}

/// The option that was probably meant: other case, another number of dashes, `=value` behind it, or
/// one or two letters off.
pub(super) fn probably(word: &str) -> Option<&'static OptionSpec> {
    let bare = |word: &str| word.trim_start_matches('-').to_ascii_lowercase();
    let meant = bare(word.split('=').next().unwrap_or(word));
    let (distance, spec) = OPTIONS
        .iter()
        .flat_map(|spec| {
            std::iter::once(&spec.name).chain(spec.aliases).map(move |name| (bare(name), spec))
        })
        .map(|(name, spec)| (edit_distance(&meant, &name), spec))
        .min_by_key(|&(distance, _)| distance)?;
    (distance <= (meant.len().min(12) + 2) / 4).then_some(spec)
}

/// Longest word that is compared; a longer one is no misspelt option.
const LONGEST_COMPARED: usize = 64;

fn edit_distance(left: &str, right: &str) -> usize {
    if left.len() > LONGEST_COMPARED {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
