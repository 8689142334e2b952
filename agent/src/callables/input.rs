//! Streams of the controller and of the network, read on threads that may block.

use std::future::Future;
use std::io;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jenkins_remoting::channel::{Cancellation, RemoteInput};
use jenkins_remoting::transport::Download;
use tokio::runtime::Handle;

use crate::files::FileError;

/// What gives its contents in chunks that are waited for.
pub(super) trait Source: Send {
    /// The next chunk; `None` at the end.
    fn chunk(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

impl Source for RemoteInput {
    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.next().await.map_err(io::Error::other)
    }
}

impl Source for Download {
    async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        self.next().await.map_err(io::Error::other)
    }
}

/// Where blocking code waits for what the event loop does, until its request is cancelled.
pub(super) struct Waiter {
    runtime: Handle,
    cancelled: BoxFuture<'static, ()>,
    stopped: bool,
}

impl Waiter {
    /// Must be made on a thread of the runtime, and used on one that may block.
    pub(super) fn new(cancellation: Cancellation) -> Self {
        Self::until(async move { cancellation.cancelled().await })
    }

    /// The same with any other sign to stop.
    pub(super) fn until(cancelled: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { runtime: Handle::current(), cancelled: cancelled.boxed(), stopped: false }
    }

    /// Waits for `work`; `None` once the request is cancelled.
    pub(super) fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if self.stopped {
            return None;
        }
        let cancelled = &mut self.cancelled;
        let done = self.runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                () = cancelled => None,
            }
        });
        self.stopped = done.is_none();
        done
    }
}

/// The blocking side of a [`Source`]. It ends with an error when its request is cancelled, so that
/// a sender that sends no more holds up no thread.
pub(super) struct BlockingInput<S = RemoteInput> {
    source: S,
    waiter: Waiter,
    chunk: Bytes,
}

impl<S: Source> BlockingInput<S> {
    pub(super) fn new(source: S, waiter: Waiter) -> Self {
        Self { source, waiter, chunk: Bytes::new() }
    }
}

impl<S: Source> io::Read for BlockingInput<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.waiter.wait(self.source.chunk()) {
                Some(Ok(Some(chunk))) => self.chunk = chunk,
                Some(Ok(None)) => return Ok(0),
                Some(Err(error)) => return Err(error),
                None => return Err(FileError::cancelled().into_io()),
            }
        }
        let taken = self.chunk.len().min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..taken) {
            self.chunk.copy_to_slice(buffer);
        }
        Ok(taken)
    }
}
