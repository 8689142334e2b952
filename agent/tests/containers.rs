//! Steps in sibling containers: the real agent, and real exec servers that are PID 1 of namespaces of their
//! own, where each sees its own socket alone.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]

#[path = "containers/pod.rs"]
mod pod;
mod support;
#[path = "containers/tasks.rs"]
mod tasks;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use jenkins_remoting::command::Outcome;
use rustix::process::{Pid, Signal, kill_process};

use pod::{Pod, stop};
use support::callables as make;
use support::commands::user_request;
use support::connection::Connection;
use support::controller::Controller;
use support::eventually;

/// Launches a script in a container, as a controller does that sends the agent's environment along.
fn launch(id: i32, container: &str, script: &str, directory: &Path, cookie: &str) -> Vec<u8> {
    let environment = [
        format!("PILOTFISH_CONTAINER={container}"),
        format!("JENKINS_NODE_COOKIE={cookie}"),
        "HOME=/home/of/agent".to_owned(),
        "PATH=/opt/tool:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "JOB_NAME=p".to_owned(),
        "BUILD_NUMBER=1".to_owned(),
    ];
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    let command = ["sh", "-c", script];
    user_request(id, &make::launch(&command, &environment, directory.to_str().unwrap()))
}

async fn started(connection: &mut Connection, id: i32) {
    let answer = connection.answer(id).await;
    assert!(matches!(answer, Outcome::Value(_)), "{answer:?}");
}

/// No process of another test has it.
fn cookie(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn left_behind(cookie: &str) -> usize {
    let all = pilotfish_process::processes().unwrap().into_iter();
    let of_cookie = |environment: pilotfish_process::Environment| {
        environment.get("JENKINS_NODE_COOKIE") == Some(cookie)
    };
    all.filter(|one| one.environment().is_ok_and(of_cookie)).count()
}

#[tokio::test]
async fn steps_run_in_the_container_that_they_name_and_see_no_other() {
    let Some(pod) = Pod::start(&["maven", "node"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    let cookie = cookie("steps");
    for (id, container) in [(1001, "maven"), (1002, "node")] {
        let script = format!(
            "{{ echo \"$HOME $PATH $JOB_NAME\"; ls ../exec; readlink /proc/1/exe; echo $$$$; }} > {container}.new \
             && mv {container}.new {container}.txt"
        );
        let work = pod.path("work");
        connection.send(&launch(id, container, &script, &work, &cookie)).await;
        started(&mut connection, id).await;
        let file = format!("work/{container}.txt");
        eventually("the step ends", || !pod.read(&file).is_empty()).await;
        let text = pod.read(&file);
        let lines: Vec<&str> = text.lines().collect();
        let [environment, sockets, init, pid] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(
            *environment,
            format!("/home/of/{container} /opt/tool:/usr/bin:/bin:/usr/sbin:/sbin p")
        );
        assert_eq!(*sockets, container, "the other container's socket is out of reach");
        assert!(init.ends_with("pilotfish-agent"), "{init}");
        assert!(pid.parse::<u32>().unwrap() < 100, "its processes are its own: {pid}");
    }
    // The script of a freestyle build is a temporary file; each container has a `/tmp` of its own.
    connection.send(&user_request(1005, &make::temporary_file("/"))).await;
    started(&mut connection, 1005).await;
    assert_eq!(fs::read_dir(pod.path("work/remoting/tmp")).unwrap().count(), 1);
    connection.send(&launch(1003, "mvn", "true", Path::new("/"), &cookie)).await;
    let refusal = connection.refusal(1003).await;
    assert!(
        refusal.contains("no container \"mvn\"") && refusal.contains("maven, node"),
        "{refusal}"
    );
    connection.send(&launch(1004, "maven", "true", Path::new("/no/such"), &cookie)).await;
    let refusal = connection.refusal(1004).await;
    assert!(refusal.contains("/no/such"), "{refusal}");
    stop(agent).await;
}

#[tokio::test]
async fn an_aborted_build_leaves_no_process_in_any_container() {
    let Some(pod) = Pod::start(&["a", "b"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    let cookie = cookie("aborted");
    // One leaves its session and its parent, as daemons of builds do.
    let script = "setsid sh -c 'sleep 600 & sleep 600' & touch up-$NAME; sleep 600";
    // The last one is the agent's own.
    for (id, container) in [(1001, "a"), (1002, "b"), (1003, "jnlp")] {
        connection.send(&launch(id, container, script, pod.directory.path(), &cookie)).await;
        started(&mut connection, id).await;
    }
    eventually("all run", || left_behind(&cookie) >= 12).await;
    let kill = make::kill("JENKINS_NODE_COOKIE", &cookie);
    connection.send(&user_request(1004, &kill)).await;
    connection.answer(1004).await;
    eventually("none is left", || left_behind(&cookie) == 0).await;
    stop(agent).await;
}

/// A container whose image is one static program.
const BARE: &str = "R=\"$POD/.root\" && mkdir -p \"$R\" && mount -t tmpfs none \"$R\" \
     && mkdir -p \"$R$POD/exec/$NAME\" \"$R/proc\" \"$R/dev\" && cp \"$AGENT\" \"$R/agent\" \
     && mount -t proc proc \"$R/proc\" && : > \"$R/dev/null\" && mount --bind /dev/null \"$R/dev/null\" \
     && mount --bind \"$POD/exec/$NAME\" \"$R$POD/exec/$NAME\" \
     && exec chroot \"$R\" /agent exec-server --socket \"$POD/exec/$NAME/socket\"";

#[tokio::test]
async fn a_container_without_a_shell_runs_direct_commands() {
    let Some(pod) = Pod::start_after(BARE, &["bare"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    // The one program that there is, and something that it does.
    let file = pod.path("exec/bare/second");
    let command = ["/agent", "exec-server", "--socket", file.to_str().unwrap()];
    let environment = ["PILOTFISH_CONTAINER=bare"];
    connection.send(&user_request(1001, &make::launch(&command, &environment, "/"))).await;
    started(&mut connection, 1001).await;
    eventually("it runs", || file.exists()).await;
    connection.send(&launch(1002, "bare", "true", Path::new("/"), "c")).await;
    let refusal = connection.refusal(1002).await;
    assert!(refusal.contains("Cannot run program \"sh\""), "{refusal}");
    stop(agent).await;
}

#[tokio::test]
async fn a_container_that_ended_says_how() {
    let Some(mut pod) = Pod::start(&["db"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    kill_process(pod.first_server(), Signal::TERM).unwrap();
    pod.containers[0].wait().unwrap();
    connection.send(&launch(1001, "db", "true", Path::new("/"), "c")).await;
    let refusal = connection.refusal(1001).await;
    assert!(refusal.contains("container \"db\" has ended: it was told to stop"), "{refusal}");
    stop(agent).await;
}

/// A server as a plain process of this machine.
fn server(directory: &Path, name: &str, command: &[&str]) -> Command {
    let mut server = Command::new(env!("CARGO_BIN_EXE_pilotfish-agent"));
    let socket = directory.join("exec").join(name).join("socket");
    server.args(["exec-server", "--socket"]).arg(socket);
    if !command.is_empty() {
        server.arg("--").args(command);
    }
    server.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    server
}

#[tokio::test]
async fn another_user_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    if fs::metadata(directory.path()).map(|one| std::os::unix::fs::MetadataExt::uid(&one)).unwrap()
        != 0
    {
        eprintln!("SKIPPED: only root can start a server as another user");
        return;
    }
    // Where the other user can run it.
    let copy = directory.path().join("agent");
    // By another process: a test that starts one at the same time would keep the file open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_pilotfish-agent")).arg(&copy).status();
    assert!(copied.unwrap().success());
    let mut other = Command::new(&copy);
    let socket = directory.path().join("exec/a/socket");
    other.args(["exec-server", "--socket"]).arg(&socket).uid(65_534).gid(65_534);
    let pod = Pod { directory, containers: vec![other.spawn().unwrap()] };
    eventually("the server listens", || socket.exists()).await;
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    connection.send(&launch(1001, "a", "touch /tmp/no", Path::new("/"), "c")).await;
    let refusal = connection.refusal(1001).await;
    assert!(refusal.contains("user 0 may not run anything in this container"), "{refusal}");
    assert!(refusal.contains("--allow-uid 0"), "{refusal}");
    stop(agent).await;
}

#[test]
fn the_containers_own_command_gets_signals_and_leaves_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap 'echo stopping; exit 5' TERM; echo up; while :; do sleep 0.05; done";
    let mut running = server(directory.path(), "db", &["sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "up\n");
    let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(5));
    let words = fs::read_to_string(directory.path().join("exec/db/ended")).unwrap();
    assert_eq!(words, "its command ended with exit code 5; its last lines: up | stopping");

    let missing = server(directory.path(), "db", &["/no/such/program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    let words = fs::read_to_string(directory.path().join("exec/db/ended")).unwrap();
    assert!(words.starts_with("its command cannot be started: "), "{words}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_pilotfish-agent"))
        .args(["exec-server", "--sockets", "/x"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("exec-server: \"--sockets\" is not known"), "{said}");
}
