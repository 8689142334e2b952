//! One build for an agent that was made for one.
//!
//! A controller gives a node its next build at the moment when the last one ends, and nothing that it has without
//! a plugin keeps it from that, except that the node was taken out before. Whoever looks now and then sees a short
//! build too late. So the agent has it made sure: what may be the first thing that a build does here is not
//! answered before the bridge has seen the node out. The build cannot end before that, and there is no moment at
//! which the node is idle and takes builds.
//!
//! An agent is told of files and processes, never of builds. What sets a connection up, watches the node or looks
//! for errors is answered at once (`callables::is_no_build`); of anything else the bridge is asked, which sees at
//! the controller whether a build has the node. Where none has, the request was none of a build either: a build
//! has its executor before it asks an agent for anything (`hudson.model.Executor.run`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{Answer, Client, Question, Trouble};

/// How long a build waits for a bridge that does not answer. Then it goes on: its node may get another build.
const PATIENCE: Duration = Duration::from_secs(600);
/// After no answer, the bridge is asked again so much later.
const AGAIN: Duration = Duration::from_millis(500);

/// Sees to it that an agent has one build.
#[derive(Debug)]
pub struct OneUse {
    client: Client,
    patience: Duration,
    /// The node takes no more builds.
    is_out: AtomicBool,
    /// One question at a time. Whoever waits for this came before the question that it then asks.
    asking: Mutex<()>,
}

impl OneUse {
    /// Asks with this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, patience: PATIENCE, is_out: AtomicBool::new(false), asking: Mutex::new(()) }
    }

    /// Returns once a request that may be a build's may be served.
    pub(crate) async fn admit(&self) {
        if self.is_out.load(Ordering::Acquire) {
            return;
        }
        let until = Instant::now() + self.patience;
        let _turn = self.asking.lock().await;
        let mut told = false;
        while !self.is_out.load(Ordering::Acquire) {
            let trouble = match self.client.ask(Question::Used).await {
                Ok(Answer::Idle) => return,
                Ok(Answer::Out) => {
                    tracing::info!("a build has come, and this node takes no other");
                    return self.is_out.store(true, Ordering::Release);
                }
                // A bridge that had to wait for the controller.
                Ok(Answer::Wait) => None,
                Ok(Answer::Leave(reason)) => {
                    Some(format!("it has no use for this agent: {reason}"))
                }
                Ok(Answer::Claimed { .. } | Answer::Taken) => Some(Trouble::Odd.to_string()),
                Err(trouble) => Some(trouble.to_string()),
            };
            if Instant::now() >= until {
                tracing::error!(
                    "the bridge has not taken this node out within {} s; its build goes on, and another one may come",
                    self.patience.as_secs()
                );
                return self.is_out.store(true, Ordering::Release);
            }
            let Some(trouble) = trouble else { continue };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!("a build waits until the bridge has taken this node out: {trouble}");
            }
            tokio::time::sleep(crate::connection::spread(AGAIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use jenkins_remoting::transport::{DownloadOptions, RootUrl};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A bridge that gives these answers, one a connection, and counts them. Nothing is an answer of 503.
    async fn bridge(answers: &'static [&'static str]) -> (OneUse, tokio::task::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = Vec::new();
                while !asked.ends_with(b"}") {
                    let mut piece = [0; 1024];
                    let count = stream.read(&mut piece).await.unwrap();
                    asked.extend_from_slice(&piece[..count]);
                }
                let asked = String::from_utf8(asked).unwrap();
                assert!(
                    asked.contains(r#""used":true"#) && asked.contains("Bearer pfs_1"),
                    "{asked}"
                );
                let status = if answer.is_empty() { "503 Service Unavailable" } else { "200 OK" };
                let length = answer.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            answers.len()
        });
        let mut token = tempfile::NamedTempFile::new().unwrap();
        token.write_all(b"pfs_1\n").unwrap();
        let client = Client {
            bridge: RootUrl::parse(&url).unwrap(),
            id: "a1".to_owned(),
            token_file: token.into_temp_path().keep().unwrap(),
            downloads: DownloadOptions::default(),
        };
        (OneUse::new(client), served)
    }

    #[tokio::test]
    async fn a_build_begins_when_its_node_is_out() {
        let (one_use, served) =
            bridge(&[r#"{"state":"idle"}"#, "", r#"{"state":"wait"}"#, r#"{"state":"out"}"#]).await;
        let one_use = Arc::new(one_use);
        one_use.admit().await;
        assert!(!one_use.is_out.load(Ordering::Acquire), "nobody was there");
        // Two requests of one build: one question at a time, and the second one needs none of its own.
        tokio::join!(one_use.admit(), one_use.admit());
        assert!(one_use.is_out.load(Ordering::Acquire));
        one_use.admit().await;
        assert_eq!(served.await.unwrap(), 4);
        let _ = std::fs::remove_file(&one_use.client.token_file);
    }

    #[tokio::test]
    async fn a_bridge_that_is_away_does_not_hold_a_build_for_ever() {
        let (mut one_use, served) = bridge(&[r#"{"state":"leave","reason":"x"}"#]).await;
        one_use.patience = Duration::ZERO;
        one_use.admit().await;
        assert!(one_use.is_out.load(Ordering::Acquire));
        assert_eq!(served.await.unwrap(), 1);
        let _ = std::fs::remove_file(&one_use.client.token_file);
    }
}
