//! What a controller, or what stands in front of it, may answer in place of what was asked for.

use std::time::Duration;

/// Reading a controller failed. Each message says what came and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// The address is no address of a controller.
    #[error("`{url}` cannot be the address of a controller: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Certificates, a proxy or a token file cannot be used.
    #[error("{what}: {reason}")]
    Setup {
        /// What cannot be used.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// No connection, or it broke, also after all tries.
    #[error(
        "cannot reach {url}: {reason} ({tries} tries). Check the address, the network, the proxy \
         and, for https, the CA file"
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The last reason.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// No whole answer within the time limit, also after all tries.
    #[error(
        "{url} did not answer within {} s ({tries} tries). The controller is down or slow, or what is \
         between drops requests: look at the controller; `inspect` waits longer with --timeout and asks for \
         less with --page-size and --concurrency",
        .limit.as_secs()
    )]
    Slow {
        /// What was asked for.
        url: String,
        /// The limit of one try.
        limit: Duration,
        /// How often it was tried.
        tries: u32,
    },
    /// The user name or the token is wrong.
    #[error(
        "{url} refused the login of `{user}` (401). Make a new API token in the controller under \
         the user's Security page; a password is not accepted where single sign-on is used"
    )]
    Login {
        /// What was asked for.
        url: String,
        /// The user.
        user: String,
    },
    /// The user may not do this.
    #[error("{url} refused `{user}` (403): {reason}")]
    Forbidden {
        /// What was asked for.
        url: String,
        /// The user.
        user: String,
        /// The permission that is missing, as the controller names it, and what to do.
        reason: String,
    },
    /// Not there, or the user may not see that it is there.
    #[error(
        "{url} is not there (404). Check the address with its context path, and the name, folders \
         first (`folder/job`); a job that `{user}` may not see looks the same"
    )]
    Missing {
        /// What was asked for.
        url: String,
        /// The user.
        user: String,
    },
    /// Too many requests, also after waiting.
    #[error(
        "{url} asks for fewer requests (429), also after {tries} tries{wait}. Ask later; `inspect` asks \
         for less at once with a lower --concurrency"
    )]
    TooMany {
        /// What was asked for.
        url: String,
        /// How often it was tried.
        tries: u32,
        /// How long it asks to wait, as the end of a sentence.
        wait: String,
    },
    /// Not ready, also after waiting.
    #[error(
        "{url} is not ready ({status}), also after {tries} tries{wait}: {reason}. Try again when \
         the controller has started"
    )]
    Unavailable {
        /// What was asked for.
        url: String,
        /// 502, 503 or 504.
        status: u16,
        /// How often it was tried.
        tries: u32,
        /// How long it asks to wait, as the end of a sentence.
        wait: String,
        /// Title of the page that came.
        reason: String,
    },
    /// Another page came, with success as its status.
    #[error(
        "{url} answered {content_type} in place of {expected}{title}. A login page or a proxy \
         stands in front of the controller: let API requests with a token through, or give the \
         controller's own address"
    )]
    NotTheApi {
        /// What was asked for.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What came.
        content_type: String,
        /// Title of the page, as part of a sentence.
        title: String,
    },
    /// It sends the client elsewhere. Credentials are not taken to another place.
    #[error(
        "{url} redirects to {to}. Give that address where it is the controller's; where it is a \
         login page, an API token is missing or not let through"
    )]
    Redirected {
        /// What was asked for.
        url: String,
        /// Where to.
        to: String,
    },
    /// Any other status.
    #[error("{url} answered {status}: {reason}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the controller says about it.
        reason: String,
    },
    /// The answer is larger than a sound one can be.
    #[error(
        "{url} answered with more than {limit} bytes; that is no sound answer. Check what stands in front \
         of the controller; `inspect` asks for less with --page-size"
    )]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// JSON or XML that is not what the API gives.
    #[error("{url}: {reason}. Nothing of it was used")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// A Jenkins is not there.
    #[error(
        "{url} answers, but not as a Jenkins controller (no X-Jenkins header). Give the address \
         that the controller shows under System, Jenkins URL"
    )]
    NotJenkins {
        /// What was asked for.
        url: String,
    },
    /// A name of a job or a node cannot be one.
    #[error("`{name}` cannot be a name on a controller: {reason}")]
    Name {
        /// What was given.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The cache cannot be read or written.
    #[error("the cache {path}: {reason}. Remove the file, or go on without it by --no-cache")]
    Cache {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl RestError {
    /// Whether the same request for fewer things may succeed.
    #[must_use]
    pub fn is_too_much_at_once(&self) -> bool {
        matches!(
            self,
            Self::Slow { .. } | Self::TooLarge { .. } | Self::Unavailable { status: 504, .. }
        )
    }

    /// Whether one job is concerned and others may well be read.
    #[must_use]
    pub fn is_about_one_job(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Forbidden { .. }) || self.is_a_crash()
    }

    /// Whether the controller failed while it made the answer, as it does for a job whose plugin
    /// throws: `hudson.Functions`, page "Oops!", status 500.
    #[must_use]
    pub fn is_a_crash(&self) -> bool {
        matches!(self, Self::Status { status: 500, .. })
    }
}
