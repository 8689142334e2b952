//! Runs with real containers, from an image that is made here of one static program.
//!
//! Without podman, or where it can run nothing, each test says that it was skipped. With
//! `PILOTFISH_TEST_PODMAN=required` that is a failure.

use std::io::Write as _;
use std::process::{Command, Output};

use super::*;

/// What the image needs of the programs in busybox.
const PROGRAMS: [&str; 16] = [
    "cat", "echo", "env", "httpd", "id", "ls", "mkdir", "printf", "pwd", "rm", "sh", "sleep",
    "touch", "true", "wc", "wget",
];

fn podman(arguments: &[&str]) -> Result<Output, String> {
    let done = Command::new("podman").args(arguments).output().map_err(|e| e.to_string())?;
    match done.status.success() {
        true => Ok(done),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}

/// An image that is there as long as this.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = podman(&["rmi", "--force", &self.0]);
    }
}

impl Image {
    /// Makes an image of busybox.
    fn make() -> Result<Self, String> {
        let program = ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"]
            .into_iter()
            .find(|path| Path::new(path).is_file())
            .ok_or("there is no busybox to make an image of")?;
        let place = tempfile::tempdir().map_err(|e| e.to_string())?;
        let archive = place.path().join("image.tar");
        pack(program, &archive).map_err(|e| e.to_string())?;
        let name = format!("localhost/pilotfish-test-{}:1", unique());
        podman(&["import", &archive.to_string_lossy(), &name])?;
        let image = Self(name);
        podman(&["run", "--rm", &image.0, "/bin/sh", "-c", "true"])?;
        Ok(image)
    }

    /// Makes an image, or says why a test cannot be tried.
    fn or_skip(test: &str) -> Option<Self> {
        match Self::make() {
            Ok(image) => Some(image),
            Err(why) => {
                let required = std::env::var_os("PILOTFISH_TEST_PODMAN");
                assert!(required.is_none_or(|value| value != "required"), "{test}: {why}");
                // Not `eprintln!`, which the test harness swallows.
                let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no containers here: {why}");
                None
            }
        }
    }
}

fn pack(program: &str, archive: &Path) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(std::fs::File::create(archive)?);
    let mut add = |path: &str, mode: u32, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        tar.append_data(&mut header, path, bytes)
    };
    add("tmp/", 0o1777, b"")?;
    add("etc/", 0o755, b"")?;
    add("www/index.html", 0o644, b"served\n")?;
    add("bin/busybox", 0o755, &std::fs::read(program)?)?;
    for name in PROGRAMS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{name}"), "busybox")?;
    }
    tar.into_inner()?.sync_all()
}

impl Place {
    fn with_podman(&self) -> RunOptions {
        RunOptions { runtime: RuntimeChoice::Podman, with_effects: true, ..self.options() }
    }
}

fn containers(image: &Image) -> String {
    format!(
        "containers: [{{name: one, image: '{}', limits: {{memory: 256Mi}}, caches: [{{name: kept, path: /tmp/kept}}], environment: {{KEPT: /tmp/kept}}}}]",
        image.0
    )
}

#[tokio::test]
async fn a_step_in_a_container_sees_what_it_may() {
    let Some(image) = Image::or_skip("a step in a container") else { return };
    let place = Place::new();
    std::fs::write(place.path("beside"), "of the user").unwrap();
    std::fs::write(place.path("secret"), "secret text").unwrap();
    let script = "printf '%s' \"$TEXT\" > got\ncat \"$NOTES\" > notes\necho kept >> \"$KEPT/file\"\nwc -l < \"$KEPT/file\"\ncat \"$PILOTFISH_START/beside\"\necho\ncat \"$SECRET\"\necho\ntouch \"$PILOTFISH_START/new\" || echo 'cannot write there'\necho \"home $HOME in $PWD\"\n[ ! -e /work ] || true";
    let more = format!(
        "{}\ncredentials: [{{id: key, type: file, variable: SECRET}}]\nparameters: {{type: object, properties: {{text: {{type: string}}, notes: {{type: string, x-pass: file}}}}}}",
        containers(&image)
    );
    let pipeline = "parameters: {type: object, properties: {text: {type: string}, notes: {type: string}}}\nstages: [{name: s, uses: show}]\n";
    let hostile = "\"; touch pwned #$(touch pwned)`touch pwned`\n'";
    let document =
        document(&[("show", script, &more)], pipeline, json!({"text": hostile, "notes": hostile}));
    let mut options = place.with_podman();
    options.credentials.insert("key".into(), "secret".into());
    for round in 1..3 {
        let result = run_it(&document, &options).await;
        let log = place.log("s");
        assert_eq!(result.outcome, Outcome::Success, "{log}");
        assert_eq!(result.runtime, "podman");
        assert!(log.contains(&format!("{round}\nof the user\n****\n")), "caches stay: {log}");
        assert!(log.contains("cannot write there"), "{log}");
        assert!(log.contains("home /tmp in "), "{log}");
    }
    for name in ["got", "notes"] {
        let text = std::fs::read_to_string(place.path("workspace").join(name)).unwrap();
        assert_eq!(text, hostile);
    }
    assert!(!place.path("workspace/pwned").exists());
    // What the container wrote belongs to the user.
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(place.path("workspace/got")).unwrap().uid();
    assert_eq!(owner, rustix::process::getuid().as_raw());
}

#[tokio::test]
async fn a_failure_and_a_timeout_end_the_container() {
    let Some(image) = Image::or_skip("a container that fails or hangs") else { return };
    let place = Place::new();
    let containers = containers(&image);
    let document = document(
        &[
            ("bad", "echo before\nexit 7", &containers),
            ("hangs", "echo began\nsleep 600", &format!("{containers}\ntimeout: 3s")),
        ],
        "stages: [{name: bad, uses: bad, allow_failure: true}, {name: hangs, uses: hangs}]\n",
        json!({}),
    );
    let result = run_it(&document, &place.with_podman()).await;
    let reason = |id: &str| &result.stages.iter().find(|one| one.id == id).unwrap().reason;
    assert!(reason("bad").contains("exit code 7"), "{}", reason("bad"));
    assert!(reason("hangs").contains("3 s is over"), "{}", reason("hangs"));
    let left = podman(&["ps", "--quiet", "--filter", &format!("ancestor={}", image.0)]).unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout).trim(), "", "no container is left");
}

#[tokio::test]
async fn services_listen_before_the_steps_start() {
    let Some(image) = Image::or_skip("services") else { return };
    let served = format!("{}-served", image.0);
    // The image of a service starts by itself.
    let change = "ENTRYPOINT [\"/bin/sh\",\"-c\",\"echo starting; sleep 1; exec httpd -f -p $PORT -h /www\"]";
    let made = podman(&["run", "--detach", &image.0, "/bin/sh", "-c", "true"]).unwrap();
    let made = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    podman(&["commit", "--change", change, &made, &served]).unwrap();
    podman(&["rm", "--force", &made]).unwrap();
    let _served = Image(served.clone());
    let place = Place::new();
    let with = |port: u16| {
        format!(
            "{}\nservices: [{{name: web, image: '{served}', environment: {{PORT: '8099'}}, port: {port}}}]\ntimeout: 60s",
            containers(&image)
        )
    };
    let script = "wget -q -O - http://127.0.0.1:8099/";
    let document = document(
        &[("asks", script, &with(8099)), ("fails", &format!("{script}\nexit 1"), &with(8099))],
        "stages: [{name: asks, uses: asks}, {name: fails, uses: fails}]\n",
        json!({}),
    );
    let result = run_it(&document, &place.with_podman()).await;
    assert_eq!(outcome(&result, "asks"), Outcome::Success, "{}", place.log("asks"));
    assert!(place.log("asks").contains("served"), "{}", place.log("asks"));
    assert!(!place.log("asks").contains("starting"), "a service is quiet where all is well");
    assert_eq!(outcome(&result, "fails"), Outcome::Failure);
    assert!(place.log("fails").contains("starting"), "{}", place.log("fails"));
}

#[tokio::test]
async fn a_service_that_cannot_start_fails_the_stage() {
    let Some(image) = Image::or_skip("a service that ends") else { return };
    let place = Place::new();
    let more = format!(
        "{}\nservices: [{{name: web, image: 'localhost/pilotfish-no-such-image:1', port: 1}}]",
        containers(&image)
    );
    let document = document(
        &[("asks", "echo never", &more)],
        "stages: [{name: asks, uses: asks}]\n",
        json!({}),
    );
    let result = run_it(&document, &place.with_podman()).await;
    assert_eq!(result.outcome, Outcome::Failure);
    assert!(result.stages[0].reason.contains("service web"), "{}", result.stages[0].reason);
    assert!(!place.log("asks").contains("never"));
}
