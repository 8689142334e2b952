//! The client and the reading against a stub of recorded answers.

mod many;
mod refusals;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::stub::{Reply, Seen, Stub, prune, recording};
use super::*;
use crate::rest::scope::Scope;

const HTML: [(&str, &str); 1] = [("Content-Type", "text/html;charset=utf-8")];
const TOKEN: &str = "11ffeeddccbbaa";

fn client(stub: &Stub) -> Client {
    client_with(stub, |_| {})
}

fn client_with(stub: &Stub, change: impl FnOnce(&mut ClientOptions)) -> Client {
    let mut options = ClientOptions::new(&stub.url);
    options.proxy = ProxyChoice::Direct;
    let token = Zeroizing::new(TOKEN.to_owned());
    options.login = Some(Login { user: "reader".to_owned(), token });
    options.retry.base = Duration::from_millis(1);
    change(&mut options);
    Client::new(&options).unwrap()
}

async fn read(client: &Client, jobs: &[&str]) -> Result<Inventory, RestError> {
    read_with(client, jobs, &mut Cache::none(), &ReadOptions::default()).await
}

async fn read_with(
    client: &Client,
    jobs: &[&str],
    cache: &mut Cache,
    options: &ReadOptions,
) -> Result<Inventory, RestError> {
    let jobs: Vec<String> = jobs.iter().map(|one| (*one).to_owned()).collect();
    let scope = Scope::parse(&jobs, client.base()).unwrap();
    Inventory::read(client, &scope, cache, options, &ProgressSink::default()).await
}

fn web() -> JobName {
    JobName::parse("team-a/web").unwrap()
}

/// The recorded job, as one of many in a folder of that name.
fn many(folder: &str, count: usize, parameters: fn(usize) -> Value) -> Value {
    let recorded: Value = serde_json::from_str(&recording(18).reply.body).unwrap();
    let jobs: Vec<Value> = (0..count)
        .map(|at| {
            let mut job = recorded.clone();
            job["name"] = json!(format!("job-{at}"));
            let slash = if folder.is_empty() { "" } else { "/" };
            job["fullName"] = json!(format!("{folder}{slash}job-{at}"));
            job["property"][0]["parameterDefinitions"] = parameters(at);
            job
        })
        .collect();
    json!({"_class": "com.cloudbees.hudson.plugins.folder.Folder", "jobs": jobs})
}

fn text_parameter(_: usize) -> Value {
    json!([{"_class": "hudson.model.StringParameterDefinition", "name": "BRANCH",
        "description": "", "type": "StringParameterDefinition",
        "defaultParameterValue": {"_class": "hudson.model.StringParameterValue",
            "name": "BRANCH", "value": "main"}}])
}

/// As recorded: a credential exports no value.
fn credential_parameter(_: usize) -> Value {
    let whole: Value = serde_json::from_str(&recording(18).reply.body).unwrap();
    let all = whole["property"][0]["parameterDefinitions"].as_array().unwrap().clone();
    all.into_iter().filter(|one| one["name"] == "CRED").collect()
}

fn folder_reply(request: &Seen, folder: &Value) -> Reply {
    let json = recording(5).reply;
    if request.path.ends_with("/config.xml") {
        return recording(16).reply.with_json(&json!(null)).with_body(ONE_CREDENTIAL);
    }
    json.with_json(&prune(folder, request.tree.as_deref().unwrap()))
}

/// The recorded file with the one parameter left, and one of a class that the controller lacks: it
/// keeps such a one in the file and exports nothing of it.
const ONE_CREDENTIAL: &str = r#"<?xml version="1.1" encoding="UTF-8"?>
<flow-definition plugin="workflow-job@1571.vb_423c255d6d9"><properties>
<hudson.model.ParametersDefinitionProperty><parameterDefinitions>
<com.cloudbees.plugins.credentials.CredentialsParameterDefinition plugin="credentials@1487">
<name>CRED</name><description>about CRED</description><defaultValue>tok</defaultValue>
<credentialType>org.jenkinsci.plugins.plaincredentials.StringCredentials</credentialType>
<required>false</required>
</com.cloudbees.plugins.credentials.CredentialsParameterDefinition>
<com.example.UnknownParameterDefinition><name>MYSTERY</name></com.example.UnknownParameterDefinition>
</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties></flow-definition>"#;

impl Reply {
    fn with_body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }
}

#[tokio::test]
async fn a_job_is_read_as_recorded_and_its_secret_is_not() {
    let stub = Stub::recorded(&[5, 16, 17]).await;
    let inventory = read(&client(&stub), &["team-a/web"]).await.unwrap();
    insta::assert_json_snapshot!(inventory);
    // The file would hold the default of the password.
    assert_eq!(stub.count("config.xml"), 0);
    let expected = format!("Basic {}", "cmVhZGVyOjExZmZlZWRkY2NiYmFh");
    assert!(stub.requests().iter().all(|request| request.headers["authorization"] == expected));
    let shown = show(&inventory, "ci", Format::Table);
    insta::assert_snapshot!(shown);
}

#[tokio::test]
async fn all_jobs_of_the_recorded_controller_are_read() {
    let stub = Stub::recorded(&[5]).await;
    let client = client_with(&stub, |options| options.concurrency = 3);
    // The recorded answer has no full names, so that each page must be made of what it has.
    let error = read(&client, &[]).await;
    // 05 is what `api/json` gives without a tree: names only. What is on no page is read singly, and
    // the recordings have none of these jobs.
    let inventory = error.unwrap();
    assert!(inventory.jobs.is_empty());
    let listed: Value = serde_json::from_str(&recording(5).reply.body).unwrap();
    let names = listed["jobs"].as_array().unwrap().len();
    assert!(stub.requests().len() > names);
    assert!(stub.most_at_once() <= 3, "{}", stub.most_at_once());
}

#[tokio::test]
async fn a_running_build_has_its_parameters_as_recorded() {
    let stub = Stub::recorded(&[28, 45]).await;
    let build = client(&stub).build(&web(), 1).await.unwrap();
    insta::assert_json_snapshot!(build);
    let record = build.record("ci", Vec::new(), None);
    assert_eq!(record.parameters["UPSTREAM"], "p-sh#15");
    assert!(!record.parameters.contains_key("DEPLOY_PASSWORD"));
}

#[tokio::test]
async fn a_build_is_started_with_a_crumb_where_one_is_asked_for() {
    let (refused, crumb, started) = (recording(2), recording(3), recording(22));
    let issued: Value = serde_json::from_str(&crumb.reply.body).unwrap();
    let issued = issued["crumb"].as_str().unwrap().to_owned();
    let stub = Stub::start(move |request| match request.path.as_str() {
        "/crumbIssuer/api/json" => crumb.reply.clone(),
        _ if request.headers.get("jenkins-crumb") == Some(&issued)
            && request.headers["cookie"].starts_with("JSESSIONID=") =>
        {
            started.reply.clone()
        }
        _ => refused.reply.clone(),
    })
    .await;
    let parameters = [("BRANCH".to_owned(), "feature/x & y".to_owned())];
    let item = client(&stub).start(&web(), &parameters).await.unwrap();
    assert_eq!(item, QueueItem { id: 347 });
    let last = stub.requests().pop().unwrap();
    assert_eq!(last.path, "/job/team-a/job/web/buildWithParameters");
    assert_eq!(last.body, "BRANCH=feature%2Fx+%26+y");
}

#[tokio::test]
async fn a_value_outside_the_choices_is_refused_once() {
    let refused = recording(25);
    let stub = Stub::start(move |_| refused.reply.clone()).await;
    let error = client(&stub).start(&web(), &[]).await.unwrap_err();
    assert!(matches!(error, RestError::Status { status: 500, .. }), "{error}");
    assert_eq!(stub.requests().len(), 1);
}

fn cache_directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    (directory, path)
}

#[tokio::test]
async fn a_parameter_that_the_controller_does_not_load_is_none() {
    let folder = many("f", 1, credential_parameter);
    let stub = Stub::start(move |request| folder_reply(request, &folder)).await;
    let job = read(&client(&stub), &["f"]).await.unwrap().jobs.remove(0);
    assert_eq!(job.parameters.len(), 1);
    assert_eq!(job.parameters[0].kind.default_value(), Some(json!("tok")));
    assert!(job.notes[0].contains("MYSTERY (com.example.UnknownParameterDefinition)"));
    assert_eq!(job.notes.len(), 1);
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_controller() {
    let job = recording(17);
    let stub = Stub::start(move |request| job.cut(request.tree.as_deref())).await;
    let proxy = ProxyChoice::Url(stub.url.clone());
    let client = client_with(&stub, |options| {
        options.url = "http://controller.invalid/jenkins".to_owned();
        options.proxy = proxy;
    });
    assert_eq!(read(&client, &["team-a/web"]).await.unwrap().jobs.len(), 1);
    let expected = "http://controller.invalid/jenkins/job/team-a/job/web/api/json";
    assert!(stub.requests().iter().all(|request| request.path == expected));
}

#[tokio::test]
async fn branches_have_their_names() {
    let stub = Stub::start(|request| {
        let job = |name: &str, full: &str| {
            json!({"_class": "org.jenkinsci.plugins.workflow.job.WorkflowJob", "name": name,
                "fullName": full, "buildable": true, "property": []})
        };
        // Assumed: `jenkins.branch.NameEncoder`, `MultiBranchProject.getItems`.
        let project = json!({
            "_class": "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject",
            "jobs": [job("main", "shop/main"), job("feature%2Fx", "shop/feature%2Fx")]});
        recording(5).reply.with_json(&prune(&project, request.tree.as_deref().unwrap()))
    })
    .await;
    let inventory = read(&client(&stub), &["shop"]).await.unwrap();
    let branches: Vec<_> =
        inventory.jobs.iter().map(|job| (job.kind, job.branch.as_deref().unwrap())).collect();
    assert_eq!(branches, [(JobKind::Branch, "feature/x"), (JobKind::Branch, "main")]);
}
