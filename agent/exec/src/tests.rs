//! Servers and clients of this process, with real sockets, pipes and processes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pilotfish_process::{Environment, ExitStatus, SearchPath};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::containers::Started;
use crate::socket::{receive, send};

fn environment() -> Environment {
    [("PATH", "/usr/bin:/bin"), ("HOME", "/root/of/container"), ("EMPTY_ME", "x")]
        .into_iter()
        .collect()
}

/// A server of a container of this name.
fn server(directory: &Path, name: &str) {
    let socket = directory.join(name).join("socket");
    let options = ServerOptions { socket, allowed_users: Vec::new(), environment: environment() };
    tokio::spawn(Server::bind(options).unwrap().serve());
}

fn launch(arguments: &[&str], overrides: &[&str]) -> Launch {
    let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    Launch {
        arguments: texts(arguments),
        overrides: texts(overrides),
        cookie: "cookie".to_owned(),
        directory: Some("/".to_owned()),
        stdin: false,
        stderr: ErrorStream::Output,
        stage: None,
        follow: false,
    }
}

/// What a process printed, how it ended, and what its server said of that.
async fn outcome(mut started: Started) -> (String, ExitStatus, Vec<String>) {
    let mut text = String::new();
    started.child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    let status = started.child.wait().await;
    (text, status, started.end.await.unwrap().report.notes)
}

#[tokio::test]
async fn a_process_has_the_containers_environment_under_the_jobs() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "maven");
    let container = Containers::below(directory.path()).get("maven").unwrap();
    let overrides = ["JOB_NAME=a b", "PATH+X=/opt/x", "EMPTY_ME="];
    let script =
        "echo \"$JOB_NAME|$PATH|$HOME|${EMPTY_ME-gone}|$HUDSON_COOKIE|$PWD\"; echo e >&2; exit 7";
    let started = container.launch(launch(&["sh", "-c", script], &overrides)).await.unwrap();
    let (text, status, notes) = outcome(started).await;
    assert_eq!(text, "a b|/opt/x:/usr/bin:/bin|/root/of/container|gone|cookie|/\ne\n");
    assert_eq!((status, notes), (ExitStatus::Exited(7), Vec::new()));
    // Macros of arguments are those of the container.
    let started = container.launch(launch(&["echo", "$HOME"], &[])).await.unwrap();
    assert_eq!(outcome(started).await.0, "/root/of/container\n");
    let started = container.launch(launch(&["sh", "-c", "kill -9 $$$$"], &[])).await.unwrap();
    assert_eq!(outcome(started).await.1, ExitStatus::Signaled(9));
}

#[tokio::test]
async fn streams_are_the_processes_own() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "a");
    let container = Containers::below(directory.path()).get("a").unwrap();
    let request = Launch {
        stdin: true,
        stderr: ErrorStream::Apart,
        ..launch(&["sh", "-c", "wc -c; echo bad >&2"], &[])
    };
    let mut started = container.launch(request).await.unwrap();
    let mut input = started.child.stdin.take().unwrap();
    let fed = tokio::spawn(async move {
        for _ in 0..100 {
            input.write_all(&[b'x'; 100_000]).await.unwrap();
        }
    });
    let mut errors = String::new();
    started.child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    fed.await.unwrap();
    let (text, status, _) = outcome(started).await;
    assert_eq!((text.trim(), errors.as_str()), ("10000000", "bad\n"));
    assert_eq!(status, ExitStatus::Exited(0));
}

#[tokio::test]
async fn what_cannot_be_run_is_told_in_the_words_of_a_java_agent() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "a");
    let container = Containers::below(directory.path()).get("a").unwrap();
    let error = container.launch(launch(&["/no/such"], &[])).await.err().unwrap().to_string();
    let local = pilotfish_process::Command::new(["/no/such"], SearchPath::new(None)).directory("/");
    assert_eq!(error, local.start().await.unwrap_err().to_string());
    let error = container.launch(launch(&["true"], &["nonsense"])).await.err().unwrap();
    assert!(error.to_string().contains("has no \"=\""), "{error}");
}

#[tokio::test]
async fn processes_end_by_their_variables_with_all_that_came_out_of_them() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "a");
    server(directory.path(), "b");
    let containers = Containers::below(directory.path());
    let mark = format!("MARK=exec-{}", std::process::id());
    let script = "sh -c 'sleep 600 & sleep 600' & echo up; wait; sleep 600";
    let request = launch(&["sh", "-c", script], &[&mark]);
    let mut started = containers.get("a").unwrap().launch(request).await.unwrap();
    let mut up = [0; 3];
    started.child.stdout.as_mut().unwrap().read_exact(&mut up).await.unwrap();
    let (_, value) = mark.split_once('=').unwrap();
    let variables = [("MARK".to_owned(), value.to_owned())];
    let outcomes = containers.kill_everywhere(&variables).await;
    let killed: usize =
        outcomes.iter().map(|(_, outcome)| outcome.as_ref().unwrap().signalled).sum();
    assert_eq!(outcomes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    // Both servers are of this machine, so that the first finds them all.
    assert!(killed >= 3, "{killed}");
    assert_ne!(outcome(started).await.1, ExitStatus::Exited(0));
    let left = pilotfish_process::processes().unwrap().into_iter().filter(|one| {
        one.environment().is_ok_and(|environment| environment.get("MARK") == Some(value))
    });
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_container_that_is_not_there_not_ready_or_ended_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "maven");
    fs::create_dir_all(directory.path().join("node")).unwrap();
    let containers = Containers::below(directory.path()).ready_within(Duration::from_millis(200));
    let unknown = containers.get("mavn").unwrap_err().to_string();
    assert!(unknown.contains("it has maven, node"), "{unknown}");
    for bad in ["", "..", "a/b", "A", "-a", "a-", &"a".repeat(64)] {
        assert!(matches!(containers.get(bad), Err(ExecError::Name { .. })), "{bad:?}");
    }
    let node = containers.get("node").unwrap();
    let not_ready = node.launch(launch(&["true"], &[])).await.err().unwrap();
    assert!(matches!(not_ready, ExecError::NotReady { .. }), "{not_ready}");
    let socket = directory.path().join("node/socket");
    leave_last_words(&socket, "its command ended with exit code 3", &["no space".to_owned()])
        .unwrap();
    let ended = node.launch(launch(&["true"], &[])).await.err().unwrap().to_string();
    assert_eq!(
        ended,
        "container \"node\" has ended: its command ended with exit code 3; its last lines: no space"
    );
    forget_last_words(&socket).unwrap();
    forget_last_words(&socket).unwrap();
    server(directory.path(), "node");
    assert!(node.launch(launch(&["true"], &[])).await.is_ok(), "it is back");
}

#[tokio::test]
async fn a_container_of_a_young_pod_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let containers = Containers::below(directory.path());
    let late = containers.get("late").unwrap();
    let waits = tokio::spawn(async move { late.find(Vec::new()).await });
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(!waits.is_finished());
    server(directory.path(), "late");
    assert_eq!(waits.await.unwrap().unwrap(), 0);
    let missing = containers.get("missing").unwrap().at_once().find(Vec::new()).await.unwrap_err();
    assert!(missing.to_string().contains("it has late"), "{missing}");
    let nowhere = Containers::below(directory.path().join("no-pod")).get("late").unwrap_err();
    assert!(nowhere.to_string().contains("it has none"), "{nowhere}");
}

#[tokio::test]
async fn a_server_that_goes_away_in_the_middle_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a/socket");
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let fake = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = Answer::Hello { protocol: PROTOCOL_VERSION };
        send(&mut stream, &hello, &[]).await.unwrap();
        let (_, descriptors) = receive(&mut stream, MAX_REQUEST).await.unwrap();
        assert_eq!(descriptors.len(), 1);
        drop(descriptors);
        send(&mut stream, &Answer::Started { pid: 1 }, &[]).await.unwrap();
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = Answer::Hello { protocol: 99 };
        send(&mut stream, &hello, &[]).await.unwrap();
    });
    let container = Containers::below(directory.path()).get("a").unwrap();
    let started = container.launch(launch(&["true"], &[])).await.unwrap();
    let (_, status, notes) = outcome(started).await;
    assert_eq!(status, ExitStatus::Lost);
    assert!(notes[0].contains("did not answer to the end"), "{notes:?}");
    let other = container.launch(launch(&["true"], &[])).await.err().unwrap().to_string();
    assert!(other.contains("version 99, where this side has 1"), "{other}");
    fake.await.unwrap();
}

#[tokio::test]
async fn hostile_clients_get_no_process_and_others_are_served() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "a");
    let socket = directory.path().join("a/socket");
    let talk = async |bytes: Vec<u8>| {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let framed =
        |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    // Longer than allowed, cut short, no JSON, another form, and descriptors that did not come.
    let spoken =
        serde_json::to_string(&Request::Launch(launch(&["touch", "/tmp/x"], &[]))).unwrap();
    for (bytes, said) in [
        (u32::MAX.to_be_bytes().to_vec(), None),
        (vec![0, 0, 1, 0, b'{'], None),
        (framed("nonsense"), Some("no JSON")),
        (framed("{\"launch\":{\"arguments\":[\"secret\"]}}"), Some("another form")),
        (framed("{\"stop\":1}"), Some("another form")),
        (framed(&spoken), Some("has not the descriptors")),
    ] {
        let answer = talk(bytes).await;
        match said {
            Some(said) => assert!(answer.contains(said), "{answer}"),
            None => assert!(!answer.contains("failed"), "{answer}"),
        }
        assert!(!answer.contains("secret"), "{answer}");
    }
    let container = Containers::below(directory.path()).get("a").unwrap();
    let started = container.launch(launch(&["echo", "fine"], &[])).await.unwrap();
    assert_eq!(outcome(started).await.0, "fine\n");
}

#[tokio::test]
async fn what_a_process_leaves_behind_is_followed_until_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "a");
    let containers = Containers::below(directory.path());
    let container = containers.get("a").unwrap();
    let mark = format!("MARK=follow-{}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let variables = vec![(name.to_owned(), value.to_owned())];
    let request = Launch {
        follow: true,
        ..launch(&["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo"], &[&mark])
    };
    let mut started = container.launch(request).await.unwrap();
    let mut text = String::new();
    started.child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(started.child.wait().await, ExitStatus::Exited(0));
    let followed = started.end.await.unwrap().followed.unwrap();
    assert_eq!(followed.container().name(), "a");
    assert_eq!(container.find(variables.clone()).await.unwrap(), 1);
    let lost = tokio::time::timeout(Duration::from_millis(50), followed.lost()).await;
    assert!(lost.is_err(), "the server is there");
    containers.kill_everywhere(&variables).await;
    assert_eq!(container.find(variables).await.unwrap(), 0);
    let report = followed.finish(true).await.unwrap();
    assert_eq!(report.notes, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_stays_for_those_who_attend() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a/socket");
    let options = ServerOptions { socket, allowed_users: Vec::new(), environment: environment() };
    let server = Server::bind(options).unwrap();
    let (first, second) = (server.attendance(), server.attendance());
    tokio::spawn(server.serve());
    first.over().await;
    let container = Containers::below(directory.path()).get("a").unwrap();
    let attendance = container.attend().await.unwrap();
    let over = tokio::spawn(second.over());
    tokio::time::timeout(Duration::from_millis(50), attendance.lost()).await.unwrap_err();
    assert!(!over.is_finished());
    drop(attendance);
    over.await.unwrap();
}

#[tokio::test]
async fn a_socket_that_leads_elsewhere_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    server(directory.path(), "a");
    let containers = Containers::below(directory.path()).ready_within(Duration::ZERO);
    fs::create_dir(directory.path().join("b")).unwrap();
    let socket = directory.path().join("b/socket");
    std::os::unix::fs::symlink(directory.path().join("a/socket"), &socket).unwrap();
    let refused = containers.get("b").unwrap().find(Vec::new()).await.unwrap_err();
    assert!(matches!(refused, ExecError::NotReady { .. }), "{refused}");
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "").unwrap();
    let refused = containers.get("b").unwrap().find(Vec::new()).await.unwrap_err();
    assert!(refused.to_string().contains("is no socket"), "{refused}");
    std::os::unix::fs::symlink(directory.path().join("a"), directory.path().join("c")).unwrap();
    assert!(matches!(containers.get("c"), Err(ExecError::Unknown { .. })));
}

#[tokio::test]
async fn hostile_servers_are_refused_and_cost_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("a/socket");
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let hello = serde_json::to_vec(&Answer::Hello { protocol: PROTOCOL_VERSION }).unwrap();
    let framed =
        |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let too_long = u32::try_from(MAX_ANSWER + 1).unwrap().to_be_bytes().to_vec();
    let says = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        too_long.clone(),
        framed(b"[]"),
        [framed(&hello), too_long].concat(),
        [framed(&hello), framed(b"{\"ended\":1}")].concat(),
        [framed(&hello), framed(&hello)].concat(),
        framed(&hello),
    ];
    let count = says.len();
    tokio::spawn(async move {
        for bytes in says {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    let container = Containers::below(directory.path()).get("a").unwrap();
    for _ in 0..count {
        let outcome = container.launch(launch(&["true"], &[])).await;
        let error = outcome.err().unwrap();
        let known = matches!(error, ExecError::BrokenOff { .. } | ExecError::Protocol { .. });
        assert!(known, "{error}");
    }
}

proptest! {
    #[test]
    fn messages_come_back_as_they_were(
        arguments in prop::collection::vec(any::<String>(), 0..4),
        overrides in prop::collection::vec(any::<String>(), 0..4),
        directory in prop::option::of(any::<String>()),
        stdin in any::<bool>(),
    ) {
        let launch = Launch {
            arguments,
            overrides,
            cookie: "c".to_owned(),
            directory,
            stdin,
            stderr: ErrorStream::Apart,
            stage: Some(Stage { build: "b".to_owned(), stage: "s".to_owned() }),
            follow: stdin,
        };
        let shown = format!("{launch:?}");
        prop_assert!(launch.overrides.iter().all(|one| one.len() < 4 || !shown.contains(one.as_str())));
        let request = Request::Launch(launch);
        let bytes = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(decode_request(&bytes), Ok(request));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_request(&bytes);
        let _ = decode_answer(&bytes);
    }
}
