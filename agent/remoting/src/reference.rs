//! What user streams hold of the channel itself: streams, pipes and proxies by oid.

use java_object_stream::{AccessError, Datum, Node, Object};

use crate::class::{self, name};

/// A proxy of an object on the other side (`RemoteInvocationHandler`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyReference {
    /// Its export.
    pub oid: i32,
    /// Whether the oid is one of the *reader's* own exports.
    pub going_home: bool,
    /// Whether the sender releases it by itself once the call is answered.
    pub auto_unexport: bool,
}

/// An input stream on the other side (`RemoteInputStream`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputReference {
    /// Pulled with read requests.
    Pull(i32),
    /// Pushed through a pipe once it is connected.
    Greedy(i32),
}

/// The proxy that a node holds, if it holds one.
#[must_use]
pub fn proxy_of(node: Node<'_>) -> Option<ProxyReference> {
    node.proxy_interfaces()?;
    let handler = node.field("h").ok()?;
    handler.is_a(class::INVOCATION_HANDLER.name()).then_some(())?;
    Some(ProxyReference {
        oid: handler.read_field("oid").ok()?,
        going_home: handler.read_field("goingHome").ok()?,
        auto_unexport: handler.read_field("autoUnexportByCaller").unwrap_or(false),
    })
}

/// The oid of a `RemoteOutputStream`.
///
/// # Errors
/// When the node holds something else.
pub fn output_of(node: Node<'_>) -> Result<i32, AccessError> {
    let (block, _) = node.extra(class::REMOTE_OUTPUT_STREAM.name())?;
    oid_at(node, &block, 0)
}

/// The oid of a `RemoteInputStream` and how it is read.
///
/// # Errors
/// When the node holds something else.
pub fn input_of(node: Node<'_>) -> Result<InputReference, AccessError> {
    let (block, values) = node.extra(class::REMOTE_INPUT_STREAM.name())?;
    match (block.first(), values.first()) {
        (Some(0), _) => oid_at(node, &block, 1).map(InputReference::Pull),
        (Some(_), Some(pipe)) => pipe_of(*pipe).map(InputReference::Greedy),
        _ => Err(short(node)),
    }
}

/// The oid of a `Pipe`: of the sink to write to, or of the writer to connect to.
///
/// # Errors
/// When the node holds something else.
pub fn pipe_of(node: Node<'_>) -> Result<i32, AccessError> {
    let (block, _) = node.extra(name::PIPE)?;
    oid_at(node, &block, 1)
}

fn oid_at(node: Node<'_>, block: &[u8], at: usize) -> Result<i32, AccessError> {
    let oid = block.get(at..).and_then(|rest| rest.first_chunk::<4>());
    oid.map(|oid| i32::from_be_bytes(*oid)).ok_or_else(|| short(node))
}

fn short(node: Node<'_>) -> AccessError {
    AccessError::ShortData { class: node.describe(), expected: "an oid" }
}

/// A `RemoteOutputStream` of an exported sink, to put into an answer.
#[must_use]
pub fn output_datum(oid: i32) -> Datum {
    Object::new(&class::REMOTE_OUTPUT_STREAM)
        .block(&class::REMOTE_OUTPUT_STREAM, oid.to_be_bytes())
        .into()
}

/// A `RemoteInputStream` of an exported source that the peer pulls, to put into an answer.
#[must_use]
pub fn input_datum(oid: i32) -> Datum {
    let mut block = vec![0];
    block.extend(oid.to_be_bytes());
    Object::new(&class::REMOTE_INPUT_STREAM).block(&class::REMOTE_INPUT_STREAM, block).into()
}

/// The invocation handler of an exported object, for a [`Datum::Proxy`].
pub(crate) fn handler(oid: i32) -> Object {
    Object::new(&class::INVOCATION_HANDLER)
        .with("oid", oid)
        .with("userProxy", true)
        .with("userSpace", true)
}
