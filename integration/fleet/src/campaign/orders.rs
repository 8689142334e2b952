//! What is asked of the bridge.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::Setup;
use crate::error::FleetError;
use crate::random::Random;

/// The most time of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Jobs of a campaign: each policy with each label.
const POLICIES: [&str; 3] = ["wait", "rerun", "fail"];
/// Labels that jobs ask for: each is one of two masters or more.
const LABELS: [&str; 3] = ["linux", "even", "odd"];

fn other(error: impl std::fmt::Display) -> FleetError {
    FleetError::Other(error.to_string())
}

async fn send(setup: &Setup, request: reqwest::RequestBuilder) -> Result<Value, FleetError> {
    let sent = request.bearer_auth(&setup.token).timeout(TIMEOUT).send().await.map_err(other)?;
    let status = sent.status();
    let text = sent.text().await.map_err(other)?;
    if status.is_client_error() {
        return Err(FleetError::Refused(format!("{status}: {text}")));
    }
    if !status.is_success() {
        return Err(FleetError::Other(format!("the bridge answered {status}: {text}")));
    }
    serde_json::from_str(&text).map_err(other)
}

fn post(
    http: &reqwest::Client,
    setup: &Setup,
    path: &str,
    body: &Value,
) -> reqwest::RequestBuilder {
    http.post(format!("{}{path}", setup.url()))
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Makes the jobs, and their copies on all masters.
pub(super) async fn make_jobs(http: &reqwest::Client, setup: &Setup) -> Result<(), FleetError> {
    for policy in POLICIES {
        for label in LABELS {
            let name = format!("team-{policy}/{label}");
            let job = json!({
                "name": name, "pipeline": "work", "labels": [label], "on_lost": policy,
                "team": format!("team-{policy}"),
                "parameters": {"branch": {"default": "main"}, "FAIL": {"default": "false"}},
            });
            send(setup, post(http, setup, "/v1/jobs", &job)).await?;
            let path = format!("/v1/jobs/{}/keep", name.replace('/', "%2F"));
            let kept = send(setup, post(http, setup, &path, &json!({"dry_run": false}))).await?;
            let wrong =
                kept.as_object().into_iter().flatten().find(|(_, one)| one["state"] != "same");
            if let Some((master, state)) = wrong {
                return Err(FleetError::Other(format!("{name} on {master}: {state}")));
            }
        }
    }
    Ok(())
}

/// Asks for some builds. The key of a build follows from its number, so that it may be asked for again.
pub(super) async fn ask(
    http: &reqwest::Client,
    setup: &Setup,
    seed: u64,
    from: u32,
    count: u32,
) -> Result<Vec<String>, FleetError> {
    let mut ids = Vec::new();
    for number in from..from + count {
        let mut random = Random::of(&format!("{seed}/{number}"));
        let policy = random.one_of(&POLICIES);
        let label = random.one_of(&LABELS);
        let order = json!({
            "job": format!("team-{policy}/{label}"),
            "parameters": {"branch": format!("b{number}"), "FAIL": random.percent(10).to_string()},
            "priority": i64::from(random.percent(5)),
        });
        let request = post(http, setup, "/v1/builds", &order)
            .header("idempotency-key", format!("{seed}-{number}"));
        let answer = send(setup, request).await?;
        ids.push(answer["id"].as_str().unwrap_or_default().to_owned());
    }
    Ok(ids)
}

/// How a build is.
pub(super) async fn state(
    http: &reqwest::Client,
    setup: &Setup,
    id: &str,
) -> Result<Value, FleetError> {
    send(setup, http.get(format!("{}/v1/builds/{id}", setup.url()))).await
}

/// REST calls that the bridge made at each master since it was started last.
pub(super) async fn calls(
    http: &reqwest::Client,
    setup: &Setup,
) -> Result<BTreeMap<String, u64>, FleetError> {
    let masters = send(setup, http.get(format!("{}/v1/masters", setup.url()))).await?;
    Ok(masters
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let name = one["name"].as_str().unwrap_or_default().to_owned();
            (name, one["calls"].as_u64().unwrap_or(0))
        })
        .collect())
}

/// Whether a build has not ended yet.
pub(super) async fn any_live(http: &reqwest::Client, setup: &Setup) -> Result<bool, FleetError> {
    let url = format!("{}/v1/builds?state=live&limit=1", setup.url());
    let live = send(setup, http.get(url)).await?;
    Ok(live.as_array().is_none_or(|all| !all.is_empty()))
}

/// What the bridge counts.
pub(super) async fn metrics(http: &reqwest::Client, setup: &Setup) -> Result<String, FleetError> {
    let url = format!("{}/metrics", setup.url());
    let request = http.get(url).bearer_auth(&setup.token);
    let answer = request.timeout(TIMEOUT).send().await.map_err(other)?;
    answer.error_for_status().map_err(other)?.text().await.map_err(other)
}

/// Agents on demand.
pub(super) async fn agents(http: &reqwest::Client, setup: &Setup) -> Result<Value, FleetError> {
    send(setup, http.get(format!("{}/v1/agents", setup.url()))).await
}
