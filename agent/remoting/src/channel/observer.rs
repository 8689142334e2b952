//! Telling somebody of every request of the peer that has ended: for traces.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::lock;

/// Is told of requests that have ended.
pub trait Observer: Send + Sync + 'static {
    /// A user request was answered, by this side or by the fallback. Called in the task of the request: it
    /// must not block. Requests that the end of the channel cut off are not told.
    fn ended(&self, request: &ObservedRequest);
}

/// A user request that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRequest {
    /// The class of the callable: of the one that did the work, where the service noted it
    /// ([`RequestNote::class`]), else the outermost. Empty if it could not be read.
    pub class: String,
    /// How many bytes the user stream of the request has.
    pub payload: usize,
    /// When it came.
    pub began: SystemTime,
    /// How long it took until its answer was ready to be sent, or had been passed on.
    pub took: Duration,
    /// Who answered.
    pub tier: AnsweringTier,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// The W3C trace context that its span belongs to, if the service noted one.
    pub trace_parent: Option<String>,
}

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnsweringTier {
    /// This side.
    Native,
    /// The fallback: a JVM.
    Fallback,
    /// Nobody: this side refused it.
    Refused,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// With a value.
    Value,
    /// With an exception.
    Exception,
    /// The peer cancelled it.
    Cancelled,
    /// The fallback answered. What it answered is passed on unread.
    PassedOn,
}

/// What a service notes of a request while it serves it.
#[derive(Debug, Clone, Default)]
pub struct RequestNote {
    /// The class that does the work, where the callable is a mere wrapper of another.
    pub class: Option<String>,
    /// The W3C trace context (`traceparent`) that the request belongs to.
    pub trace_parent: Option<String>,
    /// It is refused: nothing here can serve it.
    pub refused: bool,
}

/// A request on its way; there is one only where somebody wants to know.
pub(super) struct Watched {
    note: Arc<Mutex<RequestNote>>,
    payload: usize,
    began: SystemTime,
    clock: Instant,
}

impl Watched {
    pub(super) fn new(payload: usize) -> Self {
        let (began, clock) = (SystemTime::now(), Instant::now());
        Self { note: Arc::default(), payload, began, clock }
    }

    pub(super) fn note(&self) -> Arc<Mutex<RequestNote>> {
        Arc::clone(&self.note)
    }

    pub(super) fn ended(self, fallback: bool, outcome: RequestOutcome) -> ObservedRequest {
        let took = self.clock.elapsed();
        let RequestNote { class, trace_parent, refused } = std::mem::take(&mut *lock(&self.note));
        let tier = match (fallback, refused) {
            (true, _) => AnsweringTier::Fallback,
            (false, true) => AnsweringTier::Refused,
            (false, false) => AnsweringTier::Native,
        };
        let (payload, began) = (self.payload, self.began);
        let class = class.unwrap_or_default();
        ObservedRequest { class, payload, began, took, tier, outcome, trace_parent }
    }
}
