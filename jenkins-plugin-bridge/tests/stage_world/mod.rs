//! A place in which one stage of the shipped catalog runs by the program itself.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::Value;

/// Whether missing tools are failures.
fn required() -> bool {
    std::env::var_os("PILOTFISH_TEST_TOOLS").is_some_and(|value| value == "required")
}

fn skip(stage: &str, why: &str) {
    assert!(!required(), "{stage}: {why}");
    // Not `eprintln!`, which the test harness swallows: what was not tried is always said.
    let _ = writeln!(std::io::stderr(), "SKIPPED {stage}: {why}");
}

/// Whether a stage cannot be tried here; says so.
pub fn missing(stage: &str, tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are not in the path of every user.
    let places = || std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let there = |tool: &str| places().any(|directory| directory.join(tool).is_file());
    let absent: Vec<&str> = tools.iter().copied().filter(|tool| !there(tool)).collect();
    if !absent.is_empty() {
        skip(stage, &format!("{} is not installed here", absent.join(" and ")));
    }
    !absent.is_empty()
}

/// Where a program is that is installed.
pub fn program(name: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|one| one.join(name)).find(|one| one.is_file());
    found.unwrap().display().to_string()
}

/// Whether tests may fetch packages from public registries, which takes a minute or more; says so.
pub fn download(stage: &str) -> bool {
    let may = required() || std::env::var_os("PILOTFISH_TEST_DOWNLOADS").is_some();
    if !may {
        skip(stage, "it fetches packages: set PILOTFISH_TEST_DOWNLOADS=1 to try it");
    }
    may
}

/// A directory with a repository, a workspace, stand-ins for programs, and what came out.
pub struct World {
    directory: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["programs", "repository", "workspace"] {
            std::fs::create_dir(world.path(name)).unwrap();
        }
        world
    }

    /// The same, with an empty workspace.
    pub fn afresh(self) -> Self {
        std::fs::remove_dir_all(self.path("workspace")).unwrap();
        std::fs::create_dir(self.path("workspace")).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        // The steps see the path without links in it.
        self.directory.path().canonicalize().unwrap().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Files of the workspace, for a stage that comes after the checkout.
    pub fn project(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.write(&format!("workspace/{name}"), text);
        }
    }

    /// Puts a program in front of those of the machine. `$RECORD` is a file for what it is told.
    pub fn program(&self, name: &str, script: &str) {
        let record = self.path("record");
        let text = format!("#!/bin/sh\nset -eu\nRECORD='{}'\n{script}\n", record.display());
        self.write(&format!("programs/{name}"), &text);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(&format!("programs/{name}")), executable).unwrap();
    }

    /// Lets a cache of the run be the one of this machine, so that nothing is compiled anew.
    pub fn use_cache(&self, name: &str, program: &str, question: &[&str]) {
        let answer = Command::new(program).args(question).output().unwrap();
        let target = String::from_utf8(answer.stdout).unwrap();
        let link = self.path("output/caches").join(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::fs::create_dir_all(target.trim()).unwrap();
        std::os::unix::fs::symlink(target.trim(), link).unwrap();
    }

    pub fn git(&self, arguments: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(["-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(self.path("repository"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Commits files to the repository.
    pub fn commit(&self, files: &[(&str, &str)]) {
        self.git(&["init", "--quiet", "."]);
        for (name, text) in files {
            self.write(&format!("repository/{name}"), text);
        }
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", "a commit"]);
    }

    /// Runs one stage in earnest, with these parameters in YAML.
    pub fn stage(&self, stage: &str, with: &str, more: &[&str]) -> Run<'_> {
        let mut all = vec!["--with-effects"];
        all.extend(more);
        self.run(stage, with, &all)
    }

    /// Runs what a stage does where nothing outside is touched.
    pub fn rehearsal(&self, stage: &str, with: &str) -> Run<'_> {
        self.run(stage, with, &[])
    }

    fn run(&self, stage: &str, with: &str, more: &[&str]) -> Run<'_> {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog/stages");
        let template = std::fs::read_to_string(shipped.join(format!("{stage}.yaml"))).unwrap();
        // A second try would only make a failure slow.
        let template =
            template.replace("attempts: 3", "attempts: 2").replace("delay: 5s", "delay: 1s");
        self.write(
            "catalog/stage.yaml",
            &template.replace("delay: 30s", "delay: 1s").replace("delay: 20s", "delay: 1s"),
        );
        self.write(
            "catalog/catalog.yaml",
            "api: pilotfish/v1\nkind: catalog\nname: c\nversion: 1.0.0\ndescription: d\n",
        );
        self.write(
            "catalog/pipeline.yaml",
            &format!(
                "api: pilotfish/v1\nkind: pipeline\nname: only\nversion: 1.0.0\ndescription: d\nstages:\n  - name: it\n    uses: {stage}\n    with: {with}\n"
            ),
        );
        let mut path = vec![self.path("programs")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path: OsString = std::env::join_paths(path).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_pilotfish-bridge"))
            .args(["run", "--catalog", "catalog", "--pipeline", "only", "--runtime", "local"])
            .args(["--workspace", "workspace", "--output", "output"])
            .args(more)
            .env("PATH", path)
            .current_dir(self.path(""))
            .output()
            .unwrap();
        Run { world: self, output }
    }

    /// A server that answers every request with success.
    pub fn server(&self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !is_whole(&request) {
                let length = connection.read(&mut piece).unwrap();
                if length == 0 {
                    break;
                }
                request.extend_from_slice(&piece[..length]);
            }
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            connection.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        Server { address, thread }
    }
}

/// Whether a request has its head and as many bytes as it says.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|text| text.trim().parse().ok()).unwrap_or(0) <= body.len()
}

/// A server on this machine.
pub struct Server {
    address: String,
    thread: JoinHandle<String>,
}

impl Server {
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The request that it got.
    pub fn request(self) -> String {
        self.thread.join().unwrap()
    }
}

/// A run that is over.
pub struct Run<'w> {
    world: &'w World,
    output: Output,
}

impl Run<'_> {
    pub fn log(&self) -> String {
        let path = self.world.path("output/logs/it.log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn ended(&self, code: i32) {
        let said = String::from_utf8_lossy(&self.output.stderr);
        assert_eq!(self.output.status.code(), Some(code), "{said}\n{}", self.log());
    }

    pub fn passed(&self) {
        self.ended(0);
    }

    pub fn failed(&self) {
        self.ended(1);
    }

    /// How many tests there were and how many of them failed.
    pub fn tests(&self) -> (u64, u64) {
        let result: Value = serde_json::from_str(&self.world.read("output/result.json")).unwrap();
        let count = |name: &str| result["tests"][name].as_u64().unwrap();
        (count("total"), count("failed"))
    }

    /// What the stage gave to later ones.
    pub fn outputs(&self) -> Value {
        let result: Value = serde_json::from_str(&self.world.read("output/result.json")).unwrap();
        result["stages"][0]["outputs"].clone()
    }

    pub fn changed_files(&self) -> Vec<String> {
        self.world.read("output/facts/changed-files").lines().map(str::to_owned).collect()
    }
}
