//! Lines from one side to the other, and what is refused of them.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::emit::Emitter;
use super::handover::Handover;
use super::receive::{Finished, Receiver, nothing_yet};
use super::wire::{MAX_FILES, Message, SUITES};
use crate::catalog::Catalog;
use crate::catalog::shipped;
use crate::plan::{Outcome, PlanDocument, PlanRequest, Prepared, Selection};
use crate::run::{Event, Progress, RunOptions, RunResult, RuntimeChoice, Silent};

/// What an emitter wrote.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Progress for Told {
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

fn document() -> PlanDocument {
    let catalog = Catalog::from_files(&shipped::files()).unwrap();
    let parameters = json!({"repository": "https://git.example.com/site.git", "revision": "main"});
    let parameters = serde_json::from_value(parameters).unwrap();
    let request = PlanRequest { parameters, ..PlanRequest::default() };
    let prepared = Prepared::new(&catalog, "static-site", &Selection::default()).unwrap();
    prepared.plan(&request).unwrap().into_document()
}

fn result(artifacts: &[&str]) -> RunResult {
    let stage = json!({"id": "checkout", "title": "t", "depth": 0, "group": false,
        "outcome": "success", "reason": "", "rehearsed": false, "start": 0, "milliseconds": 5,
        "attempts": 1, "log": "../../../etc/passwd", "tests": {"total": 1, "failed": 0, "skipped": 0},
        "artifacts": artifacts});
    serde_json::from_value(json!({"digest": "d", "pipeline": "p", "outcome": "success",
        "started": "2026-01-01T00:00:00Z", "milliseconds": 7, "runtime": "a pod",
        "stages": [stage], "tests": {"total": 1, "failed": 0, "skipped": 0}, "notes": []}))
    .unwrap()
}

fn received(lines: &[String], output: &Path, progress: Arc<dyn Progress>) -> Receiver {
    let mut receiver = Receiver::new(&document().plan, output, progress).unwrap();
    for line in lines {
        receiver.line(line).unwrap();
    }
    receiver
}

fn finished(receiver: Receiver, without: Option<(Outcome, String)>) -> RunResult {
    let nothing = nothing_yet("p", "d", "pod x".into(), String::new(), Duration::from_secs(1));
    match receiver.finish(nothing, without).unwrap() {
        Finished::Run(result) => *result,
        Finished::Refused(text) => panic!("{text}"),
    }
}

#[test]
fn a_run_comes_out_of_its_lines_as_it_went_in() {
    let place = tempfile::tempdir().unwrap();
    let kept = place.path().join("kept");
    std::fs::write(&kept, vec![7u8; 100_000]).unwrap();
    let pipe = Pipe::default();
    let emitter = Emitter::new(pipe.clone());
    emitter.event(&Event::Started { id: "checkout", title: "t", group: false });
    emitter.event(&Event::Said { id: "checkout", line: "--- fetch ---" });
    emitter.event(&Event::Output { id: "checkout", line: "one \u{1b}[1m\"two\"" });
    let suites = json!([["checkout", [{"name": "s", "tests": [{"class": "c", "name": "n",
        "seconds": 1.0, "status": "passed", "message": "", "text": ""}]}]]])
    .to_string();
    emitter.content(SUITES, suites.len() as u64, suites.as_bytes()).unwrap();
    emitter.file("artifacts/checkout/a.bin", &kept).unwrap();
    let paths = ["artifacts/checkout/a.bin", "artifacts/checkout/lost.bin"];
    emitter.tell(Message::Result { result: Box::new(result(&paths)) });
    let mut lines = pipe.lines();
    // A connection that broke: some come twice, and some are of nobody.
    lines.splice(2..2, lines[..2].to_vec());
    lines.insert(3, "thread 'main' panicked".to_owned());
    let output = place.path().join("output");
    let told = Arc::new(Told::default());
    let receiver = received(&lines, &output, Arc::clone(&told) as Arc<dyn Progress>);
    assert!(receiver.is_done());
    assert_eq!(receiver.last_words(), "thread 'main' panicked");
    let result = finished(receiver, None);
    assert_eq!((result.outcome, result.runtime.as_str()), (Outcome::Success, "pod x"));
    let stage = &result.stages[0];
    assert_eq!(stage.log.as_deref(), Some("logs/checkout.log"), "not what the pod says");
    assert_eq!(stage.artifacts, ["artifacts/checkout/a.bin"], "only what came");
    let read = |name: &str| std::fs::read(output.join(name)).unwrap();
    assert_eq!(read("logs/checkout.log"), "--- fetch ---\none \u{1b}[1m\"two\"\n".as_bytes());
    assert_eq!(read("artifacts/checkout/a.bin"), vec![7u8; 100_000]);
    assert!(String::from_utf8(read("junit.xml")).unwrap().contains("name=\"n\""));
    assert!(!read("report.html").is_empty() && !read("result.json").is_empty());
    assert_eq!(told.0.lock().unwrap().len(), 3, "each once");
}

#[test]
fn lines_that_never_came_and_a_result_that_never_came_are_told() {
    let pipe = Pipe::default();
    let emitter = Emitter::new(pipe.clone());
    for line in ["a", "b", "c"] {
        emitter.event(&Event::Output { id: "checkout", line });
    }
    let ended = Event::Ended {
        id: "checkout",
        title: "t",
        group: false,
        outcome: Outcome::Success,
        reason: "",
        duration: Duration::from_secs(1),
        rehearsed: false,
    };
    emitter.event(&ended);
    let mut lines = pipe.lines();
    lines.remove(1);
    let place = tempfile::tempdir().unwrap();
    let receiver = received(&lines, place.path(), Arc::new(Silent));
    assert!(!receiver.is_done());
    let result = finished(receiver, Some((Outcome::Failure, "OOMKilled".into())));
    assert_eq!(result.outcome, Outcome::Failure);
    assert_eq!(result.stages.len(), 1, "what is known of the stages is kept");
    assert!(result.notes.iter().any(|note| note == "OOMKilled"), "{:?}", result.notes);
    assert!(result.notes.iter().any(|note| note.starts_with("1 lines")), "{:?}", result.notes);
}

#[test]
fn nothing_is_written_outside_of_the_output() {
    let place = tempfile::tempdir().unwrap();
    let pipe = Pipe::default();
    let emitter = Emitter::new(pipe.clone());
    let hostile = [
        "/tmp/artifacts/x",
        "artifacts/../../x",
        "../x",
        "artifacts",
        "report.html",
        "logs/x",
        "artifacts/./../x",
    ];
    for path in hostile {
        emitter.content(path, 1, &b"x"[..]).unwrap();
    }
    emitter.event(&Event::Output { id: "../../x", line: "x" });
    emitter.tell(Message::Result { result: Box::new(result(&hostile)) });
    let output = place.path().join("a/b");
    let result = finished(received(&pipe.lines(), &output, Arc::new(Silent)), None);
    assert!(result.stages[0].artifacts.is_empty());
    let mut left: Vec<String> = std::fs::read_dir(&output)
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    // The result says that there are tests, though none came.
    assert_eq!(left, ["junit.xml", "logs", "report.html", "result.json"]);
    assert_eq!(std::fs::read_dir(output.join("logs")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn files_have_a_bound_on_both_sides() {
    let pipe = Pipe::default();
    let emitter = Emitter::new(pipe.clone());
    // Bytes that do not get smaller.
    let mut seed = 1u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(MAX_FILES + (1 << 20)).collect();
    let told = emitter.content("artifacts/a", noise.len() as u64, noise.as_slice()).unwrap_err();
    assert!(told.contains("32 MiB"), "{told}");
    assert!(pipe.lines().is_empty(), "nothing of it was told");
    assert_eq!(emitter.content("artifacts/b", 1, &b"x"[..]), Ok(()));
}

#[test]
fn what_the_pod_is_given_comes_back_and_has_a_bound() {
    let place = tempfile::tempdir().unwrap();
    let mut document = document();
    let credential = json!({"id": "key", "type": "secret-text", "variable": "KEY"});
    let crate::plan::PlanNode::Stage(stage) = &mut document.plan.stages[0] else { panic!() };
    stage.credentials = vec![serde_json::from_value(credential).unwrap()];
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        (name.to_owned(), path)
    };
    let mut options = RunOptions {
        workspace: place.path().into(),
        output: place.path().into(),
        start: place.path().into(),
        runtime: RuntimeChoice::Auto,
        with_effects: true,
        approve: false,
        ignore_missing_tools: false,
        credentials: [write("key", "swordfish"), write("other", "not asked for")].into(),
        changed_files: Some(vec!["a".into()]),
        pod: None,
    };
    let routes = [("checkout/git".to_owned(), "git".to_owned())].into();
    let others = ["git".to_owned()].into();
    let data = Handover::pack(&document, &options, &routes, others).unwrap();
    assert_eq!(data.len(), 2, "the credential that the plan names, and no other");
    for (name, bytes) in &data {
        std::fs::write(place.path().join(name), bytes).unwrap();
    }
    let back = Handover::read(place.path()).unwrap();
    assert_eq!((&back.document, &back.routes), (&document, &routes));
    assert!(back.document.is_intact() == document.is_intact() && back.with_effects);
    assert_eq!(data[&back.credentials["key"]], b"swordfish");
    options.changed_files = Some((0..400_000).map(|n| format!("{:x}", n * 7_919_u64)).collect());
    let told = Handover::pack(&document, &options, &routes, Default::default()).unwrap_err();
    assert!(told.to_string().contains("1048576 at most"), "{told}");
}
