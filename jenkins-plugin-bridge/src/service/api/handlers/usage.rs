//! The operations on what stages used.

use axum::Json;
use axum::extract::State;

use super::App;
use crate::pod::sizing::SizingSettings;
use crate::service::api::extract::{Authenticated, Input};
use crate::service::auth::Scope;
use crate::service::problem::Problem;
use crate::service::usage::{self, SizingRow, UsageAnswer, UsageReports};

pub async fn report_usage(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<UsageReports>,
) -> Result<Json<UsageAnswer>, Problem> {
    input.take_key(&service, &caller).await?;
    usage::take(&service, &caller, &input.value).await.map(Json)
}

pub async fn get_sizing(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<SizingRow>>, Problem> {
    let own = caller.access(Scope::BuildsRead)?.controller.as_deref();
    let mut rows = usage::sizing(&service.store, &SizingSettings::default(), None).await?;
    rows.retain(|row| own.is_none_or(|own| own == row.controller));
    Ok(Json(rows))
}
