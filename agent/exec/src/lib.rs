//! Steps in the sibling containers of a pod, without the Kubernetes exec API.
//!
//! Each tool container runs a [`Server`] as its entry point: the agent's own binary, copied into a shared
//! volume. It listens on a Unix socket that only its container and the agent's have mounted. The agent is
//! the client ([`Containers`]): a launch goes over with the descriptors of its three pipes, so that output
//! flows from the process to the agent with nothing in between.
//!
//! The protocol is in `README.md` beside this crate.

mod containers;
mod error;
mod main_process;
mod meter;
mod protocol;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub use containers::{
    Attendance, Container, Containers, DEFAULT_DIRECTORY, End, Followed, Started, is_container_name,
};
pub use error::ExecError;
pub use main_process::{MainProcess, forget_last_words, leave_last_words};
pub use meter::{Measuring, Meter, Record};
pub use protocol::{
    Answer, Ended, ErrorStream, Killed, Launch, MAX_ANSWER, MAX_REQUEST, MAX_STAGE_NAME, Matching,
    Outcome, PROTOCOL_VERSION, Report, Request, Stage, Usage, decode_answer, decode_request,
};
pub use server::{Attendance as Attended, Server, ServerOptions};
