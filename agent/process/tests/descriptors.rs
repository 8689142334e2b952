//! No descriptor leaks, neither into a child nor in this process. Alone in its process: any other
//! test beside it would change the number of open descriptors.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

use std::fs::{self, File};

use pilotfish_process::{
    AsyncWriteSink, Command, ErrorTarget, InputSource, Killer, OutputPump, SearchPath,
};
use tokio::io::AsyncReadExt;

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn shell(script: &str) -> Command {
    Command::new(["sh", "-c", script], SearchPath::new(None))
}

/// Starts processes in all ways there are.
async fn round() {
    let mut child = shell("cat; echo error >&2")
        .stdin(InputSource::Piped)
        .stderr(ErrorTarget::Piped)
        .start()
        .await
        .unwrap();
    child.stdin = None;
    let sink = AsyncWriteSink(tokio::io::sink());
    let mut pump = OutputPump::start(child.stdout.take().unwrap(), sink, child.exit_watch());
    pump.finish().await.unwrap();
    child.wait().await;

    // Streams that are never read, and a handle dropped early.
    drop(shell("exit 0").stdin(InputSource::Piped).start().await.unwrap());
    let unread = shell("echo unread").start().await.unwrap();
    unread.wait().await;

    let missing = Command::new(["no-such-program"], SearchPath::new(None)).start().await;
    assert!(missing.is_err());

    let sleeper = Command::new(["sleep", "1000"], SearchPath::new(None)).start().await.unwrap();
    Killer::new().kill_tree(sleeper.identity()).await.unwrap();
    sleeper.wait().await;
}

#[tokio::test]
async fn descriptors_leak_neither_into_children_nor_here() {
    // As if our own parent had been careless.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("careless");
    let careless = File::create(&path).unwrap();
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).unwrap();
    let list = "ls -l /proc/self/fd";
    let control = std::process::Command::new("sh").args(["-c", list]).output().unwrap();
    let inherited = |text: &str| text.contains(path.to_str().unwrap());
    assert!(inherited(str::from_utf8(&control.stdout).unwrap()));

    let mut child = shell(list).start().await.unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(child.wait().await.code(), 0);
    assert!(!inherited(&text), "{text}");
    // Its three streams, and the directory it reads.
    assert_eq!(text.lines().filter(|line| line.contains(" -> ")).count(), 4, "{text}");
    drop(child);

    round().await;
    let before = open_descriptors();
    for _ in 0..20 {
        round().await;
    }
    // What the last round dropped may close a moment later.
    let mut after = open_descriptors();
    for _ in 0..1000 {
        if after <= before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        after = open_descriptors();
    }
    assert_eq!(after, before);
}
