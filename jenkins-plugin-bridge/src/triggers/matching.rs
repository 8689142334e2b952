//! Which jobs an event starts, and with what parameters.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::event::{Event, EventKind};
use super::model::{EventField, EventTrigger};

/// The most patterns of a list.
const PATTERNS: usize = 100;
/// The most bytes of a pattern.
const PATTERN_BYTES: usize = 255;

/// Patterns of names, some of which take away.
#[derive(Debug, Clone)]
pub struct Globs {
    add: GlobSet,
    take: GlobSet,
    /// There is none that adds: all that is not taken away.
    only_take: bool,
}

impl Globs {
    /// Whether a name matches.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        (self.only_take || self.add.is_match(name)) && !self.take.is_match(name)
    }
}

/// Patterns as they are written.
///
/// # Errors
/// What is wrong with them.
pub fn globs(patterns: &[String]) -> Result<Globs, String> {
    if patterns.len() > PATTERNS {
        return Err(format!("more than {PATTERNS} patterns"));
    }
    let (mut add, mut take) = (GlobSetBuilder::new(), GlobSetBuilder::new());
    let mut only_take = true;
    let mut wrong = Vec::new();
    for pattern in patterns {
        let (set, text) = match pattern.strip_prefix('!') {
            Some(text) => (&mut take, text),
            None => {
                only_take = false;
                (&mut add, pattern.as_str())
            }
        };
        if text.is_empty() || text.len() > PATTERN_BYTES {
            wrong.push(format!("{pattern:?} has not 1 to {PATTERN_BYTES} bytes"));
            continue;
        }
        match GlobBuilder::new(text).literal_separator(true).build() {
            Ok(glob) => {
                set.add(glob);
            }
            Err(error) => wrong.push(format!("{pattern:?} is no glob: {}", error.kind())),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    match (add.build(), take.build()) {
        (Ok(add), Ok(take)) => Ok(Globs { add, take, only_take }),
        (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
    }
}

/// A trigger, ready to be asked.
#[derive(Debug, Clone)]
pub struct EventMatcher {
    trigger: EventTrigger,
    branches: Globs,
    tags: Globs,
    paths: Globs,
}

impl EventMatcher {
    /// Makes one.
    ///
    /// # Errors
    /// What is wrong with its patterns.
    pub fn new(trigger: &EventTrigger) -> Result<Self, String> {
        Ok(Self {
            branches: globs(&trigger.branches)?,
            tags: globs(&trigger.tags)?,
            paths: globs(&trigger.paths)?,
            trigger: trigger.clone(),
        })
    }

    /// Address of its repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.trigger.repository
    }

    /// Whether an event of its repository starts it.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check(&self, event: &Event) -> Result<(), String> {
        let kind = event.kind;
        if !self.trigger.events.contains(&kind) {
            return Err(format!("{} is none of its events", kind.as_str()));
        }
        if event.from_fork && !self.trigger.from_forks {
            return Err("it comes from a fork".to_owned());
        }
        match (kind, &event.tag) {
            (EventKind::Tag, Some(tag)) if !self.tags.has(tag) => {
                return Err(format!("the tag {tag} is none of its tags"));
            }
            (EventKind::Tag, _) => {}
            _ => {
                let branch = event.target.as_deref().or(event.branch.as_deref());
                let branch = branch.unwrap_or_default();
                if !self.branches.has(branch) {
                    return Err(format!("the branch {branch} is none of its branches"));
                }
            }
        }
        if !self.trigger.paths.is_empty()
            && let Some(paths) = &event.paths
            && !paths.iter().any(|path| self.paths.has(path))
        {
            return Err("no file that it is for has changed".to_owned());
        }
        Ok(())
    }

    /// The parameters of the build.
    #[must_use]
    pub fn parameters(&self, event: &Event) -> BTreeMap<String, String> {
        parameters(&self.trigger.parameters, event)
    }
}

/// Values of an event for parameters. What an event does not have leaves the value of the job.
#[must_use]
pub fn parameters(
    wanted: &BTreeMap<String, EventField>,
    event: &Event,
) -> BTreeMap<String, String> {
    let value = |field: EventField| match field {
        EventField::Branch => event.branch.clone(),
        EventField::TargetBranch => event.target.clone(),
        EventField::Tag => event.tag.clone(),
        EventField::Commit => Some(event.commit.clone()),
        EventField::PullRequest => event.number.map(|number| number.to_string()),
        EventField::Repository => Some(event.repository.clone()),
        EventField::Event => Some(event.kind.as_str().to_owned()),
    };
    wanted.iter().filter_map(|(name, field)| Some((name.clone(), value(*field)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> Event {
        Event {
            kind,
            repository: "acme/web".to_owned(),
            branch: Some("feature/a".to_owned()),
            target: None,
            tag: None,
            commit: "a".repeat(40),
            number: None,
            paths: Some(vec!["src/main.rs".to_owned()]),
            from_fork: false,
            sender: String::new(),
        }
    }

    fn matcher(rest: serde_json::Value) -> EventMatcher {
        let mut all = serde_json::json!({"repository": "https://github.com/acme/web"});
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        EventMatcher::new(&serde_json::from_value(all).unwrap()).unwrap()
    }

    #[test]
    fn branches_paths_tags_and_forks_decide() {
        use serde_json::json;
        let push = event(EventKind::Push);
        let docs = Event { paths: Some(vec!["docs/a/b.md".to_owned()]), ..push.clone() };
        let unknown = Event { paths: None, ..push.clone() };
        let tag = Event { branch: None, tag: Some("v1".to_owned()), ..event(EventKind::Tag) };
        let request = Event {
            target: Some("main".to_owned()),
            number: Some(7),
            ..event(EventKind::PullRequestOpened)
        };
        let fork = Event { from_fork: true, ..request.clone() };
        for (trigger, event, starts) in [
            (json!({}), &push, true),
            (json!({}), &tag, false),
            (json!({"branches": ["feature/*"]}), &push, true),
            (json!({"branches": ["*"]}), &push, false),
            (json!({"branches": ["**", "!feature/**"]}), &push, false),
            (json!({"branches": ["!main"]}), &push, true),
            (json!({"paths": ["src/**"]}), &push, true),
            (json!({"paths": ["src/**"]}), &docs, false),
            (json!({"paths": ["!docs/**"]}), &docs, false),
            (json!({"paths": ["src/**"]}), &unknown, true),
            (json!({"events": ["tag"], "branches": ["main"]}), &tag, true),
            (json!({"events": ["tag"], "tags": ["v2*"]}), &tag, false),
            (json!({"events": ["pull-request-opened"], "branches": ["main"]}), &request, true),
            (
                json!({"events": ["pull-request-opened"], "branches": ["feature/*"]}),
                &request,
                false,
            ),
            (json!({"events": ["pull-request-opened"]}), &fork, false),
            (json!({"events": ["pull-request-opened"], "from_forks": true}), &fork, true),
        ] {
            let answer = matcher(trigger.clone()).check(event);
            assert_eq!(answer.is_ok(), starts, "{trigger} {answer:?}");
        }
        assert!(globs(&["a[".to_owned(), String::new()]).unwrap_err().contains(';'));
    }

    #[test]
    fn what_an_event_does_not_have_is_not_set() {
        let matcher = matcher(serde_json::json!({"parameters":
            {"BRANCH": "branch", "COMMIT": "commit", "PR": "pull-request", "KIND": "event"}}));
        let values = matcher.parameters(&event(EventKind::Push));
        let shown: Vec<String> =
            values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            shown.join(" "),
            format!("BRANCH=feature/a COMMIT={} KIND=push", "a".repeat(40))
        );
    }
}
