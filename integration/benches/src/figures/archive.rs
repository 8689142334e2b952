//! Directories as tar.gz: packed and sent, received and unpacked.

use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::streams::{feed_pieces, go, mib, rate, row};
use crate::agents::{self, Kind};
use crate::comparators;
use crate::controller::door::Door;
use crate::controller::script::{self, Wording};
use crate::error::Failed;
use crate::report::{Bar, Report};
use crate::setup::Setup;
use crate::statistics::Pairs;
use crate::tree;

/// Every round takes seconds of compression, so fewer do.
fn rounds(setup: &Setup) -> i32 {
    i32::try_from(setup.rounds.min(3)).unwrap_or(1)
}

pub async fn tar(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let root = setup.fresh("tar")?;
    let dir = root.join("workspace/p-stash");
    let files = tree::plant(&dir, setup.stream_bytes)?;
    let mut door = Door::open().await?;
    let (agent, mut session) = agents::one(setup, Kind::Ours, &mut door, &root).await?;
    let request = script::request(&setup.recording("06-stash")?, "hudson.FilePath$Archive")?;
    // The recorded step takes a part of its directory; here it is the whole.
    let wording = Wording::rooted(&root).with("d/f9*", "no-such-file").with("d/**", "**");
    let mut pairs = Pairs::default();
    for id in 1..=rounds(setup) {
        let command = request.command(id, &wording)?;
        let (messages, message_bytes) = (session.link.messages, session.link.message_bytes);
        let start = Instant::now();
        let answer = session.call(id, &command).await?;
        pairs.ours.push(rate(setup.stream_bytes, start));
        let mean =
            (session.link.message_bytes - message_bytes) / (session.link.messages - messages);
        let (dir, mean) = (dir.display().to_string(), mean.to_string());
        let mut bare = comparators::start(&mut door, "compare-tar", &[&dir, &mean]).await?;
        let start = Instant::now();
        go(&mut bare.link).await?;
        while bare.link.message().await?.is_some() {}
        pairs.theirs.push(rate(setup.stream_bytes, start));
        let (ours, theirs) = (answer.bytes as f64, bare.link.message_bytes as f64);
        if (ours / theirs - 1.0).abs() > 0.05 {
            return Err(Failed::Agent(format!(
                "an archive of {ours} bytes beside one of {theirs}"
            )));
        }
        let _ = bare.link.end().await;
    }
    agent.kill().await?;
    let figure = format!("{} in {files} files: tar, gzip and send", mib(setup.stream_bytes));
    report.add(row(figure, &pairs, "tar with the same zlib", Bar::AtLeast(0.9)));
    Ok(())
}

pub async fn untar(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let planted = setup.fresh("untar-source")?;
    let files = tree::plant(&planted, setup.stream_bytes)?;
    let mut archive = ::tar::Builder::new(GzEncoder::new(Vec::new(), Compression::new(6)));
    archive.append_dir_all(".", &planted)?;
    let archive = archive.into_inner()?.finish()?;
    let archive_bytes = archive.len() as u64;
    let root = setup.fresh("untar")?;
    let mut door = Door::open().await?;
    let (agent, mut session) = agents::one(setup, Kind::Ours, &mut door, &root).await?;
    let request = script::request(&setup.recording("06-stash")?, "hudson.FilePath$UntarRemote")?;
    let wording = Wording::rooted(&root);
    let mut pairs = Pairs::default();
    for id in 1..=rounds(setup) {
        setup.fresh("untar/workspace/p-stash")?;
        let command = request.command(id, &wording)?;
        let start = Instant::now();
        session.post(&command).await?;
        let oid = session.connected().await?;
        session.write(oid, &archive, archive_bytes).await?;
        session.answer(id).await?;
        pairs.ours.push(rate(setup.stream_bytes, start));
        let target = setup.fresh("untar/workspace/p-stash")?.display().to_string();
        let mut bare = comparators::start(&mut door, "compare-untar", &[&target]).await?;
        let start = Instant::now();
        feed_pieces(&mut bare.link, &archive, archive_bytes).await?;
        while bare.link.message().await?.is_some() {}
        pairs.theirs.push(rate(setup.stream_bytes, start));
        let _ = bare.link.end().await;
    }
    agent.kill().await?;
    let figure = format!("{} in {files} files: receive and untar", mib(setup.stream_bytes));
    report.add(row(figure, &pairs, "tar with the same zlib", Bar::AtLeast(0.9)));
    Ok(())
}
