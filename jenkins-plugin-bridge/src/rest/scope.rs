//! Which jobs are read: names, folders and globs as a user gives them.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::error::RestError;
use super::name::JobName;

/// Where to start, and which of the jobs found there are meant.
#[derive(Debug)]
pub struct Scope {
    /// Jobs or folders to start from.
    pub starts: Vec<JobName>,
    globs: GlobSet,
    /// Names and folders that are meant as they are.
    whole: Vec<JobName>,
}

impl Scope {
    /// Reads the arguments of a user; none means everything.
    ///
    /// # Errors
    /// [`RestError::Name`] for what is neither a name nor a glob.
    pub fn parse(arguments: &[String], controller: &str) -> Result<Self, RestError> {
        let mut globs = GlobSetBuilder::new();
        let mut starts = Vec::new();
        let mut whole = Vec::new();
        for argument in arguments {
            if !argument.contains(['*', '?', '[', '{']) {
                let name = JobName::from_user(argument, controller)?;
                starts.push(name.clone());
                whole.push(name);
                continue;
            }
            let refuse = |reason| RestError::Name { name: argument.clone(), reason };
            let glob = GlobBuilder::new(argument)
                .literal_separator(true)
                .build()
                .map_err(|_| refuse("it is no glob; `*` is within a folder, `**` is across"))?;
            globs.add(glob);
            // Everything before the first part with a wildcard is a folder that can be started from.
            let fixed: Vec<&str> = argument
                .split('/')
                .take_while(|part| !part.contains(['*', '?', '[', '{']))
                .collect();
            starts.push(match fixed.as_slice() {
                [] => JobName::root(),
                parts => JobName::parse(&parts.join("/"))?,
            });
        }
        if arguments.is_empty() {
            starts.push(JobName::root());
            whole.push(JobName::root());
        }
        starts.sort_unstable();
        starts.dedup();
        let all = starts.clone();
        // A start inside another one would be read twice.
        starts.retain(|one| !all.iter().any(|other| other != one && is_inside(one, other)));
        let globs = globs.build().map_err(|_| RestError::Name {
            name: arguments.join(" "),
            reason: "the globs are too large together",
        })?;
        Ok(Self { starts, globs, whole })
    }

    /// Whether a job is meant.
    pub fn has(&self, name: &JobName) -> bool {
        self.whole.iter().any(|one| one == name || is_inside(name, one))
            || self.globs.is_match(name.as_str())
    }
}

fn is_inside(name: &JobName, folder: &JobName) -> bool {
    folder.is_root()
        || name.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(arguments: &[&str]) -> Scope {
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        Scope::parse(&arguments, "https://ci/").unwrap()
    }

    fn has(scope: &Scope, name: &str) -> bool {
        scope.has(&JobName::parse(name).unwrap())
    }

    #[test]
    fn names_folders_and_globs_are_meant() {
        let all = scope(&[]);
        assert!(all.starts[0].is_root() && has(&all, "a/b"));
        let some = scope(&["php", "go/*-api", "go/tools/x"]);
        assert_eq!(some.starts.iter().map(JobName::as_str).collect::<Vec<_>>(), ["go", "php"]);
        assert!(
            has(&some, "php/shop/build") && has(&some, "go/pay-api") && has(&some, "go/tools/x")
        );
        assert!(!has(&some, "phpx") && !has(&some, "go/a/b-api") && !has(&some, "go/pay"));
        assert!(has(&scope(&["**/build"]), "a/b/build"));
        assert!(Scope::parse(&["a/[".to_owned()], "").is_err());
    }
}
