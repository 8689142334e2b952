//! From a request to the part of the master that answers it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilotfish_bridge::rest::percent_decoded;
use serde_json::{Value, json};

use super::state::Shared;
use super::{Level, builds, jobs, nodes, queue};
use crate::shapes::{self, Answer};

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Method.
    pub method: String,
    /// Path, decoded.
    pub segments: Vec<String>,
    /// What stands after `?`.
    pub query: BTreeMap<String, String>,
    /// Body.
    pub body: String,
    /// What whoever asks may do.
    pub level: Option<Level>,
    /// Whether there was a login at all.
    pub has_login: bool,
    /// Its name.
    pub user: String,
}

impl Asked {
    /// The parameters of a query and of a form.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut all = self.query.clone();
        all.extend(form(&self.body));
        all
    }

    fn is_json(&self) -> bool {
        self.segments.ends_with(&["api".to_owned(), "json".to_owned()])
    }
}

/// An answer in JSON, cut by `tree`.
pub(super) fn cut(asked: &Asked, answer: Answer, whole: &Value) -> Answer {
    match asked.query.get("tree") {
        None => answer.with(whole),
        Some(tree) => match pilotfish_bridge::rest::tree::prune(whole, tree) {
            Some(cut) => answer.with(&cut),
            None => Answer::empty(500),
        },
    }
}

/// Refuses what somebody may not do, with the permission that is missing.
pub(super) fn needs(asked: &Asked, level: Level, permission: &str) -> Result<(), Answer> {
    if asked.level.is_some_and(|own| own >= level) {
        return Ok(());
    }
    let mut answer = shapes::FORBIDDEN.answer();
    answer.body = answer.body.replace("hudson.model.Item.Build", permission);
    answer.body =
        answer.body.replace("anonymous", if asked.has_login { &asked.user } else { "anonymous" });
    Err(answer.header("X-Required-Permission", permission))
}

pub(super) fn answer(shared: &Arc<Shared>, asked: &Asked) -> Answer {
    if asked.has_login && asked.level.is_none() {
        return shapes::UNAUTHORISED.answer();
    }
    let segments: Vec<&str> = asked.segments.iter().map(String::as_str).collect();
    if segments == ["login"] {
        return shapes::LOGIN.answer();
    }
    if let Err(refusal) = needs(asked, Level::Read, "hudson.model.Hudson.Read") {
        return refusal;
    }
    let done = match (asked.method.as_str(), segments.as_slice()) {
        ("GET", ["api", "json"]) => Ok(root(shared, asked)),
        ("GET", ["crumbIssuer", "api", "json"]) => Ok(shapes::CRUMB.answer()),
        ("GET", ["whoAmI", "api", "json"]) => Ok(who(asked)),
        ("GET", ["pluginManager", "api", "json"]) => {
            // A live one of today tells it to administrators only.
            needs(asked, Level::Administer, "hudson.model.Hudson.SystemRead")
                .map(|()| cut(asked, shapes::PLUGINS.answer(), &shapes::PLUGINS.json()))
        }
        ("GET", ["overallLoad", "api", "json"]) => Ok(shapes::LOAD.answer()),
        ("POST", ["quietDown"]) => quiet(shared, asked, true),
        ("POST", ["cancelQuietDown"]) => quiet(shared, asked, false),
        (_, ["queue", rest @ ..]) => queue::answer(shared, asked, rest),
        (_, ["computer", rest @ ..]) => nodes::answer(shared, asked, rest),
        ("GET", ["label", label, "api", "json"]) => Ok(nodes::label(shared, asked, label)),
        ("POST", ["createItem"]) => jobs::create(shared, asked, ""),
        // Seen live: the form of a new job, and that of a new node.
        ("GET" | "HEAD", ["newJob"]) => {
            needs(asked, Level::Full, "hudson.model.Item.Create").map(|()| Answer::empty(200))
        }
        (_, ["job", ..]) => in_job(shared, asked, &segments),
        _ => Ok(shapes::MISSING.answer()),
    };
    done.unwrap_or_else(|refusal| refusal)
}

/// What is in `job/a/job/b/…`.
fn in_job(shared: &Arc<Shared>, asked: &Asked, segments: &[&str]) -> Result<Answer, Answer> {
    let mut name = String::new();
    let mut rest = segments;
    while let ["job", part, after @ ..] = rest {
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part);
        rest = after;
    }
    if !shared.lock().jobs.contains_key(&name) {
        return Err(shapes::MISSING.answer());
    }
    match (asked.method.as_str(), rest) {
        ("POST", ["createItem"]) => jobs::create(shared, asked, &name),
        ("GET", ["api", "json"]) if asked.is_json() => jobs::json(shared, asked, &name),
        (_, ["config.xml"]) => jobs::config(shared, asked, &name),
        ("POST", ["doDelete"]) => jobs::delete(shared, asked, &name),
        ("POST", ["buildWithParameters"]) => queue::trigger(shared, asked, &name),
        // Seen live: the permission is looked at before the method.
        (_, ["buildWithParameters"]) => {
            needs(asked, Level::Trigger, "hudson.model.Item.Build").and(Err(Answer::empty(405)))
        }
        ("POST", ["build"]) => Ok(shapes::NOTHING_SUBMITTED.answer()),
        (_, [number, after @ ..]) => builds::answer(shared, asked, &name, number, after),
        _ => Err(shapes::MISSING.answer()),
    }
}

fn root(shared: &Shared, asked: &Asked) -> Answer {
    let master = shared.lock();
    let mut whole = shapes::ROOT.json();
    let top: Vec<Value> = master
        .jobs
        .values()
        .filter(|job| !job.name.contains('/'))
        .map(|job| jobs::brief(shared, job))
        .collect();
    whole["jobs"] = Value::from(top);
    whole["quietingDown"] = Value::from(master.quieting_down);
    whole["quietDownReason"] = Value::Null;
    whole["numExecutors"] = json!(0);
    cut(asked, shapes::ROOT.answer(), &whole)
}

fn who(asked: &Asked) -> Answer {
    let mut whole = shapes::WHO_AM_I.json();
    whole["name"] = Value::from(asked.user.clone());
    whole["authorities"] = json!(["authenticated"]);
    shapes::WHO_AM_I.answer().with(&whole)
}

fn quiet(shared: &Shared, asked: &Asked, on: bool) -> Result<Answer, Answer> {
    needs(asked, Level::Administer, "hudson.model.Hudson.Administer")?;
    shared.lock().quieting_down = on;
    shared.changed.notify_waiters();
    Ok(Answer::empty(302).header("Location", "/"))
}

/// A query or the body of a form.
pub(super) fn form(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (percent_decoded(&name.replace('+', " ")), percent_decoded(&value.replace('+', " ")))
        })
        .collect()
}
