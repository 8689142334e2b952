//! A Jenkins inbound agent with no JVM on the common path.

pub mod files;
