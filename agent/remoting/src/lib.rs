//! The Jenkins remoting protocol without a JVM.
//!
//! Remoting is an RPC protocol of Java-serialised commands in which one peer, the controller, sends
//! the other, the agent, callables by class name and field values. This crate is an agent's half of
//! it: transports ([`transport`]), framing ([`framing`]), capability negotiation ([`capability`]) and
//! the channel ([`channel`]) with its requests, exports, streams, flow control and ordering.
//!
//! It knows the classes of the remoting library itself and none of Jenkins or of its plugins: what a
//! callable means is up to the [`channel::Service`] that the channel is started with.
//!
//! Data flows one way: transport → framing → channel → service. A service never sees a socket, and a
//! transport never sees a Java class. What a service does not know may be passed on, byte for byte, to a
//! process that does ([`relay`]).
//!
//! An agent that knows one callable, over whatever transport it was given (see
//! [`transport::connect`] for the one to a controller):
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::future::BoxFuture;
//! use java_object_stream::{EncodeError, Node, jdk};
//! use jenkins_remoting::channel::{
//!     Call, Channel, ChannelOptions, End, Reply, Service, Throwable,
//! };
//! use jenkins_remoting::transport::{CommandSink, CommandSource};
//!
//! struct Agent;
//!
//! impl Service for Agent {
//!     fn serve<'a>(&'a self, _call: &'a Call, callable: Node<'a>) -> BoxFuture<'a, Reply> {
//!         Box::pin(async move {
//!             if callable.is_a("demo.FileExists") {
//!                 return match callable.read_field::<String>("path") {
//!                     Ok(path) => Reply::value(jdk::boolean(std::fs::exists(path).unwrap_or(false))),
//!                     Err(error) => Reply::throw(error.into()),
//!                 };
//!             }
//!             Reply::throw(Throwable::io(format!("cannot run {}", callable.describe())))
//!         })
//!     }
//! }
//!
//! async fn run(
//!     source: impl CommandSource + 'static,
//!     sink: impl CommandSink + 'static,
//! ) -> Result<End, EncodeError> {
//!     let options = ChannelOptions::new(Arc::new(Agent));
//!     let channel = Channel::start(source, sink, options)?;
//!     Ok(channel.ended().await)
//! }
//! ```

pub mod capability;
pub mod channel;
mod class;
pub mod command;
pub mod framing;
mod jar;
mod loader;
mod reference;
pub mod relay;
pub mod transport;

pub use class::WITHOUT_DEFAULT_FIELDS;
pub use jar::{JarChecksum, JarError};
pub use loader::{Loader, LoaderTags, Loaders};
pub use reference::{
    InputReference, ProxyReference, input_datum, input_of, output_datum, output_of, pipe_of,
    proxy_of,
};
