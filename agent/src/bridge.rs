//! The bridge: it can have the controller send the node of an agent that goes away no more builds, which an
//! inbound agent cannot, and it keeps what stages used.
//!
//! All of it is best effort and never waited for: without it the agent refuses new builds itself.

use std::fmt;
use std::time::Duration;

use jenkins_remoting::transport::{DownloadOptions, PostTarget, RootUrl, Secret};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the bridge is and who asks it. Its `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct BridgeOptions {
    /// `--bridge-url`.
    pub url: RootUrl,
    /// `--bridge-token`: an access token with the scopes `nodes:drain` and `usage:report`.
    pub token: Secret,
    /// `--bridge-controller`: what the bridge calls this controller.
    pub controller: String,
}

/// The bridge, and the node that it is asked about.
pub struct Bridge {
    target: PostTarget,
    controller: String,
    node: String,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge")
            .field("controller", &self.controller)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Bridge {
    /// The bridge, reached as `options` say.
    #[must_use]
    pub fn new(bridge: &BridgeOptions, options: DownloadOptions, node: &str) -> Self {
        let authorization = Secret::new(format!("Bearer {}", bridge.token.expose()));
        let target = PostTarget::new(bridge.url.clone(), options)
            .with_header("Authorization", &authorization);
        Self { target, controller: bridge.controller.clone(), node: node.to_owned() }
    }

    /// The agent goes away: the controller is to send no more builds.
    pub async fn take_node_out(&self) {
        let reason = Some("the agent was told to stop (SIGTERM) and waits for its builds");
        match self.ask("v1/nodes/offline", reason).await {
            Ok(()) => {
                tracing::info!("the bridge has taken this node out: no more builds are sent to it")
            }
            Err(problem) => tracing::warn!(
                "the bridge has not taken this node out, so that the agent itself refuses new builds: {problem}"
            ),
        }
    }

    /// The agent is there: the node takes builds again if the bridge took it out.
    pub async fn bring_node_back(&self) {
        if let Err(problem) = self.ask("v1/nodes/online", None).await {
            tracing::warn!(
                "the bridge was not asked whether it took this node out; if the node stays offline, bring it back in \
                 the controller: {problem}"
            );
        }
    }

    /// Takes figures of what stages used, as JSON.
    ///
    /// # Errors
    /// Why it did not take them.
    pub async fn report_usage(&self, body: String) -> Result<(), String> {
        self.post("v1/usage", body).await
    }

    async fn ask(&self, path: &str, reason: Option<&str>) -> Result<(), String> {
        self.post(path, body(&self.controller, &self.node, reason)).await
    }

    async fn post(&self, path: &str, body: String) -> Result<(), String> {
        let asked = self.target.post(path, "application/json", body.into_bytes());
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }
}

fn body(controller: &str, node: &str, reason: Option<&str>) -> String {
    let mut members = serde_json::Map::new();
    members.insert("controller".to_owned(), controller.into());
    members.insert("node".to_owned(), node.into());
    members.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
    serde_json::Value::Object(members).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let read: serde_json::Value =
            serde_json::from_str(&body("a\"b", "n\\\n", Some("x"))).unwrap();
        assert_eq!(read, serde_json::json!({"controller": "a\"b", "node": "n\\\n", "reason": "x"}));
        assert_eq!(body("c", "n", None), r#"{"controller":"c","node":"n"}"#);
    }

    #[test]
    fn the_token_is_not_shown() {
        let options = BridgeOptions {
            url: RootUrl::parse("http://bridge").unwrap(),
            token: Secret::new("pfb_0123456789"),
            controller: "main".to_owned(),
        };
        let bridge = Bridge::new(&options, DownloadOptions::default(), "n");
        let shown = format!("{options:?} {bridge:?}");
        assert!(!shown.contains("pfb_") && shown.contains("main"), "{shown}");
    }
}
