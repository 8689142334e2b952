//! The processes of a campaign.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use pilotfish_bridge::service::{AccessTokens, KeyRing, Scope};

use super::Options;
use crate::error::FleetError;

/// What all processes share.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub options: Options,
    /// The ledger of the fleet.
    pub ledger: PathBuf,
    /// Addresses of the masters and of their control ports.
    pub ports: Vec<(u16, u16)>,
    /// Port of the bridge; with several replicas, that of the balancer in front of them.
    pub bridge: u16,
    /// Port of each replica.
    pub replicas: Vec<u16>,
    /// Token of whoever asks for builds.
    pub token: String,
}

fn other(error: impl std::fmt::Display) -> FleetError {
    FleetError::Other(error.to_string())
}

fn write(path: &std::path::Path, text: &str) -> Result<(), FleetError> {
    std::fs::write(path, text).map_err(FleetError::io(format!("write {}", path.display())))
}

/// Ports that are free now. A process that is started again takes its own once more.
fn ports(count: usize) -> Result<Vec<u16>, FleetError> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .map_err(FleetError::io("find free ports"))?;
    let port = |one: &TcpListener| one.local_addr().map(|address| address.port());
    listeners.iter().map(port).collect::<Result<_, _>>().map_err(FleetError::io("find free ports"))
}

impl Setup {
    pub fn make(options: &Options) -> Result<Self, FleetError> {
        let directory = &options.directory;
        super::fresh(directory)?;
        let count = usize::try_from(options.masters).map_err(other)?;
        let replicas = usize::try_from(options.bridges).map_err(other)?;
        let all = ports(count * 2 + 1 + replicas)?;
        let bridge = all[count * 2];
        let replicas = if replicas == 1 { vec![bridge] } else { all[count * 2 + 1..].to_vec() };
        let ports: Vec<(u16, u16)> = (0..count).map(|at| (all[at * 2], all[at * 2 + 1])).collect();
        write(&directory.join("master-token"), "t-bridge\n")?;
        let pem = KeyRing::make().map_err(other)?;
        write(&directory.join("key.pem"), &pem)?;
        let make = |name: &str, scopes: &[Scope], controller: Option<String>| {
            let scopes = scopes.iter().copied().collect();
            AccessTokens::make(name, scopes, controller).map_err(other)
        };
        let own = [
            Scope::BuildsTrigger,
            Scope::BuildsRead,
            Scope::JobsWrite,
            Scope::JobsRead,
            Scope::MastersRead,
            Scope::MetricsRead,
        ];
        let (token, kept) = make("campaign", &own, None)?;
        let mut entries = vec![kept];
        let mut masters = String::from("api: pilotfish/v1\nkind: masters\nmasters:\n");
        for (index, (port, _)) in ports.iter().enumerate() {
            let name = format!("m{index}");
            let (token, kept) = make(&name, &[Scope::PlansCreate], Some(name.clone()))?;
            write(&directory.join(format!("{name}-token")), &token)?;
            entries.push(kept);
            // Every label is one of two masters or more.
            let label = if index % 2 == 0 { "even" } else { "odd" };
            masters.push_str(&format!(
                "  {name}: {{url: 'http://127.0.0.1:{port}/', user: bridge, token_file: {}, proxy: none, \
                 labels: [linux, {label}], capacity: 30}}\n",
                directory.join("master-token").display()
            ));
        }
        write(&directory.join("masters.yaml"), &masters)?;
        if options.agent.is_some() {
            let text = format!(
                "api: pilotfish/v1\nkind: agents\nowner: campaign\nbridge: 'http://127.0.0.1:{}'\npools:\n  \
                 pods: {{labels: [{}], profile: none, most: 10, warm: {{min: 2, max: 4, follow: 5s}}, \
                 start_within: 20s, unused_for: 3s}}\n",
                all[count * 2],
                super::agents::LABEL
            );
            write(&directory.join("agents.yaml"), &text)?;
        }
        let entries = serde_json::json!({"tokens": entries});
        write(&directory.join("tokens.yaml"), &entries.to_string())?;
        Ok(Self {
            ledger: directory.join("ledger.jsonl"),
            options: options.clone(),
            ports,
            bridge,
            replicas,
            token,
        })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.bridge)
    }

    /// URL of the database.
    pub fn database(&self) -> String {
        let own = || {
            let file = self.options.directory.join("bridge.db");
            format!("sqlite:{}?mode=rwc", file.display())
        };
        self.options.database.clone().unwrap_or_else(own)
    }

    pub fn database_bytes(&self) -> u64 {
        let size = |name: &str| {
            std::fs::metadata(self.options.directory.join(name)).map_or(0, |one| one.len())
        };
        size("bridge.db") + size("bridge.db-wal")
    }

    fn command(&self, name: &str) -> Result<Command, FleetError> {
        let log = self.options.directory.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(FleetError::io(format!("open {}", log.display())))?;
        let mut command = Command::new(&self.options.program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        Ok(command)
    }
}

/// Starts a process and waits until it says that it listens.
fn spawn(mut command: Command, name: &str) -> Result<Child, FleetError> {
    let mut child = command.spawn().map_err(FleetError::io(format!("start {name}")))?;
    let Some(output) = child.stdout.take() else {
        return Err(FleetError::Other(format!("{name} has no output")));
    };
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line);
    match read {
        Ok(length) if length > 0 => Ok(child),
        _ => {
            let _ = child.kill();
            let _ = child.wait();
            Err(FleetError::Other(format!("{name} did not start; see its log")))
        }
    }
}

/// A process that is ended with its value.
#[derive(Debug)]
struct Killed(Option<Child>);

impl Killed {
    fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.0.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A master.
#[derive(Debug)]
pub(super) struct MasterProcess {
    pub name: String,
    pub control: String,
    index: u32,
    child: Killed,
}

impl MasterProcess {
    pub fn start(setup: &Setup, index: u32) -> Result<Self, FleetError> {
        let name = format!("m{index}");
        let at = usize::try_from(index).map_err(other)?;
        let (port, control) = setup.ports[at];
        let mut master = Self {
            control: format!("http://127.0.0.1:{control}/"),
            child: Killed(None),
            name,
            index,
        };
        master.child = Killed(Some(spawn(master.command(setup, port, control)?, &master.name)?));
        Ok(master)
    }

    fn command(&self, setup: &Setup, port: u16, control: u16) -> Result<Command, FleetError> {
        let directory = &setup.options.directory;
        let mut command = setup.command(&self.name)?;
        command
            .args(["master", "--name", &self.name, "--executors", "12", "--labels", "linux"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--control", &format!("127.0.0.1:{control}")])
            .arg("--home")
            .arg(directory.join(&self.name))
            .arg("--user")
            .arg(format!("bridge:full:{}", directory.join("master-token").display()))
            .args(["--bridge", &setup.url()])
            .arg("--bridge-token")
            .arg(directory.join(format!("{}-token", self.name)))
            .arg("--pods")
            .arg(directory.join("pods"))
            .arg("--ledger")
            .arg(&setup.ledger)
            .args(["--start-ms", "300"]);
        // Many builds on agents are shorter than the time between two looks at their nodes.
        let (least, most) =
            if setup.options.agent.is_some() { ("1", "200") } else { ("20", "150") };
        command.args(["--stage-least-ms", least, "--stage-most-ms", most]);
        let load_ms = 10_000 / setup.options.speed.max(1);
        command.args(["--load-ms", &load_ms.to_string()]);
        Ok(command)
    }

    pub fn kill(&mut self) {
        self.child.kill();
    }

    pub fn restart(&mut self, setup: &Setup) -> Result<(), FleetError> {
        if self.child.0.is_none() {
            *self = Self::start(setup, self.index)?;
        }
        Ok(())
    }

    pub fn pause(&self) {
        self.child.signal(rustix::process::Signal::STOP);
    }

    pub fn go_on(&self) {
        self.child.signal(rustix::process::Signal::CONT);
    }
}

/// A replica of the bridge.
#[derive(Debug)]
pub(super) struct Bridge {
    child: Killed,
    index: usize,
}

impl Bridge {
    pub fn start(setup: &Setup, index: usize) -> Result<Self, FleetError> {
        let directory = &setup.options.directory;
        let name = format!("bridge-{index}");
        let mut command = setup.command(&name)?;
        command
            .args(["bridge", "--listen", &format!("127.0.0.1:{}", setup.replicas[index])])
            .args(["--speed", &setup.options.speed.to_string()])
            .args(["--database", &setup.database()]);
        for (option, file) in [
            ("--catalog", "catalog"),
            ("--tokens", "tokens.yaml"),
            ("--key", "key.pem"),
            ("--masters", "masters.yaml"),
            ("--pods", "pods"),
        ] {
            command.arg(option).arg(directory.join(file));
        }
        if let Some(agent) = &setup.options.agent {
            command.arg("--agents").arg(directory.join("agents.yaml")).arg("--agent").arg(agent);
        }
        Ok(Self { child: Killed(Some(spawn(command, &name)?)), index })
    }

    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// The id of its process.
    pub fn id(&self) -> Option<u32> {
        self.child.0.as_ref().map(Child::id)
    }

    /// Whether it is the one that holds a lease.
    pub fn holds(&self, holder: &str) -> bool {
        self.id().is_some_and(|id| holder == crate::bridge::holder(id))
    }

    pub fn restart(&mut self, setup: &Setup) -> Result<(), FleetError> {
        if self.child.0.is_none() {
            *self = Self::start(setup, self.index)?;
        }
        Ok(())
    }
}
