//! Tunnels through proxies.

use jenkins_remoting::transport::{
    ConnectError, NetworkError, NoProxy, Proxy as ProxyAddress, ProxyOptions, connect, probe,
};

use super::support::{Controller, Proxy, Reply, header, options, page, usual};
use super::tls::{only, signed};

fn through(proxy: ProxyAddress) -> ProxyOptions {
    ProxyOptions { http: Some(proxy.clone()), https: Some(proxy), no_proxy: NoProxy::default() }
}

fn both(head: &str) -> Reply {
    if head.contains("wsagents") { Reply::Upgrade(usual()) } else { page("200 OK", "") }
}

#[tokio::test]
async fn plain_urls_are_tunnelled_too() {
    let controller = Controller::start(both).await;
    let proxy = Proxy::start(None, None, controller.address).await;
    let mut options = options("http://controller.test:8080/");
    options.proxy = through(ProxyAddress::parse(&proxy.address.to_string()).unwrap());
    probe(&options).await.unwrap();
    let (_source, _sink, handshake) = connect(&options).await.unwrap();
    for head in proxy.heads() {
        assert!(head.starts_with("CONNECT controller.test:8080 HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "Host").as_deref(), Some("controller.test:8080"));
        assert_eq!(header(&head, "Secret-Key"), None);
    }
    assert_eq!(proxy.heads().len(), 2);
    assert_eq!(handshake.route.proxy.unwrap(), format!("http://{}", proxy.address));
    assert_eq!(handshake.route.address, proxy.address);
    assert_eq!(header(&controller.heads()[1], "Host").as_deref(), Some("controller.test:8080"));
    assert_eq!(header(&controller.heads()[1], "Proxy-Authorization"), None);
}

#[tokio::test]
async fn proxy_credentials() {
    let controller = Controller::start(both).await;
    let proxy = Proxy::start(None, Some("Basic dXNlcjpwYXNz"), controller.address).await;
    let mut options = options("http://controller.test/");
    let address = ProxyAddress::new(false, "127.0.0.1", proxy.address.port());
    options.proxy = through(address.clone());
    let shown = format!("http://{}", proxy.address);
    let error = connect(&options).await.unwrap_err();
    assert_eq!(
        error,
        ConnectError::Network(NetworkError::ProxyAuthentication {
            proxy: shown.clone(),
            given: false
        })
    );
    options.proxy = through(address.clone().with_credentials("user", "wrong"));
    let error = connect(&options).await.unwrap_err();
    assert_eq!(
        error,
        ConnectError::Network(NetworkError::ProxyAuthentication { proxy: shown, given: true })
    );
    options.proxy = through(address.with_credentials("user", "pass"));
    connect(&options).await.unwrap();
}

#[tokio::test]
async fn tls_runs_inside_the_tunnel_and_to_the_proxy() {
    let pki = signed("controller.test", |_| {});
    let proxy_pki = signed("localhost", |_| {});
    let controller = Controller::start_with(Some(pki.acceptor), both).await;
    let proxy = Proxy::start(Some(proxy_pki.acceptor), None, controller.address).await;
    let mut options = options("https://controller.test/");
    options.tls = only(&format!("{}{}", pki.trusted_pem, proxy_pki.trusted_pem));
    options.proxy = through(ProxyAddress::new(true, "localhost", proxy.address.port()));
    let (_source, _sink, handshake) = connect(&options).await.unwrap();
    assert!(handshake.route.tls.is_some());
    assert!(proxy.heads()[0].starts_with("CONNECT controller.test:443 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn refusals_of_the_proxy_and_hosts_without_proxy() {
    let controller = Controller::start(both).await;
    let proxy = Proxy::start(None, None, controller.address).await;
    let address = ProxyAddress::new(false, "127.0.0.1", proxy.address.port());
    let mut forbidden = options("http://forbidden.test/");
    forbidden.proxy = through(address.clone());
    match connect(&forbidden).await {
        Err(ConnectError::Network(NetworkError::ProxyRefused {
            target,
            status: 403,
            page,
            ..
        })) => {
            assert_eq!(
                (target.as_str(), page.as_deref()),
                ("forbidden.test:80", Some("Not allowed"))
            );
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    let before = proxy.heads().len();
    let mut direct = controller.options();
    direct.proxy = through(address);
    connect(&direct).await.unwrap();
    assert_eq!(proxy.heads().len(), before, "loopback addresses are always direct");
}
