//! The official agent beside ours: how long it takes from its start until its node is online.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilotfish_bridge::rest::{Client, NewNode, NodeName};

use super::other;
use crate::error::FleetError;
use crate::ledger::{Ledger, What, now_us};

/// How often it is started.
const ROUNDS: u32 = 9;
/// The longest that it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds from the start of the official agent until its node was online, the shortest first. Its node
/// is there before.
///
/// # Errors
/// When it cannot be started, or does not come.
pub(super) async fn starts_ms(
    jar: &Path,
    client: &Client,
    ledger: &Path,
    directory: &Path,
) -> Result<Vec<u64>, FleetError> {
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let name = NodeName::parse(&format!("official-{round}")).map_err(other)?;
        let new = NewNode { description: "official agent", labels: "", remote_fs: "/tmp" };
        client.make_node(&name, &new).await.map_err(other)?;
        let secret = client.node_secret(&name).await.map_err(other)?;
        let file = directory.join(format!("{}-secret", name.as_str()));
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, secret.as_bytes()))
            .map_err(FleetError::io(format!("write {}", file.display())))?;
        let started_us = now_us();
        let mut child = Command::new("java")
            .arg("-jar")
            .arg(jar)
            .args(["-url", client.base(), "-name", name.as_str(), "-webSocket"])
            .arg("-secret")
            .arg(format!("@{}", file.display()))
            .arg("-workDir")
            .arg(directory.join(name.as_str()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(FleetError::io("start java"))?;
        let online = online(ledger, name.as_str()).await;
        // It is killed in any case.
        let _ = child.kill();
        let _ = child.wait();
        all.push(online?.saturating_sub(started_us) / 1000);
        client.remove_node(&name).await.map_err(other)?;
    }
    all.sort_unstable();
    Ok(all)
}

/// When a node was online, in microseconds since 1970.
async fn online(ledger: &Path, node: &str) -> Result<u64, FleetError> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let seen = Ledger::read(ledger)?;
        let it = seen.iter().find(|entry| entry.what == What::Online && entry.detail == node);
        if let Some(entry) = it {
            return Ok(entry.at_us);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(other(format!("{node} was not online within {} s", PATIENCE.as_secs())))
}
