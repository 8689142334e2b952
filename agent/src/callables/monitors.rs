//! Node monitors (`hudson.node_monitors`).

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use java_object_stream::{Class, Datum, Field, Node, Object};
use jenkins_remoting::channel::{Call, Throwable};

use super::answer::text;
use super::{Connection, Entry, FileCall, Job, Run};
use crate::files::attributes::disk_space;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        class: "hudson.node_monitors.ArchitectureMonitor$GetArchTask",
        run: Run::Now(architecture),
    },
    Entry { class: "hudson.model.Slave$GetClockDifference2", run: Run::Now(clock) },
    Entry { class: "hudson.node_monitors.ResponseTimeMonitor$Step2", run: Run::Now(response_time) },
    Entry {
        class: "hudson.node_monitors.SwapSpaceMonitor$MonitorTask",
        run: Run::Blocking(memory),
    },
    Entry {
        class: "hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace",
        run: Run::File(usable_space),
    },
    Entry {
        class: "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace",
        run: Run::File(temporary_space),
    },
];

/// Its serialVersionUID is implicit; seen in every recording.
static CLOCK_DIFFERENCE: Class =
    Class::new("hudson.model.Slave$GetClockDifference3", -6_655_128_034_486_338_777)
        .fields(&[Field::long("remoteTime"), Field::long("startTime")]);
static RESPONSE_STEP_3: Class = Class::new("hudson.node_monitors.ResponseTimeMonitor$Step3", 1)
    .fields(&[
        Field::long("start"),
        Field::reference("cur", "Lhudson/node_monitors/ResponseTimeMonitor$Data;"),
    ]);
static RESPONSE_DATA: Class = Class::new("hudson.node_monitors.ResponseTimeMonitor$Data", 1)
    .fields(&[Field::reference("past5", "[J")]);
static DISK_SPACE: Class =
    Class::new("hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace", 2).fields(&[
        Field::long("size"),
        Field::long("threshold"),
        Field::long("totalSize"),
        Field::long("warningThreshold"),
        Field::string("path"),
        Field::reference("trigger", "Ljava/lang/Class;"),
    ]);
static MEMORY_USAGE: Class = Class::new("org.jvnet.hudson.MemoryUsage", 1).fields(&[
    Field::long("availablePhysicalMemory"),
    Field::long("availableSwapSpace"),
    Field::long("totalPhysicalMemory"),
    Field::long("totalSwapSpace"),
]);
static MEMORY_USAGE_2: Class =
    Class::new("hudson.node_monitors.SwapSpaceMonitor$MemoryUsage2", 2_216_994_637_932_270_352)
        .extends(&MEMORY_USAGE);

/// `os.name (os.arch)` in Java's spelling.
fn architecture(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(text(format!("{} ({})", os_name(), os_arch())))
}

/// Java's `os.name`.
pub(super) fn os_name() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Mac OS X",
        other => other,
    }
}

/// Java's `os.arch`.
pub(super) fn os_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn clock(_: &Connection, callable: Node<'_>) -> Result<Datum, Throwable> {
    let start: i64 = callable.read_field("startTime")?;
    let answer = Object::new(&CLOCK_DIFFERENCE);
    Ok(answer.with("remoteTime", now_millis()).with("startTime", start).into())
}

fn response_time(_: &Connection, callable: Node<'_>) -> Result<Datum, Throwable> {
    let start: i64 = callable.read_field("start")?;
    let current = callable.field("cur")?;
    let current: Option<Object> = if current.is_null() {
        None
    } else {
        let past: Option<Vec<i64>> = current.read_field("past5")?;
        Some(Object::new(&RESPONSE_DATA).with("past5", past))
    };
    Ok(Object::new(&RESPONSE_STEP_3).with("start", start).with("cur", current).into())
}

fn usable_space(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| Ok(space(&path))))
}

fn temporary_space(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.connection.context.temporary.clone();
    Ok(Box::new(move |_| Ok(space(&std::fs::canonicalize(&path).unwrap_or(path)))))
}

fn space(path: &Path) -> Datum {
    let space = disk_space(path);
    if space.usable == 0 {
        // As for a path that does not exist: "N/A" on the node's page.
        return Datum::Null;
    }
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Object::new(&DISK_SPACE)
        .with("size", bytes(space.usable))
        .with("totalSize", bytes(space.total))
        .with("path", path.to_string_lossy().into_owned())
        .into()
}

fn memory(_: &Connection, _: &Call, _: Node<'_>) -> Result<Job, Throwable> {
    Ok(Box::new(|_| {
        let Ok(meminfo) = std::fs::read_to_string("/proc/meminfo") else { return Ok(Datum::Null) };
        Ok(Object::new(&MEMORY_USAGE_2)
            // What the kernel could free is not in it: the figures of all nodes are of one kind.
            .with("availablePhysicalMemory", bytes_of(&meminfo, "MemFree").unwrap_or(-1))
            .with("availableSwapSpace", bytes_of(&meminfo, "SwapFree").unwrap_or(-1))
            .with("totalPhysicalMemory", bytes_of(&meminfo, "MemTotal").unwrap_or(-1))
            .with("totalSwapSpace", bytes_of(&meminfo, "SwapTotal").unwrap_or(-1))
            .into())
    }))
}

/// A line `Name:  123 kB` of `/proc/meminfo`, in bytes.
fn bytes_of(meminfo: &str, name: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let meminfo = "MemTotal:       24684092 kB\nMemAvailable:   14905216 kB\nSwapTotal:             0 kB\n";
        assert_eq!(bytes_of(meminfo, "MemTotal"), Some(24_684_092 * 1024));
        assert_eq!(bytes_of(meminfo, "SwapTotal"), Some(0));
        assert_eq!(bytes_of(meminfo, "Mem"), None);
        assert_eq!(bytes_of("MemTotal: x kB", "MemTotal"), None);
    }
}
