//! The log of a container as it grows, line by line, across connections that break.

use std::time::Duration;

use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::connect::Cluster;
use super::error::ClusterError;

/// How long until a log is asked for again that is not there yet, or broke off.
const AGAIN: Duration = Duration::from_millis(300);
/// The same for a cluster that does not answer, at most.
const LONGEST: Duration = Duration::from_secs(5);
/// Lines that were read and not taken yet.
const QUEUE: usize = 64;

impl Cluster {
    /// The log of a container of a pod, from its first line to its last, without the times. It
    /// ends when the container has ended or the pod is gone. Where a connection broke, a line may
    /// come twice; a line of more than `longest` bytes is left out.
    pub fn log_lines(&self, pod: &Pod, container: &str, longest: usize) -> mpsc::Receiver<String> {
        let (lines, receiver) = mpsc::channel(QUEUE);
        let reader = Reader {
            pods: self.pods(Some(self.namespace_of(pod))),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            container: container.to_owned(),
            longest,
            last: None,
            lines,
        };
        tokio::spawn(reader.read());
        receiver
    }
}

struct Reader {
    pods: Api<Pod>,
    pod: String,
    container: String,
    longest: usize,
    /// When the last line was written.
    last: Option<Timestamp>,
    lines: mpsc::Sender<String>,
}

/// Whether there is more to come.
enum More {
    Yes,
    /// The connection broke: what was written by then may not have come.
    Broken,
    No,
}

impl Reader {
    async fn read(mut self) {
        let mut pause = AGAIN;
        loop {
            // Before the log is read: what was written by then is in it.
            let ended = self.has_ended().await;
            match self.stream(!matches!(ended, Ok(true))).await {
                Ok(More::No) => return,
                Ok(More::Yes) if matches!(ended, Ok(true)) => return,
                Ok(More::Yes | More::Broken) => pause = AGAIN,
                Err(error) if error.is_missing() => return,
                // The container has not started.
                Err(ClusterError::Refused { code: 400, .. }) if !matches!(ended, Ok(true)) => {}
                Err(ClusterError::Refused { code: 400, .. }) => return,
                Err(error) => {
                    tracing::debug!(%error, "the log of the pod cannot be read");
                    pause = (pause * 2).min(LONGEST);
                }
            }
            if self.lines.is_closed() {
                return;
            }
            sleep(pause).await;
        }
    }

    /// Reads from the last line on, until the connection ends.
    async fn stream(&mut self, follow: bool) -> Result<More, ClusterError> {
        let parameters = LogParams {
            container: Some(self.container.clone()),
            follow,
            // The question is in whole seconds and must not be rounded up, past lines that are
            // still to come: the first lines are those that came already.
            since_time: self.last.and_then(|last| Timestamp::from_second(last.as_second()).ok()),
            timestamps: true,
            ..LogParams::default()
        };
        let stream = self.pods.log_stream(&self.pod, &parameters).await;
        let stream = stream.map_err(|error| ClusterError::of("show the log of the pod", error))?;
        let mut stream = std::pin::pin!(stream);
        let before = self.last;
        loop {
            let line = match next_line(&mut stream, self.longest).await {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(More::Yes),
                Err(error) => {
                    tracing::debug!(%error, "the log of the pod broke off");
                    return Ok(More::Broken);
                }
            };
            let Some((time, text)) = line.split_once(' ') else { continue };
            // A connection that breaks may end within a time: what follows it comes again.
            let Ok(time) = time.parse::<Timestamp>() else { continue };
            if before.is_some_and(|before| time < before) {
                continue;
            }
            self.last = Some(time);
            if self.lines.send(text.to_owned()).await.is_err() {
                return Ok(More::No);
            }
        }
    }

    /// Whether the container has ended; an error where nobody knows.
    async fn has_ended(&self) -> Result<bool, kube::Error> {
        let pod = self.pods.get_opt(&self.pod).await?;
        let Some(pod) = pod else { return Ok(true) };
        Ok(super::start::ended_container(&pod, &self.container).is_some())
    }
}

/// The next line; one that is too long is empty. What is left at the end without an end of line
/// was cut off.
async fn next_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    longest: usize,
) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let available = stream.fill_buf().await?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = memchr::memchr(b'\n', available);
        let taken = end.unwrap_or(available.len());
        too_long |= line.len() + taken > longest;
        if !too_long {
            line.extend_from_slice(&available[..taken]);
        }
        stream.consume_unpin(taken + usize::from(end.is_some()));
        if end.is_some() {
            let text = if too_long { Vec::new() } else { line };
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_have_a_bound_and_need_an_end() {
        let mut text = &b"one\n\nlonger than ten bytes\nlast"[..];
        let mut all = Vec::new();
        while let Some(line) = next_line(&mut text, 10).await.unwrap() {
            all.push(line);
        }
        assert_eq!(all, ["one", "", ""], "the last was cut off");
    }
}
