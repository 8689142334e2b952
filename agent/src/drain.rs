//! Going away without losing builds.
//!
//! An inbound agent cannot tell its controller to give it no more work. So on SIGTERM it goes on serving
//! the builds that it runs already, refuses the first process of any other, and ends once they have ended,
//! or when its time is up.
//!
//! A controller tells an agent of processes and files, never of builds; what launches carry tells the rest.
//! A build is known by `JOB_NAME` and `BUILD_NUMBER`. It begins with its first launch and is over when the
//! controller ends what it left behind (`Launcher$RemoteLauncher$KillTask`, sent at the end of each `node`
//! block of a Pipeline and of each freestyle build, and told by variables that its launches had, its cookies
//! among them) and [`SETTLING`] has passed, as a freestyle build archives after that. Where the message never
//! comes it is over [`FORGOTTEN`] after its last step.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a build may still ask for files once the controller has ended its processes.
pub const SETTLING: Duration = Duration::from_secs(3);

/// A build that ran nothing for this long is over, though nobody said so.
pub const FORGOTTEN: Duration = Duration::from_secs(600);

/// How long builds may go on after SIGTERM by default. Kubernetes kills a pod 30 s after it
/// (`terminationGracePeriodSeconds`); the rest is for the goodbye.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// The most builds that are remembered.
const MAX_BUILDS: usize = 1024;

/// The builds of the agent, and whether it takes more.
#[derive(Debug, Default)]
pub struct Drain {
    inner: Mutex<Inner>,
    keys: RandomState,
}

#[derive(Debug, Default)]
struct Inner {
    draining: bool,
    builds: BTreeMap<String, Build>,
}

#[derive(Debug)]
struct Build {
    /// Each `NAME=value` of its last launch, as a keyed hash: some values are secrets.
    variables: HashSet<u64>,
    /// When a step of it was last seen to run.
    seen: Instant,
    /// When the controller ended what it left behind.
    swept: Option<Instant>,
}

/// A launch of a build that the agent does not run already, while it drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this agent is draining: it was told to stop (SIGTERM), ends with the builds that it already runs, and \
     takes no other. Run the build again: another agent will take it"
)]
pub struct Draining;

/// The build of a launch, as people name it, by the environment that the controller gives it.
pub(crate) fn build_of(environment: &[String]) -> Option<String> {
    let value = |name: &str| {
        let of_name = |one: &String| one.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        environment.iter().find_map(of_name).filter(|value| !value.is_empty())
    };
    Some(format!("{} #{}", value("JOB_NAME")?, value("BUILD_NUMBER")?))
}

impl Build {
    fn is_over(&self, now: Instant) -> bool {
        let since = |then: Instant| now.saturating_duration_since(then);
        match self.swept {
            Some(swept) => since(swept.max(self.seen)) >= SETTLING,
            None => since(self.seen) >= FORGOTTEN,
        }
    }
}

impl Drain {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is about to be started with this environment on top of the agent's.
    ///
    /// # Errors
    /// [`Draining`] when it is the first of a build and the agent takes no more.
    pub fn launch(&self, environment: &[String]) -> Result<(), Draining> {
        // What belongs to no build serves those that are there.
        let Some(name) = build_of(environment) else { return Ok(()) };
        let now = Instant::now();
        let mut inner = self.inner();
        inner.builds.retain(|_, build| !build.is_over(now));
        if !inner.builds.contains_key(&name) {
            if inner.draining {
                return Err(Draining);
            }
            if inner.builds.len() >= MAX_BUILDS {
                let oldest = inner.builds.iter().min_by_key(|(_, build)| build.seen);
                if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                    inner.builds.remove(&oldest);
                }
            }
        }
        let variables = environment.iter().map(|one| self.keys.hash_one(one.as_str())).collect();
        inner.builds.insert(name, Build { variables, seen: now, swept: None });
        Ok(())
    }

    /// The controller has had all processes ended that have these variables: the builds that had them come
    /// to their end.
    pub fn swept<'a>(&self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let hash = |(name, value)| self.keys.hash_one(format!("{name}={value}").as_str());
        let wanted: Vec<u64> = variables.into_iter().map(hash).collect();
        if wanted.is_empty() {
            return;
        }
        let now = Instant::now();
        for build in self.inner().builds.values_mut() {
            if wanted.iter().all(|one| build.variables.contains(one)) {
                build.swept = Some(now);
            }
        }
    }

    /// From now on other builds are refused.
    pub fn begin(&self) {
        self.inner().draining = true;
    }

    /// Whether other builds are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner().draining
    }

    /// What runs, given the builds and other things of which a step runs now.
    pub fn running(&self, with_steps: &[String]) -> Vec<String> {
        self.running_at(with_steps, Instant::now())
    }

    fn running_at(&self, with_steps: &[String], now: Instant) -> Vec<String> {
        let mut inner = self.inner();
        for name in with_steps {
            if let Some(build) = inner.builds.get_mut(name) {
                build.seen = now;
            }
        }
        inner.builds.retain(|_, build| !build.is_over(now));
        let mut all: Vec<String> =
            inner.builds.keys().cloned().chain(with_steps.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(number: u32) -> Vec<String> {
        let number = number.to_string();
        ["JOB_NAME=a".to_owned(), format!("BUILD_NUMBER={number}"), format!("COOKIE=c{number}")]
            .into()
    }

    #[test]
    fn a_build_is_known_by_its_variables() {
        assert_eq!(build_of(&environment(7)).unwrap(), "a #7");
        for incomplete in [
            &["JOB_NAME=a"][..],
            &["BUILD_NUMBER=1", "JOB_NAME="],
            &["JOB_NAMES=a", "BUILD_NUMBER=1"],
        ] {
            let incomplete: Vec<String> = incomplete.iter().map(|&one| one.to_owned()).collect();
            assert_eq!(build_of(&incomplete), None, "{incomplete:?}");
        }
    }

    #[test]
    fn only_builds_that_run_already_may_launch_while_it_drains() {
        let drain = Drain::default();
        drain.launch(&environment(1)).unwrap();
        drain.begin();
        assert!(drain.is_draining());
        drain.launch(&environment(1)).unwrap();
        assert_eq!(drain.launch(&environment(2)), Err(Draining));
        drain.launch(&[]).unwrap();
        assert!(Draining.to_string().contains("draining"));
    }

    #[test]
    fn a_build_runs_until_the_controller_sweeps_it() {
        let drain = Drain::default();
        drain.launch(&environment(1)).unwrap();
        drain.launch(&environment(2)).unwrap();
        let minute = Duration::from_secs(60);
        let begin = Instant::now();
        assert_eq!(drain.running_at(&[], begin + minute), ["a #1", "a #2"], "between two steps");
        drain.swept([("COOKIE", "other")]);
        drain.swept([]);
        drain.swept([("COOKIE", "c1"), ("OTHER", "x")]);
        assert_eq!(drain.running_at(&[], begin + minute).len(), 2);
        drain.swept([("COOKIE", "c1")]);
        assert_eq!(drain.running_at(&[], Instant::now()), ["a #1", "a #2"], "it may archive still");
        assert_eq!(drain.running_at(&[], begin + minute), ["a #2"]);
        let with_steps = ["a #2".to_owned(), "a process".to_owned()];
        assert_eq!(drain.running_at(&with_steps, begin + 9 * minute), ["a #2", "a process"]);
        assert_eq!(
            drain.running_at(&[], begin + 18 * minute),
            ["a #2"],
            "it had a step at minute nine"
        );
        assert_eq!(drain.running_at(&[], begin + 20 * minute), [""; 0], "nobody said so");
        drain.begin();
        assert_eq!(drain.launch(&environment(1)), Err(Draining), "it is over");
    }

    #[test]
    fn a_second_node_block_of_a_build_begins_it_anew() {
        let drain = Drain::default();
        drain.launch(&environment(1)).unwrap();
        drain.swept([("COOKIE", "c1")]);
        drain.launch(&environment(1)).unwrap();
        assert_eq!(drain.running_at(&[], Instant::now() + Duration::from_secs(60)), ["a #1"]);
    }

    #[test]
    fn builds_are_bounded() {
        let drain = Drain::default();
        for number in 0..=1024 {
            drain.launch(&environment(number)).unwrap();
        }
        let inner = drain.inner();
        assert_eq!(inner.builds.len(), MAX_BUILDS);
        assert!(!inner.builds.contains_key("a #0"), "the oldest gave way");
    }
}
