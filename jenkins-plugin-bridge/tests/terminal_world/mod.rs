//! Simulated masters, a service over them, and the program that asks it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pilotfish_bridge::service::{AccessTokens, KeyRing, Scope};
use pilotfish_fleet::bridge;
use pilotfish_fleet::master::{self, Level, Options, Running, User};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pilotfish-bridge");
/// Masters: name, label, what is declared, what the user may do.
const MASTERS: [(&str, &str, &str, Level); 3] = [
    ("north", "linux", "full", Level::Full),
    ("south", "linux", "full", Level::Full),
    ("west", "mac", "trigger", Level::Read),
];

/// What a command said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub output: String,
    pub errors: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap()
    }
}

pub struct World {
    masters: Vec<Running>,
    service: Service,
    url: String,
    token: String,
    directory: TempDir,
}

/// What is ended with the world.
enum Service {
    Program(Child),
    Fleet(JoinHandle<()>),
}

impl Drop for World {
    fn drop(&mut self) {
        match &mut self.service {
            Service::Program(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Service::Fleet(task) => task.abort(),
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The files of a service, and its masters.
async fn prepare(directory: &Path, port: u16, stage_ms: (u64, u64)) -> (Vec<Running>, String) {
    let path = |name: &str| directory.join(name);
    bridge::write_catalog(&path("catalog")).unwrap();
    std::fs::write(path("key.pem"), KeyRing::make().unwrap().as_bytes()).unwrap();
    let make = |name: &str, scopes: &[Scope], controller: Option<String>| {
        AccessTokens::make(name, scopes.iter().copied().collect(), controller).unwrap()
    };
    let own = [
        Scope::MastersRead,
        Scope::JobsRead,
        Scope::JobsWrite,
        Scope::BuildsRead,
        Scope::BuildsTrigger,
    ];
    let (token, kept) = make("terminal", &own, None);
    let (mut entries, mut masters) = (vec![kept], Vec::new());
    let mut file = String::from("api: pilotfish/v1\nkind: masters\nmasters:\n");
    for (name, label, permission, level) in MASTERS {
        let (shim, kept) = make(name, &[Scope::PlansCreate], Some(name.to_owned()));
        entries.push(kept);
        std::fs::write(path(&format!("{name}.shim")), shim).unwrap();
        std::fs::write(path(&format!("{name}.token")), "t-bridge").unwrap();
        let running = master::start(Options {
            name: name.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            control: "127.0.0.1:0".parse().unwrap(),
            home: path(name),
            users: vec![User { name: "bridge".into(), token: "t-bridge".into(), level }],
            bridge: Some(format!("http://127.0.0.1:{port}/")),
            bridge_token: Some(path(&format!("{name}.shim"))),
            pods: Some(path("pods")),
            ledger: None,
            executors: 4,
            labels: vec![label.to_owned()],
            stage_ms,
            stages: 4,
            queue_ms: 0,
            queue_save_ms: 0,
            load_ms: 10_000,
            start_ms: 0,
        })
        .await
        .unwrap();
        file.push_str(&format!(
            "  {name}: {{url: 'http://{}/', user: bridge, token_file: {}, proxy: none, \
             labels: [{label}], permission: {permission}}}\n",
            running.address,
            path(&format!("{name}.token")).display()
        ));
        masters.push(running);
    }
    file.push_str("limits: {labels: {linux: 50}, any_team: 20}\n");
    std::fs::write(path("masters.yaml"), file).unwrap();
    std::fs::write(path("tokens.yaml"), json!({"tokens": entries}).to_string()).unwrap();
    std::fs::write(path("token"), token.as_bytes()).unwrap();
    (masters, token.to_string())
}

impl World {
    /// With the service as people start it.
    pub async fn of_the_program() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let (masters, token) = prepare(directory.path(), port, (20, 40)).await;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--log-format", "json"])
            .args(["--catalog", &path("catalog"), "--tokens", &path("tokens.yaml")])
            .args(["--signing-key", &path("key.pem"), "--masters", &path("masters.yaml")])
            .args(["--database", &format!("sqlite:{}", path("state.db"))])
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("\"listening\"") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let url = format!("http://127.0.0.1:{port}");
        Self { masters, service: Service::Program(child), url, token, directory }
    }

    /// With a service that knows the pods of the fleet, and waits a tenth as long.
    pub async fn of_the_fleet() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let (masters, token) = prepare(directory.path(), port, (1_000, 1_200)).await;
        let path = |name: &str| directory.path().join(name);
        let options = bridge::Options {
            listen: format!("127.0.0.1:{port}").parse().unwrap(),
            catalog: path("catalog"),
            tokens: path("tokens.yaml"),
            key: path("key.pem"),
            masters: path("masters.yaml"),
            database: format!("sqlite:{}?mode=rwc", path("state.db").display()),
            pods: path("pods"),
            clusters: None,
            agents: None,
            tls: None,
            speed: 10,
        };
        let (told, listens) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            bridge::run(options, |_| told.send(()).unwrap()).await.unwrap();
        });
        listens.await.unwrap();
        let url = format!("http://127.0.0.1:{port}");
        Self { masters, service: Service::Fleet(task), url, token, directory }
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Runs a command.
    pub async fn run(&self, arguments: &[&str]) -> Answer {
        run(&self.url, &self.token, arguments).await
    }

    pub async fn run_with_token(&self, token: &str, arguments: &[&str]) -> Answer {
        run(&self.url, token, arguments).await
    }

    /// Runs a command until its answer is good.
    pub async fn until(&self, arguments: &[&str], good: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..400 {
            let answer = self.run(arguments).await;
            if good(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{arguments:?} never answers as it should: {:?}", self.run(arguments).await);
    }

    /// Nobody gets an answer of a master any more, and its builds reach nobody.
    pub fn lose(&self, name: &str) {
        let at = MASTERS.iter().position(|(one, ..)| *one == name).unwrap();
        let mut master = self.masters[at].shared.lock();
        master.faults.unavailable = true;
        master.faults.bridge_unreachable = true;
    }

    /// What was written of the log that is followed.
    pub fn followed(&self) -> String {
        std::fs::read_to_string(self.path("followed")).unwrap_or_default()
    }

    /// Waits until a part of the log was written.
    pub async fn until_followed(&self, part: &str) {
        while !self.followed().contains(part) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Follows a log over connections each of which breaks after some bytes.
    pub fn follow_through_a_bad_line(&self, id: &str) -> JoinHandle<Answer> {
        let (token, id, target) = (self.token.clone(), id.to_owned(), self.url.clone());
        let output = std::fs::File::create(self.path("followed")).unwrap();
        tokio::spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let line = tokio::spawn(bad_line(listener, target["http://".len()..].to_owned()));
            let mut command = command(&url, &token, &["logs", "--follow", &id]);
            command.stdout(output);
            let answer = finish(command).await;
            line.abort();
            answer
        })
    }
}

/// Every second connection breaks within its first answer, the others after some of them.
async fn bad_line(listener: TcpListener, target: String) {
    for number in 0_usize.. {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(&target).await.unwrap();
        let mut left = if number.is_multiple_of(2) { 420 } else { 6_000 };
        tokio::spawn(async move {
            let (mut asked, mut answers) = near.into_split();
            let (mut back, mut forth) = far.into_split();
            let asking = async { tokio::io::copy(&mut asked, &mut forth).await.is_ok() };
            let answering = async {
                let mut buffer = [0; 256];
                while left > 0 {
                    let Ok(count @ 1..) = back.read(&mut buffer).await else { return };
                    let count = count.min(left);
                    left -= count;
                    if answers.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            };
            // Both halves are dropped with the first one that ends.
            tokio::select! { _ = asking => {} () = answering => {} }
        });
    }
}

async fn run(url: &str, token: &str, arguments: &[&str]) -> Answer {
    finish(command(url, token, arguments)).await
}

fn command(url: &str, token: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env("PILOTFISH_URL", url)
        .env("PILOTFISH_TOKEN", token)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn finish(mut command: Command) -> Answer {
    let waiting = move || command.spawn().and_then(Child::wait_with_output).unwrap();
    let output = tokio::task::spawn_blocking(waiting).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Answer {
        code: output.status.code().unwrap(),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}
