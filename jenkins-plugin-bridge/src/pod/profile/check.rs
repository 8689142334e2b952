//! What a schema cannot say about a profile.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};

use super::{Profile, Storage, StorageType};
use crate::error::Problem;
use crate::pod::requests::{Amounts, written};
use crate::pod::security::PodSecurity;

/// The domain of our own labels and annotations.
const OWN: &str = "pilotfish.io/";
/// The longest name in a label's or an annotation's key, and the longest value of a label.
const MAX_LABEL: usize = 63;
/// The longest domain in a label's or an annotation's key.
const MAX_DOMAIN: usize = 253;
/// Sockets of container engines: who reaches one owns the node.
const ENGINES: [&str; 4] = ["docker.sock", "containerd.sock", "crio.sock", "podman.sock"];

/// Everything that is wrong with a profile.
pub(super) fn problems(profile: &Profile) -> Vec<Problem> {
    let mut all = Vec::new();
    storage(profile, "workspace", &profile.workspace, &mut all);
    storage(profile, "other_caches", &profile.other_caches, &mut all);
    for (name, one) in &profile.caches {
        storage(profile, &format!("caches.{name}"), one, &mut all);
    }
    pairs("node_selector", &profile.node_selector, true, &mut all);
    pairs("labels", &profile.labels, true, &mut all);
    pairs("annotations", &profile.annotations, false, &mut all);
    for (index, one) in profile.tolerations.iter().enumerate() {
        key(&format!("tolerations.{index}.key"), &one.key, &mut all);
        if let Some(value) = &one.value {
            label_value(&format!("tolerations.{index}.value"), value, &mut all);
        }
    }
    for (index, one) in profile.topology.iter().enumerate() {
        key(&format!("topology.{index}.key"), &one.key, &mut all);
        if profile.topology[..index].iter().any(|other| other.key == one.key) {
            let message = format!("`{}` is there already: give each key once", one.key);
            all.push(Problem::new(format!("topology.{index}.key"), message));
        }
    }
    users(profile, &mut all);
    amounts("agent", &profile.agent.requests, &profile.agent.limits, &mut all);
    amounts("defaults", &profile.defaults.requests, &profile.defaults.limits, &mut all);
    for (path, image) in [("agent.image", &profile.agent.image)] {
        if image.is_empty() || image.chars().any(|one| one.is_whitespace() || one.is_control()) {
            all.push(Problem::new(path, "expected the name of an image without blanks"));
        }
    }
    let deadline = &profile.deadline;
    if let Some(most) = &deadline.most
        && most.seconds() <= deadline.start_seconds()
    {
        let start = deadline.start_seconds();
        let message = format!("{most} leaves no time beside deadline.start, {start} s");
        all.push(Problem::new("deadline.most", message));
    }
    all
}

/// A glob of image names, if it is one. `*` stays within one part of a name.
pub(super) fn glob(text: &str) -> Option<GlobMatcher> {
    GlobBuilder::new(text).literal_separator(true).build().ok().map(|one| one.compile_matcher())
}

fn users(profile: &Profile, all: &mut Vec<Problem>) {
    let restricted = profile.pod_security == PodSecurity::Restricted;
    let root = "is root, which a namespace that enforces restricted does not admit: \
                choose another user or set pod_security to what the namespace enforces";
    if profile.user == 0 && restricted {
        all.push(Problem::new("user", format!("0 {root}")));
    }
    for (index, one) in profile.users.iter().enumerate() {
        if glob(&one.image).is_none() {
            let message = format!("`{}` is no glob of image names", one.image);
            all.push(Problem::new(format!("users.{index}.image"), message));
        }
        if one.user == 0 && restricted {
            all.push(Problem::new(format!("users.{index}.user"), format!("0 {root}")));
        }
    }
}

fn storage(profile: &Profile, place: &str, one: &Storage, all: &mut Vec<Problem>) {
    let word = one.word();
    let mut add = |field: &str, message: String| {
        all.push(Problem::new(format!("{place}.{field}"), message));
    };
    let traits = profile.flavour.traits();
    let (size, memory, claim, class, path) = match one.kind {
        StorageType::EmptyDir => (true, true, false, false, false),
        StorageType::Claim => (false, false, true, false, true),
        StorageType::Ephemeral => (true, false, false, true, false),
        StorageType::HostPath => (false, false, false, false, true),
    };
    let fields = [
        ("size", one.size.is_some(), size),
        ("memory", one.memory, memory),
        ("claim", one.claim.is_some(), claim),
        ("class", one.class.is_some(), class),
        ("path", one.path.is_some(), path),
    ];
    for (field, given, taken) in fields {
        if given && !taken {
            add(field, format!("says nothing for storage of type {word}: leave it out"));
        }
    }
    let forbidden = match one.kind {
        StorageType::EmptyDir => None,
        StorageType::Claim => traits.no_claim,
        StorageType::Ephemeral => traits.no_ephemeral,
        StorageType::HostPath => traits.no_host_path,
    };
    if let Some(reason) = forbidden {
        add("type", format!("{word} is not possible on {}: {reason}", traits.title));
    }
    match one.kind {
        StorageType::Claim if one.claim.is_none() => {
            add("claim", "is missing: name the claim".into());
        }
        StorageType::Ephemeral if one.size.is_none() => {
            add("size", "is missing: say how large the volume is".into());
        }
        StorageType::HostPath if profile.pod_security < PodSecurity::Privileged => add(
            "type",
            format!(
                "host-path is not admitted by a namespace that enforces {}: use another type, or \
                 set pod_security to what the namespace enforces",
                profile.pod_security.word()
            ),
        ),
        _ => {}
    }
    match (one.kind, one.path.as_deref()) {
        (StorageType::HostPath, None) => add("path", "is missing: name the directory".into()),
        (StorageType::HostPath, Some(path)) if !host_directory(path) => add(
            "path",
            format!(
                "{path:?} is refused: expected an absolute directory of its own, no socket of a container engine"
            ),
        ),
        (StorageType::Claim, Some(path)) if !sub_directory(path) => {
            add("path", format!("{path:?} is refused: expected a relative path without `..`"));
        }
        _ => {}
    }
}

fn host_directory(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let system = ["bin", "boot", "dev", "etc", "lib", "proc", "root", "run", "sbin", "sys", "usr"];
    path.starts_with('/')
        && !path.contains(':')
        && parts.len() > 1
        && parts.iter().all(|part| !matches!(*part, "." | "..") && !ENGINES.contains(part))
        && !system.contains(&parts[0])
        && parts[..2] != ["var", "run"]
}

fn sub_directory(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn pairs(place: &str, map: &BTreeMap<String, String>, labels: bool, all: &mut Vec<Problem>) {
    for (name, value) in map {
        let path = format!("{place}.{name}");
        key(&path, name, all);
        if place != "node_selector" && name.starts_with(OWN) {
            all.push(Problem::new(&path, format!("{OWN}… is set by Pilotfish: leave it out")));
        }
        if labels {
            label_value(&path, value, all);
        }
    }
}

fn key(path: &str, key: &str, all: &mut Vec<Problem>) {
    let (domain, name) = key.split_once('/').map_or((None, key), |(a, b)| (Some(a), b));
    let domain_fits = domain.is_none_or(|domain| {
        domain.len() <= MAX_DOMAIN
            && domain.split('.').all(|part| {
                word(part, MAX_LABEL, "-") && part.bytes().all(|b| !b.is_ascii_uppercase())
            })
    });
    if !domain_fits || !word(name, MAX_LABEL, "-_.") {
        let message = format!(
            "{key:?} is no key: expected letters, digits, - _ and ., as in example.com/name"
        );
        all.push(Problem::new(path, message));
    }
}

fn label_value(path: &str, value: &str, all: &mut Vec<Problem>) {
    if !value.is_empty() && !word(value, MAX_LABEL, "-_.") {
        let message = format!(
            "{value:?} is no value of a label: expected at most 63 letters, digits, - _ and ."
        );
        all.push(Problem::new(path, message));
    }
}

/// Letters and digits, with some other characters between them.
fn word(text: &str, most: usize, between: &str) -> bool {
    let ends = |one: Option<char>| one.is_some_and(|one| one.is_ascii_alphanumeric());
    text.len() <= most
        && ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || between.contains(one))
}

fn amounts(
    place: &str,
    requests: &crate::catalog::model::Resources,
    limits: &crate::catalog::model::Resources,
    all: &mut Vec<Problem>,
) {
    let (requests, limits) = (Amounts::of(requests), Amounts::limits(limits));
    for ((name, request), (_, limit)) in requests.named().into_iter().zip(limits.named()) {
        if request > limit {
            let message = format!(
                "{} is more than the limit, {}",
                written(name, request),
                written(name, limit)
            );
            all.push(Problem::new(format!("{place}.requests.{name}"), message));
        }
    }
}
