//! The lines for the logs of builds.

use pilotfish_process::cgroup::MemoryState;

use super::guard::{Candidate, Reason};

/// What begins each line, so that it is told from the build's own output.
const PREFIX: &str = "[pilotfish] Out of memory:";

/// What to do about it.
const ADVICE: &str = "Raise the memory limit of the container, or have the build use less at a time (fewer parallel \
     jobs, smaller heaps).";

/// Who ended a process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kill {
    /// The kernel did.
    ByKernel,
    /// The agent did, before the kernel would end everything.
    ByAgent(Reason),
}

/// About a process that is known.
pub(super) fn killed(by: Kill, process: &Candidate, state: &MemoryState) -> String {
    let Candidate { identity, name, memory, .. } = process;
    let (pid, memory) = (identity.pid, size(*memory));
    let what = format!("process {pid} ({name}, {memory}) of this build");
    match by {
        Kill::ByKernel => {
            format!("{PREFIX} the kernel killed {what}, as {}. {ADVICE}", why(state))
        }
        Kill::ByAgent(reason) => {
            let usage = state.held.map_or_else(|| "memory".to_owned(), size);
            let limit =
                state.limit.map_or_else(String::new, |limit| format!(" of {}", size(limit)));
            let thrashing = match reason {
                Reason::Usage => "",
                Reason::Pressure => " and all processes waited for memory",
            };
            format!(
                "{PREFIX} the agent killed {what}, the largest one: {usage}{limit} were in use{thrashing}, and at the \
                 limit the kernel would have killed the whole container, agent included (memory.oom.group is 1; {}). \
                 {ADVICE}",
                facts(state)
            )
        }
    }
}

/// About processes of which only the number is known.
pub(super) fn unknown_process(count: u64, state: &MemoryState) -> String {
    let processes = if count == 1 { "a process".to_owned() } else { format!("{count} processes") };
    format!(
        "{PREFIX} the kernel killed {processes} of the agent's container while this step ran, as {}. {ADVICE}",
        why(state)
    )
}

/// About a container that ended with everything in it.
pub(super) fn container_killed(state: &MemoryState, certain: bool, likely: bool) -> String {
    if certain || likely {
        let how = if certain { "" } else { " most likely" };
        return format!(
            "{PREFIX} the agent's container was{how} killed while this step ran; when last seen it used {} ({}). {ADVICE}",
            state.usage.map_or_else(|| "an unknown amount".to_owned(), size),
            facts(state)
        );
    }
    format!(
        "[pilotfish] The agent's container ended while this step ran, and the step's processes with it; {} were in use \
         when last seen ({}). The reason is outside of the container: look at its last state and the events of its node.",
        state.usage.map_or_else(|| "an unknown amount of memory".to_owned(), size),
        facts(state)
    )
}

/// About a step in a sibling container, of which nothing runs any more.
pub(super) fn gone_with_agent(container: &str) -> String {
    format!(
        "[pilotfish] This step ran in container {container:?} and left no exit status: its processes were gone when the \
         agent came back. The container may have been restarted: look at its last state and the events of the pod."
    )
}

fn why(state: &MemoryState) -> String {
    match state.limit {
        Some(_) => format!("the container's memory limit was reached ({})", facts(state)),
        None => format!("the machine ran out of memory ({})", facts(state)),
    }
}

fn facts(state: &MemoryState) -> String {
    let text = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), size);
    let limit = state.limit.map_or_else(|| "none".to_owned(), size);
    format!("limit {limit}, peak {}", text(state.peak))
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{} KiB", bytes / 1024),
        mib => format!("{mib} MiB"),
    }
}
