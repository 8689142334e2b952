//! Finding the agent port.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jenkins_remoting::transport::{
    AgentEndpoint, DiscoveryError, Jnlp4Options, Protocol, Proxy as ProxyAddress, ProxyOptions,
    Recovery, RootUrl, Secret, agent_port_ready, discover,
};
use rcgen::{KeyPair, PublicKeyData as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::port::{IDENTITY, identity, options};
use crate::support::{Controller, Reply, header, page, read_head};

fn key() -> String {
    STANDARD.encode(KeyPair::from_pem(IDENTITY).unwrap().subject_public_key_info())
}

fn reply(headers: &[(&str, String)]) -> Reply {
    let mut text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".to_owned();
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    Reply::Raw(text + "\r\n")
}

fn usual(port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("X-Jenkins-JNLP-Port", port.to_string()),
        ("X-Instance-Identity", key()),
        ("X-Jenkins-Agent-Protocols", "JNLP4-connect, Ping".to_owned()),
        ("X-Remoting-Minimum-Version", "3107.v665000b_51092".to_owned()),
    ]
}

fn without(name: &str, port: u16) -> Vec<(&'static str, String)> {
    usual(port).into_iter().filter(|(found, _)| *found != name).collect()
}

fn with(name: &'static str, value: &str, port: u16) -> Vec<(&'static str, String)> {
    let mut headers = without(name, port);
    headers.push((name, value.to_owned()));
    headers
}

async fn asked(
    headers: Vec<(&'static str, String)>,
    options: &Jnlp4Options,
) -> (Result<AgentEndpoint, DiscoveryError>, String) {
    let controller = Controller::start(move |_: &str| reply(&headers)).await;
    let url = RootUrl::parse(&format!("http://{}/jenkins", controller.address)).unwrap();
    let found = discover(options, &url).await;
    (found, controller.heads().remove(0))
}

#[tokio::test]
async fn the_port_is_found_and_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut options = options();
    options.credentials = Some(Secret::new("user:pass"));
    let (found, head) = asked(usual(port), &options).await;
    let found = found.unwrap();
    assert_eq!((found.host.as_str(), found.port), ("127.0.0.1", port));
    assert_eq!(found.identity, identity(IDENTITY));
    assert_eq!(found.protocols, ["JNLP4-connect", "Ping"]);
    assert!(found.speaks(Protocol::Jnlp4Connect) && !found.speaks(Protocol::Jnlp4ConnectProxy));
    assert!(head.starts_with("GET /jenkins/tcpSlaveAgentListener/ HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "Node-Name").as_deref(), Some("node 1"));
    assert_eq!(header(&head, "Authorization").as_deref(), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(header(&head, "Secret-Key"), None);
    listener.accept().await.unwrap();
    let (found, _) = asked(with("X-Jenkins-JNLP-Host", "[::1]", 1), &options).await;
    assert!(
        matches!(&found, Err(DiscoveryError::PortUnreachable { host, port: 1, .. }) if host == "::1"),
        "{found:?}"
    );
    let mut old = without("X-Jenkins-JNLP-Port", port);
    old.retain(|(name, _)| *name != "X-Jenkins-Agent-Protocols");
    old.push(("X-Hudson-JNLP-Port", port.to_string()));
    let found = asked(old, &options).await.0.unwrap();
    assert!(found.speaks(Protocol::Jnlp4Connect) && found.speaks(Protocol::Jnlp4ConnectProxy));
}

#[tokio::test]
async fn a_tunnel_takes_the_place_of_what_was_found() {
    for (host, port, expected) in [
        (Some("t"), Some(7), ("t", 7)),
        (Some("t"), None, ("t", 1)),
        (None, Some(7), ("127.0.0.1", 7)),
    ] {
        let mut options = options();
        options.tunnel_host = host.map(str::to_owned);
        options.tunnel_port = port;
        // Nothing listens on port 1, and nobody tries.
        let found = asked(usual(1), &options).await.0.unwrap();
        assert_eq!((found.host.as_str(), found.port), expected);
    }
}

#[tokio::test]
async fn answers_that_name_no_port() {
    let mut options = options();
    options.tunnel_port = Some(1);
    for (headers, text) in [
        (without("X-Jenkins-JNLP-Port", 1), "is not Jenkins"),
        (with("X-Jenkins-JNLP-Port", "0", 1), "invalid port: \"0\""),
        (with("X-Jenkins-JNLP-Port", "65536", 1), "invalid port"),
        (with("X-Jenkins-JNLP-Host", "a b", 1), "invalid port: \"a b\""),
        (without("X-Instance-Identity", 1), "invalid X-Instance-Identity (it is absent)"),
        (with("X-Instance-Identity", "AAAA", 1), "no RSA public key"),
        (with("X-Remoting-Minimum-Version", "9999.v1", 1), "wants remoting 9999.v1 or later"),
    ] {
        let error = asked(headers, &options).await.0.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        let hopeless = matches!(error, DiscoveryError::TooOld { .. });
        assert_eq!(error.recovery() == Recovery::GiveUp, hopeless);
    }
    for (status, text) in [
        ("404 Not Found", "is enabled on the controller, or use -webSocket"),
        ("403 Forbidden", "use -credentials"),
        ("503 Service Unavailable", "is invalid: 503: Starting"),
    ] {
        let controller =
            Controller::start(move |_: &str| page(status, "<title>Starting</title>")).await;
        let url = RootUrl::parse(&format!("http://{}/", controller.address)).unwrap();
        let error = discover(&options, &url).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(agent_port_ready(&options, &url).await, Err(error));
    }
    let controller = Controller::start(|_: &str| reply(&[])).await;
    let url = RootUrl::parse(&format!("http://{}/", controller.address)).unwrap();
    assert_eq!(agent_port_ready(&options, &url).await, Ok(()));
}

#[tokio::test]
async fn a_proxy_passes_the_question_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = async {
        let mut io: crate::support::BoxedIo = Box::new(listener.accept().await.unwrap().0);
        let head = read_head(&mut io).await.unwrap();
        let Reply::Raw(text) = reply(&usual(1)) else { panic!() };
        io.write_all(text.as_bytes()).await.unwrap();
        head
    };
    let mut options = options();
    options.tunnel_port = Some(1);
    let way = ProxyAddress::new(false, "127.0.0.1", address.port());
    let way = way.with_credentials("user", "pass");
    options.proxy = ProxyOptions { http: Some(way), ..ProxyOptions::default() };
    let url = RootUrl::parse("http://controller.test/").unwrap();
    let (head, found) = tokio::join!(proxy, discover(&options, &url));
    assert_eq!(found.unwrap().host, "controller.test");
    assert!(head.starts_with("GET http://controller.test/tcpSlaveAgentListener/ HTTP/1.1\r\n"));
    assert_eq!(header(&head, "Proxy-Authorization").as_deref(), Some("Basic dXNlcjpwYXNz"));
}

#[tokio::test]
async fn redirects_are_followed_without_credentials() {
    let mut options = options();
    options.tunnel_port = Some(1);
    options.credentials = Some(Secret::new("user:pass"));
    let target = Controller::start(|_: &str| reply(&usual(7))).await;
    let location = format!("http://{}/elsewhere", target.address);
    let redirect = move |head: &str| {
        let to = if head.contains("/loop/") { "/loop/tcpSlaveAgentListener/" } else { &location };
        Reply::Raw(format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n"))
    };
    let controller = Controller::start(redirect).await;
    let url = RootUrl::parse(&format!("http://{}/", controller.address)).unwrap();
    assert_eq!(discover(&options, &url).await.unwrap().host, "127.0.0.1");
    assert!(header(&controller.heads()[0], "Authorization").is_some());
    assert_eq!(header(&target.heads()[0], "Authorization"), None);
    assert!(target.heads()[0].starts_with("GET /elsewhere HTTP/1.1\r\n"));
    let url = RootUrl::parse(&format!("http://{}/loop/", controller.address)).unwrap();
    let error = discover(&options, &url).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Redirects { .. }), "{error}");
}
