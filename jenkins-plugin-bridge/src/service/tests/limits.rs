//! Limits of requests and connections, and TLS.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{PREVIEW, World, client_that_trusts};
use crate::service::server::{Limits, Server, TlsFiles};

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}?mode=rwc", directory.path().join("a.db").display());
    let world =
        World::start(directory, &database, None, |options| options.request_bytes = 1000).await;
    let body = json!({"pipeline": "service", "parameters": {"language": "x".repeat(2000)}});
    let reply = world.post("/v1/plans", PREVIEW, &body).await;
    assert_eq!(
        (reply.status, &reply.json["type"]),
        (413, &json!("urn:pilotfish:problem:too-large"))
    );
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let world = World::sqlite().await;
    let limits = Limits { head: Duration::from_millis(100), connections: 1, ..Limits::default() };
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(address, Arc::clone(&world.service), None, limits).await.unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    // The one place is taken by a connection that never says what it wants, then given back.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    next.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    stop.send(()).unwrap();
    running.await.unwrap();
}

fn certificate(
    directory: &std::path::Path,
    name: &str,
) -> (std::path::PathBuf, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

#[tokio::test]
async fn tls_is_served_and_a_new_certificate_needs_no_restart() {
    let files = tempfile::tempdir().unwrap();
    let (certificate_file, key_file) = certificate(files.path(), "localhost");
    let tls = Arc::new(TlsFiles::open(&certificate_file, &key_file).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}?mode=rwc", directory.path().join("a.db").display());
    let world = World::start(directory, &database, Some(Arc::clone(&tls)), |_| {}).await;
    let health = |client: reqwest::Client| client.get(format!("{}/healthz", world.url)).send();
    let first = client_that_trusts(std::slice::from_ref(&certificate_file));
    assert_eq!(health(first.clone()).await.unwrap().status(), 200);
    assert!(health(client_that_trusts(&[])).await.is_err(), "an unknown authority is not trusted");

    std::fs::write(&key_file, "broken").unwrap();
    assert!(tls.reload().is_err());
    assert_eq!(health(first).await.unwrap().status(), 200, "the earlier one stays");
    certificate(files.path(), "localhost");
    tls.reload().unwrap();
    let second = client_that_trusts(&[certificate_file]);
    assert_eq!(health(second).await.unwrap().status(), 200);
    assert!(world.path().exists());
}
