//! A client of the service's own operations.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::Value;
use zeroize::Zeroizing;

use super::ServiceArguments;
use crate::error::BridgeError;
use crate::rest::{RestError, read_token, tls_client_config};

/// Where a service listens unless told otherwise.
const HERE: &str = "http://127.0.0.1:8089";
/// The variable with the address of the service.
const URL_VARIABLE: &str = "PILOTFISH_URL";
/// The variable with the token.
const TOKEN_VARIABLE: &str = "PILOTFISH_TOKEN";
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the service itself gives a request.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Tries of one request. With the pauses between them a replica that was killed is replaced meanwhile.
const TRIES: u32 = 6;
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 64 << 20;

/// A running service.
pub(super) struct Bridge {
    http: reqwest::Client,
    url: String,
}

/// An answer.
pub(super) struct Reply {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Bridge {
    pub fn connect(arguments: &ServiceArguments) -> Result<Self, BridgeError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let url = arguments.url.clone().or_else(|| variable(URL_VARIABLE));
        let url = url.unwrap_or_else(|| HERE.to_owned());
        let setup = |what: &str, reason: String| RestError::Setup { what: what.to_owned(), reason };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            let reason = "expected http://host:port or https://host".to_owned();
            return Err(setup(&format!("address `{url}`"), reason).into());
        }
        let token = match &arguments.token_file {
            Some(file) => Some(read_token(file)?),
            None => variable(TOKEN_VARIABLE).map(Zeroizing::new),
        };
        let token = token.ok_or_else(|| {
            let reason = format!("give --token-file, or the variable {TOKEN_VARIABLE}");
            setup("access token", reason)
        })?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| setup("access token", "it has characters that no token has".to_owned()))?;
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_client_config(&arguments.ca_file)?)
            .user_agent(concat!("pilotfish-bridge/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .connect_timeout(CONNECT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| setup("HTTP client", error.to_string()))?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// The JSON of an operation that changes nothing.
    pub async fn get(&self, path: &str) -> Result<Value, BridgeError> {
        self.json(|| self.http.get(format!("{}{path}", self.url))).await
    }

    /// The JSON of an operation that may be done again: it has a key, or doing it twice is as doing it once.
    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value, BridgeError> {
        self.json(|| {
            let request = self.http.post(format!("{}{path}", self.url));
            let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
            match key {
                Some(key) => request.header("Idempotency-Key", key),
                None => request,
            }
        })
        .await
    }

    /// Posts each of several, by name. One that is refused keeps none of the others; all refusals are told at once.
    pub async fn post_each(
        &self,
        path: &str,
        all: impl ExactSizeIterator<Item = (String, Value)>,
    ) -> Result<Vec<Value>, BridgeError> {
        let count = all.len();
        let (mut kept, mut refused) = (Vec::new(), String::new());
        for (name, body) in all {
            match self.post(path, &body, None).await {
                Ok(answer) => kept.push(answer),
                Err(BridgeError::Service { status: Some(400..=499), message }) => {
                    let _ = write!(refused, "\n{name}: {message}");
                }
                Err(error) => return Err(error),
            }
        }
        if refused.is_empty() {
            return Ok(kept);
        }
        let message = format!("{} of {count} kept:{refused}", kept.len());
        Err(self.failed(Some(422), message))
    }

    async fn json(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Value, BridgeError> {
        let reply = self.patiently(request).await?;
        serde_json::from_slice(&reply.body)
            .map_err(|error| self.failed(None, format!("it sent no JSON: {error}")))
    }

    /// One try, whole or not at all.
    pub async fn text(&self, path: &str) -> Result<Reply, BridgeError> {
        self.once(self.http.get(format!("{}{path}", self.url))).await.map_err(|(error, _)| error)
    }

    /// Tries again where that may help.
    async fn patiently(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Reply, BridgeError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.once(request()).await {
                Err((_, Some(wait))) if tried < TRIES => {
                    tokio::time::sleep(wait.max(Duration::from_millis(250 << tried))).await;
                }
                done => return done.map_err(|(error, _)| error),
            }
        }
    }

    async fn once(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Reply, (BridgeError, Option<Duration>)> {
        let broken = |error: reqwest::Error| {
            let error = crate::rest::causes(&error);
            let message = format!("{}: {error}. Check --url", self.url);
            (BridgeError::Service { status: None, message }, Some(Duration::ZERO))
        };
        let mut response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if body.len() + piece.len() > ANSWER_BYTES {
                let message = format!("it sent more than {ANSWER_BYTES} bytes");
                return Err((self.failed(Some(status.as_u16()), message), None));
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            return Ok(Reply { headers, body });
        }
        let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let again = matches!(status.as_u16(), 429 | 503)
            .then(|| Duration::from_secs(asked.unwrap_or(1).min(10)));
        Err((self.failed(Some(status.as_u16()), problem(&body)), again))
    }

    fn failed(&self, status: Option<u16>, message: String) -> BridgeError {
        BridgeError::Service { status, message: format!("{}: {message}", self.url) }
    }
}

/// What the service says of a refusal.
fn problem(body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Value>(body) else {
        return "what answers there is no pilotfish-bridge. Check --url".to_owned();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told = text(&problem["detail"]);
    for error in problem["errors"].as_array().into_iter().flatten() {
        told.push_str(&format!("\n  {}: {}", text(&error["path"]), text(&error["message"])));
    }
    told
}
