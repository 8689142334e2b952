//! A controller that asks and asks and takes no answer: the agent stops reading instead of growing.

use std::collections::HashMap;
use std::time::Duration;

use jenkins_remoting::command::Command;

use crate::support::agent::Agent;
use crate::support::commands::recorded;
use crate::support::controller::Controller;

/// How long the agent takes nothing until it counts as not reading.
const STUCK: Duration = Duration::from_secs(3);

/// Where the flood ends at the latest: an agent that reads that much unanswered reads everything.
const MOST_BYTES: usize = 512 << 20;

#[tokio::test]
async fn a_controller_that_stops_reading() {
    let mut controller = Controller::start().await;
    let mut agent = Agent::start(&controller.url, &[]);
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    connection.exchange().await;
    let request = recorded(1);
    let (mut sent, mut stuck) = (0_usize, false);
    while sent * request.len() < MOST_BYTES && !stuck {
        match tokio::time::timeout(STUCK, connection.try_send(&request)).await {
            Ok(result) => result.unwrap(),
            // It is in the buffer of the WebSocket, and leaves when the agent reads again.
            Err(_) => stuck = true,
        }
        sent += 1;
    }
    assert!(stuck, "the agent took {sent} requests whose answers nobody reads");
    assert!(agent.peak_memory() < 128, "{} MiB", agent.peak_memory());
    // All of them are answered, once each, as soon as somebody reads; too many at once by a refusal.
    let mut answers = HashMap::new();
    while answers.values().sum::<usize>() < sent {
        match connection.command().await {
            Some(Command::Response { id, .. }) => *answers.entry(id).or_default() += 1,
            Some(_) => {}
            None => panic!("the agent hung up after {answers:?} of {sent} answers"),
        }
    }
    assert_eq!(answers, HashMap::from([(392, sent)]));
    connection.exchange().await;
    agent.stop().await;
}
