//! Stages of the shipped catalog that need a server, tried on real ones of this machine: an SSH server and
//! a registry, each for one test and on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage_world;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stage_world::{World, missing};

/// A server that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server and waits until it takes connections.
fn start(port: u16, program: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert_eq!(running.0.try_wait().unwrap(), None, "{program} ended at once");
        assert!(begun.elapsed() < Duration::from_secs(60), "{program} takes no connections");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[test]
fn deploy_rsync_to_an_ssh_server() {
    if missing("deploy-rsync to a server", &["rsync", "ssh", "ssh-keygen", "sshd"]) {
        return;
    }
    let world = World::new();
    world.project(&[("site/index.html", "<p>"), ("site/a b/'c'.txt", "1"), ("site/.git/x", "x")]);
    std::fs::create_dir(world.path("server")).unwrap();
    for name in ["host", "deploy", "stranger"] {
        let file = world.path(name);
        output("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()]);
    }
    let user = output("id", &["-un"]);
    let port = free_port();
    let of = |name: &str| world.path(name).display().to_string();
    world.write(
        "sshd_config",
        &format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            of("host"),
            of("deploy.pub")
        ),
    );
    if user == "root" {
        // Where Debian's server of a superuser does its work without rights.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let sshd = output("sh", &["-c", "PATH=$PATH:/usr/sbin:/sbin; command -v sshd"]);
    let _server = start(port, &sshd, &["-D", "-f", &of("sshd_config")]);
    // The real client, with the port of this server and without the user's own files.
    world.program(
        "ssh",
        &format!(
            "exec /usr/bin/ssh -F none -p {port} -o UserKnownHostsFile='{}' \"$@\"",
            of("known_hosts")
        ),
    );
    let with = format!(
        "{{deploy_hosts: [localhost], deploy_path: '{}', deploy_user: '{user}', deploy_source: site}}",
        of("server")
    );
    let run = world.stage("deploy-rsync", &with, &["--credential", "deploy-key=deploy"]);
    run.passed();
    assert_eq!(world.read("server/index.html"), "<p>");
    assert_eq!(world.read("server/a b/'c'.txt"), "1");
    assert!(!world.path("server/.git").exists());
    assert!(world.read("known_hosts").contains("ssh-ed25519"));
    let mode = std::fs::metadata(world.path("deploy")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the key stays the user's own");

    world.write("workspace/site/index.html", "<b>");
    let run = world.stage("deploy-rsync", &with, &["--credential", "deploy-key=stranger"]);
    run.failed();
    assert!(run.log().contains("Permission denied"), "{}", run.log());
    assert_eq!(world.read("server/index.html"), "<p>");
}

/// The body of an answer of a server on this machine.
fn get(port: u16, path: &str, accept: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head, answer[end + 4..].to_vec())
}

#[test]
fn image_build_by_buildah_reaches_a_registry() {
    if missing("image-build by buildah", &["buildah", "docker-registry"]) {
        return;
    }
    let world = World::new();
    world.project(&[
        ("app/Dockerfile", "FROM scratch\nCOPY hello.txt /hello.txt\nLABEL of=test\n"),
        ("app/hello.txt", "hello\n"),
    ]);
    let port = free_port();
    let of = |name: &str| world.path(name).display().to_string();
    world.write(
        "registry.yaml",
        &format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: '{}'}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n",
            of("registry")
        ),
    );
    let _registry = start(port, "docker-registry", &["serve", &of("registry.yaml")]);
    world.write(
        "registries.conf",
        &format!("[[registry]]\nlocation = \"localhost:{port}\"\ninsecure = true\n"),
    );
    // The real program, with storage of its own that needs no rights beyond those of this test.
    world.program(
        "buildah",
        &format!(
            "export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot CONTAINERS_REGISTRIES_CONF='{}'\n\
             exec /usr/bin/buildah --root '{}' --runroot '{}' \"$@\"",
            of("registries.conf"),
            of("storage"),
            of("running")
        ),
    );
    let with = format!(
        "{{project_dir: app, image: 'localhost:{port}/team/app', image_tag: '1', image_builder: buildah}}"
    );
    let run = world.stage("image-build", &with, &[]);
    run.passed();
    let digest = world.read("output/artifacts/it/image-digest.txt");
    assert_eq!(run.outputs()["digest"], digest.trim());
    let kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let (head, manifest) = get(port, "/v2/team/app/manifests/1", kinds);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(digest.trim()), "{digest} is what the registry has: {head}");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap();
    let (_, config) = get(port, &format!("/v2/team/app/blobs/{config}"), "*/*");
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["config"]["Labels"]["of"], "test");

    world.write("workspace/app/Dockerfile", "FROM scratch\nCOPY missing.txt /\n");
    world.stage("image-build", &with, &[]).failed();
}
