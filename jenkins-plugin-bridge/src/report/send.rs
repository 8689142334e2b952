//! Tells what is in the outbox, each target at its own pace, with growing pauses where it does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use ring::hmac;

use super::message::CommitStatus;
use super::request;
use crate::forges::{Forge, Webhook};
use crate::rest::retry::retry_after;
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
/// The longest time for which a target is left alone because it asks for it, in milliseconds: limits of forges
/// are those of an hour.
const REST_MS: i64 = 3_600_000;
/// The same where it does not say how long, as GitHub has it.
const SHORT_REST_MS: i64 = 60_000;
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
pub(crate) enum Target {
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
    /// It says so of all requests, not of this one.
    is_limited: bool,
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
    let rests_until = AtomicI64::new(0);
    loop {
        let count = send_round(service, options, &name, &target, &rests_until).await;
        if count < ROUND {
            tokio::time::sleep(options.tick).await;
        }
    }
}

/// Tells a target what is due, and how many messages that were. Nothing is sent before `rests_until`, which is
/// put off where the target asks for that: whoever goes on asking a forge above its limit is shut out.
pub(crate) async fn send_round(
    service: &Service,
    options: SendOptions,
    name: &str,
    target: &Target,
    rests_until: &AtomicI64,
) -> i64 {
    let rests = || service.now_ms() < rests_until.load(Relaxed);
    if rests() {
        return 0;
    }
    let due = match service.store.due_messages(name, service.now_ms(), ROUND).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "reports could not be read");
            Vec::new()
        }
    };
    let count = i64::try_from(due.len()).unwrap_or(0);
    let sent = stream::iter(due)
        .map(async |row| {
            if rests() {
                return Ok(());
            }
            let until = tell(service, options, target, row).await?;
            rests_until.fetch_max(until, Relaxed);
            Ok::<_, StoreError>(())
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for error in sent.into_iter().filter_map(Result::err) {
        tracing::warn!(target = name, %error, "what came of a report could not be kept");
    }
    if rests() {
        tracing::warn!(target = name, "is asked too often and left alone for a while");
        return 0;
    }
    count
}

/// Sends a message; until when its target wants to be left alone.
async fn tell(
    service: &Service,
    options: SendOptions,
    target: &Target,
    row: OutboxRow,
) -> Result<i64, StoreError> {
    let told = match target {
        Target::Status(forge) => tell_status(forge, &row).await,
        Target::Webhook(hook) => tell_webhook(hook, &row, service.now()).await,
    };
    let (mut row, now, mut rests_until) = (row, service.now_ms(), 0);
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
            if refused.is_limited {
                rests_until = now + refused.after_ms.unwrap_or(SHORT_REST_MS);
            }
            if refused.for_good || row.tries >= TRIES {
                "dead".clone_into(&mut row.state);
                let (target, item, why) = (&row.target, &row.item, &refused.why);
                tracing::warn!(target, item, why, "a report is given up");
            }
            row.error = refused.why;
        }
    }
    service.store.message_tried(&row, now).await?;
    Ok(rests_until)
}

async fn tell_status(forge: &Forge, row: &OutboxRow) -> Result<(), Refused> {
    let for_good = |why: &str| Refused {
        why: why.to_owned(),
        for_good: true,
        after_ms: None,
        is_limited: false,
    };
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
        is_limited: false,
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
        // What is wrong with the message stays wrong; a token, a limit or a server is mended. Nobody is followed:
        // the token is for the place that was declared.
        let for_good =
            matches!(self.status.as_u16(), 301 | 308 | 400 | 404 | 405 | 410 | 413 | 415 | 422);
        let words = match self.header(LOCATION.as_str()) {
            Some(place) if self.status.is_redirection() => {
                format!("it is at {place} now: change its address where it is declared")
            }
            _ => self.text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let words: String = words.chars().filter(|one| !one.is_control()).take(300).collect();
        Err(Refused {
            why: format!("{}: {words}", self.status.as_u16()),
            for_good,
            after_ms: self.after_ms(SystemTime::now()),
            is_limited: self.is_limited(),
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it is above its limit. GitHub says so by 403, too, as it says other things.
    fn is_limited(&self) -> bool {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => {
                self.headers.contains_key(RETRY_AFTER)
                    || self.header("x-ratelimit-remaining") == Some("0")
                    || self.text.contains("rate limit")
            }
            _ => false,
        }
    }

    /// When to come again, in milliseconds from now: `Retry-After`, else the end of GitHub's hour.
    fn after_ms(&self, now: SystemTime) -> Option<i64> {
        let asked = self.header(RETRY_AFTER.as_str()).and_then(|text| retry_after(text, now));
        let reset = || {
            self.header("x-ratelimit-remaining").filter(|left| *left == "0")?;
            let at: u64 = self.header("x-ratelimit-reset")?.parse().ok()?;
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some(Duration::from_secs(at).saturating_sub(now))
        };
        let wait = asked.or_else(reset)?;
        Some(i64::try_from(wait.as_millis()).map_or(REST_MS, |ms| ms.min(REST_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], text: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
        });
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: headers.collect(), text: text.to_owned() }
    }

    #[test]
    fn an_answer_says_whether_and_when_to_come_again() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let reset = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1090")];
        let left = [("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1090")];
        for (answer, is_limited, after_ms) in [
            (answer(403, &reset, ""), true, Some(90_000)),
            (answer(429, &[("retry-after", "3")], ""), true, Some(3_000)),
            (answer(429, &[("retry-after", "100000")], ""), true, Some(REST_MS)),
            (answer(403, &[], "You have exceeded a secondary rate limit."), true, None),
            (answer(403, &left, "Resource not accessible"), false, None),
            (answer(503, &[("retry-after", "5")], ""), false, Some(5_000)),
        ] {
            let told = (answer.is_limited(), answer.after_ms(now));
            assert_eq!(told, (is_limited, after_ms), "{}", answer.status);
        }
        // As Gitea answers for a repository that was renamed.
        let moved = answer(301, &[("location", "/api/v1/repos/a/new/statuses/1")], "");
        let refused = moved.judge().err().unwrap();
        assert!(refused.for_good && refused.why.contains("/a/new/"), "{}", refused.why);
    }

    #[test]
    fn a_signature_is_of_time_and_body() {
        // `printf '1.{}' | openssl dgst -sha256 -hmac key`
        assert_eq!(
            sign("key", 1, "{}"),
            "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"
        );
    }
}
