//! What a channel does with each command that arrives. None of it waits.

use std::sync::Arc;

use bytes::Bytes;
use java_object_stream::Datum;

use super::export::Export;
use super::sink::{Arrival, Taken};
use super::{End, Inner, StreamError, Throwable};
use crate::command::{Command, DecodeError, Outcome, Outgoing};
use crate::relay::Rest;

impl Inner {
    pub(crate) fn dispatch(self: &Arc<Self>, bytes: &Bytes) {
        let command = match Command::decode(bytes) {
            Ok(command) => command,
            Err(error) => return self.unreadable(bytes, &error),
        };
        if self.to_child(&command, bytes) == Rest::Done {
            return;
        }
        match command {
            Command::UserRequest { id, last_io, loader, payload, .. } => {
                self.start_user_request(id, last_io, loader, payload, bytes.clone());
            }
            Command::RpcRequest { id, oid, .. } => self.refuse(id, self.invalid_oid(oid)),
            Command::ReadRequest { id, last_io, oid, len } => match self.exports.get(oid) {
                Some(Export::Source(source)) => self.start_read_request(id, last_io, source, len),
                _ => self.refuse(id, self.invalid_oid(oid)),
            },
            Command::Response { id, last_io, outcome } => self.answered(id, last_io, outcome),
            Command::Cancel { id } => self.running.cancel(id),
            Command::Unexport { oid } | Command::InputEof { oid } => {
                drop(self.exports.release(oid));
            }
            Command::Chunk { io, oid, data } => self.to_sink(io, oid, Arrival::Bytes(data)),
            Command::WriterChunk { io, oid, units } => {
                self.to_sink(io, oid, Arrival::Units(units));
            }
            Command::Flush { io, oid } => self.to_sink(io, oid, Arrival::Flush),
            Command::Eof { io, oid, error } => {
                let end = error.map_or(Ok(()), |error| Err(StreamError::BrokenOff(error)));
                self.to_sink(io, oid, Arrival::End(end));
                drop(self.exports.release(oid));
            }
            Command::StreamUnexport { io, oid } => {
                let dropped = "it was dropped without being closed".to_owned();
                self.to_sink(io, oid, Arrival::End(Err(StreamError::BrokenOff(dropped))));
                drop(self.exports.release(oid));
            }
            Command::Ack { oid, size } => self.windows.acknowledge(oid, size),
            Command::NotifyDeadWriter { oid } => self.windows.kill(oid, &StreamError::PipeClosed),
            Command::Connect { oid_pos, oid_ros } => self.connect_writer(oid_pos, oid_ros),
            Command::Close { cause } => {
                // The peer usually closes the connection at once, so this answer may not arrive.
                self.queue.finish(self.encode(Outgoing::Close).ok());
                self.end(End::ClosedByPeer(cause));
            }
            Command::Gc => {}
            Command::UnknownRequest { id, class } => {
                tracing::warn!(class, "the controller sent a request of an unknown class");
                let text = format!("this agent does not know requests of the class {class}");
                self.refuse(id, Throwable::io(text));
            }
            Command::Unknown { class } => {
                tracing::warn!(
                    class,
                    "the controller sent a command of an unknown class; it is left out"
                );
            }
        }
    }

    /// A command is framed by itself, so the commands after one that is damaged are not affected. A
    /// request whose id can be read is answered: somebody waits for it.
    fn unreadable(self: &Arc<Self>, command: &Bytes, error: &DecodeError) {
        let bytes = command.len();
        tracing::warn!(%error, bytes, "the controller sent a command that cannot be read");
        let id = if let DecodeError::Request { id, .. } = error { Some(*id) } else { None };
        if self.unreadable_to_child(id, command) == Rest::Done {
            return;
        }
        if let DecodeError::Request { id, .. } = error {
            self.refuse(*id, Throwable::io(format!("the agent received {error}")));
        }
    }

    /// Answers a request with a failure outside of any callable. JDK classes only.
    pub(crate) fn refuse(&self, id: i32, why: Throwable) {
        let (exception, value) = (why.into_datum(), Datum::Null);
        self.post(Outgoing::Response { id, last_io: 0, exception, value });
    }

    /// Hands a response to its caller once the I/O before it is complete.
    fn answered(self: &Arc<Self>, id: i32, last_io: i32, outcome: Outcome) {
        if self.order.is_complete(last_io) {
            if let Some(caller) = self.calls.take(id) {
                // The caller may have gone away in between.
                let _ = caller.send(outcome);
            }
            return;
        }
        let inner = Arc::clone(self);
        self.runtime.spawn(async move {
            inner.until_complete(last_io).await;
            if let Some(caller) = inner.calls.take(id) {
                let _ = caller.send(outcome);
            }
        });
    }

    /// Queues what arrived on a stream. Where nobody reads the stream, the peer's window is given back
    /// and the peer told, so that its writer fails instead of waiting for ever.
    fn to_sink(&self, io: i32, oid: i32, arrival: Arrival) {
        let taken = match &arrival {
            Arrival::Bytes(data) => Taken { bytes: data.len(), units: 0 },
            Arrival::Units(units) => Taken { bytes: 0, units: units.len() },
            Arrival::Flush | Arrival::End(_) => Taken::default(),
        };
        if let Some(Export::Sink(sink)) = self.exports.get(oid)
            && sink.push(io, arrival, &self.order)
        {
            return;
        }
        if taken != Taken::default() {
            self.notify_dead(oid, taken);
            self.give_back(oid, taken);
        }
    }

    /// Tells an exported writer where to write to. Where it is gone, the peer's reader is told.
    fn connect_writer(&self, oid_pos: i32, oid_ros: i32) {
        if let Some(Export::Writer(writer)) = self.exports.release(oid_ros)
            && writer.connect(oid_pos)
        {
            return;
        }
        self.break_off(oid_pos);
    }
}
