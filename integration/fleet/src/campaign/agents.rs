//! A campaign of agents on demand: builds ask for a label that no node has, while the bridge, masters and
//! agents are killed and paused. In the end nothing may be left that nobody knows: no node, no process.

mod official;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pilotfish_bridge::agents::{Mark, Marked};
use pilotfish_bridge::rest::{Client, ClientOptions, Login, ProxyChoice, RetryPolicy};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::process::{Bridge, MasterProcess, Setup};
use super::{Options, orders, told};
use crate::error::FleetError;
use crate::ledger::{Entry, Ledger, What};
use crate::processes::Processes;
use crate::random::Random;

/// The label that only agents on demand have.
pub(super) const LABEL: &str = "pod";
/// The job of each master that asks for it.
const JOB: &str = "<project><properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>\
<hudson.model.StringParameterDefinition><name>PILOTFISH_BUILD_KEY</name><defaultValue/>\
</hudson.model.StringParameterDefinition></parameterDefinitions></hudson.model.ParametersDefinitionProperty>\
</properties><assignedNode>pod</assignedNode></project>";
/// The longest that a master takes to start.
const START: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// How a campaign of agents went.
#[derive(Debug)]
pub struct AgentsVerdict {
    /// What is wrong.
    pub problems: Vec<String>,
    /// Builds that were asked for.
    pub asked: u32,
    /// Builds by their result.
    pub results: BTreeMap<String, usize>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u32>,
    /// Agents that had a node.
    pub agents: usize,
    /// Builds that ran on a node that had one already.
    pub second: usize,
    /// Milliseconds from the claim of an agent that waited, the making of its node included, until that was
    /// online; the shortest first.
    pub claims_ms: Vec<u64>,
    /// Milliseconds from the start of the official agent until that was online; the shortest first.
    pub official_ms: Vec<u64>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for AgentsVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} builds on {} agents in {} s; results {:?}; faults {:?}; {} second builds on a node",
            self.asked,
            self.agents,
            self.took.as_secs(),
            self.results,
            self.faults,
            self.second
        )?;
        let part = |all: &[u64], share: usize| all.get(all.len() * share / 100).copied();
        let claims = &self.claims_ms;
        if let (Some(half), Some(most)) = (part(claims, 50), part(claims, 95)) {
            let count = claims.len();
            writeln!(
                f,
                "claim to online: p50 {half} ms, p95 {most} ms ({count} agents that waited)"
            )?;
        }
        let starts = &self.official_ms;
        if let (Some(half), Some(most)) = (part(starts, 50), starts.last()) {
            let count = starts.len();
            writeln!(
                f,
                "the official agent from its start to online: p50 {half} ms, most {most} ms ({count} starts)"
            )?;
        }
        writeln!(f, "{} wrong", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

fn other(error: impl fmt::Display) -> FleetError {
    FleetError::Other(error.to_string())
}

struct Campaign {
    setup: Setup,
    http: reqwest::Client,
    clients: Vec<Client>,
    masters: Vec<MasterProcess>,
    bridge: Bridge,
    processes: Processes,
    random: Random,
    form: Form,
    faults: BTreeMap<&'static str, u32>,
}

/// What there is beside builds.
#[derive(Debug, Clone, Default)]
pub struct Form {
    /// No faults, for figures.
    pub calm: bool,
    /// The official agent, which is started for comparison.
    pub official: Option<PathBuf>,
}

/// Runs a campaign.
///
/// # Errors
/// [`FleetError`] where it cannot be run; what is wrong is in the verdict.
pub async fn run(form: &Form, options: &Options) -> Result<AgentsVerdict, FleetError> {
    let agent =
        options.agent.as_ref().ok_or_else(|| other("the program of agents is not given"))?;
    let setup = Setup::make(options)?;
    let masters = (0..options.masters)
        .map(|index| MasterProcess::start(&setup, index))
        .collect::<Result<_, _>>()?;
    let mut campaign = Campaign {
        clients: setup.ports.iter().map(|(port, _)| client(*port)).collect::<Result<_, _>>()?,
        processes: Processes::open(&options.directory.join("pods").join("agents"), agent)?,
        bridge: Bridge::start(&setup, 0)?,
        http: crate::http_client()?,
        random: Random::new(options.seed),
        faults: BTreeMap::new(),
        form: form.clone(),
        masters,
        setup,
    };
    let verdict = campaign.run().await;
    // Agents are no children of this process.
    for pid in campaign.processes.pids().map_err(other)? {
        let _ = kill_process(pid, Signal::KILL);
    }
    verdict
}

fn client(port: u16) -> Result<Client, FleetError> {
    let mut options = ClientOptions::new(format!("http://127.0.0.1:{port}/"));
    options.login = Some(Login { user: "bridge".into(), token: "t-bridge".to_owned().into() });
    options.proxy = ProxyChoice::Direct;
    options.timeout = Duration::from_secs(2);
    options.retry = RetryPolicy { tries: 1, ..RetryPolicy::default() };
    Client::new(&options).map_err(other)
}

/// How long claims took, where the agent had waited for a while.
fn claims(agents: &Value, ledger: &[Entry]) -> Vec<u64> {
    const A_WHILE_MS: u64 = 200;
    let online: BTreeMap<&str, u64> = ledger
        .iter()
        .filter(|entry| entry.what == What::Online)
        .map(|entry| (entry.detail.as_str(), entry.at_us))
        .collect();
    let took = |agent: &Value| {
        let (waiting, claimed) = (agent["waiting_ms"].as_u64()?, agent["claimed_ms"].as_u64()?);
        let at_us = online.get(agent["node"].as_str()?)?;
        (waiting + A_WHILE_MS < claimed).then(|| (at_us / 1000).saturating_sub(claimed))
    };
    let mut all: Vec<u64> = agents.as_array().into_iter().flatten().filter_map(took).collect();
    all.sort_unstable();
    all
}

impl Campaign {
    async fn run(&mut self) -> Result<AgentsVerdict, FleetError> {
        let started = Instant::now();
        let job = pilotfish_bridge::rest::JobName::parse("pods").map_err(other)?;
        for client in &self.clients {
            let begun = Instant::now();
            // A master that has just been started answers 503 for a moment.
            while let Err(error) = client.create_item(&job, JOB.to_owned()).await {
                if begun.elapsed() > START {
                    return Err(other(error));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        let builds = self.setup.options.builds;
        let mut asked = 0;
        for number in 0..builds {
            let at = usize::try_from(number).map_err(other)? % self.clients.len();
            let key = format!("agents-{}-{number}", self.setup.options.seed);
            let parameters = [("PILOTFISH_BUILD_KEY".to_owned(), key)];
            // A master that is away is not asked again: its queue is not what is looked at here.
            if self.clients[at].trigger(&job, &parameters).await.is_ok() {
                asked += 1;
            }
            // For figures agents are to wait before they are needed.
            if self.form.calm || number % 4 == 3 {
                self.strike().await?;
                told(&format!("{number} of {builds} builds asked for"));
            }
        }
        for master in &mut self.masters {
            master.restart(&self.setup)?;
        }
        self.bridge.restart(&self.setup)?;
        let mended = Instant::now();
        let mut problems = vec!["nothing was looked at".to_owned()];
        while !problems.is_empty() && mended.elapsed() < self.setup.options.patience {
            tokio::time::sleep(LOOK).await;
            problems = self.left().await.unwrap_or_else(|error| vec![error.to_string()]);
            told(&format!("{} left", problems.len()));
        }
        let ledger = Ledger::read(&self.setup.ledger)?;
        let mut results = BTreeMap::new();
        let mut nodes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut builds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for entry in &ledger {
            match entry.what {
                What::Ended => *results.entry(entry.detail.clone()).or_default() += 1,
                What::OnNode => {
                    builds.entry(entry.detail.clone()).or_default().insert(entry.key.clone());
                    nodes.entry(entry.detail.clone()).or_default().insert(entry.master.clone());
                }
                _ => {}
            }
        }
        let twice = nodes.iter().filter(|(_, masters)| masters.len() > 1);
        problems
            .extend(twice.map(|(node, masters)| format!("{node} was claimed twice: {masters:?}")));
        let many = builds.iter().filter(|(_, keys)| keys.len() > 1);
        problems.extend(many.map(|(node, keys)| format!("{node} had several builds: {keys:?}")));
        if !results.contains_key("SUCCESS") {
            problems.push("no build has succeeded".to_owned());
        }
        let all = orders::agents(&self.http, &self.setup).await.unwrap_or_default();
        let official_ms = match &self.form.official {
            Some(jar) => {
                let directory = &self.setup.options.directory;
                official::starts_ms(jar, &self.clients[0], &self.setup.ledger, directory).await?
            }
            None => Vec::new(),
        };
        Ok(AgentsVerdict {
            official_ms,
            claims_ms: claims(&all, &ledger),
            problems,
            asked,
            results,
            faults: std::mem::take(&mut self.faults),
            agents: nodes.len(),
            second: builds.values().map(|keys| keys.len() - 1).sum(),
            took: started.elapsed(),
        })
    }

    /// One fault, and some time.
    async fn strike(&mut self) -> Result<(), FleetError> {
        let kind = if self.form.calm {
            "none"
        } else {
            self.random.one_of(&["bridge", "master", "agent", "pause", "none"])
        };
        *self.faults.entry(kind).or_default() += 1;
        let at = usize::try_from(self.random.between(0, self.masters.len() as u64 - 1))
            .map_err(other)?;
        let wait = Duration::from_millis(self.random.between(100, 1_500));
        match kind {
            "bridge" => {
                self.bridge.kill();
                tokio::time::sleep(wait).await;
                self.bridge.restart(&self.setup)?;
            }
            "master" => {
                self.masters[at].kill();
                tokio::time::sleep(wait).await;
                self.masters[at].restart(&self.setup)?;
            }
            "agent" => {
                let pids = self.processes.pids().map_err(other)?;
                if let Some(last) = pids.len().checked_sub(1) {
                    let one =
                        usize::try_from(self.random.between(0, last as u64)).map_err(other)?;
                    let _ = kill_process(pids[one], Signal::KILL);
                }
            }
            "pause" => {
                self.masters[at].pause();
                tokio::time::sleep(wait).await;
                self.masters[at].go_on();
            }
            _ => {}
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// What is still under way, or left behind.
    async fn left(&self) -> Result<Vec<String>, FleetError> {
        let mut left = Vec::new();
        for master in &self.masters {
            let url = format!("{}state", master.control);
            let text =
                self.http.get(url).send().await.map_err(other)?.text().await.map_err(other)?;
            let state: Value = serde_json::from_str(&text).map_err(other)?;
            for what in ["waiting", "running"] {
                if state[what] != 0 {
                    left.push(format!("{}: {} builds {what}", master.name, state[what]));
                }
            }
        }
        for (client, master) in self.clients.iter().zip(&self.masters) {
            let mut placeholders = 0;
            for node in client.computers().await.map_err(other)? {
                match Mark::read(&node.description).map(|mark| mark.what) {
                    Some(Marked::Placeholder) => placeholders += 1,
                    Some(Marked::Agent) => {
                        left.push(format!("{}: the node {}", master.name, node.name))
                    }
                    None => {}
                }
            }
            if placeholders != 1 {
                left.push(format!("{}: {placeholders} nodes to count by", master.name));
            }
        }
        let agents = orders::agents(&self.http, &self.setup).await?;
        let mut waiting = 0;
        for agent in agents.as_array().into_iter().flatten() {
            match agent["state"].as_str() {
                Some("waiting") => waiting += 1,
                Some("gone") => {}
                _ => left.push(format!("the agent {} is {}", agent["id"], agent["state"])),
            }
        }
        let running = self.processes.pids().map_err(other)?.len();
        if running != waiting {
            left.push(format!("{running} processes for {waiting} agents that wait"));
        }
        Ok(left)
    }
}
