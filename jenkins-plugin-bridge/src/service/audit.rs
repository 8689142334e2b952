//! Who did what, from where, and what came of it. An operation says what it is about to do before it
//! judges whether it may; whoever answers the request writes it down with the status of the answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;

use super::new_token;
use super::state::Service;
use super::store::AuditRow;

/// The most characters of a name or a subject that are kept.
const CHARACTERS: usize = 300;

tokio::task_local! {
    /// What the request of this task does.
    static TRAIL: Trail;
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What a request does.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Mutex<Noted>>);

#[derive(Debug, Clone, Default)]
struct Noted {
    who: String,
    action: Option<&'static str>,
    subject: String,
}

fn note(change: impl FnOnce(&mut Noted)) {
    // Outside of a request there is nobody to tell.
    let _ = TRAIL.try_with(|trail| {
        change(&mut trail.0.lock().unwrap_or_else(PoisonError::into_inner));
    });
}

/// Says who asks.
pub fn caller(name: &str) {
    note(|noted| name.clone_into(&mut noted.who));
}

/// Says what is about to be done to what.
pub fn acts(action: &'static str, subject: &str) {
    note(|noted| {
        noted.action = Some(action);
        subject.clone_into(&mut noted.subject);
    });
}

fn cut(text: &str) -> String {
    text.chars().take(CHARACTERS).collect()
}

/// The address that a request came from. Behind a proxy that is what the proxy says: the last address of
/// `X-Forwarded-For`, the only one that is not the caller's own word.
pub fn origin(service: &Service, headers: &HeaderMap, peer: Option<Peer>) -> String {
    let said = headers.get_all("x-forwarded-for").iter().next_back();
    let said = said.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
    let said = said.map(str::trim).filter(|text| !text.is_empty());
    match (service.options.behind_proxy, said, peer) {
        (true, Some(said), _) => said.chars().take(64).collect(),
        (_, _, Some(Peer(address))) => address.ip().to_string(),
        _ => String::new(),
    }
}

impl Trail {
    /// Answers a request within this trail.
    pub async fn within<T>(&self, answered: impl Future<Output = T>) -> T {
        TRAIL.scope(self.clone(), answered).await
    }

    /// Writes down what was done, if anything was.
    pub async fn keep(&self, service: &Service, via: &str, origin: &str, status: u16) {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(action) = noted.action else { return };
        let Ok(id) = new_token("a-") else { return };
        let row = AuditRow {
            id,
            at_ms: service.now_ms(),
            who: cut(&noted.who),
            via: via.to_owned(),
            action: action.to_owned(),
            subject: cut(&noted.subject),
            origin: origin.to_owned(),
            status: i64::from(status),
        };
        let AuditRow { who, subject, .. } = &row;
        tracing::info!(target: "audit", who, action, subject, origin, status, via, "done or refused");
        if let Err(error) = service.store.add_audit(&row).await {
            tracing::error!(%error, who, action, subject, "what was done could not be kept");
        }
    }
}
