//! The service under load: a thousand builds a second ask for their plans over connections that stay
//! open, all with the same parameters, and each with a branch of its own, which makes a plan of its own
//! that must be kept. Requests come at fixed times whether or not earlier ones are answered,
//! so that a pause of the service counts for all that would have come in it.
//!
//! `cargo bench -p pilotfish-bridge --bench service -- --seconds 60`
#![expect(clippy::print_stdout, reason = "a command line tool")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use support::{Failed, PROGRAM, machine, memory_mib, source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Measures `POST /v1/plans`
#[derive(Debug, Parser)]
struct Options {
    /// Requests a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds that count; three more before them do not
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// URL of a PostgreSQL database in place of a SQLite file
    #[arg(long)]
    database: Option<String>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is asked for.
struct Case {
    name: &'static str,
    catalog: std::path::PathBuf,
    query: Value,
}

/// What builds have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branches {
    Same,
    Own,
}

/// The stages of the larger pipeline.
const STAGES: usize = 30;
/// Before what counts.
const WARM_UP: Duration = Duration::from_secs(3);

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let directory = tempfile::tempdir()?;
    println!(
        "{}; {} requests/s for {} s over {} connections",
        machine(),
        options.rate,
        options.seconds,
        options.connections
    );
    println!("\n| plan | answer | p50 | p99 | p99.9 | longest | processor | memory after, peak |");
    println!("|---|---|---|---|---|---|---|---|");
    for case in [shipped(), thirty(directory.path())?] {
        for branches in [Branches::Same, Branches::Own] {
            let place = tempfile::tempdir_in(&directory)?;
            println!("{}", measure(&options, &case, branches, place.path())?);
        }
    }
    Ok(())
}

/// The pipeline that ships, with most of its stages on.
fn shipped() -> Case {
    let query = json!({"controller": "main", "job": "shop/web", "parameters": {
        "REPOSITORY": "https://git.example.com/shop.git", "BRANCH": "main", "LANGUAGE": "go",
        "FRONTEND_DIR": "site", "SONAR_PROJECT": "shop"}});
    Case { name: "web-service", catalog: source("catalog"), query }
}

/// A pipeline of thirty stages, every third one conditional.
fn thirty(directory: &Path) -> Result<Case, Failed> {
    let catalog = directory.join("thirty-catalog");
    fs::create_dir(&catalog)?;
    let file = |name: &str, text: String| fs::write(catalog.join(name), text);
    let head = |kind: &str, name: &str| {
        format!(
            "api: pilotfish/v1\nkind: {kind}\nname: {name}\nversion: 1.0.0\ndescription: Measured.\n"
        )
    };
    file("catalog.yaml", head("catalog", "measured"))?;
    file(
        "make.yaml",
        head("stage", "make")
            + "timeout: 10m\ncontainers:\n  - name: main\n    \
        image: busybox:1.37\n    requests: {cpu: 100m, memory: 64Mi}\nsteps:\n  - {script: make}\n",
    )?;
    let mut pipeline = head("pipeline", "thirty")
        + "parameters:\n  type: object\n  properties:\n    deploy: {type: boolean, default: false, \
           description: Whether it is deployed.}\nstages:\n";
    for stage in 0..STAGES {
        let when = match stage % 3 {
            0 => "",
            1 => ", when: params.deploy",
            _ => ", when: 'changed_files.exists(f, f.startsWith(\"docs/\"))'",
        };
        pipeline.push_str(&format!("  - {{name: stage-{stage}, uses: make{when}}}\n"));
    }
    file("thirty.yaml", pipeline)?;
    file(
        "bindings.yaml",
        "api: pilotfish/v1\nkind: bindings\nrules:\n  - name: all\n    pipeline: \
        thirty\n    parameters: {deploy: DEPLOY}\n"
            .to_owned(),
    )?;
    let query = json!({"controller": "main", "job": "shop/web", "parameters": {"DEPLOY": true}});
    Ok(Case { name: "thirty stages", catalog, query })
}

/// Processor time of a process and its threads so far, in seconds.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name in parentheses: state is field 3, utime 14, stime 15.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Runs the program and gives what it printed.
fn printed(arguments: &[&str]) -> Result<String, Failed> {
    let output = Command::new(PROGRAM).args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A running service. Dropped, it is ended.
struct Service {
    child: Child,
    address: SocketAddr,
    token: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(options: &Options, catalog: &Path, place: &Path) -> Result<Service, Failed> {
    let file = |name: &str| place.join(name).to_string_lossy().into_owned();
    printed(&["keygen", &file("key.pem")])?;
    let made = printed(&["token", "bench", "--scope", "plans:create", "--controller", "main"])?;
    let (token, entry) = made.split_once('\n').ok_or("no token was printed")?;
    // All load comes with one token here; in earnest it comes with those of many controllers.
    let entry = entry.replacen('{', "{\"requests_per_second\":1000000,", 1);
    fs::write(file("tokens.yaml"), format!("tokens:\n{entry}"))?;
    let database =
        options.database.clone().unwrap_or_else(|| format!("sqlite:{}", file("state.db")));
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--catalog"])
        .arg(catalog)
        .args(["--tokens", &file("tokens.yaml"), "--signing-key", &file("key.pem")])
        .args(["--database", &database])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut log = BufReader::new(child.stderr.take().ok_or("no log")?);
    let mut said = String::new();
    let address = loop {
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            return Err(format!("the service ended: {said}").into());
        }
        let read: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(address) = read["fields"]["address"].as_str() {
            break address.parse()?;
        }
        said.push_str(&line);
    };
    // Nobody must wait for the reader of the log.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    Ok(Service { child, address, token: token.to_owned() })
}

fn measure(
    options: &Options,
    case: &Case,
    branches: Branches,
    place: &Path,
) -> Result<String, Failed> {
    let service = start(options, &case.catalog, place)?;
    let pid = service.child.id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counted = Duration::from_secs(u64::from(options.seconds));
    let cpu = cpu_seconds(pid).unwrap_or_default();
    let (mut took, bytes) =
        runtime.block_on(load(options, case, branches, &service, WARM_UP + counted))?;
    let cpu = cpu_seconds(pid).unwrap_or_default() - cpu;
    took.sort();
    let at = |of_thousand: usize| {
        let place = (took.len() * of_thousand).div_ceil(1000).clamp(1, took.len());
        format!("{:.2} ms", took[place - 1].as_secs_f64() * 1e3)
    };
    let memory = |key| memory_mib(pid, key).unwrap_or_default();
    Ok(format!(
        "| {}, {} | {:.1} KiB | {} | {} | {} | {} | {:.0} % of one core | {:.0} MiB, {:.0} MiB |",
        case.name,
        if branches == Branches::Own { "each its own" } else { "all the same" },
        bytes as f64 / 1024.0,
        at(500),
        at(990),
        at(999),
        at(1000),
        100.0 * cpu / (WARM_UP + counted).as_secs_f64(),
        memory("VmRSS"),
        memory("VmHWM"),
    ))
}

/// Sends all requests. Gives how long each of them took that counts, and the size of an answer.
async fn load(
    options: &Options,
    case: &Case,
    branches: Branches,
    service: &Service,
    whole: Duration,
) -> Result<(Vec<Duration>, usize), Failed> {
    let begin = Instant::now() + Duration::from_millis(200);
    let lanes = (0..options.connections).map(|lane| {
        let (query, token) = (case.query.clone(), service.token.clone());
        let (address, rate, lanes) = (service.address, options.rate, options.connections);
        async move {
            let mut lane_of = Lane::open(address, &token).await?;
            let mut took = Vec::new();
            let mut bytes = 0;
            let mut free_at = begin;
            for number in (lane..).step_by(lanes as usize) {
                let due = begin + Duration::from_secs(1) * number / rate;
                if due >= begin + whole {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                // The timer's lateness is ours, an earlier answer's is the service's.
                let from = if free_at <= due { Instant::now() } else { due };
                let mut query = query.clone();
                query["build"] = json!(number + 1);
                if branches == Branches::Own {
                    query["facts"] = json!({"branch": format!("feature/{number}")});
                }
                bytes = lane_of.ask(&query).await?;
                free_at = Instant::now();
                if due >= begin + WARM_UP {
                    took.push(free_at - from);
                }
            }
            Ok::<_, Failed>((took, bytes))
        }
    });
    let done = try_join_all(lanes).await?;
    let bytes = done.iter().map(|(_, bytes)| *bytes).max().unwrap_or_default();
    Ok((done.into_iter().flat_map(|(took, _)| took).collect(), bytes))
}

/// A connection, with as little HTTP as it takes.
struct Lane {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
}

impl Lane {
    async fn open(address: SocketAddr, token: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /v1/plans HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: "
        );
        Ok(Self { stream, head, buffer: Vec::with_capacity(1 << 16) })
    }

    /// Asks for a plan and waits for the whole answer. Gives its size.
    async fn ask(&mut self, query: &Value) -> Result<usize, Failed> {
        let body = query.to_string();
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the service closed a connection".into());
            }
            if whole.is_none()
                && let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                whole = Some(end + 4 + length.ok_or("no length")?.trim().parse::<usize>()?);
            }
        }
        if !self.buffer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&self.buffer).into_owned().into());
        }
        Ok(self.buffer.len())
    }
}
