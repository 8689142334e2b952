//! The queue.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Level;
use super::jobs;
use super::journal::Line;
use super::routes::{Asked, cut, needs};
use super::state::{Item, Shared, now_ms};
use crate::ledger::What;
use crate::shapes::{self, Answer};

/// Builds that nobody gave a value for get the defaults of their job; what a job does not declare is
/// dropped (`hudson.model.ParametersAction`).
fn parameters(xml: &str, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    jobs::declared(xml)
        .into_iter()
        .map(|name| {
            let value = given.get(&name).cloned().unwrap_or_else(|| jobs::default(xml, &name));
            (name, value)
        })
        .collect()
}

pub(super) fn trigger(shared: &Shared, asked: &Asked, job: &str) -> Result<Answer, Answer> {
    needs(asked, Level::Trigger, "hudson.model.Item.Build")?;
    let mut master = shared.lock();
    let Some(definition) = master.jobs.get(job) else { return Err(shapes::MISSING.answer()) };
    // Seen live: a job that is disabled, and one without parameters.
    if definition.xml.contains("<disabled>true</disabled>") {
        return Err(Answer::empty(409));
    }
    if jobs::declared(&definition.xml).is_empty() {
        return Err(Answer::empty(500));
    }
    let parameters = parameters(&definition.xml, &asked.parameters());
    let place = |id: u64| format!("{}queue/item/{id}/", shared.url);
    // Seen live: an equal item that still waits is the answer, by 303.
    let equal = master.waiting().find(|item| item.job == job && item.parameters == parameters);
    if let Some(equal) = equal {
        return Ok(Answer::empty(303).header("Location", place(equal.id)));
    }
    let id = master.next_item;
    master.next_item += 1;
    let item = Item {
        id,
        job: job.to_owned(),
        parameters,
        since_ms: now_ms(),
        cancelled: false,
        build: None,
    };
    shared.keep(&Line::Item(&item));
    shared.record(&item.parameters, What::Triggered, &id.to_string());
    master.items.insert(id, item);
    drop(master);
    shared.changed.notify_waiters();
    let mut answer = shapes::TRIGGERED.answer().header("Location", place(id));
    answer.body.clear();
    Ok(answer)
}

/// The actions of an item or a build that has parameters.
pub(super) fn actions(parameters: &BTreeMap<String, String>, user: &str) -> Value {
    let values: Vec<Value> = parameters
        .iter()
        .map(|(name, value)| {
            json!({"_class": "hudson.model.StringParameterValue", "name": name, "value": value})
        })
        .collect();
    json!([
        {"_class": "hudson.model.ParametersAction", "parameters": values},
        {"_class": "hudson.model.CauseAction", "causes": [{
            "_class": "hudson.model.Cause$UserIdCause",
            "shortDescription": format!("Started by user {user}"), "userId": user, "userName": user,
        }]},
    ])
}

fn json(shared: &Shared, item: &Item, quieting: bool) -> Value {
    let mut whole = shapes::LEFT_ITEM.json();
    whole["actions"] = actions(&item.parameters, "bridge");
    whole["id"] = Value::from(item.id);
    whole["inQueueSince"] = Value::from(item.since_ms);
    whole["url"] = Value::from(format!("queue/item/{}/", item.id));
    let text: String =
        item.parameters.iter().map(|(name, value)| format!("\n{name}={value}")).collect();
    whole["params"] = Value::from(text);
    whole["task"]["name"] = Value::from(item.job.rsplit('/').next().unwrap_or_default());
    whole["task"]["url"] = Value::from(format!("{}{}", shared.url, jobs::path(&item.job)));
    match item.build {
        Some(number) => {
            whole["executable"]["number"] = Value::from(number);
            whole["executable"]["url"] =
                Value::from(format!("{}{}{number}/", shared.url, jobs::path(&item.job)));
        }
        None if item.cancelled => {
            whole["cancelled"] = Value::from(true);
            whole["executable"] = Value::Null;
        }
        None => {
            let class = if quieting {
                "hudson.model.Queue$BlockedItem"
            } else {
                "hudson.model.Queue$BuildableItem"
            };
            whole["_class"] = Value::from(class);
            whole["why"] = Value::from(if quieting {
                "Jenkins is about to shut down"
            } else {
                "Waiting for next available executor"
            });
            whole["buildable"] = Value::from(!quieting);
            whole["blocked"] = Value::from(quieting);
            if let Value::Object(map) = &mut whole {
                map.remove("executable");
                map.remove("cancelled");
            }
        }
    }
    whole
}

pub(super) fn answer(shared: &Shared, asked: &Asked, rest: &[&str]) -> Result<Answer, Answer> {
    match (asked.method.as_str(), rest) {
        ("GET", ["api", "json"]) => {
            let master = shared.lock();
            let mut whole = shapes::QUEUE.json();
            let items: Vec<Value> =
                master.waiting().map(|item| json(shared, item, master.quieting_down)).collect();
            whole["items"] = Value::from(items);
            Ok(cut(asked, shapes::QUEUE.answer(), &whole))
        }
        ("GET", ["item", id, "api", "json"]) => {
            let master = shared.lock();
            let item = id.parse().ok().and_then(|id: u64| master.items.get(&id));
            let item = item.ok_or_else(|| shapes::MISSING.answer())?;
            Ok(cut(asked, shapes::LEFT_ITEM.answer(), &json(shared, item, master.quieting_down)))
        }
        ("POST", ["cancelItem"]) => {
            // Seen live: 422 without the permission, and nothing is cancelled.
            if needs(asked, Level::Trigger, "hudson.model.Item.Cancel").is_err() {
                return Err(Answer::empty(422));
            }
            let id = asked.parameters().get("id").and_then(|id| id.parse().ok()).unwrap_or(0);
            let mut master = shared.lock();
            let Some(item) = master.items.get_mut(&id) else {
                return Err(shapes::MISSING.answer());
            };
            if item.cancelled || item.build.is_some() {
                return Err(Answer::empty(500));
            }
            item.cancelled = true;
            let item = item.clone();
            shared.keep(&Line::Item(&item));
            Ok(Answer::empty(204))
        }
        _ => Err(shapes::MISSING.answer()),
    }
}
