//! Recorded answers, as they are, and their parts that a simulated master fills in.

use serde_json::Value;

/// A recorded answer.
#[derive(Debug, Clone, Copy)]
pub struct Shape(&'static str);

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub const $name: Shape =
            Shape(include_str!(concat!("../../recordings/rest/", $file)));)*
    };
}

shapes! {
    /// A crumb.
    CRUMB = "01-crumb.json";
    /// The controller.
    ROOT = "05-root.json";
    /// The page where people log in; of a live one only the head was recorded.
    LOGIN = "07-login-page.json";
    /// No such page.
    MISSING = "08-missing-job.json";
    /// A login that is none.
    UNAUTHORISED = "09-wrong-password.json";
    /// A permission that is missing.
    FORBIDDEN = "10-anonymous-build.json";
    /// A name that is taken.
    EXISTS = "13-create-job-again.json";
    /// XML that is none.
    BAD_XML = "14-create-job-bad-xml.json";
    /// A name that cannot be one.
    BAD_NAME = "15-create-job-bad-name.json";
    /// A job.
    JOB = "17-job-json.json";
    /// The place in the queue of a new build.
    TRIGGERED = "22-trigger-with-parameters.json";
    /// A trigger without parameters for a job that has some.
    NOTHING_SUBMITTED = "26-trigger-without-parameters.json";
    /// The queue.
    QUEUE = "24-queue.json";
    /// An item that has left the queue.
    LEFT_ITEM = "44-queue-item-left.json";
    /// A build that runs.
    RUNNING = "28-build-running.json";
    /// A label.
    LABEL = "30-label-without-nodes.json";
    /// A node that is taken.
    NODE_EXISTS = "33-create-node-again.json";
    /// The secret of a node.
    NODE_SECRET = "34-node-secret.json";
    /// A node.
    NODE = "35-node-json.json";
    /// The configuration of a node.
    NODE_CONFIG = "36-node-config-xml.json";
    /// No test report.
    NO_TESTS = "47-test-report.json";
    /// The stages of a build.
    STAGES = "49-wfapi.json";
    /// The controller while it is about to stop.
    QUIETING = "51-root-quieting.json";
    /// Plugins.
    PLUGINS = "56-plugins.json";
    /// Who asks.
    WHO_AM_I = "57-whoami.json";
    /// Load.
    LOAD = "58-overall-load.json";
}

/// A recorded answer, read.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, those of the transport left out.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Shape {
    /// The recorded answer.
    #[must_use]
    pub fn answer(self) -> Answer {
        let read: Value = serde_json::from_str(self.0).unwrap_or_default();
        let response = &read["response"];
        let headers = response["headers"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Answer {
            status: response["status"]
                .as_u64()
                .and_then(|one| u16::try_from(one).ok())
                .unwrap_or(500),
            headers: headers
                .iter()
                .map(|pair| (text(&pair[0]), text(&pair[1])))
                .filter(|(name, _)| {
                    !matches!(
                        name.to_ascii_lowercase().as_str(),
                        "transfer-encoding"
                            | "content-length"
                            | "connection"
                            | "set-cookie"
                            | "location"
                    )
                })
                .collect(),
            body: text(&response["body"]),
        }
    }

    /// Its JSON.
    #[must_use]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.answer().body).unwrap_or_default()
    }
}

impl Answer {
    /// The same with another JSON body.
    #[must_use]
    pub fn with(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self
    }

    /// An answer of this status with no body, as those to successful POSTs.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_a_recording() {
        for shape in [CRUMB, ROOT, JOB, QUEUE, LEFT_ITEM, RUNNING, LABEL, NODE, STAGES, PLUGINS] {
            assert_eq!(shape.answer().status, 200);
            assert!(shape.json().is_object());
        }
        assert_eq!(EXISTS.answer().status, 400);
        assert_eq!(UNAUTHORISED.answer().status, 401);
        assert_eq!(TRIGGERED.answer().status, 201);
        assert_eq!(MISSING.answer().status, 404);
    }
}
