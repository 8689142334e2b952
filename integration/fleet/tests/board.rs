//! The pages of the bridge in a real browser, with builds that run on simulated masters: nothing on the
//! console, wide and narrow, light and dark, and a log that grows by itself.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod browser;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use browser::Browser;
use pilotfish_bridge::agents::{Agent, AgentState};
use pilotfish_bridge::service::{AccessTokens, KeyRing, Role, Scope, Store};
use pilotfish_fleet::bridge;
use pilotfish_fleet::master::{self, Running};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The catalog that comes with the bridge.
const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../jenkins-plugin-bridge/catalog");
/// The narrowest telephone that is thought of, in CSS pixels.
const NARROW: u32 = 360;

struct World {
    url: String,
    token: String,
    /// Tokens of the masters.
    masters: Vec<(String, String)>,
    running: Vec<Running>,
    http: reqwest::Client,
    _directory: TempDir,
}

fn token(name: &str, scopes: &[Scope], role: Option<Role>) -> (String, Value) {
    let scopes: BTreeSet<Scope> = scopes.iter().copied().collect();
    let controller = role.is_none().then(|| name.to_owned());
    let (text, mut kept) = AccessTokens::make(name, scopes, controller).unwrap();
    kept.role = role;
    (text, serde_json::to_value(&kept).unwrap())
}

fn master_options(name: &str, bridge: &str, directory: &Path) -> master::Options {
    master::Options {
        bridge: Some(bridge.to_owned()),
        bridge_token: Some(directory.join(format!("{name}-token"))),
        pods: Some(directory.join("pods")),
        ledger: Some(directory.join("ledger")),
        executors: 3,
        stage_ms: (200, 400),
        stages: 200,
        queue_ms: 0,
        queue_save_ms: 0,
        ..master::Options::local(name, directory.join(name))
    }
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let file = |name: &str| home.join(name);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let (operator, entry) = token("ann@example.com", &[], Some(Role::Operator));
        let mut entries = vec![entry];
        let (mut running, mut tokens) = (Vec::new(), Vec::new());
        std::fs::write(file("master-token"), "t-bridge").unwrap();
        let mut masters = String::from("api: pilotfish/v1\nkind: masters\nmasters:\n");
        let mut add = |name: &str, address: String, more: &str| {
            masters.push_str(&format!(
                "  {name}: {{url: 'http://{address}/', user: bridge, token_file: {}, proxy: none, {more}}}\n",
                home.join("master-token").display()
            ));
        };
        for name in ["north", "south"] {
            let (text, entry) = token(name, &[Scope::PlansCreate], None);
            std::fs::write(file(&format!("{name}-token")), &text).unwrap();
            entries.push(entry);
            tokens.push((name.to_owned(), text));
            let started = master::start(master_options(name, &url, home)).await.unwrap();
            add(
                name,
                started.address.to_string(),
                "labels: [linux, docker], zone: eu-1, capacity: 4",
            );
            running.push(started);
        }
        // One that nobody reaches: an alert.
        add("west", "127.0.0.1:1".to_owned(), "labels: [linux, gpu], zone: us-1");
        masters.push_str("limits: {labels: {linux: 40}, teams: {shop: 5, billing: 8}}\n");
        std::fs::write(file("masters.yaml"), masters).unwrap();
        std::fs::write(file("tokens.yaml"), json!({"tokens": entries}).to_string()).unwrap();
        std::fs::write(file("key.pem"), KeyRing::make().unwrap().as_bytes()).unwrap();
        let options = bridge::Options {
            listen: format!("127.0.0.1:{port}").parse().unwrap(),
            catalog: CATALOG.into(),
            tokens: file("tokens.yaml"),
            key: file("key.pem"),
            masters: file("masters.yaml"),
            database: format!("sqlite:{}?mode=rwc", file("state.db").display()),
            pods: file("pods"),
            clusters: None,
            agents: None,
            tls: None,
            speed: 10,
        };
        let (told, listens) = tokio::sync::oneshot::channel();
        tokio::spawn(bridge::run(options, move |_| {
            let _ = told.send(());
        }));
        listens.await.unwrap();
        let http = pilotfish_fleet::http_client().unwrap();
        Self { url, token: operator, masters: tokens, running, http, _directory: directory }
    }

    async fn send(&self, token: &str, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.url);
        let request = match body {
            Some(body) => self
                .http
                .post(url)
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => self.http.get(url),
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn builds(&self) -> Vec<String> {
        for (name, team) in [("shop/web", "shop"), ("billing/invoices", "billing")] {
            let job = json!({"name": name, "pipeline": "web-service", "team": team, "labels": ["linux"],
                "description": "Built for every change.", "concurrency": 6,
                "triggers": {"cron": [{"schedule": "H 2 * * 1-5", "time_zone": "Europe/Berlin"}]},
                "parameters": {"repository": {"default": "https://git.example.com/web.git"},
                    "language": {"default": "php"}, "frontend_dir": {"default": "site"},
                    "api_tests": {"default": "tests/api.sh"}, "revision": {"default": "main"}}});
            self.send(&self.token, "/v1/jobs", Some(&job)).await;
        }
        let mut all = Vec::new();
        for index in 0..10 {
            let job = if index % 3 == 1 { "billing/invoices" } else { "shop/web" };
            let order = json!({"job": job, "cause": "push to main"});
            let made = self.send(&self.token, "/v1/builds", Some(&order)).await;
            all.push(made["id"].as_str().unwrap().to_owned());
        }
        all
    }

    /// Agents of all kinds, in the ledger only: nobody keeps them here.
    async fn agents(&self) {
        let file = self._directory.path().join("state.db");
        let store = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now_ms = i64::try_from(now.as_millis()).unwrap();
        for (index, pool) in
            ["build", "build", "build", "build", "gpu", "gpu"].into_iter().enumerate()
        {
            let created_ms = now_ms - 400_000 + 60_000 * i64::try_from(index).unwrap();
            let id = format!(
                "{:016x}",
                0x9e37_79b9_7f4a_7c15_u64.rotate_left(8 * u32::try_from(index).unwrap())
            );
            let mut agent = Agent::new(id, pool, created_ms);
            agent.waiting_ms = Some(created_ms + 3_000);
            agent.state = AgentState::Waiting;
            if index < 3 {
                agent.state = AgentState::Claimed;
                agent.node = Some(agent.node_name());
                agent.master = Some(if index == 1 { "south" } else { "north" }.to_owned());
                agent.label = Some("linux".to_owned());
                agent.claimed_ms = Some(now_ms - 30_000);
            }
            if index < 2 {
                agent.online_ms = Some(now_ms - 30_000 + 59);
                agent.busy_ms = Some(now_ms - 28_000);
            }
            if index == 5 {
                agent.state = AgentState::Gone;
                (agent.waiting_ms, agent.left_ms) = (None, Some(now_ms - 20_000));
                agent.reason = "it did not start in time".to_owned();
            }
            store.add_agent(&agent, None).await.unwrap();
        }
        let builds = [("north".to_owned(), 4), ("south".to_owned(), 1)].into();
        store.save_pool_builds("build", &builds).await.unwrap();
    }

    /// Waits until a build runs.
    async fn runs(&self, id: &str) -> Value {
        loop {
            let build = self.send(&self.token, &format!("/v1/builds/{id}"), None).await;
            if build["state"] == "running" {
                return build;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reports stages of a build that runs, as the library step does.
    async fn report(&self, build: &Value) {
        let master = build["master"].as_str().unwrap();
        let token = &self.masters.iter().find(|(name, _)| name == master).unwrap().1;
        let number: u32 = build["url"]
            .as_str()
            .unwrap()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let seen = self
            .http
            .get(format!("{}api/json", build["url"].as_str().unwrap()))
            .basic_auth("bridge", Some("t-bridge"))
            .send()
            .await
            .unwrap();
        let seen: Value = serde_json::from_str(&seen.text().await.unwrap()).unwrap();
        let parameters = seen["actions"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["parameters"].as_array());
        let digest =
            parameters.flatten().find(|one| one["name"] == "PILOTFISH_PLAN").unwrap()["value"]
                .clone();
        let digest = digest.as_str().unwrap();
        let query =
            json!({"controller": master, "job": build["job"], "build": number, "digest": digest});
        let answer = self.send(token, "/v1/plans", Some(&query)).await;
        let plan = self.send(&self.token, &format!("/v1/plans/{digest}"), None).await;
        let mut nodes = Vec::new();
        walk(&plan["plan"]["stages"], &mut nodes);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = u64::try_from(now.as_millis()).unwrap();
        let (mut events, mut sequence) = (Vec::new(), 0);
        let mut add = |ago: u64, mut event: Value| {
            event["sequence"] = json!(sequence);
            event["at_ms"] = json!(now - ago);
            events.push(event);
            sequence += 1;
        };
        let begins = |node: &str| json!({"type": "stage-started", "node": node});
        let ends = |node: &str, outcome: &str| json!({"type": "stage-finished", "node": node, "outcome": outcome});
        let group = nodes.iter().find(|(_, has_children)| *has_children).map(|(id, _)| id.clone());
        let stages: Vec<&String> =
            nodes.iter().filter(|(_, has_children)| !has_children).map(|(id, _)| id).collect();
        add(95_000, begins(stages[0]));
        add(86_000, ends(stages[0], "success"));
        if let Some(group) = &group {
            add(86_000, begins(group));
        }
        add(86_000, begins(stages[1]));
        add(85_000, begins(stages[2]));
        add(51_000, ends(stages[2], "success"));
        let mut tested = ends(stages[1], "unstable");
        tested["tests"] = json!({"passed": 412, "failed": 2, "skipped": 5});
        add(24_000, tested);
        if let Some(group) = &group {
            add(24_000, ends(group, "unstable"));
        }
        if let Some(next) = stages.get(3) {
            add(23_000, begins(next));
        }
        let (id, token) = (&answer["build"]["id"], answer["build"]["token"].as_str().unwrap());
        let path = format!("/v1/builds/{}/events", id.as_str().unwrap());
        self.send(token, &path, Some(&json!({"events": events}))).await;
    }
}

/// Ids of the nodes of a plan, and whether there is something in them.
fn walk(nodes: &Value, into: &mut Vec<(String, bool)>) {
    for node in nodes.as_array().into_iter().flatten() {
        if node["decision"]["state"] == "skipped" {
            continue;
        }
        into.push((node["id"].as_str().unwrap().to_owned(), node.get("nodes").is_some()));
        walk(&node["nodes"], into);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_in_a_browser() {
    let Some(program) = browser::installed() else {
        assert!(std::env::var_os("PILOTFISH_TEST_CHROMIUM").is_none(), "Chromium is not installed");
        println!("SKIPPED: no Chromium is installed (apt-get install -y chromium-headless-shell)");
        return;
    };
    let world = World::start().await;
    let ids = world.builds().await;
    let build = world.runs(&ids[0]).await;
    let mut browser = Browser::start(&program).await;
    browser.set(1280, 900, "light").await;

    // Whoever comes without a session gets the form, and after it the page that was asked for.
    browser.open(&format!("{}/builds", world.url)).await;
    assert_eq!(browser.run("location.pathname").await, "/login");
    browser.picture("login").await;
    let fill = format!(
        "document.querySelector('[name=token]').value = '{}'; document.querySelector('form').requestSubmit()",
        world.token
    );
    browser.leave(&fill).await;
    assert_eq!(browser.run("location.pathname").await, "/builds");

    // Whoever was there before its first stage sees its stages come.
    let page = format!("/builds/{}", ids[0]);
    browser.open(&format!("{}{page}", world.url)).await;
    let stages = "document.getElementById('stages').innerText";
    assert_eq!(browser.run(stages).await, "");
    world.report(&build).await;
    browser.until(&format!("{stages}.includes('412 passed, 2 failed')")).await;
    world.agents().await;
    for path in [
        "/",
        "/builds",
        &page,
        "/jobs",
        "/jobs/shop%2Fweb",
        "/agents",
        "/deliveries",
        "/images",
        "/sizing",
        "/audit",
    ] {
        let name = match path {
            "/" => "overview",
            "/jobs/shop%2Fweb" => "job",
            other if other == page => "build",
            other => &other[1..],
        };
        let mut backgrounds = BTreeSet::new();
        for scheme in ["light", "dark"] {
            for (width, height) in [(1280, 1000), (NARROW, 740)] {
                browser.set(width, height, scheme).await;
                browser.open(&format!("{}{path}", world.url)).await;
                let wide = browser.run("document.documentElement.scrollWidth").await;
                assert!(wide.as_u64() <= Some(u64::from(width)), "{path}: {wide} at {width}");
                assert_eq!(browser.run("!!document.querySelector('header nav')").await, true);
                let color = browser.run("getComputedStyle(document.body).backgroundColor").await;
                backgrounds.insert(color.to_string());
                browser.picture(&format!("{name}-{scheme}-{width}")).await;
            }
        }
        assert_eq!(backgrounds.len(), 2, "{path}: light and dark: {backgrounds:?}");
        assert_eq!(browser.errors(), Vec::<String>::new(), "{path}");
    }

    // A page whose bridge is away says since when it is not fresh, and goes on by itself.
    browser.set(NARROW, 740, "dark").await;
    browser.open(&world.url).await;
    browser.cut(true).await;
    browser.until("document.getElementById('stale').innerText.includes('does not answer')").await;
    browser.picture("not-fresh").await;
    browser.cut(false).await;
    browser.until("document.getElementById('stale').hidden").await;
    browser.errors();

    // The log grows by itself, says when its master is away, and goes on when it is back.
    browser.set(1280, 1000, "light").await;
    browser.open(&format!("{}{page}", world.url)).await;
    let length = "document.getElementById('log').textContent.length";
    let before = browser.run(length).await;
    browser.until(&format!("{length} > {before}")).await;
    assert_eq!(browser.errors(), Vec::<String>::new());
    let master = build["master"].as_str().unwrap();
    let at = world.running.iter().find(|one| one.shared.options.name == master).unwrap();
    let faults = |text: &'static str| {
        let request = world.http.post(format!("http://{}/faults", at.control)).body(text);
        async move { assert!(request.send().await.unwrap().status().is_success()) }
    };
    faults("{\"unavailable\": true}").await;
    browser.until("document.getElementById('log-note').textContent.includes('trying again')").await;
    let before = browser.run(length).await;
    faults("{\"unavailable\": false}").await;
    browser.until(&format!("{length} > {before}")).await;
    browser.errors();

    // A form that acts: the build is stopped, and the page says so by itself.
    browser.open(&format!("{}{page}", world.url)).await;
    browser.leave("document.querySelector('button.danger').click()").await;
    browser.until("document.getElementById('head').innerText.includes('aborted')").await;
    assert_eq!(browser.errors(), Vec::<String>::new());
    browser.open(&format!("{}/audit", world.url)).await;
    let audit = browser.run("document.body.innerText").await;
    assert!(audit.as_str().unwrap().contains("stop a build"), "{audit}");
}
