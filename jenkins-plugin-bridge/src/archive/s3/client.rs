//! Requests to a bucket: signed, tried again where that may help, and refused in words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use rusty_s3::signing::sign;
use rusty_s3::{Credentials, Method};

use super::answer::{Element, Refusal};
use super::keys::Keys;
use crate::archive::ArchiveError;
use crate::rest::causes;
use crate::rest::retry::{RetryPolicy, retry_after};

/// The most time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The most time until an answer begins, and between two pieces of one.
const ANSWER: Duration = Duration::from_secs(60);
/// The same where a part is sent: 8 MiB at a quarter of a Mbit/s.
const SENDING: Duration = Duration::from_secs(300);
/// How long a signature is good. Each try has a new one.
const SIGNED: Duration = Duration::from_secs(900);
/// The most bytes of an answer that is XML. A page of a list with long names has about one megabyte.
const ANSWER_BYTES: usize = 4 << 20;

/// A service of S3 with one bucket.
#[derive(Debug)]
pub struct Client {
    pub(super) bucket: rusty_s3::Bucket,
    pub(super) keys: Keys,
    pub(super) http: reqwest::Client,
    pub(super) retry: RetryPolicy,
    /// What the names of all objects begin with, with a slash at the end; or nothing.
    pub(super) prefix: String,
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Ask<'a> {
    /// What it is for, in messages: `read an object`.
    pub action: &'static str,
    /// The object; the bucket itself where it is empty.
    pub key: &'a str,
    /// In the order of their names.
    pub query: &'a [(&'a str, &'a str)],
    /// Which bytes of the object.
    pub range: Option<(u64, u64)>,
    /// What is sent.
    pub body: Option<Body>,
}

/// What is sent, with its MD5 in base64: the service compares it before anything is kept.
#[derive(Debug, Clone)]
pub struct Body {
    bytes: Bytes,
    md5: String,
}

impl Body {
    /// With a digest of these bytes that was made as they came.
    pub fn with(bytes: Bytes, digest: Md5) -> Self {
        let md5 = base64::engine::general_purpose::STANDARD.encode(digest.finalize());
        Self { bytes, md5 }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let digest = Md5::new_with_prefix(&bytes);
        Self::with(bytes, digest)
    }
}

/// An object that begins to be read.
pub struct Begun {
    pub response: Response,
    /// Bytes of the whole object.
    pub size: u64,
    /// How many bytes come.
    pub comes: u64,
}

enum Trouble {
    Refused(Box<Refusal>, Option<Duration>),
    Broken(String),
}

/// A client for what the file about the bucket says.
///
/// # Errors
/// A CA file that cannot be used.
pub fn http(ca_files: &[std::path::PathBuf]) -> Result<reqwest::Client, String> {
    // Nor to a bucket elsewhere, which is told with its region: the signature is not good there.
    crate::rest::client_builder(ca_files)
        .map_err(|error| error.to_string())?
        .connect_timeout(CONNECT)
        .build()
        .map_err(|error| causes(&error))
}

impl Client {
    /// The bucket and where it is, for messages.
    pub fn shown(&self) -> String {
        let url = self.bucket.base_url();
        format!("bucket {} at {}", self.bucket.name(), url.origin().ascii_serialization())
    }

    /// An answer had less than it announced.
    pub fn ended_early(&self) -> ArchiveError {
        self.away("read an object", "its answer ends too early".to_owned(), 1)
    }

    fn refused(&self, action: &'static str, reason: String) -> ArchiveError {
        ArchiveError::Refused { bucket: self.shown(), action, reason }
    }

    /// An answer that is XML.
    pub async fn xml(&self, method: Method, ask: Ask<'_>) -> Result<Element, ArchiveError> {
        let read = self.xml_unless(method, ask, &[]).await?;
        Ok(read.unwrap_or_default())
    }

    /// The same; nothing where it refuses with one of these codes.
    pub async fn xml_unless(
        &self,
        method: Method,
        ask: Ask<'_>,
        codes: &[&str],
    ) -> Result<Option<Element>, ArchiveError> {
        let action = ask.action;
        let mut response = match self.try_all(method, ask).await {
            Ok(response) => response,
            Err((_, Some(refusal))) if codes.contains(&refusal.code.as_str()) => return Ok(None),
            Err((error, _)) => return Err(error),
        };
        let body = body_of(&mut response).await;
        let body = body.map_err(|reason| self.away(action, reason, 1))?;
        let read = Element::read(&body).map_err(|reason| {
            self.refused(action, format!("its answer cannot be read: {reason}. Is it S3 there?"))
        })?;
        // A long one begins well before it is known how it ends (`CompleteMultipartUpload`).
        if read.name == "Error" {
            let refusal = Refusal::of(200, response.headers(), &body);
            let reason = refusal.reason("", self.bucket.name(), &self.prefix);
            return Err(self.away(action, reason, 1));
        }
        Ok(Some(read))
    }

    /// Begins to read bytes of an object; nothing where it is not there.
    pub async fn read(
        &self,
        key: &str,
        from: u64,
        most: u64,
    ) -> Result<Option<Begun>, ArchiveError> {
        let action = "read an object";
        let whole = from == 0 && most == u64::MAX;
        let range = (!whole).then(|| (from, from.saturating_add(most.saturating_sub(1))));
        let ask = Ask { action, key, range, ..Ask::default() };
        let response = match self.try_all(Method::Get, ask).await {
            Ok(response) => response,
            Err((_, Some(refusal))) if refusal.code == "NoSuchKey" => return Ok(None),
            Err((error, _)) => return Err(error),
        };
        let length = response.content_length();
        let told = response.headers().get(CONTENT_RANGE).and_then(|text| text.to_str().ok());
        let size = told.and_then(|text| text.rsplit('/').next()?.parse::<u64>().ok());
        let (size, comes) = match (response.status(), size, length) {
            // Nothing of it is there: an empty object, or one that ends before.
            (StatusCode::RANGE_NOT_SATISFIABLE, size, _) => (size.unwrap_or(from), 0),
            (StatusCode::PARTIAL_CONTENT, Some(size), Some(length)) => (size, length.min(most)),
            (StatusCode::OK, _, Some(length)) if from == 0 => (length, length.min(most)),
            (status, ..) => {
                let reason = format!("it answered {status} without saying which bytes those are");
                return Err(self.refused(action, format!("{reason}. Is it S3 there?")));
            }
        };
        Ok(Some(Begun { response, size, comes }))
    }

    /// The next piece of an answer; nothing at its end.
    pub async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, ArchiveError> {
        let read = next(response).await;
        read.map_err(|reason| self.away("read an object", reason, 1))
    }

    fn away(&self, action: &'static str, reason: String, tries: u32) -> ArchiveError {
        ArchiveError::Away { bucket: self.shown(), action, reason, tries }
    }

    /// Sends a request; what is no success is an error.
    pub async fn send(&self, method: Method, ask: Ask<'_>) -> Result<Response, ArchiveError> {
        self.try_all(method, ask).await.map_err(|(error, _)| error)
    }

    /// The same, with what was answered in place of a success.
    pub async fn try_all(
        &self,
        method: Method,
        ask: Ask<'_>,
    ) -> Result<Response, (ArchiveError, Option<Box<Refusal>>)> {
        let no_keys = |reason| (self.refused(ask.action, reason), None);
        let mut keys = self.keys.current().await.map_err(no_keys)?;
        let mut tries = 0;
        let mut has_others = false;
        loop {
            tries += 1;
            let (reason, asked, refusal) = match self.once(method, &ask, &keys).await {
                Ok(response) => return Ok(response),
                Err(Trouble::Refused(refusal, asked)) => {
                    if refusal.is_about_keys()
                        && !has_others
                        && let Some(others) = self.keys.others(&keys).await
                    {
                        (keys, has_others) = (others, true);
                        continue;
                    }
                    let reason = refusal.reason(keys.key(), self.bucket.name(), &self.prefix);
                    if !refusal.is_passing() {
                        return Err((self.refused(ask.action, reason), Some(refusal)));
                    }
                    (reason, asked, Some(refusal))
                }
                Err(Trouble::Broken(reason)) => (reason, None, None),
            };
            match self.retry.wait(tries, asked) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err((self.away(ask.action, reason, tries), refusal)),
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        ask: &Ask<'_>,
        keys: &Arc<Credentials>,
    ) -> Result<Response, Trouble> {
        let url = self.signed(method, ask, keys);
        let verb = match method {
            Method::Get => reqwest::Method::GET,
            Method::Put => reqwest::Method::PUT,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
            Method::Head => reqwest::Method::HEAD,
        };
        let mut request = self.http.request(verb, url);
        if let Some((first, last)) = ask.range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        let limit = if ask.body.is_some() { SENDING } else { ANSWER };
        if let Some(Body { bytes, md5 }) = &ask.body {
            // Nothing has a length, too.
            request = request.header(CONTENT_LENGTH, bytes.len()).header("content-md5", md5);
            request = request.body(bytes.clone());
        }
        let sent = tokio::time::timeout(limit, request.send()).await;
        let sent = sent.map_err(|_| {
            Trouble::Broken(format!("no answer within {} s. Check the network", limit.as_secs()))
        })?;
        // The address of an error would have the signature in it.
        let mut response = sent.map_err(|error| {
            let next = "Check endpoint, the network, the proxy and, for https, ca_files";
            Trouble::Broken(format!("{}. {next}", causes(&error)))
        })?;
        let status = response.status();
        if status.is_success()
            || (ask.range.is_some() && status == StatusCode::RANGE_NOT_SATISFIABLE)
        {
            return Ok(response);
        }
        let body = body_of(&mut response).await.unwrap_or_default();
        let asked = patience(response.headers());
        let refusal = Refusal::of(status.as_u16(), response.headers(), &body);
        Err(Trouble::Refused(Box::new(refusal), asked))
    }

    fn signed(&self, method: Method, ask: &Ask<'_>, keys: &Credentials) -> Url {
        let url = match ask.key {
            "" => self.bucket.base_url().clone(),
            key => self.bucket.object_url(key),
        };
        let headers = ask.body.as_ref().map(|body| ("content-md5", body.md5.as_str()));
        sign(
            &jiff::Timestamp::now(),
            method,
            url,
            keys.key(),
            keys.secret(),
            keys.token(),
            self.bucket.region(),
            SIGNED.as_secs(),
            ask.query.iter().copied(),
            headers.into_iter(),
        )
    }
}

fn patience(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

async fn next(response: &mut Response) -> Result<Option<Bytes>, String> {
    match tokio::time::timeout(ANSWER, response.chunk()).await {
        Ok(piece) => piece.map_err(|error| causes(&error)),
        Err(_) => Err(format!("nothing came for {} s", ANSWER.as_secs())),
    }
}

async fn body_of(response: &mut Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = next(response).await? {
        if body.len() + piece.len() > ANSWER_BYTES {
            return Err(format!("its answer has more than {ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
