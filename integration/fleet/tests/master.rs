//! A simulated master as the bridge's own client sees it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;

use pilotfish_bridge::rest::{
    Client, ClientOptions, JobName, Login, ProxyChoice, RestError, RetryPolicy,
};
use pilotfish_fleet::ledger::{Ledger, What};
use pilotfish_fleet::master::{self, Level, Options, Running, User};
use tempfile::TempDir;

const DEFINITION: &str = "<flow-definition plugin=\"workflow-job\"><properties>\
<hudson.model.ParametersDefinitionProperty><parameterDefinitions><hudson.model.StringParameterDefinition>\
<name>PILOTFISH_BUILD_KEY</name><defaultValue/></hudson.model.StringParameterDefinition>\
</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties></flow-definition>";

fn options(home: &Path) -> Options {
    let mut options = Options {
        pods: Some(home.join("pods")),
        ledger: Some(home.join("ledger")),
        executors: 2,
        stage_ms: (1, 5),
        stages: 2,
        queue_ms: 0,
        queue_save_ms: 0,
        ..Options::local("north", home.join("home"))
    };
    let viewer = User { name: "viewer".into(), token: "t-viewer".into(), level: Level::Read };
    options.users.push(viewer);
    options
}

struct World {
    master: Running,
    http: reqwest::Client,
    home: TempDir,
}

impl World {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let master = master::start(options(home.path())).await.unwrap();
        Self { master, http: pilotfish_fleet::http_client().unwrap(), home }
    }

    fn client(&self) -> Client {
        let mut options = ClientOptions::new(format!("http://{}/", self.master.address));
        options.login = Some(Login { user: "bridge".into(), token: "t-bridge".to_owned().into() });
        options.proxy = ProxyChoice::Direct;
        options.retry = RetryPolicy { tries: 1, ..RetryPolicy::default() };
        Client::new(&options).unwrap()
    }

    async fn post(&self, user: &str, path: &str, body: &str) -> reqwest::Response {
        let url = format!("http://{}/{path}", self.master.address);
        let request = self.http.post(url).basic_auth(user, Some(format!("t-{user}")));
        request.body(body.to_owned()).send().await.unwrap()
    }

    async fn faults(&self, faults: &str) {
        let url = format!("http://{}/faults", self.master.control);
        let answer = self.http.post(url).body(faults.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    async fn make_job(&self) -> JobName {
        let folder = "<com.cloudbees.hudson.plugins.folder.Folder/>";
        assert_eq!(self.post("bridge", "createItem?name=team", folder).await.status(), 200);
        let made = self.post("bridge", "job/team/createItem?name=web", DEFINITION).await;
        assert_eq!(made.status(), 200);
        JobName::parse("team/web").unwrap()
    }

    async fn ended(&self, job: &JobName, number: u64) -> String {
        loop {
            if let Ok(build) = self.client().build(job, number).await
                && let Some(result) = build.result
            {
                return result;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn key(text: &str) -> Vec<(String, String)> {
    vec![("PILOTFISH_BUILD_KEY".into(), text.into()), ("UNKNOWN".into(), "dropped".into())]
}

#[tokio::test]
async fn a_build_is_triggered_runs_its_stages_and_is_in_the_ledger() {
    let world = World::start().await;
    let client = world.client();
    assert_eq!(client.pulse().await.unwrap().version, "2.568.2");
    let nodes = client.nodes().await.unwrap();
    assert_eq!((nodes.executors, nodes.online), (2, 2));
    assert!(nodes.labels.contains("linux"));
    let job = world.make_job().await;
    client.start(&job, &key("k1")).await.unwrap();
    assert_eq!(world.ended(&job, 1).await, "SUCCESS");
    let build = client.build(&job, 1).await.unwrap();
    let names: BTreeSet<&str> = build.parameters.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["PILOTFISH_BUILD_KEY"]), "others are not declared");
    let ledger = Ledger::read(&world.home.path().join("ledger")).unwrap();
    let stages: Vec<&str> = ledger
        .iter()
        .filter(|entry| entry.what == What::Stage && entry.key == "k1")
        .map(|entry| entry.detail.as_str())
        .collect();
    assert_eq!(stages, ["0", "1"]);
    assert_eq!(ledger.last().unwrap().detail, "SUCCESS");
}

#[tokio::test]
async fn refusals_are_those_of_a_live_one() {
    let world = World::start().await;
    world.make_job().await;
    let again = world.post("bridge", "job/team/createItem?name=web", DEFINITION).await;
    assert_eq!(again.status(), 400);
    assert_eq!(again.headers()["x-error"], "A job already exists with the name  web");
    assert_eq!(world.post("bridge", "createItem?name=x", "<a><b></a>").await.status(), 500);
    assert_eq!(world.post("bridge", "createItem?name=a%2Fb", DEFINITION).await.status(), 400);
    let refused = world.post("viewer", "job/team/job/web/buildWithParameters", "").await;
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["x-required-permission"], "hudson.model.Item.Build");
    assert!(refused.text().await.unwrap().contains("authenticated as: viewer"));
    let url = format!("http://{}/api/json", world.master.address);
    let wrong = world.http.get(url).basic_auth("bridge", Some("wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(world.post("bridge", "job/none/build", "").await.status(), 404);
}

#[tokio::test]
async fn triggers_and_cancels_are_answered_as_live_ones() {
    let world = World::start().await;
    let client = world.client();
    let job = world.make_job().await;
    world.faults("{\"stuck\": true}").await;
    let first = client.trigger(&job, &key("k1")).await.unwrap();
    assert_eq!(
        client.trigger(&job, &key("k1")).await.unwrap(),
        first,
        "303 to the item that waits"
    );
    let second = client.trigger(&job, &key("k2")).await.unwrap();
    assert_ne!(second, first);
    let form = format!("id={first}");
    let cancel = || world.post("bridge", "queue/cancelItem", &form);
    let statuses = [cancel().await.status().as_u16(), cancel().await.status().as_u16()];
    assert_eq!(statuses, [204, 500], "left already");
    client.cancel(first).await.unwrap();
    assert!(client.declares_key(&job).await.unwrap());
    world.faults("{}").await;
    world.ended(&job, 1).await;
    let ran = client.recent_builds(&job).await.unwrap();
    assert_eq!(ran[0].item, Some(second), "a build names its item for ever");

    let status = |error: RestError| match error {
        RestError::Status { status, .. } => status,
        other => panic!("{other}"),
    };
    let change = |xml: String| async {
        let xml = xml;
        assert_eq!(world.post("bridge", "job/team/job/web/config.xml", &xml).await.status(), 200);
    };
    let disabled = "<disabled>true</disabled></flow-definition>";
    change(DEFINITION.replace("</flow-definition>", disabled)).await;
    assert_eq!(status(client.trigger(&job, &key("k3")).await.unwrap_err()), 409);
    change("<flow-definition/>".to_owned()).await;
    assert!(!client.declares_key(&job).await.unwrap());
    assert_eq!(status(client.trigger(&job, &key("k3")).await.unwrap_err()), 500);
}

#[tokio::test]
async fn what_waits_and_what_ran_is_there_after_a_restart() {
    let mut world = World::start().await;
    let job = world.make_job().await;
    world.client().start(&job, &key("done")).await.unwrap();
    world.ended(&job, 1).await;
    world.faults("{\"stuck\": true}").await;
    let place = world.client().start(&job, &key("waits")).await.unwrap();
    assert_eq!(world.client().queue_length().await.unwrap(), 1);
    // Without a word, as one that is killed; another one opens its directory.
    world.master = master::start(options(world.home.path())).await.unwrap();
    assert_eq!(world.ended(&job, 2).await, "SUCCESS");
    let build = world.client().build(&job, 2).await.unwrap();
    assert_eq!(build.parameters[0].value, Some("waits".into()));
    assert!(place.id > 0);
}

#[tokio::test]
async fn a_trigger_may_be_done_without_an_answer() {
    let world = World::start().await;
    let job = world.make_job().await;
    world.faults("{\"lost_answers\": 1}").await;
    let error = world.client().start(&job, &key("lost")).await.unwrap_err();
    assert!(error.to_string().contains("cannot reach"), "{error}");
    assert_eq!(world.ended(&job, 1).await, "SUCCESS");
    world.faults("{\"unavailable\": true}").await;
    assert!(world.client().pulse().await.unwrap_err().to_string().contains("503"));
}
