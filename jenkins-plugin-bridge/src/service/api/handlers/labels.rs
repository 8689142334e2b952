//! The operation on labels.

use axum::Json;
use axum::extract::State;

use super::App;
use crate::masters::LabelCover;
use crate::service::api::extract::Authenticated;
use crate::service::auth::Scope;
use crate::service::problem::Problem;

pub async fn get_labels(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<LabelCover>>, Problem> {
    caller.access(Scope::MastersRead)?;
    Ok(Json(service.label_cover().await?))
}
