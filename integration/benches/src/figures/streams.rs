//! Streams of 1 GiB: a build's log and a file to the controller, and a file from it.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use jenkins_remoting::output_of;

use crate::agents::{self, Kind};
use crate::comparators;
use crate::controller::door::Door;
use crate::controller::script::{self, Wording};
use crate::controller::session::{PIECE, parse};
use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::{Pairs, median};
use crate::tree;

const WRITE_LOG: &str =
    "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$WriteLog";

/// The most that `WriteLog` moves at once is 2 GiB.
const MAX_LOG: u64 = (2 << 30) - 1;

/// Throughputs of pairs as a row; the values are bytes in a second.
pub fn row(figure: String, pairs: &Pairs, against: &str, bar: Bar) -> Row {
    let rate = |values: &[f64]| format!("{:.0} MiB/s", median(values) / f64::from(1 << 20));
    Row {
        figure,
        ours: rate(&pairs.ours),
        theirs: format!("{} ({against})", rate(&pairs.theirs)),
        value: pairs.ratio(),
        unit: "",
        bar,
    }
}

/// Bytes in a second since `start`.
pub fn rate(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / start.elapsed().as_secs_f64()
}

pub async fn to_controller(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let size = setup.stream_bytes.min(MAX_LOG);
    let root = setup.fresh("streams")?;
    let file = root.join("jenkins-log.txt");
    tree::log(&file, size)?;
    let mut door = Door::open().await?;
    let (agent, mut session) = agents::one(setup, Kind::Ours, &mut door, &root).await?;
    for (what, recording, callable, recorded) in [
        (
            "build log (WriteLog)",
            "03-sh",
            WRITE_LOG,
            "workspace/p-sh@tmp/durable-4ee2bd98/jenkins-log.txt",
        ),
        ("pipe (FilePath.read)", "04-files", "hudson.FilePath$Read", "workspace/p-files/a/b/c.txt"),
    ] {
        let request = script::request(&setup.recording(recording)?, callable)?;
        let wording = Wording::rooted(&root).with(recorded, "jenkins-log.txt");
        let mut pairs = Pairs::default();
        for id in 1..=i32::try_from(setup.rounds).unwrap_or(1) {
            let command = request.command(id, &wording)?;
            let (messages, message_bytes) = (session.link.messages, session.link.message_bytes);
            let start = Instant::now();
            let answer = session.call(id, &command).await?;
            pairs.ours.push(rate(answer.bytes, start));
            if answer.bytes != size {
                let got = answer.bytes;
                return Err(Failed::Agent(format!("{got} bytes of a file of {size}")));
            }
            let mean =
                (session.link.message_bytes - message_bytes) / (session.link.messages - messages);
            pairs.theirs.push(bare_sender(&mut door, size, mean).await?);
        }
        let figure = format!("{} to the controller: {what}", mib(size));
        report.add(row(figure, &pairs, "bare sender, same frames", Bar::AtLeast(0.5)));
    }
    agent.kill().await
}

/// A size as a person says it.
pub fn mib(bytes: u64) -> String {
    match bytes >> 20 {
        mib if mib >= 1024 && mib % 1024 == 0 => format!("{} GiB", mib / 1024),
        1023 => "1 GiB".to_owned(),
        mib => format!("{mib} MiB"),
    }
}

async fn bare_sender(door: &mut Door, size: u64, message: u64) -> Result<f64, Failed> {
    let rest = [size.to_string(), message.to_string()];
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let mut bare = comparators::start(door, "compare-send", &rest).await?;
    let start = Instant::now();
    go(&mut bare.link).await?;
    while bare.link.message().await?.is_some() {}
    let rate = rate(bare.link.message_bytes, start);
    let _ = bare.link.end().await;
    Ok(rate)
}

/// Tells a comparator to begin.
pub async fn go(link: &mut crate::controller::link::Link) -> Result<(), Failed> {
    link.feed_message(Bytes::from_static(b"go")).await?;
    link.flush().await
}

pub async fn from_controller(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let size = setup.stream_bytes;
    let root = setup.fresh("upload")?;
    let mut door = Door::open().await?;
    let (agent, mut session) = agents::one(setup, Kind::Ours, &mut door, &root).await?;
    let request = script::request(&setup.recording("04-files")?, "hudson.FilePath$WritePipe")?;
    let wording = Wording::rooted(&root);
    let path = request_path(&request, &wording)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let data = vec![b'x'; 64 * PIECE];
    let mut pairs = Pairs::default();
    for id in 1..=i32::try_from(setup.rounds).unwrap_or(1) {
        let start = Instant::now();
        let command = request.command(id, &wording)?;
        let answer = session.call(id, &command).await?;
        let oid = output_of(parse(&answer.stream)?.root()?)?;
        session.write(oid, &data, size).await?;
        pairs.ours.push(rate(size, start));
        let written = std::fs::metadata(&path).map_err(Failed::about(path.display()))?.len();
        if written != size {
            return Err(Failed::Agent(format!("{written} bytes written of {size}")));
        }
        pairs.theirs.push(bare_receiver(&mut door, &path, &data, size).await?);
    }
    agent.kill().await?;
    let figure = format!("{} from the controller: WritePipe, pieces of 8 KiB", mib(size));
    report.add(row(figure, &pairs, "bare receiver into a file", Bar::None));
    Ok(())
}

/// Where a request works in this run.
fn request_path(
    request: &script::Request,
    wording: &Wording,
) -> Result<std::path::PathBuf, Failed> {
    use pilotfish_replay::wire::{Command, decode};
    match decode(&request.command(1, wording)?)? {
        Command::UserRequest(request) => request
            .path
            .map(Into::into)
            .ok_or_else(|| Failed::Missing("a request without a path".to_owned())),
        _ => Err(Failed::Missing("no request".to_owned())),
    }
}

async fn bare_receiver(
    door: &mut Door,
    path: &Path,
    data: &[u8],
    size: u64,
) -> Result<f64, Failed> {
    let path = path.display().to_string();
    let mut bare = comparators::start(door, "compare-receive", &[&path]).await?;
    let start = Instant::now();
    feed_pieces(&mut bare.link, data, size).await?;
    while bare.link.message().await?.is_some() {}
    let rate = rate(size, start);
    let _ = bare.link.end().await;
    Ok(rate)
}

/// Sends `data` over and over, `total` bytes in all, in messages of [`PIECE`], then the end.
pub async fn feed_pieces(
    link: &mut crate::controller::link::Link,
    data: &[u8],
    total: u64,
) -> Result<(), Failed> {
    let pieces: Vec<Bytes> = data.chunks(PIECE).map(Bytes::copy_from_slice).collect();
    let mut left = usize::try_from(total).unwrap_or(usize::MAX);
    for piece in pieces.iter().cycle() {
        if left == 0 {
            break;
        }
        let piece = piece.slice(..piece.len().min(left));
        left -= piece.len();
        link.feed_message(piece).await?;
    }
    link.flush().await?;
    link.end().await
}
