//! Input streams of the peer that this side reads (`ProxyInputStream`), and the two kinds of
//! `RemoteInputStream`.

use bytes::Bytes;

use super::{CallError, Channel, PipeReader, StreamError};
use crate::command::{Outcome, Outgoing, PlainValue};
use crate::reference::InputReference;

/// How much one read request asks for.
const PULL_BYTES: i32 = 32 << 10;

/// An input stream of the peer. Dropping it closes it there.
pub struct RemoteInput {
    kind: Kind,
}

enum Kind {
    Pull { channel: Channel, oid: i32, ended: bool },
    Pipe(PipeReader),
}

impl Channel {
    /// Opens an input stream that the peer sent. A greedy one is connected at once and its contents
    /// begin to arrive.
    #[must_use]
    pub fn input(&self, reference: InputReference) -> RemoteInput {
        let kind = match reference {
            InputReference::Pull(oid) => Kind::Pull { channel: self.clone(), oid, ended: false },
            InputReference::Greedy(oid_ros) => Kind::Pipe(self.connect_pipe(oid_ros)),
        };
        RemoteInput { kind }
    }

    /// Connects the reading end of a pipe whose writing end the peer has.
    #[must_use]
    pub fn connect_pipe(&self, oid_ros: i32) -> PipeReader {
        let (oid_pos, reader) = self.export_sink();
        self.inner.post(Outgoing::Connect { oid_pos, oid_ros });
        reader
    }
}

impl RemoteInput {
    /// The next bytes, or `None` at the end of the stream.
    ///
    /// # Errors
    /// When the peer cannot read the stream, breaks it off, or the channel ends.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        match &mut self.kind {
            Kind::Pipe(reader) => reader.next().await,
            Kind::Pull { ended: true, .. } => Ok(None),
            Kind::Pull { channel, oid, ended } => {
                let id = channel.inner.next_id();
                let request = Outgoing::ReadRequest { id, oid: *oid, len: PULL_BYTES };
                let outcome = channel.inner.request(id, request).await;
                let read = match outcome {
                    Ok(Outcome::Plain(Some(PlainValue::Buffer(Some(bytes))))) => Ok(Some(bytes)),
                    Ok(Outcome::Plain(Some(PlainValue::Buffer(None)))) => Ok(None),
                    Ok(Outcome::Failed { message } | Outcome::Thrown { message }) => {
                        Err(StreamError::BrokenOff(message))
                    }
                    Ok(_) => Err(StreamError::BrokenOff("an answer without a buffer".to_owned())),
                    Err(CallError::Closed(_)) => Err(StreamError::Closed),
                    Err(error) => Err(StreamError::BrokenOff(error.to_string())),
                };
                *ended = !matches!(read, Ok(Some(_)));
                read
            }
        }
    }
}

impl Drop for RemoteInput {
    fn drop(&mut self) {
        if let Kind::Pull { channel, oid, .. } = &self.kind {
            channel.inner.post(Outgoing::InputEof { oid: *oid });
        }
    }
}
