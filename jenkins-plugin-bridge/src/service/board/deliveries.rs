//! The page of what goes over to others and comes from them: reports that could not be delivered, and
//! webhooks of forges.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use minijinja::context;
use minijinja::value::Value;

use super::render::{page as render, refused, value};
use super::visitor::Visitor;
use crate::service::api::handlers;
use crate::service::problem::Problem;
use crate::service::state::Service;

pub async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let app = || State(Arc::clone(&service));
    let failed = handlers::get_outbox(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let hooks = handlers::list_hooks(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let depths = service.store.outbox_depths().await.map_err(|error| stop(error.into()))?;
    let forges: Vec<Value> = service
        .forges
        .all()
        .map(|forge| {
            context! {
                name => forge.name.clone(),
                is_heard => !forge.secrets.is_empty(),
                is_told => forge.token.is_some(),
            }
        })
        .collect();
    let webhooks: Vec<String> = service.forges.webhooks().map(|hook| hook.name.clone()).collect();
    let own = context! {
        title => "Deliveries", tab => "deliveries", failed => value(&failed), hooks => value(&hooks),
        forges => forges, webhooks => webhooks,
        counts => context! {
            waiting => depths.iter().map(|(_, count)| count).sum::<i64>(),
            again => failed.iter().filter(|one| !one.is_dead).count(),
            dead => failed.iter().filter(|one| one.is_dead).count(),
            new => hooks.iter().filter(|one| one.is_new).count(),
        },
    };
    Ok(render("deliveries.html", Some(&visitor), own))
}
