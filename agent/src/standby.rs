//! `standby`: an agent that waits until the bridge gives it a node.
//!
//! It asks the bridge again and again, and each answer takes as long as there is nothing to say. The secret
//! of its node comes in an answer, over the connection to the bridge, and never stands in an argument, a
//! variable or a file. Before it connects it says that it has the secret, so that nothing that runs in its
//! container later gets it once more.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use jenkins_remoting::transport::{
    Backoff, DownloadOptions, PostError, PostTarget, RootUrl, Secret,
};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::cli::{Configuration, Reconnect, StandbyOptions, Transport};
use crate::exit::Exit;

/// Where the bridge is asked.
const PATH: &str = "v1/agents/standby";
/// How long one request may take: longer than the bridge ever waits.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a token.
const TOKEN_BYTES: u64 = 64 << 10;
/// So many refusals, one after the other, and nobody waits for this agent any more.
const REFUSALS: u32 = 10;

/// What the bridge has answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Wait,
    Claimed { url: String, node: String, secret: Secret },
    Taken,
    Leave(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Post(#[from] PostError),
    #[error("the token cannot be read: {0}")]
    Token(io::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Slow,
    #[error("this is not what a bridge answers")]
    Odd,
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
    let done = runtime.block_on(until_stopped(claimed(&options)))?;
    tracing::info!("this agent is the node {} of {} now", done.1, done.0);
    let StandbyOptions { mut configuration, .. } = options;
    let (url, node, secret) = done;
    configuration.transport =
        Transport::WebSocket { url, headers: headers(configuration.transport) };
    configuration.node_name = node;
    configuration.secret = secret;
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

/// The controller, the node and its secret.
async fn claimed(options: &StandbyOptions) -> Result<(RootUrl, String, Secret), Exit> {
    tracing::info!("waiting for a node from the bridge at {}", options.bridge);
    let left = |reason: String| {
        tracing::info!("the bridge has no use for this agent: {reason}");
        Exit::Success
    };
    // The authorities to trust are read once: what comes after the claim is to take no time.
    let downloads = options.configuration.controller_downloads();
    let (url, node, secret) = loop {
        match persistently(options, &downloads, false).await? {
            Answer::Claimed { url, node, secret } => break (url, node, secret),
            Answer::Wait => {}
            Answer::Leave(reason) => return Err(left(reason)),
            Answer::Taken => return Err(odd("it was told that it has a node, and has none")),
        }
    };
    let url = RootUrl::parse(&url).map_err(|error| odd(&format!("its controller: {error}")))?;
    if node.is_empty() || node.chars().any(char::is_control) || !is_secret(&secret) {
        return Err(odd("what it was given cannot be the name and the secret of a node"));
    }
    match persistently(options, &downloads, true).await? {
        Answer::Taken => Ok((url, node, secret)),
        Answer::Leave(reason) => Err(left(reason)),
        Answer::Wait | Answer::Claimed { .. } => Err(odd("it was given a node twice")),
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
async fn persistently(
    options: &StandbyOptions,
    downloads: &DownloadOptions,
    taken: bool,
) -> Result<Answer, Exit> {
    let mut backoff = Backoff::new(None);
    let mut refusals = 0;
    loop {
        let trouble = match ask(options, downloads, taken).await {
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

async fn ask(
    options: &StandbyOptions,
    downloads: &DownloadOptions,
    taken: bool,
) -> Result<Answer, Trouble> {
    let token = token(&options.token_file).map_err(Trouble::Token)?;
    let header = Secret::new(format!("Bearer {}", token.expose()));
    let target = PostTarget::new(options.bridge.clone(), downloads.clone())
        .with_header("Authorization", &header);
    let mut body = json!({"id": options.id});
    if taken {
        body["taken"] = Value::Bool(true);
    }
    let asked = target.ask(PATH, "application/json", body.to_string().into_bytes());
    let answer = tokio::time::timeout(TIMEOUT, asked).await.map_err(|_| Trouble::Slow)??;
    read(&answer).ok_or(Trouble::Odd)
}

/// The token, without the line end that an editor leaves.
fn token(file: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(TOKEN_BYTES).read_to_string(&mut text)?;
    let token = Secret::new(text.trim());
    if token.expose().is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(token)
}

fn read(answer: &[u8]) -> Option<Answer> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    Some(match answer["state"].as_str()? {
        "wait" => Answer::Wait,
        "taken" => Answer::Taken,
        "leave" => Answer::Leave(text("reason")?),
        "claimed" => Answer::Claimed {
            url: text("url")?,
            node: text("node")?,
            secret: Secret::new(text("secret")?),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_bridge() {
        assert_eq!(read(br#"{"state":"wait"}"#), Some(Answer::Wait));
        let claimed = read(br#"{"state":"claimed","url":"http://c/","node":"n","secret":"0a"}"#);
        let Some(Answer::Claimed { url, node, secret }) = &claimed else { panic!() };
        assert_eq!((url.as_str(), node.as_str(), secret.expose()), ("http://c/", "n", "0a"));
        assert!(!format!("{claimed:?}").contains("0a"), "a secret is not shown");
        for bad in [r#"{"state":"claimed","url":"u"}"#, r#"{"state":"run"}"#, "[]", "{", "<html>"] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_read_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(token(file.path()).is_err(), "it is empty");
        std::fs::write(file.path(), "pfs_x\n").unwrap();
        assert_eq!(token(file.path()).unwrap().expose(), "pfs_x");
        assert!(!is_secret(&Secret::new("0x")) && is_secret(&Secret::new("0aF")));
    }
}
