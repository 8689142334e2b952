//! Where pods come from. The cluster is one answer; tests have another.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::file::{Identity, Pool};

/// For whom the token of a service account is made (`aud`).
pub const TOKEN_AUDIENCE: &str = "pilotfish-bridge";

/// A pod to be made.
#[derive(Debug, Clone, Copy)]
pub struct PodOrder<'a> {
    /// Whose it is.
    pub owner: &'a str,
    /// Id of its agent.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Name of its pool.
    pub pool_name: &'a str,
    /// Its pool.
    pub pool: &'a Pool,
    /// Where it finds the bridge.
    pub bridge: &'a str,
    /// The token that it shows, where its identity is a secret.
    pub token: Option<&'a Token>,
}

/// The token of a pod. It is not shown.
pub struct Token(pub Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A pod that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedPod {
    /// Its uid.
    pub uid: String,
}

/// A pod that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPod {
    /// Its name.
    pub name: String,
    /// Name of its pool, by which it is deleted.
    pub pool: String,
    /// Id of its agent.
    pub id: String,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
    /// It has ended.
    pub ended: bool,
}

/// Whose a token of a service account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// Name of the pod.
    pub pod: String,
    /// Its uid.
    pub uid: String,
}

/// Where pods come from.
#[async_trait]
pub trait Pods: Send + Sync + fmt::Debug {
    /// Makes a pod. One of that name that is there already is the same one.
    ///
    /// # Errors
    /// Why not, for people.
    async fn start(&self, order: &PodOrder<'_>) -> Result<StartedPod, String>;

    /// Deletes a pod. One that is not there is no error.
    ///
    /// # Errors
    /// Why not, for people.
    async fn delete(&self, pool: &str, name: &str) -> Result<(), String>;

    /// All pods of an owner, those that are about to go included, by name.
    ///
    /// # Errors
    /// Why they cannot be seen.
    async fn list(&self, owner: &str) -> Result<BTreeMap<String, SeenPod>, String>;

    /// Whose a token of a service account is; nothing where it is nobody's.
    ///
    /// # Errors
    /// Why that cannot be told.
    async fn review(&self, pool: &str, token: &str) -> Result<Option<Reviewed>, String>;

    /// Whether pods of a pool can be made at all.
    ///
    /// # Errors
    /// Why not, for people.
    fn check(&self, pool: &Pool) -> Result<(), String>;
}

/// Whether a pod of this identity has a token of its own.
#[must_use]
pub fn has_token(identity: Identity) -> bool {
    identity == Identity::Secret
}
