//! The figures, each measured on its own and chosen by name.

mod archive;
mod binary;
mod exec;
mod fleet;
mod jvm;
mod memory;
mod round_trips;
mod start;
mod steps;
mod streams;

use clap::ValueEnum;

use crate::error::Failed;
use crate::report::Report;
use crate::setup::Setup;

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// Process start to "Connected"
    Start,
    /// Resident memory of an idle agent, and after 100 sh steps
    Memory,
    /// 100 agents started at once
    Fleet,
    /// 1,000 idle agents
    Idle,
    /// Streams of a log and of a file to the controller
    Streams,
    /// A stream from the controller into a file
    Upload,
    /// tar, gzip and send
    Tar,
    /// Receive and untar
    Untar,
    /// Round trips of FilePath.exists, 1 and 64 in flight
    RoundTrips,
    /// First calls and streams of a JVM behind the agent
    Jvm,
    /// Processes in a sibling container, and the memory of its server
    Exec,
    /// Size of the release binary
    Binary,
}

/// Those named, or all.
pub fn chosen(named: &[Figure]) -> Vec<Figure> {
    if named.is_empty() { Figure::value_variants().to_vec() } else { named.to_vec() }
}

impl Figure {
    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Start => "process start to Connected",
            Self::Memory => "resident memory",
            Self::Fleet => "many agents started at once",
            Self::Idle => "many idle agents",
            Self::Streams => "streams to the controller",
            Self::Upload => "a stream from the controller",
            Self::Tar => "tar, gzip and send",
            Self::Untar => "receive and untar",
            Self::RoundTrips => "round trips",
            Self::Jvm => "a JVM behind the agent",
            Self::Exec => "processes in a sibling container",
            Self::Binary => "the release binary",
        }
    }

    /// Measures it and adds its rows.
    pub async fn measure(self, setup: &Setup, report: &mut Report) -> Result<(), Failed> {
        match self {
            Self::Start => start::measure(setup, report).await,
            Self::Memory => memory::measure(setup, report).await,
            Self::Fleet => fleet::at_once(setup, report).await,
            Self::Idle => fleet::idle(setup, report).await,
            Self::Streams => streams::to_controller(setup, report).await,
            Self::Upload => streams::from_controller(setup, report).await,
            Self::Tar => archive::tar(setup, report).await,
            Self::Untar => archive::untar(setup, report).await,
            Self::RoundTrips => round_trips::measure(setup, report).await,
            Self::Jvm => jvm::measure(setup, report).await,
            Self::Exec => exec::measure(setup, report).await,
            Self::Binary => binary::measure(setup, report),
        }
    }
}
