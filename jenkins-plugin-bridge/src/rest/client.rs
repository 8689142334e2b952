//! The HTTP side: one controller, one user, requests that are tried again where that may help,
//! and an error that says what to do where it does not.

mod answer;
mod download;
mod minute;
mod send;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use answer::{Answer, Conditional, Validators};
pub use download::Download;
pub(crate) use send::chain as causes;

use super::error::RestError;
use super::name::JobName;
use super::retry::RetryPolicy;

/// The most bytes of one answer. Ten thousand names of jobs are about two megabytes.
const ANSWER_BYTES: usize = 64 << 20;
/// Requests under way at once, if not told otherwise. Each takes a request thread of the
/// controller; people want to use it at the same time.
const CONCURRENCY: usize = 4;
/// The most that can be asked for.
const MOST_CONCURRENCY: usize = 64;

/// Who asks.
#[derive(Clone)]
pub struct Login {
    /// Name of the user.
    pub user: String,
    /// An API token of that user.
    pub token: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Which proxy is used.
#[derive(Debug, Clone, Default)]
pub enum ProxyChoice {
    /// What `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// None.
    Direct,
    /// This one.
    Url(String),
}

/// How a controller is reached.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Address of the controller, with its context path: `https://ci.example.com/jenkins`.
    pub url: String,
    /// Who asks; nobody in particular where it is not given.
    pub login: Option<Login>,
    /// Files with certificates of authorities to trust besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// The proxy.
    pub proxy: ProxyChoice,
    /// The most time for a connection.
    pub connect_timeout: Duration,
    /// The most time for one try of a request, its whole answer included.
    pub timeout: Duration,
    /// Further tries.
    pub retry: RetryPolicy,
    /// Requests under way at once, 1 to 64.
    pub concurrency: usize,
}

impl ClientOptions {
    /// The usual options for a controller.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            login: None,
            ca_files: Vec::new(),
            proxy: ProxyChoice::default(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            concurrency: CONCURRENCY,
        }
    }
}

/// A client of one controller. It may be shared; no more than the agreed number of requests is
/// under way at once.
pub struct Client {
    http: reqwest::Client,
    /// Ends with a slash.
    base: Url,
    user: String,
    authorization: Option<HeaderValue>,
    retry: RetryPolicy,
    timeout: Duration,
    concurrency: usize,
    places: Semaphore,
    requests: std::sync::atomic::AtomicU64,
    retries: std::sync::atomic::AtomicU64,
    last_minute: minute::LastMinute,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Client");
        debug.field("base", &self.base.as_str()).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RestError::Address`] for an address that is none or holds a password, and
    /// [`RestError::Setup`] for a CA file, a proxy or a token that cannot be used.
    pub fn new(options: &ClientOptions) -> Result<Self, RestError> {
        let base = base_url(&options.url)?;
        let setup = |what: &str, reason: String| RestError::Setup { what: what.to_owned(), reason };
        let mut builder = super::client_builder(&options.ca_files)?
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .pool_max_idle_per_host(options.concurrency.clamp(1, MOST_CONCURRENCY));
        match &options.proxy {
            ProxyChoice::Environment => {}
            ProxyChoice::Direct => builder = builder.no_proxy(),
            ProxyChoice::Url(url) => {
                let proxy = reqwest::Proxy::all(url).map_err(|error| {
                    let reason = format!("{}; give http://host:port", send::chain(&error));
                    setup("proxy", reason)
                })?;
                builder = builder.proxy(proxy);
            }
        }
        let http = builder.build().map_err(|error| setup("HTTP client", send::chain(&error)))?;
        let authorization = options.login.as_ref().map(authorization).transpose()?;
        let concurrency = options.concurrency.clamp(1, MOST_CONCURRENCY);
        Ok(Self {
            http,
            base,
            user: options.login.as_ref().map_or("anonymous", |login| &login.user).to_owned(),
            authorization,
            retry: options.retry,
            timeout: options.timeout,
            concurrency,
            places: Semaphore::new(concurrency),
            requests: std::sync::atomic::AtomicU64::new(0),
            retries: std::sync::atomic::AtomicU64::new(0),
            last_minute: minute::LastMinute::new(),
        })
    }

    /// Address of the controller, with a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    /// Name of the user, `anonymous` where there is no login.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Requests under way at once.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Requests made so far, and how many of them were further tries.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        use std::sync::atomic::Ordering::Relaxed;
        (self.requests.load(Relaxed), self.retries.load(Relaxed))
    }

    /// Requests made within the last minute, further tries included.
    #[must_use]
    pub fn last_minute(&self) -> u64 {
        self.last_minute.count(std::time::Instant::now())
    }

    /// The JSON of a job, a folder, a build or the controller.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn json(&self, path: &str, tree: &str) -> Result<Answer, RestError> {
        let mut url = self.url(&format!("{path}api/json"))?;
        if !tree.is_empty() {
            url.query_pairs_mut().append_pair("tree", tree);
        }
        self.whole(path, self.get(url, "JSON", None, true).await?)
    }

    /// As [`json`](Self::json), for a request that can be divided: where it can, it is not made
    /// again after it was too slow.
    pub(super) async fn json_of_many(
        &self,
        path: &str,
        tree: &str,
        divisible: bool,
    ) -> Result<Answer, RestError> {
        let mut url = self.url(&format!("{path}api/json"))?;
        url.query_pairs_mut().append_pair("tree", tree);
        self.whole(path, self.get(url, "JSON", None, !divisible).await?)
    }

    fn whole(&self, path: &str, came: Conditional) -> Result<Answer, RestError> {
        match came {
            Conditional::New(answer) => Ok(answer),
            Conditional::Same => Err(RestError::Malformed {
                url: format!("{}{path}", self.base),
                reason: "304 came to a request that did not ask for it".to_owned(),
            }),
        }
    }

    /// The `config.xml` of a job, unless it is the same as before.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn config_xml(
        &self,
        job: &JobName,
        known: Option<&Validators>,
    ) -> Result<Conditional, RestError> {
        self.get(self.url(&format!("{}config.xml", job.path()))?, "XML", known, true).await
    }

    /// Makes sure that a Jenkins answers. The answer has its version.
    ///
    /// # Errors
    /// [`RestError::NotJenkins`] where something else answers, and what else can go wrong.
    pub async fn version(&self) -> Result<String, RestError> {
        let answer = self.json("", "mode").await?;
        let url = || answer.url.clone();
        answer.jenkins_version.clone().ok_or_else(|| RestError::NotJenkins { url: url() })
    }

    fn url(&self, path: &str) -> Result<Url, RestError> {
        self.base.join(path).map_err(|error| RestError::Address {
            url: format!("{}{path}", self.base),
            reason: error.to_string(),
        })
    }
}

fn base_url(text: &str) -> Result<Url, RestError> {
    // The address may hold a password by mistake: no message repeats more than its host.
    let refuse = |url: &str, reason: &str| {
        Err(RestError::Address { url: url.to_owned(), reason: reason.to_owned() })
    };
    let Ok(mut url) = Url::parse(text) else {
        return refuse("(not shown)", "it is no URL; give https://host/ with its context path");
    };
    let shown = format!("{}://{}/", url.scheme(), url.host_str().unwrap_or_default());
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return refuse(&shown, "it does not start with https:// or http:// and a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(&shown, "it holds a login; give it by --user and --token-file");
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn authorization(login: &Login) -> Result<HeaderValue, RestError> {
    let setup =
        |reason: &str| RestError::Setup { what: "login".to_owned(), reason: reason.to_owned() };
    if login.user.is_empty() || login.user.contains(':') || login.token.is_empty() {
        return Err(setup("a user name without a colon and a token are needed"));
    }
    let pair = Zeroizing::new(format!("{}:{}", login.user, login.token.as_str()));
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", encoded.as_str()))
        .map_err(|_| setup("it cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_context_path_and_hold_no_login() {
        assert_eq!(base_url("https://ci/jenkins?x#y").unwrap().as_str(), "https://ci/jenkins/");
        assert_eq!(base_url("http://ci:8080").unwrap().as_str(), "http://ci:8080/");
        for wrong in ["ci.example.com", "ftp://ci/", "https://me:hunter2@ci/", "https://hunter2@ci"]
        {
            let error = base_url(wrong).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_login_is_not_shown() {
        let token = Zeroizing::new("11aabbccddeeff".to_owned());
        let mut options = ClientOptions::new("https://ci/");
        options.login = Some(Login { user: "reader".to_owned(), token });
        let client = Client::new(&options).unwrap();
        for shown in [format!("{options:?}"), format!("{client:?}")] {
            assert!(shown.contains("reader") && !shown.contains("11aabb"), "{shown}");
        }
    }
}
