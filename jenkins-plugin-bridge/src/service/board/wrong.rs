//! What is wrong with a request for a page is told on a page: an address that there is not, a query or a form that
//! cannot be read. Programs get it as they do from the API.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::render::refused;
use super::visitor::Visitor;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// The most bytes of a refusal in words: what is in it came with the request.
const WORDS: usize = 2_000;

/// Who asks for what.
pub struct Asked {
    headers: HeaderMap,
    uri: Uri,
}

impl Asked {
    pub fn of(request: &Request) -> Self {
        Self { headers: request.headers().clone(), uri: request.uri().clone() }
    }

    /// Whether a browser asks for something to be shown.
    fn is_for_people(&self) -> bool {
        let accepts = self.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        accepts.is_some_and(|accepts| accepts.contains("text/html"))
            && !self.uri.path().starts_with("/v1/")
    }
}

/// For addresses that there are not.
pub async fn unknown(State(service): State<Arc<Service>>, request: Request) -> Response {
    let asked = Asked::of(&request);
    if !asked.is_for_people() {
        return Problem::missing("path; /v1/openapi.json has all of them").into_response();
    }
    let detail = "there is no page at this address: begin at the overview, or look for the build or the job in its list";
    let problem = Problem { detail: detail.to_owned(), ..Problem::missing("page") };
    super::secured(shown(&service, &asked, &problem).await)
}

/// For addresses that are asked for in another way.
pub async fn other_method(State(service): State<Arc<Service>>, request: Request) -> Response {
    let asked = Asked::of(&request);
    let status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    if !asked.is_for_people() {
        return Problem { status, ..Problem::malformed("this path has other methods") }
            .into_response();
    }
    let detail =
        "a button of a page does this, not its address: go back to that page and press it there";
    let problem = Problem { status, ..Problem::malformed(detail) };
    super::secured(shown(&service, &asked, &problem).await)
}

/// A refusal that is no page yet as one, where people asked.
pub async fn as_page(service: &Service, asked: &Asked, response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    if !is_refusal || !asked.is_for_people() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let is_problem = kind.starts_with("application/problem+json");
    // What the service could not do is no fault of the address.
    if kind.starts_with("text/html") || (status.is_server_error() && !is_problem) {
        return Response::from_parts(parts, body);
    }
    let bytes = to_bytes(body, WORDS).await.unwrap_or_default();
    let told = is_problem.then(|| serde_json::from_slice::<Problem>(&bytes).ok()).flatten();
    let problem = told.unwrap_or_else(|| {
        let words = String::from_utf8_lossy(&bytes);
        let words = if words.is_empty() { "it cannot be read" } else { words.trim() };
        let detail = format!("{words}. Take that out of the address, or begin at the list");
        Problem { status: status.as_u16(), ..Problem::malformed(detail) }
    });
    let mut page = shown(service, asked, &problem).await;
    if let Some(wait) = parts.headers.get(RETRY_AFTER) {
        page.headers_mut().insert(RETRY_AFTER, wait.clone());
    }
    page
}

async fn shown(service: &Service, asked: &Asked, problem: &Problem) -> Response {
    let visitor = Visitor::known(service, &asked.headers, &asked.uri).await;
    refused(visitor.as_ref(), problem)
}
