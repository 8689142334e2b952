//! A child that ends, hangs or talks nonsense, and the next one.

use super::*;
use crate::reference::{input_datum, output_datum};
use crate::relay::first_id;

const CHILDS: i32 = 7;

fn restartable(script: &mut Script) {
    script.restartable = true;
}

static PIPE: Class = Class::new("hudson.remoting.Pipe", 1).with_write_method();

/// A callable that brings along: a byte stream 31, a source 32, a pipe to write to 33, one to connect
/// to 34, and a proxy 35.
fn burdened() -> Object {
    let pipe =
        |writing: u8, oid: u8| Object::new(&PIPE).block(&PIPE, [writing, 0, 0, 0, oid]).into();
    let handler = Object::new(&class::INVOCATION_HANDLER).with("oid", 35);
    let proxy = Datum::Proxy(&["demo.Thing", "hudson.remoting.IReadResolve"], Box::new(handler));
    let items = vec![output_datum(31), input_datum(32), pipe(1, 33), pipe(0, 34), proxy];
    callable(jdk::array_list(items))
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_child_that_ends_are_answered_in_words() {
    let mut trio = trio();
    trio.peer.request(2, 0, callable("one"));
    trio.peer.request(1, 0, callable("another"));
    trio.peer.request(3, 0, native("beside"));
    assert_eq!(trio.peer.text(3).await, "beside");
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.handed().await;
    trio.peer.send_bytes(raw_of(outer_call(4, 0, CHILDS)));
    kid.handed().await;
    kid.process.end("the JVM ran out of memory");
    assert_eq!(
        failed(&mut trio.peer, 4).await,
        "java.io.IOException: [hudson.remoting.RemoteInvocationHandler$RPCRequest] the JVM ran out of memory"
    );
    let mut messages = Vec::new();
    for _ in 0..2 {
        match trio.peer.next().await {
            Command::Response { id, outcome: Outcome::Thrown { message }, .. } => {
                messages.push((id, message));
            }
            other => panic!("{other:?}"),
        }
    }
    messages.sort();
    let expected = "java.io.IOException: [demo.Callable] the JVM ran out of memory";
    assert_eq!(messages, [(1, expected.to_owned()), (2, expected.to_owned())]);
    soon(trio.channel.child_ended()).await;
    assert!(!kid.was_killed());

    // One whose ids cannot be set has no successor.
    trio.peer.request(5, 0, callable("late"));
    assert_eq!(trio.peer.thrown(5).await, expected);
    trio.no_child().await;
    trio.peer.request(6, 0, native("still here"));
    assert_eq!(trio.peer.text(6).await, "still here");
    let relayed = trio.channel.relayed();
    assert_eq!(relayed.by_class.get("demo.Callable"), Some(&2));
    assert_eq!(relayed.failed.get("demo.Callable"), Some(&3));
    assert_eq!((trio.channel.child_pid(), trio.channel.running()), (None, 0));
    trio.peer.silence().await;
}

async fn failed(peer: &mut Peer, id: i32) -> String {
    match peer.response(id).await.1 {
        Outcome::Failed { message } => message,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_child_said_before_its_end_counts() {
    let mut trio = trio();
    trio.peer.request(1, 0, callable("one"));
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.answer(1, 0, "done");
    settle().await;
    kid.process.end("exit code 0");
    assert_eq!(trio.peer.text(1).await, "done");
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn streams_to_a_child_that_ends_are_released() {
    let mut trio = trio();
    let mut kid = trio.busy_child().await;
    kid.obliging.store(false, Ordering::Release);
    trio.peer.chunk(5, CHILDS, b"taken");
    trio.peer.chunk(6, CHILDS, b"not taken");
    let units = "no".encode_utf16().collect();
    trio.peer.send(Outgoing::WriterChunk { io: 7, oid: CHILDS + 1, units });
    trio.peer.request(1, 7, native("waits"));
    kid.handed().await;
    kid.say(Outgoing::Ack { oid: CHILDS, size: 5 });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: CHILDS, size: 5 });
    settle().await;
    assert_eq!(trio.channel.running(), 1);
    kid.process.end("killed by signal 9");
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(format!("{:?}", trio.peer.next().await));
    }
    told.sort();
    assert_eq!(told[0], "Ack { oid: 7, size: 9 }");
    assert_eq!(told[1], "Ack { oid: 8, size: 2 }");
    assert_eq!(told[2], "NotifyDeadWriter { oid: 7 }");
    assert_eq!(told[3], "NotifyDeadWriter { oid: 8 }");
    assert!(told[4].starts_with("Response { id: 1"), "{}", told[4]);

    // What still comes for it fails in the same way, or is left out.
    trio.peer.chunk(8, CHILDS, b"late");
    assert_eq!(trio.peer.next().await, Command::NotifyDeadWriter { oid: CHILDS });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: CHILDS, size: 4 });
    trio.peer.send(Outgoing::Eof { io: 9, oid: CHILDS, request: 0, error: Datum::Null });
    trio.peer.send(Outgoing::Unexport { oid: CHILDS });
    trio.peer.send(Outgoing::Ack { oid: 70, size: 5 });
    trio.peer.answer(3, 0, Datum::Null);
    trio.peer.send(Outgoing::ReadRequest { id: 2, oid: CHILDS, len: 5 });
    let went = "java.io.IOException: this object went with a JVM of the agent: killed by signal 9";
    assert_eq!(failed(&mut trio.peer, 2).await, went);
    trio.peer.request(4, 9, rpc(CHILDS, "close", vec![]));
    assert_eq!(trio.peer.thrown(4).await, went);
    trio.peer.request(5, 0, rpc(NATIVE_BASE + 99, "close", vec![]));
    assert!(trio.peer.thrown(5).await.contains("Invalid object ID"));
    trio.peer.silence().await;
    assert_eq!(trio.channel.inner.order.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_child_held_of_the_controller_is_given_back() {
    let mut trio = trio();
    trio.peer.request(1, 0, burdened());
    let mut kid = trio.child().await;
    kid.handed().await;
    let argument = "demo.Class".to_owned();
    let call = Outgoing::SystemCall { id: 4, oid: CORE, method: "fetch", argument };
    trio_takes(&mut trio.peer, kid.say(call)).await;
    trio_takes(&mut trio.peer, kid.chunk(17, 31, b"half of it")).await;
    // It ends in the middle of a command.
    kid.says.send(Bytes::from_static(&[0x20, 0x00, 0xAC, 0xED])).unwrap();
    settle().await;
    kid.process.end("killed by signal 9");
    let mut ends = Vec::new();
    let mut last = 0;
    for _ in 0..6 {
        match trio.peer.next().await {
            Command::Eof { io, oid, error } => {
                assert_eq!(error.unwrap(), "java.io.IOException: killed by signal 9");
                assert!(io >= NATIVE_BASE);
                last = last.max(io);
                ends.push(("end", oid));
            }
            Command::InputEof { oid } => ends.push(("input", oid)),
            Command::Connect { oid_ros, oid_pos } => {
                assert!(oid_pos > NATIVE_BASE);
                ends.push(("connect", oid_ros));
            }
            Command::Unexport { oid } => ends.push(("proxy", oid)),
            Command::Cancel { id } => ends.push(("cancel", id)),
            other => panic!("{other:?}"),
        }
    }
    ends.sort_unstable();
    let expected =
        [("cancel", 4), ("connect", 34), ("end", 31), ("end", 33), ("input", 32), ("proxy", 35)];
    assert_eq!(ends, expected);
    match trio.peer.response(1).await {
        (last_io, Outcome::Thrown { message }) => {
            assert_eq!(last_io, last, "the streams end before the request does");
            assert!(message.ends_with("killed by signal 9"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(trio.channel.exported(), 0);
    trio.peer.silence().await;
}

async fn trio_takes(peer: &mut Peer, command: Bytes) {
    assert_eq!(peer.next_bytes().await.unwrap(), command);
}

#[tokio::test(start_paused = true)]
async fn what_a_child_gave_back_itself_is_not_given_back_again() {
    let mut trio = trio();
    trio.peer.request(1, 0, burdened());
    let mut kid = trio.child().await;
    kid.handed().await;
    for command in [
        Outgoing::Eof { io: 1, oid: 31, request: 1, error: Datum::Null },
        Outgoing::InputEof { oid: 32 },
        Outgoing::StreamUnexport { io: 2, oid: 33 },
        Outgoing::Connect { oid_pos: 50, oid_ros: 34 },
        Outgoing::Unexport { oid: 35 },
    ] {
        let raw = kid.say(command);
        trio_takes(&mut trio.peer, raw).await;
    }
    kid.process.end("exit code 1");
    assert!(trio.peer.thrown(1).await.ends_with("exit code 1"));
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn streams_of_answered_requests_are_released_without_being_closed() {
    let mut trio = trio();
    trio.peer.request(1, 0, callable(output_datum(31)));
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.answer(1, 0, "done");
    assert_eq!(trio.peer.text(1).await, "done");
    kid.process.end("exit code 1");
    assert!(matches!(trio.peer.next().await, Command::StreamUnexport { oid: 31, .. }));
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_generation_follows_one_that_can_be_restarted() {
    let mut trio = trio_with(mixed(), restartable, |_| {});
    let first = trio.busy_child().await;
    first.process.end("exit code 1");
    settle().await;
    trio.no_child().await;
    let mut second = trio.busy_child().await;
    assert_eq!(*lock(&trio.script.generations), [0, 1]);
    let base = first_id(1);
    assert_eq!(base, 0x0100_0000);

    // The oids and ids of the first are nobody's any more.
    trio.peer.send_bytes(raw_of(outer_call(1, 0, CHILDS)));
    assert!(failed(&mut trio.peer, 1).await.ends_with("went with a JVM of the agent: exit code 1"));
    trio.peer.answer(3, 0, Datum::Null);
    trio.peer.send(Outgoing::Unexport { oid: CHILDS });
    second.idle().await;
    let call = raw_of(outer_call(2, 0, base + CHILDS));
    trio.peer.send_bytes(call.clone());
    assert_eq!(second.handed().await, call);
    let (exception, value) = (Datum::Null, Datum::Null);
    let answer = Outgoing::Response { id: base, last_io: 0, exception, value };
    let answer = trio.peer.send_raw(answer);
    assert_eq!(second.handed().await, answer);
    // The channel itself has no generations.
    let raw = trio.peer.request_raw(4, 0, rpc(1, "getProperty", vec!["key".into()]));
    assert_eq!(second.handed().await, raw);
    second.process.end("exit code 1");
    assert!(failed(&mut trio.peer, 2).await.ends_with("exit code 1"));
    assert!(trio.peer.thrown(4).await.ends_with("exit code 1"));
    assert_eq!(trio.channel.relayed().children, 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_be_started_is_tried_again_unless_that_is_of_no_use() {
    let refusal = |message: &str, lasting| NotStarted { message: message.to_owned(), lasting };
    let mut trio = trio();
    *lock(&trio.script.refusals) =
        [refusal("the disk is full", false), refusal("no Java", true)].into();
    trio.peer.request(1, 0, burdened());
    // What the request brought is given back.
    let mut given_back = 0;
    let message = loop {
        match trio.peer.next().await {
            Command::Response { id: 1, outcome: Outcome::Thrown { message }, .. } => break message,
            Command::Response { .. } => panic!(),
            _ => given_back += 1,
        }
    };
    assert_eq!(
        (given_back, message.as_str()),
        (5, "java.io.IOException: [demo.Callable] the disk is full")
    );
    trio.peer.request(2, 0, callable("again"));
    assert!(trio.peer.thrown(2).await.ends_with("no Java"));
    trio.peer.request(3, 0, callable(output_datum(31)));
    assert!(matches!(trio.peer.next().await, Command::StreamUnexport { oid: 31, .. }));
    assert!(trio.peer.thrown(3).await.ends_with("no Java"));
    assert_eq!(*lock(&trio.script.generations), [0, 0]);
    assert_eq!(trio.channel.relayed().children, 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_greet_is_ended_and_another_tried() {
    let mut trio = trio_with(mixed(), |script| script.greets = false, |_| {});
    trio.peer.request(1, 0, callable("first"));
    let kid = trio.child().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(trio.peer.thrown(1).await.ends_with("did not come up within 60 seconds"));
    assert!(kid.was_killed());
    trio.peer.request(2, 0, callable("second"));
    let kid = trio.child().await;
    kid.says.send(Bytes::from_static(b"Error: could not find class Launcher")).unwrap();
    settle().await;
    kid.process.end("exit code 1: no main class");
    assert!(trio.peer.thrown(2).await.ends_with("exit code 1: no main class"));
    assert!(!kid.was_killed());
    assert_eq!(*lock(&trio.script.generations), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_talks_nonsense_is_ended() {
    let mut trio = trio_with(mixed(), restartable, |_| {});
    trio.peer.request(1, 0, callable("first"));
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.says.send(Bytes::from([0x80, 0x00].repeat(100))).unwrap();
    assert!(trio.peer.thrown(1).await.ends_with("it sent something that is no command"));
    assert!(kid.was_killed());
    let _next = trio.busy_child().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_closes_its_channel_is_told_so_and_closes_nobody_elses() {
    let mut trio = trio_with(mixed(), restartable, |_| {});
    trio.peer.request(1, 0, callable("first"));
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.say(Outgoing::Close);
    assert!(matches!(kid.next().await, Command::Close { .. }));
    kid.process.end("exit code 0");
    assert!(trio.peer.thrown(1).await.ends_with("exit code 0"));
    assert!(!kid.was_killed());
    let _next = trio.busy_child().await;
    trio.peer.silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_hangs_while_somebody_waits_is_ended() {
    let mut trio = trio();
    trio.peer.request(1, 0, callable("first"));
    let mut kid = trio.child().await;
    kid.handed().await;
    // As long as it answers, a request may take its time.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(kid.questions.load(Ordering::Acquire) > 20);
    trio.peer.request(2, 0, native("beside"));
    assert_eq!(trio.peer.text(2).await, "beside");
    kid.obliging.store(false, Ordering::Release);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(trio.peer.thrown(1).await.ends_with("no sign of life for 120 seconds and was ended"));
    assert!(kid.was_killed());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_nobody_waits_for_is_left_alone() {
    let mut trio = trio();
    let kid = trio.busy_child().await;
    kid.obliging.store(false, Ordering::Release);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!kid.was_killed());
    assert_eq!(kid.questions.load(Ordering::Acquire), 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_the_controller_does_not_hang() {
    let mut trio = trio_with_room(1, mixed(), |_| {}, |_| {});
    trio.peer.request(1, 0, callable("first"));
    let mut kid = trio.child().await;
    kid.handed().await;
    let mut said = Vec::new();
    for io in 1..400 {
        let data = Bytes::from(vec![7; 16 << 10]);
        said.push(kid.say(Outgoing::Chunk { io, oid: 70, request: 1, data }));
    }
    said.push(kid.answer(1, 399, "done"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!kid.was_killed());
    for command in said {
        assert!(trio.peer.next_bytes().await.unwrap() == command);
    }
}
