//! Many requests and streams at once, on several threads.

use super::*;

const REQUESTS: i32 = 2000;

/// A child that answers all that it is handed with the length of it, and takes all data, until it is
/// told to end.
async fn oblige(mut kid: Kid, ends_after: usize) -> Kid {
    let mut handed = 0;
    while let Some(bytes) = kid.handed.recv().await {
        match Command::decode(&bytes).unwrap() {
            Command::UserRequest { id, .. } => {
                kid.answer(id, 0, &bytes.len().to_string());
            }
            Command::Chunk { oid, data, .. } => {
                kid.say(Outgoing::Ack { oid, size: i32::try_from(data.len()).unwrap() });
            }
            _ => {}
        }
        handed += 1;
        if handed == ends_after {
            kid.process.end("exit code 3");
            break;
        }
    }
    kid
}

async fn run(ends_after: usize) -> (usize, usize, usize) {
    let mut trio =
        trio_with(mixed(), |script| script.restartable = true, |relay| relay.eager = true);
    let first = trio.child().await;
    let mut children = trio.children;
    let obliging = tokio::spawn(async move {
        let mut all = vec![tokio::spawn(oblige(first, ends_after))];
        while let Some(kid) = children.recv().await {
            all.push(tokio::spawn(oblige(kid, usize::MAX)));
        }
        all
    });
    while trio.channel.child_pid().is_none() {
        tokio::task::yield_now().await;
    }
    let (sink, mut reader) = trio.channel.export_sink();
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = reader.next().await {} });
    for id in 0..REQUESTS {
        let io = 2 * id + 1;
        trio.peer.chunk(io, 7, b"to the child");
        trio.peer.chunk(io + 1, sink, b"to this side");
        let callable = if id % 3 == 0 { native("x") } else { callable(format!("number {id}")) };
        trio.peer.request(id, io + 1, callable);
    }
    let (mut values, mut failures, mut taken) = (0, 0, 0);
    let mut answered = std::collections::HashSet::new();
    while answered.len() < usize::try_from(REQUESTS).unwrap() {
        match trio.peer.next().await {
            Command::Response { id, outcome, .. } => {
                assert!(answered.insert(id), "{id} is answered twice");
                match outcome {
                    Outcome::Value(_) => values += 1,
                    Outcome::Thrown { message } => {
                        assert!(message.contains("exit code 3"), "{message}");
                        failures += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            Command::Ack { oid: 7, size } => taken += usize::try_from(size).unwrap(),
            _ => {}
        }
    }
    trio.peer.send(Outgoing::Close);
    soon(trio.channel.ended()).await;
    soon(trio.channel.child_ended()).await;
    assert_eq!(trio.channel.inner.order.len(), 0);
    reading.abort();
    drop((trio.channel, trio.script));
    obliging.abort();
    (values, failures, taken)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_answered_once() {
    let (values, failures, _) = run(usize::MAX).await;
    assert_eq!((values, failures), (2000, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_answered_once_though_the_child_ends_in_between() {
    let (values, failures, taken) = run(500).await;
    assert_eq!(values + failures, 2000);
    assert!(values > 700, "{values}");
    // What the child did not take is given back in its name.
    assert!(taken > 0);
}
