//! From the recording's world to this run's: object ids and names that the agent chose.

use std::borrow::Cow;
use std::collections::HashMap;

use java_object_stream::{Graph, Items, JavaStr, ObjectId, Stored, Value};

use crate::error::ReplayError;
use crate::wire;

/// What the agent of this run chose for what the recorded one had chosen.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    oids: HashMap<i32, i32>,
    texts: Vec<(String, String)>,
}

impl Mapping {
    /// Notes that the recorded agent's `recorded` is this agent's `actual`.
    ///
    /// # Errors
    /// When one of the two already stands for something else.
    pub fn bind(&mut self, recorded: i32, actual: i32) -> Result<(), String> {
        match self.oids.get(&recorded) {
            Some(bound) if *bound == actual => return Ok(()),
            Some(bound) => {
                return Err(format!("object {recorded} was {bound} before and is {actual} now"));
            }
            None => {}
        }
        if let Some((other, _)) = self.oids.iter().find(|(_, bound)| **bound == actual) {
            return Err(format!(
                "one object id, {actual}, for two objects ({other} and {recorded})"
            ));
        }
        self.oids.insert(recorded, actual);
        Ok(())
    }

    /// This agent's object id for a recorded one.
    #[must_use]
    pub fn oid(&self, recorded: i32) -> Option<i32> {
        self.oids.get(&recorded).copied()
    }

    /// Notes that a recorded name is another one in this run.
    pub fn bind_text(&mut self, recorded: &str, actual: &str) {
        self.texts.push((recorded.to_owned(), actual.to_owned()));
    }

    /// Text of the recording as it reads in this run.
    #[must_use]
    pub fn text<'t>(&self, recorded: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(recorded);
        for (from, to) in &self.texts {
            if text.contains(from.as_str()) {
                text = Cow::Owned(text.replace(from.as_str(), to));
            }
        }
        text
    }

    /// Bytes of the recording as they are in this run; bytes that are no text stay as they are.
    #[must_use]
    pub fn bytes<'b>(&self, recorded: &'b [u8]) -> Cow<'b, [u8]> {
        match (self.texts.is_empty(), std::str::from_utf8(recorded)) {
            (false, Ok(text)) => match self.text(text) {
                Cow::Borrowed(_) => Cow::Borrowed(recorded),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
            _ => Cow::Borrowed(recorded),
        }
    }

    /// A recorded command of the controller as it is sent in this run.
    ///
    /// # Errors
    /// When it names an object of the agent that this agent has not handed over.
    pub fn controller_command(
        &self,
        recorded: &[u8],
        log_position: Option<i64>,
    ) -> Result<Vec<u8>, ReplayError> {
        let mut outer = wire::parse(recorded)?;
        let root = outer.root()?;
        let class = root.class_name().unwrap_or_default().into_owned();
        let payload_id = root.field("request").ok().and_then(|payload| payload.id());
        let payload =
            root.field("request").ok().and_then(|payload| payload.as_bytes()).map(<[u8]>::to_vec);
        let oid = root.read_field::<i32>("oid").ok();
        let Some(root) = root.id() else {
            return Err(ReplayError::Session("a command that is no object".to_owned()));
        };
        if let Some(payload) = payload {
            let inner = self.payload(&payload, log_position)?;
            if let Some(Stored::Array(array)) = payload_id.and_then(|id| outer.get_mut(id)) {
                array.items = Items::Bytes(Cow::Owned(inner));
            }
        } else if let Some(oid) = oid {
            // All plain commands with an `oid` name an object of their receiver.
            set_field(&mut outer, root, "oid", Value::Int(self.agent_oid(oid, &class)?));
        }
        self.replace_texts(&mut outer);
        Ok(outer.to_bytes())
    }

    fn payload(&self, recorded: &[u8], log_position: Option<i64>) -> Result<Vec<u8>, ReplayError> {
        let mut graph = wire::parse(recorded)?;
        let mut changes = Vec::new();
        for node in graph.objects() {
            let (Some(id), Some(_)) = (node.id(), node.instance()) else { continue };
            let class = node.class_name().unwrap_or_default();
            let home = node.is_a("hudson.remoting.RemoteInvocationHandler$RPCRequest")
                || (class == "hudson.remoting.RemoteInvocationHandler"
                    && node.read_field("goingHome").unwrap_or(false));
            if home {
                let oid = self.agent_oid(node.read_field("oid")?, &class)?;
                changes.push((id, "oid", Value::Int(oid)));
            }
            if class.ends_with("$WriteLog")
                && let Some(position) = log_position
            {
                changes.push((id, "lastLocation", Value::Long(position)));
            }
        }
        for (id, field, value) in changes {
            set_field(&mut graph, id, field, value);
        }
        self.replace_texts(&mut graph);
        Ok(graph.to_bytes())
    }

    fn agent_oid(&self, recorded: i32, class: &str) -> Result<i32, ReplayError> {
        self.oid(recorded).ok_or_else(|| {
            ReplayError::Session(format!(
                "{class} of the recording goes to the agent's object {recorded}, which this agent never handed over"
            ))
        })
    }

    fn replace_texts(&self, graph: &mut Graph<'_>) {
        if self.texts.is_empty() {
            return;
        }
        let ids: Vec<ObjectId> = graph.objects().filter_map(|node| node.id()).collect();
        for id in ids {
            if let Some(Stored::String(text)) = graph.get_mut(id) {
                let changed = match self.text(&text.to_str()) {
                    Cow::Owned(changed) => changed,
                    Cow::Borrowed(_) => continue,
                };
                *text = JavaStr::from(changed);
            }
        }
    }
}

/// Sets a field by name, the class's own before those of its superclasses. Whether there is one.
pub fn set_field(graph: &mut Graph<'_>, object: ObjectId, name: &str, value: Value) -> bool {
    let Stored::Instance(instance) = graph.get(object) else { return false };
    let found = instance.levels.iter().enumerate().rev().find_map(|(level, data)| {
        let at =
            graph.class_desc(data.class)?.fields.iter().position(|field| field.name.is(name))?;
        Some((level, at))
    });
    let (Some((level, at)), Some(Stored::Instance(instance))) = (found, graph.get_mut(object))
    else {
        return false;
    };
    match instance.levels.get_mut(level).and_then(|level| level.fields.as_mut()?.get_mut(at)) {
        Some(place) => {
            *place = value;
            true
        }
        None => false,
    }
}

/// The same command with another value in an `int` field of its own.
///
/// # Errors
/// When it is no command with such a field.
pub fn with_int(command: &[u8], field: &str, value: i32) -> Result<Vec<u8>, ReplayError> {
    let mut graph = wire::parse(command)?;
    let root = graph.root()?.id();
    match root {
        Some(root) if set_field(&mut graph, root, field, Value::Int(value)) => Ok(graph.to_bytes()),
        _ => Err(ReplayError::Session(format!("a command without the field {field}"))),
    }
}

/// The same `Chunk` with other bytes.
///
/// # Errors
/// When it is no command with a byte array `buf`.
pub fn with_buffer(command: &[u8], bytes: Vec<u8>) -> Result<Vec<u8>, ReplayError> {
    let mut graph = wire::parse(command)?;
    let buffer = graph.root()?.field("buf")?.id();
    match buffer.and_then(|buffer| graph.get_mut(buffer)) {
        Some(Stored::Array(array)) => array.items = Items::Bytes(Cow::Owned(bytes)),
        _ => return Err(ReplayError::Session("a chunk without bytes".to_owned())),
    }
    Ok(graph.to_bytes())
}
