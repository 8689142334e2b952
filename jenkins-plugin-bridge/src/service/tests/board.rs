//! The pages, as a browser sees them: who gets in, what is shown, and that nothing in it is dangerous.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::world::{BOSS, BUILDER, OPERATOR, READER, SHIM, VIEWER, World};
use crate::masters::{MastersFile, Registry};
use crate::rest::stub::{Reply, Stub, recording};
use crate::route::{BuildState, Limits};
use crate::service::store::{AttemptChange, Change};

/// Pages that everybody who is logged in may see.
const PAGES: [&str; 7] = ["/", "/builds", "/jobs", "/agents", "/images", "/sizing", "/login"];
/// What would run if it were not escaped.
const EVIL: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{1b}[31m\u{202e}";

/// A browser: it keeps cookies, and does not follow redirects by itself.
pub struct Browser {
    url: String,
    http: reqwest::Client,
    cookies: Mutex<Vec<(String, String)>>,
}

/// An answer.
pub struct Page {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

/// Where an answer leads.
pub fn location(page: &Page) -> String {
    let header = page.headers.get("location");
    header.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

impl Browser {
    pub fn new(url: &str) -> Self {
        let policy = reqwest::redirect::Policy::none();
        let tls = crate::rest::tls_client_config(&[]).unwrap();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
        let http = http.redirect(policy).build().unwrap();
        Self { url: url.to_owned(), http, cookies: Mutex::default() }
    }

    /// Forgets its cookies.
    pub fn forget(&self) {
        self.cookies.lock().unwrap().clear();
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<String> = self
            .cookies
            .lock()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = request.header("cookie", cookies.join("; "));
        let response = request.send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let set = set.to_str().unwrap();
            for part in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
                assert!(set.contains(part), "{part}");
            }
            let (name, rest) = set.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap().to_owned();
            let mut cookies = self.cookies.lock().unwrap();
            cookies.retain(|(known, _)| known != name);
            if !set.contains("Max-Age=0") {
                cookies.push((name.to_owned(), value));
            }
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Page { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Page {
        let request = self.http.get(format!("{}{path}", self.url));
        self.send(request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)], site: &str) -> Page {
        let body = reqwest::Url::parse_with_params("http://x/", form).unwrap();
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", site)
            .body(body.query().unwrap_or_default().to_owned());
        self.send(request).await
    }

    /// Logs in with a token.
    pub async fn with(url: &str, token: &str) -> Self {
        let browser = Self::new(url);
        let entered = browser.post("/login", &[("token", token)], "same-origin").await;
        assert_eq!((entered.status, location(&entered).as_str()), (303, "/"), "{}", entered.text);
        browser
    }

    /// What a form of the page has to send back.
    pub async fn csrf(&self) -> String {
        let page = self.get("/").await.text;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

/// Masters, one of which answers for logs.
async fn masters(log: &'static str) -> (Arc<Registry>, Stub) {
    let stub = Stub::start(move |_| {
        let reply = recording(43).reply;
        let headers = reply.headers.into_iter().filter(|(name, _)| name != "X-Text-Size");
        let headers = headers.collect();
        Reply { body: log.to_owned(), headers, ..reply }
            .with_header("X-Text-Size", &log.len().to_string())
    })
    .await;
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"11aabb").unwrap();
    let text = format!(
        "api: pilotfish/v1\nkind: masters\nmasters:\n  main: {{url: '{}', user: bridge, token_file: {}, \
         proxy: none, labels: [linux]}}\n",
        stub.url,
        token.path().display()
    );
    (Arc::new(Registry::of(&MastersFile::read("m", &text).unwrap()).unwrap()), stub)
}

async fn job(world: &World) {
    let job = json!({"name": "go/web", "pipeline": "service", "labels": ["linux"], "description": EVIL_TEXT,
        "parameters": {"stack": {"default": "go"}, "deploy": {"default": "true"}}});
    world.post("/v1/jobs", BOSS, &job).await.ok();
}

/// The same without control characters, which a job may not have.
const EVIL_TEXT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";

/// A build that runs at `main`, as its run 7 there, with what its run reported.
async fn running(world: &World) -> (String, String) {
    job(world).await;
    let order = json!({"job": "go/web", "cause": EVIL});
    let made = world.post("/v1/builds", BUILDER, &order).await.ok();
    let id = made["id"].as_str().unwrap().to_owned();
    let mut build = world.service.store.routed(&id).await.unwrap().unwrap();
    build.state = BuildState::Running;
    build.master = Some("main".to_owned());
    (build.attempt, build.key) = (1, Some("k-1".to_owned()));
    build.reason = EVIL.to_owned();
    build.started_ms = Some(build.created_ms + 10);
    let begins = Change { build: build.clone(), attempt: AttemptChange::Begins };
    assert_eq!(world.service.store.change_routed(&[begins], 1).await.unwrap(), [true]);
    build.url = Some("https://ci.example/job/go/job/web/7/".to_owned());
    build.version += 1;
    let moves = Change { build, attempt: AttemptChange::Moves };
    assert_eq!(world.service.store.change_routed(&[moves], 1).await.unwrap(), [true]);
    let query = json!({"controller": "main", "job": "go/web", "build": 7,
        "parameters": {"stack": "go", "deploy": "true"}, "facts": {"branch": "main"}});
    let planned = world.post("/v1/plans", SHIM, &query).await.ok();
    let (run, token) =
        (planned["build"]["id"].as_str().unwrap(), planned["build"]["token"].as_str().unwrap());
    let now = world.service.now_ms();
    let events = json!({"events": [
        {"sequence": 0, "at_ms": now - 9000, "type": "stage-started", "node": "build"},
        {"sequence": 1, "at_ms": now - 4000, "type": "stage-finished", "node": "build",
            "outcome": "failure", "message": EVIL, "tests": {"passed": 3, "failed": 1, "skipped": 2},
            "outputs": {"version": EVIL_TEXT}},
        {"sequence": 2, "at_ms": now - 3000, "type": "stage-started", "node": "deploy"},
    ]});
    world.post(&format!("/v1/builds/{run}/events"), token, &events).await.ok();
    let start = json!({"pod": "p-1", "node": "n-1", "phases": {"scheduled_ms": 0, "pulled_ms": 3000,
        "started_ms": 4000, "connected_ms": 5000}, "failure": {"reason": "ImagePullBackOff", "message": EVIL}});
    world.service.store.save_start(run, &start.to_string(), 1).await.unwrap();
    (id, run.to_owned())
}

/// Nothing of what came from outside is markup.
fn is_harmless(page: &Page) {
    for bad in ["<script>alert", "<img src=x", "\u{1b}", "\u{202e}", "javascript:"] {
        assert!(!page.text.contains(bad), "{bad:?}: {}", page.text);
    }
}

#[tokio::test]
async fn nobody_sees_anything_without_logging_in() {
    let world = World::sqlite().await;
    let browser = Browser::new(&world.url);
    for path in [
        "/",
        "/builds",
        "/builds/x",
        "/builds/x/log",
        "/jobs",
        "/jobs/x",
        "/agents",
        "/images",
        "/sizing",
        "/audit",
    ] {
        let page = browser.get(path).await;
        let next = path.replace('/', "%2F");
        assert_eq!((page.status, location(&page)), (303, format!("/login?next={next}")), "{path}");
    }
    for path in ["/builds", "/builds/x/stop", "/jobs/x/keep", "/logout"] {
        let page = browser.post(path, &[("csrf", "x")], "same-origin").await;
        assert_eq!((page.status, location(&page).as_str()), (303, "/login?next=%2F"), "{path}");
    }
    // A token of the API is none of the pages, and a session none of the API.
    let with_token = world.get("/builds", VIEWER).await;
    assert_eq!(with_token.content_type, "text/html; charset=utf-8", "it is the form to log in");
    let inside = Browser::with(&world.url, VIEWER).await;
    assert_eq!(inside.get("/v1/builds").await.status, 401);
    for path in ["/healthz", "/assets/board.css", "/assets/board.js", "/assets/icon.svg", "/login"]
    {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    assert_eq!(browser.get("/assets/../Cargo.toml").await.status, 404);
    browser.cookies.lock().unwrap().push(("__Host-pilotfish".into(), "guessed".into()));
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn tokens_let_people_in_and_machines_not() {
    let world = World::sqlite().await;
    let browser = Browser::new(&world.url);
    for (token, site, status) in
        [("pfb_none", "same-origin", 401), (SHIM, "same-origin", 403), (VIEWER, "cross-site", 403)]
    {
        assert_eq!(
            browser.post("/login", &[("token", token)], site).await.status,
            status,
            "{token}"
        );
        assert!(browser.cookies.lock().unwrap().is_empty());
    }
    let form = [("token", VIEWER), ("next", "//evil.example/")];
    let entered = browser.post("/login", &form, "same-origin").await;
    assert_eq!(location(&entered), "/", "nobody is sent elsewhere");
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(page.status, if path == "/login" { 303 } else { 200 }, "{path}: {}", page.text);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(page.headers["cache-control"], "no-store");
    }
    let csrf = browser.csrf().await;
    assert_eq!(browser.post("/logout", &[("csrf", "x")], "same-origin").await.status, 403);
    let kept = browser.cookies.lock().unwrap().clone();
    assert_eq!(browser.post("/logout", &[("csrf", &csrf)], "same-origin").await.status, 303);
    *browser.cookies.lock().unwrap() = kept;
    assert_eq!(browser.get("/").await.status, 303, "the session has ended, not only the cookie");
    // Twenty tries a minute, whoever makes them.
    for _ in 0..30 {
        browser.post("/login", &[("token", "pfb_none")], "same-origin").await;
    }
    let page = browser.post("/login", &[("token", VIEWER)], "same-origin").await;
    assert_eq!(page.status, 429);
}

#[tokio::test]
async fn roles_may_do_what_they_may_and_it_is_written_down() {
    let (registry, _stub) = masters("log\n").await;
    let world = World::with_masters(registry).await;
    job(&world).await;
    let (viewer, builder, boss) = (
        Browser::with(&world.url, VIEWER).await,
        Browser::with(&world.url, BUILDER).await,
        Browser::with(&world.url, BOSS).await,
    );
    for (browser, start, mend) in
        [(&viewer, false, false), (&builder, true, false), (&boss, true, true)]
    {
        let page = browser.get("/jobs/go%2Fweb").await;
        assert_eq!(page.status, 200, "{}", page.text);
        is_harmless(&page);
        assert_eq!(page.text.contains(">Start</button>"), start);
        assert_eq!(page.text.contains("Make and mend"), mend);
    }
    let order = |csrf: &str| -> Vec<(&'static str, String)> {
        vec![
            ("csrf", csrf.to_owned()),
            ("job", "go/web".into()),
            ("parameter.stack", "rust".into()),
        ]
    };
    async fn start(browser: &Browser, form: Vec<(&'static str, String)>, site: &str) -> Page {
        let form: Vec<(&str, &str)> =
            form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post("/builds", &form, site).await
    }
    let csrf = viewer.csrf().await;
    assert_eq!(start(&viewer, order(&csrf), "same-origin").await.status, 403);
    assert_eq!(start(&builder, order(&csrf), "same-origin").await.status, 403, "another's form");
    let csrf = builder.csrf().await;
    assert_eq!(start(&builder, order(&csrf), "cross-site").await.status, 403);
    let started = start(&builder, order(&csrf), "same-origin").await;
    let address = location(&started);
    assert!(address.starts_with("/builds/r-"), "{}", started.text);
    let page = builder.get(&address).await;
    assert!(
        page.text.contains("go/web</a> #1") && page.text.contains(">Stop</button>"),
        "{}",
        page.text
    );
    assert!(!viewer.get(&address).await.text.contains(">Stop</button>"));
    let stop = format!("{address}/stop");
    let stopped = builder.post(&stop, &[("csrf", &csrf)], "same-origin").await;
    assert_eq!((stopped.status, location(&stopped)), (303, address.clone()));
    assert!(builder.get(&address).await.text.contains("stopped by"));
    let keep = builder.post("/jobs/go%2Fweb/keep", &[("csrf", &csrf)], "same-origin").await;
    assert_eq!(keep.status, 403);
    let csrf = boss.csrf().await;
    let looked = boss
        .post("/jobs/go%2Fweb/keep", &[("csrf", &csrf), ("only_look", "true")], "same-origin")
        .await;
    assert_eq!((looked.status, location(&looked).as_str()), (303, "/jobs/go%2Fweb"));

    assert_eq!(world.get("/v1/audit", READER).await.status, 403);
    let audit = world.get("/v1/audit?limit=100", BOSS).await.ok();
    let seen: Vec<(&str, &str, &str, i64)> = audit
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap();
            assert_eq!(text("origin"), "127.0.0.1");
            (text("via"), text("who"), text("action"), row["status"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("api", BOSS, "save a job", 200),
            ("page", VIEWER, "log in", 303),
            ("page", BUILDER, "log in", 303),
            ("page", BOSS, "log in", 303),
            ("page", VIEWER, "start a build", 403),
            ("page", BUILDER, "start a build", 303),
            ("page", BUILDER, "stop a build", 303),
            ("page", BUILDER, "keep a job in step", 403),
        ]
    );
    let own = world.get(&format!("/v1/audit?who={BUILDER}&limit=2"), BOSS).await.ok();
    assert_eq!(own.as_array().unwrap().len(), 2);
    assert_eq!(own[1]["subject"], "go/web #1");
    let (ms, id) = (&own[1]["at_ms"], own[1]["id"].as_str().unwrap());
    let older = format!("/v1/audit?who={BUILDER}&before_ms={ms}&before_id={id}");
    assert_eq!(world.get(&older, BOSS).await.ok().as_array().unwrap().len(), 2);
    let page = boss.get("/audit").await;
    assert!(page.text.contains("go/web #1") && page.text.contains("refused, 403"), "{}", page.text);
    // It goes after its time.
    world.service.store.sweep_access(0, i64::MAX).await.unwrap();
    assert_eq!(world.get("/v1/audit", BOSS).await.ok(), json!([]));
}

#[tokio::test]
async fn what_comes_from_outside_is_text() {
    let (registry, _stub) =
        masters("<script>alert(1)</script>\u{1b}[31mred\u{1b}[0m\u{202e}\n</pre><img src=x>\n")
            .await;
    let world = World::with_masters(registry).await;
    let limits = Limits { labels: [("linux".to_owned(), 1)].into(), ..Limits::default() };
    world.service.limits.set(limits).unwrap();
    let (id, run) = running(&world).await;
    let browser = Browser::with(&world.url, BOSS).await;
    let limits = world.get("/v1/limits", BOSS).await.ok();
    let full = json!([{"kind": "label", "name": "linux", "limit": 1, "used": 1, "waiting": 0}]);
    assert_eq!(limits, full);
    assert!(browser.get("/").await.text.contains("<span class=\"mark unstable\">full</span>"));
    let page = browser.get(&format!("/builds/{id}")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    is_harmless(&page);
    for part in [
        "href=\"https://ci.example/job/go/job/web/7/\"",
        "<rect class=\"failure\"",
        "<rect class=\"running\"",
        "3 passed, 1 failed, 2 skipped",
        "ImagePullBackOff",
        "connected <span class=\"dim\">1.0 s</span>",
        "&lt;script&gt;alert(1)&lt;/script&gt;red\n&lt;/pre&gt;&lt;img src=x&gt;",
        "data-attempt=\"1\"",
        "make@1.0.0",
        "<dt>build: version</dt><dd><code>&lt;script&gt;alert(1)&lt;",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    for path in [
        "/",
        "/builds?job=go%2Fweb&state=running&label=linux&master=main",
        "/jobs",
        "/audit",
        "/images",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        is_harmless(&page);
        assert!(path == "/images" || page.text.contains("go/web"), "{path}: {}", page.text);
    }
    let told = world.get(&format!("/v1/builds/{id}"), BOSS).await.ok();
    assert_eq!(
        told["outputs"],
        json!({"build": {"version": EVIL_TEXT}}),
        "the build has those of its run"
    );
    let stages: Vec<_> =
        told["stages"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(stages, ["failure", "pending", "running"]);
    assert_eq!(told["stages"][0]["tests"], json!({"passed": 3, "failed": 1, "skipped": 2}));
    let run = browser.get(&format!("/builds/{run}")).await;
    assert_eq!(run.status, 200, "{}", run.text);
    is_harmless(&run);
    let log = browser.get(&format!("/builds/{id}/log")).await;
    assert_eq!(log.text, "<script>alert(1)</script>red\n</pre><img src=x>\n");
    assert_eq!(log.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(log.headers["x-content-type-options"], "nosniff");
    for path in [
        "/builds/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/jobs/%3Cimg%20src=x%3E",
        "/builds?state=%3Cscript%3Ealert",
    ] {
        let page = browser.get(path).await;
        assert!(page.status >= 400, "{path}");
        is_harmless(&page);
    }
}

#[tokio::test]
async fn builds_are_found_page_by_page() {
    let (registry, _stub) = masters("").await;
    let world = World::with_masters(registry).await;
    job(&world).await;
    for number in 0..5 {
        let order = json!({"job": "go/web", "labels": if number == 2 { json!(["gpu"]) } else { json!([]) }});
        world.post("/v1/builds", OPERATOR, &order).await.ok();
    }
    async fn numbers(world: &World, query: &str) -> Vec<Value> {
        let found = world.get(&format!("/v1/builds?{query}"), READER).await.ok();
        found.as_array().unwrap().iter().map(|one| one["number"].clone()).collect()
    }
    let mut all = numbers(&world, "").await;
    all.sort_by_key(|one| one.as_i64());
    assert_eq!(all, [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&world, "label=gpu").await, [3]);
    assert_eq!(numbers(&world, "state=running").await, [0; 0]);
    assert_eq!(numbers(&world, "job=&state=waiting&limit=2").await.len(), 2);
    assert_eq!(numbers(&world, "job=go").await, [0; 0], "the whole name");
    assert_eq!(world.get("/v1/builds?state=odd", READER).await.status, 400);
    let first = world.get("/v1/builds?limit=3", READER).await.ok();
    let (ms, id) = (&first[2]["created_ms"], first[2]["id"].as_str().unwrap());
    let rest = numbers(&world, &format!("limit=3&before_ms={ms}&before_id={id}")).await;
    let mut together: Vec<i64> = rest.iter().filter_map(Value::as_i64).collect();
    together.extend(first.as_array().unwrap().iter().filter_map(|one| one["number"].as_i64()));
    together.sort_unstable();
    assert_eq!(together, [1, 2, 3, 4, 5]);
    let browser = Browser::with(&world.url, VIEWER).await;
    assert!(browser.get("/builds?limit=3").await.text.contains(">Older</a>"));
    assert!(!browser.get("/builds?limit=50").await.text.contains(">Older</a>"));
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said_on_a_page() {
    let world = World::sqlite().await;
    let page = Browser::new(&world.url).get("/nowhere").await;
    assert!(page.status == 404 && !page.text.contains("<nav>"), "{}", page.text);
    let browser = Browser::with(&world.url, VIEWER).await;
    for (path, status, words) in [
        ("/nowhere", 404, "there is no page at this address"),
        ("/builds?limit=many", 400, "limit: invalid digit found in string. Take that out"),
        ("/builds?nosuch=1", 400, "unknown field"),
        ("/builds?state=runing", 400, "did you mean `running`"),
        ("/audit?before_ms=%3Cb%3E", 400, "before_ms"),
        ("/builds/%FF", 400, "Invalid UTF-8"),
        ("/builds/x/stop", 405, "go back to that page"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, status, "{path}: {}", page.text);
        assert!(page.text.contains(words) && page.text.contains("<nav>"), "{path}: {}", page.text);
        assert!(page.headers.contains_key("content-security-policy"), "{path}");
        is_harmless(&page);
    }
    // Programs get what they get from the API.
    for path in ["/nowhere", "/v1/nowhere"] {
        let reply = world.get(path, VIEWER).await;
        assert_eq!((reply.status, reply.content_type.as_str()), (404, "application/problem+json"));
    }
}
