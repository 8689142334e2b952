//! The stage of SonarQube with the real scanner and a real server. `cargo xtask sonarqube` fetches both.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage_world;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use stage_world::World;

/// The first password of a server, and the one that it has afterwards.
const PASSWORDS: [&str; 2] = ["admin", "Pilotfish-1"];

/// A server of this test, with its search engine.
struct Server {
    process: Child,
    url: String,
    _files: tempfile::TempDir,
}

impl Server {
    /// Unpacks and starts one, and waits until it is up.
    fn start(archive: &Path) -> Self {
        let files = tempfile::tempdir().unwrap();
        let unpacked = Command::new("jar").arg("xf").arg(archive).current_dir(&files).status();
        assert!(unpacked.unwrap().success(), "jar xf {}", archive.display());
        let home = files.path().read_dir().unwrap().next().unwrap().unwrap().path();
        let jar = home.join("lib").read_dir().unwrap().map(|entry| entry.unwrap().path());
        let jar = jar.into_iter().find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("sonar-application-")
        });
        let elastic = home.join("elasticsearch/bin/elasticsearch");
        assert!(Command::new("chmod").arg("+x").arg(elastic).status().unwrap().success());
        let port = free_port();
        let mut java = if rustix::process::geteuid().is_root() {
            // Its search engine refuses to run as root.
            let chown = Command::new("chown").arg("-R").arg("nobody").arg(files.path()).status();
            assert!(chown.unwrap().success());
            let mut java = Command::new("setpriv");
            java.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "java"]);
            java
        } else {
            Command::new("java")
        };
        java.arg("-jar").arg(jar.unwrap()).current_dir(&home).env("HOME", &home);
        java.env("SONAR_WEB_HOST", "127.0.0.1").env("SONAR_WEB_PORT", port.to_string());
        java.env("SONAR_SEARCH_PORT", "0").env("SONAR_TELEMETRY_ENABLE", "false");
        java.env("SONAR_UPDATECENTER_ACTIVATE", "false");
        java.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: its parts are ended with it.
        let process = java.process_group(0).spawn().unwrap();
        let mut server = Self { process, url: format!("http://127.0.0.1:{port}"), _files: files };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        loop {
            let said = Command::new("curl")
                .args(["-s", "-m", "5", &format!("{}/api/system/status", self.url)])
                .output()
                .unwrap();
            if String::from_utf8_lossy(&said.stdout).contains("\"UP\"") {
                return;
            }
            assert_eq!(self.process.try_wait().unwrap(), None, "SonarQube ended at once");
            assert!(begun.elapsed() < Duration::from_secs(600), "SonarQube does not come up");
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    /// Asks its API as administrator.
    fn ask(&self, password: &str, path: &str, fields: &[&str]) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "--user", &format!("admin:{password}")]);
        for field in fields {
            curl.args(["--data-urlencode", field]);
        }
        let output = curl.arg(format!("{}/api/{path}", self.url)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{path}: {said}");
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.unwrap_or_else(|| panic!("{variable} is not set; run: cargo xtask sonarqube")).into()
}

#[test]
#[ignore = "needs the files of cargo xtask sonarqube"]
fn a_scan_reaches_a_server_and_its_gate_decides() {
    let server = Server::start(&given("PILOTFISH_TEST_SONARQUBE"));
    let [first, password] = PASSWORDS;
    let change =
        ["login=admin", &format!("previousPassword={first}"), &format!("password={password}")];
    server.ask(first, "users/change_password", &change);
    let token = server.ask(password, "user_tokens/generate", &["name=pilotfish"]);
    let token = token["token"].as_str().unwrap();

    let world = World::new();
    world.write("token", token);
    world.project(&[("app/sum.py", "def sum(a, b):\n    return a + b\n")]);
    let scanner = given("PILOTFISH_TEST_SONAR_SCANNER");
    world.program(
        "sonar-scanner",
        &format!(
            "export SONAR_USER_HOME=\"$PWD/.sonar\"\nexec java -jar '{}' \"$@\"",
            scanner.display()
        ),
    );
    let with = format!("{{project_dir: app, sonar_url: '{}', sonar_project: shop}}", server.url);
    let credential = ["--credential", "sonar-token=token"];
    let run = world.stage("sonar-scan", &with, &credential);
    run.passed();
    assert!(run.log().contains("QUALITY GATE STATUS: PASSED"), "{}", run.log());
    assert!(!run.log().contains(token), "the token is not shown");
    let measured = server.ask(password, "measures/component?component=shop&metricKeys=files", &[]);
    assert_eq!(measured["component"]["measures"][0]["value"], "1", "{measured}");

    // One bug is too many for this gate.
    server.ask(password, "qualitygates/create", &["name=strict"]);
    let condition = ["gateName=strict", "metric=bugs", "op=GT", "error=0"];
    server.ask(password, "qualitygates/create_condition", &condition);
    server.ask(password, "qualitygates/select", &["gateName=strict", "projectKey=shop"]);
    world.write("workspace/app/sum.py", "def sum(a, b):\n    return a == a\n");
    let run = world.stage("sonar-scan", &with, &credential);
    run.failed();
    assert!(run.log().contains("QUALITY GATE STATUS: FAILED"), "{}", run.log());

    // A wrong token is told by the scanner, not swallowed.
    world.write("token", "squ_0000000000000000000000000000000000000000");
    let run = world.stage("sonar-scan", &with, &credential);
    run.failed();
    assert!(run.log().contains("401") || run.log().contains("Not authorized"), "{}", run.log());
}
