//! Masters and labels over HTTP.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::board::{Browser, location};
use super::routed::masters_at;
use super::world::{AGENT, BOSS, BUILDER, OPERATOR, READER, SHIM, VIEWER, World};
use crate::masters::watch::look;
use crate::masters::{Health, HealthRules, MastersFile, Registry, State};
use crate::rest::stub::{Reply, Stub, recording};
use crate::route::BuildState;
use crate::service::store::{AttemptChange, Change};

#[tokio::test]
async fn masters_and_labels_are_told() {
    let (root, computers, queue) = (recording(51), recording(31), recording(24));
    let stub = Stub::start(move |request| match request.path.as_str() {
        "/api/json" => {
            let reply = root.cut(Some("mode,quietingDown"));
            Reply { body: reply.body.replace("true", "false"), ..reply }
        }
        "/computer/api/json" => computers.cut(request.tree.as_deref()),
        _ => queue.cut(request.tree.as_deref()),
    })
    .await;
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"11aabb").unwrap();
    let file = MastersFile::read(
        "masters.yaml",
        &format!(
            "api: pilotfish/v1\nkind: masters\nmasters:\n  north: {{url: '{}', user: bridge, token_file: {}, \
             proxy: none, labels: [linux], permission: trigger}}\n",
            stub.url,
            token.path().display()
        ),
    )
    .unwrap();
    let registry = Arc::new(Registry::of(&file).unwrap());
    let world = World::with_masters(Arc::clone(&registry)).await;
    let masters = world.get("/v1/masters", OPERATOR).await.ok();
    assert_eq!(masters[0]["refusal"], "it was not looked at yet");
    let master = registry.get("north").unwrap();
    master.observe(&look(&master, true).await, &HealthRules::default());
    let masters = world.get("/v1/masters", OPERATOR).await.ok();
    assert_eq!(masters[0]["name"], "north");
    assert_eq!(masters[0]["refusal"], Value::Null);
    assert_eq!(masters[0]["state"]["health"], "healthy");
    assert_eq!(masters[0]["state"]["seen"]["version"], "2.568.2");
    assert_eq!(masters[0]["permission"], "trigger");
    assert!(!masters.to_string().contains("11aabb"));
    let labels = world.get("/v1/labels", OPERATOR).await.ok();
    assert_eq!(labels[0]["label"], "linux");
    assert_eq!(labels[0]["alert"], "only north is ready for it: no other master has it");
    assert_eq!(world.get("/v1/masters", AGENT).await.status, 403);
}

/// An executor with a build, as `hudson.model.Run` exports it.
fn busy(job: &str, number: u32, cause: &str, key: &str) -> Value {
    json!({"currentExecutable": {"_class": "hudson.model.FreeStyleBuild", "timestamp": 1_000 + number,
        "url": format!("http://ci.example/job/team/job/{job}/{number}/"),
        "actions": [{"causes": [{"_class": cause}]}, {}, null,
            {"parameters": [{"name": "PILOTFISH_BUILD_KEY", "value": key}, {"name": "n", "value": 1}]}]}})
}

#[tokio::test]
async fn what_masters_run_by_themselves_is_listed() {
    let user = "hudson.model.Cause$UserIdCause";
    // The stage of a Pipeline, as `ExecutorStepExecution.PlaceholderTask.PlaceholderExecutable` exports it.
    let stage = json!({"currentExecutable": {"timestamp": 1_004,
        "url": "http://ci.example/job/team/job/pipeline/4/"}});
    let odd = json!({"currentExecutable": {"url": ""}});
    let mut computers: Value = serde_json::from_str(&recording(31).reply.body).unwrap();
    computers["computer"][0]["oneOffExecutors"] = json!([
        busy("pipeline", 4, "hudson.triggers.TimerTrigger$TimerTriggerCause", ""),
        busy("ours", 5, user, "k-5"),
        busy("web", 7, user, "")
    ]);
    computers["computer"][1]["executors"] =
        json!([busy("free", 6, user, ""), stage, {"currentExecutable": null}, null, odd]);
    let nodes = recording(31);
    let stub = Stub::start(move |_| nodes.reply.clone().with_json(&computers)).await;
    let masters = masters_at(&stub.url);
    let world = World::with_masters(Arc::clone(&masters)).await;
    // A build of the bridge whose key the master does not tell.
    let job = json!({"name": "team/web", "pipeline": "service", "labels": ["linux"],
        "parameters": {"stack": {"default": "go"}}});
    world.post("/v1/jobs", OPERATOR, &job).await.ok();
    let made = world.post("/v1/builds", OPERATOR, &json!({"job": "team/web"})).await.ok();
    let id = made["id"].as_str().unwrap();
    let mut build = world.service.store.routed(id).await.unwrap().unwrap();
    (build.state, build.master) = (BuildState::Running, Some("main".to_owned()));
    build.url = Some("http://other.example/job/team/job/web/7/".to_owned());
    let change = Change { build, attempt: AttemptChange::None };
    assert_eq!(world.service.store.change_routed(&[change], 1).await.unwrap(), [true]);

    let list = world.get("/v1/running", READER).await.ok();
    let line = |one: &Value| {
        let at = format!("{} {} #{}", one["master"], one["job"], one["number"]).replace('"', "");
        format!("{at} {} {} {}", one["nodes"], one["cause"], one["started_ms"])
    };
    let lines: Vec<String> = list["builds"].as_array().unwrap().iter().map(line).collect();
    assert_eq!(
        lines,
        [
            r#"main team/free #6 ["pyagent"] "user" 1006"#,
            r#"main team/pipeline #4 ["pyagent"] "timer" 1004"#
        ]
    );
    assert_eq!(list["unseen"], json!({}));
    let free = world.get("/v1/running?job=team/free&master=main", READER).await.ok();
    assert_eq!(free["builds"].as_array().unwrap().len(), 1);
    let none = world.get("/v1/running?master=other", READER).await.ok();
    assert_eq!(none, json!({"builds": [], "unseen": {}}));
    assert_eq!(stub.requests().len(), 1, "within a few seconds it is asked once");
    assert_eq!(world.get("/v1/running", SHIM).await.status, 403);

    // One that is ill is not asked.
    let state = State { health: Health::Unhealthy, reason: "gone".into(), ..State::default() };
    masters.get("main").unwrap().set_state(state);
    let list = world.get("/v1/running", READER).await.ok();
    assert_eq!(list, json!({"builds": [], "unseen": {"main": "gone"}}));
}

/// A master is taken out by somebody and given back, and every replica knows.
pub async fn taken_out_and_given_back(world: &World) {
    let drain = "/v1/masters/main/drain";
    let why = json!({"reason": "new disks"});
    for (token, status) in [(VIEWER, 403), (BUILDER, 403), (SHIM, 403), ("", 401)] {
        assert_eq!(world.post(drain, token, &why).await.status, status, "{token}");
    }
    assert_eq!(world.post("/v1/masters/other/drain", BOSS, &why).await.status, 404);
    for reason in ["", "two\nlines", &"x".repeat(501)] {
        assert_eq!(world.post(drain, BOSS, &json!({"reason": reason})).await.status, 400);
    }
    let answer = world.post(drain, BOSS, &why).await.ok();
    assert_eq!(answer["drain"]["reason"], "new disks");
    let master = world.service.masters.get("main").unwrap();
    let seen = State { health: Health::Healthy, ..State::default() };
    master.set_state(seen);
    let who = answer["drain"]["who"].as_str().unwrap();
    assert_eq!(master.refusal(0), Some(format!("{who} has taken it out: new disks")));
    let label = &world.get("/v1/labels", OPERATOR).await.ok()[0];
    assert!(label["not_ready"]["main"].as_str().unwrap().contains("new disks"), "{label}");
    // Another replica, or this one after a restart.
    world.service.masters.set_drains(BTreeMap::new());
    assert_eq!(master.refusal(0), None);
    world.service.read_drains().await.unwrap();
    assert!(master.refusal(0).is_some());
    let answer = world.post("/v1/masters/main/resume", BOSS, &json!({})).await.ok();
    assert!(answer.get("drain").is_none() && answer.get("refusal").is_none(), "{answer}");
    assert_eq!(world.post("/v1/masters/main/resume", VIEWER, &json!({})).await.status, 403);
    let audit = world.get("/v1/audit?limit=500", BOSS).await.ok();
    let done = |action: &str, subject: &str, status: u16| {
        audit.as_array().unwrap().iter().any(|row| {
            row["action"] == action && row["subject"] == subject && row["status"] == status
        })
    };
    assert!(done("take a master out", "main: new disks", 200), "{audit}");
    assert!(done("take a master out", "main", 403) && done("give a master back", "main", 200));
}

#[tokio::test]
async fn masters_are_taken_out_by_operators() {
    let world = World::with_masters(super::routed::unreachable_masters()).await;
    taken_out_and_given_back(&world).await;
    // On the page of the masters.
    let (viewer, boss) =
        (Browser::with(&world.url, VIEWER).await, Browser::with(&world.url, BOSS).await);
    assert!(!viewer.get("/").await.text.contains("/masters/main/"));
    let csrf = boss.csrf().await;
    let form = [("csrf", csrf.as_str()), ("reason", "<b>moving</b>")];
    let done = boss.post("/masters/main/drain", &form, "same-origin").await;
    assert_eq!((done.status, location(&done).as_str()), (303, "/#masters"), "{}", done.text);
    let page = viewer.get("/").await.text;
    assert!(page.contains("has taken it out: &lt;b&gt;moving&lt;/b&gt;"), "{page}");
    assert!(!page.contains("/masters/main/"));
    assert!(boss.get("/").await.text.contains("action=\"/masters/main/resume\""));
    let old = [("csrf", "x"), ("reason", "x")];
    assert_eq!(boss.post("/masters/main/resume", &old, "same-origin").await.status, 403);
    let done = boss.post("/masters/main/resume", &form[..1], "same-origin").await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(world.service.masters.get("main").unwrap().drain(), None);
}
