//! Webhooks of forges: taken, written down, answered. What they start is started by the duty of triggers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::HeaderMap;

use super::App;
use crate::service::api::extract::Authenticated;
use crate::service::api::routed::{HookAnswer, HookDelivery, Retried, Undelivered};
use crate::service::audit::acts;
use crate::service::auth::Scope;
use crate::service::new_token;
use crate::service::problem::Problem;
use crate::service::state::Service;
use crate::service::store::EventRow;
use crate::triggers::hooks::{Headers, Heard, HookError, read};

/// Events of which nothing was made yet: with more of them something is wrong, and forges try again later.
const WAITING: i64 = 20_000;
/// The most events of a list.
const LISTED: i64 = 200;
/// How long a webhook waits for its turn: forges give up after ten seconds.
const TURN: Duration = Duration::from_secs(5);

/// A body that is not looked at before its signature is. Only a few are held at the same time: whoever sends
/// one need not show a token.
pub struct Signed {
    headers: HeaderMap,
    body: axum::body::Bytes,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl FromRequest<Arc<Service>> for Signed {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let places = Arc::clone(&service.hook_places);
        let place = tokio::time::timeout(TURN, places.acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Problem::unavailable("too many webhooks at once; send it again"));
        };
        let (parts, body) = request.into_parts();
        let limit = service.options.request_bytes;
        let body = to_bytes(Body::new(body), limit).await.map_err(|_| Problem::too_large(limit))?;
        Ok(Self { headers: parts.headers, body, _place: place })
    }
}

impl Headers for HeaderMap {
    fn header(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| value.to_str().ok())
    }
}

pub async fn take_hook(
    State(service): App,
    Path(name): Path<String>,
    signed: Signed,
) -> Result<Json<HookAnswer>, Problem> {
    let forge = service.forges.get(&name).filter(|forge| !forge.secrets.is_empty());
    let forge = forge.ok_or_else(|| Problem::missing("forge that sends webhooks"))?;
    let delivery = read(forge, &signed.headers, &signed.body, service.now()).map_err(|error| {
        service.metrics.hooks_refused.fetch_add(1, Relaxed);
        match error {
            HookError::Signature(why) => Problem::unauthorised(why),
            HookError::Malformed(why) => Problem::malformed(why),
        }
    })?;
    service.metrics.hooks.fetch_add(1, Relaxed);
    let event = match delivery.heard {
        Heard::Event(event) => event,
        Heard::Nothing(why) => return Ok(Json(HookAnswer { event: None, note: why })),
    };
    if service.store.count_new_events().await? >= WAITING {
        return Err(Problem::unavailable("too many events wait; send it again later"));
    }
    let body = serde_json::to_string(&event).map_err(|error| Problem::internal(&error))?;
    let row = EventRow {
        id: new_token("e-")?,
        forge: name,
        identity: delivery.identity,
        delivery: delivery.id,
        body,
        is_new: true,
        outcome: "{}".to_owned(),
        received_ms: service.now_ms(),
    };
    let kept = service.store.add_event(&row).await?;
    let note = if kept.id == row.id { event.described() } else { "it came before".to_owned() };
    service.trigger_now.notify_one();
    Ok(Json(HookAnswer { event: Some(kept.id), note }))
}

pub async fn list_hooks(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<HookDelivery>>, Problem> {
    caller.access(Scope::JobsRead)?;
    let rows = service.store.newest_events(LISTED).await?;
    Ok(Json(rows.into_iter().map(HookDelivery::of).collect()))
}

pub async fn get_outbox(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<Undelivered>>, Problem> {
    caller.access(Scope::JobsRead)?;
    let rows = service.store.failed_messages(LISTED).await?;
    Ok(Json(rows.into_iter().map(Undelivered::of).collect()))
}

pub async fn retry_outbox(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Retried>, Problem> {
    acts("tell again", "all that could not be delivered");
    caller.access(Scope::JobsWrite)?;
    let messages = service.store.retry_messages(service.now_ms()).await?;
    Ok(Json(Retried { messages }))
}
