//! Commands that no controller sends. Each is framed by itself, so the channel lives on.

use jenkins_remoting::command::Command;

use crate::support::agent::Agent;
use crate::support::commands as make;
use crate::support::connection::Connection;
use crate::support::controller::Controller;

/// Far more than the agent needs, far less than what hostile lengths ask for, in MiB.
const MEMORY: u64 = 256;

async fn connected() -> (Agent, Connection, Controller) {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    let connection = controller.connection().await;
    agent.says("Connected").await;
    (agent, connection, controller)
}

async fn still_serves(agent: Agent, mut connection: Connection, mut controller: Controller) {
    connection.exchange().await;
    assert!(agent.peak_memory() < MEMORY, "{} MiB", agent.peak_memory());
    assert!(controller.pending_upgrade().is_none());
    agent.stop().await;
}

#[tokio::test]
async fn commands_that_are_no_commands() {
    let (mut agent, mut connection, controller) = connected().await;
    let good = make::recorded(1);
    let mut corrupted = good.clone();
    corrupted[4] = 0x60;
    let cases: [(Vec<u8>, &str); 9] = [
        (b"GET / HTTP/1.1".to_vec(), "expected the header ac ed 00 05"),
        (b"\xac\xed".to_vec(), "expected the header ac ed 00 05"),
        (b"\xac\xed\0\x05".to_vec(), "the controller sent a command that cannot be read"),
        (good[..good.len() / 2].to_vec(), "more bytes, the stream ends after"),
        (corrupted, "got type code 0x60"),
        (make::nested(100_000), "over the limit: 301 > 300"),
        (make::empty_array(i32::MAX), "array length over the limit: 2147483647 > "),
        (make::empty_array(64 << 20), "expected 67108864 more bytes, the stream ends after 0"),
        (make::endless_text(), "over the limit: 4294967296 > "),
    ];
    for (command, said) in cases {
        connection.send(&command).await;
        agent.says(said).await;
        connection.ping(b"alive").await;
    }
    still_serves(agent, connection, controller).await;
}

#[tokio::test]
async fn every_byte_of_a_request_changed() {
    let (agent, mut connection, controller) = connected().await;
    let good = make::recorded(8);
    for at in 0..good.len() {
        let mut command = good.clone();
        command[at] ^= 0x41;
        connection.send(&command).await;
    }
    still_serves(agent, connection, controller).await;
}

#[tokio::test]
async fn commands_and_requests_of_unknown_classes() {
    let (mut agent, mut connection, controller) = connected().await;
    connection.send(&make::unknown_command()).await;
    agent.says("a command of an unknown class; it is left out").await;
    agent.says("hudson.remoting.FutureCommand").await;
    connection.send(&make::unknown_request(7)).await;
    let why = connection.refusal(7).await;
    assert!(
        why.contains("does not know requests of the class hudson.remoting.FutureRequest"),
        "{why}"
    );
    agent.says("a request of an unknown class").await;
    still_serves(agent, connection, controller).await;
}

#[tokio::test]
async fn fields_of_other_types() {
    let (mut agent, mut connection, controller) = connected().await;
    connection.send(&make::odd_user_request(8)).await;
    let why = connection.refusal(8).await;
    assert!(why.contains("hudson.remoting.UserRequest whose fields are not as expected"), "{why}");
    agent.says("fields are not as expected").await;
    connection.send(&make::odd_unexport()).await;
    agent.says("hudson.remoting.UnexportCommand whose fields are not as expected: field oid").await;
    still_serves(agent, connection, controller).await;
}

#[tokio::test]
async fn requests_without_a_readable_callable() {
    let (agent, mut connection, controller) = connected().await;
    let payloads: [(Vec<u8>, &str); 5] = [
        (Vec::new(), "the agent cannot read this request"),
        (b"nonsense".to_vec(), "expected the header ac ed 00 05"),
        (make::nested(100_000), "over the limit"),
        (make::empty_array(64 << 20), "the stream ends after 0"),
        (make::unknown_command(), "hudson.remoting.FutureCommand"),
    ];
    for (id, (payload, said)) in (20..).zip(payloads) {
        connection.send(&make::user_request(id, &payload)).await;
        let why = connection.refusal(id).await;
        assert!(why.contains(said), "{why}");
    }
    still_serves(agent, connection, controller).await;
}

#[tokio::test]
async fn objects_that_do_not_exist() {
    let (agent, mut connection, controller) = connected().await;
    for (id, command) in [(30, make::method_call(30, 4711)), (31, make::read(31, 4711))] {
        connection.send(&command).await;
        let why = connection.refusal(id).await;
        assert!(why.contains("Invalid object ID 4711"), "{why}");
    }
    for oid in [4711, 0, -1, i32::MIN, i32::MAX] {
        connection.send(&make::unexport(oid)).await;
        connection.send(&make::acknowledgement(oid, i32::MIN)).await;
        connection.send(&make::acknowledgement(oid, i32::MAX)).await;
        connection.send(&make::cancel(oid)).await;
        connection.send(&make::response(oid)).await;
    }
    // A writer to a stream that is gone learns of it, and gets its window back.
    connection.send(&make::chunk(5, 4711)).await;
    connection.exchange().await;
    let told =
        connection.others.iter().any(|command| *command == Command::NotifyDeadWriter { oid: 4711 });
    assert!(told, "{:?}", connection.others);
    assert!(connection.others.contains(&Command::Ack { oid: 4711, size: 100 }));
    still_serves(agent, connection, controller).await;
}

/// A request may name an I/O that never came, and its id may be cancelled before and after: it is answered once.
#[tokio::test]
async fn requests_after_unseen_streams() {
    let (agent, mut connection, controller) = connected().await;
    for (id, last_io) in [(40, 999), (41, i32::MAX), (42, i32::MIN)] {
        connection.send(&make::cancel(id)).await;
        connection.send(&make::request_after(id, last_io)).await;
        let why = connection.refusal(id).await;
        assert!(why.contains("the agent cannot read this request"), "{why}");
        connection.send(&make::cancel(id)).await;
    }
    connection.exchange().await;
    assert!(connection.others.is_empty(), "{:?}", connection.others);
    still_serves(agent, connection, controller).await;
}
