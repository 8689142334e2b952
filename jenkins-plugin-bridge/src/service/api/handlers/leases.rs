//! The operations on leases: locks of stages.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};

use super::App;
use crate::leases::{is_to_be_looked_at, look, turn};
use crate::plan::PlanStage;
use crate::service::api::extract::{Authenticated, Input};
use crate::service::api::leases::{BreakQuery, Line, LockAnswer, Released, StageQuery};
use crate::service::audit::acts;
use crate::service::auth::{Caller, Scope};
use crate::service::problem::Problem;
use crate::service::state::{Service, StoredPlan};
use crate::service::store::{LockQuestion, LockRow};

/// The most bytes of the name of a lock: it is the key of an index.
const LOCK_BYTES: usize = 1_000;
/// For what is done in a stage beside its steps, in seconds: its post steps have 600 after each try, and a try may
/// come 600 after the one before.
const BESIDE_A_TRY: u64 = 1_200;
/// A clock of another replica, and a controller that starts again, are forgiven so many seconds.
const FORGIVEN: u64 = 600;

pub async fn ask_lock(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    input: Input<StageQuery>,
) -> Result<Json<LockAnswer>, Problem> {
    let plan = plan_of(&service, &caller, &id).await?;
    let stage = stage_of(&plan, &input.value.stage)?;
    let lock = stage.lock.as_deref().ok_or_else(|| {
        Problem::malformed(format!("the stage `{}` has no lock in its plan", stage.id))
    })?;
    if lock.len() > LOCK_BYTES {
        let detail =
            format!("the name of the lock has {} bytes, more than {LOCK_BYTES}", lock.len());
        return Err(Problem::malformed(detail));
    }
    let now_ms = service.now_ms();
    let asks =
        LockQuestion { lock, build: &id, stage: &stage.id, term_ms: term(&service, stage), now_ms };
    let decide = |line: &mut [LockRow]| {
        for row in line.iter_mut() {
            row.place.can_be_asked = service.controller(&row.controller).is_some();
        }
        let places: Vec<_> = line.iter().map(|row| row.place.clone()).collect();
        turn(&places, &id, &stage.id, now_ms, service.listening_ms)
    };
    let Some((_, line)) = service.store.ask_lock(&asks, decide).await? else {
        return Err(Problem::unavailable(format!("too many stages wait for the lock {lock}")));
    };
    let own = line.iter().find(|row| row.place.build == id && row.place.stage == stage.id);
    let own = own.ok_or_else(|| Problem::missing("lock"))?;
    if let Some(holder) = line.iter().find(|row| row.place.held_ms.is_some())
        && holder.place.build != id
        && is_to_be_looked_at(&holder.place, now_ms)
    {
        look(&service, holder.clone());
    }
    Ok(Json(LockAnswer::of(own, &line)))
}

pub async fn release_lock(
    State(service): App,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
    input: Input<StageQuery>,
) -> Result<Json<Released>, Problem> {
    let plan = plan_of(&service, &caller, &id).await?;
    let stage = stage_of(&plan, &input.value.stage)?;
    let released = service.store.release_locks(&id, Some(&stage.id)).await?;
    Ok(Json(Released { released }))
}

pub async fn list_locks(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<Line>>, Problem> {
    caller.access(Scope::BuildsRead)?;
    Ok(Json(Line::all(&service.store.locks(None, service.now_ms()).await?)))
}

pub async fn break_lock(
    State(service): App,
    Authenticated(caller): Authenticated,
    input: Input<BreakQuery>,
) -> Result<Json<Released>, Problem> {
    let BreakQuery { lock, build } = &input.value;
    acts("take a lock from its build", lock);
    caller.access(Scope::BuildsTrigger)?;
    let line = service.store.locks(Some(lock), service.now_ms()).await?;
    let holder = line.iter().find(|row| row.place.held_ms.is_some() && row.place.build == *build);
    let holder = holder.ok_or_else(|| Problem::missing("lock of this build"))?;
    let released = service.store.release_locks(build, Some(&holder.place.stage)).await?;
    Ok(Json(Released { released }))
}

/// The plan of the build that asks.
pub(super) async fn plan_of(
    service: &Service,
    caller: &Caller,
    id: &str,
) -> Result<Arc<StoredPlan>, Problem> {
    let claims = caller.build()?;
    if claims.build != id {
        return Err(Problem::missing("build"));
    }
    // It may have been swept while its token is still good.
    service.store.build(id).await?.ok_or_else(|| Problem::missing("build"))?;
    service.plan(&claims.digest).await?.ok_or_else(|| Problem::missing("plan"))
}

pub(super) fn stage_of<'p>(plan: &'p StoredPlan, id: &str) -> Result<&'p PlanStage, Problem> {
    plan.plan.all_stages().find(|stage| stage.id == id).ok_or_else(|| {
        let cut: String = id.chars().take(80).collect();
        Problem::malformed(format!("the plan has no stage {cut:?}"))
    })
}

/// How long a stage may have its lock, in milliseconds: as long as its plan lets it run, and as long as its build
/// has a token where it has no bound.
fn term(service: &Service, stage: &PlanStage) -> i64 {
    let lifetime = service.options.plan_lifetime;
    let bound = stage.timeout_seconds.map(|seconds| {
        let tries = stage.retry.as_ref().map_or(1, |retry| u64::from(retry.attempts.max(1)));
        let most = seconds.saturating_add(BESIDE_A_TRY).saturating_mul(tries);
        Duration::from_secs(most.saturating_add(FORGIVEN))
    });
    i64::try_from(bound.unwrap_or(lifetime).as_millis()).unwrap_or(i64::MAX)
}
