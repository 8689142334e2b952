//! Tests of what needs no cluster.

mod answers;
mod steps;

use kube::core::Resource as _;
use serde_json::{Value, json};

use super::backup;
use super::crds;
use super::model::JenkinsController;
use super::problems;
use super::render::{Revision, home_claim, surroundings};
use super::status::{Backup, BackupKind};
use crate::pod::to_yaml;

/// A master as a test has it.
pub(super) fn controller(spec: Value) -> JenkinsController {
    let object = json!({
        "apiVersion": "pilotfish.io/v1alpha1", "kind": "JenkinsController",
        "metadata": {"name": "north", "namespace": "ci", "generation": 3,
            "uid": "0c6d7f6e-5a52-4c8e-8d1a-3f1f5d9b2a10"},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn whole() -> JenkinsController {
    let text = include_str!("../../examples/operator/jenkins-controller.yaml");
    let value: Value = serde_saphyr::from_str(text).unwrap();
    controller(value["spec"].clone())
}

pub(super) fn small() -> JenkinsController {
    controller(json!({"image": "jenkins/jenkins:2.555.1-lts-jdk21", "labels": ["linux"],
        "storage": {"size": "1Gi"}}))
}

fn documents(all: &[Value]) -> String {
    all.iter().map(|one| format!("---\n{}", to_yaml(one))).collect()
}

#[test]
fn a_master_is_these_objects() {
    let controller = whole();
    assert_eq!(problems(&controller), []);
    let revision = Revision::of(&controller);
    let mut all = vec![revision.config_map.clone(), revision.placed(1, &home_claim("north"))];
    all.extend(surroundings(&controller));
    insta::assert_snapshot!(documents(&all));
}

#[test]
fn a_backup_and_its_way_back_are_these_objects() {
    let controller = whole();
    let archive = Backup {
        name: backup::name("north", 1_796_000_000),
        kind: BackupKind::Archive,
        revision: "0123456789".into(),
    };
    let snapshot = Backup { kind: BackupKind::Snapshot, ..archive.clone() };
    let all = [
        backup::backup(&controller, &archive, "north-home", "jenkins/jenkins:2.555.1"),
        backup::restore(&controller, &archive, "north-home", "jenkins/jenkins:2.555.1"),
        backup::backup(&controller, &snapshot, "north-home", ""),
    ];
    insta::assert_snapshot!(documents(&all));
}

#[test]
fn a_revision_changes_with_what_needs_a_restart_and_with_nothing_else() {
    let revision = |change: &dyn Fn(&mut JenkinsController)| {
        let mut controller = whole();
        change(&mut controller);
        Revision::of(&controller).name
    };
    let own = revision(&|_| {});
    assert_eq!(own.len(), 10);
    assert_eq!(revision(&|one| one.spec.storage.size = "90Gi".into()), own);
    assert_eq!(revision(&|one| one.spec.upgrade.min_others = 0), own);
    assert_eq!(revision(&|one| one.spec.ingress = None), own);
    assert_ne!(revision(&|one| one.spec.image = "jenkins/jenkins:2.600".into()), own);
    assert_ne!(revision(&|one| drop(one.spec.plugins.remove("git"))), own);
    assert_ne!(revision(&|one| one.spec.configuration.clear()), own);
    // It comes back as it was kept.
    let kept = Revision::of(&whole());
    let data = kept.object(&whole())["data"].clone();
    assert_eq!(serde_json::from_value::<Revision>(data).unwrap(), kept);
}

#[test]
fn everything_that_is_wrong_with_a_master_is_said_at_once() {
    let wrong = controller(json!({
        "image": "jenkins/jenkins:latest", "labels": ["linux", "linux", "a b"],
        "plugins": {"git": "latest", "kubernetes": "", "../up": "1"},
        "configuration": {"jenkins.txt": "jenkins: {}"},
        "prefix": "jenkins/", "javaOptions": "-Xmx2g\n-version",
        "storage": {"size": "much"}, "resources": {"limits": {"cpu": "-1"}},
        "backup": {"method": "archive", "snapshotClass": "fast"},
        "bridge": {"user": "a:b", "tokenSecret": "t"},
    }));
    let lines: Vec<String> = problems(&wrong).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn images_are_pinned() {
    for (image, fits) in [
        ("jenkins/jenkins:2.555.1", true),
        ("registry:5000/jenkins", false),
        ("registry:5000/jenkins:1", true),
        ("jenkins/jenkins:latest", false),
        ("jenkins", false),
        ("jenkins@sha256:00", true),
    ] {
        assert_eq!(super::check::pinned(image).is_ok(), fits, "{image}");
    }
}

/// The definitions are those that the chart installs. `UPDATE_CRDS=1` writes them.
#[test]
fn the_chart_has_the_definitions_of_this_program() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../integration/charts/pilotfish-bridge/crds/pilotfish.io.yaml");
    let text = crds::text();
    if std::env::var_os("UPDATE_CRDS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap();
    assert!(published == text, "UPDATE_CRDS=1 cargo test -p pilotfish-bridge --lib definitions");
    assert_eq!(JenkinsController::plural(&()), "jenkinscontrollers");
}
