//! What a cluster refuses, in its own words.

use kube::core::Status;

/// A cluster could not be reached, or said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("the cluster {cluster} cannot be used: {message}")]
    Settings {
        /// Name of the cluster.
        cluster: String,
        /// What is wrong.
        message: String,
    },
    /// The API server said no: a quota, an admission rule, a permission.
    #[error("the cluster refused to {action}: {message}{}", hint(.message))]
    Refused {
        /// What was tried.
        action: String,
        /// HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
    /// Something has to happen first.
    #[error("not yet: {what}")]
    Waiting {
        /// What has to happen.
        what: String,
    },
    /// The API server could not be reached, or its answer not be read.
    #[error("the cluster could not {action}: {message}")]
    Unreachable {
        /// What was tried.
        action: String,
        /// Why.
        message: String,
    },
}

impl ClusterError {
    /// What a client of Kubernetes says of an action.
    #[must_use]
    pub fn of(action: &str, error: kube::Error) -> Self {
        let action = action.to_owned();
        match error {
            kube::Error::Api(status) => {
                let Status { message, code, reason, .. } = *status;
                let message = if message.is_empty() { reason } else { message };
                Self::Refused { action, code, message }
            }
            other => Self::Unreachable { action, message: causes(&other) },
        }
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

/// What to do about what an API server says.
fn hint(message: &str) -> &'static str {
    if message.contains("exceeded quota") {
        "; wait for other builds, or have the quota raised"
    } else if message.contains("violates PodSecurity") {
        "; set `pod_security` of the profile to what the namespace enforces"
    } else if message.contains("namespaces") && message.contains("not found") {
        "; make the namespace, or set `namespace` of the profile"
    } else {
        ""
    }
}

/// An error with everything that led to it: the first says only that a request failed.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
