//! Turns job parameters into a stage sequence.
//!
//! `parameters → plan → run`: a [`catalog`] of YAML templates says what stages there are and what
//! parameters they take; [`plan`] makes the stages of one build from it, the same bytes for the
//! same input; [`pod`] makes the pod of a plan, [`cluster`] has it run; [`run`] executes a plan on
//! this machine with no Jenkins at all, [`pod_run`] in a pod. [`cli`] is the command line.
//!
//! Parameters are data: they reach scripts as environment variables, never as script text.

// The schema of parameter schemas is one large `json!`.
#![recursion_limit = "256"]

pub mod agents;
pub mod archive;
mod canonical;
pub mod catalog;
pub mod cli;
pub mod cluster;
mod declared;
pub mod error;
pub mod forges;
pub mod jobs;
pub mod leases;
pub mod masters;
pub mod operator;
pub mod plan;
pub mod pod;
pub mod pod_run;
pub mod report;
pub mod rest;
pub mod route;
pub mod run;
pub mod service;
pub mod text;
pub mod triggers;

pub use error::{BridgeError, Problem};
