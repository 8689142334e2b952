//! A Jenkins inbound agent with no JVM on the common path.
//!
//! Data flows one way: transport → framing → channel (crate `jenkins-remoting`) → registry → handler
//! ([`callables`]) → operating system ([`files`], crate `pilotfish-process`). What no handler knows goes
//! from the channel to a JVM instead ([`jvm`]). The binary is a thin
//! layer over [`cli`] and [`run`].

pub mod bridge;
pub mod callables;
pub mod cli;
pub mod confine;
pub mod connection;
pub mod drain;
pub mod exec_server;
pub mod exit;
pub mod files;
pub mod jvm;
pub mod logging;
pub mod memory;
pub mod observe;
pub mod preflight;
pub mod run;
pub mod secret;
pub mod standby;
pub mod unix;
pub mod usage;
pub mod workdir;
