//! What a build's token is good for besides events: claims, signed evaluations; and how often.

use serde_json::{Value, json};

use super::world::{PREVIEW, READER, SHIM, World};
use super::{Envelope, PublicKey, build_query};
use crate::service::auth::sha256_hex;
use crate::service::rate::Rates;
use crate::service::sign::{EVALUATION_TYPE, PLAN_TYPE};

/// The first run has the build, also when it asks again; another one is refused.
pub async fn is_claimed_once(world: &World, id: &str, token: &str) {
    let path = format!("/v1/builds/{id}/claim");
    let claim = |controller: &str, number: u32| json!({"controller": controller, "url": format!("https://ci.example.com/job/pay/{number}/")});
    let first = world.post(&path, token, &claim("main", 7)).await.ok();
    assert_eq!(world.post(&path, token, &claim("main", 7)).await.ok(), first, "after a restart");
    let loser = world.post(&path, token, &claim("main", 8)).await;
    assert_eq!(
        (loser.status, &loser.json["type"]),
        (409, &json!("urn:pilotfish:problem:conflict"))
    );
    assert!(loser.json["detail"].as_str().unwrap().contains("/job/pay/7/"), "{}", loser.json);
    assert_eq!(world.post(&path, token, &claim("second", 7)).await.status, 409);
    for bad in [
        json!({"controller": "main"}),
        claim("main", 7)["url"].clone(),
        json!({
        "controller": "main", "url": "file:///etc/passwd"}),
        json!({
        "controller": "main", "url": format!("https://{}/", "x".repeat(3000))}),
    ] {
        assert_eq!(world.post(&path, token, &bad).await.status, 400, "{bad}");
    }
    assert_eq!(world.post(&path, SHIM, &claim("main", 7)).await.status, 403);
    let seen = world.get(&format!("/v1/builds/{id}"), READER).await.ok();
    assert_eq!(seen["claim"], first);
}

#[tokio::test]
async fn of_many_claims_at_once_one_wins() {
    let world = World::sqlite().await;
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 1)).await.ok();
    let token = answer["build"]["token"].as_str().unwrap();
    let path = format!("/v1/builds/{}/claim", answer["build"]["id"].as_str().unwrap());
    let runs = (0..20).map(|run| {
        let body = json!({"controller": "main", "url": format!("https://ci/{run}/")});
        let (world, path) = (&world, &path);
        async move { world.post(path, token, &body).await.status }
    });
    let statuses = futures_util::future::join_all(runs).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
}

#[tokio::test]
async fn an_evaluation_is_signed_for_its_build_and_its_question() {
    let world = World::sqlite().await;
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 1)).await.ok();
    let token = answer["build"]["token"].as_str().unwrap();
    let path = format!("/v1/plans/{}/evaluate", answer["digest"].as_str().unwrap());
    let facts = json!({"changed_files": ["docs/a.md"]});
    let decided = world.post(&path, token, &facts).await.ok();
    let keys: Vec<PublicKey> =
        serde_json::from_value(world.get("/v1/keys", READER).await.json).unwrap();
    let envelope: Envelope = serde_json::from_value(decided["signed"].clone()).unwrap();
    assert!(envelope.open(PLAN_TYPE, &keys).is_err(), "it does not pass for a plan");
    let signed: Value =
        serde_json::from_slice(&envelope.open(EVALUATION_TYPE, &keys).unwrap()).unwrap();
    assert_eq!(signed["decisions"], decided["decisions"]);
    assert_eq!(signed["build"], answer["build"]["id"]);
    assert_eq!(signed["digest"], answer["digest"]);
    assert_eq!(signed["request"], format!("sha256:{}", sha256_hex(facts.to_string())));
    assert_eq!(signed["expires_at"], answer["build"]["expires_at"]);
    assert_eq!(signed["format"], "pilotfish/signed-evaluation/v1");
    // The same question is answered as it was the first time, whatever is newer.
    let kept = world.post(&path, token, &facts).await.ok();
    assert_eq!(kept["decisions"], decided["decisions"]);
    let path = format!("/v1/builds/{}", signed["build"].as_str().unwrap());
    let build = world.get(&path, READER).await.ok();
    assert_eq!(build["evaluations"].as_array().unwrap().len(), 1);
}

/// Outputs are kept as they were declared; all others are refused, with everything that came along.
#[tokio::test]
async fn outputs_of_stages_are_kept_with_their_build() {
    let world = World::sqlite().await;
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 1)).await.ok();
    let token = answer["build"]["token"].as_str().unwrap();
    let path = format!("/v1/builds/{}", answer["build"]["id"].as_str().unwrap());
    let told = |sequence: u32, outputs: Value| {
        json!({"events": [{"sequence": sequence, "at_ms": 1, "type": "stage-finished", "node": "build",
            "outcome": "success", "outputs": outputs}]})
    };
    let long = "x".repeat(1025);
    for (outputs, why) in [
        (json!({"versoin": "1"}), "declares no output `versoin`"),
        (json!({"version": "1#"}), "does not match"),
        (json!({"version": "1\n2"}), "control character"),
        (json!({"version": long}), "over 1024 bytes"),
        (json!({"A B": "1"}), "no output of this name"),
    ] {
        let refused = world.post(&format!("{path}/events"), token, &told(0, outputs)).await;
        assert_eq!(refused.status, 400, "{}", refused.json);
        assert!(refused.json["detail"].as_str().unwrap().contains(why), "{}", refused.json);
    }
    for (sequence, version) in [(0, "1.0.0"), (1, "1.0.1")] {
        let body = told(sequence, json!({"version": version}));
        world.post(&format!("{path}/events"), token, &body).await.ok();
    }
    let build = world.get(&path, READER).await.ok();
    assert_eq!(build["outputs"], json!({"build": {"version": "1.0.1"}}), "the last one counts");
    assert_eq!(build["events"][0]["outputs"]["version"], "1.0.0");
}

#[tokio::test]
async fn a_token_that_asks_too_often_is_told_when_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}?mode=rwc", directory.path().join("a.db").display());
    let rates = Rates { access: 1, build: 1 };
    let world = World::start(directory, &database, None, |options| options.rates = rates).await;
    let query = json!({"pipeline": "service", "parameters": {"stack": "go"}});
    let mut refused = None;
    for _ in 0..50 {
        let reply = world.post("/v1/plans", PREVIEW, &query).await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json["type"], "urn:pilotfish:problem:too-many");
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    // Others go on, and so do those who need no token.
    world.get("/v1/catalog", READER).await.ok();
    world.get("/healthz", "").await.ok();
    assert!(world.text("/metrics").await.contains("pilotfish_bridge_requests_limited_total 1"));
}
