//! The operations on agents: what pods that wait ask, and what there is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;

use super::App;
use crate::agents::{Agent, AgentState, Assignment, PoolSeen, Rules, pools_seen};
use crate::rest::NodeName;
use crate::service::api::extract::{Authenticated, Bearer, Input};
use crate::service::api::types::{StandbyAnswer, StandbyQuery};
use crate::service::auth::{Scope, sha256_hex};
use crate::service::problem::Problem;
use crate::service::state::Service;

/// How long an agent waits for an answer: less than any request may take, and than what stands in between
/// lets a connection be silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the ledger is read for an agent that may be claimed by another replica.
const LOOK: Duration = Duration::from_millis(500);
/// The same where this replica keeps the agents, and tells of what it does.
const LOOK_OWN: Duration = Duration::from_secs(5);
/// Agents that have gone are shown for so long, in milliseconds.
const SHOWN_MS: i64 = 600_000;
/// The most bytes of a token. That of a service account has about 1,000.
const TOKEN_BYTES: usize = 8192;
/// Requests a second of one agent. One that waits makes three a minute.
const POD_RATE: u32 = 2;
/// Requests a second of one agent that is used: one for each of the few things that controllers ask of an agent
/// before its first build and that may be a build's. Each is one more request to the controller.
const USED_RATE: u32 = 10;
/// The most characters of the id of an agent.
const ID_CHARACTERS: usize = 64;

pub async fn list_agents(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<Agent>>, Problem> {
    caller.access(Scope::MastersRead)?;
    Ok(Json(service.store.agents(service.now_ms() - SHOWN_MS).await?))
}

pub async fn list_agent_pools(
    State(service): App,
    Authenticated(caller): Authenticated,
) -> Result<Json<Vec<PoolSeen>>, Problem> {
    caller.access(Scope::MastersRead)?;
    let now_ms = service.now_ms();
    let agents = service.store.agents(now_ms - SHOWN_MS).await?;
    let builds = service.store.pool_builds().await?;
    let pools = service.agents.setup().map(|setup| &setup.pools);
    Ok(Json(pools_seen(pools, &agents, builds, now_ms, &Rules::default())))
}

/// An agent asks what it is to do, and waits a while for an answer.
pub async fn ask_as_standby(
    State(service): App,
    Bearer(token): Bearer,
    input: Input<StandbyQuery>,
) -> Result<Json<StandbyAnswer>, Problem> {
    let query = &input.value;
    let agent = known(&service, &token, query).await?;
    if query.used {
        return used(&service, &agent.id).await.map(Json);
    }
    if query.taken {
        return taken(&service, &agent).await.map(Json);
    }
    let now_ms = service.now_ms();
    // Before it is looked at: what happens from here on is not missed.
    let wait = service.agents.wait(&agent.id);
    if agent.state == AgentState::Starting {
        let came = |agent: &mut Agent| {
            let starts = agent.state == AgentState::Starting;
            agent.state = AgentState::Waiting;
            agent.waiting_ms = Some(now_ms);
            starts
        };
        if service.store.change_agent(&agent.id, now_ms, came).await?.is_some() {
            service.agents.wake.notify_one();
        }
    }
    service.store.heard_of_agent(&agent.id, now_ms).await?;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(answer) = answer(&service, &agent.id).await? {
                return Ok(answer);
            }
            let look = if service.agents.leads() { LOOK_OWN } else { LOOK };
            let _ = tokio::time::timeout(look, wait.told()).await;
        }
    });
    waited.await.unwrap_or(Ok(StandbyAnswer::Wait {})).map(Json)
}

/// The agent of a token. What is wrong with it is not told.
async fn known(service: &Service, token: &str, query: &StandbyQuery) -> Result<Agent, Problem> {
    let id = &query.id;
    let refused = || Problem::unauthorised("this token is none of an agent that waits here");
    let setup = service.agents.setup().ok_or_else(refused)?;
    if id.len() > ID_CHARACTERS || token.len() > TOKEN_BYTES {
        return Err(refused());
    }
    let (agent, digest) = service.store.agent(id).await?.ok_or_else(refused)?;
    // Whatever runs in a pod may ask with its token, and each time the cluster may be asked, too.
    let (of, rate) = if query.used { ("used", USED_RATE) } else { ("agent", POD_RATE) };
    service.rates.take_for(format!("{of} {id}"), rate, Instant::now()).map_err(|wait| {
        service.metrics.limited.fetch_add(1, Relaxed);
        Problem::too_many(wait)
    })?;
    if let Some(digest) = digest {
        // Digests are compared: how long that takes says nothing about the token.
        return if digest == sha256_hex(token) { Ok(agent) } else { Err(refused()) };
    }
    let reviewed = setup.pods.review(&agent.pool, token).await.map_err(|error| {
        tracing::warn!(error, "the token of a pod cannot be checked");
        Problem::unavailable("the cluster cannot say whose token this is")
    })?;
    // The uid is not known for the moment between making the pod and writing that down; its name is
    // nobody else's.
    let is_it = |pod: &crate::agents::Reviewed| {
        pod.pod == agent.pod && agent.uid.as_ref().is_none_or(|uid| *uid == pod.uid)
    };
    reviewed.filter(is_it).map(|_| agent).ok_or_else(refused)
}

/// The agent has its secret: nobody gets it again.
async fn taken(service: &Service, agent: &Agent) -> Result<StandbyAnswer, Problem> {
    let now_ms = service.now_ms();
    let take = |agent: &mut Agent| {
        let free = agent.state == AgentState::Claimed && agent.taken_ms.is_none();
        agent.taken_ms = Some(now_ms);
        free
    };
    let done = service.store.change_agent(&agent.id, now_ms, take).await?;
    service.agents.forget(&agent.id);
    // An answer that was lost is asked for again by the same agent, which alone has the secret.
    let is_taken =
        done.is_some() || (agent.state == AgentState::Claimed && agent.taken_ms.is_some());
    Ok(if is_taken {
        StandbyAnswer::Taken {}
    } else {
        StandbyAnswer::Leave { reason: "it is not needed any more".to_owned() }
    })
}

/// An agent was asked for something that may be a build's. Answered once it is seen at the master whether it is: no
/// build has the node, or it takes no other.
///
/// One replica alone throws the switch of a node, so this one only writes down that a build has come.
async fn used(service: &Arc<Service>, id: &str) -> Result<StandbyAnswer, Problem> {
    let gone = |reason: &str| Ok(StandbyAnswer::Leave { reason: reason.to_owned() });
    // Before it is looked at: what happens from here on is not missed.
    let wait = service.agents.wait(id);
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let Some((agent, _)) = service.store.agent(id).await? else {
            return gone("it is not known any more");
        };
        let (AgentState::Claimed, Some(master), Some(node)) =
            (agent.state, &agent.master, &agent.node)
        else {
            return gone(&agent.reason);
        };
        let client = service.masters.get(master).map(|one| Arc::clone(&one.client));
        let client = client.ok_or_else(|| Problem::unavailable("its master is there no more"))?;
        let name = NodeName::parse(node).map_err(|error| Problem::internal(&error))?;
        let seen = client.node(&name).await?;
        if seen.temporarily_offline {
            return Ok(StandbyAnswer::Out {});
        }
        if seen.idle {
            return Ok(StandbyAnswer::Idle {});
        }
        let now_ms = service.now_ms();
        let has_come = |agent: &mut Agent| {
            let is_first = agent.state == AgentState::Claimed && agent.busy_ms.is_none();
            agent.is_busy(now_ms);
            is_first
        };
        if service.store.change_agent(id, now_ms, has_come).await?.is_some() {
            service.agents.wake.notify_one();
        }
        let _ = tokio::time::timeout(LOOK, wait.told()).await;
    }
    Ok(StandbyAnswer::Wait {})
}

/// What an agent is told, if there is anything to tell.
async fn answer(service: &Arc<Service>, id: &str) -> Result<Option<StandbyAnswer>, Problem> {
    let leave = |reason: &str| Ok(Some(StandbyAnswer::Leave { reason: reason.to_owned() }));
    let Some((agent, _)) = service.store.agent(id).await? else {
        return leave("it is not known any more");
    };
    match agent.state {
        AgentState::Starting | AgentState::Waiting => Ok(None),
        AgentState::Leaving | AgentState::Gone => leave(&agent.reason),
        AgentState::Claimed if agent.taken_ms.is_some() => leave("its secret was given out before"),
        AgentState::Claimed if agent.made_ms.is_none() => Ok(None),
        AgentState::Claimed => match service.agents.assignment(id) {
            Some(given) => Ok(Some(StandbyAnswer::from(given))),
            // Claimed by another replica, or before this one was restarted.
            None => read(service, &agent).await.map(|given| given.map(StandbyAnswer::from)),
        },
    }
}

/// What an agent is given, read from its master.
async fn read(service: &Service, agent: &Agent) -> Result<Option<Assignment>, Problem> {
    let (Some(master), Some(node)) = (&agent.master, &agent.node) else { return Ok(None) };
    let Some(client) = service.masters.get(master).map(|one| Arc::clone(&one.client)) else {
        return Ok(None);
    };
    let name = NodeName::parse(node).map_err(|error| Problem::internal(&error))?;
    match client.node_secret(&name).await {
        Ok(secret) => {
            let url = client.base().to_owned();
            let one_use = service.agents.setup().is_some_and(|setup| setup.is_one_use(agent));
            Ok(Some(Assignment { url, node: node.clone(), secret, one_use }))
        }
        Err(error) => {
            tracing::warn!(agent = agent.id, %error, "the secret of a node cannot be read");
            Ok(None)
        }
    }
}
