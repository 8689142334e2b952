//! How forges are told of a commit's status.
//!
//! GitHub: `POST /repos/{owner}/{repo}/statuses/{sha}` of its REST API; GitLab: `POST
//! /projects/:id/statuses/:sha` of its commits API; Gitea: `POST /repos/{owner}/{repo}/statuses/{sha}` of its
//! API. All as documented; none was tried against a live one.

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::message::{CommitState, CommitStatus};
use crate::forges::{Forge, ForgeKind};
use crate::rest::encode;

/// A request to a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRequest {
    /// Where to.
    pub url: String,
    /// What.
    pub body: Value,
    /// Its headers, but for the one with the token.
    pub headers: Vec<(reqwest::header::HeaderName, &'static str)>,
}

/// The request for a status.
#[must_use]
pub fn status(forge: &Forge, status: &CommitStatus) -> Option<StatusRequest> {
    let api = forge.api();
    let mut body = json!({"description": status.description});
    if !status.url.is_empty() {
        body["target_url"] = json!(status.url);
    }
    let mut headers = vec![(CONTENT_TYPE, "application/json")];
    let repository = |separator: &str| {
        let mut encoded = String::new();
        for (index, part) in status.repository.split('/').enumerate() {
            if index > 0 {
                encoded.push_str(separator);
            }
            encode(part, &mut encoded);
        }
        encoded
    };
    let commit = &status.commit;
    let url = match forge.spec.kind {
        ForgeKind::Github | ForgeKind::Gitea => {
            body["context"] = json!(status.context);
            body["state"] = json!(match status.state {
                CommitState::Pending | CommitState::Running => "pending",
                CommitState::Success => "success",
                CommitState::Failure => "failure",
                CommitState::Cancelled | CommitState::Error => "error",
            });
            if forge.spec.kind == ForgeKind::Github {
                headers.push((ACCEPT, "application/vnd.github+json"));
            }
            format!("{api}/repos/{}/statuses/{commit}", repository("/"))
        }
        ForgeKind::Gitlab => {
            body["name"] = json!(status.context);
            body["state"] = json!(match status.state {
                CommitState::Pending => "pending",
                CommitState::Running => "running",
                CommitState::Success => "success",
                CommitState::Failure | CommitState::Error => "failed",
                CommitState::Cancelled => "canceled",
            });
            format!("{api}/projects/{}/statuses/{commit}", repository("%2F"))
        }
        ForgeKind::Git => return None,
    };
    Some(StatusRequest { url, body, headers })
}

/// The header with the token of a forge; it is not shown in logs.
#[must_use]
pub fn token(forge: &Forge) -> Option<(&'static str, HeaderValue)> {
    let token = forge.token.as_ref()?;
    let (name, text) = match forge.spec.kind {
        ForgeKind::Github => ("authorization", format!("Bearer {}", token.as_str())),
        ForgeKind::Gitea => ("authorization", format!("token {}", token.as_str())),
        ForgeKind::Gitlab => ("private-token", token.to_string()),
        ForgeKind::Git => return None,
    };
    let mut value = HeaderValue::from_str(&zeroize::Zeroizing::new(text)).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}
