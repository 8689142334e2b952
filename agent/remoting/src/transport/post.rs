//! Sending something to a service beside the controller: a collector of traces, the bridge.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use http_body_util::Full;
use zeroize::Zeroizing;

use super::connector::Dialing;
use super::download::{DownloadOptions, Words};
use super::error::NetworkError;
use super::get::{self, GetError};
use super::http_client::Exchange;
use super::secret::Secret;
use super::url::{RootUrl, UrlError};

/// A service that takes `POST`: below which address, with which headers.
///
/// Its `Debug` shows neither: the address may hold a token as well as a header.
#[derive(Clone)]
pub struct PostTarget {
    root: RootUrl,
    headers: Vec<(HeaderName, HeaderValue)>,
    options: DownloadOptions,
}

/// Why something was not taken. Shows no URL, no header and no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// No answer.
    #[error("{}", Words(.0))]
    Network(NetworkError),
    /// The path cannot be sent.
    #[error("the address cannot be used: {0}")]
    Request(String),
    /// An answer that is not 2xx.
    #[error("the answer is HTTP status {status}{}", .title.as_ref().map(|title| format!(" ({title})")).unwrap_or_default())]
    Status {
        /// HTTP status.
        status: u16,
        /// What the answer says, in one line, if it does.
        title: Option<String>,
    },
}

impl fmt::Debug for PostTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostTarget").field("headers", &self.headers.len()).finish_non_exhaustive()
    }
}

impl PostTarget {
    /// A service below `root`, reached as `options` say.
    #[must_use]
    pub fn new(root: RootUrl, options: DownloadOptions) -> Self {
        Self { root, headers: Vec::new(), options }
    }

    /// With a further header. One that HTTP does not allow is left out: callers check names and values
    /// where users give them.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &Secret) -> Self {
        let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value.expose()).ok());
        if let Some((name, mut value)) = pair {
            value.set_sensitive(true);
            self.headers.push((name, value));
        }
        self
    }

    /// The address of a service.
    ///
    /// # Errors
    /// Anything that is not an absolute `http` or `https` URL without credentials.
    pub fn root(text: &str) -> Result<RootUrl, UrlError> {
        RootUrl::parse(text)
    }

    /// Posts `body` to the path `relative` below the root, over a connection of its own.
    ///
    /// # Errors
    /// When there is no answer in time, or one that is not 2xx. Redirects are not followed.
    pub async fn post(
        &self,
        relative: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<(), PostError> {
        self.send(relative, content_type, body).await?.discard().await;
        Ok(())
    }

    /// The same, with the answer: as much of it as 16 KiB, which an answer to wait for does not need.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn ask(
        &self,
        relative: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, PostError> {
        Ok(Zeroizing::new(self.send(relative, content_type, body).await?.page().await))
    }

    async fn send(
        &self,
        relative: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Exchange, PostError> {
        let dialing = Dialing::from(&self.options);
        let target = self.root.join(relative);
        let body = Full::new(Bytes::from(body));
        let asked = get::request(dialing, &target, Method::POST, body, |mut request| {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            request
        });
        let answer = asked.await.map_err(|error| match error {
            GetError::Network(error) => PostError::Network(error),
            GetError::Request(error) => PostError::Request(error.to_string()),
        })?;
        let status = answer.response.status();
        if status.is_success() {
            return Ok(answer);
        }
        let title = answer.page_line().await;
        Err(PostError::Status { status: status.as_u16(), title })
    }
}
