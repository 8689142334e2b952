//! Tar archives: files with names, modes, links and contents, whatever their order and compression.

use std::collections::BTreeMap;
use std::io::Read as _;

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::{Context, Difference, Digests};
use crate::tolerances;

/// The most that an archive may unpack to, in bytes.
const MOST_BYTES: u64 = 256 << 20;

struct Member {
    content: Vec<u8>,
    kind: u8,
    mode: u32,
    owner: String,
    link: String,
    time: u64,
}

/// Compares two gzip streams by what they hold; nothing if the recorded one is none.
pub(super) fn compare(
    context: &mut Context<'_>,
    title: &str,
    expected: &[u8],
    actual: &[u8],
) -> Option<Vec<Difference>> {
    let expected = unpack(expected)?;
    let differ = |place: &str, expected: String, actual: String| Difference {
        place: format!("{title}{place}"),
        expected,
        actual,
    };
    let Some(actual) = unpack(actual) else {
        return Some(vec![differ("", "a gzip stream".to_owned(), "something else".to_owned())]);
    };
    let (Ok(wanted), got) = (members(&expected), members(&actual)) else {
        let same = expected == actual;
        let found = differ("", format!("{} bytes", expected.len()), "other bytes".to_owned());
        return Some(if same { Vec::new() } else { vec![found] });
    };
    let got = match got {
        Ok(got) => got,
        Err(problem) => return Some(vec![differ("", "a tar archive".to_owned(), problem)]),
    };
    let mut found = Vec::new();
    remember_random(context, &wanted, &got);
    for (name, member) in &wanted {
        match got.get(name) {
            None => found.push(differ("", format!("a file {name}"), "none".to_owned())),
            Some(other) => {
                let mut check = |what: &str, fits: bool, wanted: String, got: String| {
                    if !fits {
                        found.push(differ(&format!(", {name}, {what}"), wanted, got));
                    }
                };
                let text = |kind: u8| char::from(kind).to_string();
                check("type", member.kind == other.kind, text(member.kind), text(other.kind));
                check(
                    "mode",
                    member.mode == other.mode,
                    format!("{:o}", member.mode),
                    format!("{:o}", other.mode),
                );
                check("link", member.link == other.link, member.link.clone(), other.link.clone());
                check(
                    "owner",
                    member.owner == other.owner,
                    member.owner.clone(),
                    other.owner.clone(),
                );
                let timely = tolerances::archived_time(context, member.time, other.time);
                check("time", timely, "a time of this run".to_owned(), other.time.to_string());
                let fits = member.content == other.content
                    || tolerances::random_file(context.random, &member.content, &other.content)
                    || tolerances::random_digests(context.random, &member.content, &other.content);
                let show = |bytes: &[u8]| {
                    format!(
                        "{} bytes {:?}",
                        bytes.len(),
                        String::from_utf8_lossy(
                            bytes.get(..bytes.len().min(60)).unwrap_or_default()
                        )
                    )
                };
                check("content", fits, show(&member.content), show(&other.content));
            }
        }
    }
    for name in got.keys().filter(|name| !wanted.contains_key(*name)) {
        found.push(differ("", "no further file".to_owned(), name.clone()));
    }
    Some(found)
}

fn remember_random(
    context: &mut Context<'_>,
    wanted: &BTreeMap<String, Member>,
    got: &BTreeMap<String, Member>,
) {
    for (name, member) in got {
        let random = wanted.get(name).is_some_and(|wanted| {
            wanted.content != member.content
                && tolerances::random_file(context.random, &wanted.content, &member.content)
        });
        if random {
            let digests = Digests {
                md5: hex(&Md5::digest(&member.content)),
                sha256: hex(&Sha256::digest(&member.content)),
            };
            context.random.files.insert(name.clone(), digests);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return None;
    }
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).take(MOST_BYTES).read_to_end(&mut out).ok()?;
    Some(out)
}

fn members(archive: &[u8]) -> Result<BTreeMap<String, Member>, String> {
    let mut members = BTreeMap::new();
    let fail = |problem: std::io::Error| problem.to_string();
    // A tar archive ends with two blocks of zeros at least.
    if archive.len() < 1024 || !archive.len().is_multiple_of(512) || !archive.ends_with(&[0; 1024])
    {
        return Err("no end of archive".to_owned());
    }
    for entry in tar::Archive::new(archive).entries().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let header = entry.header();
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let owner = format!(
            "{}:{} {}:{}",
            header.uid().map_err(fail)?,
            header.gid().map_err(fail)?,
            text(header.username_bytes()),
            text(header.groupname_bytes())
        );
        let (kind, mode, time) = (
            header.entry_type().as_byte(),
            header.mode().map_err(fail)?,
            header.mtime().map_err(fail)?,
        );
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(fail)?;
        let member = Member { content, kind, mode, owner, link: link.unwrap_or_default(), time };
        if members.insert(name.clone(), member).is_some() {
            return Err(format!("{name} twice"));
        }
    }
    Ok(members)
}
