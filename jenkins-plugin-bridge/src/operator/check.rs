//! What is wrong with a `JenkinsController` beyond what its schema says: all of it at once.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;

use super::model::{BackupMethod, JenkinsController, Storage};
use crate::error::Problem;

/// The longest name: the objects of a revision have 11 characters more, their pods 11 again.
const NAME: usize = 40;
/// The most plugins; the largest installations have about 400.
const PLUGINS: usize = 1000;
/// The most bytes of all configuration: an object of Kubernetes has at most one mebibyte, and the
/// configuration is in two of them.
const CONFIGURATION: usize = 512 << 10;
/// The most bytes of one text otherwise.
const TEXT: usize = 4096;

/// Everything that speaks against a resource.
#[must_use]
pub fn problems(controller: &JenkinsController) -> Vec<Problem> {
    let spec = &controller.spec;
    let mut found = Vec::new();
    let mut add = |path: String, message: String| found.push(Problem::new(path, message));
    if controller.name_any().len() > NAME {
        add("metadata.name".into(), format!("has more than {NAME} characters"));
    }
    if let Err(message) = pinned(&spec.image) {
        add("spec.image".into(), message);
    }
    let mut labels = BTreeSet::new();
    for (at, label) in spec.labels.iter().enumerate() {
        if !is_label(label) {
            let message = format!("{label:?} is no label: letters, digits, '_', '.' and '-'");
            add(format!("spec.labels.{at}"), message);
        }
        if !labels.insert(label) {
            add(format!("spec.labels.{at}"), format!("{label} is there twice"));
        }
    }
    if spec.labels.is_empty() {
        add("spec.labels".into(), "is empty: name at least one, or no build comes here".into());
    }
    if spec.plugins.len() > PLUGINS {
        add("spec.plugins".into(), format!("has more than {PLUGINS} plugins"));
    }
    for (name, version) in &spec.plugins {
        let path = || format!("spec.plugins.{name}");
        if !is_word(name, "-_.") {
            add(path(), "is no short name of a plugin".into());
        }
        if version.is_empty() || ["latest", "experimental"].contains(&version.as_str()) {
            add(path(), format!("{version:?} is no version: pin one, as 5.7.0"));
        } else if !is_word(version, "-_.+") {
            add(path(), format!("{version:?} is no version of a plugin"));
        }
    }
    let bytes: usize = spec.configuration.iter().map(|(name, text)| name.len() + text.len()).sum();
    if bytes > CONFIGURATION {
        add("spec.configuration".into(), format!("has {bytes} bytes, more than {CONFIGURATION}"));
    }
    for name in spec.configuration.keys() {
        if !is_word(name, "-_.") || !(name.ends_with(".yaml") || name.ends_with(".yml")) {
            add(
                format!("spec.configuration.{name}"),
                "expected a file name as jenkins.yaml".into(),
            );
        }
    }
    if !spec.configuration.is_empty()
        && !spec.plugins.is_empty()
        && !spec.plugins.contains_key("configuration-as-code")
    {
        let message = "needs the plugin configuration-as-code, which is not among the plugins";
        add("spec.configuration".into(), message.into());
    }
    if !spec.prefix.is_empty() && (!spec.prefix.starts_with('/') || spec.prefix.ends_with('/')) {
        add("spec.prefix".into(), "expected a path as /jenkins".into());
    }
    for text in [&spec.prefix, spec.java_options.as_ref().unwrap_or(&spec.image)] {
        if text.len() > TEXT || text.chars().any(char::is_control) {
            add("spec".into(), format!("a text is longer than {TEXT} bytes or has control codes"));
        }
    }
    let mut volume = |path: &str, storage: &Storage| {
        if !is_amount(&storage.size) {
            add(format!("{path}.size"), format!("{:?} is no size: expected 50Gi", storage.size));
        }
    };
    volume("spec.storage", &spec.storage);
    if let Some(storage) = &spec.backup.storage {
        volume("spec.backup.storage", storage);
    }
    let mut amounts = |path: &str, all: &BTreeMap<String, String>| {
        for (name, amount) in all {
            if !is_amount(amount) {
                add(format!("{path}.{name}"), format!("{amount:?} is no amount: 500m, 2Gi"));
            }
        }
    };
    amounts("spec.resources.requests", &spec.resources.requests);
    amounts("spec.resources.limits", &spec.resources.limits);
    if let Some(class) = &spec.backup.snapshot_class
        && !matches!(spec.backup.method, BackupMethod::Snapshot | BackupMethod::Auto)
    {
        let message = format!("{class} is for snapshots, and the method is another one");
        add("spec.backup.snapshotClass".into(), message);
    }
    if let Some(bridge) = &spec.bridge
        && (bridge.user.is_empty() || bridge.user.contains(':'))
    {
        add("spec.bridge.user".into(), "expected a user name without a colon".into());
    }
    found
}

/// An image that is the same one tomorrow.
pub(super) fn pinned(image: &str) -> Result<(), String> {
    if image.is_empty() || image.len() > TEXT || image.chars().any(char::is_whitespace) {
        return Err(format!("{image:?} is no image"));
    }
    if image.contains("@sha256:") {
        return Ok(());
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        None | Some((_, "")) => Err(format!("{image} has no tag: pin one, or a digest")),
        Some((_, "latest")) => Err(format!("{image} changes by itself: pin another tag")),
        Some(_) => Ok(()),
    }
}

fn is_label(text: &str) -> bool {
    is_word(text, "_.-") && text.len() <= 100
}

fn is_word(text: &str, more: &str) -> bool {
    let fits = |one: char| one.is_ascii_alphanumeric() || more.contains(one);
    text.len() <= 253
        && text.chars().next().is_some_and(|one| one.is_ascii_alphanumeric() || one == '_')
        && text.chars().all(fits)
}

/// A quantity of Kubernetes, near enough: the API server has the last word.
fn is_amount(text: &str) -> bool {
    let number = text.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    number.parse::<f64>().is_ok_and(|number| number.is_finite() && number > 0.0)
        && ["", "m", "k", "K", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"].contains(&unit)
}
