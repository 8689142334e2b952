//! The service: plans over HTTP for builds that run on controllers, and what they report back.
//!
//! A build asks for its plan once, gets it signed, and with it a token that is good for this build
//! only. It posts the facts that the plan waits for, and the results of its stages.

mod api;
mod args;
mod audit;
mod auth;
mod board;
mod config;
mod fence;
mod gauges;
mod images;
mod labels;
pub mod leader;
mod live;
mod made;
mod masters;
mod metrics;
mod oidc;
mod openapi;
mod plans;
mod pods;
mod problem;
mod rate;
mod running;
mod server;
mod session;
mod sign;
mod state;
pub(crate) mod store;
mod traces;
mod usage;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use api::order_build;
pub(crate) use api::routed::BuildOrder;
pub use api::router;
pub(crate) use api::types::TestCounts;
pub use args::{KeyArgs, ServeArgs, TokenArgs, database, make_key, make_token, serve};
pub(crate) use args::{replica, start_log, stop};
pub use auth::{AccessToken, AccessTokens, BuildClaims, BuildTokens, Role, Scope};
pub(crate) use auth::{new_secret, sha256_hex};
pub use config::{ControllerConfig, read_controllers, read_tokens};
pub use fence::PodFence;
pub use images::images;
pub use leader::{LeaseTimes, Leases, lead};
pub use live::LiveCatalog;
pub use masters::watch_masters;
pub use oidc::Provider as LoginProvider;
pub use openapi::document as openapi_document;
pub(crate) use plans::new_token;
pub use pods::watch as watch_build_pods;
pub use problem::Problem as HttpProblem;
pub use rate::{RateLimits, Rates};
pub(crate) use server::accept;
pub use server::{Limits, Server, TlsFiles};
pub use sign::{EVALUATION_TYPE, Envelope, KeyRing, PLAN_TYPE, PublicKey};
pub use state::{Service, ServiceOptions};
pub use store::{ImageUse, Store, StoreError};
pub use traces::LogFormat;
pub use usage::{SizingRow, sizing};
