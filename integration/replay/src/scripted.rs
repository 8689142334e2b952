//! A scripted agent: it plays the recorded agent's half, with request ids and object ids of its own.
//! The replayer must pass it, and must fail it as soon as anything is altered.

use std::collections::{HashMap, HashSet};

use futures_util::{SinkExt as _, StreamExt as _};
use java_object_stream::{Content, Graph, ObjectId, Stored, Value};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::error::ReplayError;
use crate::mapping::{set_field, with_int};
use crate::plan::{self, Fate, Plan, Step};
use crate::recording::{Party, Recording, What};
use crate::server::{frames, unframe};
use crate::wire::{self, Command};

/// How far the scripted agent's object ids are from the recorded ones.
const SHIFT: i32 = 0x4000_0000;

/// What is altered in the agent's half: the entry's commands in its place, none to leave it out.
pub type Alterations = HashMap<usize, Vec<Vec<u8>>>;

/// Plays the agent's half of a recording.
///
/// # Errors
/// When the connection fails in another way than by being closed.
pub async fn play(
    url: &str,
    recording: &Recording,
    plan: &Plan,
    altered: &Alterations,
) -> Result<(), ReplayError> {
    let mut socket = connect(url, recording).await?;
    let (mut input, mut partial) = (Vec::new(), Vec::new());
    let mut got = Got::default();
    let mut due = Got::default();
    let own: HashSet<i32> = own_objects(recording, plan);
    for index in 0..plan.steps.len() {
        match &recording.entries.get(index).map(|entry| &entry.what) {
            Some(What::Command { from: Party::Controller, .. }) => {
                if matches!(plan.steps.get(index), Some(Step::Send)) {
                    due.count(plan.commands.get(&index));
                }
                continue;
            }
            Some(What::Command { from: Party::Agent, .. }) => {}
            _ => continue,
        }
        let commands = match altered.get(&index) {
            Some(commands) => commands.clone(),
            None => spoken(recording, plan, index).map(<[u8]>::to_vec).into_iter().collect(),
        };
        while !got.covers(&due) {
            match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    input.extend_from_slice(&bytes);
                    for command in unframe(&mut input, &mut partial) {
                        got.count(Some(&wire::decode(&command)?));
                    }
                }
                Some(Ok(_)) => {}
                _ => return Ok(()),
            }
        }
        for command in commands {
            for frame in frames(&shifted(&command, &own)?) {
                if socket.send(Message::Binary(frame.into())).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    for command in belated(recording, plan)? {
        for frame in frames(&command) {
            if socket.send(Message::Binary(frame.into())).await.is_err() {
                return Ok(());
            }
        }
    }
    // The rest of what the controller sends, until it closes.
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}

/// Answers to what the recorded agent had not answered before the recording ended: all of them mean
/// nothing but "done".
fn belated(recording: &Recording, plan: &Plan) -> Result<Vec<Vec<u8>>, ReplayError> {
    let mut requests: Vec<_> = plan.requests.values().collect();
    requests.sort_by_key(|request| request.sent);
    let done = requests
        .iter()
        .filter_map(|request| request.answered)
        .map(|index| plan::bytes(recording, index))
        .find(|answer| crate::tasks::still_running(answer));
    let open = requests.iter().filter(|request| request.answered.is_none());
    open.filter_map(|request| Some(with_int(done?, "id", request.call.id))).collect()
}

/// What must have come before the agent speaks. Acknowledgements and answers are not counted: how many
/// there are depends on what the agent sends.
#[derive(Debug, Default)]
struct Got(usize);

impl Got {
    fn count(&mut self, command: Option<&Command>) {
        match command {
            None | Some(Command::Ack { .. } | Command::Response { .. } | Command::DeadWriter) => {}
            Some(_) => self.0 += 1,
        }
    }

    fn covers(&self, due: &Self) -> bool {
        self.0 >= due.0
    }
}

async fn connect(
    url: &str,
    recording: &Recording,
) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, ReplayError> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut probe = TcpStream::connect(&address).await?;
    probe.write_all(format!("GET /login HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    probe.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(ReplayError::Session("/login does not answer 200".to_owned()));
    }
    let mut request = format!("ws://{address}/wsagents/").into_client_request()?;
    for name in ["Node-Name", "X-Remoting-Capability"] {
        let value =
            recording.request_header(name).and_then(|value| HeaderValue::from_str(value).ok());
        if let Some(value) = value {
            request.headers_mut().insert(name, value);
        }
    }
    let stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

/// What the scripted agent says at an entry. What belongs to a JVM's class loaders it leaves out: the
/// recordings hold only a part of that.
fn spoken<'r>(recording: &'r Recording, plan: &Plan, index: usize) -> Option<&'r [u8]> {
    let left_out = match plan.commands.get(&index) {
        Some(Command::Unexport { .. }) => true,
        // Nothing is written for what is refused or never asked for.
        Some(Command::Data { oid, .. }) => plan
            .requests
            .values()
            .any(|request| request.fate != Fate::Sent && request.call.names.sinks.contains(oid)),
        _ => matches!(plan.steps.get(index), Some(Step::Omit(_))),
    };
    (!left_out).then(|| plan::bytes(recording, index))
}

/// The objects of the recorded agent that answers hand over.
fn own_objects(recording: &Recording, plan: &Plan) -> HashSet<i32> {
    let mut own: HashSet<i32> =
        plan.answers.values().flat_map(|names| names.exports().collect::<Vec<_>>()).collect();
    own.extend(plan.commands.iter().filter_map(|(index, command)| match command {
        Command::Connect { sink, .. } if plan::sender(recording, *index) == Some(Party::Agent) => {
            Some(*sink)
        }
        _ => None,
    }));
    own
}

/// The command with this agent's own object ids.
fn shifted(command: &[u8], own: &HashSet<i32>) -> Result<Vec<u8>, ReplayError> {
    match wire::decode(command)? {
        Command::Connect { sink, .. } => with_int(command, "oidPos", sink + SHIFT),
        Command::Ack { oid, .. } => with_int(command, "oid", oid + SHIFT),
        Command::Response { .. } => in_answer(command, |payload| {
            let mut graph = wire::parse(payload)?;
            shift_exports(&mut graph, own);
            Ok(graph.to_bytes())
        }),
        _ => Ok(command.to_vec()),
    }
}

/// The answer with another payload: its result, or its raw throwable.
///
/// # Errors
/// When it is no object stream.
pub fn in_answer(
    command: &[u8],
    change: impl FnOnce(&[u8]) -> Result<Vec<u8>, ReplayError>,
) -> Result<Vec<u8>, ReplayError> {
    let mut graph = wire::parse(command)?;
    let found = {
        let value = graph.root()?.field("returnValue");
        ["response", "rawResponse", "proxyResponse"].into_iter().find_map(|field| {
            let node = value.as_ref().ok()?.field(field).ok()?;
            Some((node.id()?, node.as_bytes()?.to_vec()))
        })
    };
    let Some((id, payload)) = found else { return Ok(command.to_vec()) };
    let changed = change(&payload)?;
    if let Some(Stored::Array(array)) = graph.get_mut(id) {
        array.items = java_object_stream::Items::Bytes(changed.into());
    }
    Ok(graph.to_bytes())
}

fn shift_exports(graph: &mut Graph<'_>, own: &HashSet<i32>) {
    let mut handlers: Vec<(ObjectId, i32)> = Vec::new();
    let mut blocks: Vec<(ObjectId, usize)> = Vec::new();
    for node in graph.objects() {
        let (Some(id), Some(_)) = (node.id(), node.instance()) else { continue };
        match node.class_name().as_deref() {
            Some("hudson.remoting.RemoteInvocationHandler") => {
                if let Ok(oid) = node.read_field::<i32>("oid")
                    && own.contains(&oid)
                {
                    handlers.push((id, oid));
                }
            }
            Some("hudson.remoting.RemoteOutputStream") => blocks.push((id, 0)),
            Some("hudson.remoting.RemoteInputStream" | "hudson.remoting.Pipe") => {
                blocks.push((id, 1))
            }
            _ => {}
        }
    }
    for (id, oid) in handlers {
        set_field(graph, id, "oid", Value::Int(oid + SHIFT));
    }
    for (id, at) in blocks {
        if let Some(Stored::Instance(instance)) = graph.get_mut(id)
            && let Some(Content::Block(block)) =
                instance.levels.last_mut().and_then(|level| level.extra.as_mut()?.first_mut())
            && let Some(Ok(oid)) = block.get(at..at + 4).map(<[u8; 4]>::try_from)
        {
            let shifted = (i32::from_be_bytes(oid) + SHIFT).to_be_bytes();
            if let Some(place) = block.to_mut().get_mut(at..at + 4) {
                place.copy_from_slice(&shifted);
            }
        }
    }
}
