//! One answer of a controller, and what it means when it is not the one that was asked for.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, LOCATION};
use serde::{Deserialize, Serialize};

use crate::rest::error::RestError;

/// The most bytes of an HTML page that are looked at for its title.
const TITLE_WITHIN: usize = 64 << 10;
/// The most characters of foreign text in a message.
const FOREIGN_CHARACTERS: usize = 200;

/// What an answer said about its version, for the next request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validators {
    /// `ETag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether there is nothing to ask by. A bare controller gives neither header; caches and
    /// proxies in front of one do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// A good answer.
pub struct Answer {
    /// What was asked for.
    pub url: String,
    /// The whole body.
    pub body: Vec<u8>,
    /// Its version.
    pub validators: Validators,
    /// What the controller says of its own version.
    pub jenkins_version: Option<String>,
}

/// An answer to a question that may have the same answer as before.
pub enum Conditional {
    /// The same as before.
    Same,
    /// Another one.
    New(Answer),
}

impl std::fmt::Debug for Answer {
    // The body may be a `config.xml`, which may hold anything: it is in no message.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Answer");
        debug.field("url", &self.url).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.body);
    }
}

/// What is known about a failed request.
pub(super) struct Failure<'a> {
    pub url: String,
    pub user: &'a str,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub tries: u32,
    pub retry_after: Option<Duration>,
}

pub(super) fn text(headers: &HeaderMap, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn validators(headers: &HeaderMap) -> Validators {
    Validators {
        etag: text(headers, ETAG).map(str::to_owned),
        last_modified: text(headers, LAST_MODIFIED).map(str::to_owned),
    }
}

impl Failure<'_> {
    pub(super) fn error(&self) -> RestError {
        let url = self.url.clone();
        let user = self.user.to_owned();
        let wait = self
            .retry_after
            .map_or_else(String::new, |wait| format!(" (it asks to wait {} s)", wait.as_secs()));
        match self.status.as_u16() {
            401 => RestError::Login { url, user },
            403 => RestError::Forbidden { url, user, reason: self.forbidden() },
            404 => RestError::Missing { url, user },
            429 => RestError::TooMany { url, tries: self.tries, wait },
            502..=504 => RestError::Unavailable {
                url,
                status: self.status.as_u16(),
                tries: self.tries,
                wait,
                reason: self.reason(),
            },
            300..=399 => RestError::Redirected { url, to: self.place() },
            status => RestError::Status { url, status, reason: self.reason() },
        }
    }

    /// Where a redirect leads, without what stands after `?`: login pages put state there.
    fn place(&self) -> String {
        let place = text(self.headers, LOCATION).unwrap_or("nowhere");
        printable(place.split(['?', '#']).next().unwrap_or_default())
    }

    /// The controller names the permission that is missing in a header.
    fn forbidden(&self) -> String {
        if let Some(permission) = text(self.headers, "x-required-permission") {
            return format!(
                "it needs the permission {}. Give it to the user, or use another one",
                printable(permission)
            );
        }
        let reason = self.reason();
        if reason.contains("crumb") {
            return format!("{reason}. Use an API token: it needs no crumb");
        }
        format!("{reason}. Give the user Overall/Read and Job/Read, or use another one")
    }

    /// What the controller says: its `X-Error` header, else the title of the page.
    pub(super) fn reason(&self) -> String {
        if let Some(error) = text(self.headers, "x-error") {
            return printable(error);
        }
        title(self.body)
            .unwrap_or_else(|| self.status.canonical_reason().unwrap_or("no reason").to_owned())
    }
}

/// Whether the type of an answer is the one that was asked for.
pub(super) fn is_expected(headers: &HeaderMap, expected: &'static str) -> bool {
    let content_type = text(headers, CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let media = content_type.split(';').next().unwrap_or_default().trim();
    match expected {
        "JSON" => media == "application/json",
        "XML" => matches!(media, "application/xml" | "text/xml"),
        _ => true,
    }
}

pub(super) fn not_the_api(
    url: &str,
    headers: &HeaderMap,
    body: &[u8],
    expected: &'static str,
) -> RestError {
    RestError::NotTheApi {
        url: url.to_owned(),
        expected,
        content_type: text(headers, CONTENT_TYPE).map_or_else(
            || "no type".to_owned(),
            |kind| match kind.split(';').next() {
                Some("text/html") => "HTML".to_owned(),
                other => printable(other.unwrap_or_default()),
            },
        ),
        title: title(body).map_or_else(String::new, |title| format!(", titled `{title}`")),
    }
}

/// The title of an HTML page.
fn title(body: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(&body[..body.len().min(TITLE_WITHIN)]);
    let lower = start.to_ascii_lowercase();
    let from = lower.find("<title")?;
    let from = from + lower[from..].find('>')? + 1;
    let to = from + lower[from..].find("</title")?;
    let title = printable(start[from..to].trim());
    (!title.is_empty()).then_some(title)
}

/// Foreign text for a message: one line, no control characters, not long.
pub(super) fn printable(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|one| if one.is_control() { ' ' } else { one })
        .take(FOREIGN_CHARACTERS)
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_and_made_printable() {
        assert_eq!(
            title(b"<HTML><Title lang=de>Log\n in\x1b[31m</TITLE>"),
            Some("Log in [31m".into())
        );
        assert_eq!(title(b"<title>"), None);
        assert_eq!(title(b""), None);
        assert_eq!(title("<title>Größe</title>".as_bytes()), Some("Größe".into()));
    }
}
