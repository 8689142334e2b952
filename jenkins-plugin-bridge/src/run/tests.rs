//! Runs with real processes.

mod containers;
mod outputs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::catalog::Catalog;
use crate::catalog::shipped;
use crate::catalog::source::Files;
use crate::plan::{PlanRequest, Prepared, Selection};

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            workspace: self.path("workspace"),
            output: self.path("output"),
            start: self.directory.path().to_owned(),
            runtime: RuntimeChoice::Local,
            with_effects: false,
            approve: false,
            ignore_missing_tools: false,
            credentials: BTreeMap::new(),
            changed_files: None,
            pod: None,
        }
    }

    fn log(&self, id: &str) -> String {
        let name = file_name(id);
        std::fs::read_to_string(self.path(&format!("output/logs/{name}.log"))).unwrap_or_default()
    }
}

/// A catalog of stages that are given as scripts, by name, with more keys in YAML.
fn document(stages: &[(&str, &str, &str)], pipeline: &str, parameters: Value) -> PlanDocument {
    let mut files = Files::default();
    let info = "api: pilotfish/v1\nkind: catalog\nname: c\nversion: 1.0.0\ndescription: d\n";
    files.0.insert("catalog.yaml".into(), info.into());
    for (name, script, more) in stages {
        let script: String = script.lines().map(|line| format!("      {line}\n")).collect();
        let text = format!(
            "api: pilotfish/v1\nkind: stage\nname: {name}\nversion: 1.0.0\ndescription: d\nsteps:\n  - script: |\n{script}\n{more}\n"
        );
        files.0.insert(format!("{name}.yaml"), text);
    }
    let text = format!(
        "api: pilotfish/v1\nkind: pipeline\nname: p\nversion: 1.0.0\ndescription: d\n{pipeline}"
    );
    files.0.insert("pipeline.yaml".into(), text);
    let catalog = Catalog::from_files(&files).unwrap();
    let request = PlanRequest {
        parameters: serde_json::from_value(parameters).unwrap(),
        ..PlanRequest::default()
    };
    Prepared::new(&catalog, "p", &Selection::default())
        .unwrap()
        .plan(&request)
        .unwrap()
        .into_document()
}

async fn run_it(document: &PlanDocument, options: &RunOptions) -> RunResult {
    let (_keep, cancel) = Cancel::new();
    run(document, options, Arc::new(Silent), cancel).await.unwrap()
}

fn outcome(result: &RunResult, id: &str) -> Outcome {
    result.stages.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("no {id}")).outcome
}

#[tokio::test]
async fn stages_run_in_order_and_a_failure_stops_what_follows() {
    let place = Place::new();
    let document = document(
        &[
            ("good", "echo out; echo err >&2; echo one > file", ""),
            (
                "bad",
                "cat file\nexit 3\necho never",
                "post: {failure: [{script: 'echo cleaned'}], always: [{script: 'echo always'}]}",
            ),
            ("told", "echo \"result $PILOTFISH_RESULT\"", ""),
        ],
        "stages:\n  - {name: a, uses: good}\n  - {name: b, uses: bad}\n  - {name: c, uses: good}\n  - {name: d, uses: good, after_failure: true}\npost:\n  always: [{name: e, uses: told}]\n  success: [{name: f, uses: good}]\n",
        json!({}),
    );
    let result = run_it(&document, &place.options()).await;
    assert_eq!(result.outcome, Outcome::Failure);
    assert_eq!(result.exit_code(), 1);
    let all: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|id| outcome(&result, id).word()).into();
    assert_eq!(all, ["success", "failure", "skipped", "success", "success", "skipped"]);
    assert!(place.log("a").contains("out\nerr\n"));
    let bad = place.log("b");
    assert!(bad.contains("one\n") && !bad.contains("never"), "{bad}");
    assert!(bad.contains("cleaned") && bad.contains("always"), "{bad}");
    assert!(place.log("e").contains("result failure"));
    let report = std::fs::read_to_string(place.path("output/report.html")).unwrap();
    assert!(report.contains("exit code 3") && report.contains("prefers-color-scheme:dark"));
    assert!(
        !report.contains("<script") && !report.contains("http://") && !report.contains("https://"),
        "it needs nothing else"
    );
    let json = std::fs::read_to_string(place.path("output/result.json")).unwrap();
    assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), result);
}

#[tokio::test]
async fn branches_meet_and_a_matrix_gets_its_values() {
    let place = Place::new();
    // Each branch waits for the other, so they only pass when they run at the same time.
    let meet = "touch \"$PILOTFISH_STAGE\"\nn=0\nwhile [ ! -e left ] || [ ! -e right ]; do n=$((n + 1)); [ \"$n\" -lt 3000 ]; sleep 0.01; done";
    let document = document(
        &[("meet", meet, "timeout: 60s"), ("cell", "echo \"$MATRIX_OS-$MATRIX_V\"", "")],
        "stages:\n  - name: both\n    parallel:\n      - {name: left, uses: meet}\n      - {name: right, uses: meet}\n  - name: grid\n    uses: cell\n    matrix: {axes: {os: [a, b], v: [1, 2]}, exclude: [{os: b, v: 1}], max_parallel: 1}\n",
        json!({}),
    );
    let result = run_it(&document, &place.options()).await;
    assert_eq!(result.outcome, Outcome::Success, "{result:#?}");
    assert!(place.log("grid[os=a,v=2]").contains("a-2\n"));
    assert_eq!(result.stages.iter().filter(|one| one.id.starts_with("grid[")).count(), 3);
}

#[tokio::test]
async fn fail_fast_stops_the_other_branches() {
    let place = Place::new();
    let document = document(
        &[("bad", "exit 1", ""), ("long", "sleep 600", "post: {aborted: [{script: 'echo told'}]}")],
        "stages:\n  - name: both\n    fail_fast: true\n    parallel:\n      - {name: long, uses: long}\n      - {name: bad, uses: bad}\n",
        json!({}),
    );
    let result = run_it(&document, &place.options()).await;
    assert_eq!(outcome(&result, "long"), Outcome::Aborted);
    assert_eq!(result.outcome, Outcome::Failure);
    assert!(place.log("long").contains("told"));
}

#[tokio::test]
async fn tries_and_timeouts() {
    let place = Place::new();
    let third = "echo x >> tries\n[ \"$(wc -l < tries)\" -ge 3 ]";
    let document = document(
        &[
            ("third", third, "retry: {attempts: 3}"),
            ("slow", "sleep 600 & sleep 600", "timeout: 1s\nretry: {attempts: 5, on: [failure]}"),
            ("shaky", "exit 1", ""),
        ],
        "stages:\n  - {name: third, uses: third}\n  - {name: shaky, uses: shaky, allow_failure: true}\n  - {name: slow, uses: slow}\n",
        json!({}),
    );
    let result = run_it(&document, &place.options()).await;
    let by_id = |id: &str| result.stages.iter().find(|one| one.id == id).unwrap();
    assert_eq!((by_id("third").outcome, by_id("third").attempts), (Outcome::Success, 3));
    assert_eq!(by_id("shaky").outcome, Outcome::Unstable);
    assert_eq!((by_id("slow").outcome, by_id("slow").attempts), (Outcome::Failure, 1));
    assert!(by_id("slow").reason.contains("1 s is over"), "{}", by_id("slow").reason);
}

#[tokio::test]
async fn conditions_are_decided_from_what_stages_told() {
    let place = Place::new();
    let document = document(
        &[
            ("tell", "printf 'src/a.rs\\n' > \"$PILOTFISH_FACTS/changed-files\"", ""),
            ("work", "echo worked", ""),
        ],
        "stages:\n  - {name: tell, uses: tell}\n  - {name: rust, uses: work, when: \"any_match(changed_files, '**/*.rs')\"}\n  - {name: docs, uses: work, when: \"any_match(changed_files, '**/*.md')\"}\n  - {name: then, uses: work, when: results.docs == 'skipped'}\n",
        json!({}),
    );
    let result = run_it(&document, &place.options()).await;
    assert_eq!(outcome(&result, "rust"), Outcome::Success);
    assert_eq!(outcome(&result, "docs"), Outcome::Skipped);
    assert_eq!(outcome(&result, "then"), Outcome::Success);
}

#[tokio::test]
async fn hostile_parameters_do_nothing() {
    let stages = [(
        "show",
        "printf '%s' \"$TEXT\" > got\nprintf '%s' \"$(cat \"$NOTES\")\" > notes",
        "parameters: {type: object, properties: {text: {type: string}, notes: {type: string, x-pass: file}}}",
    )];
    let pipeline = "parameters: {type: object, properties: {text: {type: string}, notes: {type: string}}}\nstages: [{name: s, uses: show}]\n";
    let long = "y".repeat(90 * 1024);
    for hostile in [
        "\"; touch pwned #",
        "$(touch pwned)",
        "`touch pwned`",
        "a\ntouch pwned\n;",
        "'; touch pwned; '",
        "${IFS}%s\\n",
        "* ?",
        &long,
    ] {
        let place = Place::new();
        let document = document(&stages, pipeline, json!({"text": hostile, "notes": hostile}));
        let result = run_it(&document, &place.options()).await;
        assert_eq!(result.outcome, Outcome::Success, "{hostile}");
        let got = std::fs::read_to_string(place.path("workspace/got")).unwrap();
        assert_eq!(got, hostile);
        let notes = std::fs::read_to_string(place.path("workspace/notes")).unwrap();
        assert_eq!(notes, hostile.trim_end_matches('\n'));
        assert!(!place.path("workspace/pwned").exists(), "{hostile}");
    }
}

#[tokio::test]
async fn a_value_too_large_for_a_variable_comes_as_a_file() {
    let place = Place::new();
    let stages = [(
        "count",
        "wc -c < \"$NOTES\" > size\ntail -c 12 \"$NOTES\" > end",
        "parameters: {type: object, properties: {notes: {type: string, x-pass: file}}}",
    )];
    let pipeline = "parameters: {type: object, properties: {notes: {type: string, x-pass: file}}}\nstages: [{name: s, uses: count}]\n";
    let notes = format!("{}$(id) \u{1F600}\n'", "y".repeat(3 * 1024 * 1024));
    let document = document(&stages, pipeline, json!({"notes": notes}));
    assert!(!document.plan.all_stages().any(|one| one.environment.contains_key("NOTES")));
    let result = run_it(&document, &place.options()).await;
    assert_eq!(result.outcome, Outcome::Success);
    let size = std::fs::read_to_string(place.path("workspace/size")).unwrap();
    assert_eq!(size.trim(), notes.len().to_string());
    let end = std::fs::read_to_string(place.path("workspace/end")).unwrap();
    assert_eq!(end, "$(id) \u{1F600}\n'");
}

#[tokio::test]
async fn effects_are_rehearsed_unless_asked_for() {
    let place = Place::new();
    let document = document(
        &[(
            "ship",
            "echo \"shipped with $TOKEN\" | tee shipped",
            "effects: external\nrehearsal: [{script: 'echo would ship; env'}]\ncredentials: [{id: ship-token, type: secret-text, variable: TOKEN}]",
        )],
        "stages: [{name: ship, uses: ship}]\n",
        json!({}),
    );
    let secret = place.path("secret");
    std::fs::write(&secret, "hunter2-and-more\n").unwrap();
    let mut options = place.options();
    options.credentials.insert("ship-token".into(), secret);
    let result = run_it(&document, &options).await;
    assert!(result.stages[0].rehearsed && !place.path("workspace/shipped").exists());
    assert!(place.log("ship").contains("would ship") && !place.log("ship").contains("TOKEN="));
    options.with_effects = true;
    let result = run_it(&document, &options).await;
    assert!(!result.stages[0].rehearsed && result.outcome == Outcome::Success);
    let shipped = std::fs::read_to_string(place.path("workspace/shipped")).unwrap();
    assert_eq!(shipped, "shipped with hunter2-and-more\n");
    let log = place.log("ship");
    assert!(log.contains("shipped with ****") && !log.contains("hunter2"), "{log}");
    // Without the secret nothing runs at all.
    options.credentials.clear();
    let (_keep, cancel) = Cancel::new();
    let refused = run(&document, &options, Arc::new(Silent), cancel).await.unwrap_err();
    assert!(refused.to_string().contains("--credential ship-token=FILE"), "{refused}");
    // Nor where its file is not there; its path is seen from where the user is.
    options.credentials.insert("ship-token".into(), "no/such/file".into());
    let (_keep, cancel) = Cancel::new();
    let refused = run(&document, &options, Arc::new(Silent), cancel).await.unwrap_err();
    assert!(refused.to_string().contains("cannot read"), "{refused}");
    options.credentials.insert("ship-token".into(), "secret".into());
    assert_eq!(run_it(&document, &options).await.outcome, Outcome::Success);
}

#[tokio::test]
async fn missing_tools_are_told_before_anything_runs() {
    let place = Place::new();
    let document = document(
        &[
            ("a", "touch ran", ""),
            ("b", "true", "containers: [{name: c, image: 'i:1', tools: [no-such-tool-here]}]"),
        ],
        "stages: [{name: a, uses: a}, {name: b, uses: b}]\n",
        json!({}),
    );
    let (_keep, cancel) = Cancel::new();
    let error = run(&document, &place.options(), Arc::new(Silent), cancel).await.unwrap_err();
    assert!(error.to_string().contains("no-such-tool-here"), "{error}");
    assert!(!place.path("workspace/ran").exists());
}

struct StopAt(&'static str, Mutex<Option<Canceller>>);

impl Progress for StopAt {
    fn event(&self, event: &Event<'_>) {
        if let Event::Output { line, .. } = event
            && line.contains(self.0)
            && let Some(stop) = self.1.lock().unwrap().take()
        {
            stop.cancel();
        }
    }
}

#[tokio::test]
async fn a_stopped_run_ends_its_processes_and_says_so() {
    let place = Place::new();
    let document = document(
        &[
            (
                "wait",
                "sleep 600 &\necho ready $!\nwait",
                "post: {aborted: [{script: 'echo tidied'}]}",
            ),
            ("next", "touch ran", ""),
        ],
        "stages: [{name: wait, uses: wait}, {name: next, uses: next}]\n",
        json!({}),
    );
    let (stop, cancel) = Cancel::new();
    let progress = Arc::new(StopAt("ready", Mutex::new(Some(stop))));
    let result = run(&document, &place.options(), progress, cancel).await.unwrap();
    assert_eq!(result.outcome, Outcome::Aborted);
    assert_eq!(outcome(&result, "next"), Outcome::Skipped);
    let log = place.log("wait");
    assert!(log.contains("tidied"), "{log}");
    let pid = log.lines().find_map(|line| line.strip_prefix("ready ")).unwrap();
    assert!(!Path::new(&format!("/proc/{pid}/cwd")).exists(), "the sleep has ended");
}

#[tokio::test]
async fn approvals_and_reports() {
    let place = Place::new();
    let xml = "<testsuite name=\"s\"><testcase name=\"a\"/><testcase name=\"b\"><failure message=\"m\"/></testcase></testsuite>";
    let script = format!(
        "mkdir -p build\nprintf '%s' '{xml}' > build/junit.xml\necho kept > build/out.txt\nln -s /etc/passwd build/link.txt"
    );
    let document = document(
        &[
            ("test", &script, "reports: {junit: ['build/*.xml'], archive: ['build/*.txt']}"),
            ("go", "true", ""),
        ],
        "stages:\n  - {name: test, uses: test}\n  - {name: go, uses: go, approval: {message: 'Go?'}}\n",
        json!({}),
    );
    let mut options = place.options();
    let result = run_it(&document, &options).await;
    assert_eq!(outcome(&result, "test"), Outcome::Unstable);
    assert_eq!(outcome(&result, "go"), Outcome::Aborted);
    assert_eq!(result.tests, TestTotals { total: 2, failed: 1, skipped: 0 });
    assert_eq!(result.stages[0].artifacts, ["artifacts/test/build/out.txt"], "no link is followed");
    assert!(place.path("output/junit.xml").exists());
    options.approve = true;
    std::fs::remove_dir_all(&options.workspace).unwrap();
    assert_eq!(outcome(&run_it(&document, &options).await, "go"), Outcome::Success);
}

fn git(directory: &Path, arguments: &[&str]) {
    let done = std::process::Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the README shows: the sample project, eight stages, real processes.
#[tokio::test]
async fn the_sample_project_runs_from_the_shipped_catalog() {
    let place = Place::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web-service");
    let text = std::fs::read_to_string(sample.join("params.yaml")).unwrap();
    let parameters = crate::catalog::read::yaml(&text).unwrap();
    copy(&sample, &place.path("jenkins-plugin-bridge/examples/web-service"));
    git(place.directory.path(), &["init", "--quiet", "."]);
    git(place.directory.path(), &["add", "jenkins-plugin-bridge"]);
    git(place.directory.path(), &["commit", "--quiet", "-m", "sample"]);
    let catalog = Catalog::from_files(&shipped::files()).unwrap();
    let request = PlanRequest {
        parameters: serde_json::from_value(parameters).unwrap(),
        ..PlanRequest::default()
    };
    let prepared = Prepared::new(&catalog, "web-service", &Selection::default()).unwrap();
    let document = prepared.plan(&request).unwrap().into_document();
    let result = run_it(&document, &place.options()).await;
    assert_eq!(result.outcome, Outcome::Success, "{result:#?}");
    let stages: Vec<_> = result.stages.iter().filter(|one| !one.group).collect();
    assert_eq!(stages.len(), 8);
    assert!(stages.iter().all(|one| one.outcome == Outcome::Success));
    let rehearsed: Vec<_> =
        stages.iter().filter(|one| one.rehearsed).map(|one| one.id.as_str()).collect();
    assert_eq!(rehearsed, ["scan", "image", "deploy", "notify"]);
    assert_eq!(result.tests.total, 4);
    assert!(place.log("api-tests").contains("ok /price?cents=1000 200"));
}
