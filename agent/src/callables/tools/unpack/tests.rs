//! Archives of a real server on a real socket.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use flate2::write::GzEncoder;
use java_object_stream::{Class, Field, Graph, Object, Plain, ReadOptions, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use super::*;

const TOOL: &[u8] = b"#!/bin/sh\necho tool\n";

fn tgz() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(TOOL.len() as u64);
    tar.append_data(&mut header, "bin/tool", TOOL).unwrap();
    // More than fits into the buffers on the way, and does not compress.
    let mut noise = Vec::new();
    let mut state = 1_u32;
    noise.resize_with(600_000, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(noise.len() as u64);
    tar.append_data(&mut header, "noise", &noise[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn zip() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bin/tool", options).unwrap();
    zip.write_all(TOOL).unwrap();
    zip.finish().unwrap().into_inner()
}

/// A server of archives. It tells when it has sent the first half of `/slow.tgz`, and never sends the second.
struct Server {
    address: SocketAddr,
    half: Arc<Notify>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let half = Arc::new(Notify::new());
        let told = Arc::clone(&half);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(socket.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap();
                    let (answer, body) = answer(path, address);
                    // A client that has enough may close before everything is sent.
                    let _ = socket.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await;
                    let _ = socket.write_all(&body).await;
                    if path == "/slow.tgz" {
                        told.notify_one();
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, half }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn answer(path: &str, address: SocketAddr) -> (String, Vec<u8>) {
    let ok = |body: Vec<u8>| (format!("200 OK\r\nContent-Length: {}", body.len()), body);
    let moved =
        |to: String| (format!("302 Found\r\nContent-Length: 0\r\nLocation: {to}"), Vec::new());
    let first_half = || {
        let mut body = tgz();
        let length = body.len();
        body.truncate(length / 2);
        (format!("200 OK\r\nContent-Length: {length}"), body)
    };
    match path {
        "/tool.zip" | "/tool.zip?v=1.zip" => ok(zip()),
        "/tool.tgz" | "/with%20space" => ok(tgz()),
        "/chunked" => {
            let mut body = Vec::new();
            for chunk in tgz().chunks(50_000) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            ("200 OK\r\nTransfer-Encoding: chunked".to_owned(), body)
        }
        "/latest" => moved("/step/../tool.tgz".to_owned()),
        "/latest.zip" => moved(format!("http://localhost:{}/tool.zip", address.port())),
        "/circle" => moved("/circle".to_owned()),
        "/short.tgz" | "/slow.tgz" => first_half(),
        "/page.tgz" | "/page.zip" => ok(b"<html>".to_vec()),
        "/empty.tgz" => ok(Vec::new()),
        "/broken" => ("503 Busy\r\nContent-Length: 0".to_owned(), Vec::new()),
        _ => ("404 Not Found\r\nContent-Length: 0".to_owned(), Vec::new()),
    }
}

/// Unpacks as a request does, on a thread that may block.
async fn run(
    url: String,
    stop: Option<oneshot::Receiver<()>>,
) -> (tempfile::TempDir, Result<(), FileError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    let cancel = Cancel::new();
    let flag = cancel.clone();
    let waiter = Waiter::until(async move {
        match stop {
            Some(stop) => stop.await.unwrap(),
            None => std::future::pending().await,
        }
        flag.cancel();
    });
    let result = tokio::task::spawn_blocking(move || {
        unpack_url(&url, &path, &DownloadOptions::default(), waiter, &cancel)
    });
    (dir, result.await.unwrap())
}

#[tokio::test]
async fn archives_are_unpacked_with_their_modes() {
    let server = Server::start().await;
    for path in [
        "/tool.zip",
        "/tool.zip?v=1.zip",
        "/tool.tgz",
        "/tool.tgz#fragment",
        "/with space",
        "/chunked",
        "/latest",
        "/latest.zip",
    ] {
        let (dir, result) = run(server.url(path), None).await;
        result.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let tool = dir.path().join("bin/tool");
        assert_eq!(fs::read(&tool).unwrap(), TOOL, "{path}");
        assert_eq!(fs::metadata(tool).unwrap().permissions().mode() & 0o777, 0o755, "{path}");
        let noise = fs::metadata(dir.path().join("noise")).map(|noise| noise.len()).ok();
        assert_eq!(noise, (!path.contains("zip")).then_some(600_000), "{path}");
    }
}

#[tokio::test]
async fn credentials_in_the_url_are_neither_used_nor_shown() {
    let server = Server::start().await;
    let (_dir, result) = run(format!("http://me:hunter2@{}/tool.tgz", server.address), None).await;
    result.unwrap();
    for path in ["/gone", "/broken", "/page.tgz", "/circle"] {
        let (_dir, result) = run(format!("http://me:hunter2@{}{path}", server.address), None).await;
        let error = result.unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn answers_other_than_200_are_the_exceptions_of_java() {
    let server = Server::start().await;
    let fail = async |path: &str| run(server.url(path), None).await.1.unwrap_err();
    let gone = fail("/gone?x=1").await;
    assert_eq!(gone.class(), JavaClass::FileNotFound);
    assert_eq!(gone.to_string(), server.url("/gone?x=1"));
    let broken = fail("/broken").await;
    assert_eq!(broken.class(), JavaClass::Io);
    let expected =
        format!("Server returned HTTP response code: 503 for URL: {}", server.url("/broken"));
    assert_eq!(broken.to_string(), expected);
    let circle = fail("/circle").await.to_string();
    assert_eq!(circle, format!("{} redirects more than 20 times", server.url("/circle")));
}

#[tokio::test]
async fn what_is_no_archive_or_breaks_off_is_told_with_the_bytes_read() {
    let server = Server::start().await;
    let fail = async |path: &str| run(server.url(path), None).await.1.unwrap_err();
    for (path, cause) in [
        ("/page.tgz", "Not in GZIP format"),
        ("/page.zip", "archive is not a ZIP archive"),
        ("/empty.tgz", "the gzip stream ends in its header"),
    ] {
        let error = fail(path).await;
        let read = if path.starts_with("/page") { 6 } else { 0 };
        let expected = format!("Failed to unpack {} ({read} bytes read)", server.url(path));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.cause().unwrap().to_string(), cause);
    }
    let error = fail("/short.tgz").await;
    let half = tgz().len() / 2;
    let expected = format!("Failed to unpack {} ({half} bytes read)", server.url("/short.tgz"));
    assert_eq!(error.to_string(), expected);
    let cause = error.cause().unwrap();
    assert_eq!(cause.to_string(), "Failed to extract input stream");
    let inner = cause.cause().unwrap().to_string();
    assert!(inner.contains("broke off"), "{inner}");
    // All causes reach the controller.
    let throwable = format!("{:?}", Throwable::from(error));
    assert!(throwable.contains("Failed to extract") && throwable.contains("broke off"));
}

#[tokio::test]
async fn a_cancelled_request_does_not_wait_for_a_slow_server() {
    let server = Server::start().await;
    let (stop, stopped) = oneshot::channel();
    let half = Arc::clone(&server.half);
    let work = tokio::spawn(run(server.url("/slow.tgz"), Some(stopped)));
    half.notified().await;
    stop.send(()).unwrap();
    let (_dir, result) = work.await.unwrap();
    let error = result.unwrap_err();
    assert!(error.is_cancelled(), "{error:?}");
}

#[tokio::test]
async fn a_cancelled_request_does_not_wait_for_a_connection() {
    // Accepts (the backlog does) and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let url = format!("http://{}/x.tgz", listener.local_addr().unwrap());
    let work = tokio::spawn(run(url, Some(stopped)));
    let _connection = listener.accept().await.unwrap();
    stop.send(()).unwrap();
    assert!(work.await.unwrap().1.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn files_of_this_machine() {
    let from = tempfile::tempdir().unwrap();
    let path = from.path().join("a b.tar.gz");
    fs::write(&path, tgz()).unwrap();
    let folder = from.path().display();
    for url in [
        format!("file:{folder}/a%20b.tar.gz"),
        format!("file://{folder}/a b.tar.gz?x"),
        format!("file://LOCALHOST{folder}/a b.tar.gz"),
    ] {
        let (dir, result) = run(url, None).await;
        result.unwrap();
        assert!(dir.path().join("bin/tool").exists());
    }
    let error = run(format!("file:{folder}/none.zip"), None).await.1.unwrap_err();
    assert_eq!(error.class(), JavaClass::FileNotFound);
    assert_eq!(error.to_string(), format!("{folder}/none.zip (No such file or directory)"));
    for refused in ["file://other.test/x.zip", "ftp://c/x.zip", "jar:file:/x.jar!/y.zip", "x"] {
        assert_eq!(run(refused.to_owned(), None).await.1.unwrap_err().class(), JavaClass::Io);
    }
}

#[test]
fn a_url_is_written_as_java_writes_it() {
    static URL: Class = Class::new("java.net.URL", -7_627_629_688_361_524_110).fields(&[
        Field::int("hashCode"),
        Field::int("port"),
        Field::string("authority"),
        Field::string("file"),
        Field::string("host"),
        Field::string("protocol"),
        Field::string("ref"),
    ]);
    let form = |protocol: &str,
                authority: Option<&str>,
                host: &str,
                port: i32,
                file: &str,
                r: Option<&str>| {
        let url = Object::new(&URL)
            .with("hashCode", -1)
            .with("port", port)
            .with("authority", authority.map(str::to_owned))
            .with("file", file.to_owned())
            .with("host", host.to_owned())
            .with("protocol", protocol.to_owned())
            .with("ref", r.map(str::to_owned));
        let bytes = encode(&url.into(), &mut Plain).unwrap();
        let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
        external_form(graph.root().unwrap()).unwrap()
    };
    assert_eq!(
        form("https", Some("me@c:8443"), "c", 8443, "/a.zip?x=1", Some("r")),
        "https://me@c:8443/a.zip?x=1#r"
    );
    assert_eq!(form("http", None, "c", -1, "", None), "http://c");
    assert_eq!(form("http", None, "[::1]", 80, "/a", None), "http://[::1]:80/a");
    assert_eq!(form("file", Some(""), "", -1, "/a b.zip", None), "file:/a b.zip");
    assert_eq!(form("file", None, "", -1, "/x", None), "file:/x");
}
