//! The commands that speak to a running service: the real program on both sides, over simulated masters.

#![expect(clippy::unwrap_used, reason = "a failed test shows it")]

mod terminal_world;

use serde_json::Value;
use terminal_world::{Answer, World};

const JOBS: &str = "api: pilotfish/v1\nkind: jobs\njobs:\n  - name: team/web\n    pipeline: work\n    \
     labels: [linux]\n    on_lost: rerun\n    parameters: {branch: {default: main}, FAIL: {default: 'false'}}\n";

/// How often a line of a log is there.
fn count(text: &str, line: &str) -> usize {
    text.lines().filter(|one| *one == line).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_jobs_and_builds_are_seen_and_asked_for() {
    let world = World::of_the_program().await;
    // The masters are looked at when the service starts.
    world.until(&["masters"], |answer| count_of(answer, "ready") >= 3).await;
    let listed = world.run(&["masters"]).await;
    assert!(listed.output.contains("linux  2 of 2   north,south"), "{listed:?}");
    assert!(listed.output.contains("ALERT: only west is ready for it"), "{listed:?}");

    std::fs::write(world.path("jobs.yaml"), JOBS).unwrap();
    let jobs = world.path("jobs.yaml");
    assert_eq!(world.run(&["jobs", "apply", &jobs]).await.code, 0);
    let broken = JOBS.replace("pipeline: work", "pipelin: work");
    std::fs::write(world.path("broken.yaml"), broken).unwrap();
    let refused = world.run(&["jobs", "apply", &world.path("broken.yaml")]).await;
    assert_eq!(refused.code, 2);
    assert!(refused.errors.contains("did you mean `pipeline`?"), "{refused:?}");

    let looked = world.run(&["jobs", "keep"]).await;
    assert_eq!(looked.code, 1);
    assert!(looked.output.contains("team/web  north   missing  would be made"), "{looked:?}");
    assert!(looked.errors.contains("nothing was done; --yes does it"), "{looked:?}");
    let made = world.run(&["jobs", "keep", "--yes", "--output", "json"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let again = world.run(&["jobs", "keep"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(world.run(&["jobs"]).await.output.contains("north same, south same"));

    let well = world.run(&["masters", "check", "north"]).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.output.contains("full         Job/Create          yes"), "{well:?}");
    assert!(well.output.contains("Job/Delete          cannot be seen"), "{well:?}");
    let short = world.run(&["masters", "check"]).await;
    assert_eq!(short.code, 0, "{short:?}");
    assert!(
        short.output.contains("declared trigger: nothing is seen to be lacking, but Job/Read"),
        "{short:?}"
    );

    let done = world.run(&["trigger", "team/web", "-p", "branch=x", "--follow"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.output.matches("Finished: SUCCESS").count(), 1, "{done:?}");
    let failed = world.run(&["trigger", "team/web", "-p", "FAIL=true", "--follow"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.errors.contains("team/web#2 FAILURE"), "{failed:?}");
    let same = ["trigger", "team/web", "--key", "once", "--output", "json"];
    let (first, second) = (world.run(&same).await.json(), world.run(&same).await.json());
    assert_eq!(first["id"], second["id"]);
    let mistyped = world.run(&["trigger", "team/web", "-p", "brnch=x"]).await;
    assert_eq!(mistyped.code, 2);
    assert!(mistyped.errors.contains("did you mean `branch`?"), "{mistyped:?}");

    let log = world.run(&["logs", "team/web#1"]).await;
    assert_eq!(log.output, done.output);
    let one = world.run(&["builds", "team/web#2"]).await;
    assert_eq!(one.code, 1);
    assert!(one.output.contains("if lost   rerun") && one.output.contains("ATTEMPT"), "{one:?}");
    let nothing = world.run(&["builds", "--job", "team/none"]).await;
    assert_eq!((nothing.code, nothing.output.as_str()), (0, ""));
    assert_eq!(nothing.errors, "no builds of the bridge fit\n");
    let nowhere = ["trigger", "team/web", "--label", "mars", "-o", "json"];
    let waits = world.run(&nowhere).await.json()["id"].as_str().unwrap().to_owned();
    let masters = world.run(&["masters"]).await.output;
    assert!(masters.contains("ALERT: no master has it"), "{masters}");
    let log = world.run(&["logs", &waits]).await;
    assert!(log.errors.contains(" waiting and has no log"), "{log:?}");
    let stopped = world.run(&["stop", &waits]).await;
    assert!(stopped.output.contains(" ABORTED: stopped by "), "{stopped:?}");
    let failures =
        world.run(&["builds", "--state", "finished", "--job", "team/web", "-o", "json"]).await;
    assert!(failures.json().as_array().unwrap().len() >= 2);
    assert!(
        world
            .run(&["builds", "--state", "runing"])
            .await
            .errors
            .contains("did you mean `running`?")
    );
    let top = world.run(&["top"]).await;
    assert!(top.output.contains("north") && top.output.contains(" ended\n"), "{top:?}");
    assert!(
        top.output.contains("1 of 2 labels with fewer than two masters\nmac: only west"),
        "{top:?}"
    );
    assert!(top.output.contains("label     linux  ") && top.output.contains("/50 "), "{top:?}");
    assert!(!top.output.contains('\u{1b}'), "no terminal, no colours");

    let agents = world.run(&["agents"]).await;
    assert_eq!(agents.output, "there are no agents on demand (serve --agents)\n", "{agents:?}");
    let agents = world.run(&["agents", "--output", "json"]).await.json();
    assert_eq!(agents, serde_json::json!({"pools": [], "agents": []}));

    let stranger = world.run_with_token("pfb_none", &["masters"]).await;
    assert_eq!(stranger.code, 2);
    assert!(!stranger.errors.contains("pfb_none"), "{stranger:?}");
}

fn count_of(answer: &Answer, word: &str) -> usize {
    answer.output.lines().filter(|line| line.split_whitespace().any(|one| one == word)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_over_a_failover_and_broken_connections() {
    let world = World::of_the_fleet().await;
    std::fs::write(world.path("jobs.yaml"), JOBS).unwrap();
    world.run(&["jobs", "apply", &world.path("jobs.yaml")]).await;
    world.until(&["jobs", "keep", "--yes"], |answer| answer.code == 0).await;
    let build = world.run(&["trigger", "team/web", "-o", "json"]).await.json();
    let id = build["id"].as_str().unwrap().to_owned();
    let following = world.follow_through_a_bad_line(&id);
    let running = world
        .until(&["builds", &id, "-o", "json"], |answer| {
            answer.code == 0 && answer.json()["state"] == "running"
        })
        .await
        .json();
    let lost = running["master"].as_str().unwrap().to_owned();
    world.until_followed("stage 0 of").await;
    world.lose(&lost);
    let mut followed = following.await.unwrap();
    followed.output = world.followed();
    assert_eq!(followed.code, 0, "{followed:?}");

    let build: Value = world.run(&["builds", &id, "-o", "json"]).await.json();
    assert_ne!(build["master"], running["master"], "{build}");
    assert!(followed.errors.contains("team/web#1 goes on at"), "{followed:?}");
    assert!(followed.errors.contains("team/web#1 SUCCESS"), "{followed:?}");
    // Each attempt has another key, and each line of a stage names it.
    let keys: std::collections::BTreeSet<&str> =
        followed.output.lines().filter_map(|line| line.strip_prefix("stage 0 of ")).collect();
    assert_eq!(keys.len(), 2, "{followed:?}");
    for key in keys {
        assert_eq!(count(&followed.output, &format!("stage 0 of {key}")), 1, "{followed:?}");
    }
    let whole = world.run(&["logs", &id]).await.output;
    assert!(followed.output.ends_with(&whole), "{followed:?}\n{whole}");
    assert_eq!(followed.output.matches("Finished: SUCCESS").count(), 1);
    assert_eq!(followed.output.matches("Started by user bridge").count(), 2);
}
