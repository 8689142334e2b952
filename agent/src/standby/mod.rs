//! `standby`: an agent that waits until the bridge gives it a node.
//!
//! It asks the bridge again and again, and each answer takes as long as there is nothing to say. The secret
//! of its node comes in an answer, over the connection to the bridge, and never stands in an argument, a
//! variable or a file. Before it connects it says that it has the secret, so that nothing that runs in its
//! container later gets it once more.

mod client;
mod one_use;

use std::io;

use jenkins_remoting::transport::{Backoff, PostError, RootUrl, Secret};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

pub use client::Client;
pub use one_use::OneUse;

use crate::cli::{Configuration, Reconnect, StandbyOptions, Transport};
use crate::exit::Exit;
use client::{Answer, Question, Trouble};

/// So many refusals, one after the other, and nobody waits for this agent any more.
const REFUSALS: u32 = 10;

/// What an agent was given.
struct Given {
    url: RootUrl,
    node: String,
    secret: Secret,
    one_use: bool,
}

/// Waits for a node. With the configuration of the agent that it is then.
///
/// # Errors
/// How the process is to end: the bridge has no use for it, or it was told to stop.
pub fn wait(options: StandbyOptions) -> Result<Configuration, Exit> {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::INFO)
        .with_ansi(false)
        .with_target(false)
        .finish();
    // Until the log of the agent begins.
    let _log = tracing::subscriber::set_default(subscriber);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        tracing::error!("cannot start the event loop: {error}");
        Exit::Failure
    })?;
    let StandbyOptions { bridge, id, token_file, mut configuration } = options;
    // The authorities to trust are read once: what comes after the claim is to take no time.
    let downloads = configuration.controller_downloads();
    let client = Client { bridge, id, token_file, downloads };
    let Given { url, node, secret, one_use } = runtime.block_on(until_stopped(claimed(&client)))?;
    tracing::info!("this agent is the node {node} of {url} now");
    configuration.transport =
        Transport::WebSocket { url, headers: headers(configuration.transport) };
    configuration.node_name = node;
    configuration.secret = secret;
    configuration.one_use = one_use.then_some(client);
    // What it was given is good as long as the node is there.
    configuration.reconnect = Reconnect::Always;
    Ok(configuration)
}

fn headers(transport: Transport) -> Vec<crate::cli::Header> {
    match transport {
        Transport::WebSocket { headers, .. } => headers,
        Transport::Tcp(_) => Vec::new(),
    }
}

async fn until_stopped<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let failed = |error: io::Error| {
        tracing::error!("signals cannot be received: {error}");
        Exit::Failure
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => Err(Exit::Success),
        _ = interrupt.recv() => Err(Exit::Success),
    }
}

/// What the bridge gives the agent, once there is something.
async fn claimed(client: &Client) -> Result<Given, Exit> {
    tracing::info!("waiting for a node from the bridge at {}", client.bridge);
    let left = |reason: String| {
        tracing::info!("the bridge has no use for this agent: {reason}");
        Exit::Success
    };
    let (url, node, secret, one_use) = loop {
        match persistently(client, Question::Node).await? {
            Answer::Claimed { url, node, secret, one_use } => break (url, node, secret, one_use),
            Answer::Wait => {}
            Answer::Leave(reason) => return Err(left(reason)),
            Answer::Taken | Answer::Idle | Answer::Out => {
                return Err(odd("it was told that it has a node, and has none"));
            }
        }
    };
    let url = RootUrl::parse(&url).map_err(|error| odd(&format!("its controller: {error}")))?;
    if node.is_empty() || node.chars().any(char::is_control) || !is_secret(&secret) {
        return Err(odd("what it was given cannot be the name and the secret of a node"));
    }
    match persistently(client, Question::Taken).await? {
        Answer::Taken => Ok(Given { url, node, secret, one_use }),
        Answer::Leave(reason) => Err(left(reason)),
        _ => Err(odd("it was given a node twice")),
    }
}

fn odd(what: &str) -> Exit {
    tracing::error!("the bridge does not answer as it should: {what}");
    Exit::Failure
}

fn is_secret(secret: &Secret) -> bool {
    let text = secret.expose();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Asks until there is an answer, whatever becomes of the bridge meanwhile.
async fn persistently(client: &Client, question: Question) -> Result<Answer, Exit> {
    let mut backoff = Backoff::new(None);
    let mut refusals = 0;
    loop {
        let trouble = match client.ask(question).await {
            Ok(answer) => return Ok(answer),
            Err(trouble) => trouble,
        };
        if matches!(trouble, Trouble::Post(PostError::Status { status: 401, .. })) {
            refusals += 1;
            if refusals >= REFUSALS {
                tracing::error!("the bridge does not know this agent (401), so it ends");
                return Err(Exit::Failure);
            }
        }
        let delay = backoff.next_delay().unwrap_or_default();
        tracing::warn!("the bridge is asked again in {} s: {trouble}", delay.as_secs());
        tokio::time::sleep(crate::connection::spread(delay)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hexadecimal() {
        assert!(!is_secret(&Secret::new("0x")) && !is_secret(&Secret::new("")));
        assert!(is_secret(&Secret::new("0aF")));
    }
}
