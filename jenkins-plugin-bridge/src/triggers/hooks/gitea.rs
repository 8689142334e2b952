//! Gitea and Forgejo. Fields as in Gitea's documentation of webhooks and in `modules/structs/hook.go`.

use serde_json::Value;

use super::github::pull_request;
use super::{Heard, Push, nothing, push, sender, text};

pub fn read(event: &str, body: &Value) -> Result<Heard, String> {
    match event {
        "push" => {
            let commits = body.get("commits");
            let count = commits.and_then(Value::as_array).map_or(0, Vec::len);
            let total = body.get("total_commits").and_then(Value::as_u64);
            push(&Push {
                repository: text(body, "/repository/full_name"),
                reference: text(body, "/ref"),
                after: text(body, "/after"),
                tagged: text(body, "/head_commit/id"),
                commits,
                // A push tells a few of its commits only.
                complete: total == u64::try_from(count).ok(),
                sender: sender(body, "/sender/login"),
            })
        }
        "pull_request" | "pull_request_sync" => pull_request(body, "synchronized"),
        "" => Err("X-Gitea-Event is missing".to_owned()),
        _ => nothing("events of this kind start nothing; push and pull_request do"),
    }
}
