//! Tells what is in the outbox, each target at its own pace, with growing pauses where it does not answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use ring::hmac;

use super::message::CommitStatus;
use super::request;
use crate::forges::{Forge, Webhook};
use crate::service::Service;
use crate::service::store::{OutboxRow, StoreError};

/// Messages to one target in one round.
const ROUND: i64 = 32;
/// Messages to one target at the same time.
const AT_ONCE: usize = 4;
/// The most bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 2_000;
/// Tries of a message: with pauses up to half an hour that is five hours.
const TRIES: i64 = 20;
/// The longest pause, in milliseconds.
const PAUSE_MS: i64 = 1_800_000;
/// How long what was sent is kept, so that it is not sent again, in milliseconds.
const SENT_MS: i64 = 86_400_000;
/// How long what could not be sent is shown.
const DEAD_MS: i64 = 30 * 86_400_000;
/// Between two removals of what is old.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// How reports are sent.
#[derive(Debug, Clone, Copy)]
pub struct SendOptions {
    /// Between two looks at the outbox.
    pub tick: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub pause: Duration,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { tick: Duration::from_secs(1), pause: Duration::from_secs(2) }
    }
}

/// Whom messages go to.
#[derive(Debug, Clone)]
enum Target {
    Status(Arc<Forge>),
    Webhook(Arc<Webhook>),
}

/// Why a message was not taken.
struct Refused {
    why: String,
    /// It will not be taken later either.
    for_good: bool,
    /// The target says when to come again, in milliseconds.
    after_ms: Option<i64>,
}

/// Sends reports; never ends. One replica leads it.
pub async fn send_reports(service: &Arc<Service>, options: SendOptions) {
    let forges = service.forges.all().filter(|forge| forge.token.is_some());
    let mut targets: Vec<(String, Target)> = forges
        .map(|forge| (format!("status:{}", forge.name), Target::Status(Arc::clone(forge))))
        .collect();
    for hook in service.forges.webhooks() {
        targets.push((hook.target(), Target::Webhook(Arc::clone(hook))));
    }
    let names: Vec<String> = targets.iter().map(|(name, _)| name.clone()).collect();
    let all = targets.into_iter().map(|(name, target)| send_to(service, options, name, target));
    tokio::join!(futures_util::future::join_all(all), sweep(service, &names));
}

async fn sweep(service: &Service, known: &[String]) {
    loop {
        let now = service.now_ms();
        let swept = async {
            service.store.sweep_outbox(now - SENT_MS, now - DEAD_MS).await?;
            for (target, _) in service.store.outbox_depths().await? {
                if !known.contains(&target) {
                    service.store.give_target_up(&target, now).await?;
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "old reports could not be removed");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn send_to(service: &Service, options: SendOptions, name: String, target: Target) {
    loop {
        let due = match service.store.due_messages(&name, service.now_ms(), ROUND).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "reports could not be read");
                Vec::new()
            }
        };
        let count = due.len();
        let sent = stream::iter(due)
            .map(|row| tell(service, options, &target, row))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        for error in sent.into_iter().filter_map(Result::err) {
            tracing::warn!(target = name, %error, "what came of a report could not be kept");
        }
        if i64::try_from(count).unwrap_or(0) < ROUND {
            tokio::time::sleep(options.tick).await;
        }
    }
}

async fn tell(
    service: &Service,
    options: SendOptions,
    target: &Target,
    row: OutboxRow,
) -> Result<(), StoreError> {
    let told = match target {
        Target::Status(forge) => tell_status(forge, &row).await,
        Target::Webhook(hook) => tell_webhook(hook, &row, service.now()).await,
    };
    let (mut row, now) = (row, service.now_ms());
    match told {
        Ok(()) => {
            row.error.clear();
            "sent".clone_into(&mut row.state);
        }
        Err(refused) => {
            row.tries += 1;
            let first = i64::try_from(options.pause.as_millis()).unwrap_or(PAUSE_MS);
            let pause = first.saturating_mul(1 << (row.tries - 1).clamp(0, 20)).min(PAUSE_MS);
            row.next_ms = now + pause.max(refused.after_ms.unwrap_or(0));
            if refused.for_good || row.tries >= TRIES {
                "dead".clone_into(&mut row.state);
                let (target, item, why) = (&row.target, &row.item, &refused.why);
                tracing::warn!(target, item, why, "a report is given up");
            }
            row.error = refused.why;
        }
    }
    service.store.message_tried(&row, now).await
}

async fn tell_status(forge: &Forge, row: &OutboxRow) -> Result<(), Refused> {
    let for_good = |why: &str| Refused { why: why.to_owned(), for_good: true, after_ms: None };
    let status: CommitStatus =
        serde_json::from_str(&row.body).map_err(|_| for_good("it cannot be read"))?;
    let asked = request::status(forge, &status).ok_or_else(|| for_good("it takes no statuses"))?;
    let (name, token) = request::token(forge).ok_or_else(|| for_good("it has no token"))?;
    let mut request = forge.http.post(&asked.url).header(name, token);
    for (name, value) in asked.headers {
        request = request.header(name, value);
    }
    let answer = answer(request.body(asked.body.to_string())).await?;
    // GitLab refuses a state that a status has already.
    if answer.status == StatusCode::BAD_REQUEST && answer.text.contains("Cannot transition status")
    {
        return Ok(());
    }
    answer.judge()
}

async fn tell_webhook(hook: &Webhook, row: &OutboxRow, now: u64) -> Result<(), Refused> {
    let mut request = hook.http.post(&hook.spec.url).header("content-type", "application/json");
    if let Some(secret) = &hook.secret {
        request = request
            .header("x-pilotfish-timestamp", now.to_string())
            .header("x-pilotfish-signature-256", sign(secret, now, &row.body));
    }
    answer(request.header("x-pilotfish-delivery", row.item.clone()).body(row.body.clone()))
        .await?
        .judge()
}

/// The signature of a webhook: of the time, a dot and the body.
fn sign(secret: &str, now: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{now}.{body}").as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, Refused> {
    let broken = |error: reqwest::Error| Refused {
        why: crate::rest::causes(&error),
        for_good: false,
        after_ms: None,
    };
    let mut response = request.send().await.map_err(broken)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES - body.len())]);
    }
    Ok(Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() })
}

impl Answer {
    fn judge(&self) -> Result<(), Refused> {
        if self.status.is_success() {
            return Ok(());
        }
        // What is wrong with the message stays wrong; a token, a limit or a server is mended.
        let for_good = matches!(self.status.as_u16(), 400 | 404 | 405 | 410 | 413 | 415 | 422);
        let seconds =
            self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let words: String = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words: String = words.chars().filter(|one| !one.is_control()).take(300).collect();
        Err(Refused {
            why: format!("{}: {words}", self.status.as_u16()),
            for_good,
            after_ms: seconds.map(|seconds: i64| seconds.clamp(0, 3600) * 1000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_time_and_body() {
        // `printf '1.{}' | openssl dgst -sha256 -hmac key`
        assert_eq!(
            sign("key", 1, "{}"),
            "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"
        );
    }
}
