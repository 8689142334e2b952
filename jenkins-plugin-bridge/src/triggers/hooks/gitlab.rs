//! GitLab. Fields as in its documentation of webhook events (push, tag push, merge request).

use serde_json::Value;

use super::{EventKind, Heard, Push, Request, nothing, push, request, sender, text};

pub fn read(body: &Value) -> Result<Heard, String> {
    match text(body, "/object_kind") {
        "push" | "tag_push" => {
            let commits = body.get("commits");
            let count = commits.and_then(Value::as_array).map_or(0, Vec::len);
            let total = body.get("total_commits_count").and_then(Value::as_u64);
            push(&Push {
                repository: text(body, "/project/path_with_namespace"),
                reference: text(body, "/ref"),
                after: text(body, "/after"),
                tagged: text(body, "/checkout_sha"),
                commits,
                // A push tells twenty of its commits.
                complete: total == u64::try_from(count).ok(),
                sender: sender(body, "/user_username"),
            })
        }
        "merge_request" => {
            let at = |field: &str| text(body, &format!("/object_attributes/{field}"));
            let number = |field: &str| {
                body.pointer(&format!("/object_attributes/{field}")).and_then(Value::as_u64)
            };
            let kind = match at("action") {
                "open" | "reopen" => EventKind::PullRequestOpened,
                // It has an `oldrev` only where commits have come.
                "update" if !at("oldrev").is_empty() => EventKind::PullRequestUpdated,
                "merge" => EventKind::PullRequestMerged,
                _ => return nothing("nothing of this request's commits has changed"),
            };
            let merged = at("merge_commit_sha");
            let last = text(body, "/object_attributes/last_commit/id");
            request(&Request {
                kind,
                repository: text(body, "/project/path_with_namespace"),
                source: at("source_branch"),
                target: at("target_branch"),
                // A fast-forward makes no commit of its own.
                commit: match kind {
                    EventKind::PullRequestMerged if !merged.is_empty() => merged,
                    _ => last,
                },
                number: number("iid"),
                from_fork: number("source_project_id") != number("target_project_id"),
                sender: sender(body, "/user/username"),
            })
        }
        "" => Err("`object_kind` is missing".to_owned()),
        _ => nothing("events of this kind start nothing; push, tag_push and merge_request do"),
    }
}
