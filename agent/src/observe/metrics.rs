//! The figures of a moment as Prometheus reads them.

use super::prometheus::{Kind, Text};
use super::snapshot::Snapshot;
use crate::connection::State;

/// Writes all of them. Names are stable: dashboards and alerts rest on them.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut text = Text::default();
    text.family("pilotfish_agent_info", Kind::Gauge, "The agent; always 1.").sample(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("remoting_version", snapshot.remoting_version),
            ("protocol", snapshot.protocol),
            ("node", &snapshot.node),
        ],
        1,
    );
    connection(&mut text, snapshot);
    requests(&mut text, snapshot);
    channel(&mut text, snapshot);
    builds(&mut text, snapshot);
    memory(&mut text, snapshot);
    process(&mut text, snapshot);
    text.finish()
}

fn connection(text: &mut Text, snapshot: &Snapshot) {
    let mut family = text.family(
        "pilotfish_agent_connection_state",
        Kind::Gauge,
        "1 for the state that the connection is in.",
    );
    for state in State::ALL {
        family.sample(&[("state", state.name())], u8::from(state == snapshot.state));
    }
    text.single(
        "pilotfish_agent_connections_total",
        Kind::Counter,
        "Connections that were opened; all but the first are reconnects.",
        Some(snapshot.connections),
    );
    text.single(
        "pilotfish_agent_connection_failures_total",
        Kind::Counter,
        "Attempts to connect that failed.",
        Some(snapshot.failures),
    );
    let mut family = text.family(
        "pilotfish_agent_connections_lost_total",
        Kind::Counter,
        "Connections that ended, by reason.",
    );
    for (reason, count) in &snapshot.lost {
        family.sample(&[("reason", reason.name())], count);
    }
    text.single(
        "pilotfish_agent_draining",
        Kind::Gauge,
        "1 while the agent refuses new builds because it was told to stop.",
        Some(u8::from(snapshot.draining)),
    );
}

fn requests(text: &mut Text, snapshot: &Snapshot) {
    let mut family = text.family(
        "pilotfish_agent_requests_total",
        Kind::Counter,
        "Requests of the controller by class and by who answered: native, jvm, failed (no answer of a JVM), refused.",
    );
    for (tier, counts) in &snapshot.requests {
        for (class, count) in counts {
            family.sample(&[("class", class), ("tier", tier.name())], count);
        }
    }
    text.single(
        "pilotfish_agent_jvms_started_total",
        Kind::Counter,
        "JVMs that were started.",
        Some(snapshot.jvms),
    );
    text.single(
        "pilotfish_agent_requests_running",
        Kind::Gauge,
        "Requests of the controller that are being answered.",
        Some(snapshot.requests_running),
    );
    text.single(
        "pilotfish_agent_spans_dropped_total",
        Kind::Counter,
        "Spans that did not reach the collector.",
        snapshot.spans_dropped,
    );
}

fn channel(text: &mut Text, snapshot: &Snapshot) {
    let traffic = snapshot.traffic;
    for (name, help, value) in [
        ("pilotfish_agent_received_bytes_total", "Bytes of commands received.", traffic.bytes_in),
        ("pilotfish_agent_sent_bytes_total", "Bytes of commands sent.", traffic.bytes_out),
        ("pilotfish_agent_received_commands_total", "Commands received.", traffic.commands_in),
        ("pilotfish_agent_sent_commands_total", "Commands sent.", traffic.commands_out),
    ] {
        text.single(name, Kind::Counter, help, Some(value));
    }
    for (name, help, value) in [
        (
            "pilotfish_agent_queued_commands",
            "Commands that wait for the transport.",
            snapshot.queued.commands,
        ),
        (
            "pilotfish_agent_queued_bytes",
            "Bytes of commands that wait for the transport.",
            snapshot.queued.bytes,
        ),
        (
            "pilotfish_agent_exports",
            "Objects and streams that the controller may use.",
            snapshot.exports,
        ),
    ] {
        text.single(name, Kind::Gauge, help, Some(value));
    }
}

fn builds(text: &mut Text, snapshot: &Snapshot) {
    text.single(
        "pilotfish_agent_builds_running",
        Kind::Gauge,
        "Builds that run, those between two steps included.",
        Some(snapshot.running),
    );
    text.single(
        "pilotfish_agent_child_processes",
        Kind::Gauge,
        "Processes below the agent.",
        Some(snapshot.children),
    );
    let mut family = text.family(
        "pilotfish_agent_build_processes",
        Kind::Gauge,
        "Processes of a build, those included that it left behind.",
    );
    for (build, usage) in &snapshot.builds {
        family.sample(&[("build", build)], usage.processes);
    }
    let mut family = text.family(
        "pilotfish_agent_build_memory_bytes",
        Kind::Gauge,
        "Memory of a build's processes that only their end gives back.",
    );
    for (build, usage) in &snapshot.builds {
        family.sample(&[("build", build)], usage.memory);
    }
}

fn memory(text: &mut Text, snapshot: &Snapshot) {
    let memory = snapshot.memory;
    for (name, help, value) in [
        ("pilotfish_agent_memory_limit_bytes", "Limit of the container.", memory.limit),
        ("pilotfish_agent_memory_usage_bytes", "Used in the container.", memory.usage),
        (
            "pilotfish_agent_memory_held_bytes",
            "Used in the container, without the cache of files.",
            memory.held,
        ),
        ("pilotfish_agent_memory_peak_bytes", "Most ever used in the container.", memory.peak),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
    text.single(
        "pilotfish_agent_oom_kills_total",
        Kind::Counter,
        "Processes of the container that the kernel ended for memory.",
        memory.oom_kills,
    );
}

fn process(text: &mut Text, snapshot: &Snapshot) {
    let own = snapshot.own;
    text.single(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Resident memory of the agent itself.",
        own.resident,
    );
    text.single(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Processor time of the agent itself.",
        own.processor.map(|time| time.as_secs_f64()),
    );
    text.single("process_open_fds", Kind::Gauge, "Open descriptors of the agent.", own.descriptors);
}
