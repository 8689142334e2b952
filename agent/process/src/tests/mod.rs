//! Tests with real processes.

mod kill;
mod output;
mod start;

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::{Child, Command, Environment, ProcessInfo, SearchPath, processes};

/// What a test may take before it counts as hanging.
const HANGING: Duration = Duration::from_secs(60);

fn system_path() -> SearchPath {
    SearchPath::of(&Environment::of_this_process())
}

/// A command with nothing but a `PATH` in its environment.
fn command<const N: usize>(arguments: [&str; N]) -> Command {
    let environment = Environment::of_this_process();
    let path = environment.get("PATH").unwrap_or("/usr/bin:/bin");
    Command::new(arguments, system_path()).environment([("PATH", path)].into_iter().collect())
}

fn shell(script: &str) -> Command {
    command(["sh", "-c", script])
}

/// A variable no other test and no other run uses.
fn cookie(test: &str) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let unique = directory.path().file_name().unwrap().to_string_lossy().into_owned();
    ("PILOTFISH_TEST_COOKIE".into(), format!("{test}-{}-{unique}", std::process::id()))
}

fn with_cookie(mut command: Command, cookie: &(String, String)) -> Command {
    command.environment.insert(&*cookie.0, &*cookie.1);
    command
}

/// The living processes that carry a cookie.
fn carriers(cookie: &(String, String)) -> Vec<ProcessInfo> {
    let mut found = processes().unwrap();
    found.retain(|process| {
        process
            .environment()
            .is_ok_and(|environment| environment.get(&cookie.0) == Some(cookie.1.as_str()))
    });
    found
}

async fn read_all(child: &mut Child) -> String {
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    tokio::time::timeout(HANGING, stdout.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// The output and the exit code of a command.
async fn run(command: Command) -> (String, i32) {
    let mut child = command.start().await.unwrap();
    let text = read_all(&mut child).await;
    (text, child.wait().await.code())
}

/// The first line of the output; the rest stays in the pipe.
async fn read_line(child: &mut Child) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    loop {
        match tokio::time::timeout(HANGING, stdout.read_u8()).await.unwrap().unwrap() {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

fn write_executable(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}
