//! The real binary in what containers are made of: process namespaces, control groups, file systems that
//! refuse. What the machine does not permit is left out with a line that says so.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]

#[path = "container/confine.rs"]
mod confine;
#[path = "container/memory.rs"]
mod memory;
#[path = "container/pid_one.rs"]
mod pid_one;
#[path = "container/preflight.rs"]
mod preflight;
mod support;
