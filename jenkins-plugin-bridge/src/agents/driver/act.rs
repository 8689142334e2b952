//! One act: what is written first, and what is done then.

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use super::{Done, Driver};
use crate::agents::decide::{Act, Seen};
use crate::agents::model::{Agent, AgentState, Mark, Marked, new_id};
use crate::agents::pods::{PodOrder, Token, has_token};
use crate::agents::standby::{Assignment, Setup};
use crate::rest::{NewNode, NodeName, RestError};
use crate::service::{Service, StoreError, new_secret, sha256_hex};

/// Begins the token of a pod, so that scanners for leaked secrets find it.
const TOKEN_PREFIX: &str = "pfs_";
/// What begins the key of a pod that is being made.
const START: &str = "start ";
/// Pods that are being made at once: what an API server answers at once without making others wait.
const STARTS: usize = 32;
/// Why a node is out.
const OUT: &str = "Pilotfish: this agent is for one build";

/// By what an act is known while it is under way; nothing where it is done at once.
fn key(act: &Act) -> Option<String> {
    Some(match act {
        Act::MakeNode { agent } => format!("make {agent}"),
        Act::TakeOut { master, node } => format!("out {master} {node}"),
        Act::Remove { agent } => format!("remove {agent}"),
        Act::Offer { master, pool } => format!("offer {master} {pool}"),
        Act::RemoveNode { master, node } => format!("node {master} {node}"),
        Act::RemovePod { pod, .. } => format!("pod {pod}"),
        _ => return None,
    })
}

impl Driver<'_> {
    /// Writes an act down and begins it, unless it is under way.
    pub(super) async fn begin(
        &mut self,
        setup: &Setup,
        act: Act,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        if let Some(key) = key(&act) {
            if self.blocked.get(&key).is_none_or(|until| Instant::now() >= *until)
                && !self.under_way.contains(&key)
            {
                let service = Arc::clone(self.service);
                self.spawn(key, async move {
                    let done = perform(&service, &act).await;
                    let well = done
                        .inspect_err(|error| tracing::warn!(?act, error, "an agent's act failed"))
                        .is_ok();
                    Done::Act { act, well }
                });
            }
            return Ok(());
        }
        let store = &self.service.store;
        match act {
            Act::Start { pool } => self.start(setup, pool, now_ms).await?,
            Act::Claim { agent: id, master, label, build } => {
                let claimed = store
                    .change_agent(&id, now_ms, |agent| {
                        let free = agent.state == AgentState::Waiting;
                        agent.state = AgentState::Claimed;
                        agent.node = Some(agent.node_name());
                        agent.master = Some(master.clone());
                        agent.label = Some(label.clone());
                        agent.build.clone_from(&build);
                        agent.claimed_ms = Some(now_ms);
                        free
                    })
                    .await?;
                if claimed.is_some() {
                    tracing::info!(agent = id, master, label, "an agent is claimed");
                    Box::pin(self.begin(setup, Act::MakeNode { agent: id }, now_ms)).await?;
                }
            }
            Act::Note { agent: id, seen } => {
                store.change_agent(&id, now_ms, |agent| note(agent, seen, now_ms)).await?;
            }
            Act::Leave { agent: id, why } => {
                let left = store
                    .change_agent(&id, now_ms, |agent| {
                        let stays = agent.state < AgentState::Leaving;
                        agent.state = AgentState::Leaving;
                        agent.left_ms = Some(now_ms);
                        agent.reason.clone_from(&why);
                        stays
                    })
                    .await?;
                if left.is_some() {
                    tracing::info!(agent = id, why, "an agent leaves");
                    self.service.agents.forget(&id);
                    self.service.agents.tell(&id);
                    Box::pin(self.begin(setup, Act::Remove { agent: id }, now_ms)).await?;
                }
            }
            Act::Forget { agent: id } => {
                store
                    .change_agent(&id, now_ms, |agent| {
                        let leaves = agent.state == AgentState::Leaving;
                        agent.state = AgentState::Gone;
                        leaves
                    })
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A row first, then the pod: whatever ends this in between leaves nothing that is not known.
    async fn start(&mut self, setup: &Setup, pool: String, now_ms: i64) -> Result<(), StoreError> {
        // The others are decided upon again.
        if self.under_way.iter().filter(|key| key.starts_with(START)).count() >= STARTS {
            return Ok(());
        }
        let (Some(id), Some(token)) = (new_id(), new_secret(TOKEN_PREFIX)) else {
            tracing::error!("the system has no randomness: no agent can be made");
            return Ok(());
        };
        let Some(identity) = setup.pools.get(&pool).map(|pool| pool.identity) else {
            return Ok(());
        };
        let token = Token(Zeroizing::new(token));
        let digest = has_token(identity).then(|| sha256_hex(token.0.as_bytes()));
        let agent = Agent::new(id, &pool, now_ms);
        self.service.store.add_agent(&agent, digest.as_deref()).await?;
        let service = Arc::clone(self.service);
        self.spawn(format!("{START}{}", agent.id), async move {
            let token = has_token(identity).then_some(&token);
            let started = start_pod(&service, &agent, token).await;
            if let Err(why) = &started {
                tracing::warn!(pool, pod = agent.pod, why, "a pod of an agent cannot be made");
            }
            let now_ms = service.now_ms();
            let noted = service.store.change_agent(&agent.id, now_ms, |agent| {
                match &started {
                    Ok(uid) => agent.uid = Some(uid.clone()),
                    Err(_) if agent.state >= AgentState::Leaving => return false,
                    Err(why) => {
                        agent.state = AgentState::Leaving;
                        agent.left_ms = Some(now_ms);
                        agent.reason.clone_from(why);
                    }
                }
                true
            });
            if let Err(error) = noted.await {
                tracing::warn!(%error, "what became of a pod cannot be written");
            }
            Done::Act { act: Act::Start { pool }, well: true }
        });
        Ok(())
    }
}

async fn start_pod(
    service: &Service,
    agent: &Agent,
    token: Option<&Token>,
) -> Result<String, String> {
    let setup = service.agents.setup().ok_or("no agents are set up")?;
    let pool = setup.pools.get(&agent.pool).ok_or("its pool is there no more")?;
    let order = PodOrder {
        owner: &setup.owner,
        id: &agent.id,
        name: &agent.pod,
        pool_name: &agent.pool,
        pool,
        bridge: &setup.bridge,
        token,
    };
    setup.pods.start(&order).await.map(|started| started.uid)
}

/// Writes down what was seen of a node; false where that is known.
fn note(agent: &mut Agent, seen: Seen, now_ms: i64) -> bool {
    if agent.state != AgentState::Claimed {
        return false;
    }
    match seen {
        Seen::Online => {
            agent.online_ms = agent.online_ms.or(Some(now_ms));
            agent.used_ms = agent.used_ms.or(Some(now_ms));
            agent.lost_ms = None;
        }
        Seen::Busy => agent.is_busy(now_ms),
        Seen::Lost => agent.lost_ms = agent.lost_ms.or(Some(now_ms)),
    }
    true
}

async fn perform(service: &Service, act: &Act) -> Result<(), String> {
    let setup = service.agents.setup().ok_or("no agents are set up")?;
    match act {
        Act::MakeNode { agent } => make_node(service, setup, agent).await,
        Act::TakeOut { master, node } => {
            let (client, node) = node_of(service, master, node)?;
            client.take_out(&node, OUT).await.map(drop).map_err(|error| error.to_string())
        }
        Act::Remove { agent } => remove(service, setup, agent).await,
        Act::Offer { master, pool } => offer(service, setup, master, pool).await,
        Act::RemoveNode { master, node } => {
            tracing::info!(master, node, "a node that nobody knows is removed");
            let (client, node) = node_of(service, master, node)?;
            client.remove_node(&node).await.map_err(|error| error.to_string())
        }
        Act::RemovePod { pool, pod } => {
            tracing::info!(pool, pod, "a pod that nobody knows is removed");
            setup.pods.delete(pool, pod).await
        }
        _ => Ok(()),
    }
}

type Client = Arc<crate::rest::Client>;

fn node_of(service: &Service, master: &str, node: &str) -> Result<(Client, NodeName), String> {
    let client = service.masters.get(master).map(|one| Arc::clone(&one.client));
    let client = client.ok_or_else(|| format!("there is no master {master}"))?;
    let node = NodeName::parse(node).map_err(|error| error.to_string())?;
    Ok((client, node))
}

/// Makes the node of an agent that is claimed, and tells the agent.
async fn make_node(service: &Service, setup: &Setup, id: &str) -> Result<(), String> {
    let say = |error: StoreError| error.to_string();
    let Some((agent, _)) = service.store.agent(id).await.map_err(say)? else { return Ok(()) };
    let (AgentState::Claimed, Some(master), Some(node)) = (agent.state, &agent.master, &agent.node)
    else {
        return Ok(());
    };
    let pool = setup.pools.get(&agent.pool).ok_or("its pool is there no more")?;
    let (client, name) = node_of(service, master, node)?;
    let labels: Vec<&str> = match (&agent.build, &agent.label) {
        (Some(_), Some(own)) => vec![own],
        _ => pool.labels.iter().map(|one| one.0.as_str()).collect(),
    };
    let mark = Mark {
        owner: setup.owner.clone(),
        what: Marked::Agent,
        pool: agent.pool.clone(),
        made_ms: agent.claimed_ms.unwrap_or_default(),
    };
    let new = NewNode {
        description: &mark.text(),
        labels: &labels.join(" "),
        remote_fs: crate::pod::WORKSPACE,
    };
    let rest = |error: RestError| error.to_string();
    client.make_node(&name, &new).await.map_err(rest)?;
    let secret = client.node_secret(&name).await.map_err(rest)?;
    let now_ms = service.now_ms();
    let made = service.store.change_agent(id, now_ms, |agent| {
        let claimed = agent.state == AgentState::Claimed;
        agent.made_ms = agent.made_ms.or(Some(now_ms));
        claimed
    });
    // One that leaves meanwhile has its node removed.
    if made.await.map_err(say)?.is_some() {
        let (url, one_use) = (client.base().to_owned(), setup.is_one_use(&agent));
        service.agents.assign(id, Assignment { url, node: node.clone(), secret, one_use });
    }
    Ok(())
}

/// Removes the node of an agent, then its pod.
async fn remove(service: &Service, setup: &Setup, id: &str) -> Result<(), String> {
    let say = |error: StoreError| error.to_string();
    let Some((agent, _)) = service.store.agent(id).await.map_err(say)? else { return Ok(()) };
    if agent.state != AgentState::Leaving {
        return Ok(());
    }
    if let (Some(master), Some(node), false) = (&agent.master, &agent.node, agent.node_gone) {
        // Of a master that is declared no more nothing can be removed, or asked.
        if service.masters.get(master).is_some() {
            let (client, name) = node_of(service, master, node)?;
            client.remove_node(&name).await.map_err(|error| error.to_string())?;
        }
        let gone = |agent: &mut Agent| {
            agent.node_gone = true;
            true
        };
        service.store.change_agent(id, service.now_ms(), gone).await.map_err(say)?;
    }
    setup.pods.delete(&agent.pool, &agent.pod).await
}

/// Makes the node by which a master counts what waits for the labels of a pool.
async fn offer(
    service: &Service,
    setup: &Setup,
    master: &str,
    pool_name: &str,
) -> Result<(), String> {
    let pool = setup.pools.get(pool_name).ok_or("its pool is there no more")?;
    let id = new_id().ok_or("the system has no randomness")?;
    let name = format!("pilotfish-waits-{pool_name}-{id}");
    let (client, name) = node_of(service, master, &name)?;
    let mark = Mark {
        owner: setup.owner.clone(),
        what: Marked::Placeholder,
        pool: pool_name.to_owned(),
        made_ms: service.now_ms(),
    };
    let labels: Vec<&str> = pool.labels.iter().map(|one| one.0.as_str()).collect();
    let new = NewNode {
        description: &mark.text(),
        labels: &labels.join(" "),
        remote_fs: crate::pod::WORKSPACE,
    };
    tracing::info!(master, pool = pool_name, node = name.as_str(), "a node to count by is made");
    client.make_node(&name, &new).await.map_err(|error| error.to_string())
}
