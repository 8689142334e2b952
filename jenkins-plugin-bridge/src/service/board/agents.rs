//! The page of agents on demand: pools, agents, and those that have gone lately.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use minijinja::context;
use serde::Serialize;

use super::render::{page as render, refused, value};
use super::visitor::Visitor;
use crate::agents::{Activity, Agent};
use crate::service::api::handlers;
use crate::service::problem::Problem;
use crate::service::state::Service;

/// Agents that have gone, that are listed.
const GONE: usize = 50;

/// An agent with what is made of its times.
#[derive(Serialize)]
struct Line {
    activity: Activity,
    /// How long it has been there, or was.
    age_ms: i64,
    connected_within_ms: Option<i64>,
    #[serde(flatten)]
    agent: Agent,
}

fn line(agent: Agent, now_ms: i64) -> Line {
    let until = agent.left_ms.filter(|_| agent.activity() == Activity::Gone).unwrap_or(now_ms);
    Line {
        activity: agent.activity(),
        age_ms: until.saturating_sub(agent.created_ms),
        connected_within_ms: agent.connected_within_ms(),
        agent,
    }
}

pub async fn page(
    State(service): State<Arc<Service>>,
    visitor: Visitor,
) -> Result<Response, Response> {
    let stop = |problem: Problem| refused(Some(&visitor), &problem);
    let app = || State(Arc::clone(&service));
    let pools = handlers::list_agent_pools(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let all = handlers::list_agents(app(), visitor.authenticated()).await.map_err(stop)?.0;
    let now_ms = service.now_ms();
    let lines = all.into_iter().map(|agent| line(agent, now_ms));
    let (mut gone, agents): (Vec<Line>, Vec<Line>) =
        lines.partition(|line| line.activity == Activity::Gone);
    gone.sort_by_key(|line| std::cmp::Reverse(line.agent.left_ms));
    let went = gone.len();
    gone.truncate(GONE);
    let urls: BTreeMap<String, String> = service
        .masters
        .all()
        .iter()
        .map(|master| (master.name.clone(), master.client.base().to_owned()))
        .collect();
    let sum = |of: fn(&crate::agents::PoolSeen) -> u32| pools.iter().map(of).sum::<u32>();
    let own = context! {
        title => "Agents", tab => "agents", pools => value(&pools), agents => value(&agents),
        gone => value(&gone), went => went, urls => value(&urls),
        has_setup => service.agents.setup().is_some(),
        counts => context! {
            builds => sum(crate::agents::PoolSeen::builds_that_wait),
            waiting => sum(|one| one.waiting),
            coming => sum(|one| one.starting + one.connecting),
            busy => sum(|one| one.busy),
        },
    };
    Ok(render("agents.html", Some(&visitor), own))
}
