//! What is taken out of a request: the caller, the body, the idempotency key.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::service::audit;
use crate::service::auth::{Caller, sha256_hex};
use crate::service::problem::Problem;
use crate::service::state::Service;
use crate::service::store::KeyState;

/// The most characters of an idempotency key.
const KEY_CHARACTERS: usize = 255;

/// Somebody with a good token.
pub struct Authenticated(pub Caller);

impl FromRequestParts<Arc<Service>> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Problem> {
        let header = match parts.headers.get(AUTHORIZATION) {
            Some(value) => {
                Some(value.to_str().map_err(|_| Problem::unauthorised("no such token"))?)
            }
            None => None,
        };
        let caller = Caller::of(header, &service.access, &service.build_tokens, service.now())?;
        Self::within_rate(service, caller)
    }
}

impl Authenticated {
    /// A caller whose token is good, if it has not asked for too much lately.
    ///
    /// # Errors
    /// 429.
    pub fn within_rate(service: &Service, caller: Caller) -> Result<Self, Problem> {
        service.rates.take(&caller, Instant::now()).map_err(|wait| {
            service.metrics.limited.fetch_add(1, Relaxed);
            Problem::too_many(wait)
        })?;
        audit::caller(&caller.name());
        Ok(Self(caller))
    }
}

/// A token that somebody else has to know.
pub struct Bearer(pub String);

impl FromRequestParts<Arc<Service>> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Service>) -> Result<Self, Problem> {
        text(&parts.headers, AUTHORIZATION.as_str())
            .and_then(|text| text.strip_prefix("Bearer "))
            .filter(|token| !token.is_empty())
            .map(|token| Self(token.to_owned()))
            .ok_or_else(|| Problem::unauthorised("send `Authorization: Bearer` with a token"))
    }
}

/// A body, with what is needed to know the same request again.
pub struct Input<T> {
    /// The body.
    pub value: T,
    /// SHA-256 of its bytes, as `sha256:` and hexadecimal digits.
    pub digest: String,
    key: Option<String>,
    /// The path that it was sent to.
    path: String,
}

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let content_type = text(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        if content_type.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Problem::malformed("send JSON, with `Content-Type: application/json`"));
        }
        let key = text(&parts.headers, "idempotency-key").map(str::to_owned);
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_CHARACTERS) {
            return Err(Problem::malformed("an Idempotency-Key has 1 to 255 characters"));
        }
        let limit = service.options.request_bytes;
        let bytes = to_bytes(Body::new(body), limit).await.map_err(|error| {
            use std::error::Error as _;
            let too_large = error
                .source()
                .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
            if too_large {
                Problem::too_large(limit)
            } else {
                Problem::malformed("the request broke off")
            }
        })?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::malformed(error.to_string()))?;
        let digest = format!("sha256:{}", sha256_hex(&bytes));
        Ok(Self { value, digest, key, path: parts.uri.path().to_owned() })
    }
}

impl<T> Input<T> {
    /// What came from a form of a page. A form has no idempotency key.
    pub fn of_form(value: T) -> Self {
        Self { value, digest: String::new(), key: None, path: String::new() }
    }

    /// The idempotency key, where one came.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Makes sure that a key stands for one request only. The operations themselves give the same
    /// answer to the same request, so nothing of an answer is kept.
    ///
    /// # Errors
    /// 422 for a key of another request.
    pub async fn take_key(&self, service: &Service, caller: &Caller) -> Result<(), Problem> {
        let Some(key) = &self.key else { return Ok(()) };
        let now = service.now_signed();
        let request = format!("{} {}", self.path, self.digest);
        match service.store.take_key(&caller.subject(), key, &request, now).await? {
            KeyState::Fresh | KeyState::Same => Ok(()),
            KeyState::Other => Err(Problem::key_reused()),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
