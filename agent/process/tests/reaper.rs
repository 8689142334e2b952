//! Reaping orphans beside children of our own. Alone in its process: it makes that a subreaper.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

use pilotfish_process::{
    Command, ExitStatus, ProcessInfo, ProcessState, Reaper, SearchPath, processes,
};
use tokio::io::AsyncReadExt;

/// Runs a script that leaves a process behind, and gives the number it prints.
async fn leave_orphan(script: &str) -> u32 {
    let mut child =
        Command::new(["sh", "-c", script], SearchPath::new(None)).start().await.unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(child.wait().await, ExitStatus::Exited(0));
    text.trim().parse().unwrap()
}

fn find(pid: u32) -> Option<ProcessInfo> {
    processes().unwrap().into_iter().find(|process| process.identity.pid == pid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_reaped_and_no_status_is_stolen() {
    let reaper = Reaper::as_subreaper().unwrap();

    // Without the reaper it stays a zombie of ours.
    // It ends only when its parent is gone, which else might have asked for its status.
    let script = "(while kill -0 $$; do sleep 0.01; done; exit 5) > /dev/null 2>&1 & echo $!";
    let orphan = leave_orphan(script).await;
    while find(orphan).is_some_and(|process| process.state == ProcessState::Alive) {
        tokio::task::yield_now().await;
    }
    let zombie = find(orphan).unwrap();
    assert_eq!(zombie.parent, std::process::id());
    assert_eq!(zombie.state, ProcessState::Zombie);
    assert_eq!(reaper.reap(), Some(1));
    assert_eq!(find(orphan), None);
    assert_eq!(reaper.reap(), Some(0));

    // With it running, every status of our own children arrives, and every orphan goes.
    let running = tokio::spawn(reaper.run());
    let mut children = Vec::new();
    for round in 0..100 {
        children.push(tokio::spawn(async move {
            let code = round % 200;
            let script = format!("(exit 9) & (sleep 0.01 > /dev/null &) ; exit {code}");
            let child =
                Command::new(["sh", "-c", &script], SearchPath::new(None)).start().await.unwrap();
            assert_eq!(child.wait().await, ExitStatus::Exited(code));
        }));
    }
    for child in children {
        child.await.unwrap();
    }
    let own = std::process::id();
    let mut left = 1;
    for _ in 0..2000 {
        left = processes().unwrap().iter().filter(|process| process.parent == own).count();
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(left, 0);
    running.abort();
}
