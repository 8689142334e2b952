//! How the agent ends: by itself, when told to, when it cannot go on.

use jenkins_remoting::capability::Capability;
use jenkins_remoting::command::Command;
use rustix::process::Signal;

use crate::support::agent::Agent;
use crate::support::controller::{Controller, MINIMUM, page};

#[tokio::test]
async fn without_reconnect_it_ends_with_the_connection() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &["-noReconnect"]);
    // The first connection is tried until there is one, as with the Java agent.
    controller.upgrade().await.refuse(&page("503 Service Unavailable", "", "")).await;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    connection.exchange().await;
    drop(connection);
    agent.says("Terminated").await;
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("onReconnect"), "{log}");
    assert!(controller.pending_upgrade().is_none());
}

#[tokio::test]
async fn reconnects_have_a_limit() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &["-noReconnectAfter", "2s"]);
    let mut connection = controller.connection().await;
    connection.exchange().await;
    drop(connection);
    let refused = page("403 Forbidden", "", "");
    let says = async {
        agent.says("Performing onReconnect operation.").await;
        agent.says("Waiting 1 second(s) before retry").await;
        agent.says("Bailing out after 2 seconds").await;
    };
    tokio::select! {
        () = says => {}
        () = async { loop { controller.upgrade().await.refuse(&refused).await } } => {}
    }
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn a_signal_says_goodbye() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut controller = Controller::start().await;
        let mut agent = Agent::start(&controller.url, &[]);
        let mut connection = controller.connection().await;
        agent.says("Connected").await;
        connection.exchange().await;
        agent.signal(signal);
        let goodbye = connection.command().await;
        assert!(matches!(goodbye, Some(Command::Close { .. })), "{goodbye:?}");
        assert!(connection.command().await.is_none());
        agent.says("Terminated").await;
        let (code, log) = agent.end().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(controller.pending_upgrade().is_none());
    }
}

/// The controller hangs: it reads nothing, so the goodbye cannot be answered.
#[tokio::test]
async fn a_signal_ends_it_although_the_controller_hangs() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    let connection = controller.connection().await;
    agent.says("Connected").await;
    agent.stop().await;
    drop(connection);
}

#[tokio::test]
async fn a_signal_ends_it_while_it_waits_for_an_answer() {
    let mut controller = Controller::start().await;
    let agent = Agent::start(&controller.url, &[]);
    let unanswered = controller.upgrade().await;
    let log = agent.stop().await;
    assert!(!log.contains("Connected"), "{log}");
    drop(unanswered);
}

#[tokio::test]
async fn what_cannot_get_better_ends_it() {
    let current = Capability::CURRENT.to_base64();
    let without_chunks = Capability::from_mask(Capability::CURRENT.mask() & !0x80).to_base64();
    let cases = [
        (current.as_str(), "99999.v0", "the controller wants remoting 99999.v0 or later"),
        (&without_chunks, MINIMUM, "the controller is too old: it lacks CHUNKED_ENCODING"),
        ("?", MINIMUM, "the controller's capability header is not base64"),
        ("AAAA", MINIMUM, "the controller's capability is not a serialised"),
        // What cannot be understood matters less than the version that would be needed for it.
        ("?", "99999.v0", "update this agent"),
    ];
    for (capability, minimum, said) in cases {
        let mut controller = Controller::start().await;
        let mut agent = Agent::start(&controller.url, &[]);
        let _connection = controller.upgrade().await.accept_with(capability, minimum).await;
        agent.says("Failed to connect: ").await;
        agent.says(said).await;
        let (code, log) = agent.end().await;
        assert_eq!(code, Some(1), "{log}");
        assert!(controller.pending_upgrade().is_none());
    }
}
