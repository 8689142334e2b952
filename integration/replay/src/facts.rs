//! What is true where the agent runs, to judge answers that no recording can tell: the clock, free
//! space, memory, the kernel.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::recording::{Recording, What};
use crate::wire;

/// A span of wall-clock time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its begin.
    pub from: i64,
    /// Its end.
    pub to: i64,
}

impl Span {
    /// Whether a time lies in the span, or less than `slack` milliseconds beside it.
    #[must_use]
    pub fn holds(self, time: i64, slack: i64) -> bool {
        time >= self.from.saturating_sub(slack) && time <= self.to.saturating_add(slack)
    }
}

/// A file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its size.
    pub total: i64,
    /// What an ordinary user may still use.
    pub usable: i64,
}

/// A machine's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: i64,
    /// What is not in use at all: less cannot be available.
    pub free: i64,
    /// All swap space.
    pub total_swap: i64,
    /// What of it is free.
    pub free_swap: i64,
}

/// Where the agent runs.
pub trait Facts: Send + Sync {
    /// The time at which something happened; `recorded` is when it did in the recording, in seconds.
    fn now(&self, recorded: f64) -> i64;
    /// The file system of a path, as the agent sees it.
    fn space(&self, path: &str) -> Option<Space>;
    /// The memory.
    fn memory(&self) -> Option<Memory>;
    /// What `uname -a` prints, without the line's end.
    fn uname(&self) -> Option<String>;
    /// The processor as Java spells it (`os.arch`).
    fn architecture(&self) -> String;
}

/// A real agent on this machine.
#[derive(Debug, Clone)]
pub struct Live {
    /// The host name inside the agent's namespace.
    pub hostname: String,
    /// Directories of the agent and the directories of this machine that stand behind them.
    pub mounts: Vec<(String, PathBuf)>,
}

impl Facts for Live {
    fn now(&self, _recorded: f64) -> i64 {
        wall_clock()
    }

    fn space(&self, path: &str) -> Option<Space> {
        let (inside, outside) =
            self.mounts.iter().find(|(inside, _)| Path::new(path).starts_with(inside))?;
        let real = outside.join(Path::new(path).strip_prefix(inside).ok()?);
        let stat = rustix::fs::statvfs(&real).ok()?;
        let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).ok();
        Some(Space { total: bytes(stat.f_blocks)?, usable: bytes(stat.f_bavail)? })
    }

    fn memory(&self) -> Option<Memory> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<i64>().ok().map(|kib| kib * 1024)
        };
        Some(Memory {
            total: value("MemTotal")?,
            free: value("MemFree")?,
            total_swap: value("SwapTotal")?,
            free_swap: value("SwapFree")?,
        })
    }

    fn uname(&self) -> Option<String> {
        let name = rustix::system::uname();
        let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Some(format!(
            "{} {} {} {} {} GNU/Linux",
            part(name.sysname()),
            self.hostname,
            part(name.release()),
            part(name.version()),
            part(name.machine())
        ))
    }

    fn architecture(&self) -> String {
        java_architecture(std::env::consts::ARCH).to_owned()
    }
}

/// The time, in milliseconds since 1970.
#[must_use]
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn java_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        other => other,
    }
}

/// The machine of a recording, as the recording tells it: for the replayer's tests on itself.
#[derive(Debug, Clone)]
pub struct Recorded {
    epoch: f64,
    spaces: Vec<(String, Space)>,
    memory: Option<Memory>,
    uname: Option<String>,
    architecture: String,
}

impl Recorded {
    /// Reads the facts out of a recording.
    #[must_use]
    pub fn of(recording: &Recording) -> Self {
        let mut facts = Self {
            epoch: 0.0,
            spaces: Vec::new(),
            memory: None,
            uname: None,
            architecture: "amd64".to_owned(),
        };
        for entry in &recording.entries {
            if let What::Command { bytes, .. } = &entry.what {
                facts.read(entry.at, bytes);
            }
        }
        facts
    }

    fn read(&mut self, at: f64, bytes: &[u8]) {
        let Ok(outer) = wire::parse(bytes) else { return };
        let Ok(root) = outer.root() else { return };
        if let Ok(text) = root.read_field::<&[u8]>("buf") {
            let text = String::from_utf8_lossy(text);
            self.uname = self.uname.take().or_else(|| uname_line(&text));
        }
        let payload = root
            .field("request")
            .ok()
            .and_then(|node| node.as_bytes())
            .or_else(|| wire::answer_payload(root));
        let Some(Ok(inner)) = payload.map(wire::parse) else { return };
        let Ok(value) = inner.root() else { return };
        let long = |field: &'static str| value.read_field::<i64>(field).ok();
        match value.class_name().as_deref() {
            Some("hudson.model.Slave$GetClockDifference2") => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "milliseconds since 1970 are below 2^53"
                )]
                if let Some(start) = long("startTime") {
                    self.epoch = start as f64 - at * 1000.0;
                }
            }
            Some("hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace") => {
                if let (Ok(path), Some(total), Some(usable)) =
                    (value.read_field::<String>("path"), long("totalSize"), long("size"))
                {
                    self.spaces.push((path, Space { total, usable }));
                }
            }
            Some("hudson.node_monitors.SwapSpaceMonitor$MemoryUsage2") => {
                if let (Some(total), Some(free), Some(total_swap), Some(free_swap)) = (
                    long("totalPhysicalMemory"),
                    long("availablePhysicalMemory"),
                    long("totalSwapSpace"),
                    long("availableSwapSpace"),
                ) {
                    self.memory = Some(Memory { total, free, total_swap, free_swap });
                }
            }
            _ => {}
        }
    }
}

/// The line of `uname -a` in an output.
#[must_use]
pub fn uname_line(output: &str) -> Option<String> {
    output
        .lines()
        .find(|line| line.starts_with("Linux ") && line.ends_with(" GNU/Linux"))
        .map(str::to_owned)
}

impl Facts for Recorded {
    fn now(&self, recorded: f64) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit")]
        let now = (self.epoch + recorded * 1000.0) as i64;
        now
    }

    fn space(&self, path: &str) -> Option<Space> {
        self.spaces.iter().find(|(known, _)| known == path).map(|(_, space)| *space)
    }

    fn memory(&self) -> Option<Memory> {
        self.memory
    }

    fn uname(&self) -> Option<String> {
        self.uname.clone()
    }

    fn architecture(&self) -> String {
        self.architecture.clone()
    }
}
