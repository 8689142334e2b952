//! Logging in, at the identity provider or with a token, and out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use minijinja::context;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::render::{page as rendered, refused};
use super::visitor::Visitor;
use crate::service::audit::{self, Peer};
use crate::service::auth::{Scope, sha256_hex};
use crate::service::oidc::{OidcError, Person};
use crate::service::problem::Problem;
use crate::service::session::{
    self, LOGIN_COOKIE, SESSION_COOKIE, cookie, is_own_form, secret, set_cookie,
};
use crate::service::state::Service;
use crate::service::store::LoginRow;

/// How long a person may take at the identity provider, in seconds.
const LOGIN_SECONDS: u64 = 600;
/// The most bytes of a path to come back to.
const NEXT_BYTES: usize = 500;

type App = State<Arc<Service>>;

/// Where to go after logging in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NextQuery {
    next: String,
}

/// The form with a token.
#[derive(Deserialize)]
pub struct TokenForm {
    token: String,
    #[serde(default)]
    next: String,
}

/// The form that logs out.
#[derive(Debug, Deserialize)]
pub struct EndForm {
    csrf: String,
}

/// What the identity provider sends back.
#[derive(Deserialize)]
pub struct CallbackQuery {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// A path of this service, and never another place.
fn own_path(next: &str) -> &str {
    let good = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.len() <= NEXT_BYTES
        && !next.chars().any(char::is_control);
    if good { next } else { "/" }
}

fn form(service: &Service, next: &str, failure: Option<String>) -> Response {
    rendered(
        "login.html",
        None,
        context! {
            title => "Log in",
            next => own_path(next),
            has_provider => service.login.is_some(),
            failure => failure,
        },
    )
}

pub async fn page(
    State(service): App,
    headers: HeaderMap,
    Query(query): Query<NextQuery>,
) -> Result<Response, Response> {
    let known = session::of(&service, &headers).await.map_err(|one| refused(None, &one))?;
    if known.is_some() {
        return Ok(Redirect::to(own_path(&query.next)).into_response());
    }
    Ok(form(&service, &query.next, None))
}

/// The address that tries to log in are counted by.
fn counted(service: &Service, headers: &HeaderMap, peer: Option<Peer>) -> IpAddr {
    let own = peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address.ip());
    audit::origin(service, headers, peer).parse().unwrap_or(own)
}

pub async fn with_token(
    State(service): App,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(TokenForm { token, next }): Form<TokenForm>,
) -> Result<Response, Response> {
    let token = Zeroizing::new(token);
    let peer = peer.map(|Extension(peer)| peer);
    let address = counted(&service, &headers, peer);
    service.login_tries.take(address, Instant::now()).map_err(|one| refused(None, &one))?;
    if !is_own_form(&headers) {
        let problem = Problem::forbidden("this form was sent by another site");
        return Err(refused(None, &problem));
    }
    audit::acts("log in", "with a token");
    let next = own_path(&next);
    let Some(token) = service.access.find(token.trim(), service.now()) else {
        let failure = "this token is not known, or has ended".to_owned();
        let mut response = form(&service, next, Some(failure));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Err(response);
    };
    audit::caller(&token.name);
    if !token.can(Scope::BuildsRead) && !token.can(Scope::MastersRead) {
        let failure = format!(
            "the token {} is for machines: pages need one with a role, or with builds:read",
            token.name
        );
        let mut response = form(&service, next, Some(failure));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return Err(response);
    }
    let begun = session::begin(&service, &token.name, Some(token.sha256.clone()), None).await;
    let secret = begun.map_err(|one| refused(None, &one))?;
    Ok(entered(&service, &secret, next))
}

/// Sends somebody in who has just logged in.
fn entered(service: &Service, secret: &str, next: &str) -> Response {
    let mut response = Redirect::to(next).into_response();
    let seconds = service.options.keep_sessions.as_secs();
    if let Some(value) = set_cookie(SESSION_COOKIE, secret, seconds) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// Sends a browser to the identity provider.
pub async fn start(
    State(service): App,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Query(query): Query<NextQuery>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(None, &problem);
    let Some(provider) = &service.login else {
        return Err(stop(Problem::missing("identity provider")));
    };
    let address = counted(&service, &headers, peer.map(|Extension(peer)| peer));
    service.login_tries.take(address, Instant::now()).map_err(stop)?;
    let (own, state, nonce, verifier) = (
        secret().map_err(stop)?,
        secret().map_err(stop)?,
        secret().map_err(stop)?,
        secret().map_err(stop)?,
    );
    let begun = provider
        .begin(&state, &nonce, verifier)
        .await
        .map_err(|error| failed(&service, &query.next, &error))?;
    let now = service.now_signed();
    let row = LoginRow {
        digest: sha256_hex(&own),
        state,
        nonce,
        verifier: begun.verifier,
        next: own_path(&query.next).to_owned(),
        expires_at: now.saturating_add(i64::try_from(LOGIN_SECONDS).unwrap_or(0)),
    };
    service.store.add_login(&row, now).await.map_err(|error| stop(error.into()))?;
    let mut response = Redirect::to(&begun.address).into_response();
    if let Some(value) = set_cookie(LOGIN_COOKIE, &own, LOGIN_SECONDS) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(response)
}

fn failed(service: &Service, next: &str, error: &OidcError) -> Response {
    tracing::warn!(%error, "nobody was logged in");
    let mut response = form(service, next, Some(error.to_string()));
    *response.status_mut() = match error {
        OidcError::Provider(_) => StatusCode::BAD_GATEWAY,
        OidcError::NoRole { .. } => StatusCode::FORBIDDEN,
        OidcError::Refused(_) | OidcError::Token(_) => StatusCode::UNAUTHORIZED,
    };
    response
}

/// Takes a browser that comes back from the identity provider.
pub async fn callback(
    State(service): App,
    headers: HeaderMap,
    Query(query): Query<CallbackQuery>,
) -> Result<Response, Response> {
    audit::acts("log in", "at the identity provider");
    let mut answered = match finish(&service, &headers, &query).await {
        Ok((person, next)) => {
            audit::caller(&person.name);
            let begun = session::begin(&service, &person.name, None, Some(person.role)).await;
            let secret = begun.map_err(|one| refused(None, &one))?;
            entered(&service, &secret, &next)
        }
        Err(response) => response,
    };
    if let Some(value) = set_cookie(LOGIN_COOKIE, "", 0) {
        answered.headers_mut().append(SET_COOKIE, value);
    }
    Ok(answered)
}

async fn finish(
    service: &Service,
    headers: &HeaderMap,
    query: &CallbackQuery,
) -> Result<(Person, String), Response> {
    let stale = || {
        let words = "this login was not begun by this browser, or took too long; try again";
        let mut response = form(service, "/", Some(words.to_owned()));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    };
    let provider = service
        .login
        .as_ref()
        .ok_or_else(|| refused(None, &Problem::missing("identity provider")))?;
    let own = cookie(headers, LOGIN_COOKIE).ok_or_else(stale)?;
    let row = service.store.take_login(&sha256_hex(own), service.now_signed()).await;
    let row = row.map_err(|error| refused(None, &error.into()))?.ok_or_else(stale)?;
    if sha256_hex(&row.state) != sha256_hex(&query.state) {
        return Err(stale());
    }
    let finished = if query.error.is_empty() {
        provider.finish(&query.code, &row.nonce, &row.verifier).await
    } else {
        let words = format!("{} {}", query.error, query.error_description);
        Err(OidcError::Refused(words.trim().chars().take(500).collect()))
    };
    match finished {
        Ok(person) => Ok((person, row.next)),
        Err(error) => {
            if let OidcError::NoRole { name } = &error {
                audit::caller(name);
            }
            Err(failed(service, &row.next, &error))
        }
    }
}

pub async fn end(
    State(service): App,
    visitor: Visitor,
    Form(given): Form<EndForm>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.check_form(&given.csrf).map_err(stop)?;
    audit::acts("log out", "");
    service.store.end_session(visitor.digest()).await.map_err(|error| stop(error.into()))?;
    let mut response = Redirect::to("/login").into_response();
    if let Some(value) = set_cookie(SESSION_COOKIE, "", 0) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(response)
}

#[cfg(test)]
mod unit {
    use super::own_path;

    #[test]
    fn nobody_is_sent_to_another_place() {
        assert_eq!(own_path("/builds?job=a"), "/builds?job=a");
        for bad in ["", "builds", "//evil", "https://evil", "/\\evil", "/a\r\nb", "\\/evil"] {
            assert_eq!(own_path(bad), "/", "{bad:?}");
        }
    }
}
