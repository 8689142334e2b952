//! Plans that one command executes in pods, with nothing but the cluster.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pilotfish_kubernetes::Cluster;
use serde_json::{Value, json};

use crate::support::{Namespace, agent_image, bridge_image, cluster, given, repository};

/// A place to run in: a namespace, and a directory with a profile and secrets.
struct Place<'a> {
    namespace: Namespace<'a>,
    directory: tempfile::TempDir,
    runner: String,
}

impl<'a> Place<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        Self::with(cluster, agent_image(cluster))
    }

    fn with(cluster: &'a Cluster, agent: String) -> Self {
        let namespace = Namespace::enforcing(cluster, "restricted");
        let directory = tempfile::tempdir().unwrap();
        let profile = json!({
            "api": "pilotfish/v1", "kind": "pod-profile", "name": "tests",
            "agent": {"image": agent, "requests": {"cpu": "20m", "memory": "32Mi"}},
            "users": [
                {"image": "localhost/tools:*", "user": 2000},
                {"image": "localhost/checks:*", "user": 3000},
            ],
        });
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("profile.yaml", &profile.to_string());
        write("word", "swordfish\n");
        write("paper", "twelve bytes");
        Self { namespace, directory, runner: bridge_image(cluster) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, way: &str) -> Command {
        let mut bridge = Command::new(given("PILOTFISH_TEST_BRIDGE"));
        bridge.args(["run", "--pipeline", "whole", "--plain", "--cluster", "--param"]);
        bridge.arg(format!("way={way}")).args(["--namespace", &self.namespace.name]);
        bridge.arg("--catalog").arg(repository("integration/kubernetes/catalog"));
        bridge.arg("--profile").arg(self.path("profile.yaml"));
        bridge.args(["--runner-image", &self.runner]).arg("--output").arg(self.path("output"));
        for id in ["word", "paper"] {
            bridge.arg("--credential").arg(format!("{id}={}", self.path(id).display()));
        }
        bridge.env("KUBECONFIG", self.namespace.cluster.state().kubeconfig());
        bridge.stdout(Stdio::piped()).stderr(Stdio::piped());
        bridge
    }

    /// Runs to the end; the exit code and what was said.
    fn run(&self, command: &mut Command) -> (Option<i32>, String) {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), format!("{said}{}", String::from_utf8_lossy(&output.stdout)))
    }

    fn output(&self, name: &str) -> String {
        fs::read_to_string(self.path("output").join(name)).unwrap_or_default()
    }

    fn result(&self) -> Value {
        serde_json::from_str(&self.output("result.json")).unwrap()
    }

    /// How a stage ended.
    fn outcome(&self, stage: &str) -> String {
        let result = self.result();
        let all = result["stages"].as_array().unwrap();
        let one = all.iter().find(|one| one["id"] == stage).unwrap();
        one["outcome"].as_str().unwrap().to_owned()
    }

    /// Waits until nothing is left in the namespace of what a run makes.
    fn is_clean(&self) {
        let begin = Instant::now();
        loop {
            let selector = ["--selector", "app.kubernetes.io/name=pilotfish-build"];
            let kinds = "pods,secrets,poddisruptionbudgets";
            let arguments = [&["get", kinds, "--output", "name"][..], &selector].concat();
            let left = self.namespace.kubectl(&arguments).unwrap();
            if left.trim().is_empty() {
                return;
            }
            assert!(begin.elapsed().as_secs() < 60, "left: {left}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn one_command_creates_the_pod_of_a_plan_and_its_stages_run_in_their_containers() {
    let cluster = cluster();
    let place = Place::new(&cluster);
    let (code, said) = place.run(&mut place.command("well"));
    assert_eq!(code, Some(0), "{said}");
    for stage in ["write", "append", "check", "finish", "late", "clean"] {
        assert_eq!(place.outcome(stage), "success", "{stage}: {said}");
    }
    for stage in ["mend", "give-up"] {
        assert_eq!(place.outcome(stage), "skipped", "{stage}: {said}");
    }
    let append = place.output("logs/append.log");
    assert!(append.contains("text $HOME `id` $$ \", none ."), "values are data: {append}");
    assert!(append.contains("paper of 12 bytes"), "{append}");
    assert!(append.contains("the word is ****"), "{append}");
    assert!(place.output("logs/check.log").contains("user 3000"));
    assert!(place.output("logs/check.log").contains("heard nothing."));
    let late = place.output("logs/late.log");
    assert!(late.contains("heard $HOME `id` $$ \"."), "outputs of another user are data: {late}");
    assert!(place.output("logs/clean.log").contains("cleaned"), "without a container: {said}");
    let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(place.output("artifacts/write/out/numbers.txt"), numbers);
    assert!(place.output("junit.xml").contains("adds"));
    assert!(place.output("report.html").contains("numbers.txt"));
    assert!(!said.contains("swordfish") && !place.output("report.html").contains("swordfish"));
    place.is_clean();
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn a_stage_that_fails_in_its_container_fails_the_command() {
    let cluster = cluster();
    let place = Place::new(&cluster);
    let (code, said) = place.run(place.command("badly").arg("--keep-pod"));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(place.outcome("finish"), "failure");
    assert!(said.contains("exit code 7") || said.contains("exit status 7"), "{said}");
    assert_eq!(place.outcome("late"), "skipped");
    assert!(place.output("logs/clean.log").contains("cleaned"), "{said}");
    let pods = place.namespace.kubectl(&["get", "pods", "--output", "name"]).unwrap();
    assert_eq!(pods.lines().count(), 1, "it was to be kept: {pods}");
}

/// Waits until a run says something; what it said until then.
fn until(child: &mut Child, word: &str) -> (String, thread::JoinHandle<String>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(word) {
        let before = said.len();
        lines.read_line(&mut said).unwrap();
        assert!(said.len() > before, "it ended: {said}");
    }
    let rest = thread::spawn(move || {
        let mut rest = String::new();
        let _ = lines.read_to_string(&mut rest);
        rest
    });
    (said, rest)
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn a_run_that_is_stopped_does_what_comes_after_a_stop_and_leaves_no_pod() {
    let cluster = cluster();
    let place = Place::new(&cluster);
    let mut child = place.command("slowly").spawn().unwrap();
    let (_, rest) = until(&mut child, "| waiting");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let code = child.wait().unwrap().code();
    let said = rest.join().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(place.result()["outcome"], "aborted", "{said}");
    assert_eq!(place.outcome("finish"), "aborted", "{said}");
    assert!(place.output("logs/give-up.log").contains("gave up"), "{said}");
    assert!(place.output("logs/clean.log").contains("cleaned"), "{said}");
    place.is_clean();
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn a_pod_that_cannot_start_ends_the_command_with_the_words_of_the_cluster() {
    let cluster = cluster();
    let place = Place::with(&cluster, "localhost/no-such-agent:1".to_owned());
    let (code, said) = place.run(&mut place.command("well"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the pod did not start: ") && said.contains("no-such-agent"), "{said}");
    assert!(place.output("report.html").contains("no-such-agent"));
    place.is_clean();
}

/// Passes connections on to the API server, each for a second at most, and counts those that it
/// cut.
fn cutting(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(other) = TcpStream::connect(&server) else { continue };
            for (from, to) in [(&stream, &other), (&other, &stream)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut from, &mut to));
            }
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(1));
                let _ = (stream.shutdown(Shutdown::Both), other.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn no_line_is_lost_or_doubled_where_connections_break() {
    let cluster = cluster();
    let place = Place::new(&cluster);
    let config = fs::read_to_string(cluster.state().kubeconfig()).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap();
    let through = cutting(server.trim_start_matches("https://").to_owned());
    let config = config.to_string().replace(server, &through);
    fs::write(place.path("kubeconfig"), config).unwrap();
    let mut command = place.command("well");
    let (code, said) = place.run(command.env("KUBECONFIG", place.path("kubeconfig")));
    assert_eq!(code, Some(0), "{said}");
    let log = place.output("logs/finish.log");
    let numbers: Vec<&str> = log.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    let expected: Vec<String> = (1..=3000).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected, "{said}");
    assert!(!said.contains("never came"), "{said}");
}
