//! The `inspect` command: its arguments, and what it does with them.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use zeroize::Zeroizing;

use super::cache::Cache;
use super::client::{Client, ClientOptions, Login, ProxyChoice};
use super::error::RestError;
use super::inventory::{Inventory, ReadOptions};
use super::progress::{Progress, ProgressSink};
use super::scope::Scope;
use super::show::{Format, show};
use super::suggest::suggest;
use crate::catalog::Catalog;
use crate::error::BridgeError;
use crate::plan::explain::explain_jobs;

/// The variable that may hold the API token.
const TOKEN_VARIABLE: &str = "JENKINS_API_TOKEN";
/// The variable that may hold the name of the user.
const USER_VARIABLE: &str = "JENKINS_USER_ID";
/// The most bytes of a token file.
const TOKEN_BYTES: u64 = 4096;
/// How often progress is told on a terminal, and where lines stay.
const PROGRESS_EVERY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// How a controller is reached.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// User who reads. Overall/Read, Job/Read and, for details of plugins' parameters,
    /// Job/ExtendedRead are enough; do not give Job/Configure. Without it: the variable
    /// JENKINS_USER_ID.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// File that holds the API token of the user. Without it: the variable JENKINS_API_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file with authorities to trust besides the system's. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,
    /// Proxy, as http://host:port; `none` for none. Without it: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Seconds that one try of a request may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Requests under way at once. Each takes a thread of the controller.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub concurrency: u8,
}

/// `inspect`: what jobs and parameters a controller has.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// Address of the controller, with its context path.
    pub controller: String,
    /// Jobs, folders (with all in them) or globs: `php/shop`, `php/**`, `*/build`. All if none.
    pub jobs: Vec<String>,
    /// How it is reached.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Name of the controller in bindings; its host name if not given.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Propose binding rules for the jobs in place of listing them.
    #[arg(long, conflicts_with = "format")]
    pub suggest: bool,
    /// Show the plan that each job gets by the bindings of a catalog, and why, in place of listing them.
    /// Parameters have their defaults.
    #[arg(long, conflicts_with_all = ["format", "suggest"], requires = "catalog")]
    pub explain: bool,
    /// Catalog whose pipelines are proposed or whose plans are explained.
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    pub catalog: Option<PathBuf>,
    /// Jobs of one request.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub page_size: u16,
    /// Never ask for a config.xml. Details of plugins' parameters are then not known.
    #[arg(long)]
    pub no_config_xml: bool,
    /// Read everything anew and keep nothing.
    #[arg(long)]
    pub no_cache: bool,
    /// Directory for what is kept between readings.
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Hours after which a config.xml is read again although the job looks the same.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub max_age: u32,
    /// Tell nothing of the progress.
    #[arg(long, short)]
    pub quiet: bool,
}

impl ConnectArgs {
    /// A client for a controller.
    ///
    /// # Errors
    /// [`RestError`] for an argument that cannot be used.
    pub fn client(&self, url: &str) -> Result<Client, RestError> {
        Client::new(&self.options(url)?)
    }

    /// These and the usual other arguments, for controllers that a file names.
    #[must_use]
    pub fn of(
        user: Option<String>,
        token_file: Option<PathBuf>,
        ca_file: Vec<PathBuf>,
        proxy: Option<String>,
    ) -> Self {
        Self { user, token_file, ca_file, proxy, timeout: 60, concurrency: 4 }
    }

    /// The options of a client for a controller.
    ///
    /// # Errors
    /// [`RestError`] for an argument that cannot be used.
    pub fn options(&self, url: &str) -> Result<ClientOptions, RestError> {
        let mut options = ClientOptions::new(url);
        options.login = self.login()?;
        options.ca_files.clone_from(&self.ca_file);
        options.proxy = match self.proxy.as_deref() {
            None => ProxyChoice::Environment,
            Some("none") => ProxyChoice::Direct,
            Some(url) => ProxyChoice::Url(url.to_owned()),
        };
        options.timeout = Duration::from_secs(self.timeout);
        options.concurrency = usize::from(self.concurrency);
        Ok(options)
    }

    fn login(&self) -> Result<Option<Login>, RestError> {
        let token = match &self.token_file {
            Some(file) => Some(read_token(file)?),
            None => std::env::var(TOKEN_VARIABLE).ok().map(Zeroizing::new),
        };
        let setup =
            |reason: &str| RestError::Setup { what: "login".to_owned(), reason: reason.to_owned() };
        let user = self.user.clone().or_else(|| std::env::var(USER_VARIABLE).ok());
        match (user, token) {
            (Some(user), Some(token)) => {
                let token = Zeroizing::new(token.trim().to_owned());
                Ok(Some(Login { user, token }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(setup("a token is missing; give --token-file")),
            (None, Some(_)) => Err(setup("the user is missing; give --user")),
        }
    }
}

/// Reads a token from a file, with whatever blanks are around it.
pub(crate) fn read_token(file: &Path) -> Result<Zeroizing<String>, RestError> {
    let setup = |reason: String| RestError::Setup {
        what: format!("token file {}", file.display()),
        reason,
    };
    let size = fs::metadata(file).map_err(|error| setup(error.to_string()))?.len();
    if size > TOKEN_BYTES {
        return Err(setup(format!("it has {size} bytes; that is no token")));
    }
    fs::read_to_string(file).map(Zeroizing::new).map_err(|error| setup(error.to_string()))
}

/// Runs `inspect` and gives the text to print.
///
/// # Errors
/// [`BridgeError`]; nothing is to be printed then.
pub async fn inspect(args: &InspectArgs) -> Result<String, BridgeError> {
    let catalog = args.catalog.as_deref().map(Catalog::load).transpose()?;
    let client = args.connect.client(&args.controller)?;
    let scope = Scope::parse(&args.jobs, client.base())?;
    client.version().await?;
    let mut cache = if args.no_cache {
        Cache::none()
    } else {
        match args.cache_dir.clone().or_else(cache_directory) {
            Some(directory) => Cache::open(&directory, client.base(), client.user())?,
            None => Cache::none(),
        }
    };
    let options = ReadOptions {
        page_size: usize::from(args.page_size),
        config_xml: !args.no_config_xml,
        max_age: Duration::from_secs(u64::from(args.max_age) * 3600),
        ..ReadOptions::default()
    };
    let sink = if args.quiet { ProgressSink::default() } else { to_stderr() };
    let inventory = Inventory::read(&client, &scope, &mut cache, &options, &sink).await;
    if !args.quiet && std::io::stderr().is_terminal() {
        // The line of the progress makes room for what follows.
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let inventory = inventory?;
    cache.save()?;
    let name = args.name.clone().unwrap_or_else(|| host(client.base()));
    if let (true, Some(catalog)) = (args.explain, &catalog) {
        let jobs: Vec<_> = inventory.jobs.iter().map(|job| job.record(&name)).collect();
        return Ok(explain_jobs(catalog, &jobs));
    }
    if !args.suggest {
        return Ok(show(&inventory, &name, args.format));
    }
    let suggestion = suggest(&inventory.jobs, &name, catalog.as_ref());
    let misled = suggestion.misled(&inventory.jobs, &name);
    let warning = if misled.is_empty() {
        String::new()
    } else {
        format!("# Check by hand, these meet another rule: {}\n", misled.join(", "))
    };
    Ok(format!("{warning}{suggestion}"))
}

fn host(base: &str) -> String {
    let rest = base.split_once("//").map_or(base, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default().to_owned()
}

fn cache_directory() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("pilotfish-bridge"))
}

/// One line that changes on a terminal, a line now and then elsewhere.
fn to_stderr() -> ProgressSink {
    let terminal = std::io::stderr().is_terminal();
    let every = PROGRESS_EVERY[usize::from(!terminal)];
    let last = Mutex::new(Instant::now());
    ProgressSink::new(move |progress: Progress| {
        let Ok(mut last) = last.lock() else { return };
        if last.elapsed() < every {
            return;
        }
        *last = Instant::now();
        let mut stderr = std::io::stderr();
        // Progress that cannot be told is no reason to stop.
        let _ = if terminal {
            write!(stderr, "\r\x1b[K{progress}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{progress}")
        };
    })
}
