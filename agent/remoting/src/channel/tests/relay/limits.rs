//! A child that does not keep up holds up nobody else.

use super::*;

/// A child whose pipe is full, and what it takes to get there.
async fn deaf(trio: &mut Trio) -> Kid {
    let mut kid = trio.busy_child().await;
    kid.reading.send_replace(false);
    // What it is reading already, it still takes.
    trio.peer.chunk(1, 9, b"last");
    kid.handed().await;
    kid
}

fn small(relay: &mut RelayOptions) {
    relay.limits.queued_bytes = 200 << 10;
    relay.limits.queued_bytes_at_most = 400 << 10;
}

fn chunk(io: i32, oid: i32) -> Outgoing {
    Outgoing::Chunk { io, oid, request: 0, data: Bytes::from(vec![7; 8 << 10]) }
}

#[tokio::test(start_paused = true)]
async fn requests_that_do_not_fit_fail_and_the_channel_goes_on() {
    let mut trio = trio_with(mixed(), |_| {}, small);
    let mut kid = deaf(&mut trio).await;
    let text = "x".repeat(8 << 10);
    let requests: Vec<_> =
        (0..100).map(|id| trio.peer.request_raw(id, 0, callable(text.clone()))).collect();
    trio.peer.request(500, 0, native("beside"));
    let mut refused = Vec::new();
    loop {
        match trio.peer.next().await {
            Command::Response { id: 500, .. } => break,
            Command::Response { id, outcome: Outcome::Thrown { message }, .. } => {
                assert!(message.contains("does not keep up"), "{message}");
                refused.push(id);
            }
            other => panic!("{other:?}"),
        }
    }
    settle().await;
    while let Ok(bytes) = trio.peer.from_channel.try_recv() {
        let Command::Response { id, .. } = Command::decode(&bytes).unwrap() else { panic!() };
        refused.push(id);
    }
    refused.sort_unstable();
    assert!((60..90).contains(&refused.len()), "{refused:?}");
    assert_eq!(trio.channel.running(), 100 - refused.len());
    // The others arrive in order once it reads again.
    kid.reading.send_replace(true);
    for (id, raw) in (0..).zip(&requests) {
        if !refused.contains(&id) {
            assert!(kid.handed().await == *raw);
            kid.answer(id, 0, "done");
            assert_eq!(trio.peer.text(id).await, "done");
        }
    }
    kid.idle().await;
    assert_eq!(trio.channel.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_fit_is_broken_off_at_both_ends() {
    let mut trio = trio_with(mixed(), |_| {}, small);
    let mut kid = deaf(&mut trio).await;
    for io in 10..60 {
        trio.peer.send(chunk(io, 7));
    }
    assert_eq!(trio.peer.next().await, Command::NotifyDeadWriter { oid: 7 });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: 7, size: 8 << 10 });
    settle().await;
    while let Ok(bytes) = trio.peer.from_channel.try_recv() {
        let command = Command::decode(&bytes).unwrap();
        assert!(matches!(
            command,
            Command::NotifyDeadWriter { oid: 7 } | Command::Ack { oid: 7, .. }
        ));
    }
    kid.reading.send_replace(true);
    let mut io = 10;
    loop {
        match kid.next().await {
            Command::Chunk { io: got, oid: 7, .. } => assert_eq!(got, io),
            Command::Eof { io: 0, oid: 7, error: Some(error) } => {
                assert!(error.contains("did not keep up"), "{error}");
                break;
            }
            other => panic!("{other:?}"),
        }
        io += 1;
    }
    assert!((20..59).contains(&io), "{io}");
    // There is room again, but the stream has a hole.
    trio.peer.send(chunk(60, 7));
    assert_eq!(trio.peer.next().await, Command::NotifyDeadWriter { oid: 7 });
    assert_eq!(trio.peer.next().await, Command::Ack { oid: 7, size: 8 << 10 });
    trio.peer.send(Outgoing::Eof { io: 61, oid: 7, request: 0, error: Datum::Null });
    kid.idle().await;
    // What was never handed over holds nobody up.
    trio.peer.request(1, 9, native("after"));
    assert_eq!(trio.peer.text(1).await, "after");
    let raw = trio.peer.send_raw(chunk(62, 7));
    assert_eq!(kid.handed().await, raw);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_lets_answers_pile_up_is_ended() {
    let mut trio = trio_with(mixed(), |_| {}, small);
    trio.peer.request(1, 0, callable("waits"));
    let mut kid = trio.child().await;
    kid.handed().await;
    kid.reading.send_replace(false);
    settle().await;
    for id in 0..100 {
        let value = Datum::from(vec![7_u8; 8 << 10]);
        let exception = Datum::Null;
        trio.peer.send(Outgoing::Response { id, last_io: 0, exception, value });
    }
    assert!(trio.peer.thrown(1).await.contains("does not take what the controller sends"));
    assert!(kid.was_killed());
    trio.peer.request(2, 0, native("beside"));
    assert_eq!(trio.peer.text(2).await, "beside");
}

#[tokio::test(start_paused = true)]
async fn an_id_used_twice_at_once_is_answered_twice() {
    let mut trio = trio();
    trio.peer.request(1, 0, callable("first"));
    let mut kid = trio.child().await;
    kid.handed().await;
    trio.peer.request(1, 0, callable("second"));
    assert!(trio.peer.thrown(1).await.contains("a second request 1"));
    kid.answer(1, 0, "first");
    assert_eq!(trio.peer.text(1).await, "first");
    settle().await;
    assert_eq!(trio.channel.running(), 0);
}

/// Recorded commands with some bytes changed.
fn damaged() -> impl Iterator<Item = Bytes> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let recorded = crate::command::recorded::ALL.iter();
    let small = recorded
        .filter(|command| command.bytes.len() < 3000 && !command.class.ends_with("CloseCommand"));
    small.step_by(23).map(move |command| {
        let mut bytes = command.bytes.to_vec();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let [first, second, new, ..] = state.to_be_bytes();
            let at = usize::from(u16::from_be_bytes([first, second])) % bytes.len();
            bytes[at] = new;
        }
        bytes.into()
    })
}

#[tokio::test(start_paused = true)]
async fn damaged_commands_of_either_side_hurt_nobody() {
    let mut trio = trio_with(mixed(), |script| script.restartable = true, |_| {});
    let kid = trio.busy_child().await;
    let mut passed_on = 0;
    for bytes in damaged() {
        trio.peer.send_bytes(bytes.clone());
        kid.say_bytes(bytes);
        settle().await;
        while trio.peer.from_channel.try_recv().is_ok() {
            passed_on += 1;
        }
    }
    assert!(passed_on > 100, "{passed_on}");
    assert!(!kid.was_killed());
    trio.peer.request(-77, 0, native("still here"));
    assert_eq!(trio.peer.text(-77).await, "still here");
}
