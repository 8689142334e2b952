//! Webhooks that forges send: is it them, and what has happened.

mod gitea;
mod github;
mod gitlab;
mod sender;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use sender::signing_key;

use super::event::{self, Event, EventKind};
use crate::forges::{Forge, ForgeKind};
use crate::plan::digest_of;

/// The most characters of the id of a delivery.
const ID_CHARACTERS: usize = 128;

/// What came of reading a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Box<Event>),
    /// Nothing that starts builds, and why.
    Nothing(String),
}

/// Why a webhook is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It is not signed, or by somebody else.
    #[error("{0}")]
    Signature(&'static str),
    /// It is not what this forge sends.
    #[error("{0}")]
    Malformed(String),
}

/// A webhook that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What makes it one delivery however often it is sent.
    pub identity: String,
    /// What the forge calls it, for people.
    pub id: String,
    /// What it says.
    pub heard: Heard,
}

/// Which headers a webhook has.
pub trait Headers {
    /// A header by its name, in lower case.
    fn header(&self, name: &str) -> Option<&str>;
}

/// Checks who sent a webhook, and reads it; `now` is in seconds since 1970.
///
/// # Errors
/// [`HookError`]. Nothing of the body is looked at before its signature is.
pub fn read(
    forge: &Forge,
    headers: &dyn Headers,
    body: &[u8],
    now: u64,
) -> Result<Delivery, HookError> {
    sender::check(forge, headers, body, now)?;
    let (id, identity) = match forge.spec.kind {
        ForgeKind::Github => (headers.header("x-github-delivery"), None),
        ForgeKind::Gitea => (headers.header("x-gitea-delivery"), None),
        ForgeKind::Gitlab => {
            // It is the same for each try, and signed where there is a signature. Who knows the token may say
            // anything, so that what it says of the delivery is believed.
            let names = ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"];
            let mut ids = names.into_iter().filter_map(|name| headers.header(name));
            let id = ids.find(|id| !id.is_empty());
            (id, id)
        }
        ForgeKind::Git => (None, None),
    };
    let id = id.unwrap_or_default();
    if id.chars().count() > ID_CHARACTERS || id.chars().any(char::is_control) {
        return Err(HookError::Malformed(format!("its id has not {ID_CHARACTERS} characters")));
    }
    // The id of a delivery is not signed: a body that is sent again under another id is the same one.
    let text = identity.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    Ok(Delivery {
        identity: digest_of(&text),
        id: id.to_owned(),
        heard: heard(forge, headers, body)?,
    })
}

fn heard(forge: &Forge, headers: &dyn Headers, body: &[u8]) -> Result<Heard, HookError> {
    let content_type = headers.header("content-type").unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/json") {
        let message = "set the content type of the webhook to application/json".to_owned();
        return Err(HookError::Malformed(message));
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| HookError::Malformed(format!("no JSON: {error}")))?;
    let header = |name: &str| headers.header(name).unwrap_or_default().to_owned();
    match forge.spec.kind {
        ForgeKind::Github => github::read(&header("x-github-event"), &body),
        ForgeKind::Gitea => gitea::read(&header("x-gitea-event"), &body),
        ForgeKind::Gitlab => gitlab::read(&body),
        ForgeKind::Git => Ok(Heard::Nothing("a plain git server".to_owned())),
    }
    .map_err(HookError::Malformed)
}

/// A text of a body; empty where it is not there.
fn text<'v>(body: &'v Value, pointer: &str) -> &'v str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn flag(body: &Value, pointer: &str) -> bool {
    body.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// A name of a person, cut: it is for people only.
fn sender(body: &Value, pointer: &str) -> String {
    text(body, pointer).chars().filter(|one| !one.is_control()).take(100).collect()
}

fn nothing(why: impl Into<String>) -> Result<Heard, String> {
    Ok(Heard::Nothing(why.into()))
}

/// A push, which is the same with all of them but for the names of its fields.
struct Push<'v> {
    repository: &'v str,
    reference: &'v str,
    /// What the reference is at now; of a tag with a message that is no commit.
    after: &'v str,
    /// The commit of a tag, where it is told.
    tagged: &'v str,
    commits: Option<&'v Value>,
    /// All commits are told, and all files of each.
    complete: bool,
    sender: String,
}

fn push(push: &Push<'_>) -> Result<Heard, String> {
    if event::is_none(push.after) {
        return nothing(format!("{} was removed", event::name("the reference", push.reference)?));
    }
    let (heads, tags) = ("refs/heads/", "refs/tags/");
    let (branch, tag) = match push.reference {
        name if name.starts_with(heads) => {
            (Some(event::name("the branch", &name[heads.len()..])?), None)
        }
        name if name.starts_with(tags) => {
            (None, Some(event::name("the tag", &name[tags.len()..])?))
        }
        _ => return nothing("it is of neither a branch nor a tag"),
    };
    let is_of_tag = tag.is_some() && !push.tagged.is_empty();
    let commit = event::commit(if is_of_tag { push.tagged } else { push.after })?;
    Ok(Heard::Event(Box::new(Event {
        kind: if tag.is_some() { EventKind::Tag } else { EventKind::Push },
        repository: event::name("the repository", push.repository)?,
        branch,
        target: None,
        tag,
        commit,
        number: None,
        paths: if push.complete { push.commits.and_then(paths) } else { None },
        from_fork: false,
        sender: push.sender.clone(),
    })))
}

/// The files of all commits; nothing where that cannot be known.
fn paths(commits: &Value) -> Option<Vec<String>> {
    let commits = commits.as_array().filter(|all| !all.is_empty())?;
    let mut all = std::collections::BTreeSet::new();
    for commit in commits {
        for field in ["added", "modified", "removed"] {
            for path in commit.get(field)?.as_array()? {
                all.insert(path.as_str()?.to_owned());
                if all.len() > event::PATHS {
                    return None;
                }
            }
        }
    }
    Some(all.into_iter().collect())
}

/// A pull or merge request.
struct Request<'v> {
    kind: EventKind,
    repository: &'v str,
    source: &'v str,
    target: &'v str,
    commit: &'v str,
    number: Option<u64>,
    from_fork: bool,
    sender: String,
}

fn request(request: &Request<'_>) -> Result<Heard, String> {
    let merged = request.kind == EventKind::PullRequestMerged;
    let target = event::name("the target branch", request.target)?;
    let source = event::name("the source branch", request.source)?;
    Ok(Heard::Event(Box::new(Event {
        kind: request.kind,
        repository: event::name("the repository", request.repository)?,
        branch: Some(if merged { target.clone() } else { source }),
        target: Some(target),
        tag: None,
        commit: event::commit(request.commit)?,
        number: Some(request.number.ok_or("the number of the request is missing")?),
        paths: None,
        // What was merged is in the repository: somebody who may has looked at it.
        from_fork: request.from_fork && !merged,
        sender: request.sender.clone(),
    })))
}
