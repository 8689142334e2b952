//! Objects and streams of this side that the peer holds by oid (`hudson.remoting.ExportTable`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use java_object_stream::{Datum, Node};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use super::cancel::Canceller;
use super::sink::SinkQueue;
use super::{
    Call, Cancellation, Channel, Inner, IoScope, NATIVE_BASE, PipeReader, RemoteOutput, Reply,
    StreamError, Throwable, lock,
};
use crate::command::Outgoing;
use crate::reference::handler;

/// An object whose methods the peer may call.
pub trait ExportedObject: Send + Sync + 'static {
    /// Runs a method.
    fn invoke<'a>(&'a self, call: &'a Call, invocation: Invocation<'a>) -> BoxFuture<'a, Reply>;
}

/// A method call on an exported object (`RemoteInvocationHandler$UserRPCRequest`).
#[derive(Debug, Clone)]
pub struct Invocation<'g> {
    /// The method.
    pub method: String,
    /// The names of the declared parameter types.
    pub types: Vec<String>,
    /// The arguments, boxed.
    pub arguments: Vec<Node<'g>>,
}

/// An exported writer that waits for the peer to say where it writes to. Dropped without being
/// connected, it breaks the pipe off at the peer.
pub struct PendingOutput {
    channel: Channel,
    oid: i32,
    connected: Option<oneshot::Receiver<i32>>,
}

/// An exported input stream.
pub(crate) struct Source {
    reader: tokio::sync::Mutex<Box<dyn AsyncRead + Send + Unpin>>,
    closer: Canceller,
    closed: Cancellation,
}

/// Where the peer's stream to write to is awaited.
pub(crate) struct Writer(Mutex<Option<oneshot::Sender<i32>>>);

#[derive(Clone)]
pub(crate) enum Export {
    Object(Arc<dyn ExportedObject>),
    Sink(Arc<SinkQueue>),
    Source(Arc<Source>),
    Writer(Arc<Writer>),
}

pub(crate) struct Exports {
    table: Mutex<Table>,
}

struct Table {
    next: i32,
    /// Nothing once the channel has ended.
    entries: Option<HashMap<i32, Entry>>,
}

struct Entry {
    export: Export,
    references: u32,
}

impl Default for Exports {
    fn default() -> Self {
        // As in Java, the first oid, 1, would be the channel itself.
        Self { table: Mutex::new(Table { next: NATIVE_BASE + 1, entries: Some(HashMap::new()) }) }
    }
}

impl Exports {
    /// Exports under a new oid with one reference. After the end of the channel, nothing is kept.
    pub(crate) fn add(&self, export: Export) -> i32 {
        let mut table = lock(&self.table);
        let oid = table.next;
        table.next = table.next.wrapping_add(1);
        let entry = Entry { export, references: 1 };
        let refused = match &mut table.entries {
            Some(entries) => entries.insert(oid, entry),
            None => Some(entry),
        };
        drop(table);
        // Dropped outside of the lock: an export may hold the channel.
        drop(refused);
        oid
    }

    pub(crate) fn get(&self, oid: i32) -> Option<Export> {
        lock(&self.table).entries.as_ref()?.get(&oid).map(|entry| entry.export.clone())
    }

    /// Adds a reference. False when there is no such export.
    fn retain(&self, oid: i32) -> bool {
        let mut table = lock(&self.table);
        let Some(entry) = table.entries.as_mut().and_then(|entries| entries.get_mut(&oid)) else {
            return false;
        };
        entry.references = entry.references.saturating_add(1);
        true
    }

    /// The peer gives a reference back; the export goes with the last one. Unknown oids are ignored.
    pub(crate) fn release(&self, oid: i32) -> Option<Export> {
        {
            let mut table = lock(&self.table);
            let entry = table.entries.as_mut()?.get_mut(&oid)?;
            entry.references = entry.references.saturating_sub(1);
            if entry.references > 0 {
                return None;
            }
        }
        self.remove(oid)
    }

    /// Takes an export away, however many references there are.
    pub(crate) fn remove(&self, oid: i32) -> Option<Export> {
        let entry = lock(&self.table).entries.as_mut()?.remove(&oid)?;
        if let Export::Source(source) = &entry.export {
            source.closer.cancel();
        }
        Some(entry.export)
    }

    pub(crate) fn next(&self) -> i32 {
        lock(&self.table).next
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.table).entries.as_ref().map_or(0, HashMap::len)
    }

    pub(crate) fn clear(&self) {
        let entries = lock(&self.table).entries.take();
        drop(entries);
    }
}

impl Source {
    fn new(reader: Box<dyn AsyncRead + Send + Unpin>) -> Self {
        let (closer, closed) = Canceller::new();
        Self { reader: tokio::sync::Mutex::new(reader), closer, closed }
    }

    /// Reads some bytes; none at the end. Ends when the peer closes the stream meanwhile.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        tokio::select! {
            () = self.closed.cancelled() => Err(std::io::Error::other("the stream was closed")),
            read = async { self.reader.lock().await.read(buffer).await } => read,
        }
    }
}

impl Writer {
    /// Whether somebody takes it.
    pub(crate) fn connect(&self, oid_pos: i32) -> bool {
        lock(&self.0).take().is_some_and(|writer| writer.send(oid_pos).is_ok())
    }
}

impl Channel {
    /// Exports an object under these interfaces and returns the proxy to put into an answer, once. It
    /// is kept until the peer releases it.
    #[must_use]
    pub fn export_object(
        &self,
        object: Arc<dyn ExportedObject>,
        interfaces: &'static [&'static str],
    ) -> Datum {
        let oid = self.inner.exports.add(Export::Object(object));
        Datum::Proxy(interfaces, Box::new(handler(oid)))
    }

    /// Exports a stream for the peer to write to. It is kept until the peer ends or drops it.
    #[must_use]
    pub fn export_sink(&self) -> (i32, PipeReader) {
        self.export_queue(false)
    }

    /// The same, for a reader that may stop reading for long: what the peer writes to it holds up no
    /// request of others.
    #[must_use]
    pub fn export_detached_sink(&self) -> (i32, PipeReader) {
        self.export_queue(true)
    }

    fn export_queue(&self, detached: bool) -> (i32, PipeReader) {
        let (queue, shared) = SinkQueue::new(detached);
        let oid = self.inner.exports.add(Export::Sink(Arc::new(queue)));
        (oid, PipeReader::new(self.clone(), oid, shared))
    }

    /// Exports a stream for the peer to pull from with read requests.
    #[must_use]
    pub fn export_source(&self, source: impl AsyncRead + Send + Unpin + 'static) -> i32 {
        self.inner.exports.add(Export::Source(Arc::new(Source::new(Box::new(source)))))
    }

    /// Counts one more reference of an export that the peer is told of once more: it releases each
    /// mention by itself. False when there is no such export.
    pub fn retain_export(&self, oid: i32) -> bool {
        self.inner.exports.retain(oid)
    }

    /// Takes an export back that the peer was not told of after all, or will not release.
    pub fn unexport(&self, oid: i32) {
        drop(self.inner.exports.remove(oid));
    }

    /// Exports the writing end of a pipe whose reading end the peer will have; it connects them
    /// (`Pipe$ConnectCommand`).
    #[must_use]
    pub fn export_writer(&self) -> (i32, PendingOutput) {
        let (sender, connected) = oneshot::channel();
        let writer = Writer(Mutex::new(Some(sender)));
        let oid = self.inner.exports.add(Export::Writer(Arc::new(writer)));
        (oid, PendingOutput { channel: self.clone(), oid, connected: Some(connected) })
    }
}

impl PendingOutput {
    /// Waits until the peer connects its reading end.
    ///
    /// # Errors
    /// When the channel ends, or the peer releases the pipe, first.
    pub async fn connected(mut self, scope: IoScope) -> Result<RemoteOutput, StreamError> {
        let Some(connected) = &mut self.connected else { return Err(StreamError::Closed) };
        let oid = connected.await.map_err(|_| StreamError::Closed)?;
        self.connected = None;
        Ok(self.channel.output(oid, scope, 0))
    }
}

impl Drop for PendingOutput {
    fn drop(&mut self) {
        let inner = &self.channel.inner;
        drop(inner.exports.remove(self.oid));
        if let Some(mut connected) = self.connected.take() {
            connected.close();
            // The peer connected it, and nobody has taken it up.
            if let Ok(oid_pos) = connected.try_recv() {
                inner.break_off(oid_pos);
            }
        }
    }
}

impl Inner {
    /// Ends a stream of the peer that nobody will write to.
    pub(crate) fn break_off(&self, oid: i32) {
        let gone = Throwable::io("the writing end of the pipe is gone");
        let _ = self.send_io(None, None, |io| Outgoing::Eof {
            io,
            oid,
            request: 0,
            error: gone.into_datum(),
        });
    }
}
