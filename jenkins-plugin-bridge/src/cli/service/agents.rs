//! `agents`: pools of agents on demand, the agents, and those that have gone lately.

use clap::Args;
use serde_json::{Value, json};

use super::client::Bridge;
use super::{OutputArguments, ServiceArguments, typed};
use crate::agents::{Activity, Agent, PoolSeen};
use crate::cli::PASSED;
use crate::cli::remote::runtime;
use crate::cli::table::{Table, span};
use crate::error::BridgeError;

/// Arguments of `agents`.
#[derive(Debug, Args)]
pub struct AgentsArguments {
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(in crate::cli) fn execute(arguments: &AgentsArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    runtime()?.block_on(async {
        let pools = bridge.get("/v1/agents/pools").await?;
        let agents = bridge.get("/v1/agents").await?;
        let now_ms = super::builds::now_ms();
        arguments.output.print(&json!({"pools": pools, "agents": agents}), |answer| {
            text(&typed::<Vec<PoolSeen>>(&answer["pools"])?, &answer["agents"], now_ms)
        })?;
        Ok(PASSED)
    })
}

fn text(pools: &[PoolSeen], agents: &Value, now_ms: i64) -> Result<String, BridgeError> {
    let (gone, alive): (Vec<Agent>, Vec<Agent>) =
        typed::<Vec<Agent>>(agents)?.into_iter().partition(|one| one.activity() == Activity::Gone);
    if pools.is_empty() && alive.is_empty() && gone.is_empty() {
        return Ok("there are no agents on demand (serve --agents)\n".to_owned());
    }
    let mut table = Table::new(&[
        "POOL", "LABELS", "BUILDS", "WAIT", "START", "CONNECT", "AT WORK", "LEAVE", "MOST",
    ]);
    for one in pools {
        table.line([
            one.pool.clone(),
            one.labels.iter().map(String::as_str).collect::<Vec<_>>().join(","),
            one.builds_that_wait().to_string(),
            one.waiting.to_string(),
            one.starting.to_string(),
            one.connecting.to_string(),
            one.busy.saturating_add(one.online).to_string(),
            one.leaving.to_string(),
            one.most.map_or_else(String::new, |most| most.to_string()),
        ]);
    }
    let mut text = table.text();
    for one in pools {
        if let Some(refusal) = &one.refusal {
            text.push_str(&format!("{} starts no more agents: {refusal}\n", one.pool));
        }
    }
    for (title, list) in [("agents", &alive), ("gone in the last ten minutes", &gone)] {
        text.push_str(&format!("\n{} {title}\n{}", list.len(), lines(list, now_ms)));
    }
    Ok(text)
}

fn lines(agents: &[Agent], now_ms: i64) -> String {
    let mut table =
        Table::new(&["POD AND NODE", "POOL", "STATE", "MASTER", "AGE", "CLAIM TO ONLINE", "WHY"]);
    for one in agents {
        let until = one.left_ms.filter(|_| one.activity() == Activity::Gone).unwrap_or(now_ms);
        table.line([
            one.pod.clone(),
            one.pool.clone(),
            one.activity().as_str().to_owned(),
            one.master.clone().unwrap_or_default(),
            span(until.saturating_sub(one.created_ms)),
            one.connected_within_ms().map_or_else(String::new, |ms| format!("{ms} ms")),
            one.reason.clone(),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn pools_and_agents_are_told() {
        let nothing = text(&[], &json!([]), 0).unwrap();
        assert_eq!(nothing, "there are no agents on demand (serve --agents)\n");
        let pool = PoolSeen {
            pool: "p".into(),
            labels: ["linux".to_owned()].into(),
            most: Some(1),
            busy: 1,
            builds: [("north".to_owned(), 3)].into(),
            refusal: Some("it has as many agents as it may: `most` is 1".into()),
            ..PoolSeen::default()
        };
        let agents = json!([
            {"id": "a", "pool": "p", "state": "claimed", "pod": "pilotfish-p-a", "master": "north",
                "created_ms": 1000, "claimed_ms": 30_000, "online_ms": 30_059, "busy_ms": 31_000},
            {"id": "b", "pool": "p", "state": "gone", "pod": "pilotfish-p-b", "created_ms": 1000,
                "left_ms": 3000, "reason": "its pod has ended"},
        ]);
        let told = text(&[pool], &agents, 61_000).unwrap();
        assert_eq!(
            told,
            "POOL  LABELS  BUILDS  WAIT  START  CONNECT  AT WORK  LEAVE  MOST\n\
             p     linux   3       0     0      0        1        0      1\n\
             p starts no more agents: it has as many agents as it may: `most` is 1\n\n\
             1 agents\n\
             POD AND NODE   POOL  STATE  MASTER  AGE    CLAIM TO ONLINE  WHY\n\
             pilotfish-p-a  p     busy   north   1m 0s  59 ms\n\n\
             1 gone in the last ten minutes\n\
             POD AND NODE   POOL  STATE  MASTER  AGE  CLAIM TO ONLINE  WHY\n\
             pilotfish-p-b  p     gone           2s                    its pod has ended\n"
        );
    }
}
