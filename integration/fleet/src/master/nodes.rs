//! Nodes and labels.

use serde_json::{Value, json};

use super::journal::Line;
use super::routes::{Asked, cut, needs};
use super::state::{Master, Node, Shared};
use super::{Level, agents};
use crate::shapes::{self, Answer};

/// The labels of a node, with what waits for each. Seen live: the load of a label is exported with it
/// (`hudson.model.Label.loadStatistics`).
fn labels(master: &Master, node: &Node) -> Vec<Value> {
    let label = |name: &String| {
        let average = master.loads.get(name).copied().unwrap_or_default();
        json!({"name": name, "loadStatistics": {"_class": "hudson.model.Label$1",
            "queueLength": {"sec10": {"latest": average}}}})
    };
    std::iter::once(&node.name).chain(&node.labels).map(label).collect()
}

fn json(master: &Master, node: &Node) -> Value {
    let mut whole = shapes::NODE.json();
    let busy = master.running().any(|build| build.node.as_ref() == Some(&node.name));
    whole["idle"] = Value::from(!busy);
    whole["assignedLabels"] = Value::from(labels(master, node));
    whole["description"] = Value::from(node.description.clone());
    whole["displayName"] = Value::from(node.name.clone());
    whole["numExecutors"] = Value::from(node.executors);
    whole["offline"] = Value::from(node.offline || node.taken_out.is_some());
    whole["temporarilyOffline"] = Value::from(node.taken_out.is_some());
    whole["offlineCauseReason"] = Value::from(node.taken_out.clone().unwrap_or_default());
    whole["executors"] = (0..node.executors).map(|_| json!({"currentExecutable": null})).collect();
    whole
}

fn computers(shared: &Shared, master: &Master) -> Value {
    let busy: Vec<Value> = master
        .running()
        .map(|build| json!({"currentExecutable": super::builds::json(shared, build)}))
        .collect();
    let total: u32 =
        master.nodes.values().filter(|node| !node.offline).map(|node| node.executors).sum();
    // A Pipeline runs on an executor of its own of the controller's node, and its stages on an agent.
    let own = json!({
        "_class": "hudson.model.Hudson$MasterComputer", "assignedLabels": [{"name": "built-in"}],
        "displayName": "Built-In Node", "executors": [], "oneOffExecutors": busy, "idle": busy.is_empty(),
        "numExecutors": 0, "offline": false, "offlineCauseReason": "", "temporarilyOffline": false,
    });
    let mut all = vec![own];
    all.extend(master.nodes.values().map(|node| json(master, node)));
    json!({"_class": "hudson.model.ComputerSet", "busyExecutors": busy.len().min(total as usize),
        "totalExecutors": total, "computer": all})
}

/// What is kept of the form of a new node.
fn read(asked: &Asked) -> Option<Node> {
    let form: Value = serde_json::from_str(asked.parameters().get("json")?).ok()?;
    let text = |name: &str| form[name].as_str().unwrap_or_default().to_owned();
    let number = &form["numExecutors"];
    let executors = number.as_str().and_then(|text| text.parse().ok());
    Some(Node {
        name: asked.query.get("name")?.clone(),
        description: text("nodeDescription"),
        executors: executors.or_else(|| number.as_u64().and_then(|one| u32::try_from(one).ok()))?,
        labels: text("labelString").split_whitespace().map(str::to_owned).collect(),
        offline: true,
        taken_out: None,
        remote_fs: text("remoteFS"),
        exclusive: form["mode"] == "EXCLUSIVE",
    })
}

pub(super) fn answer(shared: &Shared, asked: &Asked, rest: &[&str]) -> Result<Answer, Answer> {
    let mut master = shared.lock();
    match (asked.method.as_str(), rest) {
        ("GET", ["api", "json"]) => {
            return Ok(cut(asked, shapes::NODE.answer(), &computers(shared, &master)));
        }
        ("GET" | "HEAD", ["new"]) => {
            needs(asked, Level::Full, "hudson.model.Computer.Create")?;
            return Ok(Answer::empty(200));
        }
        ("POST", ["doCreateItem"]) => {
            needs(asked, Level::Full, "hudson.model.Computer.Create")?;
            let node = read(asked).ok_or_else(|| Answer::empty(400))?;
            if master.nodes.contains_key(&node.name) {
                let message = format!("Agent called  {}  already exists", node.name);
                return Err(shapes::NODE_EXISTS.answer().header("X-Error", message));
            }
            shared.keep(&Line::Node(&node));
            master.nodes.insert(node.name.clone(), node);
            return Ok(Answer::empty(302).header("Location", "/computer/"));
        }
        _ => {}
    }
    let [name, rest @ ..] = rest else { return Err(shapes::MISSING.answer()) };
    if !master.nodes.contains_key(*name) {
        return Err(shapes::MISSING.answer());
    }
    if let ("GET", ["api", "json"]) = (asked.method.as_str(), rest) {
        let whole = master.nodes.get(*name).map(|node| json(&master, node)).unwrap_or_default();
        return Ok(cut(asked, shapes::NODE.answer(), &whole));
    }
    let Some(node) = master.nodes.get_mut(*name) else { return Err(shapes::MISSING.answer()) };
    match (asked.method.as_str(), rest) {
        ("GET" | "HEAD", ["jenkins-agent.jnlp"]) => {
            needs(asked, Level::Full, "hudson.model.Computer.Connect")?;
            let secret = agents::secret(shared, name);
            let mut answer = shapes::NODE_SECRET.answer();
            answer.body =
                answer.body.replace("&lt;64 hex digits&gt;", &secret).replace("agent-77", name);
            Ok(answer)
        }
        ("GET", ["config.xml"]) => {
            needs(asked, Level::Full, "hudson.model.Computer.Configure")?;
            let mut answer = shapes::NODE_CONFIG.answer();
            answer.body = answer.body.replace("agent-77", name);
            Ok(answer)
        }
        ("POST", ["toggleOffline"]) => {
            needs(asked, Level::Full, "hudson.model.Computer.Disconnect")?;
            let message = asked.parameters().remove("offlineMessage").unwrap_or_default();
            node.taken_out = if node.taken_out.is_some() { None } else { Some(message) };
            shared.keep(&Line::Node(node));
            Ok(Answer::empty(302).header("Location", format!("/computer/{name}/")))
        }
        ("POST", ["doDelete"]) => {
            needs(asked, Level::Full, "hudson.model.Computer.Delete")?;
            master.nodes.remove(*name);
            shared.changed.notify_waiters();
            shared.keep(&Line::NodeGone(name));
            Ok(Answer::empty(302).header("Location", "/computer/"))
        }
        _ => Err(shapes::MISSING.answer()),
    }
}

/// A label.
pub(super) fn label(shared: &Shared, asked: &Asked, label: &str) -> Answer {
    let master = shared.lock();
    let all: Vec<&Node> = master
        .nodes
        .values()
        .filter(|node| node.name == label || node.labels.contains(label))
        .collect();
    let online = || all.iter().filter(|node| !node.offline && node.taken_out.is_none());
    let total: u32 = online().map(|node| node.executors).sum();
    let busy = u32::try_from(master.running().count()).unwrap_or(u32::MAX).min(total);
    let mut whole = shapes::LABEL.json();
    whole["name"] = Value::from(label);
    whole["nodes"] = all
        .iter()
        .map(|node| json!({"_class": "hudson.slaves.DumbSlave", "nodeName": node.name}))
        .collect();
    whole["offline"] = Value::from(online().next().is_none());
    whole["totalExecutors"] = Value::from(total);
    whole["busyExecutors"] = Value::from(busy);
    whole["idleExecutors"] = Value::from(total - busy);
    cut(asked, shapes::LABEL.answer(), &whole)
}
