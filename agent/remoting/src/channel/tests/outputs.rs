//! Streams of the peer that this side writes to or reads: windows, ends, order towards responses.

use std::collections::BTreeSet;
use std::io::{self, Write};

use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::channel::window::WINDOW_BYTES;
use crate::command::PlainValue;
use crate::reference::InputReference;

const OID: i32 = 33;

fn output(channel: &Channel) -> (RemoteOutput, IoScope) {
    let scope = IoScope::new();
    (channel.output(OID, scope.clone(), 0), scope)
}

impl Peer {
    /// The chunks that come until nothing more does: their ids and how many bytes.
    async fn chunks(&mut self) -> (Vec<i32>, usize) {
        let (mut ios, mut bytes) = (Vec::new(), 0);
        loop {
            settle().await;
            let Ok(command) = self.from_channel.try_recv() else { return (ios, bytes) };
            match Command::decode(&command).unwrap() {
                Command::Chunk { io, oid: OID, data } => {
                    ios.push(io);
                    bytes += data.len();
                }
                other => panic!("expected a chunk, got {other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_under_way() {
    let (channel, mut peer) = quiet();
    let (output, scope) = output(&channel);
    let data = Bytes::from(vec![7; 3 << 20]);
    let writing = tokio::spawn(async move { (output.write(data).await, output) });
    let window = usize::try_from(WINDOW_BYTES).unwrap();
    let (ios, bytes) = peer.chunks().await;
    assert!(bytes <= window && bytes > window - (60 << 10), "{bytes}");
    assert!(ios.is_sorted() && ios.iter().collect::<BTreeSet<_>>().len() == ios.len());
    assert_eq!(scope.last(), *ios.last().unwrap());
    // A little room is not worth a chunk.
    peer.send(Outgoing::Ack { oid: OID, size: 1000 });
    assert_eq!(peer.chunks().await.1, 0);
    let mut sent = bytes;
    // Acknowledgements of other streams and nonsense change nothing.
    peer.send(Outgoing::Ack { oid: OID + 1, size: 1 << 20 });
    peer.send(Outgoing::Ack { oid: OID, size: -5 });
    assert_eq!(peer.chunks().await.1, 0);
    let mut unacknowledged = bytes - 1000;
    while sent < 3 << 20 {
        peer.send(Outgoing::Ack { oid: OID, size: i32::try_from(unacknowledged).unwrap() });
        unacknowledged = peer.chunks().await.1;
        assert!(unacknowledged > 0 && unacknowledged <= window);
        sent += unacknowledged;
    }
    let (written, output) = soon(writing).await.unwrap();
    assert_eq!((written, sent), (Ok(()), 3 << 20));
    assert!(output.acknowledged().now_or_never().is_none());
    peer.send(Outgoing::Ack { oid: OID, size: i32::MAX });
    assert_eq!(soon(output.acknowledged()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn too_many_acknowledgements_do_not_widen_the_window() {
    let (channel, mut peer) = quiet();
    let (output, _) = output(&channel);
    for _ in 0..5 {
        peer.send(Outgoing::Ack { oid: OID, size: i32::MAX });
    }
    settle().await;
    let _writing = tokio::spawn(async move { output.write(Bytes::from(vec![7; 5 << 20])).await });
    assert!(peer.chunks().await.1 <= 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_dead_reader_fails_the_writers() {
    let (channel, mut peer) = quiet();
    let (output, _) = output(&channel);
    let output = Arc::new(output);
    let writer = Arc::clone(&output);
    let writing = tokio::spawn(async move { writer.write(Bytes::from(vec![7; 5 << 20])).await });
    peer.chunks().await;
    peer.send(Outgoing::NotifyDeadWriter { oid: OID });
    assert_eq!(soon(writing).await.unwrap(), Err(StreamError::PipeClosed));
    assert_eq!(output.write(Bytes::from_static(b"x")).await, Err(StreamError::PipeClosed));
    // The peer still holds the export, so it is ended all the same.
    drop(output);
    assert!(matches!(peer.next().await, Command::StreamUnexport { oid: OID, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_ended_exactly_once() {
    let (channel, mut peer) = quiet();
    let (first, _) = output(&channel);
    assert_eq!(first.close(Some(Throwable::io("read error"))).await, Ok(()));
    let error = Some("java.io.IOException: read error".to_owned());
    assert_eq!(peer.next().await, Command::Eof { io: NATIVE_BASE, oid: OID, error });
    assert_eq!(first.close(None).await, Err(StreamError::Closed));
    assert_eq!(first.write(Bytes::from_static(b"x")).await, Err(StreamError::Closed));
    assert_eq!(first.flush().await, Err(StreamError::Closed));
    first.release().await;
    drop(first);

    let (second, _) = output(&channel);
    second.release().await;
    second.release().await;
    assert!(matches!(peer.next().await, Command::StreamUnexport { oid: OID, .. }));
    drop(second);

    let (third, scope) = output(&channel);
    third.write(Bytes::from_static(b"x")).await.unwrap();
    drop(third);
    assert!(matches!(peer.next().await, Command::Chunk { io, .. } if io == scope.last()));
    assert!(matches!(peer.next().await, Command::StreamUnexport { oid: OID, .. }));
    assert_eq!(scope.last(), NATIVE_BASE + 2, "no answer waits for a release");

    let writer = channel.writer(OID, IoScope::new());
    writer.write("für 😀").await.unwrap();
    writer.flush().await.unwrap();
    writer.close().await.unwrap();
    assert_eq!(writer.close().await, Err(StreamError::Closed));
    drop(writer);
    match peer.next().await {
        Command::WriterChunk { units, .. } => {
            assert_eq!(String::from_utf16(&units).unwrap(), "für 😀");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(peer.next().await, Command::Flush { oid: OID, .. }));
    assert!(matches!(peer.next().await, Command::Eof { oid: OID, error: None, .. }));
    peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_off_by_dropping_the_future_is_released() {
    // The controller takes one command and no more.
    let (channel, mut peer) = start_with_room(echo(), 1);
    let (busy, _) = output(&channel);
    let acknowledging = channel.clone();
    let filling = tokio::spawn(async move {
        for _ in 0..100 {
            busy.write(Bytes::from(vec![7; 60 << 10])).await?;
            acknowledging.inner.windows.acknowledge(OID, 60 << 10);
        }
        busy.close(None).await
    });
    settle().await;
    let other = channel.output(44, IoScope::new(), 0);
    assert!(other.close(None).now_or_never().is_none(), "the queue is full");
    assert!(other.write(Bytes::from_static(b"never sent")).now_or_never().is_none());
    assert!(other.acknowledged().now_or_never().is_some(), "the window is given back");
    drop(other);
    let mut ends = Vec::new();
    while ends.len() < 2 {
        match peer.next().await {
            Command::Chunk { oid: OID, .. } => {}
            end => ends.push(end),
        }
    }
    assert!(matches!(ends[0], Command::StreamUnexport { oid: 44, .. }), "{ends:?}");
    assert!(matches!(ends[1], Command::Eof { oid: OID, .. }), "{ends:?}");
    assert_eq!(soon(filling).await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_response_follows_the_io_that_it_names_even_when_the_peer_is_slow() {
    let (channel, mut peer) = start_with_room(
        service(|call, _| {
            let output = call.output(OID);
            Box::pin(async move {
                output.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
                // Dropped without being closed, with the queue full.
                drop(output);
                Reply::null()
            })
        }),
        1,
    );
    for id in 0..8 {
        peer.request(id, 0, callable(Datum::Null));
    }
    let mut highest = i32::MIN;
    let mut answered = 0;
    let mut released = 0;
    let mut chunks = BTreeSet::new();
    while answered < 8 {
        match peer.next().await {
            Command::Chunk { io, data, .. } => {
                assert!(io > highest, "ids ascend");
                highest = io;
                chunks.insert(io);
                peer.send(Outgoing::Ack { oid: OID, size: i32::try_from(data.len()).unwrap() });
            }
            Command::StreamUnexport { io, .. } => {
                assert!(io > highest);
                highest = io;
                released += 1;
            }
            Command::Response { last_io, .. } => {
                answered += 1;
                assert!(chunks.contains(&last_io), "what it names went before");
                assert!(released >= answered, "and so did the release");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(released, 8);
    settle().await;
    assert_eq!(channel.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_output_fills_chunks_and_closes() {
    let (channel, mut peer) = quiet();
    let (output, _) = output(&channel);
    let writing = tokio::task::spawn_blocking(move || {
        let mut output = output.into_blocking();
        for _ in 0..1000 {
            output.write_all(&[7; 100])?;
        }
        output.write_all(&vec![8; 200_000])?;
        output.flush()?;
        output.write_all(b"rest")?;
        output.close(None).map_err(io::Error::other)
    });
    let mut sizes = Vec::new();
    loop {
        match peer.next().await {
            Command::Chunk { data, .. } => sizes.push(data.len()),
            Command::Eof { error: None, .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sizes, [61_440, 61_440, 61_440, 61_440, 54_240, 4]);
    soon(writing).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_input_is_pulled_until_its_end() {
    let (channel, mut peer) = quiet();
    let mut input = channel.input(InputReference::Pull(OID));
    let buffer = |len: i32, buf: &[u8]| -> Datum {
        let buf = buf.to_vec();
        Object::new(&class::INPUT_BUFFER).with("len", len).with("buf", buf).into()
    };
    for (value, expected) in [
        // As a JVM answers: the buffer has the length that was asked for.
        (buffer(3, b"abc\0\0\0"), Ok(Some(Bytes::from_static(b"abc")))),
        (buffer(-1, b"\0\0\0\0\0\0"), Ok(None)),
    ] {
        let answer = async {
            let Command::ReadRequest { id, oid: OID, len, .. } = peer.next().await else {
                panic!("a read request")
            };
            assert!(len > 0);
            peer.send(Outgoing::Response { id, last_io: 0, exception: Datum::Null, value });
        };
        let (read, ()) = tokio::join!(soon(input.next()), answer);
        assert_eq!(read, expected);
    }
    assert_eq!(soon(input.next()).await, Ok(None), "without asking again");
    drop(input);
    assert_eq!(peer.next().await, Command::InputEof { oid: OID });
    peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_input_that_fails_or_is_dropped_is_closed() {
    let (channel, mut peer) = quiet();
    let mut input = channel.input(InputReference::Pull(OID));
    let answer = async {
        let Command::ReadRequest { id, .. } = peer.next().await else { panic!("a read request") };
        let exception = Throwable::io("bad disk").into_datum();
        peer.send(Outgoing::Response { id, last_io: 0, exception, value: Datum::Null });
    };
    let (read, ()) = tokio::join!(soon(input.next()), answer);
    assert_eq!(read, Err(StreamError::BrokenOff("java.io.IOException: bad disk".to_owned())));
    drop(input);
    assert_eq!(peer.next().await, Command::InputEof { oid: OID });

    let mut input = channel.input(InputReference::Pull(OID));
    assert!(input.next().now_or_never().is_none());
    let Command::ReadRequest { id, .. } = peer.next().await else { panic!("a read request") };
    assert_eq!(peer.next().await, Command::Cancel { id });
    drop(input);
    assert_eq!(peer.next().await, Command::InputEof { oid: OID });
    assert_eq!(channel.inner.calls.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_greedy_input_is_connected_and_pushed() {
    let (channel, mut peer) = quiet();
    let mut input = channel.input(InputReference::Greedy(OID));
    let Command::Connect { oid_pos, oid_ros: OID } = peer.next().await else { panic!("connect") };
    peer.chunk(1, oid_pos, b"pushed");
    peer.send(Outgoing::Eof { io: 2, oid: oid_pos, request: 0, error: Datum::Null });
    assert_eq!(soon(input.next()).await, Ok(Some(Bytes::from_static(b"pushed"))));
    assert_eq!(soon(input.next()).await, Ok(None));
    assert_eq!(peer.next().await, Command::Ack { oid: oid_pos, size: 6 });
    drop(input);
    peer.silence().await;
    assert_eq!(channel.exported(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_writing_end_of_a_pipe_is_connected_by_the_peer() {
    let (channel, mut peer) = quiet();
    let (oid_ros, pending) = channel.export_writer();
    peer.send(Outgoing::Connect { oid_pos: OID, oid_ros });
    let output = soon(pending.connected(IoScope::new())).await.unwrap();
    assert_eq!(channel.exported(), 0);
    output.write(Bytes::from_static(b"piped")).await.unwrap();
    output.close(None).await.unwrap();
    assert!(matches!(peer.next().await, Command::Chunk { oid: OID, .. }));
    assert!(matches!(peer.next().await, Command::Eof { oid: OID, error: None, .. }));

    // A reader that connects to a writer that is gone must not wait for ever.
    let broken_off = |command: Command| match command {
        Command::Eof { oid: OID, error: Some(error), .. } => error.contains("is gone"),
        other => panic!("{other:?}"),
    };
    let (oid_ros, pending) = channel.export_writer();
    drop(pending);
    assert_eq!(channel.exported(), 0);
    peer.send(Outgoing::Connect { oid_pos: OID, oid_ros });
    assert!(broken_off(peer.next().await));
    // Nor to one that is connected, and never taken up.
    let (oid_ros, pending) = channel.export_writer();
    peer.send(Outgoing::Connect { oid_pos: OID, oid_ros });
    settle().await;
    drop(pending);
    assert!(broken_off(peer.next().await));
    // A writer whose reader is dropped.
    let (oid_ros, pending) = channel.export_writer();
    peer.send(Outgoing::Unexport { oid: oid_ros });
    assert!(matches!(soon(pending.connected(IoScope::new())).await, Err(StreamError::Closed)));
    peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_gigantic_read_request_is_answered_with_a_moderate_buffer() {
    let (channel, mut peer) = quiet();
    let (mut writer, reader) = tokio::io::duplex(1 << 20);
    let oid = channel.export_source(reader);
    writer.write_all(&vec![1; 1 << 20]).await.unwrap();
    peer.send(Outgoing::ReadRequest { id: 1, oid, len: i32::MAX });
    match peer.response(1).await.1 {
        Outcome::Plain(Some(PlainValue::Buffer(Some(bytes)))) => {
            assert!((1..=64 << 10).contains(&bytes.len()));
        }
        other => panic!("{other:?}"),
    }
}
