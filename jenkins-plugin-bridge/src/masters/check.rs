//! What the bridge's user lacks at a master for each degree of permission. Nothing is changed there, and what
//! only an administrator could see is not asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::Permission;
use super::registry::Master;
use crate::rest::{JobName, RestError, Right};

/// A permission, and whether the bridge's user has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionCheck {
    /// The degree that needs it; nothing for what only makes more visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Permission>,
    /// As it is called in the controller's matrix of permissions.
    pub permission: String,
    /// Whether it is there.
    pub state: PermissionState,
    /// What follows from that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Whether a permission is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PermissionState {
    /// It is.
    Given,
    /// It is not.
    Lacking,
    /// The REST API does not tell.
    Unseen,
}

/// What was found out about a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterCheck {
    /// Its name.
    pub master: String,
    /// The user that the bridge has there.
    pub user: String,
    /// What the bridge may do there, as it is declared.
    pub declared: Permission,
    /// The most that its user has been seen to be able to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Permission>,
    /// Each permission.
    pub checks: Vec<PermissionCheck>,
}

impl MasterCheck {
    /// The permissions in this state that what is declared needs.
    pub fn needed(&self, state: PermissionState) -> impl Iterator<Item = &str> {
        let is_needed = move |one: &&PermissionCheck| {
            one.state == state && one.level.is_some_and(|level| level <= self.declared)
        };
        self.checks.iter().filter(is_needed).map(|one| one.permission.as_str())
    }
}

const BUILDS: &str = "a build at least has to have ended there";
const NODES: &str = "an inbound node has to be there";
const NO_PAGE: &str = "no page tells without doing it";

/// Checks a master. `job` is one of the bridge's jobs that is there.
///
/// # Errors
/// [`RestError`] where it does not answer, or refuses the login.
pub async fn check(master: &Master, job: Option<&JobName>) -> Result<MasterCheck, RestError> {
    let client = &master.client;
    let mut checks = Vec::new();
    let mut add = |level: Option<Permission>, permission: &str, right: Right, unseen: &str| {
        let (state, note) = match right {
            Right::Given => (PermissionState::Given, String::new()),
            Right::Lacking(name) => (PermissionState::Lacking, name),
            Right::Unseen => (PermissionState::Unseen, unseen.to_owned()),
        };
        checks.push(PermissionCheck { level, permission: permission.to_owned(), state, note });
    };
    let (read, trigger, full) =
        (Some(Permission::Read), Some(Permission::Trigger), Some(Permission::Full));
    let root = match client.pulse().await {
        Ok(_) => Right::Given,
        Err(RestError::Forbidden { reason, .. }) => Right::Lacking(reason),
        Err(error) => return Err(error),
    };
    let is_open = root == Right::Given;
    add(read, "Overall/Read", root, "");
    if is_open {
        const JOB: &str = "a job of the bridge has to be there";
        if let Some(job) = job {
            add(
                read,
                "Job/Read",
                client.may_read(job).await?,
                "it has no job of the bridge, or hides it",
            );
            add(trigger, "Job/Build", client.may_build(job).await?, JOB);
            add(trigger, "Job/Cancel", client.may_cancel(job).await?, BUILDS);
        } else {
            for (level, name) in
                [(read, "Job/Read"), (trigger, "Job/Build"), (trigger, "Job/Cancel")]
            {
                add(level, name, Right::Unseen, JOB);
            }
        }
        add(full, "Job/Create", client.may_create_jobs().await?, NO_PAGE);
        let configure = match job {
            Some(job) => client.may_configure(job).await?,
            None => Right::Unseen,
        };
        add(full, "Job/Configure", configure, JOB);
        add(full, "Job/Delete", Right::Unseen, NO_PAGE);
        add(full, "Agent/Create", client.may_create_nodes().await?, NO_PAGE);
        let node = client.inbound_node().await?;
        let (mut connect, mut configure) = (Right::Unseen, Right::Unseen);
        if let Some(node) = &node {
            connect = client.may_connect(node).await?;
            configure = client.may_configure_node(node).await?;
        }
        add(full, "Agent/Connect", connect, NODES);
        add(full, "Agent/Configure", configure, NODES);
        add(full, "Agent/Disconnect", Right::Unseen, NO_PAGE);
        add(full, "Agent/Delete", Right::Unseen, NO_PAGE);
        let seen = |is_there: bool| if is_there { Right::Given } else { Right::Unseen };
        let credentials = client.credential_ids().await?.is_some();
        let why = "what credentials there are cannot be seen: one that is missing shows when a build needs it";
        add(None, "Credentials/View", seen(credentials), why);
        let plugins = client.plugin_names().await?.is_some();
        let why = "what plugins there are cannot be seen: one that is missing shows when a build needs it";
        add(None, "Overall/SystemRead", seen(plugins), why);
    }
    Ok(MasterCheck {
        master: master.name.clone(),
        user: client.user().to_owned(),
        declared: master.spec.permission,
        reaches: reaches(&checks),
        checks,
    })
}

/// The highest degree none of whose permissions is lacking. What cannot be seen is not held against it, but
/// something of a degree must have been seen.
fn reaches(checks: &[PermissionCheck]) -> Option<Permission> {
    let mut reached = None;
    for level in [Permission::Read, Permission::Trigger, Permission::Full] {
        let own = || checks.iter().filter(|one| one.level == Some(level));
        let lacking = own().any(|one| one.state == PermissionState::Lacking);
        if lacking || !own().any(|one| one.state == PermissionState::Given) {
            break;
        }
        reached = Some(level);
    }
    reached
}
