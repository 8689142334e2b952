//! A node: whether it takes builds, and taking it out of the controller's hands for a while.

use serde::Deserialize;

use super::client::Client;
use super::error::RestError;
use super::name::encode;

/// What is asked for of a node.
const NODE_TREE: &str = "idle,offline,temporarilyOffline,offlineCauseReason";
/// The most bytes of a name.
const NAME_BYTES: usize = 255;
/// How often a switch is thrown: somebody else may throw it at the same time.
const TRIES: usize = 3;

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

/// Whether a node takes builds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// No build has any of its executors (`hudson.model.Computer.isIdle`). One that does not say it may have one.
    #[serde(default)]
    pub idle: bool,
    /// Not connected, or taken out by somebody.
    pub offline: bool,
    /// Taken out by somebody: it takes no build even while it is connected
    /// (`hudson.model.Computer.isTemporarilyOffline`).
    pub temporarily_offline: bool,
    /// Why, in the words of who took it out; empty where nobody did.
    #[serde(default)]
    pub offline_cause_reason: Option<String>,
}

/// What came of wanting a node in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// It was changed.
    Changed,
    /// It was so already.
    Already,
    /// Somebody else took it out, so that it stays out.
    TakenOutByAnother,
}

impl NodeName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`RestError::Name`] for a name that no inbound agent has.
    pub fn parse(text: &str) -> Result<Self, RestError> {
        // The first two are the controller's own node, of old and of today.
        let problem = match text {
            "" | "(master)" | "(built-in)" => Some("it is the controller's own node"),
            "." | ".." => Some("it has only dots"),
            _ if text.len() > NAME_BYTES => Some("it has more than 255 bytes"),
            // `jenkins.model.Jenkins.checkGoodName`.
            _ if text
                .chars()
                .any(|one| one.is_control() || "?*/\\%!@#$^&|<>[]:;".contains(one)) =>
            {
                Some("it has a character that no node's name may have")
            }
            _ => None,
        };
        match problem {
            None => Ok(Self(text.to_owned())),
            Some(reason) => {
                let shown = text.chars().filter(|one| !one.is_control()).take(80).collect();
                Err(RestError::Name { name: shown, reason })
            }
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of its pages, as `computer/agent-1/`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::from("computer/");
        encode(&self.0, &mut path);
        path.push('/');
        path
    }
}

impl NodeState {
    /// Whether somebody took it out with a reason that begins so.
    #[must_use]
    pub fn is_out_for(&self, reason: &str) -> bool {
        let given = self.offline_cause_reason.as_deref().unwrap_or_default();
        self.temporarily_offline && given.starts_with(reason)
    }
}

impl Client {
    /// Whether a node takes builds.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn node(&self, name: &NodeName) -> Result<NodeState, RestError> {
        let answer = self.json(&name.path(), NODE_TREE).await?;
        serde_json::from_slice(&answer.body).map_err(|error| RestError::Malformed {
            url: answer.url.clone(),
            reason: format!("this is not the JSON of a node: {error}"),
        })
    }

    /// Has a node take no more builds; those that run go on. Needs the permission Agent/Disconnect.
    ///
    /// # Errors
    /// [`RestError`], and [`RestError::Malformed`] where the controller says that it did so and did not.
    pub async fn take_out(&self, name: &NodeName, reason: &str) -> Result<Switched, RestError> {
        self.switch(name, true, reason, |state| {
            state.temporarily_offline.then_some(Switched::Already)
        })
        .await
    }

    /// Has a node take builds again that was taken out for a reason that begins with `reason`. Needs the
    /// permission Agent/Connect.
    ///
    /// # Errors
    /// As [`take_out`](Self::take_out).
    pub async fn bring_back(&self, name: &NodeName, reason: &str) -> Result<Switched, RestError> {
        self.switch(name, false, "", |state| match state.temporarily_offline {
            false => Some(Switched::Already),
            true if !state.is_out_for(reason) => Some(Switched::TakenOutByAnother),
            true => None,
        })
        .await
    }

    /// Jenkins has no more than a switch (`hudson.model.Computer.doToggleOffline`), so it is looked
    /// before and after it is thrown.
    async fn switch(
        &self,
        name: &NodeName,
        out: bool,
        message: &str,
        done: impl Fn(&NodeState) -> Option<Switched>,
    ) -> Result<Switched, RestError> {
        let path = format!("{}toggleOffline", name.path());
        for thrown in 0..TRIES {
            match done(&self.node(name).await?) {
                Some(Switched::Already) if thrown > 0 => return Ok(Switched::Changed),
                Some(switched) => return Ok(switched),
                None => {}
            }
            let form = [("offlineMessage".to_owned(), message.to_owned())];
            self.post(&path, if out { &form } else { &[] }).await?;
        }
        match done(&self.node(name).await?) {
            Some(Switched::Already) => Ok(Switched::Changed),
            Some(switched) => Ok(switched),
            None => Err(RestError::Malformed {
                url: format!("{}{path}", self.base()),
                reason: "the node is as it was although the controller took the request".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::rest::stub::{Reply, Stub, recording};
    use crate::rest::{ClientOptions, ProxyChoice};

    const NODE: &str = "/computer/agent-77/api/json";
    const SWITCH: &str = "/computer/agent-77/toggleOffline";

    fn client(stub: &Stub) -> Client {
        let mut options = ClientOptions::new(&stub.url);
        options.proxy = ProxyChoice::Direct;
        options.retry.tries = 1;
        Client::new(&options).unwrap()
    }

    fn name() -> NodeName {
        NodeName::parse("agent-77").unwrap()
    }

    /// A node that the recorded exchanges are of; each throw of the switch turns it, those in `lost`
    /// do not.
    async fn node(is_out: bool, lost: &'static [usize]) -> Stub {
        let thrown = AtomicUsize::new(0);
        let out = AtomicUsize::new(usize::from(is_out));
        Stub::start(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", NODE) => {
                let number = if out.load(Ordering::SeqCst) % 2 == 1 { 39 } else { 35 };
                recording(number).cut(request.tree.as_deref())
            }
            ("POST", SWITCH) => {
                if !lost.contains(&thrown.fetch_add(1, Ordering::SeqCst)) {
                    out.fetch_add(1, Ordering::SeqCst);
                }
                recording(38).reply
            }
            _ => recording(8).reply,
        })
        .await
    }

    #[tokio::test]
    async fn a_node_is_taken_out_once() {
        let stub = node(false, &[]).await;
        let client = client(&stub);
        assert_eq!(client.take_out(&name(), "Pilotfish: a & b").await.unwrap(), Switched::Changed);
        let sent: Vec<_> =
            stub.requests().into_iter().filter(|request| request.path == SWITCH).collect();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].body, "offlineMessage=Pilotfish%3A+a+%26+b");
        assert_eq!(client.take_out(&name(), "again").await.unwrap(), Switched::Already);
        assert_eq!(stub.count("toggleOffline"), 1);
        assert!(client.node(&name()).await.unwrap().is_out_for("drain"));
    }

    #[tokio::test]
    async fn a_switch_that_somebody_threw_back_is_thrown_again() {
        let stub = node(false, &[0]).await;
        assert_eq!(client(&stub).take_out(&name(), "x").await.unwrap(), Switched::Changed);
        assert_eq!(stub.count("toggleOffline"), 2);
        let never = node(false, &[0, 1, 2]).await;
        let error = client(&never).take_out(&name(), "x").await.unwrap_err();
        assert!(error.to_string().contains("the node is as it was"), "{error}");
    }

    #[tokio::test]
    async fn only_what_was_taken_out_for_that_reason_comes_back() {
        let stub = node(true, &[]).await;
        let client = client(&stub);
        let other = client.bring_back(&name(), "Pilotfish: ").await.unwrap();
        assert_eq!(other, Switched::TakenOutByAnother);
        assert_eq!(stub.count("toggleOffline"), 0);
        assert_eq!(client.bring_back(&name(), "draining").await.unwrap(), Switched::Changed);
        assert_eq!(client.bring_back(&name(), "draining").await.unwrap(), Switched::Already);
        assert_eq!(stub.count("toggleOffline"), 1);
    }

    #[tokio::test]
    async fn a_controller_that_refuses_is_told() {
        let refusal = Reply::assumed(
            "hudson.security.AccessDeniedException3.reportAsHeaders",
            403,
            &[("X-Required-Permission", "hudson.model.Computer.Disconnect")],
            "",
        );
        let stub = Stub::start(move |request| match request.method.as_str() {
            "GET" => recording(35).cut(request.tree.as_deref()),
            _ => refusal.clone(),
        })
        .await;
        let error = client(&stub).take_out(&name(), "x").await.unwrap_err().to_string();
        assert!(error.contains("hudson.model.Computer.Disconnect"), "{error}");
        let odd = Stub::start(|_| {
            Reply::assumed("a.proxy", 200, &[("Content-Type", "application/json")], "")
                .with_json(&json!({"offline": "no"}))
        })
        .await;
        assert!(matches!(client(&odd).node(&name()).await, Err(RestError::Malformed { .. })));
    }

    #[test]
    fn names_of_nodes() {
        assert_eq!(NodeName::parse("a b-1.é").unwrap().path(), "computer/a%20b-1.%C3%A9/");
        let long = "x".repeat(256);
        for bad in ["", "(built-in)", "(master)", "..", "a/b", "a\nb", "a?b", long.as_str()] {
            assert!(matches!(NodeName::parse(bad), Err(RestError::Name { .. })), "{bad:?}");
        }
    }
}
