//! A span of each request, sent to an OpenTelemetry collector over HTTP (OTLP, binary).
//!
//! The agent never waits for the collector: spans are queued, and dropped and counted where the queue is
//! full or the collector does not take them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jenkins_remoting::channel::{ObservedRequest, Observer};
use jenkins_remoting::transport::{DownloadOptions, PostTarget, RootUrl};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::{mpsc, oneshot};

use super::otlp;
use crate::cli::Header;

/// How many spans may wait.
const QUEUE: usize = 2048;

/// How many spans are sent together at most, and how long the first of them waits for others.
const BATCH: usize = 512;
const BATCH_WAIT: Duration = Duration::from_secs(5);

/// How long one sending may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of the agent waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The least time between two lines in the log about a collector that does not take spans.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Below the collector's address, as the standard has it.
const PATH: &str = "v1/traces";

/// A collector of traces. Its `Debug` shows neither the address nor the headers: either may hold a token.
#[derive(Clone)]
pub struct Collector {
    /// `--otlp-endpoint`: its base address, without `/v1/traces`.
    pub endpoint: RootUrl,
    /// `--otlp-header`.
    pub headers: Vec<Header>,
}

/// Takes requests and sends their spans.
pub struct Traces {
    queue: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

enum Event {
    Span(Box<Span>),
    /// Everything before this is to be sent at once.
    Flush(oneshot::Sender<()>),
}

/// The other end of the queue.
struct Exporter {
    target: PostTarget,
    node: String,
    dropped: Arc<AtomicU64>,
    complained: Option<Instant>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("headers", &self.headers.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Traces {
    /// Starts sending to a collector, reached as `options` say. `node` is the node's name. Must be called
    /// within a tokio runtime.
    #[must_use]
    pub fn start(collector: &Collector, options: DownloadOptions, node: &str) -> Arc<Self> {
        let (queue, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let target = PostTarget::new(collector.endpoint.clone(), options);
        let target = collector
            .headers
            .iter()
            .fold(target, |target, header| target.with_header(&header.name, &header.value));
        let exporter = Exporter {
            target,
            node: node.to_owned(),
            dropped: Arc::clone(&dropped),
            complained: None,
        };
        tokio::spawn(exporter.run(events));
        Arc::new(Self { queue, dropped })
    }

    /// How many spans did not reach the collector.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what is queued has been sent, two seconds at most.
    pub async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Event::Flush(sender)).await.is_ok() {
                // Without an answer the exporter is gone, and there is nothing to wait for.
                let _ = done.await;
            }
        };
        let _ = tokio::time::timeout(LAST_SPANS, flushed).await;
    }
}

impl Observer for Traces {
    fn ended(&self, request: &ObservedRequest) {
        let Some(span) = otlp::span(request) else { return };
        if self.queue.try_send(Event::Span(Box::new(span))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Exporter {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut flushed = Vec::new();
        loop {
            let mut batch = Vec::new();
            let ended = fill(&mut events, &mut batch, &mut flushed).await;
            if !batch.is_empty() {
                self.send(batch).await;
            }
            for done in flushed.drain(..) {
                // Whoever waited may have given up.
                let _ = done.send(());
            }
            if ended {
                return;
            }
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len();
        let body = otlp::message(spans, &self.node);
        let sent = self.target.post(PATH, "application/x-protobuf", body);
        let problem = match tokio::time::timeout(SEND_TIMEOUT, sent).await {
            Ok(Ok(())) => {
                self.complained = None;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", SEND_TIMEOUT.as_secs()),
        };
        self.dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.complained = Some(Instant::now());
            tracing::warn!(
                "the collector of traces (--otlp-endpoint) did not take {count} spans, which are dropped: {problem}"
            );
        }
    }
}

/// Collects spans until there are enough, the first has waited long enough, or somebody wants them sent.
/// True once nobody can send any more.
async fn fill(
    events: &mut mpsc::Receiver<Event>,
    batch: &mut Vec<Span>,
    flushed: &mut Vec<oneshot::Sender<()>>,
) -> bool {
    let Some(first) = events.recv().await else { return true };
    let mut next = Some(first);
    let deadline = tokio::time::Instant::now() + BATCH_WAIT;
    loop {
        match next {
            Some(Event::Span(span)) => batch.push(*span),
            Some(Event::Flush(done)) => {
                flushed.push(done);
                return false;
            }
            None => return true,
        }
        if batch.len() >= BATCH {
            return false;
        }
        match tokio::time::timeout_at(deadline, events.recv()).await {
            Ok(event) => next = event,
            Err(_) => return false,
        }
    }
}
