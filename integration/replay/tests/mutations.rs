//! The replayer on itself: whatever is altered in the recorded agent's half, the replay must fail.
#![expect(clippy::unwrap_used, reason = "helpers of tests, where a failure is a failed test")]

mod common;
#[path = "common/mutate.rs"]
mod mutate;

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use common::{SETTINGS, against_scripted, plan};
use pilotfish_replay::compare::{self, Context, Random};
use pilotfish_replay::facts::{Facts as _, Recorded, Span};
use pilotfish_replay::mapping::{Mapping, with_buffer, with_int};
use pilotfish_replay::plan::{Plan, bytes};
use pilotfish_replay::recording::Recording;
use pilotfish_replay::scripted::{Alterations, in_answer};
use pilotfish_replay::session::Settings;
use pilotfish_replay::wire::{self, Command, Data};
use pilotfish_replay::{facts, setup};

struct Loaded {
    recording: Recording,
    plan: Plan,
    machine: Recorded,
}

/// All recordings, read once for all tests.
fn loaded() -> &'static [Loaded] {
    static ALL: LazyLock<Vec<Loaded>> = LazyLock::new(load);
    &ALL
}

fn load() -> Vec<Loaded> {
    let mut all: Vec<Loaded> = setup::chains()
        .unwrap()
        .into_iter()
        .flat_map(|chain| chain.parts)
        .map(|recording| Loaded {
            plan: plan(&recording),
            machine: Recorded::of(&recording),
            recording,
        })
        .collect();
    // Short ones first: they are the ones that are played.
    all.sort_by_key(|loaded| loaded.recording.entries.len());
    all
}

fn named<'l>(all: &'l [Loaded], name: &str) -> &'l Loaded {
    all.iter().find(|loaded| loaded.recording.name.starts_with(name)).unwrap()
}

/// One answer for each callable and each class of result: the recording and the request.
fn answer_classes(all: &[Loaded]) -> BTreeMap<(String, String), (usize, i32)> {
    let mut classes = BTreeMap::new();
    for (index, loaded) in all.iter().enumerate() {
        for (id, request) in &loaded.plan.requests {
            let Some(answered) = request.answered else { continue };
            let payload = payload(bytes(&loaded.recording, answered));
            let kind = wire::parse(&payload).unwrap().root().unwrap().describe();
            classes.entry((request.call.callable.clone(), kind)).or_insert((index, *id));
        }
    }
    classes
}

fn payload(answer: &[u8]) -> Vec<u8> {
    let outer = wire::parse(answer).unwrap();
    wire::answer_payload(outer.root().unwrap()).unwrap().to_vec()
}

fn compare_alone(loaded: &Loaded, id: i32, actual: &[u8]) -> usize {
    let recording = &loaded.recording;
    let request = &loaded.plan.requests[&id];
    let machine = &loaded.machine;
    let answered = request.answered.unwrap();
    let at = |index: usize| machine.now(recording.entries[index].at);
    let mut context = Context {
        mapping: &mut Mapping::default(),
        facts: machine,
        span: Span { from: at(request.sent), to: at(answered) },
        session: Span { from: at(0), to: at(recording.entries.len() - 1) },
        callable: &request.call.callable,
        request: bytes(recording, request.sent),
        recording,
        loaders: &HashSet::new(),
        random: &mut Random::default(),
    };
    compare::answer(&mut context, bytes(recording, answered), actual).len()
}

#[test]
fn every_leaf_of_every_answer_class_is_compared() {
    let all = loaded();
    let classes = answer_classes(all);
    let mut missed = Vec::new();
    let mut count = 0;
    for ((callable, kind), (index, id)) in &classes {
        let loaded = &all[*index];
        let answer = bytes(&loaded.recording, loaded.plan.requests[id].answered.unwrap());
        assert_eq!(compare_alone(loaded, *id, answer), 0, "{callable} -> {kind}");
        let payload = payload(answer);
        for leaf in mutate::leaves(&payload) {
            let changed = in_answer(answer, |payload| Ok(mutate::altered(payload, &leaf))).unwrap();
            assert_ne!(changed, answer, "{callable} -> {kind}: {leaf:?} is not altered");
            count += 1;
            if compare_alone(loaded, *id, &changed) == 0 {
                missed.push(format!("{callable} -> {kind}: {}", leaf.name));
            }
        }
    }
    println!("{count} alterations of {} answer classes", classes.len());
    assert!(
        missed.is_empty(),
        "{} alterations were not noticed:\n{}",
        missed.len(),
        missed.join("\n")
    );
    assert!(classes.len() >= 40 && count >= 200, "{} classes, {count} alterations", classes.len());
}

async fn fails(loaded: &'static Loaded, what: &str, altered: Alterations) {
    fails_with(loaded, what, altered, SETTINGS).await;
}

async fn fails_with(loaded: &Loaded, what: &str, altered: Alterations, settings: Settings) {
    let settings = Settings { patience: std::time::Duration::from_secs(2), ..settings };
    let report = against_scripted(&loaded.recording, &loaded.plan, &altered, settings).await;
    assert!(!report.is_ok(), "{}: {what} passed", loaded.recording.name);
}

#[tokio::test]
async fn one_altered_answer_of_each_class_fails_the_replay() {
    let all = loaded();
    let mut runs = Vec::new();
    for ((callable, kind), (index, id)) in answer_classes(all) {
        let loaded = &all[index];
        let answered = loaded.plan.requests[&id].answered.unwrap();
        let answer = bytes(&loaded.recording, answered);
        let changed = in_answer(answer, |payload| {
            let leaves = mutate::leaves(payload);
            Ok(match leaves.first() {
                Some(leaf) => mutate::altered(payload, leaf),
                // Null: a text in its place.
                None => [&payload[..4], b"t\0\x01x"].concat(),
            })
        })
        .unwrap();
        let altered = Alterations::from([(answered, vec![changed])]);
        runs.push(async move { fails(loaded, &format!("{callable} -> {kind}"), altered).await });
    }
    // Most of the time is spent waiting for what will never come.
    futures_util::future::join_all(runs).await;
}

/// The entries of the agent that `wanted` picks.
fn entries(loaded: &Loaded, wanted: impl Fn(&Command) -> bool) -> Vec<usize> {
    use pilotfish_replay::plan::sender;
    use pilotfish_replay::recording::Party;
    let agents = |index: &usize| sender(&loaded.recording, *index) == Some(Party::Agent);
    let mut found: Vec<usize> = loaded
        .plan
        .commands
        .iter()
        .filter(|(index, command)| agents(index) && wanted(command))
        .map(|(index, _)| *index)
        .collect();
    found.sort_unstable();
    found
}

fn answer_to(loaded: &Loaded, callable: &str, nth: usize) -> usize {
    let mut requests: Vec<_> = loaded
        .plan
        .requests
        .values()
        .filter(|request| request.call.callable.ends_with(callable))
        .collect();
    requests.sort_by_key(|request| request.sent);
    requests[nth].answered.unwrap()
}

fn is_chunk(command: &Command) -> bool {
    matches!(command, Command::Data { data: Data::Chunk(_), .. })
}

fn as_recorded(loaded: &Loaded, index: usize) -> Vec<u8> {
    bytes(&loaded.recording, index).to_vec()
}

#[tokio::test]
async fn altered_streams_fail_the_replay() {
    let all = loaded();
    let mut runs = Vec::new();
    for (name, chunk) in
        [("02", 2), ("03", 0), ("03", 5), ("04", 0), ("06", 3), ("07", 4), ("09", 1), ("14", 3)]
    {
        let loaded = named(all, name);
        let index = entries(loaded, is_chunk)[chunk];
        let Some(Command::Data { data: Data::Chunk(content), .. }) =
            loaded.plan.commands.get(&index)
        else {
            unreachable!()
        };
        let mut content = content.clone();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        let changed = with_buffer(bytes(&loaded.recording, index), content).unwrap();
        let twice = with_int(bytes(&loaded.recording, index), "ioId", 1).unwrap();
        let both = vec![as_recorded(loaded, index), twice];
        for (what, commands) in
            [("another byte", vec![changed]), ("a lost chunk", vec![]), ("a chunk twice", both)]
        {
            runs.push(fails(loaded, what, Alterations::from([(index, commands)])));
        }
    }
    futures_util::future::join_all(runs).await;
    let loaded = named(all, "04");
    let end =
        entries(loaded, |command| matches!(command, Command::Data { data: Data::End { .. }, .. }))
            [0];
    fails(loaded, "a stream that is not closed", Alterations::from([(end, vec![])])).await;
    let failures = named(all, "05");
    let wrong = entries(failures, |command| {
        matches!(command, Command::Data { data: Data::End { error: true }, .. })
    })[0];
    let Some(Command::Data { oid, io, .. }) = failures.plan.commands.get(&wrong) else {
        unreachable!()
    };
    let plain =
        with_int(&with_int(bytes(&loaded.recording, end), "oid", *oid).unwrap(), "ioId", *io)
            .unwrap();
    fails(failures, "an error that is kept back", Alterations::from([(wrong, vec![plain])])).await;
}

#[tokio::test]
async fn altered_bookkeeping_fails_the_replay() {
    let all = loaded();
    let files = named(all, "04");
    let ack = entries(files, |command| matches!(command, Command::Ack { .. }))[0];
    fails(files, "no acknowledgement", Alterations::from([(ack, vec![])])).await;
    let much = with_int(bytes(&files.recording, ack), "size", 9000).unwrap();
    fails(files, "too large an acknowledgement", Alterations::from([(ack, vec![much])])).await;

    let stash = named(all, "06");
    let connect = entries(stash, |command| matches!(command, Command::Connect { .. }))[0];
    fails(stash, "a pipe that is never connected", Alterations::from([(connect, vec![])])).await;

    let sh = named(all, "03");
    let log = answer_to(sh, "$WriteLog", 0);
    let early = with_int(bytes(&sh.recording, log), "lastIoId", 0).unwrap();
    fails(sh, "an answer that overtakes its data", Alterations::from([(log, vec![early])])).await;
    fails(sh, "no answer", Alterations::from([(log, vec![])])).await;
    let twice = vec![as_recorded(sh, log), as_recorded(sh, log)];
    fails(sh, "two answers", Alterations::from([(log, twice)])).await;
    let ping = entries(
        sh,
        |command| matches!(command, Command::UserRequest(request) if request.callable.ends_with("$Ping")),
    )[0];
    fails(sh, "no ping", Alterations::from([(ping, vec![])])).await;
    let release = entries(sh, |command| matches!(command, Command::Unexport { .. }))[0];
    let unknown = with_int(bytes(&sh.recording, release), "oid", 77).unwrap();
    fails(
        sh,
        "a release of what was never handed over",
        Alterations::from([(release, vec![unknown])]),
    )
    .await;
    let all_references = vec![as_recorded(sh, release); 400];
    fails(sh, "a release of the last reference", Alterations::from([(release, all_references)]))
        .await;
    let releases = Settings { releases: true, ..SETTINGS };
    fails_with(sh, "sinks that are not released", Alterations::new(), releases).await;
}

#[tokio::test]
async fn altered_tasks_fail_the_replay() {
    let all = loaded();
    let sh = named(all, "03");
    let last = sh
        .plan
        .requests
        .values()
        .filter(|request| request.call.callable.ends_with("$StatusCheck"))
        .count()
        - 1;
    let (running, done) = (answer_to(sh, "$StatusCheck", 3), answer_to(sh, "$StatusCheck", last));
    let id = |index: usize| match sh.plan.commands.get(&index) {
        Some(Command::Response { id, .. }) => *id,
        _ => unreachable!(),
    };
    let early = with_int(bytes(&sh.recording, done), "id", id(running)).unwrap();
    fails(sh, "a sleep that is cut short", Alterations::from([(running, vec![early])])).await;

    let push = named(all, "14");
    let exited = entries(
        push,
        |command| matches!(command, Command::UserRequest(request) if request.target.is_some()),
    )[0];
    fails(push, "an exit that is not told", Alterations::from([(exited, vec![])])).await;
    let three = entries(
        push,
        |command| matches!(command, Command::UserRequest(request) if request.target.is_some()),
    )[3];
    let payload = |index: usize| {
        let outer = wire::parse(bytes(&push.recording, index)).unwrap();
        outer.root().unwrap().field("request").unwrap().as_bytes().unwrap().to_vec()
    };
    let leaf = mutate::leaves(&payload(three))
        .into_iter()
        .find(|leaf| leaf.name == "java.lang.Integer value")
        .unwrap();
    let changed = mutate::altered(&payload(three), &leaf);
    let mut outer = wire::parse(bytes(&push.recording, three)).unwrap();
    let array = outer.root().unwrap().field("request").unwrap().id().unwrap();
    if let Some(java_object_stream::Stored::Array(array)) = outer.get_mut(array) {
        array.items = java_object_stream::Items::Bytes(changed.into());
    }
    fails(push, "another exit status", Alterations::from([(three, vec![outer.to_bytes()])])).await;
}

#[test]
fn the_dummy_secrets_stand_in_the_recordings() {
    let all = loaded();
    for secret in setup::secrets().unwrap() {
        let used = all.iter().any(|loaded| {
            (0..loaded.recording.entries.len()).any(|index| {
                pilotfish_replay::ledger::contains(
                    bytes(&loaded.recording, index),
                    secret.as_bytes(),
                )
            })
        });
        assert!(used, "{secret:?} is in no recording: take it off the list");
    }
}

#[test]
fn this_machine_has_a_name() {
    let live = facts::Live { hostname: "h".to_owned(), mounts: vec![("/".to_owned(), "/".into())] };
    assert!(live.uname().unwrap().starts_with("Linux h "));
    assert!(live.space("/").unwrap().total > 0 && live.memory().unwrap().total > 0);
}

/// A refusal as it is documented, made from a recorded exception.
fn refusal_of(class: &str, all: &[Loaded]) -> Vec<u8> {
    use java_object_stream::{Items, JavaStr, Stored, Value};
    let failures = named(all, "05");
    let thrown = answer_to(failures, "FilePath$Write", 2);
    let mut outer = wire::parse(bytes(&failures.recording, thrown)).unwrap();
    let (value, proxy, text) = {
        let value = outer.root().unwrap().field("returnValue").unwrap();
        let proxy = value.field("proxyResponse").unwrap();
        let mut inner = wire::parse(proxy.as_bytes().unwrap()).unwrap();
        let message = inner.root().unwrap().field("detailMessage").unwrap().id().unwrap();
        if let Some(Stored::String(text)) = inner.get_mut(message) {
            *text = JavaStr::from(format!("java.io.IOException: {class} needs a JVM"));
        }
        (value.id().unwrap(), proxy.id().unwrap(), inner.to_bytes())
    };
    if let Some(Stored::Array(array)) = outer.get_mut(proxy) {
        array.items = Items::Bytes(text.into());
    }
    assert!(pilotfish_replay::mapping::set_field(&mut outer, value, "rawResponse", Value::Null));
    outer.to_bytes()
}

#[tokio::test]
async fn only_the_documented_exception_is_a_refusal() {
    let all = loaded();
    let class = "hudson.tasks.junit.JUnitParser$DirectParseResultCallable";
    let good = refusal_of(class, all);
    assert_eq!(compare::refusal(class, &good), []);
    let failures = named(all, "05");
    let other = bytes(&failures.recording, answer_to(failures, "FilePath$Write", 2));
    assert!(
        !compare::refusal(class, other).is_empty(),
        "an exception that does not name the class"
    );
    let normal = bytes(&failures.recording, answer_to(failures, "FilePath$Exists", 0));
    let found = compare::refusal(class, normal);
    assert!(found[0].actual.contains("take it off needs-jvm.txt"), "{found:?}");

    // A class that is not on the list may not be refused, however well.
    let sh = named(all, "03");
    let launch = answer_to(sh, "$GetAgentInfo", 0);
    let Some(Command::Response { id, .. }) = sh.plan.commands.get(&launch) else { unreachable!() };
    let refused = with_int(
        &refusal_of("org.jenkinsci.plugins.durabletask.AgentInfo$GetAgentInfo", all),
        "id",
        *id,
    );
    fails(
        sh,
        "a refusal of a class that is not listed",
        Alterations::from([(launch, vec![refused.unwrap()])]),
    )
    .await;

    // With the list, the refusals are asserted, and only what hangs on them is left out.
    let git = named(all, "13");
    let plan = pilotfish_replay::plan::make(&git.recording, &setup::needs_jvm().unwrap()).unwrap();
    let mut altered = Alterations::new();
    for request in
        plan.requests.values().filter(|request| request.call.callable.contains("gitclient"))
    {
        if request.fate == pilotfish_replay::plan::Fate::Refused {
            let refusal =
                with_int(&refusal_of(&request.call.callable, all), "id", request.call.id).unwrap();
            altered.insert(request.answered.unwrap(), vec![refusal]);
        }
    }
    assert_eq!(altered.len(), 3);
    let report = against_scripted(&git.recording, &plan, &altered, SETTINGS).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.refused.len(), 3);
    let report = against_scripted(&git.recording, &plan, &Alterations::new(), SETTINGS).await;
    assert!(!report.is_ok(), "a listed class that is answered passed");
}
