//! Webhooks that a real Gitea sends, and statuses that it takes. `cargo xtask counterparts` builds it and names it in
//! `PILOTFISH_TEST_GITEA`, and its templates in `PILOTFISH_TEST_GITEA_SOURCES`; without that these tests are left out.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::reports::moved;
use super::routed::unreachable_masters;
use super::triggers::{options, until};
use super::world::{OPERATOR, PIPELINE, World, client};
use crate::forges::{Forges, ForgesFile};
use crate::route::BuildState;
use crate::service::store::BuildFilter;
use crate::triggers::run_triggers;

const SECRET: &str = "a secret of sixteen bytes or more";
const USER: &str = "ann";
const PASSWORD: &str = "a-password-of-ann-1";

/// A Gitea with one user.
struct Gitea {
    child: Child,
    url: String,
    directory: tempfile::TempDir,
    token: String,
}

impl Drop for Gitea {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program() -> Option<(PathBuf, PathBuf)> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let both = named("PILOTFISH_TEST_GITEA").zip(named("PILOTFISH_TEST_GITEA_SOURCES"));
    if both.is_none() {
        println!("SKIPPED: PILOTFISH_TEST_GITEA does not name Gitea");
    }
    both
}

fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("GITEA_WORK_DIR", home).env("HOME", home).stdin(Stdio::null());
    command.arg("--config").arg(home.join("app.ini"));
    command
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

impl Gitea {
    async fn start((program, sources): &(PathBuf, PathBuf)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let settings = format!(
            "RUN_MODE = prod\nI_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true\nWORK_PATH = {home}\n\
             [server]\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = {port}\nROOT_URL = {url}/\nDISABLE_SSH = true\n\
             OFFLINE_MODE = true\nSTATIC_ROOT_PATH = {}\n\
             [database]\nDB_TYPE = sqlite3\nPATH = {home}/gitea.db\n[security]\nINSTALL_LOCK = true\n\
             [webhook]\nALLOWED_HOST_LIST = loopback\n[indexer]\nISSUE_INDEXER_TYPE = db\n\
             [cron.update_checker]\nENABLED = false\n[actions]\nENABLED = false\n[log]\nLEVEL = Warn\n",
            sources.display(),
            home = home.display(),
        );
        std::fs::write(home.join("app.ini"), settings).unwrap();
        output(command(program, home).arg("migrate"));
        let user =
            ["admin", "user", "create", "--admin", "--username", USER, "--password", PASSWORD];
        let user = command(program, home)
            .args(user)
            .args(["--email", "ann@example.com"])
            .args(["--must-change-password=false"])
            .output()
            .unwrap();
        assert!(user.status.success(), "{}", String::from_utf8_lossy(&user.stdout));
        let token = ["admin", "user", "generate-access-token", "--username", USER, "--raw"];
        let token = output(
            command(program, home).args(token).args(["--scopes", "write:repository,write:user"]),
        );
        let token = token.lines().last().unwrap().trim().to_owned();
        let child = command(program, home)
            .arg("web")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut gitea = Self { child, url, directory, token };
        gitea.answers().await;
        gitea
    }

    async fn answers(&mut self) {
        let url = format!("{}/api/v1/version", self.url);
        until("Gitea", async || {
            client().get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    async fn again(&mut self, (program, _): &(PathBuf, PathBuf)) {
        let home = self.directory.path();
        let mut web = command(program, home);
        self.child = web.arg("web").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.answers().await;
    }

    /// Asks its API; what is no success is a failed test.
    async fn api(&self, method: &str, path: &str, body: Value) -> Value {
        let request = client()
            .request(method.parse().unwrap(), format!("{}/api/v1{path}", self.url))
            .header("authorization", format!("token {}", self.token))
            .header("content-type", "application/json");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Writes a file of the repository in a new commit; its id.
    async fn commit(
        &self,
        branch: &str,
        new_branch: Option<&str>,
        path: &str,
        text: &str,
    ) -> String {
        use base64::Engine as _;
        let content = base64::engine::general_purpose::STANDARD.encode(text);
        let mut body =
            json!({"branch": branch, "content": content, "message": format!("{path}: {text}")});
        if let Some(new) = new_branch {
            body["new_branch"] = json!(new);
        }
        let made = self.api("POST", &format!("/repos/ann/web/contents/{path}"), body).await;
        made["commit"]["sha"].as_str().unwrap().to_owned()
    }

    /// `state context description → target` of the statuses of a commit, the last one of each context.
    async fn statuses(&self, commit: &str) -> Vec<String> {
        let path = format!("/repos/ann/web/commits/{commit}/status");
        let all = self.api("GET", &path, Value::Null).await;
        let mut all: Vec<String> = all["statuses"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| {
                let of = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                format!(
                    "{} {} {} → {}",
                    of("context"),
                    of("status"),
                    of("description"),
                    of("target_url")
                )
            })
            .collect();
        all.sort();
        all
    }
}

fn forges(directory: &Path, gitea: &Gitea) -> Arc<Forges> {
    std::fs::write(directory.join("secret"), SECRET).unwrap();
    std::fs::write(directory.join("token"), &gitea.token).unwrap();
    let text = format!(
        "api: pilotfish/v1\nkind: forges\npublic_url: https://bridge.example\nforges:\n  \
         gitea: {{kind: gitea, url: '{}', webhook_secret_files: [secret], token_file: token}}\n",
        gitea.url
    );
    let file = ForgesFile::read("forges.yaml", &text).unwrap();
    Arc::new(Forges::of("forges.yaml", &file, directory).unwrap())
}

/// The build that an event of a commit has started, once it is there.
async fn build_of(world: &World, kind: &str, commit: &str) -> (String, Value) {
    let found = async || {
        let all = BuildFilter { limit: 500, ..BuildFilter::default() };
        let all = world.service.store.newest_routed(&all).await.unwrap();
        let is_it = |parameters: &std::collections::BTreeMap<String, String>| {
            parameters["KIND"] == kind && parameters["COMMIT"] == commit
        };
        let mut found = all.into_iter().filter(|build| is_it(&build.request.parameters));
        let first = found.next()?;
        assert!(found.next().is_none(), "{kind} of {commit} has two builds");
        Some((first.id, json!(first.request.parameters)))
    };
    until(&format!("{kind} of {commit}"), async || found().await.is_some()).await;
    found().await.unwrap()
}

/// Waits until a commit has a status.
async fn has(gitea: &Gitea, commit: &str, status: &str) {
    until(status, async || gitea.statuses(commit).await.iter().any(|one| one == status)).await;
}

#[tokio::test]
async fn what_happens_at_gitea_starts_builds_and_it_is_told_of_them() {
    let Some(program) = program() else { return };
    let mut gitea = Gitea::start(&program).await;
    let world = World::with_masters_and_forges(None, unreachable_masters(), |directory| {
        forges(directory, &gitea)
    })
    .await;
    let parameters = ["BRANCH", "TARGET", "TAG", "COMMIT", "PR", "REPO", "KIND"];
    let declared: String = parameters
        .iter()
        .map(|name| format!("    {name}: {{type: string, default: '', description: Value.}}\n"))
        .collect();
    world.write(
        "service.yaml",
        &PIPELINE.replace("  properties:\n", &format!("  properties:\n{declared}")),
    );
    assert!(world.service.catalog.reload().is_current);
    let repository = json!({"name": "web", "auto_init": true, "default_branch": "main"});
    gitea.api("POST", "/user/repos", repository).await;
    let hook = json!({"type": "gitea", "active": true, "events": ["push", "pull_request", "pull_request_sync"],
        "config": {"url": format!("{}/v1/hooks/gitea", world.url), "content_type": "json", "secret": SECRET}});
    gitea.api("POST", "/repos/ann/web/hooks", hook.clone()).await;
    let address = format!("{}/ann/web", gitea.url);
    let mut values: serde_json::Map<String, Value> =
        parameters.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    values.insert("stack".to_owned(), json!({"default": "go"}));
    let job = json!({"name": "team/web", "pipeline": "service", "labels": ["linux"], "parameters": values,
        "statuses": {"repository": address, "commit": "COMMIT"},
        "triggers": {"events": [{"repository": address,
            "events": ["push", "tag", "pull-request-opened", "pull-request-updated", "pull-request-merged"],
            "parameters": {"BRANCH": "branch", "TARGET": "target-branch", "TAG": "tag", "COMMIT": "commit",
                "PR": "pull-request", "REPO": "repository", "KIND": "event"}}]}});
    world.post("/v1/jobs", OPERATOR, &job).await.ok();
    let leader =
        tokio::spawn(run_triggers(Arc::clone(&world.service), "one".to_owned(), options()));

    let first = gitea.commit("main", None, "src/a%20b.txt", "1").await;
    let (build, given) = build_of(&world, "push", &first).await;
    assert_eq!((&given["BRANCH"], &given["REPO"]), (&json!("main"), &json!("ann/web")));
    // Its object is another one than the commit.
    let tag = json!({"tag_name": "v1", "message": "The first one.", "target": first});
    gitea.api("POST", "/repos/ann/web/tags", tag).await;
    assert_eq!(build_of(&world, "tag", &first).await.1["TAG"], "v1");
    let second = gitea.commit("main", Some("feature/x"), "x.txt", "1").await;
    assert_eq!(build_of(&world, "push", &second).await.1["BRANCH"], "feature/x");
    let request = json!({"title": "x", "head": "feature/x", "base": "main"});
    gitea.api("POST", "/repos/ann/web/pulls", request).await;
    let given = build_of(&world, "pull-request-opened", &second).await.1;
    assert_eq!((&given["TARGET"], &given["PR"]), (&json!("main"), &json!("1")));
    let third = gitea.commit("feature/x", None, "y.txt", "1").await;
    assert_eq!(build_of(&world, "pull-request-updated", &third).await.1["BRANCH"], "feature/x");
    // It is found out in the background.
    until("that it can be merged", async || {
        gitea.api("GET", "/repos/ann/web/pulls/1", Value::Null).await["mergeable"] == true
    })
    .await;
    let merge = json!({"Do": "merge", "delete_branch_after_merge": true});
    gitea.api("POST", "/repos/ann/web/pulls/1/merge", merge).await;
    let main = gitea.api("GET", "/repos/ann/web/branches/main", Value::Null).await;
    let merged = main["commit"]["id"].as_str().unwrap().to_owned();
    assert_eq!(build_of(&world, "pull-request-merged", &merged).await.1["BRANCH"], "main");
    build_of(&world, "push", &merged).await;

    // For this one need only be allowed to read.
    agit(&gitea, world.path());
    let outcome = async || {
        let all = world.get("/v1/hooks", OPERATOR).await.ok();
        all.as_array()
            .unwrap()
            .iter()
            .find(|one| one["event"].as_str().unwrap().contains("request 2 at"))
            .map(|one| one["jobs"].to_string())
            .unwrap_or_default()
    };
    until("the request without a branch", async || outcome().await.len() > 2).await;
    assert!(outcome().await.contains("it comes from a fork"), "{}", outcome().await);

    // Who does not know the secret, or shows none, is refused; Gitea's own test of a webhook is a push.
    let refused = || world.service.metrics.hooks_refused.load(std::sync::atomic::Ordering::Relaxed);
    for (number, secret) in [(1, "another secret, which is as long"), (2, "")] {
        let mut other = hook.clone();
        other["config"]["secret"] = json!(secret);
        let id = gitea.api("POST", "/repos/ann/web/hooks", other).await["id"].clone();
        let hook = format!("/repos/ann/web/hooks/{id}");
        gitea.api("POST", &format!("{hook}/tests"), Value::Null).await;
        until("a refusal", async || refused() == number).await;
        gitea.api("DELETE", &hook, Value::Null).await;
    }

    told(&world, &mut gitea, &program, (&build, &first)).await;
    leader.abort();
}

/// Statuses of the commit of a build, also where Gitea is away for a while, and where its repository has moved.
async fn told(
    world: &World,
    gitea: &mut Gitea,
    program: &(PathBuf, PathBuf),
    (build, commit): (&str, &str),
) {
    let page = format!("https://bridge.example/builds/{build}");
    // The tag is of the same commit, and its build is a later one.
    let later = build_of(world, "tag", commit).await.0;
    let later_page = format!("https://bridge.example/builds/{later}");
    assert_ne!(page, later_page);
    let status =
        |state: &str, words: &str| format!("pilotfish/team/web {state} {words} → {later_page}");
    has(gitea, commit, &status("pending", "build 2 waits")).await;
    moved(world, &later, BuildState::Running, None).await;
    has(gitea, commit, &status("pending", "build 2 runs")).await;
    gitea.stop();
    moved(world, &later, BuildState::Finished, Some("FAILURE")).await;
    let outbox = async || world.get("/v1/outbox", OPERATOR).await.ok();
    until("a try that fails", async || outbox().await.to_string().contains("Connection refused"))
        .await;
    gitea.again(program).await;
    has(gitea, commit, &status("failure", "build 2: failure after 1 min 31 s")).await;
    gitea.api("PATCH", "/repos/ann/web", json!({"name": "site"})).await;
    let order = json!({"job": "team/web", "parameters": {"COMMIT": commit}});
    world.post("/v1/builds", OPERATOR, &order).await.ok();
    until("the new place", async || {
        outbox().await.to_string().contains("/repos/ann/site/statuses/")
    })
    .await;
    assert!(!outbox().await.to_string().contains(&gitea.token));
}

/// Pushes a request that has no branch (`refs/for/…`).
fn agit(gitea: &Gitea, directory: &Path) {
    let address = gitea.url.replace("http://", &format!("http://{USER}:{PASSWORD}@"));
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(directory.join("clone")).args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
        ]);
        output(git.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null"))
    };
    std::fs::create_dir(directory.join("clone")).unwrap();
    git(&["clone", "--quiet", &format!("{address}/ann/web.git"), "."]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "From nowhere."]);
    git(&["push", "--quiet", "origin", "HEAD:refs/for/main", "-o", "topic=nowhere"]);
}
