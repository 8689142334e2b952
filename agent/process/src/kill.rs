//! Stopping what a build left behind (Java: `hudson.util.ProcessTree` on Linux).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::unix::{Sent, TargetProcess};
use crate::{ProcessError, ProcessIdentity, ProcessInfo, ProcessState, processes};

/// How long a tree of processes may take to end after SIGTERM (Java: property
/// `SoftKillWaitSeconds`).
pub const SOFT_KILL_WAIT: Duration = Duration::from_secs(5);

/// How long the kernel may take to end a process after SIGKILL. One that hangs in it takes longer.
const HARD_KILL_WAIT: Duration = Duration::from_secs(1);

/// The pause between the end of the children of a process and its own SIGTERM.
///
/// Without it a shell would die before it could report the end of its command, which users know
/// as `Terminated` in the log of an aborted build; a Java agent looks after 10 ms.
const SETTLE: Duration = Duration::from_millis(10);

/// What a kill did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KillReport {
    /// Processes that got a signal, in no order.
    pub signalled: Vec<ProcessIdentity>,
    /// Those of them that still ran when the time was up.
    pub survivors: Vec<ProcessIdentity>,
    /// Processes that belong to somebody else and got nothing.
    pub denied: Vec<ProcessIdentity>,
}

/// Ends processes the way a Java agent does.
///
/// A process is ended after its children: each gets SIGTERM and is waited for before its parent
/// gets it, so a shell still says that its command was terminated. All of a tree shares one
/// [`SOFT_KILL_WAIT`]; once that is over the rest gets SIGTERM without a wait. Separate trees go at
/// the same time. Like a Java agent it leaves those alone that ignore SIGTERM, unless
/// [`force`](Self::force) is set.
///
/// A zombie counts as ended. The calling process is never ended, nor are those of
/// [`excluding`](Self::excluding); their descendants are spared as such too, and end only if they
/// match themselves.
#[derive(Debug, Clone)]
pub struct Killer {
    excluded: HashSet<u32>,
    wait: Duration,
    force: bool,
}

impl Default for Killer {
    fn default() -> Self {
        Self::new()
    }
}

impl Killer {
    /// A killer with the defaults of Jenkins.
    #[must_use]
    pub fn new() -> Self {
        Self { excluded: HashSet::from([std::process::id()]), wait: SOFT_KILL_WAIT, force: false }
    }

    /// Spares more processes, by number.
    #[must_use]
    pub fn excluding(mut self, pids: impl IntoIterator<Item = u32>) -> Self {
        self.excluded.extend(pids);
        self
    }

    /// How long a tree may take to end after SIGTERM.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Whether what is left after the wait gets SIGKILL.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Ends every process whose environment has all of these variables with these values, and the
    /// descendants of each (Java: `ProcessTree.killAll(Map)`).
    ///
    /// Names match without case, values exactly. No variables match no process. Environments of
    /// other users cannot be read and match nothing.
    ///
    /// # Errors
    /// [`ProcessError::ProcessList`] when processes cannot be listed.
    pub async fn kill_matching<N, V>(
        &self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<KillReport, ProcessError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let excluded = self.excluded.clone();
        let model = owned(variables);
        if model.is_empty() {
            return Ok(KillReport::default());
        }
        let trees = blocking(move || {
            let table = processes()?;
            let matching = matching(&table, &excluded, &model);
            Ok(Forest::new(&table, &excluded).trees(&matching))
        })
        .await?;
        Ok(self.end_trees(trees).await)
    }

    /// The processes that [`kill_matching`](Self::kill_matching) would end, without the descendants that do
    /// not match themselves.
    ///
    /// # Errors
    /// [`ProcessError::ProcessList`] when processes cannot be listed.
    pub async fn find_matching<N, V>(
        &self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<HashSet<u32>, ProcessError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let excluded = self.excluded.clone();
        let model = owned(variables);
        blocking(move || Ok(matching(&processes()?, &excluded, &model))).await
    }

    /// Ends a process and its descendants (Java: `OSProcess.killRecursively`). Nothing happens if
    /// it is gone.
    ///
    /// # Errors
    /// [`ProcessError::ProcessList`] when processes cannot be listed.
    pub async fn kill_tree(&self, root: ProcessIdentity) -> Result<KillReport, ProcessError> {
        let excluded = self.excluded.clone();
        let trees = blocking(move || {
            let table = processes()?;
            if excluded.contains(&root.pid) || !table.iter().any(|one| one.identity == root) {
                return Ok(Vec::new());
            }
            Ok(Forest::new(&table, &excluded).trees(&HashSet::from([root.pid])))
        })
        .await?;
        Ok(self.end_trees(trees).await)
    }

    /// Ends trees at the same time. Dropping the future stops the work where it is.
    async fn end_trees(&self, trees: Vec<Vec<Target>>) -> KillReport {
        let mut tasks = JoinSet::new();
        for tree in trees {
            tasks.spawn(end_tree(tree, self.wait, self.force));
        }
        let mut whole = KillReport::default();
        while let Some(finished) = tasks.join_next().await {
            match finished {
                Ok(mut report) => {
                    whole.signalled.append(&mut report.signalled);
                    whole.survivors.append(&mut report.survivors);
                    whole.denied.append(&mut report.denied);
                }
                Err(error) => tracing::warn!(%error, "ending a tree of processes failed"),
            }
        }
        whole
    }
}

/// Ends processes one after the other, children first as they come.
async fn end_tree(tree: Vec<Target>, wait: Duration, force: bool) -> KillReport {
    let deadline = Instant::now() + wait;
    let mut report = KillReport::default();
    let mut settled = true;
    for Target { identity, has_children } in tree {
        if has_children && !settled {
            tokio::time::sleep(SETTLE).await;
            settled = true;
        }
        let Some(process) = TargetProcess::open(identity) else { continue };
        match process.terminate() {
            Ok(Sent::Delivered) => {
                report.signalled.push(identity);
                settled = false;
            }
            Ok(Sent::Gone) => continue,
            Ok(Sent::Denied) => {
                report.denied.push(identity);
                continue;
            }
            Err(error) => {
                tracing::warn!(pid = identity.pid, %error, "cannot signal a process");
                continue;
            }
        }
        if timeout_at(deadline, process.ended()).await.is_err() {
            let ended = force
                && process.kill().is_ok()
                && timeout(HARD_KILL_WAIT, process.ended()).await.is_ok();
            if !ended {
                report.survivors.push(identity);
            }
        }
    }
    // One that was only late does not count; signalled parents may have taken it along.
    report
        .survivors
        .retain(|&identity| crate::unix::state_of(identity) == Some(ProcessState::Alive));
    report
}

fn owned<N: Into<String>, V: Into<String>>(
    variables: impl IntoIterator<Item = (N, V)>,
) -> Vec<(String, String)> {
    variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The numbers of those that run and were started with all variables of a model. An empty one matches none.
fn matching(
    table: &[ProcessInfo],
    excluded: &HashSet<u32>,
    model: &[(String, String)],
) -> HashSet<u32> {
    if model.is_empty() {
        return HashSet::new();
    }
    table
        .iter()
        .filter(|process| !excluded.contains(&process.identity.pid))
        .filter(|process| process.state == ProcessState::Alive && matches(process, model))
        .map(|process| process.identity.pid)
        .collect()
}

/// Whether a process was started with all variables of a model.
fn matches(process: &ProcessInfo, model: &[(String, String)]) -> bool {
    process.environment().is_ok_and(|environment| {
        model.iter().all(|(name, value)| environment.get(name) == Some(value.as_str()))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProcessError> + Send + 'static,
) -> Result<T, ProcessError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ProcessError::ShuttingDown)?
}

/// A process to end.
#[derive(Debug, Clone, Copy)]
struct Target {
    identity: ProcessIdentity,
    /// Whether descendants of it come before it in the list.
    has_children: bool,
}

/// Who is whose child, the excluded left out.
struct Forest {
    identities: HashMap<u32, ProcessIdentity>,
    parents: HashMap<u32, u32>,
    children: HashMap<u32, Vec<u32>>,
}

impl Forest {
    fn new(table: &[ProcessInfo], excluded: &HashSet<u32>) -> Self {
        let mut forest =
            Self { identities: HashMap::new(), parents: HashMap::new(), children: HashMap::new() };
        for process in table.iter().filter(|process| !excluded.contains(&process.identity.pid)) {
            let pid = process.identity.pid;
            forest.identities.insert(pid, process.identity);
            forest.parents.insert(pid, process.parent);
            forest.children.entry(process.parent).or_default().push(pid);
        }
        forest
    }

    /// The trees under these processes, each as a list in the order of ending. A root that is
    /// within the tree of another has none of its own.
    fn trees(&self, roots: &HashSet<u32>) -> Vec<Vec<Target>> {
        let mut placed = HashSet::new();
        let within_another = |root: u32| {
            let mut seen = HashSet::from([root]);
            let mut at = root;
            // A list made while processes come and go may have a circle.
            while let Some(&parent) = self.parents.get(&at) {
                if roots.contains(&parent) && parent != root && self.parents.contains_key(&parent) {
                    return true;
                }
                if !seen.insert(parent) {
                    return false;
                }
                at = parent;
            }
            false
        };
        // In a circle every root is within another: what is not placed then stands for itself.
        let known = roots.iter().filter(|root| self.parents.contains_key(root));
        let (inner, outer): (Vec<u32>, Vec<u32>) = known.partition(|&&root| within_another(root));
        outer
            .into_iter()
            .chain(inner)
            .map(|root| self.children_first(root, &mut placed))
            .filter(|tree| !tree.is_empty())
            .collect()
    }

    /// A process after all its descendants that have no place yet.
    fn children_first(&self, root: u32, placed: &mut HashSet<u32>) -> Vec<Target> {
        let mut order = Vec::new();
        if !placed.insert(root) {
            return order;
        }
        let children = |pid: u32| self.children.get(&pid).map_or(&[][..], Vec::as_slice).iter();
        let mut path = vec![(root, children(root))];
        while let Some((pid, rest)) = path.last_mut() {
            match rest.next() {
                Some(&child) => {
                    if placed.insert(child) {
                        path.push((child, children(child)));
                    }
                }
                None => {
                    let has_children = self.children.contains_key(pid);
                    order.extend(
                        self.identities.get(pid).map(|&identity| Target { identity, has_children }),
                    );
                    path.pop();
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(processes: &[(u32, u32)]) -> Vec<ProcessInfo> {
        processes
            .iter()
            .map(|&(pid, parent)| ProcessInfo {
                identity: ProcessIdentity { pid, start_time: 1 },
                parent,
                group: pid,
                state: ProcessState::Alive,
                name: String::new(),
            })
            .collect()
    }

    fn trees(processes: &[(u32, u32)], excluded: &[u32], roots: &[u32]) -> Vec<Vec<u32>> {
        let excluded = excluded.iter().copied().collect();
        let roots = roots.iter().copied().collect();
        let mut trees: Vec<Vec<u32>> = Forest::new(&table(processes), &excluded)
            .trees(&roots)
            .into_iter()
            .map(|tree| tree.into_iter().map(|target| target.identity.pid).collect())
            .collect();
        trees.sort();
        trees
    }

    const FAMILY: [(u32, u32); 6] = [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (6, 1)];

    #[test]
    fn children_end_before_their_parents() {
        assert_eq!(trees(&FAMILY, &[], &[2]), [[4, 5, 3, 2]]);
    }

    #[test]
    fn a_root_within_a_tree_is_not_ended_twice() {
        assert_eq!(trees(&FAMILY, &[], &[4, 2, 6]), [vec![4, 5, 3, 2], vec![6]]);
    }

    #[test]
    fn the_excluded_keep_their_descendants_unless_those_match() {
        assert_eq!(trees(&FAMILY, &[3], &[2]), [[2]]);
        assert_eq!(trees(&FAMILY, &[3], &[2, 4]), [[2], [4]]);
        assert!(trees(&FAMILY, &[3], &[3]).is_empty());
    }

    proptest! {
        #[test]
        fn every_root_is_ended_once_even_in_a_broken_list(
            parents in prop::collection::vec(0_u32..8, 8),
            roots in prop::collection::hash_set(0_u32..8, 0..8),
        ) {
            let processes: Vec<(u32, u32)> = (0..8).zip(parents).collect();
            let roots: Vec<u32> = roots.into_iter().collect();
            let all = trees(&processes, &[], &roots).concat();
            let distinct: HashSet<u32> = all.iter().copied().collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert!(roots.iter().all(|root| distinct.contains(root)));
        }
    }
}
