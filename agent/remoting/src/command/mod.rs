//! The commands that travel on a channel (`hudson.remoting.Command` and its subclasses).

mod decode;
mod encode;
#[cfg(test)]
pub(crate) mod recorded;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::jar::JarChecksum;
pub use decode::DecodeError;
#[cfg(test)]
pub(crate) use decode::throwable;
pub(crate) use encode::{Encoder, Outgoing};

/// A command that was received.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// `UserRequest`: run a callable.
    UserRequest {
        /// The sender's id of the request.
        id: i32,
        /// The sender's I/O that must be complete first; 0 for none.
        last_io: i32,
        /// The oid of the sender's class loader, when the field holds a proxy of one.
        loader: Option<i32>,
        /// The user stream that holds the callable.
        payload: Bytes,
        /// `toString`: for logs only.
        description: String,
    },
    /// `RemoteInvocationHandler$RPCRequest` as an outer command: a call on a system export.
    RpcRequest {
        /// The sender's id of the request.
        id: i32,
        /// The sender's I/O that must be complete first; 0 for none.
        last_io: i32,
        /// The receiver's export.
        oid: i32,
        /// The method called.
        method: String,
    },
    /// `ProxyInputStream$Chunk`: read up to `len` bytes from an exported input stream.
    ReadRequest {
        /// The sender's id of the request.
        id: i32,
        /// The sender's I/O that must be complete first; 0 for none.
        last_io: i32,
        /// The receiver's export.
        oid: i32,
        /// How many bytes at most.
        len: i32,
    },
    /// `Response`
    Response {
        /// The receiver's id of the request.
        id: i32,
        /// The sender's I/O that must be complete first; 0 for none.
        last_io: i32,
        /// What came of it.
        outcome: Outcome,
    },
    /// `Request$Cancel`
    Cancel {
        /// The sender's id of the request.
        id: i32,
    },
    /// `UnexportCommand`: one reference less.
    Unexport {
        /// The receiver's export.
        oid: i32,
    },
    /// `ProxyOutputStream$Chunk`
    Chunk {
        /// The sender's id of this I/O.
        io: i32,
        /// The receiver's export.
        oid: i32,
        /// The bytes.
        data: Bytes,
    },
    /// `ProxyWriter$Chunk`
    WriterChunk {
        /// The sender's id of this I/O.
        io: i32,
        /// The receiver's export.
        oid: i32,
        /// The UTF-16 units.
        units: Vec<u16>,
    },
    /// `ProxyOutputStream$Flush`, `ProxyWriter$Flush`
    Flush {
        /// The sender's id of this I/O.
        io: i32,
        /// The receiver's export.
        oid: i32,
    },
    /// `ProxyOutputStream$EOF`, `ProxyWriter$EOF`
    Eof {
        /// The sender's id of this I/O.
        io: i32,
        /// The receiver's export.
        oid: i32,
        /// What broke the stream off, if it did not end well.
        error: Option<String>,
    },
    /// `ProxyOutputStream$Unexport`, `ProxyWriter$Unexport`: dropped without being closed.
    StreamUnexport {
        /// The sender's id of this I/O.
        io: i32,
        /// The receiver's export.
        oid: i32,
    },
    /// `ProxyInputStream$EOF`: the reader closed the stream.
    InputEof {
        /// The receiver's export.
        oid: i32,
    },
    /// `ProxyOutputStream$Ack`, `ProxyWriter$Ack`
    Ack {
        /// The *sender's* export, which the receiver writes to.
        oid: i32,
        /// Bytes, or UTF-16 units, taken.
        size: i32,
    },
    /// `ProxyOutputStream$NotifyDeadWriter`, `ProxyWriter$NotifyDeadWriter`
    NotifyDeadWriter {
        /// The *sender's* export, which the receiver writes to.
        oid: i32,
    },
    /// `Pipe$ConnectCommand`: connect the receiver's writer to the sender's stream.
    Connect {
        /// The sender's export: where to write to.
        oid_pos: i32,
        /// The receiver's export: which writer.
        oid_ros: i32,
    },
    /// `Channel$CloseCommand`
    Close {
        /// Why, if the peer says so.
        cause: Option<String>,
    },
    /// `GCCommand`
    Gc,
    /// A request of a class that this library does not know. It is to be answered all the same.
    UnknownRequest {
        /// The sender's id of the request.
        id: i32,
        /// The class.
        class: String,
    },
    /// A command of a class that this library does not know.
    Unknown {
        /// The class.
        class: String,
    },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// A user stream that holds the result (`UserRequest$NormalResponse`).
    Value(Bytes),
    /// The callable threw (`UserRequest$ExceptionResponse`).
    Thrown {
        /// The throwable's class and message.
        message: String,
    },
    /// The request failed outside of the callable (`Response.exception`).
    Failed {
        /// The throwable's class and message.
        message: String,
    },
    /// The answer of a system export, in the outer stream; `None` for null.
    Plain(Option<PlainValue>),
}

/// An answer in the outer stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PlainValue {
    /// `ProxyInputStream$Buffer`: the bytes read, or `None` at the end of the stream.
    Buffer(Option<Bytes>),
    /// A `byte[]`, as the class loader's methods return.
    Bytes(Bytes),
    /// Class files by name (`RemoteClassLoader$IClassLoader.fetch3`), with the jar that each is in if it
    /// is in one.
    Classes(BTreeMap<String, Option<JarChecksum>>),
    /// Anything else, by class name.
    Other(String),
}
