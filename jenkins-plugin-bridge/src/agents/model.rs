//! An agent of the ledger, and the mark of what was made for it.

use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Begins the description of a node that the bridge has made.
const MARK: &str = "pilotfish-agent";

/// Where an agent is in its life. It never goes back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// Its pod starts, or is about to be made.
    Starting,
    /// It waits for somebody to need it.
    Waiting,
    /// It belongs to a node of a master.
    Claimed,
    /// Its node and its pod are being removed.
    Leaving,
    /// Nothing of it is left.
    Gone,
}

impl AgentState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        }
    }
}

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Its pod starts, or is about to be made.
    Starting,
    /// It waits for somebody to need it.
    Waiting,
    /// It was claimed, and its node is not online yet.
    Connecting,
    /// Its node is online, and no build was there yet.
    Online,
    /// A build has come to it.
    Busy,
    /// Its node and its pod are being removed.
    Leaving,
    /// Nothing of it is left.
    Gone,
}

impl Activity {
    /// As it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Busy => "busy",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        }
    }
}

/// An agent. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// 16 hexadecimal digits of chance. Its pod and its node end with them; they are never used again.
    pub id: String,
    /// Name of its pool.
    pub pool: String,
    /// Where it is.
    pub state: AgentState,
    /// Raised with each change.
    #[serde(skip)]
    pub version: i64,
    /// When it was heard of last while it waited.
    #[serde(skip)]
    pub heard_ms: Option<i64>,
    /// Name of its pod.
    pub pod: String,
    /// When it was decided.
    pub created_ms: i64,
    /// Uid of its pod, once that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When it was heard of for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_ms: Option<i64>,
    /// The master that it was claimed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The label that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The build of the bridge that alone it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Name of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_ms: Option<i64>,
    /// When its node was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_ms: Option<i64>,
    /// When it said that it has its secret: nobody gets that again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_ms: Option<i64>,
    /// When its node was seen online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_ms: Option<i64>,
    /// When a build was seen on it for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ms: Option<i64>,
    /// When it was last seen to be of use: busy, or online for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_ms: Option<i64>,
    /// Since when its node is offline again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<i64>,
    /// Since when it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<i64>,
    /// Its node is gone for certain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub node_gone: bool,
    /// Why it leaves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Agent {
    /// A new one.
    #[must_use]
    pub fn new(id: String, pool: &str, now_ms: i64) -> Self {
        // What Kubernetes allows as a host name, of which a pod's name is one.
        let stem = crate::pod::label(&format!("pilotfish-{pool}"), 46);
        Self {
            pod: format!("{stem}-{id}"),
            id,
            pool: pool.to_owned(),
            state: AgentState::Starting,
            version: 1,
            heard_ms: None,
            created_ms: now_ms,
            uid: None,
            waiting_ms: None,
            master: None,
            label: None,
            build: None,
            node: None,
            claimed_ms: None,
            made_ms: None,
            taken_ms: None,
            online_ms: None,
            busy_ms: None,
            used_ms: None,
            lost_ms: None,
            left_ms: None,
            node_gone: false,
            reason: String::new(),
        }
    }

    /// What it does, in a word: its state, and of one that is claimed how far it has come.
    #[must_use]
    pub fn activity(&self) -> Activity {
        match self.state {
            AgentState::Starting => Activity::Starting,
            AgentState::Waiting => Activity::Waiting,
            AgentState::Claimed if self.busy_ms.is_some() => Activity::Busy,
            AgentState::Claimed if self.online_ms.is_some() => Activity::Online,
            AgentState::Claimed => Activity::Connecting,
            AgentState::Leaving => Activity::Leaving,
            AgentState::Gone => Activity::Gone,
        }
    }

    /// How long it took from its claim until its node was online, in milliseconds.
    #[must_use]
    pub fn connected_within_ms(&self) -> Option<i64> {
        Some(self.online_ms?.saturating_sub(self.claimed_ms?))
    }

    /// Whether it was decided after a time and has ended without ever having been there.
    #[must_use]
    pub fn has_failed(&self, since_ms: i64) -> bool {
        self.state >= AgentState::Leaving && self.waiting_ms.is_none() && self.created_ms > since_ms
    }

    /// A build was seen on it.
    pub(crate) fn is_busy(&mut self, now_ms: i64) {
        self.online_ms = self.online_ms.or(Some(now_ms));
        self.busy_ms = self.busy_ms.or(Some(now_ms));
        self.used_ms = Some(now_ms);
    }

    /// The agent of a node by the name of that.
    pub(crate) fn id_of_node(node: &str) -> &str {
        node.rsplit('-').next().unwrap_or_default()
    }

    /// The name of its node: as that of its pod.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.pod.clone()
    }
}

/// 64 bits of chance as hexadecimal digits; nothing where the system has none.
#[must_use]
pub fn new_id() -> Option<String> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a node with a mark is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// That of an agent.
    Agent,
    /// Nobody's: it is there so that the master counts what waits for its labels.
    Placeholder,
}

/// The mark of a node, in its description: whose it is, of which pool, since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose it is.
    pub owner: String,
    /// What it is.
    pub what: Marked,
    /// Of which pool.
    pub pool: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
}

impl Mark {
    /// As the description of a node.
    #[must_use]
    pub fn text(&self) -> String {
        let what = match self.what {
            Marked::Agent => "agent",
            Marked::Placeholder => "placeholder",
        };
        format!("{MARK} {} {what} {} {}", self.owner, self.pool, self.made_ms)
    }

    /// Reads a description; nothing where it is none of ours.
    #[must_use]
    pub fn read(description: &str) -> Option<Self> {
        let mut words = description.split(' ');
        if words.next() != Some(MARK) {
            return None;
        }
        let owner = words.next()?.to_owned();
        let what = match words.next()? {
            "agent" => Marked::Agent,
            "placeholder" => Marked::Placeholder,
            _ => return None,
        };
        let (pool, made) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        words.next().is_none().then_some(Self { owner, what, pool, made_ms: made })
    }
}
