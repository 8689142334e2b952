//! `inspect` of a large controller, played by a server that answers as slowly as a busy one: the jobs
//! are the recorded one under other names, in a hundred folders, every tenth with a parameter whose
//! details only `config.xml` has.
//!
//! `cargo bench -p pilotfish-bridge --bench inspect -- --jobs 10000`
#![expect(clippy::print_stdout, reason = "a command line tool")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use support::{Failed, PROGRAM, machine, memory_mib, source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Measures `inspect`
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Jobs of the controller
    #[arg(long, default_value_t = 10_000)]
    jobs: usize,
    /// Milliseconds that the controller takes for a page of jobs, or for the names of a folder
    #[arg(long, default_value_t = 250)]
    page_ms: u64,
    /// Milliseconds that it takes for a config.xml
    #[arg(long, default_value_t = 50)]
    config_ms: u64,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Folders of the controller.
const FOLDERS: usize = 100;

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let controller = Arc::new(Controller::new(&options)?);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    runtime.spawn(Arc::clone(&controller).listen(listener));
    println!(
        "{}; {} jobs in {FOLDERS} folders; {} ms for a page, {} ms for a config.xml",
        machine(),
        options.jobs,
        options.page_ms,
        options.config_ms
    );
    let cache = tempfile::tempdir()?;
    println!(
        "\n| reading | time | requests | most at once | memory, peak |\n|---|---|---|---|---|"
    );
    for name in ["first", "second"] {
        let before = controller.requests.load(SeqCst);
        let (took, peak, found) = read(&url, cache.path())?;
        if found != options.jobs {
            return Err(format!("{found} jobs were read").into());
        }
        let requests = controller.requests.load(SeqCst) - before;
        let most = controller.most.load(SeqCst);
        println!("| {name} | {:.1} s | {requests} | {most} | {peak:.0} MiB |", took.as_secs_f64());
    }
    Ok(())
}

/// Reads all jobs. Gives how long that took, the most memory, and how many jobs came.
fn read(url: &str, cache: &std::path::Path) -> Result<(Duration, f64, usize), Failed> {
    let begin = Instant::now();
    let mut child = Command::new(PROGRAM)
        .args(["inspect", url, "--format", "json", "--proxy", "none", "--cache-dir"])
        .arg(cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let (pid, stdout) = (child.id(), child.stdout.take().ok_or("no output")?);
    let output = std::thread::spawn(move || std::io::read_to_string(stdout));
    let mut peak = 0.0_f64;
    let status = loop {
        peak = peak.max(memory_mib(pid, "VmHWM").unwrap_or_default());
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let took = begin.elapsed();
    let text = output.join().map_err(|_| "the output could not be read")??;
    if !status.success() {
        return Err(format!("inspect failed: {status}").into());
    }
    let read: Value = serde_json::from_str(&text)?;
    Ok((took, peak, read["jobs"].as_array().map_or(0, Vec::len)))
}

/// The controller that is played.
struct Controller {
    options: Options,
    /// Jobs by folder.
    folders: BTreeMap<String, Vec<Value>>,
    config: String,
    requests: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// The body of a recorded answer.
fn recorded(name: &str) -> Result<String, Failed> {
    let file = source("../integration/recordings/rest").join(name);
    let read: Value = serde_json::from_slice(&fs::read(file)?)?;
    Ok(read["response"]["body"].as_str().ok_or("no body")?.to_owned())
}

impl Controller {
    fn new(options: &Options) -> Result<Self, Failed> {
        let job: Value = serde_json::from_str(&recorded("18-job-parameters.json")?)?;
        let all = job["property"][0]["parameterDefinitions"].as_array().ok_or("no parameters")?;
        let of = |wanted: &[&str]| -> Value {
            all.iter()
                .filter(|one| wanted.iter().any(|name| one["name"] == *name))
                .cloned()
                .collect()
        };
        // Without the password: such a job's file is not asked for at all.
        let (plain, detailed) =
            (of(&["BRANCH", "RUN_SONAR", "ENVIRONMENT"]), of(&["BRANCH", "CRED"]));
        let mut folders: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for at in 0..options.jobs {
            let (folder, mut one) = (format!("team-{}", at % FOLDERS), job.clone());
            one["name"] = json!(format!("job-{at}"));
            one["fullName"] = json!(format!("{folder}/job-{at}"));
            one["property"][0]["parameterDefinitions"] =
                if at % 10 == 0 { detailed.clone() } else { plain.clone() };
            folders.entry(folder).or_default().push(one);
        }
        Ok(Self {
            options: options.clone(),
            folders,
            config: recorded("16-job-config-xml.json")?,
            requests: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    async fn listen(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let controller = Arc::clone(&self);
            tokio::spawn(async move {
                // A client that has what it wanted goes away.
                let _ = controller.serve(stream).await;
            });
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        loop {
            head.clear();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            self.requests.fetch_add(1, SeqCst);
            self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
            let text = String::from_utf8_lossy(&head).into_owned();
            let target = text.split(' ').nth(1).unwrap_or_default();
            let (kind, wait, body) = self.answer(target);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            self.now.fetch_sub(1, SeqCst);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nX-Jenkins: 2.568.2\r\nContent-Type: {kind}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    fn answer(&self, target: &str) -> (&'static str, u64, String) {
        let json = "application/json;charset=utf-8";
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.ends_with("/config.xml") {
            return ("application/xml", self.options.config_ms, self.config.clone());
        }
        let folder = path.strip_prefix("/job/").and_then(|rest| rest.split('/').next());
        let class = "com.cloudbees.hudson.plugins.folder.Folder";
        let body = match folder.map(|name| (name, self.folders.get(name))) {
            Some((_, Some(jobs))) => {
                // The last `{from,to}`, percent-encoded, is what asks for a page.
                let range = query.rsplit_once("%7B").and_then(|(_, rest)| {
                    let (from, to) = rest.split_once("%7D")?.0.split_once("%2C")?;
                    Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
                });
                let jobs: Vec<Value> = match range {
                    Some((from, to)) => {
                        let to = to.min(jobs.len());
                        jobs[from.min(to)..to].to_vec()
                    }
                    None => jobs
                        .iter()
                        .map(|job| json!({"_class": job["_class"], "name": job["name"]}))
                        .collect(),
                };
                json!({"_class": class, "jobs": jobs})
            }
            Some((name, None)) => json!({"_class": class, "name": name, "jobs": []}),
            None => {
                let jobs: Vec<Value> = self
                    .folders
                    .keys()
                    .map(
                        |name| json!({"_class": class, "name": name, "fullName": name, "jobs": []}),
                    )
                    .collect();
                json!({"_class": "hudson.model.Hudson", "mode": "NORMAL", "jobs": jobs})
            }
        };
        (json, self.options.page_ms, body.to_string())
    }
}
