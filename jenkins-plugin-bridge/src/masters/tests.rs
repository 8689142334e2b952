use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::health::{Health, HealthRules, Observation, Seen, State};
use super::watch::look;
use super::{Declared, Drain, Labels, MasterSpec, MastersFile, Registry, Source, cover};
use crate::rest::stub::{Reply, Stub, recording};

const HEAD: &str = "api: pilotfish/v1\nkind: masters\n";

fn problems(text: &str) -> Vec<String> {
    MastersFile::read("masters.yaml", text)
        .unwrap_err()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn mistakes_of_a_masters_file_are_told_at_once() {
    let text = format!(
        "{HEAD}masters:\n  north:\n    url: ci.example.com\n    usr: me\n    token_file: t\n    \
         labels: from-node\n    permission: al\n    maintenance: [{{days: [sun], from: '25:00', until: '01:00'}}]\n"
    );
    insta::assert_snapshot!(problems(&text).join("\n"));
    let text = format!(
        "{HEAD}masters:\n  north: {{url: 'https://ci/', user: 'a:b', token_file: t, labels: []}}\n  \
         south: {{url: 'https://ci', user: b, token_file: t, labels: from-nodes, maintenance: \
         [{{start: tomorrow, end: never}}]}}\n"
    );
    insta::assert_snapshot!(problems(&text).join("\n"));
}

#[test]
fn the_example_is_a_masters_file() {
    let file = MastersFile::read("masters.yaml", include_str!("../../examples/masters.yaml"));
    let names: Vec<String> = file.unwrap().masters.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["north", "south"]);
}

fn masters_of(urls: &[(&str, &str, &str)]) -> (Registry, tempfile::NamedTempFile) {
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"11aabb").unwrap();
    let mut text = format!("{HEAD}masters:\n");
    for (name, url, labels) in urls {
        text.push_str(&format!(
            "  {name}: {{url: '{url}', user: bridge, token_file: {}, proxy: none, labels: {labels}}}\n",
            token.path().display()
        ));
    }
    let file = MastersFile::read("masters.yaml", &text).unwrap();
    (Registry::of(&file).unwrap(), token)
}

/// A controller as recorded: its root, its nodes, its queue.
async fn recorded(quieting: bool) -> Stub {
    let (root, computers, queue) = (recording(51), recording(31), recording(24));
    let root_quiet = root.cut(Some("mode,quietingDown"));
    let body = root_quiet.body.replace("true", if quieting { "true" } else { "false" });
    let root_now = Reply { body, ..root_quiet };
    Stub::start(move |request| match request.path.as_str() {
        "/api/json" => root_now.clone(),
        "/computer/api/json" => computers.cut(request.tree.as_deref()),
        "/queue/api/json" => queue.cut(request.tree.as_deref()),
        _ => recording(8).reply,
    })
    .await
}

#[tokio::test]
async fn a_look_shows_what_was_recorded() {
    let stub = recorded(false).await;
    let (registry, _token) = masters_of(&[("north", &stub.url, "from-nodes")]);
    let master = registry.get("north").unwrap();
    assert!(master.refusal(0).unwrap().contains("not looked at"));
    let seen = look(&master, true).await;
    assert!(master.observe(&seen, &HealthRules::default()).is_some());
    insta::assert_json_snapshot!(master.state().seen);
    assert_eq!(master.refusal(0), None);
    assert!(master.labels().contains("pyagent"), "{:?}", master.labels());
    assert!(!master.labels().contains("tcp1") || !master.labels().contains("rec1"));
    assert_eq!((stub.requests().len(), master.calls()), (3, 3));
    // The pulse alone is one request and forgets nothing.
    let pulse = look(&master, false).await;
    assert_eq!(pulse.outcome.unwrap().unwrap(), master.state().seen);
    assert_eq!(stub.requests().len(), 4);
}

#[tokio::test]
async fn a_master_that_is_about_to_stop_gets_nothing() {
    let stub = recorded(true).await;
    let (registry, _token) = masters_of(&[("north", &stub.url, "[linux]")]);
    let master = registry.get("north").unwrap();
    master.observe(&look(&master, true).await, &HealthRules::default());
    assert_eq!(master.state().health, Health::Healthy);
    assert!(master.refusal(0).unwrap().contains("shut down"));
}

#[tokio::test]
async fn labels_of_fewer_than_two_masters_are_alerts() {
    let (one, two) = (recorded(false).await, recorded(true).await);
    let (registry, _token) = masters_of(&[
        ("east", &one.url, "[linux, arm]"),
        ("north", &one.url.replace("127.0.0.1", "localhost"), "[linux]"),
        ("south", &two.url, "[arm]"),
    ]);
    for master in registry.all() {
        master.observe(&look(&master, true).await, &HealthRules::default());
    }
    let asked = |labels: &[&str]| labels.iter().map(ToString::to_string).collect();
    // Each of the last two has two masters and more; together they have one.
    let used = BTreeSet::from([asked(&["gpu"]), asked(&[]), asked(&["arm", "linux"])]);
    insta::assert_json_snapshot!(cover(&registry.all(), &used, 0));
}

#[tokio::test]
async fn a_master_that_is_declared_as_before_keeps_its_state() {
    let stub = recorded(false).await;
    let (registry, token) = masters_of(&[("north", &stub.url, "[linux]")]);
    let master = registry.get("north").unwrap();
    master.observe(&look(&master, true).await, &HealthRules::default());
    let text = format!(
        "{HEAD}masters:\n  north: {{url: '{}', user: bridge, token_file: {}, proxy: none, labels: [linux]}}\n  \
         south: {{url: 'http://south/', user: bridge, token_file: {1}, labels: [linux]}}\n",
        stub.url,
        token.path().display()
    );
    registry.replace(&MastersFile::read("m", &text).unwrap()).unwrap();
    assert!(Arc::ptr_eq(&registry.get("north").unwrap(), &master));
    let wrong = text.replace("http://south/", "http://me:pw@south/");
    let error = registry.replace(&MastersFile::read("m", &wrong).unwrap()).unwrap_err();
    assert!(error.to_string().contains("masters.south"), "{error}");
    assert!(registry.get("south").is_some(), "nothing is changed then");
}

#[tokio::test]
async fn looks_are_bounded_and_a_dead_master_is_noticed() {
    static ALIVE: AtomicU32 = AtomicU32::new(1);
    let (root, computers, queue) = (recording(51), recording(31), recording(24));
    let stub = Stub::start(move |request| match request.path.as_str() {
        _ if ALIVE.load(Ordering::SeqCst) == 0 => Reply { is_cut: true, ..Reply::default() },
        "/api/json" => {
            let reply = root.cut(Some("mode,quietingDown"));
            Reply { body: reply.body.replace("true", "false"), ..reply }
        }
        "/computer/api/json" => computers.cut(request.tree.as_deref()),
        _ => queue.cut(request.tree.as_deref()),
    })
    .await;
    let (registry, _token) = masters_of(&[("north", &stub.url, "[linux]")]);
    let registry = Arc::new(registry);
    let options = super::WatchOptions {
        every: std::time::Duration::from_millis(20),
        ..super::WatchOptions::default()
    };
    let (task, mut changes) = super::watch(Arc::clone(&registry), options);
    assert_eq!(changes.recv().await.unwrap().state.health, Health::Healthy);
    ALIVE.store(0, Ordering::SeqCst);
    let change = changes.recv().await.unwrap();
    assert_eq!((change.master.as_str(), change.state.health), ("north", Health::Unhealthy));
    ALIVE.store(1, Ordering::SeqCst);
    assert_eq!(changes.recv().await.unwrap().state.health, Health::Healthy);
    assert_eq!(stub.most_at_once(), 1, "one request after the other");
    task.abort();
}

fn good(latency_ms: u64) -> Observation {
    Observation { at_ms: 1, latency_ms, outcome: Ok(Some(Seen::default())) }
}

fn bad() -> Observation {
    Observation { at_ms: 1, latency_ms: 0, outcome: Err("no answer".to_owned()) }
}

#[test]
fn health_changes_late_and_comes_back_later() {
    let rules = HealthRules::default();
    let mut state = State::default();
    assert!(state.observe(&good(10), &rules));
    assert!(!state.observe(&bad(), &rules), "one bad look is none");
    assert!(!state.observe(&good(2_900), &rules), "slow, but not too slow");
    assert!(!state.observe(&bad(), &rules));
    assert!(state.observe(&good(3_001), &rules), "too slow is bad, too");
    assert_eq!(state.health, Health::Unhealthy);
    assert!(!state.observe(&good(2_900), &rules), "it has to be faster than that to come back");
    for left in [2, 1] {
        assert!(!state.observe(&good(10), &rules), "{left}");
    }
    assert!(state.observe(&good(10), &rules));
    assert_eq!((state.health, state.reason.as_str()), (Health::Healthy, ""));
}

proptest! {
    /// Between two changes of health there are as many looks as the rules ask for.
    #[test]
    fn health_does_not_go_in_and_out(looks in prop::collection::vec(any::<(bool, u16)>(), 1..200)) {
        let rules = HealthRules::default();
        let mut state = State::default();
        let mut last = None;
        for (number, (answers, latency)) in looks.into_iter().enumerate() {
            let look = if answers { good(u64::from(latency % 5_000)) } else { bad() };
            if state.observe(&look, &rules) {
                if let Some(last) = last {
                    let least = if state.health == Health::Healthy { rules.good } else { rules.bad };
                    prop_assert!(number - last >= usize::try_from(least).unwrap());
                }
                last = Some(number);
            }
        }
    }
}

#[test]
fn labels_are_named_or_from_nodes() {
    let text = format!(
        "{HEAD}masters:\n  a: {{url: 'https://a/', user: b, token_file: t, labels: from-nodes}}\n  \
         b: {{url: 'https://b/', user: b, token_file: t, labels: [x, y]}}\n"
    );
    let file = MastersFile::read("m", &text).unwrap();
    let labels: BTreeMap<&str, &Labels> =
        file.masters.iter().map(|(name, master)| (name.as_str(), &master.labels)).collect();
    assert!(matches!(labels["a"], Labels::FromNodes(_)));
    assert!(matches!(labels["b"], Labels::Named(all) if all.len() == 2));
}

#[test]
fn a_master_that_is_taken_out_stays_so_when_its_declaration_changes() {
    let (registry, token) = masters_of(&[
        ("north", "http://127.0.0.1:1/", "[linux]"),
        ("south", "http://127.0.0.1:2/", "[linux]"),
    ]);
    let drain = Drain { who: "ann".into(), reason: "new disks".into(), since_ms: 1 };
    registry.set_drains(BTreeMap::from([("north".to_owned(), drain.clone())]));
    let text = format!(
        "{HEAD}masters:\n  north: {{url: 'http://127.0.0.1:1/', user: b, proxy: none, token_file: {}, labels: [arm]}}\n",
        token.path().display()
    );
    registry.replace(&MastersFile::read("m", &text).unwrap()).unwrap();
    let north = registry.get("north").unwrap();
    assert!(north.labels().contains("arm"));
    assert_eq!(north.drain(), Some(drain));
    assert_eq!(north.refusal(0).as_deref(), Some("ann has taken it out: new disks"));
    registry.set_drains(BTreeMap::new());
    assert_eq!(north.drain(), None);
}

#[test]
fn what_the_file_declares_counts_before_the_api_and_that_before_resources() {
    let (registry, _token) = masters_of(&[("north", "http://127.0.0.1:1/", "[linux]")]);
    let (spec, file) = (registry.get("north").unwrap().spec.clone(), Source::File);
    let declared = |name: &str, url: &str, token: &str| Declared {
        name: name.to_owned(),
        spec: MasterSpec { url: url.to_owned(), ..spec.clone() },
        token: Some(zeroize::Zeroizing::new(token.to_owned())),
        hold: None,
    };
    let sources = || -> Vec<(String, Source)> {
        registry.all().iter().map(|one| (one.name.clone(), one.source)).collect()
    };
    let of = |name: &str, source| (name.to_owned(), source);
    let resources =
        || vec![declared("east", "http://east/", "a"), declared("west", "http://west/", "a")];
    assert!(registry.declare(Source::Resource, resources()).is_empty());
    let api = || {
        vec![
            declared("north", "http://other/", "t"),
            declared("of-the-file", "http://127.0.0.1:1", "t"),
            declared("west", "http://west", "t"),
        ]
    };
    let problems = registry.declare(Source::Api, api());
    assert_eq!(
        problems,
        [
            "north (http://other/) is declared as north already",
            "of-the-file (http://127.0.0.1:1) is declared as north already"
        ]
    );
    let all = [of("east", Source::Resource), of("north", file), of("west", Source::Api)];
    assert_eq!(sources(), all);
    let problems = registry.declare(Source::Resource, resources());
    assert_eq!(problems, ["west (http://west/) is declared as west already"]);
    assert_eq!(sources(), all);
    assert_eq!(registry.at("http://west/").unwrap().source, Source::Api);
    // The same again keeps what is known; another token is another master.
    let west = registry.get("west").unwrap();
    registry.declare(Source::Api, api());
    assert!(Arc::ptr_eq(&west, &registry.get("west").unwrap()));
    registry.declare(Source::Api, vec![declared("west", "http://west", "new")]);
    assert!(!Arc::ptr_eq(&west, &registry.get("west").unwrap()));
    registry.declare(Source::Api, Vec::new());
    registry.declare(Source::Resource, resources());
    assert_eq!(registry.get("west").unwrap().source, Source::Resource);
}
