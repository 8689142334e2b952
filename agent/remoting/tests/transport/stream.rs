//! Commands, pings, time limits and the end of a connection.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use jenkins_remoting::framing::{
    ChunkReader, ChunkWriter, ChunkWriterOptions, FramingError, MAX_MESSAGE_BYTES,
};
use jenkins_remoting::transport::{
    CloseReason, CommandSink as _, CommandSource as _, KeepAlive, TransportError, TransportEvent,
    WebSocketOptions, WebSocketSink, WebSocketSource, connect,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::support::{Controller, Reply, ServerSocket, usual};

async fn pair(
    change: impl FnOnce(&mut WebSocketOptions),
) -> (WebSocketSource, WebSocketSink, ServerSocket) {
    let mut controller = Controller::start(|_| Reply::Upgrade(usual())).await;
    let mut options = controller.options();
    change(&mut options);
    let (source, sink, _) = connect(&options).await.unwrap();
    (source, sink, controller.sockets.recv().await.unwrap())
}

fn commands() -> Vec<Bytes> {
    [1, 10, 8192, 8193, 32_766, 65_536, 200_000, 3]
        .map(|length: usize| (0..=250u8).cycle().take(length).collect())
        .to_vec()
}

#[tokio::test]
async fn commands_arrive_on_both_sides_with_every_message_size() {
    for framing in [
        ChunkWriterOptions::default(),
        ChunkWriterOptions::compatible(),
        ChunkWriterOptions::single(32_767),
        ChunkWriterOptions::batched(8192, MAX_MESSAGE_BYTES),
    ] {
        let (mut source, mut sink, mut server) = pair(|options| options.framing = framing).await;
        let echo = tokio::spawn(async move {
            let mut reader = ChunkReader::default();
            let mut seen: Vec<Bytes> = Vec::new();
            while seen.len() < commands().len() {
                let Message::Binary(bytes) = server.next().await.unwrap().unwrap() else {
                    panic!("binary only")
                };
                assert!(bytes.len() <= MAX_MESSAGE_BYTES);
                seen.extend(reader.push(bytes).map(Result::unwrap));
            }
            let mut writer = ChunkWriter::new(framing);
            seen.iter().for_each(|command| writer.push(command.clone()));
            while let Some(message) = writer.next_message() {
                server.feed(Message::Binary(message)).await.unwrap();
            }
            server.flush().await.unwrap();
            (server, seen)
        });
        for command in commands() {
            sink.send(command).await.unwrap();
        }
        sink.flush().await.unwrap();
        let mut back = Vec::new();
        while back.len() < commands().len() {
            back.push(source.receive().await.unwrap().unwrap());
        }
        assert_eq!(back, commands());
        assert_eq!(echo.await.unwrap().1, commands());
    }
}

#[tokio::test]
async fn chunks_cut_anywhere_over_messages_are_joined() {
    let (mut source, _sink, mut server) = pair(|_| {}).await;
    for part in [&[0x80u8][..], &[2, 1], &[2, 0], &[1, 3, 0, 0, 0, 1], &[4]] {
        server.send(Message::binary(part.to_vec())).await.unwrap();
    }
    assert_eq!(source.receive().await.unwrap().unwrap(), [1, 2, 3][..]);
    assert_eq!(source.receive().await.unwrap().unwrap(), [4][..]);
}

#[tokio::test]
async fn pings_are_answered() {
    let (mut source, _sink, mut server) = pair(|_| {}).await;
    server.send(Message::Ping(Bytes::from_static(b"hello"))).await.unwrap();
    server.send(Message::binary(vec![0, 1, 7])).await.unwrap();
    assert_eq!(source.receive().await.unwrap().unwrap(), [7][..]);
    let reading = tokio::spawn(async move { source.receive().await });
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"hello")));
    server.close(None).await.unwrap();
    assert_eq!(reading.await.unwrap(), Ok(None));
}

fn keep_alive(peer_timeout: Duration) -> impl FnOnce(&mut WebSocketOptions) {
    move |options| {
        options.keep_alive = KeepAlive {
            ping_interval: Some(Duration::from_millis(20)),
            peer_timeout: Some(peer_timeout),
        };
    }
}

#[tokio::test]
async fn a_quiet_peer_is_pinged_again_and_again() {
    let (mut source, _sink, mut server) = pair(keep_alive(Duration::from_secs(3600))).await;
    let reading = tokio::spawn(async move { source.receive().await });
    for _ in 0..3 {
        assert_eq!(server.next().await.unwrap().unwrap(), Message::Ping(Bytes::new()));
        server.flush().await.unwrap();
    }
    server.send(Message::binary(vec![0, 1, 7])).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap().unwrap(), [7][..]);
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_dead() {
    let (mut source, mut sink, _server) = pair(keep_alive(Duration::from_millis(50))).await;
    let result = source.receive().await;
    assert!(matches!(result, Err(TransportError::PeerSilent { .. })), "{result:?}");
    assert_eq!(source.receive().await, result, "the end stays the end");
    sink.send(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(sink.flush().await, result.map(|_| ()), "the other half knows");
}

#[tokio::test]
async fn close_codes() {
    for (code, orderly) in [(1000, true), (1001, true), (1009, false), (1011, false), (4321, false)]
    {
        let (mut source, mut sink, mut server) = pair(|_| {}).await;
        let frame = CloseFrame {
            code: code.into(),
            reason: "Binary message too large: 69,618 > 65,536".into(),
        };
        server.send(Message::Close(Some(frame))).await.unwrap();
        let result = source.receive().await;
        let reason = CloseReason::new(code, "Binary message too large: 69,618 > 65,536");
        if orderly {
            assert_eq!(result, Ok(None));
        } else {
            assert_eq!(result, Err(TransportError::ClosedByPeer(reason.clone())));
        }
        assert_eq!(source.close_reason(), Some(reason.clone()));
        assert_eq!(source.next_event().await, TransportEvent::Closed(reason.clone()));
        if code == 1009 {
            assert!(reason.to_string().starts_with("code 1009, message too large"), "{reason}");
        }
        // The answer to the close frame went out.
        assert!(matches!(server.next().await, Some(Ok(Message::Close(_)))));
        sink.send(Bytes::from_static(b"x")).await.unwrap();
        assert!(sink.flush().await.is_err());
    }
}

#[tokio::test]
async fn closing_flushes_and_the_peers_answer_is_an_orderly_end() {
    let (mut source, mut sink, mut server) = pair(|_| {}).await;
    sink.send(Bytes::from_static(b"last")).await.unwrap();
    sink.close(CloseReason::new(1000, "é".repeat(100))).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(b"\x00\x04last".to_vec()));
    let Some(Ok(Message::Close(Some(frame)))) = server.next().await else {
        panic!("a close frame")
    };
    assert_eq!((u16::from(frame.code), frame.reason.len()), (1000, 122));
    assert!(server.next().await.is_none());
    drop(server);
    assert_eq!(source.receive().await, Ok(None));
    sink.send(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(sink.flush().await, Err(TransportError::AlreadyClosed));
}

#[tokio::test]
async fn loss_and_broken_rules_are_errors() {
    let (mut source, _sink, server) = pair(|_| {}).await;
    drop(server);
    assert!(matches!(source.receive().await, Err(TransportError::ConnectionLost { .. })));

    let (mut source, _sink, mut server) = pair(|_| {}).await;
    server.send(Message::text("hello")).await.unwrap();
    assert!(matches!(source.receive().await, Err(TransportError::Protocol { .. })));

    let (mut source, _sink, mut server) = pair(|options| options.max_command_bytes = 10).await;
    server.send(Message::binary(vec![0, 11])).await.unwrap();
    let limit = FramingError::CommandTooLong { limit: 10 };
    assert_eq!(source.receive().await, Err(TransportError::Framing(limit)));

    let (mut source, sink, mut server) = pair(|_| {}).await;
    let sending = tokio::spawn(async move { server.send(Message::binary(vec![0; 5 << 20])).await });
    assert!(matches!(source.receive().await, Err(TransportError::Protocol { .. })));
    drop((source, sink));
    assert!(sending.await.unwrap().is_err(), "nobody reads five megabytes");

    let (mut source, _sink, mut server) = pair(|_| {}).await;
    server.send(Message::binary(vec![0, 5, 1])).await.unwrap();
    server.close(None).await.unwrap();
    assert!(matches!(source.receive().await, Err(TransportError::ConnectionLost { .. })));
}

#[tokio::test]
async fn a_peer_that_takes_nothing_ends_in_a_write_timeout_and_reading_ends_too() {
    let (mut source, mut sink, server) =
        pair(|options| options.timeouts.write = Duration::from_millis(100)).await;
    let reading = tokio::spawn(async move { source.receive().await });
    // More than any socket buffers; the server never reads.
    let result = sink.send(Bytes::from(vec![0; 60 << 20])).await;
    assert_eq!(result, Err(TransportError::WriteTimeout { seconds: 0 }));
    assert_eq!(reading.await.unwrap(), Err(TransportError::WriteTimeout { seconds: 0 }));
    drop(server);
}

#[tokio::test]
async fn a_dropped_send_loses_nothing() {
    let (_source, mut sink, mut server) = pair(|_| {}).await;
    let large = Bytes::from(vec![5; 30 << 20]);
    // Dropped while the socket is full: the server does not read yet.
    let sending = tokio::time::timeout(Duration::from_millis(50), sink.send(large.clone())).await;
    assert!(sending.is_err(), "the socket must be full by now");
    let reading = tokio::spawn(async move {
        let mut reader = ChunkReader::default();
        let mut seen: Vec<Bytes> = Vec::new();
        while seen.len() < 2 {
            let message = server.next().await.unwrap().unwrap();
            seen.extend(reader.push(message.into_data()).map(Result::unwrap));
        }
        seen
    });
    sink.send(Bytes::from_static(b"next")).await.unwrap();
    sink.flush().await.unwrap();
    let seen = reading.await.unwrap();
    assert!(seen[0] == large && seen[1] == b"next"[..]);
}
