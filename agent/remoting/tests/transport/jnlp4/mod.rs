//! Connections to an agent port.

mod commands;
mod discovery;
mod port;

use std::time::Duration;

use jenkins_remoting::capability::Capability;
use jenkins_remoting::transport::{
    Cookie, Jnlp4Error, NegotiationError, NetworkError, Protocol, Proxy as ProxyAddress,
    ProxyOptions, Recovery, open_agent_port,
};
use rustls::version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{COOKIE, Proxy, SECRET};
use port::{IDENTITY, OTHER, Port, identity, options, read_record, send_record};

fn cookie_header(value: &str) -> String {
    format!("{{\"JnlpAgentProtocol.cookie\":\"{value}\"}}")
}

#[tokio::test]
async fn an_agent_is_taken_over_either_version_of_tls() {
    for (versions, shown) in [(&[&version::TLS13], "TLSv1_3"), (&[&version::TLS12], "TLSv1_2")] {
        let port = Port::with(IDENTITY, versions).await;
        let mut options = options();
        let headers = cookie_header(COOKIE);
        let (taken, connected) = tokio::join!(port.take(&headers), port.connect(&options));
        assert_eq!(taken.1, format!("{{\"Node-Name\":\"node 1\",\"Secret-Key\":\"{SECRET}\"}}"));
        let (_, _, handshake) = connected.unwrap();
        assert_eq!(handshake.capability, Capability::CURRENT);
        assert_eq!(handshake.route.tls.unwrap().version, shown);
        assert_eq!(handshake.cookie, Cookie::parse(COOKIE));
        options.cookie = handshake.cookie;
        let (taken, connected) = tokio::join!(port.take("{}"), port.connect(&options));
        assert!(taken.1.contains(&format!("\"JnlpAgentProtocol.cookie\":\"{COOKIE}\"")));
        assert_eq!(connected.unwrap().2.cookie, None, "an old cookie is to be forgotten");
    }
}

#[tokio::test]
async fn only_the_holder_of_the_identity_is_told_anything() {
    let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (key, shown) in
        [(OTHER, identity(OTHER).fingerprint()), (&elliptic, "of a key that is not RSA".to_owned())]
    {
        for versions in [&[&version::TLS13], &[&version::TLS12]] {
            let port = Port::with(key, versions).await;
            let options = options();
            let (accepted, connected) = tokio::join!(port.accept_tls(), port.connect(&options));
            let expected = Jnlp4Error::WrongIdentity {
                target: format!("127.0.0.1:{}", port.endpoint.port),
                expected: identity(IDENTITY).fingerprint(),
                shown: shown.clone(),
            };
            match connected.unwrap_err() {
                error if key == OTHER => assert_eq!(error, expected),
                // Signatures of such keys are not even offered, which ends the handshake earlier.
                error => assert!(matches!(error, Jnlp4Error::Tls { .. }), "{error}"),
            }
            if let Ok(mut io) = accepted {
                let mut told = Vec::new();
                let _ = io.read_to_end(&mut told).await;
                assert_eq!(told, b"", "nothing is said to a stranger");
            }
        }
    }
}

#[tokio::test]
async fn refusals_are_confirmed_and_told() {
    let port = Port::start().await;
    let options = options();
    for (verdict, reason, permanent, advice) in [
        ("ERROR: Unknown client name: node 1", "Unknown client name: node 1", false, "check -name"),
        ("FATAL: Authorization failure", "Authorization failure", true, "copy it again"),
    ] {
        let controller = async {
            let mut io = port.accept_tls().await.unwrap();
            read_record(&mut io).await;
            send_record(&mut io, "{}").await;
            assert_eq!(read_record(&mut io).await, "OK");
            send_record(&mut io, verdict).await;
            assert_eq!(read_record(&mut io).await, "BYE");
            assert_eq!(io.read(&mut [0]).await.unwrap(), 0, "the agent closes in order");
        };
        let ((), connected) = tokio::join!(controller, port.connect(&options));
        let error = connected.unwrap_err();
        let reason = reason.to_owned();
        assert_eq!(error, Jnlp4Error::Negotiation(NegotiationError::Refused { reason, permanent }));
        assert_eq!(error.recovery(), Recovery::Retry);
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_agent_port_is_shown() {
    let port = Port::start().await;
    let options = options();
    for (answer, shown) in [
        (&b"Unknown protocol:\n"[..], "answered \"Unknown protocol:\""),
        (b"HTTP/1.1 400 Bad Request\r\nX: y\r\n\r\n", "answered \"HTTP/1.1 400 Bad Request\""),
        (b"\x00\x03ABC", "got 0x00034142"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "got 0x15030100020246"),
        (b"\x00\x03A", "got 0x000341"),
        (b"", "ended the connection before the acknowledgement"),
    ] {
        let controller = async {
            let mut io = port.accept().await;
            io.write_all(answer).await.unwrap();
            io.shutdown().await.unwrap();
        };
        let ((), connected) = tokio::join!(controller, port.connect(&options));
        let error = connected.unwrap_err().to_string();
        assert!(error.contains(shown), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_left() {
    let port = Port::start().await;
    let options = options();
    for (records, told, shown) in [
        (&["<html>"][..], "ERROR: Malformed connection header", "cannot be read"),
        (&["{}", "what"], "OK", "answered \"what\""),
        (&["{}", "OK", "AAAA"], "OK", "capability"),
    ] {
        let controller = async {
            let mut io = port.accept_tls().await.unwrap();
            read_record(&mut io).await;
            for text in records {
                send_record(&mut io, text).await;
            }
            assert_eq!(read_record(&mut io).await, told);
            let _ = io.read_to_end(&mut Vec::new()).await;
            let _ = io.shutdown().await;
        };
        let ((), connected) = tokio::join!(controller, port.connect(&options));
        let error = connected.unwrap_err().to_string();
        assert!(error.contains(shown), "{error}");
    }
    let controller = async { drop(port.accept_tls().await.unwrap()) };
    let ((), connected) = tokio::join!(controller, port.connect(&options));
    assert!(matches!(connected.unwrap_err(), Jnlp4Error::Ended { .. }));
}

#[tokio::test]
async fn silence_has_an_end() {
    let port = Port::start().await;
    let mut options = options();
    options.timeouts.response = Duration::from_millis(50);
    let controller = async {
        let io = port.accept_tls().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(io);
    };
    let ((), connected) = tokio::join!(controller, port.connect(&options));
    let error = connected.unwrap_err();
    assert!(
        matches!(
            error,
            Jnlp4Error::Network(NetworkError::Timeout { step: "the connection headers", .. })
        ),
        "{error}"
    );
}

#[tokio::test]
async fn the_agent_port_is_reached_through_a_proxy() {
    let port = Port::start().await;
    let address = port.listener.local_addr().unwrap();
    let proxy = Proxy::start(None, Some("Basic dXNlcjpwYXNz"), address).await;
    let mut endpoint = port.endpoint.clone();
    endpoint.host = "controller.test".to_owned();
    endpoint.port = 50_000;
    let mut options = options();
    let way = ProxyAddress::new(false, "127.0.0.1", proxy.address.port());
    options.proxy = ProxyOptions { http: Some(way.clone()), ..ProxyOptions::default() };
    let refused = open_agent_port(&options, &endpoint, Protocol::Jnlp4Connect).await;
    assert!(matches!(
        refused.unwrap_err(),
        Jnlp4Error::Network(NetworkError::ProxyAuthentication { given: false, .. })
    ));
    options.proxy.http = Some(way.with_credentials("user", "pass"));
    let connect = async {
        open_agent_port(&options, &endpoint, Protocol::Jnlp4Connect)
            .await?
            .introduce(&options)
            .await
    };
    let (_, connected) = tokio::join!(port.take("{}"), connect);
    let route = connected.unwrap().2.route;
    assert_eq!(route.proxy.unwrap(), format!("http://{}", proxy.address));
    assert!(proxy.heads()[1].starts_with("CONNECT controller.test:50000 HTTP/1.1\r\n"));
    // Loopback is always direct.
    let (_, connected) = tokio::join!(port.take("{}"), port.connect(&options));
    assert_eq!(connected.unwrap().2.route.proxy, None);
}
