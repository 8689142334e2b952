//! Commands over an open connection, and its ends.

use std::time::Duration;

use bytes::Bytes;
use jenkins_remoting::framing::ChunkReader;
use jenkins_remoting::transport::{
    CloseReason, CommandSink as _, CommandSource as _, TransportError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::port::{Port, options, read_record, record};
use crate::support::CAPABILITY;

type Server = TlsStream<TcpStream>;

/// Reads commands until there are so many, or the end.
async fn received(io: &mut Server, count: usize) -> Vec<Bytes> {
    let mut reader = ChunkReader::default();
    let mut commands = Vec::new();
    while commands.len() < count {
        let mut buffer = vec![0; 9_000];
        let length = io.read(&mut buffer).await.unwrap();
        if length == 0 {
            break;
        }
        buffer.truncate(length);
        commands.extend(reader.push(buffer).map(Result::unwrap));
    }
    commands
}

#[tokio::test]
async fn commands_of_all_sizes_go_both_ways() {
    let port = Port::start().await;
    let options = options();
    let ((mut io, _), connected) = tokio::join!(port.take("{}"), port.connect(&options));
    let (mut source, mut sink, _) = connected.unwrap();
    let commands: Vec<Bytes> =
        [1, 8_191, 8_192, 8_193, 32_767, 65_536, 1_000_000].map(|n| vec![7; n].into()).to_vec();
    let send = async {
        for command in &commands {
            sink.send(command.clone()).await.unwrap();
        }
        sink.flush().await.unwrap();
    };
    let ((), got) = tokio::join!(send, received(&mut io, commands.len()));
    assert_eq!(got, commands);
    // Two chunks of one command and one of another, cut in the middle of a header.
    for piece in [&b"\x80\x02ab\x00"[..], b"\x01c\x00\x01d"] {
        io.write_all(piece).await.unwrap();
        io.flush().await.unwrap();
    }
    assert_eq!(source.receive().await.unwrap().unwrap(), "abc");
    assert_eq!(source.receive().await.unwrap().unwrap(), "d");
}

#[tokio::test]
async fn what_comes_with_the_handshake_is_not_lost() {
    let port = Port::start().await;
    let options = options();
    let controller = async {
        let mut io = port.accept_tls().await.unwrap();
        read_record(&mut io).await;
        let records = ["{}", "OK", CAPABILITY].map(record).concat();
        io.write_all(&[&records[..], b"\x00\x02hi\x00\x03yo"].concat()).await.unwrap();
        io.write_all(b"u").await.unwrap();
        io.flush().await.unwrap();
        io
    };
    let (_io, connected) = tokio::join!(controller, port.connect(&options));
    let (mut source, _sink, _) = connected.unwrap();
    assert_eq!(source.receive().await.unwrap().unwrap(), "hi");
    assert_eq!(source.receive().await.unwrap().unwrap(), "you");
}

#[tokio::test]
async fn both_sides_close_in_order() {
    let port = Port::start().await;
    let options = options();
    let ((mut io, _), connected) = tokio::join!(port.take("{}"), port.connect(&options));
    let (mut source, mut sink, _) = connected.unwrap();
    sink.send(Bytes::from_static(b"last")).await.unwrap();
    sink.close(CloseReason::normal()).await.unwrap();
    assert_eq!(received(&mut io, 2).await, ["last"]);
    assert_eq!(sink.send(Bytes::from_static(b"late")).await, Ok(()), "only kept");
    assert_eq!(sink.flush().await, Err(TransportError::AlreadyClosed));
    // The other direction still works.
    io.write_all(b"\x00\x02hi").await.unwrap();
    io.shutdown().await.unwrap();
    assert_eq!(source.receive().await.unwrap().unwrap(), "hi");
    assert_eq!(source.receive().await, Ok(None));
    assert!(source.close_reason().unwrap().is_orderly());
}

#[tokio::test]
async fn other_ends_are_errors_with_a_reason() {
    let port = Port::start().await;
    let options = options();
    for (rest, orderly, reason) in [
        (&b""[..], false, "without a word"),
        (b"\x00\x05abc", true, "in the middle of a command"),
        (b"\x80\x00", true, "in the middle of a command"),
    ] {
        let ((mut io, _), connected) = tokio::join!(port.take("{}"), port.connect(&options));
        let (mut source, _sink, _) = connected.unwrap();
        io.write_all(rest).await.unwrap();
        io.flush().await.unwrap();
        if orderly {
            io.shutdown().await.unwrap();
        } else {
            io.get_mut().0.shutdown().await.unwrap();
        }
        let error = source.receive().await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(source.receive().await, Err(error), "it stays at its end");
    }
}

#[tokio::test]
async fn a_command_without_end_is_refused_before_it_is_kept() {
    let port = Port::start().await;
    let mut options = options();
    options.max_command_bytes = 10_000;
    let ((mut io, _), connected) = tokio::join!(port.take("{}"), port.connect(&options));
    let (mut source, _sink, _) = connected.unwrap();
    io.write_all(&[&b"\x9f\xff"[..], &[0; 0x1FFF], b"\x9f\xff"].concat()).await.unwrap();
    io.flush().await.unwrap();
    assert!(matches!(source.receive().await, Err(TransportError::Framing(_))));
}

#[tokio::test]
async fn a_peer_that_hangs_is_noticed() {
    let port = Port::start().await;
    let mut options = options();
    options.silence = Duration::from_millis(50);
    options.timeouts.write = Duration::from_millis(200);
    let ((io, _), connected) = tokio::join!(port.take("{}"), port.connect(&options));
    let (mut source, mut sink, _) = connected.unwrap();
    assert!(matches!(source.receive().await, Err(TransportError::PeerSilent { .. })));
    let error = loop {
        if let Err(error) = sink.send(Bytes::from(vec![0; 1 << 20])).await {
            break error;
        }
    };
    assert!(matches!(error, TransportError::WriteTimeout { .. }), "{error}");
    drop(io);
}

#[tokio::test]
async fn a_dropped_send_goes_on_where_it_stopped() {
    let port = Port::start().await;
    let options = options();
    let ((mut io, _), connected) = tokio::join!(port.take("{}"), port.connect(&options));
    let (_source, mut sink, _) = connected.unwrap();
    let command = |n: u8| Bytes::from(vec![n; 3 << 20]);
    // Nobody reads, so these stop somewhere in the middle.
    for n in 0..3 {
        let _ = tokio::time::timeout(Duration::from_millis(30), sink.send(command(n))).await;
    }
    let flush = async { sink.flush().await.unwrap() };
    let ((), got) = tokio::join!(flush, received(&mut io, 3));
    assert_eq!(got, [command(0), command(1), command(2)]);
}
