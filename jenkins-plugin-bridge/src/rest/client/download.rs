//! Answers that are read piece by piece, as they need not fit into memory.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use tokio::sync::SemaphorePermit;

use super::Client;
use super::send::{Raw, Trouble, shown};
use crate::rest::error::RestError;

/// The most time of a whole answer: 10 GiB at 4 Mbit/s.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// The most bytes of a page that says why there is no answer.
const REFUSAL_BYTES: usize = 64 << 10;

/// An answer that has begun. Its place among the requests under way is given back with it.
pub struct Download<'a> {
    client: &'a Client,
    url: reqwest::Url,
    response: Response,
    _place: Option<SemaphorePermit<'a>>,
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

impl Download<'_> {
    /// Bytes of the whole answer, where that was announced.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// [`RestError`] where it breaks, or stands still for the time limit of a request.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RestError> {
        let piece = tokio::time::timeout(self.client.timeout, self.response.chunk()).await;
        let trouble = match piece {
            Ok(Ok(piece)) => return Ok(piece),
            Ok(Err(error)) => Trouble::of(&error),
            Err(_) => Trouble::Slow,
        };
        Err(self.client.trouble(&self.url, trouble, 1))
    }
}

impl Client {
    /// Begins to read a page. It is asked for once.
    pub(in crate::rest) async fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Download<'_>, RestError> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let place = self.places.acquire().await.ok();
        self.requests.fetch_add(1, Relaxed);
        self.last_minute.add(std::time::Instant::now());
        let mut request = self.http.get(url.clone()).timeout(LONGEST);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(sent) => sent.map_err(|error| self.trouble(&url, Trouble::of(&error), 1))?,
            Err(_) => return Err(self.trouble(&url, Trouble::Slow, 1)),
        };
        let status = response.status();
        let mut download = Download { client: self, url, response, _place: place };
        if status.is_success() {
            return Ok(download);
        }
        let mut body = Vec::new();
        while body.len() < REFUSAL_BYTES
            && let Ok(Some(piece)) = download.next().await
        {
            body.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES)]);
        }
        let raw = Raw { status, headers: download.headers().clone(), body };
        Err(self.failure(&download.url, &raw, 1).error())
    }
}
