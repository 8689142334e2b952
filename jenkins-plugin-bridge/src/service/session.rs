//! People who are logged in to the pages: a cookie each, of which only the digest is kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::auth::{AccessToken, Caller, Role, sha256_hex};
use super::problem::Problem;
use super::state::Service;
use super::store::SessionRow;

/// The cookie of a session. With this prefix no other host and no plain connection can set it.
pub const SESSION_COOKIE: &str = "__Host-pilotfish";
/// The cookie of a browser that was sent to the identity provider.
pub const LOGIN_COOKIE: &str = "__Host-pilotfish-login";
/// Bytes of chance in a cookie.
const COOKIE_BYTES: usize = 32;
/// Tries to log in that one address has in a while.
const TRIES: u32 = 20;
/// That while.
const WHILE: Duration = Duration::from_secs(60);
/// The most addresses that are watched at once.
const WATCHED: usize = 10_000;

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct Session {
    /// As whom requests are made.
    pub caller: Caller,
    /// The name, for people.
    pub name: String,
    /// What forms have to send back: nobody else's page knows it.
    pub csrf: String,
    /// Digest of the cookie.
    pub digest: String,
}

/// A text that nobody can guess.
///
/// # Errors
/// [`Problem`] where the system has no randomness.
pub fn secret() -> Result<String, Problem> {
    let mut bytes = [0; COOKIE_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Problem::unavailable("the system has no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A cookie of a request.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The header that sets a cookie for so many seconds; 0 removes it.
pub fn set_cookie(name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

/// Begins a session; gives its cookie.
///
/// # Errors
/// [`Problem`].
pub async fn begin(
    service: &Service,
    name: &str,
    token: Option<String>,
    role: Option<Role>,
) -> Result<String, Problem> {
    let secret = secret()?;
    let now = service.now_signed();
    let keep = i64::try_from(service.options.keep_sessions.as_secs()).unwrap_or(i64::MAX);
    let row = SessionRow {
        digest: sha256_hex(&secret),
        name: name.to_owned(),
        token,
        role: role.map(|role| role.as_str().to_owned()),
        created_at: now,
        expires_at: now.saturating_add(keep),
    };
    service.store.add_session(&row).await?;
    Ok(secret)
}

/// The session of a request, where it has one that has not ended.
///
/// # Errors
/// [`Problem`] where the database fails.
pub async fn of(service: &Service, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    let Some(secret) = cookie(headers, SESSION_COOKIE).filter(|text| text.len() <= 100) else {
        return Ok(None);
    };
    let digest = sha256_hex(secret);
    let row = service.store.session(&digest, service.now_signed()).await?;
    let Some(row) = row else { return Ok(None) };
    let token = match (&row.token, row.role.as_deref().and_then(Role::parse)) {
        // A session ends with the token that it stands for.
        (Some(sha256), _) => match service.access.by_digest(sha256, service.now()) {
            Some(token) => token.clone(),
            None => return Ok(None),
        },
        (None, Some(role)) => AccessToken {
            name: row.name.clone(),
            sha256: format!("session {digest}"),
            scopes: role.scopes(),
            role: Some(role),
            controller: None,
            expires_at: None,
            requests_per_second: None,
        },
        (None, None) => return Ok(None),
    };
    let csrf = sha256_hex(format!("csrf {secret}"));
    Ok(Some(Session { caller: Caller::Access(token), name: row.name, csrf, digest }))
}

/// Whether a form was sent by a page of this service. Browsers say where a request comes from.
pub fn is_own_form(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), _, _) => site == "same-origin",
        (None, Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, from)| from == host)
        }
        // What is no browser has no cookies that it did not put there itself.
        _ => true,
    }
}

/// Tries to log in, by address.
#[derive(Debug, Default)]
pub struct LoginTries(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl LoginTries {
    /// Takes a try.
    ///
    /// # Errors
    /// 429 where the address has had too many.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Problem> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WATCHED && !all.contains_key(&address) {
            all.retain(|_, (since, _)| now.duration_since(*since) < WHILE);
            if all.len() >= WATCHED {
                all.clear();
            }
        }
        let (since, tries) = all.entry(address).or_insert((now, 0));
        let passed = now.duration_since(*since);
        if passed >= WHILE {
            (*since, *tries) = (now, 0);
        }
        *tries += 1;
        if *tries > TRIES { Err(Problem::too_many(WHILE.saturating_sub(passed))) } else { Ok(()) }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn tries_are_counted_by_address_and_forgotten() {
        let (tries, start) = (LoginTries::default(), Instant::now());
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..TRIES {
            assert!(tries.take(one, start).is_ok());
        }
        assert_eq!(tries.take(one, start).unwrap_err().status, 429);
        assert!(tries.take(other, start).is_ok());
        assert!(tries.take(one, start + WHILE).is_ok());
    }

    #[test]
    fn a_form_of_another_site_is_none_of_ours() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect::<HeaderMap>()
        };
        assert!(is_own_form(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(!is_own_form(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(!is_own_form(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(!is_own_form(&headers(&[("origin", "https://evil"), ("host", "ci:8443")])));
        assert!(!is_own_form(&headers(&[("origin", "null"), ("host", "ci:8443")])));
        assert!(is_own_form(&headers(&[("origin", "https://ci:8443"), ("host", "ci:8443")])));
        assert!(is_own_form(&headers(&[])));
    }

    #[test]
    fn cookies_are_found_by_name() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("a=1; __Host-pilotfish=x_y; b=2"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("x_y"));
        assert_eq!(cookie(&headers, LOGIN_COOKIE), None);
        let set = set_cookie(SESSION_COOKIE, "v", 60).unwrap();
        for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=60"] {
            assert!(set.to_str().unwrap().contains(part), "{part}");
        }
    }
}
