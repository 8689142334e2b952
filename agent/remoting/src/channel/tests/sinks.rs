//! Streams that the peer writes to: order, acknowledgements, ends, barriers.

use std::io;

use super::*;

fn ack(oid: i32, size: i32) -> Command {
    Command::Ack { oid, size }
}

#[tokio::test(start_paused = true)]
async fn chunks_arrive_in_order_and_each_is_acknowledged_when_it_is_done_with() {
    let (channel, mut peer) = quiet();
    let (oid, mut reader) = channel.export_sink();
    peer.chunk(1, oid, b"one");
    assert_eq!(soon(reader.next()).await, Ok(Some(Bytes::from_static(b"one"))));
    peer.silence().await;
    peer.send(Outgoing::Flush { io: 2, oid, request: 0 });
    peer.chunk(3, oid, b"three");
    peer.send(Outgoing::Eof { io: 4, oid, request: 0, error: Datum::Null });
    assert_eq!(soon(reader.next()).await, Ok(Some(Bytes::from_static(b"three"))));
    assert_eq!(peer.next().await, ack(oid, 3));
    assert_eq!(soon(reader.next()).await, Ok(None));
    assert_eq!(peer.next().await, ack(oid, 5));
    assert_eq!(soon(reader.next()).await, Ok(None));
    assert_eq!(channel.exported(), 0);
    drop(reader);
    peer.silence().await;
    assert_eq!(channel.inner.order.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_io_that_it_names() {
    let (channel, mut peer) = quiet();
    let (oid, mut reader) = channel.export_sink();
    peer.chunk(11, oid, b"data");
    peer.send(Outgoing::Eof { io: 12, oid, request: 0, error: Datum::Null });
    peer.request(1, 11, callable("after the chunk"));
    peer.request(2, 12, callable("after the end"));
    peer.request(3, 10, callable("after what is done"));
    peer.request(4, 0, callable("after nothing"));
    assert_eq!(peer.text(3).await, "after what is done");
    assert_eq!(peer.text(4).await, "after nothing");
    assert!(soon(reader.next()).await.unwrap().is_some());
    peer.silence().await;
    assert_eq!(soon(reader.next()).await, Ok(None));
    assert_eq!(peer.next().await, ack(oid, 4));
    assert_eq!(peer.text(1).await, "after the chunk");
    peer.silence().await;
    // Closing the file, say, happens between the end and the drop.
    drop(reader);
    assert_eq!(peer.text(2).await, "after the end");
}

#[tokio::test(start_paused = true)]
async fn detached_streams_hold_up_nobody_else() {
    let (channel, mut peer) = quiet();
    let (stdin, mut reader) = channel.export_detached_sink();
    let (file, mut file_reader) = channel.export_sink();
    peer.chunk(11, stdin, b"for a process that does not read");
    peer.chunk(12, file, b"data");
    peer.request(1, 12, callable("after the file"));
    peer.request(2, 11, callable("after the input"));
    peer.silence().await;
    assert!(soon(file_reader.next()).await.unwrap().is_some());
    drop(file_reader);
    assert_eq!(peer.next().await, ack(file, 4));
    assert_eq!(peer.text(1).await, "after the file");
    peer.silence().await;
    assert!(soon(reader.next()).await.unwrap().is_some());
    drop(reader);
    assert_eq!(peer.next().await, ack(stdin, 32));
    assert_eq!(peer.text(2).await, "after the input");
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_an_error_or_by_being_dropped() {
    let (channel, mut peer) = quiet();
    let (oid, mut reader) = channel.export_sink();
    let error = Throwable::io("disk full").into_datum();
    peer.chunk(1, oid, b"part");
    peer.send(Outgoing::Eof { io: 2, oid, request: 0, error });
    assert!(soon(reader.next()).await.unwrap().is_some());
    let broken = Err(StreamError::BrokenOff("java.io.IOException: disk full".to_owned()));
    assert_eq!(soon(reader.next()).await, broken);
    assert_eq!(soon(reader.next()).await, broken, "an error is no end of the stream");
    assert_eq!(peer.next().await, ack(oid, 4));

    let (oid, mut reader) = channel.export_sink();
    peer.send(Outgoing::StreamUnexport { io: 3, oid });
    assert!(matches!(soon(reader.next()).await, Err(StreamError::BrokenOff(_))));

    let (oid, mut reader) = channel.export_sink();
    peer.send(Outgoing::Unexport { oid });
    assert_eq!(soon(reader.next()).await, Err(StreamError::Closed));
    assert_eq!(channel.exported(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_leaves_nothing_stuck() {
    let (channel, mut peer) = quiet();
    let (oid, mut reader) = channel.export_sink();
    static LARGE: [u8; 5000] = [1; 5000];
    for io in 1..=3 {
        peer.chunk(io, oid, &LARGE);
    }
    peer.request(1, 3, callable("after all"));
    assert!(soon(reader.next()).await.unwrap().is_some());
    drop(reader);
    assert_eq!(peer.next().await, ack(oid, 5000));
    assert_eq!(peer.next().await, Command::NotifyDeadWriter { oid });
    assert_eq!(peer.next().await, ack(oid, 5000));
    assert_eq!(peer.next().await, ack(oid, 5000));
    assert_eq!(peer.text(1).await, "after all");
    assert_eq!(channel.exported(), 0);
    // What was under way already.
    peer.chunk(4, oid, b"late");
    assert_eq!(peer.next().await, Command::NotifyDeadWriter { oid });
    assert_eq!(peer.next().await, ack(oid, 4));
    peer.send(Outgoing::Flush { io: 5, oid, request: 0 });
    peer.send(Outgoing::Eof { io: 6, oid, request: 0, error: Datum::Null });
    peer.request(2, 6, callable("after the rest"));
    assert_eq!(peer.text(2).await, "after the rest");
    assert_eq!(channel.inner.order.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn streams_of_characters() {
    let (channel, mut peer) = quiet();
    let (oid, mut reader) = channel.export_sink();
    let units: Vec<u16> = "für 😀".encode_utf16().collect();
    let (first, second) = units.split_at(5);
    peer.send(Outgoing::WriterChunk { io: 1, oid, units: first.to_vec() });
    settle().await;
    peer.send(Outgoing::WriterChunk { io: 2, oid, units: second.to_vec() });
    settle().await;
    assert_eq!(soon(reader.next()).await, Ok(Some(Bytes::from_static("für 😀".as_bytes()))));
    peer.send(Outgoing::WriterEof { io: 3, oid });
    assert_eq!(soon(reader.next()).await, Ok(None));
    let bytes = peer.next_bytes().await.unwrap();
    assert_eq!(Command::decode(&bytes), Ok(ack(oid, 6)), "units, not bytes");
    assert!(bytes.windows(11).any(|window| window == b"ProxyWriter"));
    peer.send(Outgoing::WriterChunk { io: 4, oid, units: first.to_vec() });
    assert_eq!(peer.next().await, Command::NotifyDeadWriter { oid });
    assert_eq!(peer.next().await, ack(oid, 5));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ignores_its_window_is_cut_off() {
    let (channel, mut peer) = quiet();
    let (oid, mut reader) = channel.export_sink();
    static LARGE: [u8; 60_000] = [1; 60_000];
    for io in 1..=100 {
        peer.chunk(io, oid, &LARGE);
    }
    settle().await;
    let mut whole = 0;
    let error = loop {
        match soon(reader.next()).await {
            Ok(chunk) => whole += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error, StreamError::Overrun);
    assert!((1 << 20..=3 << 20).contains(&whole), "{whole}");
    drop(reader);
    // All of it is acknowledged, so that the window is whole, and nothing is left outstanding.
    let mut acknowledged = 0;
    while acknowledged < 6_000_000 {
        if let Command::Ack { size, .. } = peer.next().await {
            acknowledged += size;
        }
    }
    assert_eq!(channel.inner.order.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_reader_reads_on_its_own_thread() {
    let (channel, mut peer) = quiet();
    let (oid, reader) = channel.export_sink();
    let read = tokio::task::spawn_blocking(move || {
        let mut all = String::new();
        let mut reader = reader.into_blocking();
        assert_eq!(io::Read::read(&mut reader, &mut []).unwrap(), 0);
        io::Read::read_to_string(&mut reader, &mut all).map(|_| all)
    });
    for io in 1..=3 {
        peer.chunk(io, oid, b"line\n");
    }
    peer.send(Outgoing::Eof { io: 4, oid, request: 0, error: Datum::Null });
    assert_eq!(soon(read).await.unwrap().unwrap(), "line\nline\nline\n");
    let mut acknowledged = 0;
    while acknowledged < 15 {
        let Command::Ack { size, .. } = peer.next().await else { panic!("an ack") };
        acknowledged += size;
    }

    let (oid, reader) = channel.export_sink();
    let read = tokio::task::spawn_blocking(move || {
        io::Read::read_to_end(&mut reader.into_blocking(), &mut Vec::new())
    });
    peer.send(Outgoing::StreamUnexport { io: 5, oid });
    let error = soon(read).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn io_zero_is_never_waited_for() {
    let (channel, mut peer) = quiet();
    let (oid, _reader) = channel.export_sink();
    peer.chunk(0, oid, b"x");
    peer.request(1, 5, callable("at once"));
    assert_eq!(peer.text(1).await, "at once");
}
