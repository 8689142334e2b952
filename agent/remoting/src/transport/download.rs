//! Downloads of archives from any server, as `java.net.URL.openStream` does them.
//!
//! Beyond Java: a redirect may lead from `http` to `https` (never back), and a server that falls silent is given up.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};

use super::connector::Dialing;
use super::error::{NetworkError, TlsDiagnosis};
use super::get::{self, GetError};
use super::http_client::{Body, Exchange};
use super::jnlp4::SocketOptions;
use super::options::Timeouts;
use super::proxy::ProxyOptions;
use super::tls::TlsContext;
use super::url::Target;

/// More redirects in a row than this are a circle; Java stops at 20 too (`http.maxRedirects`).
const MAX_REDIRECTS: usize = 20;

/// How downloads reach their servers.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// Proxies.
    pub proxy: ProxyOptions,
    /// Whom to trust.
    pub tls: TlsContext,
    /// Time limits up to the head of the answer.
    pub timeouts: Timeouts,
    /// How long the body may stand still before the download counts as broken.
    pub idle: Duration,
    /// Value of `User-Agent`.
    pub user_agent: String,
}

impl Default for DownloadOptions {
    /// No proxy, the roots of the system, and time limits as for a controller; a body may pause for 5 minutes.
    fn default() -> Self {
        Self {
            proxy: ProxyOptions::default(),
            tls: TlsContext::default(),
            timeouts: Timeouts::default(),
            idle: Duration::from_secs(300),
            user_agent: concat!("jenkins-remoting-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A body on its way. Dropping it ends the connection.
pub struct Download {
    url: String,
    length: Option<u64>,
    idle: Duration,
    body: Body,
}

/// Why a download failed. URLs are shown without user name and password; those that a redirect led to also without
/// query, which often holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// The URL cannot be used.
    #[error("cannot download {url}: {problem}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No answer.
    #[error("cannot download {url}: {}", Words(.error))]
    Network {
        /// The URL.
        url: String,
        /// Why there is none.
        error: NetworkError,
    },
    /// An answer other than 200, in the words of `sun.net.www.protocol.http.HttpURLConnection`.
    #[error("Server returned HTTP response code: {status} for URL: {url}")]
    Status {
        /// The URL that was answered so.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects {problem}")]
    Redirect {
        /// Where the redirect came from.
        url: String,
        /// Why it is not followed.
        problem: String,
    },
    /// The body ended too early.
    #[error("the download of {url} broke off: {detail}")]
    Interrupted {
        /// The URL.
        url: String,
        /// What the network reported.
        detail: String,
    },
    /// Nothing more came.
    #[error("the download of {url} broke off: the server sent nothing for {seconds} s")]
    Silent {
        /// The URL.
        url: String,
        /// The limit in seconds.
        seconds: u64,
    },
}

/// A network error in words that fit a server that is not the controller.
pub(super) struct Words<'a>(pub(super) &'a NetworkError);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NetworkError::Refused { target } => write!(f, "{target} refused the connection"),
            NetworkError::Tls { target, diagnosis: TlsDiagnosis::UnknownIssuer, detail } => write!(
                f,
                "TLS with {target} failed: the certificate is signed by an unknown authority; put the \
                 authority's certificate in a file and set SSL_CERT_FILE for the agent ({detail})"
            ),
            NetworkError::Tls { target, detail, .. } => {
                write!(f, "TLS with {target} failed: {detail}")
            }
            other => other.fmt(f),
        }
    }
}

/// Asks for an `http` or `https` URL and waits for the head of the answer, following redirects.
///
/// User name and password in a URL are ignored, as Java does; a fragment is not sent.
///
/// # Errors
/// An unusable URL, no connection, or an answer other than 200.
pub async fn download(url: &str, options: &DownloadOptions) -> Result<Download, DownloadError> {
    let mut shown = without_credentials(url.trim());
    let mut target = Target::parse(&clean(url))
        .map_err(|_| bad_url(&shown, "it is not an http or https URL with a valid host"))?;
    for _ in 0..=MAX_REDIRECTS {
        let answer = get(options, &target, &shown).await?;
        let status = answer.response.status();
        if status == StatusCode::OK {
            let length = answer
                .response
                .headers()
                .get(header::CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            let body = answer.into_body();
            return Ok(Download { url: shown, length, idle: options.idle, body });
        }
        let status = status.as_u16();
        let location = answer.response.headers().get(header::LOCATION);
        let Some(location) = location.filter(|_| matches!(status, 300..=303 | 307 | 308)) else {
            return Err(DownloadError::Status { url: shown, status });
        };
        let next = target
            .redirect(&clean(&String::from_utf8_lossy(location.as_bytes())))
            .map_err(|_| redirect(&shown, "to an address that is not an http or https URL"))?;
        if target.endpoint.secure && !next.endpoint.secure {
            let problem = format!(
                "from https to {next}, which anybody on the way could replace; use the final address"
            );
            return Err(redirect(&shown, &problem));
        }
        tracing::debug!(from = %shown, to = %next, "redirected");
        shown = next.to_string();
        target = next;
    }
    Err(redirect(&without_credentials(url.trim()), &format!("more than {MAX_REDIRECTS} times")))
}

impl Download {
    /// The URL that the body comes from, after redirects, as it may be shown.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Length of the body in bytes, if the server said it.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next bytes of the body, never empty; `None` at its end. Cancel safe.
    ///
    /// # Errors
    /// The connection broke, ended before the announced length, or nothing came for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        match tokio::time::timeout(self.idle, self.body.next()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(detail)) => Err(DownloadError::Interrupted { url: self.url.clone(), detail }),
            Err(_) => {
                let seconds = self.idle.as_secs();
                Err(DownloadError::Silent { url: self.url.clone(), seconds })
            }
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("url", &self.url)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl<'a> From<&'a DownloadOptions> for Dialing<'a> {
    fn from(options: &'a DownloadOptions) -> Self {
        Self {
            proxy: &options.proxy,
            tls: &options.tls,
            timeouts: &options.timeouts,
            user_agent: &options.user_agent,
            socket: SocketOptions::default(),
        }
    }
}

async fn get(
    options: &DownloadOptions,
    target: &Target,
    shown: &str,
) -> Result<Exchange, DownloadError> {
    get::get(options.into(), target, |request| request).await.map_err(|error| match error {
        GetError::Network(error) => DownloadError::Network { url: shown.to_owned(), error },
        GetError::Request(error) => bad_url(shown, &error.to_string()),
    })
}

fn bad_url(url: &str, problem: &str) -> DownloadError {
    DownloadError::Url { url: url.to_owned(), problem: problem.to_owned() }
}

fn redirect(url: &str, problem: &str) -> DownloadError {
    DownloadError::Redirect { url: url.to_owned(), problem: problem.to_owned() }
}

/// What stands before, in, and behind the authority of a URL or of a reference that begins with `//`.
fn split(url: &str) -> (&str, &str, &str) {
    let start = match url.find("//") {
        Some(0) => 2,
        Some(at) if url[..at].ends_with(':') && !url[..at].contains(['/', '?', '#']) => at + 2,
        _ => return ("", "", url),
    };
    let (before, rest) = url.split_at(start);
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (before, authority, rest)
}

/// The URL without user name and password, to be shown.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let (before, authority, rest) = split(url);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{before}{host}{rest}")
}

/// The URL or reference to ask for: no credentials, no fragment, and encoded what a request line cannot hold, which
/// servers and tool catalogues often forget.
fn clean(url: &str) -> String {
    let url = without_credentials(url.trim());
    let url = url.split('#').next().unwrap_or_default();
    let (before, host, rest) = split(url);
    let mut cleaned = format!("{before}{host}");
    for byte in rest.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            cleaned.push(char::from(byte));
        } else {
            cleaned.push_str(&format!("%{byte:02X}"));
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_made_fit_for_a_request() {
        for (given, asked) in [
            ("http://c/a b/ä.zip?x={1}#y", "http://c/a%20b/%C3%A4.zip?x=%7B1%7D"),
            (" https://me:p@ss@c:8443/a%20b ", "https://c:8443/a%20b"),
            ("//me@d/x@y", "//d/x@y"),
            ("/r?u=http://a@b/", "/r?u=http://a@b/"),
            ("x:y//z", "x:y//z"),
            ("http://c", "http://c"),
        ] {
            assert_eq!(clean(given), asked);
        }
        assert_eq!(without_credentials("https://me:pw@c/x?t=1#f"), "https://c/x?t=1#f");
    }

    #[test]
    fn errors_fit_servers_that_are_no_controllers() {
        let error = |error| DownloadError::Network { url: "https://c/a".into(), error }.to_string();
        let target = || "c:443".to_owned();
        assert_eq!(
            error(NetworkError::Refused { target: target() }),
            "cannot download https://c/a: c:443 refused the connection"
        );
        let diagnosis = TlsDiagnosis::UnknownIssuer;
        let text = error(NetworkError::Tls { target: target(), diagnosis, detail: "x".into() });
        assert!(text.contains("SSL_CERT_FILE") && !text.contains("-cert"), "{text}");
    }
}
