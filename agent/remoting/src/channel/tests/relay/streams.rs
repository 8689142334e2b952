//! Streams of both sides on one channel: flow control, and the order between I/O and requests across the
//! two.

use super::*;

/// A stream of the child's, and one that the child writes to.
const CHILDS: i32 = 7;
const CONTROLLERS: i32 = 70;

#[tokio::test(start_paused = true)]
async fn a_relayed_request_waits_for_io_on_this_side() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    let (sink, mut reader) = trio.channel.export_sink();
    trio.peer.chunk(5, sink, b"before");
    let raw = trio.peer.request_raw(1, 5, callable("after"));
    let call = raw_of(outer_call(2, 5, CHILDS));
    trio.peer.send_bytes(call.clone());
    kid.idle().await;
    assert_eq!(soon(reader.next()).await.unwrap().unwrap(), "before");
    kid.idle().await;
    trio.peer.send(Outgoing::Eof { io: 6, oid: sink, request: 0, error: Datum::Null });
    assert_eq!(soon(reader.next()).await.unwrap(), None);
    assert_eq!([kid.handed().await, kid.handed().await], [raw, call]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_child_waits_for_io_on_this_side() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    let (sink, reader) = trio.channel.export_sink();
    let argument = "demo.Class".to_owned();
    kid.say(Outgoing::SystemCall { id: 0, oid: CORE, method: "fetch", argument });
    trio.peer.next().await;
    trio.peer.chunk(5, sink, b"before");
    let (exception, value) = (Datum::Null, Datum::Null);
    let raw = trio.peer.send_raw(Outgoing::Response { id: 0, last_io: 5, exception, value });
    kid.idle().await;
    drop(reader);
    assert_eq!(kid.handed().await, raw);
}

#[tokio::test(start_paused = true)]
async fn a_native_request_waits_for_a_chunk_until_the_child_has_taken_it() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    kid.obliging.store(false, Ordering::Release);
    trio.peer.chunk(5, CHILDS, b"first");
    trio.peer.chunk(6, CHILDS, b"second");
    trio.peer.request(1, 6, native("after"));
    for io in [5, 6] {
        assert!(matches!(kid.next().await, Command::Chunk { io: got, .. } if got == io));
    }
    // Since somebody waits, the child is asked for what it may have done without saying so.
    assert!(matches!(kid.next().await, Command::RpcRequest { last_io: 6, oid: 1, .. }));
    kid.say(Outgoing::Ack { oid: CHILDS, size: 5 });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: CHILDS, size: 5 });
    settle().await;
    assert_eq!(trio.channel.running(), 1);
    kid.say(Outgoing::Ack { oid: CHILDS, size: 6 });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: CHILDS, size: 6 });
    assert_eq!(trio.peer.text(1).await, "after");
}

#[tokio::test(start_paused = true)]
async fn a_native_request_waits_for_the_end_of_a_stream_until_the_child_has_closed_it() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    kid.obliging.store(false, Ordering::Release);
    trio.peer.send(Outgoing::Flush { io: 5, oid: CHILDS, request: 0 });
    trio.peer.send(Outgoing::Eof { io: 6, oid: CHILDS, request: 0, error: Datum::Null });
    trio.peer.request(1, 5, native("flushed"));
    trio.peer.request(2, 6, native("closed"));
    assert!(matches!(kid.next().await, Command::Flush { io: 5, .. }));
    assert!(matches!(kid.next().await, Command::Eof { io: 6, .. }));
    let Command::RpcRequest { id, last_io: 6, oid: 1, method } = kid.next().await else { panic!() };
    assert_eq!(method, "getProperty");
    kid.idle().await;
    assert_eq!(trio.channel.running(), 2);
    kid.say_bytes(null_answer(id));
    let mut answers = [trio.peer.next().await, trio.peer.next().await].map(|answer| match answer {
        Command::Response { id, .. } => id,
        other => panic!("{other:?}"),
    });
    answers.sort_unstable();
    assert_eq!(answers, [1, 2]);
    // The answer to the question is nobody's business.
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn io_that_comes_while_the_child_is_asked_is_asked_for_later() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    kid.obliging.store(false, Ordering::Release);
    let mut asked = Vec::new();
    for io in [5, 6] {
        trio.peer.send(Outgoing::Flush { io, oid: CHILDS, request: 0 });
        trio.peer.request(io, io, native("flushed"));
        settle().await;
    }
    while let Ok(Ok(command)) = kid.handed.try_recv().map(|bytes| Command::decode(&bytes)) {
        if let Command::RpcRequest { id, last_io, .. } = command {
            asked.push((id, last_io));
        }
    }
    let &[(id, 5)] = asked.as_slice() else { panic!("{asked:?}") };
    kid.say_bytes(null_answer(id));
    assert_eq!(trio.peer.text(5).await, "flushed");
    let Command::RpcRequest { id, last_io: 6, .. } = kid.next().await else { panic!() };
    kid.say_bytes(null_answer(id));
    assert_eq!(trio.peer.text(6).await, "flushed");
}

const TEN_MIB: usize = 10 << 20;
const CHUNK_BYTES: usize = 8 << 10;
const WINDOW_BYTES: usize = 1 << 20;

/// Data in which no two chunks are the same.
fn ten_mib() -> Bytes {
    (0..TEN_MIB).map(|index| u8::try_from(index / 1021 % 256).unwrap()).collect()
}

fn size_of(data: &Bytes) -> i32 {
    i32::try_from(data.len()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn ten_mib_go_up_within_the_window() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    let data = ten_mib();
    let (mut sent, mut acknowledged, mut io) = (0, 0, 0);
    let mut received = Vec::with_capacity(TEN_MIB);
    while acknowledged < TEN_MIB {
        while sent < TEN_MIB && sent - acknowledged + CHUNK_BYTES <= WINDOW_BYTES {
            io += 1;
            let data = data.slice(sent..sent + CHUNK_BYTES);
            trio.peer.send(Outgoing::Chunk { io, oid: CHILDS, request: 0, data });
            sent += CHUNK_BYTES;
        }
        let Command::Chunk { oid: CHILDS, data, .. } = kid.next().await else { panic!() };
        received.extend_from_slice(&data);
        kid.say(Outgoing::Ack { oid: CHILDS, size: size_of(&data) });
        let Command::Ack { oid: CHILDS, size } = trio.peer.next().await else { panic!() };
        acknowledged += usize::try_from(size).unwrap();
    }
    assert!(received == data, "the data differs");
    settle().await;
    assert_eq!(trio.channel.inner.order.len(), 0);
    // All acknowledged, so that nobody has to ask.
    trio.peer.request(1, io, native("after"));
    assert_eq!(trio.peer.text(1).await, "after");
    assert_eq!(kid.questions.load(Ordering::Acquire), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_mib_go_down_at_the_controllers_pace_beside_a_native_stream() {
    let mut trio = trio_with_room(2, mixed(), |_| {}, |_| {});
    let mut kid = trio.busy_child().await;
    let data = ten_mib();
    for (io, at) in (1..).zip((0..TEN_MIB).step_by(CHUNK_BYTES)) {
        let data = data.slice(at..at + CHUNK_BYTES);
        kid.say(Outgoing::Chunk { io, oid: CONTROLLERS, request: 9, data });
    }
    kid.say(Outgoing::Eof { io: 5000, oid: CONTROLLERS, request: 9, error: Datum::Null });
    let output = trio.channel.output(CONTROLLERS + 1, IoScope::new(), 0);
    let written = data.clone();
    let writing = tokio::spawn(async move {
        output.write(written).await.unwrap();
        output.close(None).await.unwrap();
    });
    let (mut childs, mut natives, mut ends) = (Vec::new(), Vec::new(), 0);
    let mut last_io = [0; 2];
    while ends < 2 {
        match trio.peer.next().await {
            Command::Chunk { io, oid, data } => {
                let native = oid != CONTROLLERS;
                assert!(io > last_io[usize::from(native)], "out of order");
                last_io[usize::from(native)] = io;
                if native {
                    natives.extend_from_slice(&data);
                    trio.peer.send(Outgoing::Ack { oid, size: size_of(&data) });
                } else {
                    childs.extend_from_slice(&data);
                    trio.peer.send(Outgoing::Ack { oid, size: size_of(&data) });
                }
            }
            Command::Eof { error: None, .. } => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    soon(writing).await.unwrap();
    assert!(childs == data && natives == data, "the data differs");
    // The child is told of every acknowledgement, its own among them.
    let mut own = 0;
    while let Ok(bytes) = kid.handed.try_recv() {
        if let Command::Ack { oid: CONTROLLERS, size } = Command::decode(&bytes).unwrap() {
            own += usize::try_from(size).unwrap();
        }
    }
    assert!(own > TEN_MIB - WINDOW_BYTES, "{own}");
}
