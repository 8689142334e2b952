//! Starting: programs, environment, streams, exit codes, errors.

use std::ffi::OsStr;
use std::fs;

use tokio::io::AsyncWriteExt;

use super::*;
use crate::{ErrorTarget, ExitStatus, InputSource, OutputTarget, ProcessError};

async fn failure(command: Command) -> ProcessError {
    command.start().await.unwrap_err()
}

#[tokio::test]
async fn exit_codes_and_signals_are_those_java_reports() {
    for code in [0, 3, 127, 255] {
        assert_eq!(run(shell(&format!("exit {code}"))).await.1, code);
    }
    let mut child = shell("kill -TERM $$").start().await.unwrap();
    assert_eq!(child.wait().await, ExitStatus::Signaled(15));
    assert_eq!(child.wait().await.code(), 143);
    child = shell("kill -KILL $$").start().await.unwrap();
    assert_eq!(child.wait().await.code(), 137);
    assert!(!child.is_alive());
    assert_eq!(child.state(), None);
}

#[tokio::test]
async fn the_status_outlives_the_handle_and_can_be_asked_for_by_many() {
    let mut child = shell("read line; exit 7").stdin(InputSource::Piped).start().await.unwrap();
    let watches: Vec<_> = (0..3).map(|_| child.exit_watch()).collect();
    let watch = child.exit_watch();
    assert!(watch.try_status().is_none() && watch.ended_at().is_none());
    child.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
    drop(child);
    for watch in watches {
        assert_eq!(watch.wait().await, ExitStatus::Exited(7));
    }
    assert!(watch.ended_at().is_some());
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let (text, code) = run(command(["printf", "%s|", "a\nb", "", " $HOME \"'", "ä", "*"])).await;
    assert_eq!((text.as_str(), code), ("a\nb|| $HOME \"'|ä|*|", 0));
}

#[tokio::test]
async fn the_environment_is_exactly_the_given_one() {
    let environment: Environment = [("B", "2\n3"), ("a", "1"), ("E", "")].into_iter().collect();
    let (text, _) = run(Command::new(["env", "-0"], system_path()).environment(environment)).await;
    let mut variables: Vec<&str> = text.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(variables, ["B=2\n3", "E=", "a=1"]);
    let (text, _) = run(Command::new(["env"], system_path())).await;
    assert_eq!(text, "");
}

#[tokio::test]
async fn leads_a_group_of_its_own() {
    let child = shell("read line").stdin(InputSource::Piped).start().await.unwrap();
    let listed = processes().unwrap();
    let process = listed.iter().find(|process| process.identity == child.identity()).unwrap();
    assert_eq!((process.group, process.parent), (child.pid(), std::process::id()));
    assert_eq!(process.arguments().unwrap(), ["sh", "-c", "read line"]);
}

#[tokio::test]
async fn input_is_passed_or_empty() {
    let mut child = command(["cat"]).stdin(InputSource::Piped).start().await.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    drop(stdin);
    assert_eq!(read_all(&mut child).await, "hello");
    assert_eq!(run(command(["cat"])).await, (String::new(), 0));
}

#[tokio::test]
async fn the_error_stream_joins_the_output_unless_asked_otherwise() {
    let script = "echo 1; echo 2 >&2; echo 3";
    assert_eq!(run(shell(script)).await.0, "1\n2\n3\n");

    let mut child = shell(script).stderr(ErrorTarget::Piped).start().await.unwrap();
    assert_eq!(read_all(&mut child).await, "1\n3\n");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    assert_eq!(errors, "2\n");

    assert_eq!(run(shell(script).stderr(ErrorTarget::Null)).await.0, "1\n3\n");
    let child = shell(script).stdout(OutputTarget::Null).start().await.unwrap();
    assert!(child.stdout.is_none() && child.stderr.is_none());
    assert_eq!(child.wait().await.code(), 0);
}

#[tokio::test]
async fn output_can_go_to_the_log() {
    let own = fs::read_link("/proc/self/fd/2").unwrap();
    let mut child = shell("target=$(readlink /proc/$$/fd/1); echo $target >&2")
        .stdout(OutputTarget::Log)
        .stderr(ErrorTarget::Piped)
        .start()
        .await
        .unwrap();
    child.stdout = child.stderr.take();
    assert_eq!(read_all(&mut child).await.trim_end(), own.to_str().unwrap());
}

#[tokio::test]
async fn programs_are_looked_up_in_the_path_of_the_agent() {
    let refused = tempfile::tempdir().unwrap();
    let good = tempfile::tempdir().unwrap();
    let decoy = tempfile::tempdir().unwrap();
    fs::write(refused.path().join("tool"), "not executable").unwrap();
    fs::create_dir(refused.path().join("directory")).unwrap();
    write_executable(&good.path().join("tool"), "#!/bin/sh\necho good $0\n");
    write_executable(&decoy.path().join("tool"), "#!/bin/sh\necho decoy\n");
    let path =
        |directories: &[&Path]| SearchPath::new(Some(&std::env::join_paths(directories).unwrap()));
    let missing = Path::new("/no/such/directory");
    let build: Environment = [("PATH", decoy.path().to_str().unwrap())].into_iter().collect();

    let search = path(&[missing, refused.path(), good.path()]);
    let found = Command::new(["tool"], search).environment(build.clone());
    let (text, code) = run(found).await;
    assert_eq!(text, format!("good {}\n", good.path().join("tool").display()));
    assert_eq!(code, 0);

    for (program, errno) in [("tool", 13), ("directory", 13), ("absent", 2)] {
        let search = path(&[refused.path(), missing]);
        let error = failure(Command::new([program], search).environment(build.clone())).await;
        assert!(
            matches!(&error, ProcessError::CannotRun { errno: found, .. } if *found == errno),
            "{program}: {error}"
        );
    }
}

#[tokio::test]
async fn an_empty_part_of_the_path_is_the_working_directory_of_the_child() {
    let directory = tempfile::tempdir().unwrap();
    write_executable(&directory.path().join("here"), "#!/bin/sh\npwd\n");
    let canonical = directory.path().canonicalize().unwrap();
    for path in [None, Some(OsStr::new("")), Some(OsStr::new("/nowhere:"))] {
        let found = Command::new(["here"], SearchPath::new(path)).directory(directory.path());
        assert_eq!(run(found).await.0, format!("{}\n", canonical.display()));
    }
    // A name with a slash is seen from the working directory too.
    let relative = Command::new(["./here"], SearchPath::new(None)).directory(directory.path());
    assert_eq!(run(relative).await.1, 0);
}

#[tokio::test]
async fn a_script_without_an_interpreter_line_is_run_by_the_shell() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    write_executable(&script, "echo \"$0|$1|$#\"\nexit 5\n");
    let name = script.to_str().unwrap();
    assert_eq!(run(command([name, "a b"])).await, (format!("{name}|a b|1\n"), 5));
    let search = SearchPath::new(Some(directory.path().as_os_str()));
    assert!(search.has("script") && !search.has("other"));
    assert_eq!(run(Command::new(["script"], search)).await, (format!("{name}||0\n"), 5));
}

#[tokio::test]
async fn a_program_that_stays_open_for_writing_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("busy");
    write_executable(&file, "#!/bin/sh\n");
    let _writer = fs::OpenOptions::new().append(true).open(&file).unwrap();
    let error = failure(command([file.to_str().unwrap()])).await;
    assert!(matches!(error, ProcessError::CannotRun { errno: 26, .. }), "{error}");
}

#[tokio::test]
async fn errors_read_like_those_of_java() {
    let text = async |command: Command| failure(command).await.to_string();
    assert_eq!(
        text(command(["no-such-prog"]).directory("/tmp")).await,
        "Cannot run program \"no-such-prog\" (in directory \"/tmp\"): error=2, No such file or directory"
    );
    assert_eq!(
        text(command(["/etc/passwd"])).await,
        "Cannot run program \"/etc/passwd\": error=13, Permission denied"
    );
    assert_eq!(
        text(command(["sh"]).directory("/etc/passwd")).await,
        "Cannot run program \"sh\" (in directory \"/etc/passwd\"): error=20, Not a directory"
    );
    assert_eq!(
        text(command([""])).await,
        "Cannot run program \"\": error=2, No such file or directory"
    );
    assert_eq!(
        text(command(["true"]).directory("/no/such/")).await,
        "Process working directory '/no/such' doesn't exist!"
    );
    assert_eq!(text(command(["a\0b"])).await, "invalid null character in command");
    let long = "x".repeat(200 * 1024);
    assert_eq!(
        text(command(["echo", &long])).await,
        "Cannot run program \"echo\": error=7, Argument list too long"
    );
    assert!(matches!(failure(command([])).await, ProcessError::EmptyCommand));
}

#[tokio::test]
async fn variables_no_process_can_have_are_refused_without_their_value() {
    for (name, value) in [("A=B", "s3cret"), ("A\0", "s3cret"), ("A", "s3cret\0")] {
        let environment: Environment = [(name, value)].into_iter().collect();
        let error = failure(command(["true"]).environment(environment)).await;
        assert!(matches!(error, ProcessError::InvalidVariable { .. }), "{error}");
        assert!(!error.to_string().contains("s3cret"));
    }
}
