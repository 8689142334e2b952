//! Reads a command from its object stream.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use java_object_stream::{AccessError, Graph, Limits, Node, ReadError, ReadOptions};
use thiserror::Error;

use super::{Command, Outcome, PlainValue};
use crate::class::{self, name};
use crate::jar::JarChecksum;
use crate::reference::proxy_of;

/// A command that cannot be read. The channel stays usable: each command is framed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is no object stream.
    #[error("a command that is no object stream: {0}")]
    Stream(#[from] ReadError),
    /// It is a request, so that somebody waits for an answer, and the other fields are not what its
    /// class declares.
    #[error("a request {class} whose fields are not as expected: {source}")]
    Request {
        /// The sender's id of the request.
        id: i32,
        /// The class.
        class: String,
        /// What is wrong.
        #[source]
        source: AccessError,
    },
    /// Its class is known and its fields are not what that class declares.
    #[error("a command {class} whose fields are not as expected: {source}")]
    Fields {
        /// The class.
        class: String,
        /// What is wrong.
        #[source]
        source: AccessError,
    },
}

/// How long a chain of causes is told.
const MAX_CAUSES: usize = 8;

impl Command {
    /// Reads one command.
    ///
    /// # Errors
    /// When the bytes are no object stream or the fields are not what the class declares.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let options = ReadOptions {
            limits: Limits::default(),
            without_default_fields: &class::WITHOUT_DEFAULT_FIELDS,
        };
        let graph = Graph::parse(bytes, &options)?;
        let fields =
            |source| DecodeError::Fields { class: "of an unknown class".to_owned(), source };
        let root = graph.root().map_err(fields)?;
        let class = root.class_name().unwrap_or_default().into_owned();
        decode(bytes, root, &class).map_err(|source| match request_id(root) {
            Some(id) => DecodeError::Request { id, class, source },
            None => DecodeError::Fields { class, source },
        })
    }
}

fn decode(bytes: &Bytes, root: Node<'_>, class: &str) -> Result<Command, AccessError> {
    let int = |field: &'static str| root.read_field::<i32>(field);
    let slice = |field: &'static str| -> Result<Bytes, AccessError> {
        Ok(part_of(bytes, root.read_field(field)?))
    };
    let stream = |class: &java_object_stream::Class,
                  writer: &java_object_stream::Class,
                  name: &str| { name == class.name() || name == writer.name() };
    Ok(match class {
        c if c == class::USER_REQUEST.name() => Command::UserRequest {
            id: int("id")?,
            last_io: int("lastIoId")?,
            loader: loader(root.field("classLoaderProxy")?),
            payload: slice("request")?,
            description: root.read_field::<Option<String>>("toString")?.unwrap_or_default(),
        },
        c if c == class::USER_RPC_REQUEST.name() || c == name::RPC_REQUEST => Command::RpcRequest {
            id: int("id")?,
            last_io: int("lastIoId")?,
            oid: int("oid")?,
            method: root.read_field("methodName")?,
        },
        c if c == class::INPUT_CHUNK.name() => Command::ReadRequest {
            id: int("id")?,
            last_io: int("lastIoId")?,
            oid: int("oid")?,
            len: int("len")?,
        },
        c if c == class::RESPONSE.name() => Command::Response {
            id: int("id")?,
            last_io: int("lastIoId")?,
            outcome: outcome(bytes, root)?,
        },
        c if c == class::CANCEL.name() => Command::Cancel { id: int("id")? },
        c if c == class::UNEXPORT.name() => Command::Unexport { oid: int("oid")? },
        c if c == class::CHUNK.name() => {
            Command::Chunk { io: int("ioId")?, oid: int("oid")?, data: slice("buf")? }
        }
        c if c == class::WRITER_CHUNK.name() => Command::WriterChunk {
            io: int("ioId")?,
            oid: int("oid")?,
            units: units(root.field("buf")?)?,
        },
        c if stream(&class::FLUSH, &class::WRITER_FLUSH, c) => {
            Command::Flush { io: int("ioId")?, oid: int("oid")? }
        }
        c if c == class::EOF.name() => Command::Eof {
            io: int("ioId")?,
            oid: int("oid")?,
            error: throwable(root.field("error")?),
        },
        c if c == class::WRITER_EOF.name() => {
            Command::Eof { io: int("ioId")?, oid: int("oid")?, error: None }
        }
        c if stream(&class::STREAM_UNEXPORT, &class::WRITER_UNEXPORT, c) => {
            Command::StreamUnexport { io: int("ioId")?, oid: int("oid")? }
        }
        c if c == class::INPUT_EOF.name() => Command::InputEof { oid: int("oid")? },
        c if stream(&class::ACK, &class::WRITER_ACK, c) => {
            Command::Ack { oid: int("oid")?, size: int("size")? }
        }
        c if stream(&class::NOTIFY_DEAD_WRITER, &class::WRITER_NOTIFY_DEAD, c) => {
            Command::NotifyDeadWriter { oid: int("oid")? }
        }
        c if c == class::CONNECT.name() => {
            Command::Connect { oid_pos: int("oidPos")?, oid_ros: int("oidRos")? }
        }
        c if c == class::CLOSE.name() => {
            let created = root.field("createdAt")?;
            Command::Close { cause: cause(created).and_then(throwable) }
        }
        name::GC_COMMAND => Command::Gc,
        other => match request_id(root) {
            Some(id) => Command::UnknownRequest { id, class: other.to_owned() },
            None => Command::Unknown { class: other.to_owned() },
        },
    })
}

/// The oid of the sender's class loader. A `RemoteIClassLoader` in its place names a loader of the
/// receiver, and a channel of this library has none.
fn loader(proxy: Node<'_>) -> Option<i32> {
    proxy_of(proxy).filter(|proxy| !proxy.going_home).map(|proxy| proxy.oid)
}

fn request_id(root: Node<'_>) -> Option<i32> {
    root.is_a(class::REQUEST.name()).then(|| root.read_field("id").ok())?
}

/// A part of a command, without copying it where it stands in one piece.
fn part_of(bytes: &Bytes, part: &[u8]) -> Bytes {
    let (all, part_range) = (bytes.as_ptr_range(), part.as_ptr_range());
    if all.start <= part_range.start && part_range.end <= all.end {
        bytes.slice_ref(part)
    } else {
        Bytes::copy_from_slice(part)
    }
}

fn units(buffer: Node<'_>) -> Result<Vec<u16>, AccessError> {
    use java_object_stream::{Items, Stored};
    match buffer.stored() {
        Some(Stored::Array(array)) => match &array.items {
            Items::Chars(units) => Ok(units.clone()),
            _ => Err(AccessError::WrongType { expected: "a char[]", got: buffer.describe() }),
        },
        _ => Err(AccessError::WrongType { expected: "a char[]", got: buffer.describe() }),
    }
}

fn outcome(bytes: &Bytes, root: Node<'_>) -> Result<Outcome, AccessError> {
    if let Some(message) = throwable(root.field("exception")?) {
        return Ok(Outcome::Failed { message });
    }
    let value = root.field("returnValue")?;
    if value.is_null() {
        return Ok(Outcome::Plain(None));
    }
    if let Some(array) = value.as_bytes() {
        return Ok(Outcome::Plain(Some(PlainValue::Bytes(part_of(bytes, array)))));
    }
    let class = value.class_name().unwrap_or_default();
    Ok(match class.as_ref() {
        c if c == class::NORMAL_RESPONSE.name() => {
            Outcome::Value(part_of(bytes, value.read_field("response")?))
        }
        c if c == class::EXCEPTION_RESPONSE.name() => {
            let proxy = value.read_field::<Option<&[u8]>>("proxyResponse")?;
            let raw = value.read_field::<Option<&[u8]>>("rawResponse")?;
            let message =
                raw.and_then(nested_throwable).or_else(|| proxy.and_then(nested_throwable));
            Outcome::Thrown {
                message: message.unwrap_or_else(|| "an unreadable exception".to_owned()),
            }
        }
        name::USER_RESPONSE => {
            let response = value.read_field::<&[u8]>("response")?;
            if value.read_field("isException")? {
                let message = nested_throwable(response).unwrap_or_default();
                Outcome::Thrown { message }
            } else {
                Outcome::Value(part_of(bytes, response))
            }
        }
        c if c == class::INPUT_BUFFER.name() => {
            let length = usize::try_from(value.read_field::<i32>("len")?).ok();
            let buffer = value.read_field::<Option<&[u8]>>("buf")?.unwrap_or_default();
            let read = length.map(|length| part_of(bytes, buffer.get(..length).unwrap_or(buffer)));
            Outcome::Plain(Some(PlainValue::Buffer(read)))
        }
        "java.util.HashMap" => Outcome::Plain(Some(match class_files(value) {
            Some(classes) => PlainValue::Classes(classes),
            None => PlainValue::Other(class.into_owned()),
        })),
        other => Outcome::Plain(Some(PlainValue::Other(other.to_owned()))),
    })
}

/// The map that `fetch3` gives: `RemoteClassLoader$ClassFile2` by class name.
fn class_files(map: Node<'_>) -> Option<BTreeMap<String, Option<JarChecksum>>> {
    let files = map.read::<BTreeMap<String, Node<'_>>>().ok()?;
    let jar = |file: Node<'_>| {
        // A class file of its own (`ResourceImageDirect`) names no jar.
        let image = file.field("image").ok()?;
        let sum = |field: &'static str| image.read_field::<i64>(field).ok();
        Some(JarChecksum { sum1: sum("sum1")?, sum2: sum("sum2")? })
    };
    let known = |file: &Node<'_>| file.is_a("hudson.remoting.RemoteClassLoader$ResourceFile");
    files
        .values()
        .all(known)
        .then(|| files.iter().map(|(name, file)| (name.clone(), jar(*file))).collect())
}

fn nested_throwable(stream: &[u8]) -> Option<String> {
    let options = ReadOptions {
        limits: Limits::default(),
        without_default_fields: &class::WITHOUT_DEFAULT_FIELDS,
    };
    let graph = Graph::parse(stream, &options).ok()?;
    graph.root().ok().and_then(throwable)
}

/// A throwable as `class: message`, with its causes.
pub(crate) fn throwable(node: Node<'_>) -> Option<String> {
    if !node.is_a("java.lang.Throwable") {
        return None;
    }
    let mut parts = Vec::new();
    let mut next = Some(node);
    while let Some(node) = next.filter(|node| !node.is_null()) {
        let class = node.class_name().unwrap_or_default();
        let message = message(node);
        // A ProxyException's message already begins with the class that it stands for.
        parts.push(match message {
            Some(message) if class == class::PROXY_EXCEPTION.name() => message,
            Some(message) => format!("{class}: {message}"),
            None => class.into_owned(),
        });
        next = cause(node).filter(|_| parts.len() < MAX_CAUSES);
    }
    Some(parts.join(", caused by "))
}

/// What `getMessage()` gives: the classes of `java.nio.file` make it of their fields.
fn message(throwable: Node<'_>) -> Option<String> {
    let text = |field| throwable.field(field).ok().and_then(Node::as_str);
    let message = text("detailMessage");
    let Some(mut whole) = text("file").map(Cow::into_owned) else {
        return message.map(Cow::into_owned);
    };
    for (separator, part) in [(" -> ", text("other")), (": ", message)] {
        if let Some(part) = part {
            whole.push_str(separator);
            whole.push_str(&part);
        }
    }
    Some(whole)
}

/// An uninitialised cause is the throwable itself.
fn cause(throwable: Node<'_>) -> Option<Node<'_>> {
    throwable.field("cause").ok().filter(|cause| cause.id() != throwable.id())
}
