//! Pumping output, slow sinks, streams left open.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::{AsyncWriteSink, Killer, OutputPump, OutputSink, PumpEnd};

/// Counts bytes; every write needs a permit.
struct Gated {
    gate: Arc<Semaphore>,
    arrived: Arc<AtomicU64>,
    at_gate: Arc<Semaphore>,
}

impl Gated {
    fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { gate: closed(), arrived: Arc::default(), at_gate: closed() }
    }
}

impl OutputSink for Gated {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.arrived.fetch_add(u64::try_from(bytes.len()).unwrap(), Ordering::SeqCst);
        self.at_gate.add_permits(1);
        let _permit = self.gate.acquire().await.unwrap();
        Ok(())
    }
}

async fn finish<S: OutputSink>(mut pump: OutputPump<S>) -> crate::PumpOutcome<S> {
    tokio::time::timeout(HANGING, pump.finish()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_slow_sink_slows_the_process_and_gets_everything() {
    const SIZE: u64 = 64 * 1024 * 1024;
    let sink = Gated::new();
    let (gate, arrived, at_gate) = (sink.gate.clone(), sink.arrived.clone(), sink.at_gate.clone());
    let mut child = command(["head", "-c", &SIZE.to_string(), "/dev/zero"]).start().await.unwrap();
    let pump = OutputPump::start(child.stdout.take().unwrap(), sink, child.exit_watch());

    at_gate.acquire().await.unwrap().forget();
    // The pump holds one chunk and the pipe 64 KiB: the process cannot have finished.
    assert!(arrived.load(Ordering::SeqCst) <= 32 * 1024);
    assert!(child.is_alive());
    gate.add_permits(1);
    let outcome = finish(pump).await;
    assert!(matches!(outcome.end, PumpEnd::EndOfStream));
    assert_eq!((outcome.bytes, arrived.load(Ordering::SeqCst)), (SIZE, SIZE));
    assert_eq!(child.wait().await.code(), 0);
}

#[tokio::test]
async fn a_sink_slower_than_the_grace_still_gets_what_the_process_wrote() {
    let sink = Gated::new();
    let gate = sink.gate.clone();
    let mut child = command(["head", "-c", "60000", "/dev/zero"]).start().await.unwrap();
    let watch = child.exit_watch();
    let pump = OutputPump::with_grace(child.stdout.take().unwrap(), sink, watch, Duration::ZERO);
    child.wait().await;
    gate.add_permits(1);
    let outcome = finish(pump).await;
    assert_eq!(outcome.bytes, 60_000);
}

#[tokio::test]
async fn a_stream_kept_open_by_a_grandchild_is_reported() {
    let cookie = cookie("leak");
    let mut child = with_cookie(shell("sleep 1000 & echo done"), &cookie).start().await.unwrap();
    let sink = AsyncWriteSink(io::Cursor::new(Vec::new()));
    let grace = Duration::from_millis(100);
    let pump =
        OutputPump::with_grace(child.stdout.take().unwrap(), sink, child.exit_watch(), grace);
    let outcome = finish(pump).await;
    assert!(matches!(outcome.end, PumpEnd::LeakedDescriptors));
    assert_eq!(outcome.sink.0.into_inner(), b"done\n");
    assert_eq!(child.wait().await.code(), 0);
    assert_eq!(carriers(&cookie).len(), 1);
    Killer::new().kill_matching([cookie.clone()]).await.unwrap();
    assert!(carriers(&cookie).is_empty());
}

#[tokio::test]
async fn a_grandchild_that_never_stops_writing_does_not_hold_up_the_end() {
    let cookie = cookie("yes");
    let mut child = with_cookie(shell("yes & exit 0"), &cookie).start().await.unwrap();
    let sink = |_: Vec<u8>| async { Ok(()) };
    let grace = Duration::from_millis(50);
    let pump =
        OutputPump::with_grace(child.stdout.take().unwrap(), sink, child.exit_watch(), grace);
    assert!(matches!(finish(pump).await.end, PumpEnd::LeakedDescriptors));
    Killer::new().kill_matching([cookie.clone()]).await.unwrap();
    assert!(carriers(&cookie).is_empty());
}

#[tokio::test]
async fn a_grandchild_may_go_on_writing_after_the_build() {
    let directory = tempfile::tempdir().unwrap();
    let script = "(read line < go; echo more || exit 1; echo survived > marker; mkfifo end; \
                  echo x > end) & echo done";
    assert_eq!(run(command(["mkfifo", "go"]).directory(directory.path())).await.1, 0);
    let mut child = shell(script).directory(directory.path()).start().await.unwrap();
    let sink = |_: Vec<u8>| async { Ok(()) };
    let pump = OutputPump::with_grace(
        child.stdout.take().unwrap(),
        sink,
        child.exit_watch(),
        Duration::ZERO,
    );
    assert!(matches!(finish(pump).await.end, PumpEnd::LeakedDescriptors));
    // Only now it writes again; then it says so.
    let wait = "echo go > go; while [ ! -p end ]; do sleep 0.01; done; read x < end; cat marker";
    let (text, _) = run(shell(wait).directory(directory.path())).await;
    assert_eq!(text, "survived\n");
}

#[tokio::test]
async fn a_failing_sink_ends_the_pump_and_closes_the_stream() {
    let mut child = command(["yes"]).start().await.unwrap();
    let sink = |_: Vec<u8>| async { Err(io::Error::other("the channel is closed")) };
    let pump = OutputPump::start(child.stdout.take().unwrap(), sink, child.exit_watch());
    let outcome = finish(pump).await;
    assert!(matches!(outcome.end, PumpEnd::SinkFailed(_)));
    assert_eq!(outcome.bytes, 0);
    // `yes` says so and exits with 1, or the signal of a broken pipe ends it.
    assert!([1, 128 + 13].contains(&child.wait().await.code()));
}

#[tokio::test]
async fn a_stopped_pump_has_no_outcome() {
    let mut child = command(["yes"]).start().await.unwrap();
    let mut pump =
        OutputPump::start(child.stdout.take().unwrap(), Gated::new(), child.exit_watch());
    pump.stop();
    assert!(pump.finish().await.is_none());
    assert!(pump.finish().await.is_none());
    assert_ne!(child.wait().await.code(), 0);
}
