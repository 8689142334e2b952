//! Connections that break, or must be given up: the agent says why and connects again at once.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

use crate::support::agent::Agent;
use crate::support::commands::recorded;
use crate::support::connection::Connection;
use crate::support::controller::{COOKIE, Controller, page};

/// Two chunks of the full length that say that more follow.
fn full_message() -> Bytes {
    let mut message = vec![0; 2 * (2 + 0x7FFF)];
    message[..2].copy_from_slice(&[0xFF, 0xFF]);
    message[2 + 0x7FFF..][..2].copy_from_slice(&[0xFF, 0xFF]);
    message.into()
}

async fn more_than_64_mib(connection: &mut Connection) {
    let message = full_message();
    for _ in 0..=(64 << 20) / message.len() {
        connection.binary(message.clone()).await;
    }
    connection.binary(message).await;
}

async fn half_a_command(connection: &mut Connection) {
    let command = recorded(1);
    let length = u16::try_from(command.len()).unwrap();
    let mut message = length.to_be_bytes().to_vec();
    message.extend(&command[..command.len() / 2]);
    connection.binary(message).await;
}

/// One way to break a connection, and what the agent says about it.
struct Case {
    name: &'static str,
    said: &'static str,
}

const CASES: [Case; 15] = [
    Case { name: "empty chunks", said: "a command with more than 16 empty chunks" },
    Case { name: "long command", said: "a command of more than 67108864 bytes" },
    Case { name: "text", said: "it sent a text message; agents use binary ones" },
    Case { name: "cut and closed", said: "it ended in the middle of a command (code 1000" },
    Case { name: "cut and hung up", said: "ended it without a word" },
    Case { name: "header cut", said: "it ended in the middle of a command (code 1001" },
    Case { name: "hung up", said: "ended it without a word" },
    Case { name: "reserved bits", said: "broke the WebSocket protocol: " },
    Case { name: "unknown opcode", said: "broke the WebSocket protocol: " },
    Case { name: "masked", said: "broke the WebSocket protocol: " },
    Case { name: "huge frame", said: "broke the WebSocket protocol: Space limit exceeded" },
    Case { name: "no WebSocket", said: "broke the WebSocket protocol: " },
    Case { name: "1009", said: "code 1009, message too large" },
    Case {
        name: "1011",
        said: "code 1011, error inside the controller; see its log: Idle\u{fffd} or so",
    },
    Case { name: "1000", said: "the controller closed the connection (code 1000, normal close)" },
];

async fn misbehave(name: &str, connection: &mut Connection) {
    match name {
        "empty chunks" => connection.binary([0x80, 0].repeat(17)).await,
        "long command" => more_than_64_mib(connection).await,
        "text" => connection.message(Message::text("hello")).await,
        "cut and closed" => {
            half_a_command(connection).await;
            connection.close(1000, "").await;
        }
        "cut and hung up" => half_a_command(connection).await,
        "header cut" => {
            connection.binary(vec![0x80]).await;
            connection.close(1001, "").await;
        }
        "hung up" => {}
        "reserved bits" => connection.bytes(&[0xF2, 1, 0]).await,
        "unknown opcode" => connection.bytes(&[0x83, 1, 0]).await,
        "masked" => connection.bytes(&[0x82, 0x81, 1, 2, 3, 4, 5]).await,
        "huge frame" => {
            connection.bytes(&[0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).await;
        }
        "no WebSocket" => {
            connection.bytes(page("500 Server Error", "", &"x".repeat(200)).as_bytes()).await
        }
        "1009" => connection.close(1009, "Binary message too large: 65,538 > 65,536").await,
        "1011" => connection.close(1011, "Idle\u{fffd} or\r\nso").await,
        "1000" => connection.close(1000, "").await,
        other => panic!("no such case: {other}"),
    }
}

#[tokio::test]
async fn broken_connections_are_replaced() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    let mut cookie = None;
    for Case { name, said } in CASES {
        println!("{name}");
        let upgrade = controller.upgrade().await;
        assert_eq!(upgrade.header("Connection-Cookie"), cookie);
        cookie = Some(COOKIE);
        let mut connection = upgrade.accept().await;
        agent.says("Connected").await;
        connection.exchange().await;
        misbehave(name, &mut connection).await;
        if ["cut and hung up", "hung up"].contains(&name) {
            drop(connection);
        }
        agent.says(said).await;
        agent.says("Terminated").await;
        agent.says("Performing onReconnect operation.").await;
    }
    let mut connection = controller.connection().await;
    connection.exchange().await;
    // The longest command accepted, its copy when it grows, and the agent itself.
    assert!(agent.peak_memory() < 200, "{} MiB", agent.peak_memory());
    agent.stop().await;
}

/// The rest of a broken connection does not reach the next one.
#[tokio::test]
async fn nothing_is_left_from_the_connection_before() {
    let mut controller = Controller::start().await;
    let agent = Agent::start(&controller.url, &[]);
    let mut first = controller.connection().await;
    half_a_command(&mut first).await;
    drop(first);
    let mut second = controller.connection().await;
    second.exchange().await;
    assert!(second.others.is_empty(), "{:?}", second.others);
    agent.stop().await;
}
