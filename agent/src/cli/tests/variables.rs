//! Variables of the environment, and which source wins.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jenkins_remoting::transport::{Endpoint, NoProxy, Proxy};

use super::*;
use crate::memory::Margin;

#[test]
fn the_entry_points_variables() {
    let configuration = run_with(
        &[],
        &[
            ("JENKINS_URL", "https://c/jenkins"),
            ("JENKINS_SECRET", &format!("{SECRET}\n")),
            ("JENKINS_AGENT_NAME", "old"),
            ("JENKINS_NAME", "new"),
            ("JENKINS_AGENT_WORKDIR", "/w"),
            ("JENKINS_WEB_SOCKET", "true"),
            ("REMOTING_OPTS", "-noReconnectAfter 1d -webSocketHeader 'A=b c'"),
            ("JAVA_OPTS", "-Xmx1g -DproxyCredentials=u:p"),
            ("JAVA_HOME", "/jdk"),
            ("JENKINS_AGENT_FILE", "/a.jar"),
            ("HTTPS_PROXY", "p:3128"),
            ("no_proxy", "a,b"),
            ("JENKINS_NO_PROXY", "c"),
            ("SSL_CERT_FILE", "/roots.pem"),
            ("PILOTFISH_LOG", "debug"),
            ("PILOTFISH_LOG_FORMAT", "json"),
            ("PILOTFISH_JVM", "eager"),
            ("JENKINS_TUNNEL", ""),
            ("PILOTFISH_HEALTH_ADDRESS", ":8081"),
            ("PILOTFISH_OTLP_ENDPOINT", "http://collector"),
            ("PILOTFISH_OTLP_HEADERS", "a=1, b=2=3,"),
        ],
    );
    assert_eq!(websocket(&configuration), ("https://c/jenkins/".to_owned(), vec![("A", "b c")]));
    assert_eq!((configuration.secret.expose(), configuration.node_name.as_str()), (SECRET, "new"));
    assert_eq!(configuration.work_directory.unwrap().path, std::path::Path::new("/w"));
    assert_eq!(configuration.reconnect, Reconnect::GiveUpAfter(Duration::from_secs(86_400)));
    assert_eq!(configuration.java.options, ["-Xmx1g", "-DproxyCredentials=u:p"]);
    assert_eq!((configuration.java.binary, configuration.java.home), (None, Some("/jdk".into())));
    assert_eq!(configuration.java.mode, JvmMode::Eager);
    assert_eq!(configuration.java.agent_file, Some("/a.jar".into()));
    let proxy = Proxy::new(false, "p", 3128).with_credentials("u", "p");
    assert_eq!(configuration.proxy.https, Some(proxy));
    assert_eq!(configuration.proxy.http, None);
    assert_eq!(configuration.proxy.no_proxy, NoProxy::parse("c"));
    assert_eq!(configuration.tls.cert_file, Some("/roots.pem".into()));
    assert_eq!(configuration.logging.filter.as_deref(), Some("debug"));
    assert_eq!(configuration.logging.format, LogFormat::Json);
    assert_eq!(configuration.warnings, Vec::<String>::new());
    let names: Vec<&OsString> = configuration.environment.iter().map(|(name, _)| name).collect();
    for secret in ["JENKINS_SECRET", "PILOTFISH_OTLP_ENDPOINT", "PILOTFISH_OTLP_HEADERS"] {
        assert!(!names.iter().any(|name| *name == secret), "{secret}");
    }
    assert_eq!(configuration.health_address.unwrap().port, 8081);
    let headers = configuration.collector.unwrap().headers;
    let headers: Vec<_> =
        headers.iter().map(|one| (one.name.as_str(), one.value.expose())).collect();
    assert_eq!(headers, [("a", "1"), ("b", "2=3")]);
    assert!(names.iter().any(|name| *name == "JENKINS_NAME"));
}

#[test]
fn arguments_win_over_variables() {
    let variables = [
        ("JENKINS_URL", "http://other"),
        ("JENKINS_SECRET", "ffff"),
        ("JENKINS_AGENT_NAME", "other"),
        ("JENKINS_AGENT_WORKDIR", "/other"),
        ("JENKINS_WEB_SOCKET", "true"),
        ("REMOTING_OPTS", "-noReconnectAfter 1d -agentLog /opts"),
    ];
    let mut arguments = words(BASE);
    arguments.extend(["-workDir", "/w", "-agentLog", "/argument"]);
    let configuration = run_with(&arguments, &variables);
    assert_eq!(websocket(&configuration).0, "http://c/");
    assert_eq!((configuration.secret.expose(), configuration.node_name.as_str()), (SECRET, "n"));
    assert_eq!(configuration.logging.agent_log, Some("/argument".into()));
    assert_eq!(
        configuration.warnings,
        [
            "JENKINS_URL is not used: the arguments give -url another value",
            "JENKINS_SECRET is not used: the arguments give -secret another value",
            "JENKINS_AGENT_NAME is not used: the arguments give -name another value",
            "JENKINS_AGENT_WORKDIR is not used: the arguments give -workDir another value",
        ]
    );
    // Old pod templates: arguments SECRET NAME beside the same values as variables.
    let pod = run_with(
        &[SECRET, "n"],
        &[
            ("JENKINS_URL", "http://c"),
            ("JENKINS_SECRET", SECRET),
            ("JENKINS_NAME", "n"),
            ("JENKINS_WEB_SOCKET", "true"),
        ],
    );
    assert_eq!((pod.secret.expose(), pod.node_name.as_str()), (SECRET, "n"));
    assert_eq!(
        pod.warnings[..2],
        [
            "JENKINS_SECRET is given twice: as a variable and in the arguments",
            "JENKINS_NAME is given twice: as a variable and in the arguments"
        ]
    );
}

#[test]
fn proxies() {
    let endpoint = |secure| Endpoint { secure, host: "c".to_owned(), port: 1 };
    let proxies = |more: &str, variables: &[(&str, &str)]| {
        let proxy = run_with(&words(&format!("{BASE} {more}")), variables).proxy;
        [false, true].map(|secure| proxy.select(&endpoint(secure)).cloned())
    };
    let plain = |host| Some(Proxy::new(false, host, 80));
    assert_eq!(proxies("", &[("http_proxy", "a"), ("HTTP_PROXY", "b")]), [plain("a"), plain("a")]);
    assert_eq!(
        proxies("", &[("HTTP_PROXY", "a"), ("https_proxy", "b"), ("JENKINS_HTTPS_PROXY", "c")]),
        [plain("a"), plain("c")]
    );
    assert_eq!(
        proxies("", &[("JENKINS_JAVA_OPTS", "-Dhttps.proxyHost=a -Dhttps.proxyPort=80")]),
        [None, plain("a")]
    );
    assert_eq!(proxies("", &[("http_proxy", "a"), ("no_proxy", "c")]), [None, None]);
    let with_password = Some(Proxy::new(false, "a", 80).with_credentials("u", "p:q"));
    assert_eq!(
        proxies("-proxyCredentials u:p:q", &[("http_proxy", "a")]),
        [with_password.clone(), with_password]
    );
    let bad = mistakes_with(&words(BASE), &[("http_proxy", "socks5://u:hunter2@p:1")]);
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].starts_with("http_proxy: the proxy address has a scheme other than"),
        "{}",
        bad[0]
    );
}

#[test]
fn mistakes_name_their_variable() {
    let found = mistakes_with(
        &["-webSocket"],
        &[
            ("JENKINS_URL", "c:8080"),
            ("JENKINS_SECRET", "@/no/file"),
            ("JENKINS_NAME", "n"),
            ("JENKINS_TUNNEL", "h"),
            ("JENKINS_PROTOCOLS", "A, B"),
            ("REMOTING_OPTS", "-noReconnectAfter x"),
        ],
    );
    insta::assert_snapshot!(found.join("\n"), @r#"
    cannot read /no/file (of JENKINS_SECRET): No such file or directory (os error 2)
    -webSocket cannot be used with -tunnel (from JENKINS_TUNNEL): remove one of the two
    -protocols (from JENKINS_PROTOCOLS) needs -direct: add -direct HOST:PORT, or remove -protocols
    -url (from JENKINS_URL): `c:8080` does not begin with http:// or https://; give the controller's address as in a browser
    -tunnel (from JENKINS_TUNNEL): expected HOST:PORT, HOST: or :PORT
    -noReconnectAfter (from REMOTING_OPTS): "x" is no duration: expected a number with ns, us, ms, s, m, h or d (90s, 1d), a number of milliseconds, or ISO 8601 (PT15M)
    "#);
}

#[test]
fn secrets_from_files_named_by_variables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    fs::write(&path, format!("{SECRET}\n")).unwrap();
    let path = path.to_str().unwrap();
    let at = format!("@{path}");
    let of_bridge = [("PILOTFISH_BRIDGE_URL", "http://b"), ("PILOTFISH_BRIDGE_CONTROLLER", "main")];
    for variable in [("PILOTFISH_BRIDGE_TOKEN", at.as_str()), ("PILOTFISH_BRIDGE_TOKEN_FILE", path)]
    {
        let [url, controller] = of_bridge;
        let line = words("-webSocket -url http://c -name n -secret x");
        let configuration = run_with(&line, &[url, controller, variable]);
        assert_eq!(configuration.bridge.unwrap().token.expose(), SECRET, "{variable:?}");
        let names = configuration.environment.iter().map(|(name, _)| name.to_str().unwrap());
        assert!(!names.into_iter().any(|name| name == "PILOTFISH_BRIDGE_TOKEN"));
    }
    for variable in [("JENKINS_SECRET", at.as_str()), ("JENKINS_SECRET_FILE", path)] {
        let configuration = run_with(&words("-url http://c -name n -webSocket"), &[variable]);
        assert_eq!(configuration.secret.expose(), SECRET);
    }
}

#[test]
fn limits_from_variables() {
    let base = words(BASE);
    let of = |variables: &[(&str, &str)]| run_with(&base, variables);
    let work = ("JENKINS_AGENT_WORKDIR", "/w");
    let confined =
        of(&[work, ("PILOTFISH_CONFINE", "true"), ("PILOTFISH_CONFINE_ALLOW", "/a:/b c:")]);
    assert_eq!(confined.confine.unwrap().allowed, [Path::new("/a"), Path::new("/b c")]);
    assert_eq!(of(&[("PILOTFISH_CONFINE", "false")]).confine, None);
    assert_eq!(of(&[("PILOTFISH_MEMORY_MARGIN", "64m")]).memory_margin, Margin::Bytes(64 << 20));
    // Whoever wants a limit and misspells it must not run without.
    assert_eq!(
        mistakes_with(&base, &[work, ("PILOTFISH_CONFINE", "1")]),
        ["PILOTFISH_CONFINE: expected true or false"]
    );
}
