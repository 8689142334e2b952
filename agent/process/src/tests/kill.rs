//! Ending processes by cookie and by tree.

use super::*;
use crate::{ExitStatus, InputSource, KillReport, Killer, ProcessIdentity, ProcessState};

async fn kill(killer: &Killer, cookie: &(String, String)) -> KillReport {
    tokio::time::timeout(HANGING, killer.kill_matching([cookie.clone()])).await.unwrap().unwrap()
}

/// A killer whose wait is no part of the test.
fn patient() -> Killer {
    Killer::new().wait(HANGING * 2)
}

#[tokio::test]
async fn ends_all_carriers_of_a_cookie_also_those_that_left_the_tree() {
    let cookie = cookie("all");
    let script = "(sh -c 'sleep 1001; true' & ) ; sleep 1002 & echo ready; wait";
    let mut child = with_cookie(shell(script), &cookie).start().await.unwrap();
    assert_eq!(read_line(&mut child).await, "ready");
    while carriers(&cookie).len() < 4 {
        tokio::task::yield_now().await;
    }
    let report = kill(&patient(), &cookie).await;
    // A shell may end by itself once its command did.
    assert!((2..=4).contains(&report.signalled.len()), "{report:?}");
    assert!(report.survivors.is_empty() && report.denied.is_empty());
    child.wait().await;
    assert!(carriers(&cookie).is_empty());
}

#[tokio::test]
async fn ends_descendants_that_lost_the_cookie() {
    let cookie = cookie("lost");
    let script = "env -u PILOTFISH_TEST_COOKIE sleep 1000 & echo $!; wait";
    let mut child = with_cookie(shell(script), &cookie).start().await.unwrap();
    let pid: u32 = read_line(&mut child).await.parse().unwrap();
    kill(&patient(), &cookie).await;
    child.wait().await;
    let left = processes().unwrap();
    assert!(!left.iter().any(|one| one.identity.pid == pid && one.state == ProcessState::Alive));
}

#[tokio::test]
async fn every_variable_must_match_and_none_matches_nothing() {
    let cookie = cookie("every");
    let child =
        with_cookie(shell("read line"), &cookie).stdin(InputSource::Piped).start().await.unwrap();
    let (name, value) = cookie.clone();
    let killer = patient();
    let other = [(name.clone(), value.clone()), ("PILOTFISH_OTHER".to_owned(), "x".to_owned())];
    assert_eq!(killer.kill_matching(other).await.unwrap(), KillReport::default());
    let prefix = [(name.clone(), value[..value.len() - 1].to_owned())];
    assert_eq!(killer.kill_matching(prefix).await.unwrap(), KillReport::default());
    let none: [(String, String); 0] = [];
    assert_eq!(killer.kill_matching(none).await.unwrap(), KillReport::default());
    assert!(child.is_alive());
    // Names match whatever their case.
    let report = killer.kill_matching([(name.to_lowercase(), value)]).await.unwrap();
    assert_eq!(report.signalled, [child.identity()]);
    assert_eq!(child.wait().await.code(), 143);
}

#[tokio::test]
async fn spares_the_excluded_and_itself() {
    let cookie = cookie("spared");
    let child =
        with_cookie(shell("read line"), &cookie).stdin(InputSource::Piped).start().await.unwrap();
    let sparing = patient().excluding([child.pid()]);
    assert_eq!(kill(&sparing, &cookie).await, KillReport::default());
    assert_eq!(sparing.kill_tree(child.identity()).await.unwrap(), KillReport::default());
    let own = processes().unwrap();
    let own = own.iter().find(|one| one.identity.pid == std::process::id()).unwrap();
    assert_eq!(patient().kill_tree(own.identity).await.unwrap(), KillReport::default());
    assert!(child.is_alive());
}

#[tokio::test]
async fn what_ignores_sigterm_survives_unless_forced() {
    let cookie = cookie("ignorer");
    let script = "trap '' TERM; echo ready; exec sleep 1000";
    let mut child = with_cookie(shell(script), &cookie).start().await.unwrap();
    assert_eq!(read_line(&mut child).await, "ready");
    let hasty = Killer::new().wait(Duration::from_millis(50));
    let report = kill(&hasty, &cookie).await;
    assert_eq!(report.survivors, [child.identity()]);
    assert!(child.is_alive());
    let report = kill(&hasty.force(true), &cookie).await;
    assert!(report.survivors.is_empty());
    assert_eq!(child.wait().await, ExitStatus::Signaled(9));
}

#[tokio::test]
async fn a_zombie_counts_as_ended() {
    // The shell becomes a program that never asks for the status of its child.
    let mut child = shell("sleep 1000 & echo $!; exec sleep 1001").start().await.unwrap();
    let pid: u32 = read_line(&mut child).await.parse().unwrap();
    let find = || processes().unwrap().into_iter().find(|one| one.identity.pid == pid).unwrap();
    let target = find().identity;
    let end = patient();
    let report = tokio::time::timeout(HANGING, end.kill_tree(target)).await.unwrap().unwrap();
    assert_eq!(report.signalled, [target]);
    assert!(report.survivors.is_empty());
    assert_eq!(find().state, ProcessState::Zombie);
    assert!(find().environment().is_err());
    assert_eq!(end.kill_tree(target).await.unwrap(), KillReport::default());
    end.kill_tree(child.identity()).await.unwrap();
    assert_eq!(child.wait().await.code(), 143);
}

#[tokio::test]
async fn a_tree_ends_with_its_children_first() {
    let mut child = shell("sleep 1000 & echo $!; wait").start().await.unwrap();
    let pid: u32 = read_line(&mut child).await.parse().unwrap();
    let report = patient().kill_tree(child.identity()).await.unwrap();
    assert_eq!(report.signalled.first().map(|identity| identity.pid), Some(pid));
    child.wait().await;
    assert_eq!(patient().kill_tree(child.identity()).await.unwrap(), KillReport::default());
}

#[tokio::test]
async fn a_later_process_with_the_same_number_is_not_ended() {
    let child = shell("read line").stdin(InputSource::Piped).start().await.unwrap();
    let ProcessIdentity { pid, start_time } = child.identity();
    let earlier = ProcessIdentity { pid, start_time: start_time - 1 };
    assert_eq!(patient().kill_tree(earlier).await.unwrap(), KillReport::default());
    assert!(child.is_alive());
}
