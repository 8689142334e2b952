//! The operations on nodes: agents that go away have their nodes taken out, and put back when they return.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use crate::rest::{Client, NodeName, Switched};
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::types::{NodeAnswer, NodeChange, NodeQuery};
use crate::service::auth::{Caller, Scope};
use crate::service::problem::Problem;
use crate::service::state::Service;

/// How the reason of a node begins that was taken out here: by that it is known again.
const MARK: &str = "Pilotfish: ";
/// The most characters of a reason.
const REASON_CHARACTERS: usize = 500;

pub async fn take_node_out(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<NodeQuery>,
) -> Result<Json<NodeAnswer>, Problem> {
    let (client, name) = node(&service, &caller, &input.value)?;
    let reason = input.value.reason.as_deref().unwrap_or("the agent was told to stop");
    if reason.chars().count() > REASON_CHARACTERS || reason.chars().any(char::is_control) {
        return Err(Problem::malformed(format!(
            "`reason` is one line of at most {REASON_CHARACTERS} characters"
        )));
    }
    let switched = client.take_out(&name, &format!("{MARK}{reason}")).await?;
    answered(&input.value, switched)
}

pub async fn bring_node_back(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<NodeQuery>,
) -> Result<Json<NodeAnswer>, Problem> {
    let (client, name) = node(&service, &caller, &input.value)?;
    answered(&input.value, client.bring_back(&name, MARK).await?)
}

/// The node, and how its controller is reached, for a caller who may change it. The idempotency key is not
/// taken: the operations have the same effect however often they are made.
fn node(
    service: &Service,
    caller: &Caller,
    query: &NodeQuery,
) -> Result<(Arc<Client>, NodeName), Problem> {
    let token = caller.access(Scope::NodesDrain)?;
    if token.controller.as_ref() != Some(&query.controller) {
        return Err(Problem::forbidden(format!(
            "this token is for the controller {}; it was used for another one",
            token.controller.as_deref().unwrap_or("of nobody")
        )));
    }
    let client = service.controller(&query.controller).ok_or_else(|| {
        Problem::malformed(format!(
            "this service does not know the controller {}: add it to the file of controllers",
            query.controller
        ))
    })?;
    let name =
        NodeName::parse(&query.node).map_err(|error| Problem::malformed(error.to_string()))?;
    Ok((client, name))
}

fn answered(query: &NodeQuery, switched: Switched) -> Result<Json<NodeAnswer>, Problem> {
    let change = match switched {
        Switched::Changed => NodeChange::Changed,
        Switched::Already => NodeChange::Already,
        Switched::TakenOutByAnother => NodeChange::TakenOutByAnother,
    };
    tracing::info!(controller = query.controller, node = query.node, ?change, "node");
    Ok(Json(NodeAnswer { controller: query.controller.clone(), node: query.node.clone(), change }))
}
