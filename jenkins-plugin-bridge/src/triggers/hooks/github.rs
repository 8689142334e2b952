//! GitHub. Fields as in its documentation of webhook events and payloads (`push`, `pull_request`, `ping`).

use serde_json::Value;

use super::{EventKind, Heard, Push, Request, flag, nothing, push, request, sender, text};

/// The most commits that a push tells.
const COMMITS: usize = 2048;

pub fn read(event: &str, body: &Value) -> Result<Heard, String> {
    match event {
        "ping" => nothing("it is a ping"),
        "push" => {
            let commits = body.get("commits");
            let count = commits.and_then(Value::as_array).map_or(0, Vec::len);
            push(&Push {
                repository: text(body, "/repository/full_name"),
                reference: text(body, "/ref"),
                after: text(body, "/after"),
                tagged: text(body, "/head_commit/id"),
                commits,
                // A push that rewrites history takes away as well what its commits do not name.
                complete: count < COMMITS && !flag(body, "/forced"),
                sender: sender(body, "/sender/login"),
            })
        }
        "pull_request" => pull_request(body, "synchronize"),
        "" => Err("X-GitHub-Event is missing".to_owned()),
        _ => nothing("events of this kind start nothing; push and pull_request do"),
    }
}

/// As GitHub and Gitea tell it; `synchronised` is the word for new commits.
pub fn pull_request(body: &Value, synchronised: &str) -> Result<Heard, String> {
    let kind = match text(body, "/action") {
        "opened" | "reopened" => EventKind::PullRequestOpened,
        action if action == synchronised => EventKind::PullRequestUpdated,
        "closed" if flag(body, "/pull_request/merged") => EventKind::PullRequestMerged,
        _ => return nothing("nothing of this request's commits has changed"),
    };
    let commit = match kind {
        EventKind::PullRequestMerged => text(body, "/pull_request/merge_commit_sha"),
        _ => text(body, "/pull_request/head/sha"),
    };
    let repository = text(body, "/repository/full_name");
    let source = text(body, "/pull_request/head/ref");
    // Of AGit, for which one need not be allowed to write (Gitea, `refs/for/…`): it has no branch, and its
    // repository is said to be the one that it is for. So it is with a branch that was removed.
    let has_no_branch = source.starts_with("refs/");
    request(&Request {
        kind,
        repository,
        source,
        target: text(body, "/pull_request/base/ref"),
        commit,
        number: body.get("number").and_then(Value::as_u64),
        // A fork that was removed has no name.
        from_fork: has_no_branch
            || !text(body, "/pull_request/head/repo/full_name").eq_ignore_ascii_case(repository),
        sender: sender(body, "/sender/login"),
    })
}
