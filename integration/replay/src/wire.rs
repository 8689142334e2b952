//! Remoting commands as the replayer sees them: kind, ids, and every object id that a graph names.

use java_object_stream::{Content, Graph, Node, ReadOptions, Stored, Value};

use crate::error::ReplayError;

/// How recorded streams are read: the classes whose `writeObject` writes none of their fields.
pub const OPTIONS: ReadOptions<'static> = ReadOptions {
    limits: java_object_stream::Limits {
        depth: 300,
        objects: 1 << 20,
        string_bytes: 64 << 20,
        array_elements: 64 << 20,
        stream_bytes: 128 << 20,
        memory_bytes: 256 << 20,
    },
    without_default_fields: &[
        "hudson.remoting.Pipe",
        "hudson.remoting.RemoteInputStream",
        "hudson.util.StreamTaskListener",
    ],
};

/// A decoded command.
#[derive(Debug, Clone)]
pub enum Command {
    /// `UserRequest`
    UserRequest(Box<UserRequest>),
    /// An `RPCRequest` outside a `UserRequest`: only class loaders are called like that.
    LoaderCall {
        /// The request's id.
        id: i32,
        /// Whose loader: an object id of the receiver.
        oid: i32,
        /// What is asked for.
        method: String,
    },
    /// `Response`
    Response {
        /// The id of the request that it answers.
        id: i32,
        /// The transfer that must be finished before.
        last_io: i32,
    },
    /// `ProxyOutputStream$Chunk`, `$Flush`, `$EOF`, `$Unexport` and those of `ProxyWriter`.
    Data {
        /// The receiver's object id.
        oid: i32,
        /// The transfer's number.
        io: i32,
        /// What is done.
        data: Data,
    },
    /// `ProxyOutputStream$Ack`: an object id of the command's sender.
    Ack {
        /// The stream.
        oid: i32,
        /// How many bytes were consumed.
        size: i32,
    },
    /// `ProxyOutputStream$NotifyDeadWriter`: an object id of the command's sender.
    DeadWriter,
    /// `ProxyInputStream$EOF`: the receiver's stream is no longer read.
    EndOfReading {
        /// The receiver's object id.
        oid: i32,
    },
    /// `ProxyInputStream$Chunk`
    Pull {
        /// The receiver's object id.
        oid: i32,
    },
    /// `UnexportCommand`
    Unexport {
        /// The receiver's object id.
        oid: i32,
    },
    /// `Pipe$ConnectCommand`
    Connect {
        /// The sender's new sink.
        sink: i32,
        /// The receiver's writer.
        writer: i32,
    },
    /// `Request$Cancel`
    Cancel,
    /// `Channel$CloseCommand`
    Close,
    /// Anything else, by class.
    Other(String),
}

/// What happens to an output stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Bytes are written.
    Chunk(Vec<u8>),
    /// It is flushed.
    Flush,
    /// It is closed.
    End {
        /// Whether with an error.
        error: bool,
    },
    /// It is dropped without being closed.
    Drop,
}

/// A `UserRequest` with what its payload says.
#[derive(Debug, Clone)]
pub struct UserRequest {
    /// Its id.
    pub id: i32,
    /// The callable's class, taken out of the wrappers of `FilePath`; for calls of exported objects
    /// `rpc:` and the method.
    pub callable: String,
    /// The object id that a call of an exported object goes to.
    pub target: Option<i32>,
    /// The path that it works on: of a `FileCallable`, or the working directory of a launch.
    pub path: Option<String>,
    /// The object ids of the payload.
    pub names: Names,
    /// The sender's class loader that comes with it, if it is newly handed over.
    pub loader: Option<i32>,
}

/// The object ids that a user stream names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Sinks of the writer of the stream: `RemoteOutputStream`s and output ends of pipes.
    pub sinks: Vec<i32>,
    /// Streams of the writer that the reader pulls: `RemoteInputStream`s that are not greedy.
    pub sources: Vec<i32>,
    /// Writers to connect to: input ends of pipes.
    pub pipes: Vec<i32>,
    /// Exported objects of the writer.
    pub proxies: Vec<i32>,
    /// Exported objects of the reader.
    pub homes: Vec<i32>,
    /// Class loaders of the writer, once for each time they are handed over.
    pub loaders: Vec<i32>,
}

impl Names {
    /// Everything that the writer exported, class loaders left aside.
    pub fn exports(&self) -> impl Iterator<Item = i32> {
        [&self.sinks, &self.sources, &self.pipes, &self.proxies].into_iter().flatten().copied()
    }
}

/// Reads a stream.
///
/// # Errors
/// When it is none.
pub fn parse(bytes: &[u8]) -> Result<Graph<'_>, ReplayError> {
    Ok(Graph::parse(bytes, &OPTIONS)?)
}

/// Decodes a command.
///
/// # Errors
/// When it is no object stream, or lacks a field that its class always has.
pub fn decode(bytes: &[u8]) -> Result<Command, ReplayError> {
    let graph = parse(bytes)?;
    let root = graph.root()?;
    let class = root.class_name().unwrap_or_default();
    let int = |field: &'static str| root.read_field::<i32>(field);
    let name = class.strip_prefix("hudson.remoting.").unwrap_or(&class);
    let data = |data: Data| -> Result<Command, ReplayError> {
        Ok(Command::Data { oid: int("oid")?, io: int("ioId")?, data })
    };
    match name {
        "UserRequest" => user_request(root),
        "RemoteInvocationHandler$RPCRequest" => Ok(Command::LoaderCall {
            id: int("id")?,
            oid: int("oid")?,
            method: root.read_field("methodName")?,
        }),
        "Response" => Ok(Command::Response { id: int("id")?, last_io: int("lastIoId")? }),
        "ProxyOutputStream$Chunk" => data(Data::Chunk(root.read_field::<&[u8]>("buf")?.to_vec())),
        "ProxyOutputStream$Flush" | "ProxyWriter$Flush" => data(Data::Flush),
        "ProxyOutputStream$EOF" => data(Data::End { error: !root.field("error")?.is_null() }),
        "ProxyWriter$EOF" => data(Data::End { error: false }),
        "ProxyOutputStream$Unexport" | "ProxyWriter$Unexport" => data(Data::Drop),
        "ProxyOutputStream$Ack" | "ProxyWriter$Ack" => {
            Ok(Command::Ack { oid: int("oid")?, size: int("size")? })
        }
        "ProxyOutputStream$NotifyDeadWriter" | "ProxyWriter$NotifyDeadWriter" => {
            Ok(Command::DeadWriter)
        }
        "ProxyInputStream$EOF" => Ok(Command::EndOfReading { oid: int("oid")? }),
        "ProxyInputStream$Chunk" => Ok(Command::Pull { oid: int("oid")? }),
        "UnexportCommand" => Ok(Command::Unexport { oid: int("oid")? }),
        "Pipe$ConnectCommand" => {
            Ok(Command::Connect { sink: int("oidPos")?, writer: int("oidRos")? })
        }
        "Request$Cancel" => Ok(Command::Cancel),
        "Channel$CloseCommand" => Ok(Command::Close),
        _ => Ok(Command::Other(class.into_owned())),
    }
}

fn user_request(root: Node<'_>) -> Result<Command, ReplayError> {
    let payload = parse(root.read_field("request")?)?;
    let (callable, path, target) = describe(payload.root()?);
    let loader = names(root.graph()).proxies.first().copied();
    Ok(Command::UserRequest(Box::new(UserRequest {
        id: root.read_field("id")?,
        callable,
        target,
        path,
        names: names(&payload),
        loader,
    })))
}

/// The class that does the work, its path, and the object that is called.
fn describe(root: Node<'_>) -> (String, Option<String>, Option<i32>) {
    let text = |node: Node<'_>, field: &str| {
        node.field(field).ok()?.as_str().map(|text| text.into_owned())
    };
    let mut node = root;
    let mut path = None;
    for _ in 0..8 {
        let (inner, place) = match node.class_name().as_deref() {
            Some("hudson.FilePath$FileCallableWrapper") => ("callable", "filePath"),
            Some("hudson.FilePath$CallableWith") => ("task", "this$0"),
            _ => break,
        };
        path = node.field(place).ok().and_then(|place| text(place, "remote")).or(path);
        match node.field(inner) {
            Ok(inside) if !inside.is_null() => node = inside,
            _ => break,
        }
    }
    if node.is_a("hudson.remoting.RemoteInvocationHandler$RPCRequest") {
        let method = text(node, "methodName").unwrap_or_default();
        return (format!("rpc:{method}"), None, node.read_field("oid").ok());
    }
    let callable = node.class_name().unwrap_or_default().into_owned();
    (callable, path.or_else(|| text(node, "workDir")), None)
}

/// The user stream of an answer: the result or the raw throwable, else the throwable's substitute.
#[must_use]
pub fn answer_payload(root: Node<'_>) -> Option<&[u8]> {
    let value = root.field("returnValue").ok()?;
    ["response", "rawResponse", "proxyResponse"]
        .into_iter()
        .find_map(|field| value.field(field).ok().and_then(Node::as_bytes))
}

/// Every object id that a graph names.
#[must_use]
pub fn names(graph: &Graph<'_>) -> Names {
    let mut names = Names::default();
    for node in graph.objects() {
        match node.class_name().as_deref() {
            Some("hudson.remoting.RemoteInvocationHandler") if node.instance().is_some() => {
                let home = node.read_field("goingHome").unwrap_or(false);
                if let Ok(oid) = node.read_field::<i32>("oid") {
                    if home { names.homes.push(oid) } else { names.proxies.push(oid) }
                }
            }
            Some("hudson.remoting.RemoteClassLoader$RemoteIClassLoader")
                if node.instance().is_some() =>
            {
                names.homes.extend(node.read_field::<i32>("oid"));
            }
            Some("hudson.remoting.RemoteOutputStream" | "hudson.remoting.RemoteWriter") => {
                names.sinks.extend(block_int(node, 0));
            }
            Some("hudson.remoting.RemoteInputStream") if block(node).first() == Some(&0) => {
                names.sources.extend(block_int(node, 1));
            }
            Some("hudson.remoting.Pipe") => match block(node).first() {
                Some(0) => names.pipes.extend(block_int(node, 1)),
                _ => names.sinks.extend(block_int(node, 1)),
            },
            _ => {}
        }
        let annotation = match node.stored() {
            Some(Stored::ClassDesc(desc)) => &desc.annotation,
            Some(Stored::ProxyDesc(desc)) => &desc.annotation,
            _ => continue,
        };
        if let Some(Content::Block(tag)) = annotation.first()
            && tag.get(..4) == Some(&(-2i32).to_be_bytes())
        {
            names.loaders.extend(int_at(tag, 4));
        }
    }
    names
}

/// The block data that the object's own class wrote.
#[must_use]
pub fn block(node: Node<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let extra = node
        .instance()
        .and_then(|instance| instance.levels.last())
        .and_then(|level| level.extra.as_ref());
    for content in extra.into_iter().flatten() {
        if let Content::Block(block) = content {
            bytes.extend_from_slice(block);
        }
    }
    bytes
}

fn block_int(node: Node<'_>, at: usize) -> Option<i32> {
    int_at(&block(node), at)
}

fn int_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Whether a value is an `int`, and which.
#[must_use]
pub fn as_int(value: Value) -> Option<i32> {
    match value {
        Value::Int(value) => Some(value),
        _ => None,
    }
}
