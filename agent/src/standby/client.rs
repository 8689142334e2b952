//! What an agent asks the bridge that made its pod.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jenkins_remoting::transport::{DownloadOptions, PostError, PostTarget, RootUrl, Secret};
use serde_json::{Value, json};

/// Where the bridge is asked.
const PATH: &str = "v1/agents/standby";
/// How long one request may take: longer than the bridge ever waits.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of a token.
const TOKEN_BYTES: u64 = 64 << 10;

/// Who asks the bridge, and as whom. It holds no token: that is read each time.
#[derive(Debug, Clone)]
pub struct Client {
    /// Address of the bridge.
    pub bridge: RootUrl,
    /// What the bridge calls this agent.
    pub id: String,
    /// The file with the token.
    pub token_file: PathBuf,
    /// How the bridge is reached.
    pub downloads: DownloadOptions,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Is there a node for this agent?
    Node,
    /// It has its secret, which nobody is to get again.
    Taken,
    /// It was asked for something that may be a build: does its node take another one?
    Used,
}

/// What the bridge has answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Ask again.
    Wait,
    /// It has a node now.
    Claimed {
        /// Its controller.
        url: String,
        /// The node.
        node: String,
        /// The secret of the node.
        secret: Secret,
        /// It is for one build.
        one_use: bool,
    },
    /// It is known that it has its secret.
    Taken,
    /// No build runs on its node.
    Idle,
    /// Its node takes no more builds.
    Out,
    /// The bridge has no use for it, for this reason.
    Leave(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Post(#[from] PostError),
    #[error("the token cannot be read: {0}")]
    Token(io::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Slow,
    #[error("this is not what a bridge answers")]
    Odd,
}

impl Client {
    /// Asks once.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, Trouble> {
        let token = token(&self.token_file).map_err(Trouble::Token)?;
        let header = Secret::new(format!("Bearer {}", token.expose()));
        let target = PostTarget::new(self.bridge.clone(), self.downloads.clone())
            .with_header("Authorization", &header);
        let mut body = json!({"id": self.id});
        match question {
            Question::Node => {}
            Question::Taken => body["taken"] = Value::Bool(true),
            Question::Used => body["used"] = Value::Bool(true),
        }
        let asked = target.ask(PATH, "application/json", body.to_string().into_bytes());
        let answer = tokio::time::timeout(TIMEOUT, asked).await.map_err(|_| Trouble::Slow)??;
        read(&answer).ok_or(Trouble::Odd)
    }
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
        "idle" => Answer::Idle,
        "out" => Answer::Out,
        "leave" => Answer::Leave(text("reason")?),
        "claimed" => Answer::Claimed {
            url: text("url")?,
            node: text("node")?,
            secret: Secret::new(text("secret")?),
            // A bridge of before does not say it, and answers no question about it.
            one_use: answer["one_use"].as_bool().unwrap_or(false),
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
        let of_before = br#"{"state":"claimed","url":"http://c/","node":"n","secret":"0a"}"#;
        let claimed = read(of_before);
        let Some(Answer::Claimed { url, node, secret, one_use: false }) = &claimed else {
            panic!("{claimed:?}")
        };
        assert_eq!((url.as_str(), node.as_str(), secret.expose()), ("http://c/", "n", "0a"));
        assert!(!format!("{claimed:?}").contains("0a"), "a secret is not shown");
        let one = read(
            br#"{"state":"claimed","url":"http://c/","node":"n","secret":"0a","one_use":true}"#,
        );
        assert!(matches!(one, Some(Answer::Claimed { one_use: true, .. })));
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
    }
}
