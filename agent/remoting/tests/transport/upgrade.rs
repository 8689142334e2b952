//! Headers of the upgrade, both ways.

use jenkins_remoting::capability::{Capability, CapabilityError};
use jenkins_remoting::transport::{ConnectError, Cookie, Recovery, Secret, connect};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::support::{
    CAPABILITY, COOKIE, Controller, MINIMUM, Reply, SECRET, header, options, usual,
};

fn replacing(name: &str, value: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = usual();
    headers.retain_mut(|(found, text)| {
        if *found == name
            && let Some(value) = value
        {
            *text = value.to_owned();
        }
        *found != name || value.is_some()
    });
    headers
}

#[tokio::test]
async fn request_has_the_agents_headers_and_the_answer_is_read() {
    let controller = Controller::start(|_| Reply::Upgrade(usual())).await;
    let mut options = controller.options();
    options.headers = vec![
        ("X-Token".into(), "a=b".into()),
        ("x-multi".into(), "1".into()),
        ("X-Multi".into(), "2".into()),
    ];
    let (_source, _sink, handshake) = connect(&options).await.unwrap();

    let head = controller.heads().remove(0);
    assert!(head.starts_with("GET /jenkins/wsagents/ HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("Host", controller.address.to_string().as_str()),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Node-Name", "node 1"),
        ("Secret-Key", SECRET),
        ("X-Remoting-Capability", CAPABILITY),
        ("X-Token", "a=b"),
    ] {
        assert_eq!(header(&head, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(head.to_lowercase().matches("x-multi: ").count(), 2);
    assert_eq!(header(&head, "Connection-Cookie"), None);

    assert_eq!(handshake.capability, Capability::CURRENT);
    assert!(!handshake.capability_assumed);
    assert_eq!(handshake.cookie.unwrap().expose(), COOKIE);
    assert_eq!(handshake.minimum_version.unwrap().as_str(), MINIMUM);
    assert_eq!(handshake.route.address, controller.address);
    assert!(handshake.route.tls.is_none() && handshake.route.proxy.is_none());
}

#[tokio::test]
async fn cookie_is_sent_on_reconnect() {
    let controller =
        Controller::start(|_| Reply::Upgrade(replacing("Connection-Cookie", None))).await;
    let mut options = controller.options();
    options.cookie = Cookie::parse(COOKIE);
    let (_source, _sink, handshake) = connect(&options).await.unwrap();
    assert_eq!(header(&controller.heads()[0], "Connection-Cookie").as_deref(), Some(COOKIE));
    assert_eq!(handshake.cookie, None, "the old cookie must be forgotten");
}

#[tokio::test]
async fn an_independent_server_accepts_the_upgrade() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut name = None;
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let callback = |request: &Request, mut response: Response| {
            name = request.headers().get("node-name").cloned();
            response.headers_mut().insert("x-remoting-capability", CAPABILITY.parse().unwrap());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, callback).await.unwrap();
        (socket, name)
    });
    let (_source, _sink, handshake) =
        connect(&options(&format!("http://{address}"))).await.unwrap();
    assert_eq!(handshake.minimum_version, None);
    let (_socket, name) = server.await.unwrap();
    assert_eq!(name.unwrap(), "node 1");
}

#[tokio::test]
async fn absent_capability_is_assumed_and_a_short_one_is_refused() {
    let controller =
        Controller::start(|_| Reply::Upgrade(replacing("X-Remoting-Capability", None))).await;
    let (_source, _sink, handshake) = connect(&controller.options()).await.unwrap();
    assert!(handshake.capability_assumed);

    let old = Capability::from_mask(0x0FE).to_base64();
    let controller =
        Controller::start(move |_| Reply::Upgrade(replacing("X-Remoting-Capability", Some(&old))))
            .await;
    let error = connect(&controller.options()).await.unwrap_err();
    let missing =
        CapabilityError::Missing { mask: 0xFE, missing: vec!["PROXY_EXCEPTION_FALLBACK"] };
    assert_eq!(error, ConnectError::Capability(missing));
    assert_eq!(error.recovery(), Recovery::GiveUp);
}

#[tokio::test]
async fn a_controller_that_wants_a_newer_agent_is_final() {
    let controller = Controller::start(|_| {
        Reply::Upgrade(replacing("X-Remoting-Minimum-Version", Some("3355.v388858a_47b_34")))
    })
    .await;
    let error = connect(&controller.options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::TooOld { .. }), "{error:?}");
    assert_eq!(error.recovery(), Recovery::GiveUp);
}

#[tokio::test]
async fn a_cookie_that_cannot_be_sent_back_is_not_kept() {
    let controller =
        Controller::start(|_| Reply::Upgrade(replacing("Connection-Cookie", Some("abc")))).await;
    let (_source, _sink, handshake) = connect(&controller.options()).await.unwrap();
    assert_eq!(handshake.cookie, None);
}

#[tokio::test]
async fn a_wrong_upgrade_is_refused() {
    let controller = Controller::start(|_| Reply::BadUpgrade).await;
    let error = connect(&controller.options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::BadUpgrade { .. }), "{error:?}");

    let mut headers = usual();
    headers.push(("Sec-WebSocket-Extensions", "permessage-deflate".to_owned()));
    let controller = Controller::start(move |_| Reply::Upgrade(headers.clone())).await;
    let error = connect(&controller.options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::BadUpgrade { .. }), "{error:?}");
}

#[tokio::test]
async fn secrets_are_in_no_debug_output_and_no_error() {
    let controller = Controller::start(|_| Reply::Upgrade(usual())).await;
    let mut options = controller.options();
    options.cookie = Cookie::parse(COOKIE);
    options.headers = vec![("X-Token".into(), "t0ken\n".into())];
    options.secret = Secret::new("hunter2\nx");
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, ConnectError::InvalidOption(_)), "{error:?}");
    let shown = format!("{options:?} {error} {error:?}");
    for secret in ["hunter2", "t0ken", COOKIE] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
