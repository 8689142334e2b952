//! Controllers, and what stands before them, that do not let the agent in: each refusal has a diagnosis.

use crate::support::agent::Agent;
use crate::support::controller::{Controller, page};

/// What the upgrade is answered with, and what the agent says about it.
fn cases() -> Vec<(String, &'static str)> {
    let html =
        |title: &str| format!("<html><head><title>{title}</title></head><body>x</body></html>");
    let to_login = "Location: /login?from=%2Fwsagents%2F&token=t0ken\r\n";
    vec![
        (
            page("403 Forbidden", "", &html("Error 403 Forbidden")),
            "the controller refused the secret of node `linux-1`; copy it again from the node's page (403",
        ),
        (
            page("400 Bad Request", "", &html("Error 400 no such agent: linux-1")),
            "the controller has no node `linux-1`; check -name",
        ),
        (
            page("400 Bad Request", "", &html("Error 400 linux-1 is already connected")),
            "node `linux-1` is already connected; if no other agent runs under this name",
        ),
        (
            page("404 Not Found", "", &html("Not here")),
            "wsagents/ does not exist (404: Not here); check the path in -url",
        ),
        (
            page("302 Found", to_login, ""),
            "a proxy or login page answered instead of the controller (status 302, redirects to /login)",
        ),
        (
            page("200 OK", "", &html("Sign in to Example")),
            "a proxy or login page answered instead of the controller (status 200: Sign in to Example)",
        ),
    ]
}

#[tokio::test]
async fn refusals_are_explained_and_tried_again() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    for (answer, said) in cases() {
        controller.upgrade().await.refuse(&answer).await;
        agent.says("Failed to connect: ").await;
        agent.says(said).await;
        agent.says("Waiting 1 second(s) before retry").await;
        let mut connection = controller.connection().await;
        agent.says("Connected").await;
        connection.exchange().await;
        connection.close(1000, "").await;
    }
    let log = agent.stop().await;
    assert!(!log.contains("t0ken"), "{log}");
}

/// A controller that fails because of the cookie would fail for ever.
#[tokio::test]
async fn a_failure_with_a_cookie_is_followed_by_an_attempt_without() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    controller.connection().await.exchange().await;
    let upgrade = controller.upgrade().await;
    assert!(upgrade.header("Connection-Cookie").is_some());
    let body =
        "<html><head><title>Oops!</title></head><body><h1>A problem occurred</h1></body></html>";
    upgrade.refuse(&page("500 Server Error", "", body)).await;
    agent.says("failed with status 500: Oops!; if it is the controller, another agent may be connected").await;
    let upgrade = controller.upgrade().await;
    assert_eq!(upgrade.header("Connection-Cookie"), None);
    upgrade.accept().await.exchange().await;
    controller.connection().await.exchange().await;
    agent.stop().await;
}

#[tokio::test]
async fn answers_that_are_no_http_or_no_upgrade() {
    let wrong_key = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    let endless = format!("HTTP/1.1 403 Forbidden\r\nX-Long: {}", "x".repeat(4 << 20));
    let cases = [
        (wrong_key, "Sec-WebSocket-Accept does not fit the key); a proxy in between"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "(no `Upgrade: websocket`)"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "no usable HTTP answer from localhost:"),
        ("", "no usable HTTP answer from localhost:"),
        (&endless, "no usable HTTP answer from localhost:"),
    ];
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    for (answer, said) in cases {
        controller.upgrade().await.refuse(answer).await;
        agent.says("Failed to connect: ").await;
        agent.says(said).await;
        let mut connection = controller.connection().await;
        connection.exchange().await;
        connection.close(1000, "").await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_controller_that_starts_is_waited_for() {
    let mut controller = Controller::start().await;
    let starting = "<html><head><title>Starting Jenkins</title></head></html>";
    controller.answer_login(page("503 Service Unavailable", "", starting));
    let mut agent = Agent::start(&controller.url, &[]);
    agent.says("login is not ready: 503").await;
    agent.says("is not ready: 503: Starting Jenkins").await;
    agent.says("Waiting 1 second(s) before retry").await;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    connection.exchange().await;
    agent.stop().await;
}
