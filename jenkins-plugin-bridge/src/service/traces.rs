//! The log, and traces for OpenTelemetry. A request that comes with a `traceparent` (W3C Trace
//! Context) goes on in that trace; its id stands in the log too, also where no traces are sent.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use axum::http::HeaderMap;
use clap::ValueEnum;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::openapi::Operation;

/// Variables that name a collector (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The variable that names this service.
const NAME_VARIABLE: &str = "OTEL_SERVICE_NAME";
/// The name where that variable does not give another.
const NAME: &str = "pilotfish-bridge";
/// Below the address of a collector.
const TRACES_PATH: &str = "/v1/traces";
/// The most time that one sending takes, and the last one at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is sent to a collector, if anything is.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

/// Starts the log, and the sending of traces where a collector is named: by `endpoint`, its
/// address without a path, or by the variables of OpenTelemetry, which also say how much is
/// sampled (`OTEL_TRACES_SAMPLER`) and how the collector is authenticated to
/// (`OTEL_EXPORTER_OTLP_HEADERS`).
///
/// # Errors
/// Why the collector cannot be used.
pub fn start(
    format: LogFormat,
    level: LevelFilter,
    endpoint: Option<&str>,
) -> Result<Traces, String> {
    let wanted = endpoint.is_some()
        || ENDPOINT_VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
    let provider = wanted.then(|| provider(endpoint)).transpose()?;
    let sent = provider.as_ref().map(|provider| {
        // Only spans of this service: the sending itself must not make more to send.
        let own = Targets::new().with_target("pilotfish_bridge", LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer(NAME)).with_filter(own)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(sent);
    // A second log in the same process, as in tests, is no reason not to serve.
    let _ = match format {
        LogFormat::Text => registry.with(lines.with_filter(level)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(level)).try_init(),
    };
    Ok(Traces(provider))
}

fn provider(endpoint: Option<&str>) -> Result<SdkTracerProvider, String> {
    let mut builder = SpanExporter::builder().with_http().with_http_client(Sender::new()?);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(format!("{}{TRACES_PATH}", endpoint.trim_end_matches('/')));
    }
    let exporter = builder.build().map_err(|error| format!("traces cannot be sent: {error}"))?;
    let mut resource = Resource::builder()
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if std::env::var_os(NAME_VARIABLE).is_none() {
        resource = resource.with_service_name(NAME);
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

impl Traces {
    /// Whether any are sent.
    #[must_use]
    pub fn are_sent(&self) -> bool {
        self.0.is_some()
    }

    /// Sends what is left.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        // It waits for a thread of its own, which waits for this runtime.
        let done = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(PATIENCE));
        if let Ok(Err(error)) = done.await {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Sends traces with the HTTP client and the TLS that the rest of the program has. The SDK calls it
/// from a thread of its own, outside of the runtime.
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    fn new() -> Result<Self, String> {
        let tls = crate::rest::tls_client_config(&[]).map_err(|error| error.to_string())?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| format!("traces cannot be sent: {error}"))?;
        let runtime = Handle::try_current().map_err(|error| error.to_string())?;
        Ok(Self { http, runtime })
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            let url = parts.uri.to_string();
            let asked = http.request(parts.method, &url).headers(parts.headers).body(body);
            let answer = asked.send().await?.error_for_status()?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.extend(answer.headers().clone());
            }
            Ok::<_, HttpError>(response.body(answer.bytes().await?)?)
        });
        let outcome = sent.await.map_err(HttpError::from).and_then(|answer| answer);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "traces could not be sent; they are lost");
        }
        outcome
    }
}

/// The span of a request, by the conventions for HTTP servers
/// (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>). Nothing of tokens, parameters
/// or facts is in it.
pub fn span(operation: &Operation, headers: &HeaderMap) -> Span {
    let method = operation.method.to_ascii_uppercase();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {}", operation.path),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = operation.path,
        http.response.status_code = Empty,
        operation = operation.id,
        trace_id = Empty,
    );
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // Where no traces are sent there is nobody to tell the parent; the log has its id all the same.
    let told = span.set_parent(parent.clone()).is_ok();
    let context = if told { span.context() } else { parent };
    let trace = context.span().span_context().trace_id();
    if trace != opentelemetry::TraceId::INVALID {
        span.record("trace_id", display(trace));
    }
    span
}

/// Notes how a request ended. A refusal is no failure of the service.
pub fn ended(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}
