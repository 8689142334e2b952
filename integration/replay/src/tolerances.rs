//! Every way in which an answer may differ from the recorded one. Each is a rule with a name and a
//! reason, and each still demands something: none accepts any value.

use std::collections::HashSet;

use java_object_stream::{Node, Value};

use crate::compare::{Context, Random};
use crate::times;
use crate::wire;

/// A named tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What is demanded instead of the recorded value, and why that value cannot be demanded.
    pub reason: &'static str,
}

/// All rules, in the order of this file.
pub const RULES: [Rule; 27] = [
    Rule {
        name: "diagnostics",
        reason: "where a command or throwable was made in a JVM (createdAt, stackTrace, suppressedExceptions, the origin of a proxy) says nothing to the peer",
    },
    Rule {
        name: "no-cause",
        reason: "a throwable without a cause names itself or null; Throwable.getCause is null for both",
    },
    Rule {
        name: "declaring-class",
        reason: "RPCRequest.declaringClassName is new in remoting and optional for controllers",
    },
    Rule {
        name: "own-ids",
        reason: "request ids and export ids are the agent's choice: each recorded one is one of ours, always the same",
    },
    Rule {
        name: "transfers",
        reason: "the numbers of transfers are the agent's choice: lastIoId must cover what was sent for the request",
    },
    Rule {
        name: "loader",
        reason: "the recorded agent names its own class loader for classes of remoting; a native agent has none and must name one of the controller's",
    },
    Rule {
        name: "hash-order",
        reason: "capacity and order of hash tables are no part of a set's or map's meaning",
    },
    Rule {
        name: "scan-order",
        reason: "files found in a directory come in the file system's order",
    },
    Rule {
        name: "remoting-version",
        reason: "a version of its own, but of the same form and not below the controller's minimum",
    },
    Rule {
        name: "restarters",
        reason: "a process that cannot replace itself offers no restarter; any that it offers must be a recorded one",
    },
    Rule { name: "architecture", reason: "the processor of this machine, spelled as Java does" },
    Rule { name: "clock", reason: "the time must lie between request and answer" },
    Rule { name: "disk-space", reason: "size as statvfs says, free space within 256 MiB of it" },
    Rule {
        name: "memory",
        reason: "totals as the kernel says, what is available between the free memory (less 512 MiB) and the total",
    },
    Rule {
        name: "temp-name",
        reason: "the recorded directory, prefix and suffix around a random number",
    },
    Rule {
        name: "random-content",
        reason: "a file filled from /dev/urandom has the recorded size and cannot be compressed; digests must be those of this run's file",
    },
    Rule { name: "file-time", reason: "a file written by the build was changed during this run" },
    Rule { name: "cookie", reason: "HUDSON_COOKIE is a new UUID for every process" },
    Rule { name: "uname", reason: "the kernel of this machine, with the recorded host name" },
    Rule {
        name: "trace-order",
        reason: "a shell starts the sides of a pipe at once and traces them word by word, so their trace lines mix; each side's own characters must be in order",
    },
    Rule { name: "timestamp", reason: "a line's time must lie within this run" },
    Rule {
        name: "array-version",
        reason: "the JDK never checks the serialVersionUID of an array class",
    },
    Rule {
        name: "own-requests",
        reason: "a native agent needs no answer to IOSyncer, DoVetoersExist and ListAll and may leave them out; it must ping, and may ping again; each that it sends is compared",
    },
    Rule {
        name: "releases",
        reason: "when a JVM's collector releases objects is chance: none may be released more often than it was handed over, and of a class loader one reference must stay",
    },
    Rule {
        name: "early-status",
        reason: "a script may end sooner here than in the recording, but not while the sleeps of the recorded one certainly lasted",
    },
    Rule {
        name: "class-look-up",
        reason: "look-ups of classes were taken out of the recordings: an agent that asks is told that there is no such class",
    },
    Rule {
        name: "keep-alive",
        reason: "WebSocket pings of the agent are part of the transport and mean nothing to the channel",
    },
];

/// Rules `diagnostics`, `own-ids` and `transfers`: fields that are not compared at all. What stands in
/// them is checked elsewhere (ids by answering, transfers by the session) or is never shown.
#[must_use]
pub fn is_diagnostic(object: Node<'_>, field: &str) -> bool {
    match field {
        "createdAt" => object.is_a("hudson.remoting.Command"),
        "stackTrace" | "suppressedExceptions" => object.is_a("java.lang.Throwable"),
        "id" => object.is_a("hudson.remoting.Request"),
        "lastIoId" => {
            object.is_a("hudson.remoting.Request") || object.is_a("hudson.remoting.Response")
        }
        _ => false,
    }
}

/// Rule `declaring-class`.
#[must_use]
pub fn may_be_absent(object: Node<'_>, field: &str) -> bool {
    field == "declaringClassName"
        && object.is_a("hudson.remoting.RemoteInvocationHandler$RPCRequest")
}

/// Rule `loader`: what is demanded, if it is not met.
///
/// # Errors
/// The demand, in words.
pub fn loader(
    loaders: &HashSet<i32>,
    wanted: crate::compare::Loader,
    got: crate::compare::Loader,
) -> Result<(), String> {
    use crate::compare::Loader::{Broken, Readers, Writers};
    let fits = match (wanted, got) {
        (_, Broken) => false,
        (Writers(_), Readers(oid)) => loaders.contains(&oid),
        // The recorded agent's own loader again: only the replayer's tests on itself send that.
        (Writers(_), Writers(_)) => true,
        (wanted, got) => wanted == got,
    };
    match (fits, wanted) {
        (true, _) => Ok(()),
        (false, Writers(_)) => Err("a class loader that the controller handed over".to_owned()),
        (false, wanted) => Err(format!("{wanted:?}")),
    }
}

/// Rule `scan-order`: whether a list holds what a scan of a directory found.
#[must_use]
pub fn is_scanned(elements: &[Node<'_>]) -> bool {
    elements.first().is_some_and(|first| {
        first.class_name().as_deref() == Some("hudson.tasks.Fingerprinter$Record")
    })
}

/// The rule for a whole answer, if there is one: met, or what it demands.
pub fn root(
    context: &mut Context<'_>,
    expected: Node<'_>,
    actual: Node<'_>,
) -> Option<Result<(), String>> {
    match context.callable {
        "hudson.slaves.SlaveComputer$SlaveVersion" => {
            let minimum =
                context.recording.response_header("X-Remoting-Minimum-Version").unwrap_or("0");
            let got = actual.as_str()?;
            let fits =
                version(&got).zip(version(minimum)).is_some_and(|(got, minimum)| got >= minimum);
            Some(if fits {
                Ok(())
            } else {
                Err(format!("a remoting version of at least {minimum}"))
            })
        }
        "jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters" => {
            let none = actual.is_null()
                || (actual.class_name() == expected.class_name()
                    && actual.elements().is_ok_and(|all| all.is_empty()));
            none.then_some(Ok(()))
        }
        "hudson.node_monitors.ArchitectureMonitor$GetArchTask" => {
            let wanted = expected.as_str()?.replace("amd64", &context.facts.architecture());
            Some(if actual.as_str()? == wanted { Ok(()) } else { Err(format!("{wanted:?}")) })
        }
        "hudson.FilePath$CreateTextTempFile" => {
            Some(temporary_name(context, &expected.as_str()?, &actual.as_str()?))
        }
        _ => None,
    }
}

/// The numbers in front of the hash of a version such as `3355.3357.v931d3c992987`.
fn version(text: &str) -> Option<Vec<u64>> {
    let (numbers, hash) = text.split_once(".v").unwrap_or((text, "0"));
    if hash.is_empty() || !hash.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_') {
        return None;
    }
    numbers.split('.').map(|number| number.parse().ok()).collect()
}

fn temporary_name(context: &mut Context<'_>, expected: &str, actual: &str) -> Result<(), String> {
    let (prefix, suffix) = name_parts(context.request).unwrap_or_default();
    let directory = expected.rsplit_once('/').map_or("", |(directory, _)| directory);
    let number = actual
        .strip_prefix(directory)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_prefix(prefix.as_str()))
        .and_then(|rest| rest.strip_suffix(suffix.as_str()));
    match number {
        Some(number)
            if (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            context.mapping.bind_text(expected, actual);
            Ok(())
        }
        _ => Err(format!("{directory}/{prefix}<number>{suffix}")),
    }
}

fn name_parts(request: &[u8]) -> Option<(String, String)> {
    let outer = wire::parse(request).ok()?;
    let payload = wire::parse(outer.root().ok()?.field("request").ok()?.as_bytes()?).ok()?;
    let callable = payload.root().ok()?.field("callable").ok()?;
    Some((callable.read_field("prefix").ok()?, callable.read_field("suffix").ok()?))
}

/// The rule for a field, if there is one: met, or what it demands.
pub fn field(
    context: &mut Context<'_>,
    expected: Node<'_>,
    actual: Node<'_>,
    name: &str,
) -> Option<Result<(), String>> {
    const SLACK: i64 = 50;
    const NEAR: i64 = 256 << 20;
    let class = expected.class_name()?;
    let long = |name: &'static str| match actual.field(name).map(Node::value) {
        Ok(Value::Long(value)) => Some(value),
        _ => None,
    };
    let judge = |fits: bool, wanted: String| Some(if fits { Ok(()) } else { Err(wanted) });
    match (&*class, name) {
        ("hudson.model.Slave$GetClockDifference3", "remoteTime") => {
            let span = context.span;
            judge(
                span.holds(long("remoteTime")?, SLACK),
                format!("a time between {} and {}", span.from, span.to),
            )
        }
        ("hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace", "size" | "totalSize") => {
            let path = actual.field("path").ok()?.as_str()?.into_owned();
            let Some(space) = context.facts.space(&path) else {
                return Some(Err(format!("a path that this run has, not {path}")));
            };
            if name == "totalSize" {
                return judge(long("totalSize")? == space.total, space.total.to_string());
            }
            let size = long("size")?;
            let near = size.abs_diff(space.usable) <= NEAR.unsigned_abs();
            judge(near && (1..=space.total).contains(&size), format!("about {}", space.usable))
        }
        (
            "hudson.node_monitors.SwapSpaceMonitor$MemoryUsage2",
            "totalPhysicalMemory"
            | "availablePhysicalMemory"
            | "totalSwapSpace"
            | "availableSwapSpace",
        ) => memory(context, actual, name),
        ("hudson.tasks.Fingerprinter$Record", "md5sum") => {
            let path = actual.field("relativePath").ok()?.as_str()?;
            let ours = context.random.files.get(&*path)?;
            let got = actual.field("md5sum").ok()?.as_str()?;
            judge(got == ours.md5, format!("{}, the digest of what was archived", ours.md5))
        }
        ("org.jenkinsci.plugins.durabletask.AgentInfo", "architecture" | "binaryPath") => {
            let architecture = context.facts.architecture();
            if architecture == "amd64" {
                return None;
            }
            let wanted = match name {
                "architecture" => architecture,
                _ => expected
                    .field(name)
                    .ok()?
                    .as_str()?
                    .replace("_linux_64", &format!("_linux_{architecture}")),
            };
            judge(actual.field(name).ok()?.as_str()? == wanted, wanted)
        }
        _ => None,
    }
}

fn memory(context: &Context<'_>, actual: Node<'_>, name: &str) -> Option<Result<(), String>> {
    const NEAR: i64 = 512 << 20;
    let Value::Long(got) = actual.field(name).ok()?.value() else { return None };
    let memory = context.facts.memory()?;
    let (least, most) = match name {
        "totalPhysicalMemory" => (memory.total, memory.total),
        "availablePhysicalMemory" => ((memory.free - NEAR).max(1), memory.total),
        "totalSwapSpace" => (memory.total_swap, memory.total_swap),
        _ => ((memory.free_swap - NEAR).max(0), (memory.free_swap + NEAR).min(memory.total_swap)),
    };
    let fits = (least..=most).contains(&got);
    Some(if fits { Ok(()) } else { Err(format!("{least} to {most}")) })
}

/// The rules for a line of output: whether `actual` may stand where the recording has `expected`
/// (already with this run's names).
#[must_use]
pub fn line(context: &Context<'_>, expected: &str, actual: &str) -> bool {
    expected == actual
        || cookie(expected, actual)
        || uname(context, expected, actual)
        || listed_file(context, expected, actual)
        || timestamped(context, expected, actual)
}

/// Rule `cookie`.
fn cookie(expected: &str, actual: &str) -> bool {
    let cookie = |line: &str| line.strip_prefix("HUDSON_COOKIE=").is_some_and(is_uuid);
    cookie(expected) && cookie(actual)
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12]
        && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Rule `uname`.
fn uname(context: &Context<'_>, expected: &str, actual: &str) -> bool {
    crate::facts::uname_line(expected).is_some() && context.facts.uname().as_deref() == Some(actual)
}

/// Rule `file-time` in a line of `ls -l`: everything but the time is as recorded.
fn listed_file(context: &Context<'_>, expected: &str, actual: &str) -> bool {
    let split = |line: &str| -> Option<(Vec<String>, String, String)> {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let mode = words.first()?;
        if mode.len() != 10 || !mode.bytes().all(|b| b"-dlrwxsStT".contains(&b)) || words.len() < 9
        {
            return None;
        }
        let before = words.get(..5)?.iter().map(ToString::to_string).collect();
        Some((before, words.get(5..8)?.join(" "), words.get(8..)?.join(" ")))
    };
    match (split(expected), split(actual)) {
        (Some((before, _, name)), Some((other_before, time, other_name))) => {
            let now = times::listed(&time, context.session.to);
            // `ls` cuts the seconds off.
            before == other_before
                && name == other_name
                && now.is_some_and(|now| context.session.holds(now, 61_000))
        }
        _ => false,
    }
}

/// Rule `timestamp`.
fn timestamped(context: &Context<'_>, expected: &str, actual: &str) -> bool {
    let split = |line: &str| -> Option<(i64, String)> {
        let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
        Some((times::instant(time)?, rest.to_owned()))
    };
    match (split(expected), split(actual)) {
        (Some((_, wanted)), Some((time, got))) => {
            context.session.holds(time, 50) && line(context, &wanted, &got)
        }
        _ => false,
    }
}

/// Rule `trace-order`: the lines that came, with the trace of each pipe in the recorded order, if the
/// same characters came and each side's own are in order. A shell such as dash writes a trace word by
/// word, so the sides mix within a line, too.
#[must_use]
pub fn in_trace_order<'l>(
    expected: &[&'l str],
    actual: &[&'l str],
    script: Option<&str>,
) -> Vec<&'l str> {
    let mut lines = actual.to_vec();
    if !script.is_some_and(|script| script.contains('|')) || expected.len() != actual.len() {
        return lines;
    }
    let is_trace = |at: usize| expected.get(at).is_some_and(|line| line.starts_with("+ "));
    let mut start = 0;
    while start < expected.len() {
        let end = (start..).find(|&at| !is_trace(at)).unwrap_or(start);
        if let (Some(sides), Some(came)) = (expected.get(start..end), lines.get_mut(start..end))
            && is_interleaving(sides, came)
        {
            came.copy_from_slice(sides);
        }
        start = end + 1;
    }
    lines
}

/// Whether `mixed` holds the characters of all `lines`, those of each line in their order.
fn is_interleaving(lines: &[&str], mixed: &[&str]) -> bool {
    // More sides than any recorded pipe has would only cost time.
    if lines.len() < 2 || lines.len() > 4 {
        return false;
    }
    let bytes = |line: &&str| -> Vec<u8> { line.bytes().chain([b'\n']).collect() };
    let lines: Vec<Vec<u8>> = lines.iter().map(bytes).collect();
    let mut reached = HashSet::from([vec![0; lines.len()]]);
    for byte in mixed.iter().flat_map(bytes) {
        let mut next = HashSet::new();
        for places in reached {
            for (side, line) in lines.iter().enumerate() {
                if let Some(&place) = places.get(side)
                    && line.get(place) == Some(&byte)
                {
                    let mut moved = places.clone();
                    if let Some(at) = moved.get_mut(side) {
                        *at += 1;
                    }
                    next.insert(moved);
                }
            }
        }
        reached = next;
    }
    reached.iter().any(|places| places.iter().zip(&lines).all(|(at, line)| *at == line.len()))
}

/// Rule `file-time` in an archive; both in seconds since 1970.
#[must_use]
pub fn archived_time(context: &Context<'_>, expected: u64, actual: u64) -> bool {
    let milliseconds = i64::try_from(actual).unwrap_or(i64::MAX).saturating_mul(1000);
    expected == actual || context.session.holds(milliseconds, 1000)
}

/// Rule `random-content` for a file of an archive.
#[must_use]
pub fn random_file(random: &Random, expected: &[u8], actual: &[u8]) -> bool {
    random.expected && expected.len() == actual.len() && is_random(expected) && is_random(actual)
}

/// Rule `random-content` for a file of checksums, as `sha256sum` writes it.
#[must_use]
pub fn random_digests(random: &Random, expected: &[u8], actual: &[u8]) -> bool {
    let (Ok(expected), Ok(actual)) = (std::str::from_utf8(expected), std::str::from_utf8(actual))
    else {
        return false;
    };
    let (wanted, got): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), actual.lines().collect());
    random.expected
        && wanted.len() == got.len()
        && expected.len() == actual.len()
        && wanted.iter().zip(&got).all(|(wanted, got)| {
            let file = |line: &str| {
                line.split_once("  ").map(|(digest, name)| (digest.to_owned(), name.to_owned()))
            };
            match (file(wanted), file(got)) {
                _ if wanted == got => true,
                (Some((_, name)), Some((digest, other))) => {
                    name == other
                        && random.files.get(&name).is_some_and(|ours| ours.sha256 == digest)
                }
                _ => false,
            }
        })
}

/// Whether bytes cannot be compressed, as random ones cannot.
fn is_random(bytes: &[u8]) -> bool {
    use std::io::Write as _;
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    let length =
        packed.write_all(bytes).and_then(|()| packed.finish()).map_or(0, |packed| packed.len());
    bytes.len() >= 64 && length >= bytes.len()
}

#[cfg(test)]
mod tests {
    use super::in_trace_order;

    const EXPECTED: [&str; 4] = ["+ mkdir d", "+ ls d", "+ wc -l", "2000"];

    fn ordered(actual: [&'static str; 4], script: &str) -> bool {
        in_trace_order(&EXPECTED, &actual, Some(script)) == EXPECTED
    }

    #[test]
    fn the_sides_of_a_pipe_mix() {
        let script = "mkdir d; ls d | wc -l";
        assert!(ordered(["+ mkdir d", "+ wc -l", "+ ls d", "2000"], script));
        assert!(ordered(["+ mkdir d", "+ + ls dwc", " -l", "2000"], script));
        assert!(ordered(["+ mkdir d", "+ + wcls -l d", "", "2000"], script));
    }

    #[test]
    fn nothing_else_does() {
        let script = "mkdir d; ls d | wc -l";
        assert!(!ordered(["+ mkdir d", "+ + sl dwc", " -l", "2000"], script));
        assert!(!ordered(["+ mkdir d", "+ ls d", "+ wc -c", "2000"], script));
        assert!(!ordered(["+ mkdir d", "+ ls d", "+ wc", "2000"], script));
        assert!(!ordered(["+ mkdir d", "+ ls d", "2000", "+ wc -l"], script));
        assert!(!ordered(["+ mkdir d", "+ wc -l", "+ ls d", "2000"], "mkdir d; ls d; wc -l"));
    }
}
