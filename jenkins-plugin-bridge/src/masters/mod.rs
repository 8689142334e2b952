//! Controllers that are managed as one: what is declared about them, how they are, and how many there
//! are for each label.
//!
//! [`file`] has the types of the masters file, [`health`] judges what a look at a master showed (with no
//! clock and no network), [`registry`] keeps the masters with their state in memory, [`watch`] looks at
//! them, [`resources`] has those that Kubernetes declares, [`declaration`] and [`tokens`] those of the API, [`labels`] says which labels too few masters have,
//! [`check`] what the bridge may do at one, and [`drain`] who has taken one out.

pub mod check;
pub mod declaration;
pub mod drain;
pub mod file;
pub mod health;
pub mod labels;
pub mod registry;
pub mod resources;
pub mod tokens;
pub mod watch;
pub mod window;

#[cfg(test)]
mod tests;

pub use check::{MasterCheck, PermissionCheck, PermissionState, check};
pub use declaration::{DeclaredMastersFile, MasterDeclaration};
pub use drain::Drain;
pub use file::{Labels, MasterSpec, MastersFile, Permission};
pub use health::{Health, HealthRules, Observation, Seen, State};
pub use labels::{ENOUGH, LabelCover, cover};
pub use registry::{Declared, Master, Registry, Source};
pub use resources::{Resources, follow_resources};
pub use tokens::TokenDirectory;
pub use watch::{WatchOptions, watch};
