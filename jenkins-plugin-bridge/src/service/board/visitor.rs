//! Who looks at a page.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Serialize;

use super::render::refused;
use crate::service::api::extract::Authenticated;
use crate::service::auth::{AccessToken, Caller, Scope};
use crate::service::problem::Problem;
use crate::service::session::{self, Session};
use crate::service::state::Service;

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct Visitor {
    session: Session,
    /// The address that was asked for, for links to the page itself.
    pub here: String,
}

/// What a page knows of whoever looks at it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown<'v> {
    name: &'v str,
    csrf: &'v str,
    can_start: bool,
    can_change_jobs: bool,
    can_change_masters: bool,
    can_read_audit: bool,
}

impl Visitor {
    /// Whoever is logged in, for a page that needs nobody to be.
    pub async fn known(service: &Service, headers: &HeaderMap, uri: &Uri) -> Option<Self> {
        let session = session::of(service, headers).await.ok().flatten()?;
        Some(Self { session, here: path_of(uri) })
    }

    /// As whom operations are called.
    #[must_use]
    pub fn authenticated(&self) -> Authenticated {
        Authenticated(self.session.caller.clone())
    }

    fn token(&self) -> Option<&AccessToken> {
        match &self.session.caller {
            Caller::Access(token) => Some(token),
            Caller::Build(_) => None,
        }
    }

    /// Whether that is allowed.
    #[must_use]
    pub fn can(&self, scope: Scope) -> bool {
        self.token().is_some_and(|token| token.can(scope))
    }

    /// For the page.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            name: &self.session.name,
            csrf: &self.session.csrf,
            can_start: self.can(Scope::BuildsTrigger),
            can_change_jobs: self.can(Scope::JobsWrite),
            can_change_masters: self.can(Scope::MastersWrite),
            can_read_audit: self.can(Scope::AuditRead),
        }
    }

    /// Digest of the cookie.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.session.digest
    }

    /// Makes sure that a form is one of a page that this visitor was shown.
    ///
    /// # Errors
    /// 403.
    pub fn check_form(&self, csrf: &str) -> Result<(), Problem> {
        // Both have the same length whatever was sent, so that time tells nothing.
        let digest = crate::service::auth::sha256_hex;
        if digest(csrf) == digest(&self.session.csrf) {
            return Ok(());
        }
        Err(Problem::forbidden("this form is an old one; go back, load the page again and repeat"))
    }
}

fn path_of(uri: &Uri) -> String {
    uri.path_and_query().map_or("/", |one| one.as_str()).to_owned()
}

impl FromRequestParts<Arc<Service>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Response> {
        let here = path_of(&parts.uri);
        let found =
            session::of(service, &parts.headers).await.map_err(|one| refused(None, &one))?;
        let Some(session) = found else {
            // A form that was sent too late is not sent again by itself.
            let next = if parts.method == Method::GET { here.as_str() } else { "/" };
            let query = super::render::encode(next);
            return Err(Redirect::to(&format!("/login?next={query}")).into_response());
        };
        let visitor = Self { session, here };
        if parts.method == Method::POST && !session::is_own_form(&parts.headers) {
            let problem = Problem::forbidden("this form was sent by another site");
            return Err(refused(Some(&visitor), &problem));
        }
        Authenticated::within_rate(service, visitor.session.caller.clone())
            .map_err(|problem| refused(Some(&visitor), &problem))?;
        Ok(visitor)
    }
}
