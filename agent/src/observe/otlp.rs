//! Spans of requests in the form of the OpenTelemetry protocol (OTLP).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jenkins_remoting::channel::{AnsweringTier, ObservedRequest, RequestOutcome};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use super::snapshot::MAX_NAME;

/// Who the spans are of (OpenTelemetry's `service.name`).
const SERVICE: &str = "pilotfish-agent";

/// A trace that a request belongs to: W3C Trace Context, version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl TraceParent {
    /// Parses a `traceparent`. A later version is read as far as this one goes, as the standard says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
        let [version] = bytes::<1>(version)?;
        let [flags] = bytes::<1>(flags)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
        let known = trace != [0; 16] && span != [0; 8];
        known.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Lower-case hexadecimal digits of exactly so many bytes.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The span of a request; `None` where the trace that it belongs to is not sampled.
pub(super) fn span(request: &ObservedRequest) -> Option<Span> {
    let parent = request.trace_parent.as_deref().and_then(TraceParent::parse);
    if parent.is_some_and(|parent| !parent.sampled) {
        return None;
    }
    let (trace, parent) = match parent {
        Some(parent) => (parent.trace, parent.span.to_vec()),
        None => (uuid::Uuid::new_v4().into_bytes(), Vec::new()),
    };
    let [own, _] = halves(uuid::Uuid::new_v4().into_bytes());
    let class: String = request.class.chars().take(MAX_NAME).collect();
    let name = if class.is_empty() { "unreadable request".to_owned() } else { class.clone() };
    let failed = request.outcome == RequestOutcome::Exception;
    let code = if failed { StatusCode::Error } else { StatusCode::Unset };
    Some(Span {
        trace_id: trace.to_vec(),
        span_id: own.to_vec(),
        parent_span_id: parent,
        name,
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanoseconds(request.began),
        end_time_unix_nano: nanoseconds(request.began + request.took),
        attributes: vec![
            text("rpc.system", "jenkins-remoting"),
            text("rpc.method", &class),
            text("pilotfish.tier", tier(request.tier)),
            text("pilotfish.outcome", outcome(request.outcome)),
            attribute(
                "rpc.request.body.size",
                Value::IntValue(i64::try_from(request.payload).unwrap_or(i64::MAX)),
            ),
        ],
        status: Some(Status { message: String::new(), code: code.into() }),
        ..Span::default()
    })
}

/// The body of a request to a collector.
pub(super) fn message(spans: Vec<Span>, node: &str) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: vec![
            text("service.name", SERVICE),
            text("service.version", version),
            text("service.instance.id", node),
            text("jenkins.node", node),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: SERVICE.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn tier(tier: AnsweringTier) -> &'static str {
    match tier {
        AnsweringTier::Native => "native",
        AnsweringTier::Fallback => "jvm",
        AnsweringTier::Refused => "refused",
    }
}

fn outcome(outcome: RequestOutcome) -> &'static str {
    match outcome {
        RequestOutcome::Value => "ok",
        RequestOutcome::Exception => "exception",
        RequestOutcome::Cancelled => "cancelled",
        RequestOutcome::PassedOn => "passed_on",
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn halves(bytes: [u8; 16]) -> [[u8; 8]; 2] {
    let number = u128::from_be_bytes(bytes);
    let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or(1);
    let high = u64::try_from(number >> 64).unwrap_or(1);
    [low.to_be_bytes(), high.to_be_bytes()]
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
