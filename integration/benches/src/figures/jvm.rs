//! The JVM behind the agent: how long its first calls take, and what the way through the agent costs its
//! streams. The Java peer (`integration/java-peer`, mode `jvm-throughput`) is the controller: it also
//! connects the same JVM directly, on a WebSocket of its own and on pipes.

use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::{Pairs, median};

const MIB: f64 = 1_048_576.0;

/// What the peer prints.
#[derive(Debug, Deserialize)]
struct Measured {
    mib: u64,
    /// The first is with nothing on the agent, the others are with the library there.
    first_call_ms: Vec<f64>,
    tenth_call_ms: Vec<f64>,
    up_relayed_mib_per_s: Vec<f64>,
    up_direct_mib_per_s: Vec<f64>,
    up_pipes_mib_per_s: Vec<f64>,
    down_relayed_mib_per_s: Vec<f64>,
    down_direct_mib_per_s: Vec<f64>,
    down_pipes_mib_per_s: Vec<f64>,
    agent_resident_kib: f64,
    jvm_resident_kib: f64,
    direct_jvm_resident_kib: f64,
}

pub async fn measure(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let Some(peer) = &setup.peer else {
        return Err(Failed::Missing(
            "no Java peer: name its classes with --peer, as `cargo xtask bench` does".to_owned(),
        ));
    };
    let root = setup.fresh("jvm")?;
    let mut java = Command::new("java");
    java.arg("-cp").arg(peer).args(["pilotfish.peer.Main", "jvm-throughput", "--mib"]);
    java.arg((setup.stream_bytes >> 20).to_string()).arg("--rounds").arg(setup.rounds.to_string());
    if let Some(jar) = &setup.agent_jar {
        java.arg("--agent-jar").arg(jar);
    }
    java.arg("--root").arg(&root).arg("--agent-log").arg(root.join("agent.log"));
    java.arg("--").arg(&setup.agent).args(["-url", "{url}", "-secret", "@{secret-file}"]);
    java.args(["-name", "{name}", "-webSocket", "-workDir", "{root}", "--jvm=lazy"]);
    java.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = java.output().await.map_err(Failed::about("java"))?;
    if !output.status.success() {
        return Err(Failed::Agent(format!("the Java peer ended with {}", output.status)));
    }
    let measured: Measured = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failed::Agent(format!("the Java peer printed no figures: {error}")))?;
    let direct = match &setup.agent_jar {
        Some(_) => "the same JVM and library as official agent, on its own WebSocket",
        None => "the same JVM on a bare WebSocket of its own",
    };
    tell(&measured, direct, report);
    Ok(())
}

fn tell(measured: &Measured, direct: &str, report: &mut Report) {
    let (cold, warm) = measured.first_call_ms.split_at(1.min(measured.first_call_ms.len()));
    for (figure, values) in [
        ("first call for a JVM, its library not there yet", cold),
        ("first call for a JVM, its library there", warm),
        ("tenth call for a JVM", &measured.tenth_call_ms),
    ] {
        let value = median(values);
        report.add(Row {
            figure: figure.to_owned(),
            ours: format!("{value:.1} ms"),
            theirs: "–".to_owned(),
            value,
            unit: " ms",
            bar: Bar::None,
        });
    }
    let pipes = "the same JVM on two pipes of the controller";
    let (up, down) = (&measured.up_relayed_mib_per_s, &measured.down_relayed_mib_per_s);
    for (way, ours, theirs, against, bar) in [
        ("from the JVM", up, &measured.up_direct_mib_per_s, direct, Bar::AtLeast(0.9)),
        ("to the JVM", down, &measured.down_direct_mib_per_s, direct, Bar::AtLeast(0.9)),
        ("from the JVM", up, &measured.up_pipes_mib_per_s, pipes, Bar::None),
        ("to the JVM", down, &measured.down_pipes_mib_per_s, pipes, Bar::None),
    ] {
        let bytes = |values: &[f64]| values.iter().map(|rate| rate * MIB).collect();
        let pairs = Pairs { ours: bytes(ours), theirs: bytes(theirs) };
        let figure = format!("{} {way}", super::streams::mib(measured.mib << 20));
        report.add(super::streams::row(figure, &pairs, against, bar));
    }
    let mib = |kib: f64| kib / 1024.0;
    report.add(Row {
        figure: "resident memory of the agent with its JVM, after the streams".to_owned(),
        ours: format!(
            "{:.1} MiB and {:.1} MiB",
            mib(measured.agent_resident_kib),
            mib(measured.jvm_resident_kib)
        ),
        theirs: format!(
            "{:.1} MiB (the same JVM, connected directly)",
            mib(measured.direct_jvm_resident_kib)
        ),
        value: mib(measured.agent_resident_kib + measured.jvm_resident_kib),
        unit: " MiB",
        bar: Bar::None,
    });
}
