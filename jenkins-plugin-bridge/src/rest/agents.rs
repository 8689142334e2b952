//! Nodes that are made and removed, and the load that a controller counts for their labels.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::Client;
use super::error::RestError;
use super::name::encode;
use super::node::NodeName;
use super::overview::read;

/// What is asked for of all nodes.
const TREE: &str = "computer[displayName,description,offline,temporarilyOffline,idle,\
    assignedLabels[name,loadStatistics[queueLength[sec10[latest]]]]]";
/// The most bytes of the file that has a node's secret: a live one has some five hundred.
const JNLP_BYTES: usize = 64 << 10;
/// The most characters of a secret. Controllers give 64.
const SECRET_CHARACTERS: usize = 256;

/// A node to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    /// Its description.
    pub description: &'a str,
    /// Its labels, with blanks between them.
    pub labels: &'a str,
    /// Directory of its agent.
    pub remote_fs: &'a str,
}

/// A node as it is seen among all.
#[derive(Debug, Clone, PartialEq)]
pub struct Computer {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// No agent is connected, or somebody took it out.
    pub offline: bool,
    /// Somebody took it out.
    pub out: bool,
    /// Nothing runs there.
    pub idle: bool,
    /// Its labels, and the average of what waits for each, as the controller counts it every ten seconds
    /// (`hudson.model.LoadStatistics.queueLength`); nothing where that was not told.
    pub queues: BTreeMap<String, Option<f32>>,
}

#[derive(Deserialize)]
struct ComputersJson {
    #[serde(default)]
    computer: Vec<ComputerJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComputerJson {
    display_name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    temporarily_offline: bool,
    #[serde(default)]
    idle: bool,
    #[serde(default)]
    assigned_labels: Vec<LabelJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LabelJson {
    name: String,
    #[serde(default)]
    load_statistics: Option<LoadJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoadJson {
    #[serde(default)]
    queue_length: Option<SeriesJson>,
}

#[derive(Deserialize)]
struct SeriesJson {
    #[serde(default)]
    sec10: Option<AverageJson>,
}

#[derive(Deserialize)]
struct AverageJson {
    #[serde(default)]
    latest: Option<f32>,
}

impl ComputerJson {
    fn read(self) -> Computer {
        let queues = self.assigned_labels.into_iter().map(|label| {
            let average = |load: LoadJson| load.queue_length?.sec10?.latest;
            (label.name, label.load_statistics.and_then(average))
        });
        Computer {
            name: self.display_name,
            description: self.description.unwrap_or_default(),
            offline: self.offline,
            out: self.temporarily_offline,
            idle: self.idle,
            queues: queues.collect(),
        }
    }
}

impl Client {
    /// All nodes, with what waits for their labels: one request.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn computers(&self) -> Result<Vec<Computer>, RestError> {
        let answer = self.json("computer/", TREE).await?;
        let all: ComputersJson = read(&answer, "nodes")?;
        Ok(all.computer.into_iter().map(ComputerJson::read).collect())
    }

    /// Makes an inbound node with one executor, for builds that ask for its labels only. Needs Agent/Create.
    /// One that is there with this description is the same one.
    ///
    /// # Errors
    /// [`RestError`]. After [`RestError::Unreachable`] or [`RestError::Slow`] it may be there.
    pub async fn make_node(&self, name: &NodeName, new: &NewNode<'_>) -> Result<(), RestError> {
        let mut path = String::from("computer/doCreateItem?type=hudson.slaves.DumbSlave&name=");
        encode(name.as_str(), &mut path);
        let form = json!({
            "name": name.as_str(),
            "nodeDescription": new.description,
            "numExecutors": "1",
            "remoteFS": new.remote_fs,
            "labelString": new.labels,
            "mode": "EXCLUSIVE",
            "type": "hudson.slaves.DumbSlave",
            "retentionStrategy": {"stapler-class": "hudson.slaves.RetentionStrategy$Always"},
            "nodeProperties": {"stapler-class-bag": "true"},
            "launcher": {"stapler-class": "hudson.slaves.JNLPLauncher", "webSocket": true},
        });
        match self.post(&path, &[("json".to_owned(), form.to_string())]).await {
            Ok(_) => Ok(()),
            Err(error @ RestError::Status { status: 400, .. }) => {
                let there = self.json(&name.path(), "displayName,description").await;
                let there = there.and_then(|answer| read::<ComputerJson>(&answer, "a node"));
                let is_it = |one: ComputerJson| one.read().description == new.description;
                if there.is_ok_and(is_it) { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// The secret of a node. Needs Agent/Connect.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn node_secret(&self, name: &NodeName) -> Result<Zeroizing<String>, RestError> {
        let path = format!("{}jenkins-agent.jnlp", name.path());
        let (_, body) = self.text(&path, &[]).await?;
        let body = Zeroizing::new(body);
        secret_of(&body).ok_or_else(|| RestError::Malformed {
            url: format!("{}{path}", self.base()),
            reason: "this is not the description of an inbound agent with its secret".to_owned(),
        })
    }

    /// Removes a node. One that is not there is no error. Needs Agent/Delete.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn remove_node(&self, name: &NodeName) -> Result<(), RestError> {
        match self.post(&format!("{}doDelete", name.path()), &[]).await {
            Ok(_) | Err(RestError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The first argument of the application: hexadecimal digits
/// (`hudson/slaves/SlaveComputer/slave-agent.jnlp.jelly`).
fn secret_of(body: &[u8]) -> Option<Zeroizing<String>> {
    if body.len() > JNLP_BYTES {
        return None;
    }
    let mut reader = Reader::from_reader(body);
    let mut is_argument = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => is_argument = start.local_name().as_ref() == "argument",
            Event::Text(text) if is_argument => {
                let text = Zeroizing::new(text.trim().to_owned());
                let is_good = !text.is_empty()
                    && text.len() <= SECRET_CHARACTERS
                    && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                return is_good.then_some(text);
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::stub::{Reply, Stub, recording};
    use crate::rest::{ClientOptions, ProxyChoice};

    fn client(stub: &Stub) -> Client {
        let mut options = ClientOptions::new(&stub.url);
        options.proxy = ProxyChoice::Direct;
        options.retry.tries = 1;
        Client::new(&options).unwrap()
    }

    const NEW: NewNode<'_> = NewNode {
        description: "made by the bridge",
        labels: "ours-none",
        remote_fs: "/home/jenkins/agent",
    };

    #[tokio::test]
    async fn a_node_is_made_as_the_recorded_one_was() {
        let stub = Stub::start(|_| recording(32).reply).await;
        let name = NodeName::parse("agent-77").unwrap();
        client(&stub).make_node(&name, &NEW).await.unwrap();
        let sent = stub.requests().pop().unwrap();
        let form = |body: &str| {
            let text = body.strip_prefix("json=").unwrap().replace('+', " ");
            serde_json::from_str::<serde_json::Value>(&crate::rest::percent_decoded(&text)).unwrap()
        };
        let recorded = include_str!("../../../integration/recordings/rest/32-create-node.json");
        let recorded: serde_json::Value = serde_json::from_str(recorded).unwrap();
        assert_eq!(form(&sent.body), form(recorded["request"]["body"].as_str().unwrap()));
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_no_error_if_it_is_the_same_node() {
        let stub = Stub::start(|request| match request.method.as_str() {
            "GET" => recording(35).cut(request.tree.as_deref()),
            _ => recording(33).reply,
        })
        .await;
        let name = NodeName::parse("agent-77").unwrap();
        client(&stub).make_node(&name, &NEW).await.unwrap();
        let other = NewNode { description: "of somebody else", ..NEW };
        let error = client(&stub).make_node(&name, &other).await.unwrap_err();
        assert!(error.to_string().contains("already exists"), "{error}");
    }

    #[tokio::test]
    async fn the_secret_is_the_first_argument() {
        let secret = "0123456789abcdef".repeat(4);
        let body = recording(34).reply.body.replace("&lt;64 hex digits&gt;", &secret);
        let stub = Stub::start(move |_| Reply { body: body.clone(), ..recording(34).reply }).await;
        let name = NodeName::parse("agent-77").unwrap();
        assert_eq!(*client(&stub).node_secret(&name).await.unwrap(), secret);
        for bad in ["", "<jnlp>", "<argument>not hex</argument>", "<argument/><x>ab</x>"] {
            assert!(secret_of(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_gone_is_removed() {
        let stub = Stub::start(|request| match request.path.as_str() {
            "/computer/there/doDelete" => recording(40).reply,
            _ => recording(8).reply,
        })
        .await;
        for name in ["there", "gone"] {
            let name = NodeName::parse(name).unwrap();
            client(&stub).remove_node(&name).await.unwrap();
        }
    }

    #[tokio::test]
    async fn nodes_are_read_with_what_waits_for_their_labels() {
        let computers = json!({"computer": [
            {"displayName": "Built-In Node", "description": "", "offline": false, "idle": true,
                "assignedLabels": [{"name": "built-in", "loadStatistics": {"queueLength": {"sec10": {"latest": 0.0}}}}]},
            {"displayName": "x", "description": "pilotfish-agent a placeholder p 1", "offline": true, "idle": true,
                "temporarilyOffline": false,
                "assignedLabels": [{"name": "x"}, {"name": "linux", "loadStatistics": {"queueLength": {"sec10": {"latest": 0.1}}}}]},
        ]});
        let stub = Stub::start(move |_| {
            Reply::assumed(
                "hudson.model.LoadStatistics, hudson.model.MultiStageTimeSeries",
                200,
                &[("Content-Type", "application/json")],
                "",
            )
            .with_json(&computers)
        })
        .await;
        let all = client(&stub).computers().await.unwrap();
        assert_eq!(
            all[1].queues,
            BTreeMap::from([("linux".to_owned(), Some(0.1)), ("x".to_owned(), None)])
        );
        assert!(all[1].offline && all[1].idle && !all[1].out);
        assert_eq!(all[0].name, "Built-In Node");
    }
}
