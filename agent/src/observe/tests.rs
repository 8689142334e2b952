//! What is told, without a server.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use jenkins_remoting::channel::{AnsweringTier, ObservedRequest, Queued, RequestOutcome, Traffic};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use pilotfish_process::OwnUsage;
use pilotfish_process::cgroup::MemoryState;
use prost::Message as _;

use super::metrics::render;
use super::otlp::{self, TraceParent};
use super::server::{ListenAddress, not_ready};
use super::snapshot::{BuildUsage, MAX_CLASSES, MAX_NAME, OTHER, Snapshot, Tier, bounded};
use crate::connection::{Reason, State};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn the_whole_text_of_metrics() {
    let counts = |name: &str, count| BTreeMap::from([(name.to_owned(), count)]);
    let snapshot = Snapshot {
        node: "linux \"1\"".to_owned(),
        protocol: "WebSocket",
        remoting_version: "3309.0",
        state: State::Connected,
        connections: 3,
        failures: 4,
        lost: vec![(Reason::HalfOpen, 2), (Reason::Broken, 0)],
        draining: true,
        requests: vec![
            (Tier::Native, counts("hudson.FilePath$Mkdirs", 5)),
            (Tier::Jvm, counts("hudson.plugins.git.X", 6)),
            (Tier::Failed, BTreeMap::new()),
            (Tier::Refused, counts("demo.Y", 7)),
        ],
        jvms: 1,
        traffic: Traffic { commands_in: 8, commands_out: 9, bytes_in: 10, bytes_out: 11 },
        queued: Queued { commands: 12, bytes: 13 },
        requests_running: 14,
        exports: 15,
        children: 16,
        memory: MemoryState {
            limit: Some(1 << 30),
            usage: Some(1000),
            held: Some(900),
            peak: None,
            oom_kills: Some(1),
        },
        builds: [("team/app #7".to_owned(), BuildUsage { processes: 2, memory: 4096 })].into(),
        running: 1,
        own: OwnUsage {
            resident: Some(7 << 20),
            processor: Some(Duration::from_millis(1500)),
            descriptors: Some(11),
        },
        spans_dropped: Some(0),
    };
    insta::assert_snapshot!(render(&snapshot));
}

#[test]
fn what_is_not_known_is_left_out() {
    let text = render(&Snapshot::default());
    for absent in ["memory_limit", "oom_kills", "spans_dropped", "process_open_fds"] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(text.contains("pilotfish_agent_connection_state{state=\"starting\"} 1\n"));
}

#[test]
fn names_are_bounded_and_nothing_is_lost_by_it() {
    let mut counts: BTreeMap<String, u64> =
        (0..2 * MAX_CLASSES).map(|number| (format!("demo.Class{number:04}"), 1)).collect();
    counts.insert("demo.Often".to_owned(), 1000);
    counts.insert("\u{e9}".repeat(3 * MAX_NAME), 50);
    counts.insert(String::new(), 40);
    let all: u64 = counts.values().sum();
    let kept = bounded(counts);
    assert_eq!(kept.len(), MAX_CLASSES + 1);
    assert_eq!(kept.values().sum::<u64>(), all);
    assert_eq!((kept["demo.Often"], kept["unknown"]), (1000, 40));
    assert_eq!(kept[&"\u{e9}".repeat(MAX_NAME)], 50);
    assert_eq!(kept[OTHER], all - 1000 - 50 - 40 - (MAX_CLASSES as u64 - 3));
}

#[test]
fn ready_is_connected_and_not_draining() {
    for state in State::ALL {
        assert_eq!(not_ready(state, false).is_none(), state == State::Connected, "{state}");
        assert!(not_ready(state, true).is_some(), "{state}");
        if state != State::Connected {
            assert!(not_ready(state, false).unwrap().starts_with(state.name()));
        }
    }
}

#[test]
fn addresses_to_listen_at() {
    for (text, host, port) in [
        ("127.0.0.1:8081", Some("127.0.0.1"), 8081),
        (":0", None, 0),
        ("[::1]:65535", Some("::1"), 65535),
        ("localhost:80", Some("localhost"), 80),
    ] {
        let address = ListenAddress::parse(text).unwrap();
        assert_eq!((address.host.as_deref(), address.port), (host, port), "{text}");
        assert_eq!(address.to_string(), text);
    }
    for (text, part) in [
        ("8081", "expected HOST:PORT or :PORT"),
        ("h:", "\"\" is no port"),
        ("h:65536", "no port"),
        ("h:+1", "no port"),
        ("::1:80", "in brackets, as [::1]:8081"),
        ("[::1:80", "expected HOST:PORT"),
        ("a b:1", "expected HOST:PORT"),
        ("http://h:1", "in brackets"),
    ] {
        let error = ListenAddress::parse(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn trace_contexts() {
    assert!(TraceParent::parse(TRACE).is_some());
    let later = TRACE.replacen("00", "01", 1) + "-more";
    assert!(TraceParent::parse(&later).is_some(), "a later version may have more");
    for bad in [
        "",
        "00",
        &TRACE[1..],
        &TRACE[..TRACE.len() - 1],
        &format!("{TRACE}-"),
        &TRACE.replacen("00", "ff", 1),
        &TRACE.to_uppercase(),
        &TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &TRACE.replace("00f067aa0ba902b7", &"0".repeat(16)),
        &TRACE.replace('7', "\u{e9}"),
    ] {
        assert_eq!(TraceParent::parse(bad), None, "{bad}");
    }
}

fn request(outcome: RequestOutcome, trace_parent: Option<&str>) -> ObservedRequest {
    ObservedRequest {
        class: "hudson.FilePath$Mkdirs".to_owned(),
        payload: 321,
        began: UNIX_EPOCH + Duration::from_secs(1000),
        took: Duration::from_micros(5),
        tier: AnsweringTier::Native,
        outcome,
        trace_parent: trace_parent.map(str::to_owned),
    }
}

#[test]
fn a_span_says_what_was_asked_and_how_it_ended() {
    let spans = [RequestOutcome::Value, RequestOutcome::Exception]
        .map(|outcome| otlp::span(&request(outcome, Some(TRACE))).unwrap());
    let message = otlp::message(spans.to_vec(), "linux-1");
    let read = ExportTraceServiceRequest::decode(message.as_slice()).unwrap();
    let [of_resource] = read.resource_spans.as_slice() else { panic!("{read:?}") };
    let text = |value: &str| Some(Value::StringValue(value.to_owned()));
    let value = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str| {
        let found = attributes.iter().find(|one| one.key == key).unwrap();
        found.value.clone().unwrap().value
    };
    let resource = of_resource.resource.clone().unwrap().attributes;
    assert_eq!(value(&resource, "service.name"), text("pilotfish-agent"));
    assert_eq!(value(&resource, "jenkins.node"), text("linux-1"));
    let [good, bad] = of_resource.scope_spans[0].spans.as_slice() else { panic!("{read:?}") };
    assert_eq!(good.name, "hudson.FilePath$Mkdirs");
    assert_eq!(good.start_time_unix_nano, 1_000_000_000_000);
    assert_eq!(good.end_time_unix_nano, 1_000_000_005_000);
    assert_eq!(good.trace_id[..4], [0x4b, 0xf9, 0x2f, 0x35]);
    assert_eq!(good.parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_ne!(good.span_id, bad.span_id);
    assert_eq!((good.kind, good.status.clone().unwrap().code), (2, 0));
    assert_eq!(bad.status.clone().unwrap().code, 2);
    assert_eq!(value(&good.attributes, "pilotfish.tier"), text("native"));
    assert_eq!(value(&good.attributes, "pilotfish.outcome"), text("ok"));
    assert_eq!(value(&bad.attributes, "pilotfish.outcome"), text("exception"));
    assert_eq!(value(&good.attributes, "rpc.request.body.size"), Some(Value::IntValue(321)));
}

#[test]
fn a_request_without_a_trace_begins_one_and_an_unsampled_trace_is_left_alone() {
    let own = otlp::span(&request(RequestOutcome::Value, None)).unwrap();
    let other = otlp::span(&request(RequestOutcome::Value, Some("nonsense"))).unwrap();
    assert!(own.parent_span_id.is_empty() && other.parent_span_id.is_empty());
    assert_ne!(own.trace_id, other.trace_id);
    let unsampled = TRACE.strip_suffix("01").unwrap().to_owned() + "00";
    assert_eq!(otlp::span(&request(RequestOutcome::Value, Some(&unsampled))), None);
}
