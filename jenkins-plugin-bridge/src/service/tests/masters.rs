//! Masters and labels over HTTP.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::board::{Browser, location};
use super::routed::masters_at;
use super::world::{AGENT, BOSS, BUILDER, OPERATOR, READER, SHIM, VIEWER, World};
use crate::masters::watch::look;
use crate::masters::{Health, HealthRules, MastersFile, Registry, Source, State};
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

    // What jobs and builds ask for is in use, whether a master has it or not.
    let job = json!({"name": "team/web", "pipeline": "service", "labels": ["gpu", "linux"],
        "parameters": {"stack": {"default": "go"}}});
    world.post("/v1/jobs", OPERATOR, &job).await.ok();
    let order = json!({"job": "team/web", "labels": ["mars"]});
    world.post("/v1/builds", OPERATOR, &order).await.ok();
    let labels = world.get("/v1/labels", OPERATOR).await.ok();
    let told = |label: &str| {
        let all = labels.as_array().unwrap();
        all.iter().find(|one| one["label"] == label).map(|one| one["alert"].clone())
    };
    for label in ["gpu", "mars", "gpu && linux", "gpu && linux && mars"] {
        assert_eq!(told(label), Some(json!("no master has it")), "{label}");
    }
    assert_eq!(world.get("/v1/masters", OPERATOR).await.ok()[0]["calls_last_minute"], 3);
    let text = world.text("/metrics").await;
    for line in [
        "master_ready{master=\"north\"} 1",
        "master_requests_total{master=\"north\"} 3",
        "label_masters_ready{label=\"linux\"} 1",
        "label_masters_ready{label=\"gpu && linux\"} 0",
        "live_builds{state=\"waiting\"} 1",
        "live_builds{state=\"running\"} 0",
        "job_copies{state=\"drifted\"} 0",
        "undelivered_reports{state=\"given-up\"} 0",
    ] {
        let line = format!("pilotfish_bridge_{line}");
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    world.post("/v1/jobs/team%2Fweb/remove", OPERATOR, &json!({"dry_run": false})).await.ok();
    let labels = world.get("/v1/labels", OPERATOR).await.ok();
    let names: Vec<&Value> = labels.as_array().unwrap().iter().map(|one| &one["label"]).collect();
    assert_eq!(names, ["gpu", "gpu && linux && mars", "linux", "mars"], "its build still waits");
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
    world.service.read_masters().await.unwrap();
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

/// Masters are declared over the API, by name of their token, and removed; every replica knows. The master `main` is
/// one of the file.
pub async fn declared_and_removed(world: &World) {
    let stub = Stub::start(|request| {
        assert_eq!(request.path, "/ci/api/json");
        Reply { body: r#"{"mode": "NORMAL", "quietingDown": false}"#.into(), ..recording(51).reply }
    })
    .await;
    let url = format!("{}/ci", stub.url.trim_end_matches('/'));
    let keep = |name: &str, text: &str| std::fs::write(world.path().join(name), text).unwrap();
    keep(
        "north-token",
        &format!("11north\n{url}/\nhttps://new.example.com/\nhttp://127.0.0.1:1/\n"),
    );
    let declared = |name: &str, url: &str, token: &str| json!({"name": name, "url": url, "user": "bridge", "token": token, "labels": ["linux", "arm"]});
    let north = declared("north", &url, "north-token");
    for (token, status) in [(VIEWER, 403), (BUILDER, 403), (SHIM, 403), ("", 401)] {
        assert_eq!(world.post("/v1/masters", token, &north).await.status, status, "{token}");
        assert_eq!(world.post("/v1/masters/north/remove", token, &json!({})).await.status, status);
    }
    // All that is wrong is told at once; a token goes only where its file says.
    let refused = async |body: Value| {
        let reply = world.post("/v1/masters", BOSS, &body).await;
        assert_eq!(
            (reply.status, reply.json["type"].as_str()),
            (422, Some("urn:pilotfish:problem:master"))
        );
        let errors = reply.json["errors"].as_array().unwrap().clone();
        errors.iter().map(|one| format!("{}: {}", one["path"], one["message"])).collect::<Vec<_>>()
    };
    let many = refused(
        json!({"name": "north", "url": "north", "user": "a:b", "token": "../x", "labels": []}),
    )
    .await;
    assert_eq!(many.len(), 4, "{many:#?}");
    let elsewhere = refused(declared("north", "https://evil.example.com/", "north-token")).await;
    assert!(elsewhere[0].contains("is not good at https://evil.example.com/"), "{elsewhere:?}");
    assert!(!elsewhere[0].contains("11north"));
    let missing = refused(declared("north", &url, "south-token")).await;
    assert!(missing[0].contains("there is no token south-token"), "{missing:?}");
    let twice = refused(declared("north", "http://127.0.0.1:1", "north-token")).await;
    assert!(twice[0].contains("is that of main, too"), "{twice:?}");
    let of_file = world.post("/v1/masters", BOSS, &declared("main", &url, "north-token")).await;
    assert_eq!(of_file.status, 409, "{}", of_file.json);

    let answer = world.post("/v1/masters", BOSS, &north).await.ok();
    assert_eq!(answer["refusal"], "it was not looked at yet");
    assert_eq!((&answer["source"], &answer["permission"]), (&json!("api"), &json!("full")));
    let master = world.service.masters.get("north").unwrap();
    assert!(master.client.pulse().await.is_ok());
    // Base64 of bridge:11north.
    assert_eq!(stub.requests()[0].headers["authorization"], "Basic YnJpZGdlOjExbm9ydGg=");
    let all = world.get("/v1/masters", VIEWER).await.ok();
    let sources: Vec<&Value> = all.as_array().unwrap().iter().map(|one| &one["source"]).collect();
    assert_eq!(sources, [&json!("file"), &json!("api")]);
    // Said again nothing changes; another replica knows it, too.
    world.post("/v1/masters", BOSS, &north).await.ok();
    assert!(Arc::ptr_eq(&master, &world.service.masters.get("north").unwrap()));
    world.service.masters.declare(Source::Api, Vec::new());
    world.service.read_masters().await.unwrap();
    assert_eq!(world.service.masters.get("north").unwrap().source, Source::Api);

    // A build that is there is not left alone.
    world.post("/v1/jobs", OPERATOR, &super::routed::job("team/declared")).await.ok();
    let made = world.post("/v1/builds", OPERATOR, &json!({"job": "team/declared"})).await.ok();
    let mut build =
        world.service.store.routed(made["id"].as_str().unwrap()).await.unwrap().unwrap();
    (build.state, build.master) = (BuildState::Running, Some("north".to_owned()));
    let change = Change { build: build.clone(), attempt: AttemptChange::None };
    assert_eq!(world.service.store.change_routed(&[change], 1).await.unwrap(), [true]);
    let moved = declared("north", "https://new.example.com", "north-token");
    for reply in [
        world.post("/v1/masters", BOSS, &moved).await,
        world.post("/v1/masters/north/remove", BOSS, &json!({})).await,
    ] {
        assert_eq!(reply.status, 409, "{}", reply.json);
        assert!(reply.json["detail"].as_str().unwrap().starts_with("1 build(s)"), "{}", reply.json);
    }
    // What else is declared of it may change meanwhile.
    let mut more = north.clone();
    more["capacity"] = json!(7);
    assert_eq!(world.post("/v1/masters", BOSS, &more).await.ok()["capacity"], 7);
    (build.state, build.version) = (BuildState::Finished, build.version + 1);
    let change = Change { build, attempt: AttemptChange::None };
    assert_eq!(world.service.store.change_routed(&[change], 2).await.unwrap(), [true]);

    // A token that is gone: the master stays and gets nothing.
    std::fs::remove_file(world.path().join("north-token")).unwrap();
    world.service.read_masters().await.unwrap();
    let all = world.get("/v1/masters", VIEWER).await.ok();
    let refusal = all[1]["refusal"].as_str().unwrap();
    assert!(refusal.starts_with("there is no token north-token"), "{refusal}");

    let removed = world.post("/v1/masters/north/remove", BOSS, &json!({})).await;
    assert_eq!(removed.status, 200, "{}", removed.json);
    assert_eq!(world.post("/v1/masters/north/remove", BOSS, &json!({})).await.status, 404);
    assert_eq!(world.post("/v1/masters/main/remove", BOSS, &json!({})).await.status, 409);
    let all = world.get("/v1/masters", VIEWER).await.ok();
    assert_eq!(all.as_array().unwrap().len(), 1);
    let audit = world.get("/v1/audit?limit=500", BOSS).await.ok();
    let done = |action: &str, subject: &str, status: u16| {
        let is = |row: &Value| {
            row["action"] == action && row["subject"] == subject && row["status"] == status
        };
        assert!(audit.as_array().unwrap().iter().any(is), "{action} {subject} {status}");
    };
    done("declare a master", &format!("north: {url}"), 200);
    done("declare a master", &format!("north: {url}"), 403);
    done("remove a master", "north", 200);
}

#[tokio::test]
async fn masters_are_taken_out_by_operators() {
    let world = World::with_masters(super::routed::unreachable_masters()).await;
    taken_out_and_given_back(&world).await;
    declared_and_removed(&world).await;
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
