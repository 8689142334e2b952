//! Every way a controller, or what stands before it, says no.

use std::time::Duration;

use jenkins_remoting::transport::{
    ConnectError, Cookie, NetworkError, Recovery, WebSocketOptions, connect,
};
use tokio::net::TcpListener;

use super::support::{Controller, Reply, options, page};

async fn refused(reply: impl Fn() -> Reply + Send + Sync + 'static) -> ConnectError {
    refused_with(reply, |_| {}).await
}

async fn refused_with(
    reply: impl Fn() -> Reply + Send + Sync + 'static,
    change: impl FnOnce(&mut WebSocketOptions),
) -> ConnectError {
    let controller = Controller::start(move |_| reply()).await;
    let mut options = controller.options();
    change(&mut options);
    connect(&options).await.unwrap_err()
}

fn jetty(status: &'static str, message: &'static str) -> impl Fn() -> Reply + Send + Sync {
    move || {
        page(
            &format!("{status} Bad"),
            &format!(
                "<html>\n<head>\n<title>Error {status} {message}</title>\n</head>\n<body>{message}</body></html>"
            ),
        )
    }
}

#[tokio::test]
async fn refusals_of_the_controller_are_told_apart_and_retried() {
    let node = || "node 1".to_owned();
    let already = "node 1 is already connected to this controller. Rejecting this connection.";
    let inbound = "node 1 is not an inbound agent";
    let only_ws = "only WS connections accepted here";
    let not_inbound = |page: &str| ConnectError::NotInbound { node: node(), page: page.to_owned() };
    let headers = "This endpoint is only for use from agent.jar in WebSocket mode";
    for (message, expected) in [
        ("no such agent", ConnectError::NoSuchNode { node: node() }),
        (already, ConnectError::AlreadyConnected { node: node() }),
        (inbound, not_inbound(inbound)),
        (only_ws, not_inbound(only_ws)),
        (headers, ConnectError::HeadersLost),
        (
            "something &lt;new&gt;",
            ConnectError::Refused { status: 400, page: Some("something <new>".into()) },
        ),
    ] {
        let error = refused(jetty("400", message)).await;
        assert_eq!(error, expected);
        assert_eq!(error.recovery(), Recovery::Retry);
    }
    let error =
        refused(|| Reply::Raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into())).await;
    assert_eq!(error, ConnectError::WrongSecret { node: node(), page: None });
    assert_eq!(error.recovery(), Recovery::Retry);
}

#[tokio::test]
async fn what_stands_before_the_controller_is_recognised() {
    let error = refused(|| page("200 OK", "<title>Sign in - Jenkins</title>")).await;
    assert!(
        matches!(&error, ConnectError::Swallowed { status: 200, page: Some(page), .. } if page == "Sign in - Jenkins")
    );

    let redirect = "HTTP/1.1 302 Found\r\nLocation: https://sso.test/login?token=hunter2\r\nContent-Length: 0\r\n\r\n";
    let error = refused(move || Reply::Raw(redirect.into())).await;
    assert!(
        error.to_string().contains("https://sso.test/login")
            && !error.to_string().contains("hunter2"),
        "{error}"
    );

    assert!(matches!(
        refused(jetty("401", "Unauthorized")).await,
        ConnectError::LoginRequired { .. }
    ));
    assert!(matches!(refused(jetty("404", "Not Found")).await, ConnectError::NotFound { .. }));
    assert!(matches!(
        refused(jetty("407", "Proxy")).await,
        ConnectError::Network(NetworkError::ProxyAuthentication { given: false, .. })
    ));
    assert_eq!(refused(jetty("426", "Upgrade Required")).await, ConnectError::UpgradeDropped);
    assert!(matches!(
        refused(jetty("418", "Teapot")).await,
        ConnectError::Refused { status: 418, .. }
    ));
}

#[tokio::test]
async fn server_errors_suspect_the_cookie_if_one_was_sent() {
    let error = refused(jetty("500", "Oops")).await;
    assert_eq!(
        error,
        ConnectError::Server { status: 500, page: Some("Oops".into()), with_cookie: false }
    );
    assert_eq!(error.recovery(), Recovery::Retry);
    let error =
        refused_with(jetty("500", "Oops"), |options| options.cookie = Cookie::parse("abcd")).await;
    assert_eq!(error.recovery(), Recovery::RetryWithoutCookie);
}

#[tokio::test]
async fn pages_are_read_in_any_encoding_and_never_repeated_whole() {
    let chunked = "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n\
                   7\r\n<title>\r\n16\r\nError 400 no such agen\r\n9\r\nt</title>\r\n0\r\n\r\n";
    let error = refused(move || Reply::Raw(chunked.into())).await;
    assert!(matches!(error, ConnectError::NoSuchNode { .. }), "{error:?}");

    let plain = "HTTP/1.1 503 Unavailable\r\nContent-Type: text/plain\r\n\r\nno healthy upstream\nsecond line";
    let error = refused(move || Reply::Raw(plain.into())).await;
    assert!(error.to_string().ends_with("status 503: no healthy upstream"), "{error}");

    // Longer than is read, and announced longer than it is.
    let long = format!(
        "HTTP/1.1 500 Error\r\nContent-Length: 99999999\r\n\r\n<title>{}</title>",
        "x".repeat(1_000_000)
    );
    let error = refused(move || Reply::Raw(long.clone())).await;
    assert!(error.to_string().len() < 400, "{error}");
}

#[tokio::test]
async fn answers_that_are_not_http_are_errors() {
    for answer in ["", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 101", "\u{0}\u{0}\u{0}\u{0}"] {
        let error = refused(move || Reply::Raw(answer.into())).await;
        assert!(matches!(error, ConnectError::Network(NetworkError::Http { .. })), "{error:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
    let error = refused(move || Reply::Raw(endless.clone())).await;
    assert!(matches!(error, ConnectError::Network(NetworkError::Http { .. })), "{error:?}");
}

#[tokio::test]
async fn silence_ends_in_a_timeout() {
    let error = refused_with(
        || Reply::Silence,
        |options| options.timeouts.response = Duration::from_millis(50),
    )
    .await;
    assert!(matches!(error, ConnectError::Network(NetworkError::Timeout { .. })), "{error:?}");
}

#[tokio::test]
async fn no_listener_and_no_such_host() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = connect(&options(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(error, ConnectError::Network(NetworkError::Refused { target: address.to_string() }));
    let error = connect(&options("http://no-such-host.invalid/")).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Network(NetworkError::Resolve { host, .. }) if host == "no-such-host.invalid")
    );
    assert_eq!(error.recovery(), Recovery::Retry);
}
