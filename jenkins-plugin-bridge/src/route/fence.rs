//! Fencing: making sure that a build which was started does nothing any more, before it is run again.

use async_trait::async_trait;

/// A build whose master is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Id of the build.
    pub build: String,
    /// Key of the attempt that was lost; its pods carry it.
    pub key: String,
    /// The master that had it.
    pub master: String,
    /// Its address there.
    pub url: String,
}

/// What came of fencing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fenced {
    /// Its pod was deleted and seen gone: nothing of it runs, and nothing of it will.
    Gone,
    /// Nobody can say. The build is not run again by itself.
    Unknown(String),
}

/// Deletes the pods of a lost build and sees them gone.
#[async_trait]
pub trait Fence: Send + Sync + std::fmt::Debug {
    /// Fences a build. It may be called again for the same one.
    async fn fence(&self, lost: &Lost) -> Fenced;
}

/// For a bridge that knows no pods.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPods;

#[async_trait]
impl Fence for NoPods {
    async fn fence(&self, _: &Lost) -> Fenced {
        Fenced::Unknown(
            "this bridge knows no pods, so that nobody sees whether it still runs".into(),
        )
    }
}
