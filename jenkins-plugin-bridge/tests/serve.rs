//! The service as a process: made from its own commands, asked over HTTP, traced, and told to stop.

#![expect(clippy::unwrap_used, reason = "a failed test shows it")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pilotfish-bridge");
const PATIENCE: Duration = Duration::from_secs(60);
/// The trace that a caller is in already (W3C Trace Context).
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn program(arguments: &[&str]) -> Output {
    // Nothing of the surroundings turns traces on.
    Command::new(PROGRAM)
        .args(arguments)
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .output()
        .unwrap()
}

/// A running service with a signing key and one token.
struct Service {
    child: Child,
    address: String,
    token: String,
    log: std::thread::JoinHandle<String>,
}

fn start(directory: &Path, more: &[&str]) -> Service {
    let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let key = program(&["keygen", &file("key.pem")]);
    assert!(key.status.success());
    assert!(!program(&["keygen", &file("key.pem")]).status.success(), "a key is not overwritten");
    let made = program(&["token", "reader", "--scope", "catalog:read", "--scope", "metrics:read"]);
    let text = String::from_utf8(made.stdout).unwrap();
    let (token, entry) = text.split_once('\n').unwrap();
    assert!(!entry.contains(token), "what is kept is not the token");
    fs::write(file("tokens.yaml"), format!("tokens:\n{entry}")).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"])
        .args(["--catalog", concat!(env!("CARGO_MANIFEST_DIR"), "/catalog")])
        .args(["--tokens", &file("tokens.yaml"), "--signing-key", &file("key.pem")])
        .args(["--database", &format!("sqlite:{}", file("state.db"))])
        .args(more)
        // So that nobody waits five seconds for the traces.
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("NO_PROXY", "127.0.0.1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    let address = loop {
        let from = said.len();
        assert!(lines.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        let line: Value = serde_json::from_str(&said[from..]).unwrap();
        if let Some(address) = line["fields"]["address"].as_str() {
            break address.to_owned();
        }
    };
    let log = std::thread::spawn(move || {
        lines.read_to_string(&mut said).unwrap();
        said
    });
    Service { child, address, token: token.to_owned(), log }
}

impl Service {
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n",
            self.token
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Tells it to stop, and gives its log.
    fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.log.join().unwrap()
    }
}

/// A collector: what comes in by HTTP.
fn collector() -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_is_traced_in_the_trace_of_its_caller() {
    let directory = tempfile::tempdir().unwrap();
    let (endpoint, sent) = collector();
    let service = start(directory.path(), &["--otlp-endpoint", &endpoint]);
    assert!(service.get("/v1/catalog").starts_with("HTTP/1.1 200 "));
    let (head, body) = sent.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.contains("application/x-protobuf"), "{head}");
    let trace: Vec<u8> =
        (0..16).map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap()).collect();
    for part in [&trace[..], b"GET /v1/catalog", b"pilotfish-bridge", b"http.response.status_code"]
    {
        assert!(has(&body, part), "{}", String::from_utf8_lossy(part));
    }
    let token = service.token.clone();
    assert!(!has(&body, token.as_bytes()));
    let log = service.stop();
    assert!(log.contains(TRACE) && !log.contains(&token), "{log}");
}

#[test]
fn without_a_collector_the_log_has_the_id_of_the_trace() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &[]);
    assert!(service.get("/healthz").contains("\"status\":\"ok\""));
    assert!(service.get("/metrics").contains("pilotfish_bridge_catalog_current 1"));
    let log = service.stop();
    assert!(log.contains(TRACE) && log.contains("\"stopped\""), "{log}");
}

#[test]
fn tokens_do_not_go_over_a_network_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let refused = program(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--catalog",
        &file(""),
        "--tokens",
        &file("t"),
        "--signing-key",
        &file("k"),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("--tls-cert") && text.contains("--behind-proxy"), "{text}");
}
