//! The first act of a build: it asks the bridge whether it is the one that runs.

use std::time::Duration;

use serde_json::json;

use super::state::{Build, Shared};

/// Between the tries, in milliseconds: those of the library, thirty times as fast.
const PAUSES_MS: [u64; 6] = [66, 166, 500, 1_000, 2_000, 2_000];
/// The most time of one try.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the bridge said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimed {
    /// This build runs.
    Won,
    /// Another one does, or none.
    Lost(String),
    /// There was no answer.
    Unanswered(String),
}

/// Claims a build.
pub(super) async fn claim(shared: &Shared, client: &reqwest::Client, build: &Build) -> Claimed {
    let text = |name: &str| build.parameters.get(name).cloned().unwrap_or_default();
    let (id, key) = (text("PILOTFISH_BUILD_ID"), text("PILOTFISH_BUILD_KEY"));
    let Some(bridge) = shared.options.bridge.as_deref().filter(|_| !id.is_empty()) else {
        return Claimed::Won;
    };
    let token =
        shared.options.bridge_token.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    let body = json!({
        "controller": shared.options.name, "url": super::builds::url(shared, build), "key": key,
    });
    let url = format!("{}/v1/builds/{id}/claim", bridge.trim_end_matches('/'));
    let mut why = String::new();
    for pause in PAUSES_MS.map(Some).into_iter().chain([None]) {
        if shared.lock().faults.bridge_unreachable {
            why = "the bridge cannot be reached".to_owned();
        } else {
            let sent = client
                .post(&url)
                .bearer_auth(token.as_deref().unwrap_or_default().trim())
                .header("content-type", "application/json")
                .timeout(TIMEOUT)
                .body(body.to_string())
                .send()
                .await;
            match sent {
                Ok(answer) if answer.status().is_success() => return Claimed::Won,
                Ok(answer) if matches!(answer.status().as_u16(), 429 | 502..=504) => {
                    why = format!("the bridge answered {}", answer.status());
                }
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    return Claimed::Lost(format!("{status}: {text}"));
                }
                Err(error) => why = format!("the bridge cannot be reached: {error}"),
            }
        }
        if let Some(pause) = pause {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    Claimed::Unanswered(why)
}
