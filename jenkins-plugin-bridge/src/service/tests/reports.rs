//! What is told of builds, against servers that answer as the documentation of the forges says, and builds
//! that start one another. No live forge was asked.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::board::{Browser, location};
use super::routed::unreachable_masters;
use super::triggers::{options, until};
use super::world::{BOSS, OPERATOR, PIPELINE, VIEWER, World};
use crate::forges::{Forges, ForgesFile};
use crate::jobs::JobSpec;
use crate::report::message::{CommitState, CommitStatus};
use crate::report::send::{Target, send_round};
use crate::report::{Message, messages, stages};
use crate::rest::stub::{Reply, Seen, Stub};
use crate::route::BuildState;
use crate::service::store::{AttemptChange, BuildFilter, Change, TriggerRow};
use crate::triggers::run_triggers;

const TOKEN: &str = "the token of the forge";

/// A server that keeps what it was told, but for what it is to refuse.
struct Told {
    url: String,
    all: Arc<Mutex<Vec<Seen>>>,
    refuse: Arc<Mutex<Vec<Refusal>>>,
}

/// A status, headers and words.
type Refusal = (u16, Vec<(&'static str, String)>, &'static str);

fn refusals<const N: usize>(all: [(u16, &'static str); N]) -> Vec<Refusal> {
    all.into_iter().map(|(status, words)| (status, Vec::new(), words)).collect()
}

impl Told {
    async fn start() -> Self {
        let all = Arc::new(Mutex::new(Vec::new()));
        let refuse = Arc::new(Mutex::new(Vec::<Refusal>::new()));
        let (told, refusals) = (Arc::clone(&all), Arc::clone(&refuse));
        let stub = Stub::start(move |request| {
            let refusal = refusals.lock().unwrap().pop();
            if let Some((status, headers, words)) = refusal {
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                return Reply::assumed("docs.github.com, docs.gitlab.com", status, &headers, words);
            }
            told.lock().unwrap().push(request.clone());
            Reply::assumed("docs.github.com, docs.gitlab.com, docs.gitea.com", 201, &[], "{}")
        })
        .await;
        Self { url: stub.url.trim_end_matches('/').to_owned(), all, refuse }
    }

    fn bodies(&self) -> Vec<Value> {
        let all = self.all.lock().unwrap();
        all.iter().map(|one| serde_json::from_str(&one.body).unwrap()).collect()
    }

    /// `path state context`, in order.
    fn states(&self) -> Vec<String> {
        let paths: Vec<String> =
            self.all.lock().unwrap().iter().map(|one| one.path.clone()).collect();
        let shown = |(path, body): (String, Value)| {
            let of = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            format!("{path} {} {}{}", of("state"), of("context"), of("name"))
        };
        paths.into_iter().zip(self.bodies()).map(shown).collect()
    }
}

fn forges(directory: &Path, [github, gitlab, gitea, hook]: [&str; 4]) -> Arc<Forges> {
    std::fs::write(directory.join("token"), TOKEN).unwrap();
    std::fs::create_dir_all(directory.join("git")).unwrap();
    let git = directory.join("git").display().to_string();
    let text = format!(
        "api: pilotfish/v1\nkind: forges\npublic_url: https://bridge.example/\nforges:\n  \
         github: {{kind: github, url: 'https://github.example', api_url: '{github}', token_file: token}}\n  \
         gitlab: {{kind: gitlab, url: '{gitlab}', token_file: token}}\n  \
         gitea: {{kind: gitea, url: '{gitea}/git/', token_file: token}}\n  \
         local: {{kind: git, url: 'file://{git}'}}\n\
         webhooks:\n  \
         chat: {{url: '{hook}/chat', secret_file: token, events: [running, finished], jobs: ['team/*']}}\n"
    );
    let file = ForgesFile::read("forges.yaml", &text).unwrap();
    Arc::new(Forges::of("forges.yaml", &file, directory).unwrap())
}

fn job(name: &str, rest: &Value) -> Value {
    let mut all = json!({"name": name, "pipeline": "service", "labels": ["linux"],
        "parameters": {"stack": {"default": "go"}, "COMMIT": {}}});
    all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    all
}

/// Moves a build on, as the router does.
pub async fn moved(world: &World, id: &str, state: BuildState, result: Option<&str>) {
    let store = &world.service.store;
    let mut build = store.routed(id).await.unwrap().unwrap();
    build.state = state;
    build.master = Some("main".to_owned());
    build.result = result.map(str::to_owned);
    build.started_ms = Some(1_000);
    build.finished_ms = result.map(|_| 92_000);
    build.changed_ms = world.service.now_ms();
    let change = Change { build, attempt: AttemptChange::None };
    assert_eq!(store.change_routed(&[change], world.service.now_ms()).await.unwrap(), [true]);
}

/// The pipeline with a parameter for the commit.
fn with_commit(world: &World) {
    let text = PIPELINE.replace(
        "  properties:\n",
        "  properties:\n    COMMIT: {type: string, default: '', description: Commit.}\n",
    );
    world.write("service.yaml", &text);
    assert!(world.service.catalog.reload().is_current);
}

async fn start(world: &World, job: &str, commit: &str) -> String {
    let order = json!({"job": job, "parameters": {"COMMIT": commit}});
    let build = world.post("/v1/builds", OPERATOR, &order).await.ok();
    build["id"].as_str().unwrap().to_owned()
}

pub async fn told_in_order(database: Option<&str>) {
    let (github, gitlab, gitea, hook) =
        (Told::start().await, Told::start().await, Told::start().await, Told::start().await);
    let addresses = [&github, &gitlab, &gitea, &hook].map(|one| one.url.clone());
    let at = |index: usize| addresses[index].as_str();
    let world = World::with_masters_and_forges(database, unreachable_masters(), |directory| {
        forges(directory, [at(0), at(1), at(2), at(3)])
    })
    .await;
    with_commit(&world);
    let commit = "a".repeat(40);
    for (name, repository) in [
        ("team/hub", "https://github.example/acme/web".to_owned()),
        ("team/lab", format!("{}/group/sub/web.git", at(1))),
        ("other/tea", format!("{}/git/acme/web", at(2))),
    ] {
        let statuses = json!({"statuses": {"repository": repository, "commit": "COMMIT"}});
        world.post("/v1/jobs", OPERATOR, &job(name, &statuses)).await.ok();
    }
    // What is told while nobody is there to tell it, is told later, and only how it is by then.
    let hub = start(&world, "team/hub", &commit).await;
    let (lab, tea) =
        (start(&world, "team/lab", &commit).await, start(&world, "other/tea", &commit).await);
    moved(&world, &hub, BuildState::Running, None).await;
    *github.refuse.lock().unwrap() = refusals([(502, "bad gateway"), (500, "once more")]);
    *gitlab.refuse.lock().unwrap() =
        refusals([(400, "{\"message\":\"Cannot transition status via :run\"}")]);
    *hook.refuse.lock().unwrap() = refusals([(503, "")]);
    let lead = |name: &str| {
        tokio::spawn(run_triggers(Arc::clone(&world.service), name.to_owned(), options()))
    };
    let first = lead("one");
    until("the first statuses", async || {
        github.bodies().len() == 1 && gitea.bodies().len() == 1 && hook.bodies().len() == 1
    })
    .await;
    until("all of it written down", async || {
        world.service.store.outbox_depths().await.unwrap().is_empty()
    })
    .await;
    first.abort();
    let _ = first.await;
    moved(&world, &hub, BuildState::Finished, Some("SUCCESS")).await;
    moved(&world, &lab, BuildState::Running, None).await;
    moved(&world, &tea, BuildState::Finished, Some("ABORTED")).await;
    let second = lead("two");
    until("the last statuses", async || {
        github.bodies().len() == 2
            && gitea.bodies().len() == 2
            && hook.bodies().len() == 3
            && !gitlab.bodies().is_empty()
    })
    .await;
    let path = format!("/repos/acme/web/statuses/{commit}");
    assert_eq!(
        github.states(),
        [
            format!("{path} pending pilotfish/team/hub"),
            format!("{path} success pilotfish/team/hub")
        ]
    );
    let last = github.bodies().pop().unwrap();
    assert_eq!(last["description"], "build 1: success after 1 min 31 s");
    assert_eq!(last["target_url"], format!("https://bridge.example/builds/{hub}"));
    assert_eq!(github.all.lock().unwrap()[0].headers["authorization"], format!("Bearer {TOKEN}"));
    let path = format!("/api/v4/projects/group%2Fsub%2Fweb/statuses/{commit}");
    assert_eq!(gitlab.states(), [format!("{path} running pilotfish/team/lab")]);
    assert_eq!(gitlab.all.lock().unwrap()[0].headers["private-token"], TOKEN);
    let path = format!("/git/api/v1/repos/acme/web/statuses/{commit}");
    assert_eq!(
        gitea.states(),
        [
            format!("{path} pending pilotfish/other/tea"),
            format!("{path} error pilotfish/other/tea")
        ]
    );
    // Only of jobs that match, signed, with the job's state and no parameters.
    let mut events: Vec<String> = hook
        .bodies()
        .iter()
        .map(|body| {
            assert!(body["build"].get("parameters").is_none());
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            format!("{} {}", word(&body["build"]["job"]), word(&body["event"]))
        })
        .collect();
    events.sort();
    assert_eq!(events, ["team/hub finished", "team/hub running", "team/lab running"]);
    let all = hook.all.lock().unwrap().clone();
    assert!(all.iter().all(|one| one.headers.contains_key("x-pilotfish-signature-256")));

    // What is refused for good is shown, and tried again when somebody says so.
    *github.refuse.lock().unwrap() = refusals([(422, "No commit found for SHA")]);
    let lost = start(&world, "team/hub", &"b".repeat(40)).await;
    let dead = async || world.get("/v1/outbox", OPERATOR).await.ok();
    until("a dead report", async || {
        dead().await.as_array().unwrap().iter().any(|one| one["is_dead"] == true)
    })
    .await;
    let shown = dead().await;
    assert!(shown[0]["error"].as_str().unwrap().contains("No commit found"), "{shown}");
    assert!(!shown.to_string().contains(TOKEN));
    let (viewer, boss) =
        (Browser::with(&world.url, VIEWER).await, Browser::with(&world.url, BOSS).await);
    let page = viewer.get("/deliveries").await.text;
    assert!(page.contains("No commit found") && page.contains("given up"), "{page}");
    assert!(!page.contains("Try all again now") && !page.contains(TOKEN), "{page}");
    assert!(boss.get("/deliveries").await.text.contains("Try all again now"));
    let csrf = viewer.csrf().await;
    let refused = viewer.post("/deliveries/retry", &[("csrf", &csrf)], "same-origin").await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let csrf = boss.csrf().await;
    let again = boss.post("/deliveries/retry", &[("csrf", &csrf)], "same-origin").await;
    assert_eq!((again.status, location(&again).as_str()), (303, "/deliveries"));
    let again = world.post("/v1/outbox/retry", OPERATOR, &json!({})).await.ok();
    assert_eq!(again["messages"], 0, "none of them has failed since");
    until("the status", async || github.bodies().len() == 3).await;
    // A build of a commit that is none has no status.
    start(&world, "team/hub", "main").await;
    moved(&world, &lost, BuildState::Finished, Some("UNSTABLE")).await;
    until("the end", async || github.bodies().last().unwrap()["state"] == "failure").await;
    assert_eq!(github.bodies().len(), 4);
    second.abort();

    follow_one_another(&world).await;
    commits_are_found(&world).await;
}

/// Builds that start one another, once; not round and round.
async fn follow_one_another(world: &World) {
    let upstream = |job: &str, result: &str| json!({"triggers": {"upstream": [{"job": job, "result": result, "parameters": {"COMMIT": "COMMIT"}}]}});
    world.post("/v1/jobs", OPERATOR, &job("up/a", &json!({}))).await.ok();
    world.post("/v1/jobs", OPERATOR, &job("up/b", &upstream("up/a", "success"))).await.ok();
    world.post("/v1/jobs", OPERATOR, &job("up/c", &upstream("up/b", "any"))).await.ok();
    for (wrong, words) in [
        (job("up/a", &upstream("up/c", "any")), "up/a → up/b → up/c → up/a"),
        (job("up/a", &upstream("up/a", "any")), "up/a → up/a"),
        (job("up/d", &upstream("up/e", "any")), "there is no job `up/e`"),
        (
            job(
                "up/d",
                &json!({"triggers": {"upstream": [{"job": "up/a", "parameters": {"COMMIT": "COMIT"}}]}}),
            ),
            "did you mean `COMMIT`?",
        ),
    ] {
        let refused = world.post("/v1/jobs", OPERATOR, &wrong).await;
        assert_eq!(refused.status, 422);
        assert!(refused.json.to_string().contains(words), "{}", refused.json);
    }
    let builds = async |job: &str| {
        let all = world
            .service
            .store
            .newest_routed(&BuildFilter { limit: 500, ..BuildFilter::default() })
            .await
            .unwrap();
        all.into_iter().filter(|build| build.job == job).collect::<Vec<_>>()
    };
    let first = start(world, "up/a", "c0ffee").await;
    let failed = start(world, "up/a", "bad").await;
    moved(world, &first, BuildState::Finished, Some("SUCCESS")).await;
    moved(world, &failed, BuildState::Finished, Some("FAILURE")).await;
    for name in ["three", "four"] {
        let leader =
            tokio::spawn(run_triggers(Arc::clone(&world.service), name.to_owned(), options()));
        until("the next build", async || builds("up/b").await.len() == 1).await;
        until("all told", async || world.service.store.unannounced(10).await.unwrap().is_empty())
            .await;
        leader.abort();
        let _ = leader.await;
        // As if the leader had died before it could say that it had started what follows.
        let build = world.service.store.routed(&first).await.unwrap().unwrap();
        world.service.store.announce(&build, build.version, &[], 1).await.unwrap();
        let change = Change { build, attempt: AttemptChange::None };
        world.service.store.change_routed(&[change], 1).await.unwrap();
    }
    let next = &builds("up/b").await[0];
    assert_eq!(next.request.parameters["COMMIT"], "c0ffee");
    assert_eq!(next.request.cause, "build 1 of up/a");
    let told = world.get("/v1/jobs/up%2Fb", OPERATOR).await.ok();
    assert_eq!(told["triggers"][0]["build"], next.id.as_str());
}

/// New commits of a repository on this machine.
async fn commits_are_found(world: &World) {
    let place = world.path().join("git/web.git");
    let git = |arguments: &[&str]| {
        let out = Command::new("git")
            .arg("-C")
            .arg(world.path().join("git"))
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([
                ("GIT_AUTHOR_NAME", "t"),
                ("GIT_AUTHOR_EMAIL", "t@t"),
                ("GIT_COMMITTER_NAME", "t"),
                ("GIT_COMMITTER_EMAIL", "t@t"),
            ])
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", "--bare", "web.git"]);
    let push = |branch: &str, words: &str| {
        let bare = place.to_str().unwrap();
        let tree = git(&["--git-dir", bare, "hash-object", "-t", "tree", "-w", "/dev/null"]);
        let commit = git(&["--git-dir", bare, "commit-tree", &tree, "-m", words]);
        git(&["--git-dir", bare, "update-ref", &format!("refs/heads/{branch}"), &commit]);
        commit
    };
    push("main", "one");
    let repository = format!("file://{}", world.path().join("git/web").display());
    let poll = json!({"triggers": {"poll": [{"repository": format!("{repository}.git"), "branches": ["main", "release/*"],
        "schedule": "H/5 * * * *", "parameters": {"COMMIT": "commit"}}, {"repository": format!("{repository}-none"),
        "branches": ["main"], "schedule": "H/5 * * * *"}]}});
    world.post("/v1/jobs", OPERATOR, &job("poll/web", &poll)).await.ok();
    let leader =
        tokio::spawn(run_triggers(Arc::clone(&world.service), "five".to_owned(), options()));
    let known = async || world.service.store.triggers(Some("poll/web")).await.unwrap();
    until("next times", async || known().await.len() == 2).await;
    leader.abort();
    let _ = leader.await;
    let found = async || {
        let all = world
            .service
            .store
            .newest_routed(&BuildFilter { limit: 500, ..BuildFilter::default() })
            .await
            .unwrap();
        let mut all: Vec<_> = all.into_iter().filter(|build| build.job == "poll/web").collect();
        all.sort_by_key(|build| build.number);
        all.into_iter().map(|build| build.request.parameters["COMMIT"].clone()).collect::<Vec<_>>()
    };
    let mut expected = Vec::new();
    for round in 0..3 {
        if round > 0 {
            expected.push(push("main", &format!("round {round}")));
            push("feature/x", "not one of ours");
        }
        for row in known().await {
            world
                .service
                .store
                .save_trigger(&TriggerRow { next_ms: Some(1), ..row })
                .await
                .unwrap();
        }
        let leader = tokio::spawn(run_triggers(
            Arc::clone(&world.service),
            format!("six {round}"),
            options(),
        ));
        until("a look", async || known().await.iter().all(|row| row.next_ms > Some(1))).await;
        leader.abort();
        let _ = leader.await;
        assert_eq!(found().await, expected, "round {round}");
    }
    let told = world.get("/v1/jobs/poll%2Fweb", OPERATOR).await.ok();
    assert!(told["triggers"][1]["note"].as_str().unwrap().starts_with("git ls-remote: "), "{told}");
}

#[tokio::test]
async fn each_stage_has_a_status_that_ends_with_its_build() {
    let none = "http://127.0.0.1:9";
    let world = World::with_masters_and_forges(None, unreachable_masters(), |directory| {
        forges(directory, [none; 4])
    })
    .await;
    with_commit(&world);
    let statuses = json!({"statuses": {"repository": "https://github.example/acme/web", "commit": "COMMIT",
        "stages": true}});
    world.post("/v1/jobs", OPERATOR, &job("a/hub", &statuses)).await.ok();
    let commit = "a".repeat(40);
    let id = start(&world, "a/hub", &commit).await;
    let spec: JobSpec = serde_json::from_value(job("a/hub", &statuses)).unwrap();
    let event = |value: Value| value.to_string();
    let stages = stages(&[
        event(json!({"type": "stage-started", "node": "build"})),
        event(json!({"type": "stage-finished", "node": "build", "outcome": "success"})),
        event(json!({"type": "stage-started", "node": "test"})),
    ]);
    let mut told = Vec::new();
    for (state, result) in [(BuildState::Running, None), (BuildState::Finished, Some("FAILURE"))] {
        moved(&world, &id, state, result).await;
        let build = world.service.store.routed(&id).await.unwrap().unwrap();
        for message in messages(&world.service.forges, &build, Some(&spec), &stages) {
            let status: CommitStatus = serde_json::from_str(&message.body).unwrap();
            assert_eq!(status.url, format!("https://bridge.example/builds/{id}"));
            told.push(format!("{} {:?}: {}", status.context, status.state, status.description));
        }
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_forge_above_its_limit_is_left_alone() {
    const MANY: usize = 30;
    let github = Told::start().await;
    let none = "http://127.0.0.1:9".to_owned();
    let world = World::with_masters_and_forges(None, unreachable_masters(), |directory| {
        forges(directory, [&github.url, &none, &none, &none])
    })
    .await;
    with_commit(&world);
    world.post("/v1/jobs", OPERATOR, &job("team/hub", &json!({}))).await.ok();
    let build = start(&world, "team/hub", "c0ffee").await;
    let store = &world.service.store;
    let build = store.routed(&build).await.unwrap().unwrap();
    let message = |number: usize| {
        let status = CommitStatus {
            repository: "acme/web".to_owned(),
            commit: "a".repeat(40),
            context: format!("stage {number}"),
            state: CommitState::Success,
            description: String::new(),
            url: String::new(),
        };
        Message {
            target: "status:github".to_owned(),
            item: status.context.clone(),
            lane: status.context.clone(),
            number: 1,
            body: serde_json::to_string(&status).unwrap(),
            replaces: true,
        }
    };
    let messages: Vec<Message> = (0..MANY).map(message).collect();
    store.announce(&build, 0, &messages, 1).await.unwrap();
    let hour = world.service.now() + 3_600;
    let limited =
        vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", hour.to_string())];
    *github.refuse.lock().unwrap() = vec![(403, limited, "API rate limit exceeded"); MANY];
    let target = Target::Status(Arc::clone(world.service.forges.get("github").unwrap()));
    let rests_until = AtomicI64::new(0);
    let round = async || {
        send_round(&world.service, options().send, "status:github", &target, &rests_until).await;
        MANY - github.refuse.lock().unwrap().len()
    };
    // Those that were under way when the first was refused.
    let asked = round().await;
    assert!((1..=8).contains(&asked), "{asked}");
    assert_eq!(round().await, asked, "not before the hour is over");
    let now = world.service.now_ms();
    let rests = rests_until.load(Ordering::Relaxed) - now;
    assert!((3_000_000..=3_600_000).contains(&rests), "{rests}");
    assert!(github.bodies().is_empty());
    // As if it were over. What was not sent is due, what was refused has a time of its own.
    github.refuse.lock().unwrap().clear();
    rests_until.store(0, Ordering::Relaxed);
    round().await;
    assert_eq!(github.bodies().len(), MANY - asked);
}

#[tokio::test]
async fn what_becomes_of_builds_is_told_in_order() {
    told_in_order(None).await;
}
