//! Calls and streams over a link, with windows and acknowledgements as a controller keeps them.

use bytes::Bytes;
use java_object_stream::{Graph, ReadOptions};
use jenkins_remoting::WITHOUT_DEFAULT_FIELDS;
use jenkins_remoting::command::{Command, Outcome};

use super::link::Link;
use super::wire::{self, Forms, Streaming};
use crate::error::Failed;

/// `Channel.PIPE_WINDOW_SIZE` in bytes.
const WINDOW: usize = 1 << 20;

/// How controllers cut what they write to an agent: the buffer of their copy loops, in bytes.
pub const PIECE: usize = 8192;

/// Acknowledgements are sent once so many bytes were taken, or when nothing more is there.
const ACK_EVERY: usize = 256 << 10;

/// A connection to an agent, with what a channel keeps.
pub struct Session {
    /// The connection.
    pub link: Link,
    forms: Forms,
    next_io: i32,
}

/// What came of a call.
#[derive(Debug)]
pub struct Answer {
    /// The user stream of the result.
    pub stream: Bytes,
    /// Bytes of streams that came before it.
    pub bytes: u64,
}

impl Session {
    /// A session over a new connection.
    pub fn new(link: Link) -> Result<Self, Failed> {
        Ok(Self { link, forms: Forms::new()?, next_io: 1 })
    }

    /// Sends a request and waits for its response; takes what comes on streams meanwhile.
    pub async fn call(&mut self, id: i32, request: &[u8]) -> Result<Answer, Failed> {
        self.link.feed(request).await?;
        self.link.flush().await?;
        self.answer(id).await
    }

    /// Sends a command that has no answer.
    pub async fn post(&mut self, command: &[u8]) -> Result<(), Failed> {
        self.link.feed(command).await?;
        self.link.flush().await
    }

    /// Waits for the response of a request.
    pub async fn answer(&mut self, id: i32) -> Result<Answer, Failed> {
        let (mut bytes, mut unsent) = (0, 0);
        loop {
            let command = match self.link.ready_command()? {
                Some(command) => command,
                None => {
                    self.link.flush().await?;
                    unsent = 0;
                    self.link.command().await?
                }
            };
            if let Some(Streaming::Data { oid, size }) = self.forms.streaming(&command) {
                bytes += size as u64;
                let ack = self.forms.ack(oid, size);
                self.link.feed(&ack).await?;
                unsent += size;
                if unsent >= ACK_EVERY {
                    self.link.flush().await?;
                    unsent = 0;
                }
                continue;
            }
            if let Some(outcome) = self.other(&command, id).await? {
                self.link.flush().await?;
                return match outcome {
                    Outcome::Value(stream) => Ok(Answer { stream, bytes }),
                    other => Err(Failed::Agent(format!("it answered {other:?}"))),
                };
            }
        }
    }

    /// Deals with a command that is no data: the outcome when it answers `id`.
    async fn other(&mut self, command: &Bytes, id: i32) -> Result<Option<Outcome>, Failed> {
        match Command::decode(command) {
            Ok(Command::Response { id: answered, outcome, .. }) if answered == id => {
                Ok(Some(outcome))
            }
            Ok(Command::UserRequest { id, .. }) => {
                self.link.feed(&wire::null_response(id)?).await?;
                self.link.flush().await?;
                Ok(None)
            }
            Ok(Command::Eof { error: Some(error), .. }) => Err(Failed::Agent(error)),
            Ok(_) => Ok(None),
            Err(error) => Err(Failed::Agent(error.to_string())),
        }
    }

    /// Waits until the agent connects its end of a greedy stream, and returns that end.
    pub async fn connected(&mut self) -> Result<i32, Failed> {
        loop {
            let command = self.link.command().await?;
            match Command::decode(&command) {
                Ok(Command::Connect { oid_pos, .. }) => return Ok(oid_pos),
                Ok(Command::Response { outcome, .. }) => {
                    return Err(Failed::Agent(format!("it answered {outcome:?}")));
                }
                _ => {}
            }
        }
    }

    /// Writes `data` over and over, `total` bytes in all, to the agent's stream `oid` in pieces of
    /// [`PIECE`], ends it, and returns once everything is acknowledged.
    pub async fn write(&mut self, oid: i32, data: &[u8], total: u64) -> Result<(), Failed> {
        let mut left = usize::try_from(total).unwrap_or(usize::MAX);
        let (mut at, mut under_way) = (0, 0);
        while left > 0 || under_way > 0 {
            while left > 0 && under_way + PIECE <= WINDOW {
                let piece = data.get(at..).unwrap_or_default();
                let piece = piece.get(..PIECE.min(left)).unwrap_or(piece);
                let command = self.forms.chunk(self.next_io, oid, piece);
                self.next_io += 1;
                self.link.feed(&command).await?;
                (left, under_way) = (left - piece.len(), under_way + piece.len());
                at = if at + piece.len() >= data.len() { 0 } else { at + piece.len() };
            }
            self.link.flush().await?;
            let mut command = Some(self.link.command().await?);
            while let Some(received) = command {
                match self.forms.streaming(&received) {
                    Some(Streaming::Ack { size }) => under_way = under_way.saturating_sub(size),
                    _ => {
                        if let Ok(Command::NotifyDeadWriter { .. }) = Command::decode(&received) {
                            return Err(Failed::Agent("it takes no more of a stream".to_owned()));
                        }
                    }
                }
                command = self.link.ready_command()?;
            }
        }
        let end = wire::eof(self.next_io, oid)?;
        self.next_io += 1;
        self.post(&end).await
    }
}

/// Reads the user stream of an answer.
pub fn parse(stream: &[u8]) -> Result<Graph<'_>, Failed> {
    let options =
        ReadOptions { without_default_fields: &WITHOUT_DEFAULT_FIELDS, ..ReadOptions::default() };
    Ok(Graph::parse(stream, &options)?)
}
