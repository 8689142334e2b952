//! The real agent is watched: health, metrics and traces over real connections.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use jenkins_remoting::command::Outcome;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use support::agent::Agent;
use support::callables as make;
use support::commands::user_request;
use support::controller::Controller;
use support::service::Service;
use support::within;

const TOKEN: &str = "Bearer-0123456789abcdef";

/// The address of the health endpoint, from the log.
async fn health(agent: &mut Agent) -> String {
    agent.says("Health and metrics: http://").await;
    let log = agent.log();
    let (_, rest) = log.rsplit_once("Health and metrics: http://").unwrap();
    within("the address", async {
        loop {
            if let Some((address, _)) = rest.split_once('\n') {
                return address.trim().to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// What a request is answered with: status line and headers, and the body.
async fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

async fn get(address: &str, path: &str) -> (String, String) {
    let (head, body) = ask(address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    (head.split(' ').nth(1).unwrap().to_owned(), body)
}

/// The value of a sample of `/metrics`.
async fn metric(address: &str, sample: &str) -> Option<f64> {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, "200");
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

async fn until(address: &str, sample: &str, value: f64) {
    within(sample, async {
        while metric(address, sample).await != Some(value) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn health_and_metrics_follow_the_life_of_the_agent() {
    let mut controller = Controller::start().await;
    let options = ["--health-address", "127.0.0.1:0", "--drain-timeout", "10m"];
    let mut agent = Agent::start(&controller.url, &options);
    let address = health(&mut agent).await;
    let upgrade = controller.upgrade().await;
    assert_eq!(get(&address, "/healthz").await, ("200".to_owned(), "ok\n".to_owned()));
    let (status, why) = get(&address, "/readyz").await;
    assert_eq!(status, "503");
    assert!(why.starts_with("not ready: connecting"), "{why}");
    assert_eq!(metric(&address, "pilotfish_agent_connections_total").await, Some(0.0));

    let mut connection = upgrade.accept().await;
    agent.says("Connected").await;
    connection.exchange().await;
    assert_eq!(get(&address, "/readyz").await, ("200".to_owned(), "ready\n".to_owned()));
    let connected = "pilotfish_agent_connection_state{state=\"connected\"}";
    assert_eq!(metric(&address, connected).await, Some(1.0));
    let received = metric(&address, "pilotfish_agent_received_bytes_total").await.unwrap();
    assert!(received > 100.0, "{received}");

    // No process of another test has these.
    let (job, cookie) =
        (format!("team/\"{0}\"", std::process::id()), format!("observing-{}", std::process::id()));
    let of_job = format!("JOB_NAME={job}");
    let of_node = format!("JENKINS_NODE_COOKIE={cookie}");
    let environment = [of_job.as_str(), "BUILD_NUMBER=7", &of_node];
    let launch = make::launch(&["sleep", "600"], &environment, "/");
    connection.send(&user_request(1001, &launch)).await;
    assert!(matches!(connection.answer(1001).await, Outcome::Value(_)));
    let labels = format!("{{build=\"{} #7\"}}", job.replace('"', "\\\""));
    until(&address, &format!("pilotfish_agent_build_processes{labels}"), 1.0).await;
    assert_eq!(metric(&address, "pilotfish_agent_builds_running").await, Some(1.0));
    assert_eq!(metric(&address, "pilotfish_agent_child_processes").await, Some(1.0));
    let memory = format!("pilotfish_agent_build_memory_bytes{labels}");
    assert!(metric(&address, &memory).await.unwrap() > 10_000.0);
    let launches = "pilotfish_agent_requests_total{class=\"hudson.Launcher$RemoteLaunchCallable\",tier=\"native\"}";
    assert_eq!(metric(&address, launches).await, Some(1.0));
    assert!(metric(&address, "pilotfish_agent_exports").await.unwrap() >= 1.0);

    connection.send(&user_request(1002, &make::on_file("demo.Unknown", "/"))).await;
    connection.refusal(1002).await;
    let (_, text) = get(&address, "/metrics").await;
    assert_eq!(text.matches(",tier=\"refused\"} 1\n").count(), 1, "{text}");

    drop(connection);
    agent.says("connecting again").await;
    let upgrade = controller.upgrade().await;
    assert_eq!(get(&address, "/readyz").await.0, "503");
    let lost = "pilotfish_agent_connections_lost_total{reason=\"broken\"}";
    assert_eq!(metric(&address, lost).await, Some(1.0));
    let mut connection = upgrade.accept().await;
    agent.says("Connected").await;
    connection.exchange().await;
    until(&address, "pilotfish_agent_connections_total", 2.0).await;
    let more = metric(&address, "pilotfish_agent_received_bytes_total").await.unwrap();
    assert!(more > received, "{more} counts both connections");

    agent.signal(Signal::TERM);
    agent.says("Draining: ").await;
    let (status, why) = get(&address, "/readyz").await;
    assert_eq!(status, "503");
    assert!(why.contains("draining"), "{why}");
    assert_eq!(get(&address, "/healthz").await.0, "200");
    assert_eq!(metric(&address, "pilotfish_agent_draining").await, Some(1.0));
    let end = make::kill("JENKINS_NODE_COOKIE", &cookie);
    connection.send(&user_request(1003, &end)).await;
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_hostile_client_gets_nothing_and_hurts_nobody() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &["--health-address", "127.0.0.1:0"]);
    let address = health(&mut agent).await;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    let huge = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = TcpStream::connect(&address).await.unwrap();
    // The agent may hang up before all of it is sent.
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within("a hang-up", stream.read_to_end(&mut answer)).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let (head, body) = ask(&address, request).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{request:?}: {head}");
        assert!(!request.starts_with("HEAD") || body.is_empty(), "{body}");
    }
    // All places are taken by clients that say nothing; the agent goes on, and so does the endpoint
    // once they are gone.
    let silent = futures_util::future::join_all(
        (0..40).map(|_| async { TcpStream::connect(&address).await.unwrap() }),
    )
    .await;
    connection.exchange().await;
    drop(silent);
    assert_eq!(get(&address, "/healthz").await.0, "200");
    connection.exchange().await;
    agent.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let controller = Controller::start().await;
    let agent = Agent::start(&controller.url, &["--health-address", &address]);
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("cannot serve health and metrics at {address}")), "{log}");
    assert!(log.contains("give --health-address another one"), "{log}");
}

fn spans(collector: &Service) -> Vec<Span> {
    let messages = collector.requests().into_iter();
    let messages =
        messages.map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
    let found = messages.flat_map(|message| message.resource_spans);
    found.flat_map(|one| one.scope_spans).flat_map(|one| one.spans).collect()
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|one| one.key == key).unwrap();
    match found.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn each_request_is_a_span() {
    let collector = Service::start("200 OK").await;
    let mut controller = Controller::start().await;
    let header = format!("Authorization={TOKEN}");
    let options = ["--otlp-endpoint", collector.url.as_str(), "--otlp-header", &header];
    let mut agent = Agent::start(&controller.url, &options);
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    let trace = "TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let launch = make::launch(&["true"], &[trace], "/");
    connection.send(&user_request(1001, &launch)).await;
    assert!(matches!(connection.answer(1001).await, Outcome::Value(_)));
    let missing = make::launch(&["/no/such/program"], &[], "/");
    connection.send(&user_request(1002, &missing)).await;
    connection.refusal(1002).await;
    connection.send(&user_request(1003, &make::on_file("demo.Unknown", "/"))).await;
    connection.refusal(1003).await;
    let log = agent.stop().await;
    assert!(!log.contains(TOKEN) && !log.contains(&collector.url), "{log}");

    let head = collector.requests().first().unwrap().0.to_lowercase();
    assert!(head.starts_with("post /base/v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: {}\r\n", TOKEN.to_lowercase())), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    let spans = spans(&collector);
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let attribute = |key| attribute(span, key);
            (span.name.as_str(), attribute("pilotfish.tier"), attribute("pilotfish.outcome"))
        })
        .collect();
    let is = |name: &str, tier: &str, outcome: &str| {
        told.iter().any(|(a, b, c)| a.contains(name) && b == tier && c == outcome)
    };
    assert!(is("hudson.Launcher$RemoteLaunchCallable", "native", "ok"), "{told:?}");
    assert!(is("hudson.Launcher$RemoteLaunchCallable", "native", "exception"), "{told:?}");
    assert!(is("demo.Unknown", "refused", "exception"), "{told:?}");
    let launched = spans.iter().find(|span| !span.parent_span_id.is_empty()).unwrap();
    assert_eq!(launched.parent_span_id, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert!(launched.end_time_unix_nano > launched.start_time_unix_nano);
}

#[tokio::test]
async fn a_collector_that_takes_nothing_disturbs_nobody() {
    let collector = Service::start("503 Busy").await;
    let mut controller = Controller::start().await;
    let options = ["--otlp-endpoint", collector.url.as_str(), "--health-address", "127.0.0.1:0"];
    let mut agent = Agent::start(&controller.url, &options);
    let address = health(&mut agent).await;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    connection.exchange().await;
    assert_eq!(metric(&address, "pilotfish_agent_spans_dropped_total").await, Some(0.0));
    let log = agent.stop().await;
    assert!(log.contains("spans, which are dropped: the answer is HTTP status 503"), "{log}");
    assert!(!log.contains(&collector.url), "{log}");
}
