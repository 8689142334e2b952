//! `pilotfish-bridge pod` as users call it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

fn bridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pilotfish-bridge"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const PIPELINE: [&str; 6] =
    ["pod", "--pipeline", "static-site", "-P", "repository=https://git.example.com/site.git", "-P"];

fn pod(more: &[&str]) -> Output {
    let mut arguments = PIPELINE.to_vec();
    arguments.push("revision=main");
    arguments.extend(more);
    bridge(&arguments)
}

#[test]
fn the_pod_of_a_plan_is_printed_as_yaml_and_as_json() {
    let yaml = pod(&["--build", "site#7"]);
    assert_eq!(yaml.status.code(), Some(0), "{}", text(&yaml.stderr));
    let printed = text(&yaml.stdout);
    assert!(printed.starts_with("apiVersion: v1\nkind: Pod\n"), "{printed}");
    assert!(printed.contains("\n---\napiVersion: policy/v1\nkind: PodDisruptionBudget\n"));
    assert!(printed.contains("pilotfish.io/build: \"site#7\""), "{printed}");
    let json = pod(&["--build", "site#7", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(list["items"][0]["kind"], "Pod");
    assert_eq!(list["items"][0]["spec"]["automountServiceAccountToken"], false);
    // Without a name, the plan gives one, always the same.
    assert_eq!(pod(&[]).stdout, pod(&[]).stdout);
}

#[test]
fn what_a_profile_cannot_give_is_refused_and_nothing_is_printed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("small.yaml");
    let head = "api: pilotfish/v1\nkind: pod-profile\nname: small\n";
    std::fs::write(&path, format!("{head}most: {{memory: 1Mi}}\n")).unwrap();
    let small = pod(&["--profile", path.to_str().unwrap()]);
    assert_eq!(small.status.code(), Some(2));
    assert!(text(&small.stdout).is_empty());
    assert!(text(&small.stderr).contains("the profile small gives 1Mi at most"));
    std::fs::write(&path, format!("{head}worspace: {{}}\nflavour: cloud\n")).unwrap();
    let wrong = pod(&["--profile", path.to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(2));
    let told = text(&wrong.stderr);
    assert!(told.contains("has 2 problem(s)"), "{told}");
    assert!(told.contains("did you mean `workspace`?"), "{told}");
    let profile = Path::new("examples/profiles/spot.yaml").to_str().unwrap();
    let spot = pod(&["--profile", profile]);
    assert_eq!(spot.status.code(), Some(0), "{}", text(&spot.stderr));
    assert!(text(&spot.stderr).starts_with("note: a spot node may be taken away"));
}

#[test]
fn the_schema_of_profiles_is_there_for_editors() {
    let schema = bridge(&["schema", "pod-profile"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["title"], "Profile");
    assert_eq!(schema["additionalProperties"], false);
}
