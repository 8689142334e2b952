//! The command line as a whole: every row of the table, every rule, all mistakes at once.

mod secrets;
mod tcp;
mod variables;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use jenkins_remoting::transport::Trust;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const BASE: &str = "-url http://c/ -secret 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef \
                    -name n -webSocket";
/// The SubjectPublicKeyInfo of a 512-bit RSA key, made for this test.
const IDENTITY: &str = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKbmkLqBR3JTXl4Ei7z9YBYBZ0qbBKcUD0S4xqCw4Y0mSx0Y1pTg3NXjJW5bD9C0\
                        7G9rW0iE7mVbnMZmYkXy8WsCAwEAAQ==";

fn outcome(arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let variables: Vec<(OsString, OsString)> =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    parse(&arguments, &variables)
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Configuration {
    match outcome(arguments, variables).result {
        Ok(Invocation::Run(configuration)) => *configuration,
        Ok(other) => panic!("{other:?}"),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// The base configuration and more words.
fn run(more: &str) -> Configuration {
    run_with(&words(&format!("{BASE} {more}")), &[])
}

fn mistakes_with(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    match outcome(arguments, variables).result {
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        Ok(invocation) => panic!("accepted: {invocation:?}"),
    }
}

fn mistakes(more: &str) -> Vec<String> {
    mistakes_with(&words(&format!("{BASE} {more}")), &[])
}

fn websocket(configuration: &Configuration) -> (String, Vec<(&str, &str)>) {
    let Transport::WebSocket { url, headers } = &configuration.transport else { panic!() };
    let headers = headers.iter().map(|header| (header.name.as_str(), header.value.expose()));
    (url.to_string(), headers.collect())
}

#[test]
fn the_usual_command_line() {
    let configuration = run("-workDir /w");
    assert_eq!(configuration.node_name, "n");
    assert_eq!(configuration.secret.expose(), SECRET);
    assert_eq!(websocket(&configuration), ("http://c/".to_owned(), vec![]));
    assert_eq!(configuration.reconnect, Reconnect::Always);
    assert!(matches!(configuration.tls.trust, Trust::System));
    assert_eq!(
        configuration.work_directory,
        Some(WorkDirectoryOptions {
            path: "/w".into(),
            internal_name: "remoting".to_owned(),
            must_exist: false
        })
    );
    assert_eq!(configuration.logging, LoggingOptions::default());
    assert_eq!(configuration.warnings, Vec::<String>::new());
}

#[test]
fn each_option_sets_its_field() {
    let all = run(
        "-webSocketHeader A=b=c -webSocketHeader X-T=1 -workDir w -internalDir in.ter-n_1 \
                   -failIfWorkDirIsMissing -jar-cache /j -agentLog /l -loggingConfig /c -noReconnectAfter 90s \
                   -proxyCredentials u:p:q --log-format json --jvm=never",
    );
    assert_eq!(websocket(&all).1, [("A", "b=c"), ("X-T", "1")]);
    assert_eq!(
        all.work_directory,
        Some(WorkDirectoryOptions {
            path: "w".into(),
            internal_name: "in.ter-n_1".to_owned(),
            must_exist: true
        })
    );
    assert_eq!(all.jar_cache, Some("/j".into()));
    assert_eq!(all.logging.agent_log, Some("/l".into()));
    assert_eq!(all.logging.java_config, Some("/c".into()));
    assert_eq!(all.logging.format, LogFormat::Json);
    assert_eq!(all.java.mode, JvmMode::Never);
    assert_eq!(run("--jvm eager --log-format=json").java.mode, JvmMode::Eager);
    assert_eq!(run("").java.mode, JvmMode::Lazy);
    assert_eq!(all.reconnect, Reconnect::GiveUpAfter(Duration::from_secs(90)));
    assert!(all.proxy.http.is_none());
    assert_eq!(run("-noReconnect").reconnect, Reconnect::Never);
    assert_eq!(run("-noreconnect").reconnect, Reconnect::Never);
    for spelling in ["-noCertificateCheck", "-disableHttpsCertValidation"] {
        let open = run(spelling);
        assert!(matches!(open.tls.trust, Trust::NoCheck));
        assert!(open.warnings[0].starts_with("HTTPS certificate validation is switched off"));
    }
    assert_eq!(
        run("-noReconnectAfter 1d -noReconnectAfter 2").reconnect,
        Reconnect::GiveUpAfter(Duration::from_millis(2))
    );
}

#[test]
fn debug_of_everything_shows_no_secret() {
    let variables = [
        ("JENKINS_SECRET", SECRET),
        ("REMOTING_OPTS", "-proxyCredentials u:hunter2hunter2"),
        ("http_proxy", "http://u:proxypassword@p:1"),
    ];
    let outcome = outcome(
        &words("-url http://c -name n -webSocket -webSocketHeader A=topsecretvalue"),
        &variables,
    );
    let shown = format!("{outcome:?}");
    for secret in [SECRET, "hunter2hunter2", "topsecretvalue"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
        assert!(outcome.secrets.iter().any(|found| found.expose().contains(secret)), "{secret}");
    }
}

#[test]
fn words_that_end_the_program_at_once() {
    assert!(matches!(outcome(&["-help"], &[]).result, Ok(Invocation::Help)));
    assert!(matches!(outcome(&["-version"], &[]).result, Ok(Invocation::RemotingVersion)));
    assert!(matches!(outcome(&["--version"], &[]).result, Ok(Invocation::ProductVersion)));
    // Also beside mistakes.
    assert!(matches!(outcome(&["-bad", "-help"], &[]).result, Ok(Invocation::Help)));
    assert!(matches!(
        outcome(&["callables"], &[("JENKINS_URL", "http://c")]).result,
        Ok(Invocation::Subcommand(Subcommand::Callables))
    ));
    let Ok(Invocation::Execute(command)) =
        outcome(&["bash"], &[("JENKINS_URL", "http://c")]).result
    else {
        panic!()
    };
    assert_eq!(command, "bash");
    assert!(matches!(outcome(&["/x/callables"], &[]).result, Ok(Invocation::Execute(_))));
    assert!(outcome(&["bash", "-c"], &[]).result.is_err());
}

#[test]
fn nothing_given_says_what_this_program_is() {
    for arguments in [&[][..], &["-text"], &["-noReconnect"]] {
        let found = mistakes_with(arguments, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("nothing says where to connect: this program is an inbound agent")
        );
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let found = outcome(
        &words(
            "-websocket --url=http://c -secret -name n -direct h:x -tunnel zz -noReconnect \
             -noReconnectAfter soon -internalDir a/b -webSocketHeader Secret-Key=topsecret \
             -webSocketHeader broken -cert nothing -proxyCredentials hunter2 -protocols",
        ),
        &[("REMOTING_OPTS", "-x $(id)"), ("JENKINS_WEB_SOCKET", "TRUE")],
    );
    let text = found.result.unwrap_err().to_string();
    insta::assert_snapshot!(text, @r#"
    the configuration is wrong in 19 places:
      - REMOTING_OPTS: command substitution at character 4 is not executed: set the variable to the command's output, or put single quotes around the text
      - "-websocket" is not a valid option: did you mean -webSocket?
      - "--url=…" is not a valid option: write the value as the next argument, -url VALUE
      - -secret needs a value: -secret SECRET
      - -protocols needs a value: -protocols NAME
      - -webSocket cannot be used with -direct: remove one of the two
      - -webSocket cannot be used with -tunnel: remove one of the two
      - -direct needs -instanceIdentity: add -instanceIdentity BASE64, or remove -direct
      - -direct cannot be used with -url: remove one of the two
      - -direct cannot be used with -tunnel: remove one of the two
      - -noReconnect cannot be used with -noReconnectAfter: remove one of the two
      - -internalDir needs -workDir: add -workDir DIR, or remove -internalDir
      - -webSocketHeader: the agent sets the header Secret-Key itself: remove it
      - -webSocketHeader: expected NAME=VALUE (not shown): add the =
      - -tunnel: expected HOST:PORT, HOST: or :PORT
      - -direct: "x" is no port: expected a number from 1 to 65535
      - -cert: this is no certificate in PEM form (it has no `-----BEGIN CERTIFICATE-----` block): give its text, or @ and the path of a PEM file
      - -proxyCredentials: expected USER:PASSWORD (not shown)
      - -internalDir: "a/b" is no directory name: use letters, digits, dots, underscores and dashes ([a-zA-Z0-9._-]*)
    Run with -help for all options.
    "#);
    assert_eq!(
        found.warnings,
        ["JENKINS_WEB_SOCKET=TRUE has no effect: only the exact value true switches WebSocket on"]
    );
}

#[test]
fn missing_things_are_listed_together() {
    insta::assert_snapshot!(mistakes_with(&["-webSocket"], &[]).join("\n"), @r"
    the secret is missing: add -secret SECRET or -secret @FILE, or set JENKINS_SECRET; the node's page on the controller shows it
    the node's name is missing: add -name NAME or set JENKINS_AGENT_NAME
    the controller's URL is missing: add -url URL or set JENKINS_URL
    ");
}

#[test]
fn needs_and_conflicts() {
    for (more, expected) in [
        ("-tunnel h:1", "-webSocket cannot be used with -tunnel: remove one of the two"),
        ("-credentials u:p", "-webSocket cannot be used with -credentials: remove one of the two"),
        (
            "-jnlpCredentials u:p",
            "-webSocket cannot be used with -credentials: remove one of the two",
        ),
        ("-noKeepAlive", "-webSocket cannot be used with -noKeepAlive: remove one of the two"),
        (
            "-noReconnect -noReconnectAfter 1",
            "-noReconnect cannot be used with -noReconnectAfter: remove one of the two",
        ),
        ("-internalDir x", "-internalDir needs -workDir: add -workDir DIR, or remove -internalDir"),
        (
            "-failIfWorkDirIsMissing",
            "-failIfWorkDirIsMissing needs -workDir: add -workDir DIR, or remove -failIfWorkDirIsMissing",
        ),
        (
            "-instanceIdentity MBowDQYJKoZIhvcNAQEBBQADCQAwBgIBBwIBAw==",
            "-instanceIdentity needs -direct: add -direct HOST:PORT, or remove -instanceIdentity",
        ),
        ("-protocols P", "-protocols needs -direct: add -direct HOST:PORT, or remove -protocols"),
        ("-url http://d", "-url: with -webSocket only one URL is allowed: remove the others"),
    ] {
        assert_eq!(mistakes(more), [expected], "{more}");
    }
    let header = mistakes_with(
        &words(&format!("-url http://c -secret {SECRET} -name n -webSocketHeader A=b")),
        &[],
    );
    assert_eq!(
        header[0],
        "-webSocketHeader needs -webSocket: add -webSocket, or remove -webSocketHeader"
    );
    assert_eq!(
        mistakes("-direct h:1"),
        [
            "-webSocket cannot be used with -direct: remove one of the two",
            "-direct needs -instanceIdentity: add -instanceIdentity BASE64, or remove -direct",
            "-direct cannot be used with -url: remove one of the two",
        ]
    );
}

#[test]
fn confined_agents_start_no_jvm_unless_asked() {
    let free = run("");
    assert_eq!((free.confine, free.java.mode), (None, JvmMode::Lazy));
    let confined = run("-workDir /w --confine --confine-allow /a --confine-allow=/b");
    assert_eq!(confined.java.mode, JvmMode::Never);
    assert_eq!(confined.confine.unwrap().allowed, [Path::new("/a"), Path::new("/b")]);
    assert_eq!(confined.warnings, Vec::<String>::new());
    let asked = run("-workDir /w --confine --jvm lazy");
    assert_eq!(asked.java.mode, JvmMode::Lazy);
    assert!(asked.warnings[0].contains("--jvm allows the controller's own code to run"));
    assert!(mistakes("--confine")[0].starts_with("--confine needs -workDir"));
    assert!(mistakes("--confine-allow /a")[0].starts_with("--confine-allow needs --confine"));
    let relative = mistakes("-workDir /w --confine --confine-allow a");
    assert_eq!(relative, ["--confine-allow: expected the absolute path of a directory"]);
    assert!(
        mistakes("--memory-margin much")[0]
            .contains("is no margin: use auto, off, a share such as 5%")
    );
}

#[test]
fn what_is_watched_and_where_spans_go() {
    let none = run("");
    assert!(none.health_address.is_none() && none.collector.is_none());
    let all = run("--health-address=:8081 --otlp-endpoint https://c:4318/x --otlp-header A=b=c");
    assert_eq!(all.health_address.as_ref().unwrap().to_string(), ":8081");
    let shown = format!("{all:?}");
    assert!(!shown.contains("4318") && !shown.contains("b=c"), "{shown}");
    let collector = all.collector.unwrap();
    assert_eq!(collector.endpoint.to_string(), "https://c:4318/x/");
    let [header] = collector.headers.as_slice() else { panic!("{:?}", collector.headers) };
    assert_eq!((header.name.as_str(), header.value.expose()), ("A", "b=c"));
    assert!(mistakes("--health-address 8081")[0].contains("expected HOST:PORT or :PORT"));
    assert!(mistakes("--otlp-header A=b")[0].starts_with("--otlp-header needs --otlp-endpoint"));
    for (address, part) in
        [("ftp://token", "(not shown)"), ("http://u:token@c", "give them in a header")]
    {
        let problem = mistakes(&format!("--otlp-endpoint {address}")).remove(0);
        assert!(problem.contains(part) && !problem.contains("token"), "{problem}");
    }
}

#[test]
fn a_bridge_is_named_as_a_whole() {
    assert!(run("").bridge.is_none());
    let whole = run("--bridge-url https://b --bridge-token pfb_x --bridge-controller main");
    let shown = format!("{whole:?}");
    assert!(!shown.contains("pfb_x"), "{shown}");
    let bridge = whole.bridge.unwrap();
    assert_eq!(
        (bridge.url.to_string().as_str(), bridge.controller.as_str()),
        ("https://b/", "main")
    );
    assert_eq!(bridge.token.expose(), "pfb_x");
    let alone = mistakes("--bridge-url https://b");
    assert!(alone[0].starts_with("--bridge-url needs --bridge-token"), "{alone:?}");
    assert!(alone[1].starts_with("--bridge-url needs --bridge-controller"), "{alone:?}");
    assert!(mistakes("--bridge-token pfb_x")[0].starts_with("--bridge-token needs --bridge-url"));
}

#[test]
fn the_same_url_twice_is_one() {
    assert_eq!(websocket(&run("-url http://c")).0, "http://c/");
}

#[test]
fn values_are_checked() {
    let identity = format!("-direct h:1 -instanceIdentity AAAA -secret {SECRET} -name n");
    let found = mistakes_with(&words(&identity), &[]);
    assert!(found[0].contains("-instanceIdentity: expected the base64 text"), "{found:?}");
    for (more, part) in [
        ("-internalDir .. -workDir w", "\"..\" is no directory name"),
        ("-internalDir a/b -workDir w", "[a-zA-Z0-9._-]*"),
        ("-noReconnectAfter 1w", "\"1w\" is no duration: expected a number with"),
        ("--log-format xml", "use human or json"),
        ("--jvm=maybe", "use never, lazy or eager"),
        (
            "-webSocketHeader sec-websocket-key=1",
            "the agent sets the header sec-websocket-key itself",
        ),
        ("-webSocketHeader A:b=c", "is no HTTP header name"),
        ("-webSocketHeader A=é", "characters that no header may have"),
        ("-proxyCredentials :p", "expected USER:PASSWORD (not shown)"),
        ("-cert @/does/not/exist", "cannot read /does/not/exist (of -cert)"),
        ("-agentLog", "-agentLog needs a value: -agentLog FILE"),
        ("-agentLog -noReconnect", "-agentLog needs a value: -agentLog FILE"),
    ] {
        let found = mistakes(more);
        assert_eq!(found.len(), 1, "{more}: {found:?}");
        assert!(found[0].contains(part), "{more}: {}", found[0]);
    }
}

#[test]
fn misspelt_options_are_recognised() {
    for (more, hint) in [
        ("-websocket", "did you mean -webSocket?"),
        ("--name", "did you mean -name?"),
        ("-noReconect", "did you mean -noReconnect?"),
        (
            "-workDir=/w",
            "\"-workDir=…\" is not a valid option: write the value as the next argument, -workDir VALUE",
        ),
        ("-zzz", "\"-zzz\" is not a valid option: -help lists all options"),
    ] {
        let found = mistakes(more);
        assert!(found[0].contains(hint), "{more}: {}", found[0]);
    }
}

#[test]
fn deprecated_options_are_accepted() {
    let configuration = run("-ping -headless -tcp f -auth u:p -connectTo h:1 -text");
    assert_eq!(
        configuration.warnings,
        [
            "-text has no effect: it is for standard input and output",
            "The \"-ping\" argument is deprecated and has no effect",
            "The \"-tcp\" argument is deprecated and has no effect",
            "The \"-auth\" argument is deprecated and has no effect",
            "The \"-connectTo\" argument is deprecated and has no effect",
            "The \"-headless\" argument is deprecated and has no effect",
        ]
    );
}

#[test]
fn legacy_positional_secret_and_name() {
    let configuration = run_with(&[SECRET, "my node", "-url", "http://c", "-webSocket"], &[]);
    assert_eq!(
        (configuration.secret.expose(), configuration.node_name.as_str()),
        (SECRET, "my node")
    );
    assert_eq!(configuration.warnings.len(), 1);
    assert!(
        configuration.warnings[0].starts_with("Providing the secret and agent name as positional")
    );
    assert_eq!(
        mistakes(&format!("{SECRET} n")),
        [
            "-secret and the arguments SECRET NAME are both given: remove one of the two",
            "-name and the arguments SECRET NAME are both given: remove one of the two"
        ]
    );
    let found = mistakes_with(&["-url", "http://c", "-webSocket", SECRET], &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("Two arguments required, but got 1:"), "{}", found[0]);
    assert!(!found[0].contains(SECRET));
    // `--` ends the options.
    let dashed = run_with(&["-url", "http://c", "-webSocket", "--", SECRET, "-name"], &[]);
    assert_eq!(dashed.node_name, "-name");
}

#[test]
fn jnlp_url_tells_the_replacement() {
    let url = "http://c/jenkins/computer/n1/jenkins-agent.jnlp";
    let found = mistakes_with(&["-jnlpUrl", url, "-secret", SECRET], &[]);
    assert_eq!(
        found,
        [
            "-jnlpUrl is not in this version: use -url http://c/jenkins/ -name n1 -webSocket with -secret"
        ]
    );
    let conflict = mistakes_with(&["-jnlpUrl", url, "-secret", SECRET, "-webSocket"], &[]);
    assert!(
        conflict
            .contains(&"-jnlpUrl cannot be used with -webSocket: remove one of the two".to_owned())
    );
}

#[test]
fn the_transport_gets_everything() {
    let options = run("-webSocketHeader A=b").web_socket_options().unwrap();
    assert_eq!(options.url.to_string(), "http://c/");
    assert_eq!((options.node_name.as_str(), options.secret.expose()), ("n", SECRET));
    assert_eq!(options.headers, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(options.version, REMOTING_VERSION);
}

#[test]
fn usage_names_every_option() {
    let usage = usage();
    for spec in OPTIONS {
        for name in std::iter::once(&spec.name).chain(spec.aliases) {
            assert!(usage.contains(name), "{name}");
        }
    }
    assert!(usage.lines().all(|line| line.chars().count() <= 103), "{usage}");
}

proptest! {
    #[test]
    fn never_panics(
        arguments in prop::collection::vec(
            prop_oneof![
                prop::sample::select(OPTIONS.iter().map(|spec| spec.name.to_owned()).collect::<Vec<_>>()),
                "[-@a:/=\\[\\]. é]{0,12}",
            ],
            0..12,
        ),
        options in "[-a$'\" ]{0,24}",
    ) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = outcome(&arguments, &[("REMOTING_OPTS", &options)]);
        if let Err(mistakes) = outcome.result {
            prop_assert!(mistakes.iter().count() > 0);
        }
    }
}
