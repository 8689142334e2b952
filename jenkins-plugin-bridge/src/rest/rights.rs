//! Whether the user of a client may do something at a controller. Only pages that change nothing are
//! asked for: the controller checks the permission first and names the one that is missing.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::client::Client;
use super::error::RestError;
use super::name::JobName;
use super::node::NodeName;
use super::overview::read;

/// What is asked for to find a node that an agent connects to.
const INBOUND_TREE: &str = "computer[displayName,jnlpAgent]";

#[derive(Deserialize)]
struct ComputersJson {
    #[serde(default)]
    computer: Vec<ComputerJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComputerJson {
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    jnlp_agent: bool,
}

/// Whether the user may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// It may.
    Given,
    /// It may not; the permission that is missing, as the controller names it.
    Lacking(String),
    /// Nothing tells.
    Unseen,
}

impl Client {
    async fn right(&self, method: Method, path: &str) -> Result<Right, RestError> {
        let (status, lacks) = self.answer_of(method, path).await?;
        Ok(match (status, lacks) {
            // 405: `hudson.model.BuildAuthorizationToken.checkPermission` looks at the permission first.
            (status, _) if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED => {
                Right::Given
            }
            (StatusCode::FOUND, _) => Right::Given,
            (StatusCode::FORBIDDEN, Some(lacks)) => Right::Lacking(lacks),
            _ => Right::Unseen,
        })
    }

    /// Item/Read of a job: what may not be read looks as what is not there.
    ///
    /// # Errors
    /// [`RestError`] where the controller gives no answer, as for all of these.
    pub async fn may_read(&self, job: &JobName) -> Result<Right, RestError> {
        self.right(Method::GET, &format!("{}api/json?tree=name", job.path())).await
    }

    /// Item/Build of a job.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_build(&self, job: &JobName) -> Result<Right, RestError> {
        self.right(Method::HEAD, &format!("{}buildWithParameters", job.path())).await
    }

    /// Item/Cancel of a job, by stopping its last build that has ended, which does nothing.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_cancel(&self, job: &JobName) -> Result<Right, RestError> {
        self.right(Method::POST, &format!("{}lastCompletedBuild/stop", job.path())).await
    }

    /// Item/Configure of a job. Where Item/ExtendedRead is switched on, that one looks the same.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_configure(&self, job: &JobName) -> Result<Right, RestError> {
        self.right(Method::GET, &format!("{}config.xml", job.path())).await
    }

    /// Item/Create at the top.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_create_jobs(&self) -> Result<Right, RestError> {
        self.right(Method::HEAD, "newJob").await
    }

    /// Computer/Create.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_create_nodes(&self) -> Result<Right, RestError> {
        self.right(Method::HEAD, "computer/new").await
    }

    /// Computer/Connect of a node. Its secret is not asked for, only whether it would be told.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_connect(&self, node: &NodeName) -> Result<Right, RestError> {
        self.right(Method::HEAD, &format!("{}jenkins-agent.jnlp", node.path())).await
    }

    /// Computer/Configure of a node.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn may_configure_node(&self, node: &NodeName) -> Result<Right, RestError> {
        self.right(Method::GET, &format!("{}config.xml", node.path())).await
    }

    /// Any node that an agent connects to.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn inbound_node(&self) -> Result<Option<NodeName>, RestError> {
        let all: ComputersJson = read(&self.json("computer/", INBOUND_TREE).await?, "nodes")?;
        let mut names = all.computer.into_iter().filter(|one| one.jnlp_agent);
        Ok(names.find_map(|one| NodeName::parse(&one.display_name).ok()))
    }
}
