//! The program as users call it: output, exit codes, revisions of git.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

fn bridge(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pilotfish-bridge"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn git(directory: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
}

const CATALOG: &str = "api: pilotfish/v1\nkind: catalog\nname: c\nversion: 1.0.0\ndescription: d\n";
const STAGE: &str = "api: pilotfish/v1\nkind: stage\nname: work\nversion: 1.0.0\ndescription: d\nparameters: {type: object, properties: {code: {type: integer, default: 0}}}\nsteps: [{name: one, script: 'exit \"$CODE\"'}]\ntimeout: 1m\n";
const PIPELINE: &str = "api: pilotfish/v1\nkind: pipeline\nname: p\nversion: 1.0.0\ndescription: d\nparameters: {type: object, properties: {code: {type: integer, maximum: 9}}}\nstages: [{name: s, uses: work}]\n";
const EXAMPLE: &str =
    "api: pilotfish/v1\nkind: example\nname: e\npipeline: p\nparameters: {code: 0}\n";

fn write_catalog(directory: &Path) {
    for (name, text) in
        [("catalog.yaml", CATALOG), ("s.yaml", STAGE), ("p.yaml", PIPELINE), ("e.yaml", EXAMPLE)]
    {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

#[test]
fn exit_codes_tell_passed_failed_and_refused() {
    let place = tempfile::tempdir().unwrap();
    let catalog = place.path().join("catalog");
    std::fs::create_dir(&catalog).unwrap();
    write_catalog(&catalog);
    let run = |code: &str| {
        let code = format!("code={code}");
        let arguments =
            ["run", "--catalog", "catalog", "--pipeline", "p", "--runtime", "local", "-P", &code];
        bridge(place.path(), &arguments)
    };
    let passed = run("0");
    assert_eq!(passed.status.code(), Some(0), "{}", text(&passed.stderr));
    assert!(text(&passed.stderr).contains("[s] success"));
    assert!(place.path().join("pilotfish-run/report.html").exists());
    let failed = run("3");
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed.stderr).contains("one: exit code 3"), "{}", text(&failed.stderr));
    let refused = run("99");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("accepted is a number of at most 9"));
}

#[test]
fn a_plan_is_printed_the_same_twice() {
    let place = tempfile::tempdir().unwrap();
    let arguments = [
        "plan",
        "--pipeline",
        "web-service",
        "--format",
        "json",
        "-P",
        "repository=r",
        "-P",
        "language=go",
    ];
    let first = bridge(place.path(), &arguments);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_eq!(first.stdout, bridge(place.path(), &arguments).stdout);
    assert!(text(&first.stdout).contains("\"digest\": \"sha256:"));
    let wrong = bridge(place.path(), &["plan", "--pipeline", "web-servce"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("did you mean `web-service`"));
}

#[test]
fn revisions_of_a_catalog_are_compared() {
    let place = tempfile::tempdir().unwrap();
    let catalog = place.path().join("ci/catalog");
    std::fs::create_dir_all(&catalog).unwrap();
    write_catalog(&catalog);
    git(place.path(), &["init", "--quiet", "."]);
    git(place.path(), &["add", "."]);
    git(place.path(), &["commit", "--quiet", "-m", "one"]);
    std::fs::write(catalog.join("s.yaml"), STAGE.replace("timeout: 1m", "timeout: 2m")).unwrap();
    git(place.path(), &["commit", "--quiet", "-a", "-m", "two"]);
    let diff = |arguments: &[&str]| {
        let mut all = vec!["diff", "--catalog", "ci/catalog"];
        all.extend(arguments);
        bridge(place.path(), &all)
    };
    let changed = diff(&["--from", "HEAD~1", "--to", "HEAD"]);
    assert_eq!(changed.status.code(), Some(0), "{}", text(&changed.stderr));
    assert_eq!(
        text(&changed.stdout),
        "1 changed: example e\n  stage s: timeout_seconds: 60 → 120\n1 compared: 1 changed, 0 the same\n"
    );
    // The working tree, and a job that loses its plan.
    let stricter = PIPELINE
        .replace("stages:", "timeout: 1h\nstages:")
        .replace("maximum: 9", "maximum: 9, minimum: 1");
    std::fs::write(catalog.join("p.yaml"), stricter).unwrap();
    let broken = diff(&["--from", "HEAD"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stdout).contains("BROKEN example e"), "{}", text(&broken.stdout));
    for wrong in ["no-such-revision", "--upload-pack=x"] {
        let refused = diff(&[&format!("--from={wrong}")]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains("revision"), "{}", text(&refused.stderr));
    }
}

#[test]
fn the_shipped_catalog_is_clean_and_documented() {
    let place = tempfile::tempdir().unwrap();
    let lint = bridge(place.path(), &["lint", "--strict"]);
    assert_eq!(text(&lint.stdout), "0 error(s), 0 warning(s)\n");
    assert!(lint.status.success());
    let markdown = text(&bridge(place.path(), &["docs"]).stdout);
    assert!(markdown.contains("### web-service 1.0.0") && markdown.contains("| `php_version` |"));
    let html = text(&bridge(place.path(), &["docs", "--format", "html"]).stdout);
    assert!(html.contains("<h3>unit-test-php 1.0.0</h3>") && !html.contains("<script"));
    let schema = text(&bridge(place.path(), &["schema", "stage"]).stdout);
    assert!(schema.contains("\"$schema\""));
    let formats = text(&bridge(place.path(), &["schema"]).stdout);
    assert!(formats.lines().any(|format| format == "stage"), "{formats}");
}
