//! Processes in a sibling container: a real exec server beside a plain launch of the same process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pilotfish_exec::{Container, Containers, ErrorStream, Launch};
use pilotfish_process::{ErrorTarget, OutputTarget, SearchPath};
use tokio::io::AsyncReadExt as _;

use super::streams::{mib, rate, row};
use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::{Pairs, median};
use crate::system;

/// Launches of one round.
const LAUNCHES: usize = 50;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that does not outlive this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server, and has its container answer once.
async fn server(setup: &Setup, root: &Path, name: &str) -> Result<(Server, Container), Failed> {
    let mut command = Command::new(&setup.agent);
    command.args(["exec-server", "--socket"]).arg(root.join(name).join("socket"));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    std::fs::create_dir_all(root.join(name))?;
    let server = Server(command.spawn().map_err(Failed::about(setup.agent.display()))?);
    let container = Containers::below(root).ready_within(PATIENCE).get(name);
    let container = container.map_err(|error| Failed::Agent(error.to_string()))?;
    container.find(Vec::new()).await.map_err(|error| Failed::Agent(error.to_string()))?;
    Ok((server, container))
}

/// Runs a process in the container and reads all that it prints: how many bytes.
async fn in_container(container: &Container, arguments: &[&str]) -> Result<u64, Failed> {
    let launch = Launch {
        arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
        overrides: Vec::new(),
        cookie: "bench".to_owned(),
        directory: Some("/".to_owned()),
        stdin: false,
        stderr: ErrorStream::Output,
        stage: None,
        follow: false,
    };
    let started = container.launch(launch).await;
    let mut started = started.map_err(|error| Failed::Agent(error.to_string()))?;
    let bytes = drain(started.child.stdout.take()).await?;
    started.child.wait().await;
    Ok(bytes)
}

/// The same, plainly.
async fn beside(arguments: &[&str]) -> Result<u64, Failed> {
    let path = std::env::var_os("PATH");
    let search = SearchPath::new(path.as_deref());
    let command = pilotfish_process::Command::new(arguments.iter().copied(), search)
        .directory("/")
        .stdout(OutputTarget::Piped)
        .stderr(ErrorTarget::Output);
    let mut child = command.start().await.map_err(|error| Failed::Agent(error.to_string()))?;
    let bytes = drain(child.stdout.take()).await?;
    child.wait().await;
    Ok(bytes)
}

async fn drain(reader: Option<pilotfish_process::OutputReader>) -> Result<u64, Failed> {
    let mut reader = reader.ok_or_else(|| Failed::Agent("no output".to_owned()))?;
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match reader.read(&mut buffer).await? {
            0 => return Ok(bytes),
            more => bytes += more as u64,
        }
    }
}

pub async fn measure(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let root = setup.fresh("exec")?;
    let (first, container) = server(setup, &root, "maven").await?;
    // A pod has several: they share the pages of the program.
    let _second = server(setup, &root, "node").await?;
    let _third = server(setup, &root, "python").await?;
    let idle = system::memory(first.0.id())?;
    let mut latency = Pairs::default();
    let mut throughput = Pairs::default();
    let bytes = setup.stream_bytes.to_string();
    let prints = ["head", "-c", &bytes, "/dev/zero"];
    for _ in 0..setup.rounds {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..LAUNCHES {
            let start = Instant::now();
            in_container(&container, &["true"]).await?;
            ours.push(start.elapsed().as_secs_f64() * 1e3);
            let start = Instant::now();
            beside(&["true"]).await?;
            theirs.push(start.elapsed().as_secs_f64() * 1e3);
        }
        latency.ours.push(median(&ours));
        latency.theirs.push(median(&theirs));
        let start = Instant::now();
        let ours = in_container(&container, &prints).await?;
        throughput.ours.push(rate(setup.stream_bytes, start));
        let start = Instant::now();
        let theirs = beside(&prints).await?;
        throughput.theirs.push(rate(setup.stream_bytes, start));
        if (ours, theirs) != (setup.stream_bytes, setup.stream_bytes) {
            return Err(Failed::Agent(format!("{ours} and {theirs} bytes of {bytes}")));
        }
    }
    report.add(Row {
        figure: "a process in a container, start to end".to_owned(),
        ours: format!("{:.2} ms", median(&latency.ours)),
        theirs: format!("{:.2} ms, the same process started plainly", median(&latency.theirs)),
        value: latency.ratio(),
        unit: "",
        bar: Bar::None,
    });
    let figure = format!("{} of output of a process in a container", mib(setup.stream_bytes));
    report.add(row(figure, &throughput, "the same process started plainly", Bar::AtLeast(0.9)));
    let after = system::memory(first.0.id())?;
    for (figure, memory) in [("idle", idle), ("after the launches", after)] {
        report.add(Row {
            figure: format!("memory of one of three exec servers, {figure}"),
            ours: format!(
                "{:.1} MiB proportional ({:.1} resident, {:.1} anonymous)",
                system::mib(memory.proportional),
                system::mib(memory.resident),
                system::mib(memory.anonymous)
            ),
            theirs: "–".to_owned(),
            value: system::mib(memory.proportional),
            unit: " MiB",
            bar: Bar::AtMost(3.0),
        });
    }
    Ok(())
}
