//! The end of a channel with a child.

use std::sync::Weak;

use super::*;

async fn freed(inner: &Weak<Inner>) -> bool {
    settle().await;
    inner.strong_count() == 0
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_closes_closes_the_child_too() {
    let mut trio = trio();
    trio.peer.request(1, 0, callable("busy"));
    let mut kid = trio.child().await;
    kid.handed().await;
    trio.peer.send(Outgoing::Close);
    assert!(matches!(kid.next().await, Command::Close { .. }));
    assert!(matches!(trio.peer.next().await, Command::Close { .. }));
    // Nothing of the child may follow that.
    kid.answer(1, 0, "too late");
    assert_eq!(trio.peer.next_bytes().await, None);
    assert_eq!(trio.channel.end(), Some(End::ClosedByPeer(None)));
    settle().await;
    assert!(trio.channel.child_ended().now_or_never().is_none());
    kid.process.end("exit code 0");
    soon(trio.channel.child_ended()).await;
    assert!(!kid.was_killed());
    let inner = Arc::downgrade(&trio.channel.inner);
    drop(trio);
    assert!(freed(&inner).await);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_go_is_ended() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    kid.reading.send_replace(false);
    let channel = trio.channel.clone();
    let began = tokio::time::Instant::now();
    soon(channel.close("the agent was told to stop")).await;
    soon(channel.child_ended()).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(kid.was_killed());
    kid.handed.close();
    assert!(matches!(trio.peer.next().await, Command::Close { .. }));
    assert_eq!(trio.peer.next_bytes().await, None);
    // There is none after that.
    assert!(channel.inner.relay.as_ref().is_some_and(|relay| !relay.claim_start()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_the_child_at_once() {
    let mut trio = trio();
    trio.peer.request(1, 0, callable("busy"));
    let mut kid = trio.child().await;
    kid.handed().await;
    trio.peer.to_channel = None;
    let began = tokio::time::Instant::now();
    soon(trio.channel.child_ended()).await;
    assert!(matches!(trio.channel.end(), Some(End::Lost(_))));
    assert!(kid.was_killed() && began.elapsed().is_zero());
    settle().await;
    assert_eq!(trio.channel.running(), 0);
    let inner = Arc::downgrade(&trio.channel.inner);
    drop(trio);
    assert!(freed(&inner).await);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_coming_up_ends_with_the_connection_at_once() {
    let mut trio = trio_with(mixed(), |script| script.greets = false, |_| {});
    trio.peer.request(1, 0, callable("waits"));
    let kid = trio.child().await;
    settle().await;
    trio.peer.to_channel = None;
    let began = tokio::time::Instant::now();
    soon(trio.channel.child_ended()).await;
    assert!(kid.was_killed() && began.elapsed().is_zero());
}

/// Never gets one started.
struct Slow(Arc<AtomicBool>);

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Fallback for Slow {
    fn start(&self, start: Start) -> BoxFuture<'static, Result<Child, NotStarted>> {
        let dropped = SetOnDrop(Arc::clone(&self.0));
        Box::pin(async move {
            let _both = (dropped, start);
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_child_ends_with_the_channel() {
    let dropped = Arc::new(AtomicBool::new(false));
    let fallback: Arc<dyn Fallback> = Arc::new(Slow(Arc::clone(&dropped)));
    let trio = trio_with(mixed(), |_| {}, |relay| relay.fallback = fallback);
    trio.peer.request(1, 0, callable("waits"));
    settle().await;
    assert!(!dropped.load(Ordering::Acquire));
    trio.peer.send(Outgoing::Close);
    soon(trio.channel.child_ended()).await;
    settle().await;
    soon(trio.channel.child_ended()).await;
    assert!(dropped.load(Ordering::Acquire));
    let inner = Arc::downgrade(&trio.channel.inner);
    drop(trio);
    assert!(freed(&inner).await);
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_child_takes_no_longer_than_it_may() {
    let dropped = Arc::new(AtomicBool::new(false));
    let fallback: Arc<dyn Fallback> = Arc::new(Slow(Arc::clone(&dropped)));
    let mut trio = trio_with(mixed(), |_| {}, |relay| relay.fallback = fallback);
    trio.peer.request(1, 0, callable("waits"));
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert!(trio.peer.thrown(1).await.contains("not be started within 900 seconds"));
    assert!(dropped.load(Ordering::Acquire));
}

struct Panics;

impl Fallback for Panics {
    fn start(&self, _: Start) -> BoxFuture<'static, Result<Child, NotStarted>> {
        panic!("on purpose")
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_panics_fails_the_request() {
    let mut trio = trio_with(mixed(), |_| {}, |relay| relay.fallback = Arc::new(Panics));
    trio.peer.request(1, 0, callable("waits"));
    let message = trio.peer.thrown(1).await;
    assert!(message.contains("cannot run demo.Callable") && message.contains("bug"), "{message}");
}
