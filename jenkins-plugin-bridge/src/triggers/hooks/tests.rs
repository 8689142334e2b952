//! Webhooks in the shapes that the forges document. Those of Gitea are tried with a live one, too, by the tests of
//! the service.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::forges::{Forges, ForgesFile};

pub const SECRET: &str = "it's a secret to everybody";
/// A signing token of GitLab, of the key `a key of thirty-two bytes for it`.
const SIGNING: &str = "whsec_YSBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyBmb3IgaXQ=";
/// When webhooks come.
const NOW: u64 = 1_800_000_000;

fn forges() -> (tempfile::TempDir, Forges) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("old"), "the secret of last year\n").unwrap();
    std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
    std::fs::write(directory.path().join("signing"), format!("{SIGNING}\n")).unwrap();
    let text = "api: pilotfish/v1\nkind: forges\nforges:\n  \
        github: {kind: github, url: 'https://github.com', webhook_secret_files: [old, secret]}\n  \
        gitlab: {kind: gitlab, url: 'https://gitlab.com', webhook_secret_files: [secret]}\n  \
        signed: {kind: gitlab, url: 'https://gitlab.example', webhook_secret_files: [secret, signing]}\n  \
        gitea: {kind: gitea, url: 'https://gitea.example/git', webhook_secret_files: [secret]}\n";
    let file = ForgesFile::read("forges.yaml", text).unwrap();
    let forges = Forges::of("forges.yaml", &file, directory.path()).unwrap();
    (directory, forges)
}

struct Given(BTreeMap<String, String>);

impl Headers for Given {
    fn header(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signature(secret: &str, body: &[u8]) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body).as_ref())
}

fn sent(headers: &[(&str, &str)]) -> Given {
    let json = [("content-type", "application/json")];
    Given(json.iter().chain(headers).map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
}

fn github(event: &str, body: &Value) -> Heard {
    let (_directory, forges) = forges();
    let body = body.to_string();
    let signature = format!("sha256={}", signature(SECRET, body.as_bytes()));
    let headers = sent(&[
        ("x-github-event", event),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", &signature),
    ]);
    read(forges.get("github").unwrap(), &headers, body.as_bytes(), NOW).unwrap().heard
}

fn event(heard: Heard) -> Event {
    match heard {
        Heard::Event(event) => *event,
        Heard::Nothing(why) => panic!("nothing: {why}"),
    }
}

fn push_of_github() -> Value {
    json!({"ref": "refs/heads/release/1.2", "before": "0".repeat(40), "after": "a".repeat(40),
        "created": true, "forced": false, "sender": {"login": "mona"},
        "repository": {"full_name": "acme/web"},
        "commits": [{"added": ["docs/a.md"], "modified": ["src/b.rs"], "removed": []},
                    {"added": [], "modified": ["src/b.rs"], "removed": ["c"]}]})
}

fn request_of_github(action: &str, merged: bool) -> Value {
    json!({"action": action, "number": 7, "sender": {"login": "mona"},
        "repository": {"full_name": "acme/web"},
        "pull_request": {"merged": merged, "merge_commit_sha": "c".repeat(40),
            "head": {"ref": "fix", "sha": "b".repeat(40), "repo": {"full_name": "acme/web"}},
            "base": {"ref": "main", "repo": {"full_name": "acme/web"}}}})
}

#[test]
fn a_signature_is_that_of_the_documentation() {
    // From GitHub's page on validating webhook deliveries.
    let expected = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    assert_eq!(signature("It's a Secret to Everybody", b"Hello, World!"), expected);
}

#[test]
fn who_does_not_know_the_secret_is_refused_before_anything_is_read() {
    let (_directory, forges) = forges();
    let body = b"no JSON at all";
    for (forge, header, good) in [
        ("github", "x-hub-signature-256", format!("sha256={}", signature(SECRET, body))),
        (
            "github",
            "x-hub-signature-256",
            format!("sha256={}", signature("the secret of last year", body)),
        ),
        ("gitea", "x-gitea-signature", signature(SECRET, body)),
        ("gitlab", "x-gitlab-token", SECRET.to_owned()),
    ] {
        let forge = forges.get(forge).unwrap();
        let answer = |value: &str| read(forge, &sent(&[(header, value)]), body, NOW);
        assert!(matches!(answer(&good), Err(HookError::Malformed(_))), "{good}");
        let other = signature("another secret", body);
        for bad in [
            "",
            "sha256=",
            &good[..good.len() - 1],
            &good.to_uppercase(),
            &other,
            &format!("sha256={other}"),
        ] {
            let is_same = forge.spec.kind != ForgeKind::Gitlab
                && bad.strip_prefix("SHA256=").is_none()
                && bad.eq_ignore_ascii_case(&good);
            let refused = matches!(answer(bad), Err(HookError::Signature(_)));
            assert!(refused || is_same, "{bad}");
        }
    }
}

#[test]
fn events_of_github_are_read() {
    insta::assert_json_snapshot!("push", event(github("push", &push_of_github())));
    for (action, merged) in [("opened", false), ("synchronize", false), ("closed", true)] {
        let name = format!("request-{action}");
        insta::assert_json_snapshot!(
            name,
            event(github("pull_request", &request_of_github(action, merged)))
        );
    }
    let mut fork = request_of_github("opened", false);
    fork["pull_request"]["head"]["repo"] = Value::Null;
    assert!(event(github("pull_request", &fork)).from_fork);
    let mut tag = push_of_github();
    tag["ref"] = json!("refs/tags/v1");
    let tag = event(github("push", &tag));
    assert_eq!((tag.kind, tag.tag.as_deref(), tag.branch), (EventKind::Tag, Some("v1"), None));
    let mut forced = push_of_github();
    forced["forced"] = json!(true);
    assert_eq!(event(github("push", &forced)).paths, None);
    let mut removed = push_of_github();
    removed["after"] = json!("0".repeat(40));
    for (kind, body) in [
        ("ping", json!({"zen": "Design for failure."})),
        ("push", removed),
        ("pull_request", request_of_github("closed", false)),
        ("pull_request", request_of_github("labeled", false)),
        ("issues", json!({})),
    ] {
        assert!(matches!(github(kind, &body), Heard::Nothing(_)), "{kind}");
    }
}

#[test]
fn events_of_gitea_and_gitlab_are_read() {
    let (_directory, forges) = forges();
    let gitea = |kind: &str, body: &Value| {
        let body = body.to_string();
        let signature = signature(SECRET, body.as_bytes());
        let headers = sent(&[("x-gitea-event", kind), ("x-gitea-signature", &signature)]);
        event(read(forges.get("gitea").unwrap(), &headers, body.as_bytes(), NOW).unwrap().heard)
    };
    let mut push = push_of_github();
    push["total_commits"] = json!(2);
    assert_eq!(gitea("push", &push).paths.unwrap().len(), 3);
    push["total_commits"] = json!(20);
    assert_eq!(gitea("push", &push).paths, None, "a few of twenty commits");
    let updated = gitea("pull_request", &request_of_github("synchronized", false));
    assert_eq!(updated.kind, EventKind::PullRequestUpdated);

    let gitlab = |body: &Value| {
        let headers = sent(&[("x-gitlab-token", SECRET), ("x-gitlab-event-uuid", "1")]);
        read(forges.get("gitlab").unwrap(), &headers, body.to_string().as_bytes(), NOW)
            .unwrap()
            .heard
    };
    let push = json!({"object_kind": "push", "ref": "refs/heads/main", "after": "d".repeat(40),
        "user_username": "jo", "project": {"path_with_namespace": "group/sub/web"}, "total_commits_count": 1,
        "commits": [{"added": [], "modified": ["a"], "removed": []}]});
    insta::assert_json_snapshot!("push-of-gitlab", event(gitlab(&push)));
    let mut request = json!({"object_kind": "merge_request", "user": {"username": "jo"},
        "project": {"path_with_namespace": "group/sub/web"},
        "object_attributes": {"iid": 3, "action": "merge", "source_branch": "fix", "target_branch": "main",
            "source_project_id": 1, "target_project_id": 1, "merge_commit_sha": null,
            "last_commit": {"id": "e".repeat(40)}}});
    insta::assert_json_snapshot!("merge-of-gitlab", event(gitlab(&request)));
    request["object_attributes"]["action"] = json!("update");
    assert!(matches!(gitlab(&request), Heard::Nothing(_)), "its title has changed");
    request["object_attributes"]["oldrev"] = json!("f".repeat(40));
    assert_eq!(event(gitlab(&request)).kind, EventKind::PullRequestUpdated);
}

#[test]
fn a_tag_with_a_message_is_of_its_commit() {
    let (_directory, forges) = forges();
    let (tag, commit) = ("a".repeat(40), "c".repeat(40));
    let common = json!({"ref": "refs/tags/v1", "after": tag, "head_commit": {"id": commit}, "commits": [],
        "repository": {"full_name": "acme/web"}, "object_kind": "tag_push", "checkout_sha": commit,
        "project": {"path_with_namespace": "acme/web"}, "total_commits": 0});
    // Removed, or of something that is no commit.
    let mut bare = common.clone();
    bare["head_commit"] = Value::Null;
    bare["checkout_sha"] = Value::Null;
    for (forge, event_header) in
        [("github", "x-github-event"), ("gitea", "x-gitea-event"), ("gitlab", "x-gitlab-event")]
    {
        for (body, expected) in [(&common, &commit), (&bare, &tag)] {
            let body = body.to_string();
            let signature = signature(SECRET, body.as_bytes());
            let headers = sent(&[
                (event_header, "push"),
                ("x-hub-signature-256", &format!("sha256={signature}")),
                ("x-gitea-signature", &signature),
                ("x-gitlab-token", SECRET),
            ]);
            let forge = forges.get(forge).unwrap();
            let heard = read(forge, &headers, body.as_bytes(), NOW).unwrap().heard;
            assert_eq!(&event(heard).commit, expected, "{}", forge.name);
        }
    }
    let mut branch = push_of_github();
    branch["head_commit"] = json!({"id": commit});
    assert_eq!(event(github("push", &branch)).commit, "a".repeat(40));
}

#[test]
fn a_request_without_a_branch_is_one_of_others() {
    // As Gitea tells of `git push origin HEAD:refs/for/main/topic`, for which one need only be allowed to read.
    let mut request = request_of_github("opened", false);
    request["pull_request"]["head"]["ref"] = json!("refs/pull/7/head");
    assert!(event(github("pull_request", &request)).from_fork);
}

/// What Gitea 1.25.4 sent: a push, a tag with a message, a request opened, updated and merged, the push of its merge, one
/// that was opened by `refs/for/main`, and the removal of a branch.
const GITEA: &str = include_str!("../../../../integration/recordings/webhooks/gitea-1.25.jsonl");

#[test]
fn what_a_live_gitea_sent_is_read() {
    let (_directory, forges) = forges();
    let told: Vec<String> = GITEA
        .lines()
        .map(|line| {
            let recorded: Value = serde_json::from_str(line).unwrap();
            let body = recorded["body"].to_string();
            let signature = signature(SECRET, body.as_bytes());
            let headers = sent(&[
                ("x-gitea-event", recorded["event"].as_str().unwrap()),
                ("x-gitea-signature", &signature),
            ]);
            let read = read(forges.get("gitea").unwrap(), &headers, body.as_bytes(), NOW);
            match read.unwrap().heard {
                Heard::Event(event) => serde_json::to_string(&event).unwrap(),
                Heard::Nothing(why) => format!("nothing: {why}"),
            }
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_signing_token_of_gitlab_signs_id_time_and_body() {
    let (_directory, forges) = forges();
    let body = json!({"object_kind": "push", "ref": "refs/heads/main", "after": "d".repeat(40),
        "project": {"path_with_namespace": "g/web"}, "commits": [], "total_commits_count": 0})
    .to_string();
    let sign = |id: &str, at: u64, key: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(tag))
    };
    let key = b"a key of thirty-two bytes for it";
    let good = sign("m-1", NOW - 200, key);
    let (early, late) = (sign("m-1", NOW - 400, key), sign("m-1", NOW + 400, key));
    let answer = |forge: &str, id: &str, key: &str, at: u64, signature: &str, token: &str| {
        let headers = sent(&[
            ("webhook-id", id),
            ("idempotency-key", key),
            ("webhook-timestamp", &at.to_string()),
            ("webhook-signature", signature),
            ("x-gitlab-token", token),
        ]);
        read(forges.get(forge).unwrap(), &headers, body.as_bytes(), NOW)
    };
    let taken = answer("signed", "m-1", "m-1", NOW - 200, &good, "").unwrap();
    assert_eq!(taken.id, "m-1");
    // While tokens are changed there are several.
    let several = format!("v1,bm9uZQ== v2,x {good}");
    assert_eq!(answer("signed", "m-1", "m-1", NOW - 200, &several, "").unwrap(), taken);
    for (id, idempotency, at, signature) in [
        ("m-2", "m-2", NOW - 200, good.as_str()),
        ("m-1", "m-2", NOW - 200, &good),
        ("m-1", "m-1", NOW - 100, &good),
        ("m-1", "m-1", NOW - 400, &early),
        ("m-1", "m-1", NOW + 400, &late),
        ("m-1", "m-1", NOW - 200, &sign("m-1", NOW - 200, b"another key")),
        // It is of no avail that the plain token is right.
        ("m-1", "m-1", NOW - 200, "v1,"),
    ] {
        let refused = answer("signed", id, idempotency, at, signature, SECRET);
        assert!(matches!(refused, Err(HookError::Signature(_))), "{id} {at} {signature}");
    }
    // Where the bridge has no signing token the plain one counts.
    assert!(answer("gitlab", "m-1", "m-1", NOW - 200, &good, SECRET).is_ok());
    assert!(answer("signed", "m-1", "m-1", NOW - 200, "", SECRET).is_ok());
    assert!(signing_key("whsec_not base64").is_err());
}

#[test]
fn a_body_is_one_event_whatever_its_delivery_is_called() {
    let (_directory, forges) = forges();
    let body = push_of_github().to_string();
    let signature = format!("sha256={}", signature(SECRET, body.as_bytes()));
    let identity = |id: &str| {
        let headers = sent(&[
            ("x-github-event", "push"),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
        ]);
        read(forges.get("github").unwrap(), &headers, body.as_bytes(), NOW).unwrap().identity
    };
    assert_eq!(identity("1"), identity("2"));
}

#[test]
fn everything_that_is_wrong_with_forges_is_told_at_once() {
    let text = "api: pilotfish/v1\nkind: forges\nforges:\n  \
        a: {kind: github, url: 'https://github.com', webhook_secret_files: [none, short]}\n  \
        b: {kind: git, url: 'https://GitHub.com/', webhook_secret_files: [short], token_file: t}\n  \
        c: {kind: gitlab, url: 'ssh://git@gitlab.com', git_url: 'ssh://git@gitlab.com'}\n  \
        d: {kind: gitlab, url: 'https://gitlab.com', git_url: 'https://bot:5ecret@gitlab.com'}\n  \
        e: {kind: git, url: 'https://e', git_url: 'ssh://bot:5ecret@e/x'}\n\
        webhooks:\n  w: {url: 'https://w', events: [], jobs: ['[']}\n";
    let message = |error: crate::BridgeError| {
        error.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(message(ForgesFile::read("forges.yaml", text).unwrap_err()));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("short"), "123").unwrap();
    let one = &text[..text.find("  b:").unwrap()];
    let file = ForgesFile::read("forges.yaml", one).unwrap();
    let wrong = Forges::of("forges.yaml", &file, directory.path()).unwrap_err();
    assert_eq!(wrong.problems().len(), 2, "{wrong}");
    let file = ForgesFile::read("f", include_str!("../../../examples/forges.yaml"));
    assert!(file.is_ok(), "{file:?}");
    assert!(Forges::load(Path::new("/nowhere/forges.yaml")).is_err());
}

#[test]
fn a_repository_is_found_at_its_forge() {
    let (_directory, forges) = forges();
    for (address, forge, path) in [
        ("https://github.com/acme/Web.git", "github", "acme/Web.git"),
        ("https://GitHub.com/acme/web/", "github", "acme/web"),
        ("https://gitea.example/git/a/b", "gitea", "a/b"),
    ] {
        let (found, name) = forges.of_repository(address).unwrap();
        assert_eq!((found.name.as_str(), name.as_str()), (forge, path), "{address}");
    }
    for address in [
        "https://github.com",
        "https://github.com/../x",
        "https://gitea.example/a/b",
        "git@github.com:a/b",
        "https://github.com/a/-b",
        "https://github.com/a b",
        "https://github.com.evil.example/a/b",
    ] {
        assert!(forges.of_repository(address).is_err(), "{address}");
    }
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(text in ".{0,200}", reference in ".{0,30}", after in "[0-9a-f]{0,41}") {
        let (_directory, forges) = forges();
        let strange = json!({"ref": reference, "after": after, "repository": {"full_name": text},
            "object_kind": text, "commits": [{"added": [text]}], "action": "opened"}).to_string();
        for body in [text.as_bytes(), strange.as_bytes()] {
            let signature = signature(SECRET, body);
            for (forge, headers) in [
                ("github", vec![("x-github-event", "push"), ("x-hub-signature-256", signature.as_str())]),
                ("gitea", vec![("x-gitea-event", "pull_request"), ("x-gitea-signature", signature.as_str())]),
                ("gitlab", vec![("x-gitlab-token", SECRET)]),
            ] {
                let headers: Vec<(&str, String)> = headers.into_iter()
                    .map(|(name, value)| (name, if name == "x-hub-signature-256" { format!("sha256={value}") } else { value.to_owned() }))
                    .collect();
                let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (*a, b.as_str())).collect();
                let _ = read(forges.get(forge).unwrap(), &sent(&headers), body, NOW);
            }
        }
    }
}
