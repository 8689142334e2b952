//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::store::StoreError;
use crate::error::{BridgeError, Problem as Found};
use crate::rest::RestError;

/// Starts the type of every problem. Types are names that stay the same, not addresses.
const TYPES: &str = "urn:pilotfish:problem:";
/// When to try again what the service could not do.
const RETRY_SECONDS: u64 = 2;

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Which kind of problem: a URN that stays the same.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and what to do next.
    pub detail: String,
    /// Everything that is wrong with the input, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<InputError>,
    /// Seconds after which to try again; goes into a header.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// One thing that is wrong with the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputError {
    /// Where: a parameter, or a path in the catalog.
    pub path: String,
    /// What is wrong, and what would be accepted.
    pub message: String,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPES}{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// The request cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood", detail)
    }

    /// No token, or one that is not good.
    pub fn unauthorised(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token", "A valid token is needed", detail)
    }

    /// A token that is good for something else.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail)
    }

    /// Not there, or not for this caller.
    pub fn missing(what: &str) -> Self {
        let detail = format!("there is no such {what}, or this token may not see it");
        Self::new(StatusCode::NOT_FOUND, "missing", "Not found", detail)
    }

    /// It contradicts what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "This contradicts what is there", detail)
    }

    /// A key was used for another request before.
    pub fn key_reused() -> Self {
        let detail = "this Idempotency-Key was used for another request; use a new one for each";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "key-reused", "The idempotency key is taken", detail)
    }

    /// The body is too large.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("a request may have {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// The token makes too many requests.
    pub fn too_many(wait: Duration) -> Self {
        // A fraction of a second is told as a whole one: the header has no less.
        let seconds = wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        let detail = format!("this token makes too many requests; go on after {seconds} s");
        let status = StatusCode::TOO_MANY_REQUESTS;
        let problem = Self::new(status, "too-many", "Too many requests", detail);
        Self { retry_after: Some(seconds), ..problem }
    }

    /// Not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Self::new(status, "unavailable", "Not available now", detail);
        Self { retry_after: Some(RETRY_SECONDS), ..problem }
    }

    /// It took too long.
    pub fn too_slow() -> Self {
        let detail = "the request was given up; try again with the same Idempotency-Key";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Self::new(status, "too-slow", "It took too long", detail);
        Self { retry_after: Some(RETRY_SECONDS), ..problem }
    }

    /// A job is refused.
    pub fn job(found: &[Found]) -> Self {
        let detail = "nothing was kept; each error says what would be accepted";
        Self::refused("job", "The job is refused", detail, found)
    }

    /// A master is refused.
    pub fn master(found: &[Found]) -> Self {
        let detail = "nothing was kept; each error says what would be accepted";
        Self::refused("master", "The master is refused", detail, found)
    }

    /// The plan is refused.
    fn refused(kind: &str, title: &str, detail: &str, found: &[Found]) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, detail);
        problem.errors = found
            .iter()
            .map(|one| InputError {
                path: match one.file.as_str() {
                    "" => one.path.clone(),
                    file => format!("{file}: {}", one.path),
                },
                message: one.message.clone(),
            })
            .collect();
        problem
    }
}

impl From<BridgeError> for Problem {
    fn from(error: BridgeError) -> Self {
        match &error {
            BridgeError::Parameters(found) => Self::refused(
                "parameters",
                "Parameters are refused",
                "nothing was planned; each error says what would be accepted",
                found,
            ),
            BridgeError::Overrides(found) => Self::refused(
                "overrides",
                "Overrides are refused",
                "the Jenkinsfile may change only what the rule and the pipeline leave open",
                found,
            ),
            BridgeError::Plan(found) => Self::refused(
                "plan",
                "There is no plan",
                "each error says why; `pilotfish-bridge plan --explain` shows the rules",
                found,
            ),
            BridgeError::Profile(found) => Self::refused(
                "pod",
                "There is no pod for this plan",
                "each error says what the cluster cannot give and what would be accepted",
                found,
            ),
            BridgeError::Unknown { .. } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "unknown-name", "An unknown name", error.to_string())
            }
            BridgeError::Catalog(found) => {
                let mut problem = Self::refused(
                    "catalog",
                    "The catalog has errors",
                    "the owner of the catalog must mend it; `pilotfish-bridge lint` shows how",
                    found,
                );
                problem.status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
                problem
            }
            _ => Self::internal(&error),
        }
    }
}

impl Problem {
    /// Something that is no fault of the caller. The reason is for the log, not for the answer.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        let detail = "the service failed; its log says why. Try again later";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed", detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => {
                tracing::warn!("the database was busy for too long");
                Self::unavailable("the database is busy; try again")
            }
            other => Self::internal(&other),
        }
    }
}

impl From<RestError> for Problem {
    fn from(error: RestError) -> Self {
        let status = match &error {
            RestError::Missing { .. } => StatusCode::NOT_FOUND,
            RestError::Slow { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, "controller", "The controller could not be read", error.to_string())
    }
}

impl std::fmt::Display for Problem {
    /// In one line, for reasons of builds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        for error in &self.errors {
            write!(f, "; {}: {}", error.path, error.message)?;
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
