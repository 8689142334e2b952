//! The real binary, seen by another process of the same user: no secret in its environment, arguments or
//! memory.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SECRET: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2";
const HEADER_SECRET: &str = "Bearer-hunter2-hunter2";
const COLLECTOR: &str = "http://127.0.0.1:9/";
/// Number of the user that builds run as here. Root reads everything, so the test needs another.
const USER: u32 = 65_534;
/// Set for the process that plays the build: the process to look into.
const TARGET: &str = "PILOTFISH_TEST_TARGET";
/// Largest mapping that is searched, in bytes.
const LARGEST_MAPPING: u64 = 256 << 20;

/// Arguments and variables that the agent is started with.
type Way<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn as_user(command: &mut Command) -> &mut Command {
    if is_root() {
        command.uid(USER).gid(USER);
    }
    command
}

fn is_root() -> bool {
    // The owner of a new file is the user of this process.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::MetadataExt::uid(&file.as_file().metadata().unwrap()) == 0
}

/// A folder that the other user can enter, with copies of programs in it.
struct Programs(tempfile::TempDir);

impl Programs {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    fn copy(&self, program: &Path) -> PathBuf {
        let copy = self.0.path().join(program.file_name().unwrap());
        fs::copy(program, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }
}

/// What a build finds out about a process: one word for each of `environ`, `cmdline` and `mem`.
fn look_into(reader: &Path, process: u32) -> String {
    let output = as_user(Command::new(reader).args(["--exact", "reader", "--nocapture"]))
        .env(TARGET, process.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("found: ")).collect();
    assert_eq!(found.len(), 3, "{text}{}", String::from_utf8_lossy(&output.stderr));
    found.join(" ")
}

/// Not a test by itself: the part of the build, which runs in a process of its own.
#[test]
fn reader() {
    let Ok(process) = std::env::var(TARGET) else { return };
    let folder = PathBuf::from(format!("/proc/{process}"));
    let has_secret = |bytes: &[u8]| {
        [SECRET, HEADER_SECRET]
            .iter()
            .any(|secret| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
    };
    for name in ["environ", "cmdline"] {
        let mut bytes = Vec::new();
        let read = File::open(folder.join(name)).and_then(|mut file| file.read_to_end(&mut bytes));
        let word = match read {
            Err(_) => "refused",
            Ok(_) if has_secret(&bytes) => "secret",
            Ok(_) => "clean",
        };
        println!("\nfound: {name}={word}");
    }
    println!("\nfound: mem={}", search_memory(&folder, has_secret));
}

fn search_memory(folder: &Path, has_secret: impl Fn(&[u8]) -> bool) -> &'static str {
    let (Ok(memory), Ok(maps)) =
        (File::open(folder.join("mem")), fs::read_to_string(folder.join("maps")))
    else {
        return "refused";
    };
    for line in maps.lines() {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (from, to) = (number(from), number(to));
        let mut bytes = vec![0; usize::try_from((to - from).min(LARGEST_MAPPING)).unwrap()];
        if let Ok(count) = memory.read_at(&mut bytes, from)
            && has_secret(&bytes[..count])
        {
            return "secret";
        }
    }
    "clean"
}

#[test]
fn another_process_of_the_user_finds_no_secret() {
    let programs = Programs::new();
    let agent = programs.copy(Path::new(env!("CARGO_BIN_EXE_pilotfish-agent")));
    let reader = programs.copy(&std::env::current_exe().unwrap());
    let controller = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", controller.local_addr().unwrap());
    let header = format!("Authorization={HEADER_SECRET}");
    let quoted = format!("-webSocketHeader 'Authorization='\"{HEADER_SECRET}\"");

    // A process that does nothing about it: shows that the reader would find the secret.
    let mut careless = Command::new("sleep");
    as_user(careless.arg("60")).stdin(Stdio::null()).env("JENKINS_SECRET", SECRET);
    let careless = Running(careless.spawn().unwrap());
    let found = look_into(&reader, careless.0.id());
    assert!(found.starts_with("environ=secret cmdline=clean "), "{found}");

    let ways: [Way; 6] = [
        (&["-webSocket", "-name", "n"], &[("JENKINS_SECRET", SECRET)]),
        (&["-webSocket", "-name", "n", "-secret", SECRET, "-webSocketHeader", &header], &[]),
        (&["-webSocket", SECRET, "n"], &[("JENKINS_SECRET", SECRET), ("COPY", SECRET)]),
        (&["-webSocket", SECRET, "n"], &[("REMOTING_OPTS", &quoted)]),
        (&["-webSocket", SECRET, "n", "--otlp-endpoint", COLLECTOR, "--otlp-header", &header], &[]),
        (
            &["-webSocket", SECRET, "n"],
            &[("PILOTFISH_OTLP_ENDPOINT", COLLECTOR), ("PILOTFISH_OTLP_HEADERS", &header)],
        ),
    ];
    for (arguments, variables) in ways {
        let mut command = Command::new(&agent);
        as_user(command.args(arguments)).stdin(Stdio::null()).stderr(Stdio::null());
        command.env_clear().env("JENKINS_URL", &url).envs(variables.iter().copied());
        let running = Running(command.spawn().unwrap());
        // It connects after it has erased its secrets; it gets no answer and waits.
        let _connection = controller.accept().unwrap();
        let found = look_into(&reader, running.0.id());
        assert_eq!(
            found, "environ=refused cmdline=clean mem=refused",
            "{arguments:?} {variables:?}"
        );

        // What root sees is erased too: nothing depends on the refusal alone.
        if is_root() {
            for name in ["environ", "cmdline"] {
                let shown = fs::read(format!("/proc/{}/{name}", running.0.id())).unwrap();
                let shown = String::from_utf8_lossy(&shown);
                assert!(!shown.is_empty());
                assert!(
                    !shown.contains(SECRET) && !shown.contains(HEADER_SECRET),
                    "{name}: {shown}"
                );
            }
        }
    }
}
