//! How a channel ends, what it leaves behind, and peers that do not take their answers.

use std::sync::Weak;
use std::sync::atomic::AtomicBool;

use futures_util::FutureExt;

use super::*;
use crate::reference::InputReference;

/// Set when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct HoldsTheChannel {
    _channel: Channel,
    _flag: Flag,
}

impl ExportedObject for HoldsTheChannel {
    fn invoke<'a>(&'a self, _: &'a Call, _: Invocation<'a>) -> BoxFuture<'a, Reply> {
        Box::pin(async { Reply::null() })
    }
}

/// Waits for its cancellation, so that a request ends with the channel.
fn patient() -> Arc<dyn Service> {
    service(|call, _| {
        Box::pin(async {
            call.cancellation().cancelled().await;
            Reply::null()
        })
    })
}

async fn freed(inner: &Weak<Inner>) -> bool {
    settle().await;
    inner.strong_count() == 0
}

#[tokio::test(start_paused = true)]
async fn the_end_fails_everything_and_frees_the_channel() {
    let (channel, mut peer) = start(service(|call, callable| {
        Box::pin(async move {
            if let Ok(hello) = callable.read_field::<String>("argument") {
                return Reply::value(hello);
            }
            call.cancellation().cancelled().await;
            Reply::null()
        })
    }));
    peer.introduce().await;
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(Arc::clone(&dropped));
    let object = HoldsTheChannel { _channel: channel.clone(), _flag: flag };
    let _ = channel.export_object(Arc::new(object), &["demo.Thing"]);
    let (_, mut sink) = channel.export_sink();
    let (_, pending) = channel.export_writer();
    let (_writer, source) = tokio::io::duplex(16);
    let source = channel.export_source(source);
    let mut input = channel.input(InputReference::Pull(8));
    let output = channel.output(9, IoScope::new(), 0);
    peer.request(1, 0, callable(Datum::Null));
    peer.send(Outgoing::ReadRequest { id: 2, oid: source, len: 5 });
    settle().await;
    assert_eq!((channel.exported(), channel.running()), (4, 2));

    let full = Bytes::from(vec![0; 2 << 20]);
    let all = async {
        tokio::join!(
            sink.next(),
            pending.connected(IoScope::new()),
            input.next(),
            output.write(full),
            channel.ping(),
            channel.ended(),
        )
    };
    let hang_up = async {
        settle().await;
        peer.to_channel = None;
    };
    let ((sink_end, connected, read, written, ping, end), ()) =
        soon(async { tokio::join!(all, hang_up) }).await;
    assert_eq!(sink_end, Err(StreamError::Closed));
    assert!(matches!(connected, Err(StreamError::Closed)));
    assert_eq!(read, Err(StreamError::Closed));
    assert_eq!(written, Err(StreamError::Closed));
    assert_eq!(ping, Err(CallError::Closed(Closed)));
    let reason = "the controller closed the connection (code 1000, normal close)";
    assert_eq!(end, End::Lost(reason.to_owned()));
    assert_eq!(channel.end(), Some(end));
    settle().await;
    assert_eq!((channel.exported(), channel.running()), (0, 0));
    assert!(dropped.load(Ordering::Acquire), "exports are dropped");

    // Nothing that begins now hangs or stays.
    let (_, mut late_sink) = channel.export_sink();
    assert_eq!(soon(late_sink.next()).await, Err(StreamError::Closed));
    let (_, pending) = channel.export_writer();
    assert!(soon(pending.connected(IoScope::new())).await.is_err());
    assert_eq!(soon(channel.ping()).await, Err(CallError::Closed(Closed)));
    let late = channel.output(10, IoScope::new(), 0);
    assert_eq!(soon(late.write(Bytes::from_static(b"x"))).await, Err(StreamError::Closed));
    assert_eq!(soon(late.close(None)).await, Err(StreamError::Closed));
    soon(channel.close("again")).await;
    assert!(matches!(channel.end(), Some(End::Lost(_))), "the first end counts");
    assert_eq!(channel.exported(), 0);

    let inner = Arc::downgrade(&channel.inner);
    drop((sink, late_sink, late, output, input, channel));
    assert!(freed(&inner).await);
}

#[tokio::test(start_paused = true)]
async fn a_close_command_is_answered_with_one() {
    let (channel, mut peer) = start(patient());
    peer.request(1, 0, callable(Datum::Null));
    let because = jdk::throwable(&class::PROXY_EXCEPTION, "java.io.IOException: going down");
    let created = jdk::throwable(&jdk::EXCEPTION, Datum::Null).with("cause", because);
    peer.send_object(Object::new(&class::CLOSE).with("createdAt", created));
    // Nothing after a close command counts.
    peer.request(2, 0, callable(Datum::Null));
    let cause = Some("java.io.IOException: going down".to_owned());
    assert_eq!(soon(channel.ended()).await, End::ClosedByPeer(cause));
    assert_eq!(peer.next().await, Command::Close { cause: None });
    assert_eq!(peer.next_bytes().await, None);
    let inner = Arc::downgrade(&channel.inner);
    drop(channel);
    assert!(freed(&inner).await, "the request ended with the channel");
}

#[tokio::test(start_paused = true)]
async fn closing_sends_what_was_queued_and_the_close_command_last() {
    let (channel, mut peer) = start_with_room(echo(), 1);
    let output = channel.output(4, IoScope::new(), 0);
    output.write(Bytes::from(vec![1; 600 << 10])).await.unwrap();
    let closing = channel.close("done");
    let taking = async {
        let mut bytes = 0;
        loop {
            match peer.next().await {
                Command::Chunk { data, .. } => bytes += data.len(),
                Command::Close { .. } => break,
                other => panic!("{other:?}"),
            }
            // Too late to be sent.
            assert!(output.flush().await.is_err());
        }
        assert_eq!(peer.next_bytes().await, None);
        bytes
    };
    let ((), bytes) = tokio::join!(soon(closing), taking);
    assert_eq!(bytes, 600 << 10);
    assert_eq!(channel.end(), Some(End::Closed("done".to_owned())));
    soon(channel.close("twice")).await;
}

#[tokio::test(start_paused = true)]
async fn closing_towards_a_peer_that_takes_nothing_ends_in_time() {
    let (channel, peer) = start_with_room(echo(), 1);
    let output = channel.output(4, IoScope::new(), 0);
    output.write(Bytes::from(vec![1; 600 << 10])).await.unwrap();
    let before = tokio::time::Instant::now();
    soon(channel.close("done")).await;
    assert!(before.elapsed() <= 2 * CLOSE_TIMEOUT);
    let inner = Arc::downgrade(&channel.inner);
    drop((channel, output, peer));
    assert!(freed(&inner).await);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_is_still_to_be_read_wins_over_the_failed_write() {
    let (channel, Peer { encoder, to_channel, from_channel }) = quiet();
    // The controller has hung up; its last words are under way.
    drop(from_channel);
    channel.inner.post(Outgoing::Unexport { oid: 1 });
    settle().await;
    assert_eq!(channel.end(), None);
    let goodbye = encoder.encode(Outgoing::Close).unwrap();
    to_channel.unwrap().send(Ok(goodbye)).unwrap();
    assert_eq!(soon(channel.ended()).await, End::ClosedByPeer(None));
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_fails_on_either_side_ends_the_channel() {
    let (channel, Peer { from_channel, to_channel, .. }) = quiet();
    drop(from_channel);
    channel.inner.post(Outgoing::Unexport { oid: 1 });
    let reason = "the connection to the controller was lost: nobody receives".to_owned();
    assert_eq!(soon(channel.ended()).await, End::Lost(reason));
    drop(to_channel);

    let (channel, peer) = quiet();
    let detail = "it ended in the middle of a command".to_owned();
    let lost = TransportError::ConnectionLost { detail };
    peer.to_channel.as_ref().unwrap().send(Err(lost.clone())).unwrap();
    assert_eq!(soon(channel.ended()).await, End::Lost(lost.to_string()));

    for silent in
        [TransportError::PeerSilent { seconds: 145 }, TransportError::WriteTimeout { seconds: 60 }]
    {
        let (channel, peer) = quiet();
        peer.to_channel.as_ref().unwrap().send(Err(silent.clone())).unwrap();
        assert_eq!(soon(channel.ended()).await, End::HalfOpen(silent.to_string()));
        assert!(
            silent.to_string().contains("the connection is half open (a load balancer or node")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_and_does_not_read_is_made_to_wait() {
    let (channel, mut peer) = start_with_room(echo(), 1);
    for io in 1..=20_000 {
        // Nobody reads this stream, so each chunk is answered twice.
        peer.chunk(io, 5, b"x");
    }
    settle().await;
    let handled = channel.traffic().commands_in;
    assert!(handled < 15_000, "{handled} handled");
    // Once it reads, all of it goes on.
    for _ in 0..20_000 {
        assert_eq!(peer.next().await, Command::NotifyDeadWriter { oid: 5 });
        assert_eq!(peer.next().await, Command::Ack { oid: 5, size: 1 });
    }
    assert_eq!(channel.traffic().commands_in, 20_000);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_peer_that_does_not_take_answers_and_then_go_on() {
    let (channel, mut peer) =
        start_with_room(service(|_, _| Box::pin(async { Reply::value("x".repeat(100_000)) })), 1);
    for id in 0..200 {
        peer.request(id, 0, callable(Datum::Null));
    }
    settle().await;
    assert!(channel.running() > 150, "their answers are not sent");
    for _ in 0..200 {
        assert!(matches!(peer.next().await, Command::Response { .. }));
    }
    settle().await;
    assert_eq!(channel.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn traffic_is_counted() {
    let (channel, mut peer) = quiet();
    peer.introduce().await;
    let traffic = channel.traffic();
    assert_eq!((traffic.commands_in, traffic.commands_out), (1, 1));
    assert!(traffic.bytes_in > 100 && traffic.bytes_out > 100);
}

/// Many threads end a channel while others begin things on it: nothing may hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_hangs_when_the_end_races_with_beginnings() {
    for round in 0..200 {
        let (channel, mut peer) = start(patient());
        peer.request(1, 0, callable(Datum::Null));
        while channel.inner.core_loader.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        let mut tasks = tokio::task::JoinSet::new();
        for kind in 0..8 {
            let channel = channel.clone();
            tasks.spawn(async move {
                match kind % 4 {
                    0 => drop(channel.ping().await),
                    1 => drop(channel.export_sink().1.next().await),
                    2 => {
                        let output = channel.output(kind, IoScope::new(), 0);
                        while output.write(Bytes::from(vec![1; 100_000])).await.is_ok() {}
                    }
                    _ => drop(channel.export_writer().1.connected(IoScope::new()).await),
                }
            });
        }
        for id in 2..10 {
            peer.request(id, 0, callable(Datum::Null));
        }
        match round % 3 {
            0 => peer.to_channel = None,
            1 => peer.send(Outgoing::Close),
            _ => channel.close("over").await,
        }
        let joined = timeout(Duration::from_secs(20), async {
            while tasks.join_next().await.is_some() {}
            while channel.running() > 0 {
                tokio::task::yield_now().await;
            }
        });
        joined.await.expect("something hangs after the end");
        assert_eq!(channel.exported(), 0);
        assert_eq!(channel.ping().now_or_never(), Some(Err(CallError::Closed(Closed))));
    }
}
