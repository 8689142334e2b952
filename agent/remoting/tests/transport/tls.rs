//! `https`: whom to trust, and what is said when there is no trust.

use std::sync::Arc;

use jenkins_remoting::transport::{
    ConnectError, NetworkError, Recovery, TlsContext, TlsDiagnosis, TlsOptions, TlsSetupError,
    Trust, TrustReport, WebSocketOptions, connect, probe,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::support::{Controller, Reply, options, page, usual};

/// A server certificate and what a client must know to trust it.
pub struct Pki {
    pub acceptor: TlsAcceptor,
    pub trusted_pem: String,
}

/// A server certificate for `name`, signed by a fresh authority.
pub fn signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pki {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Pki {
        acceptor: acceptor(certificate.der().clone(), &key),
        trusted_pem: authority_certificate.pem(),
    }
}

/// A certificate signed by itself that is also an authority, as `openssl req -x509` makes them.
fn self_signed(name: &str) -> Pki {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Pki { acceptor: acceptor(certificate.der().clone(), &key), trusted_pem: certificate.pem() }
}

fn acceptor(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub fn only(pem: &str) -> TlsContext {
    TlsOptions { trust: Trust::Only(vec![pem.to_owned()]), ..TlsOptions::default() }.into()
}

async fn controller(pki: &Pki) -> (Controller, WebSocketOptions) {
    let controller = Controller::start_with(Some(pki.acceptor.clone()), |head| {
        if head.contains("wsagents") { Reply::Upgrade(usual()) } else { page("200 OK", "") }
    })
    .await;
    let options = options(&format!("https://localhost:{}", controller.address.port()));
    (controller, options)
}

#[tokio::test]
async fn an_authority_given_with_cert_is_trusted() {
    let pki = signed("localhost", |_| {});
    let (_controller, mut options) = controller(&pki).await;
    options.tls = only(&pki.trusted_pem);
    probe(&options).await.unwrap();
    let (_source, _sink, handshake) = connect(&options).await.unwrap();
    let tls = handshake.route.tls.unwrap();
    assert_eq!(
        (tls.version.as_str(), tls.trust),
        ("TLSv1_3", TrustReport::Only { certificates: 1 })
    );
}

#[tokio::test]
async fn a_file_of_roots_is_trusted() {
    let pki = signed("localhost", |_| {});
    let (_controller, mut options) = controller(&pki).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, &pki.trusted_pem).unwrap();
    options.tls = TlsOptions { cert_file: Some(file), ..TlsOptions::default() }.into();
    connect(&options).await.unwrap();
    assert_eq!(options.tls.prepare(), Ok(TrustReport::Named { certificates: 1 }));

    let missing =
        TlsOptions { cert_file: Some(folder.path().join("missing.pem")), ..TlsOptions::default() };
    options.tls = missing.into();
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(
        error,
        ConnectError::Network(NetworkError::TlsSetup(TlsSetupError::NoRoots { .. }))
    ));
    assert_eq!(error.recovery(), Recovery::GiveUp);
}

#[tokio::test]
async fn a_self_signed_authority_is_trusted_for_its_own_host_only() {
    let pki = self_signed("localhost");
    let (_controller, mut options) = controller(&pki).await;
    options.tls = only(&pki.trusted_pem);
    connect(&options).await.unwrap();

    let pki = self_signed("elsewhere.test");
    let (_controller, mut options) = controller(&pki).await;
    options.tls = only(&pki.trusted_pem);
    assert_eq!(diagnosis(&options).await, TlsDiagnosis::WrongHost);
}

async fn diagnosis(options: &WebSocketOptions) -> TlsDiagnosis {
    match connect(options).await {
        Err(ConnectError::Network(NetworkError::Tls { diagnosis, .. })) => diagnosis,
        other => panic!("expected a TLS error, got {other:?}"),
    }
}

#[tokio::test]
async fn unknown_issuer_wrong_host_and_wrong_time_are_refused() {
    let pki = signed("localhost", |_| {});
    let (_controller, mut options) = controller(&pki).await;
    assert_eq!(diagnosis(&options).await, TlsDiagnosis::UnknownIssuer);
    options.tls = only(&signed("localhost", |_| {}).trusted_pem);
    assert_eq!(diagnosis(&options).await, TlsDiagnosis::UnknownIssuer);

    for (pki, expected) in [
        (signed("elsewhere.test", |_| {}), TlsDiagnosis::WrongHost),
        (
            signed("localhost", |params| params.not_after = date_time_ymd(2001, 1, 1)),
            TlsDiagnosis::Expired,
        ),
        (
            signed("localhost", |params| params.not_before = date_time_ymd(3000, 1, 1)),
            TlsDiagnosis::NotYetValid,
        ),
    ] {
        let (_controller, mut options) = controller(&pki).await;
        options.tls = only(&pki.trusted_pem);
        assert_eq!(diagnosis(&options).await, expected);
    }
}

#[tokio::test]
async fn no_certificate_check_takes_anything() {
    let pki = signed("elsewhere.test", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let (_controller, mut options) = controller(&pki).await;
    options.tls = TlsOptions { trust: Trust::NoCheck, ..TlsOptions::default() }.into();
    probe(&options).await.unwrap();
    let (_source, _sink, handshake) = connect(&options).await.unwrap();
    assert_eq!(handshake.route.tls.unwrap().trust, TrustReport::NoCheck);
}

#[tokio::test]
async fn a_plain_port_is_recognised() {
    let controller = Controller::start(|_| page("200 OK", "")).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    assert_eq!(diagnosis(&options(&format!("https://{address}"))).await, TlsDiagnosis::NotTls);
    drop(controller);
}

#[tokio::test]
async fn unusable_certificates_are_found_at_once() {
    for bad in
        ["", "not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        let error = only(bad).prepare().unwrap_err();
        assert!(matches!(error, TlsSetupError::BadCertificate { number: 1, .. }), "{error:?}");
    }
    assert!(
        TlsContext::new(TlsOptions { trust: Trust::Only(Vec::new()), ..TlsOptions::default() })
            .prepare()
            .is_err()
    );
    assert!(TlsContext::default().prepare().is_ok(), "there is always the built-in list");
}
