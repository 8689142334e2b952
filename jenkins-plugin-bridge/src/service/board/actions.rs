//! What forms of pages do. Each calls the operation of the API and goes back to a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::render::{encode, refused};
use super::visitor::Visitor;
use crate::service::api::extract::Input;
use crate::service::api::handlers;
use crate::service::api::routed::{BuildOrder, KeepQuery};
use crate::service::api::types::DrainQuery;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// How fields that are parameters begin.
const PARAMETER: &str = "parameter.";

type App = State<Arc<Service>>;

/// A form with nothing to say but whose it is.
#[derive(Debug, Deserialize)]
pub struct PlainForm {
    csrf: String,
}

/// The form that takes a master out.
#[derive(Debug, Deserialize)]
pub struct DrainForm {
    csrf: String,
    reason: String,
}

/// The form that keeps a job in step.
#[derive(Debug, Deserialize)]
pub struct KeepForm {
    csrf: String,
    #[serde(default)]
    only_look: bool,
}

/// Starts a build.
pub async fn start(
    State(service): App,
    visitor: Visitor,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    visitor.check_form(field("csrf")).map_err(stop)?;
    let order = BuildOrder {
        job: field("job").to_owned(),
        parameters: fields
            .iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix(PARAMETER)?.to_owned(), value.clone()))
            })
            .collect(),
        cause: "started on a page".to_owned(),
        ..BuildOrder::default()
    };
    let input = Input::of_form(order);
    let made = handlers::create_build(State(service), visitor.authenticated(), input).await;
    let build = made.map_err(stop)?;
    Ok(Redirect::to(&format!("/builds/{}", encode(&build.id))).into_response())
}

/// Stops a build.
pub async fn stop(
    State(service): App,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.check_form(&form.csrf).map_err(stop)?;
    let stopped =
        handlers::stop_build(State(service), visitor.authenticated(), Path(id.clone())).await;
    drop(stopped.map_err(stop)?);
    Ok(Redirect::to(&format!("/builds/{}", encode(&id))).into_response())
}

/// Takes a master out.
pub async fn drain(
    State(service): App,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<DrainForm>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.check_form(&form.csrf).map_err(stop)?;
    let input = Input::of_form(DrainQuery { reason: form.reason });
    let who = visitor.authenticated();
    drop(handlers::drain_master(State(service), who, Path(name), input).await.map_err(stop)?);
    Ok(Redirect::to("/#masters").into_response())
}

/// Gives a master back.
pub async fn resume(
    State(service): App,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.check_form(&form.csrf).map_err(stop)?;
    let who = visitor.authenticated();
    drop(handlers::resume_master(State(service), who, Path(name)).await.map_err(stop)?);
    Ok(Redirect::to("/#masters").into_response())
}

/// Looks at the copies of a job, or makes and mends them.
pub async fn keep(
    State(service): App,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<KeepForm>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.check_form(&form.csrf).map_err(stop)?;
    let query = KeepQuery { dry_run: form.only_look, masters: std::collections::BTreeSet::new() };
    let input = Input::of_form(query);
    let who = visitor.authenticated();
    let kept = handlers::keep_job(State(service), who, Path(name.clone()), input).await;
    drop(kept.map_err(stop)?);
    Ok(Redirect::to(&format!("/jobs/{}", encode(&name))).into_response())
}

/// Has all that could not be delivered be tried again now.
pub async fn tell_again(
    State(service): App,
    visitor: Visitor,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    visitor.check_form(&form.csrf).map_err(stop)?;
    let told = handlers::retry_outbox(State(service), visitor.authenticated()).await;
    let _ = told.map_err(stop)?;
    Ok(Redirect::to("/deliveries").into_response())
}
