//! The two tasks that own the transport: one reads, one writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{CLOSE_TIMEOUT, End, Inner};
use crate::transport::{CloseReason, CommandSink, CommandSource, TransportError};

/// How many commands may follow each other into the transport's buffer before they are sent.
const MAX_BATCH: usize = 64;

/// A controller that says goodbye hangs up at once, and this side may notice by a failed write before it
/// has read the goodbye: so long it looks for it.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) async fn read(inner: Arc<Inner>, mut source: impl CommandSource) {
    let mut end = inner.end.subscribe();
    loop {
        let received = tokio::select! {
            biased;
            _ = end.wait_for(Option::is_some) => return,
            received = source.receive() => received,
        };
        match received {
            Ok(Some(command)) => {
                inner.traffic.commands_in.fetch_add(1, Ordering::Relaxed);
                inner.traffic.bytes_in.fetch_add(command.len() as u64, Ordering::Relaxed);
                inner.dispatch(&command);
            }
            Ok(None) => return inner.end(End::Lost(hung_up(source.close_reason()))),
            Err(error) => return inner.end(error.into()),
        }
        // A peer that sends and does not take the answers must wait for itself.
        inner.queue.drained().await;
    }
}

fn hung_up(reason: Option<CloseReason>) -> String {
    match reason {
        Some(reason) => format!("the controller closed the connection ({reason})"),
        None => "the controller closed the connection".to_owned(),
    }
}

pub(crate) async fn write(inner: Arc<Inner>, mut sink: impl CommandSink) {
    let mut end = inner.end.subscribe();
    let result = {
        let sending = send_all(&inner, &mut sink);
        tokio::pin!(sending);
        let mut ended = None;
        let result = tokio::select! {
            result = &mut sending => Some(result),
            _ = end.wait_for(|end| { ended.clone_from(end); end.is_some() }) => None,
        };
        match (result, ended) {
            (Some(result), _) => result,
            // A transport that is lost takes nothing more.
            (None, Some(end)) if end.is_lost() => Ok(()),
            (None, _) => timeout(CLOSE_TIMEOUT, &mut sending).await.unwrap_or(Ok(())),
        }
    };
    if let Err(error) = result {
        let _ = timeout(GOODBYE_TIMEOUT, end.wait_for(Option::is_some)).await;
        inner.end(error.into());
    }
    inner.queue.abandon();
    let _ = timeout(CLOSE_TIMEOUT, sink.close(CloseReason::normal())).await;
    inner.written.send_replace(true);
}

/// Sends what is queued until the queue is finished.
async fn send_all(inner: &Inner, sink: &mut impl CommandSink) -> Result<(), TransportError> {
    while let Some(first) = inner.queue.next().await {
        send_batch(inner, sink, first).await?;
    }
    Ok(())
}

/// Sends a command and whatever is queued behind it, then flushes once.
async fn send_batch(
    inner: &Inner,
    sink: &mut impl CommandSink,
    first: Bytes,
) -> Result<(), TransportError> {
    let queued = std::iter::from_fn(|| inner.queue.try_next());
    for command in std::iter::once(first).chain(queued).take(MAX_BATCH) {
        inner.traffic.commands_out.fetch_add(1, Ordering::Relaxed);
        inner.traffic.bytes_out.fetch_add(command.len() as u64, Ordering::Relaxed);
        sink.send(command).await?;
    }
    sink.flush().await
}
