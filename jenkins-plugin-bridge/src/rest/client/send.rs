//! Sending: one request, tried again where another try may go better.

use std::error::Error as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, RETRY_AFTER, SET_COOKIE,
};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::answer::{self, Answer, Conditional, Failure, Validators};
use super::{ANSWER_BYTES, Client};
use crate::rest::error::RestError;
use crate::rest::retry::retry_after;

/// The most pieces of a chain of causes in a message.
const CAUSES: usize = 6;

/// A crumb: proof that a form was made by the controller
/// (`hudson.security.csrf.DefaultCrumbIssuer`). It holds for one session.
#[derive(Deserialize)]
struct Crumb {
    crumb: String,
    #[serde(rename = "crumbRequestField")]
    field: String,
}

/// An answer, whatever its status.
pub(super) struct Raw {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

pub(super) enum Trouble {
    Slow,
    Broken(String),
    TooLarge,
}

impl Client {
    /// A request that changes nothing.
    pub(super) async fn get(
        &self,
        url: Url,
        expected: &'static str,
        known: Option<&Validators>,
        patient: bool,
    ) -> Result<Conditional, RestError> {
        let mut headers = HeaderMap::new();
        let accept = if expected == "JSON" { "application/json" } else { "application/xml" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let known = known.filter(|known| !known.is_empty());
        for (name, value) in known.into_iter().flat_map(|known| {
            [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)]
        }) {
            if let Some(Ok(value)) = value.as_deref().map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        }
        let mut tries = 0;
        loop {
            tries += 1;
            if tries > 1 {
                self.retries.fetch_add(1, Relaxed);
            }
            let outcome = {
                // The place is given back while waiting: others may go on.
                let _place = self.places.acquire().await;
                self.once(Method::GET, url.clone(), headers.clone(), None).await
            };
            let (error, asked, again) = match outcome {
                Ok(raw) => match self.judge(&url, raw, expected, known.is_some(), tries) {
                    Ok(good) => return Ok(good),
                    Err((error, asked, again)) => (error, asked, again),
                },
                Err(trouble) => (self.trouble(&url, trouble, tries), None, true),
            };
            // Asking for the same huge answer again would only load the controller once more.
            let again = again
                && !matches!(error, RestError::TooLarge { .. })
                && (patient || !error.is_too_much_at_once());
            match again.then(|| self.retry.wait(tries, asked)).flatten() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    /// A request that changes something. It is made once: whether a broken one had its effect is
    /// not known. A crumb is fetched when the controller asks for one.
    pub(in crate::rest) async fn post(
        &self,
        path: &str,
        form: &[(String, String)],
    ) -> Result<(StatusCode, HeaderMap), RestError> {
        let url = self.url(path)?;
        let mut query = url.clone();
        query.query_pairs_mut().clear().extend_pairs(form);
        let body = query.query().unwrap_or_default().to_owned();
        self.post_body(path, "application/x-www-form-urlencoded", body).await
    }

    /// The same with a body of this type.
    pub(in crate::rest) async fn post_body(
        &self,
        path: &str,
        content_type: &'static str,
        body: String,
    ) -> Result<(StatusCode, HeaderMap), RestError> {
        let url = self.url(path)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let mut raw = self.post_once(&url, headers.clone(), &body).await?;
        if raw.status == StatusCode::FORBIDDEN
            && self.failure(&url, &raw, 1).reason().contains("crumb")
        {
            self.add_crumb(&mut headers).await?;
            raw = self.post_once(&url, headers, &body).await?;
        }
        // 302 leads to the page of what was changed: `hudson.model.AbstractProject.doBuild`. 303 leads to
        // an equal item that waits already (`hudson.model.ParameterizedJobMixIn.doBuildWithParameters`).
        if raw.status.is_success()
            || matches!(raw.status, StatusCode::FOUND | StatusCode::SEE_OTHER)
        {
            return Ok((raw.status, raw.headers));
        }
        Err(self.failure(&url, &raw, 1).error())
    }

    /// A piece of a text that grows, with the headers of the answer. It is asked for once.
    pub(in crate::rest) async fn text(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<(HeaderMap, Vec<u8>), RestError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let raw = self.get_once(&url).await?;
        Ok((raw.headers, raw.body))
    }

    /// What a page answers to one request of this method, whatever that is. Nothing of the page is read.
    pub(in crate::rest) async fn answer_of(
        &self,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, Option<String>), RestError> {
        let url = self.url(path)?;
        let _place = self.places.acquire().await;
        let raw = self
            .once(method, url.clone(), HeaderMap::new(), None)
            .await
            .map_err(|trouble| self.trouble(&url, trouble, 1))?;
        let lacks = answer::text(&raw.headers, "x-required-permission").map(answer::printable);
        if raw.status == StatusCode::UNAUTHORIZED || raw.status.is_server_error() {
            return Err(self.failure(&url, &raw, 1).error());
        }
        Ok((raw.status, lacks))
    }

    /// One try, and a success.
    async fn get_once(&self, url: &Url) -> Result<Raw, RestError> {
        let raw = {
            let _place = self.places.acquire().await;
            self.once(Method::GET, url.clone(), HeaderMap::new(), None)
                .await
                .map_err(|trouble| self.trouble(url, trouble, 1))?
        };
        if raw.status.is_success() { Ok(raw) } else { Err(self.failure(url, &raw, 1).error()) }
    }

    async fn post_once(&self, url: &Url, headers: HeaderMap, body: &str) -> Result<Raw, RestError> {
        let _place = self.places.acquire().await;
        self.once(Method::POST, url.clone(), headers, Some(body.to_owned()))
            .await
            .map_err(|trouble| self.trouble(url, trouble, 1))
    }

    /// A crumb and the session that it holds for.
    async fn add_crumb(&self, headers: &mut HeaderMap) -> Result<(), RestError> {
        let url = self.url("crumbIssuer/api/json")?;
        let raw = self.get_once(&url).await?;
        if !answer::is_expected(&raw.headers, "JSON") {
            return Err(answer::not_the_api(&shown(&url), &raw.headers, &raw.body, "JSON"));
        }
        let malformed = |reason: String| RestError::Malformed { url: url.to_string(), reason };
        let crumb: Crumb = serde_json::from_slice(&raw.body)
            .map_err(|error| malformed(format!("this is no crumb: {error}")))?;
        let name = reqwest::header::HeaderName::from_bytes(crumb.field.as_bytes())
            .map_err(|_| malformed("the crumb's field cannot be a header".to_owned()))?;
        let value = HeaderValue::from_str(&crumb.crumb)
            .map_err(|_| malformed("the crumb cannot be the value of a header".to_owned()))?;
        headers.insert(name, value);
        let session: Vec<&str> = raw
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
            .collect();
        if let Ok(mut value) = HeaderValue::from_str(&session.join("; "))
            && !session.is_empty()
        {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
        Ok(())
    }

    /// One try, with its whole answer.
    async fn once(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Option<String>,
    ) -> Result<Raw, Trouble> {
        self.requests.fetch_add(1, Relaxed);
        self.last_minute.add(std::time::Instant::now());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let mut request = self.http.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(|error| Trouble::of(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > ANSWER_BYTES) {
            return Err(Trouble::TooLarge);
        }
        let mut body = Vec::with_capacity(announced.unwrap_or(0));
        while let Some(piece) = response.chunk().await.map_err(|error| Trouble::of(&error))? {
            if body.len() + piece.len() > ANSWER_BYTES {
                return Err(Trouble::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Raw { status, headers, body })
    }

    /// Whether an answer is the one that was asked for, and if not, whether another try may help.
    fn judge(
        &self,
        url: &Url,
        raw: Raw,
        expected: &'static str,
        conditional: bool,
        tries: u32,
    ) -> Result<Conditional, (RestError, Option<Duration>, bool)> {
        if raw.status == StatusCode::NOT_MODIFIED && conditional {
            return Ok(Conditional::Same);
        }
        if !raw.status.is_success() {
            let failure = self.failure(url, &raw, tries);
            let again = matches!(raw.status.as_u16(), 429 | 502..=504);
            return Err((failure.error(), failure.retry_after, again));
        }
        if !answer::is_expected(&raw.headers, expected) {
            let error = answer::not_the_api(&shown(url), &raw.headers, &raw.body, expected);
            return Err((error, None, false));
        }
        Ok(Conditional::New(Answer {
            url: shown(url),
            validators: answer::validators(&raw.headers),
            jenkins_version: answer::text(&raw.headers, "x-jenkins").map(str::to_owned),
            body: raw.body,
        }))
    }

    pub(super) fn failure<'a>(&'a self, url: &Url, raw: &'a Raw, tries: u32) -> Failure<'a> {
        let asked = answer::text(&raw.headers, RETRY_AFTER)
            .and_then(|text| retry_after(text, SystemTime::now()));
        Failure {
            url: shown(url),
            user: &self.user,
            status: raw.status,
            headers: &raw.headers,
            body: &raw.body,
            tries,
            retry_after: asked,
        }
    }

    pub(super) fn trouble(&self, url: &Url, trouble: Trouble, tries: u32) -> RestError {
        let url = shown(url);
        match trouble {
            Trouble::Slow => RestError::Slow { url, limit: self.timeout, tries },
            Trouble::Broken(reason) => RestError::Unreachable { url, reason, tries },
            Trouble::TooLarge => RestError::TooLarge { url, limit: ANSWER_BYTES },
        }
    }
}

impl Trouble {
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() && !error.is_connect() {
            return Self::Slow;
        }
        Self::Broken(chain(error))
    }
}

/// An address for messages. What stands after `?` says nothing to a reader.
pub(super) fn shown(url: &Url) -> String {
    url.as_str().split('?').next().unwrap_or_default().to_owned()
}

/// An error with its causes. The address is left out: the message around it has it.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = error.source();
    while let Some(one) = cause.take_if(|_| words.len() < CAUSES) {
        let text = one.to_string();
        if !words.contains(&text) {
            words.push(text);
        }
        cause = one.source();
    }
    if words.is_empty() {
        return if error.is_builder() { "it cannot be used" } else { "the connection broke" }
            .to_owned();
    }
    words.join(": ")
}
