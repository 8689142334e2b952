//! Recorded sessions with nothing answered natively: what a real controller sent reaches the child, byte
//! for byte.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::command::recorded::{self, Recorded};

/// Where the order of commands counts: the stream that a command belongs to.
fn stream_of(command: &Command) -> Option<i32> {
    match command {
        Command::Chunk { oid, .. }
        | Command::WriterChunk { oid, .. }
        | Command::Flush { oid, .. }
        | Command::Eof { oid, .. }
        | Command::StreamUnexport { oid, .. } => Some(*oid),
        _ => None,
    }
}

async fn replay(file: &str, commands: &[&Recorded]) -> usize {
    let all = service(|_, _| Box::pin(async { Reply::relayed() }));
    let mut trio = trio_with(all, |_| {}, |relay| relay.eager = true);
    let mut kid = trio.child().await;
    settle().await;
    let mut expected = HashMap::<Bytes, usize>::new();
    let (mut requests, mut answered, mut unanswered) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sent, mut received) =
        <(BTreeMap<i32, Vec<Bytes>>, BTreeMap<i32, Vec<Bytes>>)>::default();
    for recorded in commands {
        let command = Command::decode(&recorded.bytes).unwrap();
        match &command {
            Command::Close { .. } => continue,
            // The recorded agent's own requests.
            Command::UserRequest { id, .. }
            | Command::RpcRequest { id, .. }
            | Command::ReadRequest { id, .. } => requests.push(*id),
            _ => {}
        }
        if let Some(oid) = stream_of(&command) {
            sent.entry(oid).or_default().push(recorded.bytes.clone());
        }
        *expected.entry(recorded.bytes.clone()).or_default() += 1;
        trio.peer.send_bytes(recorded.bytes.clone());
        settle().await;
        while let Ok(bytes) = kid.handed.try_recv() {
            let left = expected.get_mut(&bytes).filter(|left| **left > 0);
            *left.unwrap_or_else(|| panic!("{file} {}: other bytes", recorded.number)) -= 1;
            match Command::decode(&bytes).unwrap() {
                Command::UserRequest { id, .. }
                | Command::RpcRequest { id, .. }
                | Command::ReadRequest { id, .. } => unanswered.push(id),
                command => {
                    if let Some(oid) = stream_of(&command) {
                        received.entry(oid).or_default().push(bytes);
                    }
                }
            }
        }
        // Some are answered late, so that several run at once.
        if unanswered.len() > 3 {
            let id = unanswered.remove(0);
            let answer = kid.answer(id, 0, "recorded");
            assert_eq!(trio.peer.next_bytes().await.unwrap(), answer);
            answered.push(id);
        }
    }
    assert!(expected.values().all(|left| *left == 0), "{file}: not all arrived");
    assert!(sent == received, "{file}: streams are out of order");
    for id in unanswered {
        kid.answer(id, 0, "recorded");
        assert_eq!(trio.peer.text(id).await, "recorded");
        answered.push(id);
    }
    answered.sort_unstable();
    requests.sort_unstable();
    assert_eq!(answered, requests, "{file}");
    trio.peer.silence().await;
    assert_eq!(trio.channel.running(), 0);
    requests.len()
}

#[tokio::test(start_paused = true)]
async fn every_recorded_command_reaches_the_child_byte_for_byte() {
    let mut files = BTreeMap::<&str, Vec<&Recorded>>::new();
    for recorded in recorded::ALL.iter().filter(|recorded| recorded.by_controller) {
        files.entry(&recorded.file).or_default().push(recorded);
    }
    let mut requests = 0;
    for (file, commands) in files {
        requests += replay(file, &commands).await;
    }
    assert!(requests > 500, "{requests}");
}
