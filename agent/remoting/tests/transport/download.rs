//! Downloads from servers of any kind.

use std::net::SocketAddr;
use std::time::Duration;

use jenkins_remoting::transport::{
    DownloadError, DownloadOptions, NetworkError, NoProxy, Proxy as ProxyAddress, ProxyOptions,
    download,
};

use super::support::{Controller, Proxy, Reply, header, page};
use super::tls::{only, signed};

async fn text(url: &str, options: &DownloadOptions) -> Result<String, DownloadError> {
    let mut download = download(url, options).await?;
    let mut body = Vec::new();
    while let Some(chunk) = download.next().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(body).unwrap())
}

fn moved(to: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n"))
}

fn through(address: SocketAddr, change: impl Fn(ProxyAddress) -> ProxyAddress) -> DownloadOptions {
    let proxy = change(ProxyAddress::new(false, "127.0.0.1", address.port()));
    let proxy = ProxyOptions {
        http: Some(proxy.clone()),
        https: Some(proxy),
        no_proxy: NoProxy::default(),
    };
    DownloadOptions { proxy, ..DownloadOptions::default() }
}

#[tokio::test]
async fn a_redirect_may_lead_to_https_and_to_other_hosts_but_not_back() {
    let pki = signed("localhost", |_| {});
    let secure = Controller::start_with(Some(pki.acceptor), |head| {
        if head.starts_with("GET /back ") {
            moved("http://localhost:1/x?token=t")
        } else {
            page("200 OK", "secure")
        }
    })
    .await;
    let port = secure.address.port();
    let plain = Controller::start(move |head| {
        let path = head.split(' ').nth(1).unwrap();
        moved(&format!("https://me:pw@localhost:{port}{path}#part"))
    })
    .await;
    let options = DownloadOptions { tls: only(&pki.trusted_pem), ..DownloadOptions::default() };
    let url = format!("http://me:pw@{}/a b.zip?x#y", plain.address);
    let mut got = download(&url, &options).await.unwrap();
    assert_eq!(
        (got.url(), got.length()),
        (&*format!("https://localhost:{port}/a%20b.zip"), Some(6))
    );
    assert_eq!(got.next().await.unwrap().unwrap(), "secure");
    assert_eq!(got.next().await.unwrap(), None);
    for (heads, host) in
        [(plain.heads(), plain.address.to_string()), (secure.heads(), format!("localhost:{port}"))]
    {
        assert!(heads[0].starts_with("GET /a%20b.zip?x HTTP/1.1\r\n"), "{}", heads[0]);
        assert_eq!(header(&heads[0], "Host"), Some(host));
        assert_eq!(header(&heads[0], "Authorization"), None);
    }
    let error = text(&format!("http://{}/back", plain.address), &options).await.unwrap_err();
    match &error {
        DownloadError::Redirect { url, problem } => {
            assert_eq!(url, &format!("https://localhost:{port}/back"));
            assert!(problem.starts_with("from https to http://localhost:1/x,"), "{problem}");
        }
        other => panic!("expected a refused redirect, got {other:?}"),
    }
}

#[tokio::test]
async fn unknown_certificates_are_refused() {
    let pki = signed("localhost", |_| {});
    let server = Controller::start_with(Some(pki.acceptor), |_| page("200 OK", "")).await;
    let other = signed("localhost", |_| {});
    let options = DownloadOptions { tls: only(&other.trusted_pem), ..DownloadOptions::default() };
    let url = format!("https://localhost:{}/x", server.address.port());
    let error = text(&url, &options).await.unwrap_err();
    assert!(
        matches!(error, DownloadError::Network { error: NetworkError::Tls { .. }, .. }),
        "{error:?}"
    );
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_proxy_passes_plain_requests_on_and_tunnels_the_others() {
    let pki = signed("files.test", |_| {});
    let secure = Controller::start_with(Some(pki.acceptor), |_| page("200 OK", "tunnelled")).await;
    let tunnel = Proxy::start(None, None, secure.address).await;
    let mut options = through(tunnel.address, |proxy| proxy);
    options.tls = only(&pki.trusted_pem);
    assert_eq!(text("https://files.test/x", &options).await.unwrap(), "tunnelled");
    assert!(tunnel.heads()[0].starts_with("CONNECT files.test:443 HTTP/1.1\r\n"));

    let authorization = "Basic dXNlcjpwYXNz";
    let proxy = Controller::start(move |head| {
        if header(head, "Proxy-Authorization").as_deref() == Some(authorization) {
            page("200 OK", "passed on")
        } else {
            page("407 Proxy Authentication Required", "")
        }
    })
    .await;
    let url = "http://files.test:8080/a?b";
    let known = through(proxy.address, |proxy| proxy.with_credentials("user", "pass"));
    assert_eq!(text(url, &known).await.unwrap(), "passed on");
    let head = &proxy.heads()[0];
    assert!(head.starts_with("GET http://files.test:8080/a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "Host").as_deref(), Some("files.test:8080"));
    let unknown = through(proxy.address, |proxy| proxy);
    let error = text(url, &unknown).await.unwrap_err();
    assert!(
        matches!(
            error,
            DownloadError::Network {
                error: NetworkError::ProxyAuthentication { given: false, .. },
                ..
            }
        ),
        "{error:?}"
    );
    let direct = Controller::start(|_| page("200 OK", "direct")).await;
    let url = format!("http://{}/", direct.address);
    assert_eq!(text(&url, &unknown).await.unwrap(), "direct", "loopback needs no proxy");
}

#[tokio::test]
async fn only_a_complete_200_is_a_download() {
    let server = Controller::start(|head| match head.split(' ').nth(1).unwrap() {
        "/truncated" => Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_owned()),
        "/silent" => Reply::Silence,
        "/nowhere" => moved("mailto:me"),
        "/part" => page("206 Partial Content", "x"),
        _ => page("410 Gone", "x"),
    })
    .await;
    let mut options = DownloadOptions::default();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let error = text(&url("/truncated"), &options).await.unwrap_err();
    assert!(matches!(error, DownloadError::Interrupted { .. }), "{error:?}");
    for (path, expected) in [("/part", 206), ("/gone", 410)] {
        let error = text(&url(path), &options).await.unwrap_err();
        assert_eq!(error, DownloadError::Status { url: url(path), status: expected });
    }
    let error = text(&url("/nowhere"), &options).await.unwrap_err();
    assert!(matches!(error, DownloadError::Redirect { .. }), "{error:?}");
    options.timeouts.response = Duration::from_millis(50);
    let error = text(&url("/silent"), &options).await.unwrap_err();
    assert!(
        matches!(error, DownloadError::Network { error: NetworkError::Timeout { .. }, .. }),
        "{error:?}"
    );
    for bad in ["", "ftp://c/", "http://", "http://a b/", "/x"] {
        let error = text(bad, &options).await.unwrap_err();
        assert!(matches!(error, DownloadError::Url { .. }), "{bad}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
        socket
    });
    let options = DownloadOptions { idle: Duration::from_millis(50), ..DownloadOptions::default() };
    let error = text(&url, &options).await.unwrap_err();
    assert_eq!(error, DownloadError::Silent { url, seconds: 0 });
    drop(server.await.unwrap());
}
